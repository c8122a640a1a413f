"""The code of a contraction: panels of columns, tiles of rows, sums in registers, epilogue."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from chainrule.backends.cpu.addressing import address, base, nested_loops, share, smaller
from chainrule.backends.cpu.bodies import Body
from chainrule.backends.cpu.elementwise import ELEMENTWISE
from chainrule.backends.cpu.groups import Group
from chainrule.backends.cpu.ir import SCALARS, Function, Register, constant
from chainrule.backends.cpu.packing import Columns, pack
from chainrule.backends.cpu.target import Target
from chainrule.backends.cpu.views import View

if TYPE_CHECKING:
    from chainrule.backends.cpu.contraction import Contraction

LINE_BYTES = 64


class Tile(NamedTuple):
    """The form of a tile.

    Attributes:
        lines, length: its rows, as so many lines of some length along two row axes.
        lanes: the vectors of a row.
        counts: how many lanes of each are columns of the result.
    """

    lines: int
    length: int
    lanes: Sequence[int]
    counts: Sequence[int]


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
        group = kernel.epilogue
        # The views over rows: the left side, then the target or what the epilogue touches.
        self.right = kernel.right
        self.results = [kernel.target]
        if group is not None:
            self.results = kernel.seen_from_tiles(group) or []
            self.body = Body(f, group, self.results)
            rows = (self.blocks.rows + 1) * self.blocks.length
            self.product = f.stack(rows * self.width * self.size)
        self.totals: list[Register] = []

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
        if kernel.epilogue is not None:
            # Each range of rows adds up sums over the rows in a place of its own.
            for reduction in kernel.epilogue.reductions:
                size = kernel.columns * reduction.target.dtype.itemsize
                part = f.binary("mul", self.row_part, constant(size, "i64"))
                self.totals.append(f.at(base(f, reduction.target), part))
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
            left = self._moved(pointers[0], kernel.left, self._inner_axis(0), loop.index)
            right = self._moved(pointers[1], self.right, kernel.batch_axes, loop.index)
            self._panels([left, right, *pointers[2:]])

    def _inner_axis(self, number: int) -> int:
        return self.kernel.batch_axes + self.kernel.row_axes + number

    def _panels(self, pointers: list[Register]) -> None:
        f, parts = self.f, self.division.columns
        whole, rest = divmod(self.kernel.columns, self.width)
        if whole:
            with f.loop(*share(f, self.column_part, parts, whole)) as loop:
                first = f.binary("mul", loop.index, constant(self.width, "i64"))
                self._panel(pointers, first, self.width)
        if rest:
            last = constant(parts - 1, "i64")
            with f.when(f.compare("icmp eq", self.column_part, last)):
                self._panel(pointers, constant(whole * self.width, "i64"), rest)

    def _panel(self, pointers: Sequence[Register], first: Register, width: int) -> None:
        """Some columns: the right side packed, then tiles of rows."""
        f = self.f
        left, right, *results = pointers
        right = self._moved(right, self.right, -1, first)
        results = [
            self._moved(pointer, view, -1, first)
            for view, pointer in zip(self.results, results, strict=True)
        ]
        counts = [self.lanes] * (width // self.lanes)
        if width % self.lanes:
            counts.append(width % self.lanes)
        # Panels hold whole vectors; without masks a narrower vector stands for the last columns.
        lanes = [self.lanes] * len(counts) if self.masks else counts
        inner = self.kernel.inner
        steps = [s * self.size for s in self.right.strides[self.kernel.batch_axes : -1]]
        if self.kernel.panel is not None:
            self._pack(right, lanes, counts)
            right = self.panel
            row = sum(lanes) * self.size
            steps = [row * math.prod(inner[axis + 1 :]) for axis in range(len(inner))]
        self.right_steps = steps
        blocks = self.blocks
        totals = self._totals(first)
        for i, place in enumerate(totals):
            for j, count in enumerate(counts):
                neutral = self.body.neutral(i, lanes[j])
                f.store_part(neutral, f.at(place, j * self._vector_of(i)), count)
        with f.loop(*share(f, self.row_part, self.division.rows, self.tiles)) as loop:
            block, outer = self._place(loop.index)
            long = f.compare("icmp slt", block, constant(blocks.longer, "i64"))
            begin = f.binary("mul", block, constant(blocks.rows, "i64"))
            before = smaller(f, block, constant(blocks.longer, "i64"))
            begin = f.binary("add", begin, before)
            views, places = [self.kernel.left, *self.results], [left, *results]
            here = [
                self._row(pointer, view, outer, begin)
                for view, pointer in zip(views, places, strict=True)
            ]
            for rows, chosen in self._forms(long):
                lines, length = (rows, blocks.length) if blocks.axis == -2 else (1, rows)
                tile = Tile(lines, length, lanes, counts)
                if chosen is None:
                    self._tile(here[0], right, [*here[1:], *totals], tile)
                else:
                    with f.when(chosen):
                        self._tile(here[0], right, [*here[1:], *totals], tile)

    def _totals(self, first: Register) -> list[Register]:
        """Where the sums over rows of a panel's columns stand, from column ``first`` on."""
        f, found = self.f, []
        for i, place in enumerate(self.totals):
            step = constant(self._vector_of(i) // self.lanes, "i64")
            found.append(f.at(place, f.binary("mul", first, step)))
        return found

    def _vector_of(self, reduction: int) -> int:
        """The bytes of a vector's sums."""
        assert self.kernel.epilogue is not None
        return self.lanes * self.kernel.epilogue.reductions[reduction].target.dtype.itemsize

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
        first = self.kernel.batch_axes
        axis = first + self.kernel.row_axes + self.blocks.axis
        for number, index in enumerate(outer):
            pointer = self._moved(pointer, view, first + number, index)
        return self._moved(pointer, view, axis, begin)

    def _moved(self, pointer: Register, view: View, axis: int, index: Register) -> Register:
        step = view.strides[axis] * view.dtype.itemsize
        if step == 0:
            return pointer
        return self.f.at(pointer, self.f.binary("mul", index, constant(step, "i64")))

    # ---- packing

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
        if self.kernel.epilogue is None:
            self._write(results[0], self._offsets(self.results[0], tile), tile.counts, sums)
        else:
            row = sum(tile.lanes) * self.size
            places = [i * row for i in range(tile.lines * tile.length)]
            self._write(self.product, places, tile.lanes, sums)
            self._finish(self.kernel.epilogue, results, tile)

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
        if kernel.table is not None:
            row = constant(self.right_steps[-1], "i64")
            with f.loop(0, kernel.depth, 1, sums) as loop:
                eight = f.binary("mul", loop.index, constant(8, "i64"))
                a = f.at(left, f.load(f.at(self.table, eight), "i64"))
                b = f.at(right, f.binary("mul", loop.index, row))
                loop.next = self._step(a, b, loop.values, offsets, tile)
            return loop.results
        return self._inner_loops(0, (left, right, results), sums, offsets, tile)

    def _inner_loops(
        self, axis: int, places: tuple[Register, Register, Sequence[Register]],
        sums: Sequence[Register], offsets: Sequence[int], tile: Tile,
    ) -> Sequence[Register]:  # fmt: skip
        f, inner = self.f, self.kernel.inner
        left, right, results = places
        step = self.kernel.left.strides[self._inner_axis(axis)] * self.size
        stop = self.stop if axis == 0 else inner[axis]
        with f.loop(0, stop, 1, [left, right, *sums]) as loop:
            a, b, *now = loop.values
            if axis == len(inner) - 1:
                if self.kernel.epilogue is not None and len(inner) == 1:
                    self._fetch(results, tile, loop.index)
                now = self._step(a, b, now, offsets, tile)
            else:
                now = [*self._inner_loops(axis + 1, (a, b, results), now, offsets, tile)]
            loop.next = [f.at(a, step), f.at(b, self.right_steps[axis]), *now]
        return loop.results[2:]

    def _step(
        self, left: Register, right: Register, sums: Sequence[Register], offsets: Sequence[int],
        tile: Tile,
    ) -> list[Register]:  # fmt: skip
        """One product for every element of the tile."""
        f = self.f
        columns = [
            self._load_columns(f.at(right, j * self.lanes * self.size), n, count)
            for j, (n, count) in enumerate(zip(tile.lanes, tile.counts, strict=True))
        ]
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
        if self.kernel.panel is not None:
            return self.f.load(pointer, self.scalar, lanes)
        return self.f.load_part(pointer, self.scalar, lanes, count)

    def _multiply_add(self, x: Register, y: Register, z: Register) -> Register:
        if self.dtype.kind == "f":
            return self.f.fma(x, y, z)
        product = ELEMENTWISE["multiply"](self.f, self.dtype, {}, x, y)
        return ELEMENTWISE["add"](self.f, self.dtype, {}, product, z)

    # ---- the epilogue

    def _fetch(self, pointers: Sequence[Register], tile: Tile, index: Register) -> None:
        """Fetch what the epilogue will read, a little in each trip of the inner loop.

        These are short lines far apart, which no processor foresees, and many at once would fill
        its queue of misses.
        """
        f, depth = self.f, self.kernel.depth
        near = [
            (view, pointer)
            for view, pointer in zip(self.results, pointers[: len(self.results)], strict=True)
            if view.buffer != self.kernel.target.buffer
            and view.strides[-2]
            and view.strides[-1] == 1
        ]
        if not near or tile.lines > 1 or depth < tile.length:
            return
        # Trip t fetches from row t * rows / depth, of its lines one after the other.
        row = f.binary("mul", index, constant((tile.length << 16) // depth, "i64"))
        row = f.binary("lshr", row, constant(16, "i64"))
        odd = f.binary("and", index, constant(1, "i64"))
        for view, pointer in near:
            line = self._moved(pointer, view, -2, row)
            if sum(tile.counts) * view.dtype.itemsize > LINE_BYTES:
                line = f.at(line, f.binary("mul", odd, constant(LINE_BYTES, "i64")))
            f.prefetch(line)

    def _finish(self, group: Group, pointers: Sequence[Register], tile: Tile) -> None:
        """The epilogue over a tile whose result lies in this call's memory."""
        f, row = self.f, sum(tile.lanes) * self.size
        steps = [view.strides[-1] for view in self.results]
        target = self.kernel.target.buffer
        product = [view.buffer for view in group.leaves.values()].index(target)
        starts = [self.body.neutral(i, n) for n in tile.lanes for i in range(len(self.totals))]
        with f.loop(0, tile.lines, 1, starts) as lines:
            with f.loop(0, tile.length, 1, lines.values) as row_of:
                i, j = lines.index, row_of.index
                line = list(pointers[: len(self.results)])
                for number, view in enumerate(self.results):
                    if tile.lines > 1:
                        line[number] = self._moved(line[number], view, -3, i)
                    line[number] = self._moved(line[number], view, -2, j)
                number_of_row = f.binary("add", f.binary("mul", i, constant(tile.length, "i64")), j)
                offset = f.binary("mul", number_of_row, constant(row, "i64"))
                line[product] = f.at(self.product, offset)
                row_of.next = self._finish_row(line, steps, tile, row_of.values)
            lines.next = row_of.results
        self._add_totals(pointers[len(self.results) :], tile, lines.results)

    def _finish_row(
        self, line: Sequence[Register], steps: Sequence[int], tile: Tile, sums: Sequence[Register]
    ) -> list[Register]:
        """The epilogue over a row of a tile; gives the new sums of its columns."""
        f, each, new = self.f, len(self.totals), []
        for j, (lanes, count) in enumerate(zip(tile.lanes, tile.counts, strict=True)):
            at = [
                f.at(pointer, j * self.lanes * step * view.dtype.itemsize)
                for pointer, step, view in zip(line, steps, self.results, strict=True)
            ]
            made = self.body.emit(at, steps, lanes, count, sums[j * each : (j + 1) * each])
            new += [made[i] for i in range(each)]
        return new

    def _add_totals(self, places: Sequence[Register], tile: Tile, sums: Sequence[Register]) -> None:
        """Add the sums of a tile's columns to those of the tiles before."""
        f, each = self.f, len(self.totals)
        for j, (lanes, count) in enumerate(zip(tile.lanes, tile.counts, strict=True)):
            for i, place in enumerate(places):
                at = f.at(place, j * self._vector_of(i))
                total = sums[j * each + i]
                before = f.load_part(at, total.scalar, lanes, count)
                f.store_part(self.body.combine(i, before, total), at, count)
