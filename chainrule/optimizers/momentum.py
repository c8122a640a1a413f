"""Gradient descent with momentum, and Lion, which follows only the sign of it."""

from typing import Any, Unpack

from numpy.typing import NDArray

from chainrule.errors import ArgumentError
from chainrule.optimizers.arguments import Options, accepts_aliases, fraction
from chainrule.optimizers.optimizer import Optimizer, Slots, Step, zeros_for
from chainrule.optimizers.schedules import Schedule
from chainrule.tensor import Tensor, Variable, functions


class SGD(Optimizer):
    """Gradient descent, with momentum and Nesterov's look-ahead if asked for.

    ``m = momentum * m + g``; ``w = w - rate * m``, with ``nesterov``: ``w = w - rate * (g +
    momentum * m)``

    Args:
        learning_rate: number or schedule; default 0.01. Also ``lr``.
        momentum: in [0, 1); default 0.0.
        nesterov: default False; needs momentum.
        **options: those of `Optimizer`.

    Raises:
        ArgumentError: a value out of range, or ``nesterov`` without momentum.

    Example:
        >>> import chainrule as cr
        >>> weight = cr.Variable(np.array([1.0]), name="weight")
        >>> cr.optimizers.SGD(0.1).apply_gradients([(np.array([2.0]), weight)])
        >>> weight.numpy().tolist()
        [0.8]

    Differences: as PyTorch, the learning rate stands outside the momentum, so a changed rate acts
    at once; Keras keeps it inside. At a constant rate both are the same. PyTorch's ``weight_decay``
    is ``l2`` here.

    Reference: Sutskever et al., "On the importance of initialization and momentum in deep
    learning", 2013.
    """

    @accepts_aliases
    def __init__(
        self,
        learning_rate: float | Schedule = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.momentum = fraction("SGD", "momentum", momentum)
        self.nesterov = bool(nesterov)
        if nesterov and not momentum:
            raise ArgumentError("SGD", "nesterov needs momentum", fix="pass momentum=0.9 or so")

    def initial_slots(self, variable: Variable) -> dict[str, NDArray[Any]]:
        return {"momentum": zeros_for(variable)} if self.momentum else {}

    def update(self, gradient: Tensor, slots: Slots, step: Step) -> tuple[Tensor, Slots]:
        if not self.momentum:
            return step.rate * gradient, {}
        moment = self.momentum * slots["momentum"] + gradient
        direction = gradient + self.momentum * moment if self.nesterov else moment
        return step.rate * direction, {"momentum": moment}


class Lion(Optimizer):
    """Steps of equal size for every weight: the sign of an interpolated momentum.

    ``w = w - rate * sign(beta_1 * m + (1 - beta_1) * g)``; ``m = beta_2 * m + (1 - beta_2) * g``

    Args:
        learning_rate: number or schedule; default 0.0001 (the paper: a third to a tenth of
            AdamW's). Also ``lr``.
        beta_1: default 0.9. Also ``betas=(beta_1, beta_2)``.
        beta_2: default 0.99.
        **options: those of `Optimizer`; the paper uses ``weight_decay`` three to ten times AdamW's.

    Raises:
        ArgumentError: a value out of range.

    Example:
        >>> import chainrule as cr
        >>> weight = cr.Variable(np.array([1.0, 1.0]), name="weight")
        >>> cr.optimizers.Lion(0.25).apply_gradients([(np.array([7.0, -0.01]), weight)])
        >>> weight.numpy().tolist()
        [0.75, 1.25]

    Differences: Keras's default rate is 0.001; PyTorch has no Lion.

    Reference: Chen et al., "Symbolic discovery of optimization algorithms", 2023.
    """

    @accepts_aliases
    def __init__(
        self,
        learning_rate: float | Schedule = 0.0001,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_1 = fraction("Lion", "beta_1", beta_1)
        self.beta_2 = fraction("Lion", "beta_2", beta_2)

    def initial_slots(self, variable: Variable) -> dict[str, NDArray[Any]]:
        return {"momentum": zeros_for(variable)}

    def update(self, gradient: Tensor, slots: Slots, step: Step) -> tuple[Tensor, Slots]:
        moment = slots["momentum"]
        difference = gradient - moment
        direction = functions.sign(moment + (1.0 - self.beta_1) * difference)
        return step.rate * direction, {"momentum": moment + (1.0 - self.beta_2) * difference}
