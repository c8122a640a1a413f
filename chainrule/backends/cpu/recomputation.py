"""Large values are computed where they are read, if that is cheaper than to write and read them."""

from __future__ import annotations

from collections import defaultdict
from math import prod
from typing import TYPE_CHECKING

from chainrule.backends.cpu.epilogues import Product
from chainrule.backends.cpu.groups import Group
from chainrule.backends.cpu.views import View, broadcast
from chainrule.graph.graph import Node, Value

if TYPE_CHECKING:
    from chainrule.backends.cpu.plan import Kernel, Plan

# Smaller arrays stay in a cache.
LARGE = 1 << 16
_CHEAP = {
    "add", "subtract", "multiply", "negative", "abs", "maximum", "minimum", "equal", "not_equal",
    "less", "less_equal", "select", "logical_not",
}  # fmt: skip
_MOST_NODES = 4

Nodes = dict[Value, Node[Value]]
Leaves = dict[Value, View]


def compute_where_read(plan: Plan) -> None:
    """Take stores out of groups, whose readers then compute the values, and join such groups."""
    _Recomputation(plan).run()


class _Recomputation:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.readers: dict[int, list[Kernel]] = defaultdict(list)
        for kernel in plan.kernels:
            for buffer in kernel.buffers_read():
                self.readers[buffer].append(kernel)
        self.products = {k.target.buffer for k in plan.kernels if isinstance(k, Product)}

    def run(self) -> None:
        """All groups over large arrays, in order."""
        for group in [kernel for kernel in self.plan.kernels if isinstance(kernel, Group)]:
            if prod(group.shape) < LARGE or group in self.plan.once or self._is_epilogue(group):
                continue
            for value in list(group.stores):
                self._recompute(group, value)
            self._join(group)

    def _is_epilogue(self, group: Group) -> bool:
        """Whether it is the only reader of a product, of which it will be a part."""
        return any(
            view.buffer in self.products and self.readers[view.buffer] == [group]
            for view in group.leaves.values()
        )

    def _readers_of(self, group: Group, value: Value) -> list[Group]:
        """The groups of the same shape that read a stored value; none if something else does."""
        view = group.stores[value]
        readers = self.readers[view.buffer]
        found = [
            reader
            for reader in readers
            if isinstance(reader, Group)
            and reader.shape == group.shape
            and reader not in self.plan.once
            and [v for v in reader.leaves.values() if v.buffer == view.buffer] == [view]
            and reader.leaves.get(value) == view
        ]
        if self.plan.buffers[view.buffer].kind != "temporary" or len(found) < len(readers):
            return []
        return found

    def _recompute(self, group: Group, value: Value) -> None:
        """Let the readers of a value compute it, if it is a few operations on at most one large
        array that they do not read yet.
        """
        nodes, leaves = _chain(group, value)
        cheap = {node.primitive.name for node in nodes.values()} <= _CHEAP
        if not cheap or not 0 < len(nodes) <= _MOST_NODES:
            return
        readers = self._readers_of(group, value)
        wide = {view for view in leaves.values() if _is_wide(group, view)}
        for reader in readers:
            if len(wide - set(reader.leaves.values())) > 1 or reader.nodes.keys() & leaves.keys():
                return
        for reader in readers:
            self._bring(reader, nodes, leaves, group)
            del reader.leaves[value]
        if readers:
            del group.stores[value]

    def _bring(self, reader: Group, nodes: Nodes, leaves: Leaves, group: Group) -> None:
        for x, view in leaves.items():
            if x not in reader.leaves:
                reader.leaves[x] = view
                self.readers[view.buffer].append(reader)
        for node in nodes.values():
            for x in node.inputs:
                if x in group.numbers:
                    reader.numbers[x] = group.numbers[x]
        reader.nodes = {**nodes, **reader.nodes}

    def _join(self, group: Group) -> None:
        """Make a group without sums part of the only group that reads what it stores."""
        if group.reductions:
            return
        found = [self._readers_of(group, value) for value in group.stores]
        if found:
            reader = found[0][0] if found[0] else None
            if reader is None or any(readers != [reader] for readers in found):
                return
            if reader.nodes.keys() & group.leaves.keys() or group.stores.keys() - group.nodes:
                return
            for value in group.stores:
                del reader.leaves[value]
            self._bring(reader, group.nodes, group.leaves, group)
        self.plan.kernels.remove(group)
        for view in group.leaves.values():
            if group in self.readers[view.buffer]:
                self.readers[view.buffer].remove(group)


def _chain(group: Group, value: Value) -> tuple[Nodes, Leaves]:
    """The nodes that compute a value from what stands in memory, in order, and what that is."""
    needed, nodes = {value}, {}
    for x, node in reversed(group.nodes.items()):
        if x in needed and (x is value or x not in group.stores):
            needed.update(node.inputs)
            nodes[x] = node
    leaves = {
        x: group.stores[x] if x in group.stores else group.leaves[x]
        for x in needed - nodes.keys() - group.numbers.keys()
    }
    return dict(reversed(nodes.items())), leaves


def _is_wide(group: Group, view: View) -> bool:
    strides = broadcast(view, group.shape).strides
    return all(stride for stride, n in zip(strides, group.shape, strict=True) if n > 1)
