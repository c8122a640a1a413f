"""The pass: finds kernels that work on the same rows and puts kernels over tiles in their place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chainrule.backends.cpu.matmul import Matmul
from chainrule.backends.cpu.rowtiles.layout import Layout, Sums
from chainrule.backends.cpu.rowtiles.lines import FeatureMajor
from chainrule.backends.cpu.rowtiles.rows import MOST_FEATURES, RowGradient, RowGroup
from chainrule.backends.cpu.rowtiles.selection import Selection
from chainrule.backends.cpu.rowtiles.stages import stages_of
from chainrule.backends.cpu.rowtiles.tiles import RowSums, RowTiles

if TYPE_CHECKING:
    from chainrule.backends.cpu.plan import Kernel, Plan

# Beyond this products alone are as fast: a sum over rows costs a vector in cache for each tile, and
# in the end its lanes are added up.
MOST_SUMS, MOST_SUMS_A_ROW = 2048, 6
WORK_OF_A_PIECE = 1 << 18
MOST_PIECES = 8


def fuse_row_tiles(plan: Plan) -> None:
    """Replace kernels over one long axis of rows by one, where a row's values are few."""
    plan.kernels = _fused(plan, plan.kernels)


def _fused(plan: Plan, kernels: list[Kernel]) -> list[Kernel]:
    products = [kernel for kernel in kernels if isinstance(kernel, Matmul)]
    lengths = {k.left.shape[-1] for k in products if max(k.target.shape) <= MOST_FEATURES}
    for rows in sorted(lengths, reverse=True):
        if rows <= MOST_FEATURES:
            break
        for late in (False, True):
            selection = Selection(kernels, rows, late=late)
            if _is_worthwhile(selection, rows):
                together = _together(plan, selection, rows)
                return [*selection.before, *together, *_fused(plan, selection.after)]
    return kernels


def _is_worthwhile(selection: Selection, rows: int) -> bool:
    gradients = [k for k in selection.chosen if isinstance(k, RowGradient)]
    sums = sum(k.left.features * k.right.features for k in gradients)
    return bool(gradients) and sums <= min(MOST_SUMS, MOST_SUMS_A_ROW * rows)


def _together(plan: Plan, selection: Selection, rows: int) -> list[Kernel]:
    target = plan.target
    work = rows * sum(kernel.work for kernel in selection.chosen)
    outside = {b for kernel in selection.after for b in kernel.buffers_read()}
    outside |= {n for n, buffer in enumerate(plan.buffers) if buffer.kind == "output"}
    stages = stages_of(selection.chosen)
    gradients = [k for k in selection.chosen if isinstance(k, RowGradient)]
    for stage in stages:
        written = stage.writes or [a for g in stage.groups for a in g.reads]
        stage.shape_for(target, max(access.dtype.itemsize for access in written))
    layout = Layout(selection, stages, gradients, rows, outside, target)
    pieces = max(1, min(MOST_PIECES, work // WORK_OF_A_PIECE, layout.tiles))
    moves = layout.place(plan, pieces)
    sums = Sums(plan, pieces)
    for gradient in gradients:
        sums.add(gradient.target, "reduce_sum", gradient)
    for kernel in selection.chosen:
        if isinstance(kernel, RowGroup):
            for reduction in kernel.rows_reduced:
                sums.add(reduction.target, reduction.primitive, reduction)
    sums.place(target.vector_bytes // 4)
    before: list[Kernel] = []
    for source, planes in moves:
        moving = FeatureMajor(source, planes, layout.tile, layout.tiles, pieces)
        before.append(moving)
        if plan.buffers[source.buffer].kind in ("input", "constant"):
            plan.need_not_repeat(moving)
    return [*before, RowTiles(stages, gradients, layout, sums, pieces), RowSums(sums)]
