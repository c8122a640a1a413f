"""Passes over ``scan``: loops that share their inputs become one, what nobody reads is not put out,
what does not change is computed before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from chainrule.graph import operations as ops
from chainrule.graph.builder import GraphBuilder
from chainrule.graph.graph import Graph, Node, Value
from chainrule.graph.walk import live_nodes, rewrite
from chainrule.passes.simplify import eliminate_common_subexpressions

Pass = Callable[[Graph], Graph]


class Loop(NamedTuple):
    """A scan taken apart.

    Attributes:
        body: the graph of a step.
        carried: the first carried values.
        scanned: the inputs with an entry a step.
        constants: the inputs that stay the same.
        length: the number of steps.
        reverse: whether it starts at the last entry.
    """

    body: Graph
    carried: Sequence[Value]
    scanned: Sequence[Value]
    constants: Sequence[Value]
    length: int
    reverse: bool

    @classmethod
    def of(cls, node: Node[Value], inputs: Sequence[Value]) -> Loop:
        """The loop of a node with these inputs."""
        a = node.attributes
        first, last = a["carried"], a["carried"] + a["scanned"]
        return cls(
            a["body"], inputs[:first], inputs[first:last], inputs[last:], a["length"], a["reverse"]
        )

    def write(self) -> Sequence[Value]:
        """Append it to the graph of its inputs."""
        inputs = [*self.carried, *self.scanned, *self.constants]
        counts = len(self.carried), len(self.scanned)
        return ops.scan(inputs, self.body, *counts, self.length, self.reverse)


def is_loop(node: Node[Value]) -> bool:
    """Whether a node is a scan."""
    return node.primitive.kind == "loop"


def improve_loops(graph: Graph, optimize: Pass) -> Graph:
    """All passes over loops, and ``optimize`` over their bodies."""
    if not any(map(is_loop, graph)):
        return graph
    for run in (merge_loops, drop_unused, hoist_constants):
        graph = run(graph)

    def rule(
        builder: GraphBuilder, node: Node[Value], inputs: Sequence[Value]
    ) -> Sequence[Value] | None:
        if not is_loop(node):
            return None
        loop = Loop.of(node, inputs)
        return loop._replace(body=optimize(loop.body)).write()

    return drop_unused(rewrite(graph, rule))


def merge_loops(graph: Graph) -> Graph:
    """Loops over the same inputs whose carried values are the same become one with the outputs of
    all: a forward loop, and the one that puts out what its derivative needs.
    """
    groups: dict[object, list[Node[Value]]] = {}
    for node in filter(is_loop, graph):
        a = node.attributes
        key = (node.inputs, a["carried"], a["scanned"], a["length"], a["reverse"])
        groups.setdefault(key, []).append(node)
    places: dict[Node[Value], tuple[Node[Value], list[int]]] = {}
    bodies: dict[Node[Value], Graph] = {}
    for nodes in groups.values():
        for node in nodes[1:]:
            _merge(nodes[0], node, bodies, places)
    if not places:
        return graph
    written: dict[Node[Value], Sequence[Value]] = {}

    def rule(
        builder: GraphBuilder, node: Node[Value], inputs: Sequence[Value]
    ) -> Sequence[Value] | None:
        if node in places:
            first, order = places[node]
            return [written[first][i] for i in order]
        if node not in bodies:
            return None
        written[node] = Loop.of(node, inputs)._replace(body=bodies[node]).write()
        return written[node][: len(node.outputs)]

    return rewrite(graph, rule)


def _merge(
    first: Node[Value],
    other: Node[Value],
    bodies: dict[Node[Value], Graph],
    places: dict[Node[Value], tuple[Node[Value], list[int]]],
) -> None:
    """Join the body of ``other`` to that of ``first`` if they carry the same values."""
    body: Graph = bodies.get(first) or first.attributes["body"]
    more: Graph = other.attributes["body"]
    builder = GraphBuilder(body.name)
    inputs = [builder.input(v.shape, v.dtype, v.name) for v in body.inputs]
    ends = [*builder.inline(body, inputs), *builder.inline(more, inputs)]
    joint = eliminate_common_subexpressions(builder.finish(ends))
    mine, his = joint.outputs[: len(body.outputs)], joint.outputs[len(body.outputs) :]
    carried = first.attributes["carried"]
    if mine[:carried] != his[:carried]:
        return
    outputs = list(mine)
    order = list(range(carried))
    for value in his[carried:]:
        if value not in outputs[carried:]:
            outputs.append(value)
        order.append(outputs.index(value, carried))
    bodies[first] = Graph(joint.inputs, joint.nodes, outputs, body.name)
    places[other] = first, order


def drop_unused(graph: Graph) -> Graph:
    """Carried values, outputs and inputs of loops on which nothing depends are left out."""
    nodes = live_nodes(graph)
    used = {*graph.outputs, *(v for node in nodes for v in node.inputs)}

    def rule(
        builder: GraphBuilder, node: Node[Value], inputs: Sequence[Value]
    ) -> Sequence[Value] | None:
        if not is_loop(node):
            return None
        loop = Loop.of(node, inputs)
        kept, alive = _needed(loop, {i for i, v in enumerate(node.outputs) if v in used})
        body = loop.body
        small = Graph(
            [v for v in body.inputs if v in alive],
            live_nodes(Graph(body.inputs, body.nodes, [body.outputs[i] for i in kept])),
            [body.outputs[i] for i in kept],
            body.name,
        )
        values = dict(zip(body.inputs, inputs, strict=True))
        n, m = len(loop.carried), len(loop.scanned)
        carried, scanned, constants = (
            [values[v] for v in kind if v in alive]
            for kind in (body.inputs[:n], body.inputs[n : n + m], body.inputs[n + m :])
        )
        results = Loop(small, carried, scanned, constants, loop.length, loop.reverse).write()
        found = dict(zip(kept, results, strict=True))
        # Nobody reads the places of those that were left out.
        return [found.get(i, results[0]) for i in range(len(node.outputs))]

    return rewrite(graph, rule, nodes)


def _needed(loop: Loop, used: set[int]) -> tuple[list[int], set[Value]]:
    """The outputs of the body on which a used one depends, and the inputs of the body they need."""
    body, carried = loop.body, len(loop.carried)
    while True:
        ends = [body.outputs[i] for i in sorted(used)]
        nodes = live_nodes(Graph(body.inputs, body.nodes, ends))
        alive = {*ends, *(v for node in nodes for v in node.inputs)}
        more = {i for i in range(carried) if body.inputs[i] in alive}
        if more <= used:
            # A carried value that is only put out, never read, needs its input too.
            alive |= {body.inputs[i] for i in used if i < carried}
            return sorted(used), alive
        used |= more


def hoist_constants(graph: Graph) -> Graph:
    """What a body computes from constants alone is computed before its loop."""

    def rule(
        builder: GraphBuilder, node: Node[Value], inputs: Sequence[Value]
    ) -> Sequence[Value] | None:
        return _hoisted(builder, Loop.of(node, inputs)) if is_loop(node) else None

    return rewrite(graph, rule)


def _hoisted(builder: GraphBuilder, loop: Loop) -> Sequence[Value]:
    body, changing = loop.body, len(loop.carried) + len(loop.scanned)
    outside = dict(zip(body.inputs[changing:], loop.constants, strict=True))
    inside: list[Node[Value]] = []
    for node in body:
        name = node.primitive.name
        # A value repeated along an axis is not worth memory.
        if node.inputs and name != "broadcast_to" and all(v in outside for v in node.inputs):
            with builder.scoped(node.scope):
                result = builder.append(
                    node.primitive, [outside[v] for v in node.inputs], node.attributes
                )
            outputs = (result,) if len(node.outputs) == 1 else result
            outside.update(zip(node.outputs, outputs, strict=True))
        else:
            inside.append(node)
    read = {*body.outputs, *(v for node in inside for v in node.inputs)}
    constants = [v for v in outside if v in read]
    small = Graph([*body.inputs[:changing], *constants], inside, body.outputs, body.name)
    return loop._replace(body=small, constants=[outside[v] for v in constants]).write()
