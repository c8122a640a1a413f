"""Damaged configs: whatever stands in one, making parts from it gives a part or a clear error."""

import copy
import random
from typing import Any

import chainrule as cr
from chainrule.errors import ChainruleError
from chainrule.nn.configurable import from_config, to_config

ROUNDS = 3000
JUNK: list[Any] = [
    None, True, -1, 0, 3, 1.5, float("nan"), float("inf"), 2**70, "", "relu", "x" * 500, "a/b", [],
    [1, 2], [[None]], {}, {"kind": "layer"}, {"name": "elu", "alpha": []}, {"name": 3},
    {"kind": "layer", "class": "Dense", "config": {"units": 2}},
    {"kind": "initializer", "class": "Zeros", "config": {}},
    {"kind": "function", "class": "print", "config": {}},
]  # fmt: skip
PARTS = [
    cr.layers.Dense(
        3, {"name": "elu", "alpha": 0.5}, kernel_initializer=cr.initializers.Constant([1.0, 2.0]),
        kernel_regularizer="l1_l2", kernel_constraint=cr.constraints.MaxNorm(axis=(0, 1)), name="a",
    ),
    cr.layers.Activation("softmax"),
    cr.layers.Dropout(0.5, seed=3),
    cr.layers.GaussianNoise(0.1),
    cr.layers.BatchNormalization(beta_regularizer="l2"),
    cr.layers.LayerNormalization(axis=[1, 2]),
    cr.layers.Reshape((2, -1)),
    cr.layers.Embedding(4, 2, embeddings_initializer="orthogonal"),
    cr.layers.Concatenate(),
    cr.layers.Input((3,)),
    cr.layers.Conv2D(4, (3, 2), 2, ((1, 0), (0, 1)), groups=2, activation="relu", l2=0.1),
    cr.layers.Conv1D(4, 3, padding="causal", dilation_rate=2),
    cr.layers.Conv2DTranspose(4, 3, 2, "same", output_padding=1),
    cr.layers.DepthwiseConv2D(3, depth_multiplier=2, depthwise_initializer="he_normal"),
    cr.layers.SeparableConv2D(4, 3, padding=1, pointwise_regularizer="l2"),
    cr.layers.MaxPooling2D(3, 2, "same"),
    cr.layers.AveragePooling3D((1, 2, 2), padding=((0, 1), (1, 0), (0, 0))),
    cr.layers.GlobalAveragePooling2D(keepdims=True),
    cr.layers.ZeroPadding2D(((1, 0), (2, 1))),
    cr.layers.Cropping2D(1),
    cr.layers.UpSampling2D((2, 3), "bilinear"),
    cr.layers.SpatialDropout2D(0.3, seed=4),
    cr.layers.GroupNormalization(-1, axis=1),
    cr.layers.Normalization([0.5, 2.0], [1.0, 0.25]),
    cr.layers.Imputation(-999, [0.5, 2.0]),
    cr.layers.Rescaling([2.0, 0.5], -1.0),
    cr.layers.ResidualBlock(4, 2, shortcut="zeros"),
]  # fmt: skip


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) inside a config."""
    found: list[tuple[Any, Any]] = []
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            found += [(value, key), *places(value[key])]
    return found


def damaged(config: Any, chance: random.Random) -> Any:
    config = copy.deepcopy(config)
    container, key = chance.choice(places(config))
    action = chance.randrange(3)
    if action == 0 or isinstance(container, list):
        container[key] = copy.deepcopy(chance.choice(JUNK))
    elif action == 1:
        del container[key]
    else:
        container[f"{key}x"] = container.pop(key)
    return config


def answer(config: Any) -> str:
    """The message with which a config is refused; empty when a part came out."""
    try:
        from_config(config)
    except ChainruleError as error:
        return str(error)
    return ""


def test_damaged_configs() -> None:
    chance = random.Random(8)
    configs = [to_config(part, "part") for part in PARTS]
    answers = [answer(damaged(chance.choice(configs), chance)) for _ in range(ROUNDS)]
    refused = [text for text in answers if text]
    assert len(refused) > ROUNDS / 4
    assert all(text.startswith("[") and len(text) < 1000 for text in refused)
