"""Sums in parts: each piece of a kernel adds up its own, a small group after it adds the parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chainrule.backends.cpu.groups import Group, Reduction
from chainrule.backends.cpu.views import View
from chainrule.graph.builder import GraphBuilder
from chainrule.graph.graph import Node, Value, ValueType
from chainrule.graph.primitives import PRIMITIVES

if TYPE_CHECKING:
    from chainrule.backends.cpu.plan import Plan

# Owns the values that stand for parts: they belong to no graph.
_NOWHERE = GraphBuilder("nowhere")


def into_parts(plan: Plan, reduction: Reduction, parts: int) -> tuple[Reduction, Group]:
    """A reduction into one place for each part, and the group that adds up the parts in order."""
    target = reduction.target
    place = plan.temporary(target.dtype, (parts, *target.shape))
    group = sum_of_parts(place, target, reduction.node.scope, reduction.primitive)
    return Reduction(reduction.node, reduction.source, place), group


def sum_of_parts(
    place: View, target: View, scope: str = "", primitive: str = "reduce_sum"
) -> Group:
    """A group that adds up parts along the first axis, in order."""
    each = Value(ValueType(place.shape, place.dtype), _NOWHERE)
    whole = Value(ValueType(target.shape, target.dtype), _NOWHERE)
    node = Node(PRIMITIVES[primitive], (each,), {"axes": (0,)}, (whole,), scope)
    return Group(place.shape, leaves={each: place}, reductions=[Reduction(node, each, target)])
