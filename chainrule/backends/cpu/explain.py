"""What a compiled graph does: its kernels, for which layers, how much work and memory traffic, how
long each takes, and why it is a kernel of its own.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.backends.cpu.contraction import Contraction
from chainrule.backends.cpu.depthwise import DepthwiseGradient
from chainrule.backends.cpu.groups import Group
from chainrule.backends.cpu.loops import Loop
from chainrule.backends.cpu.matmul import Matmul
from chainrule.backends.cpu.movement import Movement
from chainrule.backends.cpu.plan import Kernel, Plan
from chainrule.backends.cpu.program import TimedProgram
from chainrule.backends.cpu.row_code import RowGroup
from chainrule.backends.cpu.rowtiles.lines import FeatureMajor
from chainrule.backends.cpu.rowtiles.tiles import RowSums, RowTiles
from chainrule.backends.cpu.windows import Windows
from chainrule.backends.cpu.winograd import Winograd, WinogradConvolution, WinogradProducts
from chainrule.graph.graph import Node, Value

_SECONDS, _MOST_STEPS = 0.05, 1000
_HEADINGS = (
    "", "kernel", "layers", "time", "microseconds", "operations", "bytes read", "written",
    "GFLOP/s", "GB/s", "pieces", "own kernel because",
)  # fmt: skip
_LEFT = ("kernel", "layers", "own kernel because")
_WIDEST = 60
# Kernels that may have an epilogue.
_FINISHING = Contraction | WinogradConvolution | Windows


@dataclass
class _Row:
    kernel: str
    layers: str
    seconds: float
    operations: int
    read: int
    written: int
    pieces: int
    reason: str


def explain(plan: Plan, arena_bytes: int, table: NDArray[np.uintp] | None = None) -> str:
    """A table of the kernels.

    Args:
        plan: the kernels.
        arena_bytes: what intermediate values take.
        table: pointers to memory for all buffers; with it the program is run and timed.
    """
    seconds = [0.0] * len(plan.kernels) if table is None else _measure(plan, table)
    producers = _producers(plan)
    scopes = _scopes(plan)
    rows = [
        _Row(
            _describe(kernel),
            ", ".join(sorted(scopes[i])),
            seconds[i],
            _operations(kernel),
            *_traffic(plan, kernel),
            kernel.pieces(plan.target),
            _reason(plan, kernel, producers[i]),
        )
        for i, kernel in enumerate(plan.kernels)
    ]
    lines = ["cpu back end: native code, kernels in order", *_table(rows, table is not None)]
    lines.append(f"memory for intermediate values: {arena_bytes:,} bytes")
    return "\n".join(lines)


def _measure(plan: Plan, table: NDArray[np.uintp]) -> list[float]:
    """Seconds of a step that each kernel takes, the wait for other threads included."""
    program = TimedProgram(plan)
    program.run(table, 3)
    before = program.seconds()
    begin, steps = time.perf_counter(), 0
    while steps < _MOST_STEPS and time.perf_counter() - begin < _SECONDS:
        program.run(table, 5)
        steps += 5
    order = [i for phase in plan.phases for i in phase]
    found = [0.0] * len(order)
    for i, first, last in zip(order, before, program.seconds(), strict=True):
        found[i] = (last - first) / steps
    return found


# ---- what a kernel computes


def _nodes(kernel: Kernel) -> Iterator[Node[Value]]:
    if isinstance(kernel, Group):
        yield from kernel.nodes.values()
        for reduction in kernel.reductions:
            yield reduction.node
    elif isinstance(kernel, _FINISHING) and kernel.epilogue is not None:
        yield from _nodes(kernel.epilogue)
    elif isinstance(kernel, Loop):
        for inner in kernel.body.kernels:
            yield from _nodes(inner)
    elif isinstance(kernel, RowGroup):
        yield from kernel.nodes
    elif isinstance(kernel, RowTiles):
        for stage in kernel.stages:
            for group in stage.groups:
                yield from _nodes(group.group)


def _products(kernel: Kernel) -> Iterator[tuple[int, int, int]]:
    """Rows, columns and inner length of each matrix product; batches count as more rows."""
    if isinstance(kernel, Contraction):
        yield prod(kernel.target.shape[:-1]), kernel.columns, kernel.depth
    elif isinstance(kernel, RowTiles):
        rows = kernel.layout.rows
        for stage in kernel.stages:
            if stage.product is not None:
                inner, columns = stage.product.right.shape[-2:]
                yield rows, columns, inner
        for gradient in kernel.gradients:
            yield gradient.target.shape[-2], gradient.target.shape[-1], rows


def _operations(kernel: Kernel) -> int:
    """Additions, multiplications and functions of one number, each counted as one."""
    if isinstance(kernel, Loop):
        of_step = sum(_operations(inner) for inner in kernel.body.kernels)
        return kernel.length * of_step * kernel.blocks
    total = sum(2 * n * m * k for n, m, k in _products(kernel))
    if isinstance(kernel, Windows | DepthwiseGradient | Winograd):
        total += kernel.operations
    for node in _nodes(kernel):
        source = node.inputs if node.primitive.kind == "reduction" else node.outputs
        total += prod(source[0].shape)
    return total


def _describe(kernel: Kernel) -> str:
    names = Counter(node.primitive.name for node in _nodes(kernel))
    listed = " ".join(name if n == 1 else f"{name}*{n}" for name, n in names.items())
    if isinstance(kernel, Group):
        return f"elementwise {list(kernel.shape)}: {listed or 'copy'}"
    if isinstance(kernel, Contraction):
        name = "matmul" if isinstance(kernel, Matmul) else "convolution"
        text = f"{name} {list(kernel.left.shape)} @ {list(kernel.right.shape)}"
        return f"{text}, then {listed}" if listed else text
    if isinstance(kernel, Loop):
        products = [_describe(k) for k in kernel.body.kernels if isinstance(k, Contraction)]
        return f"loop of {kernel.length} steps: {'; '.join(products) or listed or 'copy'}"
    if isinstance(kernel, RowGroup):
        return f"rows {list(kernel.rows)} of {list(kernel.columns)}: {listed}"
    if isinstance(kernel, RowTiles):
        sizes = "; ".join(f"{n}x{k}x{m}" for n, m, k in _products(kernel))
        return f"tiles of {kernel.layout.tile} rows: matmul {sizes}; {listed}"
    name = getattr(kernel, "primitive", type(kernel).__name__)
    target = getattr(kernel, "target", None)
    text = f"{name} {list(target.shape)}" if target is not None else str(name)
    return f"{text}, then {listed}" if listed else text


def _scopes(plan: Plan) -> list[set[str]]:
    """The layers that each kernel serves.

    Gradients and updates were made outside of the layers: they serve those whose weights they
    read, else those that made what they read.
    """
    users: dict[int, set[str]] = {}
    made: dict[int, set[str]] = {}
    for node in plan.graph:
        if node.scope:
            _note(users, plan, node.inputs, node.scope)
            _note(made, plan, node.outputs, node.scope)
    inputs = {view.buffer for view in plan.inputs}
    found = []
    for kernel in plan.kernels:
        read, written = kernel.buffers_read(), kernel.buffers_written()
        scopes = {node.scope for node in _nodes(kernel) if node.scope}
        if (
            isinstance(kernel, Contraction | Windows | DepthwiseGradient | Winograd)
            and kernel.scope
        ):
            scopes.add(kernel.scope)
        for table, buffers in ((made, written), (users, read & inputs), (made, read)):
            scopes = scopes or set().union(*(table.get(b, set()) for b in buffers))
        for buffer in written:
            made.setdefault(buffer, scopes)
        found.append(scopes)
    return found


def _note(table: dict[int, set[str]], plan: Plan, values: Sequence[Value], scope: str) -> None:
    for value in values:
        view = plan.view_of(value)
        if view is not None and plan.buffers[view.buffer].kind != "constant":
            table.setdefault(view.buffer, set()).add(scope)


def _traffic(plan: Plan, kernel: Kernel) -> tuple[int, int]:
    """Bytes of the buffers it reads and writes, each once; its own scratch memory excepted."""
    read, written = set(kernel.buffers_read()), set(kernel.buffers_written())
    if isinstance(kernel, Contraction):
        written -= {kernel.panel.buffer} if kernel.panel is not None else set()
    if isinstance(kernel, WinogradConvolution | WinogradProducts):
        written -= {kernel.scratch.buffer}
    sizes = {b: plan.buffers[b].size * plan.buffers[b].dtype.itemsize for b in read | written}
    if isinstance(kernel, Movement) and kernel.primitive == "take":
        source = kernel.inputs[0].buffer  # only what is picked is read
        sizes[source] = min(sizes[source], sizes[kernel.target.buffer])
    return sum(sizes[b] for b in read), sum(sizes[b] for b in written)


# ---- why it is a kernel of its own


def _producers(plan: Plan) -> list[Kernel | None]:
    """For each kernel the last one before it that writes something it reads."""
    found: list[Kernel | None] = []
    for i, kernel in enumerate(plan.kernels):
        read = kernel.buffers_read()
        earlier = [k for k in plan.kernels[:i] if k.buffers_written() & read]
        found.append(earlier[-1] if earlier else None)
    return found


def _reason(plan: Plan, kernel: Kernel, producer: Kernel | None) -> str:
    if isinstance(kernel, Loop):
        return _reason_of_loop(plan, kernel)
    if isinstance(kernel, Contraction):
        return "a product reads whole rows and columns"
    if isinstance(kernel, Windows | DepthwiseGradient | Winograd):
        return "a window reads what stands around a place"
    if isinstance(kernel, FeatureMajor):
        return "features are brought side by side, once for all tiles"
    if isinstance(kernel, RowSums):
        return "sums over rows end when all tiles are done"
    if isinstance(kernel, RowTiles):
        return "everything over these rows, in one pass"
    if isinstance(kernel, Movement):
        return "elements are picked, counted or ordered"
    if producer is None:
        return "reads only inputs and constants"
    if kernel.buffers_read() & _reduced(producer):
        return "a sum it reads must be complete"
    if isinstance(producer, Contraction | WinogradConvolution):
        return "the product it reads must be complete"
    if isinstance(producer, Movement | RowSums):
        return f"{producer.primitive} before it must be complete"
    if isinstance(producer, Group) and isinstance(kernel, Group) and producer.shape != kernel.shape:
        return f"the shape differs from {list(producer.shape)}"
    return "reads elements in another order than they were made"


def _reason_of_loop(plan: Plan, loop: Loop) -> str:
    """How its rows are shared, and which products stand outside instead of in every step."""
    read, written = ({s.stack.buffer for s in kind} for kind in (loop.entries, loop.outputs))
    products = [k for k in plan.kernels if isinstance(k, Contraction)]
    before = sum(bool(k.buffers_written() & read) for k in products)
    after = sum(bool(k.buffers_read() & written) for k in products)
    way = f"blocks of {loop.block} rows" if loop.rows else "one thread, as rows are not independent"
    moved = [f"{n} products {where} it" for n, where in ((before, "before"), (after, "after")) if n]
    return ", ".join([f"steps follow each other: {way}", *moved])


def _reduced(kernel: Kernel) -> set[int]:
    """The buffers of a kernel's sums."""
    if isinstance(kernel, _FINISHING) and kernel.epilogue is not None:
        return _reduced(kernel.epilogue)
    if isinstance(kernel, RowGroup):
        return {reduction.target.buffer for reduction in kernel.down()}
    if isinstance(kernel, Group):
        return {reduction.target.buffer for reduction in kernel.reductions}
    return set()


# ---- the table


def _table(rows: Sequence[_Row], timed: bool) -> list[str]:
    total = _Row(
        "total", "", sum(r.seconds for r in rows), sum(r.operations for r in rows),
        sum(r.read for r in rows), sum(r.written for r in rows),
        max((r.pieces for r in rows), default=0), "",
    )  # fmt: skip
    body = [_cells(str(i), row, total.seconds) for i, row in enumerate(rows)]
    columns = list(zip(_HEADINGS, *body, _cells("", total, total.seconds), strict=True))
    if not timed:
        untold = ("time", "microseconds", "GFLOP/s", "GB/s")
        columns = [column for column in columns if column[0] not in untold]
    aligned = []
    for column in columns:
        width = max(map(len, column))
        align: Callable[..., str] = str.ljust if column[0] in _LEFT else str.rjust
        aligned.append([align(cell, width) for cell in column])
    return ["  ".join(cells).rstrip() for cells in zip(*aligned, strict=True)]


def _cells(number: str, row: _Row, whole: float) -> tuple[str, ...]:
    rates = ("", "")
    if row.seconds > 0:
        moved = row.read + row.written
        rates = (f"{row.operations / row.seconds / 1e9:.1f}", f"{moved / row.seconds / 1e9:.1f}")
    share = f"{100 * row.seconds / whole:.1f}%" if whole > 0 else ""
    return (
        number, _short(row.kernel), _short(row.layers), share, f"{1e6 * row.seconds:.2f}",
        f"{row.operations:,}", f"{row.read:,}", f"{row.written:,}", *rates, str(row.pieces),
        row.reason,
    )  # fmt: skip


def _short(text: str) -> str:
    return text if len(text) <= _WIDEST else text[: _WIDEST - 3] + "..."


def zeros_for(types: Sequence[Any]) -> list[NDArray[Any]]:
    """Arrays of zeros of these shapes and dtypes: times do not depend on the numbers."""
    return [np.zeros(t.shape, t.dtype) for t in types]
