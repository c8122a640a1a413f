"""The base class of all optimizers: everything but the update rule.

One call of ``apply_gradients`` does, in this order: check the pairs; accumulate; clip; add the L2
term; per variable the rule of the subclass, decoupled weight decay and the variable's constraint;
the running average of the weights. It is ordinary Tensor code on Variables, so the same lines run
eagerly and compile with the training step, and a changed ``learning_rate`` needs no new
compilation.
"""

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar, Unpack, cast

import numpy as np
from numpy.typing import NDArray

from chainrule import dtypes
from chainrule.errors import (
    ArgumentError,
    DTypeError,
    GradientError,
    ShapeError,
    StateError,
    unknown_name,
)
from chainrule.optimizers import arguments, clipping, schedules
from chainrule.optimizers.arguments import OPTION_NAMES, Options, accepts_aliases
from chainrule.optimizers.schedules import Schedule
from chainrule.tensor import Tensor, Variable, functions, jit, tensor
from chainrule.tensor.jit import Jitted
from chainrule.tensor.state import STATE, paused_tapes

# Slots that do not belong to the rule.
KEPT_BY_BASE = frozenset({"accumulated", "average"})

Made = TypeVar("Made")
Slots = dict[str, Tensor]
Pair = tuple[Tensor | NDArray[Any] | None, Variable]


@dataclass(frozen=True)
class Step:
    """What an update rule knows about the current step, as scalars of the variable's dtype.

    Attributes:
        rate: the learning rate.
        count: the number of this update, from 1.
    """

    rate: Tensor
    count: Tensor
    _made: dict[str, Any] = field(default_factory=dict)

    def once(self, name: str, make: Callable[[], Made]) -> Made:
        """What all variables have in common in a step: made for the first that asks."""
        if name not in self._made:
            self._made[name] = make()
        found: Made = self._made[name]
        return found


def zeros_for(variable: Variable) -> NDArray[Any]:
    """Zeros in a variable's shape, which take no memory before the first update."""
    return np.broadcast_to(np.zeros((), variable.dtype), variable.shape)


class Optimizer:
    """Base class: turns gradients into changes of variables.

    An optimizer of your own overrides ``update`` and, if it keeps something between updates,
    ``initial_slots``.

    Args:
        learning_rate: a number or a `Schedule`; default 0.001. Also ``lr``.
        name: first part of the slots' paths; default the class name in lower case.
        weight_decay: decoupled weight decay: every update also takes away
            ``learning_rate * weight_decay * variable``, past the rule and its moments; default 0.0.
        no_decay: parts of paths, such as ``("bias", "gamma")``; variables whose path holds one are
            not decayed and get no ``l2`` term; default ().
        l2: adds ``l2 * variable`` to each gradient after clipping, before the rule; default 0.0.
            This is what PyTorch calls ``weight_decay`` in all its optimizers but AdamW; in Adam it
            differs from decoupled decay.
        clip_value: cuts each gradient element to [-clip_value, clip_value]; default None. Also
            ``clipvalue``.
        clip_norm: shortens each variable's gradient to this length; default None. Also
            ``clipnorm``.
        global_clip_norm: shortens all gradients together to this length; default None. Also
            ``global_clipnorm``.
        accumulate_steps: updates once every so many calls, with the mean of the gradients; default
            1. The mean equals the gradient of one big batch when the batches are equally large.
        ema_decay: keeps a running average of the weights, ``average = d * average + (1 - d) *
            weight``, which starts as the weights after the first update; default None. See
            ``ema_values`` and ``swap_ema``.

    Raises:
        ArgumentError: a value out of range, more than one clipping option, or an unknown argument.

    Example:
        >>> import chainrule as cr
        >>> class SignDescent(cr.optimizers.Optimizer):
        ...     def update(self, gradient, slots, step):
        ...         return step.rate * cr.sign(gradient), slots
        >>> weight = cr.Variable(np.array([1.0, -1.0]), name="weight")
        >>> SignDescent(0.1).apply_gradients([(np.array([3.0, -7.0]), weight)])
        >>> weight.numpy().tolist()
        [0.9, -0.9]

    Differences: Keras and PyTorch accept a missing gradient (with a warning, or silently); here it
    is an error unless ``missing_gradients="skip"``. ``iterations`` counts updates, not calls, when
    gradients are accumulated.
    """

    full_batch: ClassVar[bool] = False
    """True for optimizers that need the loss of the whole data as a function (`LBFGS`)."""

    @accepts_aliases
    def __init__(self, learning_rate: float | Schedule = 0.001, **options: Unpack[Options]) -> None:
        where = type(self).__name__
        self.name = options.get("name") or where.lower()
        rate = schedules.get(learning_rate)
        self.schedule = rate if isinstance(rate, Schedule) else None
        self.iterations = self._variable(np.zeros((), np.int64), f"{self.name}/iterations")
        self._rate = self._variable(
            np.array(0.0 if isinstance(rate, Schedule) else rate), f"{self.name}/learning_rate"
        )
        self._variables: list[Variable] = []
        self._slots: dict[int, dict[str, Variable]] = {}
        self._swapped = False
        self._set_options(where, options)
        self._pending = self._variable(np.zeros((), np.int64), f"{self.name}/pending")

    def _set_options(self, where: str, options: Options) -> None:
        self.weight_decay = arguments.not_negative(
            where, "weight_decay", options.get("weight_decay") or 0.0
        )
        words: object = options.get("no_decay", ())
        if not isinstance(words, list | tuple) or not all(isinstance(w, str) for w in words):
            raise ArgumentError(
                where, "wrong no_decay", got=repr(words), expected='words such as ("bias",)'
            )
        self.no_decay = tuple(words)
        self.l2 = arguments.not_negative(where, "l2", options.get("l2", 0.0))
        limits = {
            name: None if value is None else arguments.positive(where, name, value)
            for name, value in (
                ("clip_value", options.get("clip_value")),
                ("clip_norm", options.get("clip_norm")),
                ("global_clip_norm", options.get("global_clip_norm")),
            )
        }
        if sum(limit is not None for limit in limits.values()) > 1:
            raise ArgumentError(
                where, "more than one kind of clipping", got=limits, fix="give only one of them"
            )
        self.clip_value = limits["clip_value"]
        self.clip_norm = limits["clip_norm"]
        self.global_clip_norm = limits["global_clip_norm"]
        self.accumulate_steps = arguments.whole(
            where, "accumulate_steps", options.get("accumulate_steps") or 1
        )
        decay = options.get("ema_decay")
        self.ema_decay = None if decay is None else arguments.fraction(where, "ema_decay", decay)

    @staticmethod
    def _variable(value: Tensor | NDArray[Any], path: str) -> Variable:
        variable = Variable(value, name=path.rsplit("/", 1)[-1], trainable=False)
        variable.path = path
        return variable

    # What a subclass overrides ------------------------------------------------------------------

    def initial_slots(self, variable: Variable) -> dict[str, NDArray[Any]]:
        """What the rule keeps for a variable between updates: slot name -> first value.

        The slots become Variables of the variable's dtype with paths such as
        ``adam/momentum/dense1/kernel``.
        """
        return {}

    def update(self, gradient: Tensor, slots: Slots, step: Step) -> tuple[Tensor, Slots]:
        """The rule, for one variable, without side effects.

        Args:
            gradient: of the variable's shape and dtype.
            slots: slot name -> current value.
            step: learning rate and number of the update.

        Returns:
            What is taken away from the variable, and the new slots.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must define update(gradient, slots, step)"
        )

    # Learning rate and state --------------------------------------------------------------------

    @property
    def learning_rate(self) -> float | Schedule:
        """The learning rate: a number that can be set at any time, or the schedule.

        Raises:
            StateError: set while a schedule decides.
        """
        return float(self._rate.numpy()) if self.schedule is None else self.schedule

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        if self.schedule is not None:
            raise StateError(
                self.name,
                "the learning rate follows a schedule",
                got=f"learning_rate = {value!r}",
                fix=f"make the optimizer with a number instead of {type(self.schedule).__name__}",
            )
        self._rate.assign(
            np.array(arguments.not_negative(self.name, "learning_rate", value), np.float64)
        )

    def current_rate(self) -> Tensor:
        """The rate of the next update (a float64 scalar; traceable)."""
        return self._rate.value if self.schedule is None else self.schedule(self.iterations.value)

    @property
    def variables(self) -> list[Variable]:
        """All state: iterations, learning rate and, once built, the slots, in a fixed order."""
        own = [self.iterations, self._rate]
        if self.accumulate_steps > 1:
            own.append(self._pending)
        for variable in self._variables:
            own.extend(self._slots[id(variable)].values())
        return own

    def state(self) -> dict[str, NDArray[Any]]:
        """The values of ``variables`` by path, for a checkpoint."""
        return {variable.path: variable.numpy() for variable in self.variables}

    def load_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take over what ``state`` returned; training goes on to the same bits.

        Args:
            state: path -> array.

        Raises:
            StateError: paths are missing or unknown: not built yet, or another optimizer's state.
            ShapeError: an array has another shape than its variable.
        """
        own = {variable.path: variable for variable in self.variables}
        if set(own) != set(state):
            missing = sorted(set(own) - set(state))
            unknown = sorted(set(state) - set(own))
            raise StateError(
                self.name,
                "the state does not fit this optimizer",
                got=f"missing {missing[:3]}, unknown {unknown[:3]}",
                expected=f"{len(own)} paths from {next(iter(own))} on",
                fix="make the optimizer with the same arguments and call build(variables) first",
            )
        for path, variable in own.items():
            if np.shape(state[path]) != variable.shape:
                raise ShapeError(
                    path, "wrong shape", got=np.shape(state[path]), expected=variable.shape
                )
        for path, variable in own.items():
            variable.assign(np.asarray(state[path]))

    # Building -----------------------------------------------------------------------------------

    def build(self, variables: Iterable[Variable]) -> None:
        """Make the slots of these variables; those that have slots keep them.

        The first ``apply_gradients`` calls it. Call it yourself to add variables later: their slots
        start fresh while the count of updates goes on.

        Raises:
            DTypeError: a variable that does not hold floats.
        """
        late = bool(self._variables)
        paths = {variable.path for variable in self.variables}
        for variable in variables:
            if id(variable) in self._slots:
                continue
            if not dtypes.is_floating(variable.dtype):
                raise DTypeError(
                    variable.path,
                    "an optimizer changes floats only",
                    got=f"dtype {variable.dtype}",
                    fix="leave the variable out, or set trainable=False",
                )
            slots = {}
            for slot, value in self._first_values(variable, late).items():
                path = _unused(f"{self.name}/{slot}/{variable.path}", paths)
                paths.add(path)
                fixed = value.dtype == variable.dtype and not value.flags.writeable
                own = value if fixed else value.astype(variable.dtype)
                slots[slot] = self._variable(Tensor(own), path)
            self._variables.append(variable)
            self._slots[id(variable)] = slots

    def _first_values(self, variable: Variable, late: bool) -> dict[str, NDArray[Any]]:
        values = self.initial_slots(variable)
        if self.accumulate_steps > 1:
            values["accumulated"] = zeros_for(variable)
        if self.ema_decay is not None:
            # The first update of all copies every weight; what is added later starts as it is.
            values["average"] = variable.numpy() if late else zeros_for(variable)
        return values

    # The update ---------------------------------------------------------------------------------

    def apply_gradients(self, pairs: Iterable[Pair], *, missing_gradients: str = "raise") -> None:
        """Change each variable by its gradient.

        Args:
            pairs: (gradient, variable) pairs; each gradient has its variable's shape.
            missing_gradients: what a gradient of None means: "raise" (default) or "skip" (the
                variable and its slots stay as they are).

        Raises:
            GradientError: a gradient is None; the message names the variables.
            ShapeError: a gradient has another shape than its variable.
            ArgumentError: no pairs, a variable twice, or something that is no Variable.
            StateError: a variable that was not there when the slots were made.
        """
        gradients, variables = self._checked(list(pairs), missing_gradients)
        if not variables:
            return
        if self._swapped:
            raise StateError(
                self.name,
                "the variables hold the running average",
                fix="call swap_ema() again before training goes on",
            )
        if not self._variables:
            self.build(variables)
        self._refuse_unknown(variables)
        with paused_tapes():
            if STATE.trace is not None:
                self._apply(gradients, variables)
                return
            # One compiled program instead of a dozen operations a variable.
            key = tuple([(id(v), id(v.constraint)) for v in variables])
            update = self._programs.get(key)
            if update is None:
                update = jit(functools.partial(self._apply_each, variables))
                self._programs[key] = update
            update(*gradients)

    def __setattr__(self, name: str, value: object) -> None:
        # A changed setting is a constant of another program; the learning rate is a variable.
        if not name.startswith("_") and name != "learning_rate":
            self._programs: dict[tuple[tuple[int, int], ...], Jitted] = {}
        super().__setattr__(name, value)

    def __getstate__(self) -> dict[str, Any]:
        # Copies compile for themselves.
        return {**self.__dict__, "_programs": {}}

    def _apply_each(self, variables: list[Variable], *gradients: Tensor) -> None:
        self._apply(list(gradients), variables)

    def _apply(self, gradients: list[Tensor], variables: list[Variable]) -> None:
        gradients, ready = self._accumulated(gradients, variables)
        gradients = self._clipped(gradients)
        count = self.iterations.value + 1
        rate = self.current_rate()
        steps = {
            dtype: Step(functions.astype(rate, dtype), functions.astype(count, dtype))
            for dtype in dict.fromkeys(variable.dtype for variable in variables)
        }
        for gradient, variable in zip(gradients, variables, strict=True):
            self._update_variable(gradient, variable, steps[variable.dtype], ready)
        if self.ema_decay is not None:
            self._update_averages(count, ready)
        self.iterations.assign(_select(ready, count, self.iterations.value))

    def _checked(
        self, pairs: list[Pair], missing_gradients: str
    ) -> tuple[list[Tensor], list[Variable]]:
        if missing_gradients not in ("raise", "skip"):
            raise unknown_name(self.name, "missing_gradients", missing_gradients, ("raise", "skip"))
        if not pairs:
            raise ArgumentError(
                self.name,
                "no gradients",
                got="no (gradient, variable) pairs",
                fix="pass zip(gradients, model.trainable_variables) of a model that is built",
            )
        for _, variable in pairs:
            if not isinstance(variable, Variable):
                raise ArgumentError(
                    self.name,
                    "wrong pair",
                    got=f"a {type(variable).__name__} in second place",
                    expected="(gradient, Variable)",
                )
        if len({id(variable) for _, variable in pairs}) < len(pairs):
            raise ArgumentError(
                self.name, "a variable is given twice", fix="add its gradients, pass it once"
            )
        missing = [variable.path for gradient, variable in pairs if gradient is None]
        if missing and missing_gradients == "raise":
            raise GradientError(
                self.name,
                "no gradient",
                got="None for " + ", ".join(repr(path) for path in missing),
                expected="a gradient for every variable",
                fix="check that the loss depends on them and that they were used under the tape;"
                ' leave them out, or pass missing_gradients="skip", if they are not to be trained',
            )
        gradients, variables = [], []
        for gradient, variable in pairs:
            if gradient is not None:
                gradients.append(_converted(gradient, variable))
                variables.append(variable)
        return gradients, variables

    def _refuse_unknown(self, variables: Sequence[Variable]) -> None:
        slots = self._slots
        unknown = [variable.path for variable in variables if id(variable) not in slots]
        if unknown:
            raise StateError(
                self.name,
                "unknown variable",
                got=", ".join(repr(path) for path in unknown),
                expected="variables that were there at the first update",
                fix="call build(variables) with them, or make a new optimizer for another model",
            )

    def _accumulated(
        self, gradients: list[Tensor], variables: list[Variable]
    ) -> tuple[list[Tensor], Tensor | None]:
        """The gradients to use and whether this call updates (None: always)."""
        if self.accumulate_steps == 1:
            return gradients, None
        pending = self._pending.value + 1
        ready = pending >= self.accumulate_steps
        means = []
        for gradient, variable in zip(gradients, variables, strict=True):
            slot = self._slots[id(variable)]["accumulated"]
            total = slot.value + gradient
            slot.assign(functions.where(ready, functions.zeros_like(total), total))
            means.append(total / self.accumulate_steps)
        self._pending.assign(functions.where(ready, functions.zeros_like(pending), pending))
        return means, ready

    def _clipped(self, gradients: list[Tensor]) -> list[Tensor]:
        if self.clip_value is not None:
            return [clipping.clip_by_value(g, self.clip_value) for g in gradients]
        if self.clip_norm is not None:
            return [clipping.clip_by_norm(g, self.clip_norm) for g in gradients]
        if self.global_clip_norm is not None:
            return clipping.clip_by_global_norm(gradients, self.global_clip_norm)[0]
        return gradients

    def _update_variable(
        self, gradient: Tensor, variable: Variable, step: Step, ready: Tensor | None
    ) -> None:
        own = self._slots[id(variable)]
        value = variable.value
        decays = not set(self.no_decay) & set(variable.path.split("/"))
        if self.l2 and decays:
            gradient = gradient + self.l2 * value
        before = {name: slot.value for name, slot in own.items() if name not in KEPT_BY_BASE}
        change, slots = self.update(gradient, before, step)
        if self.weight_decay and decays:
            # One subtraction: 1 - rate * weight_decay would lose most of a small decay in float32.
            change = change + (step.rate * self.weight_decay) * value
        result = value - change
        if variable.constraint is not None:
            result = variable.constraint(result)
        variable.assign(_select(ready, result, value))
        for name, new in slots.items():
            own[name].assign(_select(ready, new, own[name].value))

    # The running average of the weights ---------------------------------------------------------

    def _update_averages(self, count: Tensor, ready: Tensor | None) -> None:
        """Move the averages of all variables, those without a gradient in this call too."""
        decay = cast(float, self.ema_decay)
        for variable in self._variables:
            slot, value = self._average(variable), variable.value
            moved = slot.value + (1.0 - decay) * (value - slot.value)
            slot.assign(_select(ready, functions.where(count == 1, value, moved), slot.value))

    def ema_values(self) -> dict[str, NDArray[Any]]:
        """The running averages by variable path; before the first update the weights themselves.

        Raises:
            StateError: made without ``ema_decay``.
        """
        if self.ema_decay is None:
            raise StateError(self.name, "no running average", fix="pass ema_decay=0.999 or so")
        started = int(self.iterations.numpy()) > 0
        return {
            variable.path: (self._average(variable) if started else variable).numpy()
            for variable in self._variables
        }

    def _average(self, variable: Variable) -> Variable:
        return self._slots[id(variable)]["average"]

    def swap_ema(self) -> None:
        """Exchange the weights and their running averages; a second call changes them back.

        Between the two calls the model predicts with the averages and ``apply_gradients`` refuses
        to train; a step that ``jit`` compiled before cannot refuse, so do not call one.

        Raises:
            StateError: made without ``ema_decay``.
        """
        averages = list(self.ema_values().values())
        for variable, average in zip(self._variables, averages, strict=True):
            self._average(variable).assign(variable.numpy())
            variable.assign(average)
        self._swapped = not self._swapped

    # Description --------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, with the current learning rate, as JSON-able values."""
        names = arguments.parameter_names(inspect.unwrap(type(self).__init__))
        config = {name: getattr(self, name) for name in names}
        if self.schedule is not None:
            config["learning_rate"] = schedules.serialize(self.schedule)
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in config.items()
        }

    @classmethod
    def from_config(
        cls,
        config: Mapping[str, Any],
        custom_objects: Mapping[str, type[Schedule]] | None = None,
    ) -> "Optimizer":
        """The optimizer that ``get_config`` described; ``custom_objects`` names your schedules."""
        rate = config.get("learning_rate")
        if isinstance(rate, Mapping):
            config = {**config, "learning_rate": schedules.get(rate, custom_objects)}
        return cls(**config)

    def __repr__(self) -> str:
        plain = {"name", *OPTION_NAMES}
        shown = ", ".join(
            f"{name}={value!r}"
            for name, value in self.get_config().items()
            if name not in plain or (name != "name" and value not in (None, [], 0.0, 1))
        )
        return f"{type(self).__name__}({shown})"


def _unused(path: str, taken: set[str]) -> str:
    """``path``, with a number behind it where it is taken."""
    result, count = path, 0
    while result in taken:
        count += 1
        result = f"{path}_{count}"
    return result


def _converted(gradient: Tensor | NDArray[Any], variable: Variable) -> Tensor:
    """The gradient as a tensor of the variable's dtype, its shape checked."""
    result = gradient if isinstance(gradient, Tensor) else tensor(gradient)
    if result.shape != variable.shape:
        raise ShapeError(
            variable.path,
            "the gradient does not fit the variable",
            got=result.shape,
            expected=variable.shape,
        )
    if result.dtype is variable.dtype:
        return result
    return functions.astype(result, variable.dtype)


def _select(ready: Tensor | None, new: Tensor, old: Tensor) -> Tensor:
    return new if ready is None else functions.where(ready, new, old)
