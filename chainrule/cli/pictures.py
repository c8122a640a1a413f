"""Pictures on the command line: reading with a progress bar, and what to say about them."""

import io
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from chainrule import plot
from chainrule.cli.text import count, name_list, printable
from chainrule.data import ImageData, ImagePreparation, Skipped
from chainrule.errors import MissingDependencyError
from chainrule.formats.atomic import write_atomically

MAX_SKIPPED = 5
MAX_CLASSES = 30

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


def per_class_scores(
    classes: Sequence[str], confusion: NDArray[Any] | None
) -> list[dict[str, Any]]:
    """Precision, recall and F1 of each class.

    precision = right / predicted, recall = right / pictures, F1 = 2 right / (predicted + pictures);
    not a number where nothing is divided by.

    Args:
        classes: K names.
        confusion: counts (K, K), rows: true class, columns: predicted class.

    Example:
        >>> scores = per_class_scores(["a", "b"], np.array([[3, 1], [0, 2]]))
        >>> scores[0]
        {'class': 'a', 'pictures': 4, 'precision': 1.0, 'recall': 0.75, 'f1': 0.857...}
    """
    if confusion is None:
        return []
    right = np.diag(confusion)
    there, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    with np.errstate(invalid="ignore"):
        columns = right / predicted, right / there, 2 * right / (there + predicted)
    return [
        {
            "class": name,
            "pictures": int(there[k]),
            "precision": float(columns[0][k]),
            "recall": float(columns[1][k]),
            "f1": float(columns[2][k]),
        }
        for k, name in enumerate(classes)
    ]


def print_per_class(out: Console, scores: Sequence[dict[str, Any]]) -> None:
    """Print the scores of each class; of many classes, of those with the lowest F1."""
    shown, title = list(scores), "Class"
    if len(shown) > MAX_CLASSES:
        shown = sorted(shown, key=lambda row: np.nan_to_num(row["f1"]))[:MAX_CLASSES]
        title = f"Class ({MAX_CLASSES} lowest of {len(scores):,})"
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="", pad_edge=False)
    table.add_column(title, style="bold")
    for name in ("pictures", "precision", "recall", "F1"):
        table.add_column(name, justify="right")
    for row in shown:
        numbers = (row["precision"], row["recall"], row["f1"])
        texts = ["-" if np.isnan(number) else f"{number:.4f}" for number in numbers]
        table.add_row(printable(row["class"]), f"{row['pictures']:,}", *texts)
    out.print()
    out.print(table)
