"""What a batch of targets and predictions says: which class each row has, and which it is given."""

from typing import Literal, NamedTuple

import numpy as np

from chainrule.errors import ArgumentError
from chainrule.losses.inputs import TensorLike, align, concrete_values
from chainrule.losses.targets import class_labels, class_numbers
from chainrule.tensor import Tensor, functions
from chainrule.tensor.tensor import as_tensor

Kind = Literal["labels", "binary", "classes"]


def kind_of(y_true: Tensor, y_pred: Tensor, multi_label: bool | None) -> Kind:
    """What the predictions are.

    * ``labels``: integers or booleans in the shape of the targets, class numbers already;
    * ``binary``: one score a row, or with ``multi_label`` one independent score for each column;
    * ``classes``: a score for each class.
    """
    if multi_label:
        return "binary"
    if y_pred.dtype.kind != "f" and y_pred.shape == y_true.shape:
        return "labels"
    return "binary" if y_pred.ndim == 1 or y_pred.shape[-1] == 1 else "classes"


def yes_or_no(
    y_true: Tensor, y_pred: Tensor, threshold: float, where: str
) -> tuple[Tensor, Tensor]:
    """Booleans ``(N, ..., D)``: what is true, and what is predicted (a score above the
    threshold).
    """
    target = align(y_true, y_pred.shape, where)
    if y_pred.ndim == 1:
        target, y_pred = functions.expand_dims(target, -1), functions.expand_dims(y_pred, -1)
    return target.astype("float64") > 0.5, y_pred.astype("float64") > threshold


def chosen_classes(y_true: Tensor, y_pred: Tensor, where: str) -> tuple[Tensor, Tensor]:
    """Class numbers ``(N, ...)``: the true ones and those of the highest scores."""
    if y_true.shape == y_pred.shape:
        true = functions.argmax(y_true, axis=-1)
    else:
        true = class_labels(y_true, y_pred.shape, where)
    return true, functions.argmax(y_pred, axis=-1)


class Indicators(NamedTuple):
    """Rows by columns of booleans; a column is a class (one column for two classes)."""

    true: Tensor
    predicted: Tensor
    leading: tuple[int, ...]


def indicators(
    y_true: TensorLike,
    y_pred: TensorLike,
    *,
    threshold: float,
    multi_label: bool | None,
    num_classes: int | None,
    where: str,
) -> Indicators:
    """Targets and predictions as booleans ``(rows, columns)``.

    Scores of one column, or independent columns, give their own columns; classes give one column
    each; integer predictions give ``num_classes`` columns, or one when they are 0 and 1.
    """
    target, prediction = as_tensor(y_true), as_tensor(y_pred)
    kind = kind_of(target, prediction, multi_label)
    if kind == "binary":
        true, predicted = yes_or_no(target, prediction, threshold, where)
    elif kind == "classes":
        classes = prediction.shape[-1]
        numbers = chosen_classes(target, prediction, where)
        true, predicted = (_columns(n, classes) for n in numbers)
    elif num_classes is not None:
        true = _columns(class_numbers(target, num_classes, where), num_classes)
        predicted = _columns(class_numbers(prediction, num_classes, where), num_classes)
    else:
        _require_two_classes(target, prediction, where)
        true = functions.expand_dims(target, -1).astype("bool")
        predicted = functions.expand_dims(prediction, -1).astype("bool")
    columns = true.shape[-1]
    return Indicators(
        functions.reshape(true, (-1, columns)),
        functions.reshape(predicted, (-1, columns)),
        true.shape[:-1],
    )


def _columns(numbers: Tensor, classes: int) -> Tensor:
    places = functions.arange(classes, dtype=numbers.dtype)
    return functions.equal(functions.expand_dims(numbers, -1), places)


def _require_two_classes(target: Tensor, prediction: Tensor, where: str) -> None:
    for tensor in (target, prediction):
        values = concrete_values(tensor)
        if values is not None and not np.isin(values, (0, 1)).all():
            raise ArgumentError(
                where,
                "class numbers beyond 0 and 1",
                got=f"{values.min()} to {values.max()}",
                expected="num_classes",
                fix="say how many classes there are, for example num_classes=3",
            )
