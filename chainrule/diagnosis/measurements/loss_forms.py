"""What a loss takes and what a model gives, found out by values: no source code is read."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from chainrule.config import settings
from chainrule.diagnosis.case import Case
from chainrule.losses import FunctionLoss, Loss
from chainrule.tensor import Tensor, functions, jit
from chainrule.training.inputs import as_arrays, take_rows
from chainrule.training.model import Model

Array = NDArray[Any]
Scores = Literal["probabilities", "logits"]

#: Rows that are looked at; an odd number that no layer is likely to have as a width.
FEW_ROWS = 7
_ROWS = 24
_CLOSE = 1e-3


def is_own(thing: object) -> bool:
    """Whether an object's class (a function itself) was written outside of the library."""
    module = thing.__module__ if callable(thing) and hasattr(thing, "__module__") else ""
    return not str(module or type(thing).__module__).startswith("chainrule.")


def written_by_user(loss: Loss) -> bool:
    """Whether the loss is a function or class of the user's."""
    return isinstance(loss, FunctionLoss) or not type(loss).__module__.startswith("chainrule.")


def spread_rows(case: Case, count: int) -> Array:
    """So many of the rows that probes look at (all if there are fewer), from first to last."""
    rows = case.sample_rows
    return rows[np.unique(np.linspace(0, len(rows) - 1, count).astype(np.int64))]


def aligned_targets(y: Array, outputs: Array, dtype: Any = np.float32) -> Array:
    """Targets as ``fit`` gives them to a loss: (N,) as (N, 1) beside such outputs."""
    if (*y.shape[1:], 1) == outputs.shape[1:] or y.shape[1:] == (*outputs.shape[1:], 1):
        y = y.reshape(outputs.shape)
    return y.astype(dtype) if y.dtype.kind == "f" else y


# ---- pairs of rows


def pairs_instead_of_rows(loss: Callable[..., Any], y: Array, outputs: Array) -> bool | None:
    """Whether the loss of a batch is that of all pairs of a target and a prediction.

    With l(y_i, p_j) the loss of one row, a batch should give the mean (or sum) of l(y_i, p_i);
    after a broadcast of (N,) against (N, 1) it gives that of all l(y_i, p_j). None: neither.
    """
    run = jit(lambda target, output: functions.mean(loss(target, output)))
    with settings(backend="reference"), np.errstate(all="ignore"):
        try:
            batch = float(run(y, outputs))
            count = range(len(y))
            every = np.array(
                [[float(run(y[i : i + 1], outputs[j : j + 1])) for j in count] for i in count]
            )
        except (ValueError, TypeError, ArithmeticError, RuntimeError):
            return None
    if not (np.isfinite(batch) and np.isfinite(every).all()):
        return None
    own, scale = every.diagonal(), float(np.abs(every).max())
    if abs(every.mean() - own.mean()) < 1e-3 * scale:
        return None
    if min(abs(batch - own.mean()), abs(batch - own.sum())) < 1e-4 * scale:
        return False
    return True if min(abs(batch - every.mean()), abs(batch - every.sum())) < 1e-4 * scale else None


# ---- probabilities and logits


def takes(case: Case) -> tuple[Scores | None, Scores | None]:
    """What the loss takes for the model's outputs, and what they are, where both can be told.

    The loss of single rows is compared with -log p and with -log softmax(o), of the outputs o.
    """
    return case.once("loss forms", lambda: _takes(case))


def _takes(case: Case) -> tuple[Scores | None, Scores | None]:
    labels = case.labels
    if case.loss is None or labels is None or not case.usable:
        return None, None
    rows = spread_rows(case, _ROWS)
    x, y = as_arrays(take_rows(case.x, rows), "x", "diagnose"), case.y[rows]
    try:
        found = row_losses(case.loss, case.first, x, y)
    except (ValueError, TypeError, ArithmeticError, RuntimeError):
        return None, None
    if found is None:
        return None, None
    losses, outputs = found
    taken = _taken(losses, outputs, case.task.classes[labels[rows]].astype(np.int64))
    trained = eager(case.model, x)[0]
    return taken, _given(case.first, x, outputs, trained)


def row_losses(loss: Loss, model: Model, x: Any, y: Array) -> tuple[Array, Array] | None:
    """The loss of each row on its own, and the outputs (N, K); None for outputs of other shapes."""

    def run(row: Any, target: Tensor) -> Any:
        outputs = model(row, training=False)
        return functions.mean(loss(target, outputs)), outputs

    compiled = jit(run)
    outputs = eager(model, take_rows(x, slice(0, 2)))[0]
    if outputs.ndim != 2:
        return None
    targets = aligned_targets(y, np.zeros((len(y), outputs.shape[1])), outputs.dtype)
    values = []
    with settings(backend="reference"), np.errstate(all="ignore"):
        for i in range(len(y)):
            one = slice(i, i + 1)
            value, output = compiled(take_rows(x, one), targets[one])
            values.append((float(value), output.numpy()[0]))
    return np.array([v for v, _ in values]), np.array([o for _, o in values], np.float64)


def eager(model: Model, x: Any) -> tuple[Array, str]:
    """Outputs of a few rows, and the name of the final activation, if they remember it."""
    with settings(backend="reference"), np.errstate(all="ignore"):
        outputs = model(x, training=False)
        name = outputs.origin[0] if outputs.origin else ""
        return np.asarray(outputs.numpy()), name


def _taken(losses: Array, outputs: Array, labels: Array) -> Scores | None:
    with np.errstate(all="ignore"):
        if outputs.shape[1] == 1:
            score, positive = outputs[:, 0], labels == labels.max()
            signed = np.where(positive, score, -score)
            from_logits = np.logaddexp(0.0, -signed)
            probability = np.where(positive, score, 1 - score)
        elif labels.max() < outputs.shape[1]:
            chosen = outputs[np.arange(len(labels)), labels]
            high = outputs.max(axis=1, keepdims=True)
            from_logits = np.log(np.exp(outputs - high).sum(axis=1)) + high[:, 0] - chosen
            probability = chosen
        else:
            return None
        clear = (probability > 0.02) & (probability < 0.98)
        from_probability = -np.log(probability[clear])
    if clear.sum() >= 4 and np.abs(losses[clear] - from_probability).max() < _CLOSE:
        return "probabilities"
    return "logits" if np.abs(losses - from_logits).max() < _CLOSE else None


def _given(model: Model, x: Any, outputs: Array, trained: Array) -> Scores | None:
    name = eager(model, take_rows(x, slice(0, 2)))[1]
    if name in ("softmax", "sigmoid"):
        return "probabilities"
    both = np.concatenate([outputs, trained])
    inside = bool((both >= 0).all() and (both <= 1).all())
    if outputs.shape[1] > 1:
        inside = inside and bool(np.abs(both.sum(axis=1) - 1).max() < _CLOSE)
    return "probabilities" if inside else "logits"
