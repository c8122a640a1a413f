"""The code of a contraction's epilogue: elementwise work on the rows of tiles, sums over rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from chainrule.backends.cpu.addressing import base
from chainrule.backends.cpu.bodies import Body
from chainrule.backends.cpu.ir import Function, Register, constant
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


class Epilogue:
    """Works on tiles whose products lie in this call's memory.

    Where there are steps enough, the rows of a tile are finished one by one between the products of
    the next tile: what is slow in the epilogue, long operations and its memory, then costs little,
    because the products do not wait for it.

    Attributes:
        views: what the group touches, in the shape of the target.
        overlaps: whether a tile is finished while the next one is made.
        rows: the most blocks of rows in a tile.
        product: where the products of a tile lie.
    """

    def __init__(self, f: Function, kernel: Contraction, target: Target) -> None:
        group = kernel.epilogue
        assert group is not None
        self.f = f
        self.kernel = kernel
        self.group = group
        self.views = kernel.seen_from_tiles(group) or []
        self.body = Body(f, group, self.views)
        self.lanes = target.lanes(kernel.target.dtype)
        blocks = kernel.blocks(target)
        self.rows = blocks.rows + (blocks.longer > 0)
        single = len(kernel.inner) == 1 and blocks.length == 1
        self.overlaps = single and kernel.depth >= 2 * self.rows
        vectors, size = kernel.panel_width(target), kernel.target.dtype.itemsize
        self.product = f.stack(self.rows * blocks.length * vectors * size)
        if self.overlaps:
            # Of the tile before: how many rows, where its results stand, sums over its rows.
            self._waiting = f.stack(8 * (1 + len(self.views) + len(group.reductions)))
            self._sums = [
                f.stack(vectors * reduction.target.dtype.itemsize) for reduction in group.reductions
            ]
        found = [view.buffer for view in group.leaves.values()]
        self._product_leaf = found.index(kernel.target.buffer)
        self._totals: list[Register] = []

    def begin(self, row_part: Register) -> None:
        """Before all tiles: each range of rows adds up sums in a place of its own."""
        f = self.f
        for reduction in self.group.reductions:
            size = self.kernel.columns * reduction.target.dtype.itemsize
            part = f.binary("mul", row_part, constant(size, "i64"))
            self._totals.append(f.at(base(f, reduction.target), part))

    def totals(self, first: Register, tile: Tile) -> list[Register]:
        """Where the sums of columns stand, from column ``first`` on; nothing is added yet."""
        f, found = self.f, []
        for i, start in enumerate(self._totals):
            step = constant(self._vector_of(i) // self.lanes, "i64")
            place = f.at(start, f.binary("mul", first, step))
            for j, (lanes, count) in enumerate(zip(tile.lanes, tile.counts, strict=True)):
                neutral = self.body.neutral(i, lanes)
                f.store_part(neutral, f.at(place, j * self._vector_of(i)), count)
            found.append(place)
        return found

    def _vector_of(self, reduction: int) -> int:
        """The bytes of a vector's sums."""
        return self.lanes * self.group.reductions[reduction].target.dtype.itemsize

    # ---- a tile at once

    def finish(self, pointers: Sequence[Register], tile: Tile) -> None:
        """All rows of a tile. ``pointers`` are the places of its views, then of sums."""
        f = self.f
        starts = [self.body.neutral(i, n) for n in tile.lanes for i in range(len(self._totals))]
        with f.loop(0, tile.lines, 1, starts) as line:
            with f.loop(0, tile.length, 1, line.values) as row:
                row.next = self._row(pointers, (line.index, row.index), tile, row.values)
            line.next = row.results
        self._add(pointers, tile, line.results)

    def _row(
        self, pointers: Sequence[Register], place: tuple[Register, Register], tile: Tile,
        sums: Sequence[Register],
    ) -> list[Register]:  # fmt: skip
        """One row of a tile, by its line and its place there; gives the new sums of columns."""
        f, each, new = self.f, len(self._totals), []
        steps = [view.strides[-1] for view in self.views]
        i, j = place
        at = list(pointers[: len(self.views)])
        for number, view in enumerate(self.views):
            if tile.lines > 1:
                at[number] = moved(f, at[number], view, -3, i)
            at[number] = moved(f, at[number], view, -2, j)
        if tile.lines > 1:
            j = f.binary("add", f.binary("mul", i, constant(tile.length, "i64")), j)
        size = sum(tile.lanes) * self.kernel.target.dtype.itemsize
        offset = f.binary("mul", j, constant(size, "i64"))
        at[self._product_leaf] = f.at(self.product, offset)
        for vector, (lanes, count) in enumerate(zip(tile.lanes, tile.counts, strict=True)):
            here = [
                f.at(pointer, vector * self.lanes * step * view.dtype.itemsize)
                for pointer, step, view in zip(at, steps, self.views, strict=True)
            ]
            before = sums[vector * each : (vector + 1) * each]
            made = self.body.emit(here, steps, lanes, count, before)
            new += [made[number] for number in range(each)]
        return new

    def _add(self, pointers: Sequence[Register], tile: Tile, sums: Sequence[Register]) -> None:
        """Add the sums of a tile's columns to those of the tiles before."""
        f, places = self.f, pointers[len(self.views) :]
        for j, (lanes, count) in enumerate(zip(tile.lanes, tile.counts, strict=True)):
            for i, place in enumerate(places):
                at = f.at(place, j * self._vector_of(i))
                total = sums[j * len(places) + i]
                before = f.load_part(at, total.scalar, lanes, count)
                f.store_part(self.body.combine(i, before, total), at, count)

    # ---- row by row, while the next tile is made

    def nothing_waits(self) -> None:
        """Before the first of some tiles."""
        self.f.store(constant(0, "i64"), self._waiting)

    def wait(self, pointers: Sequence[Register], tile: Tile) -> None:
        """A tile is made: leave it to the next one."""
        f = self.f
        for number, value in enumerate((constant(tile.length, "i64"), *pointers)):
            f.store(value, f.at(self._waiting, 8 * number))

    def waiting(self) -> tuple[Register, list[Register]]:
        """How many rows wait to be finished, and where they stand."""
        f, count = self.f, len(self.views) + len(self._totals)
        places = [f.load(f.at(self._waiting, 8 * (1 + n)), "ptr") for n in range(count)]
        return f.load(self._waiting, "i64"), places

    def finish_waiting_row(
        self, row: Register, waiting: tuple[Register, list[Register]], tile: Tile
    ) -> None:
        """One of the rows that wait. Sums lie in memory: products need the registers."""
        f, (count, pointers) = self.f, waiting
        places = [
            (i, self.body.neutral(i, n), f.at(memory, j * self._vector_of(i)))
            for j, n in enumerate(tile.lanes)
            for i, memory in enumerate(self._sums)
        ]
        sums = []
        for _, neutral, memory in places:
            first = f.compare("icmp eq", row, constant(0, "i64"))
            before = f.load(memory, neutral.scalar, neutral.lanes)
            sums.append(f.select(first, neutral, before))
        sums = self._row(pointers, (constant(0, "i64"), row), tile, sums)
        for (_, _, memory), total in zip(places, sums, strict=True):
            f.store(total, memory)
        if places:
            last = f.binary("sub", count, constant(1, "i64"))
            with f.when(f.compare("icmp eq", row, last)):
                self._add(pointers, tile, sums)

    def finish_waiting(self, tile: Tile) -> None:
        """All rows that wait, after the last of some tiles."""
        waiting = self.waiting()
        with self.f.loop(0, waiting[0]) as row:
            self.finish_waiting_row(row.index, waiting, tile)
        self.nothing_waits()

    def fetch(self, pointers: Sequence[Register], row: Register, tile: Tile) -> None:
        """Bring near what a row will read: short lines far apart, which no processor foresees."""
        f = self.f
        for view, pointer in zip(self.views, pointers, strict=False):
            if view.buffer == self.kernel.target.buffer:
                continue
            if view.strides[-2] == 0 or view.strides[-1] != 1:
                continue
            line = moved(f, pointer, view, -2, row)
            for offset in range(0, sum(tile.counts) * view.dtype.itemsize, LINE_BYTES):
                f.prefetch(f.at(line, offset))


def moved(f: Function, pointer: Register, view: View, axis: int, index: Register) -> Register:
    """A pointer into a view, moved along an axis."""
    step = view.strides[axis] * view.dtype.itemsize
    if step == 0:
        return pointer
    return f.at(pointer, f.binary("mul", index, constant(step, "i64")))
