"""Sample inputs for every primitive and every public function: what gradient checks and back ends
are run on.

A sample is a function of tensors and its inputs. Inputs stay away from kinks and poles, so that
finite differences hold.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from chainrule.dtypes import FLOAT64
from chainrule.graph import operations as ops
from chainrule.graph.primitives import PRIMITIVES
from chainrule.graph.windows import output_lengths
from chainrule.tensor import functions as f
from chainrule.tensor import tensor
from chainrule.tensor.creation import iota
from chainrule.tensor.scan import scan


class Sample(NamedTuple):
    """A function of tensors and its inputs, float64 where floating."""

    function: Callable[..., Any]
    inputs: tuple[NDArray[Any], ...]


_GENERATOR = np.random.default_rng(20)


def _array(*shape: int, low: float = -2.0, high: float = 2.0) -> NDArray[Any]:
    return _GENERATOR.uniform(low, high, shape)


def _spread(*shape: int) -> NDArray[Any]:
    """Numbers at least 0.1 apart and 0.05 from every multiple of 0.5, in random order."""
    count = int(np.prod(shape))
    values = (np.arange(count) - count // 2) * 0.5 + 0.15
    return _GENERATOR.permutation(values).reshape(shape)


def _positive(*shape: int) -> NDArray[Any]:
    return _array(*shape, low=0.3, high=3.0)


def _of(function: Callable[..., Any], *inputs: Any) -> list[Sample]:
    return [Sample(function, tuple(np.asarray(x) for x in inputs))]


def _integers(*shape: int, high: int = 5) -> NDArray[Any]:
    return _GENERATOR.integers(0, high, shape)


def _words(*words: int) -> NDArray[Any]:
    return np.array(words, np.uint32)


def _bits(*shape: int) -> Callable[..., Any]:
    return lambda key, counters: ops.random_bits(key, counters, shape)


def _elementwise() -> dict[str, list[Sample]]:
    table: dict[str, list[Sample]] = {}
    for name in ["exp", "expm1", "tanh", "sigmoid", "erf", "sin", "cos", "negative"]:
        table[name] = _of(getattr(ops, name), _array(3, 4)) + _of(getattr(ops, name), _array())
    for name in ["log", "log1p", "sqrt", "rsqrt"]:
        table[name] = _of(getattr(ops, name), _positive(3, 4))
    for name in ["abs", "sign", "floor", "ceil", "round", "is_finite", "stop_gradient"]:
        table[name] = _of(getattr(ops, name), _spread(3, 4))
    for name in ["add", "subtract", "multiply", "divide"]:
        operation = getattr(ops, name)
        table[name] = _of(operation, _array(3, 4), _positive(3, 4))
        table[name] += _of(operation, _array(2, 3, 1), _positive(4))
        table[name] += _of(operation, _array(0, 4), _positive(4))
    for name in [
        "maximum",
        "minimum",
        "remainder",
        "floor_divide",
        "equal",
        "not_equal",
        "less",
        "less_equal",
    ]:
        table[name] = _of(getattr(ops, name), _spread(3, 4), _spread(4) + 0.07)
    table["power"] = _of(ops.power, _positive(3, 4), _array(4)) + _of(
        ops.power, _positive(3), _array(3)
    )
    table["logical_not"] = _of(ops.logical_not, _spread(3, 4) > 0)
    for name in ["bitwise_and", "bitwise_or", "bitwise_xor", "shift_left", "shift_right"]:
        table[name] = _of(getattr(ops, name), _integers(3, 4), _integers(4))
    table["select"] = _of(ops.select, _spread(3, 4) > 0, _array(3, 4), _array(4))
    table["convert"] = _of(
        lambda x: x.bind(PRIMITIVES["convert"], (x,), {"dtype": FLOAT64}), _array(3)
    )
    return table


def _structural() -> dict[str, list[Sample]]:
    ids = np.array([[0, 2], [2, 1]])
    padding = ((1, 0), (0, 2), (2, 1))
    return {
        "constant": _of(lambda x: x + x.constant_like(2.5), _array(3)),
        "iota": _of(lambda x: x * iota((3, 4), 1, "float64"), _array(3, 4)),
        "random_bits": _of(_bits(3, 5), _words(7, 2**32 - 1), _words(2**32 - 2, 8))
        + _of(_bits(300), _words(0, 1), _words(0, 150))
        + _of(_bits(0), _words(1, 2), _words(0, 0)),
        "reshape": _of(lambda x: ops.reshape(x, (4, 3)), _array(3, 4)),
        "transpose": _of(lambda x: ops.transpose(x, (2, 0, 1)), _array(2, 3, 4)),
        "broadcast_to": _of(lambda x: ops.broadcast_to(x, (2, 3, 4)), _array(3, 1)),
        "slice": _of(lambda x: ops.slice_(x, (1, 0), (5, 4), (2, 3)), _array(5, 4))
        + _of(lambda x: ops.slice_(x, (2,), (2,), (1,)), _array(3)),
        "pad": _of(lambda x: ops.pad(x, *padding, 0.5), _array(3, 4))
        + _of(lambda x: ops.pad(x, (1,), (1,), (1,)), _array(0)),
        "concatenate": _of(lambda x, y: ops.concatenate((x, y), 1), _array(3, 2), _array(3, 1)),
        "flip": _of(lambda x: ops.flip(x, (0, 2)), _array(2, 3, 4)),
        "reduce_sum": _of(lambda x: ops.reduce_sum(x, (0, 2)), _array(2, 3, 4))
        + _of(lambda x: ops.reduce_sum(x, (0,)), _array(0, 3)),
        "reduce_product": _of(lambda x: ops.reduce_product(x, (0, 2)), _array(2, 3, 4)),
        "reduce_max": _of(lambda x: ops.reduce_max(x, (1,)), _spread(3, 4)),
        "reduce_min": _of(lambda x: ops.reduce_min(x, (0, 1)), _spread(3, 4)),
        "argmax": _of(lambda x: ops.argmax(x, 1), _spread(3, 4)),
        "argmin": _of(lambda x: ops.argmin(x, 0), _spread(3, 4)),
        "argsort": _of(lambda x: ops.argsort(x, 1), _spread(3, 4)),
        "cumulative_sum": _of(lambda x: ops.cumulative_sum(x, 1), _array(3, 4))
        + _of(lambda x: ops.cumulative_sum(x, 0, reverse=True), _array(3, 4)),
        "matmul": _of(ops.matmul, _array(3, 4), _array(4, 2))
        + _of(ops.matmul, _array(2, 1, 3, 4), _array(5, 4, 2))
        + _of(ops.matmul, _array(3, 0), _array(0, 2)),
        "take": _of(lambda x: ops.take(x, tensor(ids), 1), _array(2, 3, 2))
        + _of(lambda x, i: ops.take(x, i, 0), _array(3, 2), np.array([-1, 0])),
        "scatter_add": _of(
            lambda x, u: ops.scatter_add(x, tensor(ids), u, 0), _array(3, 2), _array(2, 2, 2)
        ),
    }


# Per case: spatial lengths, window, strides, padding, dilation; then groups, channels and filters
# of a convolution.
_WINDOWS: list[tuple[Any, ...]] = [
    ((6,), (3,), (1,), ((0, 0),), (1,), 1, 2, 3),
    ((7,), (3,), (2,), ((2, 0),), (2,), 2, 4, 2),
    ((1,), (1,), (1,), ((0, 0),), (1,), 1, 1, 2),
    ((8,), (2,), (3,), ((0, 1),), (1,), 1, 3, 1),
    ((4, 5), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1, 2, 3),
    ((5, 6), (3, 2), (2, 2), ((0, 1), (1, 0)), (1, 1), 1, 1, 2),
    ((4, 4), (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1), 1, 3, 2),
    ((5, 5), (1, 1), (2, 2), ((0, 0), (0, 0)), (1, 1), 1, 2, 2),
    ((5, 4), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 3, 3, 3),
    ((5, 5), (3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1), 2, 2, 4),
    ((6, 7), (2, 3), (1, 2), ((2, 1), (0, 3)), (3, 2), 2, 4, 6),
    ((7, 3), (3, 1), (3, 1), ((0, 0), (0, 0)), (1, 1), 1, 2, 1),
    ((4, 4), (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1), 1, 2, 2),
    ((3, 4, 3), (2, 2, 2), (1, 2, 1), ((0, 0), (1, 1), (0, 1)), (1, 1, 1), 1, 2, 2),
    ((3, 3, 4), (2, 1, 2), (1, 1, 2), ((1, 0), (0, 0), (0, 0)), (2, 1, 1), 2, 2, 2),
]


def _windowed() -> dict[str, list[Sample]]:
    names = "convolution", "convolution_input_gradient", "convolution_kernel_gradient"
    pools = "window_sum", "window_max", "window_gather", "window_scatter"
    table: dict[str, list[Sample]] = {name: [] for name in (*names, *pools)}
    for spatial, window, strides, padding, dilation, groups, channels, filters in _WINDOWS:
        moves = {"strides": strides, "padding": padding, "dilation": dilation}
        x, kernel = _array(2, *spatial, channels), _array(*window, channels // groups, filters)
        lengths = output_lengths("samples", spatial, window, **moves)
        dy = _array(2, *lengths, filters)
        convolve = {**moves, "groups": groups}
        by_input = {**convolve, "spatial": spatial}
        by_kernel = {**convolve, "window": window}
        for name, attributes, inputs in [
            ("convolution", convolve, (x, kernel)),
            ("convolution_input_gradient", by_input, (dy, kernel)),
            ("convolution_kernel_gradient", by_kernel, (x, dy)),
        ]:
            table[name] += _of(partial(getattr(ops, name), **attributes), *inputs)
        distinct = _spread(2, *spatial, channels)
        pool = {**moves, "window": window}
        outgoing = _array(2, *lengths, channels)
        for name, arrays in [
            ("window_sum", (x,)),
            ("window_max", (distinct,)),
            ("window_gather", (distinct, x)),
            ("window_scatter", (distinct, outgoing)),
        ]:
            table[name] += _of(partial(getattr(ops, name), **pool), *arrays)
    return table


def _loops() -> dict[str, list[Sample]]:
    def cell(h: Any, x: Any, w: Any) -> Any:
        return f.tanh(h @ w + x)

    def outputs(h: Any, x: Any, w: Any) -> Any:
        return scan(lambda s, e: (s := cell(s, e, w), s * e), h, x)[1]

    def last(h: Any, x: Any, w: Any) -> Any:
        return scan(lambda s, e: (cell(s, e, w), None), h, x, reverse=True)[0]

    def nested(x: Any, w: Any) -> Any:
        return scan(lambda s, e: (s + outputs(s, e, w).sum(0), s), x[0, 0], x)[1]

    h, w = _array(2, 3), _array(3, 3)
    return {
        "scan": _of(outputs, h, _array(4, 2, 3), w)
        + _of(last, h, _array(1, 2, 3), w)
        + _of(nested, _array(3, 2, 2, 3), w)
        + _of(lambda x: scan(lambda s, _: (s * x, s), x, length=3)[1], _array(2))
    }


def primitive_samples() -> dict[str, list[Sample]]:
    """Samples by primitive name; at least one a primitive."""
    return {**_elementwise(), **_structural(), **_windowed(), **_loops()}


def function_samples() -> dict[str, list[Sample]]:
    """Samples by the name of a public differentiable function that is more than one primitive."""
    x, positive, spread = _array(3, 4), _positive(3, 4), _spread(3, 4)
    rows = np.array([2, 0, 1])
    return {
        "square": _of(f.square, x),
        "reciprocal": _of(f.reciprocal, positive),
        "power": _of(lambda v: f.power(v, 3) + v**2, x),
        "where": _of(lambda v: f.where(spread > 0, v, -2.0 * v), x),
        "clip": _of(lambda v: f.clip(v, -1.1, 1.2), spread),
        "swapaxes": _of(lambda v: f.swapaxes(v, 0, 1), x),
        "moveaxis": _of(lambda v: f.moveaxis(v, 0, -1), _array(2, 3, 4)),
        "squeeze": _of(lambda v: f.squeeze(v, 1), _array(3, 1, 2)),
        "expand_dims": _of(lambda v: f.expand_dims(v, 1), x),
        "stack": _of(lambda a, b: f.stack([a, b], 1), x, _array(3, 4)),
        "split": _of(lambda v: f.split(v, 2, 1), x),
        "tile": _of(lambda v: f.tile(v, (2, 3)), x),
        "take_along_axis": _of(lambda v: f.take_along_axis(v, rows[:, None], 1), x),
        "sort": _of(f.sort, spread),
        "top_k": _of(lambda v: f.top_k(v, 2)[0], spread),
        "getitem": _of(lambda v: v[rows, 1:3] * v[::-1, None, ..., -1:1:-1].sum(1), x)
        + _of(lambda v: v[rows, rows], x) + _of(lambda v: v[spread > 0], x),
        "mean": _of(lambda v: f.mean(v, 1, keepdims=True), x),
        "var": _of(lambda v: f.var(v, 0), x),
        "std": _of(lambda v: f.std(v, 0), x),
        "norm": _of(lambda v: f.norm(v, 1), x),
        "l2_normalize": _of(f.l2_normalize, x),
        "matmul": _of(f.matmul, _array(4), _array(4, 3)) + _of(f.matmul, x, _array(4)),
        "relu": _of(f.relu, spread),
        "softplus": _of(f.softplus, x) + _of(f.softplus, np.zeros(2)),
        "log_sigmoid": _of(f.log_sigmoid, x),
        "logsumexp": _of(lambda v: f.logsumexp(v, 1), x),
        "softmax": _of(f.softmax, x),
        "log_softmax": _of(lambda v: f.log_softmax(v, 0), x),
        "erf_inv": _of(f.erf_inv, _array(3, 4, low=-0.9, high=0.9)),
        **_image_functions(),
    }  # fmt: skip


def _image_functions() -> dict[str, list[Sample]]:
    x, distinct = _array(2, 5, 4, 3), _spread(2, 5, 4, 3)
    same: dict[str, Any] = {"strides": 2, "padding": "same"}
    return {
        "convolution": _of(lambda v, k: f.convolution(v, k, **same), x, _array(3, 2, 3, 2))
        + _of(lambda v, k: f.convolution(v, k, padding="causal"), _array(2, 5, 2), _array(3, 2, 2)),
        "convolution_transpose": _of(
            lambda v, k: f.convolution_transpose(v, k, **same), x, _array(3, 2, 2, 3)
        )
        + _of(lambda v, k: f.convolution_transpose(v, k, 2), x, _array(1, 2, 2, 3)),
        "max_pool": _of(lambda v: f.max_pool(v, 2), distinct)
        + _of(lambda v: f.max_pool(v, 3, 2, "same"), distinct),
        "average_pool": _of(lambda v: f.average_pool(v, 2), x)
        + _of(lambda v: f.average_pool(v, 3, 2, "same"), x)
        + _of(lambda v: f.average_pool(v, 3, 2, "same", count_padding=True), x),
        "resize": _of(lambda v: f.resize(v, (10, 2)), x)
        + _of(lambda v: f.resize(v, (7, 5)), x)
        + _of(lambda v: f.resize(v, (7, 3), "bilinear"), x)
        + _of(lambda v: f.resize(v, (2, 3), "bilinear", antialias=True), x),
    }
