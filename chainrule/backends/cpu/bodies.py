"""What a group of elementwise nodes does to some lanes: loads, arithmetic, stores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.backends.cpu.addressing import base
from chainrule.backends.cpu.elementwise import ELEMENTWISE
from chainrule.backends.cpu.faults import DIVISION_BY_ZERO
from chainrule.backends.cpu.ir import BYTES, SCALARS, Function, Register, constant
from chainrule.backends.cpu.views import View
from chainrule.graph.graph import Node, Value

if TYPE_CHECKING:
    from chainrule.backends.cpu.groups import Group, Reduction

COMBINED_BY = {
    "reduce_sum": "add",
    "reduce_product": "multiply",
    "reduce_max": "maximum",
    "reduce_min": "minimum",
}


class Body:
    """The inside of a group's loops, emitted into a function as often as its loops need it.

    Args:
        f: the function.
        group: the nodes, and what they read, store and reduce.
        views: of its leaves, stores and reductions, in this order; only dtypes are read.
    """

    def __init__(self, f: Function, group: Group, views: Sequence[View]) -> None:
        self.f = f
        self.group = group
        self.dtypes = [view.dtype for view in views]
        self.needed = self._needed_nodes()

    def _needed_nodes(self) -> list[Value]:
        wanted = set(self.group.stores) | {r.source for r in self.group.reductions}
        order = []
        for value, node in reversed(self.group.nodes.items()):
            if value in wanted:
                wanted.update(node.inputs)
                order.append(value)
        return order[::-1]

    def emit(
        self,
        pointers: list[Register],
        steps: Sequence[int],
        lanes: int,
        count: int,
        totals: Sequence[Register] = (),
    ) -> dict[int, Register]:
        """Compute, store and reduce some lanes.

        Gives the new totals where there are totals, else what is reduced along the innermost axis.
        """
        group = self.group
        made = {
            value: self._load(pointers[i], self.dtypes[i], steps[i], lanes, count)
            for i, value in enumerate(group.leaves)
        }
        self.compute(made, lanes)
        first = len(group.leaves)
        for i, value in enumerate(group.stores):
            self._store(made[value], pointers[first + i], steps[first + i], count)
        first += len(group.stores)
        reduced = {}
        for i, reduction in enumerate(group.reductions):
            if totals:
                reduced[i] = self.combine(i, totals[i], made[reduction.source])
                continue
            if steps[first + i] == 0:
                reduced[i] = made[reduction.source]
                continue
            before = self._load(
                pointers[first + i], reduction.target.dtype, steps[first + i], lanes, count
            )
            total = self.combine(i, before, made[reduction.source])
            self._store(total, pointers[first + i], steps[first + i], count)
        return reduced

    def compute(self, made: dict[Value, Register], lanes: int) -> None:
        """Add the values of numbers and nodes to those of leaves."""
        f, group = self.f, self.group
        for value, number in group.numbers.items():
            made[value] = constant(number, SCALARS[value.dtype.name], lanes)
        for value in self.needed:
            node = group.nodes[value]
            inputs = [made[x] for x in node.inputs]
            dtype = node.inputs[1 if node.primitive.name == "select" else 0].dtype
            if divides_integers(node):
                inputs[1] = self._checked_divisor(inputs[1])
            made[value] = ELEMENTWISE[node.primitive.name](f, dtype, node.attributes, *inputs)

    def _checked_divisor(self, x: Register) -> Register:
        """A divisor without zeros: a zero is reported and replaced by 1."""
        assert self.group.error is not None
        f = self.f
        zero = f.compare("icmp eq", x, constant(0, x.scalar, x.lanes))
        found = f.extract(zero, 0)
        for lane in range(1, x.lanes):
            found = f.binary("or", found, f.extract(zero, lane))
        with f.when(found):
            f.store(constant(DIVISION_BY_ZERO, "i64"), base(f, self.group.error))
        return f.select(zero, constant(1, x.scalar, x.lanes), x)

    def _load(
        self, pointer: Register, dtype: np.dtype[Any], step: int, lanes: int, count: int
    ) -> Register:
        f, scalar = self.f, SCALARS[dtype.name]
        if step == 0:
            return f.splat(f.load(pointer, scalar), lanes)
        if step == 1 or lanes == 1:
            return f.load_part(pointer, scalar, lanes, count)
        result = constant(0, scalar, lanes)
        for lane in range(count):
            at = f.at(pointer, lane * step * BYTES[scalar])
            result = f.insert(result, f.load(at, scalar), lane)
        return result

    def _store(self, x: Register, pointer: Register, step: int, count: int) -> None:
        if step == 1 or x.lanes == 1:
            self.f.store_part(x, pointer, count)
            return
        for lane in range(count):
            at = self.f.at(pointer, lane * step * BYTES[x.scalar])
            self.f.store(self.f.extract(x, lane), at)

    def neutral(self, i: int, lanes: int) -> Register:
        """What a reduction starts from, in every lane."""
        return neutral(self.group.reductions[i], lanes)

    def combine(self, i: int, x: Register, y: Register) -> Register:
        """Two partial results of a reduction as one."""
        return combine(self.f, self.group.reductions[i], x, y)


def neutral(reduction: Reduction, lanes: int) -> Register:
    """What a reduction starts from, in every lane."""
    dtype = reduction.target.dtype
    return constant(neutral_number(reduction.primitive, dtype), SCALARS[dtype.name], lanes)


def combine(f: Function, reduction: Reduction, x: Register, y: Register) -> Register:
    """Two partial results of a reduction as one."""
    name, dtype = COMBINED_BY[reduction.primitive], reduction.target.dtype
    if dtype.kind == "b":
        return f.binary("or" if name == "maximum" else "and", x, y)
    return ELEMENTWISE[name](f, dtype, {}, x, y)


def combine_lanes(f: Function, reduction: Reduction, x: Register) -> Register:
    """The lanes of a vector as one partial result, halves upon halves."""
    if x.scalar == "i1" and x.lanes > 1:
        name = "or" if COMBINED_BY[reduction.primitive] == "maximum" else "and"
        full = f"llvm.vector.reduce.{name}.v{x.lanes}i1"
        f.declarations.add(f"declare i1 @{full}({x.type})")
        return f.emit(f"call i1 @{full}({x})", "i1")
    while x.lanes > 2:
        half = x.lanes // 2
        low, high = (f.shuffle(x, x, range(i, i + half)) for i in (0, half))
        x = combine(f, reduction, low, high)
    return x if x.lanes == 1 else combine(f, reduction, f.extract(x, 0), f.extract(x, 1))


def only_first(f: Function, reduction: Reduction, x: Register, lanes: int, count: int) -> Register:
    """``x`` as a whole vector that adds its first ``count`` lanes only."""
    others = neutral(reduction, x.lanes)
    if x.lanes == lanes:
        mask = ", ".join(f"i1 {'true' if lane < count else 'false'}" for lane in range(lanes))
        return x if count == lanes else f.select(Register(f"<{mask}>", "i1", lanes), x, others)
    if x.lanes == 1:
        return f.insert(neutral(reduction, lanes), x, 0)
    return f.shuffle(x, others, [min(lane, x.lanes) for lane in range(lanes)])


def divides_integers(node: Node[Value]) -> bool:
    """Whether a node divides whole numbers, which needs a check of the divisor."""
    return node.primitive.name in ("floor_divide", "remainder") and node.inputs[0].dtype.kind != "f"


def neutral_number(primitive: str, dtype: np.dtype[Any]) -> float:
    """What a reduction starts from."""
    if primitive in ("reduce_sum", "reduce_product"):
        return 0 if primitive == "reduce_sum" else 1
    if dtype.kind == "b":
        return 0 if primitive == "reduce_max" else 1
    if dtype.kind == "f":
        return float("-inf") if primitive == "reduce_max" else float("inf")
    limits = np.iinfo(dtype)
    return limits.min if primitive == "reduce_max" else limits.max
