"""Views: where the elements of a value stand in a buffer. Most layout primitives only make another
view.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

Shape = tuple[int, ...]


@dataclass(frozen=True)
class View:
    """Elements of a buffer: element ``index`` stands at offset + sum(index * strides), counted in
    elements.
    """

    buffer: int
    dtype: np.dtype[Any]
    shape: Shape
    strides: Shape
    offset: int = 0

    @property
    def is_contiguous(self) -> bool:
        """Whether the elements fill memory in order."""
        return all(
            stride == full or length == 1
            for stride, full, length in zip(
                self.strides, contiguous_strides(self.shape), self.shape, strict=True
            )
        )


def contiguous_strides(shape: Sequence[int]) -> Shape:
    """The strides of an array that fills memory in C order."""
    strides, step = [], 1
    for length in reversed(shape):
        strides.append(step)
        step *= length
    return tuple(reversed(strides))


def contiguous(buffer: int, dtype: np.dtype[Any], shape: Shape) -> View:
    """A whole buffer in C order."""
    return View(buffer, dtype, shape, contiguous_strides(shape))


def broadcast(view: View, shape: Shape) -> View:
    """Axes of length 1 and new leading axes repeat: they get stride 0."""
    extra = len(shape) - len(view.shape)
    strides = [0] * extra
    for length, stride, wanted in zip(view.shape, view.strides, shape[extra:], strict=True):
        strides.append(stride if length == wanted else 0)
    return replace(view, shape=tuple(shape), strides=tuple(strides))


def transpose(view: View, axes: Sequence[int]) -> View:
    """The axes in another order."""
    return replace(
        view,
        shape=tuple(view.shape[a] for a in axes),
        strides=tuple(view.strides[a] for a in axes),
    )


def slice_(view: View, start: Shape, stop: Shape, step: Shape) -> View:
    """Part of a view."""
    shape = tuple(-(-(b - a) // s) for a, b, s in zip(start, stop, step, strict=True))
    offset = view.offset + sum(a * stride for a, stride in zip(start, view.strides, strict=True))
    strides = tuple(s * stride for s, stride in zip(step, view.strides, strict=True))
    return replace(view, shape=shape, strides=strides, offset=offset)


def flip(view: View, axes: Sequence[int]) -> View:
    """Backwards along some axes."""
    offset, strides = view.offset, list(view.strides)
    for axis in axes:
        offset += max(view.shape[axis] - 1, 0) * strides[axis]
        strides[axis] = -strides[axis]
    return replace(view, strides=tuple(strides), offset=offset)


def reshape(view: View, shape: Shape) -> View | None:
    """The same elements in another shape, or None when no strides can say that.

    Runs of old axes that together hold as many elements as a run of new axes must be mergeable into
    one.
    """
    if 0 in shape:
        return replace(view, shape=shape, strides=contiguous_strides(shape))
    old = [(n, s) for n, s in zip(view.shape, view.strides, strict=True) if n != 1]
    strides: list[int] = []
    position = 0
    axis = 0
    while axis < len(shape):
        if shape[axis] == 1:
            strides.append(0)
            axis += 1
            continue
        lengths = [shape[axis]]
        product, held = shape[axis], 1
        run = []
        while held < product or held != product:
            if held < product:
                run.append(old[position])
                held *= old[position][0]
                position += 1
            else:
                axis += 1
                lengths.append(shape[axis])
                product *= shape[axis]
        for (_, outer), (length, inner) in pairwise(run):
            if outer != inner * length:
                return None
        step = run[-1][1]
        strides.extend(step * s for s in contiguous_strides(lengths))
        axis += 1
    return replace(view, shape=shape, strides=tuple(strides))


def merge_axes(shape: Shape, strides: Sequence[Shape]) -> tuple[Shape, list[Shape]]:
    """Join neighbouring axes that all views step through evenly; drop axes of length 1.

    Args:
        shape: of the iteration.
        strides: of each view, over ``shape``.

    Returns:
        A shorter shape and the strides over it.
    """
    axes: list[tuple[int, tuple[int, ...]]] = []
    for axis, length in enumerate(shape):
        steps = tuple(s[axis] for s in strides)
        if length == 1:
            continue
        if axes and all(a == b * length for a, b in zip(axes[-1][1], steps, strict=True)):
            axes[-1] = (axes[-1][0] * length, steps)
        else:
            axes.append((length, steps))
    merged = tuple(length for length, _ in axes)
    return merged, [tuple(steps[i] for _, steps in axes) for i in range(len(strides))]
