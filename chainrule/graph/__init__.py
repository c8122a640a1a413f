"""Floor 1: the one small language in which every computation is written down."""

from chainrule.graph.builder import GraphBuilder
from chainrule.graph.graph import Graph, Node, Value, ValueType
from chainrule.graph.operand import Operand
from chainrule.graph.primitives import PRIMITIVES, Primitive
from chainrule.graph.verify import verify

__all__ = [
    "PRIMITIVES",
    "Graph",
    "GraphBuilder",
    "Node",
    "Operand",
    "Primitive",
    "Value",
    "ValueType",
    "verify",
]
