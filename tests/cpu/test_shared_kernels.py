"""Kernels that do the same in other buffers are one function."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.backends import BACKENDS, cpu
from chainrule.backends.cpu.plan import Plan
from chainrule.backends.cpu.program import module_text
from chainrule.backends.cpu.target import TARGETS

LAYERS = 4


def traced(function, inputs):
    jitted = cr.jit(function)
    with cr.settings(backend="reference"):
        jitted(*inputs)
    return jitted.graphs[0]


def layers(x, *weights):
    for w in weights:
        x = cr.tanh(x @ w)
    return x, x.sum()


@pytest.fixture
def stack():
    rng = np.random.default_rng(0)
    weights = rng.normal(0, 0.1, size=(LAYERS, 100, 100))
    inputs = [rng.normal(size=(40, 100)), *weights]
    inputs = [x.astype("float32") for x in inputs]
    return traced(layers, inputs), inputs


def test_equal_layers_share_their_code(stack):
    plan = Plan(stack[0], TARGETS["avx2"])
    text = module_text(plan)
    assert len(plan.kernels) > LAYERS
    # The last layer's product is also summed; the first one's input stands where the caller says.
    assert text.count("define void @k") <= len(plan.kernels) - LAYERS + 2
    assert text.count(" = private constant ") >= LAYERS - 1


def test_shared_code_works_in_the_buffers_of_each_layer(stack):
    graph, inputs = stack
    expected = BACKENDS["reference"](graph).run(inputs)
    for x, y in zip(cpu.compile(graph).run(inputs), expected, strict=True):
        np.testing.assert_allclose(x, y, rtol=2e-5, atol=2e-5)


def test_what_reads_a_buffer_twice_does_not_share_with_what_reads_two():
    def function(x, y):
        return x @ x, x @ y

    inputs = [np.arange(9.0).reshape(3, 3), np.full((3, 3), -2.0)]
    graph = traced(function, inputs)
    expected = BACKENDS["reference"](graph).run(inputs)
    for x, y in zip(cpu.compile(graph).run(inputs), expected, strict=True):
        np.testing.assert_array_equal(x, y)
