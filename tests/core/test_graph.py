"""The graph language: building, verifying, printing, drawing; passes keep values."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.backends import BACKENDS
from chainrule.errors import ChainruleError, GraphError
from chainrule.graph import PRIMITIVES, Graph, GraphBuilder, Node, verify
from chainrule.graph import operations as ops
from chainrule.passes import PASSES, optimize

FLOAT = np.dtype("float64")


def small_graph() -> Graph:
    builder = GraphBuilder("small")
    x = builder.input((3, 4), FLOAT, "x")
    w = builder.input((4, 2), FLOAT, "w")
    with builder.scoped("dense1"):
        y = ops.tanh(x @ w)
    return builder.finish([ops.reduce_sum(y * 2, (0, 1))])


def test_text_form():
    assert str(small_graph()) == (
        "graph(%x0: float64[3, 4], %x1: float64[4, 2]) {\n"
        "  %0 = matmul(%x0, %x1) : float64[3, 2]                                       # dense1\n"
        "  %1 = tanh(%0) : float64[3, 2]                                               # dense1\n"
        "  %2 = constant(value=2.0) : float64[]\n"
        "  %3 = multiply(%1, %2) : float64[3, 2]\n"
        "  %4 = reduce_sum(%3, axes=[0, 1]) : float64[]\n"
        "  return %4\n}"
    )


def test_text_is_stable_and_tells_constants_apart():
    def text(value):
        f = cr.jit(lambda x: x + cr.tensor(np.full(100, value)))
        f(cr.ones(100, "float64"))
        return str(f.graphs[0])

    assert text(1.0) == text(1.0)
    assert text(1.0) != text(2.0)


def test_dot_quotes_hostile_names():
    builder = GraphBuilder('g"; evil')
    x = builder.input((1,), FLOAT, 'a"] evil\n')
    with builder.scoped('layer "x"'):
        y = ops.exp(x)
    dot = builder.finish([y]).to_dot()
    assert 'label="a\\"] evil\\n' in dot
    assert 'subgraph cluster_0 { label="layer \\"x\\"";' in dot


def broken_graphs():
    g = small_graph()
    matmul, tanh = g.nodes[0], g.nodes[1]
    yield "before it is defined", Graph(g.inputs, [tanh, matmul], tanh.outputs)
    yield "defined twice", Graph(g.inputs, [matmul, matmul], matmul.outputs)
    yield "not defined", Graph(g.inputs, [matmul], tanh.outputs)
    wrong = Node(PRIMITIVES["exp"], matmul.inputs[:1], {}, matmul.outputs)
    yield "wrong type", Graph(g.inputs, [wrong], wrong.outputs)
    attributes = Node(PRIMITIVES["exp"], matmul.inputs[:1], {"axis": 0}, matmul.outputs)
    yield "wrong attributes", Graph(g.inputs, [attributes], attributes.outputs)


@pytest.mark.parametrize(
    ("words", "graph"), list(broken_graphs()), ids=lambda x: x if isinstance(x, str) else ""
)
def test_verify_finds_broken_graphs(words, graph):
    with pytest.raises(GraphError, match=words):
        verify(graph)


def test_a_value_of_another_graph_is_refused():
    a, b = GraphBuilder("a"), GraphBuilder("b")
    with pytest.raises(GraphError, match="another graph"):
        a.input((1,), FLOAT) + b.input((1,), FLOAT)


UNARY = ["tanh", "sin", "negative", "sigmoid", "abs", "stop_gradient"]
BINARY = ["add", "multiply", "subtract", "maximum"]


@st.composite
def random_graphs(draw) -> Graph:
    builder = GraphBuilder("random")
    values = [builder.input((2, 3), FLOAT), builder.input((3,), FLOAT)]
    for _ in range(draw(st.integers(1, 15))):
        x, y = draw(st.sampled_from(values)), draw(st.sampled_from(values))
        kind = draw(st.integers(0, 6))
        if kind <= 1:
            values.append(getattr(ops, draw(st.sampled_from(UNARY)))(x))
        elif kind <= 3:
            if x.ndim == y.ndim == 2 and x.shape != y.shape:
                y = ops.transpose(y, (1, 0))
            if {x.shape, y.shape} <= {(2, 3), (3,)} or x.shape == y.shape:
                values.append(getattr(ops, draw(st.sampled_from(BINARY)))(x, y))
        elif kind == 4 and x.ndim == 2:
            values.append(ops.transpose(x, (1, 0)))
        elif kind == 5:
            values.append(x * draw(st.sampled_from([0.0, -0.0, 1.0, 2.0])))
        else:
            values.append(ops.reshape(x, (1, *x.shape)))
            values.append(ops.reshape(values[-1], x.shape))
    return builder.finish(draw(st.lists(st.sampled_from(values), min_size=1, max_size=3)))


@given(random_graphs(), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=200)
def test_passes_keep_every_bit(graph, seed):
    generator = np.random.default_rng(seed)
    inputs = [generator.standard_normal((2, 3)), generator.standard_normal(3)]
    expected = BACKENDS["reference"](graph).run(inputs)
    verify(graph)
    for name, run in PASSES:
        changed = run(graph)
        verify(changed)
        for a, b in zip(BACKENDS["reference"](changed).run(inputs), expected, strict=True):
            assert a.tobytes() == b.tobytes(), name
    assert len(optimize(graph)) <= len(graph)


def test_passes_do_less():
    builder = GraphBuilder("waste")
    x = builder.input((2, 3), FLOAT)
    ops.exp(x)
    y = ops.tanh(x) * 1 + ops.tanh(x)
    y = ops.transpose(ops.transpose(y, (1, 0)), (1, 0))
    graph = optimize(builder.finish([ops.negative(ops.negative(y))]))
    assert [n.primitive.name for n in graph] == ["tanh", "add"]


@pytest.mark.parametrize("axes", [(0, 1), (2,), (0, 1, 2)])
def test_factors_are_taken_out_of_sums(axes):
    builder = GraphBuilder("sums")
    x, y = builder.input((3, 4, 5), FLOAT), builder.input((3, 4, 5), FLOAT)
    per_column = builder.input((5,), FLOAT)
    per_row = builder.input((3, 4, 1), FLOAT)
    wide = ops.broadcast_to(per_column, (3, 4, 5))
    once = x * y
    sources = [-(once * per_column), wide * once / per_row, 3 * (once + once), per_row * -once]
    graph = builder.finish([ops.reduce_sum(source, axes) for source in sources])
    generator = np.random.default_rng(0)
    inputs = [generator.standard_normal(value.shape) for value in graph.inputs]
    changed = optimize(graph)
    expected = BACKENDS["reference"](graph).run(inputs)
    for a, b in zip(BACKENDS["reference"](changed).run(inputs), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
    sums = [node.inputs[0] for node in changed if node.primitive.name == "reduce_sum"]
    (product,) = [n.outputs[0] for n in changed if n.inputs == tuple(changed.inputs[:2])]
    assert product in sums


def test_every_shape_rule_agrees_with_the_kernel():
    from chainrule.testing import primitive_samples

    for name, samples in primitive_samples().items():
        for sample in samples:
            f = cr.jit(sample.function)
            result = f(*[cr.tensor(x) for x in sample.inputs])
            value = f.graphs[0].outputs[0]
            assert (value.shape, value.dtype) == (result.numpy().shape, result.numpy().dtype), name


def test_executable_checks_the_number_of_inputs():
    with pytest.raises(GraphError, match="number of inputs"):
        BACKENDS["reference"](small_graph()).run([])


def test_settings_restore_and_refuse():
    with pytest.raises(ChainruleError, match="did you mean 'check'"), cr.settings(chek="debug"):
        pass
    with pytest.raises(ChainruleError, match="expected one of"):
        cr.config.check = "sometimes"
    with cr.settings(check="debug"):
        assert cr.config.check == "debug"
    assert cr.config.check == "normal"
