"""One arena for all temporaries: buffers that are not alive together share memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from chainrule.backends.cpu.plan import Plan

ALIGNMENT = 64
PAGE = 4096


def aligned_copies(arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """Copies whose vectors do not straddle cache lines, in one piece of memory.

    They begin at different places in a page: read and written side by side, they do not meet in the
    same cache sets, and a read does not wait for a write elsewhere whose address ends alike. One
    large piece gets large pages, which are much faster to come by than many small ones. It comes as
    zeros, so one zero repeated (an optimizer's averages before the first step) is not written.
    """
    starts, end = [], 0
    for number, array in enumerate(arrays):
        end += -end % PAGE + 17 * ALIGNMENT * number % PAGE
        starts.append(end)
        end += array.nbytes
    room = np.zeros(end + ALIGNMENT, np.uint8)
    first = -room.ctypes.data % ALIGNMENT
    copies = []
    for start, array in zip(starts, arrays, strict=True):
        place = room[first + start : first + start + array.nbytes]
        copies.append(place.view(array.dtype).reshape(array.shape))
        if array.size and (any(array.strides) or any(array[(0,) * array.ndim].tobytes())):
            copies[-1][...] = array
    return copies


def live_ranges(plan: Plan) -> dict[int, tuple[int, int]]:
    """For each temporary the first and the last phase that touches it."""
    ranges: dict[int, tuple[int, int]] = {}
    for position, phase in enumerate(plan.phases):
        for kernel in (plan.kernels[i] for i in phase):
            for buffer in kernel.buffers_read() | kernel.buffers_written():
                if plan.buffers[buffer].kind == "temporary":
                    ranges[buffer] = (ranges.get(buffer, (position, 0))[0], position)
    for kernel in plan.once:  # what it writes outlives the step
        for buffer in kernel.buffers_written():
            ranges[buffer] = (0, len(plan.phases))
    return ranges


def place(plan: Plan) -> tuple[dict[int, int], int]:
    """The offset of each temporary in the arena, and the arena's size, in bytes.

    Larger buffers are placed first, each at the lowest offset free over its whole range.
    """
    ranges = live_ranges(plan)
    sizes = {b: plan.buffers[b].size * plan.buffers[b].dtype.itemsize for b in ranges}
    order = sorted(ranges, key=lambda b: (-sizes[b], ranges[b]))
    # A row for each buffer: its first and last phase, where it begins and ends in the arena.
    places = np.zeros((len(order), 4), np.int64)
    for row, buffer in enumerate(order):
        first, last = ranges[buffer]
        before = places[:row]
        taken = before[(before[:, 0] <= last) & (before[:, 1] >= first), 2:]
        offset = _lowest_gap(taken[taken[:, 0].argsort()].tolist(), sizes[buffer])
        places[row] = first, last, offset, offset + sizes[buffer]
    offsets = dict(zip(order, places[:, 2].tolist(), strict=True))
    return offsets, int(places[:, 3].max(initial=0))


def _lowest_gap(taken: Sequence[Sequence[int]], size: int) -> int:
    offset = 0
    for begin, end in taken:
        if offset + size <= begin:
            break
        offset = max(offset, -(-end // ALIGNMENT) * ALIGNMENT)
    return offset
