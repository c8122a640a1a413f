"""Faults of the targets: each probe on a case made for it, and on one that only looks like it."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.diagnosis.case import Case
from chainrule.diagnosis.engine import confirmed
from chainrule.diagnosis.faults import labels
from chainrule.diagnosis.measurements import baselines
from chainrule.diagnosis.measurements.folds import out_of_fold
from chainrule.diagnosis.measurements.predictability import signal

layers = cr.layers
RNG = np.random.default_rng(8)
X = RNG.normal(size=(400, 3)).astype("float32")
CLASSES = (X[:, 0] + 0.5 * X[:, 1] > 0).astype("int32")
NUMBERS = (X[:, :1] - 0.5 * X[:, 1:2] + np.abs(X[:, 2:])).astype("float32")
COUNT = 300


def case(y, x=X, rate=0.02, epochs=25, head=None, **settings) -> Case:
    """A run on the first rows, validated on the others."""
    classes = y.dtype.kind == "i"
    outputs = layers.Dense(int(y.max()) + 1 if classes else 1, head)
    model = cr.Sequential([layers.Dense(12, "relu"), outputs])
    held_out = x[COUNT:], y[COUNT:]
    model.fit(
        x[:COUNT], y[:COUNT], loss="cross_entropy" if classes else "mse", epochs=epochs, seed=0,
        verbose=0, optimizer=cr.optimizers.Adam(rate), validation_data=held_out, **settings,
    )  # fmt: skip
    return Case(model, x[:COUNT], y[:COUNT], validation=held_out)


# ---- D4


@pytest.mark.parametrize(("factor", "offset"), [(500, 0), (1, 300), (1e-3, 0)])
def test_targets_on_a_bad_scale_are_standardised_and_scaled_back(factor, offset):
    y = (NUMBERS * factor + offset).astype("float32")
    bad = case(y)
    found = labels.scale(bad)
    assert found is not None
    assert not found.settled
    changed = found.remedies[0].apply(bad.short)
    assert np.array_equal(changed.y, bad.y)  # the targets themselves are not touched
    twin = bad.twin(changed, "standardised")
    assert confirmed(bad, twin)
    assert twin.skill > 0.9
    assert twin.training_skill > 0.9
    assert np.square(twin.trained.model.predict(X) - y).mean() < 0.1 * y.var()


def test_targets_near_the_first_outputs_and_bounded_heads_are_in_order():
    assert labels.scale(case(NUMBERS, epochs=1)) is None
    assert labels.scale(case(CLASSES, epochs=1)) is None
    assert labels.scale(case(NUMBERS * 2 + 1, epochs=1)) is None
    # Here the head is at fault.
    assert labels.scale(case(NUMBERS * 500, epochs=1, head="sigmoid")) is None


# ---- D5


def flipped(share: float) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    y = CLASSES.copy()
    wrong = np.sort(random.permutation(len(y))[: int(share * len(y))])
    y[wrong] = 1 - y[wrong]
    return y, wrong


def test_flipped_labels_are_estimated_and_listed():
    y, planted = flipped(0.2)
    bad = case(y, epochs=12)
    found = labels.wrong(bad)
    assert found is not None
    assert found.settled
    listed = found.place["rows"]
    assert len(listed) == labels.LISTED
    assert np.isin(listed, planted).mean() >= 0.9
    left = found.remedies[0].apply(bad.recipe)
    assert 210 <= len(left.y) <= 270
    kept = {row.tobytes(): value for row, value in zip(bad.x, bad.y, strict=True)}
    assert all(kept[row.tobytes()] == value for row, value in zip(left.x, left.y, strict=True))


def test_swapped_quantities_are_found():
    random = np.random.default_rng(3)
    y = NUMBERS.copy()
    wrong = random.permutation(len(y))[:60]
    y[wrong] = random.permutation(y[wrong])
    found = labels.wrong(case(y, epochs=40))
    assert found is not None
    assert np.isin(found.place["rows"], wrong).mean() >= 0.8


@pytest.mark.parametrize("kind", ["clean", "overlap", "noisy numbers", "not trained", "no signal"])
def test_what_only_looks_like_wrong_labels(kind):
    random = np.random.default_rng(3)
    rate = 0.02
    y = CLASSES
    if kind == "overlap":  # many errors, but near the border only
        y = (X[:, 0] + 0.5 * X[:, 1] + random.normal(0, 0.7, len(X)) > 0).astype("int32")
    elif kind == "noisy numbers":
        y = (NUMBERS + random.normal(0, 0.8, NUMBERS.shape)).astype("float32")
    elif kind == "not trained":
        rate = 1e-6
    elif kind == "no signal":
        y = random.permutation(CLASSES)
    assert labels.wrong(case(y, rate=rate, epochs=12)) is None


# ---- D6


@pytest.mark.parametrize("shift", [1, -2])
@pytest.mark.parametrize("y", [CLASSES, NUMBERS], ids=["classes", "numbers"])
def test_targets_that_belong_to_other_rows(y, shift):
    bad = case(np.roll(y, shift, axis=0), epochs=5)
    found = labels.not_aligned(bad)
    assert found is not None
    assert found.place == {"shift": -shift}
    right = found.remedies[0].apply(bad.recipe)
    # Each row has its own target again.
    place = {row.tobytes(): index for index, row in enumerate(X)}
    rows = [place[row.tobytes()] for row in right.x]
    assert np.array_equal(right.y, y[rows])
    rows = [place[row.tobytes()] for row in right.validation[0]]
    assert np.array_equal(right.validation[1], y[rows])


def test_training_rows_that_were_shuffled_alone():
    random = np.random.default_rng(3)
    x = X.copy()
    x[:COUNT] = random.permutation(x[:COUNT])
    found = labels.not_aligned(case(CLASSES, x, epochs=5))
    assert found is not None
    assert "shuffled" in found.sentence
    assert found.remedies[0].automatic == "N"


def test_targets_that_nobody_can_predict_and_rows_in_order():
    random = np.random.default_rng(3)
    hopeless = case(random.permutation(CLASSES), epochs=5)
    assert labels.not_aligned(hopeless) is None
    assert not signal(hopeless)
    report = cr.diagnose(
        hopeless.model, hopeless.x, hopeless.y, validation_data=hopeless.validation
    )
    assert report.verdict == "no signal"
    assert "no signal found" in str(report)
    untrained = case(CLASSES, rate=1e-6, epochs=2)
    assert labels.not_aligned(untrained) is None
    assert signal(untrained)
    slow = np.cumsum(random.normal(size=(400, 1)), axis=0).astype("float32")  # rows like neighbours
    x = np.concatenate([slow, X[:, 1:]], 1)
    assert labels.not_aligned(case(slow, x, rate=1e-6, epochs=1)) is None


# ---- D9


def rare_rows(count: int, distance: float) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    y = np.zeros(400, "int32")
    y[:: 400 // count] = 1
    x = random.normal(size=(400, 3)).astype("float32")
    x[y == 1, 0] += distance
    return x, y


def test_a_rare_class_that_is_not_recognised():
    x, y = rare_rows(16, 1.8)
    found = labels.imbalance(case(y, x))
    assert found is not None
    assert found.place == {"group": "class 1"}
    assert found.remedies[0].automatic == "B"


def test_rare_classes_that_are_learnt_and_runs_that_learn_nothing():
    x, y = rare_rows(20, 7.0)
    assert labels.imbalance(case(y, x, epochs=40)) is None
    assert labels.imbalance(case(CLASSES)) is None
    weighted = case(y, x, rate=1e-5, epochs=1, class_weight="balanced")
    assert labels.imbalance(weighted) is None


# ---- what they share


def test_ridge_regression_is_the_solution_of_the_normal_equations():
    random = np.random.default_rng(3)
    phi, y, new = (
        random.normal(size=(50, 6)),
        random.normal(size=(50, 2)),
        random.normal(size=(7, 6)),
    )
    centre, spread = phi.mean(0), phi.std(0)
    scaled = (phi - centre) / spread
    for found, penalty in zip(baselines.ridge(phi, y, new), baselines.PENALTIES, strict=True):
        # The same as least squares with rows added for the penalty.
        tall = np.concatenate([scaled, np.sqrt(penalty * 50) * np.eye(6)])
        wide = np.concatenate([y - y.mean(0), np.zeros((6, 2))])
        weights = np.linalg.lstsq(tall, wide, rcond=None)[0]
        assert np.allclose(found, (new - centre) / spread @ weights + y.mean(0))


def test_out_of_fold_models_never_saw_their_rows():
    y, planted = flipped(0.2)
    bad = case(y, epochs=60)
    outputs = out_of_fold(bad)
    assert outputs is not None
    inside = planted[planted < COUNT]
    agrees = (bad.task.probabilities(outputs).argmax(1) == y[:COUNT])[inside].mean()
    assert agrees < 0.4  # a model that had seen the wrong labels would repeat many
    assert out_of_fold(bad) is outputs


def test_tokens_are_counted():
    x = np.array([[300, 300, 7], [7, 0, 0]], "int32")
    counts = baselines.flat(x)
    assert counts[0, 300] == 2
    assert counts[1, 0] == 2
    assert counts.sum() == 6
