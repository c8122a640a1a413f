"""ReLU moves behind the maximum of a window, and no bit of any result or gradient changes."""

import numpy as np
import pytest

from chainrule.backends import BACKENDS
from chainrule.backprop import backpropagate
from chainrule.dtypes import FLOAT32
from chainrule.graph import GraphBuilder
from chainrule.graph import operations as ops
from chainrule.passes import optimize
from chainrule.passes.pooling import pool_before_relu

SIDE_BY_SIDE = {"strides": (2, 2), "padding": ((0, 0), (0, 0)), "dilation": (1, 1)}
OVERLAPPING = {"strides": (1, 2), "padding": ((1, 0), (1, 1)), "dilation": (1, 1)}
FAR_APART = {"strides": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (2, 1)}
MOVES = {"side by side": SIDE_BY_SIDE, "overlapping": OVERLAPPING, "far apart": FAR_APART}


def relu(x, limit=0.0):
    zero = x.constant_like(limit)
    return ops.select(ops.less_equal(x, zero), zero, x)


def network(moves, more=lambda values: (), limit=0.0):
    """relu, then a pool; its result and the gradient of its input."""
    builder = GraphBuilder("pooled")
    x = builder.input((2, 6, 8, 5), FLOAT32)
    y = relu(x * 2, limit)
    pooled = ops.window_max(y, window=(2, 2), **moves)
    seed = builder.input(pooled.shape, FLOAT32)
    [gradient] = backpropagate(builder.nodes, [(pooled, seed)], [x])
    return builder.finish([pooled, gradient, *more([y, gradient])])


def numbers(graph, kind):
    random = np.random.default_rng(0)
    arrays = []
    for value in graph.inputs:
        x = random.normal(size=value.shape).astype("float32")
        if kind == "ties":
            x = np.round(x)
        if kind == "special":
            x[random.random(x.shape) < 0.4] = -np.inf
            x[random.random(x.shape) < 0.1] = np.nan
            x[random.random(x.shape) < 0.1] = -0.0
        arrays.append(x)
    return arrays


def order(graph):
    names = [node.primitive.name for node in graph]
    return "pool first" if names.index("window_max") < names.index("select") else "relu first"


@pytest.mark.parametrize("moves", MOVES.values(), ids=MOVES.keys())
@pytest.mark.parametrize("kind", ["plain", "ties", "special"])
def test_no_bit_changes(moves, kind):
    graph = network(moves)
    changed = optimize(graph)
    assert order(optimize(changed)) == "pool first"
    inputs = numbers(graph, kind)
    run = BACKENDS["reference"]
    for found, expected in zip(run(changed).run(inputs), run(graph).run(inputs), strict=True):
        assert found.tobytes() == expected.tobytes()


def test_masks_are_of_the_pools_size():
    sizes = {
        node.outputs[0].shape
        for node in optimize(network(SIDE_BY_SIDE))
        if node.primitive.name in ("select", "less_equal")
    }
    assert sizes == {(2, 3, 4, 5)}


@pytest.mark.parametrize(
    "graph",
    [
        network(SIDE_BY_SIDE, lambda values: [values[0]]),
        network(SIDE_BY_SIDE, lambda values: [ops.exp(values[0])]),
        network(SIDE_BY_SIDE, limit=1.0),
    ],
    ids=["relu is a result", "relu is read", "not at 0"],
)
def test_what_keeps_its_order(graph):
    assert pool_before_relu(graph) is graph


def test_a_gradient_that_others_read_keeps_the_order():
    builder = GraphBuilder("scattered")
    x = builder.input((2, 6, 8, 5), FLOAT32)
    pooled = ops.window_max(relu(x), window=(2, 2), **SIDE_BY_SIDE)
    dy = builder.input(pooled.shape, FLOAT32)
    scattered = ops.window_scatter(relu(x), dy, window=(2, 2), **SIDE_BY_SIDE)
    graph = builder.finish([pooled, scattered])
    assert order(optimize(graph)) == "relu first"
