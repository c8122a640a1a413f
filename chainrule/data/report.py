"""What a preprocessor tells: the columns in use, and how; those that are not, and why."""

import json
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class UsedColumn:
    """A column that became features.

    Args:
        column: its name.
        kind: number, boolean, date or text.
        how: what was done with it.
        features: the names of its features.
    """

    column: str
    kind: str
    how: str
    features: tuple[str, ...]


@dataclass(frozen=True)
class DroppedColumn:
    """A column that is not used.

    Args:
        column: its name.
        reason: why.
    """

    column: str
    reason: str


@dataclass(frozen=True)
class PreprocessorReport:
    """The columns that are used, and how; those that are not, and why.

    Args:
        used: in the order of the table.
        dropped: in the order of the table.

    Example:
        >>> print(PreprocessorReport((), (DroppedColumn("id", "constant: always 7"),)))
        id: dropped, constant: always 7
    """

    used: tuple[UsedColumn, ...]
    dropped: tuple[DroppedColumn, ...]

    def to_dict(self) -> dict[str, list[dict[str, Any]]]:
        """Return JSON-able lists."""
        result: dict[str, list[dict[str, Any]]] = json.loads(json.dumps(asdict(self)))
        return result

    def __str__(self) -> str:
        """Return one line a column."""
        lines = [f"{item.column}: {item.how}" for item in self.used]
        lines += [f"{item.column}: dropped, {item.reason}" for item in self.dropped]
        return "\n".join(lines)


def describe_number(
    kind: str,
    *,
    center: float | None,
    scale: float,
    fill: float,
    missing: int,
    standardize: bool,
    marked: bool,
    impute: str,
) -> str:
    """Say what was done with a column of numbers, booleans or dates.

    `center` is None where only missing cells count.
    """
    cells = f"{missing} missing cell{'s' if missing != 1 else ''}"
    if center is None:
        return f"constant but for {cells}, which are marked"
    if kind == "boolean":
        how = "0 for false, 1 for true"
    elif standardize:
        how = f"standardised (mean {center:.4g}, deviation {scale:.4g})"
    else:
        how = "as it is"
    if kind == "date":
        how = f"days since 1970, {how}"
    if missing:
        how += f", {cells} filled with the {impute} {fill:.4g}" + (" and marked" if marked else "")
    return how


def describe_categories(frequent: int, *, other: bool, missing: int) -> str:
    """Say what was done with a column of categories."""
    parts = [f"one-hot, {frequent} categor{'ies' if frequent != 1 else 'y'}"]
    if other:
        parts.append("one feature for rarer ones")
    if missing:
        parts.append(f"one for {missing} missing cell{'s' if missing != 1 else ''}")
    return ", ".join(parts)
