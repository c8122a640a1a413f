"""The machine that was measured: its name, its load, and the limit of its arithmetic."""

from __future__ import annotations

import ctypes
import math
import os
import platform
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.serving import threads


def describe() -> dict[str, Any]:
    """Processor, cores, system and load, as far as the system tells."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "processor": _processor(),
        "cores": threads(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load": load,
    }


class OtherWork:
    """How many cores work for others than this process and the ended ones that it started."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()
        self._before = self._others()

    def cores(self) -> float | None:
        """The mean since the start; None where the system does not tell."""
        after = self._others()
        if self._before is None or after is None:
            return None
        return max(0.0, (after - self._before) / (time.perf_counter() - self._begin))

    def _others(self) -> float | None:
        try:
            return _processor_time() - sum(os.times()[:4])
        except (OSError, ValueError, IndexError):
            return None


def _processor_time() -> float:
    """Seconds that all cores together have worked since the machine was started."""
    first = Path("/proc/stat").read_text("utf-8").splitlines()[0].split()
    user, nice, system, _, _, *interrupts = (int(ticks) for ticks in first[1:9])
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def peak_ir(lanes: int, chains: int, fused: bool) -> str:
    """IR of a loop of independent multiply-adds in registers: ``peak(float *memory, i64 count)``.

    Args:
        lanes: floats in a vector.
        chains: sums that are kept apart.
        fused: one instruction multiplies and adds.
    """
    vector = f"<{lanes} x float>"
    attributes = '"prefer-vector-width"="512" "min-legal-vector-width"="512"'
    lines = [
        f"declare {vector} @llvm.fma.v{lanes}f32({vector}, {vector}, {vector})",
        f"define void @peak(ptr %memory, i64 %count) nounwind {attributes} {{",
        "entry:",
        f"  %a = load {vector}, ptr %memory, align 4",
    ]
    for i in range(chains):
        lines.append(f"  %p{i} = getelementptr i8, ptr %memory, i64 {(i + 1) * 4 * lanes}")
        lines.append(f"  %s{i} = load {vector}, ptr %p{i}, align 4")
    lines += ["  br label %loop", "loop:", "  %i = phi i64 [ 0, %entry ], [ %next, %loop ]"]
    lines += [f"  %x{i} = phi {vector} [ %s{i}, %entry ], [ %y{i}, %loop ]" for i in range(chains)]
    for i in range(chains):
        if fused:
            call = f"call {vector} @llvm.fma.v{lanes}f32({vector} %a, {vector} %a, {vector} %x{i})"
            lines.append(f"  %y{i} = {call}")
        else:
            lines.append(f"  %m{i} = fmul {vector} %a, %x{i}")
            lines.append(f"  %y{i} = fadd {vector} %a, %m{i}")
    lines += ["  %next = add nuw nsw i64 %i, 1", "  %more = icmp ult i64 %next, %count"]
    lines += ["  br i1 %more, label %loop, label %done", "done:"]
    lines += [f"  store {vector} %y{i}, ptr %p{i}, align 4" for i in range(chains)]
    return "\n".join([*lines, "  ret void", "}", ""])


def peak_flops(workers: int, repeats: int = 100) -> float:
    """Floating-point operations a second in float32 that so many threads reach together.

    The sum over the threads of the best of many short runs of a register-only loop, all threads at
    once: other work on the machine does not lower it as long as it pauses now and then.
    """
    from chainrule.backends.cpu import llvm

    variant = llvm.machine().variant
    lanes, chains = {"avx512": (16, 24), "avx2": (8, 12), "sse": (4, 12), "neon": (4, 24)}[variant]
    text = peak_ir(lanes, chains, fused=variant != "sse")
    library = llvm.load_object(llvm.compile_object(text), ["peak"])
    run = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(library.address("peak"))
    count = 200_000
    best = [math.inf] * workers

    def work(number: int) -> None:
        memory = np.zeros(1024, np.float32)
        for _ in range(repeats):
            start = time.perf_counter()
            run(memory.ctypes.data, count)
            best[number] = min(best[number], time.perf_counter() - start)

    team = [threading.Thread(target=work, args=(number,)) for number in range(workers)]
    for thread in team:
        thread.start()
    for thread in team:
        thread.join()
    return sum(2 * lanes * chains * count / seconds for seconds in best)
