"""Networks for pictures in JAX, as in ``chainrule.networks``: the same layers and sizes.

A network is a function of a `Pass` and the pictures, channels last. The first pass creates the
parameters and the running statistics in the order of use, later ones read them in that order.
"""

# mypy: disable-error-code="import-not-found,import-untyped,unused-ignore"
# jax lives in an environment of its own.

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks import data

_MOMENTUM, _EPSILON = 0.99, 1e-3
_initialize = jax.nn.initializers.he_normal()


class Pass:
    """One pass through a network.

    Args:
        parameters: of the network; None to create them.
        statistics: running means and variances; None to create them.
        key: where random numbers come from.
    """

    def __init__(
        self, key: Any, parameters: list[Any] | None = None, statistics: list[Any] | None = None
    ) -> None:
        self.key = key
        self.parameters: list[Any] = []
        self.statistics: list[Any] = []
        self._given = None if parameters is None else iter(parameters)
        self._before = None if statistics is None else iter(statistics)

    def next_key(self) -> Any:
        """A key that was not used before."""
        self.key, key = jax.random.split(self.key)
        return key

    def parameter(self, make: Callable[[], Any]) -> Any:
        """The next parameter."""
        value = make() if self._given is None else next(self._given)
        self.parameters.append(value)
        return value

    def kernel(self, *shape: int) -> Any:
        """The next matrix or kernel of a convolution."""
        return self.parameter(lambda: _initialize(self.next_key(), shape))

    def zeros(self, width: int) -> Any:
        """The next bias."""
        return self.parameter(lambda: jnp.zeros(width))

    def dense(self, x: Any, width: int) -> Any:
        """A dense layer."""
        return x @ self.kernel(x.shape[-1], width) + self.zeros(width)

    def convolution(
        self, x: Any, filters: int, window: int, strides: int = 1, groups: int = 1
    ) -> Any:
        """A convolution without bias that keeps the size or halves it."""
        return jax.lax.conv_general_dilated(
            x,
            self.kernel(window, window, x.shape[-1] // groups, filters),
            (strides, strides),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=groups,
        )

    def normalization(self, x: Any) -> Any:
        """Batch normalisation as in training."""
        width = x.shape[-1]
        scale, shift = self.parameter(lambda: jnp.ones(width)), self.zeros(width)
        mean = x.mean((0, 1, 2))
        variance = jnp.square(x).mean((0, 1, 2)) - jnp.square(mean)
        for value, start in ((mean, jnp.zeros(width)), (variance, jnp.ones(width))):
            before = start if self._before is None else next(self._before)
            self.statistics.append(_MOMENTUM * before + (1 - _MOMENTUM) * value)
        return (x - mean) * (scale * jax.lax.rsqrt(variance + _EPSILON)) + shift

    def dropout(self, x: Any, rate: float) -> Any:
        """Dropout as in training."""
        kept = jax.random.bernoulli(self.next_key(), 1 - rate, x.shape)
        return jnp.where(kept, x / (1 - rate), 0.0)


Network = Callable[[Pass, Any], Any]


def max_pool(x: Any) -> Any:
    """The maximum of each 2x2 window."""
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def cnn(net: Pass, x: Any, dropout: float = 0.0) -> Any:
    """Two 3x3 convolutions with pooling and two dense layers, for grey pictures of 28x28."""
    for filters in (32, 64):
        x = max_pool(jax.nn.relu(net.convolution(x, filters, 3) + net.zeros(filters)))
    x = jax.nn.relu(net.dense(x.reshape(len(x), -1), 128))
    return net.dense(net.dropout(x, dropout) if dropout else x, data.CLASSES)


def lstm(net: Pass, x: Any) -> Any:
    """An LSTM whose last output is classified."""
    return _recurrent(net, x, 4, _lstm_cell)


def gru(net: Pass, x: Any) -> Any:
    """A GRU, reset after the product, whose last output is classified."""
    return _recurrent(net, x, 3, _gru_cell)


def _recurrent(net: Pass, x: Any, gates: int, cell: Callable[..., Any]) -> Any:
    units = data.SEQUENCE_UNITS
    kernel = net.kernel(x.shape[-1], gates * units)
    recurrent, bias = net.kernel(units, gates * units), net.zeros(gates * units)
    before = jnp.swapaxes(x @ kernel + bias, 0, 1)
    zeros = jnp.zeros((len(x), units))
    (h, _), _ = jax.lax.scan(lambda s, e: (cell(*s, e, recurrent), None), (zeros, zeros), before)
    return net.dense(h, data.CLASSES)


def _lstm_cell(h: Any, c: Any, before: Any, recurrent: Any) -> Any:
    i, f, g, o = jnp.split(before + h @ recurrent, 4, -1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c


def _gru_cell(h: Any, c: Any, before: Any, recurrent: Any) -> Any:
    inputs, states = jnp.split(before, 3, -1), jnp.split(h @ recurrent, 3, -1)
    z, r = (jax.nn.sigmoid(inputs[i] + states[i]) for i in range(2))
    new = jnp.tanh(inputs[2] + r * states[2])
    return z * h + (1 - z) * new, c


def transformer(net: Pass, x: Any) -> Any:
    """A transformer block, normalised before its parts, whose mean output is classified."""
    batch, time, width = x.shape
    kernel, bias = net.kernel(width, 3 * width), net.zeros(3 * width)
    parts = (_layer_norm(net, x) @ kernel + bias).reshape(batch, time, 3, data.HEADS, -1)
    heads = jax.nn.dot_product_attention(*(parts[:, :, i] for i in range(3)))
    x = x + net.dense(heads.reshape(x.shape), width)
    hidden = jax.nn.gelu(net.dense(_layer_norm(net, x), data.FEED_FORWARD), approximate=False)
    return net.dense((x + net.dense(hidden, width)).mean(1), data.CLASSES)


def _layer_norm(net: Pass, x: Any) -> Any:
    width = x.shape[-1]
    scale, shift = net.parameter(lambda: jnp.ones(width)), net.zeros(width)
    centred = x - x.mean(-1, keepdims=True)
    variance = jnp.square(centred).mean(-1, keepdims=True)
    return centred * jax.lax.rsqrt(variance + 1e-5) * scale + shift


def resnet20(net: Pass, x: Any) -> Any:
    """Nine residual blocks of 16, 32 and 64 channels, projections where the width changes."""
    x = jax.nn.relu(net.normalization(net.convolution(x, 16, 3)))
    for filters in (16, 32, 64):
        for block in range(3):
            strides = 2 if filters > 16 and block == 0 else 1
            main = jax.nn.relu(net.normalization(net.convolution(x, filters, 3, strides)))
            main = net.normalization(net.convolution(main, filters, 3))
            if x.shape[-1] != filters:
                x = net.normalization(net.convolution(x, filters, 1, strides))
            x = jax.nn.relu(main + x)
    return net.dense(x.mean((1, 2)), data.CLASSES)


def mobilenet_tiny(net: Pass, x: Any) -> Any:
    """Five blocks of a depthwise and a pointwise convolution."""
    x = jax.nn.relu(net.normalization(net.convolution(x, 16, 3)))
    for filters, strides in data.MOBILENET_BLOCKS:
        width = x.shape[-1]
        x = jax.nn.relu(net.normalization(net.convolution(x, width, 3, strides, width)))
        x = jax.nn.relu(net.normalization(net.convolution(x, filters, 1)))
    return net.dense(x.mean((1, 2)), data.CLASSES)
