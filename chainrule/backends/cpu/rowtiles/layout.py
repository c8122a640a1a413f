"""Where the values of a tile of rows and the sums over rows stand in memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.backends.cpu.rowtiles.rows import Access, RowGradient
from chainrule.backends.cpu.rowtiles.selection import Selection
from chainrule.backends.cpu.rowtiles.stages import Stage, even
from chainrule.backends.cpu.target import Target
from chainrule.backends.cpu.views import View

if TYPE_CHECKING:
    from chainrule.backends.cpu.plan import Plan

# The values of a tile of rows stand in the first-level cache.
_TILE_BYTES = 40_000
_ROWS = (256, 128, 64)


@dataclass(frozen=True)
class Lines:
    """The features of a buffer's rows, each on a line of its own.

    Attributes:
        view: (features, all rows) or, for values that live in the tile only, (pieces, features,
            rows of a tile).
        first: the feature on the first line.
    """

    view: View
    first: int

    @property
    def length(self) -> int:
        """From one line to the next, in elements."""
        return self.view.shape[-1]

    @property
    def is_whole(self) -> bool:
        """Whether a line holds all rows, not those of one tile."""
        return len(self.view.shape) == 2


class Layout:
    """Which buffers of a selection stand on lines, and the size of a tile.

    Attributes:
        rows: how many there are.
        tile: rows of a tile.
        tiles: how many tiles there are.
        lines: by buffer.
        exported: what is made for others: its access, row by row.
    """

    def __init__(
        self,
        selection: Selection,
        stages: Sequence[Stage],
        gradients: Sequence[RowGradient],
        rows: int,
        outside: set[int],
        target: Target,
    ) -> None:
        self.rows = rows
        self.lines: dict[int, Lines] = {}
        made = {a.buffer: a for stage in stages for a in stage.writes}
        read = {a.buffer for gradient in gradients for a in gradient.reads}
        self.summed = read & made.keys()
        read |= {buffer for stage in stages for buffer in stage.reads_from_memory()}
        self.exported = [made[buffer] for buffer in sorted(made.keys() & outside)]
        self._given: dict[int, list[Access]] = {}
        self._kept: dict[int, list[Access]] = {}
        for access in (a for kernel in selection.chosen for a in (*kernel.reads, *kernel.writes)):
            if not access.pitch:
                continue
            if access.buffer not in made:
                self._given.setdefault(access.buffer, []).append(access)
            elif access.buffer in read | outside:
                self._kept.setdefault(access.buffer, []).append(access)
        spans = [_span(accesses) for accesses in (*self._given.values(), *self._kept.values())]
        bytes_of_a_row = 4 * sum(high - low + 1 for low, high in spans)
        most = next((n for n in _ROWS if n * bytes_of_a_row <= _TILE_BYTES), _ROWS[-1])
        vectors = target.vector_bytes  # the rows of four
        self.tile = -(-even(rows, most) // vectors) * vectors
        self.tiles = -(-rows // self.tile)
        # Lines a power of two apart would share few places of the cache.
        self._gap = target.vector_bytes // 4

    def place(self, plan: Plan, pieces: int) -> list[tuple[View, View]]:
        """Make the memory; returns what must be brought onto lines before, and where."""
        moves = []
        for buffer, accesses in self._given.items():
            (low, high), first = _span(accesses), accesses[0]
            source = View(buffer, first.dtype, (high - low + 1, self.rows), (1, first.pitch), low)
            shape = (high - low + 1, self.tile * self.tiles + self._gap)
            planes = plan.temporary(first.dtype, shape)
            self.lines[buffer] = Lines(planes, low)
            moves.append((source, planes))
        for buffer, accesses in self._kept.items():
            low, high = _span(accesses)
            view = plan.temporary(
                accesses[0].dtype, (pieces, high - low + 1, self.tile + self._gap)
            )
            self.lines[buffer] = Lines(view, low)
        return moves


def _span(accesses: Sequence[Access]) -> tuple[int, int]:
    ends = [end for access in accesses for end in (access.offset, access.last)]
    return min(ends), max(ends)


@dataclass(eq=False)
class SumsOfAKind:
    """Sums of one dtype, all combined in one way.

    Attributes:
        dtype: of the sums.
        primitive: ``reduce_sum``, ...
        parts: where each target's first sum stands, and the target.
        count: how many sums there are, a multiple of the lanes.
        lanes: (pieces, count, lanes): what the lanes of a vector added up.
        flat: (count,): the sums.
    """

    dtype: np.dtype[Any]
    primitive: str
    parts: list[tuple[int, View]]
    count: int = 0
    lanes: View | None = None
    flat: View | None = None


class Sums:
    """All sums over rows."""

    def __init__(self, plan: Plan, pieces: int) -> None:
        self._plan = plan
        self._pieces = pieces
        self.kinds: dict[tuple[str, str], SumsOfAKind] = {}
        self.starts: dict[object, tuple[SumsOfAKind, int]] = {}

    def add(self, target: View, primitive: str, owner: object) -> None:
        """Reserve a sum for every element of a target."""
        key = (target.dtype.name, primitive)
        kind = self.kinds.setdefault(key, SumsOfAKind(target.dtype, primitive, []))
        self.starts[owner] = (kind, kind.count)
        kind.parts.append((kind.count, target))
        kind.count += math.prod(target.shape)

    def place(self, lanes: int) -> None:
        """Make the memory."""
        for kind in self.kinds.values():
            kind.count = -(-kind.count // lanes) * lanes
            shape = (self._pieces, kind.count, lanes)
            kind.lanes = self._plan.temporary(kind.dtype, shape)
            kind.flat = self._plan.temporary(kind.dtype, (kind.count,))
