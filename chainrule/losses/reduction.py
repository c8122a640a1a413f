"""From one loss for each row to one number: weights, masks and the weighted mean."""

from chainrule.errors import ShapeError
from chainrule.losses.inputs import TensorLike
from chainrule.tensor import Tensor, functions
from chainrule.tensor.tensor import as_tensor


def row_weights(weights: TensorLike, shape: tuple[int, ...], where: str, kind: str) -> Tensor:
    """Weights or a mask, reshaped so that they broadcast against ``shape`` from the left.

    ``(N,)`` beside ``(N, T)`` weighs whole rows; trailing axes of length 1 that are too many are
    dropped.
    """
    w = as_tensor(weights)
    given = w.shape
    while w.ndim > len(shape) and w.shape[-1] == 1:
        w = functions.reshape(w, w.shape[:-1])
    fits = w.ndim <= len(shape) and all(
        length in (1, wanted) for length, wanted in zip(w.shape, shape, strict=False)
    )
    if not fits or (shape and (w.ndim == 0 or w.shape[0] != shape[0])):
        raise ShapeError(
            where,
            f"wrong {kind} shape",
            got=given,
            expected=f"{shape} or its first axes, as in {shape[:1]}",
            fix=f"pass one {kind} value for each row",
        )
    return functions.reshape(w, w.shape + (1,) * (len(shape) - w.ndim))


def hide_masked(y_true: Tensor, mask: TensorLike, where: str) -> Tensor:
    """Targets with zeros where the mask is False, so that missing values and padding labels do no
    harm.
    """
    keep = row_weights(mask, y_true.shape, where, "mask").astype("bool")
    return functions.where(keep, y_true, functions.zeros_like(y_true))


def weighted_mean(
    values: Tensor, sample_weight: TensorLike | None, mask: TensorLike | None, where: str
) -> Tensor:
    """``sum(w * values) / sum(w)``; 0 where all weights are 0. Without weights and mask: the
    mean.
    """
    if sample_weight is None and mask is None:
        return functions.mean(values)
    weights = functions.ones_like(values)
    if sample_weight is not None:
        weights = weights * row_weights(sample_weight, values.shape, where, "sample_weight").astype(
            values.dtype
        )
    if mask is not None:
        keep = row_weights(mask, values.shape, where, "mask").astype("bool")
        weights = functions.where(keep, weights, 0.0)
        values = functions.where(keep, values, 0.0)
    total = functions.sum(weights)
    return functions.sum(weights * values) / functions.where(total == 0, 1.0, total)
