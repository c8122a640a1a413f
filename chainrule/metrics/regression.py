"""Metrics of values: the root of the mean squared error, and R2."""

import math

import numpy as np

from chainrule.losses.inputs import TensorLike, paired, predictions_tensor
from chainrule.losses.regression import mean_squared_error
from chainrule.metrics.base import Mean, Metric, batch_weights, sized_variables
from chainrule.tensor import Tensor, Variable, functions


class RootMeanSquaredError(Mean):
    """The root of the mean squared error, in the units of the targets.

    Formula: ``sqrt(mean((y - a)^2))`` over rows and columns of the epoch.

    Shapes: y_true and y_pred ``(N, ..., D)``, or ``(N,)`` beside ``(N, 1)``.

    Args:
        name: the name in histories; default ``"rmse"``.

    Example:
        >>> cr.metrics.RootMeanSquaredError().compute([0.0, 0.0], [3.0, -3.0])
        3.0

    Differences: scikit-learn takes the root of each column before the mean over columns.
    """

    direction = "min"
    default_name = "rmse"

    def per_row(self, y_true: TensorLike, y_pred: TensorLike) -> Tensor:
        """The mean squared error of each row."""
        return mean_squared_error(y_true, y_pred)

    def result(self) -> float:
        """The root of the mean."""
        return math.sqrt(super().result())


class R2(Metric):
    """The share of the targets' variance that the predictions explain: 1 is perfect, 0 the mean's.

    Formula: ``1 - sum w (y - a)^2 / sum w (y - mean(y))^2`` for each column, then their plain mean.
    A column of equal targets counts 1 when it is met exactly, else 0.

    Shapes: y_true and y_pred ``(N, ..., D)``, or ``(N,)`` beside ``(N, 1)``.

    The variance is merged from batch to batch around running means, so that it loses no digits to
    large offsets.

    Args:
        name: the name in histories; default ``"r2"``.

    Example:
        >>> cr.metrics.R2().compute([1.0, 2.0, 3.0], [1.0, 2.0, 4.0])
        0.5

    Differences: scikit-learn's ``r2_score`` with its defaults; Keras's ``R2Score`` likewise.

    Reference: Chan, Golub and LeVeque, Algorithms for computing the sample variance, 1983.
    """

    default_name = "r2"

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self._sums: list[Variable] = []

    def update(
        self, y_true: TensorLike, y_pred: TensorLike, sample_weight: TensorLike | None = None
    ) -> None:
        """Merge the sums of a batch into those of the epoch."""
        prediction = predictions_tensor(y_pred, self.name).astype("float64")
        target, prediction = paired(y_true, prediction, self.name)
        columns = target.shape[-1]
        names = ("weight", "mean", "spread", "residual")
        self._sums = sized_variables(self, self._sums, names, (columns,))
        weights = batch_weights(sample_weight, target.shape[:-1], self.name)
        w = functions.reshape(weights, (-1, 1))
        t, p = (functions.reshape(x, (-1, columns)) for x in (target, prediction))
        weight, mean, spread, residual = self._sums
        added = functions.sum(w)
        batch_mean = functions.sum(w * t, axis=0) / _nonzero(added)
        total = weight + added
        step = batch_mean - mean
        inside = functions.sum(w * functions.square(t - batch_mean), axis=0)
        between = functions.square(step) * weight * added / _nonzero(total)
        spread.assign_add(inside + between)
        mean.assign_add(step * added / _nonzero(total))
        weight.assign(total)
        residual.assign_add(functions.sum(w * functions.square(t - p), axis=0))

    def result(self) -> float:
        """The mean of the columns' values."""
        if not self._sums:
            return float("nan")
        weight, _, spread, residual = (v.numpy() for v in self._sums)
        if not weight.any():
            return float("nan")
        flat = spread == 0
        values = np.where(flat, residual == 0, 1 - residual / np.where(flat, 1.0, spread))
        return float(values.mean())


def _nonzero(x: Tensor) -> Tensor:
    return functions.where(functions.equal(x, 0), 1.0, x)
