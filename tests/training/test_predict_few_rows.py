"""predict of a few rows, which takes a short way: the same results and the same refusals."""

import copy
import threading
import warnings

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ArgumentError, ChainruleError, DataError, ShapeError
from chainrule.training import inputs


def network(dtype="float32"):
    layers = [cr.layers.Dense(8, "tanh", dtype=dtype), cr.layers.Dense(2, dtype=dtype)]
    model = cr.Sequential(layers, dtype=dtype)
    model.tree_seed = 3
    model.ensure_built((None, 4))
    return model


def by_hand(model, x):
    hidden_kernel, hidden_bias, kernel, bias = (w.astype("float64") for w in model.get_weights())
    return np.tanh(x.astype("float64") @ hidden_kernel + hidden_bias) @ kernel + bias


def rows(count=3, dtype="float32"):
    return np.random.default_rng(0).normal(size=(count, 4)).astype(dtype)


def take_long_way(monkeypatch):
    monkeypatch.setattr("chainrule.training.fit.plain_rows", lambda *ignored: None)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "x",
    [
        rows(), rows(dtype="float64"), rows(1), rows(dtype=">f4"), rows(dtype="float16"),
        rows(8)[::2], rows(4).T, np.asfortranarray(rows()), rows().tolist(), cr.tensor(rows()),
        (10 * rows()).astype("int64"), (10 * rows()).astype("int8"), rows() > 0,
        rows().view(np.matrix),
    ],
    ids=lambda x: f"{type(x).__name__} {getattr(x, 'dtype', '')}",
)  # fmt: skip
def test_results_are_those_of_the_formula_and_of_the_long_way(x, dtype, monkeypatch):
    model = network(dtype)
    found = [model.predict(x) for _ in range(3)]
    numbers = x.numpy() if isinstance(x, cr.Tensor) else np.asarray(x, dtype=np.float64)
    for y in found:
        assert y.dtype == dtype
        np.testing.assert_allclose(y, by_hand(model, numbers), rtol=1e-5, atol=1e-6)
    take_long_way(monkeypatch)
    assert model.predict(x).tobytes() == found[0].tobytes()


BAD = [
    np.array([[1, 2, np.nan, 4]]), np.array([[1, 2, np.inf, 4]], "float32"),
    np.array([[0, 0, 0, -np.inf]]), np.array([[1, 2, 3, 1e39]]), np.array([[1, 2, 3, -1e300]]),
    np.array([[np.inf, -np.inf, 0, 0]], "float32"), np.zeros((1, 3)), np.zeros((1, 5), "float32"),
    np.zeros((0, 4)), np.zeros((4, 0)), np.zeros(4, "float32"), np.float32(1), np.array(1.0),
    np.array([["a", "b", "c", "d"]]), np.array([[1, 2, None, 4]]), np.zeros((1, 4), complex),
    np.zeros((1, 4), "M8[s]"), None, [[1, 2], [3]],
]  # fmt: skip


@pytest.mark.parametrize("x", BAD, ids=repr)
def test_refusals_are_those_of_the_long_way(x, monkeypatch):
    model = network()
    model.predict(rows(1))
    with pytest.raises(ChainruleError) as short:
        model.predict(x)
    take_long_way(monkeypatch)
    with pytest.raises(ChainruleError) as long:
        model.predict(x)
    assert type(short.value) is type(long.value)
    assert str(short.value) == str(long.value)


def test_refusals_name_the_place():
    model = network()
    x = rows()
    x[1, 2] = np.nan
    with pytest.raises(DataError, match=r"nan in column 2, row 1"):
        model.predict(x)
    x[1, 2] = np.inf
    with pytest.raises(DataError, match=r"inf in column 2, row 1"):
        model.predict(x)
    with pytest.raises(DataError, match=r"too large for float32"):
        model.predict(np.full((1, 4), 1e39))
    with pytest.raises(ShapeError):
        model.predict(np.zeros((1, 5), "float32"))


@pytest.mark.parametrize("size", [0, -1, 2.5, "many"])
def test_wrong_batch_sizes_are_refused(size):
    model = network()
    for x in (rows(1), rows(300)):
        with pytest.raises(ArgumentError, match="batch_size"):
            model.predict(x, batch_size=size)


@pytest.mark.parametrize("size", [1, 2, 3, 4, None, np.int64(2)])
def test_the_batch_size_cuts_a_few_rows_too(size):
    model = network()
    x = rows(4)
    y = model.predict(x, batch_size=size)
    np.testing.assert_allclose(y, by_hand(model, x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("value", [1.8e19, 1e30, 3.4e38, 1e-30, 1e-45])
def test_large_and_small_numbers_pass_without_a_warning(value):
    model = network()
    for dtype in ("float32", "float64"):
        x = np.array([[value, -value, 0, 0]], dtype)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert np.isfinite(model.predict(x)).all()


@pytest.mark.parametrize("model_dtype", ["float32", "float64"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble", ">f8"])
@pytest.mark.parametrize(
    "value", [0.0, -1.5, 1e4, 1e38, 3.5e38, 1e39, 1e150, 1e300, np.inf, -np.inf, np.nan]
)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_what_is_called_plain_is_finite_in_the_wanted_dtype(value, dtype, model_dtype):
    x = np.array([[1.0, value]], dtype)
    plain = inputs.plain_rows(x, np.dtype(model_dtype), 256)
    if plain is not None:
        assert plain.dtype == model_dtype
        assert np.isfinite(plain).all()
        np.testing.assert_array_equal(plain, x.astype(model_dtype))
    elif dtype == model_dtype:
        assert not abs(value) < 1e18  # ordinary numbers do take the short way


def test_the_inputs_stay_and_the_results_are_new():
    model = network()
    x = rows()
    before = x.copy()
    first = model.predict(x)
    kept = first.copy()
    second = model.predict(x)
    second[:] = 0
    x[:] = 1
    third = model.predict(x)
    np.testing.assert_array_equal(first, kept)
    assert first.flags.writeable
    assert not np.shares_memory(first, second)
    assert not np.shares_memory(third, x)
    np.testing.assert_array_equal(model.predict(before), kept)


class Same(cr.Model):
    def call(self, inputs):
        return inputs


class Pair(cr.Model):
    def call(self, inputs):
        return {"twice": inputs * 2, "both": [inputs, inputs[:, :1]]}


class Weight(cr.Model):
    def build(self, input_shape):
        self.weight = self.add_weight("weight", (2,), "ones")

    def call(self, inputs):
        return self.weight.value


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_outputs_that_are_inputs_or_weights_are_copies(backend):
    with cr.settings(backend=backend):
        x = rows()
        for model in (Same(), Weight()):
            for _ in range(3):
                y = model.predict(x)
                assert not np.shares_memory(y, x)
                y[:] = 7
        assert model.weight.tolist() == [1.0, 1.0]
        model = Pair()
        for _ in range(2):
            y = model.predict(x)
            assert type(y["both"]) is tuple
            np.testing.assert_array_equal(y["twice"], 2 * x)
            np.testing.assert_array_equal(y["both"][1], x[:, :1])
            assert not np.shares_memory(y["both"][0], x)


def test_changed_weights_are_seen_at_once(tmp_path):
    model, x = network(), rows()

    def check():
        for _ in range(2):
            np.testing.assert_allclose(model.predict(x), by_hand(model, x), rtol=1e-5, atol=1e-6)

    check()
    variable = model.variables[0]
    variable.assign(np.full(variable.shape, 0.5))
    check()
    variable.assign_add(1.0)
    check()
    model.set_weights([w + 0.25 for w in model.get_weights()])
    check()
    model.fit(x, np.ones((3, 2)), loss="mse", epochs=3, verbose=0)
    check()
    model.reinitialize(seed=8)
    check()
    model.save(tmp_path / "model.safetensors")
    model.set_weights([0 * w for w in model.get_weights()])
    check()
    model = cr.load_model(tmp_path / "model.safetensors")
    check()
    model = copy.deepcopy(model)
    check()


def test_changed_settings_are_seen_at_once():
    model, x = network(), rows()
    first = model.predict(x)
    count = len(model.compiled_call.graphs)
    for changes in ({"threads": 1}, {"threads": 2}, {"check": "debug"}, {"threads": None}):
        with cr.settings(**changes):
            assert model.predict(x).tobytes() == first.tobytes()
    assert len(model.compiled_call.graphs) == count
    with cr.settings(backend="reference"):
        np.testing.assert_allclose(model.predict(x), first, rtol=1e-5, atol=1e-6)
    assert len(model.compiled_call.graphs) == count + 1
    assert model.predict(x).tobytes() == first.tobytes()


class Switched(cr.Model):
    def __init__(self):
        super().__init__()
        self.factor = 1.0
        self.inner = cr.layers.Dense(2)

    def call(self, inputs):
        return self.inner(inputs) * self.factor


def test_changed_attributes_of_the_model_are_seen_at_once():
    model, x = Switched(), rows()
    first = model.predict(x)
    model.factor = 2.0
    np.testing.assert_array_equal(model.predict(x), 2 * first)
    model.inner = cr.layers.Dense(3)
    assert model.predict(x).shape == (3, 3)


def test_predict_inside_a_tape_gives_the_same():
    model, x = network(), rows()
    first = model.predict(x)
    with cr.GradientTape():
        np.testing.assert_allclose(model.predict(x), first, rtol=1e-5, atol=1e-6)


def test_predict_before_and_after_building():
    model = cr.Sequential([cr.layers.Dense(2)])
    x = rows()
    first = model.predict(x)
    assert model.built
    assert model.predict(x).tobytes() == first.tobytes()


def test_whole_numbers_stay_whole_numbers():
    model = cr.Sequential([cr.layers.Embedding(5, 3)])
    for dtype in ("int64", "int32", "uint8"):
        x = np.array([[0, 4], [2, 1]], dtype)
        for _ in range(2):
            y = model.predict(x)
            assert y.shape == (2, 2, 3)
            np.testing.assert_array_equal(y[0, 1], model.layers[0].variables[0].numpy()[4])


def test_several_threads_may_predict_with_one_model():
    model = network()
    wrong = []

    def work(number):
        x = rows() + number
        expected = by_hand(model, x)
        results = [model.predict(x) for _ in range(200)]
        wrong.extend(y for y in results if not np.allclose(y, expected, rtol=1e-4, atol=1e-5))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
