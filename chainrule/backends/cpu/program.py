"""A plan as one module of IR: its kernels, the order in which they run, and the loop over steps."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.backends.cpu.ir import Function, Register, constant
from chainrule.backends.cpu.llvm import compile_object, load_object
from chainrule.backends.cpu.plan import Plan

Pairs = Sequence[tuple[int, int]]


class Program:
    """A compiled plan."""

    def __init__(self, plan: Plan) -> None:
        self._library = load_object(compile_object(module_text(plan)), ["steps"])
        # Called through ctypes, which lets other Python threads run meanwhile.
        self._steps: Any = ctypes.CFUNCTYPE(None, *[ctypes.c_size_t] * 6)(
            self._library.address("steps")
        )

    def run(self, table: NDArray[np.uintp]) -> None:
        """One step with this table of pointers."""
        self._steps(table.ctypes.data, 1, 0, 0, 0, 0)

    def run_steps(
        self, table: NDArray[np.uintp], count: int, advances: Pairs, swaps: Pairs
    ) -> None:
        """Many steps; see ``steps_function``."""
        lists = [np.array(pairs, np.int64).reshape(-1, 2) for pairs in (advances, swaps)]
        arguments = [x for pairs in lists for x in (pairs.ctypes.data, len(pairs))]
        self._steps(table.ctypes.data, count, *arguments)


def module_text(plan: Plan) -> str:
    """The whole module."""
    kernels = kernel_functions(plan)
    step = Function("step", [("ptr", "buffers")])
    for function, kernel in zip(kernels, plan.kernels, strict=True):
        for piece in range(kernel.pieces(plan.target)):
            step.do(f"call void @{function.name}({step.arguments[0]}, i64 {piece})")
    functions = [*kernels, step, steps_function()]
    declarations = sorted(set().union(*(f.declarations for f in functions)))
    return "\n".join([*(f.text() for f in functions), *declarations, ""])


def kernel_functions(plan: Plan) -> list[Function]:
    """One function a kernel; names come from counters."""
    return [kernel.emit(f"k{i}", plan.target) for i, kernel in enumerate(plan.kernels)]


def steps_function() -> Function:
    """``steps(buffers, count, advances, number, swaps, number)``: the loop over steps.

    After each step, every pointer named in ``advances`` (pairs of a place in ``buffers`` and a
    number of bytes) moves on, and the two pointers of every pair in ``swaps`` change places.
    """
    arguments = [("ptr", "buffers"), ("i64", "count"), ("ptr", "advances"), ("i64", "advanced")]
    f = Function("steps", [*arguments, ("ptr", "swaps"), ("i64", "swapped")])
    buffers, count, advances, advanced, swaps, swapped = f.arguments
    with f.loop(0, count):
        f.do(f"call void @step({buffers})")
        with f.loop(0, advanced) as loop:
            slot, change = _pair(f, advances, loop.index)
            place = f.at(buffers, _times(f, slot, 8))
            f.store(f.at(f.load(place, "ptr"), change), place)
        with f.loop(0, swapped) as loop:
            first, second = (f.at(buffers, _times(f, x, 8)) for x in _pair(f, swaps, loop.index))
            x, y = f.load(first, "ptr"), f.load(second, "ptr")
            f.store(y, first)
            f.store(x, second)
    return f


def _times(f: Function, x: Register, factor: int) -> Register:
    return f.binary("mul", x, constant(factor, "i64"))


def _pair(f: Function, table: Register, index: Register) -> tuple[Register, Register]:
    entry = f.at(table, _times(f, index, 16))
    return f.load(entry, "i64"), f.load(f.at(entry, 8), "i64")
