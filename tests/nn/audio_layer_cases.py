"""The layers over sound, and the inputs they are checked on."""

from collections.abc import Callable
from typing import Any

import numpy as np

import chainrule as cr

L = cr.layers
Case = tuple[Callable[[], cr.Layer], Any, dict[str, Any]]

CLIPS = np.random.default_rng(7).normal(size=(2, 40))
FRAMES = np.random.default_rng(8).normal(size=(2, 5, 4))
SHORT = {"window": 0.016, "hop": 0.006}

# class -> several (layer, input shape, further arguments of run_layer_checks)
CASES: dict[str, list[Case]] = {
    "LogMel": [
        (lambda: L.LogMel(1000, 3, **SHORT), (2, 40), {"inputs": CLIPS}),
        (
            lambda: L.LogMel(1000, 4, scale="htk", standardize="band", low=50, high=400, **SHORT),
            (2, 40), {"inputs": CLIPS},
        ),
        (lambda: L.LogMel(1000, 3, standardize="clip", **SHORT), (2, 40), {"inputs": CLIPS}),
        (lambda: L.LogMel(1000, 3, decibels=6, floor=1e-3, **SHORT), (2, 40), {"inputs": CLIPS}),
    ],
    "MFCC": [
        (lambda: L.MFCC(1000, 3, 5, **SHORT), (2, 40), {"inputs": CLIPS}),
        (lambda: L.MFCC(1000, 2, 4, standardize="band", **SHORT), (2, 40), {"inputs": CLIPS}),
    ],
    "RandomNoise": [(lambda: L.RandomNoise((0, 10)), (2, 40), {"inputs": CLIPS})],
    "RandomTimeShift": [(lambda: L.RandomTimeShift(0.5), (2, 40), {"inputs": CLIPS})],
    "RandomWarp": [(lambda: L.RandomWarp(0.3, 0.3, 0.3), (2, 5, 4), {"inputs": FRAMES})],
    "SpecAugment": [(lambda: L.SpecAugment(2, 2, 1, 2), (2, 5, 4), {"inputs": FRAMES})],
}  # fmt: skip
