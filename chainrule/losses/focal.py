"""Focal losses: cross-entropies in which easy rows count less."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from chainrule.errors import ArgumentError
from chainrule.losses.base import Task
from chainrule.losses.entropies import ProbabilityLoss, row_mean
from chainrule.losses.folding import binary_log_probabilities, class_log_probabilities
from chainrule.losses.inputs import TensorLike
from chainrule.losses.targets import (
    binary_targets,
    class_targets,
    expected_value,
    require_smoothing,
)
from chainrule.tensor import Tensor, functions


def binary_focal_cross_entropy(
    y_true: TensorLike,
    y_pred: TensorLike,
    *,
    from_logits: bool | None = None,
    gamma: float = 2.0,
    alpha: float | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Binary cross-entropy in which well classified rows count less.

    Formula: ``-mean_d [a t (1 - p)^gamma log p + b (1 - t) p^gamma log(1 - p)]`` for each row,
    ``p = sigmoid(y_pred)``, ``a = alpha, b = 1 - alpha`` (both 1 without alpha).

    Shapes: y_true and y_pred ``(N, ..., D)``, or ``(N,)`` beside ``(N, 1)``; result ``(N, ...)``.

    Args:
        y_true: 0 or 1, or values between.
        y_pred: logits, or the output of sigmoid, which is folded in.
        from_logits: as in ``binary_cross_entropy``.
        gamma: how much easy rows are turned down; 0 is plain cross-entropy; default 2.
        alpha: the weight of class 1 against class 0; default None, equal weights of 1.
        label_smoothing: as in ``binary_cross_entropy``.

    Returns:
        The loss of each row.

    Raises:
        ArgumentError: a negative gamma, an alpha outside 0 to 1.

    Example:
        >>> logits = np.array([[3.0], [-2.0]])
        >>> cr.losses.binary_focal_cross_entropy([1, 0], logits).numpy().round(5)
        array([0.00011, 0.0018 ])

    Differences: Keras multiplies by ``1 - p_t`` with one ``p_t`` also for targets between 0 and 1;
    equal for 0 and 1.

    Reference: Lin and others, Focal loss for dense object detection, 2017.
    """
    where = "binary_focal_cross_entropy"
    _require_gamma(gamma, where)
    require_smoothing(label_smoothing, where)
    if alpha is not None and not 0 <= alpha <= 1:
        raise ArgumentError(
            where, "alpha out of range", got=alpha, expected="0 <= alpha <= 1, or None"
        )
    positive, negative = (1.0, 1.0) if alpha is None else (alpha, 1 - alpha)
    log_p, log_rest = binary_log_probabilities(y_pred, from_logits, where)
    t = binary_targets(y_true, log_p, where, label_smoothing)
    # (1 - p)^gamma as exp(gamma log(1 - p)): smooth for every gamma, also where 1 - p rounds to 0.
    hit = positive * t * functions.exp(gamma * log_rest) * log_p
    miss = negative * (1 - t) * functions.exp(gamma * log_p) * log_rest
    return row_mean(-(hit + miss))


class BinaryFocalCrossEntropy(ProbabilityLoss):
    """Mean ``binary_focal_cross_entropy`` over the rows.

    Args:
        gamma: how much easy rows are turned down; default 2.
        alpha: the weight of class 1 against class 0; default None, equal weights.
        from_logits: None (default) takes logits or folds a final sigmoid in; False: probabilities.
        label_smoothing: how far targets move towards 1/2; default 0.
        name: the name in messages and histories.

    Example:
        >>> loss = cr.losses.BinaryFocalCrossEntropy(gamma=0.0)
        >>> round(float(loss([1, 0], np.zeros((2, 1)))), 4)
        0.6931
    """

    function = staticmethod(binary_focal_cross_entropy)
    task: ClassVar[Task] = "binary"
    activation = "sigmoid"

    def __init__(
        self,
        *,
        gamma: float = 2.0,
        alpha: float | None = None,
        from_logits: bool | None = None,
        label_smoothing: float = 0.0,
        name: str | None = None,
    ) -> None:
        options = {"gamma": gamma, "alpha": alpha, "label_smoothing": label_smoothing}
        super().__init__(from_logits, name=name, **options)


def focal_cross_entropy(
    y_true: TensorLike,
    y_pred: TensorLike,
    *,
    from_logits: bool | None = None,
    gamma: float = 2.0,
    alpha: float | Sequence[float] | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy of one class among several in which well classified rows count less.

    Formula: ``-sum_c alpha_c t_c (1 - p_c)^gamma log p_c`` for each row, ``p = softmax(y_pred)``.

    Shapes: as in ``cross_entropy``: class numbers or one-hot rows.

    Args:
        y_true: the classes.
        y_pred: logits, or the output of softmax or log_softmax, which is folded in.
        from_logits: as in ``cross_entropy``.
        gamma: how much easy rows are turned down; 0 is plain cross-entropy; default 2.
        alpha: a weight for each class, or one for all; default None, 1.
        label_smoothing: as in ``cross_entropy``.

    Returns:
        The loss of each row.

    Raises:
        ArgumentError: a negative gamma, a wrong number of alphas.

    Example:
        >>> logits = np.array([[2.0, 0.0, 0.0]])
        >>> cr.losses.focal_cross_entropy([0], logits).numpy().round(4)
        array([0.0109])

    Differences: Keras's ``alpha`` is 0.25 by default.

    Reference: Lin and others, Focal loss for dense object detection, 2017.
    """
    where = "focal_cross_entropy"
    _require_gamma(gamma, where)
    require_smoothing(label_smoothing, where)
    log_p = class_log_probabilities(y_pred, from_logits, where)
    targets = class_targets(y_true, log_p.shape, where)
    # The smallest 1 - p that the dtype tells from 0 keeps the power differentiable for every gamma.
    rest = functions.maximum(1 - functions.exp(log_p), float(np.finfo(log_p.dtype).eps))
    values = functions.power(rest, gamma) * log_p if gamma else log_p
    if alpha is not None:
        weights = np.asarray(alpha, log_p.dtype)
        if weights.shape not in ((), log_p.shape[-1:]):
            raise ArgumentError(
                where,
                "wrong number of alphas",
                got=weights.shape,
                expected=f"{log_p.shape[-1:]}, one a class",
            )
        values = values * weights
    return -expected_value(values, targets, label_smoothing)


class FocalCrossEntropy(ProbabilityLoss):
    """Mean ``focal_cross_entropy`` over the rows; Keras's ``CategoricalFocalCrossentropy``.

    Args:
        gamma: how much easy rows are turned down; default 2.
        alpha: a weight for each class, or one for all; default None, 1.
        from_logits: None (default) takes logits or folds a final softmax in; False: probabilities.
        label_smoothing: how much of each target is spread over all classes; default 0.
        name: the name in messages and histories.

    Example:
        >>> loss = cr.losses.FocalCrossEntropy(gamma=0.0)
        >>> round(float(loss([1, 0], np.zeros((2, 4)))), 4)
        1.3863
    """

    function = staticmethod(focal_cross_entropy)
    task: ClassVar[Task] = "classes"
    activation = "softmax"

    def __init__(
        self,
        *,
        gamma: float = 2.0,
        alpha: float | Sequence[float] | None = None,
        from_logits: bool | None = None,
        label_smoothing: float = 0.0,
        name: str | None = None,
    ) -> None:
        options = {"gamma": gamma, "alpha": alpha, "label_smoothing": label_smoothing}
        super().__init__(from_logits, name=name, **options)


def _require_gamma(gamma: float, where: str) -> None:
    if gamma < 0:
        raise ArgumentError(where, "negative gamma", got=gamma, expected="0 or more")
