"""Class weights as sample weights."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import ArgumentError, DataError, ShapeError
from chainrule.losses.inputs import TensorLike

ClassWeight = Mapping[Any, float] | Sequence[float] | NDArray[Any] | str


def class_weights_to_sample_weights(
    class_weight: ClassWeight, y: TensorLike, sample_weight: TensorLike | None = None
) -> NDArray[np.float64]:
    """How much each row counts when each class counts so much.

    Formula: ``w_i = class_weight[y_i]`` (times ``sample_weight_i``); ``"balanced"``:
    ``w_c = N / (K N_c)`` for K classes of which class c has N_c rows.

    Shapes: y ``(N,)``, ``(N, 1)``, ``(N, T)`` with labels, or one-hot ``(N, C)`` floats; result
    ``(N,)`` or ``(N, T)``.

    Args:
        class_weight: a dictionary from label to weight (labels that it lacks weigh 1), a list with
            one weight for each class number, or ``"balanced"``.
        y: the labels; any kind of labels with a dictionary or ``"balanced"``.
        sample_weight: weights to multiply with; default none.

    Returns:
        float64 weights.

    Raises:
        DataError: the dictionary names a label that ``y`` lacks, or a label has no weight in the
            list.
        ArgumentError: a negative weight, or an unknown word.

    Example:
        >>> cr.losses.class_weights_to_sample_weights({1: 5.0}, [0, 1, 0])
        array([1., 5., 1.])
        >>> cr.losses.class_weights_to_sample_weights("balanced", [0, 1, 0, 0])
        array([0.66666667, 2. , 0.66666667, 0.66666667])
    """
    labels = _labels(y)
    classes, index = np.unique(labels, return_inverse=True)
    weights = _weight_of_each(class_weight, classes, np.bincount(index.reshape(-1)))
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise ArgumentError(
            "class_weight", "negative or not a number", got=weights, expected="0 or more"
        )
    result = weights[index.reshape(labels.shape)]
    if sample_weight is None:
        return result
    given = np.asarray(sample_weight, np.float64)
    if given.shape != result.shape:
        if given.shape[:1] != result.shape[:1] or given.ndim > result.ndim:
            raise ShapeError("sample_weight", "wrong shape", got=given.shape, expected=result.shape)
        given = given.reshape(given.shape + (1,) * (result.ndim - given.ndim))
    return np.asarray(result * given)


def _labels(y: TensorLike) -> NDArray[Any]:
    labels = np.asarray(y)
    if labels.ndim > 1 and labels.shape[-1] == 1:
        return labels[..., 0]
    one_hot = (
        labels.ndim > 1
        and labels.dtype.kind in "fb"
        and np.isin(labels, (0, 1)).all()
        and (labels.sum(axis=-1) == 1).all()
    )
    return labels.argmax(axis=-1) if one_hot else labels


def _weight_of_each(
    class_weight: ClassWeight, classes: NDArray[Any], counts: NDArray[np.int64]
) -> NDArray[np.float64]:
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            raise ArgumentError(
                "class_weight",
                "unknown word",
                got=repr(class_weight),
                expected="'balanced', a dictionary or a list",
            )
        return np.asarray(counts.sum() / (len(classes) * counts), np.float64)
    if isinstance(class_weight, Mapping):
        known = classes.tolist()
        missing = [label for label in class_weight if label not in known]
        if missing:
            raise DataError(
                "class_weight",
                "a class that the labels do not have",
                got=repr(missing[0]),
                expected="one of " + ", ".join(map(repr, known[:20])),
            )
        return np.array([float(class_weight.get(label, 1.0)) for label in known])
    weights = np.asarray(class_weight, np.float64)
    if classes.dtype.kind not in "biuf" or classes.min() < 0 or classes.max() >= len(weights):
        raise DataError(
            "class_weight",
            "a label without a weight",
            got=f"labels {classes.min()} to {classes.max()}",
            expected=f"class numbers 0 to {len(weights) - 1}, one weight for each",
        )
    return np.asarray(weights[classes.astype(np.int64)])
