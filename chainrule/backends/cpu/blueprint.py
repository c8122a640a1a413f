"""What an executable needs to know of its program: where buffers stand, and what may be one memory.

It is all that is left of a plan. As bytes it is kept beside the object code, so that a graph that
was compiled before is neither optimised nor planned again. What comes from a file is checked
as if anybody had written it: every number against its range, every size against what it must hold.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.backends.cpu import views
from chainrule.backends.cpu.memory import ALIGNMENT, place
from chainrule.backends.cpu.plan import Plan
from chainrule.backends.cpu.views import View
from chainrule.dtypes import DTYPES
from chainrule.graph.graph import Graph, Value

_HEAD = 8  # bytes: the length of the description, before it
_NEVER = -1


@dataclass(frozen=True)
class Blueprint:
    """A program without its code.

    Attributes:
        code: the name of its object code in the cache.
        pieces: the greatest number of pieces of its kernels.
        count: how many pointers its table has.
        error: the buffer that errors are reported in.
        inputs, outputs: where they stand in the table, each in a buffer of its own, in C order.
        arena_bytes: the size of the memory for temporaries.
        temporaries: the buffers of the arena, with their offsets and sizes in bytes.
        constants: buffers that hold numbers known beforehand.
        once: kernels that rest after the first step of a call: their flags in the table, and the
            buffers that they read.
        updates: pairs of an input's and an output's buffer: the kernel that writes the output, the
            only one, reads each element of the input before, and nobody reads it then or later.
        last_reads: by the buffers of inputs, the last phase that reads them.
        writes: by the buffers of outputs that one kernel writes, its phase.
    """

    code: str
    pieces: int
    count: int
    error: int
    inputs: Sequence[View]
    outputs: Sequence[View]
    arena_bytes: int
    temporaries: Sequence[tuple[int, int, int]]
    constants: Mapping[int, NDArray[Any]]
    once: Sequence[tuple[int, frozenset[int]]]
    updates: frozenset[tuple[int, int]]
    last_reads: Mapping[int, int]
    writes: Mapping[int, int]

    def in_place(self, source: View, target: View) -> bool:
        """Whether an input and an output may be the same memory."""
        if (source.dtype, math.prod(source.shape)) != (target.dtype, math.prod(target.shape)):
            return False
        if (source.buffer, target.buffer) in self.updates:
            return True
        written = self.writes.get(target.buffer, _NEVER)
        return self.last_reads.get(source.buffer, _NEVER) < written


def blueprint_of(plan: Plan, code: str, pieces: int) -> Blueprint:
    """What is needed of a plan whose code has this name and at most so many pieces a kernel."""
    offsets, arena_bytes = place(plan)
    kinds: dict[str, list[int]] = defaultdict(list)
    for number, buffer in enumerate(plan.buffers):
        kinds[buffer.kind].append(number)
    constants = {
        number: array
        for number in kinds["constant"]
        if (array := plan.buffers[number].array) is not None
    }
    return Blueprint(
        code,
        pieces,
        len(plan.buffers),
        plan.error.buffer,
        plan.inputs,
        plan.outputs,
        arena_bytes,
        [(n, offset, _bytes(plan, n)) for n, offset in offsets.items()],
        constants,
        [(flag, frozenset(kernel.buffers_read())) for kernel, flag in plan.once.items()],
        *_order(plan),
    )


def _bytes(plan: Plan, number: int) -> int:
    buffer = plan.buffers[number]
    return buffer.size * buffer.dtype.itemsize


def _order(
    plan: Plan,
) -> tuple[frozenset[tuple[int, int]], dict[int, int], dict[int, int]]:
    """``updates``, ``last_reads`` and ``writes`` of a plan."""
    phases = {i: number for number, phase in enumerate(plan.phases) for i in phase}
    readers: dict[int, list[int]] = defaultdict(list)
    writers: dict[int, list[int]] = defaultdict(list)
    for i, kernel in enumerate(plan.kernels):
        for buffer in kernel.buffers_read():
            readers[buffer].append(i)
        for buffer in kernel.buffers_written():
            writers[buffer].append(i)
    inputs, outputs = ({view.buffer for view in side} for side in (plan.inputs, plan.outputs))
    last_reads = {
        source: max(phases[i] for i in readers[source]) for source in inputs if readers[source]
    }
    writes, updates = {}, set()
    for target in sorted(outputs):
        if len(writers[target]) != 1:
            continue
        (writer,) = writers[target]
        kernel = plan.kernels[writer]
        if kernel.updates(_NEVER, target):
            writes[target] = phases[writer]
        for source in kernel.buffers_read() & inputs:
            before = all(i == writer or phases[i] < phases[writer] for i in readers[source])
            if before and kernel.updates(source, target):
                updates.add((source, target))
    return frozenset(updates), last_reads, writes


# ---- as bytes


def to_bytes(blueprint: Blueprint) -> bytes:
    """A description in JSON, its length before it, the constants behind it."""
    description = {
        "code": blueprint.code,
        "pieces": blueprint.pieces,
        "count": blueprint.count,
        "error": blueprint.error,
        "inputs": [view.buffer for view in blueprint.inputs],
        "outputs": [view.buffer for view in blueprint.outputs],
        "arena_bytes": blueprint.arena_bytes,
        "temporaries": list(blueprint.temporaries),
        "constants": [
            [number, array.dtype.name, list(array.shape)]
            for number, array in blueprint.constants.items()
        ],
        "once": [[flag, sorted(read)] for flag, read in blueprint.once],
        "updates": sorted(blueprint.updates),
        "last_reads": sorted(blueprint.last_reads.items()),
        "writes": sorted(blueprint.writes.items()),
    }
    text = json.dumps(description, separators=(",", ":")).encode()
    contents = [array.tobytes() for array in blueprint.constants.values()]
    return b"".join([len(text).to_bytes(_HEAD, "little"), text, *contents])


class _WrongError(ValueError):
    """The bytes are no blueprint of this graph."""


def from_bytes(content: bytes, graph: Graph) -> Blueprint | None:
    """The blueprint of a graph with these inputs and outputs, or None if this is none."""
    try:
        return _Reader(content).blueprint(graph)
    except (ValueError, RecursionError):  # JSON's errors are ValueErrors too
        return None


class _Reader:
    """Reads a description; nothing in it is believed."""

    def __init__(self, content: bytes) -> None:
        end = _HEAD + int.from_bytes(content[:_HEAD], "little")
        _check(len(content) >= end)
        self._content = content
        self._place = end  # of the next constant
        self._fields = json.loads(content[_HEAD:end])
        _check(type(self._fields) is dict)
        self._count = self._number("count", 16 * len(content))
        self._free = set(range(self._count))

    def blueprint(self, graph: Graph) -> Blueprint:
        """All of it."""
        error = self._own(self._fields.get("error"))
        inputs = self._views("inputs", graph.inputs)
        outputs = self._views("outputs", graph.outputs)
        arena_bytes = self._number("arena_bytes", 1 << 62)
        temporaries = [self._temporary(entry, arena_bytes) for entry in self._list("temporaries")]
        used = max((offset + size for _, offset, size in temporaries), default=0)
        _check(arena_bytes == used)
        constants = dict(self._constant(entry) for entry in self._list("constants"))
        _check(self._place == len(self._content))
        once = [self._resting(entry) for entry in self._list("once")]
        sources = {view.buffer for view in inputs}
        targets = {view.buffer for view in outputs}
        phases = range(len(self._content))
        code = self._fields.get("code")
        _check(type(code) is str and len(code) == 64 and set(code) <= set("0123456789abcdef"))
        return Blueprint(
            code, self._number("pieces", 1 << 31), self._count, error, inputs, outputs,
            arena_bytes, temporaries, constants, once,
            frozenset(self._pairs("updates", sources, targets)),
            dict(self._pairs("last_reads", sources, phases)),
            dict(self._pairs("writes", targets, phases)),
        )  # fmt: skip

    def _number(self, name: str, most: int) -> int:
        return _whole(self._fields.get(name), most)

    def _list(self, name: str) -> list[Any]:
        found = self._fields.get(name)
        _check(type(found) is list)
        return found  # type: ignore[no-any-return]

    def _own(self, number: Any) -> int:
        """A place in the table that nothing else has."""
        place = _whole(number, self._count)
        _check(place in self._free)
        self._free.remove(place)
        return place

    def _views(self, name: str, values: Sequence[Value]) -> list[View]:
        numbers = self._list(name)
        _check(len(numbers) == len(values))
        return [
            views.contiguous(self._own(number), value.dtype, value.shape)
            for number, value in zip(numbers, values, strict=True)
        ]

    def _temporary(self, entry: Any, arena_bytes: int) -> tuple[int, int, int]:
        number, offset, size = _items(entry, 3)
        offset, size = _whole(offset, arena_bytes), _whole(size, arena_bytes)
        _check(offset % ALIGNMENT == 0)
        return self._own(number), offset, size

    def _constant(self, entry: Any) -> tuple[int, NDArray[Any]]:
        number, name, shape = _items(entry, 3)
        _check(type(name) is str and name in DTYPES and type(shape) is list and len(shape) <= 32)
        dtype, sizes = DTYPES[name], [_whole(length, len(self._content)) for length in shape]
        end = self._place + math.prod(sizes) * dtype.itemsize
        _check(end <= len(self._content))
        array = np.empty(sizes, dtype)
        content = np.frombuffer(self._content, np.uint8)[self._place : end]
        array.reshape(-1).view(np.uint8)[:] = content
        self._place = end
        return self._own(number), array

    def _resting(self, entry: Any) -> tuple[int, frozenset[int]]:
        flag, read = _items(entry, 2)
        _check(type(read) is list)
        return self._own(flag), frozenset(_whole(number, self._count) for number in read)

    def _pairs(
        self, name: str, first: Container[int], second: Container[int]
    ) -> list[tuple[int, int]]:
        found = [_items(entry, 2) for entry in self._list(name)]
        for a, b in found:
            _check(type(a) is int and a in first and type(b) is int and b in second)
        return [(a, b) for a, b in found]


def _check(right: bool) -> None:
    if not right:
        raise _WrongError


def _whole(number: Any, most: int) -> int:
    """A whole number from 0 to ``most``."""
    _check(type(number) is int and 0 <= number <= most)
    return number  # type: ignore[no-any-return]


def _items(entry: Any, count: int) -> list[Any]:
    _check(type(entry) is list and len(entry) == count)
    return entry  # type: ignore[no-any-return]
