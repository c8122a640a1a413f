"""Every value looked at while it is computed: ``config.check == "debug"``.

Shape and dtype must be those that the graph declares, indices must lie inside their axis, and
finite numbers must not make one that is not finite.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from chainrule.backends.reference.kernels import KERNELS, QUIET
from chainrule.errors import ArgumentError, ChainruleError, GraphError, NotFiniteError
from chainrule.graph.graph import Graph, Value, ValueType
from chainrule.graph.operand import Attributes
from chainrule.graph.primitives import PRIMITIVES

Arrays = Sequence[NDArray[Any]]


class Place(NamedTuple):
    """Where something is computed: a primitive, its layer, and the step of a loop around it."""

    operation: str
    layer: str = ""
    time: int | None = None

    def __str__(self) -> str:
        where = f"{self.layer}: {self.operation}" if self.layer else self.operation
        return where if self.time is None else f"{where}, step {self.time} of the loop"


def checked_values(
    graph: Graph, inputs: Arrays, layer: str = "", time: int | None = None
) -> dict[Value, NDArray[Any]]:
    """All values of a graph for these inputs, each of them checked.

    Args:
        graph: what is computed.
        inputs: its inputs.
        layer: of the loop whose body the graph is; nodes without a layer have this one.
        time: the step of that loop.

    Raises:
        ArgumentError: an index outside its axis.
        GraphError: a kernel gave another shape or dtype than declared.
        NotFiniteError: finite numbers made one that is not finite.
    """
    values: dict[Value, NDArray[Any]] = {}
    for i, (value, x) in enumerate(zip(graph.inputs, inputs, strict=True)):
        _check_type(Place(f"input {value.name or i}", layer, time), x, value.type)
        values[value] = x
    for node in graph:
        outputs = checked_call(
            Place(node.primitive.name, node.scope or layer, time),
            [values[value] for value in node.inputs],
            node.attributes,
            [value.type for value in node.outputs],
        )
        values.update(zip(node.outputs, outputs, strict=True))
    return values


def checked_call(
    place: Place, inputs: Arrays, attributes: Attributes, types: Sequence[ValueType]
) -> list[NDArray[Any]]:
    """What the kernel of a primitive gives, checked; errors as in ``checked_values``."""
    check_indices(place, inputs, attributes)
    result: Any
    try:
        if place.operation == "scan":
            result = _loop(place, inputs, **attributes)
        else:
            result = QUIET.copy().run(KERNELS[place.operation], *inputs, **attributes)
    except NotFiniteError:
        raise
    except ChainruleError as error:
        if error.where != place.operation:
            raise
        raise type(error)(
            str(place), error.what, got=error.got, expected=error.expected, fix=error.fix
        ) from error
    except Exception as error:
        raise GraphError(str(place), f"the kernel failed: {error}") from error
    outputs = list(result) if isinstance(result, tuple) else [result]
    check_results(place, inputs, attributes, outputs, types)
    return [np.asarray(x) for x in outputs]


def check_indices(place: Place, inputs: Arrays, attributes: Attributes) -> None:
    """Raise ArgumentError for an index outside the axis that it goes into."""
    if place.operation not in ("take", "scatter_add"):
        return
    source, indices = inputs[:2]
    length = source.shape[attributes["axis"]]
    wrong = indices >= length
    if indices.dtype.kind == "i":
        wrong |= indices < -length
    if not wrong.any():
        return
    where = _first(wrong)
    index = int(indices[where])
    got = f"{index} at {where}" if where else f"{index}"
    if indices.dtype == np.uint32 and index >= 1 << 31:
        got += f" ({index - (1 << 32)} with a sign)"
    raise ArgumentError(
        str(place), "index out of range", got=got,
        expected=f"{-length} to {length - 1}, for {length} entries",
    )  # fmt: skip


def check_results(
    place: Place,
    inputs: Arrays,
    attributes: Attributes,
    outputs: Sequence[Any],
    types: Sequence[ValueType],
) -> None:
    """Raise GraphError for another shape or dtype, NotFiniteError where finite numbers made one
    that is not.
    """
    if len(outputs) != len(types):
        raise GraphError(
            str(place), "wrong number of results", got=len(outputs), expected=len(types)
        )
    for x, value_type in zip(outputs, types):
        _check_type(place, x, value_type)
    if place.operation == "constant" or not np.isfinite(attributes.get("value", 0.0)).all():
        return  # an infinity that stands in the program is meant
    given = [x for x in inputs if x.dtype.kind == "f"]
    if any(np.isnan(x).any() for x in given):
        return
    # What comes of an infinity may be one.
    infinite = not all(np.isfinite(x).all() for x in given)
    for x in map(np.asarray, outputs):
        if x.dtype.kind == "f":
            wrong = np.isnan(x) if infinite else ~np.isfinite(x)
            if wrong.any():
                raise _not_finite_error(place, inputs, x, _first(wrong))


def _not_finite_error(
    place: Place, inputs: Arrays, result: NDArray[Any], where: tuple[int, ...]
) -> NotFiniteError:
    got = f"{result[where]} at {where}" if where else f"{result[where]}"
    if PRIMITIVES[place.operation].kind == "elementwise":
        numbers = [np.broadcast_to(x, result.shape)[where] for x in inputs]
        got += " from " + " and ".join(f"{x:g}" for x in numbers)
    return NotFiniteError(
        str(place), "finite numbers made one that is not finite", got=got,
        expected="a finite number",
    )  # fmt: skip


def _first(mask: NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(mask)[0])


def _check_type(place: Place, x: Any, expected: ValueType) -> None:
    found = ValueType(np.shape(x), getattr(x, "dtype", np.dtype(object)))
    if found != expected:
        raise GraphError(
            str(place), "a value of another type than declared", got=found, expected=expected
        )


def _loop(
    place: Place, inputs: Arrays, *, body: Graph, carried: int, scanned: int, length: int,
    reverse: bool,
) -> tuple[NDArray[Any], ...]:  # fmt: skip
    """A loop step by step; entries are taken, and results put, in the order of steps."""
    state = list(inputs[:carried])
    entries, constants = inputs[carried : carried + scanned], inputs[carried + scanned :]
    stacks = [np.empty((length, *v.shape), v.dtype) for v in body.outputs[carried:]]
    for step in reversed(range(length)) if reverse else range(length):
        given = [*state, *(x[step] for x in entries), *constants]
        values = checked_values(body, given, place.layer, step)
        results = [values[value] for value in body.outputs]
        state = results[:carried]
        for stack, result in zip(stacks, results[carried:], strict=True):
            stack[step] = result
    return (*state, *stacks)
