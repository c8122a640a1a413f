"""A plan as one module of IR, compiled: its kernels and the entry that runs them in order."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from chainrule.backends.cpu import llvm
from chainrule.backends.cpu.cache import library
from chainrule.backends.cpu.entry import entry_text
from chainrule.backends.cpu.plan import Plan
from chainrule.backends.cpu.threads import Runner, native, step_tables

Pairs = Sequence[tuple[int, int]]


class Program:
    """A compiled plan."""

    def __init__(self, plan: Plan) -> None:
        loaded = library(module_text(plan), ["program"], native().symbols)
        pieces = max((kernel.pieces(plan.target) for kernel in plan.kernels), default=1)
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


class TimedProgram:
    """A plan compiled with a clock, read after every kernel."""

    def __init__(self, plan: Plan) -> None:
        loaded = library(
            module_text(plan, timed=True), ["program", "program_times"], native().symbols
        )
        pieces = max((kernel.pieces(plan.target) for kernel in plan.kernels), default=1)
        self._runner = Runner(loaded, pieces)
        ticks = ctypes.c_int64 * len(plan.kernels)
        self._ticks = ticks.from_address(loaded.address("program_times"))

    def run(self, table: NDArray[np.uintp], steps: int) -> None:
        """Many steps with the same table of pointers."""
        self._runner.run(table.ctypes.data, steps)

    def seconds(self) -> list[float]:
        """What each kernel took so far, in the order of the calls."""
        return [ticks / native().rate for ticks in self._ticks]


def module_text(plan: Plan, *, timed: bool = False) -> str:
    """The whole module; names come from counters."""
    kernels = [kernel.emit(f"k{i}", plan.target) for i, kernel in enumerate(plan.kernels)]
    pieces = [kernel.pieces(plan.target) for kernel in plan.kernels]
    groups = [[(f"k{i}", pieces[i]) for i in phase] for phase in plan.phases]
    declarations = sorted(set().union(*(f.declarations for f in kernels)))
    once = {f"k{plan.kernels.index(kernel)}": flag for kernel, flag in plan.once.items()}
    entry = entry_text(groups, llvm.machine().architecture, timed=timed, once=once)
    return "\n".join([*(f.text() for f in kernels), *declarations, entry])
