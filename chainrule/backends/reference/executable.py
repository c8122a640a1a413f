"""The reference interpreter: a graph's nodes, one NumPy call each, in order."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from operator import itemgetter, methodcaller
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.backends.executable import Repetition, repeat_one_by_one
from chainrule.backends.reference.kernels import KERNELS, QUIET
from chainrule.errors import ChainruleError, GraphError
from chainrule.graph.graph import Graph, Node, Value
from chainrule.graph.walk import last_uses


class ReferenceExecutable:
    """Runs a graph node by node; a value is dropped after its last use."""

    memory_bytes = 0

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        slots: dict[Value, int] = {value: i for i, value in enumerate(graph.inputs)}
        for node in graph:
            for value in node.outputs:
                slots[value] = len(slots)
        self._outputs = [slots[value] for value in graph.outputs]
        constants: list[tuple[int, NDArray[Any]]] = []
        self._steps: list[tuple[Any, Any, int, tuple[int, ...]]] = []
        for node, dying in zip(graph, last_uses(graph), strict=True):
            target = slots[node.outputs[0]]
            if node.primitive.name == "constant":
                constants.append((target, node.attributes["value"]))
                continue
            inputs = [slots[value] for value in node.inputs]
            dropped = tuple(slots[value] for value in dying)
            if len(node.outputs) == 1 and node.primitive.kind != "loop":
                self._steps.append((_kernel(node), _getter(inputs), target, dropped))
                continue
            # All outputs together in the last one's slot, from there each into its own.
            last = slots[node.outputs[-1]]
            self._steps.append((_kernel(node), _getter(inputs), last, ()))
            for place, value in enumerate(node.outputs):
                end = dropped if value is node.outputs[-1] else ()
                self._steps.append((itemgetter(place), _getter([last]), slots[value], end))
        # What stands behind the inputs when a run begins.
        self._rest: list[Any] = [None] * (len(slots) - len(graph.inputs))
        for slot, constant in constants:
            self._rest[slot - len(graph.inputs)] = constant

    def run(self, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """The outputs for these inputs."""
        if len(inputs) != len(self.graph.inputs):
            raise GraphError(
                self.graph.name,
                "wrong number of inputs",
                got=len(inputs),
                expected=len(self.graph.inputs),
            )
        values = [*inputs, *self._rest]
        QUIET.copy().run(self._compute, values)
        return [np.asarray(values[slot]) for slot in self._outputs]

    def _compute(self, values: list[Any]) -> None:
        for position, (kernel, arguments, target, dropped) in enumerate(self._steps):
            try:
                values[target] = kernel(*arguments(values))
            except ChainruleError:
                raise
            except Exception as error:
                raise GraphError(self.graph.name, f"step {position} failed: {error}") from error
            for slot in dropped:
                values[slot] = None

    def repeat(self, inputs: Sequence[NDArray[Any]], repetition: Repetition) -> list[NDArray[Any]]:
        """Run many steps, one after the other."""
        return repeat_one_by_one(self.run, inputs, repetition, self.graph)

    def explain(self, measure: bool = False) -> str:
        """How often each primitive is called; nothing is measured."""
        counts = Counter(node.primitive.name for node in self.graph)
        lines = [f"{count:5d} x {name}" for name, count in counts.most_common()]
        return "\n".join(["reference interpreter: one NumPy call a node", *lines])


def _kernel(node: Node[Value]) -> Callable[..., Any]:
    """A function of the node's inputs alone."""
    name, attributes = node.primitive.name, node.attributes
    if name in ("reshape", "transpose"):
        # Views cost little more than the call, which is quickest like this.
        return methodcaller(name, *attributes.values())
    kernel = KERNELS[name]
    return functools.partial(kernel, **attributes) if attributes else kernel


def _getter(slots: list[int]) -> Callable[[list[Any]], Sequence[Any]]:
    """A function that takes the values in these slots out of a list: quicker than a loop."""
    if len(slots) < 2:
        # With one index ``itemgetter`` would return the value alone.
        return itemgetter(slice(slots[0], slots[0] + 1) if slots else slice(0))
    return itemgetter(*slots)


def every_value(
    graph: Graph, inputs: Sequence[NDArray[Any]], flush: bool = False
) -> dict[Value, NDArray[Any]]:
    """All values of a graph for these inputs; ``flush`` takes denormal numbers for zero, as
    compiled programs do.
    """
    values: dict[Value, NDArray[Any]] = dict(zip(graph.inputs, inputs, strict=True))
    for node in graph:
        arguments = [values[value] for value in node.inputs]
        result = QUIET.copy().run(KERNELS[node.primitive.name], *arguments, **node.attributes)
        outputs = [np.asarray(x) for x in (result if isinstance(result, tuple) else (result,))]
        values.update(zip(node.outputs, map(_flushed, outputs) if flush else outputs, strict=True))
    return values


def _flushed(x: NDArray[Any]) -> NDArray[Any]:
    if x.dtype.kind != "f":
        return x
    return np.where(np.abs(x) < np.finfo(x.dtype).tiny, x.dtype.type(0), x)


def compile(graph: Graph) -> ReferenceExecutable:
    """Make a graph ready to run."""
    return ReferenceExecutable(graph)


def _scan(
    *inputs: NDArray[Any], body: Graph, carried: int, scanned: int, length: int, reverse: bool
) -> tuple[NDArray[Any], ...]:
    """The loop: the body once a step; entries are taken, and outputs put, in the order of steps."""
    executable = _bodies(body)
    state = list(inputs[:carried])
    entries, constants = inputs[carried : carried + scanned], inputs[carried + scanned :]
    stacks = [np.empty((length, *v.shape), v.dtype) for v in body.outputs[carried:]]
    for step in reversed(range(length)) if reverse else range(length):
        results = executable.run([*state, *(x[step] for x in entries), *constants])
        state = results[:carried]
        for stack, result in zip(stacks, results[carried:], strict=True):
            stack[step] = result
    return (*state, *stacks)


# Loops are run again and again in eager training; what they need is kept with their body.
_bodies = functools.lru_cache(maxsize=64)(ReferenceExecutable)
KERNELS["scan"] = _scan
