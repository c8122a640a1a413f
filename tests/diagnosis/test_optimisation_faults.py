"""Faults of the optimisation: each is found where it was planted, and not in a look-alike."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.diagnosis.case import Case
from chainrule.diagnosis.faults.optimisation import (
    in_order,
    penalised,
    stopped_early,
    too_high,
    too_low,
    unfit_batches,
)
from chainrule.diagnosis.measurements.rates import begins_in_order, rate_sweep

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 4)).astype("float32")
Y = (np.abs(X[:, :1]) - X[:, 1:2] + 0.1 * RNG.normal(size=(400, 1))).astype("float32")
LABELS = (Y[:, 0] > np.median(Y)).astype("int32")
Adam, SGD = cr.optimizers.Adam, cr.optimizers.SGD
EarlyStopping = cr.callbacks.EarlyStopping


def case(optimizer=None, x=X, y=Y, epochs=40, normalised=False, regularizer=None, **options):
    layers = [cr.layers.Dense(16, activation="relu", kernel_regularizer=regularizer)]
    layers += [cr.layers.BatchNormalization(momentum=0.9)] * normalised
    model = cr.Sequential([*layers, cr.layers.Dense(1 if y.dtype.kind == "f" else 2)])
    loss = "cross_entropy" if y.dtype.kind == "i" else "mse"
    model.fit(
        x, y, loss=loss, optimizer=optimizer or Adam(0.01), epochs=epochs, seed=0, verbose=0,
        validation_split=0.2, **options,
    )  # fmt: skip
    return Case(model, x, y)


def gain(found, evidence):
    """What the first remedy brings in skill."""
    return found.twin(evidence.remedies[0].apply(found.short), "remedy").gain


@pytest.fixture(scope="module")
def healthy():
    return case()


def test_a_healthy_run_has_no_fault_of_optimisation(healthy):
    for probe in (too_high, too_low, stopped_early, unfit_batches, penalised, in_order):
        assert probe(healthy) is None, probe.__name__


def test_the_sweep_finds_the_order_of_the_rates(healthy):
    sweep = rate_sweep(healthy)
    assert sweep.own_rate == 0.01
    assert sweep.reached[0] > sweep.reached[2] > sweep.reached[sweep.own] > sweep.reached.min()
    assert 0.01 <= sweep.best_rate <= 0.3
    last = sweep.untrained[-(len(sweep.untrained) // 5) :]
    assert sweep.start == pytest.approx(last.mean())
    assert rate_sweep(healthy) is sweep


@pytest.mark.parametrize(("optimizer", "rate"), [(Adam, 5.0), (SGD, 3.0)])
@pytest.mark.filterwarnings("ignore:the loss became")
def test_a_rate_that_is_too_high(optimizer, rate):
    found = case(optimizer(rate), epochs=20)
    evidence = too_high(found)
    assert evidence.strength > 0.75
    assert f"{rate:g}" in evidence.sentence
    assert gain(found, evidence) > 0.2
    assert too_low(found) is None


@pytest.mark.filterwarnings("ignore:the loss became")
def test_unscaled_inputs_are_not_the_fault_of_the_rate():
    found = case(SGD(0.01), x=300 * X, epochs=5)
    assert not begins_in_order(found)
    assert too_high(found) is None


@pytest.mark.parametrize(
    "optimizer", [Adam(1e-6), SGD(1e-6), cr.optimizers.Adagrad(1e-4)], ids=["rate", "sgd", "weak"]
)
def test_a_rate_that_is_too_low(optimizer):
    found = case(optimizer)
    evidence = too_low(found)
    assert evidence.strength > 0.9
    assert gain(found, evidence) > 0.5
    assert too_high(found) is None
    assert stopped_early(found) is None


def test_gradient_descent_that_suits_is_not_too_slow():
    assert too_low(case(SGD(0.1))) is None


def test_too_few_epochs():
    found = case(epochs=6)
    evidence = stopped_early(found)
    assert "too early" in evidence.sentence
    assert gain(found, evidence) > 0.05
    assert too_low(found) is None


def test_a_schedule_that_ends_before_the_run():
    found = case(Adam(cr.optimizers.CosineDecay(0.01, 30)))
    evidence = stopped_early(found)
    assert "learning rate had fallen" in evidence.sentence
    assert gain(found, evidence) > 0.1


def test_a_schedule_that_ends_with_the_run_is_fine():
    assert stopped_early(case(Adam(cr.optimizers.CosineDecay(0.02, 400)))) is None


def test_impatient_stopping():
    found = case(early_stopping=EarlyStopping(patience=1, min_delta=0.5))
    evidence = stopped_early(found)
    assert "impatient" in evidence.sentence
    assert gain(found, evidence) > 0.1


def test_patient_stopping_is_fine():
    assert stopped_early(case(epochs=200, early_stopping=EarlyStopping(patience=10))) is None


def test_one_step_an_epoch():
    found = case(batch_size=None, epochs=20)
    evidence = unfit_batches(found)
    assert "20 updates" in evidence.sentence
    assert gain(found, evidence) > 0.1
    assert stopped_early(found) is None


def test_whole_batches_that_converged_are_fine():
    assert unfit_batches(case(SGD(0.3), batch_size=None, epochs=600)) is None


def test_normalisation_over_two_rows():
    evidence = unfit_batches(case(normalised=True, batch_size=2, epochs=2))
    assert evidence.place == {"layer": "batch_normalization"}
    assert unfit_batches(case(normalised=True, batch_size=32, epochs=10)) is None


@pytest.mark.parametrize(
    "options",
    [
        {"regularizer": cr.regularizers.L2(3.0)},
        {"regularizer": cr.regularizers.L1(1.0)},
        {"optimizer": cr.optimizers.AdamW(0.01, weight_decay=30.0)},
        {"optimizer": SGD(0.05, l2=5.0)},
    ],
    ids=["l2", "l1", "decay", "optimizer"],
)
def test_a_penalty_that_outweighs_the_data(options):
    found = case(**options, epochs=20)
    evidence = penalised(found)
    assert evidence.strength > 0.75
    if "regularizer" in options:
        assert evidence.place == {"layer": "dense"}
    assert gain(found, evidence) > 0.1


def test_an_ordinary_penalty_is_fine():
    assert penalised(case(regularizer=cr.regularizers.L2(1e-3), epochs=3)) is None
    assert penalised(case(cr.optimizers.AdamW(0.01, weight_decay=0.1), epochs=3)) is None


@pytest.mark.parametrize("targets", [Y, LABELS], ids=["numbers", "classes"])
def test_rows_in_order(targets):
    order = np.argsort(targets.reshape(-1), kind="stable")
    found = case(x=X[order], y=targets[order], epochs=2, shuffle=False)
    evidence = in_order(found)
    assert evidence.settled
    assert "shuffle=False" in evidence.sentence
    assert in_order(case(x=X, y=targets, epochs=2, shuffle=False)) is None
    assert in_order(case(x=X[order], y=targets[order], epochs=2)) is None
