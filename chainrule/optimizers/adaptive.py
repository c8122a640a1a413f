"""Rules that divide a gradient by a measure of its past size: RMSprop, Adagrad, Adadelta."""

from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from chainrule.optimizers.arguments import (
    Options,
    accepts_aliases,
    fraction,
    not_negative,
    positive,
)
from chainrule.optimizers.optimizer import Optimizer, Slots, Step, zeros_for
from chainrule.optimizers.schedules import Schedule
from chainrule.tensor import Tensor, Variable, functions


class RMSprop(Optimizer):
    """Divides the gradient by a running root mean square of itself.

    ``v = rho * v + (1 - rho) * g ** 2``; ``m = momentum * m + g / (sqrt(v) + epsilon)``; ``w = w -
    rate * m``. ``centered`` takes the variance ``v - a ** 2`` in place of ``v``, with ``a = rho * a
    + (1 - rho) * g``.

    Args:
        learning_rate: number or schedule; default 0.001. Also ``lr``.
        rho: how much of the past is kept, in [0, 1); default 0.9. Also ``alpha``.
        momentum: in [0, 1); default 0.0.
        epsilon: above 0; default 1e-7. Also ``eps``.
        centered: default False.
        **options: those of `Optimizer`.

    Raises:
        ArgumentError: a value out of range.

    Example:
        >>> import chainrule as cr
        >>> weight = cr.Variable(np.array([1.0]), name="weight")
        >>> cr.optimizers.RMSprop(0.1, rho=0.75).apply_gradients([(np.array([8.0]), weight)])
        >>> weight.numpy().round(6).tolist()
        [0.8]

    Differences: epsilon stands outside the root, as in PyTorch; Keras adds it inside. PyTorch's
    default ``alpha`` is 0.99. A variance that rounding made negative counts as 0 (PyTorch gives
    NaN).

    Reference: Hinton, "Neural networks for machine learning", lecture 6e, 2012; Graves, "Generating
    sequences with recurrent neural networks", 2013 (centered).
    """

    @accepts_aliases
    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.rho = fraction("RMSprop", "rho", rho)
        self.momentum = fraction("RMSprop", "momentum", momentum)
        self.epsilon = positive("RMSprop", "epsilon", epsilon)
        self.centered = bool(centered)

    def initial_slots(self, variable: Variable) -> dict[str, NDArray[Any]]:
        names = ["velocity"]
        if self.centered:
            names.append("average_gradient")
        if self.momentum:
            names.append("momentum")
        return {name: zeros_for(variable) for name in names}

    def update(self, gradient: Tensor, slots: Slots, step: Step) -> tuple[Tensor, Slots]:
        kept = 1.0 - self.rho
        velocity = slots["velocity"] + kept * (functions.square(gradient) - slots["velocity"])
        new = {"velocity": velocity}
        variance = velocity
        if self.centered:
            average = slots["average_gradient"]
            average = average + kept * (gradient - average)
            new["average_gradient"] = average
            variance = functions.maximum(velocity - functions.square(average), 0.0)
        direction = gradient / (functions.sqrt(variance) + self.epsilon)
        if self.momentum:
            direction = self.momentum * slots["momentum"] + direction
            new["momentum"] = direction
        return step.rate * direction, new


class Adagrad(Optimizer):
    """Divides the gradient by the root of the sum of all its past squares: rare features keep large
    steps.

    ``v = v + g ** 2``; ``w = w - rate * g / (sqrt(v) + epsilon)``

    Args:
        learning_rate: number or schedule; default 0.01. Also ``lr``.
        initial_accumulator_value: first value of ``v``, at least 0; default 0.1.
        epsilon: above 0; default 1e-7. Also ``eps``.
        **options: those of `Optimizer`.

    Raises:
        ArgumentError: a value out of range.

    Example:
        >>> import chainrule as cr
        >>> weight = cr.Variable(np.array([1.0]), name="weight")
        >>> cr.optimizers.Adagrad(0.5, 0.0).apply_gradients([(np.array([3.0]), weight)])
        >>> weight.numpy().round(6).tolist()
        [0.5]

    Differences: epsilon stands outside the root, as in PyTorch, whose ``initial_accumulator_value``
    is 0; Keras adds it inside and its default rate is 0.001.

    Reference: Duchi, Hazan, Singer, "Adaptive subgradient methods for online learning and
    stochastic optimization", 2011.
    """

    @accepts_aliases
    def __init__(
        self,
        learning_rate: float | Schedule = 0.01,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.initial_accumulator_value = not_negative(
            "Adagrad", "initial_accumulator_value", initial_accumulator_value
        )
        self.epsilon = positive("Adagrad", "epsilon", epsilon)

    def initial_slots(self, variable: Variable) -> dict[str, NDArray[Any]]:
        return {"accumulator": np.full(variable.shape, self.initial_accumulator_value)}

    def update(self, gradient: Tensor, slots: Slots, step: Step) -> tuple[Tensor, Slots]:
        total = slots["accumulator"] + functions.square(gradient)
        change = step.rate * gradient / (functions.sqrt(total) + self.epsilon)
        return change, {"accumulator": total}


class Adadelta(Optimizer):
    """Steps in the weights' own unit: the ratio of past changes to past gradients.

    ``v = rho * v + (1 - rho) * g ** 2``; ``d = g * sqrt(u + epsilon) / sqrt(v + epsilon)``;
    ``u = rho * u + (1 - rho) * d ** 2``; ``w = w - rate * d``

    Args:
        learning_rate: number or schedule; default 1.0, the paper's rule. Also ``lr``.
        rho: how much of the past is kept, in [0, 1); default 0.95.
        epsilon: above 0; also sets the size of the first steps; default 1e-6. Also ``eps``.
        **options: those of `Optimizer`.

    Raises:
        ArgumentError: a value out of range.

    Example:
        >>> import chainrule as cr
        >>> weight = cr.Variable(np.array([1.0]), name="weight")
        >>> cr.optimizers.Adadelta().apply_gradients([(np.array([3.0]), weight)])
        >>> weight.numpy().round(5).tolist()
        [0.99553]

    Differences: the formulas of Keras and PyTorch; their defaults are rate 0.001 and epsilon 1e-7
    (Keras), rho 0.9 (PyTorch).

    Reference: Zeiler, "ADADELTA: an adaptive learning rate method", 2012.
    """

    @accepts_aliases
    def __init__(
        self,
        learning_rate: float | Schedule = 1.0,
        rho: float = 0.95,
        epsilon: float = 1e-6,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.rho = fraction("Adadelta", "rho", rho)
        self.epsilon = positive("Adadelta", "epsilon", epsilon)

    def initial_slots(self, variable: Variable) -> dict[str, NDArray[Any]]:
        return {name: zeros_for(variable) for name in ("velocity", "average_change")}

    def update(self, gradient: Tensor, slots: Slots, step: Step) -> tuple[Tensor, Slots]:
        kept = 1.0 - self.rho
        velocity = slots["velocity"] + kept * (functions.square(gradient) - slots["velocity"])
        changes = slots["average_change"]
        change = gradient * (
            functions.sqrt(changes + self.epsilon) / functions.sqrt(velocity + self.epsilon)
        )
        changes = changes + kept * (functions.square(change) - changes)
        return step.rate * change, {"velocity": velocity, "average_change": changes}
