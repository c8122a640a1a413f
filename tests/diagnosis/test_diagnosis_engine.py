"""The engine of diagnosis, on made-up rows of the table: twins, ranking, repair."""

import math

import numpy as np
import pytest

import chainrule as cr
from chainrule.diagnosis import engine
from chainrule.diagnosis.case import Case
from chainrule.diagnosis.engine import examine
from chainrule.diagnosis.finding import Evidence, Fault, Remedy
from chainrule.diagnosis.scores import Task, skill

RNG = np.random.default_rng(0)
X = RNG.normal(size=(240, 4)).astype("float32")
Y = (X[:, :1] * 2 - X[:, 1:2]).astype("float32")


def fitted(rate, epochs=20, **options):
    model = cr.Sequential([cr.layers.Dense(8, activation="relu"), cr.layers.Dense(1)])
    optimizer = cr.optimizers.SGD(rate)
    model.fit(X, Y, loss="mse", optimizer=optimizer, epochs=epochs, seed=0, **options)
    return model


def suspicion(strength=0.9, rate=0.05, settled=False, automatic="A"):
    remedy = Remedy(f"SGD({rate})", automatic, lambda recipe: recipe.with_rate(rate))
    return Evidence(strength, "suspected", (remedy,), settled=settled)


def row(code, evidence, explains=(), cost=0):
    def probe(case):
        if isinstance(evidence, Exception):
            raise evidence
        return evidence

    return Fault(code, f"fault {code}", "rate and batch", "none", probe, explains, cost)


@pytest.fixture
def table(monkeypatch):
    def use(*rows):
        monkeypatch.setattr(engine, "FAULTS", rows)

    return use


def codes(found):
    return [candidate.fault.code for candidate, _ in found.causes]


def test_a_remedy_that_helps_makes_a_cause_and_is_measured(table):
    table(row("A", suspicion()))
    report = cr.diagnose(fitted(1e-6), X, Y)
    assert report.verdict == "causes"
    before, after = report.causes[0].skill
    assert after > 0.9 > 0.5 > before
    assert "probability" in str(report)
    assert report.to_dict()["causes"][0]["code"] == "A"


def test_a_remedy_that_does_not_help_is_a_note(table):
    table(row("A", suspicion()))
    report = cr.diagnose(fitted(0.05), X, Y)
    assert report.verdict == "healthy"
    assert [note.code for note in report.notes] == ["A"]


def test_settled_evidence_needs_no_better_twin(table):
    table(row("A", suspicion(settled=True)))
    report = cr.diagnose(fitted(0.05), X, Y)
    assert [cause.code for cause in report.causes] == ["A"]
    before, after = report.causes[0].skill
    assert abs(after - before) < 0.01


def test_the_remedy_that_brings_more_comes_first(table):
    table(row("A", suspicion(rate=1e-3)), row("B", suspicion(rate=0.05)))
    assert codes(examine(Case(fitted(1e-6), X, Y)))[0] == "B"


def test_a_consequence_of_a_confirmed_cause_is_no_cause(table):
    table(row("A", suspicion(0.95)), row("B", suspicion(0.9), explains=("A",)))
    assert codes(examine(Case(fitted(1e-6), X, Y))) == ["B"]


def test_of_two_that_explain_each_other_the_likelier_is_the_cause(table):
    table(row("A", suspicion(0.8), explains=("B",)), row("B", suspicion(0.9), explains=("A",)))
    assert codes(examine(Case(fitted(1e-6), X, Y))) == ["B"]


def test_a_cause_that_is_not_confirmed_explains_nothing(table):
    healthy = suspicion(0.9, rate=1e-6)
    table(row("A", suspicion(0.95)), row("B", healthy, explains=("A",)))
    assert codes(examine(Case(fitted(1e-6), X, Y))) == ["A"]


def test_a_probe_that_fails_is_named_and_hides_nothing(table):
    table(row("A", ZeroDivisionError("no")), row("B", suspicion()))
    found = examine(Case(fitted(1e-6), X, Y))
    assert codes(found) == ["B"]
    assert found.unchecked == {"A": "ZeroDivisionError: no"}


def test_poor_without_a_cause_is_said(table):
    table()
    model = cr.Sequential([cr.layers.Dense(1)])
    noise = np.random.default_rng(1).normal(size=(240, 1)).astype("float32")
    model.fit(X, noise, loss="mse", epochs=1, seed=0)
    report = cr.diagnose(model, X, noise)
    assert report.verdict in ("unknown", "no signal")
    assert "do not know" in str(report) or "no signal" in str(report)


def test_without_twins_probes_alone_decide(table):
    table(row("A", suspicion(0.8)))
    assert codes(examine(Case(fitted(0.05), X, Y), twins=False)) == ["A"]


def test_costly_probes_can_be_left_out(table):
    table(row("A", suspicion(settled=True), cost=2), row("B", None, cost=1))
    found = examine(Case(fitted(0.05), X, Y), most_cost=1)
    assert not found.causes
    assert list(found.unchecked) == ["A"]


def test_repair_trains_a_new_model_and_leaves_the_old_one(table):
    table(row("A", suspicion()))
    model = fitted(1e-6)
    before = model.predict(X)
    repaired = cr.diagnose(model, X, Y).repair()
    assert repaired.applied == ("A",)
    assert repaired.after > 0.9 > repaired.before
    assert np.array_equal(model.predict(X), before)
    assert "skill on validation rows" in str(repaired)
    error = np.mean((repaired.model.predict(X) - Y) ** 2) / Y.var()
    assert error < 0.1


def test_repair_leaves_out_what_needs_a_yes(table):
    table(row("A", suspicion(automatic="B")))
    report = cr.diagnose(fitted(1e-6), X, Y)
    assert report.repair().applied == ()
    assert report.repair(apply="all").applied == ("A",)
    assert report.repair(apply=["A"]).applied == ("A",)
    with pytest.raises(cr.errors.ArgumentError, match="no cause of this report"):
        report.repair(apply=["Z"])


def test_repair_does_no_harm(table):
    table(row("A", suspicion(rate=1e-9, settled=True)))
    model = fitted(0.05)
    repaired = cr.diagnose(model, X, Y).repair()
    assert repaired.applied == ()
    assert repaired.model is model


def test_the_run_is_repeated_to_the_bit():
    model = fitted(0.05, validation_split=0.25)
    case = Case(model, X, Y)
    again = case.recipe.train()
    assert again.error is None
    assert np.array_equal(again.model.predict(X), model.predict(X))
    assert list(case.curve) == again.history["loss"]
    assert case.validated


def test_the_first_weights_are_those_before_the_run():
    model = cr.Sequential([cr.layers.Dense(3), cr.layers.Dense(1)])
    model(X[:1])
    first = {path: value.numpy() for path, value in model.weights.items()}
    model.fit(X, Y, loss="mse", epochs=3, seed=0)
    again = Case(model, X, Y).first
    for path, value in again.weights.items():
        assert np.array_equal(value.numpy(), first[path])


def test_skill_is_r2_for_numbers_and_brier_skill_for_classes():
    y = RNG.normal(size=(50, 1))
    task = Task.of(y)
    predicted = y + 0.1 * RNG.normal(size=y.shape)
    r2 = 1 - ((predicted - y) ** 2).sum() / ((y - y.mean()) ** 2).sum()
    assert math.isclose(skill(task.errors(predicted, y), task.constant_errors(y)), r2)
    labels = np.repeat([0, 1, 2], [10, 20, 30])
    task = Task.of(labels)
    assert task.kind == "classes"
    assert np.allclose(task.constant, [1 / 6, 1 / 3, 1 / 2])
    right = np.eye(3)[labels]
    assert skill(task.errors(right, labels), task.constant_errors(labels)) == 1
    constant = np.tile(task.constant, (60, 1))
    assert abs(skill(task.errors(constant, labels), task.constant_errors(labels))) < 1e-12


def test_numbers_that_are_not_finite_leave_data_probes_only(table):
    x = X.copy()
    x[3, 1] = np.nan
    model = cr.Sequential([cr.layers.Dense(1)])
    with pytest.raises(cr.errors.DataError):
        model.fit(x, Y, loss="mse")
    table(row("A", suspicion(settled=True)), row("B", None, cost=1))
    report = cr.diagnose(model, x, Y)
    assert [cause.code for cause in report.causes] == ["A"]
    assert list(report.unchecked) == ["B"]


def test_a_budget_below_zero_is_refused():
    with pytest.raises(cr.errors.ArgumentError, match="budget"):
        cr.diagnose(fitted(0.05, epochs=1), X, Y, budget=-1)


@pytest.mark.parametrize(
    ("x", "y", "kind", "words"),
    [
        (X, Y[:20], "DataError", "240 rows in x, 20 in y"),
        (X, None, "DataError", "y is missing"),
        ([["a", "b"]] * 240, Y, "DataError", "no numbers"),
        ([[1, 2], [3]], Y[:2], "DataError", "rows differ in length"),
        (X[:, :2], Y, "ShapeError", "wrong input shape"),
    ],
)
def test_rows_that_cannot_be_those_of_the_fit_are_refused(x, y, kind, words):
    with pytest.raises(getattr(cr.errors, kind), match=words):
        cr.diagnose(fitted(0.05, epochs=1), x, y)


def test_a_model_without_a_fit_is_refused():
    model = cr.Sequential([cr.layers.Dense(1)])
    with pytest.raises(cr.errors.StateError, match="no training"):
        cr.diagnose(model, X, Y)
