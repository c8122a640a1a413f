"""The kernels: the pass over tiles of rows, and the sums at its end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from chainrule.backends.cpu.addressing import base, kernel_function, smaller
from chainrule.backends.cpu.bodies import COMBINED_BY, neutral_number
from chainrule.backends.cpu.elementwise import ELEMENTWISE
from chainrule.backends.cpu.ir import SCALARS, Function, Register, constant
from chainrule.backends.cpu.rowtiles.gradients import emit_gradient
from chainrule.backends.cpu.rowtiles.layout import Layout, Sums, SumsOfAKind
from chainrule.backends.cpu.rowtiles.passes import StageEmitter
from chainrule.backends.cpu.rowtiles.rows import Access, RowGradient
from chainrule.backends.cpu.rowtiles.stages import Stage
from chainrule.backends.cpu.rowtiles.tile import Tile, own_range, scaled
from chainrule.backends.cpu.target import Target
from chainrule.backends.cpu.views import View


@dataclass(eq=False)
class RowTiles:
    """Everything that happens to rows, tile by tile: the stages, then the sums of products."""

    stages: Sequence[Stage]
    gradients: Sequence[RowGradient]
    layout: Layout
    sums: Sums
    count: int

    primitive = "rows, tile by tile,"

    @property
    def target(self) -> View:
        """The largest that stands for it in a listing."""
        return next(iter(self.layout.lines.values())).view

    def pieces(self, target: Target) -> int:
        """How many ranges of tiles."""
        return self.count

    def buffers_read(self) -> set[int]:
        """Whole lines, weights and other values that are the same for all rows."""
        read = {lines.view.buffer for lines in self.layout.lines.values() if lines.is_whole}
        for stage in self.stages:
            accesses = [access for group in stage.groups for access in group.reads]
            accesses += stage.product.reads if stage.product else []
            read |= {access.buffer for access in accesses if not access.pitch}
        return read

    def buffers_written(self) -> set[int]:
        """Lines of a tile, sums of lanes, and what others need of each row."""
        written = {x.view.buffer for x in self.layout.lines.values() if not x.is_whole}
        written |= {kind.lanes.buffer for kind in self.sums.kinds.values() if kind.lanes}
        return written | {access.buffer for access in self.layout.exported}

    def updates(self, source: int, target: int) -> bool:
        """Nothing is updated in place."""
        return False

    def emit(self, name: str, target: Target) -> Function:
        """The kernel's function ``(buffers, piece)``."""
        f, layout = kernel_function(name), self.layout
        lanes = target.vector_bytes // 4
        for kind in self.sums.kinds.values():
            self._clear(f, kind, lanes)
        with f.loop(*own_range(f, layout.tiles, self.count)) as loop:
            tile = Tile(f, layout, self.sums, loop.index, lanes)
            for stage in self.stages:
                StageEmitter(tile, stage).emit()
            if layout.summed and layout.rows % layout.tile:
                last = constant(layout.tiles - 1, "i64")
                with f.when(f.compare("icmp eq", loop.index, last)):
                    for buffer in sorted(layout.summed):
                        self._clear_rest(tile, buffer)
            for access in layout.exported:
                self._export(tile, access)
            for gradient in self.gradients:
                emit_gradient(tile, gradient, target)
        return f

    def _clear(self, f: Function, kind: SumsOfAKind, lanes: int) -> None:
        """What this piece adds up starts from nothing."""
        assert kind.lanes is not None
        number = neutral_number(kind.primitive, kind.dtype)
        empty = constant(number, SCALARS[kind.dtype.name], lanes)
        vector = lanes * kind.dtype.itemsize
        own = f.at(base(f, kind.lanes), scaled(f, f.arguments[1], kind.count * vector))
        with f.loop(0, kind.count) as loop:
            f.store(empty, f.at(own, scaled(f, loop.index, vector)))

    def _clear_rest(self, tile: Tile, buffer: int) -> None:
        """Rows past the end are 0 where products of features are summed."""
        f, lines = tile.f, self.layout.lines[buffer]
        size, scalar = lines.view.dtype.itemsize, SCALARS[lines.view.dtype.name]
        rest = self.layout.rows % self.layout.tile
        with f.loop(0, lines.view.shape[1]) as feature:
            line = f.at(tile.pointers[buffer], scaled(f, feature.index, lines.length * size))
            with f.loop(rest, self.layout.tile) as row:
                f.store(constant(0, scalar), f.at(line, scaled(f, row.index, size)))

    def _export(self, tile: Tile, access: Access) -> None:
        """Write a tile's rows where others read them, row by row."""
        f, layout, lines = tile.f, self.layout, self.layout.lines[access.buffer]
        size, scalar = access.dtype.itemsize, SCALARS[access.dtype.name]
        start = f.binary("mul", tile.index, constant(layout.tile, "i64"))
        left = f.binary("sub", constant(layout.rows, "i64"), start)
        count = smaller(f, left, constant(layout.tile, "i64"))
        view = View(access.buffer, access.dtype, (), ())
        target = f.at(base(f, view), scaled(f, start, access.pitch * size))
        with f.loop(0, access.pitch) as feature:
            line = f.at(tile.pointers[access.buffer], scaled(f, feature.index, lines.length * size))
            column = f.at(target, scaled(f, feature.index, size))
            done: Register | int = 0
            if access.pitch == 1:
                done = f.binary("and", count, constant(-tile.lanes, "i64"))
                with f.loop(0, done, tile.lanes) as row:
                    at = scaled(f, row.index, size)
                    f.store(f.load(f.at(line, at), scalar, tile.lanes), f.at(column, at))
            with f.loop(done, count) as row:
                x = f.load(f.at(line, scaled(f, row.index, size)), scalar)
                f.store(x, f.at(column, scaled(f, row.index, access.pitch * size)))


@dataclass(eq=False)
class RowSums:
    """The sums over rows: pieces in their order, then lanes, as many sums at a time as lanes."""

    sums: Sums

    primitive = "sums over rows"

    @property
    def target(self) -> View:
        """The largest that stands for it in a listing."""
        return max((k.flat for k in self.sums.kinds.values() if k.flat), key=lambda v: v.shape)

    def pieces(self, target: Target) -> int:
        """One."""
        return 1

    def buffers_read(self) -> set[int]:
        """What the lanes added up."""
        return {kind.lanes.buffer for kind in self.sums.kinds.values() if kind.lanes}

    def buffers_written(self) -> set[int]:
        """The targets."""
        kinds = self.sums.kinds.values()
        flat = {kind.flat.buffer for kind in kinds if kind.flat}
        return flat | {target.buffer for kind in kinds for _, target in kind.parts}

    def updates(self, source: int, target: int) -> bool:
        """Nothing is updated in place."""
        return False

    def emit(self, name: str, target: Target) -> Function:
        """The kernel's function ``(buffers, piece)``."""
        f, lanes = kernel_function(name), target.vector_bytes // 4
        for kind in self.sums.kinds.values():
            self._lanes(f, kind, lanes)
            for start, part in kind.parts:
                self._copy(f, kind, start, part, lanes)
        return f

    def _lanes(self, f: Function, kind: SumsOfAKind, lanes: int) -> None:
        assert kind.lanes is not None
        assert kind.flat is not None
        pieces, size = kind.lanes.shape[0], kind.dtype.itemsize
        scalar, vector = SCALARS[kind.dtype.name], lanes * size
        partial, flat = base(f, kind.lanes), base(f, kind.flat)
        with f.loop(0, kind.count, lanes) as loop:
            first = f.at(partial, scaled(f, loop.index, vector))
            vectors = [f.load(f.at(first, i * vector), scalar, lanes) for i in range(lanes)]
            if pieces > 1:
                with f.loop(1, pieces, 1, vectors) as piece:
                    at = f.at(first, scaled(f, piece.index, kind.count * vector))
                    piece.next = [
                        _combine(f, kind, x, f.load(f.at(at, i * vector), scalar, lanes))
                        for i, x in enumerate(piece.values)
                    ]
                vectors = piece.results
            total = _across(f, kind, vectors)
            f.store(total, f.at(flat, scaled(f, loop.index, size)))

    def _copy(self, f: Function, kind: SumsOfAKind, start: int, part: View, lanes: int) -> None:
        assert kind.flat is not None
        size, scalar = kind.dtype.itemsize, SCALARS[kind.dtype.name]
        source, to = f.at(base(f, kind.flat), start * size), base(f, replace(part, offset=0))
        count = math.prod(part.shape)
        whole = count // lanes * lanes
        for begin, end, width in ((0, whole, lanes), (whole, count, 1)):
            if begin == end:
                continue
            with f.loop(begin, end, width) as loop:
                at = scaled(f, loop.index, size)
                f.store(f.load(f.at(source, at), scalar, width), f.at(to, at))


def _combine(f: Function, kind: SumsOfAKind, x: Register, y: Register) -> Register:
    return ELEMENTWISE[COMBINED_BY[kind.primitive]](f, kind.dtype, {}, x, y)


def _across(f: Function, kind: SumsOfAKind, vectors: list[Register]) -> Register:
    """As many vectors as lanes: lane i of the result is what the lanes of vector i add up to."""
    lanes = vectors[0].lanes
    while len(vectors) > 1:
        vectors = [
            _combine(
                f,
                kind,
                f.shuffle(x, y, range(0, 2 * lanes, 2)),
                f.shuffle(x, y, range(1, 2 * lanes, 2)),
            )
            for x, y in zip(vectors[::2], vectors[1::2], strict=True)
        ]
    return vectors[0]
