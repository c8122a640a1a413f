"""Rows copied onto lines, feature by feature."""

from __future__ import annotations

from dataclasses import dataclass

from chainrule.backends.cpu.addressing import base, kernel_function, larger, smaller
from chainrule.backends.cpu.ir import SCALARS, Function, Register, constant
from chainrule.backends.cpu.packing import transposed
from chainrule.backends.cpu.rowtiles.tile import own_range, scaled
from chainrule.backends.cpu.target import Target
from chainrule.backends.cpu.views import View

_SIDE = 4  # of the square blocks that change rows into columns in registers


@dataclass(eq=False)
class FeatureMajor:
    """Rows copied so that each feature's values stand side by side; what lies past them is 0.

    Args:
        source: (features, rows), as the rows stand in memory.
        target: (features, at least the rows of all tiles), in C order.
        tile: rows of a tile.
        tiles: how many tiles there are.
        count: into how many pieces they are cut.
    """

    source: View
    target: View
    tile: int
    tiles: int
    count: int

    primitive = "rows to lines"

    def pieces(self, target: Target) -> int:
        """How many ranges of tiles."""
        return self.count

    def buffers_read(self) -> set[int]:
        """The rows."""
        return {self.source.buffer}

    def buffers_written(self) -> set[int]:
        """The lines."""
        return {self.target.buffer}

    def updates(self, source: int, target: int) -> bool:
        """Nothing is updated in place."""
        return False

    def emit(self, name: str, target: Target) -> Function:
        """The kernel's function ``(buffers, piece)``."""
        f = kernel_function(name)
        features, rows = self.source.shape
        first, last = own_range(f, self.tiles, self.count)
        tile = constant(self.tile, "i64")
        begin, end = f.binary("mul", first, tile), f.binary("mul", last, tile)
        copy = _Copy(f, self, target.vector_bytes // 4)
        step = copy.lanes if copy.is_one_line else _SIDE
        whole = rows - rows % step if features >= _SIDE or copy.is_one_line else 0
        if whole:
            with f.loop(begin, smaller(f, end, constant(whole, "i64")), step) as loop:
                copy.whole(loop.index)
        if whole < rows:
            bounds = (
                larger(f, begin, constant(whole, "i64")),
                smaller(f, end, constant(rows, "i64")),
            )
            with f.loop(*bounds) as row, f.loop(0, features) as feature:
                copy.element(feature.index, row.index)
        if rows < self.tile * self.tiles:
            past = larger(f, begin, constant(rows, "i64"))
            with f.loop(past, end) as row, f.loop(0, features) as feature:
                f.store(constant(0, copy.scalar), copy.place(feature.index, row.index))
        return f


class _Copy:
    """Moves elements of rows to lines."""

    def __init__(self, f: Function, kernel: FeatureMajor, lanes: int) -> None:
        self.f = f
        self.lanes = lanes
        self.features = kernel.source.shape[0]
        self.size = kernel.target.dtype.itemsize
        scalar = SCALARS[kernel.target.dtype.name]
        self.scalar = "i8" if scalar == "i1" else scalar
        self.pitch = kernel.source.strides[1] * self.size
        self.line = kernel.target.shape[1] * self.size
        self.is_one_line = self.features == 1 and self.pitch == self.size
        self._source, self._lines = base(f, kernel.source), base(f, kernel.target)

    def place(self, feature: Register, row: Register) -> Register:
        """Where an element stands on its line."""
        at = self.f.at(self._lines, scaled(self.f, feature, self.line))
        return self.f.at(at, scaled(self.f, row, self.size))

    def _read_at(self, feature: Register, row: Register) -> Register:
        at = self.f.at(self._source, scaled(self.f, feature, self.size))
        return self.f.at(at, scaled(self.f, row, self.pitch))

    def element(self, feature: Register, row: Register) -> None:
        """One element."""
        x = self.f.load(self._read_at(feature, row), self.scalar)
        self.f.store(x, self.place(feature, row))

    def whole(self, row: Register) -> None:
        """All features of some rows."""
        f, zero = self.f, constant(0, "i64")
        if self.is_one_line:
            x = f.load(self._read_at(zero, row), self.scalar, self.lanes)
            f.store(x, self.place(zero, row))
            return
        if self.features >= 2 * _SIDE:
            with f.loop(0, self.features - self.features % _SIDE, _SIDE) as loop:
                self._block(loop.index, row)
        else:
            self._block(zero, row)
        if self.features % _SIDE:  # the last block may copy some features again
            self._block(constant(self.features - _SIDE, "i64"), row)

    def _block(self, feature: Register, row: Register) -> None:
        f = self.f
        read, write = self._read_at(feature, row), self.place(feature, row)
        places = [f.at(read, i * self.pitch) for i in range(_SIDE)]
        block = [f.load(place, self.scalar, _SIDE) for place in places]
        for i, x in enumerate(transposed(f, block)):
            f.store(x, f.at(write, i * self.line))
