"""Row groups against the reference: softmax, cross-entropy, norms and random chains along rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.backends import BACKENDS, cpu
from chainrule.backends.cpu import groups, rowgroups
from chainrule.backends.cpu.groups import Group
from chainrule.backends.cpu.llvm import runnable_variants
from chainrule.backends.cpu.plan import Plan
from chainrule.backends.cpu.row_code import RowGroup
from chainrule.backends.cpu.target import TARGETS, host_target
from chainrule.graph import Graph, GraphBuilder
from chainrule.graph import operations as ops

TOLERANCES = {"float32": (5e-5, 5e-6), "float64": (1e-11, 1e-12)}
VARIANTS = [name for name in ("avx512", "avx2", "sse") if name in runnable_variants()]


def traced(function, inputs) -> Graph:
    jitted = cr.jit(function)
    with cr.settings(backend="reference"):
        jitted(*[cr.tensor(x) for x in inputs])
    return jitted.graphs[0]


def kernels_of(graph, variant=None):
    return Plan(graph, TARGETS[variant] if variant else host_target()).kernels


def run(graph, inputs, variant=None):
    if variant is None:
        return cpu.compile(graph).run(inputs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("chainrule.backends.cpu.executable.host_target", lambda: TARGETS[variant])
        return cpu.compile(graph).run(inputs)


def assert_agrees(graph, inputs, variant=None, dtype="float64"):
    relative, absolute = TOLERANCES[dtype]
    with np.errstate(all="ignore"):
        expected = BACKENDS["reference"](graph).run(inputs)
    for a, b in zip(run(graph, inputs, variant), expected, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        scale = np.abs(b[np.isfinite(b)]).max(initial=0.0) if b.dtype.kind == "f" else 0.0
        np.testing.assert_allclose(a, b, rtol=relative, atol=absolute * (1 + scale))


# ---- the functions they are for, written as users write them


def cross_entropy(x, targets):
    def loss(x):
        return cr.losses.CrossEntropy(from_logits=True)(targets, x)

    return cr.value_and_grad(loss)(x)


def soft_cross_entropy(x, targets):
    def loss(x):
        return -(cr.log_softmax(x) * targets).sum(axis=-1).mean()

    return cr.value_and_grad(loss)(x)


def layer_norm(x, scale, offset, output_gradient):
    def function(x, scale, offset):
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = (centred * centred).mean(axis=-1, keepdims=True)
        return ((centred * cr.rsqrt(variance + 1e-5) * scale + offset) * output_gradient).sum()

    return cr.value_and_grad(function, argnums=(0, 1, 2))(x, scale, offset)


def log_sum(x, weights):
    return cr.value_and_grad(lambda x: (cr.logsumexp(x, axis=-1) * weights).sum())(x)


def unit_rows(x, output_gradient):
    return cr.value_and_grad(lambda x: (cr.l2_normalize(x, -1) * output_gradient).sum())(x)


def case(name, rows, columns, dtype, seed=0):
    """A function and its inputs."""
    generator = np.random.default_rng(seed)

    def normal(*shape):
        return generator.standard_normal(shape).astype(dtype)

    x = normal(*rows, columns)
    count = max(columns, 1)
    functions = {
        "softmax": (cr.softmax, [x]),
        "log_softmax": (cr.log_softmax, [x]),
        "cross_entropy": (cross_entropy, [x, generator.integers(0, count, rows)]),
        "soft_cross_entropy": (soft_cross_entropy, [x, abs(normal(*rows, columns))]),
        "layer_norm": (layer_norm, [x, normal(columns), normal(columns), normal(*rows, columns)]),
        "logsumexp": (log_sum, [x, normal(*rows)]),
        "unit_rows": (unit_rows, [x, normal(*rows, columns)]),
        "variance": (lambda x: (x.var(axis=-1), x.max(axis=-1) - x.min(axis=-1)), [x]),
    }
    return functions[name]


NAMES = [
    "softmax", "log_softmax", "cross_entropy", "soft_cross_entropy", "layer_norm", "logsumexp",
    "unit_rows", "variance",
]  # fmt: skip
SHAPES = [((5,), 3), ((33,), 10), ((3, 7), 70), ((17,), 150), ((64,), 33), ((2,), 1000)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_functions_along_rows_agree_with_the_reference(name, dtype, variant):
    for rows, columns in SHAPES:
        function, inputs = case(name, rows, columns, dtype)
        assert_agrees(traced(function, inputs), inputs, variant, dtype)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [((1,), 9), ((9,), 1), ((1,), 1), ((0,), 5), ((2, 1), 40)])
def test_shapes_with_0_and_1(name, shape):
    function, inputs = case(name, *shape, "float64")
    if name == "cross_entropy" and (shape[0] == (0,) or shape[1] == 1):
        pytest.skip("refused: no rows or one class")
    assert_agrees(traced(function, inputs), inputs)


@pytest.mark.parametrize("name", NAMES)
def test_each_is_one_kernel_over_the_rows(name):
    function, inputs = case(name, (40,), 50, "float32")
    kernels = kernels_of(traced(function, inputs))
    over_rows = [k for k in kernels if isinstance(k, RowGroup) and k.rows == (40,)]
    assert len(over_rows) == 1
    # Besides, only what comes after the last row: parts added up, a division by the count.
    others = [k for k in kernels if k not in over_rows]
    assert all(40 not in (k.shape if isinstance(k, Group) else k.columns) for k in others)


@pytest.mark.parametrize("variant", VARIANTS)
def test_rows_with_nan_and_infinity(variant):
    x = np.random.default_rng(1).standard_normal((20, 37))
    x[1, 3] = np.nan
    x[4, 36] = np.inf
    x[6] = -np.inf
    x[8, 30:] = -np.inf
    x[19, 0] = np.nan
    for name in ("softmax", "log_softmax", "logsumexp", "variance"):
        function, inputs = case(name, (20,), 37, "float64")
        inputs[0] = x
        assert_agrees(traced(function, inputs), inputs, variant)


def test_inputs_laid_out_otherwise_and_values_used_outside():
    generator = np.random.default_rng(2)
    x, mask = generator.standard_normal((30, 6, 4)), generator.standard_normal((4, 30))

    def function(x, mask):
        y = cr.transpose(x, (1, 2, 0)) + mask
        powers = cr.exp(y - y.max(axis=-1, keepdims=True))
        total = powers.sum(axis=-1, keepdims=True)
        return powers / total, powers, total, powers[:, ::-1].sum(axis=0), y.sum(axis=(0, 1))

    assert_agrees(traced(function, [x, mask]), [x, mask])


def test_rows_of_several_axes_that_do_not_join():
    generator = np.random.default_rng(12)
    inputs = [generator.standard_normal(s) for s in ((3, 4, 5, 30), (3, 1, 5, 1), (4, 1, 30))]
    graph = traced(lambda x, y, z: cr.softmax(x * y + z), inputs)
    assert any(isinstance(k, RowGroup) for k in kernels_of(graph))
    assert_agrees(graph, inputs)


def test_sums_over_several_last_axes():
    x = np.random.default_rng(3).standard_normal((5, 4, 3, 17))
    scale = np.random.default_rng(4).standard_normal((3, 1))

    def function(x, scale):
        centred = x - x.mean(axis=(2, 3), keepdims=True)
        return centred * scale, (centred * centred).sum(axis=(2, 3)), centred.sum(axis=(0, 1))

    graph = traced(function, [x, scale])
    assert any(isinstance(k, RowGroup) for k in kernels_of(graph))
    assert_agrees(graph, [x, scale])


def test_what_needs_all_rows_first_is_computed_after_them():
    x = np.random.default_rng(5).standard_normal((50, 20))

    def function(x):
        y = cr.softmax(x)
        weights = y.max(axis=1)
        weights = weights / weights.sum()
        return y * weights[:, None], (y - y.mean(axis=0)).max(axis=1), y[::-1] * y

    assert_agrees(traced(function, [x]), [x])


# ---- pieces and threads


@pytest.mark.parametrize("pieces", [1, 2, 3, 8])
@pytest.mark.parametrize("name", NAMES)
def test_pieces_agree_with_the_reference(name, pieces, monkeypatch):
    monkeypatch.setattr(groups, "WORK_OF_A_PIECE", 1)
    monkeypatch.setattr(groups, "MOST_PIECES", pieces)
    monkeypatch.setattr(rowgroups, "CACHE_OF_A_BLOCK", 1000)
    function, inputs = case(name, (70,), 45, "float64")
    graph = traced(function, inputs)
    assert max(k.parts for k in kernels_of(graph) if isinstance(k, RowGroup)) == pieces
    assert_agrees(graph, inputs)


@pytest.mark.parametrize("name", NAMES)
def test_one_and_two_threads_give_the_same_bits(name):
    function, inputs = case(name, (700,), 300, "float32")
    executable = cpu.compile(traced(function, inputs))
    found = []
    for threads in (1, 2):
        with cr.settings(threads=threads):
            found.append([x.tobytes() for _ in range(3) for x in executable.run(inputs)])
    assert found[0] == found[1]


# ---- random chains


@st.composite
def random_chains(draw):
    """Graphs over rows: sums along them, down them and over all, numbers of rows, broadcasts."""
    builder = GraphBuilder("rows")
    dtype = np.dtype("float64")
    rows = draw(st.sampled_from([(1,), (3,), (16,), (37,), (2, 5)]))
    columns = draw(st.sampled_from([1, 2, 15, 16, 17, 40, 64, 133]))
    wide = [builder.input((*rows, columns), dtype), builder.input((*rows, columns), dtype)]
    wide.append(ops.broadcast_to(builder.input((columns,), dtype), (*rows, columns)))
    numbers = [builder.input((*rows, 1), dtype)]
    others = []
    last = len(rows)
    for _ in range(draw(st.integers(2, 16))):
        x, y, s = (draw(st.sampled_from(v)) for v in (wide, wide, numbers))
        kind = draw(st.integers(0, 8))
        if kind <= 1:
            wide.append(ops.tanh(draw(st.sampled_from([ops.add, ops.multiply]))(x, y)))
        elif kind == 2:
            wide.append(ops.sigmoid(ops.subtract(x, s)))
        elif kind == 3:
            wide.append(ops.select(ops.less(x, s), x, y))
        elif kind <= 5:
            name = draw(st.sampled_from(["reduce_sum", "reduce_max", "reduce_min"]))
            total = getattr(ops, name)(x, (last,))
            numbers.append(ops.tanh(ops.reshape(total, (*rows, 1))))
        elif kind == 6:
            numbers.append(ops.exp(ops.tanh(ops.multiply(s, draw(st.sampled_from(numbers))))))
        elif kind == 7:
            axes = draw(st.sampled_from([tuple(range(last)), tuple(range(last + 1))]))
            others.append(ops.reduce_sum(x, axes))
        else:
            others.append(ops.reduce_sum(s, tuple(range(last + 1))))
    values = wide + numbers + others
    return builder.finish(draw(st.lists(st.sampled_from(values), min_size=1, max_size=5)))


@given(random_chains(), st.integers(0, 2**32 - 1), st.sampled_from([None, *VARIANTS]))
@settings(deadline=None, max_examples=120)
def test_random_chains_agree_with_the_reference(graph, seed, variant):
    generator = np.random.default_rng(seed)
    inputs = [generator.standard_normal(v.shape) for v in graph.inputs]
    with pytest.MonkeyPatch.context() as patch:
        # Small pieces and blocks, so that their edges are met.
        patch.setattr(groups, "WORK_OF_A_PIECE", 200)
        patch.setattr(rowgroups, "CACHE_OF_A_BLOCK", 4000)
        assert_agrees(graph, inputs, variant)


# ---- sums over whole arrays and down few columns


def sums_of(x, y):
    """Sums over all elements, of values that are stored too, and of numbers of another kind."""
    z = cr.tanh(x) + y
    return z.sum(), z.max(), z, (x > y).sum(), (z * z).mean()


@pytest.mark.parametrize("shape", [(8192,), (8193,), (3, 5000), (101, 103), (10007,), (9, 8, 1200)])
@pytest.mark.parametrize("variant", VARIANTS)
def test_sums_over_whole_arrays_are_cut_into_pieces(shape, variant, monkeypatch):
    monkeypatch.setattr(groups, "WORK_OF_A_PIECE", 1000)
    generator = np.random.default_rng(6)
    inputs = [generator.standard_normal(shape), generator.standard_normal(shape)]
    graph = traced(sums_of, inputs)
    assert max(k.pieces(host_target()) for k in kernels_of(graph)) > 1
    assert_agrees(graph, inputs, variant)


@pytest.mark.parametrize("shape", [(9000, 7), (700, 64), (5, 300, 33), (70000, 1)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sums_down_few_columns_are_cut_into_pieces(shape, dtype, monkeypatch):
    monkeypatch.setattr(groups, "WORK_OF_A_PIECE", 100)
    x = np.random.default_rng(7).standard_normal(shape).astype(dtype)
    axes = tuple(range(len(shape) - 1))
    graph = traced(lambda x: ((x * 0.5).sum(axis=axes), cr.abs(x).max(axis=axes)), [x])
    assert max(k.pieces(host_target()) for k in kernels_of(graph)) > 1
    assert_agrees(graph, [x], dtype=dtype)


def test_long_sums_are_near_the_exact_one():
    x = np.random.default_rng(8).random(3_000_017).astype("float32")
    found = run(traced(lambda x: (x.sum(), x.var()), [x]), [x])
    np.testing.assert_allclose(found, [x.sum(dtype="d"), x.var(dtype="d")], rtol=3e-6)


@pytest.mark.parametrize("shape", [(300_001,), (40_000, 24), (1000, 1000)])
def test_sums_in_pieces_have_the_same_bits_on_two_threads(shape):
    x = np.random.default_rng(9).standard_normal(shape).astype("float32")
    executable = cpu.compile(traced(lambda x: (x.sum(), x.sum(axis=0), x.var()), [x]))
    found = []
    for threads in (1, 2):
        with cr.settings(threads=threads):
            found.append([y.tobytes() for _ in range(3) for y in executable.run([x])])
    assert found[0] == found[1]


def test_what_may_be_updated_in_place():
    def function(x, y):
        a = cr.exp(x - x.max(axis=1, keepdims=True))
        return a / a.sum(axis=1, keepdims=True) + y + y.max(axis=1, keepdims=True)

    inputs = [np.zeros((30, 20)), np.zeros((30, 20))]
    plan = Plan(traced(function, inputs), host_target())
    (kernel,) = [k for k in plan.kernels if isinstance(k, RowGroup)]
    x, y = (view.buffer for view in plan.inputs)
    assert kernel.updates(x, plan.outputs[0].buffer)
    assert kernel.updates(y, plan.outputs[0].buffer)
    assert not kernel.updates(x, y)

    def early(x):
        # The result is written in the first pass; x is read again in the second.
        y = x * 2.0
        return y, cr.exp(x - y.max(axis=1, keepdims=True)).sum(axis=1)

    plan = Plan(traced(early, inputs[:1]), host_target())
    (kernel,) = [k for k in plan.kernels if isinstance(k, RowGroup)]
    assert not kernel.updates(plan.inputs[0].buffer, plan.outputs[0].buffer)

    plan = Plan(traced(lambda x: cr.softmax(x.T), [np.zeros((20, 20))]), host_target())
    (kernel,) = [k for k in plan.kernels if isinstance(k, RowGroup)]
    assert not kernel.updates(plan.inputs[0].buffer, plan.outputs[0].buffer)


@pytest.mark.parametrize("rows", [20, 300])
def test_sums_over_arrays_that_are_not_even_in_memory(rows, monkeypatch):
    monkeypatch.setattr(groups, "WORK_OF_A_PIECE", 500)
    generator = np.random.default_rng(10)
    inputs = [generator.standard_normal((rows, 700)), generator.standard_normal(700)]
    graph = traced(lambda x, y: (((x - y) ** 2).mean(), x.max(axis=0)), inputs)
    assert max(k.pieces(host_target()) for k in kernels_of(graph)) > 1
    assert_agrees(graph, inputs)


@pytest.mark.parametrize(
    "otherwise",
    [
        lambda y: y[::-1],
        lambda y: y[:, ::-1],
        lambda y: y.T,
        lambda y: cr.broadcast_to(y[3:4], (24, 24)),
        lambda y: cr.broadcast_to(y.max(axis=1), (24, 24)),
    ],
)
def test_elements_of_other_rows_are_read_after_all_rows(otherwise):
    x = np.random.default_rng(11).standard_normal((24, 24))
    graph = traced(lambda x: otherwise(cr.exp(x - x.max(axis=1, keepdims=True))) * 2.0 - x, [x])
    assert any(isinstance(k, RowGroup) for k in kernels_of(graph))
    assert_agrees(graph, [x])


def test_only_what_is_needed_is_kept_and_stored():
    function, inputs = case("softmax", (40,), 50, "float32")
    plan = Plan(traced(function, inputs), host_target())
    (kernel,) = plan.kernels
    # The powers are kept, a block of rows; what is subtracted from is computed again.
    assert [v.owner is plan.graph.nodes[0].outputs[0].owner for v in kernel.kept] == [True]
    assert [kernel.work.phases[i].along.nodes.keys() >= kernel.kept.keys() for i in (1, 2)] == [
        True,
        False,
    ]
    written = {plan.buffers[b].kind: plan.buffers[b].size for b in kernel.buffers_written()}
    assert written == {"output": 40 * 50, "temporary": kernel.block * kernel.parts * 50}
