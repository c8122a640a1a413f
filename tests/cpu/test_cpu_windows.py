"""Pools and convolutions on the CPU back end against the reference: any window, any processor."""

import os

import numpy as np
import pytest
from convolution_graphs import add_convolutions, moves
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from random_graphs import Maker, cases
from small_programs import AlwaysShared
from test_random_graphs import AT_ONCE, COUNT, assert_same_bits, built, check

import chainrule as cr
from chainrule.backends import BACKENDS
from chainrule.backends.cpu.contraction import Contraction
from chainrule.backends.cpu.llvm import runnable_variants
from chainrule.backends.cpu.plan import Plan
from chainrule.backends.cpu.target import TARGETS
from chainrule.backends.cpu.windows import Windows
from chainrule.graph import GraphBuilder
from chainrule.graph import operations as ops
from chainrule.graph.widen import widened

LENGTHS = (5, 1, 2, 3, 6, 8, 13)
EASY = settings(
    deadline=None,
    max_examples=60,
    database=None,
    derandomize=True,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


@st.composite
def pools(draw, dtype):
    """A graph of the four primitives over one window, and numbers for it."""
    builder = GraphBuilder("pools")
    m = Maker(draw, builder, np.dtype(dtype))
    rank = m.one_of((2, 1, 2, 3))
    spatial = tuple(m.one_of(LENGTHS[: 5 if rank == 3 else None]) for _ in range(rank))
    shape = (draw(st.integers(1, 3)), *spatial, draw(st.integers(1, 40)))
    chosen = moves(m, spatial, pool=True)
    x, t = m.input(*shape), m.input(*shape)
    layout = m.one_of(("plain", "plain", "channels first", "backwards", "slice"))
    if layout == "channels first":
        last = len(shape) - 1
        x = m.input(shape[0], last and shape[-1], *spatial)
        x = ops.transpose(x, (0, *range(2, last + 1), 1))
    elif layout == "backwards":
        x = ops.flip(x, tuple(range(1, rank + 1)))
    elif layout == "slice":
        wide = m.input(shape[0], *(2 * s for s in spatial), shape[-1] + 3)
        start = (0,) * rank + (0, 2)
        stop = (shape[0], *(2 * s for s in spatial), shape[-1] + 2)
        x = ops.slice_(wide, start, stop, (1, *(2,) * rank, 1))
    keys = chosen._asdict()
    largest = ops.window_max(x, **keys)
    dy = m.input(*largest.shape)
    outputs = [largest, ops.window_sum(x, **keys), ops.window_gather(x, t, **keys)]
    scattered = ops.window_scatter(x, dy, **keys)
    places = tuple(range(len(shape) - 1))
    outputs += [scattered, ops.reduce_sum(scattered, places)]
    # What follows a pool runs in its kernel, whether the pool's result is kept or not.
    off = ops.less_equal(largest, largest.constant_like(0))
    total = ops.window_sum(ops.abs(t), **keys)
    outputs += [off, ops.select(off, dy, largest), ops.sqrt(total + m.input(shape[-1]) ** 2)]
    return builder.finish(outputs)


def numbers(graph, seed, kind):
    random = np.random.default_rng(seed)
    arrays = []
    for i, value in enumerate(graph.inputs):
        x = random.normal(size=value.shape)
        if kind == "ties":
            x = np.round(x)
        elif kind == "special" and i == 0:
            x[random.random(value.shape) < 0.4] = -np.inf
            x[random.random(value.shape) < 0.05] = np.nan
        arrays.append(x.astype(value.dtype))
    return arrays


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@EASY
@given(st.data())
def test_pools(dtype, data):
    graph = data.draw(pools(dtype))
    note(str(graph))
    kind = data.draw(st.sampled_from(["plain", "ties", "special"]))
    inputs = numbers(graph, data.draw(st.integers(0, 2**32)), kind)
    variant = data.draw(st.sampled_from(runnable_variants()))
    small_pieces = data.draw(st.booleans())
    expected = BACKENDS["reference"](graph).run(inputs)
    compiled = built(graph, variant, small_pieces)
    with cr.settings(threads=1):
        alone = compiled.run(inputs)
    tolerance = 1e-5 if dtype == "float32" else 1e-13
    for a, b in zip(alone, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
    np.testing.assert_array_equal(alone[0], expected[0])
    np.testing.assert_array_equal(alone[2], expected[2])
    with cr.settings(threads=2):
        compiled._program._runner.pace = AlwaysShared()
        assert_same_bits(compiled.run(inputs), alone)


@st.composite
def convolutions(draw, dtype):
    """The three convolutions with a kernel for each channel."""
    builder = GraphBuilder("depthwise")
    m = Maker(draw, builder, np.dtype(dtype))
    rank = m.one_of((2, 1, 2, 3))
    spatial = tuple(m.one_of(LENGTHS[: 5 if rank == 3 else None]) for _ in range(rank))
    channels = draw(st.integers(2, 40))
    x = m.input(draw(st.integers(1, 3)), *spatial, channels)
    chosen = moves(m, spatial)
    kernel = m.input(*chosen.window, 1, channels)
    keys = {**chosen.attributes, "groups": channels}
    y = ops.convolution(x, kernel, **keys)
    dy = m.input(*y.shape)
    dx = ops.convolution_input_gradient(dy, kernel, spatial=spatial, **keys)
    dk = ops.convolution_kernel_gradient(x, dy, window=chosen.window, **keys)
    return builder.finish([y, dx, dk])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@EASY
@given(st.data())
def test_convolutions_of_single_channels(dtype, data):
    graph = data.draw(convolutions(dtype))
    note(str(graph))
    inputs = numbers(graph, data.draw(st.integers(0, 2**32)), "plain")
    wide = [x.astype("float64") for x in inputs]
    expected = BACKENDS["reference"](widened(graph)).run(wide)
    variant = data.draw(st.sampled_from(runnable_variants()))
    compiled = built(graph, variant, data.draw(st.booleans()))
    with cr.settings(threads=1):
        alone = compiled.run(inputs)
    tolerance = 1e-4 if dtype == "float32" else 1e-12
    for a, b in zip(alone, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
    with cr.settings(threads=2):
        compiled._program._runner.pace = AlwaysShared()
        assert_same_bits(compiled.run(inputs), alone)


def check_networks(dtype, together, examples):
    @given(
        cases(dtype, together, (add_convolutions,)),
        st.integers(0, 2**32 - 1),
        st.sampled_from(runnable_variants()),
        st.booleans(),
    )
    @settings(EASY, max_examples=examples, derandomize="CHAINRULE_FUZZ_COUNT" not in os.environ)
    def run(case, seed, variant, small_pieces):
        note(str(case.graph))
        check(case, seed, dtype, variant, small_pieces)

    run()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_networks_of_convolutions(dtype):
    check_networks(dtype, 2, 12)


@pytest.mark.fuzz
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_many_networks_of_convolutions(dtype):
    check_networks(dtype, AT_ONCE, max(COUNT // (4 * AT_ONCE), 1))


@pytest.mark.parametrize("name", ["window_max", "window_scatter"])
def test_usual_pools_are_cut_into_pieces(name):
    builder = GraphBuilder("pool")
    x = builder.input((4, 28, 28, 32), np.dtype("float32"))
    keys = {"window": (2, 2), "strides": (2, 2), "padding": ((0, 0),) * 2, "dilation": (1, 1)}
    values = [x]
    if name == "window_scatter":
        values.append(builder.input((4, 14, 14, 32), np.dtype("float32")))
    graph = builder.finish([getattr(ops, name)(*values, **keys)])
    (kernel,) = Plan(graph, TARGETS["avx512"]).kernels
    assert isinstance(kernel, Windows)
    assert kernel.covers
    assert kernel.pieces(TARGETS["avx512"]) == 6


def test_each_convolution_of_single_channels_is_a_kernel_of_windows():
    builder = GraphBuilder("depthwise")
    x = builder.input((4, 16, 16, 32), np.dtype("float32"))
    kernel = builder.input((3, 3, 1, 32), np.dtype("float32"))
    keys = {"strides": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 32}
    y = ops.convolution(x, kernel, **keys)
    dx = ops.convolution_input_gradient(y, kernel, spatial=(16, 16), **keys)
    dk = ops.convolution_kernel_gradient(x, y, window=(3, 3), **keys)
    kernels = Plan(builder.finish([y, dx, dk]), TARGETS["avx512"]).kernels
    product = 4 * 16 * 16 * 32 * 9
    assert [kernel.operations for kernel in kernels[:3]] == [2 * product] * 3
    names = [type(kernel).__name__ for kernel in kernels]
    assert names == ["Windows", "Windows", "DepthwiseGradient", "Group"]
    assert [kernel.pieces(TARGETS["avx512"]) for kernel in kernels[:3]] == [8, 8, 4]


@pytest.mark.parametrize(("examples", "channels", "pieces"), [(12, 1, 4), (9, 3, 3), (7, 1, 2)])
def test_gradients_of_small_kernels_are_sums_of_parts(examples, channels, pieces):
    builder = GraphBuilder("kernel")
    x = builder.input((examples, 26, 20, channels), np.dtype("float32"))
    dy = builder.input((examples, 26, 20, 24), np.dtype("float32"))
    keys = {"strides": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 1}
    graph = builder.finish([ops.convolution_kernel_gradient(x, dy, window=(3, 3), **keys)])
    random = np.random.default_rng(0)
    inputs = [random.integers(-3, 4, value.shape).astype("float32") for value in graph.inputs]
    expected = BACKENDS["reference"](graph).run(inputs)
    variant = runnable_variants()[0]
    kernels = Plan(graph, TARGETS[variant]).kernels
    assert [k.pieces(TARGETS[variant]) for k in kernels if isinstance(k, Contraction)] == [pieces]
    compiled = built(graph, variant, small_pieces=False)
    for threads in (1, 2):
        with cr.settings(threads=threads):
            compiled._program._runner.pace = AlwaysShared()
            np.testing.assert_array_equal(compiled.run(inputs), expected)
