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


class DepthwiseCode(PlacesCode):
    """Operands: the input, the weights (under each tap the same at every place), the result."""

    def columns(self, pointers: Pointers, taps: list[Taps]) -> None:
        """Vector after vector of channels, each along the whole row."""
        for here, lanes, count in self.channels(pointers):
            self.weights = self._weights(here, taps, lanes, count)
            for at, own in self.places_of_row(here):
                self.place(at, [*taps, own], lanes, count)

    def _weights(
        self, pointers: Pointers, taps: list[Taps], lanes: int, count: int
    ) -> dict[Number, Register]:
        """The weights of a row's taps by number, where registers hold them."""
        found: dict[Number, Register] = {}
        if not self.is_written_out(taps) or self.kernel.taps > self.registers - 4:
            return found

        def keep(here: Pointers, number: Number, state: Sequence[Register]) -> list[Register]:
            found[number] = self.load(here[1], lanes, count)
            return []

        self.over_taps(keep, pointers, [*taps, None], [])
        return found

    def place(self, pointers: Pointers, taps: list[Taps], lanes: int, count: int) -> None:
        """One vector of results."""
        f = self.f

        def add(here: Pointers, number: Number, state: Sequence[Register]) -> list[Register]:
            weights = self.weights.get(number) if isinstance(number, int) else None
            if weights is None:
                weights = self.load(here[1], lanes, count)
            return [f.fma(self.load(here[0], lanes, count), weights, state[0])]

        (result,) = self.over_taps(add, pointers, taps, [constant(0, self.scalar, lanes)])
        f.store_part(result, pointers[-1], count)


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
