"""Overfitting and batch normalisation that lags behind: found where planted, not elsewhere."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.diagnosis.case import Case
from chainrule.diagnosis.faults.generalisation import averages_behind, overfits

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 20)).astype("float32")
Y = (X[:, :1] - X[:, 1:2] + 0.3 * RNG.normal(size=(300, 1))).astype("float32")
LABELS = (Y[:, 0] + 0.7 * RNG.normal(size=300) > 0).astype("int32")


def case(layers, targets=Y, rows=200, epochs=40, **options):
    numbers = targets.dtype.kind == "f"
    model = cr.Sequential([*layers, cr.layers.Dense(1 if numbers else 2)])
    validation = (X[200:], targets[200:])
    x, y = X[:rows], targets[:rows]
    model.fit(
        x, y, loss="mse" if numbers else "cross_entropy", optimizer=cr.optimizers.Adam(0.01),
        epochs=epochs, seed=0, verbose=0, validation_data=validation, **options,
    )  # fmt: skip
    return Case(model, x, y)


def wide():
    return [cr.layers.Dense(64, activation="relu")]


def normalised(momentum):
    return [
        cr.layers.Dense(16, activation="relu"), cr.layers.BatchNormalization(momentum=momentum)
    ]  # fmt: skip


def gain(found, evidence):
    """What the first remedy brings in skill."""
    return found.twin(evidence.remedies[0].apply(found.short), "remedy").gain


def test_a_wide_network_on_few_rows_overfits():
    found = case(wide(), LABELS, rows=80, epochs=80)
    evidence = overfits(found)
    assert evidence.strength > 0.75
    lowest = int(found.validation_curve.argmin()) + 1
    assert evidence.place["step"] == pytest.approx(lowest, abs=8)
    assert gain(found, evidence) > 0.02


@pytest.mark.parametrize("options", [{"early_stopping": True}, {"epochs": 4}])
def test_a_run_that_keeps_its_best_weights_does_not(options):
    assert overfits(case(wide(), LABELS, **{"epochs": 80, **options})) is None


def test_averages_that_move_too_slowly():
    found = case(normalised(0.9999), epochs=30)
    evidence = averages_behind(found)
    assert evidence.place == {"layer": "batch_normalization"}
    twin = found.twin(evidence.remedies[0].apply(found.short), "remedy")
    assert twin.gain > 0.02
    assert twin.skill > found.control_skill


def test_averages_that_have_caught_up():
    assert averages_behind(case(normalised(0.9), epochs=30)) is None


def test_the_trained_model_is_not_changed_by_looking():
    found = case(normalised(0.9999), epochs=5)
    before = [variable.numpy().copy() for variable in found.model.variables]
    averages_behind(found)
    after = [variable.numpy() for variable in found.model.variables]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
