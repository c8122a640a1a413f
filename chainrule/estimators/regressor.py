"""NetworkRegressor: a network that tells numbers from the columns of a table."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from chainrule import losses
from chainrule.data import Column, RegressionScaler, TablePreprocessor
from chainrule.estimators.base import accepts_other_names
from chainrule.estimators.network import NetworkEstimator, unchanged_on_error
from chainrule.estimators.parameters import AUTO
from chainrule.losses import Loss
from chainrule.optimizers import Optimizer
from chainrule.optimizers.schedules import Schedule
from chainrule.training.callbacks import Callback, EarlyStopping
from chainrule.training.model import Model
from chainrule.training.progress import Verbose

Array = NDArray[Any]
Auto = Literal["auto"]

POSITIVE_OUTPUTS = {"poisson": "exponential", "mean_squared_logarithmic_error": "softplus"}
"""Losses of targets from 0 up, which are not standardised, and the last activation they need."""


class NetworkRegressor(NetworkEstimator):
    """A network for numbers, under scikit-learn's contract; scikit-learn need not be installed.

    Columns of any kind become numbers first, and targets are standardised. Then dense layers with
    dropout learn by AdamW; training stops when the loss on held-out rows no longer falls, and the
    best weights are put back.

    Shapes: X (N, D); y (N,), or (N, K) for K numbers a row.

    Args:
        hidden: widths of the hidden layers; default (64, 64).
        activation: of the hidden layers, a name or function; default "silu".
        optimizer: a name or an Optimizer; default "adam".
        learning_rate: a number or a schedule; default "auto": 0.003 for Adam and its kin, else
            the optimizer's own.
        batch_size: rows in a step; default "auto": about a 32nd of the rows, at least 32, at most
            256, all of fewer than 50. None: all rows.
        epochs: passes over the rows, at most; default 300.
        until: stop at a goal, such as ``{"loss": 0.05}`` or ``{"val_r2": 0.9}``; the loss is that
            of standardised targets.
        early_stopping: True, False or an EarlyStopping; default "auto": on, unless there are fewer
            than 50 rows or ``until`` says when to stop.
        patience: epochs without an improvement before early stopping; default 20.
        validation_fraction: the share of rows to hold out; default "auto": where something watches
            it, 0.1, or 0.2 of fewer than 1,000 rows.
        dropout: the share of hidden units left out in a step; default "auto": 0.2, 0 for fewer
            than 50 rows.
        weight_decay: decoupled; default "auto": for Adam and its kin 300 / N, between 0.01 and 1;
            else 0.
        loss: a loss, its name, or a function of (y_true, y_pred); default "auto": mean squared
            error. Targets of ``poisson`` and ``msle`` are not standardised.
        model: a Model to train a copy of, or a function, of nothing or of (columns, outputs), that
            returns one; ``hidden``, ``activation`` and ``dropout`` have no effect then.
        preprocessing: False takes numbers as they are; a TablePreprocessor sets its options;
            default "auto": numbers standardised, categories one-hot, missing cells filled.
        callbacks: see `chainrule.callbacks`; default none.
        random_state: a whole number makes the fit repeatable; default None.
        verbose: as in `Model.fit`; default 0.

    Some parameters go by the names of Keras, PyTorch and scikit-learn too, such as ``max_iter``,
        ``lr`` and ``hidden_layer_sizes``.

    Attributes:
        model_: the trained network.
        preprocessor_: what turns columns into numbers; ``preprocessor_.report()`` tells how.
        target_encoder_: mean and scale of the targets.
        history_: what happened in training; None after loading.
        n_iter_: epochs that were trained.
        loss_, loss_curve_: the training loss, of the last epoch and of each.
        n_features_in_, feature_names_in_, n_outputs_: columns of X, their names, columns of y.

    Example:
        >>> from chainrule.estimators import NetworkRegressor
        >>> X = np.linspace(-1, 1, 200)[:, None]
        >>> regressor = NetworkRegressor(random_state=0).fit(X, 1000 * X[:, 0] ** 2)
        >>> regressor.score(X, 1000 * X[:, 0] ** 2) > 0.95
        True

    Different from scikit-learn's MLPRegressor: it takes data frames with text and missing cells,
        standardises the targets, and stops early by default.
    """

    _estimator_type = "regressor"

    target_encoder_: RegressionScaler

    @accepts_other_names
    def __init__(
        self,
        hidden: int | Sequence[int] = (64, 64),
        *,
        activation: str | Callable[..., Any] = "silu",
        optimizer: str | Optimizer = "adam",
        learning_rate: float | Schedule | Auto = "auto",
        batch_size: int | Auto | None = "auto",
        epochs: int = 300,
        until: Mapping[str, float] | None = None,
        early_stopping: bool | EarlyStopping | Auto = "auto",
        patience: int = 20,
        validation_fraction: float | Auto = "auto",
        dropout: float | Auto = "auto",
        weight_decay: float | Auto = "auto",
        loss: str | Loss | Callable[..., Any] = "auto",
        model: Model | Callable[..., Model] | None = None,
        preprocessing: bool | TablePreprocessor | Auto = "auto",
        callbacks: Sequence[Callback] = (),
        random_state: int | np.random.RandomState | np.random.Generator | None = None,
        verbose: Verbose = 0,
    ) -> None:
        self.hidden = hidden
        self.activation = activation
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.until = until
        self.early_stopping = early_stopping
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.dropout = dropout
        self.weight_decay = weight_decay
        self.loss = loss
        self.model = model
        self.preprocessing = preprocessing
        self.callbacks = callbacks
        self.random_state = random_state
        self.verbose = verbose

    def _learn_targets(self, y: Any, weights: Array | None, parameters: dict[str, Any]) -> None:
        standardize = parameters["loss"] == AUTO or (
            losses.get(parameters["loss"]).name not in POSITIVE_OUTPUTS
        )
        self.target_encoder_ = RegressionScaler(standardize).fit(y, "y", sample_weight=weights)
        self.n_outputs_ = self.target_encoder_.n_outputs

    def _encode(self, y: Any) -> Array:
        targets = self.target_encoder_.transform(y, "y")
        return targets.reshape(len(targets), self.n_outputs_)

    def _row_weights(
        self, targets: Array, weights: Array | None, parameters: dict[str, Any]
    ) -> Array | None:
        return weights

    def _output_layer(self, parameters: dict[str, Any]) -> tuple[int, Any]:
        loss = parameters["loss"]
        name = "" if loss == AUTO else losses.get(loss).name
        return self.n_outputs_, POSITIVE_OUTPUTS.get(name)

    def _choose_loss(self, outputs: Any, parameters: dict[str, Any]) -> Loss:
        loss = parameters["loss"]
        return losses.get("mse" if loss == AUTO else loss)

    def _metrics(self) -> list[str]:
        return ["r2"]

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Go on learning: one epoch over these rows.

        The first call also learns the preprocessing and the scale of the targets from its rows,
        so let it have many of them.

        Args:
            X: N rows.
            y: N targets.
            sample_weight: N weights from 0 up; default 1.

        Returns:
            The estimator itself.

        Raises:
            DataError, ShapeError: as `fit`.
        """
        parameters = self._checked_parameters()
        with unchanged_on_error(self):
            self._continue(X, y, sample_weight, parameters, known_targets=False)
        return self

    def predict(self, X: Any) -> Array:
        """The number for each row, (N,), or (N, K) for several, float64.

        Args:
            X: N rows.
        """
        outputs = self._outputs(X)
        return np.asarray(self.target_encoder_.inverse(outputs), np.float64)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R squared, ``1 - sum((y - p)^2) / sum((y - mean(y))^2)``; the mean over several outputs.

        Args:
            X: N rows.
            y: their targets.
            sample_weight: N weights; default 1.
        """
        found = self.predict(X).reshape(-1, self.n_outputs_)
        given = y.to_float() if isinstance(y, Column) else np.asarray(y, np.float64)
        truth = given.reshape(found.shape)
        weights = None if sample_weight is None else np.asarray(sample_weight, np.float64)[:, None]
        center = np.average(truth, axis=0, weights=sample_weight)
        wrong = np.sum((truth - found) ** 2 * (1.0 if weights is None else weights), axis=0)
        spread = np.sum((truth - center) ** 2 * (1.0 if weights is None else weights), axis=0)
        perfect = np.where(wrong == 0, 1.0, 0.0)
        scores = np.where(spread > 0, 1 - wrong / np.where(spread > 0, spread, 1.0), perfect)
        return float(scores.mean())
