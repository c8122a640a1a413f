"""Functions made of other functions: matrix products, softmax and its relatives, one-hot rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.config import config
from chainrule.dtypes import FLOAT64, as_dtype
from chainrule.errors import ArgumentError
from chainrule.graph import operations as ops
from chainrule.graph.primitives import PRIMITIVES
from chainrule.tensor.creation import iota
from chainrule.tensor.custom import attach_gradient
from chainrule.tensor.elementwise import (
    abs,
    astype,
    divide,
    erf,
    exp,
    floating,
    is_finite,
    less,
    less_equal,
    log,
    log1p,
    maximum,
    pair,
    rsqrt,
    sigmoid,
    sqrt,
    square,
    stop_gradient,
    where,
)
from chainrule.tensor.layout import checked_indices, expand_dims, reshape, squeeze
from chainrule.tensor.reductions import Axis, max, sum
from chainrule.tensor.tensor import Tensor, as_tensor, bind

_MATMUL, _LESS_EQUAL, _SELECT = (PRIMITIVES[x] for x in ("matmul", "less_equal", "select"))


def matmul(x: Any, y: Any) -> Tensor:
    """Matrix products: the last two axes are matrices, the axes before them broadcast.

    Shapes:
        (..., n, k) @ (..., k, m) -> (..., n, m); a vector (k,) joins as a row on the left or a
        column on the right, and its axis is dropped from the result.

    Raises:
        ShapeError: the inner lengths differ.

    Example:
        >>> import chainrule as cr
        >>> cr.matmul([[1.0, 2.0]], [3.0, 4.0]).tolist()
        [11.0]
    """
    x, y = pair(x, y)
    left, right = len(x.shape), len(y.shape)
    if left == 0 or right == 0:
        raise ArgumentError(
            "matmul", "a scalar is no matrix", got=f"{x.shape} @ {y.shape}", fix="use *"
        )
    if left > 1 and right > 1:
        return bind(_MATMUL, (x, y), {})
    row, column = left == 1, right == 1
    result = ops.matmul(expand_dims(x, 0) if row else x, expand_dims(y, 1) if column else y)
    if row:
        result = squeeze(result, -2)
    return squeeze(result, -1) if column else result


def relu(x: Any) -> Tensor:
    """max(x, 0), elementwise; derivative 1 above 0, 0 at and below it; NaN stays NaN."""
    x = floating(x)
    zero = x.constant_like(0)
    return bind(_SELECT, (bind(_LESS_EQUAL, (x, zero), {}), zero, x), {})


def softplus(x: Any) -> Tensor:
    """log(1 + exp(x)), elementwise, without overflow; derivative sigmoid(x)."""
    x = floating(x)
    value = maximum(x, 0) + log1p(exp(-abs(x)))
    # The pieces meet at 0, where their own second derivatives are wrong; the whole has a smooth
    # one.
    return attach_gradient(value, (x,), lambda g: (g * sigmoid(x),))


def log_sigmoid(x: Any) -> Tensor:
    """log(sigmoid(x)), elementwise, finite for every finite ``x``."""
    return -softplus(-floating(x))


def logsumexp(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """log(sum(exp(x))) over axes, without overflow."""
    x = floating(x)
    top = stop_gradient(max(x, axis, keepdims=True))
    top = where(is_finite(top), top, 0)
    total = sum(exp(x - top), axis, keepdims=True)
    result = log(total) + top
    return (
        result if keepdims else squeeze(result, axis if axis is not None else tuple(range(x.ndim)))
    )


def softmax(x: Any, axis: int = -1) -> Tensor:
    """exp(x) / sum(exp(x)) along an axis: positive numbers that sum to 1.

    Over the last axis the result remembers ``x`` (``origin``): losses can work from the logits.

    Example:
        >>> import chainrule as cr
        >>> cr.softmax([0.0, 0.0]).tolist()
        [0.5, 0.5]
    """
    x = floating(x)
    powers = exp(x - stop_gradient(max(x, axis, keepdims=True)))
    result = divide(powers, sum(powers, axis, keepdims=True))
    result.origin = ("softmax", x) if axis in (-1, x.ndim - 1) else None
    return result


def log_softmax(x: Any, axis: int = -1) -> Tensor:
    """log(softmax(x)) along an axis, exact for improbable classes too; ``origin`` as in softmax."""
    x = floating(x)
    shifted = x - stop_gradient(max(x, axis, keepdims=True))
    result = shifted - log(sum(exp(shifted), axis, keepdims=True))
    result.origin = ("log_softmax", x) if axis in (-1, x.ndim - 1) else None
    return result


def one_hot(indices: Any, depth: int, dtype: Any = "float32") -> Tensor:
    """Rows of zeros with a 1 at the index; an index outside 0 .. depth-1 gives a row of zeros.

    With ``config.check="debug"`` an index from ``depth`` on is an error; negative ones are not, for
    they often stand for "none".

    Shapes:
        (...,) integers -> (..., depth)

    Example:
        >>> import chainrule as cr
        >>> cr.one_hot([1, 0], 2).tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    indices = as_tensor(indices)
    if indices.dtype.kind not in "iu":
        raise ArgumentError(
            "one_hot", "not integers", got=indices.dtype.name, expected="integer indices"
        )
    if config.check == "debug":
        known = maximum(indices, 0)
        indices = where(indices < 0, indices, checked_indices(known, depth))
    places = iota((depth,), 0, indices.dtype)
    return astype(expand_dims(indices, -1) == places, as_dtype(dtype))


def sequence_mask(lengths: Any, max_length: int) -> Tensor:
    """Which steps of padded sequences are there: True for the first ``lengths`` of each row.

    Shapes:
        (...,) integers -> (..., max_length) truth values

    Example:
        >>> import chainrule as cr
        >>> cr.sequence_mask([1, 3], 3).tolist()
        [[True, False, False], [True, True, True]]
    """
    lengths = as_tensor(lengths)
    if lengths.dtype.kind not in "iu":
        raise ArgumentError(
            "sequence_mask", "not integers", got=lengths.dtype.name, expected="integer lengths"
        )
    return less(iota((max_length,), 0, lengths.dtype), expand_dims(lengths, -1))


def norm(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """sqrt(sum(x^2)) over axes; its derivative does not exist at 0."""
    return sqrt(sum(square(floating(x)), axis, keepdims))


def l2_normalize(x: Any, axis: Axis = -1, epsilon: float = 1e-12) -> Tensor:
    """``x`` divided by its length along axes: x / sqrt(max(sum(x^2), epsilon))."""
    x = floating(x)
    return x * rsqrt(maximum(sum(square(x), axis, keepdims=True), epsilon))


def _polynomial(x: Tensor, coefficients: tuple[float, ...]) -> Tensor:
    result: Any = coefficients[0]
    for coefficient in coefficients[1:]:
        result = result * x + coefficient
    return result


# M. Giles, Approximating the erfinv function (GPU Computing Gems, 2011), table 5, highest power
# first.
_CENTRAL = (
    2.81022636e-08,
    3.43273939e-07,
    -3.5233877e-06,
    -4.39150654e-06,
    0.00021858087,
    -0.00125372503,
    -0.00417768164,
    0.246640727,
    1.50140941,
)
_TAIL = (
    -0.000200214257,
    0.000100950558,
    0.00134934322,
    -0.00367342844,
    0.00573950773,
    -0.0076224613,
    0.00943887047,
    1.00167406,
    2.83297682,
)


def erf_inv(x: Any) -> Tensor:
    """The number whose erf is ``x``, elementwise, for -1 < x < 1; derivative sqrt(pi)/2 *
    exp(erf_inv(x)^2).
    """
    x = floating(x)
    w = -log((1 - x) * (1 + x))
    near = less_equal(w, 5.0)
    central = _polynomial(where(near, w, 2.5) - 2.5, _CENTRAL)
    tail = _polynomial(sqrt(where(near, 9.0, w)) - 3.0, _TAIL)
    result = where(near, central, tail) * x
    half = math.sqrt(math.pi) / 2
    if x.dtype == FLOAT64:
        # The polynomials are good to float32; Newton's rule doubles the digits each time.
        for _ in range(2):
            result = result - (erf(result) - x) * half * exp(square(result))
    return attach_gradient(result, (x,), lambda g: (g * half * exp(square(erf_inv(x))),))


def tile(x: Any, repeats: tuple[int, ...]) -> Tensor:
    """``x`` repeated as a whole along each axis."""
    x = as_tensor(x)
    if len(repeats) != x.ndim:
        raise ArgumentError("tile", "wrong number of repeats", got=len(repeats), expected=x.ndim)
    spread = reshape(x, tuple(v for n in x.shape for v in (1, n)))
    shape = tuple(v for n, r in zip(x.shape, repeats, strict=True) for v in (r, n))
    return reshape(ops.broadcast_to(spread, shape), tuple(np.multiply(x.shape, repeats).tolist()))
