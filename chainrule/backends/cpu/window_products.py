"""The code of convolutions in which every channel is on its own: weights, or the sums that become
their gradient, stay in registers while a vector of channels goes through places.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from chainrule.backends.cpu.addressing import base, share
from chainrule.backends.cpu.ir import SCALARS, Function, Register, constant
from chainrule.backends.cpu.target import Target
from chainrule.backends.cpu.window_code import Number, PlacesCode, Pointers, Taps

if TYPE_CHECKING:
    from chainrule.backends.cpu.depthwise import DepthwiseGradient


# Places side by side that are gone through together.
_MOST_TOGETHER = 6


class DepthwiseCode(PlacesCode):
    """Operands: the input, the weights (under each tap the same at every place), the result."""

    def columns(self, pointers: Pointers, taps: list[Taps]) -> None:
        """Vector after vector of channels, each along the whole row."""
        column = self.axes[-1]
        begin, end = column.inside()
        for here, lanes, count in self.channels(pointers):
            self.form = lanes, count
            self.weights = self._weights(here, taps, lanes, count)
            if not self.weights:
                for at, own in self.places_of_row(here):
                    self.place(at, [*taps, own], lanes, count)
                continue
            for place in self.few_edges(-1):
                at = self.at_place(here, -1, place)
                self._together(at, [*taps, column.taps_inside(place)], 1)
            at = self.at_place(here, -1, begin)
            self._along(at, [*taps, None], end - begin)

    def _along(self, pointers: Pointers, taps: list[Taps], length: int) -> None:
        """Places side by side, some at a time: what they share is read once."""
        most = min(_MOST_TOGETHER, self.registers - self.kernel.taps - 2)
        blocks = -(-length // most)
        each = -(-length // blocks) if blocks else 1
        whole = length // each * each
        with self.f.loop(0, whole, each) as loop:
            self._together(self.at_place(pointers, -1, loop.index), taps, each)
        if length > whole:
            self._together(self.at_place(pointers, -1, whole), taps, length - whole)

    def _together(self, pointers: Pointers, taps: list[Taps], length: int) -> None:
        """The results of some places side by side."""
        f, (lanes, count), column = self.f, self.form, self.axes[-1]
        *outer, own = [
            range(axis.taps) if chosen is None else range(*map(_known, chosen))
            for axis, chosen in zip(self.axes, taps, strict=True)
        ]
        totals = [constant(0, self.scalar, lanes) for _ in range(length)]
        for chosen in itertools.product(*outer):
            row, number = pointers, 0
            for axis, tap in enumerate(chosen):
                row = self.at_tap(row, axis, tap)
                number = number * self.axes[axis].taps + tap
            users: dict[int, list[tuple[int, int]]] = {}
            for place, tap in itertools.product(range(length), own):
                users.setdefault(place * column.stride + tap * column.gap, []).append((place, tap))
            step = self.kernel.inputs[0].view.strides[-2] * self.dtype.itemsize
            for element in sorted(users):
                x = self.load(f.at(row[0], element * step), lanes, count)
                for place, tap in users[element]:
                    weights = self.weights[number * column.taps + tap]
                    totals[place] = f.fma(x, weights, totals[place])
        for place, total in enumerate(totals):
            f.store_part(total, self.at_place(pointers, -1, place)[-1], count)

    def _weights(
        self, pointers: Pointers, taps: list[Taps], lanes: int, count: int
    ) -> dict[Number, Register]:
        """The weights of a row's taps by number, where registers hold them."""
        found: dict[Number, Register] = {}
        too_many = self.kernel.taps > self.registers - 4
        if too_many or not self.is_written_out([*taps, None]) or not self._knows_columns():
            return found

        def keep(here: Pointers, number: Number, state: Sequence[Register]) -> list[Register]:
            found[number] = self.load(here[1], lanes, count)
            return []

        self.over_taps(keep, pointers, [*taps, None], [])
        return found

    def _knows_columns(self) -> bool:
        return bool(self.few_edges(-1)) or not self.axes[-1].is_clipped

    def place(self, pointers: Pointers, taps: list[Taps], lanes: int, count: int) -> None:
        """One vector of results."""
        f = self.f

        def add(here: Pointers, number: Number, state: Sequence[Register]) -> list[Register]:
            read = [self.load(pointer, lanes, count) for pointer in here[:-1]]
            return [f.fma(*read, *state)]

        (result,) = self.over_taps(add, pointers, taps, [constant(0, self.scalar, lanes)])
        f.store_part(result, pointers[-1], count)


def _known(tap: Number) -> int:
    assert isinstance(tap, int)
    return tap


class DepthwiseGradientCode:
    """Each piece adds up its examples; the sums of all taps of a vector of channels stay in
    registers while it goes through an example.
    """

    def __init__(self, f: Function, kernel: DepthwiseGradient, target: Target) -> None:
        self.f = f
        self.kernel = kernel
        self.axes = kernel.axes
        dtype = kernel.target.dtype
        self.scalar, self.size = SCALARS[dtype.name], dtype.itemsize
        self.lanes = target.lanes(dtype)
        self.masks = target.has_masks
        self.parts = kernel.pieces(target)

    def emit(self) -> None:
        """All of it."""
        f, kernel = self.f, self.kernel
        channels = kernel.target.shape[-1]
        operands = (kernel.x, kernel.dy)
        x, dy = (f.at(base(f, operand.view), operand.start) for operand in operands)
        each = kernel.taps * channels * self.size
        sums = f.at(base(f, kernel.target), f.binary("mul", f.arguments[1], constant(each, "i64")))
        whole = kernel.taps * channels
        with f.loop(0, whole) as loop:
            f.store(constant(0, self.scalar), self._moved(sums, self.size, loop.index))
        with f.loop(*share(f, f.arguments[1], self.parts, kernel.examples)) as loop:
            here = [
                self._moved(x, kernel.x.batch, loop.index),
                self._moved(dy, kernel.dy.batch, loop.index),
            ]
            whole = channels // self.lanes * self.lanes
            if whole:
                with f.loop(0, whole, self.lanes) as channel:
                    at = [self._moved(p, self.size, channel.index) for p in (*here, sums)]
                    self._example(at, self.lanes, self.lanes)
            if rest := channels - whole:
                at = [f.at(p, whole * self.size) for p in (*here, sums)]
                self._example(at, self.lanes if self.masks else rest, rest)

    def _example(self, pointers: list[Register], lanes: int, count: int) -> None:
        """Add one example's products to the sums of some channels."""
        f = self.f
        self.form = lanes, count
        x, dy, sums = pointers
        row = self.kernel.target.shape[-1] * self.size
        places = [f.at(sums, tap * row) for tap in range(self.kernel.taps)]
        totals = [f.load_part(place, self.scalar, lanes, count) for place in places]
        for total, place in zip(self._over_places([x, dy], [], totals), places, strict=True):
            f.store_part(total, place, count)

    def _over_places(
        self, pointers: list[Register], taps: list[range], totals: list[Register]
    ) -> list[Register]:
        """The totals after all places of the axes that are left; edges have their own code."""
        if len(taps) == len(self.axes):
            return self._place(pointers, taps, totals)
        axis = self.axes[len(taps)]
        begin, end = axis.inside()
        for place in range(begin):
            totals = self._at(pointers, taps, place, range(*axis.taps_inside(place)), totals)
        if begin < end:
            with self.f.loop(begin, end, 1, totals) as loop:
                every = range(axis.taps)
                loop.next = self._at(pointers, taps, loop.index, every, loop.values)
            totals = loop.results
        for place in range(end, axis.count):
            totals = self._at(pointers, taps, place, range(*axis.taps_inside(place)), totals)
        return totals

    def _at(
        self, pointers: list[Register], taps: list[range], place: Number, own: range,
        totals: list[Register],
    ) -> list[Register]:  # fmt: skip
        number, (x, dy) = len(taps), pointers
        here = [
            self._moved(x, self.kernel.x.places[number], place),
            self._moved(dy, self.kernel.dy.places[number], place),
        ]
        return self._over_places(here, [*taps, own], totals)

    def _place(
        self, pointers: list[Register], taps: list[range], totals: list[Register]
    ) -> list[Register]:
        f, (lanes, count) = self.f, self.form
        dy = f.load_part(pointers[1], self.scalar, lanes, count)
        totals = list(totals)
        for chosen in itertools.product(*taps):
            offset = number = 0
            for tap, step, axis in zip(chosen, self.kernel.x.taps, self.axes, strict=True):
                offset += tap * step
                number = number * axis.taps + tap
            x = f.load_part(f.at(pointers[0], offset), self.scalar, lanes, count)
            totals[number] = f.fma(x, dy, totals[number])
        return totals

    def _moved(self, pointer: Register, step: int, index: Number) -> Register:
        if step == 0:
            return pointer
        if isinstance(index, int):
            return self.f.at(pointer, index * step)
        return self.f.at(pointer, self.f.binary("mul", index, constant(step, "i64")))
