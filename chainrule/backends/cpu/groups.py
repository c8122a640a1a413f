"""Kernels of elementwise groups: one pass over an iteration space that computes, stores and
reduces.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from chainrule.backends.cpu.addressing import Bounds, base, kernel_function, share
from chainrule.backends.cpu.bodies import Body, divides_integers, neutral_number
from chainrule.backends.cpu.ir import SCALARS, Function, Register, constant
from chainrule.backends.cpu.target import Target
from chainrule.backends.cpu.views import (
    Shape,
    View,
    broadcast,
    contiguous_strides,
    merge_axes,
    reshape,
)
from chainrule.graph.graph import Node, Value

# A piece takes at least some microseconds: a barrier between threads costs a third of one.
WORK_OF_A_PIECE = 1 << 14
MOST_PIECES = 8


@dataclass(eq=False)
class Reduction:
    """A reduction of a value of the group's shape into its own buffer."""

    node: Node[Value]
    source: Value
    target: View

    @property
    def primitive(self) -> str:
        """``reduce_sum``, ..."""
        return self.node.primitive.name

    def spread(self, shape: Shape) -> View:
        """The target over the whole iteration: stride 0 along what is reduced."""
        axes = self.node.attributes["axes"]
        kept = iter(contiguous_strides(self.target.shape))
        strides = tuple(0 if axis in axes else next(kept) for axis in range(len(shape)))
        return View(self.target.buffer, self.target.dtype, shape, strides, self.target.offset)


@dataclass(eq=False)
class Group:
    """Elementwise nodes over one shape, what is read, stored and reduced."""

    shape: Shape
    nodes: dict[Value, Node[Value]] = field(default_factory=dict)
    leaves: dict[Value, View] = field(default_factory=dict)
    numbers: dict[Value, float] = field(default_factory=dict)
    stores: dict[Value, View] = field(default_factory=dict)
    reductions: list[Reduction] = field(default_factory=list)
    error: View | None = None

    def division(self, lanes: int) -> tuple[int, int]:
        """Which axis of the merged iteration is cut, and into how many pieces; fixed by sizes
        alone.

        An axis that a sum runs along is not cut, so that every sum is added up in one order.
        """
        shape, strides = merge_axes(self.shape, [view.strides for view in self.all_views()])
        first = len(strides) - len(self.reductions)
        work = math.prod(shape) * max(len(self.nodes), 1)
        for axis, length in enumerate(shape):
            if any(s[axis] == 0 for s in strides[first:]):
                continue
            units = length // lanes if axis == len(shape) - 1 else length
            pieces = min(MOST_PIECES, work // WORK_OF_A_PIECE, units)
            if pieces > 1:
                return axis, pieces
        return 0, 1

    def pieces(self, target: Target) -> int:
        """How many pieces the work is cut into."""
        return self.division(target.vector_bytes // 4)[1]

    def all_views(self) -> list[View]:
        """Leaves, stores and reductions as views over the iteration."""
        views = [broadcast(view, self.shape) for view in self.leaves.values()]
        views += list(self.stores.values())
        return views + [reduction.spread(self.shape) for reduction in self.reductions]

    def seen_in(self, shape: Shape) -> list[View] | None:
        """Leaves and stores as views in another shape of as many elements, or None if there are
        no such views.
        """
        if math.prod(self.shape) != math.prod(shape):
            return None
        touched = self.all_views()[: len(self.leaves) + len(self.stores)]
        reshaped = [reshape(view, shape) for view in touched]
        return [view for view in reshaped if view is not None] if all(reshaped) else None

    def buffers_read(self) -> set[int]:
        """The buffers of its leaves."""
        return {view.buffer for view in self.leaves.values()}

    def buffers_written(self) -> set[int]:
        """The buffers of stores and reductions."""
        stored = {view.buffer for view in self.stores.values()}
        return stored | {r.target.buffer for r in self.reductions}

    def updates(self, source: int, target: int) -> bool:
        """Each element of ``source`` is read where the same element of ``target`` is written."""
        written = [view for view in self.stores.values() if view.buffer == target]
        read = [view for view in self.leaves.values() if view.buffer == source]
        return len(written) == 1 and all(
            broadcast(view, self.shape).strides == written[0].strides
            and view.offset == written[0].offset
            for view in read
        )

    def emit(self, name: str, target: Target) -> Function:
        """The kernel's function ``(buffers, piece)``."""
        return _Emitter(self, name, target).emit()


class _Emitter:
    """Emits one group: nested loops, the innermost in vectors, its rest in one narrower vector."""

    def __init__(self, group: Group, name: str, target: Target) -> None:
        self.group = group
        self.lanes = lanes = target.vector_bytes // 4
        # Lanes that were not read hold 0, by which integers are not divided.
        divides = any(divides_integers(node) for node in group.nodes.values())
        self.masks = target.has_masks and not divides
        self.f = kernel_function(name)
        self.axis, self.pieces = group.division(lanes)
        self.views = group.all_views()
        self.shape, self.strides = merge_axes(group.shape, [view.strides for view in self.views])
        self._body = Body(self.f, group, self.views)

    def emit(self) -> Function:
        """All of it."""
        f = self.f
        pointers = [base(f, view) for view in self.views]
        if self._sums_columns():
            self._columns(pointers)
            return f
        first = len(self.group.leaves) + len(self.group.stores)
        for number in range(len(self.group.reductions)):
            self._initialize(number, pointers[first + number])
        if 0 not in self.shape:
            self._loops(pointers, 0)
        return f

    def _sums_columns(self) -> bool:
        """Whether every reduction runs down the columns of a matrix."""
        first = len(self.views) - len(self.group.reductions)
        sums = self.strides[first:]
        return bool(sums) and len(self.shape) == 2 and all(s[0] == 0 and s[1] == 1 for s in sums)

    def _columns(self, pointers: list[Register]) -> None:
        """A few columns at a time down all rows: their sums stay in registers."""
        columns = self.shape[1]
        whole, rest = divmod(columns, self.lanes)
        span = whole * self.lanes
        if whole:
            with self.f.loop(*self._vectors(span), self.lanes) as loop:
                moved = [self._moved(p, i, 1, loop.index) for i, p in enumerate(pointers)]
                self._down(moved, self.lanes, self.lanes)
        if rest:
            at = constant(span, "i64")
            moved = [self._moved(p, i, 1, at) for i, p in enumerate(pointers)]
            lanes = self.lanes if self.masks else rest
            if self.pieces == 1:
                self._down(moved, lanes, rest)
            else:
                with self.f.when(self._is_last_piece()):
                    self._down(moved, lanes, rest)

    def _down(self, pointers: list[Register], lanes: int, count: int) -> None:
        """Some columns from the first row to the last."""
        numbers = range(len(self.group.reductions))
        steps = [s[1] for s in self.strides]
        carried = [self._body.neutral(i, lanes) for i in numbers]
        with self.f.loop(0, self.shape[0], 1, carried) as loop:
            moved = [self._moved(p, i, 0, loop.index) for i, p in enumerate(pointers)]
            made = self._body.emit(moved, steps, lanes, count, loop.values)
            loop.next = [made[i] for i in numbers]
        first = len(self.views) - len(numbers)
        for i in numbers:
            self.f.store_part(loop.results[i], pointers[first + i], count)

    def _initialize(self, number: int, pointer: Register, axis: int = 0) -> None:
        """Fill the part of a reduction's target that this piece adds to."""
        f, reduction = self.f, self.group.reductions[number]
        view = len(self.views) - len(self.group.reductions) + number
        if axis == len(self.shape):
            dtype = reduction.target.dtype
            f.store(
                constant(neutral_number(reduction.primitive, dtype), SCALARS[dtype.name]), pointer
            )
        elif self.strides[view][axis] == 0:
            self._initialize(number, pointer, axis + 1)
        else:
            with f.loop(*self._bounds(axis)) as loop:
                self._initialize(number, self._moved(pointer, view, axis, loop.index), axis + 1)

    def _bounds(self, axis: int) -> Bounds:
        """The part of an axis that this piece goes through; the innermost in whole vectors."""
        length = self.shape[axis]
        if self.pieces == 1 or axis != self.axis:
            return 0, length
        if axis < len(self.shape) - 1:
            return share(self.f, self.f.arguments[1], self.pieces, length)
        begin, end = self._vectors(length // self.lanes * self.lanes)
        is_last = self._is_last_piece()
        return begin, self.f.select(is_last, constant(length, "i64"), end)

    def _vectors(self, length: int) -> tuple[Register, Register]:
        """This piece's part of an axis of whole vectors."""
        return share(self.f, self.f.arguments[1], self.pieces, length, self.lanes)

    def _is_last_piece(self) -> Register:
        last = constant(self.pieces - 1, "i64")
        return self.f.compare("icmp eq", self.f.arguments[1], last)

    def _loops(self, pointers: list[Register], axis: int) -> None:
        if axis >= len(self.shape) - 1:
            self._innermost(pointers)
            return
        f = self.f
        with f.loop(*self._bounds(axis)) as loop:
            self._loops(
                [self._moved(p, i, axis, loop.index) for i, p in enumerate(pointers)], axis + 1
            )

    def _moved(self, pointer: Register, number: int, axis: int, index: Register) -> Register:
        step = self.strides[number][axis] * self.views[number].dtype.itemsize
        if step == 0:
            return pointer
        return self.f.at(pointer, self.f.binary("mul", index, constant(step, "i64")))

    def _innermost(self, pointers: list[Register]) -> None:
        length = self.shape[-1] if self.shape else 1
        steps = [s[-1] if s else 0 for s in self.strides]
        whole, rest = divmod(length, self.lanes)
        is_cut = self.pieces > 1 and self.axis == len(self.shape) - 1
        first = len(self.views) - len(self.group.reductions)
        inner = [i for i, step in enumerate(steps[first:]) if step == 0]
        sums: dict[int, list[tuple[Register, int]]] = {i: [] for i in inner}
        if whole:
            carried = [self._body.neutral(i, self.lanes) for i in inner]
            span = whole * self.lanes
            bounds: Bounds = (0, span)
            if is_cut:
                bounds = self._vectors(span)
            with self.f.loop(*bounds, self.lanes, carried) as loop:
                moved = [
                    self._moved(p, i, -1, loop.index) if steps[i] else p
                    for i, p in enumerate(pointers)
                ]
                made = self._body.emit(moved, steps, self.lanes, self.lanes)
                loop.next = [
                    self._body.combine(i, total, made[i])
                    for i, total in zip(inner, loop.values, strict=True)
                ]
            for i, total in zip(inner, loop.results, strict=True):
                sums[i].append((total, self.lanes))
        if rest and is_cut:
            with self.f.when(self._is_last_piece()):
                self._rest(pointers, steps, whole, rest)
        elif rest:
            made = self._rest(pointers, steps, whole, rest)
            for i in inner:
                sums[i].append((made[i], rest))
        for i in inner:
            self._accumulate_lanes(i, pointers[first + i], sums[i])

    def _rest(
        self, pointers: list[Register], steps: Sequence[int], whole: int, rest: int
    ) -> dict[int, Register]:
        """The last elements of a line, in part of a vector or a narrower one."""
        at = constant(whole * self.lanes, "i64")
        moved = [self._moved(p, i, -1, at) if steps[i] else p for i, p in enumerate(pointers)]
        return self._body.emit(moved, steps, self.lanes if self.masks else rest, rest)

    def _accumulate_lanes(
        self, i: int, pointer: Register, parts: list[tuple[Register, int]]
    ) -> None:
        """Add up lanes in their order: the same bits whatever the target is."""
        scalar = SCALARS[self.group.reductions[i].target.dtype.name]
        total = self.f.load(pointer, scalar)
        for part, count in parts:
            for lane in range(count):
                total = self._body.combine(i, total, self.f.extract(part, lane))
        self.f.store(total, pointer)
