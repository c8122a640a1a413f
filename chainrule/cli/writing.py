"""Running text on the command line: training a network that writes, and what is said about it."""

import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from chainrule.cli import report
from chainrule.cli.kind import (
    Columns,
    EvaluateRequest,
    ExplainRequest,
    PredictRequest,
    StepExamples,
    TrainRequest,
)
from chainrule.cli.outputs import check_model_output
from chainrule.cli.text import count, printable
from chainrule.cli.training import fit
from chainrule.data import read_file
from chainrule.data.byte_pairs import BytePairTokenizer
from chainrule.data.tokenizers import CharacterTokenizer, Tokenizer
from chainrule.errors import ArgumentError, DataError
from chainrule.estimators import TextGenerator
from chainrule.training.explanation import Names

#: Byte pairs for so many characters of text each, within bounds.
CHARACTERS_A_PAIR = 800
FEWEST_PAIRS, MOST_PAIRS = 300, 8_000

SAMPLE = 300


def train_writer(request: TrainRequest) -> None:
    """Read a text, train, save, measure on its end, write a sample."""
    start = time.perf_counter()
    settings = dict(request.settings)
    if "until" in settings:
        raise ArgumentError("--until", "this option is not for running text", fix="use --epochs")
    if request.target is not None:
        raise ArgumentError("--target", "this option is for tables", got="--generate")
    path = request.out or f"{Path(request.data).stem}.safetensors"
    check_model_output(path)
    text = read_file(request.data, encoding=request.encoding)
    end = len(text) - round(len(text) * request.test_fraction)
    learnt, held_out = text[:end], text[end:]
    if not learnt:
        raise DataError(request.data, "there is no text to learn from", fix="give a longer text")
    generator = TextGenerator(
        _tokenizer(request.own["tokens"], len(learnt)), random_state=request.seed, verbose="auto",
        **settings,
    )  # fmt: skip
    fit(generator, learnt)
    generator.save(path)
    bits = generator.bits_per_character(held_out) if len(held_out) > 1 else None
    sample = generator.generate(length=SAMPLE, seed=request.seed)
    seconds = time.perf_counter() - start
    _print_report(request.data, text, generator, bits, sample)
    click.echo(f"\nModel written to {printable(path)} ({seconds:.1f} s in all)")
    if request.as_json:
        history = generator.history_
        facts = {
            "task": "generation",
            "characters": len(text),
            "test_characters": len(held_out),
            "tokens": generator.stream_.tokenizer.kind,
            "vocabulary": len(generator.stream_.vocabulary.known),
            "parameters": generator.model_.summary().parameters,
            "epochs": generator.n_iter_,
            "stopped": history.stopped if history else None,
            "test": None if bits is None else {"bits_per_character": bits},
            "sample": sample,
            "seconds": round(seconds, 3),
            "model": path,
        }
        report.print_json(facts)


def _tokenizer(name: str, characters: int) -> Tokenizer:
    """The tokeniser asked for; "auto" is byte pairs where the package for them is installed."""
    if name == "auto":
        name = "byte pairs" if find_spec("tokenizers") else "characters"
    if name == "characters":
        return CharacterTokenizer()
    if name == "byte pairs":
        pairs = min(MOST_PAIRS, max(FEWEST_PAIRS, characters // CHARACTERS_A_PAIR))
        return BytePairTokenizer(pairs)
    raise ArgumentError(
        "--tokens", "a text cannot be written in these", got=name,
        expected="characters or byte pairs",
    )  # fmt: skip


def _print_report(
    source: str, text: str, generator: TextGenerator, bits: float | None, sample: str
) -> None:
    stream, history = generator.stream_, generator.history_
    parameters = count(generator.model_.summary().parameters, "parameter")
    kind = stream.tokenizer.kind
    lines = [
        ("Text", f"{source}: {count(len(text), 'character')}"),
        ("Tokens", f"{kind}, {len(stream.vocabulary.known):,} different"),
        ("Network", f"LSTM of {generator.units} units, {parameters}"),
    ]
    if history is not None:
        epochs = count(history.epochs, "epoch")
        lines.append(("Training", f"{epochs} in {history.seconds:.1f} s; {history.stopped}"))
    if bits is not None:
        lines.append(("Test", f"{bits:.3f} bits a character on the end of the text, held out"))
    report.print_facts(report.console(), lines)
    click.echo(f"\nA sample:\n{printable(sample.strip())}")


def answers(generator: TextGenerator, request: PredictRequest) -> tuple[Columns, Columns]:
    """A network that writes predicts no classes.

    Raises:
        ArgumentError: always.
    """
    raise ArgumentError(
        "predict", "this model writes text", got="a model trained with --generate",
        fix="use chainrule generate MODEL --prompt TEXT",
    )  # fmt: skip


def evaluate(generator: TextGenerator, request: EvaluateRequest) -> None:
    """Say how well a network guesses a text."""
    start = time.perf_counter()
    text = read_file(request.data, encoding=request.encoding)
    bits = generator.bits_per_character(text)
    seconds = time.perf_counter() - start
    lines = [("Text", f"{request.data}: {count(len(text), 'character')}")]
    lines.append(("Scores", f"{bits:.3f} bits a character"))
    report.print_facts(report.console(), lines)
    if request.as_json:
        facts: dict[str, Any] = {"task": "generation", "characters": len(text)}
        facts |= {"test": {"bits_per_character": bits}, "seconds": round(seconds, 3)}
        report.print_json({**facts, "model": request.model})


def step_examples(generator: TextGenerator, request: ExplainRequest) -> StepExamples:
    """The batch of one piece of a text, as long as those of the training."""
    x, y = generator.network_examples(read_file(request.data, encoding=request.encoding))
    rows, place = request.batch(len(x))
    names = Names([str(row + 1) for row in rows])
    return StepExamples(generator.model_, x[rows], y[rows], "cross_entropy", place, names)


def summary(model: str, generator: TextGenerator, as_json: bool) -> None:
    """Show the tokens and the network."""
    layers, stream = generator.model_.summary(), generator.stream_
    tokens = f"{stream.tokenizer.kind}, {len(stream.vocabulary.known):,} different"
    lines = [("Model", model), ("Writes", tokens)]
    lines.append(("Training", count(generator.n_iter_, "epoch")))
    out = report.console()
    report.print_facts(out, lines)
    out.print()
    click.echo(printable(str(layers)))
    if as_json:
        report.print_json(
            {
                "task": "generation",
                "tokens": stream.tokenizer.kind,
                "vocabulary": len(stream.vocabulary.known),
                "parameters": layers.parameters,
                "epochs": generator.n_iter_,
                "model": model,
            }
        )
