"""Speech on the command line: what is said about it, transcripts, error rates."""

import time
from typing import Any

import click

from chainrule.cli import media, report, sounds
from chainrule.cli.kind import (
    Columns,
    EvaluateRequest,
    ExplainRequest,
    PredictRequest,
    StepExamples,
)
from chainrule.cli.text import count, name_list, printable
from chainrule.data import AudioData, audio, read_sounds
from chainrule.errors import ArgumentError
from chainrule.estimators import SpeechRecognizer
from chainrule.estimators.speech_recognizer import error_rates
from chainrule.training.explanation import Names

MAX_SHOWN = 5


def transcribed(recognizer: SpeechRecognizer, sources: tuple[str, ...]) -> dict[str, list[str]]:
    """The files and what is said in them.

    Files that cannot be read, or are longer than the network hears, are told on standard error.
    """
    found = media.with_progress(sounds.NOUN, read_sounds, sources, recognizer.preparation_)
    media.warn_skipped(found.skipped)
    files = [name.encode(errors="backslashreplace").decode() for name in found.paths]
    seconds = recognizer.length_ / recognizer.preparation_.sample_rate
    for file, length in zip(files, found.lengths, strict=True):
        if length > recognizer.length_:
            middle = f"only the middle {seconds:.1f} s, the longest learnt, are heard"
            click.echo(f"{printable(file)}: {middle}", err=True)
    return {"file": files, "transcript": recognizer.transcribe(found)}


def answers(recognizer: SpeechRecognizer, request: PredictRequest) -> tuple[Columns, Columns]:
    """The files, and what is said in each."""
    if request.keep:
        raise ArgumentError("--keep", "this option is for tables", got=repr(request.keep[0]))
    found = transcribed(recognizer, request.data)
    return {"file": found["file"]}, {"prediction": found["transcript"]}


def print_errors(
    truth: list[str], found: list[str], title: str
) -> tuple[dict[str, float], list[dict[str, str]]]:
    """Print how much is wrong, and the first transcripts that are; return both."""
    rates = error_rates(truth, found)
    out = report.console()
    out.print(f"\n{title}, letters wrong: {rates['letter_error_rate']:.4f}")
    out.print(f"{' ' * len(title)}  words wrong:   {rates['word_error_rate']:.4f}")
    wrong = [
        {"said": said, "heard": heard}
        for said, heard in zip(truth, found, strict=True)
        if said != heard
    ][:MAX_SHOWN]
    if wrong:
        out.print("\nHeard wrongly")
        for row in wrong:
            out.print(printable(f"  {row['said']!r} as {row['heard']!r}"))
    return rates, wrong


def evaluate(recognizer: SpeechRecognizer, request: EvaluateRequest) -> None:
    """Score a recogniser on sounds whose transcripts are known."""
    start = time.perf_counter()
    data = _known(recognizer, request)
    found = recognizer.transcribe(data)
    seconds = time.perf_counter() - start
    report.print_facts(report.console(), sounds.sound_facts(request.data, data))
    rates, wrong = print_errors(data.transcripts, found, "Scores")
    if request.as_json:
        report.print_json(
            {
                "task": "transcription",
                "sounds": len(data),
                "skipped": [item._asdict() for item in data.skipped],
                **rates,
                "wrong": wrong,
                "seconds": round(seconds, 3),
                "model": request.model,
            }
        )


def step_examples(recognizer: SpeechRecognizer, request: ExplainRequest) -> StepExamples:
    """The batch of one sound."""
    data = _known(recognizer, request)
    rows, place = request.batch(len(data))
    part = data.take(rows)
    x, y = recognizer.network_examples(part)
    names = [f"{row + 1}, {path}" for row, path in zip(rows, part.paths, strict=True)]
    return StepExamples(recognizer.model_, x, y, "ctc", place, Names(names))


def _known(recognizer: SpeechRecognizer, request: EvaluateRequest | ExplainRequest) -> AudioData:
    """Sounds whose transcripts are known, prepared as in training."""
    wanted = recognizer.preparation_
    return media.with_progress(
        sounds.NOUN, audio, request.data, sample_rate=wanted.sample_rate, trim=wanted.trim,
        label_column=request.target, transcripts=True,
    )  # fmt: skip


def summary(model: str, recognizer: SpeechRecognizer, as_json: bool) -> None:
    """Show the letters, how sounds are prepared, and the network."""
    layers, preparation = recognizer.model_.summary(), recognizer.preparation_
    out = report.console()
    report.print_facts(
        out,
        [
            ("Model", model),
            ("Letters", letters_fact(recognizer)),
            ("Sounds", sounds.preparation_fact(preparation, recognizer.length_)),
            ("Network", recognizer.network_),
            ("Training", count(recognizer.n_iter_, "epoch")),
        ],
    )
    out.print()
    click.echo(printable(str(layers)))
    if as_json:
        report.print_json({**facts(recognizer), "model": model})


def letters_fact(recognizer: SpeechRecognizer) -> str:
    """The letters that a recogniser knows."""
    letters = recognizer.alphabet_.letters
    shown = ["space" if letter == " " else letter for letter in letters]
    return f"{len(letters)}: {name_list(shown, 40)}"


def facts(recognizer: SpeechRecognizer) -> dict[str, Any]:
    """What the JSON lines say of a recogniser."""
    return {
        "task": "transcription",
        "letters": recognizer.alphabet_.letters,
        "preparation": recognizer.preparation_.to_config(),
        "length": recognizer.length_,
        "network": recognizer.network_,
        "parameters": recognizer.model_.summary().parameters,
        "epochs": recognizer.n_iter_,
    }
