"""The defaults for speech: network, optimizer, length of the training."""

from collections.abc import Callable

from chainrule.errors import unknown_name
from chainrule.estimators import audio_defaults
from chainrule.networks import speech_gru
from chainrule.nn.layer import Layer
from chainrule.nn.layers import LogMel, RandomWarp, SpecAugment
from chainrule.optimizers import AdamW
from chainrule.optimizers.schedules import CosineDecay
from chainrule.training.model import Model

NETWORKS: dict[str, Callable[..., Model]] = {"speech_gru": speech_gru}

#: A training has so many steps.
STEPS = 4_500
FEWEST_EPOCHS, MOST_EPOCHS = 5, 100
SMALLEST_BATCH, LARGEST_BATCH = 8, 16

LEARNING_RATE = 0.003
WEIGHT_DECAY = 0.02
LARGEST_NORM = 5.0


def network_of(name: str) -> Callable[..., Model]:
    """The function that makes the network of this name.

    Raises:
        UnknownNameError: there is none.
    """
    if name not in NETWORKS:
        raise unknown_name("SpeechRecognizer", "network", name, NETWORKS)
    return NETWORKS[name]


def layers(sample_rate: int, augment: bool) -> tuple[list[Layer], LogMel, list[Layer]]:
    """What comes before the network, as for sounds; time is hardly shifted."""
    before, features, after = audio_defaults.layers(sample_rate, augment)
    return before, features, [RandomWarp(0.2, 0.15, 0.02), SpecAugment(3)] if augment else after


def batch_size(count: int) -> int:
    """About 30 steps an epoch, a power of two within bounds."""
    power = 1 << max(0, (count // 30).bit_length() - 1)
    return min(LARGEST_BATCH, max(SMALLEST_BATCH, power))


def epochs(count: int, batch: int) -> int:
    """As many epochs as make `STEPS` steps, within bounds.

    >>> epochs(100, 8), epochs(3_000, 16), epochs(60_000, 16)
    (100, 23, 5)
    """
    steps = -(-count // batch)
    return min(MOST_EPOCHS, max(FEWEST_EPOCHS, STEPS // steps))


def optimizer(learning_rate: float | None, steps: int) -> AdamW:
    """AdamW; its own rate falls to zero over so many steps, one that was given stays."""
    rate = CosineDecay(LEARNING_RATE, steps) if learning_rate is None else learning_rate
    return AdamW(learning_rate=rate, weight_decay=WEIGHT_DECAY, global_clip_norm=LARGEST_NORM)
