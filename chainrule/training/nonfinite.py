"""Where the first number that is not finite came from, and the last weights that were good.

Nothing is watched while training runs: the losses that a run of the back end returns are enough to
notice. Then the steps of that run are repeated up to the last one that left every variable finite,
and the step after it is computed again value by value.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from chainrule.backends.reference import every_value
from chainrule.graph.graph import Graph, Node, Value
from chainrule.tensor import Tensor, Variable

_FEW = 64

State = Sequence[tuple[Variable, Tensor]]


class Stateful(Protocol):
    """A step with variables."""

    def state(self) -> State:
        """Every variable that it changes, with its present value."""


@dataclass(frozen=True)
class Origin:
    """Where finite numbers made one that is not.

    Attributes:
        operation: the primitive, such as ``log``.
        layer: the path of the layer; "" for the loss, the gradients and the update.
        row: from 0: of the batch at first, of the training data in ``History.origin``; None where
            the result has no rows.
        inputs: the numbers that it was computed from, where they are few.
        result: what it gave.
        time: the step of a loop over time, or None.
        epoch: of the run, from 1.
        step: of the epoch, from 1.
    """

    operation: str
    layer: str
    row: int | None
    inputs: tuple[float, ...]
    result: float
    time: int | None = None
    epoch: int = 0
    step: int = 0

    def describe(self) -> str:
        """In words, without epoch and step."""
        what = f"{self.operation} gave {self.result}"
        if self.inputs:
            what += " from " + " and ".join(f"{x:g}" for x in self.inputs)
        where = [f"in {self.layer}" if self.layer else "outside of the layers"]
        if self.time is not None:
            where.append(f"at time step {self.time}")
        if self.row is not None:
            where.append(f"for row {self.row} of the data")
        return f"{what} {', '.join(where)}"


def restore(state: State) -> None:
    """Put variables back to what they were."""
    for variable, value in state:
        variable.assign(value)


def all_finite(losses: NDArray[Any]) -> bool:
    """Whether all losses of a run are finite."""
    # To ask NumPy takes longer than to add up some numbers.
    few = len(losses) <= _FEW and math.isfinite(sum(losses.tolist()))
    return few or bool(np.isfinite(losses).all())


def is_finite(state: State) -> bool:
    """Whether all numbers of all variables are finite."""
    return all(np.isfinite(x.numpy()).all() for _, x in state if x.dtype.kind == "f")


def last_good(step: Stateful, before: State, run: Callable[[int], Any], bad: int) -> int:
    """Bring the variables to the last state that was finite.

    Args:
        step: the training step.
        before: the variables before the first step of a run of the back end.
        run: repeats so many of its steps.
        bad: the first step whose loss is not finite, from 0.

    Returns:
        The number of steps done. The one after it made the first number that is not finite.
    """

    def good_after(steps: int) -> bool:
        restore(before)
        if steps:
            run(steps)
        return is_finite(step.state())

    if good_after(bad):
        return bad
    good = 0
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if good_after(middle) else (good, middle)
    good_after(good)
    return good


def find_origin(graph: Graph, values: dict[Value, NDArray[Any]], rows: int) -> Origin | None:
    """The first node that made a number not finite of finite ones, of those on which an output
    that is not finite depends.

    Args:
        graph: of a step.
        values: of all of it.
        rows: of the batch.
    """
    fixed: set[Value] = set()  # an infinity that stands in the program is meant
    for node in graph:
        if all(value in fixed for value in node.inputs):
            fixed.update(node.outputs)
    bad = {value for value, x in values.items() if value not in fixed and not _finite(x)}
    wanted = {value for value in graph.outputs if value in bad}
    first: Node[Value] | None = None
    for node in reversed(graph.nodes):
        if not any(value in wanted for value in node.outputs):
            continue
        causes = [value for value in node.inputs if value in bad]
        wanted.update(causes)
        if not causes:
            first = node
    return None if first is None else _described(first, values, rows)


def _described(node: Node[Value], values: dict[Value, NDArray[Any]], rows: int) -> Origin:
    inputs = [values[value] for value in node.inputs]
    if node.primitive.kind == "loop":
        return _inside_loop(node, inputs, rows)
    output = next(v for v in node.outputs if not _finite(values[v]))
    result = values[output]
    place = tuple(int(i) for i in np.argwhere(~np.isfinite(result))[0])
    numbers: tuple[float, ...] = ()
    if node.primitive.kind == "elementwise":
        numbers = tuple(float(np.broadcast_to(x, result.shape)[place]) for x in inputs)
    has_rows = bool(place) and result.shape[0] == rows
    return Origin(
        node.primitive.name, node.scope, place[0] if has_rows else None, numbers,
        float(result[place]),
    )  # fmt: skip


def _finite(x: NDArray[Any]) -> bool:
    return x.dtype.kind != "f" or bool(np.isfinite(x).all())


def _inside_loop(node: Node[Value], inputs: list[NDArray[Any]], rows: int) -> Origin:
    """The origin inside a loop, at its first step that has one."""
    a = node.attributes
    body, carried, last = a["body"], a["carried"], a["carried"] + a["scanned"]
    state, entries, constants = inputs[:carried], inputs[carried:last], inputs[last:]
    order = range(a["length"])
    for step in reversed(order) if a["reverse"] else order:
        values = every_value(body, [*state, *(x[step] for x in entries), *constants])
        found = find_origin(body, values, rows)
        if found is not None:
            layer = found.layer or node.scope
            return Origin(
                found.operation, layer, found.row, found.inputs, found.result,
                step if found.time is None else found.time,
            )  # fmt: skip
        state = [values[value] for value in body.outputs[:carried]]
    return Origin(node.primitive.name, node.scope, None, (), float("nan"))
