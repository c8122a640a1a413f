"""The CPU back end against the reference: primitives, processors, pieces."""

import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from random_graphs import cases

import chainrule as cr
from chainrule.backends import BACKENDS, Repetition, cpu
from chainrule.backends.cpu import contraction, groups, memory
from chainrule.backends.cpu.llvm import runnable_variants
from chainrule.backends.cpu.plan import Plan
from chainrule.backends.cpu.target import TARGETS, host_target
from chainrule.errors import ArgumentError, GraphError
from chainrule.graph import Graph
from chainrule.graph import operations as ops
from chainrule.graph.builder import GraphBuilder
from chainrule.testing import function_samples, primitive_samples

SAMPLES = [
    pytest.param(sample, id=f"{name}-{i}")
    for table in (primitive_samples(), function_samples())
    for name, samples in table.items()
    for i, sample in enumerate(samples)
]
# Relative and absolute, for values that a few operations made.
TOLERANCES = {"float32": (2e-5, 2e-6), "float64": (1e-11, 1e-12)}


def traced(function, inputs) -> Graph:
    jitted = cr.jit(function)
    with cr.settings(backend="reference"):
        jitted(*[cr.tensor(x) for x in inputs])
    return jitted.graphs[0]


def assert_same(found, expected, dtype="float64"):
    relative, absolute = TOLERANCES[dtype]
    for a, b in zip(found, expected, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        if b.dtype.kind == "f":
            np.testing.assert_allclose(a, b, rtol=relative, atol=absolute)
        else:
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_sample_agrees_with_the_reference(sample, dtype):
    inputs = [x.astype(dtype) if x.dtype.kind == "f" else x for x in sample.inputs]
    graph = traced(sample.function, inputs)
    expected = BACKENDS["reference"](graph).run(inputs)
    assert_same(cpu.compile(graph).run(inputs), expected, dtype)


def test_copies_of_state_hold_what_it_holds():
    repeated = [np.broadcast_to(np.array(x, "f4"), (3, 4)) for x in (0.0, -0.0, 2.0, np.nan)]
    others = [np.array(5), np.array(0), np.zeros((3, 0)), np.ones((2, 2)), repeated[0][:0]]
    copies = memory.aligned_copies([*repeated, *others])
    for copy, array in zip(copies, [*repeated, *others], strict=True):
        assert (copy.dtype, copy.shape, copy.tobytes()) == (
            array.dtype,
            array.shape,
            array.tobytes(),
        )
        assert copy.flags.writeable
        assert copy.size == 0 or copy.ctypes.data % memory.ALIGNMENT == 0


def test_no_primitive_is_without_lowering():
    from chainrule.backends.cpu.bodies import COMBINED_BY
    from chainrule.backends.cpu.elementwise import ELEMENTWISE
    from chainrule.backends.cpu.movement import MOVEMENTS
    from chainrule.backends.cpu.windows import WINDOWS
    from chainrule.graph import PRIMITIVES

    layouts = {name.removeprefix("_layout_") for name in dir(Plan) if name.startswith("_layout_")}
    lowered = {*ELEMENTWISE, *COMBINED_BY, *MOVEMENTS, *layouts, *WINDOWS}
    lowered |= {"matmul", "constant", "scan"}
    lowered |= {name for name in PRIMITIVES if name.startswith("convolution")}
    missing = set(PRIMITIVES) - lowered
    print(f"\nrows missing in the cpu back end: {', '.join(sorted(missing)) or 'none'}", end="")
    assert not missing


@given(cases("float32", 1))
@settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))
def test_buffers_alive_together_do_not_overlap(case):
    plan = Plan(case.graph, host_target())
    ranges = memory.live_ranges(plan)
    offsets, total = memory.place(plan)
    spans = [
        (ranges[b], offsets[b], offsets[b] + plan.buffers[b].size * plan.buffers[b].dtype.itemsize)
        for b in offsets
    ]
    for i, (alive, begin, end) in enumerate(spans):
        assert begin % memory.ALIGNMENT == 0
        assert end <= total
        for other, other_begin, other_end in spans[:i]:
            if alive[0] <= other[1] and other[0] <= alive[1]:
                assert end <= other_begin or other_end <= begin


def step_graph() -> tuple[Graph, list]:
    """A training step of a dense net: the kernels that matter, of odd sizes."""
    generator = np.random.default_rng(3)
    x, w, v = (generator.standard_normal(s) for s in ((70, 45), (45, 67), (67, 3)))

    def step(x, w, v):
        def loss(w, v):
            return cr.logsumexp(cr.relu(x @ w) @ v, axis=1).mean()

        value, (a, b) = cr.value_and_grad(loss, argnums=(0, 1))(w, v)
        return value, w - 0.1 * a, v - 0.1 * b

    return traced(step, [x, w, v]), [x, w, v]


@pytest.mark.parametrize("variant", sorted(TARGETS))
def test_kinds_of_processors_agree(variant, monkeypatch):
    if variant not in runnable_variants():
        pytest.skip("this machine cannot run that code")
    graph, inputs = step_graph()
    expected = BACKENDS["reference"](graph).run(inputs)
    monkeypatch.setattr("chainrule.backends.cpu.executable.host_target", lambda: TARGETS[variant])
    assert_same(cpu.compile(graph).run(inputs), expected)


@pytest.mark.parametrize("pieces", [1, 2, 3, 8])
def test_work_cut_into_pieces_gives_the_same_results(pieces, monkeypatch):
    graph, inputs = step_graph()
    expected = BACKENDS["reference"](graph).run(inputs)
    for module in (groups, contraction):
        monkeypatch.setattr(module, "WORK_OF_A_PIECE", 1)
        monkeypatch.setattr(module, "MOST_PIECES", pieces)
    plan = Plan(graph, host_target())
    assert max(kernel.pieces(plan.target) for kernel in plan.kernels) == pieces
    assert_same(cpu.compile(graph).run(inputs), expected)


def test_matmul_of_every_small_shape_and_transposition():
    generator = np.random.default_rng(0)
    for n, m, k in [
        (1, 1, 1),
        (14, 32, 5),
        (15, 33, 7),
        (29, 16, 0),
        (3, 70, 40),
        (100, 1, 9),
        (1, 65, 33),
    ]:
        for left_t, right_t in [(False, False), (True, False), (False, True)]:
            x = generator.standard_normal((k, n) if left_t else (n, k))
            y = generator.standard_normal((m, k) if right_t else (k, m))

            def product(x, y, left_t=left_t, right_t=right_t):
                return (x.T if left_t else x) @ (y.T if right_t else y)

            graph = traced(product, [x, y])
            expected = (x.T if left_t else x) @ (y.T if right_t else y)
            np.testing.assert_allclose(
                cpu.compile(graph).run([x, y])[0], expected, rtol=1e-12, atol=1e-12
            )


def test_integers_booleans_and_special_values():
    numbers = np.array([-7, -1, 0, 1, 2, 2**31 - 1, -(2**31)], "int32")
    floats = np.array([np.nan, np.inf, -np.inf, -0.0, 0.0, 1.5, -2.5])

    def function(i, x):
        shifts = cr.tensor(np.array([0, 1, 31, 32, 40, 3, 5], "int32"))
        return (
            i // cr.tensor(3),
            i % cr.tensor(-3),
            cr.left_shift(i, shifts),
            cr.right_shift(i, shifts),
            cr.maximum(x, 0.0),
            cr.minimum(x, 0.0),
            cr.is_finite(x),
            cr.sign(x),
            cr.round(x),
            x.max(),
            cr.any(i > 0),
            cr.all(i > 0),
            cr.argmax(x),
            cr.argsort(x),
            i.astype("float32"),
            (i > 0) & (i < 3),
            i.astype("uint8"),
            cr.cumsum(i),
            cr.equal(x, x),
            i.sum(),
            (i > 0).sum(),
        )

    graph = traced(function, [numbers, floats])
    with np.errstate(all="ignore"):
        expected = BACKENDS["reference"](graph).run([numbers, floats])
    for a, b in zip(cpu.compile(graph).run([numbers, floats]), expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_refused_data_raises_as_in_the_reference():
    take = cpu.compile(traced(lambda x, i: cr.take(x, i), [np.zeros(3), np.array([0, 2])]))
    assert take.run([np.arange(3.0), np.array([-1, 1])])[0].tolist() == [2.0, 1.0]
    with pytest.raises(ArgumentError, match="index out of range"):
        take.run([np.zeros(3), np.array([0, 3])])
    assert take.run([np.arange(3.0), np.array([0, 0])])[0].tolist() == [0.0, 0.0]
    divide = cpu.compile(traced(lambda x, y: x // y, [np.array([4]), np.array([2])]))
    with pytest.raises(ArgumentError, match="zero"):
        divide.run([np.array([4]), np.array([0])])


def test_wrong_inputs_never_reach_native_code():
    executable = cpu.compile(traced(lambda x: x + 1.0, [np.zeros(3)]))
    for wrong in ([], [np.zeros(4)], [np.zeros(3, "float32")], [np.zeros((3, 1))]):
        with pytest.raises(GraphError, match="wrong"):
            executable.run(wrong)


def test_strided_inputs():
    executable = cpu.compile(traced(lambda x: x * 2.0, [np.zeros((3, 4))]))
    x = np.arange(24.0).reshape(4, 6)[:, ::2].T
    np.testing.assert_array_equal(executable.run([x])[0], x * 2)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_repeat_carries_and_stacks_as_the_reference_does(steps):
    def step(x, state, fixed):
        return state * 0.5 + x, x + fixed, state.sum()

    rows = np.arange(float(3 * steps)).reshape(steps, 3)
    inputs = [rows, np.ones(3), np.full(3, 10.0)]
    graph = traced(step, [rows[0], *inputs[1:]])
    repetition = Repetition(steps, (0,), ((1, 0),))
    expected = BACKENDS["reference"](graph).repeat(inputs, repetition)
    executable = cpu.compile(graph)
    for _ in range(2):
        assert_same(executable.repeat(inputs, repetition), expected)
    assert inputs[1].tolist() == [1.0, 1.0, 1.0]


def test_one_executable_in_many_threads():
    graph, inputs = step_graph()
    executable = cpu.compile(graph)
    expected = executable.run(inputs)
    wrong = []

    def work():
        for _ in range(30):
            for a, b in zip(executable.run(inputs), expected, strict=True):
                if a.tobytes() != b.tobytes():
                    wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_product_that_is_copied_and_read_again():
    # The first reader of the product only copies it; keeping the product must not lose the copy.
    builder = GraphBuilder("copied")
    x, w = (
        builder.input(shape, np.dtype("float64"), name)
        for shape, name in [((7, 4), "x"), ((4, 3), "w")]
    )
    y = ops.matmul(x, w)
    joined = ops.concatenate([y, x], 1)
    padded = ops.pad(y, (1, 0), (1, 0), (0, 0), 0.0)
    graph = builder.finish([joined, padded, ops.tanh(ops.transpose(y, (1, 0))), y, y])
    generator = np.random.default_rng(0)
    inputs = [generator.normal(size=v.shape).astype("float64") for v in graph.inputs]
    assert_same(cpu.compile(graph).run(inputs), BACKENDS["reference"](graph).run(inputs))
