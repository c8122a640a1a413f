"""Which mistakes of a classifier are worth a look."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import DataError, ShapeError


def class_numbers(y: Any, width: int, where: str) -> NDArray[Any]:
    """Targets as class numbers (N,): from numbers (N,) or (N, 1), or one-hot rows (N, width).

    Raises:
        DataError: no class numbers below ``width``.
    """
    y = np.asarray(y)
    if y.ndim == 2 and y.shape[1] == width > 1:
        return np.asarray(y.argmax(1))
    numbers = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    known = numbers.ndim == 1 and numbers.dtype.kind in "iufb"
    if not known or (numbers.size and not (np.isin(numbers, np.arange(max(width, 2))).all())):
        raise DataError(
            where, "targets are no class numbers", got=f"{y.dtype} of shape {y.shape}",
            expected=f"whole numbers (N,) from 0 to {max(width, 2) - 1}",
            fix="give the position of each target's class in classes",
        )  # fmt: skip
    return np.asarray(numbers, np.int64)


def class_probabilities(probabilities: Any, where: str) -> NDArray[Any]:
    """Probabilities as (N, K): those of one class, (N,) or (N, 1), become (1 - p, p).

    Raises:
        ShapeError: another rank.
    """
    values = np.asarray(probabilities)
    if values.ndim not in (1, 2) or values.dtype.kind != "f":
        raise ShapeError(
            where, "these are no probabilities", got=f"{values.dtype} of shape {values.shape}",
            expected="floating (N, classes), or (N,) for two classes",
        )  # fmt: skip
    if values.ndim == 1 or values.shape[1] == 1:
        values = values.reshape(-1, 1)
        values = np.concatenate([1 - values, values], axis=1)
    return values


def confident_mistakes(y_true: Any, probabilities: Any) -> NDArray[Any]:
    """The rows that are classified wrongly, the surest mistake first.

    Shapes: y_true (N,), probabilities (N, K) -> (M,), the numbers of M <= N rows.

    Args:
        y_true: class numbers, or one-hot rows (N, K).
        probabilities: of each class, as ``predict`` returns them; (N,) for two classes.

    Raises:
        DataError: targets that are no class numbers.
        ShapeError: probabilities of another shape.

    Example:
        >>> import chainrule as cr
        >>> p = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])
        >>> cr.explain.confident_mistakes([1, 1, 0], p).tolist()
        [0, 2]
    """
    where = "explain.confident_mistakes"
    values = class_probabilities(probabilities, where)
    numbers = class_numbers(y_true, values.shape[1], where)
    if len(numbers) != len(values):
        raise ShapeError(
            where, "different numbers of rows", got=f"{len(numbers)} targets",
            expected=f"{len(values)}, one for each row of probabilities",
        )  # fmt: skip
    chosen = values.argmax(1)
    wrong = np.flatnonzero(chosen != numbers)
    sureness = values[wrong, chosen[wrong]]
    return np.asarray(wrong[np.argsort(-sureness, kind="stable")])
