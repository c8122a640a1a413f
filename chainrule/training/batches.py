"""The rows of a data set in batches: shuffled by seed and epoch, the last one short."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from chainrule import tree
from chainrule.tensor.tensor import Tensor, as_tensor
from chainrule.training.inputs import Array, Arrays, count_rows, take_rows


@dataclass(frozen=True)
class Data:
    """Checked inputs, targets and weights (one a row, or None for 1 each) of the same length.

    ``numbers`` are those of the rows in the data that they were taken from; None for all of it.
    """

    x: Arrays
    y: Array
    weights: Array | None = None
    numbers: Array | None = None

    @property
    def rows(self) -> int:
        """The number of examples."""
        return count_rows(self.x)

    def take(self, rows: Array) -> "Data":
        """The chosen rows."""
        weights = None if self.weights is None else self.weights[rows]
        numbers = rows if self.numbers is None else self.numbers[rows]
        return Data(take_rows(self.x, rows), self.y[rows], weights, numbers)


def even_size(rows: int, most: int) -> int:
    """Rows in a batch: ``most``, or down to half of it where all batches are then of one size.

    One program serves them all.

    >>> even_size(1600, 256), even_size(1601, 256), even_size(100, 256)
    (200, 256, 100)
    """
    if rows <= most:
        return rows
    halves = range(most, most // 2, -1)
    return next((size for size in halves if rows % size == 0), most)


class Batch(NamedTuple):
    """What one step gets, and the weight of its loss in the mean over the epoch."""

    x: Any
    y: Any
    weights: Any
    total: float


class Stack(NamedTuple):
    """Several batches along a new first axis, and the weight of each in the mean over the epoch."""

    x: Any
    y: Any
    weights: Any
    totals: Array


class Batches:
    """Cuts data into batches, in an order that depends only on the seed and the number of the
    epoch.

    Args:
        data: the rows.
        size: rows in a batch; the last batch may be shorter. None puts all rows in one.
        seed: for the order of the rows; None keeps the order of the data.
    """

    def __init__(self, data: Data, size: int | None, seed: int | None = None) -> None:
        self.data = data
        self.size = data.rows if size is None else min(size, data.rows)
        self.steps = -(-data.rows // self.size)
        self._seed = seed
        self._whole = [self._as_tensors()] if self.steps == 1 else []
        self._tensors: tuple[Any, ...] | None = None

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """The batches of one epoch. Batches whose weights are all 0 are left out."""
        if self._whole:  # one batch: no order to draw, nothing to gather
            return iter(self._whole)
        return self._cut(epoch)

    def order(self, epoch: int) -> Array:
        """The numbers of all rows in the order of an epoch."""
        if self._seed is None:
            return np.arange(self.data.rows)
        return np.random.default_rng([self._seed, epoch]).permutation(self.data.rows)

    def rows(self, epoch: int, number: int) -> Array:
        """The numbers, in the data that was given, of the rows of one batch of an epoch."""
        order = np.arange(self.data.rows) if self._whole else self.order(epoch)
        batches = [order[start : start + self.size] for start in range(0, len(order), self.size)]
        weights = self.data.weights
        if weights is not None:
            batches = [rows for rows in batches if weights[rows].any()]
        rows = batches[number]
        return rows if self.data.numbers is None else self.data.numbers[rows]

    def totals(self, rows: Array) -> Array:
        """The weight of each batch in the mean over the epoch, for rows (batches, size)."""
        if self.data.weights is None:
            return np.full(len(rows), rows.shape[1], np.float64)
        return _row_sums(self.data.weights[rows])

    def tensors(self) -> tuple[Any, ...]:
        """All rows as tensors: inputs, targets and weights (or None)."""
        if self._tensors is None:
            whole = self._as_tensors()
            self._tensors = (whole.x, whole.y, whole.weights)
        return self._tensors

    def stack(self, start: int, stop: int, size: int) -> Stack:
        """Rows in their own order as several batches of this size, on the memory of the data."""
        x, y, weights = (_stacked(part, start, stop, size) for part in self.tensors())
        count = (stop - start) // size
        totals = np.full(count, float(size)) if weights is None else _row_sums(weights)
        return Stack(x, y, weights, totals)

    def _cut(self, epoch: int) -> Iterator[Batch]:
        data, rows = self.data, self.data.rows
        order = None if self._seed is None else self.order(epoch)
        for start in range(0, rows, self.size):
            stop = min(start + self.size, rows)
            chosen = slice(start, stop) if order is None else order[start:stop]
            if data.weights is None:
                yield Batch(
                    take_rows(data.x, chosen), take_rows(data.y, chosen), None, stop - start
                )
                continue
            weights = data.weights[chosen]
            total = float(weights.sum(dtype=np.float64))
            if total > 0:
                yield Batch(take_rows(data.x, chosen), take_rows(data.y, chosen), weights, total)

    def _as_tensors(self) -> Batch:
        weights = self.data.weights
        return Batch(
            _tensors(self.data.x),
            _shared(self.data.y),
            None if weights is None else _shared(weights),
            self.data.rows if weights is None else float(weights.sum(dtype=np.float64)),
        )


def _row_sums(weights: Array) -> Array:
    """The sum of what belongs to each entry of the first axis, in float64."""
    sums: Array = weights.reshape(len(weights), -1).sum(axis=1, dtype=np.float64)
    return sums


def _stacked(data: Any, start: int, stop: int, size: int) -> Any:
    def cut(tensor: Tensor) -> Array:
        return tensor.concrete("batches")[start:stop].reshape(-1, size, *tensor.shape[1:])

    return None if data is None else tree.map_leaves(cut, data)


def _tensors(arrays: Arrays) -> Any:
    if isinstance(arrays, dict):
        return {name: _shared(array) for name, array in arrays.items()}
    if isinstance(arrays, tuple):
        return tuple(_shared(array) for array in arrays)
    return _shared(arrays)


def _shared(array: Array) -> Tensor:
    """The rows as a tensor on the same memory, which nobody writes to while training runs."""
    return as_tensor(np.ascontiguousarray(array))
