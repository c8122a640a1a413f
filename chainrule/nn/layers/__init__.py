"""The layers, and the lookup of a layer class by name."""

from chainrule.nn import registry
from chainrule.nn.layer import Layer
from chainrule.nn.layers.activation import Activation
from chainrule.nn.layers.augmentation import (
    Cutout,
    RandomBrightness,
    RandomContrast,
    RandomCrop,
    RandomFlip,
    RandomRotation,
    RandomShift,
    RandomZoom,
)
from chainrule.nn.layers.dense import Dense, Linear
from chainrule.nn.layers.embedding import Embedding
from chainrule.nn.layers.merging import Add, Concatenate
from chainrule.nn.layers.noise import Dropout, GaussianNoise
from chainrule.nn.layers.normalization import BatchNormalization, LayerNormalization
from chainrule.nn.layers.shaping import Flatten, Input, InputLayer, Reshape
from chainrule.nn.naming import look_up

__all__ = [
    "Activation",
    "Add",
    "BatchNormalization",
    "Concatenate",
    "Cutout",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "GaussianNoise",
    "Input",
    "InputLayer",
    "Layer",
    "LayerNormalization",
    "Linear",
    "RandomBrightness",
    "RandomContrast",
    "RandomCrop",
    "RandomFlip",
    "RandomRotation",
    "RandomShift",
    "RandomZoom",
    "Reshape",
    "get",
]


def get(name: str) -> type[Layer]:
    """The layer class of this name, in any usual spelling.

    Raises:
        UnknownNameError: no layer has this name.

    Example:
        >>> import chainrule as cr
        >>> cr.layers.get("batch_normalization").__name__
        'BatchNormalization'
    """
    return look_up("layer", "layer", name, registry.LAYERS)
