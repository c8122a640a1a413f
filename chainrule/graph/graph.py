"""The one small language: values, nodes and graphs in single-assignment form."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import numpy as np

from chainrule.graph.operand import Attributes, Operand, Scalar

if TYPE_CHECKING:
    from chainrule.graph.builder import GraphBuilder
    from chainrule.graph.primitives import Primitive

OperandT = TypeVar("OperandT", bound=Operand)


class ValueType(NamedTuple):
    """The static type of a value: its shape and dtype."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __str__(self) -> str:
        return f"{self.dtype.name}[{', '.join(map(str, self.shape))}]"


class Node(Generic[OperandT]):
    """One application of a primitive.

    A graph's nodes hold ``Value`` operands; the eager tape records the same nodes over tensors.
    ``pullback`` replaces the derivative table's row where a user gave his own rule
    (``custom_gradient``). ``scope`` is the path of the layer that made the node, for messages and
    drawings.
    """

    __slots__ = ("attributes", "inputs", "outputs", "primitive", "pullback", "scope")

    def __init__(
        self,
        primitive: Primitive,
        inputs: tuple[OperandT, ...],
        attributes: Attributes,
        outputs: tuple[OperandT, ...],
        scope: str = "",
        pullback: Callable[..., Sequence[OperandT | None]] | None = None,
    ) -> None:
        self.primitive = primitive
        self.inputs = inputs
        self.attributes = attributes
        self.outputs = outputs
        self.scope = scope
        self.pullback = pullback


class Value(Operand):
    """A value of a graph: the output of a node, or an input. Arithmetic on it appends nodes to its
    builder.
    """

    __slots__ = ("dtype", "name", "owner", "shape", "type")

    def __init__(self, value_type: ValueType, owner: GraphBuilder, name: str = "") -> None:
        self.type = value_type
        self.shape, self.dtype = value_type
        self.owner = owner
        self.name = name

    def bind(self, primitive: Primitive, inputs: tuple[Any, ...], attributes: Attributes) -> Any:
        """Append a node to the builder that owns this value."""
        return self.owner.append(primitive, inputs, attributes)

    def constant_like(self, value: Scalar, dtype: np.dtype[Any] | None = None) -> Value:
        """A constant node of rank 0."""
        return self.owner.constant(np.asarray(value, dtype or self.dtype))

    def __repr__(self) -> str:
        return f"Value({self.name or 'unnamed'}: {self.type})"


class Graph:
    """A pure function of its inputs as a list of nodes, each before its users.

    Graphs are not changed after ``GraphBuilder.finish`` made them; every transform builds a new
    one. ``print(graph)`` shows the text form, ``graph.to_dot()`` draws it.
    """

    def __init__(
        self,
        inputs: Sequence[Value],
        nodes: Sequence[Node[Value]],
        outputs: Sequence[Value],
        name: str = "graph",
    ) -> None:
        self.inputs = tuple(inputs)
        self.nodes = tuple(nodes)
        self.outputs = tuple(outputs)
        self.name = name

    def __iter__(self) -> Iterator[Node[Value]]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    def __str__(self) -> str:
        from chainrule.graph.text import to_text

        return to_text(self)

    def to_dot(self) -> str:
        """The graph in Graphviz' DOT language: inputs as boxes, nodes as ellipses, layers as
        clusters.
        """
        from chainrule.graph.drawing import to_dot

        return to_dot(self)
