"""Learning-rate schedules: the rate as a function of the number of updates made so far.

Give one to an optimizer as its ``learning_rate``. A schedule is traceable: inside a compiled step
the rate follows from the optimizer's ``iterations`` variable. The step counts updates (batches),
from 0; PyTorch users usually call ``scheduler.step()`` once an epoch, so multiply their numbers by
the batches of an epoch.
"""

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

from chainrule.errors import ArgumentError, unknown_name
from chainrule.optimizers.arguments import not_negative, number, positive, whole
from chainrule.tensor import Tensor, functions


class Schedule:
    """Base class: a learning rate that depends on the step.

    A schedule of your own overrides ``rate(step)``; its constructor's parameters are kept in
    attributes of the same names, which is what ``get_config`` reads.

    Example:
        >>> import chainrule as cr
        >>> class HalfEvery(cr.optimizers.Schedule):
        ...     def __init__(self, steps):
        ...         self.steps = steps
        ...
        ...     def rate(self, step):
        ...         return 0.1 * 0.5 ** (step / self.steps)
        >>> float(HalfEvery(10)(20))
        0.025
    """

    def __call__(self, step: Tensor | int) -> Tensor:
        """The learning rate at ``step`` (a float64 tensor of the step's shape)."""
        return self.rate(functions.astype(step, "float64"))

    def rate(self, step: Tensor) -> Tensor:
        """The learning rate at ``step``, elementwise.

        Args:
            step: float64 tensor of any shape; updates made so far.

        Returns:
            A float64 tensor of the same shape.
        """
        raise NotImplementedError(f"{type(self).__name__} must define rate(step)")

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON-able values."""
        names = list(inspect.signature(type(self).__init__).parameters)[1:]
        return {name: _plain(getattr(self, name)) for name in names}

    @classmethod
    def from_config(
        cls,
        config: Mapping[str, Any],
        custom_objects: Mapping[str, type["Schedule"]] | None = None,
    ) -> "Schedule":
        """The schedule that ``get_config`` described; ``custom_objects`` names your own."""
        return cls(
            **{
                name: get(value, custom_objects) if isinstance(value, Mapping) else value
                for name, value in config.items()
            }
        )


def _plain(value: Any) -> Any:
    if isinstance(value, Schedule):
        return serialize(value)
    return list(value) if isinstance(value, tuple) else value


class Constant(Schedule):
    """The same rate at every step.

    Args:
        learning_rate: the rate.

    Example:
        >>> import chainrule as cr
        >>> float(cr.optimizers.Constant(0.01)(500))
        0.01
    """

    def __init__(self, learning_rate: float) -> None:
        self.learning_rate = not_negative("Constant", "learning_rate", learning_rate)

    def rate(self, step: Tensor) -> Tensor:
        return functions.full_like(step, self.learning_rate)


class PiecewiseConstant(Schedule):
    """A list of rates, each valid up to a boundary.

    ``values[i]`` where ``boundaries[i - 1] <= step < boundaries[i]``

    Args:
        boundaries: increasing steps, n of them.
        values: n + 1 rates.

    Raises:
        ArgumentError: the boundaries do not increase, or the lengths do not fit.

    Example:
        >>> import chainrule as cr
        >>> schedule = cr.optimizers.PiecewiseConstant([100, 200], [0.1, 0.01, 0.001])
        >>> [float(schedule(step)) for step in (0, 99, 100, 200)]
        [0.1, 0.1, 0.01, 0.001]

    The boundary itself already has the new rate, as in PyTorch's ``MultiStepLR``; Keras's
    ``PiecewiseConstantDecay`` changes one step later.
    """

    def __init__(self, boundaries: Sequence[int], values: Sequence[float]) -> None:
        where = "PiecewiseConstant"
        self.boundaries = tuple(whole(where, "boundary", b, 0) for b in boundaries)
        self.values = tuple(not_negative(where, "value", v) for v in values)
        if list(self.boundaries) != sorted(set(self.boundaries)):
            raise ArgumentError(
                where, "boundaries must increase", got=list(boundaries), fix="sort them"
            )
        if len(self.values) != len(self.boundaries) + 1:
            raise ArgumentError(
                where,
                "wrong number of values",
                got=len(self.values),
                expected=f"{len(self.boundaries) + 1}, one more than boundaries",
            )

    def rate(self, step: Tensor) -> Tensor:
        rate = functions.full_like(step, self.values[0])
        for boundary, value in zip(self.boundaries, self.values[1:], strict=True):
            rate = functions.where(step >= boundary, value, rate)
        return rate


class StepDecay(Schedule):
    """The rate falls by a factor every ``step_size`` steps.

    ``initial_rate * factor ** floor(step / step_size)``

    Args:
        initial_rate: the rate at step 0.
        step_size: steps between two changes.
        factor: what each change multiplies the rate by; default 0.1.

    Example:
        >>> import chainrule as cr
        >>> schedule = cr.optimizers.StepDecay(1.0, step_size=30, factor=0.5)
        >>> [float(schedule(step)) for step in (0, 29, 30, 60)]
        [1.0, 1.0, 0.5, 0.25]

    PyTorch's ``StepLR`` calls the factor ``gamma``.
    """

    def __init__(self, initial_rate: float, step_size: int, factor: float = 0.1) -> None:
        self.initial_rate = not_negative("StepDecay", "initial_rate", initial_rate)
        self.step_size = whole("StepDecay", "step_size", step_size)
        self.factor = positive("StepDecay", "factor", factor)

    def rate(self, step: Tensor) -> Tensor:
        return self.initial_rate * self.factor ** functions.floor(step / self.step_size)


class ExponentialDecay(Schedule):
    """The rate falls by a factor over ``decay_steps`` steps, smoothly.

    ``initial_rate * decay_rate ** (step / decay_steps)``

    Args:
        initial_rate: the rate at step 0.
        decay_steps: steps in which the rate is multiplied by ``decay_rate`` once.
        decay_rate: the factor.
        staircase: True rounds ``step / decay_steps`` down; default False.

    Example:
        >>> import chainrule as cr
        >>> round(float(cr.optimizers.ExponentialDecay(0.1, 100, 0.5)(200)), 6)
        0.025

    PyTorch's ``ExponentialLR(gamma)`` is ``ExponentialDecay(rate, 1, gamma)``.
    """

    def __init__(
        self, initial_rate: float, decay_steps: int, decay_rate: float, staircase: bool = False
    ) -> None:
        where = "ExponentialDecay"
        self.initial_rate = not_negative(where, "initial_rate", initial_rate)
        self.decay_steps = whole(where, "decay_steps", decay_steps)
        self.decay_rate = positive(where, "decay_rate", decay_rate)
        self.staircase = bool(staircase)

    def rate(self, step: Tensor) -> Tensor:
        turns = step / self.decay_steps
        return self.initial_rate * self.decay_rate ** (
            functions.floor(turns) if self.staircase else turns
        )


class PolynomialDecay(Schedule):
    """The rate falls from ``initial_rate`` to ``final_rate`` along a power of the time left.

    ``(initial_rate - final_rate) * (1 - min(step, decay_steps) / decay_steps) ** power +
    final_rate``

    Args:
        initial_rate: the rate at step 0.
        decay_steps: steps until the final rate; after them it stays.
        final_rate: default 0.0001.
        power: default 1.0, a straight line.

    Example:
        >>> import chainrule as cr
        >>> float(cr.optimizers.PolynomialDecay(1.0, 100, final_rate=0.0, power=2.0)(50))
        0.25

    As Keras's ``PolynomialDecay`` without ``cycle``; PyTorch's ``PolynomialLR`` ends at 0.
    """

    def __init__(
        self,
        initial_rate: float,
        decay_steps: int,
        final_rate: float = 0.0001,
        power: float = 1.0,
    ) -> None:
        where = "PolynomialDecay"
        self.initial_rate = not_negative(where, "initial_rate", initial_rate)
        self.decay_steps = whole(where, "decay_steps", decay_steps)
        self.final_rate = not_negative(where, "final_rate", final_rate)
        self.power = positive(where, "power", power)

    def rate(self, step: Tensor) -> Tensor:
        left = 1.0 - functions.minimum(step / self.decay_steps, 1.0)
        return (self.initial_rate - self.final_rate) * left**self.power + self.final_rate


def _half_cosine(start: float | Tensor, end: float | Tensor, progress: Tensor) -> Tensor:
    """From ``start`` (progress 0) to ``end`` (progress 1) along half a cosine wave."""
    return end + (start - end) * (0.5 * (1.0 + functions.cos(math.pi * progress)))


class CosineDecay(Schedule):
    """The rate falls from ``initial_rate`` to ``final_rate`` along half a cosine wave.

    ``final_rate + (initial_rate - final_rate) / 2 * (1 + cos(pi * min(step, decay_steps) /
    decay_steps))``

    Args:
        initial_rate: the rate at step 0.
        decay_steps: steps until the final rate; after them it stays.
        final_rate: default 0.0.

    Example:
        >>> import chainrule as cr
        >>> [
        ...     round(float(cr.optimizers.CosineDecay(1.0, 100)(step)), 6)
        ...     for step in (0, 50, 100, 150)
        ... ]
        [1.0, 0.5, 0.0, 0.0]

    Keras gives the end as a fraction of the start (``alpha``); here it is a rate, PyTorch's
    ``eta_min``. PyTorch's ``CosineAnnealingLR`` rises again after ``T_max``.

    Reference: Loshchilov, Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017.
    """

    def __init__(self, initial_rate: float, decay_steps: int, final_rate: float = 0.0) -> None:
        where = "CosineDecay"
        self.initial_rate = not_negative(where, "initial_rate", initial_rate)
        self.decay_steps = whole(where, "decay_steps", decay_steps)
        self.final_rate = not_negative(where, "final_rate", final_rate)

    def rate(self, step: Tensor) -> Tensor:
        progress = functions.minimum(step / self.decay_steps, 1.0)
        return _half_cosine(self.initial_rate, self.final_rate, progress)


class CosineRestarts(Schedule):
    """Cosine decay that starts again, each time over a longer (and from a lower) stretch.

    Cycle i is ``first_decay_steps * length_factor ** i`` steps long and falls from
    ``initial_rate * rate_factor ** i`` to ``final_rate`` along half a cosine wave.

    Args:
        initial_rate: the rate at step 0.
        first_decay_steps: length of the first cycle.
        length_factor: each cycle's length over the one before, at least 1; default 2.0.
        rate_factor: each cycle's first rate over the one before; default 1.0.
        final_rate: default 0.0.

    Example:
        >>> import chainrule as cr
        >>> schedule = cr.optimizers.CosineRestarts(1.0, first_decay_steps=10)
        >>> [round(float(schedule(step)), 6) for step in (0, 5, 10, 20, 30)]
        [1.0, 0.5, 1.0, 0.5, 1.0]

    Keras: ``CosineDecayRestarts(t_mul, m_mul, alpha)``; PyTorch: ``CosineAnnealingWarmRestarts(T_0,
    T_mult, eta_min)``.

    Reference: Loshchilov, Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017.
    """

    def __init__(
        self,
        initial_rate: float,
        first_decay_steps: int,
        length_factor: float = 2.0,
        rate_factor: float = 1.0,
        final_rate: float = 0.0,
    ) -> None:
        where = "CosineRestarts"
        self.initial_rate = not_negative(where, "initial_rate", initial_rate)
        self.first_decay_steps = whole(where, "first_decay_steps", first_decay_steps)
        self.length_factor = number(where, "length_factor", length_factor)
        self.rate_factor = positive(where, "rate_factor", rate_factor)
        self.final_rate = not_negative(where, "final_rate", final_rate)
        if self.length_factor < 1:
            raise ArgumentError(
                where, "wrong length_factor", got=length_factor, expected="a number of at least 1"
            )

    def rate(self, step: Tensor) -> Tensor:
        time = step / self.first_decay_steps
        factor = self.length_factor
        if factor == 1:
            cycle = functions.floor(time)
            progress = time - cycle
        else:
            # A little late, so that rounding does not put a restart one step after its time.
            late = time * (1.0 + 1e-13)
            cycle = functions.floor(functions.log1p(late * (factor - 1.0)) / math.log(factor))
            progress = (time - _cycle_start(cycle, factor)) / factor**cycle
        highest = self.initial_rate * self.rate_factor**cycle
        return _half_cosine(highest, self.final_rate, progress)


def _cycle_start(cycle: Tensor, factor: float) -> Tensor:
    """Where a cycle starts, in lengths of the first: 1 + factor + ... + factor ** (cycle - 1)."""
    return (factor**cycle - 1.0) / (factor - 1.0)


class OneCycle(Schedule):
    """One rise and one long fall over the whole training.

    From ``max_rate / start_divisor`` up to ``max_rate`` in the first ``warmup_fraction`` of the
    steps, then down to ``max_rate / start_divisor / end_divisor``; half cosine waves or straight
    lines.

    Args:
        max_rate: the highest rate.
        total_steps: updates of the whole training (epochs times batches); after them the last rate
            stays.
        warmup_fraction: default 0.3.
        start_divisor: default 25.0.
        end_divisor: default 10000.0.
        shape: "cosine" (default) or "linear".

    Raises:
        ArgumentError: a number out of range or an unknown shape.

    Example:
        >>> import chainrule as cr
        >>> schedule = cr.optimizers.OneCycle(1.0, total_steps=100)
        >>> [round(float(schedule(step)), 4) for step in (0, 29, 99)]
        [0.04, 1.0, 0.0]

    The rates of PyTorch's ``OneCycleLR(max_lr, total_steps, pct_start, div_factor,
    final_div_factor)``; that one also moves the momentum, this one does not.

    Reference: Smith, Topin, "Super-convergence: very fast training of neural networks using large
    learning rates", 2018.
    """

    def __init__(
        self,
        max_rate: float,
        total_steps: int,
        warmup_fraction: float = 0.3,
        start_divisor: float = 25.0,
        end_divisor: float = 10000.0,
        shape: str = "cosine",
    ) -> None:
        where = "OneCycle"
        self.max_rate = not_negative(where, "max_rate", max_rate)
        self.total_steps = whole(where, "total_steps", total_steps, 2)
        self.warmup_fraction = positive(where, "warmup_fraction", warmup_fraction)
        self.start_divisor = positive(where, "start_divisor", start_divisor)
        self.end_divisor = positive(where, "end_divisor", end_divisor)
        self.shape = shape
        if shape not in ("cosine", "linear"):
            raise unknown_name(where, "shape", shape, ("cosine", "linear"))
        if self.warmup_fraction >= 1 or self._top <= 0:
            raise ArgumentError(
                where,
                "the warm-up does not fit",
                got=f"warmup_fraction={warmup_fraction} of {total_steps} steps",
                expected="more than one step of warm-up, and steps left after it",
            )

    @property
    def _top(self) -> float:
        """The step of the highest rate."""
        return self.warmup_fraction * self.total_steps - 1.0

    def rate(self, step: Tensor) -> Tensor:
        start = self.max_rate / self.start_divisor
        top, last = self._top, self.total_steps - 1.0
        rising = functions.minimum(step / top, 1.0)
        falling = functions.clip((step - top) / (last - top), 0.0, 1.0)
        if self.shape == "cosine":
            up = _half_cosine(start, self.max_rate, rising)
            down = _half_cosine(self.max_rate, start / self.end_divisor, falling)
        else:
            up = start + (self.max_rate - start) * rising
            down = self.max_rate + (start / self.end_divisor - self.max_rate) * falling
        return functions.where(step <= top, up, down)


class WarmUp(Schedule):
    """A straight rise before another schedule (or a constant rate) begins.

    ``start_rate + (schedule(0) - start_rate) * (step + 1) / steps`` for the first ``steps``
    updates, then ``schedule(step - steps)``.

    Args:
        schedule: a `Schedule` or a number, what comes after the rise.
        steps: length of the rise.
        start_rate: the rate from which it rises; default 0.0. The first update already takes one
            part of the rise, so that it is not wasted on a rate of 0.

    Example:
        >>> import chainrule as cr
        >>> schedule = cr.optimizers.WarmUp(cr.optimizers.CosineDecay(1.0, 100), steps=4)
        >>> [float(schedule(step)) for step in (0, 1, 3, 4)]
        [0.25, 0.5, 1.0, 1.0]

    PyTorch: ``SequentialLR`` of ``LinearLR(start_factor=1 / steps, total_iters=steps - 1)`` and the
    other one.

    Reference: Goyal et al., "Accurate, large minibatch SGD: training ImageNet in 1 hour", 2017.
    """

    def __init__(self, schedule: Schedule | float, steps: int, start_rate: float = 0.0) -> None:
        found = get(schedule)
        self.schedule = found if isinstance(found, Schedule) else Constant(found)
        self.steps = whole("WarmUp", "steps", steps)
        self.start_rate = not_negative("WarmUp", "start_rate", start_rate)

    def rate(self, step: Tensor) -> Tensor:
        zero = functions.zeros_like(step)
        target = self.schedule.rate(zero)
        rise = self.start_rate + (target - self.start_rate) * ((step + 1.0) / self.steps)
        after = self.schedule.rate(functions.maximum(step - self.steps, 0.0))
        return functions.where(step < self.steps, rise, after)


SCHEDULES: dict[str, type[Schedule]] = {
    schedule.__name__: schedule
    for schedule in (
        Constant,
        PiecewiseConstant,
        StepDecay,
        ExponentialDecay,
        PolynomialDecay,
        CosineDecay,
        CosineRestarts,
        OneCycle,
        WarmUp,
    )
}


def serialize(schedule: Schedule) -> dict[str, Any]:
    """The schedule as ``{"class_name": ..., "config": ...}``."""
    return {"class_name": type(schedule).__name__, "config": schedule.get_config()}


def get(
    rate: object, custom_objects: Mapping[str, type[Schedule]] | None = None
) -> Schedule | float:
    """The schedule or number that a ``learning_rate`` argument means.

    Args:
        rate: a number of at least 0, a `Schedule`, or what `serialize` returned.
        custom_objects: class name -> your own `Schedule` class.

    Returns:
        A `Schedule`, or the number as a float.

    Raises:
        ArgumentError: none of these.
        UnknownNameError: the class name is in no table.

    Example:
        >>> import chainrule as cr
        >>> cr.optimizers.schedules.get(
        ...     {"class_name": "Constant", "config": {"learning_rate": 0.1}}
        ... ).get_config()
        {'learning_rate': 0.1}
    """
    if isinstance(rate, Schedule):
        return rate
    if isinstance(rate, Mapping):
        known = {**SCHEDULES, **(custom_objects or {})}
        name = rate.get("class_name")
        if name not in known:
            raise unknown_name("learning_rate", "schedule", name, known)
        return known[cast(str, name)].from_config(rate.get("config", {}), custom_objects)
    if callable(rate):
        raise ArgumentError(
            "learning_rate",
            "a function is not a schedule",
            got=type(rate).__name__,
            expected="a number or a Schedule",
            fix="subclass chainrule.optimizers.Schedule and define rate(step)",
        )
    return not_negative("learning_rate", "learning_rate", rate)
