"""Stateful models: long sequences in windows, states in fit, evaluate and predict."""

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ArgumentError, DataError

RNG = np.random.default_rng(47)
STEPS, LENGTH, ROWS = 62, 5, 3
SERIES = RNG.standard_normal((STEPS, 2)).astype("float32")
X = cr.data.windows(SERIES[:-1], LENGTH, ROWS)
Y = cr.data.windows(SERIES[1:, :1], LENGTH, ROWS)
BATCHES = len(X) // ROWS


def model(rows: int | None = ROWS) -> cr.Sequential:
    stateful = {"stateful": True, "batch_size": rows} if rows else {}
    made = cr.Sequential([cr.layers.GRU(4, return_sequences=True, **stateful), cr.layers.Dense(1)])
    made.tree_seed = 3
    return made


# ---- windows


def test_windows_go_on_in_the_next_batch() -> None:
    assert X.shape == (BATCHES * ROWS, LENGTH, 2)
    assert BATCHES == 4
    for row in range(ROWS):
        stream = X[row::ROWS].reshape(-1, 2)
        start = row * BATCHES * LENGTH
        np.testing.assert_array_equal(stream, SERIES[start : start + BATCHES * LENGTH])
    np.testing.assert_array_equal(Y[:, :-1], X[:, 1:, :1])


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ((SERIES, 0, 2), ArgumentError, "bad length"),
        ((SERIES, 2, -1), ArgumentError, "bad batch_size"),
        ((SERIES, 32, 2), DataError, "at least 2 windows of 32 steps"),
        ((3.0, 1, 1), DataError, "too few steps"),
    ],
)
def test_windows_that_cannot_be(arguments: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        cr.data.windows(*arguments)


# ---- fit


def by_hand(made: cr.Sequential, epochs: int) -> list[float]:
    """The same training written out: states start at zero in each epoch, batches are in order."""
    made(X[:2])
    optimizer, loss = cr.optimizers.SGD(0.1), cr.losses.MeanSquaredError()
    losses = []
    for _ in range(epochs):
        made.reset_states()
        batches = []
        for k in range(BATCHES):
            rows = slice(k * ROWS, (k + 1) * ROWS)
            with cr.GradientTape() as tape:
                value = loss(Y[rows], made(X[rows], training=True))
            gradients = tape.gradient(value, made.trainable_variables)
            optimizer.apply_gradients(zip(gradients, made.trainable_variables, strict=True))
            batches.append(float(value))
        losses.append(float(np.mean(batches)))
    return losses


@pytest.mark.parametrize("watched", [False, True])
def test_fit_is_truncated_backpropagation_through_time(watched: bool) -> None:
    fitted, other = model(), model()
    expected = by_hand(other, 3)
    callbacks = [cr.callbacks.LambdaCallback(on_train_batch_end=lambda *_: None)] if watched else []
    history = fitted.fit(
        X, Y, loss="mse", optimizer=cr.optimizers.SGD(0.1), epochs=3, shuffle=False,
        callbacks=callbacks,
    )  # fmt: skip
    np.testing.assert_allclose(history["loss"], expected, rtol=1e-5)
    for mine, theirs in zip(fitted.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-6)
    plain = model(None)
    stateless = plain.fit(
        X, Y, loss="mse", optimizer=cr.optimizers.SGD(0.1), epochs=3, shuffle=False, batch_size=ROWS
    )
    assert np.abs(np.subtract(stateless["loss"], expected)).max() > 1e-4


def test_a_single_batch_starts_afresh_in_each_epoch() -> None:
    first, second = model(), model(None)
    options: dict[str, Any] = {"loss": "mse", "epochs": 4, "shuffle": False}
    a = first.fit(X[:ROWS], Y[:ROWS], **options)
    b = second.fit(X[:ROWS], Y[:ROWS], **options)
    np.testing.assert_allclose(a["loss"], b["loss"], rtol=1e-6)


def test_validation_and_evaluation_start_afresh_and_go_on_from_batch_to_batch() -> None:
    made = model()
    history = made.fit(X, Y, loss="mse", epochs=2, shuffle=False, validation_data=(X, Y))
    whole = model(None)
    whole(X[:1])
    for mine, theirs in zip(whole.variables, made.trainable_variables, strict=True):
        mine.assign(theirs)
    streams = [a.reshape(BATCHES, ROWS, LENGTH, -1).swapaxes(0, 1) for a in (X, Y)]
    long_x, long_y = (a.reshape(ROWS, BATCHES * LENGTH, -1) for a in streams)
    expected = whole.evaluate(long_x, long_y, loss="mse")["loss"]
    assert history["val_loss"][-1] == pytest.approx(expected, rel=1e-5)
    for _ in range(2):
        assert made.evaluate(X, Y)["loss"] == pytest.approx(expected, rel=1e-5)
    made.reset_states()
    found = made.predict(X, batch_size=ROWS).reshape(BATCHES, ROWS, LENGTH).swapaxes(0, 1)
    np.testing.assert_allclose(found.reshape(ROWS, -1), whole.predict(long_x)[..., 0], rtol=1e-4)


def test_a_state_survives_what_only_looks(tmp_path: Any) -> None:
    made = model(2)
    made(X[:2])
    before = [v.numpy() for v in made.layers[0].state_variables]
    assert any(part.any() for part in before)
    made.gradient_flow(X[:2], Y[:2], loss="mse")
    for kept, variable in zip(before, made.layers[0].state_variables, strict=True):
        np.testing.assert_array_equal(variable.numpy(), kept)
    made.save(tmp_path / "model")
    loaded = cr.load_model(tmp_path / "model")
    np.testing.assert_array_equal(loaded(X[2:4]).numpy(), made(X[2:4]).numpy())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "a stateful model needs its rows in their order: got shuffle=True"),
        ({"shuffle": False, "validation_split": 0.5}, "validation_split=0.5"),
        ({"shuffle": False, "optimizer": "lbfgs"}, "does not go with a stateful model"),
    ],
)
def test_fits_that_tear_sequences_apart(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ArgumentError, match=text):
        model().fit(X, Y, loss="mse", **options)


def test_rows_that_are_no_whole_batches() -> None:
    made = model()
    with pytest.raises(ArgumentError, match="got 7 rows, expected a multiple of 3"):
        made.fit(X[:7], Y[:7], loss="mse", shuffle=False)
    with pytest.raises(ArgumentError, match="got 7 rows, expected a multiple of 3"):
        made.evaluate(X[:7], Y[:7], loss="mse")
    two = cr.Sequential([
        cr.layers.GRU(2, return_sequences=True, stateful=True, batch_size=2),
        cr.layers.GRU(2, return_sequences=True, stateful=True, batch_size=3),
        cr.layers.Dense(1),
    ])  # fmt: skip
    with pytest.raises(ArgumentError, match="different batch_size"):
        two.fit(X, Y, loss="mse", shuffle=False)
