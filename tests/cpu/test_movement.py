"""Kernels that gather, search and scatter: in vectors, in pieces, on every kind of processor."""

import importlib
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.backends.cpu.llvm import runnable_variants
from chainrule.backends.cpu.movement import BYTES_IN_CACHE, MOST_PIECES
from chainrule.backends.cpu.plan import Plan
from chainrule.backends.cpu.target import TARGETS
from chainrule.backends.reference.threefry import random_bits
from chainrule.graph import operations as ops

LINES = [((40, 26), 1), ((40, 26), 0), ((9, 7), 1), ((3, 1), 1), ((2, 33, 5), 1), ((17,), 0)]
LINES += [((700, 16), 1)]  # in pieces


@pytest.fixture(params=sorted(TARGETS))
def processor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code for one kind of processor."""
    if request.param not in runnable_variants():
        pytest.skip("this machine cannot run that code")
    monkeypatch.setattr(
        "chainrule.backends.cpu.executable.host_target", lambda: TARGETS[request.param]
    )
    # Programs made for another kind are not taken from memory.
    module = importlib.import_module("chainrule.backends.compiled")
    monkeypatch.setattr(module, "_compilations", module.Compilations())


def numbers(shape: tuple[int, ...], dtype: str, kind: str) -> Any:
    random = np.random.default_rng(len(shape))
    x = random.normal(size=shape) * 4
    if kind == "equal":
        x = np.zeros(shape)
    elif kind == "ties":
        x = np.round(x / 3)
    elif kind == "special" and dtype.startswith("float"):
        x[random.random(shape) < 0.1] = np.nan
        x[random.random(shape) < 0.2] = -np.inf
        x[random.random(shape) < 0.2] = np.inf
    return (np.abs(x) if dtype.startswith("u") else x).astype(dtype)


@pytest.mark.usefixtures("processor")
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "uint8", "bool"])
def test_the_first_largest_and_smallest(dtype: str) -> None:
    arrays = [
        (numbers(shape, dtype, kind), axis)
        for shape, axis in LINES
        for kind in ("plain", "ties", "equal", "special")
    ]

    @cr.jit
    def places(xs: Any) -> Any:
        return [
            (cr.argmax(x, axis=axis), cr.argmin(x, axis=axis))
            for x, (_, axis) in zip(xs, arrays, strict=True)
        ]

    for (x, axis), (largest, smallest) in zip(arrays, places([x for x, _ in arrays]), strict=True):
        np.testing.assert_array_equal(largest.numpy(), np.argmax(x, axis=axis))
        np.testing.assert_array_equal(smallest.numpy(), np.argmin(x, axis=axis))


@pytest.mark.parametrize("width", [1, 3, 16, 100])
@pytest.mark.parametrize("threads", [1, 2])
def test_many_rows_in_random_order(
    width: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cr.config, "threads", threads)
    random = np.random.default_rng(0)
    count = BYTES_IN_CACHE // (4 * width) + 5  # rows are asked for ahead
    x = random.random((count, width), dtype=np.float32)
    rows = random.integers(-count, count, 2003)
    take = cr.jit(lambda x, rows: cr.take(x, rows, 0))
    np.testing.assert_array_equal(take(x, rows).numpy(), x[rows])


@pytest.mark.parametrize("place", [0, 700, 1399])
@pytest.mark.parametrize("wrong", [5000, -5001, 1 << 40])
def test_a_row_that_is_not_there_is_an_error_in_every_piece(place: int, wrong: int) -> None:
    x = np.zeros((5000, 32), np.float32)
    rows = np.arange(1400)
    rows[place] = wrong
    take = cr.jit(lambda x, rows: cr.take(x, rows, 0))
    with pytest.raises(Exception, match="out of range"):
        take(x, rows)


@pytest.mark.usefixtures("processor")
@pytest.mark.parametrize("width", [1, 5, 16, 37])
def test_scatter_add(width: int) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(50, width))
    rows, updates = random.integers(0, 50, 300), random.normal(size=(300, width))
    found = cr.jit(cr.scatter_add)(x, rows, updates).numpy()
    np.add.at(x, rows, updates)
    np.testing.assert_allclose(found, x, rtol=1e-12)


@pytest.mark.usefixtures("processor")
@pytest.mark.parametrize("size", [1, 2, 7, 16, 31, 32, 33, 95, 5001, 40_003])
def test_random_bits(size: int) -> None:
    keys = np.array([[3, 2**31 + 7], [2**32 - 1, 5]], np.uint32)
    counters = np.array([2**32 - 3, 11], np.uint32)  # passes the largest

    @cr.jit
    def draw(keys: Any, counters: Any) -> Any:
        shape = (1, size)
        return ops.random_bits(keys[1], counters, shape), ops.random_bits(
            keys[1, ::-1], keys[0], shape
        )

    found = draw(keys, counters)
    expected = [random_bits(keys[1], counters, (1, size))]
    expected += [random_bits(keys[1, ::-1], keys[0], (1, size))]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.numpy(), other)


@pytest.mark.parametrize("threads", [1, 2])
def test_random_bits_in_pieces(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cr.config, "threads", threads)
    key = np.array([0, 3], np.uint32)
    for count, pieces in [(500, 1), (1030, 2), (70_001, MOST_PIECES)]:
        draw = cr.jit(lambda k, count=count: cr.random.bits(k, count))
        counters = np.array([0, (count + 1) // 2], np.uint32)
        np.testing.assert_array_equal(draw(key).numpy(), random_bits(key, counters, (count,)))
        (kernel,) = Plan(draw.graphs[0], TARGETS["avx512"]).kernels
        assert kernel.pieces(TARGETS["avx512"]) == pieces
