"""From a graph to kernels: which nodes run together, and which values stand in memory where.

Layout primitives are views wherever strides can say them. Elementwise nodes join the latest group
of their shape that runs after everything they read; a reduction joins the group that computes what
it reduces. Values used inside their group only never reach memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from chainrule.backends.cpu import views
from chainrule.backends.cpu.bodies import COMBINED_BY
from chainrule.backends.cpu.contraction import Contraction
from chainrule.backends.cpu.convolution import add_convolution
from chainrule.backends.cpu.elementwise import ELEMENTWISE
from chainrule.backends.cpu.epilogues import fuse_epilogues
from chainrule.backends.cpu.groups import Group, Reduction
from chainrule.backends.cpu.ir import Function
from chainrule.backends.cpu.loops import add_loop
from chainrule.backends.cpu.matmul import Matmul
from chainrule.backends.cpu.movement import MOVEMENTS, Movement
from chainrule.backends.cpu.recomputation import compute_where_read
from chainrule.backends.cpu.rowgroups import fuse_row_groups, fuse_sums
from chainrule.backends.cpu.rowtiles import fuse_row_tiles
from chainrule.backends.cpu.target import Target
from chainrule.backends.cpu.views import View
from chainrule.backends.cpu.whole_sums import split_whole_sums
from chainrule.backends.cpu.windows import WINDOWS, add_windows
from chainrule.backends.cpu.winograd import WinogradConvolution
from chainrule.dtypes import INT64
from chainrule.errors import GraphError
from chainrule.graph.builder import GraphBuilder
from chainrule.graph.graph import Graph, Node, Value, ValueType

# Owns the values that stand for copied elements: they belong to no graph.
_NOWHERE = GraphBuilder("nowhere")

# Arithmetic on numbers known beforehand: NumPy gives the same bits.
_FOLDED = {
    "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide,
    "negative": np.negative,
}  # fmt: skip


class Kernel(Protocol):
    """One function of the program, run once for each of its pieces, in any order, by any thread."""

    def pieces(self, target: Target) -> int:
        """How many."""

    def buffers_read(self) -> set[int]:
        """The buffers it reads."""

    def buffers_written(self) -> set[int]:
        """The buffers it writes."""

    def updates(self, source: int, target: int) -> bool:
        """Whether it writes each element of ``target`` after it has read that element of
        ``source`` for the last time: then both may be the same memory.
        """

    def emit(self, name: str, target: Target) -> Function:
        """Its IR."""


@dataclass
class Buffer:
    """A piece of memory of the program."""

    kind: Literal["input", "output", "constant", "temporary", "error", "flag"]
    dtype: np.dtype[Any]
    size: int
    array: NDArray[Any] | None = None


class Plan:
    """The kernels of a graph in order, its buffers, and where inputs and outputs stand.

    Args:
        graph: what to compute.
        target: the processor.
        strides: how the inputs stand in memory; in C order by default.
    """

    def __init__(
        self, graph: Graph, target: Target, strides: Sequence[views.Shape] | None = None
    ) -> None:
        self.graph = graph
        self.target = target
        self.buffers: list[Buffer] = []
        self.kernels: list[Kernel] = []
        # Kernels that may rest after a call's first step, and the places of their flags.
        self.once: dict[Kernel, int] = {}
        self._views: dict[Value, View] = {}
        self._home: dict[Value, tuple[int, Group]] = {}
        self._numbers: dict[Value, float] = {}
        self._written_by: dict[int, int] = {}
        self._padded: dict[object, View] = {}
        # What stood at the maxima of windows before it was scattered; nothing fell into padding.
        self._scattered: dict[Value, Value] = {}
        self.error = self._new("error", INT64, (1,))
        steps = strides or [views.contiguous_strides(value.shape) for value in graph.inputs]
        self.inputs = [self._input(v, step) for v, step in zip(graph.inputs, steps, strict=True)]
        for node in graph:
            self._add(node)
        self.outputs = [self._output(value) for value in graph.outputs]
        fuse_row_tiles(self)
        fuse_row_groups(self)
        compute_where_read(self)
        fuse_epilogues(self)
        fuse_sums(self)
        split_whole_sums(self)
        self.phases = self._phases()

    def _phases(self) -> list[list[int]]:
        """The kernels in runs that do not depend on each other: threads wait only between runs."""
        phases: list[list[int]] = []
        read: set[int] = set()
        written: set[int] = set()
        for position, kernel in enumerate(self.kernels):
            reads = kernel.buffers_read()
            # Inputs may be updated in place: see ``Blueprint.in_place``.
            writes = kernel.buffers_written() | self._updated(kernel)
            if not phases or reads & written or writes & (read | written):
                phases.append([])
                read, written = set(), set()
            phases[-1].append(position)
            read |= reads
            written |= writes
        return phases

    def _updated(self, kernel: Kernel) -> set[int]:
        """The inputs that stand where an output of this kernel may stand."""
        outputs = [b for b in kernel.buffers_written() if self.buffers[b].kind == "output"]
        return {
            source
            for source in kernel.buffers_read()
            if self.buffers[source].kind == "input"
            and any(self._fit(source, b) and kernel.updates(source, b) for b in outputs)
        }

    def _fit(self, one: int, other: int) -> bool:
        x, y = self.buffers[one], self.buffers[other]
        return (x.dtype, x.size) == (y.dtype, y.size)

    def view_of(self, value: Value) -> View | None:
        """Where a value of the graph stands in memory, if it does."""
        return self._views.get(value)

    def readers(self, buffer: int) -> list[Kernel]:
        """The kernels that read a buffer."""
        return [kernel for kernel in self.kernels if buffer in kernel.buffers_read()]

    def split_reductions(self, group: Group) -> Group:
        """Take a group's reductions out, into a group that reads what they reduce from memory."""
        sums = Group(group.shape, error=self.error, reductions=group.reductions)
        group.reductions = []
        for reduction in sums.reductions:
            value = reduction.source
            sums.leaves[value] = group.leaves[value] if value in group.leaves else self._view(value)
        return sums

    # ---- buffers

    def need_not_repeat(self, kernel: Kernel) -> None:
        """Let a kernel rest after the first step of a call as long as what it reads stays the same;
        what it writes is kept.
        """
        self.once[kernel] = self._new("flag", INT64, (1,)).buffer

    def _new(self, kind: Any, dtype: np.dtype[Any], shape: views.Shape, array: Any = None) -> View:
        size = int(np.prod(shape, dtype=np.int64))
        self.buffers.append(Buffer(kind, dtype, size, array))
        return views.contiguous(len(self.buffers) - 1, dtype, shape)

    def temporary(self, dtype: np.dtype[Any], shape: views.Shape) -> View:
        """Memory for values in between."""
        return self._new("temporary", dtype, shape)

    def _input(self, value: Value, strides: views.Shape) -> View:
        view = replace(self._new("input", value.dtype, value.shape), strides=strides)
        self._views[value] = view
        return view

    def _output(self, value: Value) -> View:
        """A buffer that holds just this output, in C order."""
        view = self._view(value)
        owner = self.buffers[view.buffer]
        if (
            owner.kind == "temporary"
            and view.is_contiguous
            and view.offset == 0
            and owner.size == value.size
        ):
            owner.kind = "output"
            return view
        target = self._new("output", value.dtype, value.shape)
        self._copy(view, target)
        return target

    # ---- nodes

    def _add(self, node: Node[Value]) -> None:
        name = node.primitive.name
        if name == "constant":
            self._constant(node)
        elif name in ELEMENTWISE:
            self._elementwise(node)
        elif name in COMBINED_BY:
            self._reduce(node)
        elif name in MOVEMENTS:
            self._movement(node)
        elif (layout := getattr(self, f"_layout_{name}", None)) is not None:
            layout(node)
        elif name == "matmul":
            self._matmul(node)
        elif name.startswith("convolution"):
            self._window(node, add_convolution)
        elif name in WINDOWS:
            self._window(node, add_windows)
        elif name == "scan":
            add_loop(self, node)
        else:
            raise GraphError(
                node.scope or name,
                f"the cpu back end has no lowering of {name!r}",
                fix="use config.backend = 'reference'",
            )

    def _constant(self, node: Node[Value]) -> None:
        value, array = node.outputs[0], node.attributes["value"]
        if array.size == 1:
            self._numbers[value] = array.item()
        contents = np.ascontiguousarray(array).reshape(array.shape)
        self._views[value] = self._new("constant", value.dtype, value.shape, contents)

    def _ready(self, value: Value) -> int:
        """The first position at which a kernel may stand that reads this value from memory."""
        if value in self._home:
            return self._home[value][0] + 1
        return self._written_by.get(self._views[value].buffer, -1) + 1

    def _elementwise(self, node: Node[Value]) -> None:
        value = node.outputs[0]
        if node.primitive.name in _FOLDED and all(x in self._numbers for x in node.inputs):
            inputs = [np.asarray(self._numbers[x], x.dtype) for x in node.inputs]
            with np.errstate(all="ignore"):
                result = np.asarray(_FOLDED[node.primitive.name](*inputs), value.dtype)
            self._numbers[value] = result.item()
            place = self._new("constant", value.dtype, (), result)
            self._views[value] = views.broadcast(place, value.shape)
            return
        position, group = self._group_for(value.shape, node.inputs)
        for x in node.inputs:
            self._bring(group, x)
        group.nodes[value] = node
        self._home[value] = (position, group)

    def _group_for(self, shape: views.Shape, inputs: tuple[Value, ...]) -> tuple[int, Group]:
        """The group that a node joins: the one that computes most of its inputs, else the latest
        possible.
        """
        # Work on a product stays by itself: it can become that product's epilogue.
        products = any(x.shape == shape and self._is_product(x) for x in inputs)
        best: tuple[int, int, Group] | None = None
        for position in range(len(self.kernels) - 1, -1, -1):
            group = self.kernels[position]
            outside = [x for x in inputs if x not in self._numbers and not self._is_in(x, group)]
            if any(self._ready(x) > position for x in outside):
                break
            if isinstance(group, Group) and group.shape == shape and group not in self.once:
                inside = 2 * sum(self._is_in(x, group) for x in inputs)
                inside += sum(x in group.leaves for x in inputs)
                if (inside or not products) and (best is None or inside > best[0]):
                    best = (inside, position, group)
        if best is not None:
            return best[1], best[2]
        fresh = Group(shape, error=self.error)
        return self._append(fresh), fresh

    def _is_product(self, value: Value) -> bool:
        if value in self._home or value in self._numbers:
            return False
        position = self._written_by.get(self._views[value].buffer, -1)
        products = Contraction | WinogradConvolution
        return position >= 0 and isinstance(self.kernels[position], products)

    def _is_in(self, value: Value, group: Kernel) -> bool:
        return value in self._home and self._home[value][1] is group

    def _append(self, kernel: Kernel) -> int:
        self.kernels.append(kernel)
        position = len(self.kernels) - 1
        for buffer in kernel.buffers_written():
            self._written_by[buffer] = position
        return position

    def _bring(self, group: Group, value: Value) -> None:
        """Make a value available inside a group."""
        if self._is_in(value, group) or value in group.leaves:
            return
        if value in self._numbers:
            group.numbers[value] = self._numbers[value]
        else:
            group.leaves[value] = self._view(value)

    def _view(self, value: Value) -> View:
        """Where a value stands in memory; a group that has computed it is made to store it."""
        if value not in self._views:
            position, group = self._home[value]
            view = self._new("temporary", value.dtype, value.shape)
            group.stores[value] = view
            self._written_by[view.buffer] = position
            self._views[value] = view
        return self._views[value]

    def _reduce(self, node: Node[Value]) -> None:
        source, value = node.inputs[0], node.outputs[0]
        axes = node.attributes["axes"]
        if node.primitive.name == "reduce_sum" and set(axes) == set(range(len(source.shape) - 1)):
            # What was scattered over all places has the sum of what is scattered.
            source = self._scattered.get(source, source)
        if source in self._home and all(
            r.node.attributes["axes"] == axes for r in self._home[source][1].reductions
        ):
            position, group = self._home[source]
        else:
            group = Group(source.shape, error=self.error)
            self._bring(group, source)
            position = self._append(group)
        target = self._new("temporary", value.dtype, value.shape)
        group.reductions.append(Reduction(node, source, target))
        self._written_by[target.buffer] = position
        self._views[value] = target

    def _movement(self, node: Node[Value]) -> None:
        inputs = tuple(self._view(x) for x in node.inputs)
        value = node.outputs[0]
        target = self._new("temporary", value.dtype, value.shape)
        scratch = None
        if node.primitive.name == "argsort":
            scratch = self._new("temporary", INT64, (value.shape[node.attributes["axis"]],))
        kernel = Movement(node.primitive.name, node.attributes, inputs, target, self.error, scratch)
        self._views[value] = target
        self._append(kernel)

    def _matmul(self, node: Node[Value]) -> None:
        left, right = (self._view(x) for x in node.inputs)
        value = node.outputs[0]
        batch = value.shape[:-2]
        left = views.broadcast(left, (*batch, *left.shape[-2:]))
        right = views.broadcast(right, (*batch, *right.shape[-2:]))
        target = self._new("temporary", value.dtype, value.shape)
        self._views[value] = target
        self.add_contraction(Matmul(left, right, target, node.scope))

    def _window(self, node: Node[Value], add: Callable[..., None]) -> None:
        inputs = [self._view(x) for x in node.inputs]
        value = node.outputs[0]
        self._views[value] = target = self._new("temporary", value.dtype, value.shape)
        add(self, node, inputs, target)
        if node.primitive.name == "window_scatter" and not any(
            map(any, node.attributes["padding"])
        ):
            self._scattered[value] = node.inputs[1]

    def add(self, kernel: Kernel) -> None:
        """Append a kernel."""
        self._append(kernel)

    def readable(self, value: Value) -> View:
        """Where a value stands in memory, stored there if it is not yet."""
        return self._view(value)

    def make(self, value: Value) -> View:
        """New memory for a value that a kernel to come writes."""
        self._views[value] = target = self._new("temporary", value.dtype, value.shape)
        return target

    def constant(self, array: NDArray[Any]) -> View:
        """Numbers known beforehand."""
        return self._new("constant", array.dtype, array.shape, array)

    def in_order(self, view: View) -> View:
        """A copy of a view in C order."""
        target = self._new("temporary", view.dtype, view.shape)
        self._copy(view, target)
        return target

    def without_gaps(self, view: View) -> View:
        """The view, or a copy of it in which elements of the last axis stand side by side."""
        if view.strides[-1] == 1 or view.shape[-1] == 1:
            return view
        target = self._new("temporary", view.dtype, view.shape)
        self._copy(view, target)
        return target

    def add_contraction(self, kernel: Contraction) -> None:
        """Append a contraction with the memory that it needs besides its views."""
        if kernel.is_packed:
            depth = kernel.depth // max(kernel.inner[0], 1) * kernel.chunk
            shape = (kernel.pieces(self.target), depth, kernel.panel_width(self.target))
            kernel.panel = self._new("temporary", kernel.target.dtype, shape)
        if kernel.needs_table:
            offsets = np.array(kernel.offsets(), np.int64)
            kernel.table = self._new("constant", INT64, offsets.shape, offsets)
        self._append(kernel)

    def zeros(self, target: View) -> None:
        """Fill with zeros."""
        self._copy(views.broadcast(self._zero(target.dtype), target.shape), target)

    def _zero(self, dtype: np.dtype[Any]) -> View:
        return self._new("constant", dtype, (), np.zeros((), dtype))

    def zeros_around(
        self, source: View, low: views.Shape, high: views.Shape, *, keep: bool
    ) -> View:
        """A copy with zeros before and behind. The same copy is made once, and zeros to ``keep``
        once for many steps.
        """
        key = (source, low, high)
        if key in self._padded:
            return self._padded[key]
        shape = tuple(a + n + b for a, n, b in zip(low, source.shape, high, strict=True))
        self._padded[key] = target = self._new("temporary", source.dtype, shape)
        first = len(self.kernels)
        self._pad(source, target, self._zero(source.dtype), low, (1,) * len(low))
        if keep:
            self.need_not_repeat(self.kernels[first])
        return target

    # ---- layout

    def _layout_reshape(self, node: Node[Value]) -> None:
        source, value = node.inputs[0], node.outputs[0]
        if source in self._numbers:
            self._numbers[value] = self._numbers[source]
        view = self._view(source)
        reshaped = views.reshape(view, value.shape)
        if reshaped is None:
            target = self._new("temporary", value.dtype, source.shape)
            self._copy(view, target)
            reshaped = views.reshape(target, value.shape)
        assert reshaped is not None
        self._views[value] = reshaped

    def _layout_broadcast_to(self, node: Node[Value]) -> None:
        source, value = node.inputs[0], node.outputs[0]
        if source in self._numbers:
            self._numbers[value] = self._numbers[source]
        self._views[value] = views.broadcast(self._view(source), value.shape)

    def _layout_transpose(self, node: Node[Value]) -> None:
        view = self._view(node.inputs[0])
        self._views[node.outputs[0]] = views.transpose(view, node.attributes["axes"])

    def _layout_slice(self, node: Node[Value]) -> None:
        view = self._view(node.inputs[0])
        self._views[node.outputs[0]] = views.slice_(view, **node.attributes)

    def _layout_flip(self, node: Node[Value]) -> None:
        view = self._view(node.inputs[0])
        self._views[node.outputs[0]] = views.flip(view, node.attributes["axes"])

    def _layout_pad(self, node: Node[Value]) -> None:
        source, value = self._view(node.inputs[0]), node.outputs[0]
        low, _, interior, fill = (node.attributes[key] for key in node.primitive.attributes)
        target = self._new("temporary", value.dtype, value.shape)
        number = self._new("constant", value.dtype, (), np.full((), fill, value.dtype))
        self._pad(source, target, number, low, tuple(gap + 1 for gap in interior))
        self._views[value] = target

    def _pad(
        self, source: View, target: View, fill: View, low: views.Shape, step: views.Shape
    ) -> None:
        """Fill the target, then copy the source into it."""
        self._copy(views.broadcast(fill, target.shape), target)
        stop = tuple(
            first + max((count - 1) * s + 1, 0) if count else first
            for first, count, s in zip(low, source.shape, step, strict=True)
        )
        self._copy(source, views.slice_(target, low, stop, step))

    def _layout_concatenate(self, node: Node[Value]) -> None:
        value, axis = node.outputs[0], node.attributes["axis"]
        target = self._new("temporary", value.dtype, value.shape)
        begin = [0] * len(value.shape)
        writers = []
        for x in node.inputs:
            end = [a + n for a, n in zip(begin, x.shape, strict=True)]
            step = (1,) * len(begin)
            writers.append(self._put(x, views.slice_(target, tuple(begin), tuple(end), step)))
            begin[axis] += x.shape[axis]
        self._written_by[target.buffer] = max(writers)
        self._views[value] = target

    def _put(self, value: Value, place: View) -> int:
        """Write a value to a place: the group that computes it does, if it stands nowhere yet.
        Returns the position of the kernel that does.
        """
        if value in self._home and value not in self._views:
            position, group = self._home[value]
            group.stores[value] = self._views[value] = place
            return position
        self._copy(self._view(value), place)
        return len(self.kernels) - 1

    def _copy(self, source: View, target: View) -> None:
        """A kernel that moves elements from one view to another."""
        group = Group(source.shape, error=self.error)
        value = Value(ValueType(source.shape, source.dtype), _NOWHERE)
        group.leaves[value] = source
        group.stores[value] = target
        self._append(group)
