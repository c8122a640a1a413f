"""The Loss class: what training, metrics and users call."""

import inspect
from collections.abc import Callable
from typing import Any, ClassVar, Literal

from chainrule.errors import ArgumentError, ShapeError
from chainrule.losses.inputs import TensorLike, align, predictions_tensor
from chainrule.losses.reduction import hide_masked, weighted_mean
from chainrule.tensor import Tensor, functions
from chainrule.tensor.tensor import as_tensor

Task = Literal["values", "binary", "classes"]
LossFunction = Callable[..., Any]


class Loss:
    """A loss: targets and predictions to one number.

    Formula: ``sum(w * l) / sum(w)`` over all rows, ``l = per_example(y_true, y_pred)``; the plain
    mean without weights.

    Shapes: y_true and y_pred as the loss says; sample_weight and mask ``(N,)`` or the shape of
    ``l``.

    A subclass writes ``per_example``; a plain function of ``(y_true, y_pred)`` needs no class
    (``chainrule.losses.get(function)``).

    Args:
        name: the name in messages and histories; default the loss's own.
        options: what ``function`` takes beside targets and predictions.

    Example:
        >>> class Cubed(cr.losses.Loss):
        ...     def per_example(self, y_true, y_pred):
        ...         return cr.mean(abs(y_pred - y_true) ** 3, axis=-1)
        >>> float(Cubed()(np.zeros((2, 1)), np.array([[1.0], [2.0]])))
        4.5

    Differences: Keras and PyTorch (except its class weights) divide weighted sums by the number of
    rows; here weights are relative, so that multiplying all of them by a number changes nothing.
    """

    #: the function behind ``per_example``: ``function(y_true, y_pred, **options)``.
    function: ClassVar[LossFunction | None] = None
    #: what the predictions are: values, independent yes/no outputs, or one of several classes;
    #: None where nobody knows.
    task: ClassVar[Task | None] = None
    #: predictions above it count as the positive class (metrics read it).
    threshold: ClassVar[float] = 0.5

    def __init__(self, *, name: str | None = None, **options: Any) -> None:
        default = self.function.__name__ if self.function is not None else type(self).__name__
        self.name = name or default
        self.options = options
        if self.function is not None:
            known = list(inspect.signature(self.function).parameters)[2:]
            for option in options:
                if option not in known:
                    raise ArgumentError(
                        self.name,
                        "unknown option",
                        got=option,
                        expected="one of " + ", ".join(known) if known else "no options",
                    )

    def per_example(self, y_true: TensorLike, y_pred: TensorLike) -> Tensor:
        """The loss of each row: ``(N, ...)``, without the last axis of the predictions."""
        function = type(self).function
        if function is None:
            name = type(self).__name__
            raise NotImplementedError(f"{name} has to define per_example(y_true, y_pred)")
        return as_tensor(function(y_true, y_pred, **self.options))

    def __call__(
        self,
        y_true: TensorLike,
        y_pred: TensorLike,
        sample_weight: TensorLike | None = None,
        mask: TensorLike | None = None,
    ) -> Tensor:
        """The weighted mean over all rows, a tensor of shape ``()``.

        Args:
            y_true: the targets.
            y_pred: the predictions.
            sample_weight: how much each row counts, ``(N,)`` or the shape of ``per_example``;
                default 1.
            mask: False for rows that do not count at all; their targets may be missing (NaN, -1,
                -100).
        """
        if mask is not None:
            y_true = hide_masked(as_tensor(y_true), mask, self.name)
        return weighted_mean(self.per_example(y_true, y_pred), sample_weight, mask, self.name)

    def predictions(self, y_pred: TensorLike) -> Tensor:
        """Predictions as users read them: probabilities where the loss takes logits, else
        ``y_pred``.
        """
        return as_tensor(y_pred)

    def for_predictions(self) -> "Loss":
        """The same loss for values that ``predictions`` has already converted."""
        return self

    def folded(self, y_pred: TensorLike) -> str | None:
        """The name of a final activation whose input the loss uses instead of its output, or
        None.
        """
        return None

    def check_targets(self, y_true: TensorLike, output_shape: tuple[int, ...]) -> None:
        """Raise what ``per_example`` would raise for these targets, before training starts.

        Args:
            y_true: all targets, with numbers (not traced).
            output_shape: the shape of the predictions of one row, ``y_pred.shape[1:]``.
        """
        target = as_tensor(y_true)
        align(target, (target.shape[0], *output_shape), self.name)

    def get_config(self) -> dict[str, Any]:
        """The loss as JSON-able values: ``{"loss": ..., "name": ..., **options}``."""
        function = self.function.__name__ if self.function is not None else type(self).__name__
        return {"loss": function, "name": self.name, **self.options}

    def __repr__(self) -> str:
        options = ", ".join(f"{key}={value!r}" for key, value in self.options.items())
        return f"{type(self).__name__}({options})"


class FunctionLoss(Loss):
    """A user's function of ``(y_true, y_pred)`` as a loss.

    The function returns one value for each row, one for each element, or one number for the whole
    batch (then sample weights and masks cannot apply, and an error says so). Targets reach it as a
    tensor: floating targets in the dtype of the predictions, and ``(N,)`` targets as ``(N, 1)``
    beside such predictions.

    Example:
        >>> def distance(y_true, y_pred):
        ...     return cr.sum(abs(y_true - y_pred), axis=-1)
        >>> float(cr.losses.FunctionLoss(distance)(np.zeros((2, 3)), np.ones((2, 3))))
        3.0
    """

    def __init__(self, function: LossFunction, *, name: str | None = None) -> None:
        if not callable(function):
            raise ArgumentError(
                "losses",
                "not a loss",
                got=repr(function),
                expected="a function of (y_true, y_pred)",
            )
        _require_two_arguments(function)
        super().__init__(name=name or getattr(function, "__name__", type(function).__name__))
        self.user_function = function

    def _values(self, y_true: TensorLike, y_pred: TensorLike) -> tuple[Tensor, Tensor]:
        prediction = predictions_tensor(y_pred, self.name)
        target = as_tensor(y_true)
        if target.dtype.kind == "f":
            target = target.astype(prediction.dtype)
        if (*target.shape, 1) == prediction.shape:
            target = functions.reshape(target, prediction.shape)
        return as_tensor(self.user_function(target, prediction)), prediction

    def per_example(self, y_true: TensorLike, y_pred: TensorLike) -> Tensor:
        """What the function returns; a single number is repeated for each row."""
        values, prediction = self._values(y_true, y_pred)
        if values.ndim == 0:
            return functions.broadcast_to(values, prediction.shape[:1])
        if values.shape[0] != prediction.shape[0]:
            raise ShapeError(
                self.name,
                "wrong shape of the loss",
                got=values.shape,
                expected=f"({prediction.shape[0]},), one value for each row, or a single number",
            )
        return values

    def __call__(
        self,
        y_true: TensorLike,
        y_pred: TensorLike,
        sample_weight: TensorLike | None = None,
        mask: TensorLike | None = None,
    ) -> Tensor:
        """The weighted mean of what the function returns."""
        if sample_weight is not None or mask is not None:
            values, prediction = self._values(y_true, y_pred)
            if values.ndim == 0 and prediction.shape[0] != 1:
                raise ArgumentError(
                    self.name,
                    "a loss that returns a single number takes no weights or mask",
                    got="a value of shape ()",
                    expected=f"({prediction.shape[0]},), one value for each row",
                    fix="leave out the mean over rows in the function, or pass no weights",
                )
        return super().__call__(y_true, y_pred, sample_weight, mask)

    def check_targets(self, y_true: TensorLike, output_shape: tuple[int, ...]) -> None:
        """Nothing: only the function knows what it takes."""

    def get_config(self) -> dict[str, Any]:
        """The function's name: loading needs the function itself in ``custom_objects``."""
        return {"loss": self.name, "name": self.name}

    def __repr__(self) -> str:
        return f"FunctionLoss({self.name})"


def _require_two_arguments(function: LossFunction) -> None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # built-in functions without a signature
        return
    try:
        signature.bind(None, None)
    except TypeError:
        raise ArgumentError(
            "losses",
            "a loss function takes two arguments",
            got=f"{function!r} with {signature}",
            expected="(y_true, y_pred)",
        ) from None
