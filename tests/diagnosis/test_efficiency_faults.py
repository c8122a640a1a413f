"""Time outside of training and wasteful steps: found where planted, not elsewhere.

Times are put into the history by hand, or into the functions that measure them: no test waits for
a clock.
"""

import numpy as np
import pytest

import chainrule as cr
from chainrule.diagnosis.case import Case
from chainrule.diagnosis.faults import efficiency
from chainrule.diagnosis.faults.efficiency import outside_steps, wasteful

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 4)).astype("float32")
Y = (X[:, :1] - X[:, 1:2]).astype("float32")


class Log(cr.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        pass


class Draw(cr.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        pass


def case(seconds=1.0, in_steps=0.9, units=8, epochs=10, **options):
    model = cr.Sequential([cr.layers.Dense(units, activation="relu"), cr.layers.Dense(1)])
    history = model.fit(
        X, Y, loss="mse", optimizer=cr.optimizers.Adam(0.01), epochs=epochs, seed=0, verbose=0,
        validation_split=0.2, **options,
    )  # fmt: skip
    history.seconds, history.seconds_in_steps = seconds, in_steps
    return Case(model, X, Y)


@pytest.mark.parametrize("callback", [Log(), Draw()], ids=["step", "epoch"])
def test_a_callback_that_takes_most_of_the_time(callback):
    evidence = outside_steps(case(in_steps=0.2, callbacks=callback))
    assert evidence.settled
    assert evidence.gain == pytest.approx(0.8)
    assert type(callback).__name__ in evidence.sentence
    assert "80%" in evidence.sentence


@pytest.mark.parametrize(
    "options",
    [
        {"in_steps": 0.9, "callbacks": Log()},  # it hardly takes time
        {"in_steps": 0.2},  # nothing that the user chose
        {"seconds": 0.02, "in_steps": 0.005, "callbacks": Log()},  # a run of a moment
        {"in_steps": 0.2, "callbacks": cr.callbacks.EarlyStopping(patience=50)},
    ],
)
def test_ordinary_runs_are_not_blamed(options):
    assert outside_steps(case(**options)) is None


def test_the_remedy_takes_the_callback_out():
    found = case(in_steps=0.2, callbacks=[Log(), cr.callbacks.EarlyStopping(patience=50)])
    remedy = outside_steps(found).remedies[0]
    left = remedy.apply(found.recipe.with_settings(callbacks=[Log()])).settings["callbacks"]
    assert left == []


def test_batches_of_two_rows(monkeypatch):
    monkeypatch.setattr(efficiency, "_rows_per_second", lambda case, size: 1000.0 * size)
    evidence = wasteful(case(batch_size=2))
    assert evidence.remedies[0].line == "batch_size=16"
    assert evidence.gain == pytest.approx(7 / 8)
    assert wasteful(case(batch_size=32)) is None
    monkeypatch.setattr(efficiency, "_rows_per_second", lambda case, size: 1000.0 + size)
    assert wasteful(case(batch_size=2)) is None


def test_the_speed_of_steps_is_measured():
    found = case(batch_size=2, epochs=2)
    assert efficiency._rows_per_second(found, 4) > 0


def test_a_quarter_of_the_units_does_as_well():
    found = case(units=400, epochs=30, in_steps=1000.0)
    evidence = wasteful(found)  # the twin takes less than 1,000 seconds
    assert "400 units" in evidence.sentence
    assert evidence.remedies[0].automatic == "B"
    assert wasteful(case(units=32, in_steps=1000.0)) is None
    assert wasteful(case(units=400, in_steps=1e-6)) is None
