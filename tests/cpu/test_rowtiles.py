"""Tiny nets as one kernel over tiles of rows, against the reference back end."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.backends import BACKENDS, Repetition, cpu
from chainrule.backends.cpu.llvm import runnable_variants
from chainrule.backends.cpu.plan import Plan
from chainrule.backends.cpu.rowtiles import fusion
from chainrule.backends.cpu.rowtiles.lines import FeatureMajor
from chainrule.backends.cpu.rowtiles.tiles import RowTiles
from chainrule.backends.cpu.target import TARGETS, host_target
from chainrule.graph import Graph

TOLERANCES = {"float32": (2e-4, 2e-5), "float64": (1e-10, 1e-11)}
ACTIVATIONS = {
    "relu": cr.relu,
    "tanh": cr.tanh,
    "sigmoid": cr.sigmoid,
    "softplus": cr.softplus,
    "square": cr.square,
    "softmax": cr.softmax,
    "log1p": lambda h: cr.log1p(cr.abs(h)),
}


def squared(prediction, y):
    return cr.square(prediction - y).mean()


def cross_entropy(prediction, y):
    return -(cr.log_softmax(prediction) * cr.softmax(y)).sum(axis=1).mean()


def weighted(prediction, y):
    weights = y[:, 0]
    return (weights * cr.abs(prediction - y).max(axis=1)).sum() / weights.sum()


LOSSES = {"squared": squared, "cross_entropy": cross_entropy, "weighted": weighted}


def traced(function, inputs) -> Graph:
    jitted = cr.jit(function)
    with cr.settings(backend="reference"):
        jitted(*[cr.tensor(x) for x in inputs])
    return jitted.graphs[0]


def net_step(activations, loss, extra=False):
    """A step of gradient descent of a dense net: x, y, then weights and biases in turn."""

    def forward(x, parameters):
        for number, activation in enumerate(activations):
            x = ACTIVATIONS[activation](x @ parameters[2 * number] + parameters[2 * number + 1])
        return x @ parameters[-2] + parameters[-1]

    def step(x, y, *parameters):
        def value(*parameters):
            return LOSSES[loss](forward(x, parameters), y)

        result, gradients = cr.value_and_grad(value, tuple(range(len(parameters))))(*parameters)
        moved = [p - 0.1 * g for p, g in zip(parameters, gradients, strict=True)]
        return (result, *moved, *((forward(x, parameters),) if extra else ()))

    return step


def net_inputs(rows, widths, dtype, seed=0):
    generator = np.random.default_rng(seed)
    inputs = [generator.standard_normal((rows, widths[0])), generator.random((rows, widths[-1]))]
    for before, after in pairwise(widths):
        inputs += [generator.standard_normal((before, after)) / 2, generator.standard_normal(after)]
    return [x.astype(dtype) for x in inputs]


def tiles_of(plan):
    return [kernel for kernel in plan.kernels if isinstance(kernel, RowTiles)]


def assert_agrees(graph, inputs, dtype, executable=None):
    expected = BACKENDS["reference"](graph).run(inputs)
    found = (executable or cpu.compile(graph)).run(inputs)
    relative, absolute = TOLERANCES[dtype]
    for a, b in zip(found, expected, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_allclose(a, b, rtol=relative, atol=absolute)


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_random_nets_agree_with_the_reference(data):
    rows = data.draw(st.integers(200, 700))
    hidden = data.draw(st.lists(st.integers(1, 20), max_size=3))
    widths = [data.draw(st.integers(1, 12)), *hidden, data.draw(st.integers(1, 17))]
    activations = [data.draw(st.sampled_from(sorted(ACTIVATIONS))) for _ in hidden]
    loss = data.draw(st.sampled_from(sorted(LOSSES)))
    dtype = data.draw(st.sampled_from(["float32", "float64"]))
    inputs = net_inputs(rows, widths, dtype, data.draw(st.integers(0, 2**32 - 1)))
    graph = traced(net_step(activations, loss, data.draw(st.booleans())), inputs)
    plan = Plan(graph, host_target())
    assert len(tiles_of(plan)) >= 1
    assert_agrees(graph, inputs, dtype)


NETS = [
    (1000, (10, 10, 1), ("relu",), "squared"),
    (65, (3, 4), (), "cross_entropy"),
    (256, (4, 16, 15, 3), ("tanh", "softmax"), "cross_entropy"),
    (331, (7, 33, 1), ("log1p",), "weighted"),
    (1025, (1, 1, 2), ("sigmoid",), "squared"),
]


@pytest.mark.parametrize("variant", sorted(TARGETS))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("net", NETS, ids=str)
def test_kinds_of_processors_agree(net, dtype, variant, monkeypatch):
    rows, widths, activations, loss = net
    inputs = net_inputs(rows, widths, dtype)
    graph = traced(net_step(activations, loss, extra=True), inputs)
    plan = Plan(graph, TARGETS[variant])
    assert tiles_of(plan)
    if variant not in runnable_variants():
        assert "fma" in "".join(k.emit("k", plan.target).text() for k in plan.kernels)
        return
    monkeypatch.setattr("chainrule.backends.cpu.executable.host_target", lambda: TARGETS[variant])
    assert_agrees(graph, inputs, dtype)


def losses_and_weights(threads, rows=3000):
    """What twenty steps of a small net on one batch leave."""
    generator = np.random.default_rng(1)
    x = generator.standard_normal((rows, 9)).astype("float32")
    y = np.tanh(x[:, :2]).astype("float32")
    model = cr.Sequential([cr.layers.Dense(12, activation="tanh"), cr.layers.Dense(2)])
    with cr.settings(threads=threads):
        history = model.fit(x, y, loss="mse", epochs=20, batch_size=None, seed=0, verbose=0)
    return [history.history["loss"], *(v.numpy().tolist() for v in model.variables)]


def test_the_number_of_threads_changes_no_bit(monkeypatch):
    monkeypatch.setattr(fusion, "WORK_OF_A_PIECE", 1 << 12)
    assert losses_and_weights(1) == losses_and_weights(2)


@pytest.mark.parametrize("pieces", [1, 2, 3, 8])
def test_tiles_in_pieces(pieces, monkeypatch):
    monkeypatch.setattr(fusion, "WORK_OF_A_PIECE", 1)
    monkeypatch.setattr(fusion, "MOST_PIECES", pieces)
    inputs = net_inputs(2001, (5, 6, 3), "float64")
    graph = traced(net_step(("tanh",), "cross_entropy", extra=True), inputs)
    (kernel,) = tiles_of(Plan(graph, host_target()))
    assert kernel.pieces(host_target()) == pieces
    assert_agrees(graph, inputs, "float64")


def assert_repeats(graph, inputs, repetition, executable=None):
    expected = BACKENDS["reference"](graph).repeat(inputs, repetition)
    found = (executable or cpu.compile(graph)).repeat(inputs, repetition)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("scanned", [(), (0,), (0, 1)], ids=str)
def test_rows_are_brought_onto_lines_whenever_they_change(scanned):
    inputs = net_inputs(100, (4, 5, 2), "float64")
    graph = traced(net_step(("tanh",), "squared"), inputs)
    steps = 4
    for position in scanned:
        inputs[position] = np.stack([inputs[position] * (n + 1) for n in range(steps)])
    carried = tuple((2 + i, 1 + i) for i in range(len(inputs) - 2))
    executable = cpu.compile(graph)
    for factor in (1.0, 0.5):
        inputs[0] = inputs[0] * factor
        assert_repeats(graph, inputs, Repetition(steps, scanned, carried), executable)


def test_rows_of_inputs_are_brought_onto_lines_once():
    graph = traced(net_step(("tanh",), "squared"), net_inputs(100, (4, 5, 2), "float64"))
    assert [type(kernel) for kernel in Plan(graph, host_target()).once] == [FeatureMajor] * 2


def test_carried_rows_are_brought_onto_lines_in_every_step():
    def step(x, w):
        value, (a, b) = cr.value_and_grad(lambda x, w: cr.square(x @ w).mean(), (0, 1))(x, w)
        return value, x - 0.1 * a, w - 0.1 * b

    inputs = [np.random.default_rng(0).standard_normal(s) for s in ((90, 4), (4, 3))]
    graph = traced(step, inputs)
    assert tiles_of(Plan(graph, host_target()))
    assert_repeats(graph, inputs, Repetition(5, (), ((0, 1), (1, 2))))


def test_gathered_batches():
    generator = np.random.default_rng(0)
    x, y = generator.standard_normal((300, 6)), generator.standard_normal((300, 1))
    w, v = generator.standard_normal((6, 8)), generator.standard_normal((8, 1))
    numbers = generator.integers(0, 300, (3, 96))

    def step(rows, x, y, w, v):
        def loss(w, v):
            return cr.square(cr.tanh(cr.take(x, rows, 0) @ w) @ v - cr.take(y, rows, 0)).mean()

        value, (a, b) = cr.value_and_grad(loss, (0, 1))(w, v)
        return value, w - 0.1 * a, v - 0.1 * b

    graph = traced(step, [numbers[0], x, y, w, v])
    assert tiles_of(Plan(graph, host_target()))
    assert_repeats(graph, [numbers, x, y, w, v], Repetition(3, (0,), ((3, 1), (4, 2))))


def test_what_rows_past_the_end_hold_does_not_matter():
    """They are computed: from zeros, whose logarithm and reciprocal are no numbers."""
    inputs = [np.abs(x) + 0.5 for x in net_inputs(70, (3, 4, 1), "float32")]

    def step(x, y, w, b, v, c):
        def loss(w, b, v, c):
            return cr.square(cr.log(x) / x @ w @ v - y).mean() + (1 / (x @ w) + b).mean() * c.sum()

        value, gradients = cr.value_and_grad(loss, (0, 1, 2, 3))(w, b, v, c)
        return value, *gradients

    graph = traced(step, inputs)
    assert tiles_of(Plan(graph, host_target()))
    assert_agrees(graph, inputs, "float32")


def test_no_rows_few_rows_and_wide_nets_are_left_alone():
    for rows, widths in [(0, (3, 4, 1)), (20, (3, 4, 1)), (500, (3, 200, 1)), (500, (60, 60, 60))]:
        inputs = net_inputs(rows, widths, "float64")
        graph = traced(net_step(("tanh",) * (len(widths) - 2), "squared"), inputs)
        assert not tiles_of(Plan(graph, host_target()))
        if rows:
            assert_agrees(graph, inputs, "float64")


def test_means_over_rows_that_rows_need_again():
    inputs = net_inputs(200, (4, 6, 2), "float64")

    def step(x, y, w, b, v, c):
        def loss(w, b, v, c):
            h = x @ w + b
            h = (h - h.mean(axis=0)) / cr.sqrt(cr.var(h, axis=0) + 1e-3)
            return cr.square(cr.tanh(h) @ v + c - y).mean()

        value, gradients = cr.value_and_grad(loss, (0, 1, 2, 3))(w, b, v, c)
        return value, *gradients

    assert_agrees(traced(step, inputs), inputs, "float64")


def test_lines_that_are_kept_share_no_memory():
    """Much memory is used after the tiles: none of it may be that of the inputs' lines."""

    def step(x, y, *parameters):
        value, *moved = net_step(("tanh",), "squared")(x, y, *parameters)
        large = cr.tensor(np.ones((64, 64))) * value
        return value, *moved, (large @ large @ large @ large).sum()

    inputs = net_inputs(300, (4, 5, 2), "float64")
    graph = traced(step, inputs)
    assert Plan(graph, host_target()).once
    carried = tuple((2 + i, 1 + i) for i in range(len(inputs) - 2))
    assert_repeats(graph, inputs, Repetition(4, (), carried))
