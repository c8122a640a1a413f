"""The executable of the CPU back end: a compiled program, its memory, and how it is called."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.backends.cpu.arguments import Arguments
from chainrule.backends.cpu.explain import explain, zeros_for
from chainrule.backends.cpu.faults import NO_FAULT, raise_fault
from chainrule.backends.cpu.memory import ALIGNMENT, aligned_copies, place
from chainrule.backends.cpu.plan import Plan
from chainrule.backends.cpu.program import Program
from chainrule.backends.cpu.target import host_target
from chainrule.backends.cpu.threads import native
from chainrule.backends.executable import Repetition
from chainrule.errors import GraphError
from chainrule.graph.graph import Graph


class CpuExecutable:
    """A graph as native code. Several threads may call it: each call has memory of its own."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._plan = Plan(graph, host_target())
        self._program = Program(self._plan)
        self._offsets, self._arena_bytes = place(self._plan)
        self._arguments = Arguments(self._plan.inputs, self._plan.outputs, native().enter)
        self._spare: list[_Memory] = []

    @property
    def memory_bytes(self) -> int:
        """The arenas: one, or as many as calls ran at the same time."""
        return self._arena_bytes * max(1, len(self._spare))

    def run(self, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """The outputs for these inputs."""
        memory = self._memory()
        outputs = self._arguments.new_outputs()
        # Kept until the program has run: the table holds no references.
        arrays = (*inputs, *outputs)
        address = memory.address
        if not self._arguments.enter(arrays, address):
            self._check(inputs)
            arrays = memory.point_to(self._plan, inputs, outputs)
        self._program.run(address)
        self._finish(memory)
        return outputs

    def repeat(self, inputs: Sequence[NDArray[Any]], repetition: Repetition) -> list[NDArray[Any]]:
        """Run many steps in one native call: carried values are updated in place, or change places
        between two buffers.
        """
        self._check([x[0] if i in repetition.scanned else x for i, x in enumerate(inputs)])
        plan, memory = self._plan, self._memory()
        carried = {output for _, output in repetition.carried}
        sources = list(inputs)
        outputs = [
            np.empty(view.shape if i in carried else (repetition.steps, *view.shape), view.dtype)
            for i, view in enumerate(plan.outputs)
        ]
        swapped = []
        state = [source for source, _ in repetition.carried if source >= 0]
        for source, copy in zip(state, aligned_copies([inputs[i] for i in state]), strict=True):
            sources[source] = copy
        for source, output in repetition.carried:
            if source < 0:
                continue
            if plan.in_place(plan.inputs[source].buffer, plan.outputs[output].buffer):
                outputs[output] = sources[source]
            else:
                swapped.append((source, output))
        advancing = [plan.inputs[i].buffer for i in repetition.scanned]
        advancing += [view.buffer for i, view in enumerate(plan.outputs) if i not in carried]
        advances = [(buffer, self._bytes(buffer)) for buffer in advancing]
        swaps = [(plan.inputs[i].buffer, plan.outputs[o].buffer) for i, o in swapped]
        kept = memory.point_to(plan, sources, outputs)
        changing = {*advancing, *(plan.inputs[i].buffer for i, _ in repetition.carried if i >= 0)}
        for kernel, flag in plan.once.items():
            memory.table[flag] = changing.isdisjoint(kernel.buffers_read())
        self._program.run_steps(memory.table, repetition.steps, advances, swaps)
        self._finish(memory)
        del kept
        if repetition.steps % 2 == 0:
            # After an even number of exchanges the last output stands where the first input stood.
            for source, output in swapped:
                outputs[output] = sources[source]
        return outputs

    def explain(self, measure: bool = False) -> str:
        """The kernels in order: what each computes, for which layers, its work and its time.

        Args:
            measure: run the program some times, on zeros, and add times.
        """
        memory = self._memory()
        outputs = self._arguments.new_outputs()
        kept = memory.point_to(self._plan, zeros_for(self._plan.inputs), outputs)
        try:
            return explain(self._plan, self._arena_bytes, memory.table if measure else None)
        finally:
            del kept
            memory.error.value = NO_FAULT
            self._spare.append(memory)

    def _bytes(self, buffer: int) -> int:
        entry = self._plan.buffers[buffer]
        return entry.size * entry.dtype.itemsize

    def _check(self, inputs: Sequence[NDArray[Any]]) -> None:
        expected = self._plan.inputs
        if len(inputs) != len(expected):
            raise GraphError(
                self.graph.name, "wrong number of inputs", got=len(inputs), expected=len(expected)
            )
        for i, (x, view) in enumerate(zip(inputs, expected, strict=True)):
            if x.shape != view.shape or x.dtype != view.dtype:
                raise GraphError(
                    self.graph.name,
                    f"wrong type of input {i}",
                    got=f"{x.dtype}{x.shape}",
                    expected=f"{view.dtype}{view.shape}",
                )

    def _memory(self) -> _Memory:
        try:
            return self._spare.pop()  # one operation: no other thread gets the same
        except IndexError:
            return _Memory(self._plan, self._offsets, self._arena_bytes, self._arguments)

    def _finish(self, memory: _Memory) -> None:
        code = memory.error.value
        memory.error.value = NO_FAULT
        self._spare.append(memory)
        if code != NO_FAULT:
            raise_fault(code, self.graph.name)


class _Memory:
    """The table of pointers of one call at a time, and the arena it points into."""

    def __init__(
        self, plan: Plan, offsets: dict[int, int], arena_bytes: int, arguments: Arguments
    ) -> None:
        self._arguments = arguments
        self.error = ctypes.c_int64(NO_FAULT)
        self._arena = np.zeros(arena_bytes + ALIGNMENT, np.uint8)
        start = self._arena.ctypes.data
        start += -start % ALIGNMENT
        self.table = np.zeros(len(plan.buffers), np.uintp)
        for number, buffer in enumerate(plan.buffers):
            if buffer.kind == "temporary":
                self.table[number] = start + offsets.get(number, 0)
            elif buffer.kind == "constant" and buffer.array is not None:
                self.table[number] = buffer.array.ctypes.data
            elif buffer.kind == "error":
                self.table[number] = ctypes.addressof(self.error)
        self.address: int = self.table.ctypes.data

    def point_to(
        self, plan: Plan, inputs: Sequence[NDArray[Any]], outputs: Sequence[NDArray[Any]]
    ) -> tuple[NDArray[Any], ...]:
        """Enter the addresses of inputs and outputs; returns the arrays that must stay alive."""
        arrays = (*inputs, *outputs)
        if self._arguments.enter_unchecked(arrays, self.address):
            return arrays
        kept = [np.require(x, requirements=("C", "A")) for x in inputs]
        for view, x in zip(plan.inputs, kept, strict=True):
            self.table[view.buffer] = x.ctypes.data
        for view, x in zip(plan.outputs, outputs, strict=True):
            self.table[view.buffer] = x.ctypes.data
        return (*kept, *outputs)


def compile(graph: Graph) -> CpuExecutable:
    """Make a graph ready to run."""
    return CpuExecutable(graph)
