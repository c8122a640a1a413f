"""From what users pass (arrays, lists, tensors) to targets and predictions of one shape and one
dtype.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import dtypes
from chainrule.errors import DataError, ShapeError
from chainrule.tensor import Tensor, functions
from chainrule.tensor.tensor import as_tensor

TensorLike = Tensor | NDArray[Any] | Sequence[Any] | float


def concrete_values(value: Tensor) -> NDArray[Any] | None:
    """The numbers of a tensor, or None while ``jit`` traces, when there are none yet."""
    return None if value.is_traced else np.asarray(value)


def predictions_tensor(y_pred: TensorLike, where: str) -> Tensor:
    """Predictions in a floating dtype, with a batch axis."""
    prediction = as_tensor(y_pred)
    if not prediction.shape:
        raise ShapeError(
            where,
            "predictions without a batch axis",
            got="shape ()",
            expected="(batch, ...)",
            fix="pass one row for each example, for example y_pred[None]",
        )
    if prediction.dtype.kind != "f":
        prediction = prediction.astype(dtypes.DEFAULT_FLOAT)
    return prediction


def align(target: Tensor, shape: tuple[int, ...], where: str) -> Tensor:
    """The target in the shape of the predictions: a last axis of length 1 is added or dropped,
    nothing else.

    ``(N,)`` beside ``(N, 1)`` would broadcast to ``(N, N)``: a wrong loss without an error. It is
    aligned instead.
    """
    if target.shape == shape:
        return target
    if (*target.shape, 1) == shape or target.shape == (*shape, 1):
        return functions.reshape(target, shape)
    raise ShapeError(
        where,
        "wrong target shape",
        got=target.shape,
        expected=f"{shape}, the shape of the predictions",
        fix=_advice(target.shape, shape),
    )


def _advice(target: tuple[int, ...], prediction: tuple[int, ...]) -> str:
    if target[:1] != prediction[:1]:
        return "pass one target for each row of predictions"
    if target in (prediction[:-1], (*prediction[:-1], 1)):
        return (
            f"give the last layer 1 output, or, for class numbers 0 to {prediction[-1] - 1}, "
            "use the loss cross_entropy"
        )
    return f"give the last layer {target[-1]} outputs, or reshape the targets"


def paired(y_true: TensorLike, y_pred: TensorLike, where: str) -> tuple[Tensor, Tensor]:
    """Targets and predictions ``(N, ..., D)`` of one shape and dtype; ``(N,)`` counts as
    ``(N, 1)``.
    """
    prediction = predictions_tensor(y_pred, where)
    target = align(as_tensor(y_true), prediction.shape, where)
    if target.dtype != prediction.dtype:
        target = target.astype(prediction.dtype)
    if len(prediction.shape) == 1:
        return functions.expand_dims(target, -1), functions.expand_dims(prediction, -1)
    return target, prediction


def require(
    ok: NDArray[Any], values: NDArray[Any], where: str, what: str, *, expected: str, fix: str
) -> None:
    """Raise a DataError that names the first value (and its row) for which ``ok`` is False."""
    if not ok.all():
        place = np.unravel_index(int(np.argmin(ok)), ok.shape)
        got = f"{values[place]} in row {place[0]}"
        if len(place) > 1:
            got += f", position {', '.join(str(int(i)) for i in place[1:])}"
        raise DataError(where, what, got=got, expected=expected, fix=fix)
