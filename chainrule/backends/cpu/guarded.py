"""Native code that is watched: what it is given, and where it writes (``config.check`` is
``"debug"``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.backends.cpu.executable import CpuExecutable, Memory
from chainrule.backends.cpu.plan import Plan
from chainrule.backends.cpu.program import build
from chainrule.backends.cpu.target import host_target
from chainrule.backends.executable import Repetition, repeat_one_by_one
from chainrule.errors import GraphError
from chainrule.graph.graph import Graph

# Bytes before and behind each buffer that nobody may write to, and what stands there.
_GUARD, _MARK = 4096, 0xA5


class GuardedExecutable(CpuExecutable):
    """A graph as native code; each call has buffers of its own with guards around them."""

    def run(self, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """The outputs for these inputs.

        Raises:
            GraphError: an input that is not what the code was compiled for; a write to anything but
                the results.
        """
        self._check(inputs)
        blueprint = self._blueprint
        memory = Memory(blueprint, self._arguments, _GUARD)
        rooms = [
            np.full(math.prod(view.shape) * view.dtype.itemsize + 2 * _GUARD, _MARK, np.uint8)
            for view in blueprint.outputs
        ]
        outputs = [
            room[_GUARD:-_GUARD].view(view.dtype).reshape(view.shape)
            for room, view in zip(rooms, blueprint.outputs, strict=True)
        ]
        arrays = memory.point_to(inputs, outputs)
        self._check_table(memory, arrays)
        guards = [*memory.around, *(x for r in rooms for x in (r[:_GUARD], r[-_GUARD:]))]
        for guard in guards:
            guard[:] = _MARK
        fixed = {f"input {i}": x for i, x in enumerate(arrays[: len(inputs)])}
        fixed |= {f"constant {n}": x for n, x in blueprint.constants.items()}
        before = {name: x.tobytes() for name, x in fixed.items()}
        self._program.run(memory.address)
        if any((guard != _MARK).any() for guard in guards):
            raise GraphError(self._name, "native code wrote outside of its buffers")
        for name, x in fixed.items():
            if x.tobytes() != before[name]:
                raise GraphError(self._name, f"native code wrote to its {name}")
        self._finish(memory)
        self._spare.clear()
        return outputs

    def repeat(self, inputs: Sequence[NDArray[Any]], repetition: Repetition) -> list[NDArray[Any]]:
        """Run many steps, each of them watched."""
        return repeat_one_by_one(self.run, inputs, repetition, self._graph())

    def _check(self, inputs: Sequence[NDArray[Any]]) -> None:
        for i, x in enumerate(inputs):
            if not isinstance(x, np.ndarray):
                raise GraphError(
                    self._name, f"wrong type of input {i}", got=type(x).__name__,
                    expected="an array",
                )  # fmt: skip
        super()._check(inputs)

    def _check_table(self, memory: Memory, arrays: Sequence[NDArray[Any]]) -> None:
        """All arrays in C order, aligned, of the right type, and where the table says."""
        views = [*self._blueprint.inputs, *self._blueprint.outputs]
        for view, x in zip(views, arrays, strict=True):
            right = (
                x.flags.c_contiguous and x.flags.aligned
                and (x.shape, x.dtype) == (view.shape, view.dtype)
                and int(memory.table[view.buffer]) == x.ctypes.data
            )  # fmt: skip
            if not right:
                raise GraphError(
                    self._name, f"buffer {view.buffer} is not what native code takes",
                    got=f"{x.dtype}{x.shape}, strides {x.strides}",
                    expected=f"{view.dtype}{view.shape} in C order, aligned",
                )  # fmt: skip


def compile_guarded(graph: Graph) -> GuardedExecutable:
    """Make a graph ready to run, watched."""
    program, blueprint = build(Plan(graph, host_target()))
    return GuardedExecutable(graph.name, program, blueprint, lambda: graph)
