"""Random networks of convolutions and pools with their training steps, for tests of the CPU back
end.
"""

from math import prod
from typing import Any, NamedTuple

from random_graphs import MOST_ELEMENTS, Maker, Net, activated, trained

from chainrule.graph import Value
from chainrule.graph import operations as ops

CHANNELS = (4, 1, 2, 3, 6, 8, 12, 16, 17, 24, 33, 40)
LENGTHS = {1: (20, 5, 9, 33), 2: (8, 5, 7, 11), 3: (4, 3, 5)}


class Moves(NamedTuple):
    """A window and how it moves."""

    window: tuple[int, ...]
    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]

    @property
    def attributes(self) -> dict[str, Any]:
        """What convolutions take besides their kernel."""
        return {"strides": self.strides, "padding": self.padding, "dilation": self.dilation}


def moves(m: Maker, spatial: tuple[int, ...], pool: bool = False) -> Moves:
    """A window that fits; those of pools never hold nothing but padding."""
    window, strides, padding, dilation = [], [], [], []
    for length in spatial:
        gap = m.one_of((1, 1, 1, 2))
        taps = min(m.one_of((3, 1, 2, 4)), (length - 1) // gap + 1)
        most = 0 if length < 3 else (taps - 1) * gap // 2 if pool else (taps - 1) * gap
        low, high = m.one_of((0, most // 2, most)), m.one_of((0, most // 2, most))
        if pool and gap > 1:
            low = high = 0
        window.append(taps)
        strides.append(m.one_of((1, 2, taps, 3)))
        padding.append((low, high))
        dilation.append(gap)
    return Moves(tuple(window), tuple(strides), tuple(padding), tuple(dilation))


def _convolved(m: Maker, x: Value, parameters: list[Value]) -> Value:
    chosen, channels = moves(m, x.shape[1:-1]), x.shape[-1]
    possible = [1, 1, channels, *(g for g in (2, 3, 4) if channels % g == 0)]
    groups = m.one_of(possible)
    filters = groups * max(m.one_of((1, 2, *CHANNELS)) // groups, 1)
    if groups == channels and groups > 1:
        filters = groups * m.one_of((1, 1, 2))
    kernel = m.input(*chosen.window, channels // groups, filters)
    parameters.append(kernel)
    x = ops.convolution(x, kernel, **chosen.attributes, groups=groups)
    return x * (2.0 / prod(kernel.shape[:-1])) ** 0.5


def _transposed(m: Maker, x: Value, parameters: list[Value]) -> Value:
    """The input gradient of a convolution as a layer."""
    spatial = tuple(length + m.one_of((0, 1, 2)) for length in x.shape[1:-1])
    padding = tuple((m.one_of((0, 1)), 0) for _ in spatial)
    window = tuple(
        s + low - n + 1 for s, n, (low, _) in zip(spatial, x.shape[1:-1], padding, strict=True)
    )
    ones = (1,) * len(spatial)
    kernel = m.input(*window, m.one_of(CHANNELS), x.shape[-1])
    parameters.append(kernel)
    y = ops.convolution_input_gradient(
        x, kernel, spatial=spatial, strides=ones, padding=padding, dilation=ones, groups=1
    )
    return y * (2.0 / prod((*window, x.shape[-1]))) ** 0.5


def _pooled(m: Maker, x: Value) -> Value:
    chosen = moves(m, x.shape[1:-1], pool=True)
    window = {"window": chosen.window, **chosen.attributes}
    names = ["window_sum"]
    if m.dtype.itemsize == 8:  # in float32 a maximum may stand elsewhere
        names = ["window_max", "window_max", "window_sum", "window_gather"]
    name = m.one_of(names)
    if name == "window_gather":
        return ops.window_gather(x, x * 0.5, **window)
    y = getattr(ops, name)(x, **window)
    return y * (1.0 / prod(chosen.window)) if name == "window_sum" else y


def _normalized(m: Maker, x: Value, parameters: list[Value]) -> Value:
    """As batch normalization does it."""
    axes = tuple(range(x.ndim - 1))
    count = prod(x.shape[:-1])

    def mean(y: Value) -> Value:
        return ops.keep_axes(ops.reduce_sum(y, axes), axes, x.shape) * (1 / count)

    scale, shift = m.input(x.shape[-1]), m.input(x.shape[-1])
    parameters += [scale, shift]
    centered = x - mean(x)
    return centered * ops.rsqrt(mean(centered * centered) + 0.5) * scale + shift


def _fits(x: Value) -> bool:
    return 0 < prod(x.shape) <= MOST_ELEMENTS


def add_convolutions(m: Maker) -> list[Value]:
    """A network of convolutions with its loss, gradients and update."""
    first = len(m.builder.nodes)
    rank, n = m.one_of((2, 2, 2, 1, 3)), m.one_of((2, 1, 3, 5))
    channels = m.one_of(CHANNELS)
    spatial = tuple(m.one_of(LENGTHS[rank]) for _ in range(rank))
    if n * prod(spatial) * channels > MOST_ELEMENTS:
        channels = 2
    x = m.input(n, *spatial, channels)
    parameters: list[Value] = []
    extra: list[Value] = []
    activations = ["tanh", "sigmoid", "none", "softplus"]
    if m.dtype.itemsize == 8:
        activations += ["relu", "relu"]
    for _ in range(m.one_of((1, 2, 3))):
        made: list[Value] = []
        kind = m.one_of(("convolution", "convolution", "convolution", "transposed"))
        y = _convolved(m, x, made) if kind == "convolution" else _transposed(m, x, made)
        if not _fits(y):
            continue
        parameters += made
        if m.one_of((False, True)):
            y = _normalized(m, y, parameters)
        else:
            parameters.append(m.input(y.shape[-1]))
            y = y + parameters[-1]
        y = activated(y, m.one_of(activations))
        if m.one_of((False, False, True)) and y.shape == x.shape:
            y = y + x
        if m.one_of((False, True)):
            y = _pooled(m, y)
        extra.append(y)
        x = y
    if m.one_of((False, True)):
        features = ops.reduce_sum(x, tuple(range(1, x.ndim - 1))) * (1 / prod(x.shape[1:-1]))
    else:
        features = ops.reshape(x, (n, prod(x.shape[1:])))
    weights = m.input(features.shape[1], m.one_of((10, 2, 3)))
    parameters.append(weights)
    outputs = ops.matmul(features, weights) * (1 / features.shape[1])
    return trained(m, Net(outputs, parameters, extra), first)
