"""The defaults for pictures: network, augmentation, length of the training, by size and count."""

from collections.abc import Callable, Collection
from typing import Any

from chainrule.errors import unknown_name
from chainrule.networks import lenet5, mobilenet_tiny, resnet20, small_cnn
from chainrule.nn.layer import Layer
from chainrule.nn.layers import RandomFlip, RandomRotation, RandomShift, RandomZoom
from chainrule.training.model import Model

Shape = tuple[int, int, int]

NETWORKS: dict[str, Callable[..., Model]] = {
    "lenet5": lenet5,
    "mobilenet_tiny": mobilenet_tiny,
    "resnet20": resnet20,
    "small_cnn": small_cnn,
}

#: Pictures up to this height and width, in pixels on average, get the network with a dense layer.
SMALL_SIDE = 40

#: From so many pictures on, a deep network has enough to learn from.
MANY = 20_000

#: A training should have so many steps, before early stopping ends it.
STEPS = 1_500
FEWEST_EPOCHS, MOST_EPOCHS = 20, 300
SMALLEST_BATCH, LARGEST_BATCH = 8, 64

#: Augmentation holds a network back already: less than a table of as many rows would get.
WEIGHT_DECAY = 0.05


def choose_network(shape: Shape, count: int) -> str:
    """The name of the network for so many pictures of this shape.

    Small pictures: two convolutions and a dense layer, quick and good. Larger ones, and those of
    too few pixels for its pooling: a network whose parameters do not depend on the size. Many
    pictures of objects: a deep one.

    >>> choose_network((28, 28, 1), 8_000), choose_network((64, 64, 3), 500)
    ('small_cnn', 'mobilenet_tiny')
    """
    height, width, channels = shape
    if count >= MANY and channels == 3:
        return "resnet20"
    small = height * width <= SMALL_SIDE**2 and min(height, width) >= 4
    return "small_cnn" if small else "mobilenet_tiny"


def network_of(name: str) -> Callable[..., Model]:
    """The function that makes the network of this name.

    Raises:
        UnknownNameError: there is none.
    """
    if name not in NETWORKS:
        raise unknown_name("ImageClassifier", "network", name, NETWORKS)
    return NETWORKS[name]


def augmentation(shape: Shape) -> list[Layer]:
    """Layers that change pictures a little in training.

    Grey pictures may be letters, whose mirror images mean something else: those of colours only are
    mirrored.
    """
    edge = "nearest"
    layers: list[Layer] = [RandomFlip()] if shape[2] == 3 else []
    return [
        *layers,
        RandomShift(0.08, fill_mode=edge),
        RandomRotation(0.03, fill_mode=edge),
        RandomZoom(0.1, fill_mode=edge),
    ]


def batch_size(count: int) -> int:
    """About 30 steps an epoch, a power of two within bounds.

    >>> batch_size(100), batch_size(1_000), batch_size(60_000)
    (8, 32, 64)
    """
    power = 1 << max(0, (count // 30).bit_length() - 1)
    return min(LARGEST_BATCH, max(SMALLEST_BATCH, power))


def epochs(count: int, batch: int) -> int:
    """As many epochs as make `STEPS` steps, within bounds.

    >>> epochs(100, 8), epochs(1_000, 32), epochs(60_000, 64)
    (116, 47, 20)
    """
    steps = -(-count // batch)
    return min(MOST_EPOCHS, max(FEWEST_EPOCHS, -(-STEPS // steps)))


def patience(epochs: int) -> int:
    """Epochs without an improvement before early stopping: half of all, at least 5.

    Running statistics of normalised layers need hundreds of steps before the loss on held-out
    pictures says anything.
    """
    return max(5, epochs // 2)


def others(steps: int, epochs: int, given: Collection[str]) -> dict[str, Any]:
    """Other settings, by the steps of an epoch, the epochs, and what the user has set.

    >>> others(30, 40, ())
    {'patience': 20, 'weight_decay': 0.05}
    """
    decay = {} if "optimizer" in given else {"weight_decay": WEIGHT_DECAY}
    return {"patience": patience(epochs), **decay}
