"""The rules of the language, checked: run after tracing and after every pass when ``config.check``
is ``"debug"``.
"""

from __future__ import annotations

from chainrule.errors import ChainruleError, GraphError
from chainrule.graph.graph import Graph, Node, Value
from chainrule.graph.primitives import PRIMITIVES


def verify(graph: Graph) -> None:
    """Raise GraphError unless every value is defined once, before its use, with the type its
    primitive gives it.
    """
    defined: set[Value] = set()
    for value in graph.inputs:
        _define(graph, value, defined, "an input")
    for position, node in enumerate(graph):
        name = node.primitive.name
        if PRIMITIVES.get(name) is not node.primitive:
            raise _error(graph, position, f"unknown primitive {name!r}")
        for value in node.inputs:
            if value not in defined:
                raise _error(graph, position, f"{name} uses a value before it is defined")
        try:
            types = node.primitive.output_types(tuple(v.type for v in node.inputs), node.attributes)
        except ChainruleError as error:
            raise _error(graph, position, str(error)) from error
        if types != tuple(v.type for v in node.outputs):
            raise _error(graph, position, f"{name} has outputs of the wrong type")
        for value in node.outputs:
            _define(graph, value, defined, f"the output of {name}")
        for attribute in node.attributes.values():
            if isinstance(attribute, Graph):
                verify(attribute)
    for value in graph.outputs:
        if value not in defined:
            raise GraphError(graph.name, "an output is not defined", got=repr(value))


def _define(graph: Graph, value: Value, defined: set[Value], what: str) -> None:
    if value in defined:
        raise GraphError(graph.name, f"{what} is defined twice", got=repr(value))
    defined.add(value)


def _error(graph: Graph, position: int, what: str) -> GraphError:
    around = range(max(position - 5, 0), min(position + 6, len(graph)))
    lines = [_describe(graph.nodes[i], "-> " if i == position else "   ") for i in around]
    return GraphError(graph.name, f"{what} (node {position})\n" + "\n".join(lines))


def _describe(node: Node[Value], mark: str) -> str:
    inputs = ", ".join(str(v.type) for v in node.inputs)
    outputs = ", ".join(str(v.type) for v in node.outputs)
    return f"{mark}{node.primitive.name}({inputs}) : {outputs}  {node.scope}"
