"""Networks for pictures in PyTorch, as in ``chainrule.networks``: the same layers and sizes.

Pictures come channels first, as PyTorch's modules take them. Strided convolutions pad on both sides
alike, which is PyTorch's own way and costs it no copy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from benchmarks import data


def arranged(module_or_pictures: Any) -> Any:
    """A module or pictures, laid out in memory with the channels last."""
    return module_or_pictures.to(memory_format=torch.channels_last)


def cnn(dropout: float = 0.0) -> nn.Sequential:
    """Two 3x3 convolutions with pooling and two dense layers, for grey pictures of 28x28."""
    side = data.MNIST_SHAPE[0] // 4
    layers: list[nn.Module] = [
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * side * side, 128),
        nn.ReLU(),
    ]
    layers += [nn.Dropout(dropout)] if dropout else []
    return nn.Sequential(*layers, nn.Linear(128, data.CLASSES))


class Recurrent(nn.Module):
    """A recurrent layer whose last output is classified."""

    def __init__(self, layer: Callable[..., nn.Module]) -> None:
        super().__init__()
        width = data.SEQUENCE_SHAPE[1]
        self.recurrent = layer(width, data.SEQUENCE_UNITS, batch_first=True)
        self.outputs = nn.Linear(data.SEQUENCE_UNITS, data.CLASSES)

    def forward(self, x: Any) -> Any:
        """Scores of classes."""
        return self.outputs(self.recurrent(x)[0][:, -1])


class Transformer(nn.Module):
    """A block, normalised before its parts, whose mean output is classified."""

    def __init__(self) -> None:
        super().__init__()
        width = data.TOKENS_SHAPE[1]
        self.block = nn.TransformerEncoderLayer(
            width, data.HEADS, data.FEED_FORWARD, dropout=0.0, activation="gelu",
            batch_first=True, norm_first=True,
        )  # fmt: skip
        self.outputs = nn.Linear(width, data.CLASSES)

    def forward(self, x: Any) -> Any:
        """Scores of classes."""
        return self.outputs(self.block(x).mean(1))


def convolution(
    inputs: int, outputs: int, window: int, strides: int = 1, groups: int = 1
) -> list[nn.Module]:
    """A convolution without bias that keeps the size or halves it, normalised."""
    layer = nn.Conv2d(
        inputs, outputs, window, strides, padding=window // 2, groups=groups, bias=False
    )
    return [layer, nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01)]


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, strides: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            *convolution(inputs, outputs, 3, strides),
            nn.ReLU(inplace=True),
            *convolution(outputs, outputs, 3),
        )
        same = inputs == outputs
        self.shortcut = nn.Sequential(*([] if same else convolution(inputs, outputs, 1, strides)))

    def forward(self, x: Any) -> Any:
        """Their sum, cut at zero."""
        return torch.relu(self.main(x) + self.shortcut(x))


def _ending(width: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, data.CLASSES)]


def resnet20() -> nn.Sequential:
    """Nine residual blocks of 16, 32 and 64 channels, projections where the width changes."""
    width = 16
    layers = [*convolution(data.PICTURE_SHAPE[-1], width, 3), nn.ReLU(inplace=True)]
    for filters in (16, 32, 64):
        for block in range(3):
            layers.append(ResidualBlock(width, filters, 2 if filters > 16 and block == 0 else 1))
            width = filters
    return nn.Sequential(*layers, *_ending(width))


def mobilenet_tiny() -> nn.Sequential:
    """Five blocks of a depthwise and a pointwise convolution."""
    width = 16
    layers = [*convolution(data.PICTURE_SHAPE[-1], width, 3), nn.ReLU(inplace=True)]
    for filters, strides in data.MOBILENET_BLOCKS:
        layers += [*convolution(width, width, 3, strides, groups=width), nn.ReLU(inplace=True)]
        layers += [*convolution(width, filters, 1), nn.ReLU(inplace=True)]
        width = filters
    return nn.Sequential(*layers, *_ending(width))
