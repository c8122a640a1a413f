"""The defaults that depend on the data: one rule for all tables.

How they were chosen, with the figures: ``docs/decisions/0003-table-defaults.md``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chainrule import optimizers
from chainrule.estimators.parameters import AUTO
from chainrule.optimizers import Optimizer
from chainrule.training.batches import even_size
from chainrule.training.callbacks import EarlyStopping

SMALL = 50
"""Fewer rows than this are used whole in every step: no rows are held out, nothing is dropped."""

ENOUGH_TO_HOLD_OUT_A_TENTH = 1_000
ADAM_RATE = 0.003
ADAM_FAMILY = ("adam", "adamw", "nadam", "amsgrad")
WEIGHT_DECAY_ROWS = 300
LABEL_SMOOTHING = 0.05
DROPOUT = 0.2
INITIALIZER = "lecun_uniform"


@dataclass(frozen=True)
class Plan:
    """The settings of one training run, nothing left open.

    Attributes:
        batch_size: rows in a step, None for all.
        early_stopping: what `Model.fit` takes.
        validation_fraction: the share of rows to hold out.
        dropout: the share of hidden units dropped in a step.
        dtype: of the network's weights.
    """

    batch_size: int | None
    early_stopping: EarlyStopping | None
    validation_fraction: float
    dropout: float
    dtype: str


def make_plan(parameters: Mapping[str, Any], rows: int, full_batch: bool) -> Plan:
    """The settings for a table.

    Args:
        parameters: those of the estimator, checked.
        rows: how many rows there are to learn from.
        full_batch: whether the optimizer uses all rows in each step anyway.
    """
    small = rows < SMALL
    stopping = _early_stopping(parameters, small)
    fraction = _validation_fraction(parameters, rows, stopping)
    return Plan(
        None if full_batch else _batch_size(parameters["batch_size"], rows, fraction),
        stopping,
        fraction,
        (0.0 if small or full_batch else DROPOUT)
        if parameters["dropout"] == AUTO
        else float(parameters["dropout"]),
        "float64" if small else "float32",
    )


def _batch_size(given: Any, rows: int, held_out: float) -> int | None:
    """About 32 steps an epoch, with 32 to 256 rows in a step; up to a quarter fewer where that
    makes all batches even: each size is a program of its own.
    """
    if given != AUTO:
        return None if given is None else int(given)
    if rows < SMALL:
        return None
    most = min(256, max(32, 1 << (-(-rows // 32) - 1).bit_length()))
    even = even_size(rows - round(rows * held_out), most)
    return even if even >= max(32, 3 * most // 4) else most


def _early_stopping(parameters: Mapping[str, Any], small: bool) -> EarlyStopping | None:
    """On by default, unless the rows are few, none are held out or ``until`` says when to stop."""
    given = parameters["early_stopping"]
    if isinstance(given, EarlyStopping):
        return given
    none_held_out = parameters["validation_fraction"] == 0
    wanted = not (small or none_held_out or parameters["until"]) if given == AUTO else bool(given)
    return EarlyStopping(patience=int(parameters["patience"])) if wanted else None


def _validation_fraction(
    parameters: Mapping[str, Any], rows: int, stopping: EarlyStopping | None
) -> float:
    """A tenth of the rows, a fifth of few rows, where something looks at them."""
    given = parameters["validation_fraction"]
    if given != AUTO:
        return float(given)
    until = parameters["until"] or {}
    watched = stopping is not None and stopping.monitor not in ("loss", "accuracy", "r2")
    if not watched and not any(str(name).startswith("val_") for name in until):
        return 0.0
    return 0.1 if rows >= ENOUGH_TO_HOLD_OUT_A_TENTH else 0.2


def default_weight_decay(rows: int) -> float:
    """300 over the rows, between 0.01 and 1: the pull towards zero weighs less the more is known.

    >>> default_weight_decay(600)
    0.5
    """
    return min(1.0, max(0.01, WEIGHT_DECAY_ROWS / rows))


def make_optimizer(parameters: Mapping[str, Any], rows: int) -> Optimizer:
    """A new optimizer with the settings asked for.

    Args:
        parameters: those of the estimator, checked.
        rows: how many rows there are to learn from.
    """
    given = parameters["optimizer"]
    found = optimizers.get(given)
    settings = found.get_config()
    if found.schedule is not None:
        settings["learning_rate"] = found.schedule
    rate, decay = parameters["learning_rate"], parameters["weight_decay"]
    adam = isinstance(given, str) and given.lower() in ADAM_FAMILY
    if rate != AUTO:
        settings["learning_rate"] = rate
    elif adam:
        settings["learning_rate"] = ADAM_RATE
    if decay == AUTO:
        decay = default_weight_decay(rows) if adam else None
    if decay is not None:
        settings["weight_decay"] = float(decay)
        settings["no_decay"] = ["bias"]
    return type(found)(**settings)


def label_smoothing(parameters: Mapping[str, Any]) -> float:
    """Smoothing of the default loss; none where ``until`` gives the plain loss a goal."""
    given = parameters["label_smoothing"]
    if given != AUTO:
        return float(given)
    goals = parameters["until"] or {}
    watched = any(str(name) in ("loss", "val_loss") for name in goals)
    return 0.0 if watched or parameters["loss"] != AUTO else LABEL_SMOOTHING
