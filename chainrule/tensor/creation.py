"""Tensors made from nothing but a shape."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.dtypes import as_dtype
from chainrule.errors import ShapeError
from chainrule.graph.primitives import PRIMITIVES
from chainrule.tensor.layout import Shape, as_shape
from chainrule.tensor.state import STATE
from chainrule.tensor.tensor import Tensor, as_tensor


def full(shape: Shape, value: float, dtype: Any = None) -> Tensor:
    """A tensor filled with one number; its dtype is float32 for floats, int32 for integers unless
    given.
    """
    scalar = as_tensor(value)
    if any(length < 0 for length in as_shape(shape)):
        raise ShapeError("shape", "a negative length", got=shape, expected="lengths of at least 0")
    return Tensor(
        np.full(as_shape(shape), value, scalar.dtype if dtype is None else as_dtype(dtype))
    )


def zeros(shape: Shape, dtype: Any = "float32") -> Tensor:
    """A tensor of zeros."""
    return full(shape, 0, dtype)


def ones(shape: Shape, dtype: Any = "float32") -> Tensor:
    """A tensor of ones."""
    return full(shape, 1, dtype)


def full_like(x: Any, value: float, dtype: Any = None) -> Tensor:
    """A tensor of ``x``'s shape, and dtype unless given, filled with one number."""
    x = as_tensor(x)
    return full(x.shape, value, x.dtype if dtype is None else dtype)


def zeros_like(x: Any, dtype: Any = None) -> Tensor:
    """Zeros of ``x``'s shape, and dtype unless given."""
    return full_like(x, 0, dtype)


def ones_like(x: Any, dtype: Any = None) -> Tensor:
    """Ones of ``x``'s shape, and dtype unless given."""
    return full_like(x, 1, dtype)


def iota(shape: Shape, axis: int, dtype: Any = "int32") -> Tensor:
    """The position along one axis: 0, 1, 2, ...; compiled programs compute it, none store it."""
    lengths, kind = as_shape(shape), as_dtype(dtype)
    attributes = {"shape": lengths, "axis": axis % len(lengths), "dtype": kind}
    if STATE.trace is not None:
        return STATE.trace.append(PRIMITIVES["iota"], (), attributes, STATE.scope)
    view = [1] * len(lengths)
    view[axis] = lengths[axis]
    positions = np.arange(lengths[axis], dtype=kind).reshape(view)
    return Tensor(np.broadcast_to(positions, lengths))


def arange(start: float, stop: float | None = None, step: float = 1, dtype: Any = None) -> Tensor:
    """start, start + step, ... up to but without stop; ``arange(n)`` counts from 0."""
    first, last = (0, start) if stop is None else (start, stop)
    whole = all(isinstance(v, int) for v in (first, last, step))
    kind = as_dtype(dtype or ("int32" if whole else "float32"))
    return Tensor(np.arange(first, last, step).astype(kind))


def linspace(start: float, stop: float, num: int = 50, dtype: Any = "float32") -> Tensor:
    """``num`` numbers at equal distances from start to stop, both included."""
    return Tensor(np.linspace(start, stop, num).astype(as_dtype(dtype)))


def eye(n: int, m: int | None = None, dtype: Any = "float32") -> Tensor:
    """The identity matrix, (n, n) or (n, m)."""
    return Tensor(np.eye(n, m, dtype=as_dtype(dtype)))
