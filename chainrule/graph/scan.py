"""The type rule of ``scan``, the one loop of the language."""

from __future__ import annotations

import weakref

from chainrule.errors import DTypeError, GraphError, ShapeError
from chainrule.graph.fingerprint import fingerprint
from chainrule.graph.graph import Graph, ValueType


def scan_types(
    *inputs: ValueType, body: Graph, carried: int, scanned: int, length: int, reverse: bool
) -> tuple[ValueType, ...]:
    """The outputs of a loop: the last carried values, then what every step put out, stacked along
    a new first axis.

    The body takes (carried values, one entry of each scanned input, constants) and returns (new
    carried values, outputs of the step).
    """
    if len(inputs) != len(body.inputs) or not 0 <= carried + scanned <= len(inputs) or length < 1:
        raise GraphError(
            "scan",
            "the inputs do not fit the body",
            got=f"{len(inputs)} inputs, length {length}",
            expected=f"{len(body.inputs)} inputs, length of at least 1",
        )
    for place, (given, value) in enumerate(zip(inputs, body.inputs, strict=True)):
        shape = given.shape
        if carried <= place < carried + scanned:
            if shape[:1] != (length,):
                raise ShapeError("scan", "wrong first length", got=shape, expected=f"({length}, …)")
            shape = shape[1:]
        if shape != value.shape:
            raise ShapeError("scan", "wrong shape of an input", got=shape, expected=value.shape)
        if given.dtype != value.dtype:
            raise DTypeError(
                "scan",
                "wrong dtype of an input",
                got=given.dtype.name,
                expected=value.dtype.name,
            )
    types = [value.type for value in body.outputs]
    for place in range(carried):
        if types[place] != inputs[place]:
            raise ShapeError(
                "scan",
                "a carried value changes its type",
                got=str(types[place]),
                expected=str(inputs[place]),
                fix="return a new value of the shape and dtype of the first one",
            )
    stacked = [ValueType((length, *t.shape), t.dtype) for t in types[carried:]]
    return (*types[:carried], *stacked)


_BODIES: weakref.WeakValueDictionary[bytes, Graph] = weakref.WeakValueDictionary()


def shared_body(body: Graph) -> Graph:
    """One graph object for all bodies that compute the same, so that equal loops are found by
    comparing attributes.
    """
    return _BODIES.setdefault(fingerprint(body), body)
