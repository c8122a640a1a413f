"""Unsafe functions and wrong derivatives, planted and in runs that look alike."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.config import settings
from chainrule.diagnosis.case import Case
from chainrule.diagnosis.table import BY_CODE

layers = cr.layers
X = np.random.default_rng(0).normal(size=(100, 5)).astype("float32")
Y = (X[:, :1] - 2 * X[:, 1:2]).astype("float32")
CLASSES = (X[:, 0] > 0).astype("int32")


class Through(cr.Layer):
    def __init__(self, function, **options):
        super().__init__(**options)
        self.function = function

    def call(self, inputs):
        return self.function(inputs)


def network(function=lambda x: x, outputs=1, activation=None):
    hidden = layers.Dense(8, "relu")
    return cr.Sequential([hidden, Through(function, name="own"), layers.Dense(outputs, activation)])


def fitted(model, y=Y, loss="mse", x=X, stops=False, **options):
    options = {"epochs": 3, "seed": 1, "verbose": 0, "batch_size": 20, **options}
    if stops:
        with pytest.warns(RuntimeWarning, match="the loss became"):
            model.fit(x, y, loss=loss, **options)
    else:
        model.fit(x, y, loss=loss, **options)
    return Case(model, x, y)


@pytest.fixture(autouse=True)
def interpreted():
    """For a few steps nothing has to be compiled."""
    with settings(backend="reference"):
        yield


def found(code, case):
    return BY_CODE[code].probe(case)


# ---- N1


def relative(y_true, y_pred):
    return cr.mean(abs((y_true - y_pred) / y_true), axis=-1)


def unguarded(y_true, y_pred):
    return -cr.sum(cr.one_hot(y_true, 2) * cr.log(y_pred), axis=-1)


def test_a_logarithm_of_zero_in_a_layer():
    evidence = found("N1", fitted(network(cr.log), stops=True))
    assert evidence.settled
    assert (evidence.place["operation"], evidence.place["layer"]) == ("log", "own")
    assert evidence.place["step"] == 1
    assert "got 0" in evidence.sentence


def test_a_division_by_zero_in_the_loss_names_the_row():
    y = Y.copy()
    y[37] = 0.0
    evidence = found("N1", fitted(network(), y, relative, stops=True))
    assert evidence.place["operation"] == "divide"
    assert evidence.place["rows"] == [37]
    assert "the loss 'relative'" in evidence.sentence


def test_a_cross_entropy_of_probabilities_is_replaced():
    x = X.copy()
    x[:30] *= 1e3
    model = network(outputs=2, activation="softmax")
    case = fitted(model, CLASSES, unguarded, x, stops=True)
    remedy = found("N1", case).remedies[0]
    assert remedy.line == "loss='cross_entropy'"
    assert remedy.apply(case.recipe).train().history.stopped_by == "epochs"


def test_overflow_by_the_rate_or_by_the_data_is_something_else():
    rate = fitted(network(), stops=True, optimizer=cr.optimizers.SGD(100.0), epochs=30)
    assert found("N1", rate) is None
    # ... also where it reaches an unsafe function first: its input is out of all proportion.
    large = fitted(network(lambda x: cr.exp(x * 1e9)), stops=True)
    assert found("N1", large) is None
    x = X.copy()
    x[3, 0] = np.nan
    missing = fitted(network(), np.ones_like(Y))
    assert found("N1", Case(missing.model, x, Y)) is None
    assert found("N1", fitted(network(lambda x: cr.log(1 + x)))) is None


# ---- N2


@cr.custom_gradient
def half(x):
    return cr.tanh(x), lambda g: 0.5 * g * (1 - cr.tanh(x) ** 2)


@cr.custom_gradient
def right(x):
    return cr.tanh(x), lambda g: g * (1 - cr.tanh(x) ** 2)


@cr.custom_gradient
def straight_through(x):
    return cr.round(x), lambda g: g


@cr.custom_gradient
def limited(x):
    return x * 1.0, lambda g: cr.clip(g, -1, 1)


@cr.custom_gradient
def distance(y_true, y_pred):
    return abs(y_true - y_pred), lambda g: (g, -g)


def test_a_derivative_without_a_factor_is_placed():
    evidence = found("N2", fitted(network(half)))
    assert evidence.settled
    assert evidence.place == {"layer": "own"}
    assert "is 0.5 times the numeric one" in evidence.sentence


def test_an_activation_of_ones_own_and_a_loss_of_ones_own():
    model = cr.Sequential([layers.Dense(8, half), layers.Dense(1)])
    assert found("N2", fitted(model)).place == {"layer": "dense"}
    loss = lambda y_true, y_pred: cr.mean(distance(y_true, y_pred), axis=-1)  # noqa: E731
    evidence = found("N2", fitted(network(), loss=loss))
    assert evidence.place == {"operation": "<lambda>"}


@pytest.mark.parametrize("function", [right, straight_through, limited, cr.stop_gradient, cr.relu])
def test_right_derivatives_and_those_that_are_meant_to_differ(function):
    assert found("N2", fitted(network(function))) is None


def test_nothing_of_ones_own_costs_nothing():
    case = fitted(cr.Sequential([layers.Dense(8, "relu"), layers.Dense(1)]))
    assert found("N2", case) is None
    assert "at_start" not in case.__dict__
