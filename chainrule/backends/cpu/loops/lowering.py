"""From a ``scan`` node to a loop's kernel: the body's plan, its blocks of rows, its memory."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from chainrule.backends.cpu.loops.kernel import Carried, Fixed, Loop, Stepped
from chainrule.backends.cpu.loops.rows import batch_inputs, with_rows
from chainrule.backends.cpu.memory import ALIGNMENT, place
from chainrule.dtypes import UINT8
from chainrule.graph.graph import Graph, Node, Value

if TYPE_CHECKING:
    from chainrule.backends.cpu.plan import Plan

# Rows of a block: enough for a tile of a product; not more than so many blocks.
_LEAST_ROWS, _MOST_PIECES = 16, 8


def add_loop(plan: Plan, node: Node[Value]) -> None:
    """Append the kernel of a loop to a plan."""
    _Lowering(plan, node).add()


class _Lowering:
    def __init__(self, plan: Plan, node: Node[Value]) -> None:
        self.plan, self.node = plan, node
        body: Graph = node.attributes["body"]
        self.length: int = node.attributes["length"]
        self.first: int = node.attributes["carried"]
        self.last = self.first + node.attributes["scanned"]
        self.views = [plan.readable(x) for x in node.inputs]
        self.is_batch = batch_inputs(body, self.last) or [False] * len(body.inputs)
        self.rows = body.inputs[0].shape[0] if self.is_batch[0] else 0
        self.block = min(self.rows, max(_LEAST_ROWS, -(-self.rows // _MOST_PIECES)))
        self.pieces = -(-self.rows // self.block) if self.rows else 1
        if self.pieces > 1:
            body = with_rows(body, self.is_batch, self.block)
        self._lay_out()
        strides = [self._strides(i) for i in range(len(self.views))]
        # What is put out at each step may be carried too: then it stands in one place.
        outputs = list(body.outputs[self.first :])
        self.places = []
        for value in body.outputs[: self.first]:
            if value not in body.outputs[self.first :]:
                self.places.append(len(outputs))
                outputs.append(value)
            else:
                self.places.append(outputs.index(value))
        step = Graph(body.inputs, body.nodes, outputs, body.name)
        self.body = type(plan)(step, plan.target, strides)

    def _lay_out(self) -> None:
        """Copies where the body could not read well: carried values and weights in C order."""
        for i, view in enumerate(self.views):
            carried = i < self.first
            constant = i >= self.last and not self.is_batch[i]
            if (carried or constant) and not view.is_contiguous:
                self.views[i] = self.plan.in_order(view)

    def _strides(self, place: int) -> tuple[int, ...]:
        strides = self.views[place].strides
        return strides[1:] if self.first <= place < self.last else strides

    def add(self) -> None:
        """Make the kernel and its memory."""
        plan, body = self.plan, self.body
        offsets, size = place(body)
        size += -size % ALIGNMENT
        arena = plan.temporary(UINT8, (self.pieces * size,))
        stacked = self.node.outputs[self.first :]
        outputs = [
            Stepped(view.buffer, plan.make(value))
            for value, view in zip(stacked, body.outputs, strict=False)
        ]
        carried = []
        for i, (value, where) in enumerate(
            zip(self.node.outputs[: self.first], self.places, strict=True)
        ):
            view = body.outputs[where]
            size = view.dtype.itemsize * math.prod(view.shape)
            spare = None
            if where >= len(outputs):
                spare = plan.temporary(UINT8, (self.pieces * 2 * size,))
            read = body.inputs[i].buffer
            last = plan.make(value)
            carried.append(Carried(read, view.buffer, self.views[i], last, spare, size))
        entries = [
            Stepped(body.inputs[i].buffer, self.views[i]) for i in range(self.first, self.last)
        ]
        loop = Loop(
            body, self.length, self.node.attributes["reverse"],
            self.rows, self.block,
            carried, entries, outputs, self._fixed(), arena, offsets, self.node.scope,
        )  # fmt: skip
        plan.add(loop)

    def _fixed(self) -> list[Fixed]:
        plan, body = self.plan, self.body
        fixed = [
            Fixed(body.inputs[i].buffer, self.views[i], self.is_batch[i])
            for i in range(self.last, len(self.views))
        ]
        for number, buffer in enumerate(body.buffers):
            if buffer.kind == "constant":
                assert buffer.array is not None
                fixed.append(Fixed(number, plan.constant(buffer.array), False))
            elif buffer.kind == "error":
                fixed.append(Fixed(number, plan.error, False))
        return fixed
