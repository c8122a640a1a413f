"""Repairing a run: the remedies of its causes, one after another, each kept only if it helps."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from chainrule.diagnosis.case import Case, replace_data
from chainrule.diagnosis.recipe import Recipe, Trained
from chainrule.diagnosis.report import Cause
from chainrule.errors import ArgumentError
from chainrule.training.history import History
from chainrule.training.model import Model

#: a remedy is kept if it raises the skill by more than this.
LEAST_HELP = 0.005


@dataclass(frozen=True)
class Row:
    """A line of the table of a repair."""

    change: str
    skill: float
    training_skill: float
    kept: bool


@dataclass(frozen=True)
class Repaired:
    """What a repair gave; ``print`` shows the table.

    Attributes:
        model: the new model (or estimator), trained; the old one if nothing helped.
        history: of its training; None for the old one of a fit that failed.
        rows: the run as it was, then each remedy that was tried.
        applied: the codes of the causes whose remedies were kept.
    """

    model: Any
    history: History | None
    rows: tuple[Row, ...]
    applied: tuple[str, ...]

    @property
    def before(self) -> float:
        """The skill of the run as it was."""
        return self.rows[0].skill

    @property
    def after(self) -> float:
        """The skill of the model on the validation rows."""
        return [row.skill for row in self.rows if row.kept][-1]

    def __str__(self) -> str:
        lines = ["skill on validation rows  on training rows  change"]
        for row in self.rows:
            numbers = f"{row.skill:24.3f}  {row.training_skill:16.3f}"
            lines.append(f"{numbers}  {row.change}{'' if row.kept else '  (not kept)'}")
        return "\n".join(lines)

    __repr__ = __str__


def repaired(
    case: Case,
    causes: Sequence[Cause],
    apply: "Literal['safe', 'all'] | Sequence[str]",
    wrap: Callable[[Model], Any],
) -> Repaired:
    """Train with the remedies of the causes; see `Report.repair`."""
    recipe, model, history = case.recipe, case.model, case.history
    rows = [Row("as it was", *_skills_before(case), True)]
    best, applied = rows[0].skill, []
    for cause in _chosen(causes, apply):
        for remedy in cause.remedies:
            allowed = remedy.automatic == "A" or (apply != "safe" and remedy.automatic == "B")
            if remedy.apply is None or not allowed:
                continue
            changed = remedy.apply(recipe)
            trained = changed.train()
            reached, fitted = _skills(case, changed, trained)
            better = remedy.unjudged or not reached <= best + LEAST_HELP
            helps = math.isfinite(reached) and better
            rows.append(Row(f"{cause.code}: {remedy.line}", reached, fitted, helps))
            if helps:
                recipe, best = changed, reached
                model, history = trained.model, trained.history
                applied.append(cause.code)
                break
    return Repaired(wrap(model), history, tuple(rows), tuple(applied))


def _chosen(
    causes: Sequence[Cause], apply: "Literal['safe', 'all'] | Sequence[str]"
) -> Sequence[Cause]:
    if isinstance(apply, str):
        if apply not in ("safe", "all"):
            raise ArgumentError("repair", "what to apply?", got=repr(apply),
                                expected='"safe", "all" or a list of codes')  # fmt: skip
        return causes
    codes = [cause.code for cause in causes]
    for code in apply:
        if code not in codes:
            raise ArgumentError("repair", "no cause of this report has this code", got=repr(code),
                                expected="some of " + ", ".join(codes))  # fmt: skip
    return [cause for cause in causes if cause.code in apply]


def _skills_before(case: Case) -> tuple[float, float]:
    if not case.usable or case.refused:
        return float("-inf"), float("-inf")
    return case.control_skill, case.training_skill


def _skills(case: Case, recipe: Recipe, trained: Trained) -> tuple[float, float]:
    """The skill of a repaired run on its validation and training rows."""
    if trained.error is not None or trained.history is None or not trained.history.epochs:
        return float("-inf"), float("-inf")
    own = replace_data(case, recipe)
    return own.skill(trained.model), own.skill(trained.model, training=True)
