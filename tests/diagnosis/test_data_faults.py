"""Faults of the inputs: each probe on a case made for it, and on one that only looks like it."""

from contextlib import suppress

import numpy as np
import pytest

import chainrule as cr
from chainrule.diagnosis.case import Case
from chainrule.diagnosis.engine import confirmed
from chainrule.diagnosis.faults import data, groups, splits
from chainrule.errors import DataError

layers = cr.layers
RNG = np.random.default_rng(5)
X = RNG.normal(size=(320, 4)).astype("float32")
LOGITS = X[:, 0] + X[:, 1] * X[:, 2]
CLASSES = (LOGITS > 0).astype("int32") + (LOGITS > 1)
NUMBERS = (X[:, :1] - 0.5 * X[:, 1:2] + np.abs(X[:, 2:3])).astype("float32")
TRAIN, HELD_OUT = slice(0, 220), slice(220, None)


def case(x, y, held_out=None, columns=None, epochs=20, model=None) -> Case:
    """A run on the first rows, validated on the others."""
    classes = y.dtype.kind == "i"
    head = 3 if classes else 1
    model = model or cr.Sequential([layers.Dense(12, "relu"), layers.Dense(head)])
    if held_out is None:
        x, y, held_out = x[TRAIN], y[TRAIN], (x[HELD_OUT], y[HELD_OUT])
    with suppress(DataError):
        model.fit(
            x, y, loss="cross_entropy" if classes else "mse", epochs=epochs, seed=0, verbose=0,
            optimizer=cr.optimizers.Adam(0.02), validation_data=held_out,
        )  # fmt: skip
    return Case(model, x, y, validation=held_out, columns=columns)


# ---- D1


def test_cells_that_are_not_finite_are_counted_and_named():
    x = X.copy()
    x[[4, 19, 50], 2] = np.nan
    x[7, 0] = np.inf
    found = data.not_finite(case(x, CLASSES, columns=["a", "b", "age", "d"]))
    assert found is not None
    assert found.settled
    assert found.strength == 1
    assert found.place == {"rows": [4, 7, 19, 50], "column": "'age'"}
    assert "'age', 'a'" in found.sentence
    assert "4 values" in found.sentence


def test_rows_without_a_target_and_in_the_validation_part():
    y = NUMBERS.copy()
    y[[3, 9]] = np.nan
    found = data.not_finite(case(X, y))
    assert found is not None
    assert found.place == {"rows": [3, 9]}
    x = X.copy()
    x[300, 1] = np.nan
    found = data.not_finite(case(x, NUMBERS))
    assert found is not None
    assert "validation rows" in found.sentence
    assert found.place["rows"] == [80]


def test_rows_are_numbered_as_they_were_given():
    x = X.copy()
    x[200, 1] = np.nan
    model = cr.Sequential([layers.Dense(3)])
    with pytest.raises(DataError):
        model.fit(x, CLASSES, loss="cross_entropy")
    found = data.not_finite(Case(model, x, CLASSES))
    assert found is not None
    assert found.place["rows"] == [200]


def test_medians_in_place_of_missing_cells_make_the_run_possible():
    x, y = X.copy(), NUMBERS.copy()
    x[[4, 19, 50], 2] = np.nan
    x[300, 2] = np.inf
    y[8] = np.nan
    broken = case(x, y)
    changed = data.not_finite(broken).remedies[0].apply(broken.recipe)
    assert changed.x[4, 2] == np.float32(np.nanmedian(x[TRAIN, 2]))
    assert changed.x.dtype == np.float32
    assert len(changed.y) == 219
    assert np.isfinite(changed.validation[0]).all()
    assert changed.train().error is None


def test_finite_data_are_in_order():
    assert data.not_finite(case(X, CLASSES, epochs=1)) is None
    assert data.not_finite(case(X * np.float32(1e3), CLASSES, epochs=1)) is None


# ---- D2


def with_placeholder(value: float) -> np.ndarray:
    x = X.copy()
    x[::8, 0] = value
    return x


def test_a_placeholder_is_found_and_filled_in_inside_the_model():
    bad = case(with_placeholder(-9999), NUMBERS)
    found = data.placeholders(bad)
    assert found is not None
    assert found.settled
    assert found.place == {"column": "0"}
    assert "-9999 in 13%" in found.sentence
    twin = bad.twin(found.remedies[0].apply(bad.short), "imputed")
    assert twin.gain > 0.1
    assert confirmed(bad, twin)
    # The model takes raw rows.
    assert isinstance(twin.trained.model.layers[0], layers.Imputation)


def test_other_far_values_need_a_twin_and_two_placeholders_are_two_layers():
    x = with_placeholder(57.0)
    x[::9, 3] = -999
    bad = case(x, NUMBERS, epochs=2)
    found = data.placeholders(bad)
    assert found is not None
    assert "1 more column" in found.sentence
    model = found.remedies[0].apply(bad.recipe).make()
    assert {layer.missing for layer in model.layers[:2]} == {57.0, -999.0}
    lonely = data.placeholders(case(with_placeholder(57.0), NUMBERS, epochs=1))
    assert lonely is not None
    assert not lonely.settled


@pytest.mark.parametrize("kind", ["real zeros", "one outlier", "one-hot", "clipped"])
def test_ordinary_repeated_values_are_no_placeholders(kind):
    x = X.copy()
    if kind == "real zeros":
        x[:, 0] = np.maximum(x[:, 0], 0)
    elif kind == "one outlier":
        x[5, 0] = 500
    elif kind == "one-hot":
        x[:, 0] = x[:, 0] > 1.5
    else:
        x[:, 0] = x[:, 0].clip(-1, 1)
    assert data.placeholders(case(x, NUMBERS, epochs=1)) is None


# ---- D3


@pytest.mark.parametrize(
    ("change", "word", "column"),
    [
        (lambda x: x * np.float32([1, 3000, 1, 1]), "as wide as the others", "1"),
        (lambda x: x * np.float32(300), "are large", None),
        (lambda x: x * np.float32(1e-3), "are tiny", None),
        (lambda x: x + np.float32([0, 0, 200, 0]), "far from 0", "2"),
    ],
)
def test_inputs_on_a_bad_scale_are_found_and_standardised(change, word, column):
    bad = case(change(X), NUMBERS)
    found = data.scales(bad)
    assert found is not None
    assert word in found.sentence
    assert not found.settled
    assert found.place.get("column") == column
    twin = bad.twin(found.remedies[0].apply(bad.short), "standardised")
    assert confirmed(bad, twin)
    assert twin.skill > 0.9


def test_pixels_standardised_rows_and_scaling_models_are_in_order():
    random = np.random.default_rng(3)
    pixels = random.random((320, 4)).astype("float32")
    assert data.scales(case(pixels, CLASSES, epochs=1)) is None
    assert data.scales(case(X * np.float32([3, 1, 0.5, 1]), CLASSES, epochs=1)) is None
    one_hot = np.concatenate([X[:, :3], X[:, 3:] > 2.2], 1).astype("float32")
    assert data.scales(case(one_hot, CLASSES, epochs=1)) is None
    inside = cr.Sequential([layers.BatchNormalization(), layers.Dense(3)])
    assert data.scales(case(X * np.float32(300), CLASSES, epochs=1, model=inside)) is None


# ---- D7


def test_validation_rows_among_the_training_rows():
    x, y = X[TRAIN].copy(), CLASSES[TRAIN].copy()
    x[:40], y[:40] = X[220:260], CLASSES[220:260]
    bad = case(x, y, (X[HELD_OUT], CLASSES[HELD_OUT]), epochs=60)
    found = splits.leaks(bad)
    assert found is not None
    assert "40% of the validation rows (40 of 100)" in found.sentence
    assert found.place["rows"] == list(range(20))
    left = found.remedies[0].apply(bad.recipe)
    assert len(left.y) == 180
    assert splits.leaks(case(left.x, left.y, left.validation)) is None


def test_rows_of_few_values_are_alike_by_chance():
    random = np.random.default_rng(3)
    x = random.integers(0, 3, (320, 3)).astype("float32")
    assert splits.leaks(case(x, CLASSES, epochs=1)) is None


@pytest.mark.parametrize("y", [CLASSES, NUMBERS], ids=["classes", "numbers"])
def test_a_column_that_holds_the_target(y):
    random = np.random.default_rng(3)
    column = y.reshape(-1, 1) + random.normal(0, 0.05, (320, 1))
    x = np.concatenate([X, column], 1).astype("float32")
    bad = case(x, y, columns=["a", "b", "c", "d", "result"], epochs=3)
    found = splits.leaks(bad)
    assert found is not None
    assert found.settled
    assert found.place == {"column": "'result'"}
    model = found.remedies[0].apply(bad.recipe).train().model
    other = x.copy()
    other[:, 4] = 7
    assert np.array_equal(model.predict(x), model.predict(other))


def test_a_good_column_is_no_leak():
    apart = (X[:, 0] > 0).astype("int32")  # the class follows from the column, not the column
    assert splits.leaks(case(X, apart, epochs=1)) is None
    y = (X[:, :1] + 0.5 * X[:, 1:2]).astype("float32")
    assert splits.leaks(case(X, y, epochs=1)) is None


# ---- D8


def test_a_class_that_training_never_saw():
    order = np.argsort(CLASSES, kind="stable")
    count = int((CLASSES < 2).sum())
    x, y = X[order], CLASSES[order]
    bad = case(x[:count], y[:count], (x[count:], y[count:]))
    found = splits.differ(bad)
    assert found is not None
    assert "Class 2 of the validation rows never occurs" in found.sentence
    anew = found.remedies[0].apply(bad.recipe)
    assert len(anew.y) == count
    assert set(anew.y) == set(anew.validation[1]) == {0, 1, 2}
    assert bad.twin(anew, "anew").skill > 0.5


def test_targets_in_order_of_the_file():
    order = np.argsort(NUMBERS[:, 0])
    x, y = X[order], NUMBERS[order]
    found = splits.differ(case(x, y))
    assert found is not None
    assert "lie elsewhere" in found.sentence


def test_only_the_training_rows_were_scaled():
    bad = case(X[TRAIN], NUMBERS[TRAIN], (X[HELD_OUT] * 9 + 4, NUMBERS[HELD_OUT]))
    found = splits.differ(bad)
    assert found is not None
    assert "one of them was scaled" in found.sentence
    twin = bad.twin(found.remedies[0].apply(bad.short), "alike")
    assert twin.skill > 0.8 > bad.control_skill
    # The model is for rows as the validation rows are.
    reached = twin.trained.model.predict((X[:50] * 9 + 4).astype("float32"))
    assert np.square(reached - NUMBERS[:50]).mean() < 0.2 * NUMBERS.var()


def test_a_random_split_and_a_slow_drift_that_does_no_harm():
    assert splits.differ(case(X, CLASSES)) is None
    drifting = X.copy()
    drifting[:, 3] += np.linspace(0, 4, 320)  # a column that tells nothing
    y = (X[:, :1] - X[:, 1:2]).astype("float32")
    model = cr.Sequential([layers.Dense(1)])
    assert splits.differ(case(drifting, y, epochs=80, model=model)) is None


# ---- D10


def grouped(noise: float) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    site = (random.random((600, 1)) < 0.3).astype("float32")
    x = random.normal(size=(600, 3)).astype("float32")
    y = (x[:, 0] + x[:, 1] > 0).astype("int32")
    x[site[:, 0] == 1] += random.normal(size=(int(site.sum()), 3)) * noise
    return np.concatenate([x, site], 1).astype("float32"), y


def grouped_case(noise: float) -> Case:
    x, y = grouped(noise)
    return case(x[:300], y[:300], (x[300:], y[300:]), columns=["a", "b", "c", "site"])


def test_a_group_that_is_served_badly():
    found = groups.badly_served(grouped_case(2.0))
    assert found is not None
    assert found.place == {"column": "'site'", "group": "'site' = 1"}
    assert found.settled
    assert found.gain > 0.1


def test_groups_served_alike_and_their_table():
    fair = grouped_case(0.0)
    assert groups.badly_served(fair) is None
    table = groups.groups(fair)
    names = {group.name: group for group in table}
    assert set(names) == {"'site' = 0", "'site' = 1", "class 0", "class 1"}
    assert all(group.low <= group.error <= group.high for group in table)


def test_wilsons_interval_is_that_of_the_books():
    # Newcombe 1998, table I: 81 of 263, 95 %.
    hits = np.r_[np.ones(81), np.zeros(182)]
    assert np.allclose(groups.wilson(hits, 1.959964), (0.2553, 0.3662), atol=5e-5)
