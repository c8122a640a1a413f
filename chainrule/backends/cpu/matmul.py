"""Matrix products: a register-blocked tile over one packed panel of the right matrix at a time.

Both inputs may be any strided views, so a transposed matrix costs nothing: the left one is read
element by element and broadcast, the right one is packed into a panel of a few vectors' width that
stays in cache. A tile keeps its results in registers over the whole inner length; every element is
one sum in the order of k, whatever the blocking is. Elementwise work on the product, its epilogue,
is done tile by tile: then the product itself need not reach memory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from chainrule.backends.cpu.addressing import address, base, larger, nested_loops, share, smaller
from chainrule.backends.cpu.bodies import Body
from chainrule.backends.cpu.elementwise import ELEMENTWISE
from chainrule.backends.cpu.groups import Group
from chainrule.backends.cpu.ir import SCALARS, Function, Register, constant
from chainrule.backends.cpu.packing import Columns, pack
from chainrule.backends.cpu.target import Target
from chainrule.backends.cpu.views import View

# Panels are packed where the right matrix is used by at least this many rows.
_ROWS_WORTH_PACKING = 24


# A piece takes at least some microseconds: a barrier between threads costs a third of one.
WORK_OF_A_PIECE = 1 << 18
MOST_PIECES = 8
LINE_BYTES = 64


class Division(NamedTuple):
    """Into how many ranges of products, of rows and of columns the work is cut."""

    batch: int
    rows: int
    columns: int


@dataclass(eq=False)
class Matmul:
    """(..., n, k) @ (..., k, m), batch axes already broadcast.

    Attributes:
        left: (..., n, k).
        right: (..., k, m).
        target: (..., n, m), where the product stands; not written if there is an epilogue.
        scope: the layer.
        epilogue: a group over the product's shape that reads it.
        panel: memory for packed panels, one a piece.
    """

    left: View
    right: View
    target: View
    scope: str = ""
    epilogue: Group | None = None
    panel: View = field(init=False)

    def division(self, target: Target) -> Division:
        """How the work is cut; fixed by sizes alone."""
        *batch, n, m = self.target.shape
        k = self.left.shape[-1]
        most = min(MOST_PIECES, math.prod(batch) * n * m * k // WORK_OF_A_PIECE)
        if batch and batch[0] > 1:
            return Division(max(1, min(most, batch[0])), 1, 1)
        panels = -(-m // self.panel_width(target))
        columns = max(1, min(most, panels))
        return Division(1, max(1, min(most // columns, _blocks(n, target.tile[0]))), columns)

    def panel_width(self, target: Target) -> int:
        """The columns of a panel."""
        return target.tile[1] * target.lanes(self.target.dtype)

    def pieces(self, target: Target) -> int:
        """Ranges of products times ranges of rows times ranges of columns."""
        return math.prod(self.division(target))

    def buffers_read(self) -> set[int]:
        """The buffers it reads."""
        read = {self.left.buffer, self.right.buffer}
        if self.epilogue is not None:
            read |= self.epilogue.buffers_read() - {self.target.buffer}
        return read

    def buffers_written(self) -> set[int]:
        """The buffers it writes."""
        written = {self.panel.buffer}
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
        f = Function(name, [("ptr", "buffers"), ("i64", "piece")])
        _Product(f, self, target).emit()
        return f


class _Product:
    """The products of one piece."""

    def __init__(self, f: Function, kernel: Matmul, target: Target) -> None:
        self.f = f
        self.kernel = kernel
        self.dtype = kernel.target.dtype
        self.size = self.dtype.itemsize
        self.scalar = SCALARS[self.dtype.name]
        self.lanes = target.lanes(self.dtype)
        self.masks = target.has_masks
        self.width = kernel.panel_width(target)
        self.n, self.m = kernel.target.shape[-2:]
        self.k = kernel.left.shape[-1]
        self.blocks = _blocks(self.n, target.tile[0])
        self.division = kernel.division(target)
        self.packed = kernel.right.strides[-1] != 1 or self.n >= _ROWS_WORTH_PACKING
        group = kernel.epilogue
        self.views = [kernel.left, kernel.right]
        if group is None:
            self.views.append(kernel.target)
        else:
            self.views += group.all_views()
            self.body = Body(f, group, self.views[2:])
            rows = -(-self.n // max(self.blocks, 1))
            self.product = f.stack(rows * self.width * self.size)

    def emit(self) -> None:
        """Loops over batch axes; for each product panels of columns, then blocks of rows."""
        f, piece = self.f, self.f.arguments[1]
        pointers = [base(f, view) for view in self.views]
        # Each piece packs into a panel of its own.
        panel_bytes = constant(self.k * self.width * self.size, "i64")
        self.panel = f.at(base(f, self.kernel.panel), f.binary("mul", piece, panel_bytes))
        down = constant(self.division.columns, "i64")
        self.column_part = f.binary("urem", piece, down)
        self.row_part = f.binary("udiv", piece, down)
        batch = self.kernel.target.shape[:-2]
        outermost = share(f, piece, self.division.batch, batch[0]) if batch else None
        if self.division.batch > 1:
            self.column_part = self.row_part = constant(0, "i64")
        with nested_loops(f, batch, outermost) as indices:
            self._one(
                [
                    address(f, replace(view, strides=view.strides[: len(batch)]), pointer, indices)
                    for view, pointer in zip(self.views, pointers, strict=True)
                ]
            )

    def _one(self, pointers: list[Register]) -> None:
        f, parts = self.f, self.division.columns
        whole, rest = divmod(self.m, self.width)
        if whole:
            with f.loop(*share(f, self.column_part, parts, whole)) as loop:
                first = f.binary("mul", loop.index, constant(self.width, "i64"))
                self._columns(pointers, first, self.width)
        if rest:
            last = constant(parts - 1, "i64")
            with f.when(f.compare("icmp eq", self.column_part, last)):
                self._columns(pointers, constant(whole * self.width, "i64"), rest)

    def _columns(self, pointers: Sequence[Register], first: Register, width: int) -> None:
        f, right = self.f, self.kernel.right
        pointers = [pointers[0], *(
            self._moved(pointer, view, -1, first)
            for view, pointer in zip(self.views[1:], pointers[1:], strict=True)
        )]  # fmt: skip
        counts = [self.lanes] * (width // self.lanes)
        if width % self.lanes:
            counts.append(width % self.lanes)
        # Panels hold whole vectors; without masks a narrower vector stands for the last columns.
        lanes = [self.lanes] * len(counts) if self.masks else counts
        row_step, column_step = (stride * self.size for stride in right.strides[-2:])
        if self.packed:
            columns = Columns(self.scalar, row_step, column_step, self.k, lanes, counts, self.masks)
            pack(f, columns, pointers[1], self.panel)
            pointers[1], row_step = self.panel, sum(lanes) * self.size
        # Blocks of rows differ by one row at most.
        rows, extra = divmod(self.n, max(self.blocks, 1))
        begin, end = share(f, self.row_part, self.division.rows, self.blocks)
        middle = constant(extra, "i64")
        if extra:
            with f.loop(begin, smaller(f, end, middle)) as loop:
                row = f.binary("mul", loop.index, constant(rows + 1, "i64"))
                self._tile(pointers, row, _Tile(rows + 1, lanes, counts, row_step))
        if rows:
            with f.loop(larger(f, begin, middle), end) as loop:
                row = f.binary("mul", loop.index, constant(rows, "i64"))
                row = f.binary("add", row, middle)
                self._tile(pointers, row, _Tile(rows, lanes, counts, row_step))

    def _moved(self, pointer: Register, view: View, axis: int, index: Register) -> Register:
        step = view.strides[axis] * view.dtype.itemsize
        if step == 0:
            return pointer
        return self.f.at(pointer, self.f.binary("mul", index, constant(step, "i64")))

    def _tile(self, pointers: Sequence[Register], row: Register, tile: _Tile) -> None:
        f = self.f
        moved = [
            self._moved(pointer, view, -2, row)
            for view, pointer in zip(self.views[2:], pointers[2:], strict=True)
        ]
        left = self._moved(pointers[0], self.kernel.left, -2, row)
        row_stride, inner_stride = self.kernel.left.strides[-2:]
        zeros = [constant(0, self.scalar, n) for _ in range(tile.rows) for n in tile.lanes]
        with f.loop(0, self.k, 1, [left, pointers[1], *zeros]) as loop:
            a, b, *sums = loop.values
            if self.kernel.epilogue is not None:
                self._fetch(moved, tile, loop.index)
            columns = [
                self._load_columns(f.at(b, j * self.lanes * self.size), n, count)
                for j, (n, count) in enumerate(zip(tile.lanes, tile.counts, strict=True))
            ]
            new = []
            for i in range(tile.rows):
                x = f.load(f.at(a, i * row_stride * self.size), self.scalar)
                for j, n in enumerate(tile.lanes):
                    total = sums[i * len(tile.lanes) + j]
                    new.append(self._multiply_add(f.splat(x, n), columns[j], total))
            loop.next = [f.at(a, inner_stride * self.size), f.at(b, tile.right_step), *new]
        if self.kernel.epilogue is None:
            self._write(moved[0], self.m, tile, loop.results[2:], tile.counts)
        else:
            width = sum(tile.lanes)
            self._write(self.product, width, tile, loop.results[2:], tile.lanes)
            self._finish(self.kernel.epilogue, moved, tile)

    def _fetch(self, pointers: Sequence[Register], tile: _Tile, index: Register) -> None:
        """Fetch what the epilogue will read, a little in each trip of the inner loop.

        These are short lines far apart, which no processor foresees, and many at once would fill
        its queue of misses.
        """
        f = self.f
        near = [
            (view, pointer)
            for view, pointer in zip(self.views[2:], pointers, strict=True)
            if view != self.kernel.target and view.strides[-2] and view.strides[-1] == 1
        ]
        if not near or self.k < tile.rows:
            return
        # Trip t fetches from row t * rows / k, of its lines one after the other.
        row = f.binary("mul", index, constant((tile.rows << 16) // self.k, "i64"))
        row = f.binary("lshr", row, constant(16, "i64"))
        odd = f.binary("and", index, constant(1, "i64"))
        for view, pointer in near:
            line = self._moved(pointer, view, -2, row)
            if sum(tile.counts) * view.dtype.itemsize > LINE_BYTES:
                line = f.at(line, f.binary("mul", odd, constant(LINE_BYTES, "i64")))
            f.prefetch(line)

    def _write(
        self, target: Register, row_length: int, tile: _Tile, sums: Sequence[Register],
        counts: Sequence[int],
    ) -> None:  # fmt: skip
        f = self.f
        for i in range(tile.rows):
            for j, count in enumerate(counts):
                where = f.at(target, (i * row_length + j * self.lanes) * self.size)
                f.store_part(sums[i * len(counts) + j], where, count)

    def _finish(self, group: Group, pointers: Sequence[Register], tile: _Tile) -> None:
        """The epilogue over a tile whose product lies in this call's memory."""
        f, width = self.f, sum(tile.lanes) * self.size
        views = self.views[2:]
        steps = [view.strides[-1] for view in views]
        product = list(group.leaves.values()).index(self.kernel.target)
        with f.loop(0, tile.rows) as loop:
            line = [
                self._moved(pointer, view, -2, loop.index)
                for view, pointer in zip(views, pointers, strict=True)
            ]
            offset = f.binary("mul", loop.index, constant(width, "i64"))
            line[product] = f.at(self.product, offset)
            for j, (lanes, count) in enumerate(zip(tile.lanes, tile.counts, strict=True)):
                at = [
                    f.at(pointer, j * self.lanes * step * view.dtype.itemsize)
                    for pointer, step, view in zip(line, steps, views, strict=True)
                ]
                self.body.emit(at, steps, lanes, count)

    def _load_columns(self, pointer: Register, lanes: int, count: int) -> Register:
        if self.packed:
            return self.f.load(pointer, self.scalar, lanes)
        return self.f.load_part(pointer, self.scalar, lanes, count)

    def _multiply_add(self, x: Register, y: Register, z: Register) -> Register:
        if self.dtype.kind == "f":
            return self.f.fma(x, y, z)
        product = ELEMENTWISE["multiply"](self.f, self.dtype, {}, x, y)
        return ELEMENTWISE["add"](self.f, self.dtype, {}, product, z)


class _Tile(NamedTuple):
    """The form of a tile.

    Attributes:
        rows: how many.
        lanes: the vectors of a row.
        counts: how many lanes of each are columns of the product.
        right_step: bytes from one row of the right matrix to the next.
    """

    rows: int
    lanes: list[int]
    counts: list[int]
    right_step: int


def _blocks(rows: int, most: int) -> int:
    """The number of blocks of at most so many rows."""
    return -(-rows // most)
