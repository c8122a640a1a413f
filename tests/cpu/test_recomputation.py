"""What a network of convolutions writes, and what it multiplies."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.backends.cpu.contraction import Contraction
from chainrule.backends.cpu.groups import Group
from chainrule.backends.cpu.plan import Plan
from chainrule.backends.cpu.target import TARGETS

PICTURES = (32, 16, 16, 16)


@pytest.fixture(scope="module")
def step():
    """Gradients of three normalised convolutions, the last with strides: graph and inputs."""
    convolution = {"padding": "same", "use_bias": False}
    layers = []
    for strides in (1, 1, 2):
        layers.append(cr.layers.Conv2D(16, 3, strides, **convolution))
        layers += [cr.layers.BatchNormalization(), cr.layers.Activation("relu")]
    model = cr.Sequential([cr.layers.Input(PICTURES[1:]), *layers])
    variables = model.trainable_variables

    def gradients(x):
        with cr.GradientTape() as tape:
            loss = cr.mean(cr.square(model(x, training=True)))
        return tape.gradient(loss, variables)

    compiled = cr.jit(gradients)
    pictures = np.random.default_rng(0).standard_normal(PICTURES).astype(np.float32)
    expected = [tensor.numpy() for tensor in gradients(cr.tensor(pictures))]
    found = [tensor.numpy() for tensor in compiled(cr.tensor(pictures))]
    return compiled.graphs[0], expected, found


def test_the_gradients_are_those_of_the_reference(step):
    _, expected, found = step
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-4 * np.abs(b).max())


def test_deviations_from_the_mean_are_computed_again(step):
    plan = Plan(step[0], TARGETS["avx2"])
    groups = [k for k in plan.kernels if isinstance(k, Group)]
    groups += [k.epilogue for k in plan.kernels if getattr(k, "epilogue", None) is not None]
    stored = [
        group.nodes[value].primitive.name
        for group in groups
        for value in group.stores
        if value in group.nodes and value.shape == PICTURES
    ]
    assert stored
    assert "subtract" not in stored


def test_a_place_meets_only_the_taps_that_reach_it():
    x, kernel = np.zeros((4, 9, 8, 16), np.float32), np.zeros((3, 3, 16, 16), np.float32)

    def gradient(x, kernel):
        with cr.GradientTape() as tape:
            tape.watch(x)
            y = cr.sum(cr.convolution(x, kernel, 2, "same") * 2)
        return tape.gradient(y, [x])[0]

    compiled = cr.jit(gradient)
    compiled(cr.tensor(x), cr.tensor(kernel))
    plan = Plan(compiled.graphs[0], TARGETS["avx2"])
    depths = [k.depth // 16 for k in plan.kernels if isinstance(k, Contraction)]
    assert sorted(depths) == [1, 2, 2, 4]
