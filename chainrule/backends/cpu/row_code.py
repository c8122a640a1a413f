"""The code of a row group: blocks of rows, phase after phase, each row in vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod

from chainrule.backends.cpu.addressing import base, kernel_function, share, smaller
from chainrule.backends.cpu.bodies import Body, combine, combine_lanes, neutral, only_first
from chainrule.backends.cpu.groups import Group, Reduction
from chainrule.backends.cpu.ir import SCALARS, Function, Register, constant
from chainrule.backends.cpu.row_phases import Phase, Phases
from chainrule.backends.cpu.target import Target
from chainrule.backends.cpu.views import Shape, View, contiguous_strides, merge_axes
from chainrule.graph.graph import Node, Value

# A sum along a row is added up in as many parts side by side where little else is done: a sum alone
# waits for each addition. Of sums down the columns as many rows are added at once.
_SIDE_BY_SIDE = 4
_LITTLE = 6


@dataclass(eq=False)
class RowGroup:
    """Groups over the same rows as one kernel.

    Attributes:
        rows: the lengths of the axes of the rows.
        columns: the lengths of the axes along the row.
        work: what is computed.
        block: how many rows are taken at a time.
        parts: how many pieces; each adds up sums over the rows in a place of its own.
        nodes: all nodes it computes, for ``explain``.
        kept: memory for wide values handed from phase to phase, a block of rows for each piece.
    """

    rows: Shape
    columns: Shape
    work: Phases
    block: int
    parts: int
    nodes: list[Node[Value]]
    kept: dict[Value, View] = field(default_factory=dict)

    def pieces(self, target: Target) -> int:
        """How many; fixed by sizes alone."""
        return self.parts

    def down(self) -> list[Reduction]:
        """Sums over all rows."""
        found = []
        for phase in self.work.phases:
            found += phase.down + phase.along.reductions[len(phase.sums) :]
        return found

    def buffers_read(self) -> set[int]:
        """The buffers of what it reads."""
        return {view.buffer for view in self.views_read()}

    def views_read(self) -> list[View]:
        """What it reads of other kernels."""
        views = list(self.work.copies.values())
        own = {view.buffer for view in self.views_stored()}
        for phase in self.work.phases:
            views += [v for v in phase.along.leaves.values() if v.buffer >= 0]
        return [view for view in views if view.buffer not in own]

    def views_stored(self) -> list[View]:
        """What stands in memory afterwards, sums over rows excepted."""
        views = list(self.work.stores.values())
        for phase in self.work.phases:
            views += [v for v in phase.along.stores.values() if v.buffer >= 0]
        return views

    def buffers_written(self) -> set[int]:
        """The buffers of stores, sums and kept values."""
        views = self.views_stored() + list(self.kept.values())
        return {view.buffer for view in views} | {r.target.buffer for r in self.down()}

    def updates(self, source: int, target: int) -> bool:
        """Each element of ``source`` is read no later than the same element of ``target`` is
        written.
        """
        phases = list(enumerate(self.work.phases))
        stores = [
            (i, view)
            for i, p in phases
            for view in p.along.stores.values()
            if view.buffer == target
        ]
        reads = [
            (i, view)
            for i, p in phases
            for view in p.along.leaves.values()
            if view.buffer == source
        ]
        numbers = (*self.work.copies.values(), *self.work.stores.values())
        if len(stores) != 1 or any(view.buffer in (source, target) for view in numbers):
            return False
        last, place = stores[0]
        return all(
            i <= last and view.strides == place.strides and view.offset == place.offset
            for i, view in reads
        )

    def describe(self) -> str:
        """One line for ``explain``."""
        names = " ".join(dict.fromkeys(node.primitive.name for node in self.nodes))
        return f"rows {list(self.rows)} of {list(self.columns)}: {names}"[:100]

    def emit(self, name: str, target: Target) -> Function:
        """The kernel's function ``(buffers, piece)``."""
        return _Emitter(self, name, target).emit()


class _Emitter:
    """Emits one row group."""

    def __init__(self, kernel: RowGroup, name: str, target: Target) -> None:
        self.kernel = kernel
        self.target = target
        self.f = f = kernel_function(name)
        self.slots = {v: f.stack(8 * kernel.block) for v in kernel.work.slots}
        memory = dict.fromkeys(kernel.views_read() + kernel.views_stored())
        self.base = {view: base(f, view) for view in memory}
        depth = len(kernel.rows)
        self.rows, steps = merge_axes(kernel.rows, [view.strides[:depth] for view in memory])
        self.row_steps = dict(zip(memory, steps, strict=True))
        self.down = {id(r): self._down_base(r) for r in kernel.down()}
        self.totals = {id(r): f.stack(8 * kernel.block) for p in kernel.work.phases for r in p.down}
        self.kept = {v: self._part(view, kernel.block) for v, view in kernel.kept.items()}

    def _down_base(self, reduction: Reduction) -> Register:
        """Where this piece adds up a sum over its rows."""
        view = reduction.target
        size = view.dtype.itemsize * prod(reduction.node.outputs[0].shape)
        return self._at(base(self.f, view), self.f.arguments[1], size)

    def _part(self, view: View, rows: int) -> Register:
        """The rows of a kept value that belong to this piece."""
        size = rows * prod(self.kernel.columns) * view.dtype.itemsize
        return self._at(base(self.f, view), self.f.arguments[1], size)

    def _at(self, pointer: Register, index: Register, step: int) -> Register:
        if step == 0:
            return pointer
        return self.f.at(pointer, self.f.binary("mul", index, constant(step, "i64")))

    def emit(self) -> Function:
        """All of it."""
        f, kernel = self.f, self.kernel
        for phase in kernel.work.phases:
            for reduction in phase.along.reductions[len(phase.sums) :]:
                self._clear(reduction)
            for reduction in phase.down:
                f.store(neutral(reduction, kernel.block), self.totals[id(reduction)])
        self.count = prod(kernel.rows)
        blocks = -(-self.count // kernel.block)
        with f.loop(*share(f, f.arguments[1], kernel.parts, blocks)) as loop:
            first = f.binary("mul", loop.index, constant(kernel.block, "i64"))
            left = f.binary("sub", constant(self.count, "i64"), first)
            self._block(first, smaller(f, left, constant(kernel.block, "i64")))
        for phase in kernel.work.phases:
            for reduction in phase.down:
                scalar = SCALARS[reduction.target.dtype.name]
                total = f.load(self.totals[id(reduction)], scalar, kernel.block)
                f.store(combine_lanes(f, reduction, total), self.down[id(reduction)])
        return f

    def _clear(self, reduction: Reduction) -> None:
        """Start the sums down the columns."""
        f, size = self.f, reduction.target.dtype.itemsize
        with f.loop(0, prod(self.kernel.columns)) as loop:
            at = self._at(self.down[id(reduction)], loop.index, size)
            f.store(neutral(reduction, 1), at)

    # ---- a block of rows

    def _block(self, first: Register, count: Register) -> None:
        work = self.kernel.work
        self._move(work.copies, first, count, read=True)
        for phase in work.phases:
            self._numbers(phase.numbers)
            for reduction in phase.down:
                self._add_rows(reduction, count)
            if phase.along.stores or phase.along.reductions:
                self._along(phase, first, count)
        self._move(work.stores, first, count, read=False)

    def _move(
        self, places: dict[Value, View], first: Register, count: Register, *, read: bool
    ) -> None:
        """Copy numbers of the rows from memory to their slots, or back."""
        if not places:
            return
        f = self.f
        with f.loop(0, count) as loop:
            indices = self._indices(f.binary("add", first, loop.index))
            for value, view in places.items():
                outside = self._row_of(view, indices)
                inside = self._at(self.slots[value], loop.index, view.dtype.itemsize)
                source, target = (outside, inside) if read else (inside, outside)
                f.store(f.load(source, SCALARS[view.dtype.name]), target)

    def _indices(self, row: Register) -> list[Register]:
        """The number of a row as one index an axis."""
        f = self.f
        indices = []
        for length in self.rows[:0:-1]:
            indices.append(f.binary("urem", row, constant(length, "i64")))
            row = f.binary("udiv", row, constant(length, "i64"))
        return [row, *reversed(indices)]

    def _row_of(self, view: View, indices: Sequence[Register]) -> Register:
        pointer = self.base[view]
        for index, step in zip(indices, self.row_steps[view], strict=False):
            pointer = self._at(pointer, index, step * view.dtype.itemsize)
        return pointer

    def _numbers(self, group: Group) -> None:
        """Numbers of all rows of the block, in vectors; what stands past the last row is unused."""
        if not group.stores:
            return
        values = [*group.leaves, *group.stores]
        body = Body(self.f, group, [*group.leaves.values(), *group.stores.values()])
        rows = self.kernel.block
        body.emit([self.slots[v] for v in values], [1] * len(values), rows, rows)

    def _add_rows(self, reduction: Reduction, count: Register) -> None:
        f, rows = self.f, self.kernel.block
        scalar = SCALARS[reduction.target.dtype.name]
        x = f.load(self.slots[reduction.source], scalar, rows)
        if rows > 1:
            lane = ", ".join(f"i64 {i}" for i in range(rows))
            inside = f.compare("icmp slt", Register(f"<{lane}>", "i64", rows), f.splat(count, rows))
            x = f.select(inside, x, neutral(reduction, rows))
        at = self.totals[id(reduction)]
        f.store(combine(f, reduction, f.load(at, scalar, rows), x), at)

    # ---- rows

    def _along(self, phase: Phase, first: Register, count: Register) -> None:
        """One pass along each row; several rows at once where little but sums down is done."""
        f, group = self.f, phase.along
        begin: Register | int = 0
        body = Body(f, group, self._views(phase))
        if not phase.sums and group.reductions and len(body.needed) <= _LITTLE:
            begin = f.binary("and", count, constant(-_SIDE_BY_SIDE, "i64"))
            with f.loop(0, begin, _SIDE_BY_SIDE) as loop:
                rows = [
                    f.binary("add", loop.index, constant(i, "i64")) for i in range(_SIDE_BY_SIDE)
                ]
                self._pass(phase, body, [self._pointers(phase, first, row) for row in rows])
        with f.loop(begin, count) as loop:
            totals = self._pass(phase, body, [self._pointers(phase, first, loop.index)])
            for reduction, value, total in zip(group.reductions, phase.sums, totals, strict=False):
                at = self._at(self.slots[value], loop.index, value.dtype.itemsize)
                f.store(combine_lanes(f, reduction, total), at)

    def _views(self, phase: Phase) -> list[View]:
        group = phase.along
        views = [*group.leaves.values(), *group.stores.values()]
        return views + [reduction.target for reduction in group.reductions]

    def _pointers(self, phase: Phase, first: Register, row: Register) -> list[Register]:
        """Where a row's leaves, stores and sums stand."""
        group, pointers = phase.along, []
        indices = self._indices(self.f.binary("add", first, row))
        for value, view in [*group.leaves.items(), *group.stores.items()]:
            if view.buffer >= 0:
                pointers.append(self._row_of(view, indices))
            elif value in self.kept:
                size = prod(self.kernel.columns) * view.dtype.itemsize
                pointers.append(self._at(self.kept[value], row, size))
            else:
                pointers.append(self._at(self.slots[value], row, view.dtype.itemsize))
        pointers += [self.slots[value] for value in phase.sums]
        return pointers + [self.down[id(r)] for r in group.reductions[len(phase.sums) :]]

    def _pass(self, phase: Phase, body: Body, rows: list[list[Register]]) -> list[Register]:
        """A pass along rows; gives the sums along the row, in vectors."""
        columns, views, sums = self.kernel.columns, self._views(phase), len(phase.sums)
        down = len(phase.along.reductions) - sums
        strides = [view.strides[len(self.kernel.rows) :] for view in views[: -sums - down or None]]
        strides += [(0,) * len(columns)] * sums + [contiguous_strides(columns)] * down
        shape, strides = merge_axes(columns, strides)
        line = _Line(body, views, strides, sums, len(rows), self.target)
        totals = [body.neutral(i, line.lanes) for i in line.sums]
        return line.emit(shape, [pointer for row in rows for pointer in row], totals)


class _Line:
    """Passes along one row, or some at once: what is summed stays in vectors.

    Args:
        f: the function.
        body: what is done to some lanes.
        views: of leaves, stores and reductions.
        strides: of each view along the axes of the row.
        sums: how many of the reductions run along the row.
        rows: how many rows; only if there are no sums along them it may be more than one.
        target: lanes and masks.
    """

    def __init__(
        self,
        body: Body,
        views: Sequence[View],
        strides: Sequence[Shape],
        sums: int,
        rows: int,
        target: Target,
    ) -> None:
        self.f = body.f
        self.body = body
        self.rows = rows
        self.sizes = [view.dtype.itemsize for view in views] * rows
        self.strides = list(strides) * rows
        self.steps = [s[-1] for s in self.strides]
        self.sums = range(sums)
        self.lanes = target.vector_bytes // 4
        self.masks = target.has_masks

    def emit(
        self, shape: Shape, pointers: list[Register], totals: list[Register], axis: int = 0
    ) -> list[Register]:
        """All of the row from an axis on; gives the new totals."""
        if axis == len(shape) - 1:
            return self._innermost(shape[-1], pointers, totals)
        with self.f.loop(0, shape[axis], 1, totals) as loop:
            moved = self._moved(pointers, axis, loop.index)
            loop.next = self.emit(shape, moved, loop.values, axis + 1)
        return loop.results

    def _moved(self, pointers: list[Register], axis: int, index: Register) -> list[Register]:
        f, moved = self.f, []
        for pointer, strides, size in zip(pointers, self.strides, self.sizes, strict=True):
            step = constant(strides[axis] * size, "i64")
            moved.append(f.at(pointer, f.binary("mul", index, step)) if strides[axis] else pointer)
        return moved

    def _innermost(
        self, length: int, pointers: list[Register], totals: list[Register]
    ) -> list[Register]:
        whole, rest = divmod(length, self.lanes)
        together = 1
        if self.sums and len(self.body.needed) <= _LITTLE and whole >= 2 * _SIDE_BY_SIDE:
            together = _SIDE_BY_SIDE
        first = whole // together * together
        if first:
            others = [self.body.neutral(i, self.lanes) for i in self.sums]
            carried = [totals, *([others] * (together - 1))]
            totals = self._vectors(0, first, pointers, carried)
        if whole > first:
            totals = self._vectors(first, whole, pointers, [totals])
        if rest:
            moved = self._moved(pointers, -1, constant(whole * self.lanes, "i64"))
            lanes = self.lanes if self.masks else rest
            made = self._some_lanes(moved, lanes, rest)
            parts = [
                only_first(self.f, self.body.group.reductions[i], made[i], self.lanes, rest)
                for i in self.sums
            ]
            totals = self._combined(totals, parts)
        return totals

    def _vectors(
        self, begin: int, end: int, pointers: list[Register], carried: list[list[Register]]
    ) -> list[Register]:
        """Whole vectors, some side by side."""
        together, count = len(carried), len(self.sums)
        start = [total for totals in carried for total in totals]
        step = together * self.lanes
        with self.f.loop(begin * self.lanes, end * self.lanes, step, start) as loop:
            moved = self._moved(pointers, -1, loop.index)
            for i in range(together):
                shifted = [
                    self.f.at(pointer, i * self.lanes * s * size)
                    for pointer, s, size in zip(moved, self.steps, self.sizes, strict=True)
                ]
                made = self._some_lanes(shifted, self.lanes, self.lanes)
                totals = loop.values[i * count : (i + 1) * count]
                loop.next += self._combined(totals, [made[n] for n in self.sums])
        parts = [loop.results[i * count : (i + 1) * count] for i in range(together)]
        while len(parts) > 1:
            parts = [self._combined(*parts[i : i + 2]) for i in range(0, len(parts), 2)]
        return parts[0]

    def _some_lanes(self, pointers: list[Register], lanes: int, count: int) -> dict[int, Register]:
        """What is done to some lanes of each row."""
        if self.rows == 1:
            return self.body.emit(pointers, self.steps, lanes, count)
        # Sums down the columns are read and written once for all rows.
        reductions, each = self.body.group.reductions, len(pointers) // self.rows
        places = pointers[each - len(reductions) : each]
        made = {}
        for i, (reduction, place) in enumerate(zip(reductions, places, strict=True)):
            scalar = SCALARS[reduction.target.dtype.name]
            made[i] = self.f.load_part(place, scalar, lanes, count)
        for first in range(0, len(pointers), each):
            row, totals = pointers[first : first + each], [made[i] for i in range(len(reductions))]
            made = self.body.emit(row, self.steps[:each], lanes, count, totals)
        for i, place in enumerate(places):
            self.f.store_part(made[i], place, count)
        return made

    def _combined(self, x: Sequence[Register], y: Sequence[Register]) -> list[Register]:
        return [self.body.combine(i, x[i], y[i]) for i in self.sums]
