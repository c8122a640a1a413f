"""What every back end gives back: something that runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from chainrule.graph.graph import Graph


class Executable(Protocol):
    """A graph made ready to run."""

    def run(self, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """The graph's outputs for these inputs, which must have its input types."""

    def explain(self) -> str:
        """What runs, and why so."""


Compile = Callable[[Graph], Executable]
