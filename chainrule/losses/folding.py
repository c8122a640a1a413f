"""Logits, probabilities and the final activation between them.

A loss of probabilities is computed from logits, which neither overflow nor round to 0 or 1. Where
the predictions are the output of ``softmax`` or ``sigmoid`` (``Tensor.origin`` says so), the loss
takes the values before it: the same mathematics, no lost digits. This is called folding, and
``Loss.folded`` reports it.

What a prediction is, in this order:

1. The output of the loss's own final activation: its input is used, whatever ``from_logits`` says
   (``True`` for the output of a softmax or sigmoid is a contradiction, and an error).
2. ``from_logits=True``: logits; ``from_logits=False``: probabilities, clipped to [eps, 1 - eps] of
   their dtype.
3. ``from_logits=None`` (the default): logits. Probabilities must not pass for logits silently, so
   values that look like probabilities are an error, and ``from_logits`` settles it: an array (from
   ``predict``, say) with everything in [0, 1] (not all 0) and, for classes, rows that sum to 1; a
   tensor of class scores likewise, when it has at least two rows. The first logits of a yes/no net
   often lie in [0, 1], and a batch of one row may sum to 1 by chance: tensors like these pass.
"""

from typing import Literal, NamedTuple

import numpy as np

from chainrule.errors import ArgumentError
from chainrule.losses.inputs import TensorLike, concrete_values, predictions_tensor, require
from chainrule.tensor import Tensor, functions

Activation = Literal["softmax", "sigmoid"]

#: the loss's activation -> the final activations that it folds in.
FOLDED: dict[Activation, tuple[str, ...]] = {
    "softmax": ("softmax", "log_softmax"),
    "sigmoid": ("sigmoid",),
}
_SUM_TOLERANCE = 1e-3
_TENSOR_SUM_TOLERANCE = 1e-5


class Scores(NamedTuple):
    """Predictions and what they are."""

    values: Tensor
    are_logits: bool


def folded_activation(y_pred: TensorLike, activation: Activation) -> str | None:
    """The final activation of ``y_pred`` when a loss over ``activation`` folds it in, else None."""
    origin = y_pred.origin if isinstance(y_pred, Tensor) else None
    return origin[0] if origin is not None and origin[0] in FOLDED[activation] else None


def scores(
    y_pred: TensorLike, activation: Activation, from_logits: bool | None, where: str
) -> Scores:
    """Predictions as logits where that is possible, by the rules above."""
    origin = y_pred.origin if isinstance(y_pred, Tensor) else None
    if origin is not None:
        name, before = origin
        if name in FOLDED[activation]:
            if from_logits and name == activation:
                raise ArgumentError(
                    where,
                    "from_logits=True, but the predictions are probabilities",
                    got=f"the output of {name}",
                    expected="logits",
                    fix=f"leave out from_logits (the {name} is folded in), or leave out the {name}",
                )
            return Scores(before, True)
        if from_logits is None:
            raise ArgumentError(
                where,
                "final activation and loss do not belong together",
                got=f"the output of {name}",
                expected=f"logits or the output of {activation}",
                fix=_advice(activation),
            )
    prediction = predictions_tensor(y_pred, where)
    if from_logits is None:
        _refuse_probabilities(prediction, activation, where, isinstance(y_pred, Tensor))
    elif not from_logits:
        _require_probabilities(prediction, activation, where)
    return Scores(prediction, from_logits is not False)


def _advice(activation: Activation) -> str:
    if activation == "softmax":
        return (
            "end with softmax (or no activation) for one class of several, or use the loss "
            "binary_cross_entropy for independent yes/no outputs"
        )
    return (
        "end with sigmoid (or no activation) for independent yes/no outputs, or use the loss "
        "cross_entropy for one class of several"
    )


def _refuse_probabilities(
    prediction: Tensor, activation: Activation, where: str, is_tensor: bool
) -> None:
    values = concrete_values(prediction)
    if values is None or not values.size or values.min() < 0 or not 0 < values.max() <= 1:
        return
    if activation == "softmax":
        rows = values.reshape(-1, values.shape[-1]).sum(axis=-1)
        tolerance = _TENSOR_SUM_TOLERANCE if is_tensor else _SUM_TOLERANCE
        if np.abs(rows - 1).max() > tolerance or (is_tensor and len(rows) < 2):
            return
    elif is_tensor:
        return  # the first logits of a net are often all between 0 and 1
    rule = " with rows that sum to 1" if activation == "softmax" else ""
    raise ArgumentError(
        where,
        "predictions that look like probabilities, but logits are taken by default",
        got=f"values from {values.min():.3g} to {values.max():.3g}{rule}",
        expected="logits",
        fix="pass from_logits=False for probabilities, from_logits=True for logits",
    )


def _require_probabilities(prediction: Tensor, activation: Activation, where: str) -> None:
    values = concrete_values(prediction)
    if values is None:
        return
    fix = "pass from_logits=True for logits, or end the network with " + activation
    require(
        (values >= 0) & (values <= 1) | np.isnan(values),
        values,
        where,
        "from_logits=False, but not probabilities",
        expected="values from 0 to 1",
        fix=fix,
    )
    if activation == "softmax":
        total = values.sum(axis=-1)
        require(
            (np.abs(total - 1) <= _SUM_TOLERANCE) | np.isnan(total),
            total,
            where,
            "from_logits=False, but not probabilities: the sum over the classes is not 1",
            expected="1",
            fix=fix,
        )


def _epsilon(prediction: Tensor) -> float:
    return float(np.finfo(prediction.dtype).eps)


def class_log_probabilities(y_pred: TensorLike, from_logits: bool | None, where: str) -> Tensor:
    """``log p`` over the last axis, from logits or from probabilities."""
    values, are_logits = scores(y_pred, "softmax", from_logits, where)
    if are_logits:
        return functions.log_softmax(values, axis=-1)
    return functions.log(functions.maximum(values, _epsilon(values)))


class BinaryLogs(NamedTuple):
    """``log p`` and ``log(1 - p)``, neither of which rounds to ``log 0``."""

    log_p: Tensor
    log_rest: Tensor


def binary_log_probabilities(
    y_pred: TensorLike, from_logits: bool | None, where: str
) -> BinaryLogs:
    """The logarithms of the two probabilities of each element, from logits or from
    probabilities.
    """
    values, are_logits = scores(y_pred, "sigmoid", from_logits, where)
    if are_logits:
        return BinaryLogs(functions.log_sigmoid(values), functions.log_sigmoid(-values))
    epsilon = _epsilon(values)
    p = functions.clip(values, epsilon, 1 - epsilon)
    return BinaryLogs(functions.log(p), functions.log1p(-p))


def probabilities(y_pred: TensorLike, activation: Activation, from_logits: bool | None) -> Tensor:
    """Predictions as probabilities: themselves where they are, else the activation of the
    logits.
    """
    prediction = predictions_tensor(y_pred, activation)
    if prediction.origin is not None and prediction.origin[0] == activation:
        return prediction
    if from_logits is False and folded_activation(prediction, activation) is None:
        return prediction
    return (
        functions.softmax(prediction, axis=-1)
        if activation == "softmax"
        else functions.sigmoid(prediction)
    )
