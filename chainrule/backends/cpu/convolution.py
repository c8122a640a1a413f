"""Convolutions as contractions: windows over the padded input are a view, nothing is unfolded.

    forward          rows (n, *o),  inner (*k, c):  windows of x       times  kernel
    kernel gradient  rows (*k, c),  inner (n, *o):  windows of x       times  dy
    input gradient   rows (n, *s),  inner (*k, f):  windows of dy      times  kernel, flipped

where the input gradient with strides is one such product for each rest of a place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import gcd
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
    x = _padded(plan, x, attributes["padding"])
    left = windows(x, kernel.shape[:-2], target.shape[1:-1], attributes)
    left = _split(left, -1, groups)
    right, target = _split(kernel, -1, groups), _split(target, -1, groups)
    plan.add_contraction(contraction(left, right, target, 1, 1 + rank, node.scope))


def _kernel_gradient(plan: Plan, node: Node[Value], inputs: Sequence[View], target: View) -> None:
    attributes, (x, dy) = node.attributes, inputs
    groups, rank = attributes["groups"], len(x.shape) - 2
    x = _padded(plan, x, attributes["padding"])
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
    """One contraction for each rest that a place of the input leaves when divided by the strides:
    such places have the same taps.
    """
    attributes, (dy, kernel) = node.attributes, inputs
    groups, rank = attributes["groups"], len(dy.shape) - 2
    axes = _rests(node)
    around = _around(axes, dy.shape[1:-1])
    dy = _padded(plan, dy, around, backwards=True)
    classes = [c for c in product(*axes) if all(rest.count for rest in c)]
    if any(rest.taps == 0 for c in classes for rest in c):
        plan.zeros(target)
    for chosen in classes:
        if any(rest.taps == 0 for rest in chosen):
            continue
        left = _split(_windows_of(dy, chosen, around), -1, groups)
        # (*k, c, f) of each group, taps backwards.
        taps = _split(_taps_of(kernel, chosen), -1, groups)
        right = views.transpose(taps, (*range(1 + rank), 2 + rank, 1 + rank))
        part = _split(_places_of(target, chosen, attributes["strides"]), -1, groups)
        plan.add_contraction(contraction(left, right, part, 1, 1 + rank, node.scope))


@dataclass(frozen=True)
class Rest:
    """Places of the input along one axis: ``first``, ``first + stride``, ...

    Attributes:
        first: the first place.
        count: how many.
        taps: how many of the kernel's taps they have.
        last_tap: the last of these, which comes first; the others are ``between`` apart.
        start: the element of dy under it at the first place, perhaps a negative number.
        gap: from the element under one tap to that under the next.
    """

    first: int
    count: int
    taps: int
    last_tap: int
    between: int
    start: int
    gap: int

    @property
    def stop(self) -> int:
        """After the last element of dy."""
        return self.start + self.count + (self.taps - 1) * self.gap


def _rests(node: Node[Value]) -> list[list[Rest]]:
    """The places of an input whose gradient is computed, sorted by their rests; for each axis."""
    attributes, kernel = node.attributes, node.inputs[1].shape
    found = []
    for axis, length in enumerate(attributes["spatial"]):
        stride, dilation = attributes["strides"][axis], attributes["dilation"][axis]
        low = attributes["padding"][axis][0]
        common = gcd(stride, dilation)
        between, gap = stride // common, dilation // common
        row = []
        for first in range(stride):
            # Tap t at place p meets element (p + low - t * dilation) / stride.
            meeting = [t for t in range(kernel[axis]) if (first + low - t * dilation) % stride == 0]
            last = meeting[-1] if meeting else 0
            start = (first + low - last * dilation) // stride
            count = max(0, -(-(length - first) // stride))
            row.append(Rest(first, count, len(meeting), last, between, start, gap))
        found.append(row)
    return found


def _around(axes: Sequence[Sequence[Rest]], lengths: Shape) -> Padding:
    """How many zeros the places want around dy."""
    around = []
    for row, length in zip(axes, lengths, strict=True):
        met = [rest for rest in row if rest.count and rest.taps]
        low = max((-rest.start for rest in met), default=0)
        high = max((rest.stop - length for rest in met), default=0)
        around.append((max(low, 0), max(high, 0)))
    return around


def _windows_of(dy: View, chosen: Sequence[Rest], around: Padding) -> View:
    """What the taps of some places meet: (N, *places, *taps, F)."""
    batch, *spatial, channel = dy.strides
    places = [rest.count for rest in chosen]
    taps = [rest.taps for rest in chosen]
    gaps = [step * rest.gap for step, rest in zip(spatial, chosen, strict=True)]
    offset = dy.offset + sum(
        (rest.start + low) * step
        for rest, (low, _), step in zip(chosen, around, spatial, strict=True)
    )
    return replace(
        dy,
        shape=(dy.shape[0], *places, *taps, dy.shape[-1]),
        strides=(batch, *spatial, *gaps, channel),
        offset=offset,
    )


def _taps_of(kernel: View, chosen: Sequence[Rest]) -> View:
    """The taps of some places, from the last to the first."""
    rank = len(chosen)
    steps = kernel.strides[:rank]
    pairs = list(zip(steps, chosen, strict=True))
    return replace(
        kernel,
        shape=(*(rest.taps for rest in chosen), *kernel.shape[rank:]),
        strides=(*(-step * rest.between for step, rest in pairs), *kernel.strides[rank:]),
        offset=kernel.offset + sum(step * rest.last_tap for step, rest in pairs),
    )


def _places_of(target: View, chosen: Sequence[Rest], strides: Shape) -> View:
    """Some places of the input."""
    batch, *spatial, channel = target.strides
    steps = [step * stride for step, stride in zip(spatial, strides, strict=True)]
    return replace(
        target,
        shape=(target.shape[0], *(rest.count for rest in chosen), target.shape[-1]),
        strides=(batch, *steps, channel),
        offset=target.offset + sum(r.first * s for r, s in zip(chosen, spatial, strict=True)),
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


def _padded(plan: Plan, view: View, around: Padding, *, backwards: bool = False) -> View:
    """The view with zeros around it; negative numbers cut off."""
    low = tuple(max(a, 0) for a, _ in around)
    high = tuple(max(b, 0) for _, b in around)
    if any(low) or any(high):
        # What the forward pass pads is kept for the kernel's gradient: its zeros may stay, too.
        view = plan.zeros_around(view, (0, *low, 0), (0, *high, 0), keep=not backwards)
    start = (0, *(max(-a, 0) for a, _ in around), 0)
    stop = [n - max(-b, 0) for n, (_, b) in zip(view.shape[1:-1], around, strict=True)]
    shape = (view.shape[0], *stop, view.shape[-1])
    return views.slice_(view, start, shape, (1,) * len(view.shape))


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
