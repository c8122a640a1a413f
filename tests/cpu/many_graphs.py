"""Ten thousand different graphs compiled, run and dropped in one process: its memory stays steady.

``python tests/cpu/many_graphs.py [COUNT]`` prints the resident memory now and then; the exit status
is 1 if it grew between a fifth of the way and the end by more than ``ALLOWED`` bytes.
"""

import gc
import sys
import time
from pathlib import Path

import numpy as np

import chainrule as cr
from chainrule.backends.cpu import cache

ALLOWED = 2 << 20


def resident() -> int:
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def one(number: int) -> None:
    """A graph with numbers of its own, called and repeated: every tenth a step of a small network,
    the others a few operations.
    """
    factor = 1.0 + number / 7
    rows, width = 5 + number % 13, 3 + number % 7
    x, w = np.ones((rows, 4), "float32"), np.ones((4, width), "float32")

    def step(x, w):
        def loss(w):
            return (cr.softmax(cr.tanh(x @ w)) * factor).max(axis=1).sum()

        value, gradient = cr.value_and_grad(loss)(w)
        return value, w - 0.1 * gradient

    def few(x, w):
        return (x * factor).sum(), w / factor

    compiled = cr.jit(few if number % 10 else step)
    value, _ = compiled(x, w)
    assert np.isfinite(value.item())
    compiled.repeat([np.stack([x, x])], w)


def run(count: int) -> int:
    """Growth of the memory over the last four fifths, in bytes."""
    begin, first = time.perf_counter(), 0
    for number in range(count):
        one(number)
        if (number + 1) % max(count // 10, 1) == 0:
            gc.collect()
            now = resident()
            if number + 1 == count // 5:
                first = now
            passed = time.perf_counter() - begin
            print(f"{number + 1:6d} graphs  {now / 2**20:7.1f} MiB  {passed:6.1f} s", flush=True)
    return resident() - first


if __name__ == "__main__":
    cache.use_folder(None)
    cache.MEMORY_LIMIT = 1 << 20  # full after a few hundred graphs; with its 16 MiB after thousands
    growth = run(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
    print(f"growth over the last four fifths: {growth / 2**20:.1f} MiB")
    sys.exit(growth > ALLOWED)
