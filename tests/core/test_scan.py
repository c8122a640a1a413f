"""Loops: against the same written out step by step, eagerly, compiled, and differentiated."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ShapeError, StateError
from chainrule.graph.walk import live_nodes
from chainrule.testing import check_gradients

generator = np.random.default_rng(5)
STEPS, ROWS, INPUTS, UNITS = 5, 3, 4, 6


def arrays(*shapes):
    return [cr.tensor(generator.normal(size=shape) * 0.5) for shape in shapes]


def gates(h, c, x, w, r, b):
    z = x @ w + h @ r + b
    i, f, g, o = (z[:, k * UNITS : (k + 1) * UNITS] for k in range(4))
    c = cr.sigmoid(f) * c + cr.sigmoid(i) * cr.tanh(g)
    return cr.sigmoid(o) * cr.tanh(c), c


def looped(x, h, c, *weights, reverse=False):
    def step(carry, entry):
        h, c = gates(*carry, entry, *weights)
        return (h, c), h

    (h, c), outputs = cr.scan(step, (h, c), x, reverse=reverse)
    return (outputs * outputs).sum() + (h * c).sum()


def unrolled(x, h, c, *weights, reverse=False):
    total = 0.0
    for t in reversed(range(STEPS)) if reverse else range(STEPS):
        h, c = gates(h, c, x[t], *weights)
        total = total + (h * h).sum()
    return total + (h * c).sum()


@pytest.fixture(params=["cpu", "reference"])
def backend(request):
    with cr.settings(backend=request.param):
        yield request.param


def lstm_arrays():
    state = (ROWS, UNITS)
    weights = (INPUTS, 4 * UNITS), (UNITS, 4 * UNITS), (4 * UNITS,)
    return arrays((STEPS, ROWS, INPUTS), state, state, *weights)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("wrap", [cr.jit, lambda f: f])
def test_values_and_gradients_are_those_of_the_steps_written_out(backend, wrap, reverse):
    inputs = lstm_arrays()
    found = wrap(cr.value_and_grad(lambda *a: looped(*a, reverse=reverse), range(6)))(*inputs)
    value, expected = cr.value_and_grad(lambda *a: unrolled(*a, reverse=reverse), range(6))(*inputs)
    np.testing.assert_allclose(found[0].item(), value.item(), rtol=1e-12)
    for x, y in zip(found[1], expected, strict=True):
        np.testing.assert_allclose(x.numpy(), y.numpy(), rtol=1e-10, atol=1e-12)


def test_second_derivatives(backend):
    inputs = lstm_arrays()

    def second(function):
        first = cr.grad(function, range(6))
        return cr.jit(cr.grad(lambda *a: sum((g * g).sum() for g in first(*a)), range(6)))

    for x, y in zip(second(looped)(*inputs), second(unrolled)(*inputs), strict=True):
        np.testing.assert_allclose(x.numpy(), y.numpy(), rtol=1e-9, atol=1e-11)


def test_a_loop_and_what_its_derivative_needs_are_one():
    gradients = cr.jit(cr.value_and_grad(looped, range(3, 6)))
    gradients(*lstm_arrays())
    loops = [n for n in gradients.graphs[0] if n.primitive.name == "scan"]
    assert [n.attributes["reverse"] for n in loops] == [False, True]
    # The products with entries are made before, those of the weights' gradients after the loops.
    for loop in loops:
        assert [n.primitive.name for n in loop.attributes["body"]].count("matmul") == 1
        assert "pad" not in [n.primitive.name for n in loop.attributes["body"]]


def test_products_of_one_state_are_merged():
    h, x, *weights = arrays((2, 3), (4, 2, 3), (3, 3), (3, 3), (3, 3))

    def step(s, e):
        return cr.tanh(s @ weights[0] + e) * cr.sigmoid(s @ weights[1]) + s @ weights[2], s

    function = cr.jit(lambda s: cr.scan(step, s, x)[1])
    found = function(h)
    body = next(n for n in function.graphs[0] if n.primitive.name == "scan").attributes["body"]
    assert [n.primitive.name for n in body].count("matmul") == 1
    for t in range(4):
        np.testing.assert_allclose(found[t].numpy(), h.numpy(), rtol=1e-12)
        h = step(h, x[t])[0]


def test_what_nobody_reads_is_left_out():
    def f(x):
        return cr.scan(
            lambda s, e: ((s[0] + e, s[1] * e), (cr.exp(e), cr.sin(s[0]))), (x[0], x[1]), x
        )

    used = cr.jit(lambda x: f(x)[1][1])
    x = arrays((4, 3))[0]
    np.testing.assert_allclose(used(x).numpy(), f(x)[1][1].numpy(), rtol=1e-12)
    body = next(n for n in used.graphs[0] if n.primitive.name == "scan").attributes["body"]
    assert [n.primitive.name for n in body] == ["add", "sin"]
    assert len(live_nodes(body)) == 2


def test_variables_assigned_inside_are_carried(backend):
    count, total = cr.Variable(0, trainable=False), cr.Variable(np.zeros(2))

    def step(s, e):
        count.assign_add(1)
        total.assign(total + e * s)
        return s * 0.5, total * 1.0

    for wrap in (lambda f: f, cr.jit):
        count.assign(0)
        total.assign(np.zeros(2))
        x = cr.tensor(np.ones((3, 2)))
        _, sums = wrap(lambda x: cr.scan(step, cr.tensor(1.0, "float64"), x))(x)
        assert count.numpy() == 3
        np.testing.assert_allclose(total.numpy(), [1.75, 1.75])
        np.testing.assert_allclose(sums.numpy()[:, 0], [1, 1.5, 1.75])


def test_trainable_variables_get_gradients(backend):
    w = cr.Variable(generator.normal(size=(3, 3)))
    x = arrays((4, 2, 3))[0]
    with cr.GradientTape() as tape:
        loss = cr.scan(lambda s, e: (cr.tanh(s @ w + e), None), x[0], x)[0].sum()
    found = tape.gradient(loss, w)

    def written_out(w):
        s = x[0]
        for t in range(4):
            s = cr.tanh(s @ w + x[t])
        return s.sum()

    np.testing.assert_allclose(found.numpy(), cr.grad(written_out)(w.value).numpy(), rtol=1e-10)


def test_embedding_rows_inside_a_loop(backend):
    table, ids = arrays((7, 3))[0], cr.tensor(generator.integers(0, 7, (5, 2)))

    def f(table):
        return cr.scan(
            lambda s, i: (s * 0.5 + cr.take(table, i, 0), None), cr.zeros((2, 3), "float64"), ids
        )[0]

    check_gradients(f, table, order=2)


def test_rows_that_depend_on_each_other_still_work(backend):
    x = cr.tensor(generator.normal(size=(4, 40, 3)))

    def f(x):
        return cr.scan(lambda s, e: (s - s.mean(axis=0) + e, s), x[0], x)[1].sum(axis=0)

    found, s, total = cr.jit(f)(x).numpy(), x.numpy()[0], 0
    for t in range(4):
        total = total + s
        s = s - s.mean(axis=0) + x.numpy()[t]
    np.testing.assert_allclose(found, total, rtol=1e-12)


@pytest.mark.parametrize("rows", [16, 17, 33, 100, 256])
def test_any_number_of_rows_on_any_number_of_threads(rows):
    w = cr.tensor(generator.normal(size=(5, 5)).astype("float32"))
    x = cr.tensor(generator.normal(size=(6, rows, 5)).astype("float32"))

    def f(w, x):
        return cr.scan(lambda s, e: (cr.tanh(s @ w + e), s), cr.zeros((rows, 5), w.dtype), x)[1]

    results = []
    for threads in (1, 2, 3):
        with cr.settings(threads=threads):
            results.append(cr.jit(cr.value_and_grad(lambda *a: f(*a).sum(), (0, 1)))(w, x))
    for value, (dw, dx) in results[1:]:
        assert value.numpy() == results[0][0].numpy()
        assert (dw.numpy() == results[0][1][0].numpy()).all()
        assert (dx.numpy() == results[0][1][1].numpy()).all()
    with cr.settings(backend="reference"):
        expected = cr.jit(lambda w, x: f(w, x))(w.astype("float64"), x.astype("float64"))
    np.testing.assert_allclose(cr.jit(f)(w, x).numpy(), expected.numpy(), rtol=2e-5, atol=2e-6)


def test_mistakes_are_explained():
    x = cr.zeros((3, 2))
    with pytest.raises(ShapeError, match="no number of steps"):
        cr.scan(lambda s, e: (s, e), 0.0, (x, cr.zeros((4, 2))))
    with pytest.raises(ShapeError, match="carried value changes"):
        cr.scan(lambda s, e: (s + e, None), 0.0, x)
    with pytest.raises(StateError, match="returns something else"):
        cr.scan(lambda s, e: s + e, x[0], x)
    with pytest.raises(StateError, match="needs the numbers"):
        cr.scan(lambda s, e: (s if s.sum() > 0 else e, None), x[0], x)
