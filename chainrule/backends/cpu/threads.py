"""Running compiled programs, on the calling thread alone or on several.

Workers are Python threads that live inside native code: they wait there for a job without the
interpreter's lock and without using the processor. One pool serves the whole process; who finds it
taken by another thread runs alone, and so does who gains nothing by sharing. The number of threads
never changes a bit of the result, so it may change at any step.
"""

from __future__ import annotations

import atexit
import ctypes
import math
import os
import sys
import threading
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from chainrule.backends.cpu import llvm
from chainrule.backends.cpu.arguments import ENTER, Enter, arguments_text
from chainrule.backends.cpu.cache import library
from chainrule.backends.cpu.runtime import FUNCTIONS, JOB, LINE, MAILBOXES, runtime_text
from chainrule.config import config
from chainrule.errors import ArgumentError

_SYSTEM = {"linux": "linux", "win32": "windows"}.get(sys.platform, "posix")
_FOREVER = 1 << 61  # ticks
_STEPS, _DONE, _ELAPSED = (JOB.index(name) for name in ("steps", "done", "elapsed"))


# ---- how many threads


@cache
def available_threads() -> int:
    """How many threads this process may use with gain: the cores that it may run on, or fewer where
    its container's share of processor time or ``OMP_NUM_THREADS`` says so.
    """
    if hasattr(os, "sched_getaffinity"):
        numbers = sorted(os.sched_getaffinity(0))
    else:
        numbers = list(range(os.cpu_count() or 1))
    # Two threads of one core share its arithmetic: cores count.
    siblings = {
        _line(Path(f"/sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list"))
        or str(number)
        for number in numbers
    }
    count = min(len(siblings), _quota())
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return max(1, min(count, int(asked)) if asked.isdecimal() else count)


def _quota() -> int:
    """The processors' worth of time that this container gets."""
    folder = Path("/sys/fs/cgroup")
    own = _line(Path("/proc/self/cgroup")).rpartition(":")[2].lstrip("/")
    limits = [_line(place / "cpu.max").split() for place in (folder / own, folder)]
    old = folder / "cpu"
    limits.append([_line(old / "cpu.cfs_quota_us"), _line(old / "cpu.cfs_period_us")])
    counts = [
        math.ceil(int(limit[0]) / int(limit[1]))
        for limit in limits
        if len(limit) == 2 and limit[0].isdecimal() and limit[1].isdecimal() and int(limit[1])
    ]
    return max(1, min(counts, default=1 << 30))


def _line(path: Path) -> str:
    """The last line of a small file of the system, or nothing."""
    try:
        return path.read_text("utf-8").strip().rpartition("\n")[2]
    except (OSError, UnicodeDecodeError):
        return ""


def wanted_threads() -> int:
    """``config.threads``, or ``available_threads()`` if that is None."""
    return config.threads or available_threads()


# ---- native code


class _Native:
    """The functions of ``runtime.py``, loaded."""

    def __init__(self, system: str = _SYSTEM) -> None:
        text = runtime_text(llvm.machine().architecture, system) + arguments_text()
        self._library = library(text, (*FUNCTIONS, ENTER))
        self.symbols = {name: self._library.address(name) for name in FUNCTIONS}
        pointer, number, answer = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32
        self.once = self._function("once", None, pointer, pointer)
        self.alone = self._function("alone", None, pointer)
        self.together = self._function("together", answer, pointer, pointer)
        self.worker = self._function("worker", None, pointer, number)
        self.stop = self._function("stop", answer, pointer, number)
        self.prepare = self._function("prepare", None, pointer)
        self.enter = Enter(self._library.address(ENTER))
        self._clock = self._function("clock", number)
        self._since = (self._clock(), time.perf_counter())
        self._rate = 0.0

    def _function(
        self, name: str, result: type[ctypes._SimpleCData[int]] | None, *arguments: object
    ) -> ctypes._FuncPointer:
        prototype = ctypes.CFUNCTYPE(result, *arguments)  # type: ignore[arg-type]
        return prototype(self.symbols[f"chainrule_{name}"])

    @property
    def rate(self) -> float:
        """Ticks of the native clock in a second."""
        if not self._rate:
            passed = 0.0
            while passed < 0.001:
                passed = time.perf_counter() - self._since[1]
                ticks = self._clock() - self._since[0]
            self._rate = max(1.0, ticks / passed)
        return self._rate

    def ticks(self, seconds: float) -> int:
        """A time in ticks."""
        return int(min(seconds * self.rate, _FOREVER))


@cache
def native() -> _Native:
    """The native side of this module; its ``symbols`` are what programs are loaded with."""
    return _Native()


# ---- the workers


class Pool:
    """Workers parked in native code.

    Args:
        size: threads of a program, the calling one included.
        code: the native functions.
    """

    def __init__(self, size: int, code: _Native) -> None:
        self.size = size
        self._native = code
        self._memory = ctypes.create_string_buffer(MAILBOXES + LINE * (size + 1))
        start = ctypes.addressof(self._memory)
        self._control = start + -start % LINE
        code.prepare(self._control)
        self.workers: list[threading.Thread] = []
        try:
            for number in range(1, size):
                thread = threading.Thread(
                    target=self._work, args=(number,), name=f"chainrule-{number}", daemon=True
                )
                thread.start()
                self.workers.append(thread)
        except BaseException:
            self.stop()
            raise

    def _work(self, number: int) -> None:
        self._native.worker(self._control, number)

    def run(self, job: int) -> bool:
        """Run a job (its address); False if another thread's job is running."""
        return bool(self._native.together(self._control, job))

    def stop(self) -> bool:
        """End the workers; False if a job is running. A stopped pool refuses every job."""
        if not self._native.stop(self._control, self.size):
            return False
        for worker in self.workers:
            worker.join()
        return True


_pool: Pool | None = None
_pool_lock = threading.Lock()


def _pool_of(threads: int) -> Pool | None:
    """The process's pool, made or made larger if need be; None where that cannot be now."""
    global _pool
    pool = _pool
    if pool is not None and pool.size >= threads:
        return pool
    with _pool_lock:
        if _pool is not None:
            if _pool.size >= threads:
                return _pool
            if not _end_pool():
                return None
        try:
            _pool = Pool(threads, native())
        except RuntimeError:  # the system or the interpreter's end allows no more threads
            return None
        return _pool


def stop_workers() -> None:
    """End the idle workers; the next shared run starts new ones."""
    with _pool_lock:
        _end_pool()


def _end_pool() -> bool:
    """End the pool, if there is one; False if a job is running. The lock is held."""
    global _pool
    # Forgotten first: if an exception comes here, nobody is left with a stopped pool.
    pool, _pool = _pool, None
    if pool is not None and not pool.stop():
        _pool = pool
        return False
    return True


def _before_fork() -> None:
    # A child has none of the workers. Ended here, none is half-way through something.
    _pool_lock.acquire()
    workers = _pool.workers if _pool is not None else []
    if _end_pool():
        # A thread that is joined may still be known to the system for a moment.
        places = [f"/proc/self/task/{worker.native_id}" for worker in workers]
        latest = time.monotonic() + 0.01
        while any(map(os.path.exists, places)) and time.monotonic() < latest:
            time.sleep(0.0001)


def _after_fork_in_child() -> None:
    global _pool
    _pool = None
    _pool_lock.release()


atexit.register(stop_workers)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_pool_lock.release,
        after_in_child=_after_fork_in_child,
    )


# ---- alone or together


class Slice(NamedTuple):
    """What to run next: on one thread or several, and when to look again, in seconds."""

    share: bool
    budget: float
    slack: float = math.inf
    step: float = 0.0
    steps: int = 1 << 60


class Pace:
    """Decides step by step whether a program runs alone or on several threads.

    Both are measured at the start. Sharing goes on while it is faster than running alone. When it
    is not, or when steps take twice the time they take alone, because the system gave a worker's
    core to somebody else, the program runs alone for a while, longer each time that happens. The
    first step of a run may take longer.
    """

    SLICE = 0.1  # a run comes back to Python so often
    TRIAL = 0.0005
    LONG_STEP, PATIENCE = 0.05, 4
    COLD, SAMPLES = 4, 2
    PAUSE, LONGEST_PAUSE, REST = 0.01, 1.0, 10

    def __init__(self) -> None:
        self.alone: float | None = None  # seconds a step
        self.shared: float | None = None
        self.until = 0.0  # alone until then
        self._pause = self.PAUSE
        self._warm = False
        self._count = 0
        self._samples = 0
        self._was_late = False

    def choose(self, now: float, count: int) -> Slice:
        """What to run at this time, where so many threads may be used."""
        if not self._warm:
            return Slice(True, self.SLICE, steps=1)
        if now < self.until:
            return Slice(False, min(self.SLICE, self.until - now))
        if self.shared is None:
            return Slice(True, self.TRIAL)
        if self.alone is None:
            # A step alone costs time: where steps are long, only after several.
            late = self.PATIENCE * count - self._count
            if self.shared * count < self.LONG_STEP or late <= 0:
                return Slice(False, self.TRIAL)
            return Slice(True, self.SLICE, steps=late)
        return Slice(True, self.SLICE, self._slack(self.alone), 2 * self.alone)

    def _slack(self, alone: float) -> float:
        """What the first step of a run may take longer: workers wake up, caches fill."""
        return max(2 * self.TRIAL, self.COLD * alone)

    def record(self, share: bool, steps: int, seconds: float, now: float) -> None:
        """Note what a slice took."""
        if not self._warm:
            self._warm = True  # the first step also filled caches and started threads
            return
        each = seconds / steps
        if not share:
            if self.alone is None:
                self.alone = each
                self.shared, self._samples = None, 0  # measured with colder caches
            self.alone = min(each, (7 * self.alone + each) / 8)
            return
        self._count += steps
        self._samples += 1
        self.shared = each if self.shared is None else (3 * self.shared + each) / 4
        if self.alone is None:
            return
        late = seconds > 2 * steps * self.alone + self._slack(self.alone)
        if late and not self._was_late:
            # A core that has slept may need some time to come back: try once more.
            self._was_late, self.shared, self._samples = True, None, 0
            return
        self._was_late = False
        if late or (self._samples > self.SAMPLES and self.shared > self.alone):
            # What the attempt lost shall be little against what follows.
            lost = seconds - steps * self.alone
            self.until = now + min(max(self._pause, self.REST * lost), self.LONGEST_PAUSE)
            self._pause = min(2 * self._pause, self.LONGEST_PAUSE)
            self.shared, self._samples = None, 0
        else:
            self._pause = max(self._pause / 2, self.PAUSE)


_ALONE = Slice(False, Pace.SLICE)


class Runner:
    """A loaded program, ready to run. Safe to use from several threads, each with its own buffers.

    Args:
        program: the library that holds it, loaded with ``native().symbols``.
        pieces: the greatest number of pieces of its kernels; more threads than that have no use.
        name: the entry's name.

    Attributes:
        completed: how many steps were run so far, those before an interruption included.
        pace: what decides between one thread and several.
    """

    def __init__(self, program: llvm.Library, pieces: int, name: str = "program") -> None:
        self._library = program
        self._entry = program.address(name)
        self._pieces = pieces
        self._native = native()
        self._once = self._native.once
        self.completed = 0
        self.pace = Pace()

    def run(self, buffers: int, steps: int = 1, stride: int = 0, rows: int = 1) -> None:
        """Run steps one after another.

        Args:
            buffers: the address of the tables of pointers, one after another.
            steps: how many.
            stride: bytes from one table to the next.
            rows: how many tables there are: step s uses the one numbered ``s % rows``.
        """
        if steps == 1:
            if self._pieces == 1 or self._threads() == 1:
                self._once(self._entry, buffers)
                self.completed += 1
                return
            now = time.perf_counter()
            if now < self.pace.until:
                self._once(self._entry, buffers)
                self.completed += 1
                after = time.perf_counter()
                self.pace.record(False, 1, after - now, after)
                return
        done = 0
        while done < steps:
            done += self.run_some(buffers, steps - done, stride, rows, done % rows)

    def run_some(
        self, buffers: int, steps: int, stride: int = 0, rows: int = 1, first: int = 0
    ) -> int:
        """Run at least one step and return how many after about a tenth of a second, or earlier.

        The first step uses the table numbered ``first``.
        """
        if steps < 1:
            raise ArgumentError("backend cpu", "no steps to run", got=steps, expected="at least 1")
        threads = self._threads()
        order = (self._entry, buffers, threads, steps, stride, rows, first)
        if threads == 1:
            return self._run_slice(None, _ALONE, order)
        chosen = self.pace.choose(time.perf_counter(), threads)
        pool = _pool_of(threads) if chosen.share else None
        return self._run_slice(pool, chosen, order) or self._run_slice(None, _ALONE, order)

    def _run_slice(self, pool: Pool | None, chosen: Slice, order: tuple[int, ...]) -> int:
        """The number of steps that were run: none if the slice is to be shared and cannot be."""
        ticks = self._native.ticks
        job = (ctypes.c_int64 * len(JOB))(
            *order, ticks(chosen.budget), ticks(chosen.slack), ticks(chosen.step)
        )
        job[_STEPS] = min(job[_STEPS], chosen.steps)
        address = ctypes.addressof(job)
        try:
            if not chosen.share:
                self._native.alone(address)
            elif pool is None or not pool.run(address):
                return 0
        finally:
            self.completed += job[_DONE]
        if chosen is not _ALONE:
            passed = job[_ELAPSED] / self._native.rate
            self.pace.record(chosen.share, job[_DONE], passed, time.perf_counter())
        return job[_DONE]

    def _threads(self) -> int:
        return min(self._pieces, config.threads or available_threads())


def step_tables(
    table: NDArray[np.uintp],
    steps: int,
    advances: Sequence[tuple[int, int]] = (),
    swaps: Sequence[tuple[int, int]] = (),
) -> NDArray[np.uintp]:
    """The tables of pointers of many steps, ``(rows, buffers)``, from the first one.

    Without ``advances`` one or two rows serve any number of steps.

    Args:
        table: the pointers of step 0, ``(buffers,)``.
        steps: how many.
        advances: buffers that move on by so many bytes a step.
        swaps: pairs of buffers that change places after every step.
    """
    tables = np.tile(table, (steps if advances else min(steps, 2 if swaps else 1), 1))
    count = np.arange(len(tables), dtype=np.uintp)
    for number, size in advances:
        tables[:, number] += count * np.uintp(size)
    for one, other in swaps:
        tables[1::2, one], tables[1::2, other] = table[other], table[one]
    return tables
