"""Convolutions in which every channel has a kernel of its own (groups = channels = filters) as
windows in vectors of channels.

The gradient of the input is a window over dy with the taps backwards. With a stride only some taps
meet an element of the input: elements whose place leaves the same rest have the same taps, and are
one such window each.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from chainrule.backends.cpu import views
from chainrule.backends.cpu.addressing import kernel_function
from chainrule.backends.cpu.ir import Function
from chainrule.backends.cpu.partial_sums import sum_of_parts
from chainrule.backends.cpu.target import Target
from chainrule.backends.cpu.views import View
from chainrule.backends.cpu.window_products import DepthwiseGradientCode
from chainrule.backends.cpu.windows import (
    MOST_PIECES,
    WORK_OF_A_PIECE,
    Axis,
    Operand,
    Windows,
    with_rows,
)
from chainrule.graph.graph import Node, Value

if TYPE_CHECKING:
    from chainrule.backends.cpu.plan import Plan

Moves = list[tuple[int, int, tuple[int, int]]]
# Products written out, over all kinds of places.
_MOST_CODE = 400


@dataclass(eq=False)
class DepthwiseGradient:
    """The gradient of the weights: (parts, *K, C), one part a piece."""

    axes: tuple[Axis, ...]
    x: Operand
    dy: Operand
    target: View
    scope: str

    primitive = "gradient of depthwise convolution"

    @property
    def examples(self) -> int:
        """How many examples there are."""
        return self.x.view.shape[0]

    @property
    def taps(self) -> int:
        """Of the window."""
        return math.prod(axis.taps for axis in self.axes)

    @property
    def operations(self) -> int:
        """Additions and multiplications."""
        return 2 * self.taps * math.prod(self.dy.view.shape)

    def pieces(self, target: Target) -> int:
        """As many as the target has parts."""
        return self.target.shape[0]

    def buffers_read(self) -> set[int]:
        """The buffers it reads."""
        return {self.x.view.buffer, self.dy.view.buffer}

    def buffers_written(self) -> set[int]:
        """The buffers it writes."""
        return {self.target.buffer}

    def updates(self, source: int, target: int) -> bool:
        """Everything is read for many taps: never."""
        return False

    def emit(self, name: str, target: Target) -> Function:
        """The kernel's function ``(buffers, piece)``."""
        f = kernel_function(name)
        if 0 not in self.target.shape:
            DepthwiseGradientCode(f, self, target).emit()
        return f


def is_depthwise(plan: Plan, node: Node[Value], inputs: Sequence[View], target: View) -> bool:
    """Whether a convolution is best done here."""
    attributes, kernel = node.attributes, inputs[1]
    gradient = node.primitive.name == "convolution_kernel_gradient"
    if gradient:
        kernel = target
    groups = attributes["groups"]
    if groups < 2 or kernel.shape[-2:] != (1, groups):
        return False
    if not gradient:
        return True
    axes = _axes(inputs[0], kernel.shape[:-2], inputs[1], _moves(node))
    taps = math.prod(axis.taps for axis in axes)
    bodies = math.prod(1 + axis.count - len(range(*axis.inside())) for axis in axes)
    return taps <= plan.target.registers - 4 and taps * bodies <= _MOST_CODE


def add_depthwise(plan: Plan, node: Node[Value], inputs: Sequence[View], target: View) -> None:
    """Append the kernels of such a convolution."""
    name, moves = node.primitive.name, _moves(node)
    one, other = (plan.without_gaps(view) for view in inputs)
    if name == "convolution_kernel_gradient":
        _kernel_gradient(plan, node, one, other, target)
    elif name == "convolution":
        axes = _axes(one, other.shape[:-2], target, moves)
        _append(plan, node.scope, axes, (one, other, target))
    else:
        for axes, weights, part in _residues(one, other, target, moves):
            _append(plan, node.scope, axes, (one, weights, part))


def _moves(node: Node[Value]) -> Moves:
    """Stride, dilation and padding of each axis."""
    keys = ("strides", "dilation", "padding")
    return list(zip(*(node.attributes[key] for key in keys), strict=True))


def _axes(x: View, window: Sequence[int], places: View, moves: Moves) -> tuple[Axis, ...]:
    lengths = zip(places.shape[1:-1], x.shape[1:-1], window, moves, strict=True)
    return tuple(
        Axis(count, length, taps, stride, -low, gap)
        for count, length, taps, (stride, gap, (low, _)) in lengths
    )


def _append(
    plan: Plan, scope: str, axes: tuple[Axis, ...], operands: tuple[View, View, View]
) -> None:
    x, weights, target = operands
    steps = tuple(step * weights.dtype.itemsize for step in weights.strides[:-2])
    if len(axes) == 1:
        axes, steps = (_ONE_ROW, *axes), (0, *steps)
    x, target = with_rows(x), with_rows(target)
    under = Operand.under(x, axes)
    fixed = Operand(weights, 0, (0,) * len(axes), steps)
    kernel = Windows(
        "depthwise convolution", axes, (under, fixed), Operand.at_places(target), scope
    )
    plan.add(kernel)


_ONE_ROW = Axis(1, 1, 1, 1, 0, 1)


def _residues(
    dy: View, kernel: View, target: View, moves: Moves
) -> Iterator[tuple[tuple[Axis, ...], View, View]]:
    """The windows over dy that make the gradient of the input: weights and parts of the target."""
    rank = len(moves)
    every = [
        [
            _residue(rest, dy.shape[1 + a], kernel.shape[a], target.shape[1 + a], moves[a])
            for rest in range(min(moves[a][0], target.shape[1 + a]))
        ]
        for a in range(rank)
    ]
    for chosen in itertools.product(*every):
        axes = tuple(axis for axis, _, _ in chosen)
        weights, part = kernel, target
        for a, (axis, (last, step), rest) in enumerate(chosen):
            stride, strides, shape = moves[a][0], list(weights.strides), list(weights.shape)
            shape[a], strides[a] = axis.taps, -step * strides[a]
            offset = weights.offset + last * weights.strides[a]
            weights = replace(weights, shape=tuple(shape), strides=tuple(strides), offset=offset)
            start, steps = [0] * (rank + 2), [1] * (rank + 2)
            start[1 + a], steps[1 + a] = rest, stride
            part = views.slice_(part, tuple(start), part.shape, tuple(steps))
        yield axes, weights, part


def _residue(
    rest: int, places: int, taps: int, length: int, moves: tuple[int, int, tuple[int, int]]
) -> tuple[Axis, tuple[int, int], int]:
    """The window that makes elements ``rest``, ``rest + stride``, ... of one axis; its first tap's
    number in the kernel and how much less the next one's is; ``rest``.
    """
    stride, gap, (low, _) = moves
    count = -(-(length - rest) // stride)
    met = [tap for tap in range(taps) if (rest + low - tap * gap) % stride == 0]
    if not met:
        return Axis(count, places, 0, 1, 0, 1), (0, 1), rest
    common = math.gcd(stride, gap)
    first = (rest + low - met[-1] * gap) // stride
    axis = Axis(count, places, len(met), 1, first, gap // common)
    return axis, (met[-1], stride // common), rest


def _kernel_gradient(plan: Plan, node: Node[Value], x: View, dy: View, target: View) -> None:
    """One part of the sum a piece, and a group that adds up the parts."""
    axes = _axes(x, target.shape[:-2], dy, _moves(node))
    if len(axes) == 1:
        axes = (_ONE_ROW, *axes)
    x, dy = with_rows(x), with_rows(dy)
    work = math.prod(dy.shape) * math.prod(target.shape[:-2])
    parts = max(1, min(MOST_PIECES, work // WORK_OF_A_PIECE, dy.shape[0]))
    place = replace(target, shape=(1, *target.shape), strides=(target.shape[-1], *target.strides))
    if parts > 1:
        place = plan.temporary(target.dtype, (parts, *target.shape))
    under, at_places = Operand.under(x, axes), Operand.at_places(dy)
    plan.add(DepthwiseGradient(axes, under, at_places, place, node.scope))
    if parts > 1:
        plan.add(sum_of_parts(place, target, node.scope))
