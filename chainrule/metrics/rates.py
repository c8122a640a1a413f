"""Precision, recall and F1, from counts over the whole epoch."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import ArgumentError
from chainrule.losses import Loss
from chainrule.losses.inputs import TensorLike
from chainrule.metrics.base import Metric, Result, batch_weights, sized_variables
from chainrule.metrics.decoding import indicators
from chainrule.tensor import Variable, functions

Average = Literal["auto", "binary", "macro", "micro", "weighted"]
AVERAGES = ("auto", "binary", "macro", "micro", "weighted", None)

Counts = NDArray[np.float64]


class CountRatio(Metric):
    """Base of the metrics that divide counts: hits, predicted and actual rows of each class.

    Args:
        average: how classes become one number: ``"binary"`` the positive class alone (class 1 of
            two), ``"macro"`` the plain mean over classes that occur, ``"weighted"`` their mean
            weighted by actual rows, ``"micro"`` all counts added up first, None an array with one
            value a class; ``"auto"`` (default) is binary for one column and macro for more.
        threshold: a single score above it counts as yes; default 0.5 (0 for hinge losses in
            ``fit``).
        multi_label: True for independent yes/no columns; default: what the loss says in ``fit``,
            else False.
        num_classes: needed only where predictions are class numbers instead of scores.
        name: the name in histories.
    """

    def __init__(
        self,
        average: Average | None = "auto",
        threshold: float | None = None,
        multi_label: bool | None = None,
        num_classes: int | None = None,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        if average not in AVERAGES:
            raise ArgumentError(
                self.name,
                "unknown average",
                got=repr(average),
                expected="one of " + ", ".join(map(repr, AVERAGES)),
            )
        self.average = average
        self.threshold = threshold
        self.multi_label = multi_label
        self.num_classes = num_classes
        self._counts: list[Variable] = []

    def ratio(self, hits: Counts, predicted: Counts, actual: Counts) -> tuple[Counts, Counts]:
        """Numerator and denominator of the metric, from the counts of each class."""
        raise NotImplementedError

    def adapt_to(self, loss: Loss) -> None:
        """Take the threshold and the kind of outputs from the loss."""
        if self.threshold is None:
            self.threshold = loss.threshold
        if self.multi_label is None and loss.task is not None:
            self.multi_label = loss.task == "binary"

    def update(
        self, y_true: TensorLike, y_pred: TensorLike, sample_weight: TensorLike | None = None
    ) -> None:
        """Add the counts of a batch."""
        found = indicators(
            y_true,
            y_pred,
            threshold=0.5 if self.threshold is None else self.threshold,
            multi_label=self.multi_label,
            num_classes=self.num_classes,
            where=self.name,
        )
        columns = found.true.shape[-1]
        if self.average == "binary" and columns > 2:
            raise ArgumentError(
                self.name,
                "average='binary' with more than two classes",
                got=f"{columns} classes",
                expected="one of 'macro', 'micro', 'weighted', None",
            )
        names = ("hits", "predicted", "actual")
        self._counts = sized_variables(self, self._counts, names, (columns,))
        weights = batch_weights(sample_weight, found.leading, self.name)
        weights = functions.reshape(weights, (-1, 1))
        both = found.true & found.predicted
        for variable, members in zip(
            self._counts, (both, found.predicted, found.true), strict=True
        ):
            variable.assign_add(functions.sum(weights * members.astype("float64"), axis=0))

    def result(self) -> Result:
        """The averaged ratio; a class without a denominator counts as 0."""
        if not self._counts:
            return float("nan")
        hits, predicted, actual = (v.numpy() for v in self._counts)
        average = self.average
        if average == "auto":
            average = "binary" if len(hits) == 1 else "macro"
        if average == "micro":
            hits, predicted, actual = (c.sum(keepdims=True) for c in (hits, predicted, actual))
        values = _divide(*self.ratio(hits, predicted, actual))
        if average is None:
            return values
        if average in ("binary", "micro"):
            return float(values[-1])
        weights = actual if average == "weighted" else ((predicted > 0) | (actual > 0)) * 1.0
        total = weights.sum()
        return float((weights * values).sum() / total) if total else float("nan")


def _divide(numerator: Counts, denominator: Counts) -> NDArray[Any]:
    return numerator / np.where(denominator == 0, 1.0, denominator)


class Precision(CountRatio):
    """Of the rows that were called positive, the share that is.

    Formula: ``hits / predicted`` for each class, averaged as ``average`` says.

    Shapes: y_pred ``(N, ..., C)`` scores with class numbers or one-hot rows, ``(N, 1)`` or ``(N,)``
    scores, or class numbers in the shape of y_true.

    Args:
        average: ``"auto"`` (default), ``"binary"``, ``"macro"``, ``"micro"``, ``"weighted"`` or
            None.
        threshold: a single score above it counts as yes; default 0.5.
        multi_label: True for independent yes/no columns.
        num_classes: needed only where predictions are class numbers.
        name: the name in histories; default ``"precision"``.

    Example:
        >>> cr.metrics.Precision().compute([0, 1, 1], [0.8, 0.9, 0.1])
        0.5

    Differences: ``"binary"``, ``"macro"``, ``"micro"`` and ``"weighted"`` are scikit-learn's;
    Keras's class compares every column of one-hot rows with the threshold.
    """

    default_name = "precision"

    def ratio(self, hits: Counts, predicted: Counts, actual: Counts) -> tuple[Counts, Counts]:
        """Hits among the rows that were predicted."""
        return hits, predicted


class Recall(CountRatio):
    """Of the rows that are positive, the share that was found.

    Formula: ``hits / actual`` for each class, averaged as ``average`` says.

    Shapes: as for ``Precision``.

    Args:
        average: ``"auto"`` (default), ``"binary"``, ``"macro"``, ``"micro"``, ``"weighted"`` or
            None.
        threshold: a single score above it counts as yes; default 0.5.
        multi_label: True for independent yes/no columns.
        num_classes: needed only where predictions are class numbers.
        name: the name in histories; default ``"recall"``.

    Example:
        >>> cr.metrics.Recall().compute([0, 1, 1], [0.8, 0.9, 0.1])
        0.5
    """

    default_name = "recall"

    def ratio(self, hits: Counts, predicted: Counts, actual: Counts) -> tuple[Counts, Counts]:
        """Hits among the rows that are so."""
        return hits, actual


class F1(CountRatio):
    """The harmonic mean of precision and recall.

    Formula: ``2 hits / (predicted + actual)`` for each class, averaged as ``average`` says.

    Shapes: as for ``Precision``.

    Args:
        average: ``"auto"`` (default), ``"binary"``, ``"macro"``, ``"micro"``, ``"weighted"`` or
            None.
        threshold: a single score above it counts as yes; default 0.5.
        multi_label: True for independent yes/no columns.
        num_classes: needed only where predictions are class numbers.
        name: the name in histories; default ``"f1"``.

    Example:
        >>> cr.metrics.F1().compute([0, 1, 1, 1], [0.8, 0.9, 0.1, 0.7]) == 2 / 3
        True
    """

    default_name = "f1"

    def ratio(self, hits: Counts, predicted: Counts, actual: Counts) -> tuple[Counts, Counts]:
        """Twice the hits among predicted and actual rows."""
        return 2 * hits, predicted + actual
