"""Elementwise work on a matrix product done inside the product, while a tile of it is in cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chainrule.backends.cpu import views
from chainrule.backends.cpu.bodies import divides_integers
from chainrule.backends.cpu.contraction import Contraction
from chainrule.backends.cpu.groups import Group
from chainrule.backends.cpu.partial_sums import into_parts
from chainrule.backends.cpu.windows import Windows
from chainrule.backends.cpu.winograd import WinogradConvolution
from chainrule.graph.graph import Value

if TYPE_CHECKING:
    from chainrule.backends.cpu.plan import Plan

Product = Contraction | WinogradConvolution | Windows


def fuse_epilogues(plan: Plan) -> None:
    """Give each product the group that reads it, where they go through the same shape.

    The product then runs where the group stood: all that the group reads is there, and nobody in
    between has read the product. Sums of the group over rows are added up tile by tile, each range
    of rows in a place of its own.
    """
    for product in [kernel for kernel in plan.kernels if isinstance(kernel, Product)]:
        readers = plan.readers(product.target.buffer)
        group = readers[0] if readers else None
        value = _product_value(group, product) if isinstance(group, Group) else None
        if not isinstance(group, Group) or value is None:
            continue
        within = not isinstance(product, Windows) and _within(product, group)
        reduced = any(reduction.source is value for reduction in group.reductions)
        kept = len(readers) > 1 or plan.buffers[product.target.buffer].kind != "temporary"
        if kept or (reduced and not within):
            if value in group.stores:
                continue  # a copy: it has no second place for what it reads
            group.stores[value] = group.leaves[value]
        following = _sums(plan, product, group) if group.reductions else []
        product.epilogue = group
        plan.kernels.remove(product)
        position = plan.kernels.index(group)
        plan.kernels[position : position + 1] = [product, *following]


def _within(product: Contraction | WinogradConvolution, group: Group) -> bool:
    """Whether a product can add up its columns itself."""
    return not product.batch and group.shape[-1] == product.columns


def _sums(plan: Plan, product: Product, group: Group) -> list[Group]:
    """Give each range of rows a place for its sums; gives the groups that add those up."""
    if isinstance(product, Windows) or not _within(product, group):
        return [plan.split_reductions(group)]
    parts = product.row_parts(plan.target)
    if parts == 1:
        return []
    pairs = [into_parts(plan, reduction, parts) for reduction in group.reductions]
    group.reductions = [reduction for reduction, _ in pairs]
    return [following for _, following in pairs]


def _product_value(group: Group, product: Product) -> Value | None:
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
