"""Sizes of what a sliding window makes: the shape rules of convolutions and pools.

Inputs are (N, *S, C): examples, any number of spatial axes, channels. On each spatial axis a window
of ``k`` taps, ``dilation`` apart, is moved ``stride`` elements at a time over the input with
``padding`` = (low, high) elements added at its ends.
"""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.errors import ArgumentError, ShapeError

Shape = tuple[int, ...]
Padding = tuple[tuple[int, int], ...]


def output_lengths(
    where: str, spatial: Shape, window: Shape, strides: Shape, padding: Padding, dilation: Shape
) -> Shape:
    """How many places the window has on each axis:
    (length + low + high - (k - 1) * dilation - 1) // stride + 1.

    Raises:
        ShapeError: the window does not fit into the padded input, or is for another number of axes.
        ArgumentError: a window, stride or dilation below 1, or negative padding.
    """
    _check(where, len(spatial), window, strides, padding, dilation)
    lengths = []
    axes = zip(spatial, window, strides, padding, dilation, strict=True)
    for axis, (length, taps, stride, (low, high), gap) in enumerate(axes):
        span, room = (taps - 1) * gap + 1, length + low + high
        if span > room:
            dilated = f" ({taps} taps, {gap} apart)" if gap > 1 else ""
            padded = f" ({length} and padding {low} + {high})" if low + high else ""
            raise ShapeError(
                where,
                f"the window is larger than the input on spatial axis {axis}",
                got=f"a window of {span}{dilated} over {room}{padded}",
                expected=f"a window of at most {room}",
                fix="take a smaller window or more padding, or give it larger inputs",
            )
        lengths.append((room - span) // stride + 1)
    return tuple(lengths)


def _check(
    where: str, rank: int, window: Shape, strides: Shape, padding: Padding, dilation: Shape
) -> None:
    flat = [width for pair in padding for width in pair]
    rows: list[tuple[str, Sequence[int], int, int]] = [
        ("window", window, rank, 1),
        ("strides", strides, rank, 1),
        ("dilation", dilation, rank, 1),
        ("padding widths", flat, 2 * rank, 0),
    ]
    for name, numbers, count, least in rows:
        if len(numbers) != count:
            raise ShapeError(
                where,
                f"wrong number of {name}",
                got=len(numbers),
                expected=f"{count} for {rank} spatial axes",
            )
        if any(number < least for number in numbers):
            raise ArgumentError(
                where,
                f"{name} out of range",
                got=padding if numbers is flat else tuple(numbers),
                expected=f"{least} or more",
            )


def _spatial(where: str, shape: Shape) -> Shape:
    if len(shape) < 3:
        raise ShapeError(
            where,
            "wrong rank",
            got=shape,
            expected="(N, *S, C): examples, one or more spatial axes, channels",
            fix="add the missing axis, for example with x[..., None] for one channel",
        )
    return shape[1:-1]


# ---- convolution: x (N, *S, C), kernel (*K, C // groups, F) -> (N, *O, F), and its two adjoints


def convolution(
    where: str, x: Shape, kernel: Shape,
    *, strides: Shape, padding: Padding, dilation: Shape, groups: int,
) -> Shape:  # fmt: skip
    """(N, *S, C), (*K, C // groups, F) -> (N, *O, F)."""
    spatial = _spatial(where, x)
    _check_channels(where, len(spatial), x[-1], kernel, groups)
    lengths = output_lengths(where, spatial, kernel[:-2], strides, padding, dilation)
    return (x[0], *lengths, kernel[-1])


def convolution_input_gradient(
    where: str, dy: Shape, kernel: Shape,
    *, spatial: Shape, strides: Shape, padding: Padding, dilation: Shape, groups: int,
) -> Shape:  # fmt: skip
    """(N, *O, F), (*K, C // groups, F) -> (N, *S, C)."""
    _check_channels(where, len(_spatial(where, dy)), None, kernel, groups)
    lengths = output_lengths(where, spatial, kernel[:-2], strides, padding, dilation)
    _check_output(where, dy, (dy[0], *lengths, kernel[-1]))
    return (dy[0], *spatial, kernel[-2] * groups)


def convolution_kernel_gradient(
    where: str, x: Shape, dy: Shape,
    *, window: Shape, strides: Shape, padding: Padding, dilation: Shape, groups: int,
) -> Shape:  # fmt: skip
    """(N, *S, C), (N, *O, F) -> (*K, C // groups, F)."""
    lengths = output_lengths(where, _spatial(where, x), window, strides, padding, dilation)
    _check_output(where, dy, (x[0], *lengths, dy[-1]))
    _check_groups(where, x[-1], dy[-1], groups)
    return (*window, x[-1] // groups, dy[-1])


def _check_channels(
    where: str, rank: int, channels: int | None, kernel: Shape, groups: int
) -> None:
    if len(kernel) != rank + 2:
        raise ShapeError(
            where,
            "wrong rank of the kernel",
            got=kernel,
            expected=f"{rank} window axes, channels // groups, filters",
        )
    _check_groups(where, kernel[-2] * groups if channels is None else channels, kernel[-1], groups)
    if channels is not None and kernel[-2] * groups != channels:
        raise ShapeError(
            where,
            "the kernel is for another number of channels",
            got=f"{channels} channels, groups={groups}, kernel {kernel}",
            expected=f"a kernel of {channels // groups} channels, the last axis but one",
        )


def _check_groups(where: str, channels: int, filters: int, groups: int) -> None:
    if groups < 1 or channels % groups or filters % groups:
        raise ShapeError(
            where,
            "channels and filters do not divide into the groups",
            got=f"{channels} channels, {filters} filters, groups={groups}",
            expected="groups that divide both numbers",
        )


def _check_output(where: str, found: Shape, expected: Shape) -> None:
    if found != expected:
        raise ShapeError(where, "wrong shape of dy", got=found, expected=expected)


# ---- pools: x (N, *S, C) -> (N, *O, C)


def window_sum(
    where: str, x: Shape, *, window: Shape, strides: Shape, padding: Padding, dilation: Shape
) -> Shape:
    """(N, *S, C) -> (N, *O, C)."""
    lengths = output_lengths(where, _spatial(where, x), window, strides, padding, dilation)
    return (x[0], *lengths, x[-1])


def window_max(
    where: str, x: Shape, *, window: Shape, strides: Shape, padding: Padding, dilation: Shape
) -> Shape:
    """(N, *S, C) -> (N, *O, C); every window must hold an element that is no padding."""
    result = window_sum(
        where, x, window=window, strides=strides, padding=padding, dilation=dilation
    )
    axes = zip(x[1:-1], window, strides, padding, dilation, result[1:-1], strict=True)
    for axis, (length, taps, stride, (low, high), gap, count) in enumerate(axes):
        if low or high:
            for first in range(-low, -low + count * stride, stride):
                skipped = max(0, -(first // gap))
                if skipped >= taps or first + skipped * gap >= length:
                    raise ShapeError(
                        where,
                        f"a window holds nothing but padding on spatial axis {axis}",
                        got=f"padding {(low, high)} of {length} for a window of {taps}",
                        expected="at least one element in each window",
                        fix="use less padding",
                    )
    return result


def window_gather(
    where: str, x: Shape, t: Shape,
    *, window: Shape, strides: Shape, padding: Padding, dilation: Shape,
) -> Shape:  # fmt: skip
    """(N, *S, C) twice -> (N, *O, C)."""
    if t != x:
        raise ShapeError(where, "shapes differ", got=f"{x} and {t}", expected="equal shapes")
    return window_max(where, x, window=window, strides=strides, padding=padding, dilation=dilation)


def window_scatter(
    where: str, x: Shape, dy: Shape,
    *, window: Shape, strides: Shape, padding: Padding, dilation: Shape,
) -> Shape:  # fmt: skip
    """(N, *S, C), (N, *O, C) -> (N, *S, C)."""
    expected = window_max(
        where, x, window=window, strides=strides, padding=padding, dilation=dilation
    )
    _check_output(where, dy, expected)
    return x
