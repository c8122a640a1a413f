"""The code of a contraction: panels of columns, tiles of rows, sums in registers, epilogue."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from chainrule.backends.cpu.addressing import address, base, nested_loops, share, smaller
from chainrule.backends.cpu.elementwise import ELEMENTWISE
from chainrule.backends.cpu.epilogue_code import LINE_BYTES, Epilogue, Tile, moved
from chainrule.backends.cpu.ir import SCALARS, Function, Register, constant
from chainrule.backends.cpu.packing import Columns, pack
from chainrule.backends.cpu.target import Target
from chainrule.backends.cpu.views import Shape, View, merge_axes

if TYPE_CHECKING:
    from chainrule.backends.cpu.contraction import Contraction

# The rows of the right side that are fetched before they are read.
_ROWS_AHEAD = 8


class Product:
    """The work of one piece."""

    def __init__(self, f: Function, kernel: Contraction, target: Target) -> None:
        self.f = f
        self.kernel = kernel
        self.dtype = kernel.target.dtype
        self.size = self.dtype.itemsize
        self.scalar = SCALARS[self.dtype.name]
        self.lanes = target.lanes(self.dtype)
        self.masks = target.has_masks
        self.width = kernel.panel_width(target)
        self.division = kernel.division(target)
        self.blocks = kernel.blocks(target)
        self.tiles = kernel.tiles(target)
        self.chunk = kernel.chunk
        self.inner, self.inner_strides = self._inner_axes()
        self.epilogue = None if kernel.epilogue is None else Epilogue(f, kernel, target)
        self.overlaps = self.epilogue is not None and self.epilogue.overlaps
        # The views over rows: the left side, then the target or what the epilogue touches.
        self.right = kernel.right
        self.results = [kernel.target] if self.epilogue is None else self.epilogue.views

    def emit(self) -> None:
        """Loops over batches and over parts of the outermost summed axis."""
        f, kernel, piece = self.f, self.kernel, self.f.arguments[1]
        views = [kernel.left, self.right, *self.results]
        pointers = [base(f, view) for view in views]
        if kernel.panel is not None:
            # Each piece packs into a panel of its own.
            depth = kernel.depth // max(kernel.inner[0], 1) * self.chunk
            step = constant(depth * self.width * self.size, "i64")
            self.panel = f.at(base(f, kernel.panel), f.binary("mul", piece, step))
        if kernel.table is not None:
            self.table = base(f, kernel.table)
        down = constant(self.division.columns, "i64")
        self.column_part = f.binary("urem", piece, down)
        self.row_part = f.binary("udiv", piece, down)
        batch = kernel.batch
        outermost = share(f, piece, self.division.batch, batch[0]) if batch else None
        if self.epilogue is not None:
            self.epilogue.begin(self.row_part)
        if self.division.batch > 1:
            self.column_part = self.row_part = constant(0, "i64")
        with nested_loops(f, batch, outermost) as indices:
            here = [
                address(f, replace(view, strides=view.strides[: len(batch)]), pointer, indices)
                for view, pointer in zip(views, pointers, strict=True)
            ]
            self._parts(here)

    def _parts(self, pointers: list[Register]) -> None:
        """The outermost summed axis in parts, each added to what those before have left."""
        f, kernel = self.f, self.kernel
        self.first = self.start = None
        length = kernel.inner[0]
        self.stop = constant(length, "i64")
        if self.chunk == length:
            self._panels(pointers)
            return
        with f.loop(0, length, self.chunk) as loop:
            self.first = f.compare("icmp eq", loop.index, constant(0, "i64"))
            end = f.binary("sub", constant(length, "i64"), loop.index)
            self.stop = smaller(f, end, constant(self.chunk, "i64"))
            left = moved(f, pointers[0], kernel.left, self._inner_axis(0), loop.index)
            right = moved(f, pointers[1], self.right, kernel.batch_axes, loop.index)
            self._panels([left, right, *pointers[2:]])

    def _inner_axes(self) -> tuple[Shape, Shape]:
        """The summed axes as tiles go through them: the lengths, and the steps of the left side.

        In packed panels the right side has no gaps: what the left side steps through evenly is one
        axis.
        """
        kernel = self.kernel
        lengths, strides = kernel.inner, kernel.left.strides[self._inner_axis(0) :]
        if kernel.panel is None or 0 in lengths:
            return lengths, strides
        apart = 0 if self.chunk == lengths[0] else 1
        merged, (steps,) = merge_axes(lengths[apart:], [strides[apart:]])
        lengths, strides = (*lengths[:apart], *merged), (*strides[:apart], *steps)
        return (lengths, strides) if lengths else ((1,), (0,))

    def _inner_axis(self, number: int) -> int:
        return self.kernel.batch_axes + self.kernel.row_axes + number

    def _panels(self, pointers: list[Register]) -> None:
        f, parts = self.f, self.division.columns
        whole, rest = divmod(self.kernel.columns, self.width)
        if self.epilogue is not None and self.overlaps:
            self.epilogue.nothing_waits()
        if whole:
            with f.loop(*share(f, self.column_part, parts, whole)) as loop:
                first = f.binary("mul", loop.index, constant(self.width, "i64"))
                self._panel(pointers, first, self.width)
            self._finish_last(self.width)
        if rest:
            last = constant(parts - 1, "i64")
            with f.when(f.compare("icmp eq", self.column_part, last)):
                self._panel(pointers, constant(whole * self.width, "i64"), rest)
                self._finish_last(rest)

    def _finish_last(self, width: int) -> None:
        """The epilogue of the last tile of some panels."""
        if self.epilogue is not None and self.overlaps:
            self.epilogue.finish_waiting(Tile(1, self.epilogue.rows, *self._vectors(width)))

    def _vectors(self, width: int) -> tuple[list[int], list[int]]:
        """The lanes of so many columns' vectors, and how many of each are columns.

        Panels hold whole vectors; without masks a narrower vector stands for the last columns.
        """
        counts = [self.lanes] * (width // self.lanes)
        if width % self.lanes:
            counts.append(width % self.lanes)
        return [self.lanes] * len(counts) if self.masks else counts, counts

    def _panel(self, pointers: Sequence[Register], first: Register, width: int) -> None:
        """Some columns: the right side packed, then tiles of rows."""
        f = self.f
        left, right, *results = pointers
        right = moved(f, right, self.right, -1, first)
        results = [
            moved(f, pointer, view, -1, first)
            for view, pointer in zip(self.results, results, strict=True)
        ]
        lanes, counts = self._vectors(width)
        source, inner = right, self.inner
        steps = source_steps = [
            step * self.size for step in self.right.strides[self.kernel.batch_axes : -1]
        ]
        if self.kernel.panel is not None:
            if not self.packs_along:
                self._pack(right, lanes, counts)
            right = self.panel
            size = sum(lanes) * self.size
            steps = [size * math.prod(inner[axis + 1 :]) for axis in range(len(inner))]
        self.right_steps: Sequence[Register | int] = steps
        blocks = self.blocks
        tile = Tile(1, self.blocks.rows, lanes, counts)
        totals = [] if self.epilogue is None else self.epilogue.totals(first, tile)
        begin, end = share(f, self.row_part, self.division.rows, self.tiles)
        with f.loop(begin, end) as loop:
            if self.packs_along:
                self.is_first = f.compare("icmp eq", loop.index, begin)
                right = f.select(self.is_first, source, self.panel)
                far, near = (constant(step[0], "i64") for step in (source_steps, steps))
                self.right_steps = [f.select(self.is_first, far, near)]
            block, outer = self._place(loop.index)
            long = f.compare("icmp slt", block, constant(blocks.longer, "i64"))
            row = f.binary("mul", block, constant(blocks.rows, "i64"))
            row = f.binary("add", row, smaller(f, block, constant(blocks.longer, "i64")))
            views, places = [self.kernel.left, *self.results], [left, *results]
            here = [
                self._row(pointer, view, outer, row)
                for view, pointer in zip(views, places, strict=True)
            ]
            for number, (rows, chosen) in enumerate(self._forms(long)):
                self.may_be_first = number == 0 or self.division.rows > 1
                lines, length = (rows, blocks.length) if blocks.axis == -2 else (1, rows)
                tile = Tile(lines, length, lanes, counts)
                if chosen is None:
                    self._tile(here[0], right, [*here[1:], *totals], tile)
                else:
                    with f.when(chosen):
                        self._tile(here[0], right, [*here[1:], *totals], tile)

    def _forms(self, long: Register) -> list[tuple[int, Register | None]]:
        """The heights of blocks, and when a block has which."""
        blocks = self.blocks
        if not blocks.longer:
            return [(blocks.rows, None)]
        short = self.f.binary("xor", long, constant(1, "i1"))
        return [(blocks.rows + 1, long), (blocks.rows, short)]

    def _place(self, tile: Register) -> tuple[Register, list[Register]]:
        """The block of a tile, and its place along the row axes before."""
        f = self.f
        outer = []
        lengths = [*self.kernel.rows[: self.blocks.axis], self.blocks.count]
        for length in reversed(lengths[1:]):
            bound = constant(length, "i64")
            outer.append(f.binary("urem", tile, bound))
            tile = f.binary("udiv", tile, bound)
        outer.append(tile)
        return outer[0], outer[:0:-1]

    def _row(
        self, pointer: Register, view: View, outer: Sequence[Register], begin: Register
    ) -> Register:
        f, first = self.f, self.kernel.batch_axes
        axis = first + self.kernel.row_axes + self.blocks.axis
        for number, index in enumerate(outer):
            pointer = moved(f, pointer, view, first + number, index)
        return moved(f, pointer, view, axis, begin)

    # ---- packing

    @property
    def packs_along(self) -> bool:
        """Whether the first tile of some columns reads the right side where it stands and leaves
        what it has read in the panel, for the tiles after it.
        """
        kernel = self.kernel
        simple = len(kernel.inner) == 1 and kernel.right.strides[-1] == 1
        return kernel.panel is not None and simple and kernel.columns >= self.width

    def _leave(self, right: Register, columns: Sequence[Register], index: Register) -> None:
        """Leave a row of the right side in the panel, if this tile is the first."""
        f = self.f
        width = sum(x.lanes for x in columns) * self.size
        ahead = _ROWS_AHEAD * self.right.strides[-2] * self.size
        with f.when(self.is_first):
            row = f.at(self.panel, f.binary("mul", index, constant(width, "i64")))
            for j, x in enumerate(columns):
                f.store(x, f.at(row, j * self.lanes * self.size))
            for offset in range(0, width, LINE_BYTES):
                f.prefetch(f.at(right, ahead + offset))

    def _pack(self, right: Register, lanes: Sequence[int], counts: Sequence[int]) -> None:
        """All inner axes of some columns, one row of the panel after the other."""
        f, inner = self.f, self.kernel.inner
        strides = self.right.strides[self.kernel.batch_axes :]
        width = sum(lanes) * self.size
        *outer, last = inner
        bounds = (0, self.stop) if outer else None
        with nested_loops(f, outer, bounds) as indices:
            target = self.panel
            for number, index in enumerate(indices):
                step = width * math.prod(inner[number + 1 :])
                target = f.at(target, f.binary("mul", index, constant(step, "i64")))
                move = constant(strides[number] * self.size, "i64")
                right = f.at(right, f.binary("mul", index, move))
            steps = strides[-2] * self.size, strides[-1] * self.size
            columns = Columns(self.scalar, *steps, last, lanes, counts, self.masks)
            pack(f, columns, right, target)

    # ---- tiles

    def _tile(
        self, left: Register, right: Register, results: Sequence[Register], tile: Tile
    ) -> None:
        sums = self._sums(left, right, results, tile)
        if self.epilogue is None:
            self._write(results[0], self._offsets(self.results[0], tile), tile.counts, sums)
            return
        row = sum(tile.lanes) * self.size
        places = [i * row for i in range(tile.lines * tile.length)]
        self._write(self.epilogue.product, places, tile.lanes, sums)
        if self.overlaps:
            self.epilogue.wait(results, tile)
        else:
            self.epilogue.finish(results, tile)

    def _offsets(self, view: View, tile: Tile) -> list[int]:
        """The byte offsets of a tile's rows in a view."""
        rows = self.kernel.batch_axes + self.kernel.row_axes
        line = view.strides[rows - 2] if tile.lines > 1 else 0
        step = view.strides[rows - 1]
        return [
            (i * line + j * step) * view.dtype.itemsize
            for i in range(tile.lines)
            for j in range(tile.length)
        ]

    def _sums(
        self, left: Register, right: Register, results: Sequence[Register], tile: Tile
    ) -> Sequence[Register]:
        """The tile's sums: loops over the inner axes around one step of all multiplications."""
        f, kernel = self.f, self.kernel
        sums = [
            constant(0, self.scalar, n) for _ in range(tile.lines * tile.length) for n in tile.lanes
        ]
        if self.first is not None:
            sums = self._before(results[0], tile, sums)
        offsets = self._offsets(kernel.left, tile)
        if self.epilogue is not None and self.overlaps:
            return self._sums_and_rows(self.epilogue, (left, right, *results), sums, tile)
        if kernel.table is not None:
            with f.loop(0, kernel.depth, 1, [right, *sums]) as loop:
                b, *now = loop.values
                eight = f.binary("mul", loop.index, constant(8, "i64"))
                a = f.at(left, f.load(f.at(self.table, eight), "i64"))
                now = self._step(a, b, now, offsets, tile, loop.index)
                loop.next = [f.at(b, self.right_steps[-1]), *now]
            return loop.results[1:]
        return self._inner_loops(0, (left, right), sums, offsets, tile)

    def _sums_and_rows(
        self, epilogue: Epilogue, places: Sequence[Register], sums: Sequence[Register], tile: Tile
    ) -> Sequence[Register]:
        """The tile's sums; after some steps each a row of the tile before is finished."""
        f, kernel, most = self.f, self.kernel, epilogue.rows
        left, right, *results = places
        offsets = self._offsets(kernel.left, tile)
        left_step = kernel.left.strides[-1] * self.size
        each, end = constant(kernel.depth // most, "i64"), constant(kernel.depth, "i64")
        waiting = epilogue.waiting()
        with f.loop(0, most, 1, [left, right, *sums]) as row:
            with f.when(f.compare("icmp slt", row.index, waiting[0])):
                epilogue.finish_waiting_row(row.index, waiting, tile)
            epilogue.fetch(results, row.index, tile)
            first = f.binary("mul", row.index, each)
            final = f.compare("icmp eq", row.index, constant(most - 1, "i64"))
            stop = f.select(final, end, f.binary("add", first, each))
            with f.loop(first, stop, 1, row.values) as loop:
                a, b, *now = loop.values
                now = self._step(a, b, now, offsets, tile, loop.index)
                loop.next = [f.at(a, left_step), f.at(b, self.right_steps[0]), *now]
            row.next = loop.results
        return row.results[2:]

    def _inner_loops(
        self, axis: int, places: tuple[Register, Register],
        sums: Sequence[Register], offsets: Sequence[int], tile: Tile,
    ) -> Sequence[Register]:  # fmt: skip
        f, inner = self.f, self.inner
        left, right = places
        step = self.inner_strides[axis] * self.size
        stop = self.stop if axis == 0 and self.chunk < self.kernel.inner[0] else inner[axis]
        with f.loop(0, stop, 1, [left, right, *sums]) as loop:
            a, b, *now = loop.values
            if axis == len(inner) - 1:
                now = self._step(a, b, now, offsets, tile, loop.index)
            else:
                now = [*self._inner_loops(axis + 1, (a, b), now, offsets, tile)]
            loop.next = [f.at(a, step), f.at(b, self.right_steps[axis]), *now]
        return loop.results[2:]

    def _step(
        self, left: Register, right: Register, sums: Sequence[Register], offsets: Sequence[int],
        tile: Tile, index: Register,
    ) -> list[Register]:  # fmt: skip
        """One product for every element of the tile, with row ``index`` of the right side."""
        f = self.f
        columns = [
            self._load_columns(f.at(right, j * self.lanes * self.size), n, count)
            for j, (n, count) in enumerate(zip(tile.lanes, tile.counts, strict=True))
        ]
        if self.packs_along and self.may_be_first:
            self._leave(right, columns, index)
        new = []
        for i, offset in enumerate(offsets):
            x = f.load(f.at(left, offset), self.scalar)
            for j, n in enumerate(tile.lanes):
                total = sums[i * len(tile.lanes) + j]
                new.append(self._multiply_add(f.splat(x, n), columns[j], total))
        return new

    def _before(self, target: Register, tile: Tile, zeros: Sequence[Register]) -> list[Register]:
        """What the parts before have left in the target; in the first part, zeros."""
        f = self.f
        assert self.first is not None
        sums, offsets = [], self._offsets(self.results[0], tile)
        for i, offset in enumerate(offsets):
            for j, (n, count) in enumerate(zip(tile.lanes, tile.counts, strict=True)):
                place = f.at(target, offset + j * self.lanes * self.size)
                x = f.load_part(place, self.scalar, n, count)
                sums.append(f.select(self.first, zeros[i * len(tile.lanes) + j], x))
        return sums

    def _write(
        self, target: Register, offsets: Sequence[int], counts: Sequence[int],
        sums: Sequence[Register],
    ) -> None:  # fmt: skip
        f = self.f
        for i, offset in enumerate(offsets):
            for j, count in enumerate(counts):
                where = f.at(target, offset + j * self.lanes * self.size)
                f.store_part(sums[i * len(counts) + j], where, count)

    def _load_columns(self, pointer: Register, lanes: int, count: int) -> Register:
        if self.kernel.panel is not None and not self.packs_along:
            return self.f.load(pointer, self.scalar, lanes)
        return self.f.load_part(pointer, self.scalar, lanes, count)

    def _multiply_add(self, x: Register, y: Register, z: Register) -> Register:
        if self.dtype.kind == "f":
            return self.f.fma(x, y, z)
        product = ELEMENTWISE["multiply"](self.f, self.dtype, {}, x, y)
        return ELEMENTWISE["add"](self.f, self.dtype, {}, product, z)
