"""Walking graphs: liveness, users, and rewriting node by node."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chainrule.graph.builder import GraphBuilder
from chainrule.graph.graph import Graph, Node, Value

Rewrite = Callable[[GraphBuilder, Node[Value], Sequence[Value]], "Sequence[Value] | None"]


def last_uses(graph: Graph) -> list[list[Value]]:
    """For each node the values that no later node and no output needs."""
    kept = set(graph.outputs)
    seen: set[Value] = set(kept)
    result: list[list[Value]] = []
    for node in reversed(graph.nodes):
        dying = []
        for value in (*node.inputs, *node.outputs):
            if value not in seen:
                seen.add(value)
                dying.append(value)
        result.append(dying)
    result.reverse()
    return result


def live_nodes(graph: Graph) -> list[Node[Value]]:
    """The nodes on which some output depends, in order."""
    needed = set(graph.outputs)
    kept: list[Node[Value]] = []
    for node in reversed(graph.nodes):
        if any(value in needed for value in node.outputs):
            needed.update(node.inputs)
            kept.append(node)
    kept.reverse()
    return kept


def rewrite(graph: Graph, rule: Rewrite, nodes: Sequence[Node[Value]] | None = None) -> Graph:
    """A new graph in which ``rule(builder, node, new inputs)`` may replace each node's outputs;
    None copies it.
    """
    builder = GraphBuilder(graph.name)
    mapping: dict[Value, Value] = {value: builder.input_like(value) for value in graph.inputs}
    for node in graph.nodes if nodes is None else nodes:
        inputs = [mapping[value] for value in node.inputs]
        builder.scope = node.scope
        outputs = rule(builder, node, inputs)
        if outputs is None:
            outputs = builder.copy(node, inputs)
        mapping.update(zip(node.outputs, outputs, strict=True))
    return builder.finish([mapping[value] for value in graph.outputs])
