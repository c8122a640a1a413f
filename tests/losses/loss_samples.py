"""Sample targets and predictions for every loss of the table: what the tests of this folder share.

A sample is ``(options, y_true, y_pred)``. Predictions keep away from the kinks of a loss, so that
finite differences apply.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Sample = tuple[dict[str, Any], NDArray[Any], NDArray[Any]]

_RANDOM = np.random.default_rng(2024)
_VALUES = _RANDOM.normal(size=(6, 3))
_PREDICTED = _VALUES + _RANDOM.normal(size=(6, 3)) * 1.5
_POSITIVE = _RANDOM.uniform(0.5, 3.0, size=(6, 3))
_RATES = _RANDOM.uniform(0.5, 3.0, size=(6, 3))
_COUNTS = np.array([[0.0, 1, 4], [2, 2, 0], [1, 0, 0], [7, 1, 3], [0, 2, 1], [5, 5, 5]])
_LOGITS = _RANDOM.normal(size=(6, 4)) * 2
_CLASSES = np.array([0, 3, 1, 1, 2, 0])
_ONE_HOT = np.eye(4)[_CLASSES]
_SOFT = _RANDOM.dirichlet(np.ones(4), size=6)
_PROBABILITIES = _RANDOM.dirichlet(np.ones(4), size=6)
_SEQUENCE_LOGITS = _RANDOM.normal(size=(3, 5, 4))
_SEQUENCE_CLASSES = _RANDOM.integers(0, 4, size=(3, 5))
_YES = (_RANDOM.uniform(size=(6, 3)) > 0.5) * 1.0
_YES_LOGITS = _RANDOM.normal(size=(6, 3)) * 2
_YES_SOFT = _RANDOM.uniform(0.1, 0.9, size=(6, 3))
_YES_PROBABILITIES = _RANDOM.uniform(0.05, 0.95, size=(6, 3))
_SIGNS = 2 * _YES - 1
# Rows of labels: one more, a repeated one, none at all; filled up with -1.
_LABELS = np.array([[1, 2, 3], [2, 2, -1], [-1, -1, -1]])
_FRAMES = _RANDOM.normal(size=(3, 6, 4))
_FRAME_PROBABILITIES = _RANDOM.dirichlet(np.ones(4), size=(3, 6))

_PLAIN: list[Sample] = [({}, _VALUES, _PREDICTED), ({}, _VALUES[:, 0], _PREDICTED[:, :1])]


def _class_samples(**options: Any) -> list[Sample]:
    return [
        (options, _CLASSES, _LOGITS),
        (options, _SOFT, _LOGITS),
        (options, _SEQUENCE_CLASSES, _SEQUENCE_LOGITS),
        ({**options, "from_logits": False}, _CLASSES, _PROBABILITIES),
    ]


def _binary_samples(**options: Any) -> list[Sample]:
    return [
        (options, _YES, _YES_LOGITS),
        (options, _YES_SOFT, _YES_LOGITS),
        ({**options, "from_logits": False}, _YES, _YES_PROBABILITIES),
    ]


SAMPLES: dict[str, list[Sample]] = {
    "half_squared_error": _PLAIN,
    "mean_squared_error": _PLAIN,
    "mean_absolute_error": _PLAIN,
    "mean_absolute_percentage_error": _PLAIN,
    "mean_squared_logarithmic_error": [({}, _POSITIVE, _RATES)],
    "huber": [*_PLAIN, ({"delta": 0.3}, _VALUES, _PREDICTED)],
    "log_cosh": [*_PLAIN, ({}, _VALUES, _VALUES)],
    "quantile_loss": [*_PLAIN, ({"quantile": 0.9}, _VALUES, _PREDICTED)],
    "cosine_similarity": [({}, _VALUES, _PREDICTED)],
    "cross_entropy": [*_class_samples(), *_class_samples(label_smoothing=0.2)],
    "binary_cross_entropy": [*_binary_samples(), *_binary_samples(label_smoothing=0.2)],
    "focal_cross_entropy": [
        *_class_samples(),
        *_class_samples(gamma=0.0),
        *_class_samples(gamma=0.5, alpha=[0.1, 0.2, 0.3, 0.4]),
    ],
    "binary_focal_cross_entropy": [
        *_binary_samples(),
        *_binary_samples(gamma=0.0),
        *_binary_samples(gamma=0.5, alpha=0.25, label_smoothing=0.1),
    ],
    "hinge": [({}, _SIGNS, _YES_LOGITS), ({}, _YES, _YES_LOGITS)],
    "squared_hinge": [({}, _SIGNS, _YES_LOGITS), ({}, _YES, _YES_LOGITS)],
    "categorical_hinge": [({}, _CLASSES, _LOGITS), ({}, _ONE_HOT, _LOGITS)],
    "ctc": [
        ({}, _LABELS, _FRAMES),
        ({"blank": -1}, _LABELS - (_LABELS > 0), _FRAMES),
        ({"from_logits": False}, _LABELS, _FRAME_PROBABILITIES),
        ({"zero_infinity": True}, np.array([[1, 1, 1, 1, 1]] * 3), _FRAMES),
    ],
    "kl_divergence": [
        ({}, _SOFT, _LOGITS),
        ({}, _ONE_HOT, _LOGITS),
        ({"from_logits": False}, _SOFT, _PROBABILITIES),
    ],
    "poisson": [({}, _COUNTS, _RATES), ({"log_input": True}, _COUNTS, _PREDICTED)],
    "gaussian_negative_log_likelihood": [
        ({}, _VALUES, np.concatenate([_PREDICTED, _VALUES[::-1]], axis=1)),
        ({"full": True}, _VALUES[:, 0], _PREDICTED[:, :2]),
    ],
}

CASES = [
    (name, number, *sample)
    for name, samples in SAMPLES.items()
    for number, sample in enumerate(samples)
]
IDS = [f"{case[0]}-{case[1]}" for case in CASES]
