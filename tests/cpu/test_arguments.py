"""How arrays reach compiled programs: native code looks at them, and Python where it does not."""

import ctypes
import sys
import threading

import numpy as np
import pytest

import chainrule as cr
from chainrule.backends import cpu
from chainrule.backends.cpu import arguments, llvm, views
from chainrule.backends.cpu.threads import native
from chainrule.errors import GraphError


def compiled(function, *inputs):
    jitted = cr.jit(function)
    with cr.settings(backend="reference"):
        jitted(*[cr.tensor(x) for x in inputs])
    return cpu.compile(jitted.graphs[0])


def entered(arrays, *expected):
    """How many arrays are as expected, and the addresses in the table."""
    each = [
        views.contiguous(i, np.dtype(dtype), shape) for i, (shape, dtype) in enumerate(expected)
    ]
    numbers = arguments.wanted(each)
    table = (ctypes.c_uint64 * len(expected))()
    place, start = ctypes.addressof(numbers), ctypes.addressof(table)
    return native().enter.native(arrays, place, len(expected), start), list(table)


def address(array):
    return array.__array_interface__["data"][0]


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="CPython's layout of objects")
def test_native_code_reads_the_layout_of_this_interpreter():
    assert native().enter.works


@pytest.mark.parametrize("dtype", sorted(cr.dtypes.DTYPES))
@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 0, 2), (2, 3, 4, 5, 6)])
def test_addresses_are_those_that_numpy_tells(shape, dtype):
    first, second = np.zeros(shape, dtype), np.zeros((7, *shape), dtype)
    count, table = entered((first, second), (shape, dtype), ((7, *shape), dtype))
    assert count == 2
    assert table == [address(first), address(second)]


class Own(np.ndarray):
    pass


def unaligned(shape):
    memory = np.zeros(4 * np.prod(shape, dtype=int) + 1, np.uint8)
    return memory[1:].view(np.float32).reshape(shape)


@pytest.mark.parametrize(
    "other",
    [
        np.zeros((4, 3), "float64"), np.zeros((4, 3), ">f4"), np.zeros((4, 3), "int32"),
        np.zeros((3, 4), "float32"), np.zeros((4,), "float32"), np.zeros((4, 3, 1), "float32"),
        np.zeros((), "float32"), np.zeros((3, 4), "float32").T, np.zeros((4, 6), "float32")[:, ::2],
        np.broadcast_to(np.float32(1), (4, 3)), np.zeros((4, 3), "float32").view(Own),
        unaligned((4, 3)), np.float32(1), 1.0, None, [[0.0]],
    ],
    ids=str,
)  # fmt: skip
def test_everything_else_is_left_out(other):
    right = np.zeros((4, 3), "float32")
    expected = [((4, 3), "float32")] * 3
    count, table = entered((right, other, right), *expected)
    assert count == 1
    assert table == [address(right), 0, 0]


@pytest.mark.parametrize("works", [True, False])
@pytest.mark.parametrize(
    "x",
    [
        np.arange(24.0).reshape(4, 6)[:, ::2].T, np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        np.arange(12.0).reshape(3, 4).view(Own), np.broadcast_to(2.0, (3, 4)),
        np.arange(97, dtype=np.uint8)[1:].view(np.float64).reshape(3, 4) * 0 + 1,
    ],
    ids=["strided", "columns first", "subclass", "broadcast", "plain"],
)  # fmt: skip
def test_arrays_of_every_layout_are_read_rightly(x, works, monkeypatch):
    monkeypatch.setattr(native().enter, "works", works)
    executable = compiled(lambda x: (x * 2.0, x.sum()), np.zeros((3, 4)))
    for _ in range(2):
        doubled, total = executable.run([x])
        np.testing.assert_array_equal(doubled, np.asarray(x) * 2)
        assert total == np.sum(x)


def test_unaligned_arrays_are_copied():
    x = unaligned((3, 5))
    x[...] = np.arange(15).reshape(3, 5)
    executable = compiled(lambda x: x + 1.0, np.zeros((3, 5), "float32"))
    np.testing.assert_array_equal(executable.run([x])[0], np.arange(1.0, 16).reshape(3, 5))


@pytest.mark.parametrize("works", [True, False])
def test_wrong_arrays_are_refused_and_the_next_call_works(works, monkeypatch):
    monkeypatch.setattr(native().enter, "works", works)
    x = np.ones((2, 3))
    executable = compiled(lambda x, y: x + y, x, x)
    for wrong in ([], [x], [x, x, x], [x, x.T], [x, x.astype("float32")], [x, x[0]]):
        with pytest.raises(GraphError, match="wrong"):
            executable.run(wrong)
        assert executable.run([x, x])[0].tolist() == [[2.0] * 3] * 2


def test_results_belong_to_their_call():
    x = np.arange(6.0)
    executable = compiled(lambda x: (x, x * 2.0, x[1:]), x)
    first = executable.run([x])
    kept = [a.copy() for a in first]
    second = executable.run([x + 1])
    for a in (*first, *second):
        assert a.flags.writeable
        assert a.flags.owndata
    for a, b in zip(first, kept, strict=True):
        np.testing.assert_array_equal(a, b)
        assert not any(np.shares_memory(a, other) for other in (x, *second))


def test_each_thread_has_memory_of_its_own():
    executable = compiled(lambda x, y: ((x @ y).sum(1), x.sum()), *[np.zeros((8, 8))] * 2)
    wrong = []

    def work(number):
        x = np.full((8, 8), float(number))
        for _ in range(300):
            sums, total = executable.run([x, x])
            if total != 64 * number or (sums != 64.0 * number**2).any():
                wrong.append((sums, total))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(executable._spare) <= 4


def test_the_arrays_of_a_call_are_let_go():
    executable = compiled(lambda x: x * 2.0, np.zeros(50))
    x = np.zeros(50)
    before = sys.getrefcount(x)
    for _ in range(10):
        executable.run([x])
    assert sys.getrefcount(x) == before


@pytest.mark.parametrize("variant", ["avx2", "neon"])
def test_the_reader_is_code_on_every_processor(variant):
    assert arguments.ENTER in llvm.assembly(arguments.arguments_text(), variant)
