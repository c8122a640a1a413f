"""The derivative of ``scan``: a loop in the other direction.

The reverse loop carries the gradients of the carried values. What it needs of the forward pass, the
residuals, a second forward loop puts out at every step; the passes make one loop of the two where
both are in a graph. The gradient of a constant is a sum over the steps. Where one step's part of it
is a product of matrices, it is sunk: the loop puts out the factors and one product after the loop
makes the sum, with the steps as further rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.graph import operations as ops
from chainrule.graph.builder import GraphBuilder
from chainrule.graph.graph import Graph, Node, Value
from chainrule.graph.walk import live_nodes

# Cheaper to compute again in the reverse loop than to keep for every step.
_AGAIN = frozenset({"constant", "iota", "reshape", "broadcast_to", "transpose", "slice"})
# Up to this many elements, a part that is no product is put out each step and summed after the
# loop; a larger one is added up inside.
_MOST_STACKED = 1 << 16

Backpropagate = Callable[..., list[Any]]


def scan_gradients(
    node: Node[Any], outgoing: Sequence[Any], wanted: Sequence[bool], backpropagate: Backpropagate
) -> list[Any]:
    """The gradients of a scan's inputs.

    Args:
        node: the scan, over any operands.
        outgoing: the gradient of each output; None where none flows in.
        wanted: which inputs need one.
        backpropagate: the engine, for the body.
    """
    return _ReverseLoop(node, outgoing, wanted, backpropagate).gradients()


class _ReverseLoop:
    """The body with its gradients as one graph, cut into the two loops."""

    def __init__(
        self,
        node: Node[Any],
        outgoing: Sequence[Any],
        wanted: Sequence[bool],
        backpropagate: Backpropagate,
    ) -> None:
        self.node = node
        self.body: Graph = node.attributes["body"]
        self.carried: int = node.attributes["carried"]
        self.scanned: int = node.attributes["scanned"]
        self.length: int = node.attributes["length"]
        self.outgoing = outgoing
        self.builder = builder = GraphBuilder(f"{self.body.name}_gradient")
        self.inputs = [builder.input(v.shape, v.dtype, v.name) for v in self.body.inputs]
        mapping = builder.copy_nodes(self.body, self.inputs)
        self.outputs = [mapping[value] for value in self.body.outputs]
        self._forward = set(builder.nodes)
        self.flowing = [i for i in range(self.carried) if self.inputs[i].dtype.kind == "f"]
        self._flows = [builder.input(self.inputs[i].shape, self.inputs[i].dtype)
                       for i in self.flowing]  # fmt: skip
        given = [
            i for i in range(self.carried, len(self.outputs))
            if outgoing[i] is not None and self.outputs[i].dtype.kind == "f"
        ]  # fmt: skip
        self.given = {
            builder.input(self.outputs[i].shape, self.outputs[i].dtype): outgoing[i] for i in given
        }
        ends = [(self.outputs[i], g) for i, g in zip(self.flowing, self._flows, strict=True)]
        ends += list(zip((self.outputs[i] for i in given), self.given, strict=True))
        last = self.carried + self.scanned
        sources = [i for i, need in enumerate(wanted) if need or i in self.flowing]
        found = backpropagate(list(builder.nodes), ends, [self.inputs[i] for i in sources])
        self.found: dict[int, Value] = {
            i: value for i, value in zip(sources, found, strict=True) if value is not None
        }
        self.constants = [i for i in self.found if i >= last]
        self.entries = [i for i in self.found if self.carried <= i < last]
        for i in self.flowing:
            if i not in self.found:
                zero = builder.constant(np.zeros((), self.inputs[i].dtype))
                self.found[i] = ops.broadcast_to(zero, self.inputs[i].shape)
        self._producers = {v: n for n in builder.nodes for v in n.outputs}
        self._stacked: dict[Value, int] = {}
        self._accumulated: list[Value] = []

    def gradients(self) -> list[Any]:
        """One for each input of the scan; None where there is no path."""
        for i in self.entries:
            self._request(self.found[i])
        sums = {i: self._sum(self.found[i]) for i in self.constants}
        flows = [self.found[i] for i in self.flowing]
        put_out = [v for v in self._stacked if self._is_reverse(v) or v in self._flows]
        residuals, again = self._residuals([*flows, *put_out, *self._accumulated])
        kept = self._keep(residuals)
        stacks = self._run(flows, put_out, residuals, again, kept)
        results: list[Any] = [None] * len(self.node.inputs)
        for i, gradient in zip(self.flowing, self._last, strict=True):
            results[i] = gradient
        for i in self.entries:
            results[i] = stacks(self.found[i])
        for i, total in sums.items():
            results[i] = total(stacks)
        return results

    # ---- sums over the steps

    def _request(self, value: Value) -> Value:
        self._stacked.setdefault(value, len(self._stacked))
        return value

    def _sum(self, value: Value) -> Callable[[Any], Any]:
        """How to make the sum of a value over all steps from what the steps put out."""
        node = self._producers.get(value)
        name = node.primitive.name if node is not None else ""
        if node is not None and name == "add" and _same_shapes(node):
            parts = [self._sum(x) for x in node.inputs]
            return lambda stacks: parts[0](stacks) + parts[1](stacks)
        if node is not None and name in ("reshape", "transpose", "negative", "pad"):
            inner, again = self._sum(node.inputs[0]), node
            return lambda stacks: _apply(again, inner(stacks))
        if node is not None and name == "reduce_sum":
            axes = (0, *(a + 1 for a in node.attributes["axes"]))
            source = self._request(node.inputs[0])
            return lambda stacks: ops.reduce_sum(stacks(source), axes)
        if node is not None and name == "matmul" and value.ndim == 2:
            return self._product(*node.inputs)
        if value.size <= _MOST_STACKED:
            self._request(value)
            return lambda stacks: ops.reduce_sum(stacks(value), (0,))
        self._accumulated.append(value)
        place = len(self._accumulated) - 1
        return lambda stacks: self._totals[place]

    def _product(self, x: Value, y: Value) -> Callable[[Any], Any]:
        """The sum over steps of x @ y: one product with the steps' inner axes side by side."""
        before = self._producers.get(x)
        turned = before is not None and before.primitive.name == "transpose"
        left = self._request(before.inputs[0] if before is not None and turned else x)
        right = self._request(y)

        def total(stacks: Any) -> Any:
            rows, columns = stacks(left), stacks(right)
            if not turned:
                rows = ops.transpose(rows, (0, 2, 1))
            steps, inner, _ = rows.shape
            flat = ops.reshape(rows, (steps * inner, rows.shape[2]))
            return ops.matmul(
                ops.transpose(flat, (1, 0)), ops.reshape(columns, (steps * inner, y.shape[1]))
            )

        return total

    # ---- the two loops

    def _is_reverse(self, value: Value) -> bool:
        """Whether it is computed in the reverse loop, not in the forward one."""
        node = self._producers.get(value)
        return node is not None and node not in self._forward

    def _residuals(self, ends: Sequence[Value]) -> tuple[list[Value], set[Node[Value]]]:
        """The forward values that the reverse loop reads, and forward nodes that it repeats."""
        again: set[Node[Value]] = set()
        residuals: dict[Value, None] = {}
        known = {*self.inputs[self.carried :], *self._flows, *self.given}
        forward = [v for v in self._stacked if not self._is_reverse(v) and v not in known]
        residuals.update(dict.fromkeys(forward))
        waiting, seen = list(ends), set[Value]()
        while waiting:
            value = waiting.pop()
            if value in seen or value in known:
                continue
            seen.add(value)
            node = self._producers.get(value)
            if node is not None and (node not in self._forward or self._repeats(node, residuals)):
                if node in self._forward:
                    again.add(node)
                waiting += node.inputs
            else:
                residuals[value] = None
        return list(residuals), again

    def _repeats(self, node: Node[Value], residuals: dict[Value, None]) -> bool:
        return node.primitive.name in _AGAIN and not any(v in residuals for v in node.outputs)

    def _keep(self, residuals: Sequence[Value]) -> dict[Value, Any]:
        """Run the forward loop with the residuals put out; their stacks."""
        if not residuals:
            return {}
        forward = Graph(
            self.inputs,
            [n for n in self.builder.nodes if n in self._forward],
            [*self.outputs, *residuals],
            self.body.name,
        )
        attributes = {k: v for k, v in self.node.attributes.items() if k != "body"}
        results = ops.scan(self.node.inputs, _alive(forward), **attributes)
        return dict(zip(residuals, results[len(self.outputs) :], strict=True))

    def _run(
        self,
        flows: Sequence[Value],
        put_out: Sequence[Value],
        residuals: Sequence[Value],
        again: set[Node[Value]],
        kept: dict[Value, Any],
    ) -> Callable[[Value], Any]:
        """Run the reverse loop; returns where the stack of a value is found."""
        last = self.carried + self.scanned
        constants = self.inputs[last:]
        totals = [self.builder.input(v.shape, v.dtype) for v in self._accumulated]
        sums = [total + v for total, v in zip(totals, self._accumulated, strict=True)]
        entries = self.inputs[self.carried : last]
        nodes = [n for n in self.builder.nodes if n not in self._forward or n in again]
        body = Graph(
            [*self._flows, *totals, *entries, *self.given, *residuals, *constants],
            nodes,
            [*flows, *sums, *put_out],
            self.builder.name,
        )
        inputs = self.node.inputs
        like = inputs[0]
        seeds = [
            ops.zeros_like(inputs[i]) if self.outgoing[i] is None else self.outgoing[i]
            for i in self.flowing
        ]
        zeros = [
            ops.broadcast_to(like.constant_like(0, v.dtype), v.shape) for v in self._accumulated
        ]
        stacks = dict(zip(entries, inputs[self.carried : last], strict=True))
        stacks.update(self.given)
        stacks.update(kept)
        scanned = [*entries, *self.given, *residuals]
        results = ops.scan(
            [*seeds, *zeros, *(stacks[v] for v in scanned), *inputs[last:]],
            _alive(body),
            carried=len(seeds) + len(zeros),
            scanned=len(scanned),
            length=self.length,
            reverse=not self.node.attributes["reverse"],
        )
        first = len(seeds)
        self._last = results[:first]
        self._totals = results[first : first + len(zeros)]
        stacks.update(zip(put_out, results[first + len(zeros) :], strict=True))
        constant_stacks = dict(zip(constants, inputs[last:], strict=True))

        def stack_of(value: Value) -> Any:
            if value in constant_stacks:
                same = constant_stacks[value]
                return ops.broadcast_to(same, (self.length, *same.shape))
            return stacks[value]

        return stack_of


def _alive(graph: Graph) -> Graph:
    return Graph(graph.inputs, live_nodes(graph), graph.outputs, graph.name)


def _same_shapes(node: Node[Value]) -> bool:
    return all(x.shape == node.outputs[0].shape for x in node.inputs)


def _apply(node: Node[Value], x: Any) -> Any:
    return x.bind(node.primitive, (x,), node.attributes)
