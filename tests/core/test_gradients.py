"""Every derivative against finite differences, first and second order."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.backprop import DERIVATIVES, gradient_graph
from chainrule.errors import ArgumentError, GradientError
from chainrule.graph import PRIMITIVES, verify
from chainrule.testing import check_gradients, function_samples, primitive_samples

PRIMITIVE_CASES = [
    pytest.param(sample, id=f"{name}-{i}")
    for name, samples in primitive_samples().items()
    if PRIMITIVES[name].differentiable
    for i, sample in enumerate(samples)
]
FUNCTION_CASES = [
    pytest.param(sample, id=f"{name}-{i}")
    for name, samples in function_samples().items()
    for i, sample in enumerate(samples)
]


@pytest.mark.parametrize("sample", PRIMITIVE_CASES + FUNCTION_CASES)
def test_derivatives_agree_with_differences(sample):
    check_gradients(sample.function, *sample.inputs, order=2)


@pytest.mark.parametrize("sample", [c for c in PRIMITIVE_CASES if c.id.startswith(("mul", "tanh"))])
def test_third_order(sample):
    check_gradients(sample.function, *sample.inputs, order=3)


@pytest.mark.parametrize("name", sorted(DERIVATIVES))
def test_a_wrong_rule_is_caught(name, monkeypatch):
    right = DERIVATIVES[name]

    def wrong(*arguments):
        gradient = right(*arguments)
        return None if gradient is None else gradient * 1.01

    monkeypatch.setitem(DERIVATIVES, name, wrong)
    sample = primitive_samples()[name][0]
    with pytest.raises(GradientError, match="differs"):
        check_gradients(sample.function, *sample.inputs, order=1)


def test_a_missing_rule_names_primitive_and_layer(monkeypatch):
    monkeypatch.delitem(DERIVATIVES, "tanh")
    from chainrule.tensor import scope

    def function(x):
        with scope("encoder/dense1"):
            return cr.tanh(x).sum()

    with pytest.raises(GradientError, match=r"\[encoder/dense1\].*'tanh' has no derivative"):
        cr.grad(function)([1.0])


@pytest.mark.parametrize("sample", [c for c in PRIMITIVE_CASES if not c.id.startswith("custom")])
def test_graph_to_graph_equals_the_tape(sample):
    tensors = [cr.tensor(x) for x in sample.inputs]

    def total(*values):
        return (sample.function(*values) * 1.5).sum()

    jitted = cr.jit(total)
    jitted(*tensors)
    graph = gradient_graph(jitted.graphs[0])
    verify(graph)
    from chainrule.backends import BACKENDS

    results = BACKENDS["reference"](graph).run([x.numpy() for x in tensors])
    floating = [i for i, x in enumerate(tensors) if x.dtype.kind == "f"]
    expected = cr.grad(total, argnums=floating)(*tensors)
    for found, wanted in zip(results[1:], expected, strict=True):
        np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-12, atol=1e-12)


def test_power_at_zero():
    assert cr.grad(lambda x: x**2.0)(0.0).item() == 0
    assert cr.grad(lambda x: cr.power(x, cr.tensor(0.0)))(0.0).item() == 0
    assert cr.grad(lambda y: cr.power(cr.tensor(0.0), y))(2.0).item() == 0


def test_relu_at_zero_and_nan():
    assert cr.grad(lambda x: cr.relu(x))(0.0).item() == 0
    assert np.isnan(cr.relu(float("nan")).item())


def test_equal_winners_share_the_gradient():
    assert cr.grad(lambda x: x.max())([1.0, 3.0, 3.0]).tolist() == [0.0, 0.5, 0.5]
    assert cr.grad(lambda x: cr.maximum(x, 1.0))(1.0).item() == 0.5


def test_product_with_zeros():
    assert cr.grad(lambda x: x.prod())([2.0, 0.0, 3.0]).tolist() == [0.0, 6.0, 0.0]
    assert cr.grad(lambda x: x.prod())([0.0, 0.0, 3.0]).tolist() == [0.0, 0.0, 0.0]


def test_softplus_second_derivative_at_zero():
    assert cr.grad(cr.grad(cr.softplus))(0.0).item() == pytest.approx(0.25)


def test_checker_refuses_what_it_cannot_check():
    with pytest.raises(ArgumentError):
        check_gradients(lambda x: x, np.arange(3))
    with pytest.raises(ArgumentError):
        check_gradients(lambda x: x, [1.0], order=0)


def test_checker_finds_a_wrong_custom_gradient():
    wrong = cr.custom_gradient(lambda x: (x * x, lambda g: g * 3.0 * x))
    with pytest.raises(GradientError):
        check_gradients(wrong, [1.0, 2.0])
