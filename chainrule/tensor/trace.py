"""Tracing: running a Python function on stand-ins to write down its graph."""

from __future__ import annotations

from typing import Any

from chainrule.graph.builder import GraphBuilder
from chainrule.graph.graph import Value
from chainrule.graph.operand import Attributes
from chainrule.graph.primitives import Primitive
from chainrule.tensor.tensor import Tensor, Variable


class Trace:
    """A graph being written, and what became of the variables it touched."""

    def __init__(self, name: str) -> None:
        self.builder = GraphBuilder(name)
        self.variables: list[Variable] = []
        self.assigned: list[Variable] = []
        self._current: dict[int, Tensor] = {}
        self._constants: dict[int, tuple[Any, Value]] = {}

    def append(
        self, primitive: Primitive, tensors: tuple[Tensor, ...], attributes: Attributes, scope: str
    ) -> Any:
        """Write a node; concrete inputs become constants."""
        self.builder.scope = scope
        result = self.builder.append(primitive, [self.lift(x) for x in tensors], attributes)
        return tuple(map(Tensor, result)) if isinstance(result, tuple) else Tensor(result)

    def lift(self, tensor: Tensor) -> Value:
        """The graph value of a tensor."""
        payload = tensor._payload
        if isinstance(payload, Value):
            return payload
        # The same array is one constant: equal loops over it are found to be equal.
        if id(payload) not in self._constants:
            self._constants[id(payload)] = payload, self.builder.constant(payload)
        return self._constants[id(payload)][1]

    def holds(self, tensor: Tensor) -> bool:
        """Whether a tensor stands for a value of this graph, not of one inside or around it."""
        payload = tensor._payload
        return isinstance(payload, Value) and payload.owner is self.builder

    def read(self, variable: Variable) -> Tensor:
        """The variable's value at this point of the trace; the first read makes it an input."""
        current = self._current.get(id(variable))
        if current is None:
            name = variable.path
            current = Tensor(self.builder.input(variable.shape, variable.dtype, name))
            self._current[id(variable)] = current
            self.variables.append(variable)
        return current

    def assign(self, variable: Variable, value: Tensor) -> None:
        """The variable's value from this point on; the last one becomes an output."""
        if all(variable is not other for other in self.assigned):
            self.assigned.append(variable)
        self._current[id(variable)] = value

    def outputs(self) -> list[Any]:
        """The final values of the assigned variables."""
        return [self.lift(self._current[id(variable)]) for variable in self.assigned]
