"""Matrix products: a register-blocked tile over one packed panel of the right matrix at a time.

Both inputs may be any strided views, so a transposed matrix costs nothing: the left one is read
element by element and broadcast, the right one is packed into a panel of a few vectors' width that
stays in cache. A tile keeps its results in registers over the whole inner length; every element is
one sum in the order of k, whatever the blocking is.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from chainrule.backends.cpu.addressing import address, base, nested_loops
from chainrule.backends.cpu.elementwise import ELEMENTWISE
from chainrule.backends.cpu.ir import SCALARS, Function, Register, constant
from chainrule.backends.cpu.target import Target
from chainrule.backends.cpu.views import View

# Panels are packed where the right matrix is used by at least this many rows.
_ROWS_WORTH_PACKING = 24


# A piece takes at least some microseconds: a barrier between threads costs a third of one.
WORK_OF_A_PIECE = 1 << 20
MOST_PIECES = 8


@dataclass(eq=False)
class Matmul:
    """(..., n, k) @ (..., k, m), batch axes already broadcast."""

    left: View
    right: View
    target: View
    panel: View = field(init=False)

    def division(self, target: Target) -> tuple[int, int]:
        """Into how many ranges of rows and of columns the product is cut; fixed by sizes alone."""
        n, m = self.target.shape[-2:]
        k = self.left.shape[-1]
        rows, vectors = target.tile
        blocks = -(-n // rows)
        panels = -(-m // (vectors * target.lanes(self.target.dtype)))
        pieces = max(1, min(MOST_PIECES, n * m * k // WORK_OF_A_PIECE))
        columns = max(1, min(pieces, panels))
        return max(1, min(pieces // columns, blocks)), columns

    def target_width(self, target: Target) -> int:
        """The columns of a panel."""
        return target.tile[1] * target.lanes(self.target.dtype)

    def pieces(self, target: Target) -> int:
        """Ranges of rows times ranges of columns."""
        across, down = self.division(target)
        return across * down

    def buffers_read(self) -> set[int]:
        """The buffers it reads."""
        return {self.left.buffer, self.right.buffer}

    def buffers_written(self) -> set[int]:
        """The buffers it writes."""
        return {self.target.buffer, self.panel.buffer}

    def emit(self, name: str, target: Target) -> Function:
        """The kernel's function ``(buffers, piece)``."""
        f = Function(name, [("ptr", "buffers"), ("i64", "piece")])
        views = (self.left, self.right, self.target)
        pointers = [base(f, view) for view in views]
        # Each piece packs into a panel of its own.
        panel_bytes = self.left.shape[-1] * self.target_width(target) * self.target.dtype.itemsize
        step = f.binary("mul", f.arguments[1], constant(panel_bytes, "i64"))
        panel = f.at(base(f, self.panel), step)
        batch = self.target.shape[:-2]
        with nested_loops(f, batch) as indices:
            parts = [
                address(f, replace(v, strides=v.strides[: len(batch)]), p, indices)
                for v, p in zip(views, pointers, strict=True)
            ]
            _Product(f, self, target, panel).emit(*parts)
        return f


class _Product:
    """One product of two matrices."""

    def __init__(self, f: Function, kernel: Matmul, target: Target, panel: Register) -> None:
        self.f = f
        self.kernel = kernel
        self.lanes = target.lanes(kernel.target.dtype)
        self.rows, self.vectors = target.tile
        self.masks = target.has_masks
        self.panel = panel
        self.dtype = kernel.target.dtype
        self.size = self.dtype.itemsize
        self.scalar = SCALARS[self.dtype.name]
        self.n, self.m = kernel.target.shape[-2:]
        self.k = kernel.left.shape[-1]
        self.across, self.down = kernel.division(target)
        self.packed = kernel.right.strides[-1] != 1 or self.n >= _ROWS_WORTH_PACKING

    def emit(self, left: Register, right: Register, target: Register) -> None:
        """Panels of columns, then blocks of rows."""
        f = self.f
        width = self.vectors * self.lanes
        whole, rest = divmod(self.m, width)
        down = constant(self.down, "i64")
        part = f.binary("urem", f.arguments[1], down)
        self._row_part = f.binary("udiv", f.arguments[1], down)
        if whole:
            with f.loop(*self._range(part, self.down, whole)) as loop:
                first = f.binary("mul", loop.index, constant(width, "i64"))
                self._columns(left, right, target, first, width)
        if rest:
            with f.when(self._is_last(part, self.down)):
                self._columns(left, right, target, constant(whole * width, "i64"), rest)

    def _range(self, part: Register, parts: int, length: int) -> tuple[Register, Register]:
        """One of equal parts of 0 .. length."""
        f = self.f
        share, bound = constant(-(-length // parts), "i64"), constant(length, "i64")
        begin = f.binary("mul", part, share)
        end = f.binary("add", begin, share)
        return (
            f.select(f.compare("icmp slt", begin, bound), begin, bound),
            f.select(f.compare("icmp slt", end, bound), end, bound),
        )

    def _is_last(self, part: Register, parts: int) -> Register:
        return self.f.compare("icmp eq", part, constant(parts - 1, "i64"))

    def _columns(
        self, left: Register, right: Register, target: Register, first: Register, width: int
    ) -> None:
        right = self._moved(right, first, self.kernel.right.strides[-1])
        target = self._moved(target, first, 1)
        counts = [self.lanes] * (width // self.lanes)
        if width % self.lanes:
            counts.append(width % self.lanes)
        # Panels hold whole vectors; without masks a narrower vector stands for the last columns.
        lanes = [self.lanes] * len(counts) if self.masks else counts
        if self.packed:
            self._pack(right, width, lanes, counts)
            right, step = self.panel, sum(lanes)
        else:
            step = self.kernel.right.strides[-2]
        block = self.rows
        whole, rest = divmod(self.n, block)
        if whole:
            with self.f.loop(*self._range(self._row_part, self.across, whole)) as loop:
                row = self.f.binary("mul", loop.index, constant(block, "i64"))
                self._tile(left, right, target, row, (block, lanes, counts, step))
        if rest:
            with self.f.when(self._is_last(self._row_part, self.across)):
                row = constant(whole * block, "i64")
                self._tile(left, right, target, row, (rest, lanes, counts, step))

    def _moved(self, pointer: Register, index: Register, stride: int) -> Register:
        step = constant(stride * self.size, "i64")
        return self.f.at(pointer, self.f.binary("mul", index, step))

    def _pack(self, right: Register, width: int, lanes: list[int], counts: list[int]) -> None:
        f, view = self.f, self.kernel.right
        with f.loop(0, self.k) as loop:
            source = self._moved(right, loop.index, view.strides[-2])
            target = self._moved(self.panel, loop.index, sum(lanes))
            if view.strides[-1] == 1:
                for j, (n, count) in enumerate(zip(lanes, counts, strict=True)):
                    at = j * self.lanes * self.size
                    f.store(f.load_part(f.at(source, at), self.scalar, n, count), f.at(target, at))
            else:
                with f.loop(0, width) as column:
                    at_column = self._moved(source, column.index, view.strides[-1])
                    x = f.load(at_column, self.scalar)
                    f.store(x, self._moved(target, column.index, 1))

    def _tile(
        self, left: Register, right: Register, target: Register, row: Register,
        form: tuple[int, list[int], list[int], int],
    ) -> None:  # fmt: skip
        f = self.f
        rows, lanes, counts, right_step = form
        row_stride, inner_stride = self.kernel.left.strides[-2:]
        left = self._moved(left, row, row_stride)
        zeros = [constant(0, self.scalar, n) for _ in range(rows) for n in lanes]
        with f.loop(0, self.k, 1, [left, right, *zeros]) as loop:
            a, b, *sums = loop.values
            columns = [
                self._load_columns(f.at(b, j * self.lanes * self.size), n, count)
                for j, (n, count) in enumerate(zip(lanes, counts, strict=True))
            ]
            new = []
            for i in range(rows):
                x = f.load(f.at(a, i * row_stride * self.size), self.scalar)
                for j, n in enumerate(lanes):
                    new.append(
                        self._multiply_add(f.splat(x, n), columns[j], sums[i * len(lanes) + j])
                    )
            loop.next = [f.at(a, inner_stride * self.size), f.at(b, right_step * self.size), *new]
        target = self._moved(target, row, self.m)
        for i in range(rows):
            for j, count in enumerate(counts):
                where = (i * self.m + j * self.lanes) * self.size
                f.store_part(loop.results[2 + i * len(lanes) + j], f.at(target, where), count)

    def _load_columns(self, pointer: Register, lanes: int, count: int) -> Register:
        if self.packed:
            return self.f.load(pointer, self.scalar, lanes)
        return self.f.load_part(pointer, self.scalar, lanes, count)

    def _multiply_add(self, x: Register, y: Register, z: Register) -> Register:
        if self.dtype.kind == "f":
            return self.f.fma(x, y, z)
        product = ELEMENTWISE["multiply"](self.f, self.dtype, {}, x, y)
        return ELEMENTWISE["add"](self.f, self.dtype, {}, product, z)
