"""Targets: read, aligned with the model's outputs, checked against the loss."""

from typing import Any

import numpy as np

from chainrule.errors import DataError, ShapeError
from chainrule.losses import Loss
from chainrule.tensor import Tensor
from chainrule.training.inputs import LABEL_FIX, Array, as_array, cast_array
from chainrule.training.weights import class_numbers


def as_targets(y: Any, rows: int, where: str) -> Array:
    """Read targets: one for each row of x.

    Raises:
        DataError: missing, text, not finite, or another number of rows than x.
    """
    if y is None:
        raise DataError(
            where,
            "targets are missing",
            got="y=None",
            fix="pass y, one target for each row of x (y=x for a network that copies its input)",
        )
    if isinstance(y, dict) or (isinstance(y, tuple) and any(np.ndim(part) for part in y)):
        raise DataError(
            where,
            "several sets of targets",
            got=f"a {type(y).__name__} of {len(y)}",
            expected="one array",
            fix="join them into one array, or train with GradientTape and a loss for each output",
        )
    targets = as_array(y, "y", where, text_fix=LABEL_FIX)
    if len(targets) != rows:
        raise DataError(
            where,
            "x and y have different lengths",
            got=f"{rows} rows in x, {len(targets)} in y",
            expected="one target for each row",
            fix="check how x and y were made; the rows must belong together",
        )
    return targets


def fit_targets(y: Array, outputs: Any, loss: Loss, where: str) -> Array:
    """Targets aligned with the model's outputs, in their dtype if floating, and checked against the
    loss.

    ``(N,)`` targets of ``(N, 1)`` outputs become ``(N, 1)`` and the other way round: nothing is
    ever broadcast to ``(N, N)``.

    Args:
        y: targets ``(N, ...)``.
        outputs: what the model returned for some rows.
        loss: the loss that will compare them.
        where: who asks, for messages.

    Raises:
        ShapeError: the model does not return one tensor, or the targets do not fit it under this
            loss.
        DataError: targets that the loss cannot take, such as class numbers outside the width of the
            outputs.
    """
    if not isinstance(outputs, Tensor):
        raise ShapeError(
            where,
            "the model returns more than one output",
            got=type(outputs).__name__,
            expected="one tensor from call",
            fix="join the outputs with cr.concatenate, or write the loop with GradientTape",
        )
    inner = outputs.shape[1:]
    if (*y.shape[1:], 1) == inner or y.shape[1:] == (*inner, 1):
        y = y.reshape(len(y), *inner)
    loss.check_targets(y, inner)
    return cast_array(y, outputs.dtype, "y", where) if outputs.dtype.kind == "f" else y


def stratify_labels(y: Array, loss: Loss) -> Array | None:
    """The class of each row where the loss is one for classes, else None."""
    one_output = y.ndim == 1 or (y.ndim == 2 and y.shape[1] == 1)
    if loss.task == "classes" or (loss.task == "binary" and one_output):
        return class_numbers(y)
    return None
