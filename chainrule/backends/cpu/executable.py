"""The executable of the CPU back end: a compiled program, its memory, and how it is called."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.backends.cpu.arguments import Arguments
from chainrule.backends.cpu.blueprint import Blueprint, from_bytes, to_bytes
from chainrule.backends.cpu.cache import description_name, read_description, write_description
from chainrule.backends.cpu.explain import explain, zeros_for
from chainrule.backends.cpu.faults import NO_FAULT, raise_fault
from chainrule.backends.cpu.memory import ALIGNMENT, aligned_copies
from chainrule.backends.cpu.plan import Plan
from chainrule.backends.cpu.program import Program, build, rebuild
from chainrule.backends.cpu.target import host_target
from chainrule.backends.cpu.threads import native
from chainrule.backends.cpu.views import View
from chainrule.backends.executable import Repetition
from chainrule.errors import GraphError
from chainrule.graph.graph import Graph


class CpuExecutable:
    """A graph as native code. Several threads may call it: each call has memory of its own.

    Args:
        name: the graph's name, for errors.
        program: its code.
        blueprint: where its buffers stand.
        graph: gives the graph that was compiled, to explain it.
    """

    def __init__(
        self, name: str, program: Program, blueprint: Blueprint, graph: Callable[[], Graph]
    ) -> None:
        self._name = name
        self._program = program
        self._blueprint = blueprint
        self._graph = graph
        self._arguments = Arguments(blueprint.inputs, blueprint.outputs, native().enter)
        self._spare: list[Memory] = []

    @property
    def memory_bytes(self) -> int:
        """The arenas: one, or as many as calls ran at the same time."""
        return self._blueprint.arena_bytes * max(1, len(self._spare))

    def run(self, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """The outputs for these inputs."""
        memory = self._memory()
        outputs = self._arguments.new_outputs()
        # Kept until the program has run: the table holds no references.
        arrays = (*inputs, *outputs)
        address = memory.address
        if not self._arguments.enter(arrays, address):
            self._check(inputs)
            arrays = memory.point_to(inputs, outputs)
        self._program.run(address)
        self._finish(memory)
        return outputs

    def repeat(self, inputs: Sequence[NDArray[Any]], repetition: Repetition) -> list[NDArray[Any]]:
        """Run many steps in one native call: carried values are updated in place, or change places
        between two buffers.
        """
        self._check([x[0] if i in repetition.scanned else x for i, x in enumerate(inputs)])
        plan, memory = self._blueprint, self._memory()
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
            if plan.in_place(plan.inputs[source], plan.outputs[output]):
                outputs[output] = sources[source]
            else:
                swapped.append((source, output))
        advancing = [plan.inputs[i] for i in repetition.scanned]
        advancing += [view for i, view in enumerate(plan.outputs) if i not in carried]
        advances = [(view.buffer, _bytes(view)) for view in advancing]
        swaps = [(plan.inputs[i].buffer, plan.outputs[o].buffer) for i, o in swapped]
        kept = memory.point_to(sources, outputs)
        changing = {view.buffer for view in advancing}
        changing.update(plan.inputs[i].buffer for i, _ in repetition.carried if i >= 0)
        for flag, read in plan.once:
            memory.table[flag] = changing.isdisjoint(read)
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
        plan, blueprint = Plan(self._graph(), host_target()), self._blueprint
        if not measure:
            return explain(plan, blueprint.arena_bytes)
        memory = self._memory()
        kept = memory.point_to(zeros_for(blueprint.inputs), self._arguments.new_outputs())
        try:
            return explain(plan, blueprint.arena_bytes, memory.table)
        finally:
            del kept
            memory.error.value = NO_FAULT
            self._spare.append(memory)

    def _check(self, inputs: Sequence[NDArray[Any]]) -> None:
        expected = self._blueprint.inputs
        if len(inputs) != len(expected):
            raise GraphError(
                self._name, "wrong number of inputs", got=len(inputs), expected=len(expected)
            )
        for i, (x, view) in enumerate(zip(inputs, expected, strict=True)):
            if x.shape != view.shape or x.dtype != view.dtype:
                raise GraphError(
                    self._name,
                    f"wrong type of input {i}",
                    got=f"{x.dtype}{x.shape}",
                    expected=f"{view.dtype}{view.shape}",
                )

    def _memory(self) -> Memory:
        try:
            return self._spare.pop()  # one operation: no other thread gets the same
        except IndexError:
            return Memory(self._blueprint, self._arguments)

    def _finish(self, memory: Memory) -> None:
        code = memory.error.value
        memory.error.value = NO_FAULT
        self._spare.append(memory)
        if code != NO_FAULT:
            raise_fault(code, self._name)


def _bytes(view: View) -> int:
    """The size of a buffer that holds just this view."""
    return math.prod(view.shape) * view.dtype.itemsize


class Memory:
    """The table of pointers of one call at a time, and the arena it points into.

    Args:
        blueprint: of the program.
        arguments: its inputs and outputs.
        guard: bytes before and behind the arena that nobody uses.
    """

    def __init__(self, blueprint: Blueprint, arguments: Arguments, guard: int = 0) -> None:
        self._blueprint = blueprint
        self._arguments = arguments
        self.error = ctypes.c_int64(NO_FAULT)
        room = np.zeros(blueprint.arena_bytes + ALIGNMENT + 2 * guard, np.uint8)
        first = guard + -(room.ctypes.data + guard) % ALIGNMENT
        self.around = room[:first], room[first + blueprint.arena_bytes :]
        start = room.ctypes.data + first
        self.table = np.zeros(blueprint.count, np.uintp)
        for number, offset, _ in blueprint.temporaries:
            self.table[number] = start + offset
        for number, array in blueprint.constants.items():
            self.table[number] = array.ctypes.data
        self.table[blueprint.error] = ctypes.addressof(self.error)
        self.address: int = self.table.ctypes.data

    def point_to(
        self, inputs: Sequence[NDArray[Any]], outputs: Sequence[NDArray[Any]]
    ) -> tuple[NDArray[Any], ...]:
        """Enter the addresses of inputs and outputs; returns the arrays that must stay alive."""
        arrays = (*inputs, *outputs)
        if self._arguments.enter_unchecked(arrays, self.address):
            return arrays
        kept = [np.require(x, requirements=("C", "A")) for x in inputs]
        for view, x in zip(self._blueprint.inputs, kept, strict=True):
            self.table[view.buffer] = x.ctypes.data
        for view, x in zip(self._blueprint.outputs, outputs, strict=True):
            self.table[view.buffer] = x.ctypes.data
        return (*kept, *outputs)


def compile(graph: Graph) -> CpuExecutable:
    """Make a graph ready to run."""
    program, blueprint = build(Plan(graph, host_target()))
    return CpuExecutable(graph.name, program, blueprint, lambda: graph)


def compile_once(key: bytes, traced: Graph, optimized: Callable[[], Graph]) -> CpuExecutable:
    """Make a graph ready to run, or take what was made of an equal one from the cache.

    Args:
        key: its fingerprint.
        traced: the graph before any pass.
        optimized: gives the graph after them.
    """
    name = description_name(key, host_target().name)
    content = read_description(name)
    blueprint = None if content is None else from_bytes(content, traced)
    program = None if blueprint is None else rebuild(blueprint)
    if blueprint is not None and program is not None:
        return CpuExecutable(traced.name, program, blueprint, optimized)
    graph = optimized()
    program, blueprint = build(Plan(graph, host_target()))
    write_description(name, to_bytes(blueprint))
    return CpuExecutable(traced.name, program, blueprint, lambda: graph)
