"""Row groups: softmax, cross-entropy, layer norm and their derivatives in one pass over the rows.

Groups over (rows, columns) and over (rows,) that only hand each other elements of the same row
become one kernel. It takes a few rows at a time; what a sum along the row must precede is a later
phase over the same rows, which are in the first cache by then. Numbers that belong to a row are
computed for all rows of the block at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING

from chainrule.backends.cpu import groups
from chainrule.backends.cpu.groups import Group
from chainrule.backends.cpu.partial_sums import into_parts
from chainrule.backends.cpu.row_code import RowGroup
from chainrule.backends.cpu.row_phases import RowFlow, arrange
from chainrule.backends.cpu.views import Shape

if TYPE_CHECKING:
    from chainrule.backends.cpu.plan import Kernel, Plan

# What a block of rows may fill of the first cache, in bytes.
CACHE_OF_A_BLOCK = 48 << 10
# With fewer rows than this and work for several threads, the groups stay apart.
FEW_ROWS = 8
# Sums down the columns are cut into parts from so many pieces' work on, and up to so many bytes.
WORK_OF_PARTS = 64
BYTES_OF_PARTS = 24 << 10


def fuse_row_groups(plan: Plan) -> None:
    """Replace groups by row groups where sums along the rows ask for it."""
    _fuse(plan, _Run.sums_rows)


def fuse_sums(plan: Plan) -> None:
    """Replace groups by row groups where only sums over everything, or down columns, ask for it."""
    _fuse(plan, _Run.is_worth_it)


def _fuse(plan: Plan, is_worth_it: Callable[[_Run], bool]) -> None:
    position, buffers = 0, _Buffers()
    while position < len(plan.kernels):
        kernel = plan.kernels[position]
        if isinstance(kernel, Group):
            for rows, columns in _divisions(kernel):
                run = _Run(plan, position, rows, columns, buffers)
                if is_worth_it(run):
                    position = run.replace()
                    break
        position += 1


def _divisions(group: Group) -> list[tuple[Shape, Shape]]:
    """How a group's shape divides into rows and columns: where its sums along the last axes, or
    down the first ones, say.
    """
    along, down = [], []
    for reduction in group.reductions:
        axes, depth = sorted(reduction.node.attributes["axes"]), len(group.shape)
        if axes and axes == list(range(axes[0], depth)):
            along.append(axes[0])
            if axes[0] == 0 and depth > 1:
                down.append(1)
        elif axes and axes == list(range(len(axes))):
            down.append(len(axes))
    found = []
    for first in dict.fromkeys(along + down):
        rows = tuple(n for n in group.shape[:first] if n != 1)
        columns = tuple(n for n in group.shape[first:] if n != 1)
        if prod(columns) > 1 and 0 not in rows:
            found.append((rows, columns))
    return found


class _Buffers:
    """What kernels read and write. Each is asked once: nothing here changes a kernel."""

    def __init__(self) -> None:
        # With the kernel, so that no other one comes to have its number.
        self._found: dict[int, tuple[Kernel, set[int], set[int]]] = {}

    def of(self, kernel: Kernel) -> tuple[set[int], set[int]]:
        """The buffers that a kernel reads, and those that it writes."""
        found = self._found.get(id(kernel))
        if found is None:
            found = (kernel, kernel.buffers_read(), kernel.buffers_written())
            self._found[id(kernel)] = found
        return found[1], found[2]


@dataclass
class _Traffic:
    """The buffers that some kernels read and write."""

    read: set[int] = field(default_factory=set)
    written: set[int] = field(default_factory=set)

    def add(self, reads: set[int], writes: set[int]) -> None:
        self.read |= reads
        self.written |= writes

    def hinder(self, reads: set[int], writes: set[int]) -> bool:
        """Whether a kernel that reads and writes these may not run before them."""
        written = self.written
        return not (
            written.isdisjoint(reads)
            and written.isdisjoint(writes)
            and self.read.isdisjoint(writes)
        )


class _Run:
    """The kernels that a group begins: those which become one, and where the others go."""

    def __init__(
        self, plan: Plan, position: int, rows: Shape, columns: Shape, buffers: _Buffers
    ) -> None:
        self.plan = plan
        self._buffers = buffers
        self.position = position
        self.flow = RowFlow(rows, columns)
        self.size = prod(rows)
        self.members: list[Group] = []
        self.before: list[Kernel] = []
        self.after: list[Kernel] = []
        self._inside, self._later = _Traffic(), _Traffic()
        self._related = self._related_groups()
        for kernel in plan.kernels[position:]:
            self._sort(kernel)

    def _sort(self, kernel: Kernel) -> None:
        touched = self._buffers.of(kernel)
        if (
            isinstance(kernel, Group)
            and kernel in self._related
            and not self._later.hinder(*touched)
            and self.flow.accepts(kernel)
        ):
            self.flow.add(kernel)
            self.members.append(kernel)
            self._inside.add(*touched)
        elif self._inside.hinder(*touched) or self._later.hinder(*touched):
            self.after.append(kernel)
            self._later.add(*touched)
        else:
            self.before.append(kernel)

    def _related_groups(self) -> set[Group]:
        """The groups over these rows that share something of their size with the first, or with a
        group that does.
        """
        candidates = [
            (kernel, self._large(kernel))
            for kernel in self.plan.kernels[self.position :]
            if isinstance(kernel, Group) and self.flow.fits(kernel)
        ]
        related: set[Group] = set()
        shared = candidates[0][1] if candidates else set()
        count = -1
        while count < len(related):
            count = len(related)
            for group, touched in candidates:
                if group not in related and touched & shared:
                    related.add(group)
                    shared = shared | touched
        return related

    def _large(self, kernel: Kernel) -> set[int]:
        """The buffers that a kernel touches which have an element for each row."""
        reads, writes = self._buffers.of(kernel)
        return {b for b in reads | writes if self.plan.buffers[b].size >= self.size}

    def sums_rows(self) -> bool:
        """Whether there are sums along rows, and rows enough for the threads."""
        work = _work(self.flow, self.members) // groups.WORK_OF_A_PIECE
        several = prod(self.flow.rows) >= FEW_ROWS or work < 2
        return bool(self.flow.rows and self.flow.sums.keys() - self.flow.whole) and several

    def is_worth_it(self) -> bool:
        """Whether one kernel is better than its groups."""
        flow = self.flow
        rows, work = prod(flow.rows), _work(flow, self.members) // groups.WORK_OF_A_PIECE
        if flow.sums.keys() - flow.whole:
            return rows >= FEW_ROWS or work < 2
        # Cutting the columns needs no parts, but reads a few of a long row at a time.
        size = max(
            (prod(r.target.shape) * r.target.dtype.itemsize for r, _ in flow.down), default=0
        )
        return 0 < size <= BYTES_OF_PARTS and work >= WORK_OF_PARTS and rows >= FEW_ROWS**2

    def replace(self) -> int:
        """Put the row group into the plan; gives its position."""
        plan = self.plan
        others = [*plan.kernels[: self.position], *self.before, *self.after]
        wanted = {i for i, buffer in enumerate(plan.buffers) if buffer.kind != "temporary"}
        wanted = wanted.union(*(self._buffers.of(kernel)[0] for kernel in others))
        kernel, parts = row_group(plan, self.flow, self.members, wanted)
        plan.kernels[self.position :] = [*self.before, kernel, *parts, *self.after]
        return self.position + len(self.before) + len(parts)


def row_group(
    plan: Plan, flow: RowFlow, members: list[Group], wanted: set[int], more: int = 0
) -> tuple[RowGroup, list[Group]]:
    """One kernel for groups over the same rows, and the groups that add up its parts of sums.

    Args:
        plan: the plan, which gets memory for parts and for what phases hand on.
        flow: what the groups compute.
        members: the groups.
        wanted: the buffers that others read.
        more: how many parts of sums over all rows are added by others.
    """
    rows = prod(flow.rows)
    most = min(groups.MOST_PIECES, _work(flow, members) // groups.WORK_OF_A_PIECE, rows)
    block = _block(plan, flow)
    while block > 1 and -(-rows // block) < most:
        block //= 2
    pieces = max(1, most)
    followers = []
    if pieces + more > 1:
        for i, (reduction, wide) in enumerate(flow.down):
            part, group = into_parts(plan, reduction, pieces + more)
            flow.down[i] = (part, wide)
            followers.append(group)
    nodes = [*flow.nodes.values(), *(r.node for group in members for r in group.reductions)]
    kernel = RowGroup(flow.rows, flow.columns, arrange(flow, wanted), block, pieces, nodes)
    for value in kernel.work.kept:
        kernel.kept[value] = plan.temporary(value.dtype, (pieces, block, *flow.columns))
    return kernel, followers


def _work(flow: RowFlow, members: list[Group]) -> int:
    """A measure of the work: nodes times elements."""
    nodes = sum(len(group.nodes) + len(group.reductions) for group in members)
    return prod(flow.rows) * prod(flow.columns) * nodes


def _block(plan: Plan, flow: RowFlow) -> int:
    """How many rows stay in the first cache together: a power of 2."""
    depth, block = len(flow.rows), plan.target.vector_bytes // 4
    row = sum(v.dtype.itemsize for v in flow.leaves.values() if any(v.strides[:depth]))
    row += sum(v.dtype.itemsize for v in flow.sums)
    row += sum(view.dtype.itemsize for view, wide in flow.stores.values() if wide)
    while block > 1 and block * row * prod(flow.columns) > CACHE_OF_A_BLOCK:
        block //= 2
    return block
