"""scan: loops over time, traced once and differentiated as one operation."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from chainrule import tree
from chainrule.errors import ShapeError, StateError
from chainrule.graph.graph import Graph, Value
from chainrule.graph.walk import live_nodes
from chainrule.tensor.hoisting import hoisted
from chainrule.tensor.state import STATE, paused_tapes
from chainrule.tensor.tensor import Tensor, Variable, as_tensor
from chainrule.tensor.trace import Trace


def scan(
    function: Callable[[Any, Any], tuple[Any, Any]],
    carry: Any,
    inputs: Any = None,
    *,
    length: int | None = None,
    reverse: bool = False,
) -> tuple[Any, Any]:
    """A loop over the first axis: ``carry, output = function(carry, entry)`` for each entry.

    The function is traced once, however many steps there are; inside ``jit`` and ``fit`` the whole
    loop is native code, and its gradient is a loop in the other direction. Products of entries
    with what stays the same are made for all steps before the loop, and the gradients of weights
    after it.

    Args:
        function: from the carried values and one entry of each input to the new carried values (of
            the same structure, shapes and dtypes) and the outputs of the step. Tensors and
            variables around it may be used; variables may be assigned.
        carry: the first carried values: a tensor or nested structure of tensors.
        inputs: a tensor or nested structure of tensors with equal first lengths, or None.
        length: how many steps; needed only without inputs.
        reverse: start at the last entry; outputs stand where their entries stand.

    Returns:
        The last carried values, and the outputs stacked along a new first axis.

    Raises:
        ShapeError: unequal first lengths, no length, no steps, or a carried value that changes.
        StateError: inside the function, where Python asks a tensor for its numbers.

    Example:
        >>> import chainrule as cr
        >>> total, sums = cr.scan(lambda s, x: (s + x, s + x), 0.0, cr.tensor([1.0, 2.0, 3.0]))
        >>> total.item(), sums.tolist()
        (6.0, [1.0, 3.0, 6.0])

    As ``jax.lax.scan``. Different: variables that the function assigns are carried by themselves,
    and without ``jit`` too the function sees traced tensors.
    """
    first, carry_structure = tree.flatten(carry)
    entries, structure = ([], tree.LEAF) if inputs is None else tree.flatten(inputs)
    starts = [as_tensor(x)._read() for x in first]
    stacks = [as_tensor(x)._read() for x in entries]
    steps = _steps(stacks, length)
    trace = BodyTrace(getattr(function, "__name__", "function"), STATE.trace)
    carried = [trace.argument(x.shape, x) for x in starts]
    scanned = [trace.argument(x.shape[1:], x) for x in stacks]
    entry = None if inputs is None else tree.unflatten(structure, scanned)
    results = _traced(trace, function, tree.unflatten(carry_structure, carried), entry)
    new, new_structure = tree.flatten(results[0])
    if new_structure != carry_structure:
        raise ShapeError(
            "scan", "the carried values change their structure",
            got=repr(new_structure), expected=repr(carry_structure),
        )  # fmt: skip
    outputs, output_structure = tree.flatten(results[1])
    outputs = [] if results[1] is None else outputs
    new = [as_tensor(x, start.dtype) for x, start in zip(new, starts, strict=True)]
    ends = [trace.lift(x) for x in [*new, *trace.finals(), *map(as_tensor, outputs)]]
    body, operands, count = trace.finish(ends, len(starts), len(stacks))
    last = _checked(starts, body.outputs)
    values = hoisted(body, operands, count, len(stacks), steps, reverse)
    for variable, value in zip(trace.assigned, values[last:count], strict=True):
        variable.assign(value)
    stacked = None if results[1] is None else tree.unflatten(output_structure, values[count:])
    return tree.unflatten(carry_structure, values[:last]), stacked


def _traced(trace: BodyTrace, function: Callable[..., Any], carry: Any, entry: Any) -> Any:
    outer, STATE.trace = STATE.trace, trace
    try:
        with paused_tapes():
            results = function(carry, entry)
    finally:
        STATE.trace = outer
    if not isinstance(results, tuple) or len(results) != 2:
        raise StateError(
            "scan", "the function returns something else", got=type(results).__name__,
            expected="a pair: the new carried values and the outputs of the step",
        )  # fmt: skip
    return results


def _checked(starts: Sequence[Tensor], ends: Sequence[Value]) -> int:
    for start, end in zip(starts, ends, strict=False):
        if (start.shape, start.dtype) != (end.shape, end.dtype):
            raise ShapeError(
                "scan",
                "a carried value changes its shape or dtype",
                got=str(end.type),
                expected=f"{start.dtype.name}[{', '.join(map(str, start.shape))}]",
                fix="start with a value of the shape and dtype that the function returns",
            )
    return len(starts)


def _steps(stacks: Sequence[Tensor], length: int | None) -> int:
    lengths = {x.shape[0] if x.shape else 0 for x in stacks}
    if length is not None:
        lengths.add(operator.index(length))
    if len(lengths) != 1 or min(lengths) < 1:
        raise ShapeError(
            "scan",
            "no number of steps",
            got=f"inputs of shapes {[x.shape for x in stacks]}, length {length}",
            expected="inputs of one first length of at least 1, or a length",
        )
    return lengths.pop()


class BodyTrace(Trace):
    """The graph of a loop's body; what it uses from around the loop becomes a constant input."""

    def __init__(self, name: str, outer: Trace | None) -> None:
        super().__init__(name)
        self.outer = outer
        self._tapes = STATE.tapes
        self._operands: list[Tensor] = []
        self._captured: dict[int, Value] = {}
        self._first: dict[int, Value] = {}

    def argument(self, shape: tuple[int, ...], operand: Tensor) -> Tensor:
        """A carried or scanned input."""
        self._operands.append(operand)
        return Tensor(self.builder.input(shape, operand.dtype))

    def lift(self, tensor: Tensor) -> Value:
        """The body's value of a tensor, which may come from outside."""
        if isinstance(tensor, Variable):
            tensor = self.read(tensor)
        payload = tensor._payload
        if isinstance(payload, Value) and payload.owner is self.builder:
            return payload
        if not isinstance(payload, Value) and tensor.size == 1 and not self._is_taped(tensor):
            return self.builder.constant(payload)
        if id(tensor) not in self._captured:
            self._captured[id(tensor)] = self.builder.input(tensor.shape, tensor.dtype)
            self._operands.append(tensor)
        return self._captured[id(tensor)]

    def _is_taped(self, tensor: Tensor) -> bool:
        return any(tape.follows(tensor) for tape in self._tapes)

    def read(self, variable: Variable) -> Tensor:
        """A variable's value: what the body assigned, else the one from outside."""
        current = self._current.get(id(variable))
        if current is None:
            outer, STATE.trace = STATE.trace, self.outer
            tapes, STATE.tapes = STATE.tapes, self._tapes
            try:
                outside = variable._read()
            finally:
                STATE.trace, STATE.tapes = outer, tapes
            value = self._first[id(variable)] = self.builder.input(outside.shape, outside.dtype)
            self._operands.append(outside)
            current = self._current[id(variable)] = Tensor(value)
        return current

    def assign(self, variable: Variable, value: Tensor) -> None:
        """The variable becomes a carried value."""
        self.read(variable)
        super().assign(variable, value)

    def finals(self) -> list[Tensor]:
        """What the assigned variables are at the end of a step."""
        return [self._current[id(variable)] for variable in self.assigned]

    def finish(
        self, ends: Sequence[Value], carried: int, scanned: int
    ) -> tuple[Graph, list[Tensor], int]:
        """The body, its operands in the same order, and how many are carried."""
        values = self.builder.inputs
        firsts = [self._first[id(variable)] for variable in self.assigned]
        others = [v for v in values[carried + scanned :] if v not in firsts]
        order = [*values[:carried], *firsts, *values[carried : carried + scanned], *others]
        operand = dict(zip(values, self._operands, strict=True))
        graph = Graph(order, self.builder.nodes, ends, self.builder.name)
        alive = Graph(order, live_nodes(graph), ends, graph.name)
        return alive, [operand[v] for v in order], carried + len(firsts)
