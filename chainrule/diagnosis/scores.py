"""How good predictions are, on one scale for every task: 1 is right, 0 is a constant prediction.

For each row there is an error: the Brier score, the squared distance of the probabilities from the
one-hot target, where rows belong to classes; the squared difference where targets are numbers.

skill = 1 - mean error / mean error of the constant prediction

For numbers it is R2 with the mean of the training rows. It does not depend on the loss that a model
was trained with, so that runs with different losses can be compared.

Reference: G. W. Brier, "Verification of forecasts expressed in terms of probability", 1950.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from chainrule.training.weights import class_numbers

Array = NDArray[Any]
MOST_CLASSES = 50


@dataclass(frozen=True)
class Task:
    """What the targets are.

    Attributes:
        kind: ``"classes"``, ``"numbers"``, or ``"other"`` (several targets a row, sequences).
        classes: the values of the targets that stand for classes, sorted; empty otherwise.
        constant: what the constant prediction says: the shares of the classes, or the means.
    """

    kind: Literal["classes", "numbers", "other"]
    classes: Array
    constant: Array

    @classmethod
    def of(cls, y: Array, for_classes: bool = False) -> "Task":
        """Read it from the targets of the training rows.

        Args:
            y: targets.
            for_classes: the loss is one for classes.
        """
        none = np.zeros(0)
        labels = _labels(y, for_classes)
        if labels is not None:
            classes, counts = np.unique(labels, return_counts=True)
            return cls("classes", classes, counts / counts.sum())
        if y.ndim <= 2 and y.dtype.kind in "fiub":
            with np.errstate(all="ignore"):
                return cls("numbers", none, np.nanmean(_columns(y).astype(np.float64), axis=0))
        return cls("other", none, none)

    def labels(self, y: Array) -> Array | None:
        """The class of each row, as a place in ``classes``; -1 for classes that are not there."""
        if self.kind != "classes":
            return None
        found = class_numbers(y) if y.dtype.kind in "fiub" else None
        if found is None:
            return None
        places = np.searchsorted(self.classes, found).clip(0, len(self.classes) - 1)
        labels: Array = np.where(self.classes[places] == found, places, -1)
        return labels

    def probabilities(self, outputs: Array) -> Array:
        """What outputs say about each class, (N, K)."""
        outputs = _columns(np.asarray(outputs, dtype=np.float64))
        count, width = len(self.classes), outputs.shape[1]
        with np.errstate(all="ignore"):
            if width == 1 and count == 2:
                inside = (outputs >= 0).all() and (outputs <= 1).all()
                share = outputs if inside else 1 / (1 + np.exp(-outputs))
                return np.concatenate([1 - share, share], axis=1)
            if width == 1:  # fitted as a quantity: the nearest class
                nearest = np.abs(outputs - self.classes[None, :]).argmin(axis=1)
                hard: Array = np.eye(count)[nearest]
                return hard
            if not ((outputs >= -1e-3).all() and (outputs.sum(axis=1) < 1.1).all()):
                outputs = np.exp(outputs - outputs.max(axis=1, keepdims=True))
                outputs = outputs / outputs.sum(axis=1, keepdims=True)
        chosen = self.classes[(self.classes >= 0) & (self.classes < width)].astype(np.int64)
        result = np.zeros((len(outputs), count))
        result[:, : len(chosen)] = outputs[:, chosen]
        return result

    def errors(self, outputs: Array, y: Array) -> Array | None:
        """The error of each row, (N,); None for targets of another kind."""
        if self.kind == "other":
            return None
        with np.errstate(all="ignore"):
            if self.kind == "classes":
                labels = self.labels(y)
                if labels is None:
                    return None
                wanted = np.eye(len(self.classes) + 1)[labels][:, :-1]  # -1: none of them
                error = ((self.probabilities(outputs) - wanted) ** 2).sum(axis=1)
            else:
                predicted = _columns(np.asarray(outputs, dtype=np.float64))
                wanted = _columns(y)
                if predicted.shape[1] != wanted.shape[1]:
                    return None
                error = ((predicted - wanted) ** 2 / self._spread(wanted)).mean(axis=1)
        return np.where(np.isfinite(error), error, np.inf)

    def constant_errors(self, y: Array) -> Array | None:
        """The errors of the constant prediction."""
        if self.kind == "other":
            return None
        return self.errors(np.tile(self._constant_outputs(), (len(y), 1)), y)

    def _constant_outputs(self) -> Array:
        if self.kind == "numbers":
            return self.constant[None, :]
        if len(self.classes) == 2:
            return self.constant[None, 1:]
        shares = np.zeros((1, max(int(self.classes.max()) + 1, len(self.classes))))
        shares[0, self.classes[self.classes >= 0].astype(np.int64)] = self.constant
        return shares

    def _spread(self, wanted: Array) -> Array:
        spread = wanted.astype(np.float64).var(axis=0)
        return np.where(spread > 0, spread, 1.0)

    def right(self, outputs: Array, y: Array) -> Array | None:
        """Which rows are put into the right class; None where there are none."""
        labels = self.labels(y)
        if labels is None:
            return None
        hits: Array = self.probabilities(outputs).argmax(axis=1) == labels
        return hits


def skill(errors: Array | None, constant: Array | None) -> float:
    """1 - mean error / mean error of the constant prediction; -inf for outputs not finite."""
    if errors is None or constant is None:
        return float("nan")
    base = float(constant.mean())
    if not np.isfinite(errors).all():
        return float("-inf")
    return 1 - float(errors.mean()) / base if base > 0 else float(errors.mean() <= base)


def _columns(y: Array) -> Array:
    return y[:, None] if y.ndim == 1 else y.reshape(len(y), -1)


def _labels(y: Array, for_classes: bool) -> Array | None:
    """The class numbers where the targets look like classes."""
    if y.ndim > 2 or y.dtype.kind not in "fiub" or not np.isfinite(y).all():
        return None
    labels = class_numbers(y)
    if labels is None or for_classes:
        return labels
    count = len(np.unique(labels))
    several = y.ndim == 2 and y.shape[1] > 1
    few = count <= min(MOST_CLASSES, max(2, len(y) // 5))
    # Whole numbers in floating form are counts or rounded quantities unless there are very few.
    return labels if several or (few and (y.dtype.kind in "iub" or count <= 10)) else None
