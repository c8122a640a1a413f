"""The kept backward programs: the same gradients to the bit, whenever and however they are used."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.backprop import DERIVATIVES
from chainrule.errors import GradientError
from chainrule.tensor import backward
from chainrule.testing import primitive_samples

ENOUGH = backward.USES_BEFORE_KEPT + 1

UNARY = (cr.tanh, cr.sigmoid, cr.relu, cr.sin, cr.square, cr.abs, cr.exp, lambda x: -x, cr.softmax,
         lambda x: x.T, lambda x: x[1:], lambda x: x[:, ::2], lambda x: x.sum(0, keepdims=True),
         lambda x: x.mean(), lambda x: x.max(1), lambda x: x * 1.0, lambda x: x - 0.0,
         lambda x: x.reshape(-1), cr.log_softmax, lambda x: cr.clip(x, -0.5, 0.5))  # fmt: skip
BINARY = (cr.add, cr.multiply, cr.subtract, cr.maximum, cr.matmul, lambda x, y: x / (y * y + 1),
          lambda x, y: cr.where(x > y, x, y * 0.5), lambda x, y: cr.matmul(x, y.T))  # fmt: skip


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    monkeypatch.setattr(backward, "PROGRAMS", backward._Programs())


def same(one, other):
    """Equal structures of tensors, to the bit."""
    for a, b in zip(one, other, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a.numpy(), b.numpy(), strict=True)


def repeated(function, inputs, **keywords):
    """The gradients of one persistent tape, asked for again and again."""
    with cr.GradientTape(persistent=True) as tape:
        tape.watch(inputs)
        value = function(*inputs)
    return [tape.gradient(value, inputs, **keywords) for _ in range(ENOUGH)]


@st.composite
def programs(draw):
    """Random operations on matrices; what does not fit in shape is passed over."""
    steps = draw(st.lists(st.tuples(
        st.sampled_from([*UNARY, *BINARY]), st.integers(0, 9), st.integers(0, 9)
    ), min_size=1, max_size=9))  # fmt: skip

    def function(*inputs):
        values = list(inputs)
        for operation, i, j in steps:
            x, y = values[i % len(values)], values[j % len(values)]
            try:
                values.append(operation(x, y) if operation in BINARY else operation(x))
            except (cr.errors.ChainruleError, IndexError):
                continue
        return values[-1]

    return function


@settings(max_examples=150, deadline=None)
@given(programs(), st.integers(0, 2**32 - 1), st.sampled_from(["float32", "float64"]))
def test_random_records_give_the_same_bits_as_the_walk(function, seed, dtype):
    draw = np.random.default_rng(seed)
    shapes = [(4, 5), (4, 5), (5, 4), (1, 5)]
    inputs = [cr.tensor(draw.normal(size=shape).astype(dtype)) for shape in shapes]
    walked, *_, kept = repeated(function, inputs)
    same(walked, kept)


@pytest.mark.parametrize(
    "sample", [s for name, some in primitive_samples().items() for s in some if name in DERIVATIVES]
)
def test_every_primitive_gives_the_same_bits(sample):
    tensors = [cr.tensor(x) for x in sample.inputs]
    inputs = [x for x in tensors if x.dtype.kind == "f"]

    def function(*floats):
        rest = iter(floats)
        return sample.function(*[next(rest) if x.dtype.kind == "f" else x for x in tensors])

    walked, *_, kept = repeated(function, inputs)
    assert len(backward.PROGRAMS) == 1
    same(walked, kept)


def train(width, steps, rows=20):
    """Weights and losses of a loop written by hand, from a fixed start."""
    draw = np.random.default_rng(0)
    x, y = (cr.tensor(draw.normal(size=(rows, n)).astype("float32")) for n in (3, 2))
    model = cr.Sequential([cr.layers.Dense(width, activation="relu"), cr.layers.Dense(2)])
    model.tree_seed = 1
    optimizer = cr.optimizers.SGD(0.1)
    losses = []
    for _ in range(steps):
        with cr.GradientTape() as tape:
            loss = cr.losses.MeanSquaredError()(y, model(x))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        losses.append(loss.item())
    return losses


def test_training_does_not_depend_on_what_was_kept(monkeypatch):
    kept = train(8, 12)
    assert len(backward.PROGRAMS) == 1
    assert train(8, 12) == kept
    monkeypatch.setattr(backward, "USES_BEFORE_KEPT", 10**9)
    monkeypatch.setattr(backward, "PROGRAMS", backward._Programs())
    assert train(8, 12) == kept


def test_other_shapes_and_dtypes_and_sources_are_other_programs():
    def gradients(x, w, pick):
        with cr.GradientTape() as tape:
            tape.watch([x, w])
            y = cr.tanh(x @ w).sum()
        return tape.gradient(y, [(x, w), (w,), (w, x)][pick])

    for dtype in ("float32", "float64"):
        for rows in (2, 3):
            x, w = cr.ones((rows, 4), dtype), cr.full((4, 1), 0.25, dtype)
            expected = rows * (1 - np.tanh(1) ** 2)
            for _ in range(ENOUGH):
                gx, gw = gradients(x, w, 0)
                assert (gx.shape, gw.shape, gw.dtype.name) == ((rows, 4), (4, 1), dtype)
                np.testing.assert_allclose(gw.numpy(), np.full((4, 1), expected), rtol=1e-6)
                same(gradients(x, w, 1), [gw])
                same(gradients(x, w, 2), [gw, gx])
    assert len(backward.PROGRAMS) == 12


def test_attributes_are_part_of_the_structure():
    x = cr.tensor([[1.0, 2.0], [4.0, 3.0]])
    for _ in range(ENOUGH):
        for axis, expected in ((0, [[0.0, 0.0], [1.0, 1.0]]), (1, [[0.0, 1.0], [1.0, 0.0]])):
            with cr.GradientTape() as tape:
                tape.watch(x)
                y = x.max(axis)
            assert tape.gradient(y, x).tolist() == expected


def test_numbers_that_change_are_no_part_of_a_program():
    x = cr.tensor(2.0)
    for factor in range(1, 2 * ENOUGH):
        with cr.GradientTape() as tape:
            tape.watch(x)
            y = x * float(factor)
        assert tape.gradient(y, x).item() == factor
    assert len(backward.PROGRAMS) == 1


def test_unconnected_sources_targets_as_sources_and_output_gradients():
    a, b = cr.tensor([1.0, 2.0]), cr.tensor([3.0, 4.0])
    for _ in range(ENOUGH):
        with cr.GradientTape() as tape:
            tape.watch([a, b])
            y = a * 3.0
            _ = b * 2.0
        ga, gb, gy = tape.gradient(y, [a, b, y], output_gradients=cr.tensor([1.0, 10.0]))
        assert (ga.tolist(), gb, gy.tolist()) == ([3.0, 30.0], None, [1.0, 10.0])


def test_nested_tapes_are_recorded_every_time():
    x = cr.Variable(2.0)
    for _ in range(ENOUGH):
        with cr.GradientTape() as outer:
            with cr.GradientTape() as inner:
                y = x**3
            first = inner.gradient(y, x)
        assert (first.item(), outer.gradient(first, x).item()) == (12.0, 12.0)
    second = cr.grad(cr.grad(lambda x: cr.sin(x)))
    assert [second(0.5).item() for _ in range(ENOUGH)] == [-np.float32(np.sin(np.float32(0.5)))] * (
        ENOUGH
    )


def test_custom_gradients_and_traces_are_walked():
    @cr.custom_gradient
    def doubled(x):
        return x * 1.0, lambda g: g * 2.0

    gradient = cr.grad(lambda x: doubled(x) * 5.0)
    assert [gradient(3.0).item() for _ in range(ENOUGH)] == [10.0] * ENOUGH
    jitted = cr.jit(cr.grad(lambda x: x * x))
    assert [jitted(cr.tensor(3.0)).item() for _ in range(ENOUGH)] == [6.0] * ENOUGH
    assert len(backward.PROGRAMS) == 0


def test_large_targets_that_are_not_summed():
    draw = np.random.default_rng(0)
    x, w = (cr.tensor(draw.normal(size=(64, 64)).astype("float32")) for _ in range(2))
    walked, *_, kept = repeated(lambda x, w: (x @ w).T @ x, [x, w])
    same(walked, kept)


def test_the_number_of_programs_is_bounded():
    for length in range(1, backward.MOST_KEPT + 20):
        x = cr.zeros(length)
        with cr.GradientTape(persistent=True) as tape:
            tape.watch(x)
            y = x * x
        for _ in range(ENOUGH if length % 10 == 0 else 1):
            tape.gradient(y, x)
        assert len(backward.PROGRAMS) <= backward.MOST_KEPT
    assert len(backward.PROGRAMS) == backward.MOST_KEPT


def test_a_rule_that_is_missing_or_changed_is_noticed(monkeypatch):
    def gradient():
        return cr.grad(lambda x: cr.tanh(x))(0.0).item()

    assert [gradient() for _ in range(ENOUGH)] == [1.0] * ENOUGH
    with monkeypatch.context() as patch:
        patch.setitem(DERIVATIVES, "tanh", lambda index, g, *rest: g * 7.0)
        assert gradient() == 7.0
    with monkeypatch.context() as patch:
        patch.delitem(DERIVATIVES, "tanh")
        with pytest.raises(GradientError, match="'tanh' has no derivative"):
            gradient()


def test_threads_share_the_programs():
    results = []

    def work(width):
        results.append((width, train(width, 8)))

    threads = [threading.Thread(target=work, args=(width,)) for width in (3, 4, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for width, losses in results:
        assert losses == train(width, 8)
    assert len(results) == 4
