"""Quick answers without a network: how much of the targets simple features of the inputs explain.

Ridge regression on the inputs, on random rectified sums of them, and on counts of tokens:

phi(x) = [x, max(0, x R + b)],  W = (phi' phi + penalty I)^-1 phi' y

It takes milliseconds, and no fault of a network can spoil it: what it finds is in the data.

Reference: A. Rahimi and B. Recht, "Weighted sums of random kitchen sinks", 2008.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import tree
from chainrule.diagnosis.case import Case
from chainrule.training.inputs import take_rows

Array = NDArray[Any]

RANDOM_FEATURES = 200
#: more columns than this are only seen through random sums.
RAW_FEATURES = 128
TOKEN_FEATURES = 500
#: whole numbers up to this are taken for quantities, larger ones for tokens.
MOST_LEVELS = 255
ROWS = 2_500
PENALTIES = (0.01, 0.1, 1.0, 10.0)


@dataclass(frozen=True)
class Fit:
    """How well rows were predicted that were not fitted.

    Attributes:
        skill: 1 - error / error of the mean, see `scores`.
        z: the mean improvement of a row over the mean, in standard errors.
        outputs: the predictions, (N, targets).
    """

    skill: float
    z: float
    outputs: Array


def flat(x: Any) -> Array:
    """The inputs as (N, numbers), several inputs side by side; tokens become counts."""
    parts = []
    for leaf in tree.flatten(x)[0]:
        values = np.asarray(leaf)
        rows = values.reshape(len(values), -1)
        tokens = values.dtype.kind in "iu" and values.ndim == 2 and values.max() > MOST_LEVELS
        parts.append(_token_counts(rows) if tokens else rows.astype(np.float64))
    return np.concatenate(parts, axis=1)


def _token_counts(rows: Array) -> Array:
    """How often tokens stand in a row; there are ``TOKEN_FEATURES`` counts, tokens share them."""
    places = rows % TOKEN_FEATURES + np.arange(len(rows))[:, None] * TOKEN_FEATURES
    counts = np.bincount(places.ravel(), minlength=len(rows) * TOKEN_FEATURES)
    return counts.reshape(len(rows), TOKEN_FEATURES).clip(0, 3).astype(np.float64)


def features(x: Any, seed: int = 0) -> Callable[[Any], Array]:
    """The function that gives the features of rows, scaled as these rows are."""
    known = flat(x)
    mean, deviation = known.mean(axis=0), known.std(axis=0)
    keep = known.shape[1] <= max(RAW_FEATURES, TOKEN_FEATURES)
    used = np.flatnonzero(deviation > 1e-9 * np.abs(mean) + 1e-30)
    mean, deviation = mean[used], deviation[used]
    random = np.random.default_rng(seed)
    weights = random.normal(size=(len(used), RANDOM_FEATURES)) / max(1, len(used)) ** 0.5
    biases = random.normal(size=RANDOM_FEATURES)

    def phi(rows: Any) -> Array:
        scaled = ((flat(rows)[:, used] - mean) / deviation).clip(-5, 5)
        bent = np.maximum(scaled @ weights + biases, 0)
        return np.concatenate([scaled, bent] if keep else [bent], axis=1)

    return phi


def ridge(phi: Array, y: Array, new: Array) -> list[Array]:
    """Predictions for new rows by a fit to others, one for each penalty.

    Args:
        phi: (N, F) features of rows; ``new`` (M, F) those of the rows to predict.
        y: (N, T) targets.
    """
    centre, mean = phi.mean(axis=0), y.mean(axis=0)
    spread = phi.std(axis=0) + 1e-12
    scaled, given = (phi - centre) / spread, (new - centre) / spread
    both, crossed = scaled.T @ scaled, scaled.T @ (y - mean)
    found = []
    for penalty in PENALTIES:
        weights = np.linalg.solve(both + penalty * len(phi) * np.eye(len(both)), crossed)
        found.append(given @ weights + mean)
    return found


def best_fit(outputs: list[Array], y: Array, constant: Array) -> Fit:
    """The best of some predictions for rows whose targets are known."""
    base = ((y - constant) ** 2).sum(axis=1)
    errors = [((out - y) ** 2).sum(axis=1) for out in outputs]
    chosen = int(np.argmin([error.mean() for error in errors]))
    better = base - errors[chosen]
    spread = float(better.std())
    z = float(better.mean()) / spread * len(y) ** 0.5 if spread > 0 else 0.0
    total = float(base.mean())
    skill = 1 - float(errors[chosen].mean()) / total if total > 0 else 0.0
    return Fit(skill, z, outputs[chosen])


def targets(case: Case, y: Array) -> Array:
    """The targets as (N, T) numbers: one-hot classes, or standardised quantities."""
    labels = case.task.labels(y)
    if labels is not None:
        one_hot: Array = np.eye(len(case.task.classes) + 1)[labels][:, :-1]
        return one_hot
    columns = y.reshape(len(y), -1).astype(np.float64)
    known = case.y.reshape(len(case.y), -1).astype(np.float64)
    spread = known.std(axis=0)
    scaled: Array = (columns - known.mean(axis=0)) / np.where(spread > 0, spread, 1)
    return scaled


def baseline(case: Case) -> Fit | None:
    """Validation rows predicted by a fit to the training rows; None where there is no fit."""
    return case.once("baseline", lambda: _baseline(case))


def _baseline(case: Case) -> Fit | None:
    if not case.usable or case.task.kind == "other":
        return None
    x, y = case.validation
    known = take_rows(case.x, slice(0, ROWS))
    given = targets(case, case.y[:ROWS])
    phi = features(known)
    found = ridge(phi(known), given, phi(take_rows(x, slice(0, ROWS))))
    return best_fit(found, targets(case, y[:ROWS]), given.mean(axis=0))


def inner_fit(x: Any, y: Array, seed: int = 0) -> Fit:
    """One half of some rows, drawn at random, predicted by a fit to the other half."""
    return inner_fits(x, [y], seed)[0]


def inner_fits(x: Any, several: list[Array], seed: int = 0) -> list[Fit]:
    """`inner_fit` for several targets of the same rows, (N, T) each."""
    phi = features(x)(x)
    order = np.random.default_rng(seed).permutation(len(phi))
    known, new = np.sort(order[: len(phi) // 2]), np.sort(order[len(phi) // 2 :])
    width = several[0].shape[1]
    outputs = ridge(phi[known], np.concatenate([y[known] for y in several], axis=1), phi[new])
    fits = []
    for place, y in enumerate(several):
        own = [out[:, place * width : (place + 1) * width] for out in outputs]
        fits.append(best_fit(own, y[new], y[known].mean(axis=0)))
    return fits
