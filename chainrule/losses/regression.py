"""Losses of values: squared, absolute and relative errors, and what lies between them."""

import math
from typing import ClassVar

from chainrule.errors import ArgumentError
from chainrule.losses.base import Loss, Task
from chainrule.losses.inputs import TensorLike, concrete_values, paired, require
from chainrule.tensor import Tensor, functions

_RELATIVE_FLOOR = 1e-7  # as in Keras: what a target of 0 is divided by


def half_squared_error(y_true: TensorLike, y_pred: TensorLike) -> Tensor:
    """Half the squared distance, whose derivative is simply ``a - y``.

    Formula: ``1/2 sum_d (y - a)^2`` for each row.

    Shapes: y_true and y_pred ``(N, ..., D)``, or ``(N,)`` beside ``(N, 1)``; result ``(N, ...)``.

    Args:
        y_true: the targets ``y``.
        y_pred: the predictions ``a``.

    Returns:
        The loss of each row.

    Raises:
        ShapeError: the shapes differ.

    Example:
        >>> cr.losses.half_squared_error([[1.0, 2.0]], [[2.0, 4.0]]).numpy()
        array([2.5], dtype=float32)

    Differences: not in Keras or PyTorch; ``mean_squared_error`` is ``2 / D`` times this.

    Reference: Rumelhart, Hinton and Williams, Learning representations by back-propagating errors,
    1986.
    """
    target, prediction = paired(y_true, y_pred, "half_squared_error")
    return 0.5 * functions.sum(functions.square(prediction - target), axis=-1)


class HalfSquaredError(Loss):
    """Mean ``half_squared_error`` over the rows: the textbook error of backpropagation.

    Args:
        name: the name in messages and histories.

    Example:
        >>> float(cr.losses.HalfSquaredError()([[1.0, 2.0]], [[2.0, 4.0]]))
        2.5
    """

    function = staticmethod(half_squared_error)
    task: ClassVar[Task] = "values"


def mean_squared_error(y_true: TensorLike, y_pred: TensorLike) -> Tensor:
    """Mean squared error.

    Formula: ``mean_d (y - a)^2`` for each row.

    Shapes: y_true and y_pred ``(N, ..., D)``, or ``(N,)`` beside ``(N, 1)``; result ``(N, ...)``.

    Args:
        y_true: the targets ``y``.
        y_pred: the predictions ``a``.

    Returns:
        The loss of each row, as in Keras; ``MeanSquaredError()`` gives the mean over rows, as in
        PyTorch.

    Raises:
        ShapeError: the shapes differ.

    Example:
        >>> cr.losses.mean_squared_error([[1.0, 2.0]], [[2.0, 4.0]]).numpy()
        array([2.5], dtype=float32)
    """
    target, prediction = paired(y_true, y_pred, "mean_squared_error")
    return functions.mean(functions.square(prediction - target), axis=-1)


class MeanSquaredError(Loss):
    """Mean ``mean_squared_error`` over the rows.

    Args:
        name: the name in messages and histories.

    Example:
        >>> loss = cr.losses.MeanSquaredError()
        >>> float(loss([1.0, 2.0], [[2.0], [4.0]]))
        2.5
        >>> float(loss([1.0, 2.0], [[2.0], [4.0]], sample_weight=[3.0, 1.0]))
        1.75
    """

    function = staticmethod(mean_squared_error)
    task: ClassVar[Task] = "values"


def mean_absolute_error(y_true: TensorLike, y_pred: TensorLike) -> Tensor:
    """Mean absolute error.

    Formula: ``mean_d |y - a|`` for each row; the derivative at 0 is taken as 0.

    Shapes: y_true and y_pred ``(N, ..., D)``, or ``(N,)`` beside ``(N, 1)``; result ``(N, ...)``.

    Args:
        y_true: the targets ``y``.
        y_pred: the predictions ``a``.

    Returns:
        The loss of each row.

    Raises:
        ShapeError: the shapes differ.

    Example:
        >>> cr.losses.mean_absolute_error([[1.0, 2.0]], [[2.0, 4.0]]).numpy()
        array([1.5], dtype=float32)
    """
    target, prediction = paired(y_true, y_pred, "mean_absolute_error")
    return functions.mean(functions.abs(prediction - target), axis=-1)


class MeanAbsoluteError(Loss):
    """Mean ``mean_absolute_error`` over the rows; PyTorch's ``L1Loss``.

    Args:
        name: the name in messages and histories.

    Example:
        >>> float(cr.losses.MeanAbsoluteError()([1.0, 2.0], [[2.0], [4.0]]))
        1.5
    """

    function = staticmethod(mean_absolute_error)
    task: ClassVar[Task] = "values"


def mean_absolute_percentage_error(y_true: TensorLike, y_pred: TensorLike) -> Tensor:
    """Mean absolute error relative to the targets, in percent.

    Formula: ``100 mean_d |y - a| / max(|y|, 1e-7)`` for each row.

    Shapes: y_true and y_pred ``(N, ..., D)``, or ``(N,)`` beside ``(N, 1)``; result ``(N, ...)``.

    Args:
        y_true: the targets ``y``; those near 0 dominate the loss.
        y_pred: the predictions ``a``.

    Returns:
        The loss of each row.

    Raises:
        ShapeError: the shapes differ.

    Example:
        >>> cr.losses.mean_absolute_percentage_error([[2.0, 4.0]], [[3.0, 4.0]]).numpy()
        array([25.], dtype=float32)

    Differences: as in Keras; scikit-learn's metric of this name is a fraction, not percent.
    """
    target, prediction = paired(y_true, y_pred, "mean_absolute_percentage_error")
    scale = functions.maximum(functions.abs(target), _RELATIVE_FLOOR)
    return 100 * functions.mean(functions.abs(prediction - target) / scale, axis=-1)


class MeanAbsolutePercentageError(Loss):
    """Mean ``mean_absolute_percentage_error`` over the rows.

    Args:
        name: the name in messages and histories.

    Example:
        >>> float(cr.losses.MeanAbsolutePercentageError()([2.0, 4.0], [[3.0], [4.0]]))
        25.0
    """

    function = staticmethod(mean_absolute_percentage_error)
    task: ClassVar[Task] = "values"


def mean_squared_logarithmic_error(y_true: TensorLike, y_pred: TensorLike) -> Tensor:
    """Mean squared error of logarithms: relative errors of non-negative values.

    Formula: ``mean_d (log(1 + y) - log(1 + max(a, 0)))^2`` for each row.

    Shapes: y_true and y_pred ``(N, ..., D)``, or ``(N,)`` beside ``(N, 1)``; result ``(N, ...)``.

    Args:
        y_true: the targets ``y``, 0 or more.
        y_pred: the predictions ``a``; negative ones count as 0 and get no gradient, so end the
            network with softplus or exponential.

    Returns:
        The loss of each row.

    Raises:
        ShapeError: the shapes differ.
        DataError: a negative target, named with its row.

    Example:
        >>> cr.losses.mean_squared_logarithmic_error([[0.0]], [[1.0]]).numpy().round(4)
        array([0.4805], dtype=float32)
    """
    where = "mean_squared_logarithmic_error"
    target, prediction = paired(y_true, y_pred, where)
    _require_not_negative(target, where)
    difference = functions.log1p(functions.maximum(prediction, 0.0)) - functions.log1p(
        functions.maximum(target, 0.0)
    )
    return functions.mean(functions.square(difference), axis=-1)


def _require_not_negative(target: Tensor, where: str) -> None:
    values = concrete_values(target)
    if values is not None:
        require(
            ~(values < 0),
            values,
            where,
            "negative target",
            expected="0 or more",
            fix="use another loss, such as mean_squared_error, or shift the targets",
        )


class MeanSquaredLogarithmicError(Loss):
    """Mean ``mean_squared_logarithmic_error`` over the rows.

    Args:
        name: the name in messages and histories.

    Example:
        >>> float(cr.losses.MeanSquaredLogarithmicError()([0.0, 3.0], [[0.0], [3.0]]))
        0.0
    """

    function = staticmethod(mean_squared_logarithmic_error)
    task: ClassVar[Task] = "values"


def huber(y_true: TensorLike, y_pred: TensorLike, *, delta: float = 1.0) -> Tensor:
    """Squared for small errors, absolute for large ones: outliers pull with a bounded force.

    Formula: ``mean_d h(y - a)`` for each row, ``h(e) = e^2 / 2`` for ``|e| <= delta``, else
    ``delta |e| - delta^2 / 2``.

    Shapes: y_true and y_pred ``(N, ..., D)``, or ``(N,)`` beside ``(N, 1)``; result ``(N, ...)``.

    Args:
        y_true: the targets ``y``.
        y_pred: the predictions ``a``.
        delta: where the parabola ends; default 1.

    Returns:
        The loss of each row.

    Raises:
        ArgumentError: delta is not positive.

    Example:
        >>> cr.losses.huber([[0.0, 0.0]], [[1.0, 3.0]]).numpy()
        array([1.5], dtype=float32)

    Reference: Huber, Robust estimation of a location parameter, 1964.
    """
    if not delta > 0:
        raise ArgumentError("huber", "delta out of range", got=delta, expected="a positive number")
    target, prediction = paired(y_true, y_pred, "huber")
    error = prediction - target
    bounded = functions.clip(error, -delta, delta)
    return functions.mean(bounded * (error - 0.5 * bounded), axis=-1)


class Huber(Loss):
    """Mean ``huber`` over the rows; PyTorch's ``HuberLoss``, and ``SmoothL1Loss`` for ``delta=1``.

    Args:
        delta: where the parabola ends; default 1.
        name: the name in messages and histories.

    Example:
        >>> float(cr.losses.Huber(delta=2.0)([0.0], [[1.0]]))
        0.5
    """

    function = staticmethod(huber)
    task: ClassVar[Task] = "values"

    def __init__(self, delta: float = 1.0, *, name: str | None = None) -> None:
        super().__init__(name=name, delta=delta)


def log_cosh(y_true: TensorLike, y_pred: TensorLike) -> Tensor:
    """Logarithm of the hyperbolic cosine of the error: near ``e^2 / 2``, then ``|e| - log 2``, and
    smooth.

    Formula: ``mean_d log cosh(a - y)`` for each row.

    Shapes: y_true and y_pred ``(N, ..., D)``, or ``(N,)`` beside ``(N, 1)``; result ``(N, ...)``.

    Args:
        y_true: the targets ``y``.
        y_pred: the predictions ``a``.

    Returns:
        The loss of each row.

    Raises:
        ShapeError: the shapes differ.

    Example:
        >>> cr.losses.log_cosh([[0.0]], [[1.0]]).numpy().round(4)
        array([0.4338], dtype=float32)
    """
    target, prediction = paired(y_true, y_pred, "log_cosh")
    error = prediction - target
    # log cosh e = e + log(1 + exp(-2 e)) - log 2, which does not overflow.
    return functions.mean(error + functions.softplus(-2 * error) - math.log(2), axis=-1)


class LogCosh(Loss):
    """Mean ``log_cosh`` over the rows.

    Args:
        name: the name in messages and histories.

    Example:
        >>> round(float(cr.losses.LogCosh()([0.0], [[1.0]])), 4)
        0.4338
    """

    function = staticmethod(log_cosh)
    task: ClassVar[Task] = "values"


def quantile_loss(y_true: TensorLike, y_pred: TensorLike, *, quantile: float = 0.5) -> Tensor:
    """Pinball loss: its minimiser is a quantile of the targets instead of their mean.

    Formula: ``mean_d max(q e, (q - 1) e)`` for each row, ``e = y - a``.

    Shapes: y_true and y_pred ``(N, ..., D)``, or ``(N,)`` beside ``(N, 1)``; result ``(N, ...)``.

    Args:
        y_true: the targets ``y``.
        y_pred: the predictions ``a``.
        quantile: ``q``, between 0 and 1; default 0.5, the median.

    Returns:
        The loss of each row.

    Raises:
        ArgumentError: the quantile is not between 0 and 1.

    Example:
        >>> cr.losses.quantile_loss([[1.0], [1.0]], [[0.0], [2.0]], quantile=0.75).numpy()
        array([0.75, 0.25], dtype=float32)

    Differences: not in Keras or PyTorch; scikit-learn's ``mean_pinball_loss(alpha=q)``.

    Reference: Koenker and Bassett, Regression quantiles, 1978.
    """
    if not 0 < quantile < 1:
        raise ArgumentError(
            "quantile_loss",
            "quantile out of range",
            got=quantile,
            expected="a number between 0 and 1",
        )
    target, prediction = paired(y_true, y_pred, "quantile_loss")
    error = target - prediction
    return functions.mean(functions.maximum(quantile * error, (quantile - 1) * error), axis=-1)


class Quantile(Loss):
    """Mean ``quantile_loss`` over the rows.

    Args:
        quantile: between 0 and 1; default 0.5, the median.
        name: the name in messages and histories.

    Example:
        >>> float(cr.losses.Quantile(0.75)([1.0, 1.0], [[0.0], [2.0]]))
        0.5
    """

    function = staticmethod(quantile_loss)
    task: ClassVar[Task] = "values"

    def __init__(self, quantile: float = 0.5, *, name: str | None = None) -> None:
        super().__init__(name=name, quantile=quantile)


def cosine_similarity(y_true: TensorLike, y_pred: TensorLike) -> Tensor:
    """Negative cosine of the angle between target and prediction: -1 for the same direction, 1 for
    opposite ones.

    Formula: ``-(y . a) / (max(|y|, 1e-8) max(|a|, 1e-8))`` for each row.

    Shapes: y_true and y_pred ``(N, ..., D)``; result ``(N, ...)``.

    Args:
        y_true: the targets ``y``.
        y_pred: the predictions ``a``.

    Returns:
        The loss of each row.

    Raises:
        ShapeError: the shapes differ.

    Example:
        >>> cr.losses.cosine_similarity([[1.0, 0.0]], [[3.0, 4.0]]).numpy().round(4)
        array([-0.6], dtype=float32)

    Differences: as in Keras; PyTorch's function of this name is positive.
    """
    target, prediction = paired(y_true, y_pred, "cosine_similarity")
    squares = functions.maximum(
        functions.sum(functions.square(target), axis=-1), 1e-16
    ) * functions.maximum(functions.sum(functions.square(prediction), axis=-1), 1e-16)
    return -functions.sum(target * prediction, axis=-1) * functions.rsqrt(squares)


class CosineSimilarity(Loss):
    """Mean ``cosine_similarity`` (negative, so that less is better) over the rows.

    Args:
        name: the name in messages and histories.

    Example:
        >>> float(cr.losses.CosineSimilarity()([[1.0, 0.0]], [[3.0, 0.0]]))
        -1.0
    """

    function = staticmethod(cosine_similarity)
    task: ClassVar[Task] = "values"
