"""Tape, grad, vjp, jvp, jacobian, hessian, custom gradients."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import DTypeError, GradientError, ShapeError, StateError

W = np.array([[0.5, -1.0], [2.0, 0.25], [1.0, 1.0]])


def test_tape_watches_trainable_variables_only():
    a, b = cr.Variable(2.0), cr.Variable(3.0, trainable=False)
    with cr.GradientTape() as tape:
        y = a * b
    assert [g if g is None else g.item() for g in tape.gradient(y, [a, b])] == [3.0, None]


def test_tape_without_automatic_watching():
    a = cr.Variable(2.0)
    with cr.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(a)
        y = a * a
    assert tape.gradient(y, {"a": a})["a"].item() == 4.0


def test_tape_is_used_once_unless_persistent():
    x = cr.tensor(3.0)
    with cr.GradientTape() as tape:
        tape.watch(x)
        y = x * x
    tape.gradient(y, x)
    with pytest.raises(StateError, match="persistent=True"):
        tape.gradient(y, x)
    with cr.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y, z = x * x, x**3
    assert (tape.gradient(y, x).item(), tape.gradient(z, x).item()) == (6.0, 27.0)


def test_nested_tapes_give_second_derivatives():
    x = cr.Variable(2.0)
    with cr.GradientTape() as outer:
        with cr.GradientTape() as inner:
            y = x**3
        first = inner.gradient(y, x)
    assert outer.gradient(first, x).item() == pytest.approx(12.0)


def test_variable_read_before_and_after_assignment():
    x = cr.Variable(2.0)
    with cr.GradientTape() as tape:
        y = x * 3.0
        x.assign(10.0)
        z = y + x * x
    assert tape.gradient(z, x).item() == 3.0 + 20.0


def test_several_targets_and_output_gradients():
    x = cr.tensor([1.0, 2.0])
    with cr.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y, z = x * x, 3.0 * x
    assert tape.gradient([y, z], x).tolist() == [5.0, 7.0]
    assert tape.gradient(y, x, [10.0, 1.0]).tolist() == [20.0, 4.0]
    with pytest.raises(ShapeError):
        tape.gradient(y, x, [1.0, 2.0, 3.0])


def test_errors_of_the_tape():
    with cr.GradientTape() as tape:
        y = cr.tensor(1.0) * 2
    with pytest.raises(GradientError, match="nothing was recorded"):
        tape.gradient(y, cr.tensor(1.0))
    with pytest.raises(DTypeError, match="floating"):
        cr.GradientTape().watch(cr.tensor([1, 2]))
    with pytest.raises(GradientError, match="target"):
        cr.GradientTape().gradient(3.0, [])


def test_grad_takes_trees_and_argnums():
    def f(p, x):
        return (p["w"] * x + p["b"][0]).sum()

    g = cr.grad(f)({"w": cr.tensor([1.0, 2.0]), "b": [cr.tensor(0.5)]}, cr.tensor([3.0, 4.0]))
    assert g["w"].tolist() == [3.0, 4.0]
    assert g["b"][0].item() == 2.0
    a, b = cr.grad(lambda x, y: x * y, argnums=(0, 1))(2.0, 5.0)
    assert (a.item(), b.item()) == (5.0, 2.0)


def test_grad_treats_outside_values_as_constants():
    def outer(x):
        return cr.grad(lambda y: x * y)(x)

    assert outer(cr.tensor(3.0)).item() == 3.0
    assert cr.grad(outer)(3.0).item() == 1.0


def test_grad_refuses_non_scalars_and_integers():
    with pytest.raises(GradientError, match="floating scalar"):
        cr.grad(lambda x: x)([1.0, 2.0])
    with pytest.raises(DTypeError):
        cr.grad(lambda x: x * 1.0)(cr.tensor(3))


def test_value_and_grad_with_more():
    (value, more), gradient = cr.value_and_grad(lambda x: (x * x, "more"), has_aux=True)(3.0)
    assert (value.item(), more, gradient.item()) == (9.0, "more", 6.0)


def test_jacobian_vjp_and_jvp_agree():
    def f(x):
        return cr.tanh(cr.tensor(W) @ x)

    x, v, w = np.array([0.3, -0.7]), np.array([1.0, 2.0]), np.array([1.0, -1.0, 0.5])
    jacobian = cr.jacobian(f)(x).numpy()
    exact = (1 - np.tanh(W @ x) ** 2)[:, None] * W
    np.testing.assert_allclose(jacobian, exact, rtol=1e-14)
    np.testing.assert_allclose(cr.vjp(f, x)[1](w)[0].numpy(), w @ exact, rtol=1e-14)
    np.testing.assert_allclose(cr.jvp(f, (x,), (v,))[1].numpy(), exact @ v, rtol=1e-14)


def test_hessian_of_a_quadratic_form():
    a = np.array([[2.0, 1.0], [0.0, 3.0]])
    found = cr.hessian(lambda x: x @ (cr.tensor(a) @ x))(np.array([0.1, 0.2]))
    np.testing.assert_allclose(found.numpy(), a + a.T, rtol=1e-14)


def test_jvp_of_a_constant_is_zero():
    assert cr.jvp(lambda x: x * 0.0 + cr.stop_gradient(x), ([2.0],), ([1.0],))[1].tolist() == [0.0]


def test_custom_gradient_to_second_order():
    @cr.custom_gradient
    def cube(x):
        return x**3, lambda g: g * 3.0 * x * x

    assert cr.grad(cube)(2.0).item() == 12.0
    assert cr.grad(cr.grad(cube))(2.0).item() == 12.0
    assert cr.jit(cr.grad(cube))(cr.tensor(2.0)).item() == 12.0


def test_stop_gradient():
    assert cr.grad(lambda x: x * cr.stop_gradient(x))(3.0).item() == 3.0


def test_tapes_of_other_threads_do_not_interfere():
    from concurrent.futures import ThreadPoolExecutor

    def work(k):
        return cr.grad(lambda x: (x * float(k)).sum())(np.ones(1000)).numpy()[0]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(40))) == list(range(40))


def test_memory_is_bounded_by_what_is_followed():
    tape = cr.GradientTape()
    with tape:
        x = cr.tensor(1.0)
        for _ in range(100):
            x = x * 1.1
    assert tape._nodes == []
