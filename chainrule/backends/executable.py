"""What every back end gives back: something that runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from chainrule.graph.graph import Graph


class Repetition(NamedTuple):
    """How a graph is run many times in a row.

    Attributes:
        steps: how many times.
        scanned: positions of the inputs that hold one entry a step along a new first axis.
        carried: pairs of an input's and an output's position: the output of one step is the input
            of the next. An input of -1 stands for an output that only the last step is asked for.
    """

    steps: int
    scanned: tuple[int, ...]
    carried: tuple[tuple[int, int], ...]


class Executable(Protocol):
    """A graph made ready to run."""

    @property
    def memory_bytes(self) -> int:
        """The memory for intermediate values that it keeps between calls."""

    def run(self, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """The graph's outputs for these inputs, which must have its input types."""

    def repeat(self, inputs: Sequence[NDArray[Any]], repetition: Repetition) -> list[NDArray[Any]]:
        """Run many steps: carried outputs as the last step left them, others along a first axis,
        all in memory of their own.
        """

    def explain(self, measure: bool = False) -> str:
        """What runs, and why so; with ``measure`` it is run, on zeros, to say how long it takes."""


@dataclass(frozen=True)
class Backend:
    """What makes graphs ready to run.

    Attributes:
        compile: makes a graph ready as it is.
        once: the same for a traced graph that is to be optimised: its fingerprint, itself, and what
            gives the optimised graph. Given where what was made in another process is found again.
        returns_views: whether outputs may share memory with inputs and constants.
    """

    compile: Callable[[Graph], Executable]
    once: Callable[[bytes, Graph, Callable[[], Graph]], Executable] | None = None
    returns_views: bool = False

    def __call__(self, graph: Graph) -> Executable:
        """The graph ready to run."""
        return self.compile(graph)


def repeat_one_by_one(
    run: Callable[[Sequence[NDArray[Any]]], list[NDArray[Any]]],
    inputs: Sequence[NDArray[Any]],
    repetition: Repetition,
    graph: Graph,
) -> list[NDArray[Any]]:
    """``Executable.repeat`` as a loop over ``run``."""
    current = list(inputs)
    last = {output for _, output in repetition.carried}
    stacked = [np.empty((repetition.steps, *value.shape), value.dtype) for value in graph.outputs]
    outputs: list[NDArray[Any]] = []
    for step in range(repetition.steps):
        for position in repetition.scanned:
            current[position] = inputs[position][step]
        outputs = run(current)
        for source, output in repetition.carried:
            if source >= 0:
                current[source] = outputs[output]
        for output, value in enumerate(outputs):
            if output not in last:
                stacked[output][step] = value
    # An output may be an input, or part of one.
    return [np.array(outputs[i]) if i in last else stacked[i] for i in range(len(graph.outputs))]
