"""Kernels over sliding windows: sums, maxima, what stands at maxima, and convolutions in which
every channel is on its own.

On each spatial axis place ``j`` of a window has tap ``t`` over element
``first + j * stride + t * gap`` of what the window slides over. Taps that would lie outside are
left out: nothing is padded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from chainrule.backends.cpu.addressing import kernel_function
from chainrule.backends.cpu.groups import Group
from chainrule.backends.cpu.ir import Function
from chainrule.backends.cpu.target import Target
from chainrule.backends.cpu.views import Shape, View
from chainrule.backends.cpu.window_code import PlacesCode, WindowCode
from chainrule.backends.cpu.window_products import DepthwiseCode
from chainrule.backends.cpu.window_scatter import ScatterCode
from chainrule.graph.graph import Node, Value

if TYPE_CHECKING:
    from chainrule.backends.cpu.plan import Plan

# A piece takes at least some microseconds: a barrier between threads costs a third of one.
WORK_OF_A_PIECE = 1 << 14
MOST_PIECES = 8

WINDOWS = ("window_sum", "window_max", "window_gather", "window_scatter")


@dataclass(frozen=True)
class Axis:
    """How the window moves along one spatial axis.

    Attributes:
        count: places of the window.
        length: elements of what it slides over.
        taps: of the window.
        stride: elements from one place to the next.
        first: the element under the first tap of the first place; negative in padding.
        gap: elements from one tap to the next.
    """

    count: int
    length: int
    taps: int
    stride: int
    first: int
    gap: int

    def inside(self) -> tuple[int, int]:
        """The range of places of which every tap stands on an element."""
        begin = min(max(0, -(self.first // self.stride)), self.count)
        last = self.length - 1 - self.first - (self.taps - 1) * self.gap
        return begin, min(max(begin, last // self.stride + 1), self.count)

    def taps_inside(self, place: int) -> tuple[int, int]:
        """The range of a place's taps that stand on elements."""
        first = self.first + place * self.stride
        begin, end = -(min(first, 0) // self.gap), -((first - self.length) // self.gap)
        return min(begin, self.taps), min(max(end, 0), self.taps)

    @property
    def is_clipped(self) -> bool:
        """Whether some taps stand on no element."""
        return self.inside() != (0, self.count)

    @property
    def overlaps(self) -> bool:
        """Whether two places may share an element."""
        return self.count > 1 and self.stride <= (self.taps - 1) * self.gap

    @property
    def covers(self) -> bool:
        """Whether each element is under exactly one tap of one place."""
        dense = self.gap == 1 or self.taps == 1
        exact = self.first == 0 and self.count * self.taps == self.length
        return dense and exact and (self.stride == self.taps or self.count == 1)


@dataclass(frozen=True)
class Operand:
    """How an array is stepped through, in bytes: from example to example, place to place, tap to
    tap.
    """

    view: View
    batch: int
    places: Shape
    taps: Shape
    start: int = 0

    @classmethod
    def under(cls, view: View, axes: Sequence[Axis]) -> Operand:
        """What the window slides over."""
        size = view.dtype.itemsize
        steps = [step * size for step in view.strides[1:-1]]
        return cls(
            view,
            view.strides[0] * size,
            tuple(step * axis.stride for step, axis in zip(steps, axes, strict=True)),
            tuple(step * axis.gap for step, axis in zip(steps, axes, strict=True)),
            sum(step * axis.first for step, axis in zip(steps, axes, strict=True)),
        )

    @classmethod
    def at_places(cls, view: View) -> Operand:
        """What has one element for each place of the window."""
        size = view.dtype.itemsize
        places = tuple(step * size for step in view.strides[1:-1])
        return cls(view, view.strides[0] * size, places, (0,) * len(places))


@dataclass(eq=False)
class Windows:
    """One pass over all places of a window, in vectors of channels.

    ``inputs`` are what is read under the taps, and for ``window_scatter`` what is added up there.
    The result is not written if there is an epilogue: a group over the places that reads it.
    """

    primitive: str
    axes: tuple[Axis, ...]
    inputs: tuple[Operand, ...]
    result: Operand
    scope: str = ""
    epilogue: Group | None = None

    @property
    def target(self) -> View:
        """What it writes."""
        return self.result.view

    @property
    def examples(self) -> int:
        """How many examples there are."""
        return self.target.shape[0]

    @property
    def rows(self) -> int:
        """What is cut into pieces: examples and, where that is safe, places on the first axis."""
        if self.primitive == "window_scatter" and not self.covers:
            return self.examples
        return self.examples * self.axes[0].count

    @property
    def taps(self) -> int:
        """Of the window."""
        return math.prod(axis.taps for axis in self.axes)

    @property
    def covers(self) -> bool:
        """Whether the places' windows lie side by side and leave nothing out."""
        return all(axis.covers for axis in self.axes)

    @property
    def overlaps(self) -> bool:
        """Whether an element may be in several windows."""
        return any(axis.overlaps for axis in self.axes)

    @property
    def meetings(self) -> int:
        """How often a tap stands on an element, over all places and channels; edges count too."""
        places = self.inputs[1].view if self.primitive == "window_scatter" else self.target
        return math.prod(places.shape) * self.taps

    @property
    def operations(self) -> int:
        """Additions, multiplications and comparisons."""
        return (2 if self.primitive == "depthwise convolution" else 1) * self.meetings

    def pieces(self, target: Target) -> int:
        """How many pieces the work is cut into; fixed by sizes alone."""
        return max(1, min(MOST_PIECES, self.meetings // WORK_OF_A_PIECE, self.rows))

    def may_finish(self, group: Group) -> bool:
        """Whether a group can run place by place."""
        if self.primitive not in ("window_max", "window_sum") or group.reductions:
            return False
        return group.seen_in(self.target.shape) is not None

    def beside(self) -> list[Operand]:
        """What the epilogue reads and writes."""
        views = self.epilogue.seen_in(self.target.shape) if self.epilogue is not None else None
        return [Operand.at_places(view) for view in views or ()]

    def buffers_read(self) -> set[int]:
        """The buffers it reads."""
        read = {operand.view.buffer for operand in self.inputs}
        if self.epilogue is not None:
            read |= self.epilogue.buffers_read() - {self.target.buffer}
        return read

    def buffers_written(self) -> set[int]:
        """The buffers it writes."""
        return (
            self.epilogue.buffers_written() if self.epilogue is not None else {self.target.buffer}
        )

    def updates(self, source: int, target: int) -> bool:
        """An element is read for several places: never."""
        return False

    def emit(self, name: str, target: Target) -> Function:
        """The kernel's function ``(buffers, piece)``."""
        f = kernel_function(name)
        if 0 not in self.target.shape:
            _CODE[self.primitive](f, self, target).emit()
        return f


_CODE: dict[str, type[PlacesCode]] = {
    "window_sum": WindowCode,
    "window_max": WindowCode,
    "window_gather": WindowCode,
    "window_scatter": ScatterCode,
    "depthwise convolution": DepthwiseCode,
}


def add_windows(plan: Plan, node: Node[Value], inputs: Sequence[View], target: View) -> None:
    """Append the kernel of a pool."""
    attributes, name = node.attributes, node.primitive.name
    scatters = name == "window_scatter"
    target = with_rows(target)
    views = [with_rows(plan.without_gaps(view)) for view in inputs]
    places = views[1] if scatters else target
    keys = ("window", "strides", "padding", "dilation")
    moves = list(zip(*(attributes[key] for key in keys), strict=True))
    if len(moves) == 1:
        moves = [(1, 1, (0, 0), 1), *moves]
    axes = tuple(
        Axis(count, length, taps, stride, -low, gap)
        for count, length, (taps, stride, (low, _), gap) in zip(
            places.shape[1:-1], views[0].shape[1:-1], moves, strict=True
        )
    )
    under = [Operand.under(view, axes) for view in views[: 1 if scatters else 2]]
    if scatters:
        operands = (*under, Operand.at_places(views[1]))
        plan.add(Windows(name, axes, operands, Operand.under(target, axes), node.scope))
    else:
        plan.add(Windows(name, axes, tuple(under), Operand.at_places(target), node.scope))


def with_rows(view: View) -> View:
    """(N, S, C) as (N, 1, S, C): there are two spatial axes or more."""
    if len(view.shape) > 3:
        return view
    n, *rest = view.shape
    first, *steps = view.strides
    return replace(view, shape=(n, 1, *rest), strides=(first, 0, *steps))
