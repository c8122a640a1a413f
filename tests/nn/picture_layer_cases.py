"""The layers over sequences, pictures and volumes, and the inputs they are checked on."""

from collections.abc import Callable
from typing import Any

import numpy as np

import chainrule as cr

L = cr.layers
Case = tuple[Callable[[], cr.Layer], Any, dict[str, Any]]


def distinct(*shape: int) -> dict[str, Any]:
    """Inputs far enough apart that no finite difference changes which one is the largest."""
    values = (np.arange(np.prod(shape)) - 20) * 0.1
    return {"inputs": np.random.default_rng(3).permutation(values).reshape(shape)}


def sizes(rank: int) -> tuple[int, ...]:
    return (2, *(5, 4, 3)[:rank], 4)


# class -> several (layer, input shape, further arguments of run_layer_checks)
CASES: dict[str, list[Case]] = {
    "Conv1D": [
        (lambda: L.Conv1D(3, 3), (2, 6, 2), {}),
        (lambda: L.Conv1D(2, 2, padding="causal", dilation_rate=2), (2, 6, 2), {}),
        (lambda: L.Conv1D(4, 3, 2, "same", groups=2, activation="tanh"), (2, 7, 4), {}),
    ],
    "Conv2D": [
        (lambda: L.Conv2D(3, 3, activation="tanh"), (2, 5, 4, 2), {}),
        (lambda: L.Conv2D(2, (3, 2), (2, 1), "same", use_bias=False, l2=0.1), (2, 5, 4, 3), {}),
        (
            lambda: L.Conv2D(
                4, 2, padding=((1, 0), (0, 2)), groups=2, dilation_rate=(2, 1),
                kernel_initializer="he_normal", bias_initializer=cr.initializers.Constant(0.1),
                activity_regularizer="l2", kernel_constraint="max_norm", name="seen",
            ),
            (2, 4, 3, 2), {},
        ),
        (lambda: L.Conv2D(2, 1, 2), (1, 4, 4, 1), {}),
    ],
    "Conv3D": [
        (lambda: L.Conv3D(2, 2, padding="same"), (1, 3, 2, 3, 2), {}),
        (lambda: L.Conv3D(2, (1, 2, 2), (1, 2, 1), groups=2), (2, 2, 3, 3, 2), {}),
    ],
    "Conv2DTranspose": [
        (lambda: L.Conv2DTranspose(3, 3, 2, "same", activation="tanh"), (2, 3, 2, 2), {}),
        (lambda: L.Conv2DTranspose(2, (3, 2), (2, 1), output_padding=(1, 0)), (2, 3, 2, 2), {}),
        (
            lambda: L.Conv2DTranspose(2, 2, padding=1, dilation_rate=2, use_bias=False, l2=0.1),
            (2, 3, 4, 1), {},
        ),
    ],
    "DepthwiseConv2D": [
        (lambda: L.DepthwiseConv2D(3, padding="same"), (2, 4, 3, 3), {}),
        (
            lambda: L.DepthwiseConv2D(
                (2, 3), 2, depth_multiplier=2, activation="tanh", depthwise_regularizer="l2",
                depthwise_initializer="he_normal", use_bias=False,
            ),
            (2, 5, 4, 2), {},
        ),
    ],
    "SeparableConv2D": [
        (lambda: L.SeparableConv2D(3, 3, padding="same"), (2, 4, 3, 2), {}),
        (
            lambda: L.SeparableConv2D(
                2, 2, 2, depth_multiplier=2, activation="tanh", pointwise_regularizer="l2",
                depthwise_constraint="max_norm", use_bias=False,
            ),
            (2, 5, 4, 2), {},
        ),
    ],
    **{
        f"MaxPooling{rank}D": [
            (lambda cls=cls: cls(), sizes(rank), distinct(*sizes(rank))),
            (lambda cls=cls: cls(3, 1, "same"), sizes(rank), distinct(*sizes(rank))),
            (lambda cls=cls: cls(2, 2, 1), sizes(rank), distinct(*sizes(rank))),
        ]
        for rank, cls in enumerate([L.MaxPooling1D, L.MaxPooling2D, L.MaxPooling3D], 1)
    },
    **{
        f"AveragePooling{rank}D": [
            (lambda cls=cls: cls(), sizes(rank), {}),
            (lambda cls=cls: cls(3, 2, "same"), sizes(rank), {}),
            (lambda cls=cls: cls(2, 1, 1), sizes(rank), {}),
        ]
        for rank, cls in enumerate([L.AveragePooling1D, L.AveragePooling2D, L.AveragePooling3D], 1)
    },
    **{
        cls.__name__: [
            (cls, sizes(rank), distinct(*sizes(rank))),
            (lambda cls=cls: cls(keepdims=True), sizes(rank), distinct(*sizes(rank))),
        ]
        for rank, both in {
            1: (L.GlobalMaxPooling1D, L.GlobalAveragePooling1D),
            2: (L.GlobalMaxPooling2D, L.GlobalAveragePooling2D),
            3: (L.GlobalMaxPooling3D, L.GlobalAveragePooling3D),
        }.items()
        for cls in both
    },
    "ZeroPadding2D": [
        (lambda: L.ZeroPadding2D(), (2, 3, 2, 2), {}),
        (lambda: L.ZeroPadding2D(((1, 0), (0, 2))), (2, 3, 2, 2), {}),
    ],
    "Cropping2D": [
        (lambda: L.Cropping2D(), (2, 3, 2, 2), {}),
        (lambda: L.Cropping2D(((1, 0), (0, 2))), (2, 3, 4, 2), {}),
    ],
    "UpSampling2D": [
        (lambda: L.UpSampling2D(), (2, 3, 2, 2), {}),
        (lambda: L.UpSampling2D((2, 3), "bilinear"), (2, 3, 2, 2), {}),
    ],
    "SpatialDropout2D": [(lambda: L.SpatialDropout2D(0.4), (3, 2, 3, 5), {})],
    "GroupNormalization": [
        (lambda: L.GroupNormalization(2), (3, 4, 4), {}),
        (lambda: L.GroupNormalization(3, axis=1, scale=False), (2, 6, 2, 3), {}),
        (lambda: L.GroupNormalization(-1, center=False), (2, 3, 2, 3), {}),
    ],
    "BatchNormalization": [
        (lambda: L.BatchNormalization(), (3, 2, 3, 4), {}),
        (lambda: L.BatchNormalization(momentum=0.5, scale=False), (2, 3, 2, 2, 3), {}),
    ],
    "ResidualBlock": [
        (lambda: L.ResidualBlock(3), (3, 3, 4, 3), {}),
        (lambda: L.ResidualBlock(3, 2), (3, 4, 3, 2), {}),
        (
            lambda: L.ResidualBlock(3, (2, 1), shortcut="zeros"),
            (3, 3, 4, 2), {},
        ),
    ],
    "Flatten": [(lambda: L.Flatten(), (2, 3, 2, 4), {})],
}  # fmt: skip
