"""Which kernels of a plan become one kernel over tiles of rows, and which run before and after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from chainrule.backends.cpu.groups import Group, Reduction
from chainrule.backends.cpu.rowtiles.rows import Access, RowGroup, RowKernel, as_row_kernel
from chainrule.graph.graph import Value

if TYPE_CHECKING:
    from chainrule.backends.cpu.plan import Kernel

# A group of few numbers may be cut in two, so that one part runs before the rows.
_FEW = 64


class Selection:
    """Goes through kernels in order and sorts them into before, together and after.

    Args:
        kernels: in their order.
        rows: the length of the axis of rows.
        late: whether groups that depend on no product run before, so that sums of theirs over rows
            are there for the others.

    Attributes:
        before: kernels that need nothing of what the chosen ones make.
        chosen: what becomes one kernel.
        after: kernels that need the chosen ones' results.
        pitches: buffers that the chosen ones step through row by row, and the length of a row.
    """

    def __init__(self, kernels: Iterable[Kernel], rows: int, *, late: bool = False) -> None:
        self.before: list[Kernel] = []
        self.chosen: list[RowKernel] = []
        self.after: list[Kernel] = []
        self.pitches: dict[int, int] = {}
        self._late = late
        self._plain: set[int] = set()
        self._made: set[int] = set()
        self._sums: set[int] = set()
        self._late_reads: set[int] = set()
        self._late_writes: set[int] = set()
        kernels = list(kernels)
        self._writers = Counter(b for kernel in kernels for b in kernel.buffers_written())
        for kernel in kernels:
            self._sort(kernel, rows)

    def _sort(self, kernel: Kernel, rows: int) -> None:
        found = as_row_kernel(kernel, rows)
        if found is not None and self._may_join(found):
            self._join(found)
        elif not self._must_wait(kernel):
            self.before.append(kernel)
        else:
            if isinstance(kernel, Group):
                early, late = _split(kernel, self._made | self._sums | self._late_writes)
                if early is not None and not self._must_wait(early):
                    self.before.append(early)
                    kernel = late
            self.after.append(kernel)
            self._late_reads |= kernel.buffers_read()
            self._late_writes |= kernel.buffers_written()

    def _may_join(self, kernel: RowKernel) -> bool:
        depends = any(access.buffer in self._made for access in kernel.reads)
        if self._late and isinstance(kernel, RowGroup) and not depends:
            return False
        return all(map(self._may_read, kernel.reads)) and all(map(self._may_write, kernel.writes))

    def _may_read(self, access: Access) -> bool:
        buffer = access.buffer
        if buffer in self._late_writes or buffer in self._sums:
            return False
        if access.pitch == 0:
            return buffer not in self._made
        return self.pitches.get(buffer, access.pitch) == access.pitch

    def _may_write(self, access: Access) -> bool:
        buffer = access.buffer
        others = buffer in self.pitches or buffer in self._plain or buffer in self._sums
        late = buffer in self._late_reads or buffer in self._late_writes
        return self._writers[buffer] == 1 and not others and not late

    def _join(self, kernel: RowKernel) -> None:
        self.chosen.append(kernel)
        for access in kernel.reads:
            if access.pitch:
                self.pitches[access.buffer] = access.pitch
            else:
                self._plain.add(access.buffer)
        for access in kernel.writes:
            if access.pitch:
                self.pitches[access.buffer] = access.pitch
                self._made.add(access.buffer)
            else:
                self._sums.add(access.buffer)

    def _must_wait(self, kernel: Kernel) -> bool:
        reads, writes = kernel.buffers_read(), kernel.buffers_written()
        made = self._made | self._sums | self._late_writes
        touched = made | self._late_reads | self._plain | self.pitches.keys()
        return bool(reads & made or writes & touched)


def _split(group: Group, made: set[int]) -> tuple[Group | None, Group]:
    """The part of a group of few numbers that reads nothing of ``made``, and the rest."""
    if any(length > _FEW for length in group.shape):
        return None, group
    late = {value for value, view in group.leaves.items() if view.buffer in made}
    for value, node in group.nodes.items():
        if late.intersection(node.inputs):
            late.add(value)
    stores = [value for value in group.stores if value not in late]
    reductions = [r for r in group.reductions if r.source not in late]
    if not stores and not reductions:
        return None, group
    rest = [value for value in group.stores if value in late]
    return (
        _part(group, stores, reductions),
        _part(group, rest, [r for r in group.reductions if r.source in late]),
    )


def _part(group: Group, stores: list[Value], reductions: list[Reduction]) -> Group:
    """A group that stores and reduces part of what another one does."""
    part = Group(group.shape, error=group.error, reductions=reductions)
    part.stores = {value: group.stores[value] for value in stores}
    needed = {*stores, *(r.source for r in reductions)}
    for value, node in reversed(group.nodes.items()):
        if value in needed:
            needed.update(node.inputs)
    part.nodes = {value: node for value, node in group.nodes.items() if value in needed}
    part.leaves = {value: view for value, view in group.leaves.items() if value in needed}
    part.numbers = {value: number for value, number in group.numbers.items() if value in needed}
    return part
