"""Graphs as drawings in Graphviz' DOT language."""

from __future__ import annotations

from chainrule.graph.graph import Graph, Node, Value
from chainrule.graph.text import attribute_text, value_names


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _node_label(node: Node[Value]) -> str:
    parts = [node.primitive.name]
    parts += [f"{key}={attribute_text(node.attributes[key])}" for key in node.primitive.attributes]
    return "\n".join([*parts, ", ".join(str(v.type) for v in node.outputs)])


def to_dot(graph: Graph) -> str:
    """The graph as DOT text; nodes of one layer stand in one cluster."""
    names = value_names(graph)
    lines = [f"digraph {_quoted(graph.name)} {{", "  rankdir=TB; node [fontsize=10];"]
    for value in graph.inputs:
        label = f"{value.name or names[value]}\n{value.type}"
        lines.append(
            f"  {_quoted(names[value])} [shape=box, style=filled, label={_quoted(label)}];"
        )
    scopes: dict[str, list[str]] = {}
    edges = []
    for node in graph:
        own = names[node.outputs[0]]
        scopes.setdefault(node.scope, []).append(
            f"{_quoted(own)} [label={_quoted(_node_label(node))}];"
        )
        edges += [f"  {_quoted(names[v])} -> {_quoted(own)};" for v in node.inputs]
    for number, (scope, texts) in enumerate(scopes.items()):
        if scope:
            lines.append(f"  subgraph cluster_{number} {{ label={_quoted(scope)};")
            lines += [f"    {text}" for text in texts]
            lines.append("  }")
        else:
            lines += [f"  {text}" for text in texts]
    lines += edges
    for number, value in enumerate(graph.outputs):
        lines.append(f"  output{number} [shape=box, style=rounded];")
        lines.append(f"  {_quoted(names[value])} -> output{number};")
    return "\n".join([*lines, "}"])
