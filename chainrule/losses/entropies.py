"""Cross-entropies: the losses of classification."""

from typing import Any, ClassVar

from chainrule.losses.base import Loss, Task
from chainrule.losses.folding import (
    Activation,
    binary_log_probabilities,
    class_log_probabilities,
    folded_activation,
    probabilities,
)
from chainrule.losses.inputs import TensorLike
from chainrule.losses.targets import (
    binary_targets,
    class_targets,
    expected_value,
    require_smoothing,
)
from chainrule.tensor import Tensor, functions
from chainrule.tensor.tensor import as_tensor


class ProbabilityLoss(Loss):
    """Base of the losses that compare probabilities and work from logits.

    Args:
        from_logits: what the predictions are: None (default) takes logits and folds a final
            activation in, True logits, False probabilities (see ``chainrule/losses/folding.py`` for
            the exact rules).
        name: the name in messages and histories.
        options: further options of the loss's function.
    """

    activation: ClassVar[Activation]

    def __init__(
        self, from_logits: bool | None = None, *, name: str | None = None, **options: Any
    ) -> None:
        super().__init__(name=name, from_logits=from_logits, **options)
        require_smoothing(options.get("label_smoothing", 0.0), self.name)

    def predictions(self, y_pred: TensorLike) -> Tensor:
        """Probabilities."""
        return probabilities(y_pred, self.activation, self.options["from_logits"])

    def for_predictions(self) -> Loss:
        """The same loss with ``from_logits=False``."""
        return type(self)(name=self.name, **{**self.options, "from_logits": False})

    def folded(self, y_pred: TensorLike) -> str | None:
        """``"softmax"``, ``"log_softmax"`` or ``"sigmoid"`` when the loss works from the values
        before it.
        """
        return folded_activation(y_pred, self.activation)

    def check_targets(self, y_true: TensorLike, output_shape: tuple[int, ...]) -> None:
        """Shapes and labels, as in ``per_example``."""
        target = as_tensor(y_true)
        shape = (target.shape[0], *output_shape)
        if self.activation == "softmax":
            class_targets(target, shape, self.name)
        else:
            binary_targets(target, functions.broadcast_to(functions.zeros(()), shape), self.name)


def cross_entropy(
    y_true: TensorLike,
    y_pred: TensorLike,
    *,
    from_logits: bool | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy of one class among several, for class numbers and for one-hot rows alike.

    Formula: ``-sum_c t_c log p_c`` for each row, ``p = softmax(y_pred)``, ``t`` the (smoothed)
    targets.

    Shapes: y_pred ``(N, ..., C)``; y_true ``(N, ...)`` or ``(N, ..., 1)`` with numbers 0 to C-1, or
    ``(N, ..., C)`` with one-hot rows or probabilities; result ``(N, ...)``.

    Args:
        y_true: the classes.
        y_pred: logits, or the output of softmax or log_softmax, which is folded in.
        from_logits: None (default) as above; False for probabilities without known origin; True
            insists on logits.
        label_smoothing: ``s`` in ``(1 - s) t + s / C``; default 0.

    Returns:
        The loss of each row.

    Raises:
        ShapeError: targets of neither form.
        DataError: a class number out of range, named with its row.
        ArgumentError: an array that looks like probabilities while ``from_logits`` is None.

    Example:
        >>> logits = np.array([[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
        >>> cr.losses.cross_entropy([0, 2], logits).numpy().round(4)
        array([0.2395, 1.0986])
        >>> cr.losses.cross_entropy([[1, 0, 0], [0, 0, 1]], logits).numpy().round(4)
        array([0.2395, 1.0986])

    Differences: Keras has two losses for this and takes probabilities by default; PyTorch always
    takes logits, with the class axis second. Here the class axis is last.
    """
    require_smoothing(label_smoothing, "cross_entropy")
    log_p = class_log_probabilities(y_pred, from_logits, "cross_entropy")
    targets = class_targets(y_true, log_p.shape, "cross_entropy")
    return -expected_value(log_p, targets, label_smoothing)


class CrossEntropy(ProbabilityLoss):
    """Mean ``cross_entropy`` over the rows, for class numbers and one-hot rows.

    Keras's ``CategoricalCrossentropy`` and ``SparseCategoricalCrossentropy`` are this class.

    Args:
        from_logits: None (default) takes logits or folds a final softmax in; False: probabilities.
        label_smoothing: how much of each target is spread over all classes; default 0.
        name: the name in messages and histories.

    Example:
        >>> round(float(cr.losses.CrossEntropy()([1, 0], np.zeros((2, 4)))), 4)
        1.3863
    """

    function = staticmethod(cross_entropy)
    task: ClassVar[Task] = "classes"
    activation = "softmax"

    def __init__(
        self,
        from_logits: bool | None = None,
        label_smoothing: float = 0.0,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(from_logits, name=name, label_smoothing=label_smoothing)


def binary_cross_entropy(
    y_true: TensorLike,
    y_pred: TensorLike,
    *,
    from_logits: bool | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy of independent yes/no outputs.

    Formula: ``-mean_d [t log p + (1 - t) log(1 - p)]`` for each row, ``p = sigmoid(y_pred)``.

    Shapes: y_true and y_pred ``(N, ..., D)``, or ``(N,)`` beside ``(N, 1)``; result ``(N, ...)``.

    Args:
        y_true: 0 or 1, or values between.
        y_pred: logits, or the output of sigmoid, which is folded in.
        from_logits: None (default) as above; False for probabilities without known origin; True
            insists on logits.
        label_smoothing: ``s`` in ``(1 - s) t + s / 2``; default 0.

    Returns:
        The loss of each row.

    Raises:
        DataError: a label outside 0 to 1, named with its row.
        ArgumentError: an array that looks like probabilities while ``from_logits`` is None.

    Example:
        >>> cr.losses.binary_cross_entropy([1, 0], np.array([[3.0], [-2.0]])).numpy().round(4)
        array([0.0486, 0.1269])

    Differences: Keras takes probabilities by default; PyTorch's ``BCEWithLogitsLoss`` is this one.
    """
    require_smoothing(label_smoothing, "binary_cross_entropy")
    log_p, log_rest = binary_log_probabilities(y_pred, from_logits, "binary_cross_entropy")
    t = binary_targets(y_true, log_p, "binary_cross_entropy", label_smoothing)
    return row_mean(-(t * log_p + (1 - t) * log_rest))


def row_mean(values: Tensor) -> Tensor:
    """The mean over the last axis; values of rank 1 are one for each row already."""
    return values if values.ndim == 1 else functions.mean(values, axis=-1)


class BinaryCrossEntropy(ProbabilityLoss):
    """Mean ``binary_cross_entropy`` over the rows.

    Args:
        from_logits: None (default) takes logits or folds a final sigmoid in; False: probabilities.
        label_smoothing: how far targets move towards 1/2; default 0.
        name: the name in messages and histories.

    Example:
        >>> round(float(cr.losses.BinaryCrossEntropy()([1, 0], np.zeros((2, 1)))), 4)
        0.6931
    """

    function = staticmethod(binary_cross_entropy)
    task: ClassVar[Task] = "binary"
    activation = "sigmoid"

    def __init__(
        self,
        from_logits: bool | None = None,
        label_smoothing: float = 0.0,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(from_logits, name=name, label_smoothing=label_smoothing)
