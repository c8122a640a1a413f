"""The code of Winograd's convolutions: transforms of tiles, and the products between them.

What is transformed stands in the scratch memory of a piece as (16, tiles, channels): the channels
of a tile are contiguous, so transforms go through vectors of channels, and for each of the 16
places in a tile there is one plain matrix product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from chainrule.backends.cpu.addressing import base, share, smaller
from chainrule.backends.cpu.bodies import Body
from chainrule.backends.cpu.groups import Group
from chainrule.backends.cpu.ir import Function, Register, constant
from chainrule.backends.cpu.packing import transposed
from chainrule.backends.cpu.target import Target
from chainrule.backends.cpu.views import View

if TYPE_CHECKING:
    from chainrule.backends.cpu.winograd import (
        WinogradConvolution,
        WinogradFilters,
        WinogradKernelSum,
        WinogradProducts,
    )

_PLACES = 16
_BYTES = 4  # of a float

Line = Callable[[Function, Sequence[Register]], list[Register]]
Square = Sequence[Sequence[Register]]


# ---- the transforms of one axis


def of_elements(f: Function, d: Sequence[Register]) -> list[Register]:
    """B^T d."""
    pairs = (("fsub", 0, 2), ("fadd", 1, 2), ("fsub", 2, 1), ("fsub", 1, 3))
    return [f.binary(name, d[i], d[j]) for name, i, j in pairs]


def of_kernel(f: Function, g: Sequence[Register]) -> list[Register]:
    """G g."""
    outer, inner = _half(f, f.binary("fadd", g[0], g[2])), _half(f, g[1])
    return [g[0], f.binary("fadd", outer, inner), f.binary("fsub", outer, inner), g[2]]


def of_products(f: Function, m: Sequence[Register]) -> list[Register]:
    """A^T m."""
    plus, minus = f.binary("fadd", m[1], m[2]), f.binary("fsub", m[1], m[2])
    return [f.binary("fadd", m[0], plus), f.binary("fsub", minus, m[3])]


def of_gradients(f: Function, d: Sequence[Register]) -> list[Register]:
    """A dy."""
    plus, minus = f.binary("fadd", d[0], d[1]), f.binary("fsub", d[0], d[1])
    return [d[0], plus, minus, f.negative(d[1])]


def of_sums(f: Function, p: Sequence[Register]) -> list[Register]:
    """G^T p."""
    plus, minus = (_half(f, f.binary(name, p[1], p[2])) for name in ("fadd", "fsub"))
    return [f.binary("fadd", p[0], plus), minus, f.binary("fadd", plus, p[3])]


def _half(f: Function, x: Register) -> Register:
    return f.binary("fmul", x, constant(0.5, x.scalar, x.lanes))


def both_axes(f: Function, line: Line, square: Square) -> list[list[Register]]:
    """A transform down the columns of a square, then along its rows."""
    columns = [line(f, column) for column in zip(*square, strict=True)]
    return [line(f, row) for row in zip(*columns, strict=True)]


class _Product(NamedTuple):
    """One matrix product for each of the 16 places.

    Attributes:
        rows, columns: of the result.
        depth: how many products are added up.
        steps: bytes of the left side from row to row, and along the sum.
        places: bytes of the left side, the right side and the result from place to place.
        adds: whether the result is added to what stands there.
    """

    rows: int
    columns: int
    depth: Register | int
    steps: tuple[int, int]
    places: tuple[int, int, int]
    adds: bool


class _Tiles(NamedTuple):
    """Elements that are read tile by tile.

    Attributes:
        view: (examples, height, width, channels).
        side: of a tile; tiles are two elements apart.
        low: where the first tile begins, before the first element.
        line: how they are transformed.
    """

    view: View
    side: int
    low: tuple[int, int]
    line: Line


class _Step(NamedTuple):
    """From an image to an element on one axis, in bytes; whether it is there, where it may not."""

    offset: Register
    fits: Register | None


class _Code:
    """Numbers and addresses."""

    def __init__(self, f: Function, target: Target, result: View) -> None:
        self.f = f
        self.tile = target.tile
        self.lanes = target.lanes(result.dtype)

    def load(self, pointer: Register) -> Register:
        """A vector of channels."""
        return self.f.load(pointer, "float", self.lanes)

    def moved(self, pointer: Register, index: Register, step: int) -> Register:
        """The pointer ``index`` steps of some bytes further."""
        if step == 0:
            return pointer
        return self.f.at(pointer, self.times(index, step))

    def times(self, index: Register, number: int) -> Register:
        """A product with a number."""
        return self.f.binary("mul", index, constant(number, "i64"))

    def plus(self, index: Register, number: int) -> Register:
        """A sum with a number."""
        return self.f.binary("add", index, constant(number, "i64"))

    def zeros(self, pointer: Register, count: int) -> None:
        """Fill memory."""
        with self.f.loop(0, count, self.lanes) as loop:
            zero = constant(0, "float", self.lanes)
            self.f.store(zero, self.moved(pointer, loop.index, _BYTES))


class _BlocksCode(_Code):
    """Blocks of tiles in the scratch memory of a piece."""

    def __init__(
        self, f: Function, kernel: WinogradConvolution | WinogradProducts, target: Target
    ) -> None:
        super().__init__(f, target, kernel.target)
        self.kernel = kernel
        self.tiling = t = kernel.tiling
        self.room = f.stack(max(t.channels, t.filters) * _BYTES)
        self.depth, self.width = t.channels * _BYTES, t.filters * _BYTES

    @contextmanager
    def blocks(self) -> Iterator[tuple[tuple[Register, Register], Register, Register]]:
        """Loop over the blocks of this piece: their rows of tiles, and memory for elements and for
        results.
        """
        f, t, piece = self.f, self.tiling, self.f.arguments[1]
        self.zeros(self.room, max(t.channels, t.filters))
        own = self.moved(base(f, self.kernel.scratch), piece, t.scratch[1] * _BYTES)
        results = f.at(own, _PLACES * t.block_tiles * self.depth)
        with f.loop(*share(f, piece, t.pieces, t.blocks)) as loop:
            first = self.times(loop.index, t.block_rows)
            end = smaller(f, self.plus(first, t.block_rows), constant(t.rows, "i64"))
            yield (first, end), own, results

    @contextmanager
    def rows(self, bounds: tuple[Register, Register]) -> Iterator[tuple[Register, ...]]:
        """Loop over rows of tiles: the example, the row in it, and the first tile's number."""
        f, t = self.f, self.tiling
        with f.loop(*bounds) as loop:
            down = constant(t.down, "i64")
            example, row = (f.binary(name, loop.index, down) for name in ("udiv", "urem"))
            number = self.times(f.binary("sub", loop.index, bounds[0]), t.across)
            yield example, row, number

    def transform(self, bounds: tuple[Register, Register], tiles: _Tiles, into: Register) -> None:
        """Read the tiles of a block and write them transformed."""
        f, t, view = self.f, self.tiling, tiles.view
        pointer = base(f, view)
        inside = [
            low == 0 and 2 * (count - 1) + tiles.side <= length
            for low, count, length in zip(
                tiles.low, (t.down, t.across), view.shape[1:3], strict=True
            )
        ]
        with self.rows(bounds) as (example, row, number):
            image = self.moved(pointer, example, view.strides[0] * _BYTES)
            with f.loop(0, t.across) as column:
                tile = f.binary("add", number, column.index)
                axes = []
                for axis, index in enumerate((row, column.index)):
                    start = self.plus(self.times(index, 2), -tiles.low[axis])
                    axes.append(self._along(tiles, axis + 1, start, inside[axis]))
                pointers = [
                    [self._element(image, down, along) for along in axes[1]] for down in axes[0]
                ]
                self._vectors(pointers, tiles, self.moved(into, tile, view.shape[-1] * _BYTES))

    def _along(self, tiles: _Tiles, axis: int, start: Register, inside: bool) -> list[_Step]:
        """The steps to a tile's elements on an axis."""
        f, found = self.f, []
        length, step = tiles.view.shape[axis], tiles.view.strides[axis] * _BYTES
        for i in range(tiles.side):
            index = self.plus(start, i)
            fits = None if inside else f.compare("icmp ult", index, constant(length, "i64"))
            found.append(_Step(self.times(index, step), fits))
        return found

    def _element(self, image: Register, down: _Step, along: _Step) -> Register:
        """The pointer to an element; outside of the image, to zeros."""
        f = self.f
        pointer = f.at(f.at(image, down.offset), along.offset)
        for fits in (down.fits, along.fits):
            if fits is not None:
                pointer = f.select(fits, pointer, self.room)
        return pointer

    def _vectors(self, pointers: Square, tiles: _Tiles, out: Register) -> None:
        """All channels of a tile."""
        f, channels = self.f, tiles.view.shape[-1]
        place = self.tiling.block_tiles * channels * _BYTES
        with f.loop(0, channels, self.lanes) as loop:
            at = self.times(loop.index, _BYTES)
            square = [[self.load(f.at(pointer, at)) for pointer in row] for row in pointers]
            made = both_axes(f, tiles.line, square)
            for number, x in enumerate(chain.from_iterable(made)):
                f.store(x, f.at(f.at(out, at), number * place))

    # ---- the products

    def multiply(
        self, product: _Product, left: Register, right: Register, result: Register
    ) -> None:
        """All 16."""
        f, width = self.f, self.tile[1] * self.lanes
        whole, rest = divmod(product.columns, width)
        with f.loop(0, _PLACES) as place:
            left, right, result = (
                self.moved(pointer, place.index, step)
                for pointer, step in zip((left, right, result), product.places, strict=True)
            )
            if whole:
                with f.loop(0, whole) as panel:
                    at = self.times(panel.index, width * _BYTES)
                    self._rows(product, left, f.at(right, at), f.at(result, at), self.tile[1])
            if rest:
                at = constant(whole * width * _BYTES, "i64")
                vectors = rest // self.lanes
                self._rows(product, left, f.at(right, at), f.at(result, at), vectors)

    def _rows(
        self, product: _Product, left: Register, right: Register, result: Register, vectors: int
    ) -> None:
        """Some columns: rows cut evenly into tiles of registers."""
        count = -(-product.rows // (self.tile[0] * self.tile[1] // vectors))
        rows, longer = divmod(product.rows, count)
        first = 0
        for height, times in ((rows + 1, longer), (rows, count - longer)):
            if times:
                with self.f.loop(0, times) as loop:
                    row = self.plus(self.times(loop.index, height), first)
                    at = self.moved(left, row, product.steps[0])
                    to = self.moved(result, row, product.columns * _BYTES)
                    self._registers(product, at, right, to, (height, vectors))
            first += height * times

    def _registers(
        self, product: _Product, left: Register, right: Register, result: Register,
        shape: tuple[int, int],
    ) -> None:  # fmt: skip
        f, (rows, vectors), row = self.f, shape, product.columns * _BYTES
        vector = self.lanes * _BYTES
        places = [f.at(result, i * row + j * vector) for i in range(rows) for j in range(vectors)]
        sums = [
            self.load(place) if product.adds else constant(0, "float", self.lanes)
            for place in places
        ]
        with f.loop(0, product.depth, 1, [left, right, *sums]) as loop:
            a, b, *now = loop.values
            columns = [self.load(f.at(b, j * vector)) for j in range(vectors)]
            for i in range(rows):
                x = f.splat(f.load(f.at(a, i * product.steps[0]), "float"), self.lanes)
                for j in range(vectors):
                    total = now[i * vectors + j]
                    now[i * vectors + j] = f.fma(x, columns[j], total)
            loop.next = [f.at(a, product.steps[1]), f.at(b, row), *now]
        for place, x in zip(places, loop.results[2:], strict=True):
            f.store(x, place)


class PlacesCode(_BlocksCode):
    """A convolution: every block transformed, multiplied and transformed back."""

    def __init__(self, f: Function, kernel: WinogradConvolution, target: Target) -> None:
        super().__init__(f, kernel, target)
        self.convolution = kernel
        self.views = [kernel.target]
        self.group: Group | None = kernel.epilogue
        if self.group is not None:
            self.views = self.group.seen_in(kernel.target.shape) or []
            self.body = Body(f, self.group, self.views)
            self.parked = f.stack(4 * self.width)
        self.totals: list[Register] = []

    def emit(self) -> None:
        """All of it."""
        f, t, kernel = self.f, self.tiling, self.convolution
        filters = base(f, kernel.filters)
        pointers = [base(f, view) for view in self.views]
        if self.group is not None:
            self._begin_totals(self.group)
        tiles = _Tiles(kernel.x, 4, t.low, of_elements)
        product = _Product(
            t.block_tiles, t.filters, t.channels, (self.depth, _BYTES),
            (t.block_tiles * self.depth, t.channels * self.width, t.block_tiles * self.width),
            adds=False,
        )  # fmt: skip
        with self.blocks() as (bounds, elements, results):
            self.transform(bounds, tiles, elements)
            self.multiply(product, elements, filters, results)
            with self.rows(bounds) as (example, row, number), f.loop(0, t.across) as column:
                tile = f.binary("add", number, column.index)
                self._back(
                    self.moved(results, tile, self.width), (example, row, column.index), pointers
                )

    def _back(
        self, products: Register, place: tuple[Register, ...], pointers: Sequence[Register]
    ) -> None:
        """The results of a tile, written or given to the epilogue."""
        f, t = self.f, self.tiling
        example, row, column = place
        here = [
            self.moved(pointer, example, view.strides[0] * view.dtype.itemsize)
            for pointer, view in zip(pointers, self.views, strict=True)
        ]
        here = self._at(self._at(here, 1, self.times(row, 2)), 2, self.times(column, 2))
        lengths = [
            smaller(f, constant(2, "i64"), f.binary("sub", constant(n, "i64"), self.times(i, 2)))
            for n, i in zip(t.places, (row, column), strict=True)
        ]
        step = t.block_tiles * self.width
        with f.loop(0, t.filters, self.lanes) as loop:
            at = self.times(loop.index, _BYTES)
            square = [
                [self.load(f.at(f.at(products, at), (4 * i + j) * step)) for j in range(4)]
                for i in range(4)
            ]
            made = both_axes(f, of_products, square)
            self._put(made, at, here, lengths)
        if self.group is not None:
            self._finish(self.group, here, lengths)

    def _put(
        self, made: Square, at: Register, here: Sequence[Register], lengths: Sequence[Register]
    ) -> None:
        """A vector of each result of a tile into memory, or where the epilogue reads it."""
        f, view = self.f, self.kernel.target
        for i, line in enumerate(made):
            for j, x in enumerate(line):
                if self.group is not None:
                    f.store(x, f.at(f.at(self.parked, at), (2 * i + j) * self.width))
                    continue
                offset = (i * view.strides[1] + j * view.strides[2]) * _BYTES
                inside = constant(1, "i1")
                for number, length, odd in zip((i, j), lengths, self._odd(), strict=True):
                    if number and odd:
                        more = f.compare("icmp sgt", length, constant(1, "i64"))
                        inside = f.binary("and", inside, more)
                with f.when(inside):
                    f.store(x, f.at(f.at(here[0], at), offset))

    def _odd(self) -> list[bool]:
        return [n % 2 == 1 for n in self.tiling.places]

    def _at(self, pointers: Sequence[Register], axis: int, index: Register) -> list[Register]:
        return [
            self.moved(pointer, index, view.strides[axis] * view.dtype.itemsize)
            for pointer, view in zip(pointers, self.views, strict=True)
        ]

    def _begin_totals(self, group: Group) -> None:
        """Sums over all places: each piece adds them up in a place of its own."""
        f, filters = self.f, self.tiling.filters
        for i, reduction in enumerate(group.reductions):
            size = reduction.target.dtype.itemsize
            place = self.moved(base(f, reduction.target), f.arguments[1], filters * size)
            self.totals.append(place)
            with f.loop(0, filters, self.lanes) as loop:
                f.store(self.body.neutral(i, self.lanes), self.moved(place, loop.index, size))

    def _finish(self, group: Group, here: Sequence[Register], lengths: Sequence[Register]) -> None:
        """The epilogue over the results of a tile, some channels of all four after each other."""
        f = self.f
        product = [v.buffer for v in group.leaves.values()].index(self.kernel.target.buffer)
        steps = [view.strides[-1] for view in self.views]
        starts = [self.body.neutral(i, self.lanes) for i in range(len(self.totals))]
        with f.loop(0, self.tiling.filters, self.lanes) as loop:
            channels = [
                self.moved(pointer, loop.index, step * view.dtype.itemsize)
                for pointer, step, view in zip(here, steps, self.views, strict=True)
            ]
            parked = self.moved(self.parked, loop.index, _BYTES)
            with f.loop(0, lengths[0], 1, starts) as i:
                row = self._at(channels, 1, i.index)
                with f.loop(0, lengths[1], 1, i.values) as j:
                    at = self._at(row, 2, j.index)
                    number = f.binary("add", self.times(i.index, 2), j.index)
                    at[product] = self.moved(parked, number, self.width)
                    made = self.body.emit(at, steps, self.lanes, self.lanes, j.values)
                    j.next = [made[k] for k in range(len(starts))]
                i.next = j.results
            for k, total in enumerate(i.results):
                size = group.reductions[k].target.dtype.itemsize
                place = self.moved(self.totals[k], loop.index, size)
                before = f.load(place, total.scalar, self.lanes)
                f.store(self.body.combine(k, before, total), place)


class ProductsCode(_BlocksCode):
    """The products of a kernel's gradient, summed over the tiles of a piece."""

    def __init__(self, f: Function, kernel: WinogradProducts, target: Target) -> None:
        super().__init__(f, kernel, target)
        self.products = kernel

    def emit(self) -> None:
        """All of it."""
        f, t, kernel = self.f, self.tiling, self.products
        size = _PLACES * t.channels * t.filters
        sums = self.moved(base(f, kernel.target), f.arguments[1], size * _BYTES)
        self.zeros(sums, size)
        x = _Tiles(kernel.x, 4, t.low, of_elements)
        dy = _Tiles(kernel.dy, 2, (0, 0), of_gradients)
        with self.blocks() as (bounds, elements, gradients):
            self.transform(bounds, x, elements)
            self.transform(bounds, dy, gradients)
            depth = self.times(f.binary("sub", bounds[1], bounds[0]), t.across)
            product = _Product(
                t.channels, t.filters, depth, (_BYTES, self.depth),
                (t.block_tiles * self.depth, t.block_tiles * self.width, t.channels * self.width),
                adds=True,
            )  # fmt: skip
            self.multiply(product, elements, gradients, sums)


class KernelSumCode(_Code):
    """The parts of a kernel's gradient added up and transformed."""

    def __init__(self, f: Function, kernel: WinogradKernelSum, target: Target) -> None:
        super().__init__(f, target, kernel.target)
        self.kernel = kernel
        self.pieces = kernel.pieces(target)

    def emit(self) -> None:
        """All of it."""
        f, parts, target = self.f, self.kernel.parts, self.kernel.target
        count, _, channels, filters = parts.shape
        source, out = base(f, parts), base(f, target)
        down, along = parts.strides[:2]
        with (
            f.loop(*share(f, f.arguments[1], self.pieces, channels)) as channel,
            f.loop(0, filters, self.lanes) as loop,
        ):
            at = self.plus_row(source, channel.index, parts.strides[2], loop.index)
            zeros = [constant(0, "float", self.lanes)] * _PLACES
            with f.loop(0, count, 1, zeros) as part:
                here = self.moved(at, part.index, down * _BYTES)
                read = [self.load(f.at(here, i * along * _BYTES)) for i in range(_PLACES)]
                part.next = [f.binary("fadd", x, y) for x, y in zip(part.values, read, strict=True)]
            square = [part.results[4 * i : 4 * i + 4] for i in range(4)]
            to = self.plus_row(out, channel.index, target.strides[2], loop.index)
            for i, line in enumerate(both_axes(f, of_sums, square)):
                for j, x in enumerate(line):
                    offset = (i * target.strides[0] + j * target.strides[1]) * _BYTES
                    f.store(x, f.at(to, offset))

    def plus_row(self, pointer: Register, row: Register, stride: int, column: Register) -> Register:
        """A vector of a row."""
        return self.moved(self.moved(pointer, row, stride * _BYTES), column, _BYTES)


class FiltersCode(_Code):
    """Kernels transformed; backwards, their blocks of channels and filters transposed too."""

    def __init__(self, f: Function, kernel: WinogradFilters, target: Target) -> None:
        super().__init__(f, target, kernel.target)
        self.kernel = kernel
        self.pieces = kernel.pieces(target)
        if kernel.backwards:
            self.block = f.stack(_PLACES * self.lanes * self.lanes * _BYTES)

    def emit(self) -> None:
        """All of it."""
        f, kernel = self.f, self.kernel.kernel
        channels, filters = kernel.shape[2:]
        source, out = base(f, kernel), base(f, self.kernel.target)
        lanes = self.lanes if self.kernel.backwards else 1
        bounds = share(f, f.arguments[1], self.pieces, channels, lanes)
        with f.loop(*bounds, lanes) as channel, f.loop(0, filters, self.lanes) as loop:
            read = self.moved(source, channel.index, kernel.strides[2] * _BYTES)
            read = self.moved(read, loop.index, _BYTES)
            if self.kernel.backwards:
                self._transposed(read, out, channel.index, loop.index)
            else:
                row = f.binary("add", self.times(channel.index, filters), loop.index)
                to = self.moved(out, row, _BYTES)
                for number, x in enumerate(chain.from_iterable(self._transform(read))):
                    f.store(x, f.at(to, number * channels * filters * _BYTES))

    def _transform(self, read: Register) -> list[list[Register]]:
        strides = [step * _BYTES for step in self.kernel.kernel.strides]
        square = [
            [self.load(self.f.at(read, i * strides[0] + j * strides[1])) for j in range(3)]
            for i in range(3)
        ]
        return both_axes(self.f, of_kernel, square)

    def _transposed(
        self, read: Register, out: Register, channel: Register, first: Register
    ) -> None:
        """A square block. Backwards taps: the first and the last of four places change places."""
        f, kernel, vector = self.f, self.kernel.kernel, self.lanes * _BYTES
        channels, filters = kernel.shape[2:]
        with f.loop(0, self.lanes) as loop:
            made = self._transform(self.moved(read, loop.index, kernel.strides[2] * _BYTES))
            row = self.moved(self.block, loop.index, vector)
            for i, line in zip((3, 1, 2, 0), made, strict=True):
                for j, x in zip((3, 1, 2, 0), line, strict=True):
                    f.store(x, f.at(row, (4 * i + j) * self.lanes * vector))
        with f.loop(0, _PLACES) as place:
            here = self.moved(self.block, place.index, self.lanes * vector)
            rows = [self.load(f.at(here, i * vector)) for i in range(self.lanes)]
            number = f.binary("add", self.times(place.index, filters), first)
            to = self.moved(self.moved(out, number, channels * _BYTES), channel, _BYTES)
            for i, x in enumerate(transposed(f, rows)):
                f.store(x, f.at(to, i * channels * _BYTES))
