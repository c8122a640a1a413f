"""The area under the ROC curve, from histograms of the scores."""

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import ArgumentError
from chainrule.losses import Loss
from chainrule.losses.inputs import TensorLike, align, predictions_tensor
from chainrule.losses.targets import class_targets
from chainrule.metrics.base import Metric, batch_weights, sized_variables
from chainrule.tensor import Tensor, Variable, functions
from chainrule.tensor.tensor import as_tensor

_HALF = 8.0  # half of the bins lie between the log-odds -8 and 8
_LOW = 1e-30  # smaller probabilities leave the logarithmic scale
_SLOPE = 50.0  # of the straight lines for scores that are no probabilities


class AUC(Metric):
    """The area under the ROC curve: how likely a positive row outranks a negative one.

    Formula: the mean over pairs of a positive and a negative row of 1 (right order), 1/2 (equal) or
    0.

    Shapes: y_pred ``(N, 1)``, ``(N,)`` or ``(N, 2)`` for two classes; ``(N, ..., C)`` gives the
    mean of each class against the rest, or of each column with ``multi_label``.

    The scores of an epoch are kept as two histograms for each class, fine at both ends of the
    scale, so that memory does not grow with the data. Pairs within one bin count 1/2: the result
    differs from the exact area by at most ``error_bound``, usually by far less (on 1,000 random
    rows by less than 1e-4, on 20,000 by less than 1e-5).

    Args:
        bins: how many bins a histogram has; default 16384.
        from_logits: True for scores of any size instead of probabilities; default: what the loss
            says in ``fit``, else False (scores outside 0 to 1 are then still ranked, more
            coarsely).
        multi_label: True for independent yes/no columns; default: what the loss says in ``fit``,
            else False.
        name: the name in histories; default ``"auc"``.

    Example:
        >>> cr.metrics.AUC().compute([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
        0.75

    Differences: Keras's default has 200 equally wide bins; scikit-learn's ``roc_auc_score`` is
    exact and keeps every score.

    Reference: Fawcett, An introduction to ROC analysis, 2006.
    """

    default_name = "auc"

    def __init__(
        self,
        bins: int = 16384,
        from_logits: bool | None = None,
        multi_label: bool | None = None,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        if not 2 <= bins <= 2**20:
            raise ArgumentError(self.name, "bins out of range", got=bins, expected="2 to 1048576")
        self.bins = bins
        self.from_logits = from_logits
        self.multi_label = multi_label
        self._histograms: list[Variable] = []

    def adapt_to(self, loss: Loss) -> None:
        """Take from the loss whether scores are margins and whether columns are independent."""
        if self.from_logits is None:
            self.from_logits = loss.threshold == 0
        if self.multi_label is None and loss.task is not None:
            self.multi_label = loss.task == "binary"

    def _positive_and_scores(
        self, y_true: TensorLike, y_pred: TensorLike
    ) -> tuple[Tensor, Tensor, bool]:
        """Booleans and scores ``(N, ..., K)``, and whether the scores are log-odds or margins."""
        prediction = predictions_tensor(y_pred, self.name)
        target = as_tensor(y_true)
        margins = bool(self.from_logits)
        if prediction.origin is not None and prediction.origin[0] == "sigmoid":
            prediction, margins = prediction.origin[1], True
        if prediction.ndim == 1 or prediction.shape[-1] == 1 or self.multi_label:
            target = align(target, prediction.shape, self.name)
            if prediction.ndim == 1:
                target = functions.expand_dims(target, -1)
                prediction = functions.expand_dims(prediction, -1)
        else:
            target = class_targets(target, prediction.shape, self.name)
            if prediction.shape[-1] == 2:
                target, prediction = target[..., 1:], prediction[..., 1:]
        return target.astype("float64") > 0.5, prediction, margins

    def update(
        self, y_true: TensorLike, y_pred: TensorLike, sample_weight: TensorLike | None = None
    ) -> None:
        """Add the scores of a batch to the histograms."""
        positive, score, margins = self._positive_and_scores(y_true, y_pred)
        columns = score.shape[-1]
        size = (columns * 2 * self.bins,)
        self._histograms = sized_variables(self, self._histograms, ("histograms",), size)
        weights = batch_weights(sample_weight, score.shape[:-1], self.name)
        weights = functions.broadcast_to(functions.expand_dims(weights, -1), score.shape)
        weights = functions.where(functions.is_nan(score), float("nan"), weights)
        odds = score if margins else _log_odds(score)
        odds = functions.where(functions.is_nan(odds), 0.0, functions.clip(odds, -1e30, 1e30))
        place = 0.5 + 0.5 * odds / (_HALF + functions.abs(odds))
        place = functions.clip(functions.floor(place * self.bins), 0, self.bins - 1).astype("int32")
        row = functions.arange(columns, dtype="int32") * 2 + positive.astype("int32")
        index = functions.reshape(row * self.bins + place, (-1,))
        total = self._histograms[0]
        total.assign(functions.scatter_add(total, index, functions.reshape(weights, (-1,))))

    def _pairs(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Of each class: pairs in the right order, pairs within one bin, all pairs."""
        counts = self._histograms[0].numpy().reshape(-1, 2, self.bins)
        negative, positive = counts[:, 0], counts[:, 1]
        below = np.cumsum(negative, axis=-1) - negative
        right = (positive * below).sum(axis=-1)
        tied = (positive * negative).sum(axis=-1)
        return right, tied, positive.sum(axis=-1) * negative.sum(axis=-1)

    def result(self) -> float:
        """The area, the mean over classes that have both kinds of rows; NaN without any."""
        if not self._histograms:
            return float("nan")
        right, tied, pairs = self._pairs()
        known = pairs != 0
        return (
            float(((right + tied / 2)[known] / pairs[known]).mean())
            if known.any()
            else float("nan")
        )

    @property
    def error_bound(self) -> float:
        """How far the exact area can be from ``result``: half of the share of pairs within one bin.

        Equal scores are counted in it although they are exact.
        """
        if not self._histograms:
            return float("nan")
        _, tied, pairs = self._pairs()
        known = pairs != 0
        return float((tied[known] / pairs[known]).mean() / 2) if known.any() else float("nan")


def _log_odds(score: Tensor) -> Tensor:
    """``log(p / (1 - p))``, continued as straight lines where the score leaves 1e-30 to 1 - eps."""
    p = functions.clip(score, _LOW, 1 - float(np.finfo(score.dtype).epsneg))
    return functions.log(p) - functions.log1p(-p) + _SLOPE * (score - p)
