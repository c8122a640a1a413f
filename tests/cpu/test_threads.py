"""Threads: the same bits on any number, interruptions, forks, the end of the interpreter."""

import ctypes
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from small_programs import AlwaysShared, Chain, chain_result

import chainrule as cr
from chainrule.backends.cpu import cache, threads
from chainrule.backends.cpu.runtime import JOB
from chainrule.errors import ArgumentError

ROOT = Path(__file__).resolve().parents[2]
DONE = JOB.index("done")


@pytest.fixture(autouse=True, scope="module")
def _own_folder(tmp_path_factory):
    before = cache.default_folder()
    cache.use_folder(tmp_path_factory.mktemp("objects"))
    yield
    cache.use_folder(before)


PIECES = ([1, 1], [2, 3], [1, 5, 1], [16, 1, 1, 7], [4, 4, 4, 4], [1, 1, 8, 2, 1])


@pytest.fixture
def pool():
    made = []

    def make(size, code):
        made.append(threads.Pool(size, code))
        return made[-1]

    yield make
    for one in made:
        assert one.stop()


@pytest.fixture(params=["linux", "posix"])
def code(request):
    """The native side, with futexes and with POSIX conditions."""
    if request.param == "linux" and sys.platform != "linux":
        pytest.skip("no futexes here")
    return threads._Native(request.param)


# ---- the same bits


def test_the_model_of_the_programs():
    """The expected cells come from Python integers; one thread computes them too."""
    for pieces in PIECES:
        for steps in (1, 2, 7):
            chain = Chain(pieces)
            with cr.settings(threads=1):
                chain.run(steps)
            assert chain.cells == chain_result(pieces, steps)


@pytest.mark.parametrize("size", [2, 3, 5])
def test_any_number_of_threads_gives_the_same_bits(pool, code, size):
    workers = pool(size, code)
    expected = {(i, n): chain_result(p, n) for i, p in enumerate(PIECES) for n in (1, 2, 9)}
    draw = np.random.default_rng(size)
    for _ in range(400):
        (number, steps), cells = list(expected.items())[draw.integers(len(expected))]
        chain = Chain(PIECES[number], code)
        job = chain.job(int(draw.integers(2, size + 1)), steps)
        assert workers.run(ctypes.addressof(job))
        assert job[DONE] == steps
        assert chain.cells == cells
        if draw.random() < 0.02:
            time.sleep(0.002)  # long enough for the workers to fall asleep


def test_many_steps_in_one_call(pool, code):
    chain = Chain([3, 1, 4], code)
    job = chain.job(2, 3000)
    assert pool(2, code).run(ctypes.addressof(job))
    with cr.settings(threads=1):
        alone = Chain([3, 1, 4])
        alone.run(3000)
    assert chain.cells == alone.cells


@pytest.mark.parametrize("count", [1, 2, 4, None])
def test_the_setting_does_not_change_results(count):
    with cr.settings(threads=count):
        chain = Chain([5, 2, 8])
        for steps in (1, 1, 1, 5, 1, 40, 1):
            chain.run(steps)
        assert chain.cells == chain_result([5, 2, 8], 50)
        assert chain.runner.completed == 50


def test_programs_of_single_pieces_start_no_workers():
    threads.stop_workers()
    with cr.settings(threads=2):
        Chain([1, 1, 1]).run(10)
    assert threads._pool is None


def test_the_pool_grows():
    threads.stop_workers()
    for count in (2, 4, 3):
        with cr.settings(threads=count):
            chain = Chain([8, 8])
            chain.runner.pace = AlwaysShared()
            chain.run(5)
            assert chain.cells == chain_result([8, 8], 5)
    assert threads._pool is not None
    assert threads._pool.size == 4


@pytest.mark.parametrize("value", [0, -1, 2.0, "2", True, 10_000])
def test_wrong_numbers_of_threads_are_refused(value):
    with pytest.raises(ArgumentError, match="threads"), cr.settings(threads=value):
        pass
    assert cr.config.threads is None


def test_no_steps_are_refused():
    with pytest.raises(ArgumentError, match="no steps"):
        Chain([1, 1]).runner.run_some(0, 0)


# ---- tables of pointers


@pytest.mark.parametrize("count", [1, 2])
def test_tables_advance_and_swap(count):
    """The first kernel's cells move on; the second one's change places with a third buffer."""
    steps, pieces = 7, [2, 3]
    with cr.settings(threads=count):
        chain = Chain(pieces)
        chain.runner.pace = AlwaysShared()
        rows = np.zeros((steps, 2), np.uint64)
        one, other = np.full(3, 5, np.uint64), np.full(3, 9, np.uint64)
        table = np.array([x.ctypes.data for x in (rows, one, other)], np.uintp)
        tables = threads.step_tables(table, steps, [(0, 16)], [(1, 2)])
        assert tables.shape == (steps, 3)
        chain.runner.run(tables.ctypes.data, steps, tables.strides[0], steps)
    expected = {1: [5] * 3, 2: [9] * 3}
    factor, word = 6364136223846793005, (1 << 64) - 1
    for step in range(steps):
        second = expected[1 + step % 2]
        row = [(p + sum(second) * factor) & word for p in range(2)]
        assert rows[step].tolist() == row
        second[:] = [(3 * x + p + sum(row) * factor) & word for p, x in enumerate(second)]
    assert [one.tolist(), other.tolist()] == [expected[1], expected[2]]


def test_few_tables_serve_many_steps():
    table = np.array([1, 2, 3], np.uintp)
    assert threads.step_tables(table, 1000).shape == (1, 3)
    assert threads.step_tables(table, 1, [], [(0, 1)]).shape == (1, 3)
    swapped = threads.step_tables(table, 1000, [], [(0, 2)])
    assert swapped.tolist() == [[1, 2, 3], [3, 2, 1]]
    cells = [np.zeros(2, np.uint64) for _ in range(3)]
    chain = Chain([2, 2])
    table = np.array([x.ctypes.data for x in cells], np.uintp)
    tables = threads.step_tables(table, 9, [], [(1, 2)])
    chain.runner.run(tables.ctypes.data, 5, tables.strides[0], len(tables))
    chain.runner.run_some(tables.ctypes.data, 1, tables.strides[0], len(tables), 1)
    assert (cells[1] > 0).all()
    # Odd steps used the third buffer: the fourth and sixth step, counted from one, and the second.
    single = [np.zeros(2, np.uint64) for _ in range(3)]
    for step in range(6):
        order = [0, 2, 1] if step % 2 else [0, 1, 2]
        one = np.array([single[i].ctypes.data for i in order], np.uintp)
        Chain([2, 2]).runner.run(one.ctypes.data)
    assert [x.tolist() for x in cells] == [x.tolist() for x in single]


# ---- several Python threads


def test_two_python_threads_run_at_once():
    """The pool serves one of them at a time; the other one runs alone."""
    failures = []

    def work(seed):
        draw = np.random.default_rng(seed)
        try:
            for _ in range(150):
                pieces = PIECES[draw.integers(len(PIECES))]
                steps = int(draw.integers(1, 30))
                chain = Chain(pieces)
                chain.runner.pace = AlwaysShared()
                chain.run(steps)
                assert chain.cells == chain_result(pieces, steps)
        except BaseException as error:
            failures.append(error)

    with cr.settings(threads=2):
        both = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join()
    assert failures == []


def test_a_taken_pool_refuses(pool, code):
    workers = pool(2, code)
    chain = Chain([2, 2], code)
    long = chain.job(2, 1 << 40, budget=int(threads.native().rate * 0.3))
    thread = threading.Thread(target=workers.run, args=(ctypes.addressof(long),))
    thread.start()
    time.sleep(0.05)
    short = chain.job(2, 1)
    assert not workers.run(ctypes.addressof(short))
    assert not workers.stop()
    assert short[DONE] == 0
    thread.join()
    assert long[DONE] > 100
    assert workers.run(ctypes.addressof(short))


def test_without_workers_programs_run_alone(monkeypatch):
    threads.stop_workers()

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with cr.settings(threads=3):
        chain = Chain([4, 4])
        chain.run(20)
    assert chain.cells == chain_result([4, 4], 20)
    assert threads._pool is None


# ---- when to stop, and when to run alone


def test_a_run_stops_when_its_time_is_up(pool, code):
    rate = threads.native().rate
    for limits in ({"budget": int(rate * 0.02)}, {"slack": int(rate * 0.02)}):
        chain = Chain([2, 2], code)
        job = chain.job(2, 1 << 40, **limits)
        start = time.perf_counter()
        assert pool(2, code).run(ctypes.addressof(job))
        assert time.perf_counter() - start >= 0.02
        assert 0 < job[DONE] < 1 << 40


def simulate(pace, calls, alone, shared, steps=1 << 30):
    """Run calls of many steps in made-up time; ``shared(now)`` is a step's time when shared."""
    now, shares = 0.0, []
    for _ in range(calls):
        chosen = pace.choose(now, 2)
        each = shared(now) if chosen.share else alone
        done, passed = 0, 0.0
        while done < min(steps, chosen.steps):
            done, passed = done + 1, passed + each
            if passed > min(chosen.budget, chosen.slack + chosen.step * done):
                break
        now += passed
        pace.record(chosen.share, done, passed, now)
        shares.append(chosen.share)
    return now, shares


def test_sharing_goes_on_while_it_pays():
    _, shares = simulate(threads.Pace(), 100, alone=1e-3, shared=lambda now: 0.6e-3)
    assert shares.count(False) == 1  # the one that measures


def test_small_steps_run_alone():
    for shared in (2.5e-6, 9e-6):
        pace = threads.Pace()
        now, shares = simulate(pace, 200, 2e-6, lambda now, step=shared: step, steps=100)
        assert shares[-20:].count(True) <= 1
        assert now < 200 * 100 * 2e-6 * 1.5


def test_a_taken_core_makes_the_program_run_alone_and_a_free_one_ends_that():
    def step(now):
        return 4e-3 if 1 < now < 5 else 0.3e-3

    pace = threads.Pace()
    alone_time = 0.5e-3
    now, _ = simulate(pace, 20, alone_time, step)
    while now < 1:
        now, _ = simulate_from(pace, now, alone_time, step)
    lost = time_alone = 0.0
    while now < 5:
        before = now
        now, share = simulate_from(pace, now, alone_time, step)
        lost += (now - before) * share
        time_alone += (now - before) * (not share)
    assert lost < 0.1 * time_alone + 0.1
    while now < 6:
        now, share = simulate_from(pace, now, alone_time, step)
    assert share


def simulate_from(pace, now, alone, step):
    """One slice that begins at a given time."""
    chosen = pace.choose(now, 2)
    done, start = 0, now
    while done < chosen.steps:
        done, now = done + 1, now + (step(now) if chosen.share else alone)
        if now - start > min(chosen.budget, chosen.slack + chosen.step * done):
            break
    pace.record(chosen.share, done, now - start, now)
    return now, chosen.share


def test_long_steps_are_measured_alone_late():
    _, shares = simulate(threads.Pace(), 30, alone=0.4, shared=lambda now: 0.2, steps=1)
    assert shares.index(False) > 2 * threads.Pace.PATIENCE
    assert shares.count(False) == 1


# ---- how many threads


def test_the_number_of_threads_follows_the_system(monkeypatch):
    count = threads.available_threads.__wrapped__
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(threads, "_line", lambda path: "")
    assert count() == 8
    files = {"cpu.max": "max 100000", "thread_siblings_list": "0-7"}
    monkeypatch.setattr(threads, "_line", lambda path: files.get(path.name, ""))
    assert count() == 1  # eight hardware threads of one core
    files = {"cpu.max": "250000 100000", "cgroup": "0::/work", "thread_siblings_list": ""}
    monkeypatch.setattr(threads, "_line", lambda path: files.get(path.name, ""))
    assert count() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "2,1")
    assert count() == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert count() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "0")
    assert count() == 1


def test_settings_override_the_system():
    with cr.settings(threads=7):
        assert threads.wanted_threads() == 7
    assert threads.wanted_threads() == threads.available_threads()


# ---- whole processes

HEAD = f"""
import os, signal, sys, threading, time
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests" / "cpu")!r}]
from chainrule.backends.cpu import cache, threads
from chainrule.config import config
from small_programs import AlwaysShared, Chain, chain_result
cache.use_folder(None)
config.threads = 2
chain = Chain([4, 1, 3])
chain.runner.pace = AlwaysShared()
chain.run(100)
assert threads._pool is not None
"""


def run(program, expected=0):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", HEAD + program],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.returncode == expected
    return done.stdout


fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


@fork
def test_a_fork_after_a_run():
    """Child, parent and grandchild all run on workers of their own; no warning about threads."""
    output = run("""
import warnings
warnings.simplefilter("always")  # Python 3.12 warns when it forks beside threads
def check(name):
    chain.run(10)
    chain.cells == chain_result([4, 1, 3], chain.runner.completed) or os._exit(9)
    threads._pool is None and os._exit(8)
    os.write(1, name)
first = os.fork()
if not first:
    signal.alarm(30)
    check(b"child ")
    second = os.fork()
    if not second:
        signal.alarm(30)
        check(b"grandchild ")
        os._exit(0)
    os._exit(os.waitpid(second, 0)[1] >> 8)
assert os.waitpid(first, 0)[1] == 0
check(b"parent")
""")
    assert sorted(output.split()) == ["child", "grandchild", "parent"]


@fork
def test_a_fork_while_another_thread_runs_and_a_third_compiles():
    run("""
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads of one's own
over = threading.Event()
def work():
    other = Chain([2, 2])
    other.runner.pace = AlwaysShared()
    while not over.is_set():
        other.run(2000)
def compile():
    number = 5
    while not over.is_set():
        number = number % 40 + 1
        Chain([number, 2])
both = [threading.Thread(target=work), threading.Thread(target=compile)]
for thread in both: thread.start()
for number in range(12):
    time.sleep(0.01)
    child = os.fork()
    if not child:
        signal.alarm(30)
        again = Chain([3, number + 1])
        again.runner.pace = AlwaysShared()
        again.run(50)
        os._exit(0 if again.cells == chain_result([3, number + 1], 50) else 9)
    assert os.waitpid(child, 0)[1] == 0
over.set()
for thread in both: thread.join()
""")


def test_an_interruption_comes_between_steps():
    """Ctrl-C in a call of endless steps: the exception comes soon, at the end of a step."""
    run("""
for attempt in range(3):
    timer = threading.Timer(0.15, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    start = time.perf_counter()
    try:
        chain.run(1 << 40)
    except KeyboardInterrupt:
        pass
    else:
        raise SystemExit(3)
    timer.join()
    assert time.perf_counter() - start < 20
    steps = chain.runner.completed
    assert steps > 100
    alone = Chain([4, 1, 3])
    config.threads = 1
    alone.run(steps)
    config.threads = 2
    assert alone.cells == chain.cells
""")


def test_an_exception_in_a_signal_handler_comes_between_steps():
    run("""
def handler(number, frame):
    raise ValueError("from a handler")
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.1)
try:
    chain.run(1 << 40)
except ValueError:
    chain.run(3)
else:
    raise SystemExit(3)
""")


@pytest.mark.parametrize("ending", ["", "sys.exit(0)", "raise SystemExit(0)", "os._exit(0)"])
def test_the_interpreter_ends_with_parked_workers(ending):
    run(ending)


def test_the_interpreter_ends_in_the_middle_of_a_run():
    """A daemon thread is inside a program, with a worker, when the interpreter ends."""
    run("""
threading.Thread(target=chain.run, args=(1 << 40,), daemon=True).start()
time.sleep(0.1)
""")


def test_a_run_at_the_interpreters_end():
    run("""
import atexit
def last():
    threads.stop_workers()
    chain.run(5)
    assert chain.cells == chain_result([4, 1, 3], chain.runner.completed)
atexit.register(last)
""")


def test_idle_workers_use_no_processor_time():
    """Processor time of the whole process over a second after a shared run."""
    output = run("""
chain.run(100)
time.sleep(0.05)
before = time.process_time()
time.sleep(1)
print(time.process_time() - before)
""")
    assert float(output) < 0.02
