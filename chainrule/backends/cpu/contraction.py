"""Sums of products of two views: matrix products and convolutions, by one register-blocked tile.

``target[b, r, m] = sum over i of left[b, r, i] * right[b, i, m]``, where b, r and i may each be
several axes. Both inputs may be any strided views: a transposed matrix or a sliding window costs
nothing. The left one is read element by element and broadcast; the right one is packed into a panel
of a few vectors' width that stays in cache, unless it is a narrow matrix already. A tile keeps its
results in registers over all of i; every element is one sum in the order of i, whatever the
blocking is. Elementwise work on the result, the epilogue, is done tile by tile: then the result
itself need not reach memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from chainrule.backends.cpu.addressing import kernel_function
from chainrule.backends.cpu.contraction_code import Product
from chainrule.backends.cpu.groups import Group
from chainrule.backends.cpu.ir import Function
from chainrule.backends.cpu.target import Target
from chainrule.backends.cpu.views import Shape, View

# Panels are packed where the right side is used by at least this many rows.
_ROWS_WORTH_PACKING = 24
# Rows of the right side so short, in bytes, are as good as packed ones.
_NARROW = 512
# What all tiles read of one part of the outermost summed axis stays in the second-level cache.
_NEAR_BYTES = 384 << 10
# A shorter innermost loop is not worth its ends: its places come from a table then.
_SHORT = 16
# A piece takes at least some microseconds: a barrier between threads costs a third of one.
WORK_OF_A_PIECE = 1 << 18
MOST_PIECES = 8


class Division(NamedTuple):
    """Into how many ranges of batches, of rows and of columns the work is cut."""

    batch: int
    rows: int
    columns: int


@dataclass(frozen=True)
class Blocks:
    """How rows are cut into tiles: along one axis, evenly; axes after it are taken whole.

    Attributes:
        axis: -1 or -2, counted among the row axes.
        count: the number of blocks along it.
        rows: the shortest block.
        longer: how many blocks, the first ones, have one more.
        length: of the axis after it, else 1.
    """

    axis: int
    count: int
    rows: int
    longer: int
    length: int


@dataclass(eq=False)
class Contraction:
    """A sum of products over the inner axes.

    Attributes:
        left: (*batch, *rows, *inner).
        right: (*batch, *inner, m).
        target: (*batch, *rows, m): where the result stands; not written if there is an epilogue.
        batch_axes, row_axes: how many; the other axes of ``left`` are inner ones.
        scope: the layer.
        epilogue: a group over the result's elements that reads it.
        panel: memory for packed panels, one a piece; None where nothing is packed.
        table: the byte offsets of the inner elements of the left side, where they come from memory.
    """

    left: View
    right: View
    target: View
    batch_axes: int
    row_axes: int
    scope: str = ""
    epilogue: Group | None = None
    panel: View | None = None
    table: View | None = None
    batch: Shape = field(init=False)
    rows: Shape = field(init=False)
    inner: Shape = field(init=False)
    columns: int = field(init=False)

    def __post_init__(self) -> None:
        shape, middle = self.left.shape, self.batch_axes + self.row_axes
        self.batch, self.rows, self.inner = (
            shape[: self.batch_axes], shape[self.batch_axes : middle], shape[middle:]
        )  # fmt: skip
        self.columns = self.target.shape[-1]

    # ---- how it is cut, fixed by sizes alone

    @property
    def depth(self) -> int:
        """How many products are added up for one element."""
        return math.prod(self.inner)

    @property
    def most_pieces(self) -> int:
        """Into how many pieces there is work enough to be cut."""
        work = math.prod(self.batch) * math.prod(self.rows) * self.columns * self.depth
        return min(MOST_PIECES, work // WORK_OF_A_PIECE)

    def blocks(self, target: Target) -> Blocks:
        """How the rows are cut into tiles."""
        most, last = target.tile[0], self.rows[-1]
        axis, length = -1, 1
        if len(self.rows) > 1 and 0 < 2 * last <= most:
            axis, length = -2, last
        along = self.rows[axis]
        count = -(-along // (most // length))
        rows, longer = divmod(along, max(count, 1))
        return Blocks(axis, count, rows, longer, length)

    def tiles(self, target: Target) -> int:
        """The number of tiles one below the other."""
        blocks = self.blocks(target)
        return math.prod(self.rows[: blocks.axis]) * blocks.count

    def division(self, target: Target) -> Division:
        """How the work is cut into pieces."""
        most = self.most_pieces
        if self.batch and self.batch[0] > 1:
            return Division(max(1, min(most, self.batch[0])), 1, 1)
        panels = -(-self.columns // self.panel_width(target))
        if len(self.rows) > 1 and self.rows[0] >= most > 1:
            return Division(1, most, 1)
        columns = max(1, min(most, panels))
        return Division(1, max(1, min(most // columns, self.tiles(target))), columns)

    def row_parts(self, target: Target) -> int:
        """Into how many ranges the rows are cut."""
        return self.division(target).rows

    def pieces(self, target: Target) -> int:
        """Ranges of batches times ranges of rows times ranges of columns."""
        return math.prod(self.division(target))

    def panel_width(self, target: Target) -> int:
        """The columns of a panel."""
        return target.tile[1] * target.lanes(self.target.dtype)

    @property
    def is_packed(self) -> bool:
        """Whether the right side is copied into panels."""
        step = self.right.strides[-2] * self.right.dtype.itemsize
        if self.right.strides[-1] != 1 or self.needs_table:
            return True
        narrow = abs(step) <= _NARROW and step % 64 == 0
        return math.prod(self.rows) >= _ROWS_WORTH_PACKING and not narrow

    @property
    def needs_table(self) -> bool:
        """Whether the innermost of several summed axes is short."""
        several = len(self.inner) > 1 and self.inner[-1] < _SHORT
        return several and self.depth <= 4096

    @property
    def chunk(self) -> int:
        """How much of the outermost summed axis is gone through at a time."""
        if len(self.inner) < 2 or self.needs_table:
            return self.inner[0]
        first = self.batch_axes + self.row_axes
        steps = abs(self.left.strides[first]), abs(self.right.strides[self.batch_axes])
        near = _NEAR_BYTES // max(1, sum(steps) * self.target.dtype.itemsize)
        return min(self.inner[0], max(1, near))

    def offsets(self) -> list[int]:
        """The byte offsets of the inner elements of the left side."""
        strides = self.left.strides[self.batch_axes + self.row_axes :]
        places = np.indices(self.inner).reshape(len(self.inner), -1).T @ np.array(strides)
        return [int(place) * self.left.dtype.itemsize for place in places]

    # ---- the epilogue

    def may_finish(self, group: Group) -> bool:
        """Whether a group can run tile by tile: all it touches is seen from rows and columns."""
        whole = self.chunk == self.inner[0] if self.inner else True
        return whole and self.seen_from_tiles(group) is not None

    def seen_from_tiles(self, group: Group) -> list[View] | None:
        """The views of a group in the shape of the target, or None if they have no such shape."""
        return group.seen_in(self.target.shape)

    # ---- memory

    def buffers_read(self) -> set[int]:
        """The buffers it reads."""
        read = {self.left.buffer, self.right.buffer}
        if self.table is not None:
            read.add(self.table.buffer)
        if self.epilogue is not None:
            read |= self.epilogue.buffers_read() - {self.target.buffer}
        return read

    def buffers_written(self) -> set[int]:
        """The buffers it writes."""
        written = set() if self.panel is None else {self.panel.buffer}
        if self.epilogue is None:
            return written | {self.target.buffer}
        return written | self.epilogue.buffers_written()

    def updates(self, source: int, target: int) -> bool:
        """As its epilogue does."""
        if self.epilogue is None or source in (self.left.buffer, self.right.buffer):
            return False
        return self.epilogue.updates(source, target)

    def emit(self, name: str, target: Target) -> Function:
        """The kernel's function ``(buffers, piece)``."""
        f = kernel_function(name)
        Product(f, self, target).emit()
        return f
