"""Precision, recall and F1 of each class."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from chainrule.cli.text import printable

MAX_CLASSES = 30


def per_class_scores(
    classes: Sequence[str], confusion: NDArray[Any] | None, noun: str
) -> list[dict[str, Any]]:
    """Precision, recall and F1 of each class.

    precision = right / predicted, recall = right / true, F1 = 2 right / (predicted + true); not a
    number where nothing is divided by.

    Args:
        classes: K names.
        confusion: counts (K, K), rows: true class, columns: predicted class.
        noun: what is counted, in the plural.

    Example:
        >>> scores = per_class_scores(["a", "b"], np.array([[3, 1], [0, 2]]), "pictures")
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
            noun: int(there[k]),
            "precision": float(columns[0][k]),
            "recall": float(columns[1][k]),
            "f1": float(columns[2][k]),
        }
        for k, name in enumerate(classes)
    ]


def print_per_class(out: Console, scores: Sequence[dict[str, Any]], noun: str) -> None:
    """Print the scores of each class; of many classes, of those with the lowest F1."""
    shown, title = list(scores), "Class"
    if len(shown) > MAX_CLASSES:
        shown = sorted(shown, key=lambda row: np.nan_to_num(row["f1"]))[:MAX_CLASSES]
        title = f"Class ({MAX_CLASSES} lowest of {len(scores):,})"
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="", pad_edge=False)
    table.add_column(title, style="bold")
    for name in (noun, "precision", "recall", "F1"):
        table.add_column(name, justify="right")
    for row in shown:
        numbers = (row["precision"], row["recall"], row["f1"])
        texts = ["-" if np.isnan(number) else f"{number:.4f}" for number in numbers]
        table.add_row(printable(row["class"]), f"{row[noun]:,}", *texts)
    out.print()
    out.print(table)
