"""The confusion matrix."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import ArgumentError
from chainrule.losses import Loss
from chainrule.losses.inputs import TensorLike
from chainrule.metrics.base import Metric, batch_weights, sized_variables
from chainrule.metrics.decoding import indicators
from chainrule.tensor import Variable, functions


class ConfusionMatrix(Metric):
    """How often each class was taken for each class.

    Formula: ``M[i, j] = sum of w over rows of class i that were called j``.

    Shapes: y_pred ``(N, ..., C)`` scores with class numbers or one-hot rows, ``(N, 1)`` or ``(N,)``
    scores (two classes), or class numbers in the shape of y_true; result ``(C, C)``.

    Args:
        num_classes: needed only where predictions are class numbers beyond 0 and 1.
        threshold: a single score above it counts as class 1; default 0.5.
        name: the name in histories; default ``"confusion_matrix"``.

    Example:
        >>> cr.metrics.ConfusionMatrix().compute([0, 1, 1], [0.2, 0.9, 0.4])
        array([[1, 0],
               [1, 1]])
    """

    default_name = "confusion_matrix"

    def __init__(
        self,
        num_classes: int | None = None,
        threshold: float | None = None,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.num_classes = num_classes
        self.threshold = threshold
        self._matrix: list[Variable] = []

    def adapt_to(self, loss: Loss) -> None:
        """Take the threshold from the loss."""
        if self.threshold is None:
            self.threshold = loss.threshold

    def update(
        self, y_true: TensorLike, y_pred: TensorLike, sample_weight: TensorLike | None = None
    ) -> None:
        """Add the counts of a batch."""
        found = indicators(
            y_true,
            y_pred,
            threshold=0.5 if self.threshold is None else self.threshold,
            multi_label=None,
            num_classes=self.num_classes,
            where=self.name,
        )
        true, predicted = (x.astype("float64") for x in (found.true, found.predicted))
        if true.shape[-1] == 1:
            true, predicted = (
                functions.concatenate([1 - x, x], axis=-1) for x in (true, predicted)
            )
        classes = true.shape[-1]
        self._matrix = sized_variables(self, self._matrix, ("matrix",), (classes, classes))
        weights = batch_weights(sample_weight, found.leading, self.name)
        weights = functions.reshape(weights, (-1, 1))
        self._matrix[0].assign_add((true * weights).T @ predicted)

    def result(self) -> NDArray[Any]:
        """The matrix, true classes in rows; integers where all counts are whole."""
        if not self._matrix:
            raise ArgumentError(
                self.name,
                "no rows yet",
                got="no update",
                expected="one or more updates before result",
            )
        counts = self._matrix[0].numpy()
        whole = np.rint(counts)
        return whole.astype(np.int64) if np.array_equal(counts, whole) else counts
