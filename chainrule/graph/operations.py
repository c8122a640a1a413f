"""One function a primitive, over any operands: what derivative rules and passes are written with.

Nothing is promoted or checked here beyond the primitive's own rule; users call
``chainrule.tensor.functions``. A Python number may stand for either input of a binary operation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.graph.graph import Graph
from chainrule.graph.operand import Operand, Scalar
from chainrule.graph.primitives import PRIMITIVES
from chainrule.graph.scan import shared_body

# Operands are of any one kind here: a rule that is given values returns values, one that is given
# tensors returns tensors.
AnyOperand = Any


def _unary(name: str) -> Any:
    primitive = PRIMITIVES[name]

    def operation(x: AnyOperand) -> AnyOperand:
        return x.bind(primitive, (x,), {})

    operation.__name__ = name
    return operation


def _binary(name: str) -> Any:
    primitive = PRIMITIVES[name]

    def operation(x: AnyOperand, y: AnyOperand) -> AnyOperand:
        if not isinstance(x, Operand):
            x = y.constant_like(x)
        elif not isinstance(y, Operand):
            y = x.constant_like(y)
        return x.bind(primitive, (x, y), {})

    operation.__name__ = name
    return operation


exp, log, log1p, expm1 = map(_unary, ("exp", "log", "log1p", "expm1"))
sqrt, rsqrt, tanh, sigmoid, erf = map(_unary, ("sqrt", "rsqrt", "tanh", "sigmoid", "erf"))
sin, cos = map(_unary, ("sin", "cos"))
negative, abs, sign = map(_unary, ("negative", "abs", "sign"))
floor, ceil, round = map(_unary, ("floor", "ceil", "round"))
is_finite, logical_not, stop_gradient = map(_unary, ("is_finite", "logical_not", "stop_gradient"))

add, subtract, multiply, divide = map(_binary, ("add", "subtract", "multiply", "divide"))
power, maximum, minimum = map(_binary, ("power", "maximum", "minimum"))
remainder, floor_divide = map(_binary, ("remainder", "floor_divide"))
equal, not_equal, less, less_equal = map(_binary, ("equal", "not_equal", "less", "less_equal"))
bitwise_and, bitwise_or, bitwise_xor = map(_binary, ("bitwise_and", "bitwise_or", "bitwise_xor"))
shift_left, shift_right = map(_binary, ("shift_left", "shift_right"))

_P = PRIMITIVES


def select(condition: AnyOperand, x: AnyOperand, y: AnyOperand) -> AnyOperand:
    """``x`` where the condition holds, else ``y``."""
    if not isinstance(x, Operand):
        x = y.constant_like(x)
    elif not isinstance(y, Operand):
        y = x.constant_like(y)
    return condition.bind(_P["select"], (condition, x, y), {})


def convert(x: AnyOperand, dtype: np.dtype[Any]) -> AnyOperand:
    """``x`` in another dtype; itself where it has that dtype."""
    return x if x.dtype == dtype else x.bind(_P["convert"], (x,), {"dtype": dtype})


def random_bits(key: AnyOperand, counters: AnyOperand, shape: Sequence[int]) -> AnyOperand:
    """Threefry-2x32 of 20 rounds, uint32: the two random numbers of the counters (a + i, b + i)
    stand at the places i and i + half of the result, which leaves one out where its size is odd.
    """
    return key.bind(_P["random_bits"], (key, counters), {"shape": tuple(shape)})


def reshape(x: AnyOperand, shape: Sequence[int]) -> AnyOperand:
    """``x`` with its elements in another shape; itself where it has that shape."""
    shape = tuple(shape)
    return x if x.shape == shape else x.bind(_P["reshape"], (x,), {"shape": shape})


def transpose(x: AnyOperand, axes: Sequence[int]) -> AnyOperand:
    """``x`` with its axes in another order."""
    axes = tuple(axes)
    return x if axes == tuple(range(x.ndim)) else x.bind(_P["transpose"], (x,), {"axes": axes})


def swap_last_axes(x: AnyOperand) -> AnyOperand:
    """The transpose of every matrix in a batch."""
    rank = x.ndim
    return transpose(x, (*range(rank - 2), rank - 1, rank - 2))


def broadcast_to(x: AnyOperand, shape: Sequence[int]) -> AnyOperand:
    """``x`` repeated along axes of length 1 and new leading axes."""
    shape = tuple(shape)
    return x if x.shape == shape else x.bind(_P["broadcast_to"], (x,), {"shape": shape})


def slice_(
    x: AnyOperand, start: Sequence[int], stop: Sequence[int], step: Sequence[int]
) -> AnyOperand:
    """``x[start:stop:step]`` on every axis, bounds inside the shape."""
    attributes = {"start": tuple(start), "stop": tuple(stop), "step": tuple(step)}
    return x.bind(_P["slice"], (x,), attributes)


def pad(
    x: AnyOperand,
    low: Sequence[int],
    high: Sequence[int],
    interior: Sequence[int],
    value: Scalar = 0,
) -> AnyOperand:
    """``value`` before, after and between the elements, per axis."""
    attributes = {"low": tuple(low), "high": tuple(high), "interior": tuple(interior)}
    return x.bind(_P["pad"], (x,), {**attributes, "value": value})


def concatenate(inputs: Sequence[AnyOperand], axis: int) -> AnyOperand:
    """The inputs joined along an axis."""
    inputs = tuple(inputs)
    return inputs[0].bind(_P["concatenate"], inputs, {"axis": axis})


def flip(x: AnyOperand, axes: Sequence[int]) -> AnyOperand:
    """``x`` in reverse order along these axes."""
    return x.bind(_P["flip"], (x,), {"axes": tuple(axes)})


def _reduction(name: str) -> Any:
    primitive = PRIMITIVES[name]

    def operation(x: AnyOperand, axes: Sequence[int]) -> AnyOperand:
        axes = tuple(axes)
        return x.bind(primitive, (x,), {"axes": axes}) if axes else x

    operation.__name__ = name
    return operation


reduce_sum, reduce_product = map(_reduction, ("reduce_sum", "reduce_product"))
reduce_max, reduce_min = map(_reduction, ("reduce_max", "reduce_min"))


def argmax(x: AnyOperand, axis: int) -> AnyOperand:
    """The index of the (first) largest element along an axis, int64."""
    return x.bind(_P["argmax"], (x,), {"axis": axis})


def argmin(x: AnyOperand, axis: int) -> AnyOperand:
    """The index of the (first) smallest element along an axis, int64."""
    return x.bind(_P["argmin"], (x,), {"axis": axis})


def argsort(x: AnyOperand, axis: int) -> AnyOperand:
    """The stable order that sorts ``x`` along an axis, int64."""
    return x.bind(_P["argsort"], (x,), {"axis": axis})


def cumulative_sum(x: AnyOperand, axis: int, reverse: bool = False) -> AnyOperand:
    """Running sums along an axis, from its end when ``reverse``."""
    return x.bind(_P["cumulative_sum"], (x,), {"axis": axis, "reverse": reverse})


def matmul(x: AnyOperand, y: AnyOperand) -> AnyOperand:
    """Matrix products of the last two axes."""
    return x.bind(_P["matmul"], (x, y), {})


def take(x: AnyOperand, indices: AnyOperand, axis: int) -> AnyOperand:
    """The slices of ``x`` at these indices of an axis."""
    return x.bind(_P["take"], (x, indices), {"axis": axis})


def scatter_add(x: AnyOperand, indices: AnyOperand, updates: AnyOperand, axis: int) -> AnyOperand:
    """``x`` with ``updates`` added at these indices of an axis; equal indices add up."""
    return x.bind(_P["scatter_add"], (x, indices, updates), {"axis": axis})


# What moves a window: per spatial axis a stride, a (low, high) padding and a dilation.
Sizes = Sequence[int]
Pairs = Sequence[tuple[int, int]]


def _moves(strides: Sizes, padding: Pairs, dilation: Sizes) -> dict[str, Any]:
    pairs = tuple((low, high) for low, high in padding)
    return {"strides": tuple(strides), "padding": pairs, "dilation": tuple(dilation)}


def convolution(
    x: AnyOperand,
    kernel: AnyOperand,
    strides: Sizes,
    padding: Pairs,
    dilation: Sizes,
    groups: int = 1,
) -> AnyOperand:
    """The sums of ``x`` (N, *S, C) times the kernel (*K, C // groups, F) at every place of the
    window: (N, *O, F).
    """
    attributes = {**_moves(strides, padding, dilation), "groups": groups}
    return x.bind(_P["convolution"], (x, kernel), attributes)


def convolution_input_gradient(
    dy: AnyOperand,
    kernel: AnyOperand,
    spatial: Sizes,
    strides: Sizes,
    padding: Pairs,
    dilation: Sizes,
    groups: int = 1,
) -> AnyOperand:
    """The gradient of a convolution's input, from that of its output; ``spatial`` is S."""
    attributes = {**_moves(strides, padding, dilation), "groups": groups, "spatial": tuple(spatial)}
    return dy.bind(_P["convolution_input_gradient"], (dy, kernel), attributes)


def convolution_kernel_gradient(
    x: AnyOperand,
    dy: AnyOperand,
    window: Sizes,
    strides: Sizes,
    padding: Pairs,
    dilation: Sizes,
    groups: int = 1,
) -> AnyOperand:
    """The gradient of a convolution's kernel, from that of its output; ``window`` is K."""
    attributes = {**_moves(strides, padding, dilation), "groups": groups, "window": tuple(window)}
    return x.bind(_P["convolution_kernel_gradient"], (x, dy), attributes)


def _pool(name: str, text: str) -> Any:
    primitive = PRIMITIVES[name]

    def operation(
        *inputs: AnyOperand, window: Sizes, strides: Sizes, padding: Pairs, dilation: Sizes
    ) -> AnyOperand:
        attributes = {**_moves(strides, padding, dilation), "window": tuple(window)}
        return inputs[0].bind(primitive, inputs, attributes)

    operation.__name__ = name
    operation.__doc__ = text
    return operation


window_sum = _pool("window_sum", "The sums over each window; padding counts as 0.")
window_max = _pool("window_max", "The largest element of each window; padding counts as -inf.")
window_gather = _pool(
    "window_gather", "The second input at the place where the first has each window's maximum."
)
window_scatter = _pool(
    "window_scatter", "The second input added up at the places where the first has its maxima."
)


def scan(
    inputs: Sequence[AnyOperand],
    body: Graph,
    carried: int,
    scanned: int,
    length: int,
    reverse: bool,
) -> tuple[AnyOperand, ...]:
    """The loop over ``body`` (see ``graph/scan.py``): last carried values, then stacked outputs."""
    attributes = {
        "body": shared_body(body),
        "carried": carried,
        "scanned": scanned,
        "length": length,
        "reverse": reverse,
    }
    result = inputs[0].bind(_P["scan"], tuple(inputs), attributes)
    return result if isinstance(result, tuple) else (result,)


def zeros_like(like: AnyOperand, shape: Sequence[int] | None = None) -> AnyOperand:
    """Zeros beside an operand, in its dtype, and in its shape unless another is given."""
    return broadcast_to(like.constant_like(0), like.shape if shape is None else shape)


def keep_axes(x: AnyOperand, axes: Sequence[int], shape: Sequence[int]) -> AnyOperand:
    """A reduced ``x`` with the reduced axes of ``shape`` put back at length 1."""
    return reshape(x, tuple(1 if a in axes else n for a, n in enumerate(shape)))


def sum_to_shape(x: AnyOperand, shape: Sequence[int]) -> AnyOperand:
    """Broadcasting's adjoint: ``x`` summed over every axis along which ``shape`` was repeated."""
    shape = tuple(shape)
    if x.shape == shape:
        return x
    extra = x.ndim - len(shape)
    axes = [a for a, n in enumerate(x.shape) if a < extra or (shape[a - extra] == 1 and n != 1)]
    return reshape(reduce_sum(x, axes), shape)
