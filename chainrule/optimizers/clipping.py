"""Gradient clipping: by value, by the norm of each gradient, by the norm of all gradients together.

All of it is ordinary Tensor code and compiles with the training step. A norm of 0 leaves the
gradient as it is. A NaN anywhere makes the norm NaN and with it every gradient that is scaled by
it: clipping never hides a NaN.
"""

from collections.abc import Sequence

from chainrule.errors import ArgumentError
from chainrule.optimizers.arguments import positive
from chainrule.tensor import Tensor, functions


def clip_by_value(gradient: Tensor, limit: float) -> Tensor:
    """Cut every element to [-limit, limit].

    Args:
        gradient: any shape.
        limit: a number above 0.

    Returns:
        A tensor of the gradient's shape and dtype. The direction of the gradient may change.

    Raises:
        ArgumentError: ``limit`` is not above 0.

    Example:
        >>> import chainrule as cr
        >>> cr.optimizers.clip_by_value(cr.tensor([0.5, -3.0]), 1.0).numpy().tolist()
        [0.5, -1.0]

    The same as PyTorch's ``clip_grad_value_``, which works in place.
    """
    limit = positive("clip_by_value", "limit", limit)
    return functions.clip(gradient, -limit, limit)


def clip_by_norm(gradient: Tensor, max_norm: float) -> Tensor:
    """Shorten a gradient to a Euclidean length of at most ``max_norm``; the direction stays.

    ``gradient * min(1, max_norm / norm(gradient))``

    Args:
        gradient: any shape.
        max_norm: a number above 0.

    Returns:
        A tensor of the gradient's shape and dtype.

    Raises:
        ArgumentError: ``max_norm`` is not above 0.

    Example:
        >>> import chainrule as cr
        >>> cr.optimizers.clip_by_norm(cr.tensor([0.0, 4.0]), 1.0).tolist()
        [0.0, 1.0]

    Reference: Pascanu, Mikolov, Bengio, "On the difficulty of training recurrent neural networks",
    2013.
    """
    max_norm = positive("clip_by_norm", "max_norm", max_norm)
    return gradient * (max_norm / functions.maximum(global_norm([gradient]), max_norm))


def global_norm(gradients: Sequence[Tensor]) -> Tensor:
    """The Euclidean length of all gradients as one long vector.

    ``sqrt(sum over gradients of sum(gradient ** 2))``

    Args:
        gradients: at least one tensor, any shapes. In float32 a length above 1.8e19 overflows to
            infinity.

    Returns:
        A scalar of the widest dtype among the gradients.

    Raises:
        ArgumentError: no gradients are given.

    Example:
        >>> import chainrule as cr
        >>> cr.optimizers.global_norm([cr.tensor([3.0]), cr.tensor([[4.0]])]).item()
        5.0
    """
    if not gradients:
        raise ArgumentError("global_norm", "no gradients", got="an empty list", expected="tensors")
    total = functions.sum(functions.square(gradients[0]))
    for gradient in gradients[1:]:
        total = total + functions.sum(functions.square(gradient))
    return functions.sqrt(total)


def clip_by_global_norm(
    gradients: Sequence[Tensor], max_norm: float
) -> tuple[list[Tensor], Tensor]:
    """Shorten all gradients together so that their common length is at most ``max_norm``.

    ``gradient * min(1, max_norm / global_norm(gradients))``, the same factor for every gradient.

    Args:
        gradients: at least one tensor, any shapes.
        max_norm: a number above 0.

    Returns:
        The clipped gradients, each of its own shape and dtype, and the length before clipping (a
        scalar).

    Raises:
        ArgumentError: no gradients, or ``max_norm`` is not above 0.

    Example:
        >>> import chainrule as cr
        >>> clipped, norm = cr.optimizers.clip_by_global_norm(
        ...     [cr.tensor([3.0]), cr.tensor([4.0])], 1.0
        ... )
        >>> norm.item(), [round(g.item(), 4) for g in clipped]
        (5.0, [0.6, 0.8])

    PyTorch's ``clip_grad_norm_`` divides by ``norm + 1e-6``, so its results are shorter by that
    much.

    Reference: Pascanu, Mikolov, Bengio, "On the difficulty of training recurrent neural networks",
    2013.
    """
    max_norm = positive("clip_by_global_norm", "max_norm", max_norm)
    norm = global_norm(gradients)
    factor = max_norm / functions.maximum(norm, max_norm)
    return [g * functions.astype(factor, g.dtype) for g in gradients], norm
