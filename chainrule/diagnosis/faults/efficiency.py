"""Faults that cost time: outside of the steps, or in steps that do little."""

import time

import numpy as np

from chainrule.diagnosis.case import Case
from chainrule.diagnosis.editing import is_sequential, width_of, with_widths
from chainrule.diagnosis.finding import Evidence, Fault, Remedy
from chainrule.diagnosis.measurements.rates import prepared_step
from chainrule.diagnosis.recipe import Recipe
from chainrule.training.batches import Batches
from chainrule.training.callbacks import (
    Callback,
    EarlyStopping,
    LearningRateScheduler,
    ReduceOnPlateau,
    overrides,
)

#: of the run's time outside of steps, and seconds of it in an epoch.
OUTSIDE, OUTSIDE_OF_EPOCH = 0.3, 0.005
#: a run shorter than this is not worth a remark.
LEAST_SECONDS = 0.3
#: how many times faster an eighth of the steps, and a quarter of the units, must be.
FASTER_BATCH, FASTER_WIDTH = 2.0, 1.6
SMALL_BATCH, LARGER = 4, 8
WIDE = 300
#: a twin this much worse in skill is as good.
AS_GOOD = 0.03
MEASURED_ROWS = 512


def outside_steps(case: Case) -> Evidence | None:
    """E1: a large part of the time was spent outside of the training steps."""
    history = case.history
    if history is None or not history.epochs or not history.seconds_in_steps:
        return None
    outside = history.seconds - history.seconds_in_steps
    share = outside / history.seconds
    source = _source(case)
    if source is None or share < OUTSIDE or outside < LEAST_SECONDS / 2:
        return None
    if outside / history.epochs < OUTSIDE_OF_EPOCH:
        return None
    place, remedy = source
    return Evidence(
        0.75 + 0.2 * min(1.0, (share - OUTSIDE) / 0.3),
        f"{share:.0%} of the {history.seconds:.2g} s went by outside of the training steps, which "
        f"took {history.seconds_in_steps:.2g} s: {place}.",
        (Remedy(remedy, "A", lambda recipe: recipe.with_settings(callbacks=_quick(recipe))),),
        {"operation": place},
        settled=True,
        gain=share,
    )


def _source(case: Case) -> tuple[str, str] | None:
    """What takes time outside of the steps, and what to do; None if nothing the user chose."""
    if case.last is None:
        return None
    given = case.last.options.callbacks
    callbacks = [given] if isinstance(given, Callback) else list(given)
    others = [c for c in callbacks if not isinstance(c, _QUICK)]
    each = [c for c in others if overrides(c, "on_train_batch_end")]
    each += [c for c in others if overrides(c, "on_train_batch_begin")]
    if each:
        name = type(each[0]).__name__
        return f"the callback {name} runs at each step", f"do in {name}.on_epoch_end what it does"
    if others:
        name = type(others[0]).__name__
        return f"the callback {name} runs in each epoch", f"run {name} every tenth epoch"
    if case.last.options.checkpoint is not None:
        return "checkpoints are written", "a larger every_seconds for the checkpoint"
    return None


_QUICK = (EarlyStopping, ReduceOnPlateau, LearningRateScheduler)


def _quick(recipe: Recipe) -> list[Callback]:
    return [c for c in recipe.settings.get("callbacks", ()) if isinstance(c, _QUICK)]


def wasteful(case: Case) -> Evidence | None:
    """E2: larger batches, or a quarter of the units, do as well in less time."""
    history = case.history
    if history is None or not history.epochs or history.seconds_in_steps < LEAST_SECONDS:
        return None
    if not case.usable or case.loss is None or case.control_skill < 0.2:
        return None
    return _small_batch(case) or _too_wide(case)


def _small_batch(case: Case) -> Evidence | None:
    size = case.recipe.batch_size
    if size > SMALL_BATCH or case.recipe.optimizer().full_batch or case.recipe.rows < 8 * size:
        return None
    own, larger = (_rows_per_second(case, count) for count in (size, LARGER * size))
    if larger < FASTER_BATCH * own:
        return None
    return _as_good(
        case,
        f"Batches of {size} waste time: with {LARGER * size} rows a step training takes in "
        f"{larger / own:.1f} times as many rows a second.",
        Remedy(f"batch_size={LARGER * size}", "B", _with_larger_batch),
        larger / own,
    )


def _with_larger_batch(recipe: Recipe) -> Recipe:
    size = recipe.batch_size * LARGER
    larger = recipe.with_settings(batch_size=size)
    if recipe.optimizer().schedule is not None:
        return larger
    return larger.with_rate(recipe.learning_rate * LARGER**0.5)


def _rows_per_second(case: Case, size: int) -> float:
    """Rows that the training step takes in a second in batches of this size."""
    step, data = prepared_step(case)
    tensors = Batches(data, None).tensors()
    count = min(MEASURED_ROWS, data.rows) // size
    rows = np.arange(count * size).reshape(count, size)
    seconds = []
    with np.errstate(all="ignore"):
        for _ in range(4):  # the first one compiles
            begin = time.perf_counter()
            step.run_rows(rows, tensors)
            seconds.append(time.perf_counter() - begin)
    return count * size / min(seconds)


def _too_wide(case: Case) -> Evidence | None:
    if not is_sequential(case.first):
        return None
    widths = [width for _, layer in case.layers[:-1] if (width := width_of(layer)) is not None]
    if not widths or max(widths) < WIDE:
        return None
    remedy = Remedy("a quarter of the units", "B", lambda recipe: with_widths(recipe, 0.25))
    assert remedy.apply is not None
    twin, own = case.twin(remedy.apply(case.short), f"E2: {remedy.line}"), case.control.history
    history = twin.trained.history
    if history is None or own is None:
        return None
    before, after = own.seconds_in_steps / own.epochs, history.seconds_in_steps / history.epochs
    if after * FASTER_WIDTH > before:
        return None
    return _as_good(
        case,
        f"Layers of up to {max(widths)} units are wider than these rows need: with a quarter an "
        f"epoch takes {1000 * after:.2g} ms instead of {1000 * before:.2g} ms.",
        remedy,
        before / after,
    )


def _as_good(case: Case, words: str, remedy: Remedy, faster: float) -> Evidence | None:
    """Evidence if a twin with the remedy is as good as the run."""
    assert remedy.apply is not None
    twin = case.twin(remedy.apply(case.short), f"E2: {remedy.line}")
    if not twin.skill >= case.control_skill - AS_GOOD:
        return None
    return Evidence(
        0.9,
        f"{words} The skill is then {twin.skill:.2f}; it was {case.control_skill:.2f}.",
        (remedy,),
        settled=True,
        gain=1 - 1 / faster,
    )


FAULTS: tuple[Fault, ...] = (
    Fault(
        "E1", "time outside of training", "rate and batch",
        f"over {OUTSIDE:.0%} of the time outside of steps, and {1000 * OUTSIDE_OF_EPOCH:g} ms of "
        "each epoch, with a callback or checkpoints to take it",
        outside_steps,
    ),
    Fault(
        "E2", "wasteful batches or widths", "structure",
        f"batches of at most {SMALL_BATCH}, or {WIDE} units and more, and a twin that is as good "
        f"and {FASTER_WIDTH:g} times faster",
        wasteful, cost=2,
    ),
)  # fmt: skip
