"""Building graphs: appending nodes with types inferred, and copying one graph into another."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from chainrule.dtypes import Array
from chainrule.errors import GraphError
from chainrule.graph.graph import Graph, Node, Value, ValueType
from chainrule.graph.operand import Attributes
from chainrule.graph.primitives import PRIMITIVES, Primitive

_CONSTANT = PRIMITIVES["constant"]


class GraphBuilder:
    """Collects inputs and nodes; ``finish`` makes the graph."""

    def __init__(self, name: str = "graph") -> None:
        self.name = name
        self.inputs: list[Value] = []
        self.nodes: list[Node[Value]] = []
        self.scope = ""
        self._constants: dict[tuple[object, ...], Value] = {}

    def input(self, shape: tuple[int, ...], dtype: np.dtype[Any], name: str = "") -> Value:
        """Declare an input."""
        value = Value(ValueType(tuple(shape), dtype), self, name)
        self.inputs.append(value)
        return value

    def input_like(self, value: Value) -> Value:
        """Declare an input of the type and name of a value of another graph."""
        made = Value(value.type, self, value.name)
        self.inputs.append(made)
        return made

    def constant(self, array: Array) -> Value:
        """A constant; small equal ones are shared."""
        key = (array.shape, array.dtype, array.tobytes()) if array.size <= 16 else None
        if key is not None and key in self._constants:
            return self._constants[key]
        array = np.array(array)  # a copy: the caller may go on writing into his
        array.flags.writeable = False
        value: Value = self.append(_CONSTANT, (), {"value": array})
        if key is not None:
            self._constants[key] = value
        return value

    def append(self, primitive: Primitive, inputs: Sequence[Value], attributes: Attributes) -> Any:
        """Apply a primitive; its output types follow from the primitive's rule."""
        given = []
        for value in inputs:
            given.append(value.type)
            if value.owner is not self:
                raise GraphError(
                    primitive.name,
                    "a value of another graph",
                    got=repr(value),
                    expected=f"values of {self.name!r}",
                    fix="inline the other graph into this one first",
                )
        types = primitive.output_types(given, attributes)
        outputs = tuple([Value(t, self) for t in types])
        self.nodes.append(Node(primitive, tuple(inputs), attributes, outputs, self.scope))
        return outputs[0] if len(outputs) == 1 else outputs

    def copy(self, node: Node[Value], inputs: Sequence[Value]) -> tuple[Value, ...]:
        """Apply a node of another graph to values of this one; returns its outputs."""
        for value, before in zip(inputs, node.inputs, strict=True):
            if value.type is not before.type or value.owner is not self:
                result = self.append(node.primitive, inputs, node.attributes)
                return (result,) if len(node.outputs) == 1 else result
        # Inputs of the same types: so are the outputs.
        outputs = tuple([Value(value.type, self) for value in node.outputs])
        self.nodes.append(Node(node.primitive, tuple(inputs), node.attributes, outputs, self.scope))
        return outputs

    @contextlib.contextmanager
    def scoped(self, scope: str) -> Iterator[None]:
        """Nodes appended inside carry this scope (a layer's path)."""
        before, self.scope = self.scope, scope
        try:
            yield
        finally:
            self.scope = before

    def inline(self, graph: Graph, inputs: Sequence[Value]) -> list[Value]:
        """Copy ``graph``'s nodes here with its inputs replaced; returns its outputs as values of
        this builder.
        """
        mapping = self.copy_nodes(graph, inputs)
        return [mapping[value] for value in graph.outputs]

    def copy_nodes(self, graph: Graph, inputs: Sequence[Value]) -> dict[Value, Value]:
        """Like ``inline``, returning the map from every value of ``graph`` to its copy."""
        if len(inputs) != len(graph.inputs):
            raise GraphError(
                graph.name, "wrong number of inputs", got=len(inputs), expected=len(graph.inputs)
            )
        mapping = dict(zip(graph.inputs, inputs, strict=True))
        for node in graph:
            with self.scoped(node.scope):
                outputs = self.copy(node, [mapping[v] for v in node.inputs])
            mapping.update(zip(node.outputs, outputs, strict=True))
        return mapping

    def finish(self, outputs: Sequence[Value]) -> Graph:
        """The graph with these outputs."""
        return Graph(self.inputs, self.nodes, outputs, self.name)
