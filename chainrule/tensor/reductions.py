"""Reductions over axes under NumPy's names."""

from __future__ import annotations

import math
from typing import Any

from chainrule.dtypes import BOOL, INT64
from chainrule.graph import operations as ops
from chainrule.graph.primitives import normalize_axis
from chainrule.tensor.elementwise import astype, divide, floating, sqrt, square
from chainrule.tensor.tensor import Tensor, as_tensor

Axis = int | tuple[int, ...] | None


def normalize_axes(where: str, axis: Axis, rank: int) -> tuple[int, ...]:
    """The axes to reduce, increasing; None means all."""
    if axis is None:
        return tuple(range(rank))
    if isinstance(axis, int):
        return (normalize_axis(where, axis, rank),)
    return tuple(sorted({normalize_axis(where, a, rank) for a in axis}))


def _reduce(operation: Any, name: str, x: Tensor, axis: Axis, keepdims: bool) -> Tensor:
    axes = normalize_axes(name, axis, x.ndim)
    result = operation(x, axes)
    return ops.keep_axes(result, axes, x.shape) if keepdims else result


def _countable(x: Any) -> Tensor:
    x = as_tensor(x)
    return astype(x, INT64) if x.dtype == BOOL else x


def sum(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The sum over axes, all by default; booleans are counted as int64.

    Example:
        >>> import chainrule as cr
        >>> cr.sum([[1.0, 2.0], [3.0, 4.0]], axis=0).tolist()
        [4.0, 6.0]
    """
    return _reduce(ops.reduce_sum, "sum", _countable(x), axis, keepdims)


def prod(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The product over axes, all by default; its first derivative is right at zeros too."""
    return _reduce(ops.reduce_product, "prod", _countable(x), axis, keepdims)


def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The mean over axes, all by default; integers are averaged as float32."""
    unchanging = type(x) is Tensor  # neither a variable nor an array that others write to
    x = floating(x)
    shape = x.shape
    axes = normalize_axes("mean", axis, len(shape))
    count = math.prod([shape[a] for a in axes])
    if count == 1 and unchanging:
        left = shape if keepdims else [n for a, n in enumerate(shape) if a not in axes]
        return ops.reshape(x, left)
    total = ops.reduce_sum(x, axes)
    if keepdims:
        total = ops.keep_axes(total, axes, shape)
    return divide(total, count)


def var(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The variance over axes, divided by n as in NumPy (PyTorch divides by n - 1)."""
    x = floating(x)
    return mean(square(x - mean(x, axis, keepdims=True)), axis, keepdims)


def std(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The square root of ``var``; its derivative does not exist where all elements are equal."""
    return sqrt(var(x, axis, keepdims))


def max(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest element over axes; equal ones share the gradient."""
    return _reduce(ops.reduce_max, "max", as_tensor(x), axis, keepdims)


def min(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The smallest element over axes; equal ones share the gradient."""
    return _reduce(ops.reduce_min, "min", as_tensor(x), axis, keepdims)


def any(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """True where some element over the axes is not zero."""
    return _reduce(ops.reduce_max, "any", astype(x, BOOL), axis, keepdims)


def all(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """True where no element over the axes is zero."""
    return _reduce(ops.reduce_min, "all", astype(x, BOOL), axis, keepdims)


def argmax(x: Any, axis: int = -1) -> Tensor:
    """The index of the first largest element along an axis, int64."""
    x = as_tensor(x)
    return ops.argmax(x, normalize_axis("argmax", axis, x.ndim))


def argmin(x: Any, axis: int = -1) -> Tensor:
    """The index of the first smallest element along an axis, int64."""
    x = as_tensor(x)
    return ops.argmin(x, normalize_axis("argmin", axis, x.ndim))


def cumsum(x: Any, axis: int = -1) -> Tensor:
    """Running sums along an axis."""
    x = _countable(x)
    return ops.cumulative_sum(x, normalize_axis("cumsum", axis, x.ndim))
