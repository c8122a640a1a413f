"""Constraints: what a variable must satisfy; the optimizer applies them after each update."""

from collections.abc import Callable
from typing import Any, ClassVar

from chainrule.nn.configurable import Configurable, resolve
from chainrule.nn.registry import register
from chainrule.nn.validate import axes, number
from chainrule.tensor import Tensor, functions

# Lengths are not divided by anything smaller, so that a column of zeros stays zeros.
SMALLEST_LENGTH = 1e-12


class Constraint(Configurable):
    """Base of the constraints: a subclass gives ``__call__(weights) -> weights`` that satisfy it.

    Example:
        >>> import chainrule as cr
        >>> cr.constraints.get("non_negative")(cr.tensor([-1.0, 2.0])).numpy().tolist()
        [0.0, 2.0]
    """

    kind: ClassVar[str] = "constraint"

    def __call__(self, weights: Tensor) -> Tensor:
        """The nearest weights that satisfy the constraint."""
        raise NotImplementedError


def _lengths(weights: Tensor, axis: int | tuple[int, ...]) -> Tensor:
    squares = functions.sum(functions.square(weights), axis, keepdims=True)
    return functions.maximum(functions.sqrt(squares), SMALLEST_LENGTH)


@register
class MaxNorm(Constraint):
    """The incoming weights of each unit have at most a given length.

    w * min(1, max_value / |w|), |w| along ``axis``

    Args:
        max_value: the greatest length. Default 2.0, as in Keras.
        axis: the axis, or axes, along which the length is taken. Default 0: the inputs of a dense
            kernel.

    Example:
        >>> import chainrule as cr
        >>> cr.constraints.MaxNorm(1.0)(cr.tensor([[3.0], [4.0]])).numpy().round(4).tolist()
        [[0.6000000238418579], [0.800000011920929]]

    Reference: Srivastava et al., "Dropout", 2014.
    """

    def __init__(self, max_value: float = 2.0, axis: int | tuple[int, ...] = 0) -> None:
        self.max_value = number("max_norm", "max_value", max_value, minimum=0.0)
        self.axis = axes("max_norm", axis)

    def __call__(self, weights: Tensor) -> Tensor:
        factor = functions.divide(self.max_value, _lengths(weights, self.axis))
        return weights * functions.minimum(factor, 1)


@register
class NonNegative(Constraint):
    """No weight below zero.

    max(w, 0)

    Example:
        >>> import chainrule as cr
        >>> cr.constraints.NonNegative()(cr.tensor([-1.0, 2.0])).numpy().tolist()
        [0.0, 2.0]
    """

    def __call__(self, weights: Tensor) -> Tensor:
        return functions.maximum(weights, 0)


@register
class UnitNorm(Constraint):
    """The incoming weights of each unit have length 1; all zeros stay zeros.

    w / |w|, |w| along ``axis``

    Args:
        axis: the axis, or axes, along which the length is taken. Default 0: the inputs of a dense
            kernel.

    Example:
        >>> import chainrule as cr
        >>> cr.constraints.UnitNorm()(cr.tensor([[0.0], [4.0]])).numpy().tolist()
        [[0.0], [1.0]]
    """

    def __init__(self, axis: int | tuple[int, ...] = 0) -> None:
        self.axis = axes("unit_norm", axis)

    def __call__(self, weights: Tensor) -> Tensor:
        return weights / _lengths(weights, self.axis)


def get(identifier: object) -> Callable[[Tensor], Tensor] | None:
    """The constraint that a name, an object, a class or a function means; None stays None.

    Args:
        identifier: None, "max_norm", "non_negative" or "unit_norm" in any usual spelling, a
            ``Constraint``, its class, or a function from the weights to the weights.

    Raises:
        UnknownNameError: no constraint has this name.
        ArgumentError: the argument is none of these.

    Example:
        >>> import chainrule as cr
        >>> cr.constraints.get("NonNeg")
        NonNegative()
    """
    found: Any = resolve(identifier, Constraint, ALIASES)
    constraint: Callable[[Tensor], Tensor] | None = found
    return constraint


ALIASES = {"non_neg": "non_negative"}
