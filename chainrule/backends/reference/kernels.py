"""The definition of every primitive: one NumPy function each, ``kernel(*arrays, **attributes) ->
array``.
"""

from __future__ import annotations

import contextvars
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.backends.reference import windows
from chainrule.backends.reference.erf import erf
from chainrule.backends.reference.threefry import random_bits
from chainrule.errors import ArgumentError

A = NDArray[Any]
Kernel = Callable[..., Any]


class _ErrorState:
    """For NumPy before version 2, whose error settings do not belong to contexts."""

    def copy(self) -> _ErrorState:
        return self

    def run(self, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        with np.errstate(all="ignore"):
            return function(*arguments, **keywords)


# ``QUIET.copy().run(function, ...)`` calls without NumPy's warnings: overflow is infinity, 0 / 0 is
# NaN. Entering a context takes a tenth of the time of ``errstate``, which is longer than a small
# sum; a copy, for a context cannot be entered twice.
QUIET: contextvars.Context | _ErrorState
if np.lib.NumpyVersion(np.__version__) < "2.0.0":
    QUIET = _ErrorState()
else:
    QUIET = contextvars.Context()
    QUIET.run(np.seterr, all="ignore")


def _rsqrt(x: A) -> Any:
    return 1 / np.sqrt(x)


def _sigmoid(x: A) -> Any:
    # exp of a negative number only: no overflow, and small results keep their digits.
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, small).astype(x.dtype, copy=False) / (1 + small)


def _convert(x: A, dtype: np.dtype[Any]) -> Any:
    return x.astype(dtype)


def _constant(value: A) -> A:
    return value


def _iota(shape: tuple[int, ...], axis: int, dtype: np.dtype[Any]) -> Any:
    ones = [1] * len(shape)
    ones[axis] = shape[axis]
    return np.broadcast_to(np.arange(shape[axis], dtype=dtype).reshape(ones), shape)


def _reshape(x: A, shape: tuple[int, ...]) -> Any:
    return x.reshape(shape)


def _transpose(x: A, axes: tuple[int, ...]) -> Any:
    return x.transpose(axes)


def _broadcast_to(x: A, shape: tuple[int, ...]) -> Any:
    if x.size == 1 and x.ndim <= len(shape) and type(x) is np.ndarray:
        # The same view as NumPy's function returns, which takes longer than most sums.
        result = np.ndarray(shape, x.dtype, x, 0, (0,) * len(shape))
        result.flags.writeable = False
        return result
    return np.broadcast_to(x, shape)


def _slice(x: A, start: Any, stop: Any, step: Any) -> Any:
    return x[tuple(map(slice, start, stop, step))]


def _pad(x: A, low: Any, high: Any, interior: Any, value: float) -> Any:
    spread = [n + max(n - 1, 0) * gap for n, gap in zip(x.shape, interior, strict=True)]
    shape = [lo + n + hi for lo, n, hi in zip(low, spread, high, strict=True)]
    result = np.full(shape, value, x.dtype)
    where = tuple(
        slice(lo, lo + n, gap + 1) for lo, n, gap in zip(low, spread, interior, strict=True)
    )
    result[where] = x
    return result


def _concatenate(*inputs: A, axis: int) -> Any:
    return np.concatenate(inputs, axis)


def _flip(x: A, axes: tuple[int, ...]) -> Any:
    return np.flip(x, axes)


def _select(condition: A, x: A, y: A) -> Any:
    integer = _BITS.get(x.dtype.itemsize)
    if condition.size < _WORTH_SELECTING_BITS or integer is None:
        return np.where(condition, x, y)
    # NumPy branches at each element, and every wrong guess of the processor costs as much as ten
    # elements do here.
    one, other = x.view(integer), y.view(integer)
    chosen = condition.view(np.int8)
    if one.ndim == 0 and one == 0:
        return (other & (chosen - _ONE).astype(integer)).view(x.dtype)
    mask = np.negative(chosen).astype(integer)
    if other.ndim == 0 and other == 0:
        return (one & mask).view(x.dtype)
    return (((one ^ other) & mask) ^ other).view(x.dtype)


_BITS: dict[int, np.dtype[Any]] = {4: np.dtype(np.int32), 8: np.dtype(np.int64)}
_WORTH_SELECTING_BITS = 4096
_ONE = np.ones((), np.int8)


def _matmul(x: A, y: A) -> Any:
    if x.ndim == 2 == y.ndim:
        return np.dot(x, y)  # hands more to BLAS than ``matmul`` does, such as outer products
    if x.shape[-1:] == (1,) and y.shape[-2:-1] == (1,):
        return np.multiply(x, y)
    return np.matmul(x, y)


def _reduce_sum(x: A, axes: tuple[int, ...]) -> Any:
    count = len(axes)
    if count and axes[-1] == count - 1 and x.flags.c_contiguous:
        width = math.prod(x.shape[count:])
        if 1 < width <= _NARROW and x.size >= _LONG * width:
            return _sum_of_rows(x.reshape(-1, width)).reshape(x.shape[count:])
    return np.add.reduce(x, axes, x.dtype)


_NARROW, _LONG, _AT_ONCE = 64, 256, 256


def _sum_of_rows(x: A) -> Any:
    """The sum of many short rows. NumPy pays for each row: several are taken as one long one."""
    together = _AT_ONCE // x.shape[1]
    whole = len(x) // together * together
    sums = np.add.reduce(x[:whole].reshape(-1, together * x.shape[1]), 0, x.dtype)
    rows = sums.reshape(together, -1)
    if whole < len(x):
        rows = np.concatenate([rows, x[whole:]])
    return np.add.reduce(rows, 0, x.dtype)


def _reduce_product(x: A, axes: tuple[int, ...]) -> Any:
    return np.multiply.reduce(x, axes, x.dtype)


def _reduce_max(x: A, axes: tuple[int, ...]) -> Any:
    return np.maximum.reduce(x, axes)


def _reduce_min(x: A, axes: tuple[int, ...]) -> Any:
    return np.minimum.reduce(x, axes)


def _argmax(x: A, axis: int) -> Any:
    return np.argmax(x, axis)


def _argmin(x: A, axis: int) -> Any:
    return np.argmin(x, axis)


def _argsort(x: A, axis: int) -> Any:
    return np.argsort(x, axis, kind="stable")


def _cumulative_sum(x: A, axis: int, reverse: bool) -> Any:
    source = np.flip(x, axis) if reverse else x
    result = np.cumsum(source, axis, dtype=x.dtype)
    return np.flip(result, axis) if reverse else result


def _take(x: A, indices: A, axis: int) -> Any:
    _check_indices("take", indices, x.shape[axis])
    return np.take(x, indices, axis)


def _scatter_add(x: A, indices: A, updates: A, axis: int) -> Any:
    _check_indices("scatter_add", indices, x.shape[axis])
    result = x.copy()
    where: Any = (slice(None),) * axis + (indices,)
    np.add.at(result, where, updates)
    return result


def _check_indices(name: str, indices: A, length: int) -> None:
    if indices.size and not (-length <= indices.min() and indices.max() < length):
        raise ArgumentError(
            name,
            "index out of range",
            got=f"{indices.min()} to {indices.max()}",
            expected=f"{-length} to {length - 1}",
        )


def _floor_divide(x: A, y: A) -> Any:
    if x.dtype.kind != "f" and not np.all(y):
        raise ArgumentError("floor_divide", "division of integers by zero")
    return np.floor_divide(x, y)


def _remainder(x: A, y: A) -> Any:
    if x.dtype.kind != "f" and not np.all(y):
        raise ArgumentError("remainder", "division of integers by zero")
    return np.remainder(x, y)


KERNELS: dict[str, Kernel] = {
    # elementwise, one input
    "exp": np.exp, "log": np.log, "log1p": np.log1p, "expm1": np.expm1, "sqrt": np.sqrt,
    "rsqrt": _rsqrt, "tanh": np.tanh, "sigmoid": _sigmoid, "erf": erf, "sin": np.sin, "cos": np.cos,
    "negative": np.negative, "abs": np.abs, "sign": np.sign, "floor": np.floor, "ceil": np.ceil,
    "round": np.rint, "is_finite": np.isfinite, "logical_not": np.logical_not,
    "convert": _convert, "stop_gradient": np.asarray,
    # elementwise, two inputs
    "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide,
    "power": np.power, "maximum": np.maximum, "minimum": np.minimum, "remainder": _remainder,
    "floor_divide": _floor_divide, "equal": np.equal, "not_equal": np.not_equal, "less": np.less,
    "less_equal": np.less_equal, "bitwise_and": np.bitwise_and, "bitwise_or": np.bitwise_or,
    "bitwise_xor": np.bitwise_xor, "shift_left": np.left_shift, "shift_right": np.right_shift,
    "select": _select,
    # sources and layout
    "constant": _constant, "iota": _iota, "reshape": _reshape, "transpose": _transpose,
    "broadcast_to": _broadcast_to, "slice": _slice, "pad": _pad, "concatenate": _concatenate,
    "flip": _flip, "random_bits": random_bits,
    # reductions, matrices, indexing
    "reduce_sum": _reduce_sum, "reduce_product": _reduce_product, "reduce_max": _reduce_max,
    "reduce_min": _reduce_min, "argmax": _argmax, "argmin": _argmin, "argsort": _argsort,
    "cumulative_sum": _cumulative_sum, "matmul": _matmul, "take": _take,
    "scatter_add": _scatter_add,
    # sliding windows
    "convolution": windows.convolution,
    "convolution_input_gradient": windows.convolution_input_gradient,
    "convolution_kernel_gradient": windows.convolution_kernel_gradient,
    "window_sum": windows.window_sum, "window_max": windows.window_max,
    "window_gather": windows.window_gather, "window_scatter": windows.window_scatter,
}  # fmt: skip
