"""Kernels that index, order and count: take, scatter_add, argsort, argmax, argmin, cumulative_sum,
iota, random_bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from chainrule.backends.cpu.addressing import (
    Bounds,
    address,
    base,
    kernel_function,
    load,
    nested_loops,
    share,
    smaller,
    store,
)
from chainrule.backends.cpu.elementwise import ELEMENTWISE, convert
from chainrule.backends.cpu.faults import INDEX_OUT_OF_RANGE
from chainrule.backends.cpu.ir import SCALARS, Function, Register, constant, lane_numbers
from chainrule.backends.cpu.random_bits import WORK, emit_random_bits
from chainrule.backends.cpu.target import Target
from chainrule.backends.cpu.views import View, contiguous_strides
from chainrule.dtypes import INT64
from chainrule.graph.operand import Attributes

# A piece takes at least a microsecond or two: a barrier between threads costs a third of one.
WORK_OF_A_PIECE = 1 << 12
MOST_PIECES = 8
_WORK_OF_AN_ELEMENT = {"take": 1, "argmax": 2, "argmin": 2, "cumulative_sum": 2}
LINE_BYTES = 64
# So near are rows asked for before they are needed; smaller tables stay in the cache.
BYTES_AHEAD, MOST_AHEAD, BYTES_IN_CACHE = 4096, 16, 1 << 18


@dataclass(eq=False)
class Movement:
    """One node that is not elementwise, with the views it reads and the one it writes."""

    primitive: str
    attributes: Attributes
    inputs: tuple[View, ...]
    target: View
    error: View
    scratch: View | None = None

    def pieces(self, target: Target) -> int:
        """Into how many ranges of its outermost axis the work is cut; fixed by sizes alone.

        Rows are gathered, and lines searched and summed up, in any order; what scatter_add adds to
        one place and what argsort has one scratch line for is not cut.
        """
        if self.primitive == "random_bits":
            size = math.prod(self.target.shape)
            vectors = size // 2 // (target.vector_bytes // 4)
            return max(1, min(MOST_PIECES, size * WORK // WORK_OF_A_PIECE, vectors))
        if self.primitive not in _WORK_OF_AN_ELEMENT:
            return 1
        axes = self._cut_axes()
        if not axes or 0 in self.target.shape or 0 in self.inputs[0].shape:
            return 1
        elements = math.prod((self.target if self.primitive == "take" else self.inputs[0]).shape)
        pieces = elements * _WORK_OF_AN_ELEMENT[self.primitive] // WORK_OF_A_PIECE
        return max(1, min(MOST_PIECES, pieces, axes[0]))

    def _cut_axes(self) -> list[int]:
        """The lengths of the axes that the outer loops go through; the first is cut."""
        return list(self.inputs[1].shape) if self.primitive == "take" else _lines(self)[1]

    def bounds(self, f: Function, target: Target) -> Bounds | None:
        """This piece's part of the outermost axis."""
        pieces = self.pieces(target)
        return None if pieces == 1 else share(f, f.arguments[1], pieces, self._cut_axes()[0])

    def buffers_read(self) -> set[int]:
        """The buffers it reads."""
        return {view.buffer for view in self.inputs}

    def buffers_written(self) -> set[int]:
        """The buffers it writes."""
        extra = {self.scratch.buffer} if self.scratch else set()
        return {self.target.buffer} | extra

    def updates(self, source: int, target: int) -> bool:
        """Elements move: never."""
        return False

    def emit(self, name: str, target: Target) -> Function:
        """The kernel's function ``(buffers, piece)``."""
        f = kernel_function(name)
        MOVEMENTS[self.primitive](f, self, target)
        return f


def _checked_index(
    f: Function, kernel: Movement, index: Register, dtype: Any, length: int
) -> Register:
    """An index as int64 in 0 .. length - 1; one out of range is reported and becomes 0."""
    index = convert(f, dtype, INT64, index)
    zero, end = constant(0, "i64"), constant(length, "i64")
    index = f.select(f.compare("icmp slt", index, zero), f.binary("add", index, end), index)
    outside = f.compare("icmp uge", index, end)
    with f.when(outside):
        f.store(constant(INDEX_OUT_OF_RANGE, "i64"), base(f, kernel.error))
    return f.select(outside, zero, index)


def _take(f: Function, kernel: Movement, target: Target) -> None:
    source, indices = kernel.inputs
    axis = kernel.attributes["axis"]
    if source.shape[axis] == 0:
        if 0 not in indices.shape:
            f.store(constant(INDEX_OUT_OF_RANGE, "i64"), base(f, kernel.error))
        return
    pointers = [base(f, v) for v in (source, indices, kernel.target)]
    before, after = source.shape[:axis], source.shape[axis + 1 :]
    lanes = target.lanes(source.dtype)
    with nested_loops(f, indices.shape, kernel.bounds(f, target)) as places:
        index = load(f, indices, pointers[1], places)
        index = _checked_index(f, kernel, index, indices.dtype, source.shape[axis])
        _ask_for_row(f, kernel, pointers, places)
        for span, inner in _spans(f, after, (source, kernel.target), lanes):
            with nested_loops(f, before) as outer, inner as rest:
                x = f.load(
                    address(f, source, pointers[0], [*outer, index, *rest]),
                    SCALARS[source.dtype.name],
                    span,
                )
                f.store(x, address(f, kernel.target, pointers[2], [*outer, *places, *rest]))


def _ask_for_row(
    f: Function, kernel: Movement, pointers: Sequence[Register], places: Sequence[Register]
) -> None:
    """Begin to read the row that is taken a little later: rows in random order come from far.

    An index out of range does no harm here.
    """
    source, indices = kernel.inputs
    size = source.dtype.itemsize
    row_bytes = math.prod(source.shape[1:]) * size
    is_list_of_rows = kernel.attributes["axis"] == 0 and len(places) == 1
    rows_are_whole = source.strides[1:] == contiguous_strides(source.shape[1:])
    if not is_list_of_rows or not rows_are_whole or row_bytes * source.shape[0] < BYTES_IN_CACHE:
        return
    ahead = max(1, min(MOST_AHEAD, BYTES_AHEAD // row_bytes))
    last = constant(indices.shape[0] - 1, "i64")
    later = smaller(f, f.binary("add", places[0], constant(ahead, "i64")), last)
    index = convert(f, indices.dtype, INT64, load(f, indices, pointers[1], [later]))
    step = constant(source.strides[0] * size, "i64")
    row = f.at(pointers[0], f.binary("mul", index, step))
    with f.loop(0, row_bytes, LINE_BYTES) as loop:
        f.prefetch(f.at(row, loop.index))


def _scatter_add(f: Function, kernel: Movement, target: Target) -> None:
    source, indices, updates = kernel.inputs
    axis = kernel.attributes["axis"]
    pointers = [base(f, v) for v in (source, indices, updates, kernel.target)]
    lanes, scalar = target.lanes(source.dtype), SCALARS[source.dtype.name]
    for span, inner in _spans(f, source.shape, (source, kernel.target), lanes):
        with inner as places:
            x = f.load(address(f, source, pointers[0], places), scalar, span)
            f.store(x, address(f, kernel.target, pointers[3], places))
    if source.shape[axis] == 0:
        return
    before, after = source.shape[:axis], source.shape[axis + 1 :]
    with nested_loops(f, indices.shape) as places:
        index = load(f, indices, pointers[1], places)
        index = _checked_index(f, kernel, index, indices.dtype, source.shape[axis])
        for span, inner in _spans(f, after, (updates, kernel.target), lanes):
            with nested_loops(f, before) as outer, inner as rest:
                x = f.load(
                    address(f, updates, pointers[2], [*outer, *places, *rest]),
                    scalar,
                    span,
                )
                where = address(f, kernel.target, pointers[3], [*outer, index, *rest])
                total = f.load(where, x.scalar, span)
                f.store(ELEMENTWISE["add"](f, source.dtype, {}, total, x), where)


def _spans(
    f: Function, shape: Sequence[int], across: tuple[View, ...], lanes: int
) -> Iterator[tuple[int, AbstractContextManager[list[Register]]]]:
    """Loops over the last axes, with how many elements side by side each trip takes.

    Where all views have the last axis in one piece it is gone through in vectors, and its rest in a
    narrower one.
    """
    if not shape or any(view.strides[-1] != 1 for view in across):
        yield 1, nested_loops(f, shape)
        return
    whole, rest = divmod(shape[-1], lanes)
    if whole:
        yield lanes, _strided(f, shape[:-1], range(0, whole * lanes, lanes))
    if rest:
        yield rest, _strided(f, shape[:-1], range(whole * lanes, shape[-1], lanes))


@contextmanager
def _strided(f: Function, outer: Sequence[int], last: range) -> Iterator[list[Register]]:
    with nested_loops(f, outer) as indices, f.loop(last.start, last.stop, last.step) as loop:
        yield [*indices, loop.index]


def _iota(f: Function, kernel: Movement, target: Target) -> None:
    made, pointer = kernel.target, base(f, kernel.target)
    with nested_loops(f, made.shape) as places:
        index = convert(f, INT64, made.dtype, places[kernel.attributes["axis"]])
        store(f, index, made, pointer, places)


def _random_bits(f: Function, kernel: Movement, target: Target) -> None:
    key, counters = kernel.inputs
    emit_random_bits(f, key, counters, kernel.target, target, kernel.pieces(target))


def _lines(kernel: Movement) -> tuple[int, list[int]]:
    """The axis worked along, and the lengths of the other axes."""
    shape, axis = kernel.inputs[0].shape, int(kernel.attributes["axis"])
    return axis, [n for a, n in enumerate(shape) if a != axis]


def _put(others: Sequence[Register], axis: int, index: Register) -> list[Register]:
    return [*others[:axis], index, *others[axis:]]


def _argument(f: Function, kernel: Movement, target: Target) -> None:
    source = kernel.inputs[0]
    axis, lengths = _lines(kernel)
    pointer, out = base(f, source), base(f, kernel.target)
    lanes = min(target.lanes(source.dtype), 1 << (source.shape[axis].bit_length() - 1))
    if source.strides[axis] != 1 or source.dtype.kind == "b":
        lanes = 1
    with nested_loops(f, lengths, kernel.bounds(f, target)) as others:
        line = address(f, source, pointer, _put(others, axis, constant(0, "i64")))
        place = _best_of_line(f, kernel, line, lanes)
        store(f, f.cast("sext", place, "i64"), kernel.target, out, others)


def _best_of_line(f: Function, kernel: Movement, line: Register, lanes: int) -> Register:
    """The place of the largest or smallest element of a line, a vector at a time.

    The last vector begins where it still is whole. What it reads twice changes nothing: of equals
    the first place counts.
    """
    source, axis = kernel.inputs[0], kernel.attributes["axis"]
    scalar, length = SCALARS[source.dtype.name], source.shape[axis]
    step = source.strides[axis] * source.dtype.itemsize

    def candidates(first: Register) -> tuple[Register, Register]:
        x = f.load(f.at(line, f.binary("mul", first, constant(step, "i64"))), scalar, lanes)
        places = f.splat(f.cast("trunc", first, "i32"), lanes)
        return x, f.binary("add", places, lane_numbers(lanes))

    best = candidates(constant(0, "i64"))
    with f.loop(lanes, length - lanes + 1, lanes, best) as loop:
        x, places = candidates(loop.index)
        better = _better(f, kernel, x, loop.values[0])
        loop.next = [f.select(better, x, loop.values[0]), f.select(better, places, loop.values[1])]
    best = (loop.results[0], loop.results[1])
    if length % lanes:
        x, places = candidates(constant(length - lanes, "i64"))
        better = _better(f, kernel, x, best[0])
        best = f.select(better, x, best[0]), f.select(better, places, best[1])
    while best[0].lanes > 1:
        best = _better_half(f, kernel, *best)
    return best[1]


def _better(f: Function, kernel: Movement, x: Register, y: Register) -> Register:
    """Whether ``x`` rather than an earlier ``y`` is the answer. NaN beats numbers, as in NumPy."""
    dtype = kernel.inputs[0].dtype
    largest = kernel.primitive == "argmax"
    if dtype.kind == "f":
        beyond = f.compare("fcmp ugt" if largest else "fcmp ult", x, y)
        return f.binary("and", beyond, f.compare("fcmp ord", y, y))
    low, high = (y, x) if largest else (x, y)
    return ELEMENTWISE["less"](f, dtype, {}, low, high)


def _better_half(
    f: Function, kernel: Movement, x: Register, places: Register
) -> tuple[Register, Register]:
    """The better of each two lanes that are half a vector apart; of equals the first place."""
    half = x.lanes // 2

    def part(whole: Register, first: int) -> Register:
        if half == 1:
            return f.extract(whole, first)
        return f.shuffle(whole, whole, range(first, first + half))

    x1, p1, x2, p2 = part(x, 0), part(places, 0), part(x, half), part(places, half)
    same = f.binary("xor", _better(f, kernel, x1, x2), constant(1, "i1", half))
    earlier = f.binary("and", same, f.compare("icmp slt", p2, p1))
    second = f.binary("or", _better(f, kernel, x2, x1), earlier)
    return f.select(second, x2, x1), f.select(second, p2, p1)


def _cumulative_sum(f: Function, kernel: Movement, target: Target) -> None:
    source = kernel.inputs[0]
    axis, lengths = _lines(kernel)
    length = source.shape[axis]
    pointer, out = base(f, source), base(f, kernel.target)
    with nested_loops(f, lengths, kernel.bounds(f, target)) as others:
        total = constant(0, SCALARS[source.dtype.name])
        with f.loop(0, length, 1, [total]) as loop:
            index = loop.index
            if kernel.attributes["reverse"]:
                index = f.binary("sub", constant(length - 1, "i64"), index)
            x = load(f, source, pointer, _put(others, axis, index))
            total = ELEMENTWISE["add"](f, source.dtype, {}, loop.values[0], x)
            store(f, total, kernel.target, out, _put(others, axis, index))
            loop.next = [total]


def _argsort(f: Function, kernel: Movement, target: Target) -> None:
    """Bottom-up merge sort of the indices of each line: stable, NaN last."""
    source, order = kernel.inputs[0], kernel.target
    assert kernel.scratch is not None
    axis, lengths = _lines(kernel)
    length = source.shape[axis]
    pointer, out, spare = base(f, source), base(f, order), base(f, kernel.scratch)
    with nested_loops(f, lengths) as others:
        with f.loop(0, length) as loop:
            store(f, loop.index, order, out, _put(others, axis, loop.index))
        width = 1
        while width < length:
            with f.loop(0, length, 2 * width) as loop:
                _merge(f, kernel, (pointer, out, spare), others, axis, loop.index, width)
            with f.loop(0, length) as loop:
                x = load(f, kernel.scratch, spare, [loop.index])
                store(f, x, order, out, _put(others, axis, loop.index))
            width *= 2


def _merge(
    f: Function, kernel: Movement, pointers: tuple[Register, Register, Register],
    others: Sequence[Register], axis: int, start: Register, width: int,
) -> None:  # fmt: skip
    source, target, scratch = kernel.inputs[0], kernel.target, kernel.scratch
    assert scratch is not None
    end = constant(source.shape[axis], "i64")
    middle = smaller(f, f.binary("add", start, constant(width, "i64")), end)
    stop = smaller(f, f.binary("add", start, constant(2 * width, "i64")), end)
    last = f.binary("sub", end, constant(1, "i64"))
    with f.loop(start, stop, 1, [start, middle]) as loop:
        left, right = loop.values
        # Reading stays inside the line also where one side is used up.
        a = load(f, target, pointers[1], _put(others, axis, smaller(f, left, last)))
        b = load(f, target, pointers[1], _put(others, axis, smaller(f, right, last)))
        x = load(f, source, pointers[0], _put(others, axis, a))
        y = load(f, source, pointers[0], _put(others, axis, b))
        right_first = ELEMENTWISE["less"](f, source.dtype, {}, y, x)
        if source.dtype.kind == "f":
            x_nan, y_nan = f.compare("fcmp uno", x, x), f.compare("fcmp ord", y, y)
            right_first = f.binary("or", right_first, f.binary("and", x_nan, y_nan))
        left_done = f.compare("icmp sge", left, middle)
        right_left = f.compare("icmp slt", right, stop)
        take_right = f.binary("and", right_left, f.binary("or", left_done, right_first))
        store(f, f.select(take_right, b, a), scratch, pointers[2], [loop.index])
        step = f.cast("zext", take_right, "i64")
        loop.next = [
            f.binary("add", left, f.binary("sub", constant(1, "i64"), step)),
            f.binary("add", right, step),
        ]


MOVEMENTS: dict[str, Callable[[Function, Movement, Target], None]] = {
    "take": _take,
    "scatter_add": _scatter_add,
    "iota": _iota,
    "random_bits": _random_bits,
    "argmax": _argument,
    "argmin": _argument,
    "argsort": _argsort,
    "cumulative_sum": _cumulative_sum,
}
