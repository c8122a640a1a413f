"""Convolutions, pools and resizing: examples first, channels last, any number of spatial axes."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import ArgumentError, ShapeError, unknown_name
from chainrule.graph import operations as ops
from chainrule.graph import windows as rules
from chainrule.tensor.elementwise import divide, floating, pair
from chainrule.tensor.layout import reshape, take
from chainrule.tensor.tensor import Tensor, as_tensor

Sizes = int | Sequence[int]
Padding = str | int | Sequence[int | tuple[int, int]]
Widths = tuple[tuple[int, int], ...]

PADDINGS = ("valid", "same", "causal")
METHODS = ("nearest", "bilinear")


# ---- arguments


def axis_sizes(where: str, name: str, value: Sizes, rank: int, least: int = 1) -> tuple[int, ...]:
    """One number for all spatial axes, or one an axis, as a tuple of ``rank`` numbers.

    Raises:
        ArgumentError: not whole numbers, or below ``least``.
        ShapeError: another number of them.
    """
    try:
        if isinstance(value, list | tuple):
            sizes = tuple(map(operator.index, value))
        else:
            sizes = (operator.index(value),) * rank  # type: ignore[arg-type]  # checked here
    except TypeError as error:
        raise ArgumentError(
            where, f"{name} is no whole number", got=repr(value)[:80], expected="integers"
        ) from error
    if len(sizes) != rank:
        raise ShapeError(
            where,
            f"wrong number of {name}",
            got=repr(value)[:80],
            expected=f"one number, or {rank} for {rank} spatial axes",
        )
    if min(sizes) < least:
        raise ArgumentError(where, f"{name} out of range", got=value, expected=f"{least} or more")
    return sizes


def padding_widths(
    where: str,
    padding: Padding,
    spatial: Sequence[int],
    window: Sequence[int],
    strides: Sequence[int],
    dilation: Sequence[int],
) -> Widths:
    """Padding as (low, high) for each spatial axis.

    "valid" is none. "same" gives ``ceil(length / stride)`` places: ``total = max((places - 1) *
    stride + span - length, 0)`` elements, of which ``total // 2`` stand before the input, as in
    Keras. "causal" is ``span - 1`` before it. One number stands for both ends of every axis.

    Raises:
        ArgumentError: an unknown word, or a negative number.
        ShapeError: the numbers are for another number of axes; "causal" for more than one.
    """
    rank = len(spatial)
    spans = [(taps - 1) * gap + 1 for taps, gap in zip(window, dilation, strict=True)]
    if not isinstance(padding, str):
        return _explicit_widths(where, padding, rank)
    if padding not in PADDINGS:
        raise unknown_name(where, "padding", padding, PADDINGS)
    if padding == "valid":
        return ((0, 0),) * rank
    if padding == "causal":
        if rank != 1:
            raise ShapeError(
                where,
                "causal padding is for one spatial axis",
                got=f"{rank} spatial axes",
                expected="inputs (N, S, C)",
                fix="use padding='same', or give the numbers",
            )
        return ((spans[0] - 1, 0),)
    widths = []
    for length, span, stride in zip(spatial, spans, strides, strict=True):
        total = max((-(-length // stride) - 1) * stride + span - length, 0)
        widths.append((total // 2, total - total // 2))
    return tuple(widths)


def _explicit_widths(where: str, padding: Any, rank: int) -> Widths:
    ends = padding if isinstance(padding, list | tuple) else (padding,) * rank
    if len(ends) != rank:
        raise ShapeError(
            where,
            "wrong number of paddings",
            got=repr(padding)[:80],
            expected=f"{rank} pairs (low, high), one a spatial axis",
        )
    pairs = [end if isinstance(end, list | tuple) else (end, end) for end in ends]
    if any(len(both) != 2 for both in pairs):
        raise ShapeError(
            where,
            "wrong padding",
            got=repr(padding)[:80],
            expected="pairs (low, high), one a spatial axis",
        )
    flat = axis_sizes(where, "padding", [width for both in pairs for width in both], 2 * rank, 0)
    return tuple(zip(flat[::2], flat[1::2], strict=True))


def _spatial(where: str, x: Tensor) -> tuple[int, ...]:
    if x.ndim < 3:
        raise ShapeError(
            where,
            "wrong rank",
            got=x.shape,
            expected="(N, *S, C): examples, one or more spatial axes, channels",
            fix="add the missing axis, for example with x[..., None] for one channel",
        )
    return x.shape[1:-1]


def _moves(
    where: str,
    spatial: tuple[int, ...],
    window: tuple[int, ...],
    strides: Sizes,
    padding: Padding,
    dilation: Sizes,
) -> dict[str, Any]:
    """The attributes that move a window, all checked."""
    rank = len(spatial)
    steps = axis_sizes(where, "strides", strides, rank)
    gaps = axis_sizes(where, "dilation", dilation, rank)
    axis_sizes(where, "window", window, rank)
    widths = padding_widths(where, padding, spatial, window, steps, gaps)
    rules.output_lengths(where, spatial, window, steps, widths, gaps)
    return {"strides": steps, "padding": widths, "dilation": gaps}


def _with_kernel(where: str, x: Any, kernel: Any) -> tuple[Tensor, Tensor]:
    x, kernel = pair(x, kernel)
    x, kernel = floating(x), floating(kernel)
    _spatial(where, x)
    if kernel.ndim != x.ndim:
        raise ShapeError(
            where,
            "the kernel is for another number of spatial axes",
            got=f"kernel {kernel.shape} for inputs {x.shape}",
            expected=f"a kernel of {x.ndim} axes: {x.ndim - 2} window lengths and two channels",
        )
    return x, kernel


# ---- convolution


def convolution(
    x: Any,
    kernel: Any,
    strides: Sizes = 1,
    padding: Padding = "valid",
    dilation: Sizes = 1,
    groups: int = 1,
) -> Tensor:
    """A window of weights moved over ``x``: the sum of weight times element at each place.

    y[n, o, f] = sum over k, c of x[n, o * stride + k * dilation - low, c] * kernel[k, c, f]

    Shapes:
        x (N, *S, C), kernel (*K, C // groups, F) -> (N, *O, F) for any number of spatial axes;
        O = (S + low + high - (K - 1) * dilation - 1) // stride + 1.

    Args:
        x: the inputs, channels last.
        kernel: the weights.
        strides: elements from one place to the next, for all axes or one an axis; 1 by default.
        padding: zeros around ``x``: "valid" (none, the default), "same" (ceil(S / stride) places),
            "causal" (one spatial axis: no place sees what comes after it), or (low, high) for each
            axis.
        dilation: elements from one weight to the next; 1 by default.
        groups: into how many parts the channels are divided; each makes F // groups of the filters.

    Raises:
        ShapeError: a window larger than the padded input, channels that do not fit the kernel or
            do not divide into the groups.
        ArgumentError: strides or dilation below 1, negative padding, unknown words.

    Example:
        >>> import chainrule as cr
        >>> x = cr.reshape(cr.arange(5, dtype="float32"), (1, 5, 1))
        >>> cr.convolution(x, cr.ones((3, 1, 1)), padding="same")[0, :, 0].tolist()
        [1.0, 3.0, 6.0, 9.0, 7.0]

    Layouts and "same" are Keras's; PyTorch has channels first, kernels (F, C // groups, *K) and
    equal padding at both ends. As in both, the kernel is not mirrored.
    """
    x, kernel = _with_kernel("convolution", x, kernel)
    groups = axis_sizes("convolution", "groups", groups, 1)[0]
    moves = _moves("convolution", x.shape[1:-1], kernel.shape[:-2], strides, padding, dilation)
    return ops.convolution(x, kernel, **moves, groups=groups)


def convolution_transpose(
    x: Any,
    kernel: Any,
    strides: Sizes = 1,
    padding: Padding = "valid",
    output_padding: Sizes | None = None,
    dilation: Sizes = 1,
) -> Tensor:
    """The transpose of ``convolution``: each element of ``x`` adds a window of weights to the
    result.

    y[n, o * stride + k * dilation - low, f] += x[n, o, c] * kernel[k, f, c]

    Shapes:
        x (N, *S, C), kernel (*K, F, C) -> (N, *O, F), with span = (K - 1) * dilation + 1:
        "valid" O = (S - 1) * stride + max(span, stride); "same" O = S * stride; (low, high)
        O = (S - 1) * stride + span - low - high.

    Args:
        x: the inputs, channels last.
        kernel: the weights; filters stand before channels.
        strides: how far apart the windows of neighbouring elements are; 1 by default.
        padding: "valid" (the default), "same", or (low, high) for each axis: what is cut off.
        output_padding: a number below the stride that chooses the length instead: "valid"
            (S - 1) * stride + span + output_padding; "same" (S - 1) * stride + span % 2 +
            output_padding; (low, high) as above plus output_padding.
        dilation: elements from one weight to the next; 1 by default.

    Raises:
        ShapeError: channels that do not fit the kernel, or more cut off than there is.
        ArgumentError: strides or dilation below 1, negative padding, unknown words.

    Example:
        >>> import chainrule as cr
        >>> x = cr.tensor([[[1.0], [10.0]]])
        >>> cr.convolution_transpose(x, cr.ones((3, 1, 1)), strides=2)[0, :, 0].tolist()
        [1.0, 1.0, 11.0, 10.0, 10.0]

    As Keras's Conv2DTranspose. PyTorch's ConvTranspose2d has kernels (C, F, *K) and no "same".
    """
    where = "convolution_transpose"
    x, kernel = _with_kernel(where, x, kernel)
    places, window = x.shape[1:-1], kernel.shape[:-2]
    steps = axis_sizes(where, "strides", strides, len(places))
    gaps = axis_sizes(where, "dilation", dilation, len(places))
    axis_sizes(where, "window", window, len(places))
    if x.shape[-1] != kernel.shape[-1]:
        raise ShapeError(
            where,
            "the kernel is for another number of channels",
            got=f"inputs {x.shape}, kernel {kernel.shape}",
            expected=f"a last axis of {x.shape[-1]} in the kernel",
        )
    spatial, widths = transpose_lengths(where, places, window, steps, padding, output_padding, gaps)
    return ops.convolution_input_gradient(x, kernel, spatial, steps, widths, gaps)


def transpose_lengths(
    where: str,
    places: Sequence[int],
    window: Sequence[int],
    strides: Sequence[int],
    padding: Padding,
    output_padding: Sizes | None,
    dilation: Sequence[int],
) -> tuple[tuple[int, ...], Widths]:
    """The spatial lengths that ``convolution_transpose`` makes, and the padding with which a
    convolution leads back from them.
    """
    rank = len(places)
    extra = (
        None
        if output_padding is None
        else axis_sizes(where, "output_padding", output_padding, rank, 0)
    )
    if extra is not None and any(e >= s for e, s in zip(extra, strides, strict=True)):
        raise ArgumentError(
            where,
            "output_padding out of range",
            got=output_padding,
            expected=f"less than the strides {tuple(strides)}",
        )
    if isinstance(padding, str) and padding not in ("valid", "same"):
        raise unknown_name(where, "padding", padding, ("valid", "same"))
    given = None if isinstance(padding, str) else _explicit_widths(where, padding, rank)
    lengths, widths = [], []
    for axis, (count, taps, stride, gap) in enumerate(
        zip(places, window, strides, dilation, strict=True)
    ):
        span, more = (taps - 1) * gap + 1, None if extra is None else extra[axis]
        low, high, length = _transpose_axis(count, span, stride, more, padding, given, axis)
        if length < 1:
            raise ShapeError(
                where,
                f"nothing is left on spatial axis {axis}",
                got=f"length {length} from {count} places, padding {low} + {high}",
                expected="at least 1",
                fix="use less padding or more output_padding",
            )
        lengths.append(length)
        widths.append((low, high))
    return tuple(lengths), tuple(widths)


def _transpose_axis(
    count: int, span: int, stride: int, extra: int | None, padding: Padding,
    given: Widths | None, axis: int,
) -> tuple[int, int, int]:  # fmt: skip
    """Low and high padding and the length of one axis."""
    start = (count - 1) * stride
    if given is not None:
        low, high = given[axis]
        return low, high, start + span - low - high + (extra or 0)
    if padding == "valid":
        return 0, 0, start + span + (max(stride - span, 0) if extra is None else extra)
    if extra is None:
        total = max(span - stride, 0)
        return total // 2, total - total // 2, count * stride
    # Keras's rule, in which the elements left over at the two ends differ by one at most.
    ends = span + span % 2 - 2 + extra
    before = min(ends - ends // 2, span - 1)
    return span - 1 - before, max(span - 1 - (ends - before), 0), start + span % 2 + extra


# ---- pools


def max_pool(
    x: Any, window: Sizes, strides: Sizes | None = None, padding: Padding = "valid"
) -> Tensor:
    """The largest element of each window, for each channel; padding never is the largest.

    Shapes:
        (N, *S, C) -> (N, *O, C), O = (S + low + high - window) // stride + 1.

    Args:
        x: the inputs, channels last.
        window: its length, for all axes or one an axis.
        strides: elements from one window to the next; the window's length by default.
        padding: "valid" (none, the default), "same", or (low, high) for each axis.

    Raises:
        ShapeError: a window larger than the padded input, or of nothing but padding.
        ArgumentError: a window or strides below 1, negative padding, unknown words.

    Example:
        >>> import chainrule as cr
        >>> cr.max_pool([[[1.0], [5.0], [2.0], [3.0]]], 2)[0, :, 0].tolist()
        [5.0, 3.0]

    The gradient goes to the first of equal elements, as in PyTorch and TensorFlow.
    """
    x = floating(x)
    taps, moves = _pool("max_pool", x, window, strides, padding, padding_alone=False)
    return ops.window_max(x, window=taps, **moves)


def average_pool(
    x: Any,
    window: Sizes,
    strides: Sizes | None = None,
    padding: Padding = "valid",
    count_padding: bool = False,
) -> Tensor:
    """The mean of each window, for each channel.

    Shapes:
        (N, *S, C) -> (N, *O, C), O = (S + low + high - window) // stride + 1.

    Args:
        x: the inputs, channels last.
        window: its length, for all axes or one an axis.
        strides: elements from one window to the next; the window's length by default.
        padding: "valid" (none, the default), "same", or (low, high) for each axis.
        count_padding: whether padding counts as zeros in the mean; it is left out by default, as in
            Keras (PyTorch counts it: ``count_include_pad=True``).

    Raises:
        ShapeError: a window larger than the padded input, or of nothing but padding.
        ArgumentError: a window or strides below 1, negative padding, unknown words.

    Example:
        >>> import chainrule as cr
        >>> cr.average_pool([[[1.0], [5.0], [2.0]]], 2, padding="same")[0, :, 0].tolist()
        [3.0, 2.0]
    """
    x = floating(x)
    taps, moves = _pool("average_pool", x, window, strides, padding, count_padding)
    total = ops.window_sum(x, window=taps, **moves)
    if count_padding or not any(map(any, moves["padding"])):
        return divide(total, float(np.prod(taps)))
    counts = _elements_in_windows(x.shape[1:-1], taps, **moves)
    return divide(total, Tensor(counts[..., None].astype(x.dtype)))


def _pool(
    where: str, x: Tensor, window: Sizes, strides: Sizes | None, padding: Padding,
    padding_alone: bool,
) -> tuple[tuple[int, ...], dict[str, Any]]:  # fmt: skip
    """The window and what moves it; ``padding_alone``: whether it may hold nothing but padding."""
    spatial = _spatial(where, x)
    taps = axis_sizes(where, "window", window, len(spatial))
    moves = _moves(where, spatial, taps, taps if strides is None else strides, padding, 1)
    if not padding_alone:
        rules.window_max(where, x.shape, window=taps, **moves)
    return taps, moves


def _elements_in_windows(
    spatial: tuple[int, ...], window: tuple[int, ...],
    strides: tuple[int, ...], padding: Widths, dilation: tuple[int, ...],
) -> NDArray[Any]:  # fmt: skip
    """How many elements that are no padding each window holds."""
    places = rules.output_lengths("average_pool", spatial, window, strides, padding, dilation)
    counts: NDArray[Any] = np.ones((), np.int64)
    axes = zip(spatial, window, strides, padding, places, strict=True)
    for length, taps, stride, (low, _), count in axes:
        first = np.arange(count) * stride - low
        inside = np.minimum(first + taps, length) - np.maximum(first, 0)
        counts = np.multiply.outer(counts, np.maximum(inside, 0))
    return counts


# ---- resizing


def resize(x: Any, size: Sizes, method: str = "nearest", antialias: bool = False) -> Tensor:
    """``x`` at another resolution.

    Element ``i`` of the result stands at ``(i + 1/2) * length / size - 1/2`` of the input.
    "nearest" takes the element whose cell that is in, "bilinear" the average of the two beside it
    on each axis, weighted by their nearness; at the ends the last element continues.

    Shapes:
        (N, *S, C) -> (N, *size, C) for any number of spatial axes.

    Args:
        x: the inputs, channels last.
        size: the new length, for all spatial axes or one an axis.
        method: "nearest" (the default) or "bilinear".
        antialias: for "bilinear": where the result is smaller, average over all elements within
            length / size of the place, so that none is passed over. Off by default.

    Raises:
        ArgumentError: a size below 1, an unknown method, ``antialias`` with "nearest".
        ShapeError: nothing to resize, or sizes for another number of axes.

    Example:
        >>> import chainrule as cr
        >>> cr.resize([[[0.0], [4.0]]], 4, "bilinear")[0, :, 0].tolist()
        [0.0, 1.0, 3.0, 4.0]

    As ``interpolate`` in PyTorch with ``align_corners=False`` and "nearest-exact", and as
    TensorFlow and JAX.
    """
    x = as_tensor(x)
    spatial = _spatial("resize", x)
    sizes = axis_sizes("resize", "size", size, len(spatial))
    if method not in METHODS:
        raise unknown_name("resize", "method", method, METHODS)
    if antialias and method == "nearest":
        raise ArgumentError(
            "resize",
            "nothing to average over",
            got="antialias=True with method='nearest'",
            expected="method='bilinear'",
        )
    if min(spatial) < 1:
        raise ShapeError("resize", "nothing to resize", got=x.shape, expected="no empty axes")
    if method == "bilinear":
        x = floating(x)
    for axis, (length, target) in enumerate(zip(spatial, sizes, strict=True), 1):
        if length != target:
            if method == "nearest":
                x = _nearest(x, axis, target)
            else:
                x = _blend(x, axis, _weights(length, target, antialias))
    return x


def _nearest(x: Tensor, axis: int, target: int) -> Tensor:
    length, before, after = x.shape[axis], x.shape[:axis], x.shape[axis + 1 :]
    if target % length == 0:
        # Every element several times: the gradient is then a plain sum.
        times = target // length
        spread = ops.broadcast_to(
            reshape(x, (*before, length, 1, *after)), (*before, length, times, *after)
        )
        return reshape(spread, (*before, target, *after))
    if length % target == 0:
        step = length // target
        return x[(slice(None),) * axis + (slice(step // 2, None, step),)]
    # In whole numbers: (i + 1/2) * length / target, cut off.
    return take(x, (2 * np.arange(target) + 1) * length // (2 * target), axis)


def _weights(length: int, target: int, antialias: bool) -> NDArray[Any]:
    """The weight of each of ``length`` elements in each of ``target`` places."""
    scale = length / target
    reach = max(scale, 1.0) if antialias else 1.0
    places = (np.arange(target) + 0.5) * scale - 0.5
    distance = np.abs(places[:, None] - np.arange(length)) / reach
    weights = np.maximum(1 - distance, 0)
    # What would fall on elements beyond the ends falls on those that there are.
    return np.asarray(weights / weights.sum(1, keepdims=True))


def _blend(x: Tensor, axis: int, weights: NDArray[Any]) -> Tensor:
    before, after = x.shape[:axis], x.shape[axis + 1 :]
    rows = reshape(x, (int(np.prod(before)), x.shape[axis], int(np.prod(after))))
    mixed = ops.matmul(Tensor(weights.astype(x.dtype)), rows)
    return reshape(mixed, (*before, len(weights), *after))
