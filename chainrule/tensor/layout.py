"""Functions that move elements: shapes, orders, joins, indexing."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.config import config
from chainrule.dtypes import BOOL, INT64, UINT32, promote
from chainrule.errors import ArgumentError, DTypeError, ShapeError
from chainrule.graph import operations as ops
from chainrule.graph.primitives import normalize_axis
from chainrule.tensor.elementwise import (
    add,
    astype,
    clip,
    greater_equal,
    less,
    logical_and,
    multiply,
    where,
)
from chainrule.tensor.tensor import Tensor, as_tensor

Shape = int | Sequence[int]


def reshape(x: Any, shape: Shape) -> Tensor:
    """``x`` with its elements in another shape; one length may be -1 and follows from the others.

    Raises:
        ShapeError: the number of elements would change.

    Example:
        >>> import chainrule as cr
        >>> cr.reshape(cr.arange(6), (2, -1)).shape
        (2, 3)
    """
    x = as_tensor(x)
    lengths = as_shape(shape)
    if -1 in lengths:
        known = 1
        for length in lengths:
            known *= length if length != -1 else 1
        if lengths.count(-1) > 1 or known == 0 or x.size % known:
            raise ShapeError("reshape", "the shape does not fit", got=f"{x.shape} to {lengths}")
        lengths = tuple(x.size // known if length == -1 else length for length in lengths)
    return ops.reshape(x, lengths)


def as_shape(shape: Shape) -> tuple[int, ...]:
    """A shape as a tuple of Python integers."""
    lengths = shape if isinstance(shape, list | tuple) else (shape,)
    try:
        return tuple(map(operator.index, lengths))
    except TypeError as error:
        raise ShapeError("shape", "not a shape", got=repr(shape), expected="integers") from error


def transpose(x: Any, axes: Sequence[int] | None = None) -> Tensor:
    """``x`` with its axes in another order, reversed by default."""
    x = as_tensor(x)
    order = (
        range(x.ndim)[::-1]
        if axes is None
        else [normalize_axis("transpose", a, x.ndim) for a in axes]
    )
    return ops.transpose(x, order)


def swapaxes(x: Any, axis1: int, axis2: int) -> Tensor:
    """``x`` with two axes exchanged."""
    x = as_tensor(x)
    order = list(range(x.ndim))
    a, b = normalize_axis("swapaxes", axis1, x.ndim), normalize_axis("swapaxes", axis2, x.ndim)
    order[a], order[b] = b, a
    return transpose(x, order)


def moveaxis(x: Any, source: int, destination: int) -> Tensor:
    """``x`` with one axis moved to another place."""
    x = as_tensor(x)
    order = list(range(x.ndim))
    order.remove(normalize_axis("moveaxis", source, x.ndim))
    order.insert(normalize_axis("moveaxis", destination, x.ndim), source % x.ndim)
    return transpose(x, order)


def squeeze(x: Any, axis: int | tuple[int, ...] | None = None) -> Tensor:
    """``x`` without axes of length 1: all of them, or those named."""
    x = as_tensor(x)
    if axis is None:
        dropped = [a for a, n in enumerate(x.shape) if n == 1]
    else:
        named = (axis,) if isinstance(axis, int) else axis
        dropped = [normalize_axis("squeeze", a, x.ndim) for a in named]
        if any(x.shape[a] != 1 for a in dropped):
            raise ShapeError(
                "squeeze", "an axis is longer than 1", got=x.shape, expected=f"1 on axis {axis}"
            )
    return reshape(x, tuple(n for a, n in enumerate(x.shape) if a not in dropped))


def expand_dims(x: Any, axis: int) -> Tensor:
    """``x`` with a new axis of length 1 at this place of the result."""
    x = as_tensor(x)
    axis = normalize_axis("expand_dims", axis, x.ndim + 1)
    return reshape(x, (*x.shape[:axis], 1, *x.shape[axis:]))


def broadcast_to(x: Any, shape: Shape) -> Tensor:
    """``x`` repeated to a shape by NumPy's broadcasting."""
    return ops.broadcast_to(as_tensor(x), as_shape(shape))


def concatenate(inputs: Sequence[Any], axis: int = 0) -> Tensor:
    """The inputs joined along an axis.

    Raises:
        ShapeError: nothing to join, or shapes that differ on another axis.
    """
    parts = [as_tensor(x) for x in inputs]
    if not parts:
        raise ShapeError("concatenate", "nothing to join", got="no inputs", expected="at least one")
    dtype = promote(*[x.dtype for x in parts])
    axis = normalize_axis("concatenate", axis, parts[0].ndim)
    return ops.concatenate([astype(x, dtype) for x in parts], axis)


def stack(inputs: Sequence[Any], axis: int = 0) -> Tensor:
    """The inputs, all of one shape, side by side along a new axis."""
    return concatenate([expand_dims(x, axis) for x in inputs], axis)


def split(x: Any, sections: int, axis: int = 0) -> list[Tensor]:
    """``x`` cut into equal parts along an axis."""
    x = as_tensor(x)
    axis = normalize_axis("split", axis, x.ndim)
    length, rest = divmod(x.shape[axis], sections)
    if rest:
        raise ShapeError(
            "split",
            "parts would not be equal",
            got=x.shape[axis],
            expected=f"a multiple of {sections}",
        )
    before = (slice(None),) * axis
    return [x[(*before, slice(i * length, (i + 1) * length))] for i in range(sections)]


def pad(x: Any, widths: Sequence[tuple[int, int]], value: float = 0) -> Tensor:
    """``x`` with ``value`` before and after its elements.

    Args:
        x: any tensor.
        widths: (before, after) for each axis.
        value: what stands there, 0 by default.
    """
    x = as_tensor(x)
    if len(widths) != x.ndim:
        raise ShapeError(
            "pad", "wrong number of widths", got=len(widths), expected=f"{x.ndim}, one pair an axis"
        )
    low, high = [w[0] for w in widths], [w[1] for w in widths]
    return ops.pad(x, low, high, [0] * x.ndim, value)


def flip(x: Any, axis: int | tuple[int, ...] | None = None) -> Tensor:
    """``x`` in reverse order along an axis, several, or all."""
    x = as_tensor(x)
    axes = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    return ops.flip(x, sorted(normalize_axis("flip", a, x.ndim) for a in axes))


def take(x: Any, indices: Any, axis: int = 0) -> Tensor:
    """The slices of ``x`` at these indices of an axis; negative ones count from its end.

    Shapes:
        (..., n, ...) at indices (i...) -> (..., i..., ...): the axis is replaced by the indices'
        axes.

    Raises:
        ArgumentError: an index outside the axis.

    Example:
        >>> import chainrule as cr
        >>> cr.take([10.0, 20.0, 30.0], [2, 0]).tolist()
        [30.0, 10.0]
    """
    x, indices = as_tensor(x), _as_indices(indices)
    return ops.take(x, indices, normalize_axis("take", axis, x.ndim))


def scatter_add(x: Any, indices: Any, updates: Any, axis: int = 0) -> Tensor:
    """``x`` with ``updates`` added at these indices of an axis; equal indices add up."""
    x = as_tensor(x)
    updates = astype(as_tensor(updates, x.dtype), x.dtype)
    axis = normalize_axis("scatter_add", axis, x.ndim)
    return ops.scatter_add(x, _as_indices(indices), updates, axis)


def take_along_axis(x: Any, indices: Any, axis: int = -1) -> Tensor:
    """The elements of ``x`` at these places of an axis, one index an output element.

    Shapes:
        x (..., n, ...), indices (..., k, ...), equal on the other axes -> the shape of the indices.

    Raises:
        ArgumentError: an index outside the axis.
    """
    x, indices = as_tensor(x), _as_indices(indices)
    axis = normalize_axis("take_along_axis", axis, x.ndim)
    expected = (*x.shape[:axis], *indices.shape[axis : axis + 1], *x.shape[axis + 1 :])
    if indices.shape != expected:
        raise ShapeError(
            "take_along_axis", "wrong shape of indices", got=indices.shape, expected=expected
        )
    places, inside = _from_the_start(moveaxis(indices, axis, -1), x.shape[axis])
    return _take_along(x, places, axis, inside)


def _take_along(x: Tensor, places: Tensor, axis: int, inside: Tensor | None = None) -> Tensor:
    """``take_along_axis`` for places (..., k) with the axis last, which are counted from 0; None
    for those that are surely inside.
    """
    moved = moveaxis(x, axis, -1)
    length = moved.shape[-1]
    rows = moved.size // length if length else 0
    starts = Tensor(np.arange(rows, dtype=np.int64).reshape(*moved.shape[:-1], 1) * length)
    flat = add(places, starts)
    if inside is not None:
        flat = where(inside, flat, moved.size)  # else it would be an entry of another row
    return moveaxis(take(reshape(moved, (-1,)), flat), -1, axis)


def argsort(x: Any, axis: int = -1) -> Tensor:
    """The order that sorts ``x`` along an axis, equal elements in their old order; int64."""
    x = as_tensor(x)
    return ops.argsort(x, normalize_axis("argsort", axis, x.ndim))


def sort(x: Any, axis: int = -1) -> Tensor:
    """``x`` sorted along an axis; gradients follow the elements."""
    axis = normalize_axis("sort", axis, x.ndim)
    return _take_along(x, moveaxis(argsort(x, axis), axis, -1), axis)


def top_k(x: Any, k: int) -> tuple[Tensor, Tensor]:
    """The ``k`` largest elements of the last axis, largest first, and their indices (int64)."""
    x = as_tensor(x)
    if not 0 < k <= x.shape[-1]:
        raise ArgumentError("top_k", "k out of range", got=k, expected=f"1 to {x.shape[-1]}")
    # Sorting the negated values keeps the first of equal elements first.
    order = argsort(-astype(x, "float64") if x.dtype.kind != "f" else -x, -1)[..., :k]
    return _take_along(x, order, x.ndim - 1), order


def _as_indices(indices: Any) -> Tensor:
    indices = as_tensor(indices)
    if indices.dtype.kind not in "iu" and indices.size == 0:
        return astype(indices, INT64)
    if indices.dtype.kind not in "iu":
        raise DTypeError(
            "index", "not integers", got=indices.dtype.name, expected="integer indices"
        )
    return indices


def _from_the_start(indices: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Places counted from 0, int64, and whether each is inside the axis; known ones must be."""
    if config.check == "debug":
        places = take(Tensor(np.arange(length, dtype=np.int64)), indices)
    else:
        places = astype(indices, INT64)
        places = where(less(places, 0), add(places, length), places)
    inside = logical_and(greater_equal(places, 0), less(places, length))
    if not indices.is_traced:
        wrong = indices.concrete("index")[~inside.concrete("index")]
        if wrong.size:
            raise ArgumentError(
                "index", "out of range", got=wrong[0], expected=f"{-length} to {length - 1}"
            )
    return places, inside


def checked_indices(indices: Tensor, length: int) -> Tensor:
    """Indices that must be from 0 to ``length - 1``: with ``config.check`` ``"debug"`` they are
    checked where they are computed, negative ones too.
    """
    if config.check != "debug":
        return indices
    if indices.dtype == INT64:
        indices = clip(indices, -(1 << 31), (1 << 31) - 1)
    # Without a sign -1 is not the last entry.
    return take(Tensor(np.arange(length, dtype=indices.dtype)), astype(indices, UINT32))


# ---- x[...]


def getitem(x: Any, index: Any) -> Tensor:
    """``x[index]`` by NumPy's rules: integers, slices, ``...``, ``None``, integer arrays, a
    concrete boolean mask.

    Integer arrays must stand side by side; a mask must be concrete, since it decides the shape.
    """
    x = as_tensor(x)
    items = list(index) if isinstance(index, tuple) else [index]
    items = _expand_masks(items)
    items = _expand_ellipsis(items, x.ndim)
    x, kinds = _basic(x, items)
    return _advanced(x, kinds)


def _expand_masks(items: list[Any]) -> list[Any]:
    result: list[Any] = []
    for item in items:
        if isinstance(item, list):
            item = as_tensor(item)
        if isinstance(item, bool) or (isinstance(item, np.ndarray | Tensor) and item.dtype == BOOL):
            mask = np.asarray(as_tensor(item).concrete("indexing with a boolean mask"))
            result.extend(np.nonzero(mask))
        else:
            result.append(item)
    return result


def _expand_ellipsis(items: list[Any], rank: int) -> list[Any]:
    used = sum(item is not None and item is not Ellipsis for item in items)
    if used > rank:
        raise ShapeError("index", "too many indices", got=used, expected=f"at most {rank}")
    fill = [slice(None)] * (rank - used)
    places = [i for i, item in enumerate(items) if item is Ellipsis]
    if len(places) > 1:
        raise ArgumentError("index", "more than one ...", got=len(places), expected="one")
    at = places[0] if places else len(items)
    return items[:at] + fill + items[at + 1 :]


def _basic(x: Tensor, items: list[Any]) -> tuple[Tensor, list[Tensor | None]]:
    """Slices, integers and new axes; returns for each axis left the integer array that indexes it,
    if one does.
    """
    start, stop, step, reverse = [], [], [], []
    shape: list[int] = []
    kinds: list[Tensor | None] = []
    axis = 0
    for item in items:
        if item is None:
            shape.append(1)
            kinds.append(None)
            continue
        length = x.shape[axis]
        first, last, stride = 0, length, 1
        if isinstance(item, slice):
            first, last, stride, reverse_it = _forward_slice(item, length)
            reverse += [axis] if reverse_it else []
            shape.append(len(range(first, last, stride)))
            kinds.append(None)
        elif (scalar := _scalar_index(item)) is None:
            shape.append(length)
            kinds.append(_as_indices(item))
        elif -length <= scalar < length:
            first, last = scalar % length, scalar % length + 1
        else:
            raise ArgumentError(
                "index", "out of range", got=scalar, expected=f"{-length} to {length - 1}"
            )
        start.append(first)
        stop.append(last)
        step.append(stride)
        axis += 1
    if start != [0] * x.ndim or stop != list(x.shape) or step != [1] * x.ndim:
        x = ops.slice_(x, start, stop, step)
    if reverse:
        x = ops.flip(x, reverse)
    return ops.reshape(x, shape), kinds


def _forward_slice(item: slice, length: int) -> tuple[int, int, int, bool]:
    """A slice as bounds with a positive step, and whether the result must be reversed."""
    first, last, stride = item.indices(length)
    count = len(range(first, last, stride))
    if not count:
        return 0, 0, 1, False
    if stride < 0:
        return first + (count - 1) * stride, first + 1, -stride, True
    return first, last, stride, False


def _scalar_index(item: Any) -> int | None:
    if isinstance(item, slice | Tensor | np.ndarray):
        if isinstance(item, np.ndarray) and item.ndim == 0 and item.dtype.kind in "iu":
            return int(item)
        return None
    try:
        return operator.index(item)
    except TypeError as error:
        raise DTypeError(
            "index",
            "not an index",
            got=type(item).__name__,
            expected="integers, slices, None, ... or arrays",
        ) from error


def _advanced(x: Tensor, kinds: list[Tensor | None]) -> Tensor:
    axes = [axis for axis, kind in enumerate(kinds) if kind is not None]
    if not axes:
        return x
    first, last = axes[0], axes[-1]
    if last - first + 1 != len(axes):
        raise ArgumentError(
            "index",
            "integer arrays with other indices between them",
            got=f"axes {axes}",
            expected="neighbouring axes",
            fix="transpose first, or index twice",
        )
    if len(axes) == 1:
        return take(x, kinds[first], first)
    flat: Any = 0
    inside: Any = True
    for axis, kind in enumerate(kinds):
        if kind is not None:
            places, also = _from_the_start(kind, x.shape[axis])
            flat, inside = add(multiply(flat, x.shape[axis]), places), logical_and(inside, also)
    count = math.prod(x.shape[first : last + 1])
    merged = reshape(x, (*x.shape[:first], count, *x.shape[last + 1 :]))
    return take(merged, where(inside, flat, count), first)
