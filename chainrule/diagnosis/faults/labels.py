"""Faults of the targets: scale, wrong ones, ones at wrong rows, rare classes."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.diagnosis.case import SCORED_ROWS, Case
from chainrule.diagnosis.faults.groups import wilson
from chainrule.diagnosis.faults.splits import kept_rows
from chainrule.diagnosis.finding import Evidence, Fault, Remedy
from chainrule.diagnosis.measurements.baselines import (
    ROWS,
    Fit,
    baseline,
    inner_fit,
    inner_fits,
    targets,
)
from chainrule.diagnosis.measurements.folds import out_of_fold
from chainrule.diagnosis.recipe import Recipe
from chainrule.nn.layers import Rescaling
from chainrule.training.inputs import take_rows
from chainrule.training.model import Model
from chainrule.training.sequential import Sequential

Array = NDArray[Any]

#: a mean of the targets this many deviations off 0, ...
OFFSET = 3.0
#: ... or a deviation this many times that of the first outputs, or this share of it.
LARGE, SMALL = 10.0, 0.1
#: of the rows about which a model is surest (a fifth), this share is wrong ...
WRONG = 0.1
#: ... which is this share of the rate over all rows: wrong labels are wrong everywhere.
FLAT = 0.35
#: residuals this many (robust) deviations off are outliers; so many of them are wrong targets.
FAR, OUTLIERS = 3.0, 0.035
#: how far targets are shifted to see whether they fit other rows.
SHIFTS = (-3, -2, -1, 0, 1, 2, 3)
#: the largest class has this many times the rows of the rarest, ...
IMBALANCE = 10.0
#: ... of which so many are recognised at most.
RECALL = 0.65
#: validation rows of rare classes that say enough; with fewer, training rows are predicted too.
ENOUGH = 30
#: rows that are listed.
LISTED = 20


# ---- D4: scale


def scale(case: Case) -> Evidence | None:
    """D4: quantities far off the numbers that a network begins with."""
    if case.task.kind != "numbers" or not case.usable:
        return None
    y = case.y.reshape(len(case.y), -1).astype(np.float64)
    first = _first_spread(case)
    mean, deviation = y.mean(axis=0), y.std(axis=0)
    if first is None or not (deviation > 0).all():
        return None
    off, size = float((np.abs(mean) / deviation).max()), float(deviation.max())
    begin = max(first, 0.3)
    if off > OFFSET and float(np.abs(mean).max()) > OFFSET:
        what = f"average {mean[np.abs(mean).argmax()]:,.4g} with a deviation of {size:.3g}"
    elif size > LARGE * max(first, 1.0):
        what = f"have a deviation of {size:,.4g}"
    elif float(deviation.min()) < SMALL * begin:
        what = f"have a deviation of only {deviation.min():.2g}"
    else:
        return None
    sentence = (
        f"The targets {what}, while the outputs begin around 0 with a deviation of {first:.2g}: "
        "training spends its steps on the scale."
    )
    line = "train on (y - mean) / std; then cr.Sequential([model, cr.layers.Rescaling(std, mean)])"
    return Evidence(0.9, sentence, (Remedy(line, "A", _standardised),))


def _first_spread(case: Case) -> float | None:
    """The deviation of the outputs of the first weights; None where the head bounds them."""
    step = case.at_start
    if step is None or not step.layers or step.layers[-1].activation not in ("", "linear"):
        return None
    spread = float(np.asarray(step.outputs, np.float64).std())
    return spread if np.isfinite(spread) else None


def _standardised(recipe: Recipe) -> Recipe:
    """Targets standardised in training; a layer behind the trained model scales outputs back."""
    columns = recipe.y.reshape(len(recipe.y), -1).astype(np.float64)
    mean, deviation = columns.mean(axis=0), columns.std(axis=0)
    if columns.shape[1] == 1:
        mean, deviation = mean[0], deviation[0]

    def encode(y: Array) -> Array:
        scaled: Array = ((y - mean) / deviation).astype(np.float32)
        return scaled

    def finish(model: Model) -> Model:
        return Sequential([model, Rescaling(deviation, mean)])

    return replace(recipe, encode=encode, finish=finish)


# ---- D5: wrong ones


def wrong(case: Case) -> Evidence | None:
    """D5: rows whose target contradicts what all other rows teach."""
    if not case.usable or not np.isfinite(case.control_skill):
        return None
    known = baseline(case)
    if known is None or known.z < 3:
        return None
    if case.task.kind == "classes":
        return _wrong_classes(case, known)
    return _wrong_numbers(case)


def _wrong_classes(case: Case, known: Fit) -> Evidence | None:
    x, y = take_rows(case.validation[0], slice(0, ROWS)), case.validation[1][:ROWS]
    labels = case.task.labels(y)
    assert labels is not None
    own = case.task.probabilities(case.outputs(case.control.model, x))
    accuracies = [float((p.argmax(axis=1) == labels).mean()) for p in (own, known.outputs)]
    # A network that learnt less than a quick fit, beyond chance, is no judge of labels.
    if accuracies[0] < accuracies[1] - 0.05 - len(labels) ** -0.5:
        return None
    # A quick look before three models are trained; with few rows each of the two may be lucky.
    sure_of = [_sure(found, labels).mean() for found in (own, known.outputs)]
    if min(sure_of) == 0 or sum(sure_of) / 2 < WRONG / 2:
        return None
    outputs = out_of_fold(case)
    if outputs is None or case.labels is None:
        return None
    inside = case.task.probabilities(outputs)
    both = np.concatenate([inside, own]), np.concatenate([case.labels, labels])
    if not _surely_wrong(*both):
        return None
    suspects = _suspects(inside, case.labels)
    if len(suspects) < 3:
        return None
    rate = float((both[0].argmax(axis=1) != both[1]).mean())
    sure = _sure(*both)
    sentence = (
        f"About {len(suspects)} of {len(case.labels)} labels look wrong: models that never saw "
        f"them say otherwise. Even where they are surest {sure.mean():.0%} of the labels disagree "
        f"({rate:.0%} of all)."
    )
    return _suspicion(case, suspects, sentence, float(sure.mean()))


def _sure(probabilities: Array, labels: Array) -> Array:
    """Of the fifth of the rows with the surest predictions: which disagree with the label."""
    order = np.argsort(-probabilities.max(axis=1), kind="stable")[: max(5, len(labels) // 5)]
    wrong: Array = (probabilities.argmax(axis=1) != labels)[order].astype(np.float64)
    return wrong


def _surely_wrong(probabilities: Array, labels: Array) -> bool:
    sure = _sure(probabilities, labels)
    rate = float((probabilities.argmax(axis=1) != labels).mean())
    low, _ = wilson(sure, 1.64)
    return sure.mean() > max(WRONG, FLAT * rate) and low > WRONG / 3


def _suspects(probabilities: Array, labels: Array) -> Array:
    """Rows by confident learning, the most suspicious first: another class is likelier than it
    usually is for the rows that carry its label.

    Reference: C. Northcutt et al., "Confident learning", 2021.
    """
    count = probabilities.shape[1]
    usual = np.array([
        probabilities[labels == k, k].mean() if (labels == k).any() else 1.0 for k in range(count)
    ])  # fmt: skip
    above = np.where(probabilities >= usual, probabilities, 0)
    best = above.argmax(axis=1)
    doubt = above.max(axis=1) - probabilities[np.arange(len(labels)), labels]
    rows = np.flatnonzero((best != labels) & (above.max(axis=1) > 0) & (doubt > 0))
    ordered: Array = rows[np.argsort(-doubt[rows], kind="stable")]
    return ordered


def _wrong_numbers(case: Case) -> Evidence | None:
    if case.control_skill < 0.1 or case.task.kind != "numbers":
        return None
    x, y = case.validation
    share = _outliers(_residuals(case.outputs(case.control.model, x), y))
    if share.mean() < OUTLIERS or wilson(share, 1.64)[0] < OUTLIERS / 2:
        return None
    outputs = out_of_fold(case)
    if outputs is None:
        return None
    residuals = _residuals(outputs, case.y)
    far = _outliers(residuals)
    if far.mean() < OUTLIERS:
        return None
    suspects = np.argsort(-residuals, kind="stable")[: int(far.sum())]
    sentence = (
        f"{len(suspects)} of {len(case.y)} targets ({far.mean():.0%}) are more than {FAR:g} "
        "deviations off what models say that never saw them; of ordinary errors 0.3 % would be."
    )
    return _suspicion(case, suspects, sentence, float(far.mean()) + 0.1)


def _residuals(outputs: Array, y: Array) -> Array:
    difference = np.asarray(outputs, np.float64).reshape(len(y), -1) - y.reshape(len(y), -1)
    size: Array = np.abs(difference - np.median(difference, axis=0)).max(axis=1)
    return size


def _outliers(residuals: Array) -> Array:
    spread = 1.4826 * float(np.median(residuals))
    return (residuals > FAR * spread).astype(np.float64) if spread > 0 else 0 * residuals


def _suspicion(case: Case, suspects: Array, sentence: str, share: float) -> Evidence:
    listed = case.rows[suspects[:LISTED]].tolist()
    review = Remedy(f"look at these rows: {listed[:6]} ...", "N")
    drop = Remedy(
        "train without the rows that look wrong (their labels are not changed)", "B",
        lambda recipe: _without(recipe, suspects),
    )  # fmt: skip
    return Evidence(
        0.6 + 0.3 * min(1.0, share / 0.2), sentence, (drop, review), {"rows": listed}, settled=True,
    )  # fmt: skip


def _without(recipe: Recipe, rows: Array) -> Recipe:
    return kept_rows(recipe, np.setdiff1d(np.arange(recipe.rows), rows))


# ---- D6: at wrong rows


def not_aligned(case: Case) -> Evidence | None:
    """D6: targets that fit other rows, or no rows at all where validation rows do."""
    if not case.usable or case.task.kind == "other" or case.recipe.rows < 60:
        return None
    # A network that works shows that the rows belong together.
    if case.control_skill > 0.3:
        return None
    x, given = take_rows(case.x, slice(0, ROWS)), targets(case, case.y[:ROWS])
    fits = inner_fits(x, [np.roll(given, shift, axis=0) for shift in SHIFTS])
    here = fits[SHIFTS.index(0)]
    best = int(np.argmax([fit.skill for fit in fits]))
    shift, found = SHIFTS[best], fits[best]
    if shift and found.z > 5 and found.skill > 0.1 and here.skill < 0.3 * found.skill:
        return _shifted(case, shift, found, here)
    return _shuffled(case, here)


def _shifted(case: Case, shift: int, found: Fit, here: Fit) -> Evidence:
    rows = f"{abs(shift)} row{'s' if abs(shift) > 1 else ''}"
    where = "before" if shift > 0 else "behind"
    return Evidence(
        0.95,
        f"The targets belong to other rows: inputs explain {max(here.skill, 0):.0%} of their own "
        f"target, and {found.skill:.0%} of the one {rows} {where} it.",
        (Remedy(_shift_line(shift), "B", lambda recipe: _realigned(recipe, shift)),),
        {"shift": shift}, settled=True, gain=found.skill - max(here.skill, 0),
    )  # fmt: skip


def _shift_line(shift: int) -> str:
    if shift > 0:
        return f"x, y = x[{shift}:], y[:-{shift}]  # after a look at how they were joined"
    return f"x, y = x[:{shift}], y[{-shift}:]  # after a look at how they were joined"


def _moved(x: Any, y: Array, shift: int) -> tuple[Any, Array]:
    if shift > 0:
        return take_rows(x, slice(shift, None)), y[:-shift]
    return take_rows(x, slice(None, shift)), y[-shift:]


def _realigned(recipe: Recipe, shift: int) -> Recipe:
    x, y = _moved(recipe.x, recipe.y, shift)
    held_out = recipe.validation
    if held_out is not None:
        held_out = _moved(*held_out, shift)
    weights = recipe.settings.get("sample_weight")
    if weights is not None:
        kept = _moved(recipe.x, np.asarray(weights), shift)[1]
        recipe = recipe.with_settings(sample_weight=kept)
    return recipe.with_data(x, y, held_out)


def _shuffled(case: Case, here: Fit) -> Evidence | None:
    """Whether the validation rows teach what the training rows, though more, do not."""
    x, y = case.validation
    if here.z > 3 or not case.validated or len(y) < 40:
        return None
    inside = inner_fit(take_rows(x, slice(0, ROWS)), targets(case, y[:ROWS]))
    if inside.z < 4 or inside.skill < 0.1 or inside.skill < here.skill + 0.1:
        return None
    return Evidence(
        0.95,
        f"The training inputs tell nothing about their targets (skill {max(here.skill, 0.0):.2f}), "
        f"though the validation inputs do ({inside.skill:.2f}): the training rows were shuffled or "
        "joined wrongly.",
        (Remedy("shuffle x and y by one permutation; look at how they were joined", "N"),),
        settled=True, gain=inside.skill,
    )  # fmt: skip


# ---- D9: rare classes


def imbalance(case: Case) -> Evidence | None:
    """D9: a rare class that is not recognised, and would be if it had more weight."""
    labels = case.labels
    if labels is None or not case.usable or not np.isfinite(case.control_skill):
        return None
    counts = np.bincount(labels, minlength=len(case.task.classes))
    if len(counts) < 2 or counts.min() == 0 or counts.max() < IMBALANCE * counts.min():
        return None
    if case.recipe.settings.get("class_weight") is not None:
        return None
    rare = counts * IMBALANCE <= counts.max()
    before = _recalls(case, case.control.model)
    seen = _rare_recall(case, rare)
    if before is None or seen is None or seen > RECALL:
        return None
    twin = case.twin(_balanced(case.short), "D9: balanced")
    after = None if twin.trained.error else _recalls(case, twin.trained.model)
    name = case.task.classes[np.flatnonzero(rare)[counts[rare].argmin()]]
    sentence = (
        f"Class {name:g} has {counts.min()} of {len(labels)} rows, the largest class "
        f"{counts.max()}; of the rare rows {seen:.0%} are recognised, and "
        f"balanced accuracy is {before.mean():.2f}"
    )
    gain = 0.0
    if after is not None and np.isfinite(after).all():
        gain = float(after.mean() - before.mean())
        sentence += f" ({after.mean():.2f} with balanced weights)"
    usual = before[~rare].mean() if (~rare).any() else 0.0
    # Frequent classes that are recognised show that all else is in order.
    if gain < 0.03 and usual < 0.8:
        return None
    strength = 0.7 + 0.25 * min(1.0, max(gain, 0.0) / 0.1)
    remedy = Remedy(
        'fit(..., class_weight="balanced"); report balanced accuracy', "B", _balanced, True
    )
    return Evidence(
        strength, sentence + ".", (remedy,), {"group": f"class {name:g}"}, settled=True, gain=gain
    )


def _rare_recall(case: Case, rare: Array) -> float | None:
    """The share of rows of rare classes that models recognise which never saw them."""
    x, y = take_rows(case.validation[0], slice(0, SCORED_ROWS)), case.validation[1][:SCORED_ROWS]
    labels, right = case.task.labels(y), case.task.right(case.outputs(case.control.model, x), y)
    if labels is None or right is None or case.labels is None:
        return None
    hits = right[(labels >= 0) & rare[labels]]
    if len(hits) >= ENOUGH:
        return float(hits.mean())
    outputs = out_of_fold(case)
    others = None if outputs is None else case.task.right(outputs, case.y)
    if others is not None:
        hits = np.concatenate([hits, others[rare[case.labels]]])
    return float(hits.mean()) if len(hits) else None


def _balanced(recipe: Recipe) -> Recipe:
    return recipe.with_settings(class_weight="balanced")


def _recalls(case: Case, model: Model) -> Array | None:
    """The share of the rows of each class that is recognised, of validation rows where there are
    some, and of training rows for classes without.
    """
    parts = []
    for x, y in (case.validation, (case.x, case.y)):
        x, y = take_rows(x, slice(0, SCORED_ROWS)), y[:SCORED_ROWS]
        labels, right = case.task.labels(y), case.task.right(case.outputs(model, x), y)
        if labels is None or right is None:
            return None
        shares = [right[labels == k].mean() if (labels == k).any() else np.nan
                  for k in range(len(case.task.classes))]  # fmt: skip
        parts.append(np.array(shares))
    found = np.where(np.isnan(parts[0]), parts[1], parts[0])
    return np.where(np.isnan(found), 0.0, found)


FAULTS: tuple[Fault, ...] = (
    Fault(
        "D4", "targets not on the network's scale", "data",
        f"a mean more than {OFFSET:g} deviations off 0, or a deviation above {LARGE:g} or below "
        f"{SMALL:g} times that of the first outputs; a twin with standardised targets is better",
        scale, ("O1", "O2", "O3", "V2", "V3", "V6", "S2", "O5", "T2"), 1,
    ),
    Fault(
        "D5", "wrong labels", "data",
        f"of the fifth of the rows that two kinds of models are surest of, {WRONG:.0%} or more "
        f"disagree with the label; for quantities {OUTLIERS:.1%} of the residuals are {FAR:g} "
        "robust deviations off",
        wrong, ("G1", "S2", "S4", "E2"), 2,
    ),
    Fault(
        "D6", "targets at wrong rows", "data",
        "a fit without a network finds a signal only if targets are shifted by up to three rows, "
        "or in the validation rows only",
        not_aligned, ("D5", "D8", "G1", "S2", "O1", "O2", "O3"), 2,
    ),
    Fault(
        "D9", "a rare class is not learnt", "data",
        f"a class has a tenth of the rows of the largest, at most {RECALL:.0%} of the rare rows "
        "are recognised, and balanced weights raise balanced accuracy or the others are recognised",
        imbalance, ("G1", "D10"), 2,
    ),
)  # fmt: skip
