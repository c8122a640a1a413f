"""The loss of the best constant prediction: what a model must beat to have learned anything."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.losses import (
    BinaryCrossEntropy,
    BinaryFocalCrossEntropy,
    CosineSimilarity,
    CrossEntropy,
    GaussianNegativeLogLikelihood,
    HalfSquaredError,
    Hinge,
    KLDivergence,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
)

Array = NDArray[Any]
Closed = Callable[[Loss, Array, Array | None], Array]

_ROUNDS = 26  # of a search: each leaves two thirds of the range
_SEARCHED = 1 << 14  # numbers that a search looks at; the loss is then taken over all of them


def constant_loss(
    loss: Loss,
    y: Any,
    weights: Any = None,
    outputs: tuple[int, ...] | None = None,
    *,
    search: bool = True,
) -> float | None:
    """The loss of one prediction for all rows, the one that suits the loss best.

    min_c sum_n w_n l(y_n, c) / sum_n w_n

    For classes that is the share of each class, for values the mean, the median or whatever the
    loss takes as the centre, one for each place in a row. Penalties are not in it.

    Args:
        loss: as ``fit`` uses it.
        y: the targets, (N, ...), as ``fit`` takes them.
        weights: how much each row counts, (N,), or each target; default 1 each.
        outputs: the shape of the model's outputs for one row, which tells class numbers from
            one-hot rows and says how many classes there are. Default: told from the targets.
        search: False takes the mean where the best constant has to be searched for: faster, and the
            loss may be too high.

    Returns:
        The loss, or None where it is not known: for losses of the user's own, CTC, the cosine, the
        Gaussian likelihood, the focal loss and the hinge loss of several classes.

    >>> from chainrule import losses
    >>> constant_loss(losses.get("mse"), np.array([1.0, 3.0]))
    1.0
    >>> round(constant_loss(losses.get("cross_entropy"), np.array([0, 0, 1, 1])), 4)
    0.6931
    """
    targets = np.asarray(y)
    if not targets.size or _is_unknown(loss):
        return None
    if loss.task == "classes":
        return _of_classes(loss, targets, weights, outputs)
    columns = targets.reshape(len(targets), -1).astype(np.float64)
    share = None if weights is None else _shares(weights, targets.shape).reshape(columns.shape)
    closed = _CLOSED.get(type(loss))
    if closed is None or (share is not None and closed is _absolute):
        closed = _searched if search else _of_mean
    each = closed(loss, columns, share)
    if isinstance(loss, HalfSquaredError):  # a sum over the last axis
        each = each * (0.5 if targets.ndim == 1 else 0.5 * targets.shape[-1])
    return float(each.mean() if share is None else each @ share.sum(axis=0))


def _is_unknown(loss: Loss) -> bool:
    if loss.task == "classes":
        return type(loss) not in (CrossEntropy, KLDivergence)
    other = isinstance(loss, CosineSimilarity | GaussianNegativeLogLikelihood)
    own = not type(loss).__module__.startswith("chainrule.losses.")
    return loss.task is None or other or own


def _shares(weights: Any, shape: tuple[int, ...]) -> Array:
    """Weights of all targets, which sum to 1."""
    w = np.asarray(weights, np.float64)
    full: Array = np.broadcast_to(w.reshape(w.shape + (1,) * (len(shape) - w.ndim)), shape)
    return np.asarray(full / full.sum())


def _of_classes(
    loss: Loss, targets: Array, weights: Any, outputs: tuple[int, ...] | None
) -> float | None:
    """The entropy of the classes' shares, after smoothing; for a divergence the mean entropy of the
    targets is taken off.
    """
    if _are_distributions(targets, outputs):
        rows = targets.reshape(-1, targets.shape[-1]).astype(np.float64)
        share = None if weights is None else _shares(weights, targets.shape[:-1]).ravel()
        q, within = _mean(rows, share), float(_mean(_entropy(rows), share))
    else:
        share = None if weights is None else _shares(weights, targets.shape).ravel()
        classes = outputs[-1] if outputs else 0
        counts = np.bincount(targets.ravel().astype(np.int64), share, classes)
        q, within = counts / counts.sum(), 0.0
    smoothing = loss.options.get("label_smoothing", 0.0)
    entropy = float(_entropy((1 - smoothing) * q + smoothing / len(q)))
    return entropy - within if isinstance(loss, KLDivergence) else entropy


def _are_distributions(targets: Array, outputs: tuple[int, ...] | None) -> bool:
    """Whether the last axis holds one number for each class."""
    if outputs is not None:
        return targets.shape[1:] == outputs
    if targets.ndim == 1 or targets.shape[-1] == 1:
        return False
    return bool((targets >= 0).all() and np.allclose(targets.sum(axis=-1), 1, atol=1e-3))


def _entropy(p: Array) -> Array:
    return np.asarray(-(p * np.log(np.where(p > 0, p, 1.0))).sum(axis=-1))


def _mean(values: Array, share: Array | None) -> Array:
    """Over the rows; the weights may be of each column of its own."""
    if share is None:
        return np.asarray(values.mean(axis=0))
    if share.ndim < values.ndim:
        share = share.reshape(share.shape + (1,) * (values.ndim - share.ndim))
    total = share.sum(axis=0)
    return np.asarray((share * values).sum(axis=0) / np.where(total == 0, 1.0, total))


def _squared(loss: Loss, y: Array, share: Array | None) -> Array:
    return _mean(np.square(y - _mean(y, share)), share)


def _absolute(loss: Loss, y: Array, share: Array | None) -> Array:
    return _mean(np.abs(y - np.median(y, axis=0)), share)


def _binary(loss: Loss, y: Array, share: Array | None) -> Array:
    smoothing = loss.options["label_smoothing"]
    q = (1 - smoothing) * _mean(y, share) + smoothing / 2
    return _entropy(np.stack([q, 1 - q], axis=-1))


def _of_mean(loss: Loss, y: Array, share: Array | None) -> Array:
    return _at(loss.for_predictions(), y, share, _mean(y, share))


def _searched(loss: Loss, y: Array, share: Array | None) -> Array:
    """By golden-section search in each column, on a part of the rows if there are many."""
    loss = loss.for_predictions()
    rows = max(2, _SEARCHED // y.shape[1])
    some, some_share = y, share
    if len(y) > rows:
        chosen = np.random.default_rng(0).choice(len(y), rows, replace=False)
        some, some_share = y[chosen], None if share is None else share[chosen]
    low, high = _range(loss, y)
    for _ in range(_ROUNDS):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        falls = _at(loss, some, some_share, left) > _at(loss, some, some_share, right)
        low, high = np.where(falls, left, low), np.where(falls, high, right)
    return _at(loss, y, share, (low + high) / 2)


def _range(loss: Loss, y: Array) -> tuple[Array, Array]:
    """Between what the best constant lies."""
    columns = np.ones(y.shape[1])
    if isinstance(loss, Hinge):
        return -columns, columns
    if isinstance(loss, BinaryFocalCrossEntropy):
        return 0 * columns, columns
    return y.min(axis=0), y.max(axis=0)


def _at(loss: Loss, y: Array, share: Array | None, constants: Array) -> Array:
    """The loss of each column where its constant is predicted."""
    single = y.T.reshape(-1, 1)
    values = loss.per_example(single, np.repeat(constants, len(y))[:, None]).numpy()
    return _mean(values.reshape(y.shape[1], len(y)).T, share)


_GOLDEN = (5**0.5 - 1) / 2
_CLOSED: dict[type[Loss], Closed] = {
    MeanSquaredError: _squared,
    HalfSquaredError: _squared,
    MeanAbsoluteError: _absolute,
    BinaryCrossEntropy: _binary,
}
