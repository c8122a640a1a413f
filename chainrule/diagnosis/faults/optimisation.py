"""Faults of the optimisation: learning rate and optimizer, length of the run, batches, penalties,
order of the rows.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import optimizers
from chainrule.diagnosis.case import Case
from chainrule.diagnosis.finding import Evidence, Fault, Remedy
from chainrule.diagnosis.measurements.rates import (
    RateSweep,
    base_loss,
    begins_in_order,
    rate_sweep,
    rates_of_run,
)
from chainrule.diagnosis.recipe import Recipe
from chainrule.nn.contents import walk
from chainrule.nn.layers import BatchNormalization
from chainrule.nn.regularizers import Regularizer
from chainrule.optimizers import Optimizer
from chainrule.tensor import GradientTape
from chainrule.training.callbacks import EarlyStopping, LearningRateScheduler, ReduceOnPlateau
from chainrule.training.model import Model
from chainrule.training.states import stateful_layers

Array = NDArray[Any]

#: another rate must be so much better, as a share of the loss of a constant prediction.
BETTER_RATE = 0.15
#: ... and in a hundred steps better than the whole run by this much.
BETTER_THAN_RUN = 0.08
LOWER, HIGHER = 3.0, 5.0
#: the share of the progress at the best rate that a rate which is not too low makes.
OWN_PROGRESS = 0.3
#: a run that falls by this much in its second half has not ended, as a share of the constant's
#: loss and of its own last loss.
STILL_FALLING, STILL_FALLING_SHARE = 0.03, 0.15
FEW_STEPS = 200
STEPS_TO_GO_ON = 1500
#: the share of steps whose rate is below a hundredth of the largest.
OUT_OF_RATE = 0.3
FEW_UPDATES = 1000
SMALLEST_NORMALISED_BATCH = 4
PENALTY_SHARE = 0.25
DISORDER = 0.5
ADAPTIVE = (optimizers.Adam, optimizers.Adamax, optimizers.RMSprop)


# ---- the learning rate


def too_high(case: Case) -> Evidence | None:
    """O1: a lower rate gets further in a hundred steps than this one, or than the whole run."""
    sweep, base = rate_sweep(case), base_loss(case)
    if sweep is None or not base > 0 or not begins_in_order(case):
        return None
    lower = np.flatnonzero(sweep.rates <= sweep.own_rate / LOWER)
    if not len(lower):
        return None
    own, reached = sweep.reached[sweep.own], float(sweep.reached[lower].min())
    whole_run = _steps_made(case) >= FEW_STEPS and _rate_gone(case) is None
    lowest = _lowest(case) if whole_run else float("-inf")
    gap = max((own - reached) / base, (lowest - reached) / base * BETTER_RATE / BETTER_THAN_RUN)
    if case.not_finite and math.isfinite(reached) and reached < 0.9 * base:
        gap = float("inf")
    if not gap > BETTER_RATE:
        return None
    rate = float(sweep.rates[lower[int(sweep.reached[lower].argmin())]])
    came = "overflowed" if not math.isfinite(own) else f"came to a loss of {own:.3g}"
    return Evidence(
        _strength(gap, BETTER_RATE),
        f"The learning rate {sweep.own_rate:g} overshoots: from the same first weights a hundred "
        f"steps at {rate:g} came to a loss of {reached:.3g}, at {sweep.own_rate:g} the run {came}.",
        _better_rate(case, sweep),
        {"step": _first_rise(sweep)},
    )


def too_low(case: Case) -> Evidence | None:
    """O2: a hundred steps at a higher rate, or with Adam, get further than the whole run."""
    sweep, base = rate_sweep(case), base_loss(case)
    if sweep is None or not base > 0 or not case.curve.size or not begins_in_order(case):
        return None
    if _steps_made(case) < FEW_STEPS or _rate_gone(case) is not None:  # too few steps at the rate
        return None
    best, own = float(sweep.reached[sweep.rates >= HIGHER * sweep.own_rate].min(initial=np.inf)), 0
    kind = case.recipe.optimizer()
    other = None if isinstance(kind, ADAPTIVE) else rate_sweep(case, "adam")
    if other is not None:
        best = min(best, float(other.reached.min()))
    own = sweep.reached[sweep.own]
    progress = sweep.start - own
    gap = (_lowest(case) - best) / base
    if not gap > BETTER_THAN_RUN or progress > OWN_PROGRESS * (sweep.start - best):
        return None
    if case.once("O1", lambda: too_high(case)) is not None:
        return None
    return Evidence(
        _strength(gap, BETTER_THAN_RUN),
        f"Learning is too slow: {type(kind).__name__} at {sweep.own_rate:g} lowered the loss only "
        f"from {sweep.start:.3g} to {_lowest(case):.3g} in {_steps_made(case)} steps; at a better "
        f"rate a hundred steps come to {best:.3g}.",
        _better_rate(case, sweep),
    )


def _better_rate(case: Case, sweep: RateSweep) -> tuple[Remedy, ...]:
    """The rate that the sweep recommends; Adam where that gets clearly further."""
    base, kind = base_loss(case), case.recipe.optimizer()
    safety = 3.0 if case.recipe.steps >= 3 * FEW_STEPS else 1.0
    rate = _rounded(float(sweep.rates[sweep.gentle(0.05 * base)]) / safety)
    name = type(kind).__name__
    own = Remedy(
        f"optimizer=cr.optimizers.{name}({rate:g})", "A", lambda recipe: recipe.with_rate(rate)
    )
    other = None if isinstance(kind, ADAPTIVE) else rate_sweep(case, "adam")
    if other is None:
        return (own,)
    new = _rounded(float(other.rates[other.gentle(0.05 * base)]) / safety)
    adam = Remedy(
        f"optimizer=cr.optimizers.Adam({new:g})", "A",
        lambda recipe: recipe.with_optimizer(lambda: optimizers.Adam(new)),
    )  # fmt: skip
    further = sweep.reached.min() - other.reached.min() > 0.05 * base
    return (adam, own) if further else (own, adam)


def _rounded(rate: float) -> float:
    return float(f"{rate:.0e}")


def _first_rise(sweep: RateSweep) -> int | None:
    """The first step at the run's own rate with twice the loss of the first weights."""
    risen = ~(sweep.losses[sweep.own] <= 2 * sweep.untrained)
    return int(risen.argmax()) + 1 if risen.any() else None


def _strength(value: float, limit: float) -> float:
    """0.75 at the limit, 0.95 from four times the limit on."""
    return 0.75 + 0.2 * min(1.0, max(0.0, (value / limit - 1) / 3))


def _lowest(case: Case) -> float:
    """The lowest training loss of an epoch; infinite if none was finished."""
    return float(case.curve.min(initial=np.inf))


def _steps_in_epoch(case: Case) -> int:
    return max(1, case.recipe.steps // max(1, case.recipe.epochs))


def _steps_made(case: Case) -> int:
    return _steps_in_epoch(case) * len(case.curve)


# ---- the length of the run


def stopped_early(case: Case) -> Evidence | None:
    """O3: the loss was still falling when the run ended, or when its rate had gone to nothing."""
    base = base_loss(case)
    if case.history is None or not case.curve.size or not base > 0 or case.not_finite:
        return None
    if _whole_batches(case) or _is_slow(case):
        return None
    return _rate_gone(case) or _impatient(case, base) or _too_few_epochs(case, base)


def _rate_gone(case: Case) -> Evidence | None:
    rates = rates_of_run(case)
    if len(rates) == 1 and case.history is not None and "learning_rate" in case.history:
        rates = np.array(case.history["learning_rate"], np.float64)
    gone = float((rates < 0.01 * rates.max()).mean())
    if not rates.max() > 0 or gone < OUT_OF_RATE:
        return None
    rate = float(rates.max())
    return Evidence(
        0.95,
        f"The learning rate had fallen from {rate:g} to {rates[-1]:.1g} when {1 - gone:.0%} of the "
        "run was over; after that the weights hardly moved.",
        (Remedy(f"a constant rate of {rate:g}", "A", lambda recipe: _constant_rate(recipe, rate)),),
    )


def _constant_rate(recipe: Recipe, rate: float) -> Recipe:
    scheduling = (ReduceOnPlateau, LearningRateScheduler)
    kept = [c for c in recipe.settings.get("callbacks", ()) if not isinstance(c, scheduling)]
    return recipe.with_rate(rate).with_settings(callbacks=kept)


def _impatient(case: Case, base: float) -> Evidence | None:
    assert case.history is not None
    found = [s for s in _stoppings(case.recipe) if s.patience <= 2 or s.min_delta > 0.02 * base]
    epochs = len(case.curve)
    if case.history.stopped_by != "early_stopping" or not found or epochs > case.recipe.epochs / 2:
        return None
    patience = max(5, case.recipe.epochs // 5)
    stopping = found[0]
    return Evidence(
        0.95,
        f"Early stopping ended the run after {epochs} of {case.recipe.epochs} epochs: it waits "
        f"{stopping.patience} epochs for an improvement of {stopping.min_delta:g}, which is too "
        "impatient.",
        (
            Remedy(
                f"early_stopping=cr.callbacks.EarlyStopping(patience={patience})", "A",
                lambda recipe: _patient(recipe, patience),
            ),
        ),
    )  # fmt: skip


def _stoppings(recipe: Recipe) -> list[EarlyStopping]:
    given = [*recipe.settings.get("callbacks", ()), recipe.settings.get("early_stopping")]
    return [c for c in given if isinstance(c, EarlyStopping)]


def _patient(recipe: Recipe, patience: int) -> Recipe:
    others = [c for c in recipe.settings.get("callbacks", ()) if not isinstance(c, EarlyStopping)]
    stopping = EarlyStopping(patience=patience)
    return recipe.with_settings(callbacks=others, early_stopping=stopping)


def _too_few_epochs(case: Case, base: float) -> Evidence | None:
    assert case.history is not None
    if case.history.stopped_by != "epochs":
        return None
    curve, count = case.curve, len(case.curve)
    last = float(curve[-1])
    if count >= 4:
        fall = (float(curve[(count - 1) // 2]) - last) / base
        falling = fall > max(STILL_FALLING, STILL_FALLING_SHARE * last / base)
        words = f"fell by {fall * base:.3g} to {last:.3g} in the second half of {count} epochs"
    else:
        falling = _steps_made(case) < FEW_STEPS
        words = f"came to {last:.3g} in only {_steps_made(case)} steps"
    if not falling:
        return None
    epochs = max(4 * count, -(-STEPS_TO_GO_ON // _steps_in_epoch(case)))
    cut = case.short is not case.recipe  # a twin of part of the run would show nothing
    remedy = Remedy(
        f"epochs={epochs}, early_stopping=True", "A", lambda recipe: _longer(recipe, epochs)
    )
    if cut and not _validation_falls(case):
        return None
    return Evidence(
        0.9, f"The run ended too early: the loss {words} and was still falling.", (remedy,),
        settled=cut,
    )  # fmt: skip


def _validation_falls(case: Case) -> bool:
    curve = case.validation_curve
    return len(curve) >= 4 and curve[-1] < 0.9 * curve[(len(curve) - 1) // 2]


def _longer(recipe: Recipe, epochs: int) -> Recipe:
    longer = recipe.with_settings(epochs=epochs)
    return longer if _stoppings(recipe) else _patient(longer, max(5, epochs // 5))


def _is_slow(case: Case) -> bool:
    """Whether the rate is what holds the run up (O2)."""
    return case.once("O2", lambda: too_low(case)) is not None


# ---- batches


def unfit_batches(case: Case) -> Evidence | None:
    """O4: one or two updates an epoch, or batch normalisation over a handful of rows."""
    if case.recipe.optimizer().full_batch or not case.curve.size:
        return None
    size, rows = case.recipe.batch_size, case.recipe.rows
    remedy = Remedy("batch_size=32", "A", lambda recipe: recipe.with_settings(batch_size=32))
    normalised = [path for path, layer in case.layers if isinstance(layer, BatchNormalization)]
    if normalised and size <= SMALLEST_NORMALISED_BATCH < rows:
        return Evidence(
            0.97,
            f"Batches of {size} are too small for batch normalisation: '{normalised[0]}' takes "
            f"mean and deviation of {size} row{'s' * (size > 1)}, which is mostly noise.",
            (remedy,),
            {"layer": normalised[0]},
        )
    if not _whole_batches(case):
        return None
    return Evidence(
        0.95,
        f"Batches of {size} rows leave {_steps_in_epoch(case)} step(s) in an epoch: "
        f"{_steps_made(case)} updates in all, and the loss was still falling.",
        (remedy,),
    )


def _whole_batches(case: Case) -> bool:
    """Whether there are few updates because a batch holds all rows or half of them."""
    base, count = base_loss(case), len(case.curve)
    if _steps_in_epoch(case) > 2 or case.recipe.rows < 100 or count < 5:
        return False
    if _steps_made(case) > FEW_UPDATES or case.recipe.optimizer().full_batch:
        return False
    fall = (float(case.curve[(count - 1) // 2]) - float(case.curve[-1])) / base
    return fall > STILL_FALLING


# ---- penalties


def penalised(case: Case) -> Evidence | None:
    """O5: at the first weights the pull of penalties or weight decay is as large as the data's."""
    shares = case.once("penalties", lambda: _penalty_shares(case))
    if shares is None:
        return None
    penalty, decay, worst = shares
    share = max(penalty, decay)
    if not share > PENALTY_SHARE:
        return None
    source = "the penalties of the layers" if penalty >= decay else "weight decay"
    place = {"layer": worst} if worst and penalty >= decay else {}
    # A hundredth, or what pulls a hundredth as much as the data.
    factor = float(f"{100 * max(1.0, share):.1g}")
    line = f"kernel_regularizer {factor:,.0f} times smaller"
    if decay > penalty:
        line = f"weight_decay={case.recipe.optimizer().weight_decay / factor:.2g}"
    return Evidence(
        _strength(share, PENALTY_SHARE),
        f"The pull of {source} on the weights is {share:.2g} times that of the data at the first "
        "step: training shrinks the weights instead of fitting the rows.",
        (Remedy(line, "A", lambda recipe: _less_penalised(recipe, factor)),),
        place,
    )


def _penalty_shares(case: Case) -> tuple[float, float, str] | None:
    """How large penalties' gradients, and decay, are beside what the data ask for; the layer whose
    penalty pulls most.
    """
    record, optimizer = case.at_start, case.recipe.optimizer()
    variables = case.first.trainable_variables if record is not None else []
    if record is None or not (
        optimizer.weight_decay or optimizer.l2 or any(v.regularizer is not None for v in variables)
    ):
        return None
    paths = {w.path: w for w in record.weights}
    pulls, data, decays, moves = {}, 0.0, 0.0, 0.0
    for variable in variables:
        w = paths[variable.path]
        pull = optimizer.l2 * w.before
        if variable.regularizer is not None:
            with GradientTape() as tape:
                penalty = variable.regularizer(variable)
            own = tape.gradient(penalty, variable)
            pull = pull + (0.0 if own is None else own.numpy())
            pulls[variable.path] = float(np.linalg.norm(pull))
        decay = case.recipe.learning_rate * optimizer.weight_decay * w.before
        data += float(np.square(w.gradient - (pull if variable.regularizer else 0)).sum())
        decays += float(np.square(decay).sum())
        moves += float(np.square(w.change + decay).sum())
        pulls.setdefault(variable.path, float(np.linalg.norm(pull)))
    total = math.sqrt(sum(p * p for p in pulls.values()))
    worst = max(pulls, key=lambda path: pulls[path]).rpartition("/")[0]
    return total / (math.sqrt(data) + 1e-12), math.sqrt(decays / (moves + 1e-24)), worst


def _less_penalised(recipe: Recipe, factor: float) -> Recipe:
    """All penalties and weight decay divided by a factor."""
    before = recipe.optimizer

    def make() -> Optimizer:
        kind = before()
        config = kind.get_config()
        weaker = {
            name: config[name] / factor for name in ("weight_decay", "l2") if config.get(name)
        }
        return type(kind).from_config({**config, **weaker})

    def edit(model: Model) -> None:
        for place in walk(model):
            for name, value in list(vars(place.layer).items()):
                if name.endswith("_regularizer") and value is not None:
                    vars(place.layer)[name] = _weaker(value, factor)
        for variable in model.variables if model.built else ():
            if variable.regularizer is not None:
                variable.regularizer = _weaker(variable.regularizer, factor)

    return recipe.with_model(edit).with_optimizer(make)


def _weaker(regularizer: Callable[..., Any], factor: float) -> Callable[..., Any] | None:
    if not isinstance(regularizer, Regularizer):
        return None
    config = regularizer.get_config()
    return type(regularizer)(
        **{k: v / factor if isinstance(v, float) else v for k, v in config.items()}
    )


# ---- the order of the rows


def in_order(case: Case) -> Evidence | None:
    """O6: rows are not shuffled, and the targets inside a batch are much alike."""
    recipe = case.recipe
    if recipe.settings.get("shuffle", True) or recipe.batch_size >= recipe.rows or not case.usable:
        return None
    if case.task.kind == "other" or stateful_layers(case.first):
        return None
    labels, size = case.labels, recipe.batch_size
    starts = range(0, recipe.rows - size + 1, size)
    if labels is not None:
        inside = float(np.mean([_entropy(labels[s : s + size]) for s in starts]))
        overall, words = _entropy(labels), "classes"
    else:
        columns = case.y.reshape(len(case.y), -1).astype(np.float64)
        inside = float(np.mean([columns[s : s + size].var(axis=0).sum() for s in starts]))
        overall, words = float(columns.var(axis=0).sum()), "targets"
    if not overall > 0 or inside > DISORDER * overall or size < 4:
        return None
    return Evidence(
        0.97,
        f"The rows come in the order of their {words}, and shuffle=False keeps it: a batch of "
        f"{size} has {inside / overall:.0%} of the variety of all rows.",
        (Remedy("shuffle=True", "A", lambda recipe: recipe.with_settings(shuffle=True)),),
        settled=True,
    )


def _entropy(labels: Array) -> float:
    counts = np.bincount(labels - labels.min())
    shares = counts[counts > 0] / len(labels)
    return float(-(shares * np.log(shares)).sum())


FAULTS: tuple[Fault, ...] = (
    Fault(
        "O1", "learning rate too high", "rate and batch",
        f"a rate {LOWER:g} times lower gets further in 100 steps, by {BETTER_RATE:.0%} of the loss "
        "of a constant prediction",
        too_high, explains=("O3", "V3", "V4", "V2"), cost=2,
    ),
    Fault(
        "O2", "learning rate too low", "rate and batch",
        f"100 steps at a rate {HIGHER:g} times higher, or with Adam, get further than the run",
        lambda case: case.once("O2", lambda: too_low(case)), explains=("O3",), cost=2,
    ),
    Fault(
        "O3", "stopped too early", "rate and batch",
        f"the loss fell by {STILL_FALLING:.0%} of the constant's and {STILL_FALLING_SHARE:.0%} of "
        "its own in the second half of the run; or the rate had gone to 0; or impatient stopping",
        stopped_early, cost=2,
    ),
    Fault(
        "O4", "unfit batch size", "rate and batch",
        f"at most 2 steps an epoch and {FEW_UPDATES} in all, still falling; or batch normalisation "
        f"over at most {SMALLEST_NORMALISED_BATCH} rows",
        unfit_batches, explains=("O3", "G2", "E2"), cost=1,
    ),
    Fault(
        "O5", "penalty larger than the loss", "rate and batch",
        f"penalties pull {PENALTY_SHARE:g} times as much as the data at the first step",
        penalised, cost=1,
    ),
    Fault(
        "O6", "rows come in order", "data",
        f"no shuffling, and inside batches less than {DISORDER:.0%} of the variety of the targets",
        in_order, explains=("O1", "O2", "O3", "D8"),
    ),
)  # fmt: skip
