"""A plan as one module of IR, compiled: its kernels and the entry that runs them in order."""

from __future__ import annotations

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


def module_text(plan: Plan) -> str:
    """The whole module; names come from counters."""
    kernels = [kernel.emit(f"k{i}", plan.target) for i, kernel in enumerate(plan.kernels)]
    pieces = [kernel.pieces(plan.target) for kernel in plan.kernels]
    groups = [[(f"k{i}", pieces[i]) for i in phase] for phase in plan.phases]
    declarations = sorted(set().union(*(f.declarations for f in kernels)))
    once = {f"k{plan.kernels.index(kernel)}": flag for kernel, flag in plan.once.items()}
    entry = entry_text(groups, llvm.machine().architecture, once=once)
    return "\n".join([*(f.text() for f in kernels), *declarations, entry])
