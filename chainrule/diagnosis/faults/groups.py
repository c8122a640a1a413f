"""Groups of rows that a model serves badly.

A group is all rows with one value in a column of few values, or of one class. Its error is compared
with that of the other rows, on rows that the model was not trained on: the share of wrong rows with
Wilson's interval for classes, the squared error over the variance with a normal interval for
numbers. Limits are widened for the number of groups (Bonferroni).

Reference: E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
1927.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.diagnosis.case import SCORED_ROWS, Case
from chainrule.diagnosis.finding import Evidence, Fault, Remedy
from chainrule.diagnosis.measurements.folds import out_of_fold
from chainrule.training.inputs import take_rows

Array = NDArray[Any]

#: a column of so many values at most makes groups.
MOST_VALUES = 12
#: a group has so many rows at least.
LEAST_ROWS = 12
#: its error is this much above that of the others, ...
DIFFERENCE = 0.1
#: ... at this chance, over all groups together.
CHANCE = 1e-3
#: from here on it is worth predicting the training rows too, by models that never saw them.
SUSPECT_Z = 1.5
#: below this skill everything is served badly.
LEAST_SKILL = 0.3


@dataclass(frozen=True)
class Group:
    """How one group of rows is served.

    Attributes:
        name: such as ``"island = 2"`` or ``"class 3"``.
        rows: how many there are.
        error: the share of wrong rows, or the squared error over the variance of the targets.
        low, high: its interval, at 95 % for all groups together.
        others: the error of all other rows.
        z: the difference in standard errors.
        column: the name of the column; empty for a class.
    """

    name: str
    rows: int
    error: float
    low: float
    high: float
    others: float
    z: float
    column: str


def groups(case: Case) -> list[Group]:
    """All groups of the validation rows, the worst served first."""
    return case.once("groups", lambda: _groups(case, whole=False))


def _groups(case: Case, whole: bool) -> list[Group]:
    """Of the validation rows; ``whole``: of training rows too, by models that never saw them."""
    errors = _row_errors(case)
    if errors is None:
        return []
    x, y = case.validation
    x, y = take_rows(x, slice(0, len(errors))), y[: len(errors)]
    if whole:
        others = _training_errors(case)
        if others is None:
            return []
        assert isinstance(x, np.ndarray)
        x, y = np.concatenate([x, case.x]), np.concatenate([y, case.y])
        errors = np.concatenate([errors, others])
    marks: list[tuple[str, str, Array]] = []
    if case.table is not None:
        for index, column in enumerate(x.T):
            values = np.unique(column)
            if not 2 <= len(values) <= MOST_VALUES:
                continue
            name = case.column(index)
            marks += [(f"{name} = {value:g}", name, column == value) for value in values]
    labels = case.task.labels(y)
    if labels is not None and len(case.task.classes) <= 50:
        shown = enumerate(case.task.classes)
        marks += [(f"class {value:g}", "", labels == place) for place, value in shown]
    large = [m for m in marks if LEAST_ROWS <= m[2].sum() <= len(errors) - LEAST_ROWS]
    z = NormalDist().inv_cdf(1 - 0.025 / max(1, len(large)))
    found = [_group(name, column, errors, mark, z) for name, column, mark in large]
    return sorted(found, key=lambda g: -g.z)


def _row_errors(case: Case) -> Array | None:
    """For each validation row 1 if it is put into the wrong class; for numbers its error."""
    if not case.usable or case.task.kind == "other" or not math.isfinite(case.control_skill):
        return None
    x, y = take_rows(case.validation[0], slice(0, SCORED_ROWS)), case.validation[1][:SCORED_ROWS]
    right = case.task.right(case.outputs(case.control.model, x), y)
    return case.errors(case.control.model, x, y) if right is None else 1.0 - right


def _training_errors(case: Case) -> Array | None:
    outputs = out_of_fold(case)
    if outputs is None:
        return None
    right = case.task.right(outputs, case.y)
    return case.task.errors(outputs, case.y) if right is None else 1.0 - right


def _group(name: str, column: str, errors: Array, mark: Array, z: float) -> Group:
    inside, outside = errors[mark], errors[~mark]
    shares = bool(np.isin(errors, (0, 1)).all())
    low, high = wilson(inside, z) if shares else _normal(inside, z)
    if shares:
        pooled = errors.mean() * (1 - errors.mean())
        spread = math.sqrt(pooled * (1 / len(inside) + 1 / len(outside)))
    else:
        spread = math.sqrt(inside.var() / len(inside) + outside.var() / len(outside))
    difference = float(inside.mean() - outside.mean())
    score = difference / spread if spread > 0 else 0.0
    return Group(name, len(inside), float(inside.mean()), low, high, float(outside.mean()), score,
                 column)  # fmt: skip


def wilson(hits: Array, z: float) -> tuple[float, float]:
    """The interval of a share."""
    count, share = len(hits), float(hits.mean())
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count)
    half *= math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(0.0, middle - half), min(1.0, middle + half)


def _normal(values: Array, z: float) -> tuple[float, float]:
    half = z * float(values.std()) / math.sqrt(len(values))
    return max(0.0, float(values.mean()) - half), float(values.mean()) + half


def _hurt(table: list[Group], limit: float) -> list[Group]:
    """Groups by a column whose error is well above that of the others."""
    return [g for g in table if g.column and g.error - g.others > DIFFERENCE and g.z > limit]


def badly_served(case: Case) -> Evidence | None:
    """D10: a group whose error is well above that of the other rows."""
    table = groups(case)
    if not table or case.control_skill < LEAST_SKILL:
        return None
    if not _hurt(table, SUSPECT_Z):
        return None
    limit = NormalDist().inv_cdf(1 - CHANCE / len(table))
    hurt = _hurt(table, limit) or _hurt(_groups(case, whole=True), limit)
    if not hurt:
        return None
    worst = max(hurt, key=lambda g: g.z)
    if case.task.kind == "classes":
        between = f"[{1 - worst.high:.2f}, {1 - worst.low:.2f}]"
        said = f"{1 - worst.error:.2f} of the rows are right {between}"
        other = f"{1 - worst.others:.2f}"
    else:
        said = f"the error is {worst.error:.2f} of the variance [{worst.low:.2f}, {worst.high:.2f}]"
        other = f"{worst.others:.2f}"
    sentence = (
        f"Where column {worst.name} ({worst.rows} rows that were not trained on) {said}, "
        f"against {other} elsewhere."
    )
    strength = 0.6 + 0.3 * min(1.0, (worst.error - worst.others - DIFFERENCE) / 0.2)
    line = "look at how these rows were measured; collect more of them, or weight them higher"
    return Evidence(
        strength, sentence, (Remedy(line, "N"),), {"column": worst.column, "group": worst.name},
        settled=True, gain=worst.error - worst.others,
    )  # fmt: skip


FAULTS: tuple[Fault, ...] = (
    Fault(
        "D10", "a group is served badly", "data",
        f"the error of a group of {LEAST_ROWS} validation rows or more is {DIFFERENCE} above the "
        f"others' at a chance below {CHANCE} over all groups",
        badly_served, ("D5",), 2,
    ),
)  # fmt: skip
