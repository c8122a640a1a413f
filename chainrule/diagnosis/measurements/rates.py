"""Learning rates: how far short runs come at several of them, and whether a run begins in order."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import optimizers
from chainrule.diagnosis.case import Case
from chainrule.optimizers import Optimizer
from chainrule.tensor import tensor
from chainrule.training.batches import Batches, Data
from chainrule.training.constant import constant_loss
from chainrule.training.explanation.record import StepRecord
from chainrule.training.fit import probe, ready
from chainrule.training.inputs import as_arrays
from chainrule.training.nonfinite import restore
from chainrule.training.step import TrainingStep
from chainrule.training.targets import as_targets
from chainrule.training.weights import example_weights

Array = NDArray[Any]

#: the rates that are tried beside the run's own.
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)
SWEEP_STEPS = 100
SWEEP_SECONDS = 2.0
SWEEP_BATCHES = (8, 128)
#: root mean squares of columns, and deviations of targets, that training copes with.
ORDINARY = (0.02, 20.0)
LARGEST_ACTIVATION, SMALLEST_ACTIVATION = 30.0, 3e-3
#: of the gradient's length in the first kernel, as a share of the longest.
SMALLEST_FLOW = 1e-3


@dataclass(frozen=True)
class RateSweep:
    """How training begins at several learning rates, from the same weights on the same batches.

    Attributes:
        rates: ascending.
        losses: of each step, (rates, steps); not finite where numbers overflowed.
        untrained: of each batch at the first weights, (steps,).
        own: the place of the run's own rate (of a schedule, its largest).
    """

    rates: Array
    losses: Array
    untrained: Array
    own: int

    @property
    def start(self) -> float:
        """The loss at the first weights, of the batches that ``reached`` looks at."""
        return float(self.untrained[-max(1, len(self.untrained) // 5) :].mean())

    @property
    def reached(self) -> Array:
        """The mean loss of the last fifth of the steps at each rate; infinite if it overflowed."""
        count = max(1, self.losses.shape[1] // 5)
        with np.errstate(all="ignore"):
            last = self.losses[:, -count:].mean(axis=1)
        whole = np.isfinite(self.losses).all(axis=1)
        return np.where(whole, last, np.inf)

    @property
    def best(self) -> int:
        """The place of the rate that reached the lowest loss."""
        return int(self.reached.argmin())

    @property
    def best_rate(self) -> float:
        """The rate that reached the lowest loss."""
        return float(self.rates[self.best])

    @property
    def own_rate(self) -> float:
        """The run's own rate."""
        return float(self.rates[self.own])

    def gentle(self, tolerance: float) -> int:
        """The place of the smallest rate whose loss is within this of the lowest."""
        reached = self.reached
        return int(np.flatnonzero(reached <= reached.min() + tolerance)[0])


def rate_sweep(case: Case, optimizer: str | None = None) -> RateSweep | None:
    """A hundred steps at each of some learning rates, from the first weights (P4).

    The batch size (between 8 and 128) is the run's; batches are shuffled. None where no step can be
    made.

    Args:
        case: the run.
        optimizer: the name of another optimizer to do it with; default the run's own.
    """
    return case.once(f"rate sweep {optimizer}", lambda: _rate_sweep(case, optimizer))


def base_loss(case: Case) -> float:
    """The loss of the best constant prediction; that of the first weights where it is not known."""

    def measure() -> float:
        found = None
        if case.loss is not None and case.usable:
            found = constant_loss(case.loss, case.y)
        sweep = rate_sweep(case) if found is None else None
        return float(found) if found else (sweep.start if sweep is not None else float("nan"))

    return case.once("base loss", measure)


def begins_in_order(case: Case) -> bool:
    """Whether inputs, targets, first weights and the gradients of the first step are of ordinary
    size: else it is their fault and not that of the learning rate if training does not get on.
    """
    return case.once("begins in order", lambda: _begins_in_order(case))


def _begins_in_order(case: Case) -> bool:
    record = case.at_start
    if record is None or not record.layers or not math.isfinite(record.loss):
        return False
    return _data_in_order(case) and _flows_in_order(record)


def _data_in_order(case: Case) -> bool:
    low, high = ORDINARY
    if case.table is not None:
        sizes = np.sqrt(np.square(case.table, dtype=np.float64).mean(axis=0))
        sizes = sizes[sizes > 0]
        if not sizes.size or sizes.max() > high or sizes.max() < low:
            return False
    if case.task.kind != "numbers":
        return True
    targets = case.y.reshape(len(case.y), -1).astype(np.float64)
    spread, middle = targets.std(axis=0), np.abs(targets.mean(axis=0))
    return bool((spread < high).all() and (spread > low).any() and (middle < 5 * spread + 1).all())


def _flows_in_order(record: StepRecord) -> bool:
    """Whether activations and gradients of the first step have ordinary sizes."""
    sizes = [_size(layer.a) for layer in record.layers]
    if max(sizes) > LARGEST_ACTIVATION or min(sizes[:-1], default=1.0) < SMALLEST_ACTIVATION:
        return False
    kernels = [w for w in record.weights if w.before.ndim > 1 and _size(w.gradient) > 0]
    if len(kernels) < 2:
        return True
    sizes = [_size(w.gradient) * math.sqrt(w.before.size) for w in kernels]
    return sizes[0] > SMALLEST_FLOW * max(sizes)


def _size(values: Array) -> float:
    """The root mean square."""
    return float(np.sqrt(np.square(values, dtype=np.float64).mean())) if values.size else 0.0


def largest_rate(case: Case) -> float:
    """The largest learning rate that the run's schedule has; without one its rate."""
    return float(rates_of_run(case).max())


def rates_of_run(case: Case) -> Array:
    """The learning rate at some steps from the first to the last of the run."""
    optimizer = case.recipe.optimizer()
    if optimizer.schedule is None:
        return np.array([case.recipe.learning_rate])
    epochs = len(case.curve) or case.recipe.epochs
    steps = max(1, case.recipe.steps // max(1, case.recipe.epochs) * epochs)
    places = np.unique(np.linspace(0, steps - 1, 30).astype(np.int64))
    return np.array([float(optimizer.schedule(tensor(int(place)))) for place in places])


def _rate_sweep(case: Case, optimizer: str | None) -> RateSweep | None:
    own_kind = case.recipe.optimizer()
    if case.loss is None or not case.usable or (optimizer is None and own_kind.full_batch):
        return None
    own = largest_rate(case)
    rates = np.unique([rate for rate in RATES if not 0.7 < rate / max(own, 1e-30) < 1.4] + [own])
    try:
        step, data = prepared_step(case, None if optimizer is None else optimizers.get(optimizer))
        rows = _sweep_rows(case, data)
        losses = _sweep(step, Batches(data, None).tensors(), rows, np.append(rates, 0.0))
    except (ValueError, TypeError, ArithmeticError, RuntimeError):  # fit would refuse it too
        return None
    return RateSweep(rates, losses[:-1], losses[-1], int(np.searchsorted(rates, own)))


def prepared_step(case: Case, optimizer: Optimizer | None = None) -> tuple[TrainingStep, Data]:
    """A training step of a new copy of the model, and the training rows.

    Args:
        case: the run.
        optimizer: default the run's, at its largest rate.
    """
    assert case.loss is not None
    model, settings = case.recipe.make(), case.recipe.settings
    inputs = as_arrays(case.x, "x", "diagnose")
    outputs = probe(model, inputs, int(settings.get("seed") or 0))
    targets = as_targets(case.y, len(case.y), "diagnose")
    data = ready(model, inputs, targets, outputs, case.loss, "diagnose")
    weights = example_weights(
        settings.get("sample_weight"), settings.get("class_weight"), targets, "diagnose"
    )
    if weights is not None:
        data = Data(data.x, data.y, weights.astype(outputs.dtype))
    if optimizer is None:
        optimizer = case.recipe.with_rate(largest_rate(case)).optimizer()
    optimizer.build(model.trainable_variables)
    return TrainingStep(model, case.loss, optimizer), data


def _sweep_rows(case: Case, data: Data) -> Array:
    """The rows of each step, (steps, rows): fewer steps where the run's own take long."""
    low, high = SWEEP_BATCHES
    size = min(max(case.recipe.batch_size, low), high, data.rows)
    steps = SWEEP_STEPS
    if case.history is not None and case.curve.size:
        made = case.recipe.steps / max(1, case.recipe.epochs) * len(case.curve)
        seconds = case.history.seconds / made * min(1.0, size / case.recipe.batch_size)
        steps = int(np.clip(SWEEP_SECONDS / len(RATES) / max(seconds, 1e-9), 20, SWEEP_STEPS))
    random = np.random.default_rng(0)
    epochs = -(-steps * size // data.rows)
    order = np.concatenate([random.permutation(data.rows) for _ in range(epochs)])
    return order[: steps * size].reshape(steps, size)


def _sweep(step: TrainingStep, data: tuple[Any, ...], rows: Array, rates: Array) -> Array:
    """The losses of all steps at each rate."""
    before, losses = step.state(), []
    for rate in rates:
        restore(before)
        step.optimizer.learning_rate = float(rate)
        with np.errstate(all="ignore"):
            losses.append(step.run_rows(rows, data).astype(np.float64))
    return np.array(losses)
