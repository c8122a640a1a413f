"""Masks: which steps of a batch of sequences are there, True for those that are."""

from typing import Any

import numpy as np

from chainrule.errors import DTypeError, ShapeError
from chainrule.tensor import Tensor, functions, tensor


def step_mask(where: str, mask: Any, shape: tuple[int, ...]) -> Tensor:
    """A given mask as truth values (N, steps), for an input of shape (N, steps, ...).

    Raises:
        DTypeError: floating numbers.
        ShapeError: another shape than the first two axes of the input.
    """
    given = mask if isinstance(mask, Tensor) else tensor(np.asarray(mask))
    if given.dtype.kind == "f":
        raise DTypeError(
            where, "a mask of floating numbers", got=given.dtype.name,
            expected="truth values, True for the steps that count", fix="pass mask > 0",
        )  # fmt: skip
    if given.shape != shape[:2]:
        raise ShapeError(
            where, "wrong shape of the mask", got=given.shape, expected=shape[:2],
            fix="give one truth value for each step of each example",
        )  # fmt: skip
    return given if given.dtype.kind == "b" else functions.not_equal(given, 0)


def spread(mask: Tensor, rank: int) -> Tensor:
    """The mask with further axes of size 1, up to this rank."""
    return mask.reshape((*mask.shape, *(1,) * (rank - mask.ndim)))


def kept(mask: Tensor | None, output_shape: Any) -> Tensor | None:
    """The mask, if a layer's outputs of this shape still are sequences of its steps, else None."""
    if mask is None or not isinstance(output_shape, tuple) or len(output_shape) < 3:
        return None
    return mask if output_shape[1] == mask.shape[1] else None
