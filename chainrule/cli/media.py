"""What the commands do alike with pictures, sounds and texts: reading, answers, scores, summary."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import click
import numpy as np
from rich.console import Console
from rich.progress import Progress

from chainrule.cli import report
from chainrule.cli.answers import class_answers
from chainrule.cli.kind import (
    Columns,
    EvaluateRequest,
    ExplainRequest,
    PredictRequest,
    StepExamples,
)
from chainrule.cli.per_class import per_class_scores, print_per_class
from chainrule.cli.scores import score_labels
from chainrule.cli.text import count, name_list, printable
from chainrule.data import AudioData, ImageData, Skipped, TextData
from chainrule.errors import ArgumentError
from chainrule.estimators.media_classifier import MediaClassifier
from chainrule.training.explanation import Names

MAX_SKIPPED = 5

Data = TypeVar("Data", ImageData, AudioData, TextData)
Media = TypeVar("Media", ImageData, AudioData)


def with_progress(noun: str, read: Callable[..., Data], *arguments: Any, **options: Any) -> Data:
    """Read files, with a bar on the terminal if standard error is one."""
    console = Console(stderr=True)
    bar = Progress(console=console, transient=True) if console.is_terminal else None
    shown: AbstractContextManager[Any] = nullcontext() if bar is None else bar
    with shown:
        if bar is None:
            return read(*arguments, **options)
        task = bar.add_task(f"Reading {noun}", total=None)

        def told(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        return read(*arguments, progress=told, **options)


def skipped_facts(skipped: Sequence[Skipped]) -> list[tuple[str, str]]:
    """The first files that were skipped, with the reasons, and how many more there are."""
    lines = [f"{item.path}: {item.reason}" for item in skipped[:MAX_SKIPPED]]
    more = len(skipped) - MAX_SKIPPED
    if more > 0:
        lines.append(f"and {count(more, 'more file')}")
    return [("Skipped" if not i else "", line) for i, line in enumerate(lines)]


def warn_skipped(skipped: Sequence[Skipped]) -> None:
    """Say on standard error which files are left out."""
    for item in skipped:
        click.echo(f"Skipped {printable(item.path)}: {printable(item.reason)}", err=True)


def class_counts(data: ImageData | AudioData | TextData) -> str:
    """The classes and their numbers of files."""
    pairs = zip(data.classes, data.counts, strict=True)
    return f"{len(data.classes)}: " + name_list([f"{name} ({n:,})" for name, n in pairs])


def answers(
    noun: str, read: Callable[..., Media], classifier: MediaClassifier, request: PredictRequest
) -> tuple[Columns, Columns]:
    """The files, and what is predicted for each."""
    if request.keep:
        raise ArgumentError("--keep", "this option is for tables", got=repr(request.keep[0]))
    found = with_progress(noun, read, request.data, classifier.preparation_)
    warn_skipped(found.skipped)
    files = [name.encode(errors="backslashreplace").decode() for name in found.paths]
    probabilities = classifier.predict_proba(found)
    return {"file": files}, class_answers(classifier.classes_, probabilities)


def evaluate(
    noun: str,
    read: Callable[[], Data],
    facts: Callable[[str, Data], list[tuple[str, str]]],
    classifier: MediaClassifier,
    request: EvaluateRequest,
) -> None:
    """Score a classifier on files with known classes.

    Args:
        noun: what the files hold, in the plural.
        read: reads them.
        facts: says what was read.
        classifier: the classifier.
        request: what was asked for.
    """
    start = time.perf_counter()
    trained, data = classifier.classifier_, read()
    labels = np.array(data.classes)[data.y]
    scores = score_labels(trained, labels, classifier.predict_proba(data))
    per_class = per_class_scores(classifier.classes_.tolist(), scores.confusion, noun)
    seconds = time.perf_counter() - start
    out = report.console()
    report.print_facts(out, facts(request.data, data))
    report.print_scores(out, "Scores", scores, trained)
    print_per_class(out, per_class, noun)
    if request.as_json:
        report.print_json(
            {
                "task": "classification",
                noun: len(data),
                "skipped": [item._asdict() for item in data.skipped],
                **report.score_facts(scores, trained),
                "per_class": per_class,
                "seconds": round(seconds, 3),
                "model": request.model,
            }
        )


def step_examples(
    data: Data, sources: Sequence[str], classifier: MediaClassifier, request: ExplainRequest
) -> StepExamples:
    """The batch of one of the examples that were read.

    Args:
        data: the examples.
        sources: where each is from.
        classifier: the classifier.
        request: what was asked for.
    """
    rows, place = request.batch(len(data))
    part, trained = data.take(rows), classifier.classifier_
    labels = np.array(data.classes)[part.y]
    x, y, loss = trained.network_examples(classifier.network_inputs(part), labels)
    names = [f"{row + 1}, {sources[row]}" for row in rows]
    called = Names(names, (), [str(name) for name in trained.classes_])
    return StepExamples(trained.model_, x, y, loss, place, called)


def summary(
    model: str, classifier: MediaClassifier, prepared: tuple[str, str], as_json: bool
) -> None:
    """Show the classes, how files are prepared, and the network."""
    trained = classifier.classifier_
    layers = trained.model_.summary()
    lines = [
        ("Model", model),
        ("Classes", report.class_facts(trained)),
        prepared,
        ("Network", classifier.network_),
        ("Training", count(trained.n_iter_, "epoch")),
    ]
    out = report.console()
    report.print_facts(out, lines)
    out.print()
    click.echo(printable(str(layers)))
    if as_json:
        report.print_json(
            {
                "task": "classification",
                "classes": trained.classes_,
                "preparation": classifier.preparation_facts(),
                "network": classifier.network_,
                "parameters": layers.parameters,
                "epochs": trained.n_iter_,
                "model": model,
            }
        )


def training_facts(
    noun: str, data: ImageData | AudioData | TextData, test_count: int, classifier: MediaClassifier
) -> list[tuple[str, str]]:
    """The classes, the split, the network and how the training went."""
    trained = classifier.classifier_
    learnt = count(len(data) - test_count, noun.removesuffix("s"))
    parameters = count(trained.model_.summary().parameters, "parameter")
    lines = [
        ("Classes", class_counts(data)),
        ("Split", f"{learnt} to learn from, {test_count:,} held out to test"),
        ("Network", f"{classifier.network_}, {parameters}"),
    ]
    history = trained.history_
    if history is not None:
        epochs = count(history.epochs, "epoch")
        lines.append(("Training", f"{epochs} in {history.seconds:.1f} s; {history.stopped}"))
        lines += [("", note) for note in history.notes]
    return lines


def training_json(
    noun: str, data: ImageData | AudioData | TextData, test_count: int, classifier: MediaClassifier
) -> dict[str, Any]:
    """The same for the JSON line."""
    trained = classifier.classifier_
    history = trained.history_
    return {
        "task": "classification",
        noun: len(data),
        "skipped": [item._asdict() for item in data.skipped],
        f"train_{noun}": len(data) - test_count,
        f"test_{noun}": test_count,
        "classes": data.classes,
        "preparation": classifier.preparation_facts(),
        "network": classifier.network_,
        "parameters": trained.model_.summary().parameters,
        "epochs": trained.n_iter_,
        "stopped": history.stopped if history else None,
        "stopped_by": history.stopped_by if history else None,
    }
