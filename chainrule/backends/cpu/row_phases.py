"""What a row group computes: the values of its groups under one name each, and in which phase.

A value is wide (rows, columns) or belongs to a row. Its level is the number of sums along the row
that come before it. Phase by phase the wide values of one level are computed; a later phase reads
what an earlier one computed from memory kept in cache, or computes it again where that is cheaper.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from chainrule.backends.cpu.bodies import divides_integers
from chainrule.backends.cpu.groups import Group, Reduction
from chainrule.backends.cpu.views import Shape, View, broadcast, contiguous_strides
from chainrule.graph.builder import GraphBuilder
from chainrule.graph.graph import Node, Value, ValueType

# Owns the values that stand for what is read: they belong to no graph.
_NOWHERE = GraphBuilder("nowhere")
# As cheap as reading their result: a later phase computes them again.
_CHEAP = {
    "add", "subtract", "multiply", "negative", "abs", "square", "equal", "not_equal", "less",
    "less_equal", "select", "convert", "bitwise_and", "bitwise_or", "logical_not", "stop_gradient",
}  # fmt: skip
_CHEAP_NODES = 3
_CHEAP_READS = 2


@dataclass
class Phase:
    """Numbers of the rows, sums of them over the rows, then one pass along each row.

    Attributes:
        numbers: nodes whose values belong to a row.
        down: sums over all rows of values that belong to a row.
        along: nodes over (rows, columns); its reductions are first the sums along the row, then
            sums down the columns.
        sums: the values of the sums along the row.
    """

    numbers: Group
    down: list[Reduction]
    along: Group
    sums: list[Value]


@dataclass
class Phases:
    """All of it.

    Attributes:
        slots: values that belong to a row and are handed from one phase to another.
        kept: wide values that are handed from one phase to another.
        stores: values that belong to a row and stand in memory afterwards.
        copies: the slots that are filled from memory.
    """

    phases: list[Phase]
    slots: list[Value]
    kept: list[Value]
    stores: dict[Value, View]
    copies: dict[Value, View]


class RowFlow:
    """The groups of a row group as one flow of values.

    Args:
        rows: the lengths of the axes of the rows, without those of length 1.
        columns: the same for the columns.
    """

    def __init__(self, rows: Shape, columns: Shape) -> None:
        self.rows = rows
        self.columns = columns
        self.nodes: dict[Value, Node[Value]] = {}
        self.numbers: dict[Value, float] = {}
        self.leaves: dict[Value, View] = {}
        self.sums: dict[Value, Reduction] = {}
        self.whole: set[Value] = set()
        self.down: list[tuple[Reduction, bool]] = []
        self.stores: dict[Value, tuple[View, bool]] = {}
        self.wide: dict[Value, bool] = {}
        self.level: dict[Value, int] = {}
        self._leaf_at: dict[View, Value] = {}
        self._written: dict[int, tuple[View, Value]] = {}
        self._summed: set[int] = set()

    # ---- which groups fit

    def fits(self, group: Group) -> bool:
        """Whether a group works on these rows."""
        return self._is_wide(group.shape) is not None

    def accepts(self, group: Group) -> bool:
        """Whether a group works on these rows and reads only elements of the same row from them."""
        wide = self._is_wide(group.shape)
        if wide is None or any(divides_integers(node) for node in group.nodes.values()):
            return False
        if any(value not in group.nodes for value in group.stores):
            return False
        for view in group.leaves.values():
            if view.buffer in self._summed:
                return False
            made = self._written.get(view.buffer)
            if made is not None and self._spread(broadcast(view, group.shape)) != made[0]:
                return False
        return all(
            r.source not in group.numbers and self._direction(group.shape, wide, r) is not None
            for r in group.reductions
        )

    def _is_wide(self, shape: Shape) -> bool | None:
        lengths = tuple(n for n in shape if n != 1)
        if lengths == (*self.rows, *self.columns):
            return True
        return False if lengths == self.rows else None

    def _spread(self, view: View) -> View:
        """A view over the shape of a group as one over rows and columns."""
        strides = [s for n, s in zip(view.shape, view.strides, strict=True) if n != 1]
        shape = (*self.rows, *self.columns)
        strides += [0] * (len(shape) - len(strides))
        return View(view.buffer, view.dtype, shape, tuple(strides), view.offset)

    def _direction(
        self, shape: Shape, wide: bool, reduction: Reduction
    ) -> Literal["along", "down", "both"] | None:
        axes = reduction.node.attributes["axes"]
        long = [axis for axis, n in enumerate(shape) if n != 1]
        summed = [i for i, axis in enumerate(long) if axis in axes]
        rows, all_axes = len(self.rows), len(self.rows) + len(self.columns)
        if wide and summed == list(range(rows, all_axes)):
            return "along"
        if rows and summed == list(range(rows)):
            return "down"
        return "both" if wide and summed == list(range(all_axes)) else None

    # ---- taking them in

    def add(self, group: Group) -> None:
        """Take in a group that is accepted."""
        wide = self._is_wide(group.shape)
        assert wide is not None
        names: dict[Value, Value] = {}
        for value, number in group.numbers.items():
            self.numbers[value] = number
            names[value] = value
            self.wide[value], self.level[value] = False, 0
        for value, view in group.leaves.items():
            names[value] = self._leaf(self._spread(broadcast(view, group.shape)))
        for value, node in group.nodes.items():
            inputs = tuple(names[x] for x in node.inputs)
            self.nodes[value] = Node(
                node.primitive, inputs, node.attributes, node.outputs, node.scope
            )
            names[value] = value
            self.wide[value] = any(self.wide[x] for x in inputs)
            self.level[value] = max(self.level[x] for x in inputs)
        for reduction in group.reductions:
            source = names[reduction.source]
            self._reduce(Reduction(reduction.node, source, reduction.target), group, wide)
        for value, view in group.stores.items():
            place = self._spread(view)
            self.stores[value] = (place, wide)
            self._written[view.buffer] = (place, value)

    def _leaf(self, view: View) -> Value:
        if view.buffer in self._written:
            return self._written[view.buffer][1]
        if view not in self._leaf_at:
            value = Value(ValueType((), view.dtype), _NOWHERE)
            self._leaf_at[view] = value
            self.leaves[value] = view
            self.level[value] = 0
            self.wide[value] = any(view.strides[len(self.rows) :])
        return self._leaf_at[view]

    def _reduce(self, reduction: Reduction, group: Group, wide: bool) -> None:
        direction = self._direction(group.shape, wide, reduction)
        source, target = reduction.source, reduction.target
        if direction == "down":
            self.down.append((reduction, wide))
            self._summed.add(target.buffer)
            return
        value = reduction.node.outputs[0]
        self.sums[value] = reduction
        self.wide[value], self.level[value] = False, self.level[source] + 1
        if direction == "both":
            self.whole.add(value)
            self.down.append((Reduction(reduction.node, value, target), False))
            self._summed.add(target.buffer)
            return
        strides = contiguous_strides(self.rows)
        place = self._spread(View(target.buffer, target.dtype, self.rows, strides))
        self.stores[value] = (place, False)
        self._written[target.buffer] = (place, value)


class _Arrangement:
    """Sorts the values of a flow into phases; ``wanted`` are the buffers others read."""

    def __init__(self, flow: RowFlow, wanted: set[int]) -> None:
        self.flow = flow
        stores = {v: place for v, place in flow.stores.items() if place[0].buffer in wanted}
        self.wide_stores = {v: view for v, (view, wide) in stores.items() if wide}
        self.row_stores = {v: view for v, (view, wide) in stores.items() if not wide}
        self.live = self._live()
        self.last = max((flow.level[value] for value in self.live), default=0)
        self.kept: list[Value] = []
        self.slots: dict[Value, None] = dict.fromkeys(self.row_stores)

    def _live(self) -> set[Value]:
        flow = self.flow
        live = {*self.wide_stores, *self.row_stores, *(r.source for r, _ in flow.down)}
        waiting = list(live)
        while waiting:
            value = waiting.pop()
            inputs: tuple[Value, ...] = ()
            if value in flow.sums:
                inputs = (flow.sums[value].source,)
            elif value in flow.nodes:
                inputs = flow.nodes[value].inputs
            waiting += [x for x in inputs if x not in live]
            live.update(inputs)
        return live

    def phases(self) -> Phases:
        """All phases, found from the last to the first: what a phase keeps is for later ones."""
        flow, level = self.flow, self.flow.level
        sums = [v for v in flow.sums if v in self.live]
        self.slots.update(dict.fromkeys(sums))
        down = [(r, level[r.source]) for r, wide in flow.down if not wide]
        self.slots.update(dict.fromkeys(r.source for r, _ in down))
        along = []
        for number in range(self.last, -1, -1):
            made = [v for v in sums if level[v] == number + 1]
            along.append((self._along(number, made), made))
        # Also from the last: what a level asks for, an earlier one must hand on.
        numbers = [self._numbers(number) for number in range(self.last, -1, -1)][::-1]
        phases = [
            Phase(numbers[i], [r for r, at in down if at == i], *along[self.last - i])
            for i in range(self.last + 1)
        ]
        copies = {v: flow.leaves[v] for v in self.slots if v in flow.leaves}
        return Phases(phases, list(self.slots), self.kept, self.row_stores, copies)

    def _along(self, number: int, sums: list[Value]) -> Group:
        """One pass along the row, with the wide values that it needs."""
        flow, level = self.flow, self.flow.level
        reductions = [flow.sums[v] for v in sums]
        reductions += [r for r, wide in flow.down if wide and level[r.source] == number]
        stores = {v: view for v, view in self.wide_stores.items() if level[v] == number}
        keeps = [v for v in self.kept if level[v] == number]
        group = Group((*flow.rows, *flow.columns), reductions=reductions, stores=stores)
        needed: set[Value] = set()
        waiting = [*keeps, *stores, *(r.source for r in reductions)]
        while waiting:
            value = waiting.pop()
            if value in needed:
                continue
            needed.add(value)
            if value in flow.numbers:
                group.numbers[value] = flow.numbers[value]
            elif value in flow.leaves:
                group.leaves[value] = flow.leaves[value]
            elif not flow.wide[value]:
                self.slots[value] = None
                group.leaves[value] = self._place(value)
            elif level[value] < number and self._is_handed_on(value):
                group.leaves[value] = self.wide_stores.get(value, self._place(value))
            else:
                waiting += flow.nodes[value].inputs
        group.nodes = {
            v: node for v, node in flow.nodes.items() if v in needed and v not in group.leaves
        }
        for value in keeps:
            stores[value] = self._place(value)
        return group

    def _place(self, value: Value) -> View:
        """Stands for where a slot or a kept value will be."""
        shape = (*self.flow.rows, *self.flow.columns)
        steps = contiguous_strides(self.flow.columns) if self.flow.wide[value] else ()
        strides = (0,) * (len(shape) - len(steps)) + steps
        return View(-1, value.dtype, shape, strides)

    def _is_handed_on(self, value: Value) -> bool:
        """Whether a later phase reads a wide value, because computing it again would cost more."""
        if value in self.wide_stores or value in self.kept:
            return True
        reads: set[Value] = set()
        nodes: set[Value] = set()
        waiting = [value]
        while waiting:
            x = waiting.pop()
            if x in self.flow.nodes and self.flow.wide[x] and x not in self.kept:
                nodes.add(x)
                waiting += self.flow.nodes[x].inputs
            elif self.flow.wide[x]:
                reads.add(x)
        names = {self.flow.nodes[x].primitive.name for x in nodes}
        if names <= _CHEAP and len(nodes) <= _CHEAP_NODES and len(reads) <= _CHEAP_READS:
            return False
        self.kept.append(value)
        return True

    def _numbers(self, number: int) -> Group:
        """The nodes of one level whose values belong to a row."""
        flow = self.flow
        nodes = {
            v: node
            for v, node in flow.nodes.items()
            if v in self.live and not flow.wide[v] and flow.level[v] == number
        }
        group = Group(flow.rows, nodes=nodes)
        for x in dict.fromkeys(x for node in nodes.values() for x in node.inputs):
            if x in flow.numbers:
                group.numbers[x] = flow.numbers[x]
            elif x not in nodes:
                self.slots[x] = None
                group.leaves[x] = self._place(x)
        group.stores = {v: self._place(v) for v in nodes if v in self.slots}
        return group


def arrange(flow: RowFlow, wanted: set[int]) -> Phases:
    """The phases of a flow; only the buffers ``wanted`` are written."""
    return _Arrangement(flow, wanted).phases()
