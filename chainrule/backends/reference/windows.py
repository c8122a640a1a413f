"""Convolutions and pools: a strided view of all windows, then a matrix product or a reduction.

Every kernel checks its inputs by the shape rule: eager code runs it without asking the rule first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.graph import windows as rules

A = NDArray[Any]
Shape = tuple[int, ...]
Padding = tuple[tuple[int, int], ...]

# Elements of unfolded windows that are made at a time.
_AT_ONCE = 1 << 22


def _windows(
    x: A, window: Shape, strides: Shape, padding: Padding, dilation: Shape, value: float
) -> A:
    """A view (N, *O, *K, C) of the windows over a padded copy of (N, *S, C)."""
    if any(map(any, padding)):
        x = np.pad(x, ((0, 0), *padding, (0, 0)), constant_values=value)
    rank = len(window)
    none = ((0, 0),) * rank
    lengths = rules.output_lengths("windows", x.shape[1:-1], window, strides, none, dilation)
    first, *steps, last = x.strides
    return np.lib.stride_tricks.as_strided(
        x,
        (x.shape[0], *lengths, *window, x.shape[-1]),
        (
            first,
            *(step * stride for step, stride in zip(steps, strides, strict=True)),
            *(step * gap for step, gap in zip(steps, dilation, strict=True)),
            last,
        ),
        writeable=False,
    )


def _parts(examples: int, size: int) -> Iterator[slice]:
    """The examples, a few at a time; ``size`` elements belong to each."""
    count = max(_AT_ONCE // max(size, 1), 1)
    for start in range(0, examples, count):
        yield slice(start, start + count)


def _unfolded(x: A, window: Shape, groups: int, **moves: Any) -> A:
    """The windows as matrices (groups, N * O, K * C // groups)."""
    view = _windows(x, window, **moves, value=0)
    channels = x.shape[-1] // groups
    places, taps = math.prod(view.shape[: len(window) + 1]), math.prod(window)
    columns = view.reshape(places, taps, groups, channels).transpose(2, 0, 1, 3)
    return columns.reshape(groups, places, taps * channels)


def _grouped(x: A, groups: int) -> A:
    """(..., F) as (groups, all others, F // groups)."""
    filters = x.shape[-1] // groups
    return x.reshape(math.prod(x.shape[:-1]), groups, filters).transpose(1, 0, 2)


def convolution(x: A, kernel: A, *, groups: int, **moves: Any) -> A:
    """(N, *S, C), (*K, C // groups, F) -> (N, *O, F)."""
    shape = rules.convolution("convolution", x.shape, kernel.shape, groups=groups, **moves)
    window, result = kernel.shape[:-2], np.empty(shape, x.dtype)
    weights = _grouped(kernel, groups)
    for part in _parts(x.shape[0], math.prod((*shape[1:-1], *window, x.shape[-1]))):
        target = result[part]
        product = np.matmul(_unfolded(x[part], window, groups, **moves), weights)
        target[...] = product.transpose(1, 0, 2).reshape(target.shape)
    return result


def convolution_kernel_gradient(x: A, dy: A, *, window: Shape, groups: int, **moves: Any) -> A:
    """(N, *S, C), (N, *O, F) -> (*K, C // groups, F)."""
    attributes = {"window": window, "groups": groups, **moves}
    shape = rules.convolution_kernel_gradient(
        "convolution_kernel_gradient", x.shape, dy.shape, **attributes
    )
    total = np.zeros((groups, math.prod(shape[:-1]), shape[-1] // groups), x.dtype)
    for part in _parts(x.shape[0], math.prod((*dy.shape[1:-1], *window, x.shape[-1]))):
        columns = _unfolded(x[part], window, groups, **moves)
        total += np.matmul(columns.swapaxes(1, 2), _grouped(dy[part], groups))
    return total.transpose(1, 0, 2).reshape(shape)


def convolution_input_gradient(dy: A, kernel: A, *, groups: int, **moves: Any) -> A:
    """(N, *O, F), (*K, C // groups, F) -> (N, *S, C): each tap's product added where it stands."""
    examples, *spatial, channels = rules.convolution_input_gradient(
        "convolution_input_gradient", dy.shape, kernel.shape, groups=groups, **moves
    )
    padding = moves["padding"]
    room = [length + low + high for length, (low, high) in zip(spatial, padding, strict=True)]
    padded = np.zeros((examples, *room, channels), dy.dtype)
    outgoing = _grouped(dy, groups)
    for tap in np.ndindex(*kernel.shape[:-2]):
        product = np.matmul(outgoing, _grouped(kernel[tap], groups).swapaxes(1, 2))
        axes = zip(tap, moves["dilation"], moves["strides"], dy.shape[1:-1], strict=True)
        where = tuple(
            slice(place * gap, place * gap + (count - 1) * stride + 1, stride)
            for place, gap, stride, count in axes
        )
        target = padded[(slice(None), *where)]
        target += product.transpose(1, 0, 2).reshape(target.shape)
    inside = (slice(low, low + length) for length, (low, _) in zip(spatial, padding, strict=True))
    return padded[(slice(None), *inside)]


def window_sum(x: A, *, window: Shape, **moves: Any) -> A:
    """(N, *S, C) -> (N, *O, C)."""
    rules.window_sum("window_sum", x.shape, window=window, **moves)
    rank = len(window)
    axes = tuple(range(1 + rank, 1 + 2 * rank))
    return np.asarray(np.add.reduce(_windows(x, window, **moves, value=0), axes, x.dtype))


def window_max(x: A, *, window: Shape, **moves: Any) -> A:
    """(N, *S, C) -> (N, *O, C); NaN where a window holds one."""
    rules.window_max("window_max", x.shape, window=window, **moves)
    rank = len(window)
    axes = tuple(range(1 + rank, 1 + 2 * rank))
    return np.asarray(np.maximum.reduce(_windows(x, window, **moves, value=-np.inf), axes))


def window_gather(x: A, t: A, **moves: Any) -> A:
    """``t`` (N, *S, C) where ``x`` has the maximum of each window -> (N, *O, C)."""
    rules.window_gather("window_gather", x.shape, t.shape, **moves)
    places = _places_of_maxima(x, **moves)
    flat = t.reshape(t.shape[0], math.prod(t.shape[1:-1]), t.shape[-1])
    rows = places.reshape(x.shape[0], math.prod(places.shape[1:-1]), x.shape[-1])
    taken = np.take_along_axis(flat, rows, 1)
    return taken.reshape(places.shape)


def window_scatter(x: A, dy: A, **moves: Any) -> A:
    """``dy`` (N, *O, C) added where ``x`` (N, *S, C) has the maximum of each window."""
    rules.window_scatter("window_scatter", x.shape, dy.shape, **moves)
    places = _places_of_maxima(x, **moves)
    examples, channels = x.shape[0], x.shape[-1]
    each = math.prod(x.shape[1:-1])
    starts = np.arange(examples).reshape(-1, *[1] * (x.ndim - 1)) * each
    flat = (places + starts) * channels + np.arange(channels)
    sums = np.bincount(flat.ravel(), dy.ravel(), x.size)
    return sums.reshape(x.shape).astype(dy.dtype, copy=False)


def _places_of_maxima(x: A, *, window: Shape, **moves: Any) -> A:
    """Where in the flattened spatial axes each window has its first maximum: (N, *O, C).

    The first in the order of the window's taps; the first NaN where there is one.
    """
    rank, spatial = len(window), x.shape[1:-1]
    view = _windows(x, window, **moves, value=-np.inf)
    shape = (*view.shape[: 1 + rank], math.prod(window), x.shape[-1])
    chosen = np.argmax(view.reshape(shape), axis=-2)
    numbers = np.arange(math.prod(spatial)).reshape(1, *spatial, 1)
    places = _windows(numbers, window, **moves, value=-1).reshape(*shape[1:-1], 1)[..., 0]
    first_inside = np.argmax(places >= 0, axis=-1)[..., None]
    rows = np.broadcast_to(places, (shape[0], *places.shape))
    found = np.take_along_axis(rows, chosen, -1)
    # A window of nothing but -inf has its first maximum in the padding.
    first = np.take_along_axis(places, first_inside, -1)
    return np.asarray(np.where(found < 0, first, found))
