"""Elementwise work on a matrix product done inside the product, while a tile of it is in cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chainrule.backends.cpu import views
from chainrule.backends.cpu.bodies import divides_integers
from chainrule.backends.cpu.contraction import Contraction
from chainrule.backends.cpu.groups import Group
from chainrule.graph.graph import Value

if TYPE_CHECKING:
    from chainrule.backends.cpu.plan import Plan


def fuse_epilogues(plan: Plan) -> None:
    """Give each product the group that reads it, where they go through the same shape.

    The product then runs where the group stood: all that the group reads is there, and nobody in
    between has read the product. Sums of the group over rows become a group of their own.
    """
    for product in [kernel for kernel in plan.kernels if isinstance(kernel, Contraction)]:
        readers = plan.readers(product.target.buffer)
        group = readers[0] if readers else None
        value = _product_value(group, product) if isinstance(group, Group) else None
        if not isinstance(group, Group) or value is None:
            continue
        reduced = any(reduction.source is value for reduction in group.reductions)
        kept = len(readers) > 1 or plan.buffers[product.target.buffer].kind != "temporary"
        if kept or reduced:
            if value in group.stores:
                continue  # a copy: it has no second place for what it reads
            group.stores[value] = group.leaves[value]
        following = [plan.split_reductions(group)] if group.reductions else []
        product.epilogue = group
        plan.kernels.remove(product)
        position = plan.kernels.index(group)
        plan.kernels[position : position + 1] = [product, *following]


def _product_value(group: Group, product: Contraction) -> Value | None:
    """The value that stands for the product in the group, if the group can run tile by tile."""
    found = [v for v, view in group.leaves.items() if view.buffer == product.target.buffer]
    if len(found) != 1 or not product.may_finish(group):
        return None
    if views.reshape(group.leaves[found[0]], product.target.shape) != product.target:
        return None
    rows = tuple(range(len(group.shape) - 1))
    if any(reduction.node.attributes["axes"] != rows for reduction in group.reductions):
        return None
    return None if any(map(divides_integers, group.nodes.values())) else found[0]
