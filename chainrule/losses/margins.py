"""Hinge losses: margins instead of probabilities."""

from typing import ClassVar

import numpy as np

from chainrule.losses.base import Loss, Task
from chainrule.losses.inputs import TensorLike, concrete_values, paired, predictions_tensor, require
from chainrule.losses.targets import class_targets, expected_value
from chainrule.tensor import Tensor, functions
from chainrule.tensor.tensor import as_tensor


def _signed_pair(y_true: TensorLike, y_pred: TensorLike, where: str) -> tuple[Tensor, Tensor]:
    target, prediction = paired(y_true, y_pred, where)
    values = concrete_values(target)
    if values is not None:
        require(
            np.isin(values, (-1, 0, 1)),
            values,
            where,
            "label out of range",
            expected="-1 or 1 (or 0 and 1)",
            fix="code the two classes as -1 and 1; for several use the loss categorical_hinge",
        )
    return functions.where(target == 0, -1.0, target), prediction


def hinge(y_true: TensorLike, y_pred: TensorLike) -> Tensor:
    """Hinge loss of two classes: no loss for what is right by a margin of 1.

    Formula: ``mean_d max(0, 1 - y a)`` for each row; labels 0 count as -1.

    Shapes: y_true and y_pred ``(N, ..., D)``, or ``(N,)`` beside ``(N, 1)``; result ``(N, ...)``.

    Args:
        y_true: -1 or 1, or 0 and 1.
        y_pred: scores of any size; above 0 means class 1.

    Returns:
        The loss of each row.

    Raises:
        DataError: another label, named with its row.

    Example:
        >>> cr.losses.hinge([1, -1], [[0.5], [0.5]]).numpy()
        array([0.5, 1.5], dtype=float32)

    Reference: Cortes and Vapnik, Support-vector networks, 1995.
    """
    target, prediction = _signed_pair(y_true, y_pred, "hinge")
    return functions.mean(functions.maximum(1 - target * prediction, 0.0), axis=-1)


class Hinge(Loss):
    """Mean ``hinge`` over the rows.

    Args:
        name: the name in messages and histories.

    Example:
        >>> float(cr.losses.Hinge()([1, 0], [[0.5], [0.5]]))
        1.0
    """

    function = staticmethod(hinge)
    task: ClassVar[Task] = "binary"
    threshold = 0.0

    def check_targets(self, y_true: TensorLike, output_shape: tuple[int, ...]) -> None:
        """Shapes and labels, as in ``per_example``."""
        target = as_tensor(y_true)
        _signed_pair(target, functions.zeros((target.shape[0], *output_shape)), self.name)


def squared_hinge(y_true: TensorLike, y_pred: TensorLike) -> Tensor:
    """Square of the hinge loss: smooth, and harder on large violations.

    Formula: ``mean_d max(0, 1 - y a)^2`` for each row; labels 0 count as -1.

    Shapes: y_true and y_pred ``(N, ..., D)``, or ``(N,)`` beside ``(N, 1)``; result ``(N, ...)``.

    Args:
        y_true: -1 or 1, or 0 and 1.
        y_pred: scores of any size; above 0 means class 1.

    Returns:
        The loss of each row.

    Raises:
        DataError: another label, named with its row.

    Example:
        >>> cr.losses.squared_hinge([1, -1], [[0.5], [0.5]]).numpy()
        array([0.25, 2.25], dtype=float32)
    """
    target, prediction = _signed_pair(y_true, y_pred, "squared_hinge")
    return functions.mean(
        functions.square(functions.maximum(1 - target * prediction, 0.0)), axis=-1
    )


class SquaredHinge(Hinge):
    """Mean ``squared_hinge`` over the rows.

    Args:
        name: the name in messages and histories.

    Example:
        >>> float(cr.losses.SquaredHinge()([1, 0], [[0.5], [0.5]]))
        1.25
    """

    function = staticmethod(squared_hinge)


def categorical_hinge(y_true: TensorLike, y_pred: TensorLike) -> Tensor:
    """Hinge loss of several classes: the right class has to win by a margin of 1.

    Formula: ``max(0, 1 + max_{c != y} a_c - a_y)`` for each row.

    Shapes: y_pred ``(N, ..., C)``; y_true class numbers ``(N, ...)`` or one-hot rows
    ``(N, ..., C)``; result ``(N, ...)``.

    Args:
        y_true: the classes.
        y_pred: scores of any size.

    Returns:
        The loss of each row.

    Raises:
        DataError: a class number out of range, named with its row.

    Example:
        >>> cr.losses.categorical_hinge([0, 1], [[3.0, 1.0], [0.5, 0.0]]).numpy()
        array([0. , 1.5], dtype=float32)

    Differences: Keras lets the right class take part in the maximum with a score of 0, which hides
    negative scores.

    Reference: Crammer and Singer, On the algorithmic implementation of multiclass kernel-based
    vector machines, 2001.
    """
    prediction = predictions_tensor(y_pred, "categorical_hinge")
    targets = class_targets(y_true, prediction.shape, "categorical_hinge")
    right = targets if targets.dtype == np.bool_ else targets > 0.5
    others = functions.max(functions.where(right, -np.inf, prediction), axis=-1)
    return functions.maximum(1 + others - expected_value(prediction, right), 0.0)


class CategoricalHinge(Loss):
    """Mean ``categorical_hinge`` over the rows.

    Args:
        name: the name in messages and histories.

    Example:
        >>> float(cr.losses.CategoricalHinge()([0, 1], [[3.0, 1.0], [0.5, 0.0]]))
        0.75
    """

    function = staticmethod(categorical_hinge)
    task: ClassVar[Task] = "classes"

    def check_targets(self, y_true: TensorLike, output_shape: tuple[int, ...]) -> None:
        """Shapes and class numbers, as in ``per_example``."""
        target = as_tensor(y_true)
        class_targets(target, (target.shape[0], *output_shape), self.name)
