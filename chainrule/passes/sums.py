"""Sums without the factors that are the same for all that is summed: those are multiplied after.

    sum(a * s) = sum(a) * s        sum(-a) = -sum(a)        sum(a + a) = 2 sum(a)

where s does not vary along the axes of the sum. The gradient of batch normalisation asks for four
such sums; two of them are left, over what other sums go through anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from chainrule.graph import operations as ops
from chainrule.graph.builder import GraphBuilder
from chainrule.graph.graph import Graph, Node, Value
from chainrule.graph.walk import rewrite
from chainrule.passes.simplify import Producers

Step = Callable[[Any], Any]


def take_factors_out_of_sums(graph: Graph) -> Graph:
    """Multiply after a sum of floating-point numbers what would be multiplied before it."""
    producers: list[Producers] = []

    def rule(
        builder: GraphBuilder, node: Node[Value], inputs: Sequence[Value]
    ) -> Sequence[Value] | None:
        if not producers:
            producers.append(Producers(builder))
        if node.primitive.name != "reduce_sum" or inputs[0].dtype.kind != "f":
            return None
        axes = node.attributes["axes"]
        if all(inputs[0].shape[axis] == 1 for axis in axes):  # nothing is saved
            return None
        source, steps = _peeled(producers[0], inputs[0], axes)
        if not steps:
            return None
        total = ops.reduce_sum(source, axes)
        for step in reversed(steps):
            total = step(total)
        return (total,)

    return rewrite(graph, rule)


def _peeled(producers: Producers, value: Value, axes: Sequence[int]) -> tuple[Value, list[Step]]:
    """What is left of a value without its factors, and what is done to the sum, the last first."""
    steps: list[Step] = []
    shape = value.shape
    while (node := producers.of(value)) is not None:
        name = node.primitive.name
        if name == "negative":
            steps.append(_negated)
            (value,) = node.inputs
        elif name == "add" and node.inputs[0] is node.inputs[1]:
            steps.append(_doubled)
            value = node.inputs[0]
        elif name in ("multiply", "divide"):
            pairs = [node.inputs, node.inputs[::-1]] if name == "multiply" else [node.inputs]
            found = [
                (x, factor)
                for x, y in pairs
                if x.shape == shape and (factor := _even(producers, y, shape, axes)) is not None
            ]
            if not found:
                break
            value, factor = found[0]
            steps.append(_multiplied(factor) if name == "multiply" else _divided(factor))
        else:
            break
    return value, steps


def _negated(total: Any) -> Any:
    return -total


def _doubled(total: Any) -> Any:
    return total + total


def _multiplied(factor: Any) -> Step:
    return lambda total: total * factor


def _divided(factor: Any) -> Step:
    return lambda total: total / factor


def _even(
    producers: Producers, value: Value, shape: Sequence[int], axes: Sequence[int]
) -> Value | None:
    """A value that is the same along the axes of the sum, in the rank of the sum; else None."""
    node = producers.of(value)
    while node is not None and node.primitive.name == "broadcast_to":
        value = node.inputs[0]
        node = producers.of(value)
    lengths = (1,) * (len(shape) - len(value.shape)) + value.shape
    if any(lengths[axis] != 1 for axis in axes):
        return None
    kept = tuple(n for axis, n in enumerate(lengths) if axis not in axes)
    result = value if kept == value.shape else ops.reshape(value, kept)
    assert isinstance(result, Value)
    return result
