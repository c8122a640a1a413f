"""One tile of rows under construction: where its values are."""

from __future__ import annotations

from chainrule.backends.cpu.addressing import base, smaller
from chainrule.backends.cpu.ir import SCALARS, Function, Register, constant
from chainrule.backends.cpu.rowtiles.layout import Layout, Sums, SumsOfAKind
from chainrule.backends.cpu.rowtiles.rows import Access
from chainrule.backends.cpu.views import View

Index = Register | int


def scaled(f: Function, index: Index, size: int) -> Index:
    """``index * size``, in bytes."""
    if isinstance(index, int):
        return index * size
    return index if size == 1 else f.binary("mul", index, constant(size, "i64"))


def own_range(f: Function, length: int, parts: int) -> tuple[Register, Register]:
    """This piece's part of 0 .. length."""
    share, bound = constant(-(-length // parts), "i64"), constant(length, "i64")
    begin = f.binary("mul", f.arguments[1], share)
    end = smaller(f, f.binary("add", begin, share), bound)
    return smaller(f, begin, bound), end


def plus(f: Function, index: Index, number: int) -> Index:
    """``index + number``."""
    if isinstance(index, int):
        return index + number
    return f.binary("add", index, constant(number, "i64")) if number else index


class Tile:
    """The lines of a tile and its sums.

    Args:
        f: the kernel's function.
        layout: which buffers stand on lines.
        sums: where lanes add up.
        index: the tile's number.
        lanes: rows of a vector.

    Attributes:
        pointers: by buffer, the tile's first row on the first line.
    """

    def __init__(
        self, f: Function, layout: Layout, sums: Sums, index: Register, lanes: int
    ) -> None:
        self.f = f
        self.layout = layout
        self.sums = sums
        self.index = index
        self.lanes = lanes
        self.pointers: dict[int, Register] = {}
        for buffer, lines in layout.lines.items():
            size = lines.view.dtype.itemsize
            own, step = index, layout.tile
            if not lines.is_whole:
                own, step = f.arguments[1], lines.view.shape[1] * lines.length
            self.pointers[buffer] = f.at(base(f, lines.view), scaled(f, own, step * size))

    def line(self, access: Access, feature: Index) -> Register:
        """The tile's first row of a feature; ``step_of`` leads to the next feature's."""
        lines = self.layout.lines[access.buffer]
        first = (access.offset - lines.first) * lines.length * access.dtype.itemsize
        pointer = self.f.at(self.pointers[access.buffer], first)
        return self.f.at(pointer, scaled(self.f, feature, self.step_of(access)))

    def step_of(self, access: Access) -> int:
        """From one feature to the next, in bytes."""
        return access.step * self.layout.lines[access.buffer].length * access.dtype.itemsize

    def number(self, access: Access, feature: Index) -> Register:
        """The address of a number that is the same for all rows."""
        size = access.dtype.itemsize
        view = View(access.buffer, access.dtype, (), (), access.offset)
        return self.f.at(base(self.f, view), scaled(self.f, feature, access.step * size))

    def sum_at(self, owner: object, position: Index) -> Register:
        """The lanes of one of an owner's sums."""
        f, (kind, start) = self.f, self.sums.starts[owner]
        assert kind.lanes is not None
        vector = self.lanes * kind.dtype.itemsize
        own = f.at(base(f, kind.lanes), scaled(f, f.arguments[1], kind.count * vector))
        return f.at(f.at(own, start * vector), scaled(f, position, vector))

    def kind(self, owner: object) -> SumsOfAKind:
        """What an owner's sums are like."""
        return self.sums.starts[owner][0]

    def is_row(self, offset: Register) -> Register | None:
        """Which lanes from a row of the tile on hold rows, where not all do."""
        f, layout = self.f, self.layout
        if layout.rows == layout.tile * layout.tiles:
            return None
        start = f.binary("mul", self.index, constant(layout.tile, "i64"))
        row = f.cast("trunc", f.binary("add", start, offset), "i32")
        left = f.binary("sub", constant(layout.rows, "i32"), row)
        numbers = ", ".join(f"i32 {lane}" for lane in range(self.lanes))
        lanes = Register(f"<{numbers}>", "i32", self.lanes)
        return f.compare("icmp slt", lanes, f.splat(left, self.lanes))

    def load(self, pointer: Register, access: Access, vector: int) -> Register:
        """One vector of rows from a place on a line on."""
        at = self.f.at(pointer, vector * self.lanes * access.dtype.itemsize)
        return self.f.load(at, SCALARS[access.dtype.name], self.lanes)

    def store(self, x: Register, pointer: Register, access: Access, vector: int) -> None:
        """Write one vector of rows."""
        self.f.store(x, self.f.at(pointer, vector * self.lanes * access.dtype.itemsize))
