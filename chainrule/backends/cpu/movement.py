"""Kernels that index, order and count: take, scatter_add, argsort, argmax, argmin, cumulative_sum,
iota.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from chainrule.backends.cpu.addressing import address, base, load, nested_loops, store
from chainrule.backends.cpu.elementwise import ELEMENTWISE, convert
from chainrule.backends.cpu.faults import INDEX_OUT_OF_RANGE
from chainrule.backends.cpu.ir import SCALARS, Function, Register, constant
from chainrule.backends.cpu.target import Target
from chainrule.backends.cpu.views import View
from chainrule.dtypes import INT64
from chainrule.graph.operand import Attributes


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
        """One."""
        return 1

    def buffers_read(self) -> set[int]:
        """The buffers it reads."""
        return {view.buffer for view in self.inputs}

    def buffers_written(self) -> set[int]:
        """The buffers it writes."""
        extra = {self.scratch.buffer} if self.scratch else set()
        return {self.target.buffer} | extra

    def emit(self, name: str, target: Target) -> Function:
        """The kernel's function ``(buffers, piece)``."""
        f = Function(name, [("ptr", "buffers"), ("i64", "piece")])
        MOVEMENTS[self.primitive](f, self, target.vector_bytes // 4)
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


def _take(f: Function, kernel: Movement, lanes: int) -> None:
    source, indices = kernel.inputs
    axis = kernel.attributes["axis"]
    if source.shape[axis] == 0:
        if 0 not in indices.shape:
            f.store(constant(INDEX_OUT_OF_RANGE, "i64"), base(f, kernel.error))
        return
    pointers = [base(f, v) for v in (source, indices, kernel.target)]
    before, after = source.shape[:axis], source.shape[axis + 1 :]
    with nested_loops(f, indices.shape) as places:
        index = load(f, indices, pointers[1], places)
        index = _checked_index(f, kernel, index, indices.dtype, source.shape[axis])
        for span, inner in _spans(f, after, (source, kernel.target), lanes):
            with nested_loops(f, before) as outer, inner as rest:
                x = f.load(
                    address(f, source, pointers[0], [*outer, index, *rest]),
                    SCALARS[source.dtype.name],
                    span,
                )
                f.store(x, address(f, kernel.target, pointers[2], [*outer, *places, *rest]))


def _scatter_add(f: Function, kernel: Movement, lanes: int) -> None:
    source, indices, updates = kernel.inputs
    axis = kernel.attributes["axis"]
    pointers = [base(f, v) for v in (source, indices, updates, kernel.target)]
    with nested_loops(f, source.shape) as places:
        store(f, load(f, source, pointers[0], places), kernel.target, pointers[3], places)
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
                    SCALARS[source.dtype.name],
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


def _iota(f: Function, kernel: Movement, lanes: int) -> None:
    target, pointer = kernel.target, base(f, kernel.target)
    with nested_loops(f, target.shape) as places:
        index = convert(f, INT64, target.dtype, places[kernel.attributes["axis"]])
        store(f, index, target, pointer, places)


def _lines(kernel: Movement) -> tuple[int, list[int]]:
    """The axis worked along, and the lengths of the other axes."""
    shape, axis = kernel.inputs[0].shape, int(kernel.attributes["axis"])
    return axis, [n for a, n in enumerate(shape) if a != axis]


def _put(others: Sequence[Register], axis: int, index: Register) -> list[Register]:
    return [*others[:axis], index, *others[axis:]]


def _argument(f: Function, kernel: Movement, lanes: int) -> None:
    source = kernel.inputs[0]
    axis, lengths = _lines(kernel)
    pointer, out = base(f, source), base(f, kernel.target)
    largest = kernel.primitive == "argmax"
    zero = constant(0, "i64")
    with nested_loops(f, lengths) as others:
        first = load(f, source, pointer, _put(others, axis, zero))
        with f.loop(1, source.shape[axis], 1, [first, zero]) as loop:
            x = load(f, source, pointer, _put(others, axis, loop.index))
            best, place = loop.values
            low, high = (best, x) if largest else (x, best)
            better = ELEMENTWISE["less"](f, source.dtype, {}, low, high)
            if source.dtype.kind == "f":
                # The first NaN wins, as in NumPy.
                is_nan, was_nan = f.compare("fcmp uno", x, x), f.compare("fcmp uno", best, best)
                fresh = f.binary("and", is_nan, f.binary("xor", was_nan, constant(1, "i1")))
                better = f.binary("or", better, fresh)
            loop.next = [f.select(better, x, best), f.select(better, loop.index, place)]
        store(f, loop.results[1], kernel.target, out, others)


def _cumulative_sum(f: Function, kernel: Movement, lanes: int) -> None:
    source = kernel.inputs[0]
    axis, lengths = _lines(kernel)
    length = source.shape[axis]
    pointer, out = base(f, source), base(f, kernel.target)
    with nested_loops(f, lengths) as others:
        total = constant(0, SCALARS[source.dtype.name])
        with f.loop(0, length, 1, [total]) as loop:
            index = loop.index
            if kernel.attributes["reverse"]:
                index = f.binary("sub", constant(length - 1, "i64"), index)
            x = load(f, source, pointer, _put(others, axis, index))
            total = ELEMENTWISE["add"](f, source.dtype, {}, loop.values[0], x)
            store(f, total, kernel.target, out, _put(others, axis, index))
            loop.next = [total]


def _argsort(f: Function, kernel: Movement, lanes: int) -> None:
    """Bottom-up merge sort of the indices of each line: stable, NaN last."""
    source, target = kernel.inputs[0], kernel.target
    assert kernel.scratch is not None
    axis, lengths = _lines(kernel)
    length = source.shape[axis]
    pointer, out, spare = base(f, source), base(f, target), base(f, kernel.scratch)
    with nested_loops(f, lengths) as others:
        with f.loop(0, length) as loop:
            store(f, loop.index, target, out, _put(others, axis, loop.index))
        width = 1
        while width < length:
            with f.loop(0, length, 2 * width) as loop:
                _merge(f, kernel, (pointer, out, spare), others, axis, loop.index, width)
            with f.loop(0, length) as loop:
                x = load(f, kernel.scratch, spare, [loop.index])
                store(f, x, target, out, _put(others, axis, loop.index))
            width *= 2


def _merge(
    f: Function, kernel: Movement, pointers: tuple[Register, Register, Register],
    others: Sequence[Register], axis: int, start: Register, width: int,
) -> None:  # fmt: skip
    source, target, scratch = kernel.inputs[0], kernel.target, kernel.scratch
    assert scratch is not None
    end = constant(source.shape[axis], "i64")
    middle = _smaller(f, f.binary("add", start, constant(width, "i64")), end)
    stop = _smaller(f, f.binary("add", start, constant(2 * width, "i64")), end)
    last = f.binary("sub", end, constant(1, "i64"))
    with f.loop(start, stop, 1, [start, middle]) as loop:
        left, right = loop.values
        # Reading stays inside the line also where one side is used up.
        a = load(f, target, pointers[1], _put(others, axis, _smaller(f, left, last)))
        b = load(f, target, pointers[1], _put(others, axis, _smaller(f, right, last)))
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


def _smaller(f: Function, x: Register, y: Register) -> Register:
    return f.select(f.compare("icmp slt", x, y), x, y)


MOVEMENTS: dict[str, Callable[[Function, Movement, int], None]] = {
    "take": _take,
    "scatter_add": _scatter_add,
    "iota": _iota,
    "argmax": _argument,
    "argmin": _argument,
    "argsort": _argsort,
    "cumulative_sum": _cumulative_sum,
}
