"""Convolutions with windows of 3x3 in 16 instead of 36 multiplications for 2x2 results.

    Y = A^T [(G g G^T) * (B^T d B)] A

for a tile d of 4x4 elements and a kernel g (Winograd's F(2x2, 3x3): A. Lavin and S. Gray, "Fast
Algorithms for Convolutional Neural Networks", CVPR 2016). With channels the product between becomes
16 matrix products, one for each place in a tile: tiles by channels times channels by filters. The
gradients are the transposed forms:

    of the input     the same over dy, with the kernel's taps backwards and its channels exchanged
    of the kernel    dg = G^T [(B^T d B) * (A dY A^T)] G, summed over all tiles

Nothing is padded: what lies outside is read from zeros. The transforms add and halve, so that the
error is about that of the sum itself; it is relative to the largest elements of the tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from chainrule.backends.cpu.addressing import kernel_function
from chainrule.backends.cpu.groups import Group
from chainrule.backends.cpu.ir import Function
from chainrule.backends.cpu.target import Target
from chainrule.backends.cpu.views import View
from chainrule.backends.cpu.winograd_code import (
    FiltersCode,
    KernelSumCode,
    PlacesCode,
    ProductsCode,
)
from chainrule.graph.graph import Node, Value

if TYPE_CHECKING:
    from chainrule.backends.cpu.plan import Plan

# Channels and filters are whole vectors on every processor.
LANES = 16
# What a block of tiles has between its transforms, and its kernels, stay in the second cache.
_BLOCK_BYTES = 512 << 10
_MOST_TILES = 64
_MOST_KERNELS = 128 * 128
# Where there is less to do, kernels and their sums are not worth transforming.
FEWEST_TILES = 256
MOST_PIECES = 8


@dataclass(frozen=True)
class Tiling:
    """How the places of a result are cut into tiles of 2x2, and these into blocks.

    Attributes:
        examples: how many.
        spatial: of the elements under the windows.
        places: of the result.
        low: the zeros before the first element on each axis; may be negative.
        channels: of the elements.
        filters: of the result.
    """

    examples: int
    spatial: tuple[int, int]
    places: tuple[int, int]
    low: tuple[int, int]
    channels: int
    filters: int

    @property
    def down(self) -> int:
        """Rows of tiles of an example."""
        return -(-self.places[0] // 2)

    @property
    def across(self) -> int:
        """Tiles of a row."""
        return -(-self.places[1] // 2)

    @property
    def rows(self) -> int:
        """Rows of tiles of all examples."""
        return self.examples * self.down

    @property
    def tiles(self) -> int:
        """All tiles."""
        return self.rows * self.across

    @property
    def blocks(self) -> int:
        """Into how many blocks the rows are cut: a multiple of the pieces where there are many."""
        most = min(_MOST_TILES, _BLOCK_BYTES // (64 * (self.channels + self.filters)))
        blocks = -(-self.rows // max(1, most // self.across))
        if blocks > MOST_PIECES:
            blocks += -blocks % MOST_PIECES
        return min(blocks, self.rows)

    @property
    def block_rows(self) -> int:
        """Rows of tiles of a block; the last may have fewer."""
        return -(-self.rows // self.blocks)

    @property
    def block_tiles(self) -> int:
        """Tiles of a block."""
        return self.block_rows * self.across

    @property
    def pieces(self) -> int:
        """Ranges of blocks."""
        return min(MOST_PIECES, self.blocks)

    @property
    def scratch(self) -> tuple[int, int]:
        """For each piece, the numbers of its transformed elements and of its products."""
        return self.pieces, 16 * self.block_tiles * (self.channels + self.filters)

    @property
    def operations(self) -> int:
        """Additions and multiplications that a convolution means, however it is done."""
        return 2 * 9 * self.examples * prod(self.places) * self.channels * self.filters


@dataclass(eq=False)
class Winograd:
    """What the kernels have in common."""

    scope: str

    @property
    def operations(self) -> int:
        """Additions and multiplications."""
        return 0

    def updates(self, source: int, target: int) -> bool:
        """Elements are read for several tiles: never."""
        return False


@dataclass(eq=False)
class WinogradFilters(Winograd):
    """Kernels transformed: (16, C, F), for an input's gradient backwards (16, F, C)."""

    kernel: View
    target: View
    backwards: bool

    primitive = "winograd filters"

    def pieces(self, target: Target) -> int:
        """Ranges of channels."""
        return min(MOST_PIECES, self.kernel.shape[2] // LANES)

    def buffers_read(self) -> set[int]:
        """The kernels."""
        return {self.kernel.buffer}

    def buffers_written(self) -> set[int]:
        """The transformed ones."""
        return {self.target.buffer}

    def emit(self, name: str, target: Target) -> Function:
        """The kernel's function."""
        f = kernel_function(name)
        FiltersCode(f, self, target).emit()
        return f


@dataclass(eq=False)
class WinogradConvolution(Winograd):
    """A convolution from transformed kernels: blocks of tiles, each transformed, multiplied and
    transformed back while it is near.

    ``target`` is where the result stands; it is not written if there is an epilogue.
    """

    tiling: Tiling
    x: View
    filters: View
    target: View
    scratch: View
    epilogue: Group | None = None

    primitive = "winograd convolution"
    batch = ()

    @property
    def columns(self) -> int:
        """Of the result."""
        return self.tiling.filters

    @property
    def operations(self) -> int:
        """Those that a convolution means."""
        return self.tiling.operations

    def row_parts(self, target: Target) -> int:
        """Into how many ranges the places are cut."""
        return self.tiling.pieces

    def pieces(self, target: Target) -> int:
        """Ranges of blocks."""
        return self.tiling.pieces

    def may_finish(self, group: Group) -> bool:
        """Whether a group can run tile by tile."""
        return group.seen_in(self.target.shape) is not None

    def buffers_read(self) -> set[int]:
        """The buffers it reads."""
        read = {self.x.buffer, self.filters.buffer}
        if self.epilogue is not None:
            read |= self.epilogue.buffers_read() - {self.target.buffer}
        return read

    def buffers_written(self) -> set[int]:
        """The buffers it writes."""
        if self.epilogue is None:
            return {self.scratch.buffer, self.target.buffer}
        return {self.scratch.buffer} | self.epilogue.buffers_written()

    def emit(self, name: str, target: Target) -> Function:
        """The kernel's function."""
        f = kernel_function(name)
        PlacesCode(f, self, target).emit()
        return f


@dataclass(eq=False)
class WinogradProducts(Winograd):
    """What a kernel's gradient is made from: (pieces, 16, C, F), each the sum over its tiles."""

    tiling: Tiling
    x: View
    dy: View
    target: View
    scratch: View

    primitive = "winograd products for the gradient of the kernel"

    @property
    def operations(self) -> int:
        """Those that a convolution means."""
        return self.tiling.operations

    def pieces(self, target: Target) -> int:
        """Ranges of blocks."""
        return self.tiling.pieces

    def buffers_read(self) -> set[int]:
        """The buffers it reads."""
        return {self.x.buffer, self.dy.buffer}

    def buffers_written(self) -> set[int]:
        """The buffers it writes."""
        return {self.scratch.buffer, self.target.buffer}

    def emit(self, name: str, target: Target) -> Function:
        """The kernel's function."""
        f = kernel_function(name)
        ProductsCode(f, self, target).emit()
        return f


@dataclass(eq=False)
class WinogradKernelSum(Winograd):
    """The gradient of the kernel: the parts added in order, and transformed."""

    parts: View
    target: View

    primitive = "winograd gradient of the kernel"

    def pieces(self, target: Target) -> int:
        """Ranges of channels."""
        return min(MOST_PIECES, self.target.shape[2] // LANES)

    def buffers_read(self) -> set[int]:
        """The parts."""
        return {self.parts.buffer}

    def buffers_written(self) -> set[int]:
        """The gradient."""
        return {self.target.buffer}

    def emit(self, name: str, target: Target) -> Function:
        """The kernel's function."""
        f = kernel_function(name)
        KernelSumCode(f, self, target).emit()
        return f


def add_winograd(plan: Plan, node: Node[Value], inputs: Sequence[View], target: View) -> bool:
    """Append the kernels of a convolution if it is better done here."""
    tiling = _tiling(node, inputs, target)
    if tiling is None or not _pays(tiling, [*inputs, target]):
        return False
    one, other = inputs
    scratch = plan.temporary(target.dtype, tiling.scratch)
    if node.primitive.name == "convolution_kernel_gradient":
        shape = (tiling.pieces, 16, tiling.channels, tiling.filters)
        parts = plan.temporary(target.dtype, shape)
        plan.add(WinogradProducts(node.scope, tiling, one, other, parts, scratch))
        plan.add(WinogradKernelSum(node.scope, parts, target))
        return True
    backwards = node.primitive.name == "convolution_input_gradient"
    filters = plan.temporary(target.dtype, (16, tiling.channels, tiling.filters))
    plan.add(WinogradFilters(node.scope, other, filters, backwards))
    plan.add(WinogradConvolution(node.scope, tiling, one, filters, target, scratch))
    return True


def _tiling(node: Node[Value], inputs: Sequence[View], target: View) -> Tiling | None:
    """The tiles of a convolution over two axes with a window of 3x3 that moves by 1."""
    attributes, name = node.attributes, node.primitive.name
    one, other = inputs
    kernel = target if name == "convolution_kernel_gradient" else other
    plain = attributes["groups"] == 1 and kernel.shape[:-2] == (3, 3)
    if not plain or {*attributes["strides"], *attributes["dilation"]} != {1}:
        return None
    low = tuple(before for before, _ in attributes["padding"])
    channels, filters = kernel.shape[-2:]
    places = other if name == "convolution_kernel_gradient" else target
    if name == "convolution_input_gradient":
        low = tuple(2 - before for before in low)
        channels, filters = filters, channels
    spatial, results = one.shape[1:-1], places.shape[1:-1]
    return Tiling(
        one.shape[0], (spatial[0], spatial[1]), (results[0], results[1]), (low[0], low[1]),
        channels, filters,
    )  # fmt: skip


def _pays(tiling: Tiling, views: Sequence[View]) -> bool:
    """Whether there are whole vectors, enough tiles for them, and kernels that stay near."""
    whole = tiling.channels % LANES == 0 == tiling.filters % LANES
    if not whole or any(v.strides[-1] != 1 or v.dtype != np.float32 for v in views):
        return False
    if tiling.channels * tiling.filters > _MOST_KERNELS or tiling.tiles < FEWEST_TILES:
        return False
    if 64 * tiling.across * (tiling.channels + tiling.filters) > 2 * _BLOCK_BYTES:
        return False  # not even a row of tiles stays near
    return min(tiling.places) > 2 and min(tiling.spatial) > 0
