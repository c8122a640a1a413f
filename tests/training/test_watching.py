"""Looks at a run: the run stays the same to the bit, and the numbers are those of other means."""

import gc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ArgumentError
from chainrule.training import watching

RNG = np.random.default_rng(5)
X = RNG.normal(size=(70, 4)).astype("float32")
Y = (X[:, :1] * X[:, 1:2]).astype("float32")


def network() -> cr.Sequential:
    return cr.Sequential(
        [
            cr.layers.Dense(6, activation="relu", l2=0.01),
            cr.layers.BatchNormalization(),
            cr.layers.Dropout(0.2),
            cr.layers.Dense(5, activation="tanh"),
            cr.layers.Dense(1),
        ]
    )


class Counting(cr.callbacks.Callback):
    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        pass


RUNS: dict[str, dict[str, Any]] = {
    "blocks, a short last batch": {"batch_size": 16, "epochs": 6},
    "all rows, epochs joined": {"batch_size": None, "epochs": 23},
    "all rows, metrics": {"batch_size": None, "epochs": 7, "metrics": ["mae"]},
    "batch by batch": {"batch_size": 16, "epochs": 3, "callbacks": [Counting()]},
    "mixup, validation, weights": {
        "batch_size": 10, "epochs": 3, "mixup": 0.3, "validation_split": 0.2,
        "sample_weight": np.arange(70.0),
    },
    "L-BFGS": {"optimizer": "lbfgs", "epochs": 4},
}  # fmt: skip


@pytest.mark.parametrize("settings", RUNS.values(), ids=RUNS)
def test_the_run_stays_the_same_to_the_bit(settings: dict[str, Any]) -> None:
    runs = []
    for watch in (False, 3):
        model = network()
        history = model.fit(X, Y, loss="mse", seed=1, watch=watch, **settings)
        runs.append((history, [variable.numpy() for variable in model.variables]))
    (plain, weights), (history, values) = runs
    assert plain.watched is None
    assert history.watched is not None
    assert len(history.watched) > 1
    assert history.history == plain.history
    for value, other in zip(values, weights, strict=True):
        np.testing.assert_array_equal(value, other)


def watched(model: cr.Model, x: Any, y: Any, **settings: Any) -> watching.Watched:
    found = model.fit(x, y, **{"loss": "mse", "seed": 1, "watch": True, **settings}).watched
    assert found is not None
    return found


def rms(x: Any) -> float:
    return float(np.sqrt(np.mean(np.square(np.asarray(x, np.float64)))))


def test_numbers_are_those_of_a_step_by_hand() -> None:
    first = cr.layers.Dense(6, activation="tanh", l2=0.3)
    model = cr.Sequential([first, cr.layers.Dense(1, use_bias=False)])
    model(X)
    first.kernel.assign(first.kernel.numpy() * 8)
    z = X @ first.kernel.numpy() + first.bias.numpy()
    hidden = np.tanh(z)
    with cr.GradientTape() as tape:
        data = cr.losses.mean_squared_error(Y, model(X)).mean()
        loss = data + 0.3 * (first.kernel * first.kernel).sum()
    gradients = [g.numpy() for g in tape.gradient(loss, model.trainable_variables)]
    paths = [variable.path for variable in model.trainable_variables]
    values = [variable.numpy() for variable in model.trainable_variables]
    seen = watched(model, X, Y, optimizer=cr.optimizers.SGD(0.05), batch_size=None)
    assert seen.steps.tolist() == [0]
    assert seen.loss[0] == pytest.approx(float(loss), rel=1e-5)
    assert seen.penalty_share[0] == pytest.approx(1 - float(data) / float(loss), rel=1e-4)
    norm = np.sqrt(sum(np.square(g.astype(np.float64)).sum() for g in gradients))
    assert seen.gradient_norm[0] == pytest.approx(norm, rel=1e-5)
    for path, gradient, value in zip(paths, gradients, values, strict=True):
        assert seen.gradients[path][0] == pytest.approx(rms(gradient), rel=1e-5)
        assert seen.weights[path][0] == pytest.approx(rms(value), rel=1e-5)
        assert seen.updates[path][0] == pytest.approx(0.05 * rms(gradient), rel=1e-3)
    assert seen.means["dense"][0] == pytest.approx(hidden.mean(), rel=1e-4)
    assert seen.deviations["dense"][0] == pytest.approx(hidden.std(), rel=1e-4)
    assert seen.saturated["dense"][0] == pytest.approx((np.abs(z) > 5).mean(), abs=1e-6)
    assert 0.05 < seen.saturated["dense"][0] < 0.95
    assert "dense_1" in seen.means
    assert "dense_1" not in seen.never_active
    assert "dense_1" not in seen.saturated


def test_units_that_are_never_active_are_counted() -> None:
    dense = cr.layers.Dense(8, activation="relu")
    model = cr.Sequential([dense, cr.layers.Dense(1)])
    model(X)
    dense.bias.assign(np.array([-100.0] * 3 + [100.0] * 5))
    assert watched(model, X, Y).never_active["dense"][0] == pytest.approx(3 / 8)
    images = RNG.normal(size=(6, 5, 5, 1)).astype("float32")
    convolution = cr.layers.Conv2D(4, 3, activation="relu")
    model = cr.Sequential([convolution, cr.layers.Flatten(), cr.layers.Dense(1)])
    model(images)
    convolution.bias.assign(np.array([-100.0, 0.0, 0.0, 0.0]))
    seen = watched(model, images, np.ones((6, 1)))
    assert seen.never_active["conv2d"][0] == pytest.approx(1 / 4)
    assert list(seen.means) == ["conv2d", "dense"]  # a layer without weights only passes on


def test_a_container_is_not_looked_at_beside_what_it_holds() -> None:
    inner = cr.Sequential([cr.layers.Dense(3, activation="relu"), cr.layers.Dense(2)], name="inner")
    seen = watched(cr.Sequential([inner, cr.layers.Dense(1)]), X, Y)
    assert list(seen.means) == ["inner/dense", "inner/dense_1", "dense"]


def test_later_steps_are_those_that_the_run_made() -> None:
    model = cr.Sequential([cr.layers.Dense(3, activation="relu"), cr.layers.Dense(1)])
    model.seed_if_new(0)
    seen = watched(model, X, Y, batch_size=None, epochs=9, watch=4)
    assert seen.steps.tolist() == [0, 4, 8]
    again = cr.Sequential([cr.layers.Dense(3, activation="relu"), cr.layers.Dense(1)])
    again.seed_if_new(0)
    losses = again.fit(X, Y, loss="mse", seed=1, batch_size=None, epochs=8)["loss"]
    assert seen.loss[:2] == pytest.approx([losses[0], losses[4]], rel=1e-6)
    path = again.trainable_variables[0].path
    assert seen.weights[path][2] == pytest.approx(rms(again.trainable_variables[0].numpy()))


def test_which_steps_are_looked_at() -> None:
    model = network()
    seen = watched(model, X, Y, batch_size=16, epochs=8, watch=4)  # 4 whole batches and a short one
    # Step 4 is a short batch and passed over, so the next step is looked at; so is step 24.
    assert seen.steps.tolist() == [0, 5, 8, 12, 16, 20, 25, 28, 32, 36]
    chosen = watched(network(), X, Y, batch_size=8, epochs=60, watch=True)
    assert chosen.steps[0] == 0
    assert (chosen.steps % 100 <= 1).all()


def test_a_run_that_goes_on_counts_on(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"batch_size": 10, "checkpoint": tmp_path / "run", "watch": 5}
    assert watched(network(), X, Y, epochs=1, **settings).steps.tolist() == [0, 5]
    assert watched(network(), X, Y, epochs=3, **settings).steps.tolist() == [10, 15, 20]
    done = watched(network(), X, Y, epochs=3, **settings)
    assert len(done) == 0
    assert repr(done) == "Watched(no steps)"


def test_recurrent_layers_give_statistics_of_their_output() -> None:
    x = RNG.normal(size=(8, 5, 2)).astype("float32")
    model = cr.Sequential([cr.layers.LSTM(3), cr.layers.Dense(1)])
    seen = watched(model, x, np.ones((8, 1)))
    assert list(seen.means) == ["lstm", "dense"]
    assert np.isfinite(list(seen.gradients.values())).all()


def test_it_can_be_read() -> None:
    text = repr(watched(network(), X, Y, batch_size=None, epochs=3, watch=1)).splitlines()
    assert text[0].startswith("Watched(3 steps, 0 to 2; in the last: loss ")
    assert text[1].split() == ["variable", "gradient", "weight", "update", "update/weight"]
    assert text[2].split()[0] == "dense/kernel"
    assert len({len(line) for line in text[1:10]}) == 1
    layers = text.index(next(line for line in text if line.startswith("  layer")))
    assert [line.split()[0] for line in text[layers + 1 :]] == [
        "dense", "batch_normalization", "dense_1", "dense_2",
    ]  # fmt: skip


def test_intervals_are_round() -> None:
    found = [watching._round_up(x) for x in (3.0, 100.0, 101.0, 200.0, 499.0, 501.0, 1e4 + 1)]
    assert found == [100, 100, 200, 200, 500, 1000, 20_000]


@pytest.mark.parametrize("watch", [0, -3, 2.5, "yes", None])
def test_wrong_settings(watch: Any) -> None:
    with pytest.raises(ArgumentError, match="watch"):
        network().fit(X, Y, loss="mse", watch=watch)


def test_a_watch_goes_with_its_run() -> None:
    model = network()
    model.fit(X, Y, loss="mse")
    assert model._setup is not None
    watch = watching.Watch(model._setup.step, 1)
    watch.look(X, Y, None)
    assert len(watch.result()) == 1
    gone = weakref.ref(watch)
    gc.disable()
    try:
        del watch
        assert gone() is None
    finally:
        gc.enable()
