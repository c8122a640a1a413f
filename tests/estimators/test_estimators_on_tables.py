"""Estimators on what people have: frames with text and missing cells, files, sparse matrices."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule.data import read_table
from chainrule.errors import DataError, DTypeError, ShapeError
from chainrule.estimators import NetworkClassifier, NetworkRegressor, NotFittedError

PENGUINS = Path(__file__).parents[2] / "examples" / "penguins.csv"


def mixed_columns(rows: int = 120) -> tuple[dict[str, list[Any]], list[str], np.ndarray]:
    """Numbers, text, booleans and missing cells; classes and numbers that follow from them."""
    rng = np.random.default_rng(0)
    size = rng.normal(50, 20, rows)
    colour = rng.choice(["red", "green", "blue"], rows)
    sweet = rng.random(rows) < 0.5
    kinds = np.where(colour == "red", "cherry", np.where(sweet, "melon", "lime"))
    price = size * 3 + 40 * sweet + 1000
    columns = {
        "size": [None if i % 17 == 0 else float(value) for i, value in enumerate(size)],
        "colour": [None if i % 29 == 3 else str(value) for i, value in enumerate(colour)],
        "sweet": [bool(value) for value in sweet],
    }
    return columns, kinds.tolist(), price


def as_frame(columns: dict[str, list[Any]], library: str) -> Any:
    module = pytest.importorskip(library)
    return (
        columns
        if library == "builtins"
        else (module.table(columns) if library == "pyarrow" else module.DataFrame(columns))
    )


LIBRARIES = ("pandas", "polars", "pyarrow", "builtins")


@pytest.mark.parametrize("library", LIBRARIES)
def test_classifier_on_frames_with_mixed_columns(library: str) -> None:
    columns, kinds, _ = mixed_columns()
    frame = as_frame(columns, library)
    classifier = NetworkClassifier(epochs=60, random_state=0).fit(frame, kinds)
    assert classifier.classes_.tolist() == ["cherry", "lime", "melon"]
    assert classifier.feature_names_in_.tolist() == ["size", "colour", "sweet"]
    assert classifier.score(frame, kinds) > 0.9
    shares = classifier.predict_proba(frame)
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-12)


def test_frames_of_all_libraries_give_the_same_network() -> None:
    columns, kinds, _ = mixed_columns()
    answers = [
        NetworkClassifier(epochs=3, random_state=1).fit(as_frame(columns, library), kinds)
        for library in LIBRARIES
    ]
    frames = [as_frame(columns, library) for library in LIBRARIES]
    first = answers[0].predict_proba(frames[0])
    for classifier, frame in zip(answers[1:], frames[1:], strict=True):
        np.testing.assert_array_equal(classifier.predict_proba(frame), first)


@pytest.mark.parametrize("library", LIBRARIES)
def test_regressor_on_frames_with_mixed_columns(library: str) -> None:
    columns, _, price = mixed_columns(300)
    frame = as_frame(columns, library)
    regressor = NetworkRegressor(epochs=100, random_state=0).fit(frame, price)
    assert regressor.score(frame, price) > 0.8
    assert regressor.predict(frame).dtype == np.float64
    assert abs(regressor.predict(frame).mean() - price.mean()) < 10


def test_targets_may_be_series_of_any_library() -> None:
    columns, kinds, price = mixed_columns(60)
    for library in ("pandas", "polars"):
        series = pytest.importorskip(library).Series
        classifier = NetworkClassifier(epochs=2, random_state=0).fit(columns, series(kinds))
        assert classifier.classes_.tolist() == ["cherry", "lime", "melon"]
        assert 0 <= classifier.score(columns, series(kinds)) <= 1
        NetworkRegressor(epochs=2).fit(columns, series(price)).score(columns, series(price))


def test_unseen_categories_and_missing_cells_are_fine_when_predicting() -> None:
    columns, kinds, _ = mixed_columns()
    classifier = NetworkClassifier(epochs=3, random_state=0).fit(columns, kinds)
    new = {"size": [None], "colour": ["octarine"], "sweet": [None]}
    assert classifier.predict(new).shape == (1,)


def test_tables_from_files_find_columns_by_name_and_ignore_others() -> None:
    inputs, target = read_table(PENGUINS).split_target("species")
    classifier = NetworkClassifier(epochs=4, random_state=0).fit(inputs, target)
    assert classifier.target_name_ == "species"
    whole = read_table(PENGUINS)
    turned = whole.select(whole.names[::-1])
    np.testing.assert_array_equal(
        classifier.predict_proba(turned), classifier.predict_proba(inputs)
    )
    assert classifier.score(inputs, target) == classifier.score(inputs, target.values)
    with pytest.raises(DataError, match="'sex'"):
        classifier.predict(inputs.drop(["sex"]))


def test_penguins_are_told_apart() -> None:
    inputs, target = read_table(PENGUINS).split_target("species")
    rows = np.arange(len(target))
    train, test = rows[rows % 5 > 0], rows[rows % 5 == 0]
    classifier = NetworkClassifier(random_state=0).fit(inputs.take(train), target.take(train))
    assert classifier.score(inputs.take(test), target.values[test]) >= 0.97
    assert classifier.history_ is not None
    assert classifier.history_.stopped_by == "early_stopping"


def test_sparse_and_dense_give_the_same() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(70, 5)) * (rng.random((70, 5)) < 0.3)
    y = x @ np.arange(5.0)
    dense = NetworkRegressor(epochs=3, random_state=0).fit(x, y)
    for form in (sparse.csr_array, sparse.csc_matrix, sparse.coo_array):
        thin = NetworkRegressor(epochs=3, random_state=0).fit(form(x), y)
        np.testing.assert_allclose(thin.predict(form(x)), dense.predict(x), rtol=1e-5)


def test_many_rows_are_predicted_in_pieces() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20_000, 2))
    regressor = NetworkRegressor(hidden=4, epochs=1, random_state=0).fit(x[:500], x[:500, 0])
    whole = regressor.predict(x)
    np.testing.assert_allclose(whole[9_000:9_010], regressor.predict(x[9_000:9_010]), rtol=1e-4)


def test_several_labels_a_row() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4))
    y = (x[:, :3] > 0).astype(int)
    classifier = NetworkClassifier(epochs=60, random_state=0).fit(x, y)
    assert classifier.predict_proba(x).shape == (300, 3)
    assert classifier.predict(x).dtype.kind == "i"
    assert classifier.score(x, y) > 0.85
    assert classifier.n_outputs_ == 3


def test_several_numbers_a_row() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 3))
    y = np.stack([x[:, 0] * 1000, x[:, 1] - 5], axis=1)
    regressor = NetworkRegressor(epochs=100, random_state=0).fit(x, y)
    assert regressor.predict(x).shape == (300, 2)
    assert regressor.score(x, y) > 0.9
    assert regressor.n_outputs_ == 2


def test_labels_keep_their_type() -> None:
    x = np.linspace(0, 1, 60)[:, None]
    for labels in ([True, False], [-1, 1], [1.0, 2.0], ["a", "b"]):
        y = np.where(x[:, 0] > 0.5, labels[1], labels[0])
        found = NetworkClassifier(epochs=2, random_state=0).fit(x, y).predict(x)
        assert found.dtype == y.dtype
        assert set(found.tolist()) <= set(y.tolist())


BAD_DATA = {
    "text where numbers were": (lambda c: c.predict({"a": ["x"], "b": [1.0]}), DataError, "'a'"),
    "a column is missing": (lambda c: c.predict({"a": [1.0]}), DataError, "b"),
    "an infinite value": (
        lambda c: c.predict({"a": [np.inf], "b": [1.0]}), DataError, "'a'"),
    "other columns": (
        lambda c: c.predict({"a": [1.0], "c": [1.0]}), DataError, "unseen at fit time:\n- c"),
    "other order": (lambda c: c.predict({"b": [1.0], "a": [1.0]}), DataError, "same order"),
    "one axis": (lambda c: c.predict(np.zeros(2)), ShapeError, "Reshape"),
    "three axes": (lambda c: c.predict(np.zeros((1, 2, 1))), ShapeError, "axes"),
    "not a table": (lambda c: c.predict(7), DTypeError, "not a table"),
    "no rows": (lambda c: c.predict(np.zeros((0, 2))), DataError, "no rows"),
}  # fmt: skip


@pytest.fixture(scope="module")
def fitted() -> NetworkClassifier:
    x = {"a": [0.0, 1.0] * 10, "b": [0.0, 0.0, 1.0, 1.0] * 5}
    return NetworkClassifier(epochs=1, random_state=0).fit(x, ["no", "yes"] * 10)


@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data_for_predict(case: str, fitted: NetworkClassifier) -> None:
    call, error, words = BAD_DATA[case]
    with pytest.raises(error, match=r"^\[") as caught:
        call(fitted)
    assert words in str(caught.value)


X = np.arange(40.0).reshape(20, 2)
Y = np.arange(20) % 2
BAD_FITS: dict[str, tuple[Any, Any, Any, str]] = {
    "no targets": (X, None, None, "y is None"),
    "too few targets": (X, Y[:5], None, "20 rows in X, 5 targets"),
    "one class": (X, np.ones(20), None, "one class"),
    "continuous classes": (X, Y + 0.5, None, "continuous"),
    "missing target": (X, np.where(Y, np.nan, 1.0), None, "missing"),
    "one row": (X[:1], [3], None, "class"),
    "constant columns": (np.ones((20, 2)), Y, None, "no column can be used"),
    "complex numbers": (X + 0j, Y, None, "Complex data not supported"),
    "infinite value": (np.where(X == 4, np.inf, X), Y, None, "x0"),
    "weights of a wrong length": (X, Y, np.ones(3), "sample_weight has a wrong shape"),
    "negative weights": (X, Y, -np.ones(20), "-1.0 in row 0"),
    "weights all zero": (X, Y, np.zeros(20), "non-zero"),
    "weights that are text": (X, Y, ["a"] * 20, "sample_weight"),
    "weights that leave one class": (X, Y, Y, "class"),
    "labels beyond 0 and 1": (X, np.stack([Y, Y + 1], axis=1), None, "neither 0 nor 1"),
}


@pytest.mark.parametrize("case", BAD_FITS)
def test_bad_data_for_fit(case: str) -> None:
    x, y, weights, words = BAD_FITS[case]
    with pytest.raises((ValueError, TypeError), match=r"^\[") as caught:
        NetworkClassifier().fit(x, y, sample_weight=weights)
    assert words in str(caught.value)


def test_regressor_refuses_text_and_single_rows() -> None:
    with pytest.raises((ValueError, TypeError), match=r"^\["):
        NetworkRegressor().fit(X, ["a"] * 20)
    with pytest.raises(DataError, match="1 sample"):
        NetworkRegressor().fit(X[:1], [1.0])


def test_failed_fit_keeps_what_was_learnt() -> None:
    fitted = NetworkClassifier(epochs=2, random_state=0).fit(X, Y)
    before = fitted.predict_proba(X)
    with pytest.raises(DataError):
        fitted.fit({"other": [np.inf] * 20}, ["x", "y"] * 10)
    np.testing.assert_array_equal(fitted.predict_proba(X), before)
    assert fitted.classes_.tolist() == [0, 1]


def test_column_names_of_other_types() -> None:
    pandas = pytest.importorskip("pandas")
    with pytest.raises(DTypeError, match="string names"):
        NetworkClassifier().fit(pandas.DataFrame({"a": X[:, 0], 1: X[:, 1]}), Y)
    plain = NetworkClassifier(epochs=1).fit(pandas.DataFrame({0: X[:, 0], 1: X[:, 1]}), Y)
    assert not hasattr(plain, "feature_names_in_")


def test_arrays_after_frames_warn_as_in_scikit_learn() -> None:
    fitted = NetworkClassifier(epochs=1).fit({"a": X[:, 0], "b": X[:, 1]}, Y)
    with pytest.warns(UserWarning, match="valid feature names"):
        fitted.predict(X)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "save"])
def test_unfitted(method: str) -> None:
    with pytest.raises(NotFittedError, match="not fitted"):
        getattr(NetworkClassifier(), method)(X)
