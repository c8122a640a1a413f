"""One column of categories, one-hot encoded.

A feature for each frequent value, one for all others, one for missing cells.
"""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from chainrule.data.checks import StoredConfig
from chainrule.data.table import Column

MIN_IDENTIFIER_ROWS = 20
MIN_ROWS_PER_CATEGORY = 3.0
MAX_UNQUESTIONED_CATEGORIES = 20
MAX_STORED_CATEGORIES = 100_000
NUMBER_WITH_COMMAS = re.compile(r"[+-]?\d+(,\d+)+(\.\d+)?|[+-]?\d+(\.\d+)*,\d+")


@dataclass(frozen=True)
class CategoryColumn:
    """How one column of categories becomes features.

    Args:
        position: the input column.
        values: the categories with a feature of their own, the most frequent first.
        other: whether one more feature stands for all other categories.
        missing: whether one more feature stands for missing cells.

    Example:
        >>> cells = np.array(["red", "blue", "red"], dtype=object)
        >>> column = Column("colour", "text", cells, np.zeros(3, bool))
        >>> out = np.zeros((3, 2), np.float32)
        >>> CategoryColumn(0, ("red", "blue"), False, False).write(column, out)
        >>> out.tolist()
        [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]
    """

    position: int
    values: tuple[str, ...]
    other: bool
    missing: bool

    @property
    def n_features(self) -> int:
        """The number of features."""
        return len(self.values) + self.other + self.missing

    def feature_names(self, column: str) -> list[str]:
        """Return the names of the features, such as ``island=Dream``."""
        names = [f"{column}={value}" for value in self.values]
        if self.other:
            names.append(f"{column}=(other)")
        if self.missing:
            names.append(f"{column} is missing")
        return names

    def write(self, column: Column, out: NDArray[np.float32]) -> None:
        """Write ones into (N, n_features) zeros.

        A category not seen in training counts as other, or gives zeros where nothing was pooled.
        """
        known = {value: place for place, value in enumerate(self.values)}
        other = len(self.values) if self.other else -1
        codes = np.fromiter(
            (known.get(value, other) for value in column.values.tolist()), np.int64, len(column)
        )
        codes[column.missing] = len(self.values) + self.other if self.missing else other
        rows = np.flatnonzero(codes >= 0)
        out[rows, codes[rows]] = 1.0

    def to_config(self) -> dict[str, Any]:
        """Return JSON-able settings."""
        return {
            "position": self.position,
            "values": list(self.values),
            "other": self.other,
            "missing": self.missing,
        }

    @classmethod
    def from_config(cls, config: object, where: str, n_inputs: int) -> Self:
        """Rebuild from `to_config`, every value checked."""
        stored = StoredConfig(config, where, ("position", "values", "other", "missing"))
        column = cls(
            stored.integer("position", 0, n_inputs - 1),
            tuple(stored.texts("values", MAX_STORED_CATEGORIES)),
            stored.boolean("other"),
            stored.boolean("missing"),
        )
        if column.n_features == 0:
            raise stored.wrong("values", [], "at least one category")
        return column


def choose_categories(
    column: Column,
    position: int,
    *,
    max_categories: int,
    min_count: int,
    drop_identifiers: bool,
    weights: NDArray[np.float64] | None,
) -> CategoryColumn | str:
    """Choose the features of a column of text, or say why it is of no use.

    Args:
        column: the training rows.
        position: the input column.
        max_categories: how many categories may have a feature of their own.
        min_count: rarer categories are pooled.
        drop_identifiers: whether to drop columns whose values all differ.
        weights: (N,) how much each row counts.

    Returns:
        A CategoryColumn, or the reason to drop the column.
    """
    counts = _counts(column, weights)
    n_present = sum(counts.values())
    any_missing = bool(column.missing.any())
    if not counts:
        return "all cells are missing"
    if len(counts) == 1 and not any_missing:
        return f"constant: always {_short(next(iter(counts)))}"
    hint = ""
    if all(NUMBER_WITH_COMMAS.fullmatch(value) for value in list(counts)[:1000]):
        hint = "; these look like numbers with commas: write them without, to use them as numbers"
    if drop_identifiers and len(counts) == n_present and n_present >= MIN_IDENTIFIER_ROWS:
        return f"like an identifier: all {len(counts)} texts differ" + hint
    per_category = n_present / len(counts)
    if len(counts) > MAX_UNQUESTIONED_CATEGORIES and per_category < MIN_ROWS_PER_CATEGORY:
        return f"too many categories: {len(counts)} in {n_present:.0f} rows" + hint
    # Frequent first; ties in the order of the text, so that the order of rows does not matter.
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    kept = [value for value, count in ranked if count >= min_count][:max_categories]
    if not kept:
        return (
            f"no category is frequent: {len(counts)} in {n_present:.0f} rows, "
            f"each rarer than {min_count}{hint}"
        )
    return CategoryColumn(position, tuple(kept), len(kept) < len(counts), any_missing)


def _counts(column: Column, weights: NDArray[np.float64] | None) -> dict[str, float]:
    if weights is None:
        return dict(Counter(column.present.tolist()))
    counts: dict[str, float] = {}
    for value, weight in zip(
        column.present.tolist(), weights[~column.missing].tolist(), strict=True
    ):
        counts[value] = counts.get(value, 0.0) + weight
    return counts


def _short(value: str) -> str:
    return repr(value if len(value) <= 40 else value[:37] + "...")
