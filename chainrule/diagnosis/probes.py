"""Measurements that several probes share, made once for a case (`Case.once`)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.diagnosis.case import Case
from chainrule.tensor import tensor
from chainrule.training.batches import Batches, Data
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


@dataclass(frozen=True)
class RateSweep:
    """How training begins at several learning rates, from the same weights on the same batches.

    Attributes:
        rates: ascending.
        losses: of each step, (rates, steps); not finite where numbers overflowed.
        own: the place of the run's own rate (of a schedule, its largest).
    """

    rates: Array
    losses: Array
    own: int

    @property
    def start(self) -> float:
        """The loss before the first step."""
        return float(self.losses[self.own, 0])

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


def rate_sweep(case: Case) -> RateSweep | None:
    """A hundred steps at each of some learning rates, from the first weights (P4).

    The optimizer and the batch size (between 8 and 128) are the run's; batches are shuffled. None
    where no step can be made.
    """
    return case.once("rate sweep", lambda: _rate_sweep(case))


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


def _rate_sweep(case: Case) -> RateSweep | None:
    if case.loss is None or not case.usable or case.recipe.optimizer().full_batch:
        return None
    own = largest_rate(case)
    rates = np.unique([rate for rate in RATES if not 0.7 < rate / max(own, 1e-30) < 1.4] + [own])
    try:
        step, data = _prepared_step(case)
        rows = _sweep_rows(case, data)
        losses = _sweep(step, Batches(data, None).tensors(), rows, rates)
    except (ValueError, TypeError, ArithmeticError, RuntimeError):  # fit would refuse it too
        return None
    return RateSweep(rates, losses, int(np.searchsorted(rates, own)))


def _prepared_step(case: Case) -> tuple[TrainingStep, Data]:
    """A training step of a new copy of the model, and the training rows."""
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
    rate = largest_rate(case)
    optimizer = case.recipe.with_rate(rate).optimizer()
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
