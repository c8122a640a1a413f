"""Programs that are checked each time they run: ``config.check == "debug"``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.backends.executable import Executable, Repetition, repeat_one_by_one
from chainrule.backends.reference import checked_values
from chainrule.errors import GraphError, NotFiniteError
from chainrule.graph.graph import Graph, ValueType


class CheckedExecutable:
    """Computes all values by the reference interpreter first and checks each (see
    ``reference.checked``); then runs the program and checks its results.

    Args:
        executable: the program.
        graph: what it computes, with the names of its layers.
    """

    def __init__(self, executable: Executable, graph: Graph) -> None:
        self._executable = executable
        self._graph = graph

    @property
    def memory_bytes(self) -> int:
        """That of the program."""
        return self._executable.memory_bytes

    def run(self, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """The program's results.

        Raises:
            ArgumentError: an index out of range.
            GraphError: a value of another type than declared, inputs that were written to.
            NotFiniteError: finite numbers made one that is not finite.
        """
        graph = self._graph
        if len(inputs) != len(graph.inputs):
            raise GraphError(
                graph.name, "wrong number of inputs", got=len(inputs), expected=len(graph.inputs)
            )
        values = checked_values(graph, inputs)
        before = [np.array(x) for x in inputs]
        results = self._executable.run(inputs)
        for i, (x, old) in enumerate(zip(inputs, before, strict=True)):
            if x.tobytes() != old.tobytes():
                raise GraphError(graph.name, f"the program wrote to its input {i}")
        names = {value: node for node in graph for value in node.outputs}
        for i, (value, x) in enumerate(zip(graph.outputs, results, strict=True)):
            node = names.get(value)
            made = f" ({node.primitive.name} in {node.scope})" if node and node.scope else ""
            where = f"{graph.name}: output {i}{made}"
            found = ValueType(x.shape, x.dtype)
            if found != value.type:
                raise GraphError(where, "wrong type", got=found, expected=value.type)
            if _finite(values[value]) and not _finite(x):
                raise NotFiniteError(
                    where, "the program gave a number that is not finite",
                    expected="finite numbers, as the reference interpreter gives",
                )  # fmt: skip
        return results

    def repeat(self, inputs: Sequence[NDArray[Any]], repetition: Repetition) -> list[NDArray[Any]]:
        """Run many steps, each of them checked."""
        return repeat_one_by_one(self.run, inputs, repetition, self._graph)

    def explain(self, measure: bool = False) -> str:
        """What the program says."""
        return self._executable.explain(measure)


def _finite(x: NDArray[Any]) -> bool:
    return x.dtype.kind != "f" or bool(np.isfinite(x).all())
