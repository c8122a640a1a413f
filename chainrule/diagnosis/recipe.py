"""A training run as a value: model, data and settings, which a remedy edits and a twin repeats."""

import copy
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import optimizers
from chainrule.optimizers import Optimizer
from chainrule.training.callbacks import (
    Callback,
    EarlyStopping,
    LearningRateScheduler,
    ReduceOnPlateau,
)
from chainrule.training.fit import Options
from chainrule.training.history import History
from chainrule.training.model import Model

Array = NDArray[Any]
Make = Callable[[], Model]
MakeOptimizer = Callable[[], Optimizer]


@dataclass(frozen=True)
class Trained:
    """What a run gave: the model, its history (None if ``fit`` refused), and the refusal."""

    model: Model
    history: History | None
    error: Exception | None
    seconds: float


@dataclass(frozen=True)
class Recipe:
    """How to train a model from the beginning.

    Attributes:
        make: gives a new model with its first weights, not trained yet.
        x, y: the training rows, as ``fit`` takes them.
        validation: (x, y) of the rows to validate on, or None.
        optimizer: gives a new optimizer without state.
        settings: the other keywords of ``fit``: loss, epochs, batch_size, shuffle, seed, metrics,
            class_weight, sample_weight, early_stopping, callbacks, mixup.
        finish: makes the model that is handed out of the trained one, such as one that scales
            outputs back. Rows for validation are compared with what it predicts.
        encode: gives what ``fit`` learns instead of the targets, such as standardised ones, which
            ``finish`` undoes.
    """

    make: Make
    x: Any
    y: Any
    validation: tuple[Any, Any] | None
    optimizer: MakeOptimizer
    settings: dict[str, Any] = field(default_factory=dict)
    finish: Callable[[Model], Model] | None = None
    encode: Callable[[Array], Array] | None = None

    def with_settings(self, **settings: Any) -> "Recipe":
        """The same run with some keywords of ``fit`` changed."""
        return replace(self, settings={**self.settings, **settings})

    def with_data(self, x: Any = None, y: Any = None, validation: Any = None) -> "Recipe":
        """The same run on other rows; what is None stays."""
        return replace(
            self,
            x=self.x if x is None else x,
            y=self.y if y is None else y,
            validation=self.validation if validation is None else validation,
        )

    def with_model(self, change: Callable[[Model], Model | None]) -> "Recipe":
        """The same run with a changed model: ``change`` edits it, or returns another one."""
        make = self.make

        def changed() -> Model:
            model = make()
            result = change(model)
            return model if result is None else result

        return replace(self, make=changed)

    def with_optimizer(self, make: MakeOptimizer) -> "Recipe":
        """The same run with another optimizer."""
        return replace(self, optimizer=make)

    def with_rate(self, rate: float) -> "Recipe":
        """The same run with another learning rate, constant over the run."""
        before = self.optimizer

        def make() -> Optimizer:
            made = before()
            config = {**made.get_config(), "learning_rate": rate}
            return type(made).from_config(config)

        return replace(self, optimizer=make)

    @property
    def learning_rate(self) -> float:
        """The rate at the first step."""
        return float(self.optimizer().current_rate())

    @property
    def epochs(self) -> int:
        """Passes over the data, at most."""
        return int(self.settings.get("epochs", 1))

    @property
    def rows(self) -> int:
        """The number of training rows."""
        return len(self.y)

    @property
    def batch_size(self) -> int:
        """Rows in a step."""
        size = self.settings.get("batch_size", 32)
        if size is None or self.optimizer().full_batch:
            return self.rows
        return min(200 if size == "auto" else int(size), self.rows)

    @property
    def steps(self) -> int:
        """Updates in the whole run, if nothing ends it before."""
        return self.epochs * -(-self.rows // self.batch_size)

    def train(self, **changes: Any) -> Trained:
        """Run it, in silence.

        Args:
            changes: keywords of ``fit`` that count instead of the settings.
        """
        model, begin = self.make(), time.perf_counter()
        encode = self.encode if self.encode is not None else np.asarray
        held_out = self.validation and (self.validation[0], encode(self.validation[1]))
        keywords = {**self.settings, "verbose": 0, "validation_data": held_out, **changes}
        history, problem = None, None
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                history = model.fit(self.x, encode(self.y), optimizer=self.optimizer(), **keywords)
            except (ValueError, TypeError, ArithmeticError, RuntimeError) as error:
                problem = error
        if self.finish is not None and history is not None:
            model = self.finish(model)
        return Trained(model, history, problem, time.perf_counter() - begin)


def recipe_of(model: Model, x: Any, y: Any) -> Recipe:
    """The recipe of a model's last fit, on all rows that it was given; a default one without a fit.

    Held-out rows are not cut off yet; the user's callbacks are left out, early stopping stays.
    """
    last = model._last_run
    first = copy.deepcopy(model)
    initial = {} if last is None else last.initial
    for variable in first.variables:
        if variable.path in initial:
            variable.assign(initial[variable.path])
    make = lambda: copy.deepcopy(first)  # noqa: E731
    if last is None:
        return Recipe(make, x, y, None, lambda: optimizers.get("adam"), {"seed": 0})
    options = last.options
    return Recipe(
        make, x, y, None, _fresh_optimizer(options.optimizer, last.learning_rate),
        {**_settings(options), "seed": last.seed or 0},
    )  # fmt: skip


_KEPT = ("loss", "metrics", "epochs", "batch_size", "class_weight", "sample_weight", "shuffle")
_OWN_CALLBACKS = (EarlyStopping, ReduceOnPlateau, LearningRateScheduler)


def _settings(options: Options) -> dict[str, Any]:
    settings = {name: getattr(options, name) for name in (*_KEPT, "mixup", "until")}
    settings["early_stopping"] = copy.deepcopy(options.early_stopping)
    given = options.callbacks
    callbacks = [given] if isinstance(given, Callback) else list(given)
    settings["callbacks"] = [copy.copy(c) for c in callbacks if isinstance(c, _OWN_CALLBACKS)]
    return settings


def _fresh_optimizer(given: Any, rate: float | None) -> MakeOptimizer:
    """Makes an optimizer like the one of a run, without its state, at the rate it began with."""
    if not isinstance(given, Optimizer):
        return lambda: optimizers.get(given)
    kind, config = type(given), given.get_config()
    if rate is not None:
        config["learning_rate"] = rate
    return lambda: kind.from_config(config)
