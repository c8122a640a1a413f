"""Small hand-made kernels and programs, and what they must compute."""

import ctypes

import numpy as np

from chainrule.backends.cpu import cache, llvm, threads
from chainrule.backends.cpu.entry import Call, entry_text
from chainrule.backends.cpu.runtime import JOB

MULTIPLIER = 6364136223846793005
WORD = (1 << 64) - 1


def chain_kernel(number, piece_count_before, before):
    """Kernel of group ``number``: cell[piece] = 3 * cell[piece] + piece + the sum of all cells of
    the group before times a constant, in whole numbers: wrong order or a lost piece shows.
    """
    return f"""
define void @k{number}(ptr %buffers, i64 %piece, ptr %places) nounwind {{
entry:
  %source.at = getelementptr i8, ptr %buffers, i64 {8 * before}
  %source = load ptr, ptr %source.at
  %target.at = getelementptr i8, ptr %buffers, i64 {8 * number}
  %target = load ptr, ptr %target.at
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %i.next, %body ]
  %sum = phi i64 [ %piece, %entry ], [ %sum.next, %body ]
  %more = icmp ult i64 %i, {piece_count_before}
  br i1 %more, label %body, label %done
body:
  %at = getelementptr i64, ptr %source, i64 %i
  %value = load i64, ptr %at
  %term = mul i64 %value, {MULTIPLIER}
  %sum.next = add i64 %sum, %term
  %i.next = add i64 %i, 1
  br label %head
done:
  %cell = getelementptr i64, ptr %target, i64 %piece
  %old = load i64, ptr %cell
  %thrice = mul i64 %old, 3
  %new = add i64 %thrice, %sum
  store i64 %new, ptr %cell
  ret void
}}
"""


def chain_text(pieces, **options):
    """A program of one kernel a group, with these numbers of pieces."""
    kernels = [chain_kernel(n, pieces[n - 1], (n - 1) % len(pieces)) for n in range(len(pieces))]
    groups = [[Call(f"k{n}", count)] for n, count in enumerate(pieces)]
    architecture = llvm.machine(options.pop("variant", None)).architecture
    return "".join(kernels) + entry_text(groups, architecture, **options)


def chain_result(pieces, steps):
    """What the program makes of cells that begin as zero."""
    cells = [[0] * count for count in pieces]
    for _ in range(steps):
        for number, group in enumerate(cells):
            total = sum(cells[number - 1]) * MULTIPLIER
            cells[number] = [(3 * old + piece + total) & WORD for piece, old in enumerate(group)]
    return cells


class Chain:
    """A loaded chain program with its own cells; ``cells`` must equal ``chain_result``."""

    def __init__(self, pieces, code=None):
        self.pieces = pieces
        self.code = code or threads.native()
        self.library = cache.library(chain_text(pieces), ["program"], self.code.symbols)
        self.arrays = [np.zeros(count, np.uint64) for count in pieces]
        self.table = np.array([a.ctypes.data for a in self.arrays], np.uintp)
        self.buffers = self.table.ctypes.data
        self.runner = threads.Runner(self.library, max(pieces))

    def run(self, steps=1):
        self.runner.run(self.buffers, steps)

    @property
    def cells(self):
        return [array.tolist() for array in self.arrays]

    def job(self, count, steps, budget=1 << 60, slack=1 << 60, step=0):
        entry = self.library.address("program")
        return (ctypes.c_int64 * len(JOB))(
            entry, self.buffers, count, steps, 0, 1, 0, budget, slack, step
        )


class AlwaysShared(threads.Pace):
    """Runs on several threads whether it pays or not."""

    def choose(self, now, count):
        return threads.Slice(True, 0.05)
