"""What diagnosis looks at: a model, its data and its last fit, with everything that several probes
measure, each measured once.
"""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from chainrule import losses, optimizers
from chainrule.config import settings
from chainrule.data.split import split_indices
from chainrule.diagnosis.recipe import Recipe, Trained, recipe_of
from chainrule.diagnosis.scores import Task, skill
from chainrule.losses import Loss
from chainrule.nn import Layer
from chainrule.nn.contents import walk
from chainrule.training.explanation.record import Recorder, StepRecord
from chainrule.training.fit import held_out_rows, probe, ready
from chainrule.training.history import History
from chainrule.training.inputs import as_arrays, count_rows, take_rows
from chainrule.training.model import Model
from chainrule.training.step import TrainingStep
from chainrule.training.targets import as_targets

Array = NDArray[Any]
Result = TypeVar("Result")

#: rows of the batch whose forward and backward pass the probes look at.
STATISTICS_ROWS = 128
#: rows at most that scores are computed on.
SCORED_ROWS = 2_000
#: runs longer than this share of the budget are cut for twins.
TWIN_SHARE = 1 / 15


@dataclass(frozen=True)
class Twin:
    """A run with one thing changed, beside the same run without.

    Attributes:
        trained: its model and history.
        skill: on the validation rows, see `scores`.
        training_skill: on the training rows.
        gain: the skill less the best of the runs without the change.
        z: the mean improvement of a validation row in standard errors.
        seconds: how long it took.
    """

    trained: Trained
    skill: float
    training_skill: float
    gain: float
    z: float
    seconds: float


class Case:
    """A training run under examination.

    Args:
        model: the user's model, which is not changed.
        x, y: the rows that ``fit`` was given.
        history: of the run; default that of the last fit.
        validation: (x, y); default what the last fit validated on, else a fifth of the rows.
        columns: names of the columns of x.
        budget: seconds for all probes and twins together.
    """

    def __init__(
        self,
        model: Model,
        x: Any,
        y: Any,
        history: History | None = None,
        validation: tuple[Any, Any] | None = None,
        columns: list[str] | None = None,
        budget: float = 60.0,
    ) -> None:
        self.model = model
        self.last = model._last_run
        self.columns = columns
        self.budget = budget
        self.begin = time.perf_counter()
        self._twins: dict[str, Twin] = {}
        whole = recipe_of(model, _arrays(x), np.asarray(y))
        known = self.last.history if self.last is not None else None
        self.history = history if history is not None else known
        #: the number that each training row had among those that were given.
        self.rows = np.arange(len(whole.y))
        #: whether the run had validation rows, so that its own score is one on unseen rows.
        self.validated = True
        self.recipe = self._split(whole, validation)

    # ---- what was given

    @property
    def x(self) -> Any:
        """The training rows."""
        return self.recipe.x

    @property
    def y(self) -> Array:
        """Their targets."""
        targets: Array = self.recipe.y
        return targets

    @property
    def validation(self) -> tuple[Any, Array]:
        """The rows that the model was not trained on (or, cut off here, shall not be)."""
        assert self.recipe.validation is not None
        return self.recipe.validation

    @cached_property
    def table(self) -> Array | None:
        """x as (N, columns) where it is one array of floating numbers of two axes."""
        x = self.x
        single = isinstance(x, np.ndarray) and x.ndim == 2 and x.dtype.kind == "f"
        return x if single else None

    def column(self, index: int) -> str:
        """The name of a column of x."""
        if self.columns is not None and index < len(self.columns):
            return repr(self.columns[index])
        return str(index)

    @cached_property
    def loss(self) -> Loss | None:
        """What the run was trained with."""
        given = self.recipe.settings.get("loss")
        if given is not None:
            return losses.get(given)
        return self.model._setup.loss if self.model._setup is not None else None

    @cached_property
    def task(self) -> Task:
        """What the targets are."""
        kind = None if self.loss is None else self.loss.task
        return Task.of(self.y, for_classes=kind in ("classes", "binary"))

    @property
    def labels(self) -> Array | None:
        """The class of each training row, as a place in ``task.classes``."""
        return self.task.labels(self.y)

    @cached_property
    def layers(self) -> list[tuple[str, Layer]]:
        """Every layer of the model before training, with its path."""
        return [(p.path, p.layer) for p in walk(self.first) if p.layer is not self.first]

    @cached_property
    def first(self) -> Model:
        """The model as it was before the run; not for training, take ``recipe.make()``."""
        model = self.recipe.make()
        if not model.built and self.usable:
            probe(model, as_arrays(self.x, "x", "diagnose"), self.recipe.settings.get("seed"))
        return model

    @cached_property
    def usable(self) -> bool:
        """Whether the data are finite numbers, so that the model can be run on them."""
        arrays = [*_leaves(self.x), self.y, *_leaves(self.validation[0]), self.validation[1]]
        return all(a.dtype.kind in "iub" or _finite(a) for a in arrays)

    @property
    def refused(self) -> bool:
        """Whether ``fit`` raised an error."""
        return self.last is not None and self.last.history is None and self.history is None

    @property
    def seconds_left(self) -> float:
        """What is left of the budget."""
        return self.budget - (time.perf_counter() - self.begin)

    # ---- curves

    @cached_property
    def curve(self) -> Array:
        """The loss of each epoch."""
        return self._logged("loss")

    @cached_property
    def validation_curve(self) -> Array:
        """The loss on the validation rows after each epoch; empty if there were none."""
        return self._logged("val_loss")

    def _logged(self, name: str) -> Array:
        found = self.history is not None and name in self.history and self.history.epochs
        return np.array(self.history[name] if found and self.history else [], np.float64)

    @property
    def not_finite(self) -> bool:
        """Whether the run ended because numbers were not finite."""
        return self.history is not None and self.history.stopped_by == "not_finite"

    # ---- scores

    def outputs(self, model: Model, x: Any) -> Array:
        """What a model returns for some rows, as an array."""
        with np.errstate(all="ignore"):
            return np.asarray(model.predict(x))

    def errors(self, model: Model, x: Any, y: Array) -> Array | None:
        """The error of each row, see `scores`."""
        x, y = _first_rows(x, SCORED_ROWS), y[:SCORED_ROWS]
        if self.task.kind != "other":
            return self.task.errors(self.outputs(model, x), y)
        assert self.loss is not None
        inputs = as_arrays(x, "x", "diagnose")
        outputs = model(inputs, training=False)
        data = ready(model, inputs, as_targets(y, len(y), "diagnose"), outputs, self.loss, "")
        values = self.loss.per_example(data.y, outputs).numpy().astype(np.float64)
        values = values.reshape(len(y), -1).mean(axis=1)
        return np.where(np.isfinite(values), values, np.inf)

    def constant_errors(self, x: Any, y: Array) -> Array | None:
        """The errors of the best constant prediction (for other tasks: of the first weights)."""
        if self.task.kind == "other":
            return self.errors(self.first, x, y)
        return self.task.constant_errors(y[:SCORED_ROWS])

    def skill(self, model: Model, training: bool = False) -> float:
        """The skill of a model on the validation rows, or on the training rows."""
        x, y = (self.x, self.y) if training else self.validation
        constant = self._constant_training if training else self._constant_validation
        return skill(self.errors(model, x, y), constant)

    @cached_property
    def _constant_training(self) -> Array | None:
        return self.constant_errors(self.x, self.y)

    @cached_property
    def _constant_validation(self) -> Array | None:
        return self.constant_errors(*self.validation)

    # ---- the run, repeated

    @cached_property
    def short(self) -> Recipe:
        """The run, with fewer epochs where it takes longer than a twin may."""
        allowed = self.budget * TWIN_SHARE
        seconds = self.history.seconds if self.history is not None else 0.0
        if seconds <= allowed or not self.curve.size:
            return self.recipe
        return self.recipe.with_settings(
            epochs=max(1, math.floor(len(self.curve) * allowed / seconds))
        )

    @cached_property
    def control(self) -> Trained:
        """The run that twins are compared with: the user's own where it can be."""
        own = self.validated and self.short is self.recipe and self.history is not None
        if own and not self.not_finite:
            assert self.history is not None
            return Trained(self.model, self.history, None, self.history.seconds)
        return self.short.train()

    @cached_property
    def control_skill(self) -> float:
        """Its skill on the validation rows."""
        return self._skill_of(self.control)

    @cached_property
    def training_skill(self) -> float:
        """Its skill on the training rows."""
        return self._skill_of(self.control, training=True)

    @cached_property
    def reseeded(self) -> Trained:
        """The same run from other first weights, in another order of rows: shows how much luck
        there is in a score.
        """
        seed = int(self.recipe.settings.get("seed") or 0) + 1_000_003
        return reseeded(self.short, seed).train()

    @cached_property
    def reseeded_skill(self) -> float:
        """Its skill on the validation rows."""
        return self._skill_of(self.reseeded)

    @cached_property
    def luck(self) -> float:
        """The difference that another seed makes to the skill; below 0 all are alike."""
        other = self.reseeded_skill
        if not math.isfinite(other):
            return 0.0
        return abs(max(other, 0.0) - max(self.control_skill, 0.0))

    def _skill_of(self, trained: Trained, training: bool = False) -> float:
        if trained.error is not None or trained.history is None or not trained.history.epochs:
            return float("-inf")
        return self.skill(trained.model, training)

    def twin(self, recipe: Recipe, name: str) -> Twin:
        """Run a changed recipe (a change of ``short``); asked for again by its name, it is not run
        again. The validation rows may be changed too: each run is scored on its own.
        """
        if name not in self._twins:
            self._twins[name] = self._run_twin(recipe)
        return self._twins[name]

    @property
    def twins(self) -> list[Twin]:
        """All twins that were run so far."""
        return list(self._twins.values())

    def _run_twin(self, recipe: Recipe) -> Twin:
        trained = recipe.train()
        if trained.error is not None or trained.history is None or not trained.history.epochs:
            low = float("-inf")
            return Twin(trained, low, low, low, low, trained.seconds)
        own = replace_data(self, recipe)
        errors = own.errors(trained.model, *own.validation)
        reached = skill(errors, own._constant_validation)
        best = max(self.control_skill, self.reseeded_skill)
        z = _improvement(errors, self._control_errors())
        fitted = own.skill(trained.model, training=True)
        return Twin(trained, reached, fitted, _difference(reached, best), z, trained.seconds)

    def _control_errors(self) -> Array | None:
        if not math.isfinite(self.control_skill):
            return None
        return self.errors(self.control.model, *self.validation)

    # ---- one step, looked into

    def statistics(self, model: Model, rows: Array | None = None) -> StepRecord | None:
        """Forward and backward pass of a model on some training rows: values before and after
        activations, their gradients, and the update of a fresh optimizer. None if it cannot be run.
        """
        if self.loss is None or not self.usable or not model.trainable_variables:
            return None
        chosen = self.sample_rows if rows is None else rows
        inputs = as_arrays(take_rows(self.x, chosen), "x", "diagnose")
        targets = as_targets(self.y[chosen], count_rows(inputs), "diagnose")
        with settings(backend="reference"), np.errstate(all="ignore"):
            outputs = model(inputs, training=False)
            data = ready(model, inputs, targets, outputs, self.loss, "diagnose")
            optimizer = self.recipe.optimizer()
            if optimizer.full_batch:
                optimizer = optimizers.get("sgd")
            optimizer.build(model.trainable_variables)
            step = TrainingStep(model, self.loss, optimizer)
            return Recorder(step).record(data.x, data.y)

    @cached_property
    def sample_rows(self) -> Array:
        """Some training rows, drawn by a fixed seed."""
        order = np.random.default_rng(0).permutation(self.recipe.rows)
        return np.sort(order[:STATISTICS_ROWS])

    @cached_property
    def at_start(self) -> StepRecord | None:
        """The first step, looked into."""
        return self.statistics(self.first)

    def once(self, name: str, measure: Callable[[], Result]) -> Result:
        """A measurement that several probes share, by a name."""
        cache: dict[str, Any] = self.__dict__.setdefault("_measured", {})
        if name not in cache:
            cache[name] = measure()
        result: Result = cache[name]
        return result

    # ---- splitting

    def _split(self, recipe: Recipe, validation: tuple[Any, Any] | None) -> Recipe:
        """The recipe with explicit validation rows."""
        options = None if self.last is None else self.last.options
        if validation is None and options is not None and options.validation_data is not None:
            validation = tuple(options.validation_data)[:2]
        if validation is not None:
            pair = _arrays(validation[0]), np.asarray(validation[1])
            return recipe.with_data(validation=pair)
        rows, fraction = len(recipe.y), options.validation_split if options is not None else 0.0
        seed = self.last.seed if self.last is not None else None
        loss = recipe.settings.get("loss")
        if fraction and seed is not None and loss is not None:
            training, held_out = held_out_rows(recipe.y, losses.get(loss), fraction, seed)
        else:
            self.validated = False
            held_out = np.sort(split_indices(rows, 0.2, seed=0)[1])
            training = np.setdiff1d(np.arange(rows), held_out)
        self.rows = training
        weights = recipe.settings.get("sample_weight")
        if weights is not None:
            recipe = recipe.with_settings(sample_weight=np.asarray(weights)[training])
        return recipe.with_data(
            take_rows(recipe.x, training), recipe.y[training],
            (take_rows(recipe.x, held_out), recipe.y[held_out]),
        )  # fmt: skip


def reseeded(recipe: Recipe, seed: int) -> Recipe:
    """The same run with other first weights and another order of rows. Weights that somebody set
    by hand stay: they are no matter of luck.
    """
    before = int(recipe.settings.get("seed") or 0)

    def fresh(model: Model) -> None:
        if not model.built:
            model.tree_seed = seed
        elif _drawn_by(model, before):
            model.reinitialize(seed)

    return recipe.with_model(fresh).with_settings(seed=seed)


def _drawn_by(model: Model, seed: int) -> bool:
    """Whether all values are those that the initializers draw by the model's seed."""
    again = copy.deepcopy(model)
    again.reinitialize(seed if model._tree_seed is None else model._tree_seed)
    pairs = zip(model.variables, again.variables, strict=True)
    return all(np.array_equal(a.numpy(), b.numpy()) for a, b in pairs)


def replace_data(case: Case, recipe: Recipe) -> Case:
    """The case as it would be with the rows of another recipe, to score runs on them."""
    same = recipe.x is case.x and recipe.y is case.y and recipe.validation is case.validation
    if same:
        return case
    other = object.__new__(Case)
    other.__dict__.update(model=case.model, last=case.last, history=case.history,
                          columns=case.columns, budget=case.budget, begin=case.begin,
                          recipe=replace(case.recipe, x=recipe.x, y=recipe.y,
                                         validation=recipe.validation))  # fmt: skip
    return other


def _improvement(errors: Array | None, before: Array | None) -> float:
    """The mean of before - errors in standard errors."""
    if errors is None or not np.isfinite(errors).all():
        return float("-inf")
    if before is None or len(before) != len(errors) or not np.isfinite(before).all():
        return float("inf")
    difference = before - errors
    deviation = float(difference.std())
    mean = float(difference.mean())
    if deviation == 0:
        return math.copysign(float("inf"), mean) if mean else 0.0
    return mean / deviation * math.sqrt(len(difference))


def _difference(reached: float, best: float) -> float:
    if math.isfinite(best):
        return reached - best
    return reached if math.isfinite(reached) else float("-inf")


def _arrays(x: Any) -> Any:
    if isinstance(x, dict):
        return {key: np.asarray(value) for key, value in x.items()}
    if isinstance(x, tuple) and any(np.ndim(part) for part in x):
        return tuple(np.asarray(part) for part in x)
    return np.asarray(x)


def _leaves(x: Any) -> list[Array]:
    if isinstance(x, dict):
        return list(x.values())
    return list(x) if isinstance(x, tuple) else [x]


def _finite(array: Array) -> bool:
    return array.dtype.kind == "f" and bool(np.isfinite(array).all())


def _first_rows(x: Any, count: int) -> Any:
    return take_rows(x, slice(0, count))
