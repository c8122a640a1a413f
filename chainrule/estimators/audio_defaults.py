"""The defaults for sounds: features, augmentation, network, length of the training.

They were chosen on spoken digits of five speakers, each left out in turn.
"""

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import unknown_name
from chainrule.networks import sound_cnn
from chainrule.nn.layer import Layer
from chainrule.nn.layers import LogMel, RandomNoise, RandomWarp, SpecAugment
from chainrule.optimizers.schedules import CosineDecay
from chainrule.training.model import Model

NETWORKS: dict[str, Callable[..., Model]] = {"sound_cnn": sound_cnn}

#: Sounds are brought to a length that so many of them do not exceed.
MOST_OF_THEM = 0.95
FEWEST_SECONDS, MOST_SECONDS = 0.2, 60.0

BANDS = 40

#: What is farther below the loudest is room and microphone more than voice.
DECIBELS = 40.0

#: A training has so many steps.
STEPS = 1_200
FEWEST_EPOCHS, MOST_EPOCHS = 10, 100
SMALLEST_BATCH, LARGEST_BATCH = 8, 64

LEARNING_RATE = 0.003
WEIGHT_DECAY = 0.05
MIXUP = 0.3


def network_of(name: str) -> Callable[..., Model]:
    """The function that makes the network of this name.

    Raises:
        UnknownNameError: there is none.
    """
    if name not in NETWORKS:
        raise unknown_name("SoundClassifier", "network", name, NETWORKS)
    return NETWORKS[name]


def layers(sample_rate: int, augment: bool) -> tuple[list[Layer], LogMel, list[Layer]]:
    """What comes before the network: layers on samples, the features, layers on frames and bands.

    Args:
        sample_rate: samples a second.
        augment: whether sounds are changed in training.
    """
    features = LogMel(sample_rate, BANDS, decibels=DECIBELS, standardize="clip")
    if not augment:
        return [], features, []
    return [RandomNoise((5.0, 40.0))], features, [RandomWarp(0.2, 0.15, 0.1), SpecAugment()]


def length(lengths: NDArray[np.int64], sample_rate: int) -> int:
    """The samples that sounds are brought to, a whole number of hundredths of a second.

    >>> length(np.array([4000] * 99 + [80_000]), 8000)
    4000
    """
    step = sample_rate // 100
    most = float(np.quantile(lengths, MOST_OF_THEM)) / step
    bounded = min(max(most, 100 * FEWEST_SECONDS), 100 * MOST_SECONDS)
    return int(np.ceil(bounded)) * step


def batch_size(count: int) -> int:
    """About 30 steps an epoch, a power of two within bounds.

    >>> batch_size(100), batch_size(1_000), batch_size(60_000)
    (8, 32, 64)
    """
    power = 1 << max(0, (count // 30).bit_length() - 1)
    return min(LARGEST_BATCH, max(SMALLEST_BATCH, power))


def epochs(count: int, batch: int) -> int:
    """As many epochs as make `STEPS` steps, within bounds.

    >>> epochs(100, 8), epochs(2_500, 64), epochs(60_000, 64)
    (92, 30, 10)
    """
    steps = -(-count // batch)
    return min(MOST_EPOCHS, max(FEWEST_EPOCHS, STEPS // steps))


def others(steps: int, epochs: int, given: Collection[str]) -> dict[str, Any]:
    """Other settings, by the steps of an epoch, the epochs, and what the user has set.

    No early stopping: sounds of the same voices that are held out say little about other voices. A
    rate that falls to zero instead. No mixup where ``until`` may watch the loss, which it raises.
    """
    found: dict[str, Any] = {"early_stopping": False, "mixup": 0.0 if "until" in given else MIXUP}
    if "optimizer" not in given:
        found["learning_rate"] = CosineDecay(LEARNING_RATE, steps * epochs)
        found["weight_decay"] = WEIGHT_DECAY
    return found
