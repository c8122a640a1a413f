"""What every kind of training does alike: the split, and a fit that ends in finite weights."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.cli.kind import TrainRequest
from chainrule.data import split_indices
from chainrule.errors import DataError


def split(
    request: TrainRequest, total: int, labels: NDArray[Any] | None, source: str, noun: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The examples to train and to test.

    Args:
        request: holds the share to test and the seed.
        total: how many examples there are.
        labels: their classes, to keep in proportion; or None.
        source: the file or folder, for the message.
        noun: what the examples are, in the plural.

    Raises:
        DataError: too few examples.
    """
    if request.test_fraction == 0:
        return np.arange(total), np.arange(0)
    try:
        return split_indices(total, request.test_fraction, seed=request.seed, stratify=labels)
    except DataError as error:
        raise DataError(
            source, error.what, got=error.got, expected=error.expected,
            fix=f"give more {noun}, or learn from all of them with --test-fraction 0",
        ) from None  # fmt: skip


def fit(estimator: Any, *data: Any) -> None:
    """Train; a run that ended in numbers that are not finite is a mistake, not a model."""
    with warnings.catch_warnings():
        # Said once, below or in the report, as the reason why the training stopped.
        warnings.simplefilter("ignore", RuntimeWarning)
        estimator.fit(*data)
    trained = getattr(estimator, "classifier_", estimator)
    stopped = trained.history_ is not None and trained.history_.stopped_by == "not_finite"
    if stopped or not all(np.isfinite(weights).all() for weights in trained.model_.get_weights()):
        raise DataError(
            "train", "the weights grew beyond all bounds, so no model was written",
            got=f"{trained.n_iter_} epochs of finite losses", fix="use a smaller --learning-rate",
        )  # fmt: skip
