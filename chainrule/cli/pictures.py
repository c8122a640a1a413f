"""Pictures on the command line: reading with a progress bar, answers, scores, what is said."""

import io
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from chainrule import plot
from chainrule.cli import report
from chainrule.cli.answers import class_answers
from chainrule.cli.kind import Columns, EvaluateRequest, PredictRequest
from chainrule.cli.per_class import per_class_scores, print_per_class
from chainrule.cli.scores import score_labels
from chainrule.cli.text import count, name_list, printable
from chainrule.data import ImageData, ImagePreparation, Skipped, images, read_pictures
from chainrule.errors import ArgumentError, MissingDependencyError
from chainrule.estimators import ImageClassifier
from chainrule.formats.atomic import write_atomically

MAX_SKIPPED = 5

_ASPECTS = {
    "stretch": "stretched to that size",
    "crop": "cropped to that shape",
    "pad": "with borders where they have another shape",
}


def with_progress(read: Callable[..., ImageData], *arguments: Any, **options: Any) -> ImageData:
    """Read pictures, with a bar on the terminal if standard error is one."""
    console = Console(stderr=True)
    bar = Progress(console=console, transient=True) if console.is_terminal else None
    shown: AbstractContextManager[Any] = nullcontext() if bar is None else bar
    with shown:
        if bar is None:
            return read(*arguments, **options)
        task = bar.add_task("Reading pictures", total=None)

        def told(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        return read(*arguments, progress=told, **options)


def picture_facts(source: str, data: ImageData) -> list[tuple[str, str]]:
    """What was read, what was left out and why, and how pictures are prepared."""
    facts = [("Pictures", f"{source}: {count(len(data), 'picture')}")]
    facts += [("Skipped" if not i else "", line) for i, line in enumerate(skipped_lines(data))]
    facts.append(("Prepared", preparation_fact(data.preparation)))
    return facts


def skipped_lines(data: ImageData) -> list[str]:
    """The first files that were skipped, with the reasons, and how many more there are."""
    lines = [f"{item.path}: {item.reason}" for item in data.skipped[:MAX_SKIPPED]]
    more = len(data.skipped) - MAX_SKIPPED
    if more > 0:
        lines.append(f"and {count(more, 'more file')}")
    return lines


def warn_skipped(skipped: Sequence[Skipped]) -> None:
    """Say on standard error which files gave no picture."""
    for item in skipped:
        click.echo(f"Skipped {printable(item.path)}: {printable(item.reason)}", err=True)


def preparation_fact(preparation: ImagePreparation) -> str:
    """How pictures become inputs, in one line."""
    colours = "grey" if preparation.channels == 1 else "red, green, blue"
    size = f"{preparation.height} × {preparation.width} pixels"
    return f"{size}, {colours}; {_ASPECTS[preparation.aspect]}"


def class_counts(data: ImageData) -> str:
    """The classes and their numbers of pictures."""
    pairs = zip(data.classes, data.counts, strict=True)
    return f"{len(data.classes)}: " + name_list([f"{name} ({n:,})" for name, n in pairs])


def draw_mistakes(path: str, data: ImageData, probabilities: NDArray[Any]) -> str:
    """Draw the most confident mistakes into a PNG file.

    Args:
        path: the file, written or replaced as a whole.
        data: N pictures with their classes.
        probabilities: (N, K).

    Returns:
        The path; or why nothing was drawn, where matplotlib is not installed.
    """
    # A dollar sign would begin a formula.
    names = [printable(name).replace("$", r"\$") for name in data.classes]
    try:
        figure = plot.mistakes(data.x, data.y, probabilities, names)
    except MissingDependencyError as error:
        return f"not drawn, {error.what}; {error.fix}"
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120)
    write_atomically(path, [stream.getvalue()])
    return path


def answers(classifier: ImageClassifier, request: PredictRequest) -> tuple[Columns, Columns]:
    """The files, and what is predicted for each."""
    if request.keep:
        raise ArgumentError("--keep", "this option is for tables", got=repr(request.keep[0]))
    found = with_progress(read_pictures, request.data, classifier.preparation_)
    warn_skipped(found.skipped)
    files = [name.encode(errors="backslashreplace").decode() for name in found.paths]
    probabilities = classifier.predict_proba(found)
    return {"file": files}, class_answers(classifier.classes_, probabilities)


def evaluate(classifier: ImageClassifier, request: EvaluateRequest) -> None:
    """Score an image classifier on pictures with known classes."""
    start = time.perf_counter()
    wanted, trained = classifier.preparation_, classifier.classifier_
    data = with_progress(
        images, request.data, size=(wanted.height, wanted.width), aspect=wanted.aspect,
        channels=wanted.channels, dtype=wanted.dtype, background=wanted.background,
        label_column=request.target, allow_one_class=True,
    )  # fmt: skip
    labels = np.array(data.classes)[data.y]
    scores = score_labels(trained, labels, classifier.predict_proba(data))
    per_class = per_class_scores(classifier.classes_.tolist(), scores.confusion, "pictures")
    seconds = time.perf_counter() - start
    out = report.console()
    report.print_facts(out, picture_facts(request.data, data))
    report.print_scores(out, "Scores", scores, trained)
    print_per_class(out, per_class, "pictures")
    if request.as_json:
        facts = {
            "task": "classification",
            "pictures": len(data),
            "skipped": [item._asdict() for item in data.skipped],
            **report.score_facts(scores, trained),
            "per_class": per_class,
            "seconds": round(seconds, 3),
            "model": request.model,
        }
        report.print_json(facts)


def summary(model: str, classifier: ImageClassifier, as_json: bool) -> None:
    """Show the classes, how pictures are prepared, and the network."""
    trained, preparation = classifier.classifier_, classifier.preparation_
    layers = trained.model_.summary()
    lines = [
        ("Model", model),
        ("Classes", report.class_facts(trained)),
        ("Pictures", preparation_fact(preparation)),
        ("Network", classifier.network_),
        ("Training", count(trained.n_iter_, "epoch")),
    ]
    out = report.console()
    report.print_facts(out, lines)
    out.print()
    click.echo(printable(str(layers)))
    if as_json:
        facts = {
            "task": "classification",
            "classes": trained.classes_,
            "preparation": preparation.to_config(),
            "network": classifier.network_,
            "parameters": layers.parameters,
            "epochs": trained.n_iter_,
            "model": model,
        }
        report.print_json(facts)
