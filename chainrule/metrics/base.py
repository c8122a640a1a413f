"""The Metric class, and the mean of something over an epoch."""

import copy
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import ShapeError
from chainrule.losses import Loss
from chainrule.losses import get as get_loss
from chainrule.losses.inputs import TensorLike
from chainrule.losses.reduction import row_weights
from chainrule.tensor import Tensor, Variable, functions
from chainrule.tensor.tensor import as_tensor

Direction = Literal["min", "max"]
Result = float | NDArray[Any]


class Metric:
    """A number (or a matrix) about predictions, computed over a whole epoch.

    ``update`` adds a batch to sums held in float64 variables, ``result`` reads them: the value is
    that of the whole data however it was cut into batches, never a mean of batch values. ``update``
    is tensor code, so that it runs inside ``jit``.

    A subclass makes its variables with ``add_variable`` and writes ``update`` and ``result``. For
    the mean of one value a row, derive from ``Mean`` and write ``per_row``.

    Args:
        name: the name in histories; default the snake-case name of the metric.

    Attributes:
        direction: ``"max"`` when more is better, ``"min"`` when less is.

    Example:
        >>> accuracy = cr.metrics.get("accuracy")
        >>> accuracy.update([0, 1], [[0.9, 0.1], [0.2, 0.8]])
        >>> accuracy.update([1], [[0.7, 0.3]])
        >>> round(accuracy.result(), 4)
        0.6667
    """

    direction: ClassVar[Direction] = "max"
    #: the name of a metric that is given none.
    default_name: ClassVar[str] = "metric"

    def __init__(self, *, name: str | None = None) -> None:
        self.name = name or self.default_name
        self._variables: list[Variable] = []

    @property
    def variables(self) -> list[Variable]:
        """The sums of this epoch; some metrics make theirs at the first update."""
        return list(self._variables)

    def add_variable(self, name: str, shape: tuple[int, ...]) -> Variable:
        """A float64 variable of zeros that ``reset`` sets back to zeros."""
        variable = Variable(np.zeros(shape), name=name, trainable=False)
        variable.path = f"{self.name}/{name}"
        self._variables.append(variable)
        return variable

    def reset(self) -> None:
        """Forget everything: a new epoch begins."""
        for variable in self._variables:
            variable.assign(np.zeros(variable.shape))

    def update(
        self, y_true: TensorLike, y_pred: TensorLike, sample_weight: TensorLike | None = None
    ) -> None:
        """Add a batch.

        Args:
            y_true: the targets.
            y_pred: the predictions as users read them: probabilities or values, not logits.
            sample_weight: how much each row counts; default 1.
        """
        raise NotImplementedError(f"{type(self).__name__} has to define update")

    def result(self) -> Result:
        """The value over all updates since the last reset; NaN before the first."""
        raise NotImplementedError(f"{type(self).__name__} has to define result")

    def compute(
        self, y_true: TensorLike, y_pred: TensorLike, sample_weight: TensorLike | None = None
    ) -> Result:
        """The value for these rows alone; the sums of the epoch stay as they are.

        Example:
            >>> cr.metrics.get("mae").compute([1.0, 2.0], [1.5, 2.0])
            0.25
        """
        fresh = copy.deepcopy(self)
        fresh.reset()
        fresh.update(y_true, y_pred, sample_weight)
        return fresh.result()

    def adapt_to(self, loss: Loss) -> None:
        """Take over from the loss what the predictions are, where the metric was not told."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r})"


def batch_weights(sample_weight: TensorLike | None, shape: tuple[int, ...], where: str) -> Tensor:
    """float64 weights of this shape; ones where none are given."""
    if sample_weight is None:
        return functions.ones(shape, "float64")
    weights = row_weights(sample_weight, shape, where, "sample_weight").astype("float64")
    return functions.broadcast_to(weights, shape)


class Mean(Metric):
    """The weighted mean of one value a row.

    Formula: ``sum(w * v) / sum(w)`` over all rows of the epoch, in float64.

    A subclass writes ``per_row(y_true, y_pred)``; without one, ``add`` takes the values themselves.

    Args:
        name: the name in histories; default ``"mean"``.

    Example:
        >>> class Bias(cr.metrics.Mean):
        ...     def per_row(self, y_true, y_pred):
        ...         return cr.mean(y_pred - y_true, axis=-1)
        >>> Bias().compute(np.zeros((2, 1)), np.array([[1.0], [2.0]]))
        1.5
        >>> mean = cr.metrics.Mean()
        >>> mean.add([1.0, 3.0], sample_weight=[3.0, 1.0])
        >>> mean.result()
        1.5
    """

    default_name = "mean"

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self._total = self.add_variable("total", ())
        self._weight = self.add_variable("weight", ())

    def per_row(self, y_true: TensorLike, y_pred: TensorLike) -> Tensor:
        """One value for each row, ``(N, ...)``."""
        raise NotImplementedError(
            f"{type(self).__name__} has to define per_row, or use add(values)"
        )

    def update(
        self, y_true: TensorLike, y_pred: TensorLike, sample_weight: TensorLike | None = None
    ) -> None:
        """Add the values of a batch."""
        self.add(self.per_row(y_true, y_pred), sample_weight)

    def add(self, values: TensorLike, sample_weight: TensorLike | None = None) -> None:
        """Add values ``(N, ...)`` themselves, or one value of shape ``()``."""
        v = as_tensor(values).astype("float64")
        weights = batch_weights(sample_weight, v.shape, self.name)
        self._total.assign_add(functions.sum(weights * v))
        self._weight.assign_add(functions.sum(weights))

    def result(self) -> float:
        """The mean."""
        weight = float(self._weight)
        return float(self._total) / weight if weight else float("nan")


class MeanLoss(Mean):
    """The mean of a loss over the epoch: any loss is a metric.

    Cross-entropies read predictions as probabilities here, because that is what metrics are given.

    Args:
        loss: a name, ``Loss`` or function, as for ``chainrule.losses.get``.
        name: the name in histories; default the loss's.

    Example:
        >>> metric = cr.metrics.MeanLoss("mse")
        >>> metric.compute([1.0, 2.0], [1.0, 4.0])
        2.0

    Differences: Keras's ``CosineSimilarity`` metric is positive; here it is the loss, negative.
    """

    direction = "min"

    def __init__(self, loss: Any, *, name: str | None = None) -> None:
        self.loss = get_loss(loss)
        super().__init__(name=name or self.loss.name)

    def per_row(self, y_true: TensorLike, y_pred: TensorLike) -> Tensor:
        """The loss of each row."""
        return self.loss.for_predictions().per_example(y_true, y_pred)


def sized_variables(
    metric: Metric, existing: list[Variable], names: tuple[str, ...], shape: tuple[int, ...]
) -> list[Variable]:
    """The variables of this shape, made at the first update; another width later is an error."""
    if not existing:
        return [metric.add_variable(name, shape) for name in names]
    if existing[0].shape != shape:
        raise ShapeError(
            metric.name,
            "another number of classes or outputs than before",
            got=shape,
            expected=existing[0].shape,
            fix="use one metric for each output",
        )
    return existing
