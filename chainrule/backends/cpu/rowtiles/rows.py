"""Kernels as work on rows: how each steps through its buffers along one long axis of rows."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from chainrule.backends.cpu.bodies import divides_integers
from chainrule.backends.cpu.groups import Group, Reduction
from chainrule.backends.cpu.matmul import Matmul
from chainrule.backends.cpu.views import View, merge_axes
from chainrule.graph.graph import Value

MOST_FEATURES = 64


class Access(NamedTuple):
    """How a row kernel reads or writes a buffer: row r's feature f stands at element
    ``offset + r * pitch + f * step``. Pitch 0: the same for all rows.
    """

    buffer: int
    dtype: np.dtype[Any]
    pitch: int
    step: int
    offset: int
    features: int

    @property
    def last(self) -> int:
        """Where the last feature of row 0 stands."""
        return self.offset + self.step * (self.features - 1)

    @property
    def is_inside_a_row(self) -> bool:
        """Whether all features of a row stand between its first element and the next row's."""
        low, high = sorted((self.offset, self.last))
        return low >= 0 and high < self.pitch and high - low < MOST_FEATURES


@dataclass(eq=False)
class RowGroup:
    """A group as work on rows: ``features`` times the same on each row."""

    group: Group
    features: int
    leaves: dict[Value, Access]
    stores: dict[Value, Access]
    features_reduced: dict[Reduction, Access] = field(default_factory=dict)
    rows_reduced: dict[Reduction, Access] = field(default_factory=dict)

    @property
    def reads(self) -> list[Access]:
        """What it reads."""
        return list(self.leaves.values())

    @property
    def writes(self) -> list[Access]:
        """What it writes: values of each row and sums over rows."""
        return [*self.stores.values(), *self.features_reduced.values(), *self.rows_reduced.values()]

    @property
    def work(self) -> int:
        """Operations for a row."""
        return self.features * max(len(self.group.nodes), 1)


@dataclass(eq=False)
class RowProduct:
    """(rows, k) @ (k, m), where the right matrix is the same for all rows."""

    left: Access
    right: View
    target: Access

    @property
    def reads(self) -> list[Access]:
        """What it reads."""
        right = self.right
        return [self.left, Access(right.buffer, right.dtype, 0, 0, right.offset, 1)]

    @property
    def writes(self) -> list[Access]:
        """What it writes."""
        return [self.target]

    @property
    def work(self) -> int:
        """Operations for a row."""
        return self.left.features * self.target.features


@dataclass(eq=False)
class RowGradient:
    """(k, rows) @ (rows, m): a sum over rows of the products of two features."""

    left: Access
    right: Access
    target: View

    @property
    def reads(self) -> list[Access]:
        """What it reads."""
        return [self.left, self.right]

    @property
    def writes(self) -> list[Access]:
        """What it writes."""
        target = self.target
        return [Access(target.buffer, target.dtype, 0, 1, target.offset, 1)]

    @property
    def work(self) -> int:
        """Operations for a row."""
        return self.left.features * self.right.features


RowKernel = RowGroup | RowProduct | RowGradient


def as_row_kernel(kernel: object, rows: int) -> RowKernel | None:
    """A kernel as work on this many rows, if it is that."""
    found: RowKernel | None = None
    if isinstance(kernel, Group):
        found = _row_group(kernel, rows)
    elif isinstance(kernel, Matmul):
        found = _row_matmul(kernel, rows)
    if found is None:
        return None
    moving = [access for access in (*found.reads, *found.writes) if access.pitch]
    return found if moving and all(access.is_inside_a_row for access in moving) else None


def _row_group(group: Group, rows: int) -> RowGroup | None:
    axes = [axis for axis, length in enumerate(group.shape) if length == rows]
    if len(axes) != 1 or 0 in group.shape or any(map(divides_integers, group.nodes.values())):
        return None
    axis = axes[0]
    if any(
        axis in r.node.attributes["axes"] and r.target.dtype.kind == "b" for r in group.reductions
    ):
        return None

    def without_rows(values: tuple[int, ...]) -> tuple[int, ...]:
        return values[:axis] + values[axis + 1 :]

    views = group.all_views()
    features = math.prod(without_rows(group.shape))
    steps = [without_rows(view.strides) for view in views]
    merged, merged_steps = merge_axes(without_rows(group.shape), steps)
    if len(merged) > 1 or features > MOST_FEATURES:
        return None
    accesses = [
        Access(v.buffer, v.dtype, v.strides[axis], step[0] if step else 0, v.offset, features)
        for v, step in zip(views, merged_steps, strict=True)
    ]
    first = len(group.leaves)
    result = RowGroup(
        group,
        features,
        dict(zip(group.leaves, accesses, strict=False)),
        dict(zip(group.stores, accesses[first:], strict=False)),
    )
    if any(access.pitch <= 0 for access in result.stores.values()):
        return None
    for reduction, access in zip(
        group.reductions, accesses[first + len(group.stores) :], strict=True
    ):
        over_rows = axis in reduction.node.attributes["axes"]
        (result.rows_reduced if over_rows else result.features_reduced)[reduction] = access
    return result


def _row_matmul(kernel: Matmul, rows: int) -> RowProduct | RowGradient | None:
    left, right, target = kernel.left, kernel.right, kernel.target
    if len(target.shape) != 2 or target.dtype.kind != "f":
        return None
    (n, m), k = target.shape, left.shape[1]
    if n == rows and 0 < k <= MOST_FEATURES and 0 < m <= MOST_FEATURES:
        product = RowProduct(_matrix(left, 0), right, _matrix(target, 0))
        return product if product.left.pitch > 0 else None
    if k == rows and 0 < n <= MOST_FEATURES and 0 < m <= MOST_FEATURES:
        gradient = RowGradient(_matrix(left, 1), _matrix(right, 0), target)
        return gradient if gradient.left.pitch > 0 and gradient.right.pitch > 0 else None
    return None


def _matrix(view: View, axis: int) -> Access:
    features = view.shape[1 - axis]
    step = view.strides[1 - axis] if features > 1 else 0
    return Access(view.buffer, view.dtype, view.strides[axis], step, view.offset, features)
