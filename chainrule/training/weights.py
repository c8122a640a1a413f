"""Weights per example: given, made from weights per class, or both."""

from typing import Any

import numpy as np

from chainrule.errors import DataError
from chainrule.losses.class_weights import ClassWeight, class_weights_to_sample_weights
from chainrule.training.inputs import Array, as_array


def example_weights(
    sample_weight: Any, class_weight: ClassWeight | None, y: Array, where: str
) -> Array | None:
    """One weight per row, ``sample_weight * class_weight[class of the row]``; None when neither is
    given.

    Args:
        sample_weight: N numbers, none negative, not all 0, or one for each target; None for 1 each.
        class_weight: a weight for each class number (1 for classes left out), or ``"balanced"`` for
            ``rows / (classes * rows of the class)``.
        y: the targets, class numbers or one-hot rows where class_weight is given.
        where: who asks, for messages.

    Raises:
        DataError: wrong length, negative or non-finite weights, targets that are not classes, or a
            class_weight for a class that does not occur.
    """
    weights = None if sample_weight is None else _checked(sample_weight, y.shape, where)
    if class_weight is None:
        return weights
    labels = class_numbers(y)
    if labels is None:
        raise DataError(
            where,
            "class_weight needs targets that are classes",
            got=f"targets of shape {y.shape} and dtype {y.dtype}",
            expected="class numbers or one-hot rows",
            fix="pass sample_weight instead",
        )
    per_row = class_weights_to_sample_weights(class_weight, labels)
    if weights is None:
        return per_row
    return weights * per_row.reshape(len(y), *(1,) * (weights.ndim - 1))


def _checked(sample_weight: Any, shape: tuple[int, ...], where: str) -> Array:
    weights = as_array(sample_weight, "sample_weight", where).astype(np.float64)
    if weights.ndim == 2 and weights.shape[1] == 1:
        weights = weights[:, 0]
    if weights.shape != shape[: weights.ndim]:
        raise DataError(
            where,
            "sample_weight does not fit the data",
            got=f"shape {weights.shape}",
            expected=f"shape ({shape[0]},)",
            fix="pass one weight for each row of x",
        )
    if weights.min() < 0:
        row = int(np.argmin(weights))
        raise DataError(
            where,
            "sample_weight holds a negative weight",
            got=f"{weights.flat[row]} in row {row // (weights.size // len(weights))}",
            expected="0 or more",
            fix="use 0 to leave a row out",
        )
    if not weights.any():
        raise DataError(
            where, "all sample weights are 0", fix="give at least one row a weight above 0"
        )
    return weights


def class_numbers(y: Array) -> Array | None:
    """The class of each row where y holds class numbers (N,), (N, 1) or one-hot rows (N, K); else
    None.

    >>> class_numbers(np.array([[0, 1], [1, 0]])).tolist()
    [1, 0]
    """
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim == 1:
        whole = y.dtype.kind in "iub" or bool((y == np.floor(y)).all())
        return y.astype(np.int64) if whole else None
    if y.ndim == 2 and ((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all():
        classes: Array = y.argmax(axis=1)
        return classes
    return None
