"""Recurrent layers that forget, explode or read padding, and others that look alike."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.config import settings
from chainrule.diagnosis.case import Case
from chainrule.diagnosis.faults.recurrent import padding_of
from chainrule.diagnosis.table import BY_CODE

layers = cr.layers
random = np.random.default_rng(0)
STEPS = 16
X = random.normal(size=(80, STEPS, 2)).astype("float32")
Y = X[:, 0, :1] + X[:, -1, 1:]
TOKENS = random.integers(1, 9, size=(80, STEPS)).astype("int32")


def network(layer, *front):
    return cr.Sequential([*front, layer, layers.Dense(1)])


def fitted(model, x=X, y=Y, factor=1.0):
    model.seed_if_new(1)
    model(x[:2])
    for variable in model.variables:
        if variable.path.endswith("recurrent_kernel"):
            variable.assign(variable.numpy() * np.float32(factor))
    model.fit(x, y, loss="mse", epochs=2, seed=1, verbose=0)
    return Case(model, x, y)


@pytest.fixture(autouse=True)
def interpreted():
    """For a few steps nothing has to be compiled."""
    with settings(backend="reference"):
        yield


def found(code, case):
    return BY_CODE[code].probe(case)


# ---- R1


def test_a_gradient_lost_in_time():
    case = fitted(network(layers.SimpleRNN(8)), factor=0.3)
    evidence = found("R1", case)
    assert evidence.place == {"layer": "simple_rnn"}
    assert "step 1 of 16 gets" in evidence.sentence
    assert not evidence.settled
    changed = evidence.remedies[0].apply(case.recipe)
    assert type(changed.make()[0]).__name__ == "GRU"
    assert changed.make()[0].units == 8
    assert changed.train().error is None
    assert found("R2", case) is None


@pytest.mark.parametrize("layer", [layers.GRU, layers.LSTM])
def test_gated_layers_remember(layer):
    case = fitted(network(layer(8, recurrent_initializer="orthogonal", bias_initializer="ones")))
    assert found("R1", case) is None


# ---- R2


def test_recurrent_weights_that_explode():
    case = fitted(network(layers.GRU(12)), factor=12.0)
    evidence = found("R2", case)
    assert evidence.place == {"layer": "gru"}
    assert evidence.strength > 0.8
    kernels = evidence.remedies[0].apply(case.recipe).make()[0].cell.recurrent_kernel.numpy()
    values = np.linalg.svd(kernels, compute_uv=False)
    np.testing.assert_allclose(values, values[0], rtol=1e-4)
    assert found("R1", case) is None


def test_when_all_weights_are_too_large_the_time_is_not_to_blame():
    large = cr.initializers.RandomNormal(stddev=5.0)
    layer = layers.GRU(12, kernel_initializer=large, recurrent_initializer=large)
    assert found("R2", fitted(network(layer))).strength < 0.7


@pytest.mark.parametrize("layer", [layers.SimpleRNN(8), layers.GRU(8), layers.LSTM(8)])
def test_usual_first_weights_keep_sizes(layer):
    assert found("R2", fitted(network(layer))) is None


# ---- R3


def padded(x, times=3):
    widths = [(0, 0)] * x.ndim
    widths[1] = (0, (times - 1) * x.shape[1])
    return np.pad(x, widths)


def test_padding_that_is_read_is_masked():
    case = fitted(network(layers.GRU(6)), padded(X))
    evidence = found("R3", case)
    assert evidence.place == {"layer": "gru"}
    assert "67% of the steps are padding" in evidence.sentence
    changed = evidence.remedies[0].apply(case.recipe)
    trained = changed.train()
    assert trained.error is None
    # With the mask, padding makes no difference.
    np.testing.assert_allclose(
        trained.model.predict(padded(X)), trained.model.predict(X), rtol=1e-5, atol=1e-6
    )
    assert found("R3", Case(trained.model, changed.x, changed.y)) is None


def test_tokens_get_a_padding_index():
    case = fitted(network(layers.GRU(6), layers.Embedding(9, 4)), padded(TOKENS))
    changed = found("R3", case).remedies[0].apply(case.recipe)
    assert changed.make()[0].padding_index == 0
    masked = network(layers.GRU(6), layers.Embedding(9, 4, padding_index=0))
    assert found("R3", fitted(masked, padded(TOKENS))) is None


def test_little_padding_and_no_recurrent_layer():
    assert found("R3", fitted(network(layers.GRU(6)))) is None
    flat = cr.Sequential([layers.Flatten(), layers.Dense(1)])
    assert found("R3", fitted(flat, padded(X))) is None


def test_padding_is_found_on_either_side():
    after, before = padding_of(padded(TOKENS)), padding_of(padded(TOKENS)[:, ::-1])
    assert (after.value, after.end, before.end) == (0, True, False)
    assert after.share == before.share == pytest.approx(2 / 3)
    assert padding_of(X).share < 0.1
    assert padding_of(X[:, :, 0]) is None
