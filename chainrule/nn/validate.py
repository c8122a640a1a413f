"""Checks of constructor arguments, and the error for inputs of the wrong shape."""

import math
from collections.abc import Iterable
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from chainrule.dtypes import DTYPES, as_dtype, is_floating
from chainrule.errors import ArgumentError, DTypeError, ShapeError


def is_whole(value: object) -> TypeGuard[int]:
    """Whether it is a whole number of Python or NumPy, and no truth value."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def whole_number(where: str, name: str, value: object, *, minimum: int = 1) -> int:
    """``value`` as an int of at least ``minimum``."""
    if is_whole(value) and int(value) >= minimum:
        return int(value)
    raise ArgumentError(
        where, f"bad {name}", got=repr(value), expected=f"a whole number of at least {minimum}"
    )


def number(
    where: str,
    name: str,
    value: object,
    *,
    minimum: float | None = None,
    below: float | None = None,
) -> float:
    """``value`` as a finite float, at least ``minimum`` and less than ``below`` where given."""
    good = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    converted = float(value) if good else math.nan  # type: ignore[arg-type]  # good says so
    high_enough = minimum is None or converted >= minimum
    if math.isfinite(converted) and high_enough and (below is None or converted < below):
        return converted
    bounds = [] if minimum is None else [f"at least {minimum:g}"]
    bounds += [] if below is None else [f"less than {below:g}"]
    expected = " ".join(["a finite number", " and ".join(bounds)]).rstrip()
    raise ArgumentError(where, f"bad {name}", got=repr(value), expected=expected)


def finite_numbers(where: str, name: str, value: Any) -> NDArray[Any]:
    """``value`` as an array of finite numbers."""
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        array = np.asarray(np.nan)
    if array.size and np.isfinite(array).all():
        return array
    raise ArgumentError(where, f"bad {name}", got=repr(value)[:80], expected="finite numbers")


def truth(where: str, name: str, value: object) -> bool:
    """``value`` as True or False."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    raise ArgumentError(where, f"bad {name}", got=repr(value), expected="True or False")


def dtype_of(where: str, value: object, *, floating: bool = False) -> "np.dtype[Any]":
    """``value`` as one of the library's dtypes, floating where this is asked for."""
    allowed = [name for name in DTYPES if not floating or is_floating(name)]
    dtype = as_dtype(value) if isinstance(value, (str, type, np.dtype)) else None
    if dtype is None or dtype.name not in allowed:
        raise DTypeError(
            where, "bad dtype", got=repr(value)[:80], expected=f"one of {', '.join(allowed)}"
        )
    return dtype


def axes(where: str, value: object) -> int | tuple[int, ...]:
    """``value`` as one axis or a tuple of different axes; negative axes count from the end."""
    if is_whole(value):
        return int(value)
    if isinstance(value, (list, tuple)) and value:
        several = tuple(whole_number(where, "axis", axis, minimum=-64) for axis in value)
        if len(set(several)) == len(several):
            return several
    raise ArgumentError(
        where, "bad axis", got=repr(value), expected="a whole number, or several different ones"
    )


def sizes(where: str, name: str, value: object, *, minimum: int = 1) -> tuple[int, ...]:
    """``value`` as a tuple of whole numbers of at least ``minimum``; a single one is one size."""
    listed = value if isinstance(value, Iterable) and not isinstance(value, str) else (value,)
    return tuple(whole_number(where, name, size, minimum=minimum) for size in listed)


def normal_axes(
    where: str, axis: int | tuple[int, ...], shape: tuple[int | None, ...]
) -> tuple[int, ...]:
    """The axes counted from the front, sorted, each inside the rank of ``shape``."""
    rank = len(shape)
    listed = (axis,) if isinstance(axis, int) else axis
    normal = sorted(a + rank if a < 0 else a for a in listed)
    if len(set(normal)) < len(normal) or normal[0] < 0 or normal[-1] >= rank:
        raise wrong_input_shape(
            where, shape, f"an input with axis {axis}", "choose an axis that the input has"
        )
    return tuple(normal)


def wrong_input_shape(where: str, got: Any, expected: str, fix: str) -> ShapeError:
    """The error for an input whose rank or width does not fit a layer."""
    return ShapeError(where, "wrong input shape", got=got, expected=expected, fix=fix)
