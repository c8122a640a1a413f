"""Columns of numbers, prepared together as one block.

Missing cells are filled in, values standardised, indicators added.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from chainrule.data.checks import StoredConfig, stored_array
from chainrule.data.table import Column, MatrixTable, Table, row_blocks
from chainrule.errors import DataError

LIMIT = 10.0
FLOAT32_LIMIT = 3e38
CONSTANT_SPREAD = 1e-12
ARRAY_NAMES = ("value_positions", "center", "scale", "fill", "indicator_positions")


class NumberSource(Protocol):
    """Columns of numbers that can be read some rows at a time."""

    n_rows: int
    width: int

    def block(self, rows: slice) -> NDArray[np.float64]:
        """Return (R, W) float64, NaN where missing; infinite values are refused."""


class ColumnsSource:
    """Number, boolean and date columns side by side.

    Args:
        columns: the W columns.
        table: the table that they come from, to name rows.
    """

    def __init__(self, columns: list[Column], table: Table) -> None:
        self.n_rows = table.n_rows
        self.width = len(columns)
        self._columns = columns
        self._table = table

    def block(self, rows: slice) -> NDArray[np.float64]:
        """Return (R, W) float64, NaN where missing."""
        result = np.empty((rows.stop - rows.start, self.width))
        for position, column in enumerate(self._columns):
            result[:, position] = column.to_float(rows)
        refuse_infinite(result, rows.start, self._table, [column.name for column in self._columns])
        return result


class MatrixSource:
    """Some or all columns of a matrix, dense or sparse.

    Args:
        table: the matrix.
        positions: (W,) the columns.
    """

    def __init__(self, table: MatrixTable, positions: NDArray[np.int64]) -> None:
        self.n_rows = table.n_rows
        self.width = len(positions)
        self._table = table
        self._positions = positions
        self._whole = np.array_equal(positions, np.arange(table.n_columns))

    def block(self, rows: slice) -> NDArray[np.float64]:
        """Return (R, W) float64, NaN where missing."""
        dense = self._table.dense(rows)
        result = (dense if self._whole else dense[:, self._positions]).astype(np.float64)
        if not np.isfinite(result).all():
            names = self._table.names
            refuse_infinite(result, rows.start, self._table, [names[j] for j in self._positions])
        return result


def refuse_infinite(block: NDArray[np.float64], start: int, table: Table, names: list[str]) -> None:
    """Raise a DataError that names column and row of the first infinite value."""
    infinite = np.isinf(block)
    if infinite.any():
        row, position = (int(index) for index in np.argwhere(infinite)[0])
        raise DataError(
            table.source,
            f"an infinite value (inf) in column {names[position]!r}, {table.row_name(start + row)}",
            got=block[row, position],
            expected="finite numbers",
            fix="remove the row or correct the value; leave the cell empty if it is not known",
        )


@dataclass(frozen=True)
class NumberStatistics:
    """What the training rows say about W columns of numbers, each an array (W,).

    Args:
        missing: how many cells are missing.
        low: the smallest value; NaN where all cells are missing.
        high: the largest value.
        mean: the weighted mean.
        deviation: the weighted standard deviation.
    """

    missing: NDArray[np.int64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]


def measure(source: NumberSource, weights: NDArray[np.float64] | None) -> NumberStatistics:
    """Measure columns of numbers in two passes over blocks of rows.

    Sums are taken of values divided by the column's largest, so that squares of huge numbers stay
    finite; the blocks' means and squared deviations are merged by Chan, Golub and LeVeque's rule
    (1983).
    """
    width = source.width
    missing = np.zeros(width, np.int64)
    low, high = np.full(width, np.inf), np.full(width, -np.inf)
    for rows in row_blocks(source.n_rows, width):
        block = source.block(rows)
        absent = np.isnan(block)
        missing += absent.sum(axis=0)
        low = np.fmin(low, np.where(absent, np.inf, block).min(axis=0))
        high = np.fmax(high, np.where(absent, -np.inf, block).max(axis=0))
    empty = missing == source.n_rows
    low[empty] = high[empty] = np.nan
    unit = np.maximum(np.abs(low), np.abs(high))
    unit = np.where(unit > 0, unit, 1.0)
    total, mean, squares = np.zeros(width), np.zeros(width), np.zeros(width)
    for rows in row_blocks(source.n_rows, width):
        block = source.block(rows) / unit
        weight = np.where(np.isnan(block), 0.0, 1.0 if weights is None else weights[rows, None])
        block = np.nan_to_num(block, copy=False)
        count = weight.sum(axis=0)
        here = (weight * block).sum(axis=0) / np.maximum(count, np.finfo(np.float64).tiny)
        squares_here = (weight * (block - here) ** 2).sum(axis=0)
        together = np.maximum(total + count, np.finfo(np.float64).tiny)
        difference = here - mean
        squares += squares_here + difference**2 * total * count / together
        mean += difference * count / together
        total += count
    deviation = np.sqrt(squares / np.maximum(total, np.finfo(np.float64).tiny))
    return NumberStatistics(missing, low, high, mean * unit, deviation * unit)


def weighted_median(values: NDArray[np.float64], weights: NDArray[np.float64] | None) -> float:
    """Return the smallest value with half of the weight at or below it; NaN cells do not count."""
    keep = ~np.isnan(values)
    values = values[keep]
    weights = np.ones(len(values)) if weights is None else weights[keep]
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    place = int(np.searchsorted(reached, 0.5 * reached[-1] * (1 - 1e-12)))
    return float(values[order[min(place, len(values) - 1)]])


@dataclass(frozen=True)
class NumberColumns:
    """How columns of numbers become features.

    ``(value - center) / scale``, cut at a limit, and 0/1 indicators of missing cells.

    Args:
        value_positions: (V,) the input columns whose values are features.
        center: (V,) what is subtracted.
        scale: (V,) what is divided by.
        fill: (V,) what stands for a missing cell.
        indicator_positions: (M,) the input columns whose missing cells are marked by a feature.
        limit: standardised values are cut at plus and minus this.
    """

    value_positions: NDArray[np.int64]
    center: NDArray[np.float64]
    scale: NDArray[np.float64]
    fill: NDArray[np.float64]
    indicator_positions: NDArray[np.int64]
    limit: float

    @property
    def n_features(self) -> int:
        """The number of features: V + M."""
        return len(self.value_positions) + len(self.indicator_positions)

    @property
    def positions(self) -> NDArray[np.int64]:
        """The input columns that are needed, in order."""
        return np.union1d(self.value_positions, self.indicator_positions).astype(np.int64)

    def write(self, source: NumberSource, out: NDArray[np.float32]) -> None:
        """Write the features of all rows; the source holds the columns of `positions`.

        Args:
            source: the needed columns.
            out: (N, V + M) where to write.
        """
        needed = self.positions
        value_at = np.searchsorted(needed, self.value_positions)
        mark_at = np.searchsorted(needed, self.indicator_positions)
        n_values = len(value_at)
        all_values = n_values == len(needed)
        fill = ((self.fill - self.center) / self.scale).clip(-self.limit, self.limit)
        for rows in row_blocks(source.n_rows, max(1, source.width)):
            block = source.block(rows)
            absent = np.isnan(block)
            out[rows, n_values:] = absent[:, mark_at]
            values = block if all_values else block[:, value_at]
            with np.errstate(over="ignore"):
                values = (values - self.center) / self.scale
            np.clip(values, -self.limit, self.limit, out=values)
            if absent.any():
                values = np.where(absent if all_values else absent[:, value_at], fill, values)
            out[rows, :n_values] = values

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by name."""
        return {name: getattr(self, name) for name in ARRAY_NAMES}

    @classmethod
    def from_arrays(
        cls, stored: StoredConfig, arrays: Mapping[str, Any], limit: float, n_inputs: int
    ) -> Self:
        """Rebuild from stored arrays, every one checked."""
        n_values = stored.integer("n_values", 0, n_inputs)
        n_indicators = stored.integer("n_indicators", 0, n_inputs)
        where = stored.where
        parts = cls(
            stored_array(arrays, "value_positions", where, dtype="int64", length=n_values),
            stored_array(arrays, "center", where, dtype="float64", length=n_values),
            stored_array(arrays, "scale", where, dtype="float64", length=n_values),
            stored_array(arrays, "fill", where, dtype="float64", length=n_values),
            stored_array(arrays, "indicator_positions", where, dtype="int64", length=n_indicators),
            limit,
        )
        for name in ("value_positions", "indicator_positions"):
            places = getattr(parts, name)
            rising = bool((places[1:] > places[:-1]).all())
            if len(places) and not (rising and places[0] >= 0 and places[-1] < n_inputs):
                raise stored.wrong(name, places[:5].tolist(), f"rising numbers below {n_inputs}")
        if bool((parts.scale <= 0).any()):
            raise stored.wrong("scale", parts.scale[:5].tolist(), "positive numbers")
        return parts
