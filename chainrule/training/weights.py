"""Weights per example: given, made from weights per class, or both."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from chainrule.errors import ArgumentError, DataError
from chainrule.training.inputs import Array, as_array

ClassWeight = Mapping[int, float] | Literal["balanced"] | None


def example_weights(
    sample_weight: Any, class_weight: ClassWeight, y: Array, where: str
) -> Array | None:
    """One weight per row, ``sample_weight * class_weight[class of the row]``; None when neither is given.

    Args:
        sample_weight: N numbers, none negative, not all 0; None for 1 each.
        class_weight: a weight for each class number (1 for classes left out), or ``"balanced"`` for
            ``rows / (classes * rows of the class)``.
        y: the targets, class numbers or one-hot rows where class_weight is given.
        where: who asks, for messages.

    Raises:
        DataError: wrong length, negative or non-finite weights, or targets that are not classes.
        ArgumentError: class_weight names a class that does not occur.
    """
    weights = None if sample_weight is None else _checked(sample_weight, len(y), where)
    if class_weight is None:
        return weights
    per_row = _class_weights(class_weight, y, where)
    return per_row if weights is None else weights * per_row


def _checked(sample_weight: Any, rows: int, where: str) -> Array:
    weights = as_array(sample_weight, "sample_weight", where).astype(np.float64)
    if weights.shape == (rows, 1):
        weights = weights[:, 0]
    if weights.shape != (rows,):
        raise DataError(
            where, "sample_weight does not fit the data", got=f"shape {weights.shape}",
            expected=f"shape ({rows},)", fix="pass one weight for each row of x",
        )
    if weights.min() < 0:
        row = int(np.argmin(weights))
        raise DataError(
            where, "sample_weight holds a negative weight", got=f"{weights[row]} in row {row}",
            expected="0 or more", fix="use 0 to leave a row out",
        )
    if not weights.any():
        raise DataError(where, "all sample weights are 0", fix="give at least one row a weight above 0")
    return weights


def class_numbers(y: Array) -> Array | None:
    """The class of each row where y holds class numbers (N,), (N, 1) or one-hot rows (N, K); else None.

    >>> class_numbers(np.array([[0, 1], [1, 0]])).tolist()
    [1, 0]
    """
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim == 1:
        whole = y.dtype.kind in "iub" or bool((y == np.floor(y)).all())
        return y.astype(np.int64) if whole else None
    if y.ndim == 2 and ((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all():
        return y.argmax(axis=1)
    return None


def _class_weights(class_weight: ClassWeight, y: Array, where: str) -> Array:
    labels = class_numbers(y)
    if labels is None:
        raise DataError(
            where, "class_weight needs targets that are classes", got=f"targets of shape {y.shape} and dtype {y.dtype}",
            expected="class numbers or one-hot rows", fix="pass sample_weight instead",
        )
    classes, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if class_weight == "balanced":
        table: Array = len(labels) / (len(classes) * counts)
        return table[inverse]
    if not isinstance(class_weight, Mapping):
        raise ArgumentError(
            where, "unknown class_weight", got=repr(class_weight), expected="a dict {class: weight} or 'balanced'"
        )
    known = {int(c) for c in classes}
    table = np.ones(len(classes))
    for key, weight in class_weight.items():
        if key not in known:
            raise ArgumentError(
                where, "class_weight names a class that no row has", got=repr(key),
                expected=f"classes among {sorted(known)}", fix="use the class numbers that y holds as keys",
            )
        if not np.isfinite(weight) or weight < 0:
            raise ArgumentError(
                where, f"the weight of class {key} is no weight", got=weight, expected="a finite number, 0 or more"
            )
        table[np.searchsorted(classes, int(key))] = weight
    return table[inverse]
