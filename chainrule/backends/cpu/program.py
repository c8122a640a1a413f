"""A plan as one module of IR, compiled: its kernels and the entry that runs them in order."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from chainrule.backends.cpu import llvm
from chainrule.backends.cpu.blueprint import Blueprint, blueprint_of
from chainrule.backends.cpu.cache import entry_name, kept_library, library
from chainrule.backends.cpu.entry import Call, entry_text
from chainrule.backends.cpu.ir import Function
from chainrule.backends.cpu.llvm import Library
from chainrule.backends.cpu.plan import Plan
from chainrule.backends.cpu.threads import Runner, native, step_tables

Pairs = Sequence[tuple[int, int]]

# Modules that are compiled side by side, and how long the text of a program is that is worth it:
# about 30 ms. Not the number of cores: what is kept on disk does not depend on it.
MODULES, _SHORT = 2, 50_000


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
    texts = module_texts(plan)
    loaded = library(texts, ["program"], native().symbols)
    blueprint = blueprint_of(plan, entry_name(texts), most_pieces(plan))
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
    """The whole program as one module."""
    return _texts(plan, 1, timed=timed)[0]


def module_texts(plan: Plan) -> list[str]:
    """The program as modules that call each other, to be compiled side by side; the first has the
    entry. A short program is one module.
    """
    return _texts(plan, MODULES)


def _texts(plan: Plan, most: int, *, timed: bool = False) -> list[str]:
    """The program in at most so many modules; names come from counters.

    Kernels that do the same in other buffers, as those of equal layers do, share one function.
    """
    functions = [kernel.emit(f"k{i}", plan.target) for i, kernel in enumerate(plan.kernels)]
    equal: dict[str, list[int]] = {}
    for i, function in enumerate(functions):
        equal.setdefault(function.code, []).append(i)
    calls: dict[int, Call] = {}
    places = []
    texts: dict[int, str] = {}
    for first, *others in equal.values():
        texts[first] = functions[first].text(shared=bool(others))
        for i in (first, *others):
            kernel, pointer = plan.kernels[i], "null"
            if others:
                pointer = f"@p{i}"
                places.append(_places_text(pointer, functions[i].buffers))
            pieces, flag = kernel.pieces(plan.target), plan.once.get(kernel)
            calls[i] = Call(functions[first].name, pieces, pointer, flag)
    groups = [[calls[i] for i in phase] for phase in plan.phases]
    entry = entry_text(groups, llvm.machine().architecture, timed=timed)
    entry_module, *modules = _shared_out(texts, most)
    elsewhere = [
        f"declare void @{functions[i].name}(ptr, i64, ptr)" for module in modules for i in module
    ]
    return [
        "\n".join([*(texts[i] for i in entry_module), *elsewhere, *places,
                   *_declarations(functions[i] for i in entry_module), entry]),
        *("\n".join([*(texts[i] for i in module), *_declarations(functions[i] for i in module)])
          for module in modules),
    ]  # fmt: skip


def _shared_out(texts: Mapping[int, str], most: int) -> list[list[int]]:
    """The numbers of texts in groups of about equal length: one group if all are short."""
    count = most if sum(map(len, texts.values())) > _SHORT else 1
    groups: list[list[int]] = [[] for _ in range(count)]
    lengths = [0] * count
    for number in sorted(texts, key=lambda i: (-len(texts[i]), i)):
        least = lengths.index(min(lengths))
        groups[least].append(number)
        lengths[least] += len(texts[number])
    return [sorted(group) for group in groups if group] or [[]]


def _declarations(functions: Iterable[Function]) -> list[str]:
    return sorted({text for function in functions for text in function.declarations})


def _places_text(name: str, buffers: Sequence[int]) -> str:
    """Where in the table of buffers those of a kernel stand, in bytes."""
    numbers = ", ".join(f"i64 {8 * number}" for number in buffers)
    return f"{name} = private constant [{len(buffers)} x i64] [{numbers}], align 8"
