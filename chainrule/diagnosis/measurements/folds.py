"""Predictions for training rows by models that were not trained on them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.diagnosis.case import Case
from chainrule.diagnosis.faults.splits import kept_rows
from chainrule.training.inputs import take_rows

Array = NDArray[Any]

FOLDS = 3


def out_of_fold(case: Case) -> Array | None:
    """What the network says about each training row, trained on the other two thirds of them.

    Returns:
        (N, ...) outputs; None where a fold could not be trained or there is no time.
    """
    return case.once("out of fold", lambda: _out_of_fold(case))


def _out_of_fold(case: Case) -> Array | None:
    rows = case.recipe.rows
    if rows < 10 * FOLDS or case.seconds_left < 0:
        return None
    places = np.random.default_rng(0).permutation(rows) % FOLDS
    found: Array | None = None
    for fold in range(FOLDS):
        inside = np.flatnonzero(places == fold)
        trained = kept_rows(case.short, np.flatnonzero(places != fold)).train()
        if trained.error is not None or trained.history is None or not trained.history.epochs:
            return None
        outputs = case.outputs(trained.model, take_rows(case.x, inside))
        if not np.isfinite(outputs).all():
            return None
        if found is None:
            found = np.zeros((rows, *outputs.shape[1:]))
        found[inside] = outputs
    return found
