"""The code of ``window_scatter``: at each place the maximum is found, and a number added there.

The places of an example are gone through in order by one piece, so the sums are the same on any
number of threads. Where windows lie side by side every element is written once and nothing added.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from chainrule.backends.cpu.ir import Register, constant
from chainrule.backends.cpu.window_code import Number, PlacesCode, Pointers, Taps

_INTEGERS = {"float": "i32", "double": "i64"}


class ScatterCode(PlacesCode):
    """Operands: what has the maxima, what is added, the sums."""

    def example(self, pointers: Pointers) -> None:
        """Zeros where nothing may be added."""
        if self.kernel.covers:
            return
        f, result = self.f, self.kernel.result
        size = math.prod(result.view.shape[1:])
        whole = size // self.lanes * self.lanes
        start = f.at(pointers[-1], -result.start)
        step = self.dtype.itemsize
        with f.loop(0, whole, self.lanes) as loop:
            f.store(constant(0, self.scalar, self.lanes), self.moved(start, step, loop.index))
        with f.loop(whole, size) as loop:
            f.store(constant(0, self.scalar), self.moved(start, step, loop.index))

    def place(self, pointers: Pointers, taps: list[Taps], lanes: int, count: int) -> None:
        """Find the tap with the maximum, then write to or add at every tap."""
        if self.is_written_out(taps):
            self._written_out_place(pointers, taps, lanes, count)
            return
        f, integer = self.f, _INTEGERS[self.scalar]

        def search(here: Pointers, number: Number, state: Sequence[Register]) -> list[Register]:
            x, (best, chosen) = self.load(here[0], lanes, count), state
            better = self.better(x, best)
            own = self._splat(number, integer, lanes)
            return [f.select(better, x, best), f.select(better, own, chosen)]

        start, number = self.at_first_tap(pointers, taps)
        first = [self.load(start[0], lanes, count), self._splat(number, integer, lanes)]
        _, chosen = self.over_taps(search, pointers, taps, first)
        dy = self.load(pointers[1], lanes, count)

        def add(here: Pointers, number: Number, state: Sequence[Register]) -> list[Register]:
            hit = f.compare("icmp eq", chosen, self._splat(number, integer, lanes))
            self._put(hit, dy, here[-1], count)
            return []

        self.over_taps(add, pointers, taps, [])

    def _written_out_place(
        self, pointers: Pointers, taps: list[Taps], lanes: int, count: int
    ) -> None:
        """The same without numbers of taps: each is the maximum unless a later one is better."""
        f = self.f
        places: list[Register] = []
        betters: list[Register] = []

        def search(here: Pointers, number: Number, state: Sequence[Register]) -> list[Register]:
            x = self.load(here[0], lanes, count)
            places.append(here[-1])
            if not state:
                return [x]
            betters.append(self.better(x, state[0]))
            return [f.select(betters[-1], x, state[0])]

        self.over_taps(search, pointers, taps, [])
        dy = self.load(pointers[1], lanes, count)
        none_later = constant(1, "i1", lanes)
        hits: list[Register] = []
        for better in reversed(betters):
            hits.append(f.binary("and", better, none_later))
            not_better = f.binary("xor", better, constant(1, "i1", lanes))
            none_later = f.binary("and", not_better, none_later)
        for hit, place in zip([none_later, *reversed(hits)], places, strict=True):
            self._put(hit, dy, place, count)

    def _put(self, hit: Register, dy: Register, place: Register, count: int) -> None:
        f = self.f
        number = f.select(hit, dy, constant(0, self.scalar, dy.lanes))
        if self.kernel.overlaps:
            number = f.binary("fadd", self.load(place, dy.lanes, count), number)
        f.store_part(number, place, count)

    def _splat(self, number: Number, integer: str, lanes: int) -> Register:
        if isinstance(number, int):
            return constant(number, integer, lanes)
        if integer == "i32":
            number = self.f.cast("trunc", number, "i32")
        return self.f.splat(number, lanes)
