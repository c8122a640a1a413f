"""Sums over whole arrays, cut into pieces: the elements are taken as rows of equal length."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

from chainrule.backends.cpu import groups
from chainrule.backends.cpu.groups import Group, Reduction
from chainrule.backends.cpu.row_phases import RowFlow
from chainrule.backends.cpu.rowgroups import row_group
from chainrule.backends.cpu.views import Shape, View, merge_axes
from chainrule.graph.graph import Node

if TYPE_CHECKING:
    from chainrule.backends.cpu.plan import Kernel, Plan

# The elements of a row: as many as divide the array, else the last number.
_ROWS = range(4096, 1023, -1)
_ROW = 2048


def split_whole_sums(plan: Plan) -> None:
    """Replace groups that sum up large arrays by kernels that are cut into pieces."""
    kernels: list[Kernel] = []
    for kernel in plan.kernels:
        if isinstance(kernel, Group) and _is_large(kernel):
            kernels += _split(plan, kernel)
        else:
            kernels.append(kernel)
    plan.kernels = kernels


def _is_large(group: Group) -> bool:
    """Whether all its reductions are sums over all of an array that is large and even in memory."""
    size = prod(group.shape)
    work = size * (len(group.nodes) + len(group.reductions))
    if not group.reductions or work < 2 * groups.WORK_OF_A_PIECE or size < 2 * _ROWS[0]:
        return False
    whole = all(
        n == 1 or axis in r.node.attributes["axes"]
        for r in group.reductions
        for axis, n in enumerate(group.shape)
    )
    shape, _ = merge_axes(group.shape, [view.strides for view in group.all_views()])
    columns = tuple(n for n in group.shape if n != 1)
    return whole and len(shape) == 1 and RowFlow((), columns).accepts(group)


def _split(plan: Plan, group: Group) -> list[Kernel]:
    """The whole rows, the elements after them, and what adds up the parts."""
    size = prod(group.shape)
    row = next((row for row in _ROWS if size % row == 0), _ROW)
    rows, rest = divmod(size, row)
    main = _part(group, (rows, row), 0)
    flow = RowFlow((rows,), (row,))
    flow.add(main)
    kernel, followers = row_group(plan, flow, [main], main.buffers_written(), more=bool(rest))
    if not rest:
        return [kernel, *followers]
    tail = _part(group, (rest,), rows * row)
    for i, (reduction, _) in enumerate(flow.down):
        place = replace(reduction.target, shape=(), strides=(), offset=kernel.parts)
        tail.reductions[i] = replace(tail.reductions[i], target=place)
    return [kernel, tail, *followers]


def _part(group: Group, shape: Shape, first: int) -> Group:
    """The group over elements from ``first`` on, in another shape."""
    count = len(group.leaves) + len(group.stores)
    _, strides = merge_axes(group.shape, [view.strides for view in group.all_views()])
    rest = shape[-1]

    def view(old: View, step: int) -> View:
        steps = (rest * step, step) if len(shape) == 2 else (step,)
        return View(old.buffer, old.dtype, shape, steps, old.offset + first * step)

    views = [*group.leaves.values(), *group.stores.values()]
    places = [view(old, s[0]) for old, s in zip(views, strides[:count], strict=True)]
    leaves = dict(zip(group.leaves, places, strict=False))
    stores = dict(zip(group.stores, places[len(leaves) :], strict=True))
    axes = {"axes": tuple(range(len(shape)))}
    reductions = []
    for r in group.reductions:
        node = Node(r.node.primitive, r.node.inputs, axes, r.node.outputs, r.node.scope)
        reductions.append(Reduction(node, r.source, replace(r.target, shape=(), strides=())))
    return Group(shape, group.nodes, leaves, group.numbers, stores, reductions, group.error)
