"""Faults of generalisation: good on the training rows, worse on others or outside of training."""

import copy
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.diagnosis import editing
from chainrule.diagnosis.case import Case
from chainrule.diagnosis.finding import Evidence, Fault, Remedy
from chainrule.diagnosis.measurements.rates import base_loss
from chainrule.diagnosis.recipe import Recipe
from chainrule.diagnosis.scores import skill
from chainrule.nn.contents import walk
from chainrule.nn.layers import BatchNormalization, Dense, Dropout
from chainrule.training.callbacks import EarlyStopping
from chainrule.training.inputs import as_arrays, take_rows
from chainrule.training.model import Model

Array = NDArray[Any]

#: the validation loss above its lowest value, and above that in shares of the constant's loss.
RISE, RISE_OF_BASE = 0.1, 0.02
EPOCHS_AFTER_BEST = 5
#: so much higher the loss has risen for certain.
CLEAR_RISE, CLEAR_RISE_OF_BASE = 0.25, 0.05
#: the error on validation rows, as a share of the constant's, and over that on training rows.
LEFT, GAP = 0.05, 4.0
#: so many times more is overfitted for certain.
WIDE_GAP = 10.0
#: dropout that is tried.
HELD_BACK = 0.3
#: rows that averages are estimated on again.
MOST_ROWS = 2_000
#: the error outside of training over that inside, and the difference in skill.
WORSE_OUTSIDE, SKILL_LOST = 1.5, 0.05


def overfits(case: Case) -> Evidence | None:
    """G1: the validation loss has risen while the training loss fell, or there is a wide gap."""
    return _risen(case) or _gap(case)


def _risen(case: Case) -> Evidence | None:
    """The validation loss was lower before, while the training loss went on falling."""
    history = case.control.history
    if history is None or "val_loss" not in history or _restores(case.recipe):
        return None
    curve, training = (np.array(history[n], np.float64) for n in ("val_loss", "loss"))
    curve, training = _smoothed(curve), _smoothed(training)
    if not np.isfinite(curve).all() or len(curve) <= EPOCHS_AFTER_BEST:
        return None
    best, last, epoch = float(curve.min()), float(curve[-1]), int(curve.argmin())
    rise = last - best
    if len(curve) - 1 - epoch < EPOCHS_AFTER_BEST or training[-1] >= training[epoch]:
        return None
    if rise < RISE * best or rise < RISE_OF_BASE * base_loss(case):
        return None
    patience = max(5, len(curve) // 10)
    stopping = EarlyStopping(patience=patience)
    line = f"early_stopping=cr.callbacks.EarlyStopping(patience={patience})"
    return Evidence(
        0.75 + 0.2 * min(1.0, (rise / best - RISE) / 0.4),
        f"The model overfits: on the validation rows the loss was lowest, {best:.3g}, after epoch "
        f"{epoch + 1} of {len(curve)} and is {last:.3g} now, while that of the training rows fell "
        f"from {training[epoch]:.3g} to {training[-1]:.3g}.",
        (
            Remedy(
                line, "A", lambda recipe: recipe.with_settings(early_stopping=copy.copy(stopping))
            ),
            Remedy("weight decay, dropout, or more rows", "B"),
        ),
        {"step": epoch + 1},
        # The run itself shows what stopping would have brought.
        settled=rise > CLEAR_RISE * best and rise > CLEAR_RISE_OF_BASE * base_loss(case),
    )  # fmt: skip


def _gap(case: Case) -> Evidence | None:
    """The training rows are fitted many times better than others; holding back is tried."""
    if not case.validated or not case.usable or case.history is None:
        return None
    left, fitted = 1 - case.control_skill, 1 - case.training_skill
    if not LEFT < left < 1 or left < GAP * max(fitted, 1e-3):
        return None
    hidden = [path for path, layer in case.layers if isinstance(layer, Dense)][:-1]
    if not hidden or not editing.is_sequential(case.first):
        return None
    return Evidence(
        0.8,
        f"The model overfits: its error on the validation rows is {left:.2f} of that of a constant "
        f"prediction, on the training rows {fitted:.2f}.",
        (
            Remedy(
                f"cr.layers.Dropout({HELD_BACK}) behind the hidden layers, early_stopping=True",
                "B", lambda recipe: _held_back(recipe, hidden),
            ),
            Remedy("weight decay, or more rows", "N"),
        ),
        certain=left > WIDE_GAP * max(fitted, 1e-3),
    )  # fmt: skip


def _held_back(recipe: Recipe, hidden: list[str]) -> Recipe:
    stopping = EarlyStopping(patience=max(5, recipe.epochs // 10))
    held = editing.insert_after(recipe, hidden, lambda: Dropout(HELD_BACK))
    return held.with_settings(early_stopping=stopping)


def _restores(recipe: Recipe) -> bool:
    """Whether the weights of the best epoch are put back."""
    given = [*recipe.settings.get("callbacks", ()), recipe.settings.get("early_stopping")]
    return any(c is True or (isinstance(c, EarlyStopping) and c.restore_best) for c in given)


def _smoothed(curve: Array) -> Array:
    """Means over about a twentieth of the epochs."""
    width = max(1, len(curve) // 20)
    kernel = np.ones(width) / width
    padded = np.concatenate([np.full(width - 1, curve[0]), curve])
    smooth: Array = np.convolve(padded, kernel, "valid")
    return smooth


def averages_behind(case: Case) -> Evidence | None:
    """G2: with the statistics of the batch the model is much better than with running averages."""
    layers = [path for path, layer in case.layers if isinstance(layer, BatchNormalization)]
    if not layers or case.history is None or not case.curve.size:
        return None
    if case.task.kind == "other" or not case.usable:
        return None
    inside, outside = case.once("batch statistics", lambda: _skills(case))
    lost = inside - outside
    if lost < SKILL_LOST or 1 - outside < WORSE_OUTSIDE * (1 - inside):
        return None
    momentum = max(getattr(layer, "momentum", 0.0) for _, layer in case.layers)
    return Evidence(
        0.75 + 0.2 * min(1.0, lost / (4 * SKILL_LOST)),
        f"The running averages of batch normalisation have not caught up after "
        f"{case.recipe.steps // max(1, case.recipe.epochs) * len(case.curve)} steps (momentum "
        f"{momentum:g}): on the same training rows the skill is {outside:.2f} with them and "
        f"{inside:.2f} with the statistics of the rows themselves.",
        (Remedy("momentum=0.9, averages measured again after training", "A", _measured_again),),
        {"layer": layers[0]},
    )


def _skills(case: Case) -> tuple[float, float]:
    """The skill on some training rows in training mode, and outside of it."""
    rows = np.sort(np.random.default_rng(0).permutation(case.recipe.rows)[:MOST_ROWS])
    x, y = as_arrays(take_rows(case.x, rows), "x", "diagnose"), case.y[rows]
    constant = case.constant_errors(take_rows(case.x, rows), y)
    found = []
    for training in (True, False):
        outputs = copy.deepcopy(case.model)(x, training=training)
        found.append(skill(case.task.errors(outputs.numpy(), y), constant))
    return found[0], found[1]


def _normalisations(model: Model) -> list[BatchNormalization]:
    return [place.layer for place in walk(model) if isinstance(place.layer, BatchNormalization)]


def _measured_again(recipe: Recipe) -> Recipe:
    """Averages that follow fast, and are measured in one pass after the last step."""

    def faster(model: Model) -> None:
        for layer in _normalisations(model):
            layer.momentum = min(layer.momentum, 0.9)

    def finish(model: Model) -> Model:
        if recipe.finish is not None:
            model = recipe.finish(model)
        layers = _normalisations(model)
        kept = [layer.momentum for layer in layers]
        rows = np.sort(np.random.default_rng(0).permutation(recipe.rows)[:MOST_ROWS])
        for layer in layers:
            layer.momentum = 0.0
        model(as_arrays(take_rows(recipe.x, rows), "x", "diagnose"), training=True)
        for layer, momentum in zip(layers, kept, strict=True):
            layer.momentum = momentum
        return model

    return replace(recipe.with_model(faster), finish=finish)


FAULTS: tuple[Fault, ...] = (
    Fault(
        "G1", "overfits", "structure",
        f"the validation loss is {RISE:.0%} above its lowest value, which was {EPOCHS_AFTER_BEST} "
        "epochs ago or more, and the training loss has fallen since; or the error is "
        f"{GAP:g} times that on the training rows, and dropout lowers it",
        overfits, explains=("E2", "D5"), cost=2,
    ),
    Fault(
        "G2", "running averages have not caught up", "structure",
        f"on the same rows the error is {WORSE_OUTSIDE:g} times as large outside of training",
        averages_behind, cost=1,
    ),
)  # fmt: skip
