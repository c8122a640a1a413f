"""Simple passes: dead code, common sub-expressions, and algebra that changes no bit of the result.

Each algebra row is ``(builder, node, inputs) -> the replacing value, or None``. Nothing here
assumes away NaN or infinity: ``x * 0`` stays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.graph import operations as ops
from chainrule.graph.builder import GraphBuilder
from chainrule.graph.graph import Graph, Node, Value
from chainrule.graph.walk import live_nodes, rewrite

Row = Callable[[Any, "Producers", Sequence[Value]], "Value | None"]


class Producers:
    """Finds the node that made a value of the graph being built."""

    def __init__(self, builder: GraphBuilder) -> None:
        self._builder = builder
        self._nodes: dict[Value, Node[Value]] = {}
        self._seen = 0

    def of(self, value: Value) -> Node[Value] | None:
        """The node that made ``value``; None for an input."""
        for node in self._builder.nodes[self._seen :]:
            self._nodes.update(dict.fromkeys(node.outputs, node))
        self._seen = len(self._builder.nodes)
        return self._nodes.get(value)

    def number(self, value: Value) -> float | None:
        """The number that fills ``value`` when it is one constant, broadcast or not."""
        node = self.of(value)
        while node is not None and node.primitive.name in ("broadcast_to", "reshape"):
            node = self.of(node.inputs[0])
        if node is None or node.primitive.name != "constant" or node.attributes["value"].size != 1:
            return None
        return float(node.attributes["value"].reshape(()))


def _neutral(number: float, right_only: bool) -> Row:
    """``x op number`` is ``x`` (and ``number op x`` too, unless ``right_only``)."""

    def row(node: Any, producers: Producers, inputs: Sequence[Value]) -> Value | None:
        x, y = inputs
        shape = node.outputs[0].shape
        if x.shape == shape and producers.number(y) == number:
            return x
        if not right_only and y.shape == shape and producers.number(x) == number:
            return y
        return None

    return row


def _twice(name: str) -> Row:
    """Two layout changes of the same kind become one."""

    def row(node: Any, producers: Producers, inputs: Sequence[Value]) -> Value | None:
        if inputs[0].type == node.outputs[0].type and name == "reshape":
            return inputs[0]
        before = producers.of(inputs[0])
        if before is None or before.primitive.name != name:
            return None
        source = before.inputs[0]
        if name == "transpose":
            first = before.attributes["axes"]
            result = ops.transpose(source, [first[a] for a in node.attributes["axes"]])
        else:
            result = ops.reshape(source, node.attributes["shape"])
        assert isinstance(result, Value)
        return result

    return row


def _double_negative(node: Any, producers: Producers, inputs: Sequence[Value]) -> Value | None:
    before = producers.of(inputs[0])
    return before.inputs[0] if before is not None and before.primitive.name == "negative" else None


def _identity(node: Any, producers: Producers, inputs: Sequence[Value]) -> Value | None:
    return inputs[0] if inputs[0].type == node.outputs[0].type else None


def _side_by_side(node: Any, producers: Producers, inputs: Sequence[Value]) -> Value | None:
    """Parts padded with zeros to places of their own, which fill an axis, added up: the parts side
    by side. It is the gradient of a value that was cut into parts. (A zero may lose its sign in the
    sum, and keeps it here.)
    """
    shape = node.outputs[0].shape
    if any(x.shape != shape for x in inputs):
        return None
    parts: list[tuple[int, int, int, Value]] = []
    waiting = list(inputs)
    while waiting:
        value = waiting.pop()
        before = producers.of(value)
        if before is None:
            return None
        if before.primitive.name == "add" and all(x.shape == shape for x in before.inputs):
            waiting += before.inputs
            continue
        place = _only_place(before)
        if place is None:
            return None
        parts.append((*place, before.inputs[0]))
    parts.sort(key=lambda part: part[:3])
    axis, end = parts[0][0], 0
    for other, start, stop, _ in parts:
        if other != axis or start != end:
            return None
        end = stop
    if end != shape[axis]:
        return None
    result = ops.concatenate([value for *_, value in parts], axis)
    assert isinstance(result, Value)
    return result


def _only_place(node: Node[Value]) -> tuple[int, int, int] | None:
    """Axis, first and last place of a value padded with zeros on one axis, without gaps."""
    if node.primitive.name != "pad":
        return None
    a = node.attributes
    axes = [i for i, ends in enumerate(zip(a["low"], a["high"], strict=True)) if any(ends)]
    if len(axes) != 1 or any(a["interior"]) or a["value"] != 0:
        return None
    start = a["low"][axes[0]]
    return axes[0], start, start + node.inputs[0].shape[axes[0]]


# x + 0 is left alone: -0.0 + 0 is +0.0.
ALGEBRA: dict[str, Row] = {
    "add": _side_by_side,
    "multiply": _neutral(1, right_only=False),
    "divide": _neutral(1, right_only=True),
    "subtract": _neutral(0, right_only=True),
    "power": _neutral(1, right_only=True),
    "negative": _double_negative,
    "transpose": _twice("transpose"),
    "reshape": _twice("reshape"),
    "broadcast_to": _identity,
    "convert": _identity,
    "stop_gradient": _identity,
}


def simplify(graph: Graph) -> Graph:
    """Apply the algebra rows once, in order."""
    producers: list[Producers] = []

    def rule(
        builder: GraphBuilder, node: Node[Value], inputs: Sequence[Value]
    ) -> Sequence[Value] | None:
        if not producers:
            producers.append(Producers(builder))
        row = ALGEBRA.get(node.primitive.name)
        replaced = row(node, producers[0], inputs) if row else None
        return None if replaced is None else (replaced,)

    return rewrite(graph, rule)


def eliminate_common_subexpressions(graph: Graph) -> Graph:
    """Compute equal nodes once."""
    seen: dict[tuple[object, ...], Sequence[Value]] = {}

    def rule(builder: GraphBuilder, node: Node[Value], inputs: Sequence[Value]) -> Sequence[Value]:
        attributes = tuple(_hashable(node.attributes[key]) for key in node.primitive.attributes)
        key = (node.primitive.name, tuple(map(id, inputs)), attributes)
        if key not in seen:
            result = builder.append(node.primitive, inputs, node.attributes)
            seen[key] = (result,) if len(node.outputs) == 1 else result
        return seen[key]

    return rewrite(graph, rule)


def eliminate_dead_code(graph: Graph) -> Graph:
    """Drop nodes on which no output depends."""
    return rewrite(graph, lambda builder, node, inputs: None, live_nodes(graph))


def _hashable(value: Any) -> object:
    if isinstance(value, np.ndarray):
        return (value.shape, value.dtype, value.tobytes()) if value.size <= 16 else id(value)
    # -0.0 == 0.0 and True == 1: the text tells them apart.
    return (type(value), repr(value))
