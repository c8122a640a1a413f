"""ReLU after the maximum of a window rather than before it: fewer numbers, the same bits.

    max of relu(x) over a window  =  relu(max of x over the window)

Its derivative, relu's mask over what was scattered, becomes the same mask over what is to be
scattered. Where the maximum is above 0 or NaN, it stands at the same place in x and in relu(x);
where it is not, nothing is scattered on either side.
"""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.graph import operations as ops
from chainrule.graph.builder import GraphBuilder
from chainrule.graph.graph import Graph, Node, Value
from chainrule.graph.walk import rewrite

_Users = dict[Value, list[Node[Value]]]


def pool_before_relu(graph: Graph) -> Graph:
    """Change the order where only maxima over windows and their derivatives read relu(x)."""
    users: _Users = {}
    for node in graph:
        for value in node.inputs:
            users.setdefault(value, []).append(node)
    made = {value: node for node in graph for value in node.outputs}
    outputs = set(graph.outputs)
    rectified, masks = set(), set()
    for node in graph:
        off = _mask_of_relu(node, made)
        value = node.outputs[0]
        if off is None or value in outputs:
            continue
        after = _masks_after(value, off, node.inputs[1], users, outputs)
        if after is not None:
            rectified.add(value)
            masks.update(after)
    if not rectified:
        return graph
    sources: dict[Value, Sequence[Value]] = {}

    def rule(
        builder: GraphBuilder, node: Node[Value], inputs: Sequence[Value]
    ) -> Sequence[Value] | None:
        if node.outputs[0] in rectified:
            sources[node.outputs[0]] = inputs
        if node in masks:
            return (inputs[2],)  # was masked before it was scattered
        if not node.inputs or node.inputs[0] not in rectified:
            return None
        _, zero, x = sources[node.inputs[0]]
        largest = ops.window_max(x, **node.attributes)
        off = ops.less_equal(largest, zero)
        if node.primitive.name == "window_max":
            return (ops.select(off, zero, largest),)
        return (ops.window_scatter(x, ops.select(off, zero, inputs[1]), **node.attributes),)

    return rewrite(graph, rule)


def _mask_of_relu(node: Node[Value], made: dict[Value, Node[Value]]) -> Value | None:
    """The mask ``x <= 0`` of a node that is ``select(x <= 0, 0, x)``."""
    if node.primitive.name != "select":
        return None
    off, zero, x = node.inputs
    compared, constant = made.get(off), made.get(zero)
    if compared is None or compared.primitive.name != "less_equal" or compared.inputs != (x, zero):
        return None
    if constant is None or constant.primitive.name != "constant":
        return None
    if zero.shape or constant.attributes["value"] != 0:
        return None
    return off


def _masks_after(
    value: Value, off: Value, zero: Value, users: _Users, outputs: set[Value]
) -> list[Node[Value]] | None:
    """The masks over what is scattered to places of ``value``, or None if the order must stay."""
    masks = []
    for user in users.get(value, []):
        if user.inputs[0] is not value:
            return None
        if user.primitive.name == "window_scatter" and user.inputs[1] is not value:
            [scattered] = user.outputs
            after = users.get(scattered, [])
            if scattered in outputs or len(after) != 1 or after[0].primitive.name != "select":
                return None
            if after[0].inputs != (off, zero, scattered):
                return None
            masks += after
        elif user.primitive.name != "window_max":
            return None
    return masks
