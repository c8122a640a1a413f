"""A plan as one module of IR, compiled: its kernels and the entry that runs them in order."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from chainrule.backends.cpu import llvm
from chainrule.backends.cpu.blueprint import Blueprint, blueprint_of
from chainrule.backends.cpu.cache import entry_name, kept_library, library
from chainrule.backends.cpu.entry import Call, entry_text
from chainrule.backends.cpu.llvm import Library
from chainrule.backends.cpu.plan import Plan
from chainrule.backends.cpu.threads import Runner, native, step_tables

Pairs = Sequence[tuple[int, int]]


class Program:
    """A compiled plan.

    Args:
        loaded: its code.
        pieces: the greatest number of pieces of its kernels.
    """

    def __init__(self, loaded: Library, pieces: int) -> None:
        self._runner = Runner(loaded, pieces)

    def run(self, table: int) -> None:
        """One step with the table of pointers at this address."""
        self._runner.run(table)

    def run_steps(
        self, table: NDArray[np.uintp], count: int, advances: Pairs, swaps: Pairs
    ) -> None:
        """Many steps: after each, some pointers move on by some bytes, and pairs change places."""
        tables = step_tables(table, count, advances, swaps)
        self._runner.run(tables.ctypes.data, count, tables.strides[0], len(tables))


def build(plan: Plan) -> tuple[Program, Blueprint]:
    """A plan compiled, and what its executable needs to know of it."""
    text = module_text(plan)
    loaded = library(text, ["program"], native().symbols)
    blueprint = blueprint_of(plan, entry_name(text), most_pieces(plan))
    return Program(loaded, blueprint.pieces), blueprint


def rebuild(blueprint: Blueprint) -> Program | None:
    """The program of a blueprint that was kept, if its code was kept too."""
    loaded = kept_library(blueprint.code, ["program"], native().symbols)
    return None if loaded is None else Program(loaded, blueprint.pieces)


def most_pieces(plan: Plan) -> int:
    """The greatest number of pieces of a plan's kernels."""
    return max((kernel.pieces(plan.target) for kernel in plan.kernels), default=1)


class TimedProgram:
    """A plan compiled with a clock, read after every kernel."""

    def __init__(self, plan: Plan) -> None:
        loaded = library(
            module_text(plan, timed=True), ["program", "program_times"], native().symbols
        )
        self._runner = Runner(loaded, most_pieces(plan))
        ticks = ctypes.c_int64 * len(plan.kernels)
        self._ticks = ticks.from_address(loaded.address("program_times"))

    def run(self, table: NDArray[np.uintp], steps: int) -> None:
        """Many steps with the same table of pointers."""
        self._runner.run(table.ctypes.data, steps)

    def seconds(self) -> list[float]:
        """What each kernel took so far, in the order of the calls."""
        return [ticks / native().rate for ticks in self._ticks]


def module_text(plan: Plan, *, timed: bool = False) -> str:
    """The whole module; names come from counters.

    Kernels that do the same in other buffers, as those of equal layers do, share one function.
    """
    functions = [kernel.emit(f"k{i}", plan.target) for i, kernel in enumerate(plan.kernels)]
    equal: dict[str, list[int]] = {}
    for i, function in enumerate(functions):
        equal.setdefault(function.code, []).append(i)
    calls: dict[int, Call] = {}
    texts = []
    for numbers in equal.values():
        function, shared = functions[numbers[0]], len(numbers) > 1
        texts.append(function.text(shared=shared))
        for i in numbers:
            kernel, places = plan.kernels[i], "null"
            if shared:
                places = f"@p{i}"
                texts.append(_places_text(places, functions[i].buffers))
            calls[i] = Call(
                function.name, kernel.pieces(plan.target), places, plan.once.get(kernel)
            )
    texts += sorted(set().union(*(f.declarations for f in functions)))
    groups = [[calls[i] for i in phase] for phase in plan.phases]
    return "\n".join([*texts, entry_text(groups, llvm.machine().architecture, timed=timed)])


def _places_text(name: str, buffers: Sequence[int]) -> str:
    """Where in the table of buffers those of a kernel stand, in bytes."""
    numbers = ", ".join(f"i64 {8 * number}" for number in buffers)
    return f"{name} = private constant [{len(buffers)} x i64] [{numbers}], align 8"
