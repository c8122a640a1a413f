"""What both estimators share: from X and y to a trained network, and from rows to its outputs."""

import contextlib
import copy
import inspect
from abc import abstractmethod
from collections.abc import Iterator
from os import PathLike
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from chainrule.data import (
    ClassEncoder,
    Column,
    MultiLabelEncoder,
    RegressionScaler,
    TablePreprocessor,
    as_table,
)
from chainrule.errors import ArgumentError, DataError, StateError
from chainrule.estimators.base import Estimator, not_fitted_error
from chainrule.estimators.defaults import INITIALIZER, Plan, make_optimizer, make_plan
from chainrule.estimators.validation import (
    Inputs,
    check_names,
    check_targets_given,
    check_width,
    read_inputs,
    read_weights,
)
from chainrule.losses import Loss
from chainrule.nn.layers import Dense, Dropout
from chainrule.nn.seeding import derive_seed, next_seed
from chainrule.optimizers import Optimizer
from chainrule.training.history import History
from chainrule.training.model import Model
from chainrule.training.sequential import Sequential

Array = NDArray[Any]
Encoder = ClassEncoder | MultiLabelEncoder | RegressionScaler

ROWS_AT_ONCE = 8_192
"""Rows that `predict` turns into features together."""


class NetworkEstimator(Estimator):
    """Base of `NetworkClassifier` and `NetworkRegressor`."""

    # Parameters that the methods here read; the subclasses' constructors set them.
    model: Any
    random_state: Any

    # Results of fit.
    model_: Model
    preprocessor_: TablePreprocessor | None
    target_encoder_: Encoder
    target_name_: str | None
    history_: History | None
    n_features_in_: int
    n_outputs_: int
    n_iter_: int
    loss_: float | None
    loss_curve_: list[float] | None

    #: Whether rows are indices, such as tokens of texts, which the network takes as they are and in
    #: any number.
    takes_indices = False

    #: Whether the loss was a function, and this estimator comes from a file without it.
    _loss_missing = False

    _optimizer: Optimizer | None
    _loss: Loss

    # ---- what a subclass says

    @abstractmethod
    def _learn_targets(self, y: Any, weights: Array | None, parameters: dict[str, Any]) -> None:
        """Set ``target_encoder_``, ``n_outputs_`` and what else follows from the targets."""

    @abstractmethod
    def _encode(self, y: Any) -> Array:
        """Targets as the loss takes them."""

    @abstractmethod
    def _output_layer(self, parameters: dict[str, Any]) -> tuple[int, Any]:
        """Width and activation of the last layer of the default network."""

    @abstractmethod
    def _choose_loss(self, outputs: Any, parameters: dict[str, Any]) -> Loss:
        """The loss, and what is to be done with the network's outputs."""

    @abstractmethod
    def _metrics(self) -> list[str]:
        """What to log beside the loss."""

    @abstractmethod
    def _row_weights(
        self, targets: Array, weights: Array | None, parameters: dict[str, Any]
    ) -> Array | None:
        """The weights to train with: those given, and those that follow from the classes."""

    # ---- learning

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn from rows, forgetting what was learnt before.

        Args:
            X: N rows: table, data frame with columns of any kind, array, or sparse matrix.
            y: N targets, or (N, K) for several a row.
            sample_weight: N weights from 0 up: a row of weight 2 counts as two rows; default 1.

        Returns:
            The estimator itself, with the results in attributes that end in an underscore.

        Raises:
            DataError, ShapeError, DTypeError: data that cannot be learnt from; row and column
                are named.
            ArgumentError: a parameter outside what is possible.
        """
        parameters = self._checked_parameters()
        with unchanged_on_error(self):
            inputs, targets, weights = self._start(X, y, sample_weight, parameters)
            features = self._features(inputs)
            seed = seed_of(self.random_state)
            plan, optimizer = self._build(features, parameters, seed)
            row_weights = self._row_weights(targets, weights, parameters)
            history = self.model_.fit(
                features,
                targets,
                optimizer=optimizer,
                sample_weight=row_weights,
                seed=seed,
                verbose=parameters["verbose"],
                **self._run_settings(parameters, plan),
            )
            self._record(history, epochs_before=0, losses_before=[])
        return self

    def _run_settings(self, parameters: dict[str, Any], plan: Plan) -> dict[str, Any]:
        """Keywords of `Model.fit` for a whole run."""
        return {
            "loss": self._loss,
            "metrics": self._metrics(),
            "epochs": int(parameters["epochs"]),
            "batch_size": plan.batch_size,
            "until": parameters["until"],
            "validation_split": plan.validation_fraction,
            "early_stopping": plan.early_stopping,
            "mixup": parameters.get("mixup", 0.0),
            "callbacks": parameters["callbacks"],
        }

    def trained_again(self, features: Array, targets: Array) -> Model:
        """A new network like ``model_``, trained from new first weights as `fit` trains.

        Args:
            features, targets: what `network_examples` gives.
        """
        parameters = self._checked_parameters()
        optimizer = make_optimizer(parameters, len(features))
        plan = make_plan(parameters, len(features), optimizer.full_batch)
        network, seed = copy.deepcopy(self.model_), seed_of(self.random_state)
        network.reinitialize(seed)
        self._loss = self._choose_loss(network(features[:2]), parameters)
        network.fit(
            features,
            targets,
            optimizer=optimizer,
            sample_weight=self._row_weights(targets, None, parameters),
            seed=seed,
            verbose=0,
            **self._run_settings(parameters, plan),
        )
        return network

    def _continue(
        self, X: Any, y: Any, sample_weight: Any, parameters: dict[str, Any], known_targets: bool
    ) -> None:
        """One more epoch; the first call starts the network and learns the preprocessing."""
        if not hasattr(self, "model_"):
            inputs, targets, weights = self._start(X, y, sample_weight, parameters, known_targets)
            features = self._features(inputs)
            _, optimizer = self._build(features, parameters, seed_of(self.random_state))
            self.n_iter_, self.loss_curve_ = 0, []
        else:
            inputs, y, weights = self._read(X, y, sample_weight)
            self._check_inputs(inputs)
            features, targets = self._features(inputs), self._encode(y)
            optimizer = self._optimizer or self._train_with(
                make_optimizer(parameters, len(features)), features, parameters
            )
        plan = make_plan(parameters, len(features), optimizer.full_batch)
        history = self.model_.fit(
            features,
            targets,
            loss=self._loss,
            optimizer=optimizer,
            metrics=self._metrics(),
            batch_size=plan.batch_size,
            sample_weight=self._row_weights(targets, weights, parameters),
            mixup=parameters.get("mixup", 0.0),
            callbacks=parameters["callbacks"],
            seed=derive_seed(self.model_.tree_seed, f"call {self.n_iter_}"),
            verbose=parameters["verbose"],
        )
        self._record(history, epochs_before=self.n_iter_, losses_before=self.loss_curve_ or [])

    def _read(self, X: Any, y: Any, sample_weight: Any) -> tuple[Inputs, Any, Array | None]:
        """X, y and weights of the rows that count."""
        where = type(self).__name__
        inputs = self._read_inputs(X)
        y = check_targets_given(y, inputs.rows, where)
        weights = read_weights(sample_weight, inputs.rows, where)
        if weights is not None and not weights.all():
            keep = np.flatnonzero(weights)
            inputs, weights = inputs.take(keep), weights[keep]
            y = _take_targets(y, keep)
        return inputs, y, weights

    def _start(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        parameters: dict[str, Any],
        known_targets: bool = False,
    ) -> tuple[Inputs, Array, Array | None]:
        """Read the data and learn from it what comes before the network."""
        self.target_name_ = y.name if isinstance(getattr(y, "name", None), str) else None
        inputs, y, weights = self._read(X, y, sample_weight)
        if not known_targets:
            self._learn_targets(y, weights, parameters)
        targets = self._encode(y)
        if inputs.rows < 2:
            raise DataError(
                type(self).__name__, "nothing can be learnt from 1 sample", got="n_samples = 1",
                expected="at least 2 rows",
            )  # fmt: skip
        self.preprocessor_ = _fitted_preprocessor(parameters["preprocessing"], inputs, weights)
        self.n_features_in_ = inputs.width
        if inputs.names is not None:
            self.feature_names_in_ = inputs.names
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        return inputs, targets, weights

    def _build(
        self, features: Array, parameters: dict[str, Any], seed: int
    ) -> tuple[Plan, Optimizer]:
        """Make the network, the optimizer and the loss."""
        optimizer = make_optimizer(parameters, len(features))
        plan = make_plan(parameters, len(features), optimizer.full_batch)
        if self.model is None:
            self.model_ = self._default_network(parameters, plan)
        else:
            self.model_ = _given_network(self.model, features.shape[-1], self._output_width())
        self.model_.seed_if_new(seed)
        return plan, self._train_with(optimizer, features, parameters)

    def _train_with(
        self, optimizer: Optimizer, features: Array, parameters: dict[str, Any]
    ) -> Optimizer:
        """Keep an optimizer, and the loss that fits the network's outputs."""
        self._loss = self._choose_loss(self.model_(features[:2]), parameters)
        self._optimizer = optimizer
        return optimizer

    def _default_network(self, parameters: dict[str, Any], plan: Plan) -> Sequential:
        """Dense layers, each followed by dropout where there is any."""

        def dense(width: int, activation: Any) -> Dense:
            return Dense(width, activation, kernel_initializer=INITIALIZER, dtype=plan.dtype)

        network = Sequential()
        for width in parameters["hidden"]:
            network.add(dense(width, parameters["activation"]))
            if plan.dropout:
                network.add(Dropout(plan.dropout, dtype=plan.dtype))
        network.add(dense(*self._output_layer(parameters)))
        return network

    def _output_width(self) -> int:
        """How many outputs a model of the user's should have."""
        encoder = self.target_encoder_
        return encoder.n_classes if isinstance(encoder, ClassEncoder) else self.n_outputs_

    def _record(self, history: History, epochs_before: int, losses_before: list[float]) -> None:
        self.history_ = history
        self.n_iter_ = epochs_before + history.epochs
        losses = history["loss"] if history.epochs else []
        self.loss_curve_ = [*losses_before, *(float(value) for value in losses)]
        self.loss_ = self.loss_curve_[-1] if self.loss_curve_ else None

    # ---- using

    def _check_fitted(self) -> None:
        if not hasattr(self, "model_"):
            raise not_fitted_error(type(self).__name__)

    @property
    def _takes_more_axes(self) -> bool:
        """Whether rows may be arrays themselves; a loaded estimator has the network only."""
        shape = self.model_.input_shape if hasattr(self, "model_") else None
        return self.model is not None or (isinstance(shape, tuple) and len(shape) > 2)

    def _read_inputs(self, X: Any) -> Inputs:
        where = type(self).__name__
        free = self._takes_more_axes
        return read_inputs(X, where, axes_free=free, indices=self.takes_indices)

    def _check_inputs(self, inputs: Inputs) -> None:
        """Refuse other columns than those of the training data."""
        where = type(self).__name__
        check_names(inputs, getattr(self, "feature_names_in_", None), where)
        if not self.takes_indices:
            check_width(inputs, self.n_features_in_, where)

    def _features(self, inputs: Inputs) -> Array:
        """What the network takes, for all rows at once."""
        if self.preprocessor_ is not None:
            return self.preprocessor_.transform(inputs.data)
        if isinstance(inputs.data, np.ndarray):
            return inputs.data
        table = as_table(inputs.data, numbers_only=True, missing="refuse")
        return np.stack([column.to_float() for column in table], axis=1).astype(np.float32)

    def _outputs(self, X: Any) -> Array:
        """The outputs of the network for all rows, (N, width)."""
        self._check_fitted()
        inputs = self._read_inputs(X)
        self._check_inputs(inputs)
        pieces = [
            self.model_.predict(self._features(inputs.take(np.arange(start, stop))))
            for start, stop in _slices(inputs.rows)
        ]
        outputs = np.concatenate(pieces)
        return outputs[:, None] if outputs.ndim == 1 else outputs

    def network_examples(self, X: Any, y: Any) -> tuple[Array, Array, Loss]:
        """What training gives to the network for these rows, for a look at one of its steps.

        Args:
            X: N rows.
            y: their targets.

        Returns:
            Inputs and targets of ``model_``, and the loss that training lowers.

        Raises:
            StateError: the loss was a function, which a model file does not hold.
            DataError: other columns or targets than those of the training.
        """
        self._check_fitted()
        if self._loss_missing:
            raise StateError(
                type(self).__name__, "the loss is not known", got="a function, not in the file",
                fix="explain the model in Python: model_.explain(x, y, loss=FUNCTION)",
            )  # fmt: skip
        inputs = self._read_inputs(X)
        self._check_inputs(inputs)
        targets = self._encode(check_targets_given(y, inputs.rows, type(self).__name__))
        features = self._features(inputs)
        loss = self._choose_loss(self.model_(features[:2]), self._checked_parameters())
        return features, targets, loss

    def save(self, path: str | PathLike[str]) -> None:
        """Write network, preprocessing and targets to one safetensors file; `load` reads it.

        Callbacks, functions, optimizers and models given as parameters are not saved; the trained
        network is.

        Raises:
            NotFittedError: there is nothing to save.
            FileAccessError: the file cannot be written.
        """
        from chainrule.estimators.saving import save_estimator

        self._check_fitted()
        save_estimator(self, path)

    def __getstate__(self) -> dict[str, Any]:
        # The optimizer's state belongs to a run; a copy that goes on training starts a new one.
        return {**self.__dict__, "_optimizer": None, "_loss": None}


@contextlib.contextmanager
def unchanged_on_error(estimator: NetworkEstimator) -> Iterator[None]:
    """Keep what was learnt before if learning anew fails."""
    before = dict(vars(estimator))
    try:
        yield
    except Exception:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


def _take_targets(y: Any, rows: Array) -> Any:
    """Some of the targets."""
    if isinstance(y, list | tuple) and isinstance(y[0], Column):
        return [column.take(rows) for column in y]
    return y.take(rows) if isinstance(y, Column) else np.asarray(y)[rows]


def _slices(rows: int) -> list[tuple[int, int]]:
    return [(start, min(start + ROWS_AT_ONCE, rows)) for start in range(0, rows, ROWS_AT_ONCE)]


def seed_of(random_state: Any) -> int:
    """A seed of one whole number."""
    if random_state is None:
        return next_seed()
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31))
    return int(random_state)


def _fitted_preprocessor(
    setting: Any, inputs: Inputs, weights: Array | None
) -> TablePreprocessor | None:
    """The preprocessing asked for, after it has seen the rows."""
    if setting is False or isinstance(inputs.data, np.ndarray):
        return None
    chosen = copy.deepcopy(setting) if isinstance(setting, TablePreprocessor) else None
    if chosen is None:
        chosen = TablePreprocessor()
    return chosen.fit(inputs.data, sample_weight=weights)


def _given_network(model: Any, n_features: int, n_outputs: int) -> Model:
    """The user's network: a copy of a model, or what a function returns."""
    if isinstance(model, Model):
        return copy.deepcopy(model)
    try:
        inspect.signature(model).bind(n_features, n_outputs)
        arguments: tuple[int, ...] = (n_features, n_outputs)
    except (TypeError, ValueError):
        arguments = ()
    made = model(*arguments)
    if not isinstance(made, Model):
        raise ArgumentError(
            "model", "the function does not return a Model", got=type(made).__name__,
            expected="a cr.Model, such as cr.Sequential([...])",
        )  # fmt: skip
    return made
