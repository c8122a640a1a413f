"""Networks for pictures in Keras, as in ``chainrule.networks``: the same layers and sizes."""

# mypy: disable-error-code="import-not-found,import-untyped,unused-ignore"
# tensorflow lives in an environment of its own.

from __future__ import annotations

from typing import Any

import tensorflow as tf

from benchmarks import data

layers = tf.keras.layers


def cnn(dropout: float = 0.0) -> Any:
    """Two 3x3 convolutions with pooling and two dense layers, for grey pictures of 28x28."""
    ending = [layers.Dropout(dropout)] if dropout else []
    return tf.keras.Sequential(
        [
            tf.keras.Input(data.MNIST_SHAPE),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            *ending,
            layers.Dense(data.CLASSES),
        ]
    )


def recurrent(layer: str) -> Any:
    """A recurrent layer whose last output is classified."""
    return tf.keras.Sequential(
        [
            tf.keras.Input(data.SEQUENCE_SHAPE),
            getattr(layers, layer)(data.SEQUENCE_UNITS),
            layers.Dense(data.CLASSES),
        ]
    )


def transformer() -> Any:
    """A transformer block, normalised before its parts, whose mean output is classified."""
    width = data.TOKENS_SHAPE[1]
    x = inputs = tf.keras.Input(data.TOKENS_SHAPE)
    normal = layers.LayerNormalization(epsilon=1e-5)(x)
    x = layers.Add()(
        [x, layers.MultiHeadAttention(data.HEADS, width // data.HEADS)(normal, normal)]
    )
    hidden = layers.LayerNormalization(epsilon=1e-5)(x)
    hidden = layers.Dense(width)(layers.Dense(data.FEED_FORWARD, activation="gelu")(hidden))
    mean = layers.GlobalAveragePooling1D()(layers.Add()([x, hidden]))
    return tf.keras.Model(inputs, layers.Dense(data.CLASSES)(mean))


def convolution(x: Any, filters: int, window: int, strides: int = 1) -> Any:
    """A convolution without bias that keeps the size or halves it, normalised."""
    x = layers.Conv2D(filters, window, strides, padding="same", use_bias=False)(x)
    return layers.BatchNormalization()(x)


def residual_block(x: Any, filters: int, strides: int) -> Any:
    """Two convolutions beside a shortcut."""
    main = layers.ReLU()(convolution(x, filters, 3, strides))
    main = convolution(main, filters, 3)
    shortcut = x if x.shape[-1] == filters else convolution(x, filters, 1, strides)
    return layers.ReLU()(layers.Add()([main, shortcut]))


def _ended(inputs: Any, x: Any) -> Any:
    outputs = layers.Dense(data.CLASSES)(layers.GlobalAveragePooling2D()(x))
    return tf.keras.Model(inputs, outputs)


def resnet20() -> Any:
    """Nine residual blocks of 16, 32 and 64 channels, projections where the width changes."""
    inputs = tf.keras.Input(data.PICTURE_SHAPE)
    x = layers.ReLU()(convolution(inputs, 16, 3))
    for filters in (16, 32, 64):
        for block in range(3):
            x = residual_block(x, filters, 2 if filters > 16 and block == 0 else 1)
    return _ended(inputs, x)


def mobilenet_tiny() -> Any:
    """Five blocks of a depthwise and a pointwise convolution."""
    inputs = tf.keras.Input(data.PICTURE_SHAPE)
    x = layers.ReLU()(convolution(inputs, 16, 3))
    for filters, strides in data.MOBILENET_BLOCKS:
        x = layers.DepthwiseConv2D(3, strides, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.ReLU()(convolution(x, filters, 1))
    return _ended(inputs, x)
