"""Whether the rows of a loop's body are independent of each other, and the body for fewer rows.

The first axis of everything that is carried or scanned may be the batch. If no node of the body
mixes what stands at different places of it, threads can run whole loops side by side, each on rows
of its own, and never wait for each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

from chainrule.backends.cpu.bodies import COMBINED_BY
from chainrule.graph.builder import GraphBuilder
from chainrule.graph.graph import Graph, Node, Value


class Rows(Enum):
    """What the first axis of a value is."""

    BATCH = 1  # a row of the batch
    NONE = 2  # the value is the same for all rows
    OPEN = 3  # a constant input that may be either


class _MixedError(Exception):
    """A node reads several rows for one."""


def batch_inputs(body: Graph, changing: int) -> list[bool] | None:
    """Which inputs of a body have the batch as their first axis; None where rows depend on each
    other.

    Args:
        body: of a loop.
        changing: how many of its first inputs are carried or scanned.
    """
    lengths = {value.shape[:1] for value in body.inputs[:changing]}
    if len(lengths) != 1 or lengths == {()} or lengths == {(1,)}:
        return None
    finder = _Finder(lengths.pop()[0])
    for place, value in enumerate(body.inputs):
        finder.found[value] = Rows.BATCH if place < changing else Rows.OPEN
    try:
        for node in body:
            finder.visit(node)
        for value in body.outputs:
            finder.require(value, Rows.BATCH)
    except _MixedError:
        return None
    return [finder.found[value] is Rows.BATCH for value in body.inputs]


class _Finder:
    """Goes through a body once, noting what the first axis of each value is."""

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.found: dict[Value, Rows] = {}

    def require(self, value: Value, rows: Rows) -> None:
        """The value must be of this kind; an open one becomes so."""
        if self.found[value] is Rows.OPEN:
            if rows is Rows.BATCH and value.shape[:1] != (self.batch,):
                raise _MixedError
            self.found[value] = rows
        elif self.found[value] is not rows:
            raise _MixedError

    def is_batch(self, value: Value) -> bool:
        """Whether the first axis is known to be the batch."""
        return self.found[value] is Rows.BATCH

    def visit(self, node: Node[Value]) -> None:
        """Note what a node's output is."""
        out = node.outputs[0]
        if not any(map(self.is_batch, node.inputs)):
            self._same_for_all(node)
            return
        name = node.primitive.name
        if node.primitive.kind == "elementwise":
            for value in node.inputs:
                aligned = value.ndim == out.ndim and value.shape[0] != 1
                self.require(value, Rows.BATCH if aligned else Rows.NONE)
        else:
            rule = _RULES.get("reduction" if name in COMBINED_BY else name)
            if rule is None:
                raise _MixedError
            rule(self, node)
        self.found[out] = Rows.BATCH

    def _same_for_all(self, node: Node[Value]) -> None:
        if len(node.outputs) != 1:
            raise _MixedError
        out = node.outputs[0]
        for value in node.inputs:
            self.require(value, Rows.NONE)
        repeated = node.primitive.name == "broadcast_to" and out.shape[:1] == (self.batch,)
        if repeated and node.inputs[0].shape[-out.ndim : -out.ndim + 1 or None] != (self.batch,):
            # Every row is the same one: as many of them as one likes.
            self.found[out] = Rows.BATCH
        else:
            self.found[out] = Rows.NONE


def _check(condition: bool) -> None:
    if not condition:
        raise _MixedError


def _matmul(finder: _Finder, node: Node[Value]) -> None:
    left, right = node.inputs
    finder.require(left, Rows.BATCH)
    _check(left.ndim == node.outputs[0].ndim)
    batched = right.ndim == left.ndim > 2 and right.shape[0] != 1
    finder.require(right, Rows.BATCH if batched else Rows.NONE)


def _keeps_first(node: Node[Value], *names: str) -> bool:
    """Whether attributes that hold one number an axis are 0 for the first."""
    return all(node.attributes[name][0] == 0 for name in names)


def _slice(finder: _Finder, node: Node[Value]) -> None:
    a = node.attributes
    _check((a["start"][0], a["stop"][0], a["step"][0]) == (0, finder.batch, 1))


def _pad(finder: _Finder, node: Node[Value]) -> None:
    _check(_keeps_first(node, "low", "high", "interior"))


def _concatenate(finder: _Finder, node: Node[Value]) -> None:
    _check(node.attributes["axis"] != 0)
    for value in node.inputs:
        finder.require(value, Rows.BATCH)


def _reshape(finder: _Finder, node: Node[Value]) -> None:
    _check(node.outputs[0].shape[:1] == (finder.batch,))


def _broadcast(finder: _Finder, node: Node[Value]) -> None:
    _check(node.inputs[0].ndim == node.outputs[0].ndim)


def _along(finder: _Finder, node: Node[Value]) -> None:
    _check(node.attributes["axis"] != 0)


def _axes(finder: _Finder, node: Node[Value]) -> None:
    _check(0 not in node.attributes["axes"])


def _transpose(finder: _Finder, node: Node[Value]) -> None:
    _check(node.attributes["axes"][0] == 0)


def _take(finder: _Finder, node: Node[Value]) -> None:
    x, indices = node.inputs
    if finder.is_batch(x):
        finder.require(indices, Rows.NONE)
        _check(node.attributes["axis"] != 0)
    else:
        finder.require(x, Rows.NONE)
        _check(node.attributes["axis"] == 0)


def _convolution(finder: _Finder, node: Node[Value]) -> None:
    finder.require(node.inputs[0], Rows.BATCH)
    finder.require(node.inputs[1], Rows.NONE)


def _windows(finder: _Finder, node: Node[Value]) -> None:
    for value in node.inputs:
        finder.require(value, Rows.BATCH)


_RULES: dict[str, Callable[[_Finder, Node[Value]], None]] = {
    "matmul": _matmul, "slice": _slice, "pad": _pad, "concatenate": _concatenate,
    "reshape": _reshape, "broadcast_to": _broadcast, "flip": _axes, "transpose": _transpose,
    "reduction": _axes, "argmax": _along, "argmin": _along, "argsort": _along,
    "cumulative_sum": _along, "take": _take, "convolution": _convolution,
    "convolution_input_gradient": _convolution, "window_sum": _windows, "window_max": _windows,
    "window_gather": _windows, "window_scatter": _windows,
}  # fmt: skip


def with_rows(body: Graph, is_batch: Sequence[bool], rows: int) -> Graph:
    """The body for another number of rows of the batch."""
    builder = GraphBuilder(body.name)
    mapping: dict[Value, Value] = {}
    changing = set[Value]()
    for value, batch in zip(body.inputs, is_batch, strict=True):
        shape = (rows, *value.shape[1:]) if batch else value.shape
        mapping[value] = builder.input(shape, value.dtype, value.name)
        if batch:
            changing.add(value)
    full = next(v.shape[0] for v in body.inputs if v in changing)
    # Outputs are rows of the batch, and so is what a node makes of them; see ``_Finder``.
    batch_values = _batch_values(body, is_batch, full)
    for node in body:
        attributes: dict[str, Any] = dict(node.attributes)
        if node.outputs[0] in batch_values:
            if "shape" in attributes:
                attributes["shape"] = (rows, *attributes["shape"][1:])
            if "stop" in attributes:
                attributes["stop"] = (rows, *attributes["stop"][1:])
        with builder.scoped(node.scope):
            inputs = [mapping[v] for v in node.inputs]
            result = builder.append(node.primitive, inputs, attributes)
        outputs = (result,) if len(node.outputs) == 1 else result
        mapping.update(zip(node.outputs, outputs, strict=True))
    return builder.finish([mapping[value] for value in body.outputs])


def _batch_values(body: Graph, is_batch: Sequence[bool], batch: int) -> set[Value]:
    finder = _Finder(batch)
    for value, rows in zip(body.inputs, is_batch, strict=True):
        finder.found[value] = Rows.BATCH if rows else Rows.NONE
    for node in body:
        finder.visit(node)
    return {value for value, rows in finder.found.items() if rows is Rows.BATCH}
