"""Elementwise functions under NumPy's names: inputs are promoted (``chainrule.dtypes``) and
broadcast.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.dtypes import BOOL, DEFAULT_FLOAT, INT32, as_dtype, promote
from chainrule.errors import ArgumentError
from chainrule.graph.primitives import PRIMITIVES
from chainrule.tensor.tensor import Tensor, as_tensor, bind

_CONVERT = PRIMITIVES["convert"]


def astype(x: Any, dtype: Any) -> Tensor:
    """``x`` converted to another dtype; itself where it has that dtype.

    Floats become integers by cutting the fraction off, anything but zero becomes ``True``.

    Example:
        >>> import chainrule as cr
        >>> cr.astype([1.7, -1.7], "int32").tolist()
        [1, -1]
    """
    x, dtype = as_tensor(x), as_dtype(dtype)
    if x.dtype == dtype:
        return x
    if dtype == BOOL:
        return not_equal(x, 0)
    return bind(_CONVERT, (x,), {"dtype": dtype})


def pair(x: Any, y: Any) -> tuple[Tensor, Tensor]:
    """Two inputs as tensors of one dtype."""
    if isinstance(x, Tensor):
        if not isinstance(y, Tensor):
            y = as_tensor(y, x.dtype)
    elif isinstance(y, Tensor):
        x = as_tensor(x, y.dtype)
    else:
        x, y = as_tensor(x), as_tensor(y)
    if x.dtype is not y.dtype and x.dtype != y.dtype:
        dtype = promote(x.dtype, y.dtype)
        x, y = astype(x, dtype), astype(y, dtype)
    return x, y


def floating(x: Any) -> Tensor:
    """A tensor of a floating dtype: integers and booleans become the default one."""
    x = as_tensor(x)
    return x if x.dtype.kind == "f" else astype(x, DEFAULT_FLOAT)


def _numeric(x: Tensor) -> Tensor:
    return astype(x, INT32) if x.dtype == BOOL else x


def _unary(
    name: str, text: str, prepare: Callable[[Any], Tensor] = floating
) -> Callable[[Any], Tensor]:
    primitive = PRIMITIVES[name]

    def function(x: Any) -> Tensor:
        return bind(primitive, (prepare(x),), {})

    function.__name__ = function.__qualname__ = name
    function.__doc__ = text
    return function


def _binary(
    name: str, text: str, converted: str = "", target: np.dtype[Any] = DEFAULT_FLOAT
) -> Callable[[Any, Any], Tensor]:
    """Inputs whose kind of dtype is among ``converted`` become ``target``."""
    primitive = PRIMITIVES[name]

    def function(x: Any, y: Any) -> Tensor:
        x, y = pair(x, y)
        if x.dtype.kind in converted:
            x, y = astype(x, target), astype(y, target)
        return bind(primitive, (x, y), {})

    function.__name__ = function.__qualname__ = name
    function.__doc__ = text
    return function


exp = _unary("exp", "e to the power of ``x``, elementwise.")
log = _unary("log", "The natural logarithm, elementwise; -inf at 0, NaN below.")
log1p = _unary("log1p", "log(1 + x), exact for small ``x``.")
expm1 = _unary("expm1", "exp(x) - 1, exact for small ``x``.")
sqrt = _unary("sqrt", "The square root, elementwise; its derivative is infinite at 0.")
rsqrt = _unary("rsqrt", "1 / sqrt(x), elementwise.")
tanh = _unary("tanh", "The hyperbolic tangent, elementwise; derivative 1 - tanh(x)^2.")
erf = _unary("erf", "2 / sqrt(pi) * integral of exp(-t^2) from 0 to x, elementwise.")
sin = _unary("sin", "The sine of ``x`` radians, elementwise.")
cos = _unary("cos", "The cosine of ``x`` radians, elementwise.")
floor = _unary("floor", "The largest integer not above ``x``, as a float; derivative 0.")
ceil = _unary("ceil", "The smallest integer not below ``x``, as a float; derivative 0.")
round = _unary("round", "The nearest integer, halves to even, as a float; derivative 0.")
is_finite = _unary("is_finite", "True where ``x`` is neither infinite nor NaN.")
_sigmoid = _unary("sigmoid", "")
negative = _unary("negative", "-x, elementwise.", lambda x: _numeric(as_tensor(x)))
abs = _unary(
    "abs", "The absolute value; derivative sign(x), 0 at 0.", lambda x: _numeric(as_tensor(x))
)
sign = _unary(
    "sign", "-1, 0 or 1 by the sign of ``x``; derivative 0.", lambda x: _numeric(as_tensor(x))
)
logical_not = _unary("logical_not", "True where ``x`` is zero or False.", lambda x: astype(x, BOOL))
stop_gradient = _unary(
    "stop_gradient", "``x`` as a constant: no gradient flows through it.", as_tensor
)

add = _binary("add", "x + y, elementwise.", "b", INT32)
subtract = _binary("subtract", "x - y, elementwise.", "b", INT32)
multiply = _binary("multiply", "x * y, elementwise.", "b", INT32)
divide = _binary("divide", "x / y, elementwise; integers are converted to floats first.", "biu")
floor_divide = _binary("floor_divide", "floor(x / y), elementwise.", "b", INT32)
remainder = _binary(
    "remainder", "x - y * floor(x / y), elementwise; it has the sign of ``y``.", "b", INT32
)
maximum = _binary(
    "maximum", "The larger of both; NaN wins; equal inputs share the gradient.", "b", INT32
)
minimum = _binary(
    "minimum", "The smaller of both; NaN wins; equal inputs share the gradient.", "b", INT32
)
equal = _binary("equal", "True where ``x`` and ``y`` are equal.")
not_equal = _binary("not_equal", "True where ``x`` and ``y`` differ.")
less = _binary("less", "True where ``x`` < ``y``.")
less_equal = _binary("less_equal", "True where ``x`` <= ``y``.")
bitwise_and = _binary("bitwise_and", "The bits set in both; for booleans: and.")
bitwise_or = _binary("bitwise_or", "The bits set in either; for booleans: or.")
bitwise_xor = _binary("bitwise_xor", "The bits set in one only; for booleans: either, not both.")
left_shift = _binary("shift_left", "The bits moved up by ``y`` places.")
right_shift = _binary("shift_right", "The bits moved down by ``y`` places; the sign is kept.")
_power = _binary("power", "", "biu")


def power(x: Any, y: Any) -> Tensor:
    """``x`` to the power of ``y``, elementwise; integers are converted to floats first.

    Small whole exponents (2, 3) are products: exact, fast, and differentiable everywhere to any
    order.

    Example:
        >>> import chainrule as cr
        >>> cr.power([1.0, 2.0], 3).tolist()
        [1.0, 8.0]
    """
    if isinstance(y, int | float) and not isinstance(y, bool):
        if y == 2:
            return square(x)
        if y == 3:
            x = floating(x)
            return x * x * x
        if y == 1:
            return floating(x)
    return _power(x, y)


def square(x: Any) -> Tensor:
    """x * x, elementwise."""
    x = as_tensor(x)
    return multiply(x, x)


def reciprocal(x: Any) -> Tensor:
    """1 / x, elementwise."""
    return divide(1.0, x)


def sigmoid(x: Any) -> Tensor:
    """1 / (1 + exp(-x)), elementwise, without overflow; derivative s * (1 - s).

    The result remembers ``x`` (``origin``), so that losses can work from the logits.
    """
    x = floating(x)
    result = _sigmoid(x)
    result.origin = ("sigmoid", x)
    return result


def greater(x: Any, y: Any) -> Tensor:
    """True where ``x`` > ``y``."""
    return less(y, x)


def greater_equal(x: Any, y: Any) -> Tensor:
    """True where ``x`` >= ``y``."""
    return less_equal(y, x)


def is_nan(x: Any) -> Tensor:
    """True where ``x`` is not a number."""
    x = as_tensor(x)
    return not_equal(x, x)


def bitwise_not(x: Any) -> Tensor:
    """Every bit inverted; for booleans: not."""
    x = as_tensor(x)
    if x.dtype == BOOL:
        return logical_not(x)
    return bitwise_xor(x, Tensor(np.invert(np.zeros((), x.dtype))))


def logical_and(x: Any, y: Any) -> Tensor:
    """True where both are (zero is False)."""
    return bitwise_and(astype(x, BOOL), astype(y, BOOL))


def logical_or(x: Any, y: Any) -> Tensor:
    """True where either is (zero is False)."""
    return bitwise_or(astype(x, BOOL), astype(y, BOOL))


def logical_xor(x: Any, y: Any) -> Tensor:
    """True where exactly one is (zero is False)."""
    return bitwise_xor(astype(x, BOOL), astype(y, BOOL))


def where(condition: Any, x: Any, y: Any) -> Tensor:
    """``x`` where the condition holds, else ``y``; the other branch gets no gradient.

    A NaN or infinity in the branch not chosen is still multiplied by 0 further back: guard the
    argument too, as in ``where(x > 0, log(where(x > 0, x, 1)), 0)``.

    Example:
        >>> import chainrule as cr
        >>> cr.where([True, False], 1.0, 2.0).tolist()
        [1.0, 2.0]
    """
    x, y = pair(x, y)
    return bind(PRIMITIVES["select"], (astype(condition, BOOL), x, y), {})


def clip(x: Any, low: Any = None, high: Any = None) -> Tensor:
    """``x`` limited to low .. high; the gradient is 0 outside.

    Args:
        x: any tensor.
        low: the smallest value kept, or None.
        high: the largest value kept, or None.

    Example:
        >>> import chainrule as cr
        >>> cr.clip([-2.0, 0.5, 2.0], -1, 1).tolist()
        [-1.0, 0.5, 1.0]
    """
    x = as_tensor(x)
    if isinstance(low, int | float) and isinstance(high, int | float) and low > high:
        raise ArgumentError(
            "clip", "low above high", got=f"{low} and {high}", expected="low <= high"
        )
    # Strict comparisons: at the bound itself the gradient still flows, as in PyTorch.
    if low is not None:
        x, bound = pair(x, low)
        x = where(less(x, bound), bound, x)
    if high is not None:
        x, bound = pair(x, high)
        x = where(less(bound, x), bound, x)
    return x
