"""When a run stops, and what it validates on."""

from typing import Any

import numpy as np
import pytest
from small_networks import blobs, dense, line_data

import chainrule as cr

# ---- stopping


def test_until_stops_and_says_so() -> None:
    x, y = line_data()
    history = dense(1).fit(
        x, y, loss="mse", optimizer=cr.optimizers.SGD(0.1), epochs=500, until={"loss": 0.05}, seed=1
    )
    assert history.stopped_by == "until"
    assert history["loss"][-1] <= 0.05 < history["loss"][-2]
    assert history.stopped.startswith("loss 0.0")
    assert history.stopped.endswith(f"<= 0.05 after {history.epochs} epochs")


def test_until_knows_the_direction_of_a_metric() -> None:
    x, y = blobs()
    goal = {"accuracy": 0.9, "val_loss": 0.6}
    history = dense(3).fit(
        x, y, loss="cross_entropy", metrics=["accuracy"], optimizer=cr.optimizers.Adam(0.05),
        epochs=300, until=goal, validation_split=0.2, seed=0,
    )  # fmt: skip
    assert history.stopped_by == "until"
    assert history["accuracy"][-1] >= 0.9
    assert history["val_loss"][-1] <= 0.6
    assert history["accuracy"][-2] < 0.9 or history["val_loss"][-2] > 0.6
    assert "accuracy" in history.stopped
    assert " >= 0.9 and val_loss" in history.stopped


def test_goal_not_reached_is_said() -> None:
    x, y = line_data()
    history = dense(1).fit(x, y, loss="mse", epochs=2, until={"loss": 1e-9})
    assert history.stopped_by == "epochs"
    assert "the goal was not reached: loss" in history.stopped


def test_until_takes_the_name_the_metric_was_given_by() -> None:
    x, y = blobs()
    history = dense(3).fit(
        x, y, loss="cross_entropy", metrics=["acc"], until={"acc": 0.0}, epochs=5
    )
    assert history.epochs == 1


@pytest.mark.parametrize(
    ("until", "words"),
    [
        ({"los": 0.1}, "did you mean 'loss'"),
        ({"val_loss": 0.1}, "val_loss"),
        ({"loss": "x"}, "'x'"),
    ],
)
def test_bad_goals_are_refused_before_training(until: Any, words: str) -> None:
    x, y = line_data()
    model = dense(1)
    model(x)
    before = model.get_weights()
    with pytest.raises(cr.errors.ArgumentError, match=words):
        model.fit(x, y, loss="mse", until=until)
    assert all((a == b).all() for a, b in zip(before, model.get_weights()))


@pytest.mark.filterwarnings("ignore:the loss became")
def test_a_loss_that_is_not_finite_stops_with_advice() -> None:
    x, y = line_data()
    history = dense(1).fit(
        x * 100, y, loss="mse", optimizer=cr.optimizers.SGD(1e3), epochs=2000, batch_size=10
    )
    assert history.stopped_by == "not_finite"
    assert history.epochs < 2000
    assert "lower the learning rate (now 1000)" in history.stopped
    with pytest.warns(RuntimeWarning, match="the loss became"):
        dense(1).fit(x * 100, y, loss="mse", optimizer=cr.optimizers.SGD(1e3), epochs=2000)


# ---- validation


def split_of(x: Any, y: Any, model: cr.Model, **options: Any) -> tuple[Any, Any]:
    """The first column of the training and of the validation rows, as the model meets them."""
    training: list[float] = []
    held_out: list[float] = []

    class Witness(cr.Model):
        def __init__(self) -> None:
            super().__init__(dtype="float64")
            self.inner = model

        def call(self, inputs: Any, training: bool = False) -> Any:
            return self.inner(inputs)

    witness = Witness()
    witness(x)

    class Look(cr.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            """Makes fit give the batches to the step one at a time."""

        def on_train_begin(self, logs: Any = None) -> None:
            setup = witness._setup
            one, many = setup.step._compiled, setup.evaluation.run_stacked

            def watched(x: Any, *rest: Any) -> Any:
                training.extend(np.asarray(x)[:, 0].tolist())
                return one(x, *rest)

            def watched_many(x: Any, *rest: Any) -> Any:
                held_out.extend(np.asarray(x)[..., 0].ravel().tolist())
                return many(x, *rest)

            setup.step._compiled = watched
            setup.evaluation.run_stacked = watched_many

    witness.fit(x, y, callbacks=[Look()], **options)
    return training, held_out


def test_validation_split_is_random_seeded_and_disjoint() -> None:
    x, y = line_data(50)
    x[:, 0] = np.arange(50)
    options: Any = {"loss": "mse", "validation_split": 0.2}
    parts = [split_of(x, y, dense(1), seed=seed, **options) for seed in (3, 3, 4)]
    training, held_out = parts[0]
    assert sorted(training + held_out) == list(range(50))
    assert len(held_out) == 10
    assert held_out != list(range(40, 50))
    assert parts[0] == parts[1] != parts[2]
    assert training != sorted(training)


def test_stratified_split_keeps_every_class_on_both_sides() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(100, 2)), np.array([0] * 90 + [1] * 10)
    x[:, 0] = y
    training, held_out = split_of(x, y, dense(2), loss="cross_entropy", validation_split=0.2)
    assert (training.count(1), held_out.count(1)) == (8, 2)
    training, held_out = split_of(
        x, y.astype(float), dense(1), loss="binary_cross_entropy", validation_split=0.2
    )
    assert (training.count(1), held_out.count(1)) == (8, 2)


def test_validation_data_is_measured_as_evaluate_measures_it() -> None:
    x, y = line_data(60)
    xv, yv = line_data(25, seed=5)
    model = dense(4, 1)
    weights = np.linspace(0, 1, 25)
    history = model.fit(
        x, y, loss="mse", validation_data=(xv, yv, weights), epochs=2, metrics="mae"
    )
    values = model.evaluate(xv, yv, sample_weight=weights)
    assert history["val_loss"][-1] == pytest.approx(values["loss"], rel=1e-12)
    assert {f"val_{name}" for name in values} < set(history)


def test_early_stopping_restores_the_best_weights() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 8)), rng.normal(size=40)  # noise: validation gets worse soon
    model = dense(32, 1)
    stopping = cr.callbacks.EarlyStopping(patience=5)
    history = model.fit(
        x, y, loss="mse", optimizer=cr.optimizers.Adam(0.02), epochs=400,
        validation_data=(x[::-1], y), early_stopping=stopping, seed=0,
    )  # fmt: skip
    assert history.stopped_by == "early_stopping"
    best = int(np.argmin(history["val_loss"]))
    assert history.epochs == best + 6
    assert model.evaluate(x[::-1], y)["loss"] == pytest.approx(history["val_loss"][best], rel=1e-12)
    assert any(f"epoch {best + 1}" in note for note in history.notes)


def test_early_stopping_without_validation_says_what_it_watches() -> None:
    x, y = line_data()
    history = dense(1).fit(x, y, loss="mse", early_stopping=True, epochs=2)
    assert any("watches the training loss" in note for note in history.notes)
