"""The steps of a tile of rows: products and groups that go through the same features together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from chainrule.backends.cpu.rowtiles.rows import Access, RowGroup, RowKernel, RowProduct
from chainrule.backends.cpu.target import Target

# Written out for each number of a product's tile, a long chain of instructions costs compile time.
_LONG_CHAIN = 12
_LONG = {
    "exp", "log", "log1p", "expm1", "tanh", "sigmoid", "erf", "sin", "cos", "power", "remainder",
    "floor_divide",
}  # fmt: skip

Place = tuple[int, int, int]


def place(access: Access) -> Place:
    """What tells one sequence of features of a buffer from another."""
    return access.buffer, access.offset, access.step


@dataclass(eq=False)
class Stage:
    """One pass over some rows and over ``features``: a product's columns, then groups on them."""

    features: int
    product: RowProduct | None = None
    groups: list[RowGroup] = field(default_factory=list)

    def takes(self, group: RowGroup) -> bool:
        """Whether a group can follow in the same pass, feature by feature."""
        if group.features != self.features:
            return False
        if self.product is not None and not self._is_short(group):
            return False
        made = {access.buffer: place(access) for access in self.writes}
        partial = {a.buffer for g in self.groups for a in g.features_reduced.values()}
        return all(
            access.buffer not in made
            or (
                (made[access.buffer] == place(access))
                and (access.buffer not in partial or self.features == 1)
            )
            for access in group.reads
        )

    def _is_short(self, group: RowGroup) -> bool:
        nodes = [node for g in (*self.groups, group) for node in g.group.nodes.values()]
        return len(nodes) <= _LONG_CHAIN and not any(n.primitive.name in _LONG for n in nodes)

    @property
    def writes(self) -> list[Access]:
        """What it makes for each row."""
        made = [self.product.target] if self.product is not None else []
        for group in self.groups:
            made += [*group.stores.values(), *group.features_reduced.values()]
        return made

    def reads_from_memory(self) -> set[int]:
        """The buffers that must stand in memory for it."""
        read = set() if self.product is None else {self.product.left.buffer}
        made = {access.buffer for access in self.writes}
        read |= {a.buffer for g in self.groups for a in g.reads if a.buffer not in made}
        if self.block < self.features:  # partial results of a reduction over features
            read |= {a.buffer for g in self.groups for a in g.features_reduced.values()}
        return read

    # Set when the target is known.
    block: int = 1
    vectors: int = 1

    def shape_for(self, target: Target, itemsize: int) -> None:
        """Choose how many features and vectors of rows are in registers together."""
        registers = target.tile[0] * target.tile[1] // max(1, itemsize // 4)
        if self.product is None:
            self.block, self.vectors = 1, (4 if itemsize == 4 else 2)
            return
        self.vectors = 4 if 4 * self.features <= registers else 2
        self.block = even(self.features, max(1, registers // self.vectors))


def even(count: int, most: int) -> int:
    """The size of equal blocks, as few as possible, of at most so many."""
    blocks = -(-count // most)
    return -(-count // blocks)


def stages_of(kernels: Sequence[RowKernel]) -> list[Stage]:
    """Stages in order."""
    stages: list[Stage] = []
    for kernel in kernels:
        if isinstance(kernel, RowProduct):
            stages.append(Stage(kernel.target.features, kernel))
        elif isinstance(kernel, RowGroup):
            if not stages or not stages[-1].takes(kernel):
                stages.append(Stage(kernel.features))
            stages[-1].groups.append(kernel)
    return stages
