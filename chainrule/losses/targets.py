"""Class targets: numbers of classes or one-hot rows, told apart by their shape."""

import numpy as np

from chainrule.errors import ArgumentError, ShapeError
from chainrule.losses.inputs import TensorLike, align, concrete_values, require
from chainrule.tensor import Tensor, functions
from chainrule.tensor.layout import checked_indices
from chainrule.tensor.tensor import as_tensor

_SUM_TOLERANCE = 1e-3


def class_targets(y_true: TensorLike, shape: tuple[int, ...], where: str) -> Tensor:
    """Targets in the shape of the predictions ``(N, ..., C)``.

    Class numbers ``(N, ...)`` or ``(N, ..., 1)`` become a boolean tensor, True at the row's class.
    One-hot rows and probabilities ``(N, ..., C)`` stay as they are.

    Raises:
        ShapeError: the targets fit neither form, or there is only one class.
        DataError: a class number outside 0 .. C-1, or a row of probabilities that does not sum to 1
            (rows of zeros may stand for rows that do not count). Only where the numbers are known,
            not while tracing.
    """
    if len(shape) < 2 or shape[-1] < 2:
        raise ShapeError(
            where,
            "wrong prediction shape",
            got=shape,
            expected="(batch, ..., classes) with 2 or more classes",
            fix="give the last layer one output for each class; with one output, use the loss "
            "binary_cross_entropy",
        )
    target = as_tensor(y_true)
    if target.shape == shape:
        _require_distributions(target, where)
        return target
    labels = class_labels(target, shape, where)
    return functions.equal(
        functions.expand_dims(labels, -1), functions.arange(shape[-1], dtype=labels.dtype)
    )


def class_labels(target: Tensor, shape: tuple[int, ...], where: str) -> Tensor:
    """Integer class numbers ``(N, ...)`` for predictions of a shape ``(N, ..., C)``.

    Raises:
        ShapeError: the targets are not one number for each row.
        DataError: a class number outside 0 .. C-1, where the numbers are known.
    """
    if target.shape not in (shape[:-1], (*shape[:-1], 1)):
        raise ShapeError(
            where,
            "wrong target shape",
            got=target.shape,
            expected=f"class numbers of shape {shape[:-1]}, or one-hot rows of shape {shape}",
            fix=f"give the last layer {target.shape[-1]} outputs"
            if target.ndim == len(shape)
            else "pass one class number for each row of predictions",
        )
    return class_numbers(functions.reshape(target, shape[:-1]), shape[-1], where)


def class_numbers(target: Tensor, classes: int, where: str) -> Tensor:
    """Integer class numbers, checked to be whole and in 0 .. classes-1 where they are known."""
    values = concrete_values(target)
    if values is not None:
        require(
            (values >= 0) & (values < classes) & (values == np.floor(values)),
            values,
            where,
            "class number out of range",
            expected=f"a whole number from 0 to {classes - 1} ({classes} classes)",
            fix="number the classes from 0, and give the last layer one output for each of them",
        )
    numbers = target if target.dtype.name == "int64" else target.astype("int32")
    return checked_indices(numbers, classes)


def _require_distributions(target: Tensor, where: str) -> None:
    values = concrete_values(target)
    if values is None:
        return
    total = values.sum(axis=-1, dtype=np.float64)
    require(
        (np.abs(total - 1) <= _SUM_TOLERANCE) | (total == 0),
        total,
        where,
        "the targets of a row do not sum to 1",
        expected="one class, or probabilities that sum to 1",
        fix="for rows that belong to several classes at once use the loss binary_cross_entropy",
    )


def expected_value(values: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """``sum over classes of target * values``, with smoothed targets ``(1 - s) t + s / C``.

    Boolean targets pick their value, so that infinite values of other classes do no harm; a row
    without any class (a class number out of range, while tracing) is NaN rather than quietly 0.
    """
    if targets.dtype == np.bool_:
        picked = functions.sum(functions.where(targets, values, 0.0), axis=-1)
        picked = functions.where(functions.any(targets, axis=-1), picked, float("nan"))
    else:
        picked = functions.sum(targets.astype(values.dtype) * values, axis=-1)
    if smoothing:
        picked = (1 - smoothing) * picked + smoothing * functions.mean(values, axis=-1)
    return picked


def binary_targets(
    y_true: TensorLike, prediction: Tensor, where: str, smoothing: float = 0.0
) -> Tensor:
    """Targets from 0 to 1 in the shape of the predictions, smoothed to ``(1 - s) t + s / 2``."""
    target = align(as_tensor(y_true), prediction.shape, where)
    values = concrete_values(target)
    if values is not None:
        require(
            (values >= 0) & (values <= 1),
            values,
            where,
            "label out of range",
            expected="a value from 0 to 1",
            fix="code the two classes as 0 and 1; for more classes use the loss cross_entropy",
        )
    target = target.astype(prediction.dtype)
    return (1 - smoothing) * target + smoothing / 2 if smoothing else target


def require_smoothing(label_smoothing: float, where: str) -> None:
    """Raise when a label smoothing is not in [0, 1)."""
    if not 0 <= label_smoothing < 1:
        raise ArgumentError(
            where,
            "label_smoothing out of range",
            got=label_smoothing,
            expected="0 <= label_smoothing < 1",
        )
