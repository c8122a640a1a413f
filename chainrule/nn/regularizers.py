"""Regularizers: penalties on the size of weights, added to the loss during training."""

from collections.abc import Callable
from typing import Any, ClassVar

from chainrule.nn.configurable import Configurable, resolve
from chainrule.nn.naming import snake_case
from chainrule.nn.registry import register
from chainrule.nn.validate import number
from chainrule.tensor import Tensor, functions


class Regularizer(Configurable):
    """Base of the regularizers: a subclass gives ``__call__(weights) -> scalar``.

    Example:
        >>> import chainrule as cr
        >>> round(float(cr.regularizers.get("l2")(cr.tensor([3.0]))), 4)
        0.09
    """

    kind: ClassVar[str] = "regularizer"

    def __call__(self, weights: Tensor) -> Tensor:
        """The penalty for these weights, a scalar."""
        raise NotImplementedError

    def _rate(self, name: str, value: float) -> float:
        return number(snake_case(type(self).__name__), name, value, minimum=0.0)


@register
class L1(Regularizer):
    """Sum of absolute values; drives weights to exactly zero.

    penalty = l1 * sum(|w|)

    Args:
        l1: the rate. Default 0.01, as in Keras.

    Example:
        >>> import chainrule as cr
        >>> float(cr.regularizers.L1(0.5)(cr.tensor([3.0, -1.0])))
        2.0
    """

    def __init__(self, l1: float = 0.01) -> None:
        self.l1 = self._rate("l1", l1)

    def __call__(self, weights: Tensor) -> Tensor:
        return functions.sum(functions.abs(weights)) * self.l1


@register
class L2(Regularizer):
    """Sum of squares; keeps weights small.

    penalty = l2 * sum(w^2)

    Args:
        l2: the rate. Default 0.01, as in Keras.

    Example:
        >>> import chainrule as cr
        >>> float(cr.regularizers.L2(0.5)(cr.tensor([3.0, -1.0])))
        5.0

    Different from scikit-learn: its ``alpha`` stands for alpha/2 * sum(w^2) / rows. Different from
    an optimizer's ``weight_decay``: the penalty is part of the loss and goes through the
    optimizer's scaling.
    """

    def __init__(self, l2: float = 0.01) -> None:
        self.l2 = self._rate("l2", l2)

    def __call__(self, weights: Tensor) -> Tensor:
        return functions.sum(functions.square(weights)) * self.l2


@register
class L1L2(Regularizer):
    """Sum of absolute values and sum of squares together.

    penalty = l1 * sum(|w|) + l2 * sum(w^2)

    Args:
        l1: the rate of the first part. Default 0.01; Keras 3 takes 0.0 for the class and 0.01 for
            the name.
        l2: the rate of the second part. Default 0.01.

    Example:
        >>> import chainrule as cr
        >>> float(cr.regularizers.L1L2(l1=1.0, l2=0.5)(cr.tensor([3.0, -1.0])))
        9.0

    Reference: Zou and Hastie, "Regularization and variable selection via the elastic net", 2005.
    """

    def __init__(self, l1: float = 0.01, l2: float = 0.01) -> None:
        self.l1 = self._rate("l1", l1)
        self.l2 = self._rate("l2", l2)

    def __call__(self, weights: Tensor) -> Tensor:
        absolute = functions.sum(functions.abs(weights)) * self.l1
        return absolute + functions.sum(functions.square(weights)) * self.l2


def get(identifier: object) -> Callable[[Tensor], Tensor] | None:
    """The regularizer that a name, an object, a class or a function means; None stays None.

    Args:
        identifier: None, "l1", "l2" or "l1_l2" in any usual spelling, a ``Regularizer``, its
            class, or a function from the weights to a scalar.

    Raises:
        UnknownNameError: no regularizer has this name.
        ArgumentError: the argument is none of these.

    Example:
        >>> import chainrule as cr
        >>> cr.regularizers.get("l2")
        L2(l2=0.01)
    """
    found: Any = resolve(identifier, Regularizer, {})
    regularizer: Callable[[Tensor], Tensor] | None = found
    return regularizer
