"""Faults of the split: what leaks from validation rows into training, and rows that differ."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import tree
from chainrule.data.split import split_indices
from chainrule.diagnosis.case import Case
from chainrule.diagnosis.editing import insert_first
from chainrule.diagnosis.finding import Evidence, Fault, Remedy
from chainrule.diagnosis.recipe import Recipe
from chainrule.nn.layers import Normalization, Rescaling
from chainrule.training.inputs import take_rows

Array = NDArray[Any]

#: this share of the validation rows may be training rows too.
MOST_SHARED = 0.1
#: a column of whose variance the target explains this share holds the target.
LEAK = 0.95
#: distributions of training and validation rows differ by this distance (Kolmogorov, Smirnov), ...
DISTANCE = 0.25
FAR = 0.5
#: ... with this probability of chance at most, over all columns together.
CHANCE = 1e-6
#: validation rows whose class was never seen in training, as a share.
UNSEEN = 0.02
#: the skill on validation rows is this much below that on training rows.
GAP = 0.1
#: up to so many columns each is compared by itself.
MOST_COLUMNS = 128


# ---- D7: leaks


def leaks(case: Case) -> Evidence | None:
    """D7: validation rows that are training rows too, or a column that holds the target."""
    if not case.validated:
        return _column_leak(case)
    return _shared_rows(case) or _column_leak(case)


def _keys(x: Any) -> list[bytes]:
    """The bytes of each row."""
    arrays = [np.ascontiguousarray(array) for array in tree.flatten(x)[0]]
    return [b"".join(array[row].tobytes() for array in arrays) for row in range(len(arrays[0]))]


def _shared_rows(case: Case) -> Evidence | None:
    known, held_out = _keys(case.x), _keys(case.validation[0])
    seen = set(known)
    hits = np.flatnonzero([key in seen for key in held_out])
    share = len(hits) / len(held_out)
    # Rows of few values are alike by chance, inside the training rows too.
    doubled = 1 - len(seen) / len(known)
    if share <= MOST_SHARED or share <= 2 * doubled + 0.05:
        return None
    gain = None
    sentence = (
        f"{share:.0%} of the validation rows ({len(hits)} of {len(held_out)}) are training rows "
        "too: their score says nothing about new rows."
    )
    if case.usable and np.isfinite(case.control_skill) and share < 0.95:
        own = np.setdiff1d(np.arange(len(held_out)), hits)
        x, y = case.validation
        errors = case.errors(case.control.model, take_rows(x, own), y[own])
        base = case.constant_errors(take_rows(x, own), y[own])
        if errors is not None and base is not None and base.mean() > 0:
            honest = 1 - float(errors.mean() / base.mean())
            gain = max(case.control_skill - honest, 0.0)
            sentence += (
                f" On the others the skill is {honest:.3f}, on all {case.control_skill:.3f}."
            )
    line = "split by groups, so that copies of a row stay on one side"
    remedy = Remedy(line, "B", _without_shared, unjudged=True)
    place = {"rows": hits[:20].tolist()}
    return Evidence(0.95, sentence, (remedy,), place, settled=True, gain=gain)


def _without_shared(recipe: Recipe) -> Recipe:
    """Without the training rows that are validation rows too."""
    assert recipe.validation is not None
    held_out = set(_keys(recipe.validation[0]))
    keep = np.flatnonzero([key not in held_out for key in _keys(recipe.x)])
    return kept_rows(recipe, keep)


def kept_rows(recipe: Recipe, rows: Array) -> Recipe:
    """The run with only these training rows."""
    weights = recipe.settings.get("sample_weight")
    if weights is not None:
        recipe = recipe.with_settings(sample_weight=np.asarray(weights)[rows])
    return recipe.with_data(take_rows(recipe.x, rows), recipe.y[rows])


def _column_leak(case: Case) -> Evidence | None:
    """A column that is the target with little noise: others can be that good only by luck."""
    if case.table is None or not case.usable or case.task.kind == "other":
        return None
    x = case.table.astype(np.float64)
    shares = _explained(case, x)
    index = int(shares.argmax())
    others = np.delete(shares, index)
    if shares[index] < LEAK or (len(others) and others.max() > 0.9 * shares[index]):
        return None
    name, what = case.column(index), "target"
    if case.task.kind == "classes":
        what = "class"
    strength = 0.9 if shares[index] > 0.98 else 0.8
    line = f"x = np.delete(x, {index}, axis=1)  # unless it is known before the {what} is"
    remedy = Remedy(line, "B", lambda recipe: _without_column(recipe, index), unjudged=True)
    return Evidence(
        strength,
        f"Column {name} alone tells the {what}: {shares[index]:.1%} of its variance goes with it, "
        f"of the next best column {others.max() if len(others) else 0:.0%}. Is it known in use?",
        (remedy,), {"column": name}, settled=True,
    )  # fmt: skip


def _explained(case: Case, x: Array) -> Array:
    """The share of each column's variance that the target explains."""
    centred = x - x.mean(axis=0)
    total = (centred**2).sum(axis=0)
    labels = case.labels
    if labels is not None:
        counts = np.bincount(labels, minlength=len(case.task.classes))
        sums = np.zeros((len(counts), x.shape[1]))
        np.add.at(sums, labels, centred)
        between = (sums**2 / np.maximum(counts, 1)[:, None]).sum(axis=0)
    else:
        y = case.y.reshape(len(case.y), -1).astype(np.float64)
        y = y - y.mean(axis=0)
        crossed = (y.T @ centred) ** 2 / np.maximum((y**2).sum(axis=0), 1e-300)[:, None]
        between = crossed.max(axis=0)
    return np.where(total > 0, between / np.where(total > 0, total, 1), 0)


def _without_column(recipe: Recipe, index: int) -> Recipe:
    """The column times 0, so that rows keep their width."""
    scale = np.ones(recipe.x.shape[1])
    scale[index] = 0
    return insert_first(recipe, lambda: Rescaling(scale))


# ---- D8: training and validation rows differ


def split_anew(recipe: Recipe) -> Recipe:
    """Training and validation rows together, split at random, each class by its share."""
    assert recipe.validation is not None
    arrays, structure = tree.flatten(recipe.x)
    others = tree.flatten(recipe.validation[0])[0]
    x = tree.unflatten(
        structure, [np.concatenate([a, b]) for a, b in zip(arrays, others, strict=True)]
    )
    y = np.concatenate([recipe.y, recipe.validation[1]])
    whole = y.ndim == 1 and y.dtype.kind in "iub" and len(np.unique(y)) <= len(y) // 4
    training, held_out = split_indices(
        len(y), len(recipe.validation[1]) / len(y), seed=0, stratify=y if whole else None
    )
    training, held_out = np.sort(training), np.sort(held_out)
    weights = recipe.settings.get("sample_weight")
    if weights is not None:
        recipe = recipe.with_settings(sample_weight=None)
    return recipe.with_data(
        take_rows(x, training), y[training], (take_rows(x, held_out), y[held_out])
    )


_SPLIT = Remedy(
    "train, held_out = cr.data.split_indices(len(y), 0.2, seed=0, stratify=y)", "A",
    split_anew, unjudged=True,
)  # fmt: skip


def differ(case: Case) -> Evidence | None:
    """D8: validation rows with classes, targets or inputs that training rows do not have."""
    if not case.validated or not case.usable:
        return None
    return _unseen_classes(case) or _other_targets(case) or _other_inputs(case)


def _unseen_classes(case: Case) -> Evidence | None:
    labels = case.task.labels(case.validation[1])
    if labels is None:
        return None
    missing = labels < 0
    if missing.mean() <= UNSEEN or missing.sum() < 3:
        return None
    y = case.validation[1]
    names = np.unique(y[missing]) if y.ndim == 1 or y.shape[-1] == 1 else np.zeros(0)
    shown = ", ".join(f"{name:g}" for name in names[:5])
    several = len(names) > 1
    classes = f"Class{'es' if several else ''} {shown} of the validation rows never "
    classes += "occur" if several else "occurs"
    return Evidence(
        1.0,
        f"{classes} in training ({missing.mean():.0%} of the validation rows): the file was "
        "sorted, and the last rows were held out.",
        (_SPLIT,), {"rows": np.flatnonzero(missing)[:20].tolist()}, settled=True,
    )  # fmt: skip


def _other_targets(case: Case) -> Evidence | None:
    known, held_out = case.y, case.validation[1]
    labels, others = case.labels, case.task.labels(held_out)
    if labels is not None and others is not None:
        count = len(case.task.classes)
        first = np.bincount(labels, minlength=count) / len(labels)
        second = np.bincount(others[others >= 0], minlength=count) / max(1, len(others))
        distance, tests = float(np.abs(first - second).sum() / 2), count
    elif case.task.kind == "numbers":
        distance = _distance(
            known.reshape(len(known), -1)[:, 0], held_out.reshape(len(held_out), -1)[:, 0]
        )
        tests = 1
    else:
        return None
    if distance < DISTANCE or _chance(distance, len(known), len(held_out)) * tests > CHANCE:
        return None
    # Rows that are quite others measure nothing, whatever the model does on them.
    if distance < FAR and case.training_skill - case.control_skill < GAP:
        return None
    what = "classes come in other shares" if labels is not None else "targets lie elsewhere"
    return Evidence(
        0.9,
        f"In the validation rows {what} than in the training rows (distance {distance:.2f} of 1): "
        "the split followed the order of the file.",
        (_SPLIT,), {}, settled=True, gain=case.training_skill - case.control_skill,
    )  # fmt: skip


def _other_inputs(case: Case) -> Evidence | None:
    x, held_out = case.x, case.validation[0]
    if not isinstance(x, np.ndarray) or x.dtype.kind not in "fu":
        return None
    first, second = _summaries(x), _summaries(held_out)
    named = x.ndim == 2 and x.shape[1] <= MOST_COLUMNS
    pairs = list(zip(first.T, second.T, strict=True))
    distances = np.array([_distance(a, b) for a, b in pairs])
    worst = int(distances.argmax())
    chance = _chance(float(distances[worst]), len(first), len(second)) * len(distances)
    if distances[worst] < DISTANCE or chance > CHANCE:
        return None
    if case.training_skill - case.control_skill < GAP:
        return None
    name = case.column(worst) if named and worst < x.shape[1] else ""
    place = {"column": name} if name else {}
    where = f"column {name}" if name else "the inputs"
    means, deviations = _moments(first, second, worst)
    sentence = (
        f"Training and validation rows differ in {where}: mean {means[0]:.3g} against "
        f"{means[1]:.3g}, deviation {deviations[0]:.3g} against {deviations[1]:.3g}."
    )
    remedies: Sequence[Remedy] = (_SPLIT,)
    if _same_form(pairs):
        sentence += " Up to that they are alike: one of them was scaled, the other was not."
        line = "scale both by the same numbers: cr.layers.Normalization().adapt(x) in the model"
        remedies = (Remedy(line, "B", _as_validation), _SPLIT)
    gain = case.training_skill - case.control_skill
    return Evidence(0.95, sentence, tuple(remedies), place, settled=True, gain=gain)


def _summaries(x: Array) -> Array:
    """The columns of a table; of other inputs, and wide tables, mean and spread of each row."""
    rows = x.reshape(len(x), -1).astype(np.float64)
    both = np.stack([rows.mean(axis=1), rows.std(axis=1)], axis=1)
    if x.ndim == 2 and x.shape[1] <= MOST_COLUMNS:
        return np.concatenate([rows, both], axis=1) if x.shape[1] > 1 else rows
    return both


def _moments(first: Array, second: Array, index: int) -> tuple[Array, Array]:
    both = first[:, index], second[:, index]
    return np.array([part.mean() for part in both]), np.array([part.std() for part in both])


def _distance(first: Array, second: Array) -> float:
    """The largest difference of the cumulative distributions."""
    a, b = np.sort(first), np.sort(second)
    values = np.concatenate([a, b])
    below = np.searchsorted(a, values, "right") / len(a)
    return float(np.abs(below - np.searchsorted(b, values, "right") / len(b)).max())


def _chance(distance: float, first: int, second: int) -> float:
    """The probability of such a distance if both come from one distribution, at most."""
    return float(min(1.0, 2 * np.exp(-2 * distance**2 * first * second / (first + second))))


def _same_form(pairs: list[tuple[Array, Array]]) -> bool:
    """Whether the distributions are alike once each is brought to mean 0 and deviation 1."""
    for a, b in pairs:
        if a.std() == 0 or b.std() == 0:
            continue
        distance = _distance((a - a.mean()) / a.std(), (b - b.mean()) / b.std())
        if _chance(distance, len(a), len(b)) * len(pairs) < 1e-3:
            return False
    return True


def _as_validation(recipe: Recipe) -> Recipe:
    """Training rows brought to mean and deviation of the validation rows, which are as in use; a
    layer in front standardises both.
    """
    assert recipe.validation is not None
    held_out = np.asarray(recipe.validation[0], np.float64)
    x = np.asarray(recipe.x, np.float64)
    over = (0,) if x.ndim == 2 and x.shape[1] <= MOST_COLUMNS else tuple(range(x.ndim))
    mean, spread = x.mean(axis=over), x.std(axis=over)
    to_mean, to_spread = held_out.mean(axis=over), held_out.std(axis=over)
    spread = np.where(spread > 0, spread, 1)
    scaled = (x - mean) / spread * to_spread + to_mean
    changed = recipe.with_data(scaled.astype(np.float32))
    return insert_first(changed, lambda: Normalization(to_mean, to_spread**2))


FAULTS: tuple[Fault, ...] = (
    Fault(
        "D7", "validation rows or targets leak into training", "data",
        f"more than {MOST_SHARED:.0%} of the validation rows are training rows, and more than by "
        f"chance; or the target explains {LEAK:.0%} of a column's variance, of no other so much",
        leaks, ("D8", "D10", "G1", "S4"), 1,
    ),
    Fault(
        "D8", "training and validation rows differ", "data",
        f"classes in {UNSEEN:.0%} of the validation rows that training never saw; or "
        f"distributions {DISTANCE} apart (chance below {CHANCE}) and a skill lower by {GAP}",
        differ, ("G1", "G2", "S4", "D3", "D9", "D10"), 1,
    ),
)  # fmt: skip
