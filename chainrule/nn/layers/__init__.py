"""The layers, and the lookup of a layer class by name."""

from chainrule.nn import registry
from chainrule.nn.layer import Layer
from chainrule.nn.layers.activation import Activation
from chainrule.nn.layers.attention import MultiHeadAttention
from chainrule.nn.layers.audio import MFCC, LogMel
from chainrule.nn.layers.audio_augmentation import (
    RandomNoise,
    RandomTimeShift,
    RandomWarp,
    SpecAugment,
)
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
from chainrule.nn.layers.bag import EmbeddingBag, TokenDropout
from chainrule.nn.layers.cells import Cell, GRUCell, LSTMCell, SimpleRNNCell
from chainrule.nn.layers.convolution import (
    Conv1D,
    Conv1d,
    Conv2D,
    Conv2d,
    Conv2DTranspose,
    Conv3D,
    Conv3d,
)
from chainrule.nn.layers.dense import Dense, Linear
from chainrule.nn.layers.depthwise import DepthwiseConv2D, SeparableConv2D
from chainrule.nn.layers.embedding import Embedding
from chainrule.nn.layers.image import Cropping2D, UpSampling2D, ZeroPadding2D
from chainrule.nn.layers.imputation import Imputation
from chainrule.nn.layers.merging import Add, Concatenate
from chainrule.nn.layers.noise import Dropout, GaussianNoise, SpatialDropout2D
from chainrule.nn.layers.normalization import (
    BatchNormalization,
    GroupNormalization,
    LayerNormalization,
    Normalization,
    Rescaling,
)
from chainrule.nn.layers.pooling import (
    AveragePooling1D,
    AveragePooling2D,
    AveragePooling3D,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalAveragePooling3D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    GlobalMaxPooling3D,
    MaxPooling1D,
    MaxPooling2D,
    MaxPooling3D,
)
from chainrule.nn.layers.positions import PositionalEmbedding, PositionalEncoding
from chainrule.nn.layers.recurrent import GRU, LSTM, RNN, SimpleRNN
from chainrule.nn.layers.residual import ResidualBlock
from chainrule.nn.layers.shaping import Flatten, Input, InputLayer, Reshape
from chainrule.nn.layers.time import Masking, TimeDistributed
from chainrule.nn.layers.transformer import TransformerBlock
from chainrule.nn.naming import look_up

__all__ = [
    "Activation",
    "Add",
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    "BatchNormalization",
    "Cell",
    "Concatenate",
    "Conv1D",
    "Conv1d",
    "Conv2D",
    "Conv2DTranspose",
    "Conv2d",
    "Conv3D",
    "Conv3d",
    "Cropping2D",
    "Cutout",
    "Dense",
    "DepthwiseConv2D",
    "Dropout",
    "Embedding",
    "EmbeddingBag",
    "Flatten",
    "GRU",
    "GRUCell",
    "GaussianNoise",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAveragePooling3D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
    "GroupNormalization",
    "Imputation",
    "Input",
    "InputLayer",
    "LSTM",
    "LSTMCell",
    "Layer",
    "LayerNormalization",
    "Linear",
    "LogMel",
    "MFCC",
    "Masking",
    "MaxPooling1D",
    "MaxPooling2D",
    "MaxPooling3D",
    "MultiHeadAttention",
    "Normalization",
    "PositionalEmbedding",
    "PositionalEncoding",
    "RNN",
    "RandomBrightness",
    "RandomContrast",
    "RandomCrop",
    "RandomFlip",
    "RandomNoise",
    "RandomRotation",
    "RandomShift",
    "RandomTimeShift",
    "RandomWarp",
    "RandomZoom",
    "Rescaling",
    "Reshape",
    "ResidualBlock",
    "SeparableConv2D",
    "SimpleRNN",
    "SimpleRNNCell",
    "SpatialDropout2D",
    "SpecAugment",
    "TokenDropout",
    "TimeDistributed",
    "TransformerBlock",
    "UpSampling2D",
    "ZeroPadding2D",
    "get",
]


_ALIASES = {
    **{f"MaxPool{rank}D": f"MaxPooling{rank}D" for rank in (1, 2, 3)},
    **{f"AvgPool{rank}D": f"AveragePooling{rank}D" for rank in (1, 2, 3)},
    **{f"GlobalMaxPool{rank}D": f"GlobalMaxPooling{rank}D" for rank in (1, 2, 3)},
    **{f"GlobalAvgPool{rank}D": f"GlobalAveragePooling{rank}D" for rank in (1, 2, 3)},
    "Upsample": "UpSampling2D",
    "ZeroPad2D": "ZeroPadding2D",
    "Dropout2D": "SpatialDropout2D",
    "GroupNorm": "GroupNormalization",
    "ConvTranspose2D": "Conv2DTranspose",
}


def get(name: str) -> type[Layer]:
    """The layer class of this name, in any usual spelling: "max_pool2d" is ``MaxPooling2D``.

    Raises:
        UnknownNameError: no layer has this name.

    Example:
        >>> import chainrule as cr
        >>> cr.layers.get("batch_normalization").__name__
        'BatchNormalization'
    """
    return look_up("layer", "layer", name, registry.LAYERS, _ALIASES)
