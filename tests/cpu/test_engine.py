"""LLVM: code for every kind of processor, loading and freeing it, what is refused."""

import ctypes
import gc
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from small_programs import Chain, chain_text

import chainrule as cr
from chainrule.backends.cpu import cache, llvm, threads
from chainrule.backends.cpu.entry import Call, entry_text
from chainrule.backends.cpu.runtime import runtime_text
from chainrule.backends.cpu.target import TARGETS
from chainrule.errors import GraphError, StateError, UnknownNameError


@pytest.fixture(autouse=True)
def _own_folder(tmp_path):
    before = cache.default_folder()
    cache.use_folder(tmp_path / "objects")
    yield
    cache.use_folder(before)


def multiply_add(lanes):
    vector = f"<{lanes} x float>"
    return f"""
define void @f(ptr %x, ptr %y) nounwind {{
  %a = load {vector}, ptr %x, align 4
  %b = load {vector}, ptr %y, align 4
  %c = call {vector} @llvm.fma.v{lanes}f32({vector} %a, {vector} %b, {vector} %b)
  store {vector} %c, ptr %y, align 4
  ret void
}}
declare {vector} @llvm.fma.v{lanes}f32({vector}, {vector}, {vector})
"""


def scalar_function(text, symbols=None, variant=None):
    """A loaded ``double @f(double)``."""
    library = llvm.load_object(llvm.compile_object(text, variant), ["f"], symbols)
    prototype = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)
    return library, prototype(library.address("f"))


ADD_ONE = """
define double @f(double %x) nounwind {
  %y = fadd double %x, 1.0
  ret double %y
}
"""


# ---- processors


def test_variants_are_the_targets():
    assert set(llvm.VARIANTS) == set(TARGETS)
    assert llvm.machine().variant in llvm.runnable_variants()


@pytest.mark.parametrize("variant", llvm.runnable_variants())
def test_every_variant_that_runs_here_computes_the_same(variant):
    lanes = TARGETS[variant].vector_bytes // 4
    library = llvm.load_object(llvm.compile_object(multiply_add(lanes), variant), ["f"])
    x, y = np.arange(1, lanes + 1, dtype=np.float32), np.full(lanes, 0.5, np.float32)
    run = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(library.address("f"))
    run(x.ctypes.data, y.ctypes.data)
    np.testing.assert_array_equal(y, x * 0.5 + 0.5)


@pytest.mark.parametrize(
    ("variant", "found", "absent"),
    [
        ("avx512", "zmm", "%ymm"),
        ("avx2", "ymm", "zmm"),
        ("sse", "xmm", "ymm"),
        ("neon", "fmla", "xmm"),
    ],
)
def test_code_uses_the_registers_of_its_variant(variant, found, absent):
    """Also for processors of another kind than this machine's."""
    text = llvm.assembly(multiply_add(TARGETS[variant].vector_bytes // 4), variant)
    assert found in text
    assert absent not in text


@pytest.mark.parametrize("system", ["linux", "posix", "windows"])
@pytest.mark.parametrize(("variant", "clock"), [("avx2", "rdtsc"), ("neon", "cntvct_el0")])
def test_the_runtime_is_code_on_every_system(system, variant, clock):
    text = llvm.assembly(runtime_text(llvm.machine(variant).architecture, system), variant).lower()
    assert clock in text
    waiting = {"linux": "syscall", "posix": "pthread_cond_wait", "windows": "waitonaddress"}
    assert waiting[system] in text


@pytest.mark.parametrize(("variant", "register"), [("avx2", "ldmxcsr"), ("neon", "fpcr")])
def test_entries_set_the_floating_point_mode(variant, register):
    text = llvm.assembly(chain_text([1, 2], variant=variant), variant).lower()
    assert text.count(register) >= 2


def test_unknown_variants_are_refused():
    with pytest.raises(UnknownNameError, match="avx1024"):
        llvm.machine("avx1024")


def test_processors_without_code_generation_are_named(monkeypatch):
    monkeypatch.setattr(llvm, "runnable_variants", lambda: ())
    with pytest.raises(StateError, match="no code can be made"):
        llvm._host_machine()


# ---- loading


def test_functions_are_found_by_name_and_call_others():
    text = """
define double @f(double %x) nounwind {
  %y = call double @sin(double %x)
  %z = call double @given(double %y)
  ret double %z
}
declare double @sin(double)
declare double @given(double)
"""
    assert llvm.unknown_functions(text) == ["given"]
    assert llvm.unknown_functions(text, ["given"]) == []
    twice = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(lambda x: 2 * x)
    address = ctypes.cast(twice, ctypes.c_void_p).value
    library, function = scalar_function(text, {"given": address})
    assert function(0.5) == 2 * np.sin(0.5)
    del library


def test_the_system_has_the_mathematical_functions():
    assert {"fma", "fmaf", "memcpy", "memset", "pow", "erf"} <= set(llvm.system_functions())


def test_what_cannot_be_loaded_is_refused():
    data = llvm.compile_object(ADD_ONE)
    calls = "define void @f() {\n call void @nobody()\n ret void\n}\ndeclare void @nobody()\n"
    with pytest.raises(StateError):
        llvm.load_object(data, ["g"])
    with pytest.raises(StateError):
        llvm.load_object(data[: len(data) // 2], ["f"])
    with pytest.raises(StateError):
        llvm.load_object(b"no object at all", ["f"])
    with pytest.raises(StateError):
        llvm.load_object(llvm.compile_object(calls), ["f"])
    with pytest.raises(GraphError, match="nobody"):
        cache.library(calls, ["f"])
    # The engine is still in order.
    _library, function = scalar_function(ADD_ONE)
    assert function(1.0) == 2.0


def test_wrong_text_is_refused():
    with pytest.raises(GraphError, match="expected type"):
        llvm.compile_object("define")
    wrong = "define i64 @f(i64 %x) {\n %y = add i64 %z, 1\n %z = add i64 %x, 1\n ret i64 %y\n}\n"
    with cr.settings(check="debug"), pytest.raises(GraphError, match="dominate"):
        llvm.compile_object(wrong)


# ---- memory


def mapped(address):
    for line in Path("/proc/self/maps").read_text().splitlines():
        first, last = (int(x, 16) for x in line.split()[0].split("-"))
        if first <= address < last:
            return "x" in line.split()[1]
    return False


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) << 12


needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@needs_proc
def test_code_is_freed_with_its_last_reference():
    library, function = scalar_function(ADD_ONE)
    address = library.address("f")
    other = llvm.load_object(llvm.compile_object(ADD_ONE), ["f"])
    assert mapped(address)
    assert function(1.0) == 2.0
    del library
    gc.collect()
    assert not mapped(address)
    assert mapped(other.address("f"))


@needs_proc
def test_code_stays_while_a_runner_has_it():
    chain = Chain([2, 1])
    address = chain.library.address("program")
    del chain.library
    gc.collect()
    assert mapped(address)
    chain.run(3)
    del chain
    gc.collect()
    assert not mapped(address)


@needs_proc
def test_freeing_never_waits_for_a_thread_that_is_compiling():
    library = llvm.load_object(llvm.compile_object(ADD_ONE), ["f"])
    address = library.address("f")
    inside, leave = threading.Event(), threading.Event()

    def compiling():
        with llvm.LOCK:
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=compiling)
    thread.start()
    inside.wait(10)
    del library  # would wait for ever if it took the lock
    assert mapped(address)
    leave.set()
    thread.join()
    llvm.load_object(llvm.compile_object(ADD_ONE), ["f"])
    assert not mapped(address)


@needs_proc
def test_memory_is_steady_over_hundreds_of_programs(monkeypatch):
    """More than one engine's worth, each compiled, loaded, run and dropped."""
    monkeypatch.setattr(cache, "MEMORY_LIMIT", 0)

    def some(first, count):
        for number in range(first, first + count):
            sums = "".join(f" %s{i + 1} = fadd double %s{i}, {number + i}.0\n" for i in range(60))
            text = f"define double @f(double %s0) {{\n{sums} ret double %s60\n}}\n"
            library = cache.library(text, ["f"])
            function = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(library.address("f"))
            assert function(0.0) == 60 * number + 30 * 59

    some(0, 2 * llvm._PER_ENGINE + 50)  # two engines live at the most
    before = resident()
    some(5000, 600)
    assert resident() - before < 2 << 20
    assert llvm._engine is not None
    assert llvm._engine.count <= llvm._PER_ENGINE


# ---- the floating-point mode

TINY_PRODUCT = """
define void @k(ptr %buffers, i64 %piece, ptr %places) nounwind {
  %p = load ptr, ptr %buffers
  %cell = getelementptr float, ptr %p, i64 %piece
  %x = load float, ptr %cell
  %y = fmul float %x, 0x3FB99999A0000000
  store float %y, ptr %cell
  ret void
}
"""


@pytest.mark.parametrize("count", [1, 2, 3])
def test_denormals_are_zero_inside_programs_and_only_there(count):
    text = TINY_PRODUCT + entry_text([[Call("k", 8)]], llvm.machine().architecture)
    library = cache.library(text, ["program", "k"], threads.native().symbols)
    cells = np.full(8, 2e-38, np.float32)
    table = np.array([cells.ctypes.data], np.uintp)
    ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p)(library.address("k"))(
        table.ctypes.data, 0, None
    )
    assert cells[0] > 0  # outside a program: a denormal
    cells[:] = 2e-38
    runner = threads.Runner(library, 8)
    with cr.settings(threads=count):
        runner.run(table.ctypes.data)
    np.testing.assert_array_equal(cells, 0)
    assert np.float32(2e-38) * np.float32(0.1) > 0


def test_timed_programs_add_up_the_time_of_each_kernel():
    text = chain_text([4, 1, 8], timed=True)
    library = cache.library(text, ["program", "program_times"], threads.native().symbols)
    arrays = [np.zeros(count, np.uint64) for count in (4, 1, 8)]
    table = np.array([a.ctypes.data for a in arrays], np.uintp)
    threads.Runner(library, 8).run(table.ctypes.data, 1000)
    times = (ctypes.c_int64 * 3).from_address(library.address("program_times"))
    assert all(time > 0 for time in times)
