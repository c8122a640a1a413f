"""Gradients given by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from chainrule.graph.primitives import Primitive
from chainrule.tensor.state import STATE
from chainrule.tensor.tensor import Tensor, as_tensor

Pullback = Callable[..., Sequence[Any]]

# Stands on tapes only: graphs hold the function's own primitives.
_CUSTOM = Primitive("custom_gradient", None, lambda *inputs: inputs[0], (), "elementwise", True)


def attach_gradient(value: Tensor, inputs: tuple[Tensor, ...], pullback: Pullback) -> Tensor:
    """``value`` with another derivative with respect to ``inputs``.

    Args:
        value: computed from the inputs in any way; its own derivative is not used.
        inputs: the tensors to which gradients flow.
        pullback: from the gradient of the value to one gradient an input (None for none), written
        with tensor
            functions, so that it can be differentiated itself.
    """
    value = value._read()
    tensors = tuple(x._read() for x in inputs)
    result = Tensor(value._payload)
    for tape in STATE.tapes:
        tape.record(_CUSTOM, tensors, {}, (result,), pullback)
    return result


def custom_gradient(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function its own derivative.

    Args:
        function: takes tensors and returns ``(value, pullback)``, where ``pullback(g)`` takes the
        gradient of the
            value and returns one gradient an argument (a single one may stand alone).

    Returns:
        A function of the same arguments that returns the value.

    Example:
        >>> import chainrule as cr
        >>> @cr.custom_gradient
        ... def clipped_gradient(x):
        ...     return x * 1.0, lambda g: cr.clip(g, -1, 1)
        >>> cr.grad(lambda x: 100.0 * clipped_gradient(x))(3.0).item()
        1.0

    As in TensorFlow. The pullback may use the arguments and the value: both stay connected, so
    second derivatives are those of the pullback. Variables that the function reads by itself get no
    gradient.
    """

    def wrapped(*arguments: Any) -> Tensor:
        tensors = tuple(as_tensor(x) for x in arguments)
        value, pullback = function(*tensors)

        def gradients(g: Tensor) -> Sequence[Any]:
            result = pullback(g)
            return result if isinstance(result, list | tuple) else (result,)

        return attach_gradient(as_tensor(value), tensors, gradients)

    wrapped.__name__ = getattr(function, "__name__", "custom_gradient")
    wrapped.__doc__ = function.__doc__
    wrapped.__module__ = function.__module__
    return wrapped
