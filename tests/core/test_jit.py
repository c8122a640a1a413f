"""jit: the same numbers as eager code, variables, structures, retracing."""

import threading

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ShapeError, StateError
from chainrule.testing import function_samples, primitive_samples

CASES = [
    pytest.param(sample, id=f"{name}-{i}")
    for table in (primitive_samples(), function_samples())
    for name, samples in table.items()
    for i, sample in enumerate(samples)
]


@pytest.mark.parametrize("sample", CASES)
def test_jit_gives_the_bits_of_eager_code(sample):
    inputs = [cr.tensor(x) for x in sample.inputs]
    with cr.settings(check="debug", backend="reference"):
        found = cr.jit(sample.function)(*inputs)
    expected = sample.function(*inputs)
    for a, b in zip(_leaves(found), _leaves(expected), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def _leaves(x):
    return x if isinstance(x, list | tuple) else [x]


def test_one_trace_per_signature():
    f = cr.jit(lambda x, scale: x * scale)
    f(cr.ones(3), 2.0)
    f(cr.zeros(3), 2.0)
    assert len(f.graphs) == 1
    f(cr.zeros(4), 2.0)
    f(cr.zeros(3), 3.0)
    f(cr.zeros(3, "float64"), 2.0)
    assert len(f.graphs) == 4


def test_structures_and_static_results():
    @cr.jit
    def f(tree, *, mode):
        return {"sum": tree["a"] + tree["b"][0], "mode": mode, "n": 3, "none": None}

    result = f({"a": np.float32(1), "b": [np.ones(2, "float32")]}, mode="x")
    assert result["sum"].tolist() == [2.0, 2.0]
    assert (result["mode"], result["n"], result["none"]) == ("x", 3, None)


def test_variables_become_inputs_and_outputs():
    w, count = cr.Variable([1.0, 2.0]), cr.Variable(0, trainable=False)

    @cr.jit
    def step(x):
        with cr.GradientTape() as tape:
            loss = ((w * x) ** 2).sum()
        w.assign_sub(0.1 * tape.gradient(loss, w))
        count.assign_add(1)
        return loss

    eager = cr.Variable([1.0, 2.0])
    for _ in range(3):
        step(cr.tensor([1.0, 0.5]))
        with cr.GradientTape() as tape:
            loss = ((eager * cr.tensor([1.0, 0.5])) ** 2).sum()
        eager.assign_sub(0.1 * tape.gradient(loss, eager))
    np.testing.assert_array_equal(w.numpy(), eager.numpy())
    assert count.item() == 3
    assert len(step.graphs) == 1


def test_a_variable_read_after_assignment_has_the_new_value():
    v = cr.Variable(1.0)

    @cr.jit
    def f():
        v.assign(v + 1.0)
        return v * 10.0

    assert f().item() == 20.0
    assert v.item() == 2.0


def test_a_failed_trace_changes_nothing():
    v = cr.Variable(1.0)

    @cr.jit
    def f(x):
        v.assign(x)
        raise ValueError("user error")

    with pytest.raises(ValueError, match="user error"):
        f(cr.tensor(5.0))
    assert v.item() == 1.0
    assert (v + 1.0).item() == 2.0


def test_python_branch_on_a_traced_value_says_what_to_do():
    with pytest.raises(StateError, match="where"):
        cr.jit(lambda x: x if x > 0 else -x)(cr.tensor(1.0))


def test_leaked_tracer():
    kept = []
    cr.jit(lambda x: kept.append(x) or x)(cr.tensor(1.0))
    with pytest.raises(StateError, match="outside jit"):
        kept[0] + 1.0


def test_results_do_not_share_memory_with_arguments():
    x = np.zeros(3, "float32")
    result = cr.jit(lambda a: a.reshape(3, 1))(x)
    x[:] = 7
    assert result.tolist() == [[0.0], [0.0], [0.0]]


def test_gradient_of_a_jitted_function():
    f = cr.jit(lambda x: (x**3).sum())
    assert cr.grad(f)([2.0]).tolist() == [12.0]
    assert f.graphs == []


def test_random_keys_advance_inside_jit():
    generator = cr.random.Generator(3)
    draw = cr.jit(lambda: cr.random.uniform(generator.next_key(), (4,)))
    first, second = draw().numpy(), draw().numpy()
    assert not np.array_equal(first, second)
    generator.reset(3)
    np.testing.assert_array_equal(draw().numpy(), first)


def test_explain_counts_calls():
    f = cr.jit(lambda x: cr.exp(x) + 1.0)
    with cr.settings(backend="reference"):
        f(cr.ones(2))
    assert "1 x exp" in f.explain()


def test_repeat_is_a_loop_of_calls():
    def make():
        w, calls = cr.Variable([1.0, -1.0]), cr.Variable(0, trainable=False)

        @cr.jit
        def step(row, scale):
            w.assign(w * 0.5 + row * scale)
            calls.assign(calls + 1)
            return {"sum": w.value.sum(), "twice": row * 2.0}

        return w, calls, step

    rows = np.arange(10, dtype="float32").reshape(5, 2)
    w, calls, step = make()
    expected = [step(row, cr.tensor(2.0)) for row in rows]
    other, other_calls, repeated = make()
    found = repeated.repeat([rows], cr.tensor(2.0))
    np.testing.assert_array_equal(found["sum"].numpy(), [e["sum"].item() for e in expected])
    np.testing.assert_array_equal(found["twice"].numpy(), 2 * rows)
    np.testing.assert_array_equal(other.numpy(), w.numpy())
    assert (other_calls.item(), calls.item()) == (5, 5)
    assert len(repeated.graphs) == 1


def test_repeat_keeps_the_last_value_of_what_is_only_written():
    last = cr.Variable(0.0)
    step = cr.jit(lambda x: last.assign(x * 3.0))
    assert step.repeat([cr.tensor([1.0, 2.0])]) is None
    assert last.item() == 6.0


@pytest.mark.parametrize("scanned", [[], [np.zeros(0)], [np.zeros(2), np.zeros(3)], [np.zeros(())]])
def test_repeat_refuses_wrong_scanned_arrays(scanned):
    with pytest.raises(ShapeError, match="first length"):
        cr.jit(lambda *x: x[0]).repeat(scanned)


def test_repeat_without_scanned_arrays():
    count = cr.Variable(0.0)
    step = cr.jit(lambda by: count.assign_add(by))
    step.repeat([], cr.tensor(2.0), steps=4)
    assert count.item() == 8.0


def test_constants_that_are_equal_but_compute_otherwise():
    f = cr.jit(lambda x, y=1: x * y)
    x = cr.tensor([1, 2])
    assert [f(x, y).dtype.name for y in (1, 1.0, True)] == ["int32", "float32", "int32"]
    assert [f(x, y=y).dtype.name for y in (1, 1.0, True)] == ["int32", "float32", "int32"]
    over = cr.jit(lambda x, y: x / y)
    assert [over(cr.ones(()), y).item() for y in (0.0, -0.0)] == [np.inf, -np.inf]
    for _ in range(3):
        over(cr.ones(()), float("nan"))
    assert len(over.graphs) == 3


@pytest.mark.parametrize(
    ("x", "dtype"),
    [
        (np.ones((2, 3), "float16"), "float32"), (np.ones((2, 3), ">f4"), "float32"),
        (np.ones((2, 3), "int8"), "int32"), (np.ones((2, 3), "uint64"), "int64"),
        (np.ones((4, 6), "float32")[::2, ::2], "float32"), (np.ones((3, 2)).T, "float64"),
        (np.ones((2, 3)).view(np.matrix), "float64"), ([[1.0] * 3] * 2, "float32"),
        (np.ma.ones((2, 3)), "float64"),
    ],
    ids=str,
)  # fmt: skip
def test_arguments_are_read_alike_in_every_call(x, dtype):
    f = cr.jit(lambda x: x + x)
    if isinstance(x, list):
        x = cr.tensor(x)
    for _ in range(3):
        y = f(x)
        assert y.dtype.name == dtype
        assert y.tolist() == [[2.0] * 3] * 2
    assert len(f.graphs) == 1


def test_calls_of_one_kind_share_a_program_whatever_holds_the_numbers():
    f = cr.jit(lambda x, y: x if y is None else x + y)
    x = np.ones(3, "float32")
    for argument in (x, cr.tensor(x), cr.Variable(x)):
        assert f(argument, None).tolist() == [1.0] * 3
        assert f(argument, argument).tolist() == [2.0] * 3
    assert len(f.graphs) == 2
    assert f(None, None) is None
    second = cr.jit(lambda x, y: x is None)
    assert not second(x, None)
    assert second(None, x)
    assert f(np.ones(4, "float32"), None).shape == (4,)
    assert f(np.ones((3, 1), "float32"), x).shape == (3, 3)
    with pytest.raises(cr.errors.DTypeError, match="not numbers"):
        f(np.array(["a"]), None)


def test_the_back_end_may_change_between_calls():
    f = cr.jit(lambda x: x + 1)
    x = np.zeros(2, "float32")
    for backend in ("cpu", "reference", "cpu"):
        with cr.settings(backend=backend):
            assert f(x).tolist() == [1.0, 1.0]
    assert len(f.graphs) == 2


def test_values_that_were_read_stay_when_a_later_call_assigns():
    state = cr.Variable([1.0, 2.0])

    @cr.jit
    def double(x):
        state.assign(state * x)
        return state.value, x

    x = np.full(2, 2.0, "float32")
    seen, kept = [], []
    for _ in range(4):
        result, same = double(x)
        seen.append((state.value, result, same))
        kept.append([a.numpy() for a in seen[-1]])
    state.assign([9.0, 9.0])
    x[:] = 0
    for arrays, copies in zip(seen, kept, strict=True):
        assert [a.tolist() for a in arrays] == [a.tolist() for a in copies]
    assert [a[0].tolist() for a in seen] == [[2.0, 4.0], [4.0, 8.0], [8.0, 16.0], [16.0, 32.0]]
    double(np.ones(2, "float32"))
    assert state.tolist() == [9.0, 9.0]


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_results_stay_when_arguments_are_written_to(backend):
    f = cr.jit(lambda x: (x, x[1:], x.reshape((4, 1)), x.sum()))
    with cr.settings(backend=backend):
        for _ in range(2):
            x = np.ones(4, "float32")
            results = f(x)
            x[:] = 5
            assert [y.numpy().max() for y in results] == [1, 1, 1, 4]


def test_several_threads_may_call_one_function():
    f = cr.jit(lambda x: (x * 2).sum())
    wrong = []

    def work(number):
        x = np.full(100, float(number))
        wrong.extend(1 for _ in range(200) if f(x).item() != 200 * number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
