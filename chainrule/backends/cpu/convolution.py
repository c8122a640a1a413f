"""Convolutions as contractions: windows over the padded input are a view, nothing is unfolded.

    forward          rows (n, *o),  inner (*k, c):  windows of x       times  kernel
    kernel gradient  rows (*k, c),  inner (n, *o):  windows of x       times  dy
    input gradient   rows (n, *s),  inner (*k, f):  windows of dy      times  kernel, flipped

where for the input gradient dy gets zeros between its elements (strides) and around them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from chainrule.backends.cpu import views
from chainrule.backends.cpu.contraction import Contraction
from chainrule.backends.cpu.depthwise import add_depthwise, is_depthwise
from chainrule.backends.cpu.partial_sums import sum_of_parts
from chainrule.backends.cpu.views import Shape, View
from chainrule.backends.cpu.winograd import add_winograd
from chainrule.graph.graph import Node, Value

if TYPE_CHECKING:
    from chainrule.backends.cpu.plan import Plan

Padding = Sequence[tuple[int, int]]


def add_convolution(plan: Plan, node: Node[Value], inputs: Sequence[View], target: View) -> None:
    """Append the kernels of one of the three convolutions."""
    if is_depthwise(plan, node, inputs, target):
        add_depthwise(plan, node, inputs, target)
        return
    if add_winograd(plan, node, inputs, target):
        return
    lower = {
        "convolution": _forward,
        "convolution_input_gradient": _input_gradient,
        "convolution_kernel_gradient": _kernel_gradient,
    }[node.primitive.name]
    lower(plan, node, inputs, target)


def _forward(plan: Plan, node: Node[Value], inputs: Sequence[View], target: View) -> None:
    attributes, (x, kernel) = node.attributes, inputs
    groups, rank = attributes["groups"], len(x.shape) - 2
    x = _padded(plan, x, attributes["padding"], (1,) * rank)
    left = windows(x, kernel.shape[:-2], target.shape[1:-1], attributes)
    left = _split(left, -1, groups)
    right, target = _split(kernel, -1, groups), _split(target, -1, groups)
    plan.add_contraction(contraction(left, right, target, 1, 1 + rank, node.scope))


def _kernel_gradient(plan: Plan, node: Node[Value], inputs: Sequence[View], target: View) -> None:
    attributes, (x, dy) = node.attributes, inputs
    groups, rank = attributes["groups"], len(x.shape) - 2
    x = _padded(plan, x, attributes["padding"], (1,) * rank)
    left = windows(x, attributes["window"], dy.shape[1:-1], attributes)
    places, taps = range(1 + rank), range(1 + rank, 2 + 2 * rank)
    left = _split(views.transpose(left, (*taps, *places)), rank, groups)
    right, whole = _split(dy, -1, groups), _split(target, -1, groups)
    kernel = contraction(left, right, whole, 1, 1 + rank, node.scope)
    parts = _parts(plan, kernel, dy.shape[0] if groups == 1 else 1)
    if parts == 1:
        plan.add_contraction(kernel)
        return
    place = plan.temporary(target.dtype, (parts, *target.shape))
    left, right = _examples_in_parts(left, 2 + rank, parts), _examples_in_parts(right, 1, parts)
    plan.add_contraction(contraction(left, right, place, 1, 1 + rank, node.scope))
    plan.add(sum_of_parts(place, target, node.scope))


def _parts(plan: Plan, kernel: Contraction, examples: int) -> int:
    """How many parts of the examples have sums of their own: a kernel may be too small to be cut
    into pieces, however large the sums are.
    """
    most = kernel.most_pieces
    if kernel.pieces(plan.target) >= most:
        return 1
    return max(parts for parts in range(1, most + 1) if examples % parts == 0)


def _examples_in_parts(view: View, axis: int, parts: int) -> View:
    """Parts of the examples instead of the one group in front."""
    shape, strides = list(view.shape), list(view.strides)
    shape[axis] //= parts
    shape[0], strides[0] = parts, shape[axis] * strides[axis]
    return replace(view, shape=tuple(shape), strides=tuple(strides))


def _input_gradient(plan: Plan, node: Node[Value], inputs: Sequence[View], target: View) -> None:
    attributes, (dy, kernel) = node.attributes, inputs
    groups, rank = attributes["groups"], len(dy.shape) - 2
    strides, dilation = attributes["strides"], attributes["dilation"]
    around = []
    for axis in range(rank):
        span = (kernel.shape[axis] - 1) * dilation[axis]
        low = span - attributes["padding"][axis][0]
        spread = (dy.shape[1 + axis] - 1) * strides[axis] + 1
        around.append((low, target.shape[1 + axis] + span - low - spread))
    dy = _padded(plan, dy, around, strides, backwards=True)
    whole = {"strides": (1,) * rank, "dilation": dilation}
    left = _split(windows(dy, kernel.shape[:-2], target.shape[1:-1], whole), -1, groups)
    # (*k, c, f) of each group, taps backwards.
    flipped = _split(views.flip(kernel, range(rank)), -1, groups)
    right = views.transpose(flipped, (*range(1 + rank), 2 + rank, 1 + rank))
    plan.add_contraction(
        contraction(left, right, _split(target, -1, groups), 1, 1 + rank, node.scope)
    )


def windows(view: View, window: Shape, places: Shape, attributes: Any) -> View:
    """Every window of a padded input: (N, *S, C) -> (N, *places, *window, C)."""
    batch, *spatial, channel = view.strides
    moves = [s * step for s, step in zip(spatial, attributes["strides"], strict=True)]
    taps = [s * gap for s, gap in zip(spatial, attributes["dilation"], strict=True)]
    return replace(
        view,
        shape=(view.shape[0], *places, *window, view.shape[-1]),
        strides=(batch, *moves, *taps, channel),
    )


def _padded(
    plan: Plan, view: View, around: Padding, strides: Shape, *, backwards: bool = False
) -> View:
    """The view with zeros around it and between its elements; negative numbers cut off."""
    rank = len(around)
    if all(pair == (0, 0) for pair in around) and set(strides) <= {1}:
        return view
    low = (0, *(max(a, 0) for a, _ in around), 0)
    lengths = [
        (n - 1) * step + 1 for n, step in zip(view.shape[1 : 1 + rank], strides, strict=True)
    ]
    spread = [n + max(a, 0) + max(b, 0) for n, (a, b) in zip(lengths, around, strict=True)]
    shape = (view.shape[0], *spread, view.shape[-1])
    if shape != view.shape:
        # What the forward pass pads is kept for the kernel's gradient: its zeros may stay, too.
        keep = set(strides) <= {1} and not backwards
        view = plan.zeros_around(view, shape, low, (1, *strides, 1), keep=keep)
    start = (0, *(max(-a, 0) for a, _ in around), 0)
    stop = tuple(n - max(-b, 0) for n, (_, b) in zip(spread, around, strict=True))
    return views.slice_(view, start, (view.shape[0], *stop, view.shape[-1]), (1,) * len(view.shape))


def _split(view: View, axis: int, groups: int) -> View:
    """An axis cut into groups, which become the first axis."""
    axis %= len(view.shape)
    each = view.shape[axis] // groups
    shape, strides = list(view.shape), list(view.strides)
    shape[axis] = each
    return replace(view, shape=(groups, *shape), strides=(each * view.strides[axis], *strides))


def contraction(
    left: View, right: View, target: View, batch_axes: int, row_axes: int, scope: str = ""
) -> Contraction:
    """A contraction with as few axes as its views allow."""
    middle = batch_axes + row_axes
    batch, batch_steps = _merged(
        left.shape[:batch_axes],
        [view.strides[:batch_axes] for view in (left, right, target)],
    )
    rows, row_steps = _merged(
        left.shape[batch_axes:middle],
        [left.strides[batch_axes:middle], target.strides[batch_axes:-1]],
    )
    inner, inner_steps = _merged(
        left.shape[middle:], [left.strides[middle:], right.strides[batch_axes:-1]]
    )
    if not rows:
        rows, row_steps = (1,), [(0,), (0,)]
    if not inner:
        inner, inner_steps = (1,), [(0,), (0,)]
    columns = target.shape[-1:]
    left = replace(
        left,
        shape=(*batch, *rows, *inner),
        strides=(*batch_steps[0], *row_steps[0], *inner_steps[0]),
    )
    right = replace(
        right, shape=(*batch, *inner, *columns),
        strides=(*batch_steps[1], *inner_steps[1], right.strides[-1]),
    )  # fmt: skip
    target = replace(
        target, shape=(*batch, *rows, *columns),
        strides=(*batch_steps[2], *row_steps[1], target.strides[-1]),
    )  # fmt: skip
    return Contraction(left, right, target, len(batch), len(rows), scope)


def _merged(shape: Shape, strides: Sequence[Shape]) -> tuple[Shape, list[Shape]]:
    # Axes without elements are kept: joined ones would hide them.
    if 0 in shape:
        return shape, list(strides)
    return views.merge_axes(shape, strides)
