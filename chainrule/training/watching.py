"""Passive probes: how large gradients, weights, updates and activations are while a model trains.

Every so many steps a second program computes the step that comes next once more, with reductions
instead of new weights. What trains is the same program as ever, so a run that is watched gives the
same bits as one that is not.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.nn.contents import variables_of
from chainrule.tensor import Tensor, functions, jit
from chainrule.tensor.state import STATE
from chainrule.training.explanation.listening import Seen, listened
from chainrule.training.step import TrainingStep, gather, weakly

Array = NDArray[Any]

#: How many steps apart looks are at least, where the user leaves it to the library.
INTERVAL = 100
#: The share of the time that looks may take then, and what a look costs beside its own time: it
#: cuts a run of the back end in two.
SHARE = 0.015
CUT_SECONDS = 2e-4
#: |z| beyond which sigmoid and tanh are flat: their slope is below 0.7 % of its height.
SATURATED = 5.0


@dataclass(frozen=True)
class Watched:
    """Statistics of some steps of a run, S of them: arrays (S,), by the path of variable or layer.

    RMS is the root of the mean square over all numbers of a variable. Gradients are those of the
    loss with its penalties, before the optimizer clips them. What is below 1e-19 counts as 0.

    Attributes:
        steps: the numbers of the steps, from 0, counted over all epochs.
        loss: of the batch, with penalties.
        penalty_share: the part of the loss that comes from penalties, 0 to 1 for a positive loss.
        gradient_norm: of all gradients together, the root of the sum of squares.
        gradients: RMS of the gradient of each trainable variable.
        weights: RMS of the variable before the step.
        updates: RMS of what the step adds to it; NaN for an optimizer like L-BFGS.
        never_active: the share of a layer's units, or channels, that are 0 for every row of the
            batch and at every place; of layers with an activation.
        saturated: the share of |z| > 5, of layers with sigmoid or tanh.
        means: of the outputs of each layer that has weights or an activation.
        deviations: the standard deviations of the same.
    """

    steps: Array
    loss: Array
    penalty_share: Array
    gradient_norm: Array
    gradients: Mapping[str, Array]
    weights: Mapping[str, Array]
    updates: Mapping[str, Array]
    never_active: Mapping[str, Array]
    saturated: Mapping[str, Array]
    means: Mapping[str, Array]
    deviations: Mapping[str, Array]

    def __len__(self) -> int:
        return len(self.steps)

    def __repr__(self) -> str:
        if not len(self):
            return "Watched(no steps)"
        head = (
            f"Watched({len(self)} steps, {self.steps[0]} to {self.steps[-1]}; in the last: "
            f"loss {self.loss[-1]:.4g}, gradient norm {self.gradient_norm[-1]:.3g}, "
            f"penalties {self.penalty_share[-1]:.1%} of the loss)"
        )
        weights = _table(
            ("variable", "gradient", "weight", "update", "update/weight"),
            {name: self._of_weight(name) for name in self.gradients},
        )
        layers = _table(
            ("layer", "mean", "deviation", "never active", "saturated"),
            {name: self._of_layer(name) for name in self.means},
        )
        return "\n".join([head, *weights, *layers])

    def _of_weight(self, name: str) -> list[str]:
        gradient, weight, update = (
            float(values[name][-1]) for values in (self.gradients, self.weights, self.updates)
        )
        ratio = update / weight if weight else math.nan
        return [f"{number:.2e}" for number in (gradient, weight, update, ratio)]

    def _of_layer(self, name: str) -> list[str]:
        shares = [
            f"{values[name][-1]:.1%}" if name in values else ""
            for values in (self.never_active, self.saturated)
        ]
        return [f"{self.means[name][-1]:.3g}", f"{self.deviations[name][-1]:.3g}", *shares]


def _table(heads: tuple[str, ...], rows: Mapping[str, list[str]]) -> list[str]:
    """Lines with the names on the left and the numbers on the right."""
    if not rows:
        return []
    widths = [max(map(len, column)) for column in zip(heads[1:], *rows.values(), strict=True)]
    left = max(map(len, (heads[0], *rows)))
    return [
        f"  {name:<{left}}" + "".join(f"  {c:>{width}}" for c, width in zip(cells, widths))
        for name, cells in [(heads[0], list(heads[1:])), *rows.items()]
    ]


class Watch:
    """Looks at some steps of a run.

    Args:
        step: trains the model.
        every: look at every step whose number is a multiple; None to choose: 100, or more where
            looks would take more than about 1 % of the time. A short last batch of an epoch is
            passed over: the next step is looked at instead.
    """

    def __init__(self, step: TrainingStep, every: int | None) -> None:
        self._step = step
        self._chosen = every is None
        self._every = every or INTERVAL
        self._number = self._next = 0
        self._rows = 0  # of a batch: shorter ones, which have a program of their own, are left out
        self._keys: list[tuple[str, str]] = []
        self._found: list[tuple[int, Array]] = []
        self._look_seconds = self._step_seconds = math.inf
        self._compiled = jit(weakly(self._inside))
        self._compiled_rows = jit(weakly(self._inside_rows))

    def begin(self, number: int) -> None:
        """The first step of this run has this number."""
        self._number = number
        self._next = -(-number // self._every) * self._every

    @property
    def ahead(self) -> int:
        """How many steps may be made before the look after the next, if one is due, else before the
        next.
        """
        if self._number < self._next:
            return self._next - self._number
        return self._every - self._number % self._every

    def look(self, *batch: Any) -> None:
        """Look at the step to come, on this batch (x, y, weights), if it is time."""
        if self._number >= self._next:
            self._look(self._compiled, batch)

    def look_at_rows(self, rows: Array, data: tuple[Any, ...]) -> None:
        """The same for the batch of some rows of the data."""
        if self._number >= self._next and len(rows) >= self._rows:
            self._rows = len(rows)
            self._look(self._compiled_rows, (rows, *data))

    def advance(self, steps: int, seconds: float) -> None:
        """Some steps were made, in so much time."""
        self._number += steps
        self._step_seconds = min(self._step_seconds, seconds / steps)

    def result(self) -> Watched:
        """All that was seen."""
        values = np.array([numbers for _, numbers in self._found], np.float64)
        groups: dict[str, dict[str, Array]] = {name: {} for name in _GROUPS}
        for (group, name), column in zip(self._keys, values.T):
            groups[group][name] = column
        single = groups.pop("")
        none = np.zeros(len(self._found))
        sizes = {variable.path: variable.size for variable in self._step.variables}
        squares = sum((np.square(g) * sizes[n] for n, g in groups["gradients"].items()), none)
        return Watched(
            steps=np.array([number for number, _ in self._found], np.int64),
            loss=single.get("loss", none),
            penalty_share=single.get("penalty_share", none),
            gradient_norm=np.sqrt(squares),
            **groups,
        )

    def _look(self, program: Callable[..., Tensor], arguments: tuple[Any, ...]) -> None:
        begin = time.perf_counter()
        self._found.append((self._number, program(*arguments).numpy()))
        if len(self._found) > 1:  # the first one was compiled
            self._look_seconds = min(self._look_seconds, time.perf_counter() - begin)
            if self._chosen:
                cost = self._look_seconds + CUT_SECONDS
                self._every = _round_up(cost / (SHARE * self._step_seconds))
        self._next = (self._number // self._every + 1) * self._every

    def _inside_rows(self, rows: Tensor, x: Any, y: Tensor, weights: Tensor | None) -> Tensor:
        return self._inside(*gather(rows, x, y, weights))

    def _inside(self, x: Any, y: Tensor, weights: Tensor | None) -> Tensor:
        """The step as a function that gives reductions and changes nothing."""
        step, trace = self._step, STATE.trace
        assert trace is not None
        with listened(step.model, trace, lambda value: value) as seen:
            loss, gradients, _ = step.differentiate(x, y, weights)
            penalties = sum(step.model.losses, functions.zeros_like(loss))
        found = {("", "loss"): loss, ("", "penalty_share"): penalties / loss}
        found.update(_of_weights(step, gradients))
        found.update(_of_layers(seen))
        trace.assigned.clear()  # what the step assigns was only to be looked at
        self._keys = list(found)
        return functions.stack([number.astype("float32") for number in found.values()])


_GROUPS = (
    "", "gradients", "weights", "updates", "never_active", "saturated", "means", "deviations",
)  # fmt: skip


def _round_up(interval: float) -> int:
    """To 1, 2 or 5 times a power of ten, so that equal runs are mostly watched at equal steps."""
    if interval <= INTERVAL:
        return INTERVAL
    power = 10 ** math.floor(math.log10(interval))
    return next(int(power * m) for m in (1, 2, 5, 10) if power * m >= interval)


def _rms(x: Tensor) -> Tensor:
    return functions.sqrt(functions.mean(functions.square(x)))


def _of_weights(
    step: TrainingStep, gradients: list[Tensor | None]
) -> dict[tuple[str, str], Tensor]:
    variables = step.variables
    before = [variable.value for variable in variables]
    if step.optimizer.full_batch:
        updates = [functions.zeros_like(value) + math.nan for value in before]
    else:
        pairs = zip(gradients, variables, strict=True)
        step.optimizer.apply_gradients(pairs, missing_gradients="skip")
        updates = [variable.value - old for variable, old in zip(variables, before, strict=True)]
    found = {}
    for variable, gradient, old, update in zip(variables, gradients, before, updates, strict=True):
        slope = functions.zeros_like(old) if gradient is None else gradient
        for group, value in (("gradients", slope), ("weights", old), ("updates", update)):
            found[group, variable.path] = _rms(value)
    return found


def _of_layers(seen: list[Seen]) -> dict[tuple[str, str], Tensor]:
    found: dict[tuple[str, str], Tensor] = {}
    done: set[int] = set()
    for s in seen:
        name = s.layer.where
        activation = _activation(s)
        has_weights = any(True for _ in variables_of(s.layer))
        # A container gives out what its last layer computed; a shared layer is looked at once.
        if id(s.a) in done or ("means", name) in found or not (has_weights or s.z is not None):
            continue
        done.add(id(s.a))
        mean = functions.mean(s.a)
        found["means", name] = mean
        found["deviations", name] = _rms(s.a - mean)
        if activation != "linear":
            places = tuple(range(s.a.ndim - 1))
            largest = functions.max(functions.abs(s.a), axis=places)
            found["never_active", name] = functions.mean(_as_numbers(functions.equal(largest, 0)))
        if s.z is not None and activation in ("sigmoid", "tanh"):
            beyond = functions.greater(functions.abs(s.z), SATURATED)
            found["saturated", name] = functions.mean(_as_numbers(beyond))
    return found


def _activation(s: Seen) -> str:
    function = getattr(s.layer, "activation", None)
    return "linear" if s.z is None else getattr(function, "__name__", "of the user's own")


def _as_numbers(truth: Tensor) -> Tensor:
    return truth.astype("float32")
