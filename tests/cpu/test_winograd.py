"""Convolutions by Winograd's minimal filtering: any sizes, any processor, any number of threads."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from small_programs import AlwaysShared
from test_random_graphs import assert_same_bits, built

import chainrule as cr
from chainrule.backends import BACKENDS
from chainrule.backends.cpu import winograd
from chainrule.backends.cpu.llvm import runnable_variants
from chainrule.backends.cpu.plan import Plan
from chainrule.backends.cpu.target import TARGETS
from chainrule.backends.cpu.winograd import Winograd
from chainrule.dtypes import FLOAT32
from chainrule.graph import GraphBuilder
from chainrule.graph import operations as ops
from chainrule.graph.widen import widened

KINDS = ("convolution", "convolution_input_gradient", "convolution_kernel_gradient")
EASY = settings(
    deadline=None,
    max_examples=40,
    database=None,
    derandomize=True,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


def convolved(kind, sizes, padding, finish=lambda y, builder: [y], flipped=False):
    """A graph of one of the three convolutions.

    ``sizes`` are (examples, height, width, channels, filters).
    """
    n, height, width, channels, filters = sizes
    builder = GraphBuilder("winograd")
    moves = {"strides": (1, 1), "padding": padding, "dilation": (1, 1), "groups": 1}
    places = [s + sum(p) - 2 for s, p in zip((height, width), padding, strict=True)]
    x_shape, dy_shape = (n, height, width, channels), (n, *places, filters)

    def view(shape):
        value = builder.input(shape, FLOAT32)
        return ops.flip(value, (1, 2)) if flipped else value

    if kind == "convolution_kernel_gradient":
        y = ops.convolution_kernel_gradient(view(x_shape), view(dy_shape), window=(3, 3), **moves)
    else:
        kernel = builder.input((3, 3, channels, filters), FLOAT32)
        if kind == "convolution":
            y = ops.convolution(view(x_shape), kernel, **moves)
        else:
            y = ops.convolution_input_gradient(
                view(dy_shape), kernel, spatial=(height, width), **moves
            )
    return builder.finish(finish(y, builder))


def alone(y, builder):
    return [y]


def with_bias(y, builder):
    bias = builder.input(y.shape[-1:], FLOAT32)
    y = y + bias
    return [ops.select(ops.less_equal(y, y.constant_like(0)), y.constant_like(0), y)]


def with_more(y, builder):
    """The result is kept, and two others are made from it."""
    other = builder.input(y.shape, FLOAT32)
    return [y, y * 2 + other, ops.less_equal(y, other)]


def with_sums(y, builder):
    """As batch normalization asks for them: of the result itself, and of what is made from it."""
    places = (0, 1, 2)
    return [y, ops.reduce_sum(y, places), ops.reduce_sum(y * y, places), ops.reduce_max(y, places)]


def compiled_with(graph, variant):
    with mock.patch.object(winograd, "FEWEST_TILES", 1):
        found = built(graph, variant, small_pieces=False)
        plan = Plan(graph, TARGETS[variant])
    assert any(isinstance(kernel, Winograd) for kernel in plan.kernels)
    return found


@EASY
@given(st.data())
def test_whole_numbers_give_whole_results(data):
    """Halves and quarters of small whole numbers are exact: no element may be wrong or missing."""
    draw = data.draw
    kind = draw(st.sampled_from(KINDS))
    several = st.sampled_from([16, 32, 48])
    side = st.integers(3, 19)
    sizes = (draw(st.integers(1, 5)), draw(side), draw(side), draw(several), draw(several))
    pair = st.tuples(st.integers(0, 2), st.integers(0, 2))
    padding = ((1, 1), (1, 1)) if draw(st.booleans()) else (draw(pair), draw(pair))
    padding = tuple(p if s + sum(p) > 4 else (1, 1) for s, p in zip(sizes[1:], padding))
    finish = draw(st.sampled_from([alone, with_bias, with_more, with_sums]))
    graph = convolved(kind, sizes, padding, finish, flipped=draw(st.booleans()))
    note(str(graph))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    most = 1 if finish is with_sums else 3
    inputs = [random.integers(-most, most + 1, x.shape).astype("float32") for x in graph.inputs]
    expected = BACKENDS["reference"](graph).run(inputs)
    compiled = compiled_with(graph, draw(st.sampled_from(runnable_variants())))
    with cr.settings(threads=1):
        found = compiled.run(inputs)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    with cr.settings(threads=2):
        compiled._program._runner.pace = AlwaysShared()
        assert_same_bits(compiled.run(inputs), found)


@pytest.mark.parametrize("kind", KINDS)
def test_the_error_is_that_of_a_sum(kind):
    graph = convolved(kind, (16, 14, 14, 32, 64), ((1, 1), (1, 1)))
    random = np.random.default_rng(0)
    inputs = [random.normal(size=x.shape).astype("float32") for x in graph.inputs]
    wide = [x.astype("float64") for x in inputs]
    (expected,) = BACKENDS["reference"](widened(graph)).run(wide)
    (magnitude,) = BACKENDS["reference"](widened(graph)).run([abs(x) for x in wide])
    (found,) = built(graph, runnable_variants()[0], small_pieces=False).run(inputs)
    assert abs(found - expected).max() < 2 * np.finfo("float32").eps * magnitude.max()


@pytest.mark.parametrize(
    ("sizes", "is_winograd"),
    [
        ((64, 14, 14, 32, 64), True),
        ((64, 8, 8, 16, 16), True),
        ((64, 14, 14, 24, 64), False),
        ((64, 28, 28, 1, 32), False),
        ((1, 14, 14, 32, 64), False),
        ((64, 8, 8, 256, 512), False),
        ((1, 8, 1024, 64, 64), False),
    ],
    ids=[
        "usual",
        "few channels",
        "part of a vector",
        "one channel",
        "few tiles",
        "large kernels",
        "long rows",
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_where_it_is_used(kind, sizes, is_winograd):
    plan = Plan(convolved(kind, sizes, ((1, 1), (1, 1))), TARGETS["avx512"])
    assert any(isinstance(kernel, Winograd) for kernel in plan.kernels) == is_winograd
    if is_winograd:
        n, height, width, channels, filters = sizes
        counted = [kernel.operations for kernel in plan.kernels]
        assert max(counted) == 2 * 9 * n * height * width * channels * filters
