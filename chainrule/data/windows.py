"""Long sequences cut into windows, for training that goes on where the last batch ended."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.errors import ArgumentError, DataError


def windows(sequence: ArrayLike, length: int, batch_size: int) -> NDArray[Any]:
    """Cut a long sequence into windows such that each batch goes on where the last one ended.

    The sequence is cut into ``batch_size`` streams of equal length, and these into windows: row r
    of batch k + 1 follows row r of batch k. A layer with ``stateful=True`` of this ``batch_size``
    then sees whole streams, and gradients flow back through one window: truncated backpropagation
    through time. Train with ``shuffle=False`` and this ``batch_size``.

    Shapes: sequence (steps, ...) -> (windows, length, ...), windows = batches * batch_size,
    batches = steps // (batch_size * length); the steps that are left at the end are dropped.

    Args:
        sequence: numbers in time, each of any shape.
        length: steps in a window.
        batch_size: rows in a batch.

    Returns:
        The windows, in the order of the batches.

    Raises:
        ArgumentError: a length or batch size below 1.
        DataError: fewer steps than one batch needs.

    Example:
        >>> windows(range(12), 2, 3).tolist()
        [[0, 1], [4, 5], [8, 9], [2, 3], [6, 7], [10, 11]]

    For a target at each step, cut the sequence moved by one: ``x = windows(s[:-1], n, b)``,
    ``y = windows(s[1:], n, b)``.
    Reference: Williams and Peng, "An efficient gradient-based algorithm for on-line training of
    recurrent network trajectories", 1990.
    """
    where = "data.windows"
    for name, value in (("length", length), ("batch_size", batch_size)):
        if value < 1:
            raise ArgumentError(where, f"bad {name}", got=value, expected="at least 1")
    steps = np.asarray(sequence)
    batches = len(steps) // (batch_size * length) if steps.ndim else 0
    if batches < 1:
        raise DataError(
            where, "too few steps for one batch", got=f"shape {steps.shape}",
            expected=f"at least {batch_size} windows of {length} steps",
            fix="choose a smaller length or batch_size",
        )  # fmt: skip
    streams = steps[: batches * batch_size * length].reshape(
        batch_size, batches, length, *steps.shape[1:]
    )
    return streams.swapaxes(0, 1).reshape(-1, length, *steps.shape[1:])
