"""The line that offers diagnosis: after runs that failed or stalled, and after no other."""

import io
import sys
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.optimizers.schedules import WarmUp
from chainrule.training import History, stalled
from chainrule.training.batches import Data

RNG = np.random.default_rng(2)
X = RNG.normal(size=(240, 4)).astype("float32")
VALUES = (X[:, :1] * X[:, 1:2] + X[:, 2:3]).astype("float32")
CLASSES = (X[:, 0] > 0).astype("int64") + (X[:, 1] > 1)


def network(*layers: cr.layers.Layer, outputs: int = 1) -> cr.Sequential:
    return cr.Sequential([*layers, cr.layers.Dense(outputs)])


def dense(**options: Any) -> cr.layers.Dense:
    return cr.layers.Dense(16, **{"activation": "relu", **options})


def said(history: History) -> list[str]:
    return [note for note in history.notes if "cr.diagnose(model, x, y)" in note]


def fit(model: cr.Model, y: Any = VALUES, **settings: Any) -> History:
    return model.fit(X, y, **{"loss": "mse", "epochs": 20, "seed": 1, "verbose": 0, **settings})


STALLED: dict[str, tuple[Any, dict[str, Any]]] = {
    "dead units": (lambda: network(dense(bias_initializer=cr.initializers.Constant(-50.0))), {}),
    "rate too low": (lambda: network(dense()), {"optimizer": cr.optimizers.SGD(1e-7)}),
    "targets far away": (lambda: network(dense()), {"y": VALUES * 1e2 + 5e4}),
    "unrelated classes": (
        lambda: network(dense(), outputs=3),
        {"y": RNG.permutation(CLASSES), "loss": "cross_entropy",
         "optimizer": cr.optimizers.Adam(1e-6), "epochs": 40},
    ),
    "gradients that vanish": (
        lambda: network(*(dense(activation="sigmoid") for _ in range(10))),
        {"optimizer": cr.optimizers.SGD(0.05), "loss": "huber"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("make", "settings"), STALLED.values(), ids=STALLED)
def test_a_stalled_run_is_told(make: Any, settings: dict[str, Any]) -> None:
    (line,) = said(fit(make(), **settings))
    assert line == (
        "training has stalled: the loss is no better than that of a constant prediction; "
        "cr.diagnose(model, x, y) looks for the cause"
    )


class Costly(cr.layers.Layer):
    def call(self, inputs: cr.Tensor) -> cr.Tensor:
        self.add_loss(cr.tensor(5.0))
        return inputs


HEALTHY: dict[str, tuple[Any, dict[str, Any]]] = {
    "learns": (lambda: network(dense()), {}),
    "one epoch": (lambda: network(dense()), {"epochs": 1}),
    "a few epochs": (lambda: network(dense()), {"epochs": 5, "optimizer": cr.optimizers.SGD(1e-5)}),
    "slow, on its way": (
        lambda: network(dense()),
        {"y": VALUES + 5.0, "optimizer": cr.optimizers.SGD(5e-4), "epochs": 30},
    ),
    "warm-up": (
        lambda: network(dense()),
        {"y": VALUES + 2.0, "epochs": 14, "optimizer": cr.optimizers.Adam(WarmUp(0.02, 100))},
    ),
    "dropout and penalty above the constant": (
        lambda: network(dense(l2=0.05), cr.layers.Dropout(0.8)), {"epochs": 60},
    ),
    "a penalty that stays": (lambda: network(dense(), Costly()), {"epochs": 30}),
    "constant targets": (lambda: network(dense()), {"y": np.full_like(VALUES, 0.3)}),
    "classes, weighted": (
        lambda: network(dense(), outputs=3),
        {"y": CLASSES, "loss": "cross_entropy", "class_weight": "balanced"},
    ),
    "a loss of the user's own": (
        lambda: network(dense()), {"loss": lambda y, p: cr.mean((y - p) ** 2, axis=-1)},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("make", "settings"), HEALTHY.values(), ids=HEALTHY)
def test_a_healthy_run_is_left_alone(make: Any, settings: dict[str, Any]) -> None:
    assert said(fit(make(), **settings)) == []


def test_training_goes_on_from_where_it_was() -> None:
    model = network(dense())
    fit(model, epochs=150)
    assert said(fit(model, epochs=20)) == []  # first and last losses are alike


def test_a_failed_run_is_told() -> None:
    with pytest.warns(RuntimeWarning, match="loss became"):
        history = fit(network(dense()), optimizer=cr.optimizers.SGD(1e6))
    (line,) = said(history)
    assert line.startswith("training has failed: its numbers are not finite any more; ")


def of_curve(
    losses: list[float], loss: str = "mse", stopped_by: str = "epochs", y: Any = VALUES
) -> str | None:
    history = History()
    history.stopped_by = stopped_by
    history.extend("loss", losses)
    model = cr.Sequential([cr.layers.Dense(1, kernel_initializer="zeros")])  # a constant
    outputs = model(X)
    chosen = cr.losses.get(loss if loss != "own" else lambda y, p: cr.mean((y - p) ** 2))
    return stalled.find_trouble(model, chosen, Data(X, y), outputs, history, 8)


RISING = [2.0, 1.0, 0.5, 0.4, 0.3, 0.3, 0.3, 0.3, 0.4, 0.6, 0.9, 1.2, 1.5, 1.8]
NOISY = [2.0, 1.0, 1e-2, 1e-3, 1e-6, 2e-6, 1e-6, 1e-6, 3e-6, 1e-6, 9e-6, 4e-6, 9e-6, 8e-6]


def test_a_rising_loss_is_told() -> None:
    assert "rose over the second half" in str(of_curve(RISING))
    assert of_curve(NOISY) is None
    assert of_curve([x / 100 for x in RISING]) is None  # small against a constant's
    assert of_curve([2.0] * 6 + [1.5] * 6 + [1.8] * 6) is None  # a fifth more
    assert of_curve(sorted(RISING, reverse=True)) is None
    assert of_curve(RISING, "own") is None  # below its beginning, and nothing to compare with
    assert "rose" in str(of_curve([1.0, *RISING[1:]], "own"))


def test_the_last_epoch_alone_is_no_verdict() -> None:
    assert of_curve([2.0] + [0.1] * 12 + [5.0]) is None


def test_a_goal_that_was_reached_is_no_trouble() -> None:
    assert "stalled" in str(of_curve([9.0] * 20))
    assert of_curve([9.0] * 20, stopped_by="until") is None


def test_equal_targets_are_no_trouble() -> None:
    y = np.full((240, 1), 0.3)
    assert 0 < y.var() < 1e-30  # rounding, which no model gets below
    assert of_curve([9.0] * 20, y=y) is None


def test_many_targets_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    make, settings = STALLED["dead units"]
    monkeypatch.setattr(stalled, "TARGETS", 200)
    assert said(fit(make(), **settings)) == []


@pytest.mark.parametrize("verbose", [0, 1, 2])
def test_it_is_printed_where_anything_is(verbose: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    make, settings = STALLED["dead units"]
    assert said(fit(make(), **settings, verbose=verbose))
    text = " ".join(stream.getvalue().split())
    assert text.count("looks for the cause") == min(verbose, 1)
    if verbose:
        assert text.index("epochs done") < text.index("training has stalled")
