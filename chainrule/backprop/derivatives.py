"""THE derivative table: one row a primitive, one rule an input.

A rule is ``(g, out, *inputs, **attributes) -> gradient of that input``, where ``g`` is the gradient
of the output ``out``; None stands for an input without a derivative. Rules use operators on
operands only, so the gradient is written in the same language as the function and can be
differentiated again. A rule may return the gradient in the broadcast shape of the output: the
engine sums it back.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from chainrule.graph import operations as ops

Rule = Callable[..., Any]
# derivative(index, g, out, inputs, attributes) -> the gradient of inputs[index], or None
Derivative = Callable[[int, Any, Any, tuple[Any, ...], Any], Any]

DERIVATIVES: dict[str, Derivative] = {}


def _row(name: str, *rules: Rule | None) -> None:
    def derivative(index: int, g: Any, out: Any, inputs: tuple[Any, ...], attributes: Any) -> Any:
        rule = rules[index]
        return None if rule is None else rule(g, out, *inputs, **attributes)

    DERIVATIVES[name] = derivative


# ---- elementwise, one input

_row("exp", lambda g, out, x: g * out)
_row("log", lambda g, out, x: g / x)
_row("log1p", lambda g, out, x: g / (x + 1))
_row("expm1", lambda g, out, x: g * (out + 1))
_row("sqrt", lambda g, out, x: g / (out * 2))
_row("rsqrt", lambda g, out, x: g * out / x * -0.5)
_row("tanh", lambda g, out, x: g * (1 - out * out))
_row("sigmoid", lambda g, out, x: g * out * (1 - out))
_row("erf", lambda g, out, x: g * ops.exp(-(x * x)) * (2 / math.sqrt(math.pi)))
_row("sin", lambda g, out, x: g * ops.cos(x))
_row("cos", lambda g, out, x: -(g * ops.sin(x)))
_row("negative", lambda g, out, x: -g)
_row("abs", lambda g, out, x: g * ops.sign(x))
_row("convert", lambda g, out, x, dtype: ops.convert(g, x.dtype))

# ---- elementwise, two inputs


def _larger_share(out: Any, mine: Any, other: Any) -> Any:
    """1 where this input is the result, 1/2 where both are (as in PyTorch), 0 elsewhere."""
    one, half = out.constant_like(1), out.constant_like(0.5)
    won = ops.select(ops.equal(mine, other), half, one)
    return ops.select(ops.equal(out, mine), won, out.constant_like(0))


def _power_base(g: Any, out: Any, x: Any, y: Any) -> Any:
    # 0 * 0**-1 would be NaN where the exponent is 0.
    return g * ops.select(ops.equal(y, 0), y, y * ops.power(x, y - 1))


def _power_exponent(g: Any, out: Any, x: Any, y: Any) -> Any:
    positive = ops.less(x.constant_like(0), x)
    return g * out * ops.select(positive, ops.log(ops.select(positive, x, 1)), 0 * x)


_row("add", lambda g, out, x, y: g, lambda g, out, x, y: g)
_row("subtract", lambda g, out, x, y: g, lambda g, out, x, y: -g)
_row("multiply", lambda g, out, x, y: g * y, lambda g, out, x, y: g * x)
_row("divide", lambda g, out, x, y: g / y, lambda g, out, x, y: -(g * out) / y)
_row("power", _power_base, _power_exponent)
_row("remainder", lambda g, out, x, y: g, lambda g, out, x, y: -(g * ops.floor(x / y)))
_row(
    "maximum",
    lambda g, out, x, y: g * _larger_share(out, x, y),
    lambda g, out, x, y: g * _larger_share(out, y, x),
)
DERIVATIVES["minimum"] = DERIVATIVES["maximum"]
_row(
    "select",
    None,
    lambda g, out, condition, x, y: ops.select(condition, g, 0),
    lambda g, out, condition, x, y: ops.select(condition, g.constant_like(0), g),
)

# ---- layout


def _slice(g: Any, out: Any, x: Any, start: Any, stop: Any, step: Any) -> Any:
    # The last element taken stands at start + (count - 1) * step; what follows it is zero.
    filled = [
        first + (count - 1) * stride + 1 if count else first
        for first, count, stride in zip(start, out.shape, step, strict=True)
    ]
    high = [length - end for length, end in zip(x.shape, filled, strict=True)]
    return ops.pad(g, start, high, [stride - 1 for stride in step])


def _pad(g: Any, out: Any, x: Any, low: Any, high: Any, interior: Any, value: Any) -> Any:
    step = [gap + 1 for gap in interior]
    stop = [
        first + (count - 1) * stride + 1 if count else first
        for first, count, stride in zip(low, x.shape, step, strict=True)
    ]
    return ops.slice_(g, low, stop, step)


def _concatenate(index: int, g: Any, out: Any, inputs: tuple[Any, ...], attributes: Any) -> Any:
    axis = attributes["axis"]
    before = sum(x.shape[axis] for x in inputs[:index])
    start, stop = [0] * g.ndim, list(g.shape)
    start[axis], stop[axis] = before, before + inputs[index].shape[axis]
    return ops.slice_(g, start, stop, [1] * g.ndim)


def _inverse(axes: tuple[int, ...]) -> list[int]:
    return sorted(range(len(axes)), key=axes.__getitem__)


_row("reshape", lambda g, out, x, shape: ops.reshape(g, x.shape))
_row("transpose", lambda g, out, x, axes: ops.transpose(g, _inverse(axes)))
_row("broadcast_to", lambda g, out, x, shape: g)
_row("slice", _slice)
_row("pad", _pad)
_row("flip", lambda g, out, x, axes: ops.flip(g, axes))
DERIVATIVES["concatenate"] = _concatenate

# ---- reductions


def _spread(g: Any, x: Any, axes: Any) -> Any:
    return ops.broadcast_to(ops.keep_axes(g, axes, x.shape), x.shape)


def _extreme(g: Any, out: Any, x: Any, axes: Any) -> Any:
    """Equal winners share the gradient."""
    won = ops.convert(ops.equal(x, ops.keep_axes(out, axes, x.shape)), x.dtype)
    share = g / ops.reduce_sum(won, axes)
    return won * ops.keep_axes(share, axes, x.shape)


def _product(g: Any, out: Any, x: Any, axes: Any) -> Any:
    """The product of the others, right also where one or more factors are zero (first order)."""
    is_zero = ops.equal(x, 0)
    filled = ops.select(is_zero, x.constant_like(1), x)
    others = ops.keep_axes(ops.reduce_product(filled, axes), axes, x.shape) / filled
    zeros = ops.reduce_sum(ops.convert(is_zero, x.dtype), axes)
    zeros_elsewhere = ops.keep_axes(zeros, axes, x.shape) - ops.convert(is_zero, x.dtype)
    kept = ops.select(ops.equal(zeros_elsewhere, 0), others, x.constant_like(0))
    return ops.keep_axes(g, axes, x.shape) * kept


_row("reduce_sum", lambda g, out, x, axes: _spread(g, x, axes))
_row("reduce_product", _product)
_row("reduce_max", _extreme)
_row("reduce_min", _extreme)
_row(
    "cumulative_sum",
    lambda g, out, x, axis, reverse: ops.cumulative_sum(g, axis, not reverse),
)

# ---- matrices and indexing

_row(
    "matmul",
    lambda g, out, x, y: ops.matmul(g, ops.swap_last_axes(y)),
    lambda g, out, x, y: ops.matmul(ops.swap_last_axes(x), g),
)
_row(
    "take",
    lambda g, out, x, indices, axis: ops.scatter_add(ops.zeros_like(g, x.shape), indices, g, axis),
    None,
)
_row(
    "scatter_add",
    lambda g, out, x, indices, updates, axis: g,
    None,
    lambda g, out, x, indices, updates, axis: ops.take(g, indices, axis),
)

# ---- sliding windows

_row(
    "convolution",
    lambda g, out, x, kernel, **moves: ops.convolution_input_gradient(
        g, kernel, x.shape[1:-1], **moves
    ),
    lambda g, out, x, kernel, **moves: ops.convolution_kernel_gradient(
        x, g, kernel.shape[:-2], **moves
    ),
)
_row(
    "convolution_input_gradient",
    lambda g, out, dy, kernel, spatial, **moves: ops.convolution(g, kernel, **moves),
    lambda g, out, dy, kernel, spatial, **moves: ops.convolution_kernel_gradient(
        g, dy, kernel.shape[:-2], **moves
    ),
)
_row(
    "convolution_kernel_gradient",
    lambda g, out, x, dy, window, **moves: ops.convolution_input_gradient(
        dy, g, x.shape[1:-1], **moves
    ),
    lambda g, out, x, dy, window, **moves: ops.convolution(x, g, **moves),
)


def _window_sum(
    g: Any, out: Any, x: Any, window: Any, strides: Any, padding: Any, dilation: Any
) -> Any:
    """The sum of the windows that an element is in: those of ``g`` spread by the strides."""
    if window == strides and set(dilation) == {1} and not any(map(any, padding)):
        return _repeated(g, x, window)
    gaps = [0, *(stride - 1 for stride in strides), 0]
    none = [0] * g.ndim
    spread = ops.pad(g, none, none, gaps) if any(gaps) else g
    start, stop, widths = list(none), list(spread.shape), []
    for axis, (length, taps, (low, _), gap) in enumerate(
        zip(x.shape[1:-1], window, padding, dilation, strict=True), 1
    ):
        before = (taps - 1) * gap - low
        after = length + low - spread.shape[axis]
        # Windows that lie in the padding alone add to no element: they are cut off.
        start[axis] -= min(before, 0)
        stop[axis] += min(after, 0)
        widths.append((max(before, 0), max(after, 0)))
    if start != none or stop != list(spread.shape):
        spread = ops.slice_(spread, start, stop, [1] * g.ndim)
    return ops.window_sum(
        spread, window=window, strides=[1] * len(window), padding=widths, dilation=dilation
    )


def _repeated(g: Any, x: Any, window: Any) -> Any:
    """``g`` repeated over windows side by side; what is left over at the end is in none."""
    pairs = list(zip(g.shape[1:-1], window, strict=True))
    ones = [length for count, _ in pairs for length in (count, 1)]
    full = [length for pair in pairs for length in pair]
    batch, channels = g.shape[0], g.shape[-1]
    spread = ops.broadcast_to(ops.reshape(g, (batch, *ones, channels)), (batch, *full, channels))
    filled = ops.reshape(spread, (batch, *(count * taps for count, taps in pairs), channels))
    high = [length - end for length, end in zip(x.shape, filled.shape, strict=True)]
    none = [0] * g.ndim
    return ops.pad(filled, none, high, none) if any(high) else filled


_row("window_sum", _window_sum)
_row("window_max", lambda g, out, x, **moves: ops.window_scatter(x, g, **moves))
_row("window_gather", None, lambda g, out, x, t, **moves: ops.window_scatter(x, g, **moves))
_row("window_scatter", None, lambda g, out, x, dy, **moves: ops.window_gather(x, g, **moves))
