"""Losses between distributions: KL divergence, Poisson and Gaussian likelihoods."""

import math
from typing import ClassVar

from chainrule.errors import ArgumentError, ShapeError
from chainrule.losses.base import Loss, Task
from chainrule.losses.entropies import ProbabilityLoss
from chainrule.losses.folding import class_log_probabilities
from chainrule.losses.inputs import TensorLike, align, paired, predictions_tensor
from chainrule.losses.targets import class_targets, expected_value
from chainrule.tensor import Tensor, functions
from chainrule.tensor.tensor import as_tensor


def kl_divergence(
    y_true: TensorLike, y_pred: TensorLike, *, from_logits: bool | None = None
) -> Tensor:
    """Kullback-Leibler divergence of predicted from true class probabilities.

    Formula: ``sum_c t_c (log t_c - log p_c)`` for each row, ``p = softmax(y_pred)``; terms with
    ``t_c = 0`` are 0.

    Shapes: y_true and y_pred ``(N, ..., C)``; result ``(N, ...)``.

    Args:
        y_true: probabilities ``t``; class numbers count as one-hot rows.
        y_pred: logits, or the output of softmax or log_softmax, which is folded in.
        from_logits: as in ``cross_entropy``.

    Returns:
        The loss of each row.

    Raises:
        ArgumentError: an array that looks like probabilities while ``from_logits`` is None.

    Example:
        >>> p = np.array([[0.5, 0.5]])
        >>> cr.losses.kl_divergence(p, np.log([[0.25, 0.75]])).numpy().round(4)
        array([0.1438])

    Differences: Keras takes probabilities; PyTorch's ``KLDivLoss`` takes log-probabilities (which
    are logits too) and by default divides by the number of classes as well.
    """
    log_p = class_log_probabilities(y_pred, from_logits, "kl_divergence")
    targets = class_targets(y_true, log_p.shape, "kl_divergence")
    cross = -expected_value(log_p, targets)
    t = targets.astype(log_p.dtype)
    positive = t > 0
    return cross + functions.sum(
        functions.where(positive, t * functions.log(functions.where(positive, t, 1.0)), 0.0),
        axis=-1,
    )


class KLDivergence(ProbabilityLoss):
    """Mean ``kl_divergence`` over the rows.

    Args:
        from_logits: None (default) takes logits or folds a final softmax in; False: probabilities.
        name: the name in messages and histories.

    Example:
        >>> float(cr.losses.KLDivergence()([[0.5, 0.5]], np.zeros((1, 2))))
        0.0
    """

    function = staticmethod(kl_divergence)
    task: ClassVar[Task] = "classes"
    activation = "softmax"


def poisson(y_true: TensorLike, y_pred: TensorLike, *, log_input: bool = False) -> Tensor:
    """Poisson likelihood of counts.

    Formula: ``mean_d (a - y log a)`` for each row, or ``mean_d (exp(a) - y a)`` with ``log_input``.

    Shapes: y_true and y_pred ``(N, ..., D)``, or ``(N,)`` beside ``(N, 1)``; result ``(N, ...)``.

    Args:
        y_true: counts ``y``, 0 or more.
        y_pred: expected counts ``a`` (clipped below at 1e-7), or their logarithms.
        log_input: whether the predictions are logarithms; the safer choice for a network without a
            final activation; default False.

    Returns:
        The loss of each row, without the terms that do not depend on the predictions.

    Raises:
        ShapeError: the shapes differ.

    Example:
        >>> cr.losses.poisson([[2.0]], [[1.0]]).numpy()
        array([1.], dtype=float32)

    Differences: Keras adds 1e-7 inside the logarithm; PyTorch's ``PoissonNLLLoss`` has
    ``log_input=True`` by default (the name ``"PoissonNLLLoss"`` gives that).
    """
    target, prediction = paired(y_true, y_pred, "poisson")
    if log_input:
        return functions.mean(functions.exp(prediction) - target * prediction, axis=-1)
    rate = functions.maximum(prediction, _RATE_FLOOR)
    return functions.mean(rate - target * functions.log(rate), axis=-1)


_RATE_FLOOR = 1e-7


class Poisson(Loss):
    """Mean ``poisson`` over the rows.

    Args:
        log_input: whether the predictions are logarithms of expected counts; default False.
        name: the name in messages and histories.

    Example:
        >>> float(cr.losses.Poisson(log_input=True)([2.0], [[0.0]]))
        1.0
    """

    function = staticmethod(poisson)
    task: ClassVar[Task] = "values"

    def __init__(self, log_input: bool = False, *, name: str | None = None) -> None:
        super().__init__(name=name, log_input=log_input)

    def predictions(self, y_pred: TensorLike) -> Tensor:
        """Expected counts."""
        prediction = predictions_tensor(y_pred, self.name)
        return functions.exp(prediction) if self.options["log_input"] else prediction

    def for_predictions(self) -> Loss:
        """The same loss with ``log_input=False``."""
        return Poisson(name=self.name)


def _mean_and_log_variance(y_pred: TensorLike, where: str) -> tuple[Tensor, Tensor]:
    prediction = predictions_tensor(y_pred, where)
    width = prediction.shape[-1] // 2
    if prediction.ndim < 2 or prediction.shape[-1] != 2 * width or width == 0:
        raise ShapeError(
            where,
            "wrong prediction shape",
            got=prediction.shape,
            expected="(batch, ..., 2 D): D means, then D logarithms of variances",
            fix="give the last layer two outputs for each target",
        )
    return prediction[..., :width], prediction[..., width:]


def gaussian_negative_log_likelihood(
    y_true: TensorLike, y_pred: TensorLike, *, full: bool = False, minimum_variance: float = 1e-6
) -> Tensor:
    """Likelihood of a normal distribution whose variance is predicted too.

    Formula: ``mean_d 1/2 (s + (y - m)^2 exp(-s) [+ log 2 pi])`` for each row, ``s`` the logarithm
    of the variance.

    Shapes: y_true ``(N, ..., D)`` (or ``(N,)`` for D = 1); y_pred ``(N, ..., 2 D)``: D means ``m``,
    then D ``s``; result ``(N, ...)``.

    Args:
        y_true: the targets ``y``.
        y_pred: means and logarithms of variances.
        full: add the constant ``1/2 log 2 pi``; default False.
        minimum_variance: smaller variances count as this; default 1e-6.

    Returns:
        The loss of each row.

    Raises:
        ShapeError: the predictions are not twice as wide as the targets.

    Example:
        >>> cr.losses.gaussian_negative_log_likelihood([[1.0]], [[3.0, 0.0]]).numpy()
        array([2.], dtype=float32)

    Differences: PyTorch's ``GaussianNLLLoss`` takes mean and variance as two arguments; not in
    Keras.

    Reference: Nix and Weigend, Estimating the mean and variance of the target probability
    distribution, 1994.
    """
    where = "gaussian_negative_log_likelihood"
    if not minimum_variance > 0:
        raise ArgumentError(
            where,
            "minimum_variance out of range",
            got=minimum_variance,
            expected="a positive number",
        )
    mean, log_variance = _mean_and_log_variance(y_pred, where)
    target = align(as_tensor(y_true), mean.shape, where).astype(mean.dtype)
    s = functions.maximum(log_variance, math.log(minimum_variance))
    constant = math.log(2 * math.pi) if full else 0.0
    return 0.5 * functions.mean(
        s + functions.square(target - mean) * functions.exp(-s) + constant, axis=-1
    )


class GaussianNegativeLogLikelihood(Loss):
    """Mean ``gaussian_negative_log_likelihood`` over the rows.

    Args:
        full: add the constant ``1/2 log 2 pi``; default False.
        minimum_variance: smaller variances count as this; default 1e-6.
        name: the name in messages and histories.

    Example:
        >>> float(cr.losses.GaussianNegativeLogLikelihood()([1.0], [[3.0, 0.0]]))
        2.0
    """

    function = staticmethod(gaussian_negative_log_likelihood)
    task: ClassVar[Task] = "values"

    def __init__(
        self, full: bool = False, minimum_variance: float = 1e-6, *, name: str | None = None
    ) -> None:
        super().__init__(name=name, full=full, minimum_variance=minimum_variance)

    def predictions(self, y_pred: TensorLike) -> Tensor:
        """The means alone, so that metrics compare them with the targets."""
        return _mean_and_log_variance(y_pred, self.name)[0]

    def for_predictions(self) -> Loss:
        """An error: means alone have no likelihood."""
        raise ArgumentError(
            self.name,
            "cannot be a metric",
            expected="a metric of the means",
            fix="use mean_squared_error or mean_absolute_error as the metric",
        )

    def check_targets(self, y_true: TensorLike, output_shape: tuple[int, ...]) -> None:
        """Half as many targets as outputs."""
        super().check_targets(y_true, (*output_shape[:-1], output_shape[-1] // 2))
