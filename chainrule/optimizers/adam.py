"""Adam and its relatives: Adam (with AMSGrad), AdamW, Nadam, Adamax."""

import math
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


def bias_correction(beta: float, count: Tensor) -> Tensor:
    """``1 - beta ** count``: the share of ``count`` values in a running average begun at 0.

    Written ``-expm1(count * log(beta))``: in float32 the plain form of ``beta = 0.999`` is wrong by
    a part in 100,000 in the first steps.
    """
    if beta == 0:
        return functions.ones_like(count)
    return -functions.expm1(count * math.log(beta))


class Adam(Optimizer):
    """Running averages of the gradient and its square, both corrected for their start at 0.

    ``m = beta_1 * m + (1 - beta_1) * g``; ``v = beta_2 * v + (1 - beta_2) * g ** 2``;
    ``w = w - rate * m / (1 - beta_1 ** t) / (sqrt(v / (1 - beta_2 ** t)) + epsilon)``.
    ``amsgrad`` divides by the largest ``v`` so far.

    Args:
        learning_rate: number or schedule; default 0.001. Also ``lr``.
        beta_1: in [0, 1); default 0.9. Also ``betas=(beta_1, beta_2)``.
        beta_2: in [0, 1); default 0.999.
        epsilon: above 0; default 1e-7. Also ``eps``.
        amsgrad: default False.
        **options: those of `Optimizer`.

    Raises:
        ArgumentError: a value out of range.

    Example:
        >>> import chainrule as cr
        >>> weight = cr.Variable(np.array([1.0, 1.0]), name="weight")
        >>> cr.optimizers.Adam(0.1).apply_gradients([(np.array([5.0, -0.01]), weight)])
        >>> weight.numpy().round(4).tolist()
        [0.9, 1.1]

    Differences: the paper's and PyTorch's formula; PyTorch's epsilon is 1e-8. Keras adds its
    epsilon before the correction of ``v``, which makes it larger in the first steps.
    ``weight_decay`` is decoupled as in AdamW, where PyTorch's ``Adam(weight_decay=)`` adds to the
    gradient: that is ``l2`` here.

    Reference: Kingma, Ba, "Adam: a method for stochastic optimization", 2015; Reddi, Kale, Kumar,
    "On the convergence of Adam and beyond", 2018 (AMSGrad).
    """

    @accepts_aliases
    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        where = type(self).__name__
        self.beta_1 = fraction(where, "beta_1", beta_1)
        self.beta_2 = fraction(where, "beta_2", beta_2)
        self.epsilon = positive(where, "epsilon", epsilon)
        self.amsgrad = bool(amsgrad)

    def initial_slots(self, variable: Variable) -> dict[str, NDArray[Any]]:
        names = ("momentum", "velocity", "largest_velocity")
        return {name: zeros_for(variable) for name in names[: 3 if self.amsgrad else 2]}

    def update(self, gradient: Tensor, slots: Slots, step: Step) -> tuple[Tensor, Slots]:
        momentum, velocity = _moments(gradient, slots, self.beta_1, self.beta_2)
        new = {"momentum": momentum, "velocity": velocity}
        if self.amsgrad:
            velocity = functions.maximum(slots["largest_velocity"], velocity)
            new["largest_velocity"] = velocity
        rate, epsilon = step.once("corrected", lambda: self._corrected(step))
        return rate * momentum / (functions.sqrt(velocity) + epsilon), new

    def _corrected(self, step: Step) -> tuple[Tensor, Tensor]:
        # The correction of the velocity as two scalars: one array operation less.
        root = functions.sqrt(bias_correction(self.beta_2, step.count))
        rate = step.rate * root / bias_correction(self.beta_1, step.count)
        return rate, self.epsilon * root


def _moments(gradient: Tensor, slots: Slots, beta_1: float, beta_2: float) -> tuple[Tensor, Tensor]:
    """The running averages of the gradient and of its square."""
    momentum, velocity = slots["momentum"], slots["velocity"]
    momentum = momentum + (1.0 - beta_1) * (gradient - momentum)
    velocity = velocity + (1.0 - beta_2) * (functions.square(gradient) - velocity)
    return momentum, velocity


class AdamW(Adam):
    """Adam with decoupled weight decay switched on.

    Adam's rule, and ``w = w - rate * weight_decay * w`` (with the weight before the update).

    Args:
        learning_rate: number or schedule; default 0.001. Also ``lr``.
        beta_1: in [0, 1); default 0.9. Also ``betas=(beta_1, beta_2)``.
        beta_2: in [0, 1); default 0.999.
        epsilon: above 0; default 1e-7. Also ``eps``.
        amsgrad: default False.
        **options: those of `Optimizer`; ``weight_decay`` is 0.004 by default.

    Raises:
        ArgumentError: a value out of range.

    Example:
        >>> import chainrule as cr
        >>> weight = cr.Variable(np.array([2.0]), name="weight")
        >>> cr.optimizers.AdamW(0.1, weight_decay=0.5).apply_gradients([(np.array([0.0]), weight)])
        >>> weight.numpy().tolist()
        [1.9]

    Differences: the same as Keras and PyTorch; PyTorch's default ``weight_decay`` is 0.01.

    Reference: Loshchilov, Hutter, "Decoupled weight decay regularization", 2019.
    """

    @accepts_aliases
    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **options: Unpack[Options],
    ) -> None:
        options.setdefault("weight_decay", 0.004)
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, **options)


class Nadam(Optimizer):
    """Adam with Nesterov's look-ahead and a momentum that warms up.

    ``mu(t) = beta_1 * (1 - 0.5 * 0.96 ** (t * momentum_decay))``; ``p(t) = mu(1) * ... * mu(t)``;
    ``m`` and ``v`` as in Adam; ``w = w - rate * ((1 - mu(t)) * g / (1 - p(t)) + mu(t + 1) * m / (1
    - p(t + 1))) / (sqrt(v / (1 - beta_2 ** t)) + epsilon)``.

    Args:
        learning_rate: number or schedule; default 0.001. Also ``lr``.
        beta_1: in [0, 1); default 0.9. Also ``betas=(beta_1, beta_2)``.
        beta_2: in [0, 1); default 0.999.
        epsilon: above 0; default 1e-7. Also ``eps``.
        momentum_decay: speed of the momentum's warm-up; default 0.004.
        **options: those of `Optimizer`.

    Raises:
        ArgumentError: a value out of range.

    Example:
        >>> import chainrule as cr
        >>> weight = cr.Variable(np.array([1.0]), name="weight")
        >>> cr.optimizers.Nadam(0.1).apply_gradients([(np.array([2.0]), weight)])
        >>> weight.numpy().round(4).tolist()
        [0.8944]

    Differences: PyTorch's ``NAdam``. Keras's warm-up is fixed at ``momentum_decay=1``.

    Reference: Dozat, "Incorporating Nesterov momentum into Adam", 2016.
    """

    @accepts_aliases
    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        momentum_decay: float = 0.004,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_1 = fraction("Nadam", "beta_1", beta_1)
        self.beta_2 = fraction("Nadam", "beta_2", beta_2)
        self.epsilon = positive("Nadam", "epsilon", epsilon)
        self.momentum_decay = not_negative("Nadam", "momentum_decay", momentum_decay)

    def initial_slots(self, variable: Variable) -> dict[str, NDArray[Any]]:
        return {
            "momentum": zeros_for(variable),
            "velocity": zeros_for(variable),
            "momentum_product": np.ones(()),
        }

    def _momentum(self, count: Tensor) -> Tensor:
        speed = self.momentum_decay * math.log(0.96)
        return self.beta_1 * (1.0 - 0.5 * functions.exp(count * speed))

    def update(self, gradient: Tensor, slots: Slots, step: Step) -> tuple[Tensor, Slots]:
        momentum, velocity = _moments(gradient, slots, self.beta_1, self.beta_2)
        current, following = self._momentum(step.count), self._momentum(step.count + 1)
        product = slots["momentum_product"] * current
        root = functions.sqrt(bias_correction(self.beta_2, step.count))
        rate = step.rate * root
        change = (rate * (1.0 - current) / (1.0 - product)) * gradient
        change = change + (rate * following / (1.0 - product * following)) * momentum
        change = change / (functions.sqrt(velocity) + self.epsilon * root)
        return change, {"momentum": momentum, "velocity": velocity, "momentum_product": product}


class Adamax(Optimizer):
    """Adam with the largest recent gradient element in place of the root mean square.

    ``m = beta_1 * m + (1 - beta_1) * g``; ``u = max(beta_2 * u, abs(g) + epsilon)``;
    ``w = w - rate / (1 - beta_1 ** t) * m / u``

    Args:
        learning_rate: number or schedule; default 0.001. Also ``lr``.
        beta_1: in [0, 1); default 0.9. Also ``betas=(beta_1, beta_2)``.
        beta_2: in [0, 1); default 0.999.
        epsilon: above 0; default 1e-7. Also ``eps``.
        **options: those of `Optimizer`.

    Raises:
        ArgumentError: a value out of range.

    Example:
        >>> import chainrule as cr
        >>> weight = cr.Variable(np.array([1.0]), name="weight")
        >>> cr.optimizers.Adamax(0.25).apply_gradients([(np.array([4.0]), weight)])
        >>> weight.numpy().round(4).tolist()
        [0.75]

    Differences: epsilon stands where PyTorch has it (its default is 1e-8); Keras adds it to ``u``
    in the division.

    Reference: Kingma, Ba, "Adam: a method for stochastic optimization", 2015, section 7.1.
    """

    @accepts_aliases
    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(learning_rate, **options)
        self.beta_1 = fraction("Adamax", "beta_1", beta_1)
        self.beta_2 = fraction("Adamax", "beta_2", beta_2)
        self.epsilon = positive("Adamax", "epsilon", epsilon)

    def initial_slots(self, variable: Variable) -> dict[str, NDArray[Any]]:
        return {name: zeros_for(variable) for name in ("momentum", "largest")}

    def update(self, gradient: Tensor, slots: Slots, step: Step) -> tuple[Tensor, Slots]:
        momentum = slots["momentum"]
        momentum = momentum + (1.0 - self.beta_1) * (gradient - momentum)
        largest = functions.maximum(
            self.beta_2 * slots["largest"], functions.abs(gradient) + self.epsilon
        )
        rate = step.rate / bias_correction(self.beta_1, step.count)
        return rate * momentum / largest, {"momentum": momentum, "largest": largest}
