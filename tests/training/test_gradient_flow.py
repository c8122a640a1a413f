"""Model.gradient_flow: norms against the recurrences of backpropagation through time."""

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ArgumentError

RNG = np.random.default_rng(53)
ROWS, STEPS, UNITS = 4, 6, 3
X = RNG.standard_normal((ROWS, STEPS, 2))
Y = RNG.standard_normal((ROWS, 1))


def model(*layers: cr.Layer) -> cr.Sequential:
    made = cr.Sequential(layers)
    for layer in layers:
        layer.dtype = "float64"
    made.tree_seed = 4
    made(X)
    return made


def test_a_simple_rnn_as_the_textbook_has_it() -> None:
    """delta_t = (W delta_{t+1}) * (1 - h_t^2), back from dL/dh_T."""
    made = model(cr.layers.SimpleRNN(UNITS), cr.layers.Dense(1))
    cell, dense = made.layers[0].cell, made.layers[1]
    hidden = [np.zeros((ROWS, UNITS))]
    for t in range(STEPS):
        sums = X[:, t] @ cell.kernel.numpy() + hidden[-1] @ cell.recurrent_kernel.numpy()
        hidden.append(np.tanh(sums + cell.bias.numpy()))
    wrong = hidden[-1] @ dense.kernel.numpy() + dense.bias.numpy() - Y
    delta = 2 * wrong / ROWS @ dense.kernel.numpy().T
    norms = []
    for t in reversed(range(STEPS)):
        norms.append(np.sqrt((delta**2).sum()))
        delta = (delta * (1 - hidden[t + 1] ** 2)) @ cell.recurrent_kernel.numpy().T
    flow = made.gradient_flow(X, Y, loss="mse")
    assert list(flow) == ["simple_rnn/cell"]
    np.testing.assert_allclose(flow["simple_rnn/cell"], norms[::-1], rtol=1e-12)
    assert flow.ratio("simple_rnn/cell") == pytest.approx(norms[-1] / norms[0])
    assert made.layers[0].disturbance is None


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_the_state_that_starts_at_a_step_has_the_gradient_of_that_step(kind: str) -> None:
    """Against the gradient of the state with which the rest of the sequence is computed."""
    recurrent = getattr(cr.layers, kind)(UNITS, return_state=True)
    made = model(recurrent_only := getattr(cr.layers, kind)(UNITS), cr.layers.Dense(1))
    recurrent.dtype = "float64"
    recurrent(X)
    for mine, theirs in zip(recurrent.variables, recurrent_only.variables, strict=True):
        mine.assign(theirs)
    flow = made.gradient_flow(X, Y, loss="mse")[f"{kind.lower()}/cell"]
    for t in range(1, STEPS):
        state = recurrent(X[:, :t])[1]
        first = cr.Variable(state[0].numpy())
        with cr.GradientTape() as tape:
            last = recurrent(X[:, t:], initial_state=(first, *state[1:]))[0]
            loss = cr.mean(cr.square(made.layers[1](last) - Y))
        expected = np.sqrt(np.square(tape.gradient(loss, first).numpy()).sum())
        assert flow[t - 1] == pytest.approx(expected, rel=1e-10)


def test_every_layer_over_time_is_listed_in_order() -> None:
    made = model(
        cr.layers.Conv1D(3, 2, padding="causal"),
        cr.layers.GRU(2, num_layers=2, bidirectional=True, return_sequences=True),
        cr.layers.Dense(2),
        cr.layers.Flatten(),
        cr.layers.Dense(1),
    )
    flow = made.gradient_flow(X, Y, loss="mse")
    names = ["cell/0", "backward_cell/0", "cell/1", "backward_cell/1"]
    assert list(flow) == ["conv1d", *(f"gru/{name}" for name in names), "dense"]
    assert all(norms.shape == (STEPS,) for norms in flow.values())
    assert all((norms > 0).all() for norms in flow.values())
    text = str(flow)
    assert text.splitlines()[0].split() == [
        "norm", "of", "the", "gradient", *(f"t={t}" for t in range(STEPS)), "first/last",
    ]  # fmt: skip
    assert f"{flow['dense'][2]:.2e}" in text
    assert len(text.splitlines()) == 7


def test_the_model_is_left_as_it_was_and_the_last_loss_is_known() -> None:
    made = model(cr.layers.LSTM(2, dropout=0.5), cr.layers.Dense(1))
    made.fit(X, Y, loss="mae", epochs=1, seed=1)
    before = made.get_weights(), made.predict(X)
    first, second = made.gradient_flow(X, Y), made.gradient_flow(X, Y, loss="mae")
    np.testing.assert_array_equal(first["lstm/cell"], second["lstm/cell"])
    for a, b in zip(before[0], made.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(made.predict(X), before[1])


def test_gradients_that_are_zero() -> None:
    class Blind(cr.Model):
        def __init__(self) -> None:
            super().__init__()
            self.seen, self.used = cr.layers.GRU(2), cr.layers.Dense(1)

        def call(self, inputs: cr.Tensor) -> cr.Tensor:
            self.seen(inputs)
            return self.used(inputs[:, 0])

    flow = Blind().gradient_flow(X, Y, loss="mse")
    assert (flow["seen/cell"] == 0).all()
    assert np.isnan(flow.ratio("seen/cell"))


def test_a_model_without_time() -> None:
    made = cr.Sequential([cr.layers.Flatten(), cr.layers.Dense(1)])
    with pytest.raises(ArgumentError, match="no layer of the model gives out sequences"):
        made.gradient_flow(X, Y, loss="mse")


def test_the_drawing(tmp_path: Any) -> None:
    pytest.importorskip("matplotlib")
    flow = model(cr.layers.GRU(2), cr.layers.Dense(1)).gradient_flow(X, Y, loss="mse")
    figure = flow.plot(tmp_path / "flow.png")
    axis = figure.axes[0]
    assert axis.get_yscale() == "log"
    np.testing.assert_array_equal(axis.lines[0].get_ydata(), flow["gru/cell"])
    assert (tmp_path / "flow.png").stat().st_size > 1000
    both = cr.plot.gradient_flow({"one": np.array([1.0, 0.0]), "two": np.array([2.0, 3.0])})
    drawn = [line.get_ydata() for line in both.axes[0].lines]
    np.testing.assert_array_equal(drawn, [[1.0, np.nan], [2.0, 3.0]])
    assert [text.get_text() for text in both.axes[0].get_legend().get_texts()] == ["one", "two"]
