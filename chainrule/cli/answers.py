"""Writing a table of answers as CSV."""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

# A spreadsheet takes a cell that begins like this for a formula.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def safe_cell(value: Any) -> str:
    """The value as the text of a cell; text that a spreadsheet would run as a formula is quoted.

    >>> safe_cell("=1+1"), safe_cell("-5.5"), safe_cell(0.1), safe_cell(None)
    ("'=1+1", '-5.5', '0.1', '')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    text = str(value)
    if text.startswith(_FORMULA_STARTS) and not _is_number(text):
        return "'" + text
    return text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.isascii() and text == text.strip()


def to_csv(columns: Mapping[str, Sequence[Any] | Iterable[Any]]) -> str:
    """The columns as CSV text with a header line.

    >>> print(to_csv({"answer": ["a", "b"], "share": [0.5, 1.0]}), end="")
    answer,share
    a,0.5
    b,1.0
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([safe_cell(name) for name in columns])
    for row in zip(*columns.values(), strict=True):
        writer.writerow([safe_cell(value) for value in row])
    return buffer.getvalue()


def class_answers(classes: NDArray[Any], probabilities: NDArray[Any]) -> dict[str, Any]:
    """The most probable class of each row, and a column of probabilities for each class.

    Args:
        classes: (K,).
        probabilities: (N, K).
    """
    columns: dict[str, Any] = {"prediction": classes[probabilities.argmax(axis=1)]}
    for label, column in zip(classes, probabilities.T, strict=True):
        columns[f"probability of {label}"] = column.round(6)
    return columns
