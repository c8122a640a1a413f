"""What a loop's body need not do at every step, done before the loop.

* What depends on constants alone is computed once.
* A product of an entry with a constant is made for all steps in one product.
* Products of one value with several constants become one, with the constants side by side.

All of it is ordinary tensor code around the loop, so gradients follow by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chainrule.graph import operations as ops
from chainrule.graph.builder import GraphBuilder
from chainrule.graph.graph import Graph, Node, Value
from chainrule.tensor.state import scope
from chainrule.tensor.tensor import Tensor, bind


def hoisted(
    body: Graph, operands: Sequence[Tensor], carried: int, scanned: int, steps: int, reverse: bool
) -> tuple[Tensor, ...]:
    """The outputs of the loop over ``body``, as much of it as can be made outside.

    Args:
        body: takes (carried values, entries, constants).
        operands: the loop's operands in that order.
        carried: how many are carried.
        scanned: how many are scanned.
        steps: the number of steps.
        reverse: whether it starts at the last entry.
    """
    loop = _Loop(body, operands, carried, scanned)
    for node in body:
        loop.add(node)
    ends = [loop.inside(value) for value in body.outputs]
    return loop.run(ends, steps, reverse)


class _Loop:
    """A body being written anew; each value stands inside it, or outside, once or for all steps."""

    def __init__(self, body: Graph, operands: Sequence[Tensor], carried: int, scanned: int) -> None:
        self._builder = GraphBuilder(body.name)
        self._carried, last = carried, carried + scanned
        self._starts = list(operands[:carried])
        self._values: dict[Value, Value] = {
            value: self._builder.input(value.shape, value.dtype, value.name)
            for value in body.inputs[:carried]
        }
        # What is the same in every step; what is there for all steps before the loop; and what is
        # made of nothing: numbers and what is computed from them alone.
        self._constant = dict(zip(body.inputs[last:], operands[last:], strict=True))
        self._stack = dict(zip(body.inputs[carried:last], operands[carried:last], strict=True))
        self._free: dict[Value, Node[Value]] = {}
        for node in body:
            if all(v in self._free for v in node.inputs):
                self._free[node.outputs[0]] = node
            elif node.primitive.kind != "loop" and all(
                v in self._constant or v in self._free for v in node.inputs
            ):
                self._outside(node)
        self._scanned: list[tuple[Value, Tensor]] = []
        self._constants: list[tuple[Value, Tensor]] = []
        self._merged = self._products_of_one_value(body)

    def _outside(self, node: Node[Value]) -> None:
        """Compute a node once, and before it the free ones that it reads."""
        for value in node.inputs:
            if value not in self._constant:
                self._outside(self._free[value])
        with scope(node.scope):
            inputs = tuple(self._constant[v] for v in node.inputs)
            self._constant[node.outputs[0]] = bind(node.primitive, inputs, node.attributes)

    def _products_of_one_value(self, body: Graph) -> dict[Node[Value], list[Node[Value]]]:
        """The products of one changing value with several constants, each with its group."""
        groups: dict[Value, list[Node[Value]]] = {}
        for node in body:
            x = node.inputs
            if _is_product(node) and x[1] in self._constant and not self._is_there(x[0]):
                groups.setdefault(x[0], []).append(node)
        return {node: nodes for nodes in groups.values() if len(nodes) > 1 for node in nodes}

    def _is_there(self, value: Value) -> bool:
        return value in self._stack or value in self._constant or value in self._free

    def inside(self, value: Value) -> Value:
        """The value in the new body."""
        if value in self._values:
            return self._values[value]
        if value in self._free:
            self._append(self._free[value])
        elif value in self._constant:
            self._values[value] = self._operand(self._constants, self._constant[value])
        else:
            tensor = self._stack[value]
            new = self._builder.input(tensor.shape[1:], tensor.dtype, value.name)
            self._scanned.append((new, tensor))
            self._values[value] = new
        return self._values[value]

    def _operand(self, kind: list[tuple[Value, Tensor]], tensor: Tensor) -> Value:
        new = self._builder.input(tensor.shape, tensor.dtype)
        kind.append((new, tensor))
        return new

    def add(self, node: Node[Value]) -> None:
        """Compute a node for all steps before the loop where that is possible, else inside."""
        x, result = node.inputs, node.outputs[0]
        if result in self._constant or result in self._free:
            return
        with scope(node.scope):
            if _is_product(node) and x[0] in self._stack and x[1] in self._constant:
                self._stack[result] = _product(self._stack[x[0]], self._constant[x[1]])
            elif _looks_up(node) and x[0] in self._constant and x[1] in self._stack:
                self._stack[result] = ops.take(self._constant[x[0]], self._stack[x[1]], 0)
            elif node not in self._merged:
                self._append(node)
            elif result not in self._values:
                self._merge(self._merged[node])

    def _append(self, node: Node[Value]) -> None:
        inputs = [self.inside(v) for v in node.inputs]
        with self._builder.scoped(node.scope):
            result = self._builder.append(node.primitive, inputs, node.attributes)
        outputs = (result,) if len(node.outputs) == 1 else result
        self._values.update(zip(node.outputs, outputs, strict=True))

    def _merge(self, nodes: Sequence[Node[Value]]) -> None:
        """One product for all of these, of which the values are slices."""
        together = ops.concatenate([self._constant[n.inputs[1]] for n in nodes], 1)
        left, right = self.inside(nodes[0].inputs[0]), self._operand(self._constants, together)
        with self._builder.scoped(nodes[0].scope):
            product = ops.matmul(left, right)
            first = 0
            for node in nodes:
                rows, width = node.outputs[0].shape
                self._values[node.outputs[0]] = ops.slice_(
                    product, (0, first), (rows, first + width), (1, 1)
                )
                first += width

    def run(self, ends: Sequence[Value], steps: int, reverse: bool) -> tuple[Tensor, ...]:
        """The loop over the new body."""
        inputs = self._builder.inputs[: self._carried]
        inputs += [value for value, _ in self._scanned]
        inputs += [value for value, _ in self._constants]
        body = Graph(inputs, self._builder.nodes, ends, self._builder.name)
        operands: list[Any] = [*self._starts, *(x for _, x in self._scanned)]
        operands += [x for _, x in self._constants]
        return ops.scan(operands, body, self._carried, len(self._scanned), steps, reverse)


def _is_product(node: Node[Value]) -> bool:
    return node.primitive.name == "matmul" and all(x.ndim == 2 for x in node.inputs)


def _product(stack: Tensor, constant: Tensor) -> Any:
    """One product for all steps: two axes, so that the constant's gradient is one product too."""
    steps, rows, inner = stack.shape
    flat = ops.matmul(ops.reshape(stack, (steps * rows, inner)), constant)
    return ops.reshape(flat, (steps, rows, constant.shape[1]))


def _looks_up(node: Node[Value]) -> bool:
    return node.primitive.name == "take" and node.attributes["axis"] == 0
