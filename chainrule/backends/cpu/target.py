"""What kind of processor code is made for: the width of its vectors and the shape of the matmul
tile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.backends.cpu import llvm


@dataclass(frozen=True)
class Target:
    """A kind of processor.

    Attributes:
        name: one of ``TARGETS``.
        vector_bytes: the length of a vector register.
        has_masks: whether it reads and writes parts of vectors at the cost of whole ones.
        tile: rows and vectors of a matmul tile: accumulators, one row of the right matrix and a
        spare fit the registers.
    """

    name: str
    vector_bytes: int
    tile: tuple[int, int]
    has_masks: bool

    @property
    def registers(self) -> int:
        """How many vector registers it has."""
        return 32 if self.name in ("avx512", "neon") else 16

    def lanes(self, dtype: np.dtype[Any]) -> int:
        """How many numbers of a dtype a vector holds."""
        return self.vector_bytes // max(dtype.itemsize, 4)


TARGETS = {
    target.name: target
    for target in (
        Target("avx512", 64, (14, 2), has_masks=True),
        Target("avx2", 32, (6, 2), has_masks=True),
        Target("sse", 16, (6, 2), has_masks=False),
        Target("neon", 16, (12, 2), has_masks=False),
    )
}


def host_target() -> Target:
    """The kind of this machine."""
    return TARGETS[llvm.machine().variant]
