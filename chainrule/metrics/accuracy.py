"""The share of right answers."""

from chainrule.errors import ArgumentError
from chainrule.losses import Loss
from chainrule.losses.inputs import TensorLike
from chainrule.losses.targets import class_targets
from chainrule.metrics.base import Mean
from chainrule.metrics.decoding import chosen_classes, kind_of, yes_or_no
from chainrule.tensor import Tensor, functions
from chainrule.tensor.tensor import as_tensor


class Accuracy(Mean):
    """The share of right answers, whatever the form of targets and predictions.

    Formula: the mean of ``[predicted == true]``.

    Shapes: y_pred ``(N, ..., C)`` with class numbers or one-hot rows; ``(N, 1)`` or ``(N,)`` with
    one score a row; integers in the shape of y_true, taken as class numbers.

    Args:
        threshold: a single score above it counts as yes; default 0.5 (0 for hinge losses in
            ``fit``).
        multi_label: True for independent yes/no columns; default: what the loss says in ``fit``,
            else False.
        name: the name in histories; default ``"accuracy"``.

    Example:
        >>> cr.metrics.Accuracy().compute([0, 1], [[0.9, 0.1], [0.6, 0.4]])
        0.5
        >>> cr.metrics.Accuracy().compute([0, 1], [0.2, 0.7])
        1.0

    Differences: Keras's class of this name only compares numbers, its string ``"accuracy"`` guesses
    from the shapes alone.
    """

    default_name = "accuracy"

    def __init__(
        self,
        threshold: float | None = None,
        multi_label: bool | None = None,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.threshold = threshold
        self.multi_label = multi_label

    def adapt_to(self, loss: Loss) -> None:
        """Take the threshold and the kind of outputs from the loss."""
        if self.threshold is None:
            self.threshold = loss.threshold
        if self.multi_label is None and loss.task is not None:
            self.multi_label = loss.task == "binary"

    def per_row(self, y_true: TensorLike, y_pred: TensorLike) -> Tensor:
        """1 for right, 0 for wrong, or the share of right columns."""
        target, prediction = as_tensor(y_true), as_tensor(y_pred)
        kind = kind_of(target, prediction, self.multi_label)
        if kind == "labels":
            return functions.equal(target, prediction)
        if kind == "classes":
            return functions.equal(*chosen_classes(target, prediction, self.name))
        limit = 0.5 if self.threshold is None else self.threshold
        right = functions.equal(*yes_or_no(target, prediction, limit, self.name))
        return functions.mean(right.astype("float64"), axis=-1)


class BinaryAccuracy(Accuracy):
    """The share of right yes/no answers, column by column.

    Formula: the mean of ``[(score > threshold) == true]`` over rows and columns.

    Shapes: y_true and y_pred ``(N, ..., D)``, or ``(N,)`` beside ``(N, 1)``.

    Args:
        threshold: a score above it counts as yes; default 0.5 (0 for hinge losses in ``fit``).
        name: the name in histories; default ``"binary_accuracy"``.

    Example:
        >>> cr.metrics.BinaryAccuracy().compute([[0, 1]], [[0.2, 0.3]])
        0.5
    """

    default_name = "binary_accuracy"

    def __init__(self, threshold: float | None = None, *, name: str | None = None) -> None:
        super().__init__(threshold, multi_label=True, name=name)


class CategoricalAccuracy(Mean):
    """The share of rows whose highest score is the right class.

    Formula: the mean of ``[argmax_c score_c == class]``.

    Shapes: y_pred ``(N, ..., C)``; y_true class numbers ``(N, ...)`` or one-hot rows
    ``(N, ..., C)``.

    Args:
        name: the name in histories; default ``"categorical_accuracy"``.

    Example:
        >>> cr.metrics.CategoricalAccuracy().compute([0, 1], [[0.9, 0.1], [0.6, 0.4]])
        0.5

    Differences: Keras has a second class for class numbers; both names mean this one here.
    """

    default_name = "categorical_accuracy"

    def per_row(self, y_true: TensorLike, y_pred: TensorLike) -> Tensor:
        """True for right."""
        return functions.equal(*chosen_classes(as_tensor(y_true), as_tensor(y_pred), self.name))


class TopKAccuracy(Mean):
    """The share of rows whose right class is among the k highest scores.

    Formula: the mean of ``[rank of the right class <= k]``; of equal scores the first class ranks
    first, so that ``k=1`` is ``CategoricalAccuracy``.

    Shapes: y_pred ``(N, ..., C)``; y_true class numbers ``(N, ...)`` or one-hot rows
    ``(N, ..., C)``.

    Args:
        k: how many guesses a row has; default 5.
        name: the name in histories; default ``"top_k_accuracy"``.

    Raises:
        ArgumentError: k below 1, or above the number of classes.

    Example:
        >>> metric = cr.metrics.TopKAccuracy(k=2)
        >>> metric.compute([2, 1], [[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]])
        0.5

    Differences: Keras counts every class that ties with the last place as a hit.
    """

    default_name = "top_k_accuracy"

    def __init__(self, k: int = 5, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self._require(k, expected="1 or more", ok=k >= 1)
        self.k = k

    def _require(self, k: int, expected: str, ok: bool) -> None:
        if not ok:
            raise ArgumentError(
                self.name,
                "k out of range",
                got=k,
                expected=expected,
                fix="pass TopKAccuracy(k=...)",
            )

    def per_row(self, y_true: TensorLike, y_pred: TensorLike) -> Tensor:
        """True for hits."""
        scores = as_tensor(y_pred)
        targets = class_targets(y_true, scores.shape, self.name)
        classes = scores.shape[-1]
        self._require(
            self.k, expected=f"at most {classes}, the number of classes", ok=self.k <= classes
        )
        true = functions.expand_dims(functions.argmax(targets.astype("float32"), axis=-1), -1)
        places = functions.arange(classes, dtype=true.dtype)
        own = functions.where(functions.equal(places, true), scores, 0.0)
        own = functions.sum(own, axis=-1, keepdims=True)
        ahead = (scores > own) | (functions.equal(scores, own) & (places < true))
        return functions.sum(ahead.astype("int32"), axis=-1) < self.k
