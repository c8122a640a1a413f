"""The code of kernels over sliding windows: loops over places and taps, in vectors of channels.

Rows of places of which every tap stands on an element get loops of their own, and in each row the
columns of this kind: there the taps of a small window are written out one after the other. So they
are at the edges where these are few rows and columns, each with its own code; else the range of
taps is computed for each place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from chainrule.backends.cpu.addressing import base, larger, share, smaller
from chainrule.backends.cpu.bodies import Body
from chainrule.backends.cpu.elementwise import ELEMENTWISE
from chainrule.backends.cpu.ir import SCALARS, Function, Register, constant
from chainrule.backends.cpu.target import Target

if TYPE_CHECKING:
    from chainrule.backends.cpu.windows import Axis, Windows

# So many taps are written out, and so many places at the edges of an axis.
_MOST_WRITTEN_OUT = 36
_MOST_EDGES = 4

Number = Register | int
# The taps that count on an axis, or None for all of them.
Taps = tuple[Number, Number] | None
Pointers = Sequence[Register]
Step = Callable[[Pointers, Number, Sequence[Register]], Sequence[Register]]


class PlacesCode:
    """Loops over the places of a window; what happens at one of them is up to subclasses."""

    def __init__(self, f: Function, kernel: Windows, target: Target) -> None:
        self.f = f
        self.kernel = kernel
        self.axes = kernel.axes
        self.operands = [*kernel.inputs, kernel.result, *kernel.beside()]
        self.dtype = kernel.target.dtype
        # Bytes from channel to channel: of what the epilogue touches they may be others.
        usual = [self.dtype.itemsize] * (len(kernel.inputs) + 1)
        views = [operand.view for operand in self.operands[len(usual) :]]
        self.steps = [*usual, *(view.strides[-1] * view.dtype.itemsize for view in views)]
        self.scalar = SCALARS[self.dtype.name]
        self.lanes = target.lanes(self.dtype)
        self.masks = target.has_masks
        self.registers = target.registers
        self.pieces = kernel.pieces(target)
        self.written_out = self._written_out()

    def _written_out(self) -> list[bool]:
        """Which axes have their taps one after the other rather than in a loop: the last ones."""
        found, count = [], 1
        for axis in reversed(self.axes):
            count *= axis.taps
            found.append(count <= _MOST_WRITTEN_OUT)
        return found[::-1]

    def emit(self) -> None:
        """All of it."""
        f, kernel = self.f, self.kernel
        pointers = [f.at(base(f, operand.view), operand.start) for operand in self.operands]
        each = kernel.rows // kernel.examples
        with f.loop(*share(f, f.arguments[1], self.pieces, kernel.rows)) as loop:
            example, rows = loop.index, (constant(0, "i64"), constant(each, "i64"))
            if each > 1:
                example = f.binary("udiv", loop.index, constant(each, "i64"))
                row = f.binary("urem", loop.index, constant(each, "i64"))
                rows = (row, f.binary("add", row, constant(1, "i64")))
            here = [
                self.moved(pointer, operand.batch, example)
                for pointer, operand in zip(pointers, self.operands, strict=True)
            ]
            self.example(here)
            if each == 1:
                rows = (rows[0], constant(self.axes[0].count, "i64"))
            with f.loop(*rows) as loop:
                self._rows(self.at_place(here, 0, loop.index), [loop.index])

    def example(self, pointers: Pointers) -> None:
        """What happens to an example before its rows."""

    def _rows(self, pointers: Pointers, places: list[Register]) -> None:
        """The axes between the first and the last."""
        if len(places) < len(self.axes) - 1:
            number = len(places)
            with self.f.loop(0, self.axes[number].count) as loop:
                self._rows(self.at_place(pointers, number, loop.index), [*places, loop.index])
            return
        chosen: list[Taps] = [None] * len(places)
        edges = [number for number, axis in enumerate(self.axes[:-1]) if axis.is_clipped]
        if not edges:
            self.columns(pointers, chosen)
            return
        f = self.f
        inside = constant(1, "i1")
        for number in edges:
            begin, end = self.axes[number].inside()
            shifted = f.binary("sub", places[number], constant(begin, "i64"))
            is_in = f.compare("icmp ult", shifted, constant(end - begin, "i64"))
            inside = f.binary("and", inside, is_in)
        with f.when(inside):
            self.columns(pointers, chosen)
        if len(edges) == 1 and (few := self.few_edges(edges[0])):
            for place in few:
                chosen[edges[0]] = self.axes[edges[0]].taps_inside(place)
                here = constant(place, "i64")
                with f.when(f.compare("icmp eq", places[edges[0]], here)):
                    self.columns(pointers, chosen)
            return
        with f.when(f.binary("xor", inside, constant(1, "i1"))):
            for number in edges:
                chosen[number] = self._taps(self.axes[number], places[number])
            self.columns(pointers, chosen)

    def few_edges(self, number: int) -> list[int]:
        """The places of an axis that have taps outside, if they are few and taps written out."""
        axis = self.axes[number]
        begin, end = axis.inside()
        found = [*range(begin), *range(end, axis.count)]
        return found if len(found) <= _MOST_EDGES and self.written_out[number] else []

    def _taps(self, axis: Axis, place: Register) -> tuple[Register, Register]:
        """The range of a place's taps that stand on elements."""
        f, zero = self.f, constant(0, "i64")
        first = f.binary("mul", place, constant(axis.stride, "i64"))
        first = f.binary("add", first, constant(axis.first, "i64"))
        up = constant(axis.gap - 1, "i64")
        gap = constant(axis.gap, "i64")

        def taps(elements: Register) -> Register:
            return f.binary("udiv", f.binary("add", larger(f, elements, zero), up), gap)

        begin = taps(f.binary("sub", zero, first))
        end = taps(f.binary("sub", constant(axis.length, "i64"), first))
        return begin, smaller(f, end, constant(axis.taps, "i64"))

    def columns(self, pointers: Pointers, taps: list[Taps]) -> None:
        """The places of a row, at each of them all channels."""
        for here, own in self.places_of_row(pointers):
            for at, lanes, count in self.channels(here):
                self.place(at, [*taps, own], lanes, count)

    def places_of_row(self, pointers: Pointers) -> Iterator[tuple[list[Register], Taps]]:
        """Loops over the last axis: pointers to a place, and its taps."""
        column, few = self.axes[-1], self.few_edges(-1)
        begin, end = column.inside()
        for place in few:
            if place < begin:
                yield self.at_place(pointers, -1, place), column.taps_inside(place)
        ranges = [(begin, end, False)]
        if not few:
            ranges = [(0, begin, True), (begin, end, False), (end, column.count, True)]
        for first, last, clipped in ranges:
            if first < last:
                with self.f.loop(first, last) as loop:
                    own = self._taps(column, loop.index) if clipped else None
                    yield self.at_place(pointers, -1, loop.index), own
        for place in few:
            if place >= end:
                yield self.at_place(pointers, -1, place), column.taps_inside(place)

    def channels(self, pointers: Pointers) -> Iterator[tuple[list[Register], int, int]]:
        """Whole vectors of channels, then the rest in part of one or in a narrower one: pointers,
        lanes and how many of them count.
        """
        f = self.f
        whole, rest = divmod(self.kernel.target.shape[-1], self.lanes)
        if whole:
            with f.loop(0, whole * self.lanes, self.lanes) as loop:
                here = self._moved_by(self.steps, pointers, loop.index)
                yield here, self.lanes, self.lanes
        if rest:
            here = self._moved_by(self.steps, pointers, constant(whole * self.lanes, "i64"))
            yield here, self.lanes if self.masks else rest, rest

    def place(self, pointers: Pointers, taps: list[Taps], lanes: int, count: int) -> None:
        """What happens at one place to ``count`` channels, in vectors of ``lanes``."""
        raise NotImplementedError

    # ---- taps

    def over_taps(
        self, step: Step, pointers: Pointers, taps: list[Taps], state: Sequence[Register],
        axis: int = 0, number: Number = 0,
    ) -> Sequence[Register]:  # fmt: skip
        """Run ``step`` for every tap in row-major order, with pointers to it and its number; gives
        the last state.
        """
        if axis == len(self.axes):
            return step(pointers, number, state)
        count = self.axes[axis].taps
        begin, end = taps[axis] or (0, count)
        written_out = count == 1 or self.written_out[axis]
        if isinstance(begin, int) and isinstance(end, int) and written_out:
            for tap in range(begin, end):
                here = self.at_tap(pointers, axis, tap)
                following = self._numbered(number, axis, tap)
                state = self.over_taps(step, here, taps, state, axis + 1, following)
            return state
        with self.f.loop(begin, end, 1, state) as loop:
            here = self.at_tap(pointers, axis, loop.index)
            following = self._numbered(number, axis, loop.index)
            loop.next = [*self.over_taps(step, here, taps, loop.values, axis + 1, following)]
        return loop.results

    def at_first_tap(self, pointers: Pointers, taps: list[Taps]) -> tuple[Pointers, Number]:
        """Pointers to the first tap that counts, and its number."""
        number: Number = 0
        for axis, chosen in enumerate(taps):
            first: Number = 0 if chosen is None else chosen[0]
            pointers = self.at_tap(pointers, axis, first)
            number = self._numbered(number, axis, first)
        return pointers, number

    def is_written_out(self, taps: list[Taps]) -> bool:
        """Whether the taps that count are known beforehand and come one after the other."""
        fixed = all(chosen is None or isinstance(chosen[0], int) for chosen in taps)
        return fixed and all(self.written_out)

    def _numbered(self, number: Number, axis: int, tap: Number) -> Number:
        count = self.axes[axis].taps
        if isinstance(number, int) and isinstance(tap, int):
            return number * count + tap
        return self._sum(self._product(number, count), tap)

    def _product(self, x: Number, y: int) -> Number:
        if isinstance(x, int):
            return x * y
        return self.f.binary("mul", x, constant(y, "i64"))

    def _sum(self, x: Number, y: Number) -> Register:
        one, other = (constant(n, "i64") if isinstance(n, int) else n for n in (x, y))
        return self.f.binary("add", one, other)

    # ---- addresses and elements

    def moved(self, pointer: Register, step: int, index: Number) -> Register:
        """The pointer ``index`` steps further."""
        if step == 0:
            return pointer
        return self.f.at(pointer, self._product(index, step))

    def at_place(self, pointers: Pointers, axis: int, place: Number) -> list[Register]:
        """Pointers to a place of an axis."""
        return self._moved_by([operand.places[axis] for operand in self.operands], pointers, place)

    def at_tap(self, pointers: Pointers, axis: int, tap: Number) -> list[Register]:
        """Pointers to a tap of an axis."""
        return self._moved_by([operand.taps[axis] for operand in self.operands], pointers, tap)

    def _moved_by(self, steps: list[int], pointers: Pointers, index: Number) -> list[Register]:
        return [self.moved(p, step, index) for p, step in zip(pointers, steps, strict=True)]

    def load(self, pointer: Register, lanes: int, count: int) -> Register:
        """Some channels."""
        return self.f.load_part(pointer, self.scalar, lanes, count)

    def better(self, x: Register, y: Register) -> Register:
        """Whether ``x`` rather than an earlier ``y`` is the maximum: of equals the first is, and
        the first NaN.
        """
        f = self.f
        return f.binary("and", f.compare("fcmp ugt", x, y), f.compare("fcmp ord", y, y))


class WindowCode(PlacesCode):
    """A result for every place from what stands under its window, and the epilogue over it."""

    def __init__(self, f: Function, kernel: Windows, target: Target) -> None:
        super().__init__(f, kernel, target)
        self.inputs = len(kernel.inputs)
        if kernel.epilogue is not None:
            self.views = [operand.view for operand in kernel.beside()]
            self.body = Body(f, kernel.epilogue, self.views)
            self.parked = f.stack(self.lanes * self.dtype.itemsize)

    def place(self, pointers: Pointers, taps: list[Taps], lanes: int, count: int) -> None:
        """One vector of results."""
        name = self.kernel.primitive

        def run(here: Pointers, number: Number, state: Sequence[Register]) -> Sequence[Register]:
            read = [self.load(p, lanes, count) for p in here[: self.inputs]]
            return self._step(name, read, state) if state else read

        state: Sequence[Register] = []
        if name == "window_sum":
            state = [constant(0, self.scalar, lanes)]
        elif not self.is_written_out(taps):
            start, _ = self.at_first_tap(pointers, taps)
            state = [self.load(p, lanes, count) for p in start[: self.inputs]]
        *_, result = self.over_taps(run, pointers, taps, state)
        if self.kernel.epilogue is None:
            self.f.store_part(result, pointers[self.inputs], count)
            return
        own = [view.buffer for view in self.kernel.epilogue.leaves.values()]
        at = list(pointers[self.inputs + 1 :])
        at[own.index(self.kernel.target.buffer)] = self.parked
        self.f.store_part(result, self.parked, count)
        self.body.emit(at, [view.strides[-1] for view in self.views], lanes, count)

    def _step(
        self, name: str, read: Sequence[Register], state: Sequence[Register]
    ) -> list[Register]:
        f = self.f
        if name == "window_sum":
            return [f.binary("fadd", state[0], read[0])]
        if name == "window_max":
            return [ELEMENTWISE["maximum"](f, self.dtype, {}, state[0], read[0])]
        better = self.better(read[0], state[0])
        return [f.select(better, x, y) for x, y in zip(read, state, strict=True)]
