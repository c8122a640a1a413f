"""Targets: which task, classes and back, several labels, numbers; stored and read again."""

import json
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as numpy_strategies

from chainrule.data import (
    ClassEncoder,
    MultiLabelEncoder,
    RegressionScaler,
    as_table,
    infer_task,
    read_table,
)
from chainrule.data import targets as targets_module
from chainrule.errors import DataError, FileFormatError, ShapeError


@pytest.mark.parametrize(
    ("values", "task", "words"),
    [
        (["a", "b", "a"], "classification", "text"),
        ([True, False], "classification", "true and false"),
        ([0, 1, 1, 0], "classification", "2 different whole numbers"),
        ([0.0, 1.0, 1.0], "classification", "2 different whole numbers"),
        (list(range(10)) * 6, "classification", "10 different"),
        (list(range(10)) * 2, "regression", "too many to be classes"),
        (list(range(25)) * 9, "regression", "25 different"),
        ([1.5, 2.0], "regression", "with a fraction"),
        ([1.0, None, 2.0], "classification", "in 2 rows"),
        ([[0, 1], [1, 1]], "classification", "several columns of 0 and 1"),
        ([[0.5, 1], [1, 1]], "regression", "several columns of numbers"),
        ([[1], [2], [2]], "classification", "2 different"),
    ],
)
def test_task(values: Any, task: str, words: str) -> None:
    decision = infer_task(values)
    assert decision.task == task
    assert words in decision.reason
    assert decision.multilabel == ("0 and 1" in words)


@pytest.mark.parametrize(
    ("name", "task"),
    [("digits", "classification"), ("breast_cancer", "classification"), ("diabetes", "regression")],
)
def test_task_of_real_targets(name: str, task: str) -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    assert infer_task(getattr(datasets, f"load_{name}")().target).task == task


@pytest.mark.parametrize(
    "labels",
    [
        ["b", "a", "b", "ä"],
        [3, 1, 3],
        np.array([3, 1, 3], np.uint8),
        np.array([2.0, -1.0, 2.0], np.float32),
        [True, False, True],
        np.array(["x", "y", "x"]),
        np.array([5, "x", 5], dtype=object),
    ],
)
def test_classes_come_back_with_their_type(labels: Any) -> None:
    encoder = ClassEncoder().fit(labels)
    codes = encoder.encode(labels)
    assert codes.dtype == np.int32
    stored = json.loads(json.dumps(encoder.to_config()))
    again = ClassEncoder.from_config(stored)
    for each in (encoder, again):
        decoded = each.decode(codes)
        wanted = [str(label) for label in labels] if decoded.dtype.kind == "U" else list(labels)
        assert decoded.tolist() == wanted
    assert again.classes.dtype.kind == encoder.classes.dtype.kind
    assert (
        encoder.classes.dtype == getattr(np.asarray(labels), "dtype", None)
        or isinstance(labels, list)
        or encoder.classes.dtype.kind == "U"
    )
    assert encoder.counts.sum() == len(labels)
    assert encoder.n_classes == len(set(decoded.tolist()))


def test_classes_of_series_and_columns() -> None:
    pandas = pytest.importorskip("pandas")
    polars = pytest.importorskip("polars")
    for series in (
        pandas.Series(["b", "a"]),
        pandas.Series(["b", "a"], dtype="category"),
        polars.Series(["b", "a"]),
        as_table({"y": ["b", "a"]})["y"],
        pandas.DataFrame({"y": ["b", "a"]}),
        np.array([["b"], ["a"]]),
    ):
        encoder = ClassEncoder().fit(series)
        assert encoder.class_names == ["a", "b"]
        assert encoder.encode(series).tolist() == [1, 0]


def test_whole_numbers_and_floats_are_the_same_classes() -> None:
    encoder = ClassEncoder().fit([1, 2, 2])
    assert encoder.encode([2.0, 1.0]).tolist() == [1, 0]
    assert encoder.encode(["2", "1"]).tolist() == [1, 0]
    assert ClassEncoder().fit(["1", "2"]).encode([1, 2]).tolist() == [0, 1]


def test_too_many_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets_module, "MAX_CLASSES", 3)
    with pytest.raises(DataError, match="too many classes: got 4, expected at most 3"):
        ClassEncoder().fit([1, 2, 3, 4])


def test_one_class_where_it_is_allowed() -> None:
    encoder = ClassEncoder().fit(["a", "a"], allow_one_class=True)
    assert encoder.n_classes == 1
    assert ClassEncoder.from_config(encoder.to_config()).class_names == ["a"]


def test_missing_labels_of_a_file_are_named(tmp_path: Any) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x,y\n1,a\n2,\n3,b\n")
    with pytest.raises(
        DataError, match=r"\[y\] the target is missing .* in 1 of 3 rows: got data row 2"
    ):
        ClassEncoder().fit(read_table(path)["y"], "y")


def test_several_labels() -> None:
    encoder = MultiLabelEncoder().fit(np.array([[True, False], [True, True]]), names=["a", "b"])
    assert encoder.encode([[1, 0]]).dtype == np.float32
    assert encoder.decode(np.array([[0.0, 1.0]])).tolist() == [[0, 1]]
    assert MultiLabelEncoder.from_config(json.loads(json.dumps(encoder.to_config()))).names == [
        "a",
        "b",
    ]
    with pytest.raises(ShapeError, match="wrong number of labels"):
        encoder.encode([[1, 0, 1]])
    table = as_table({"x": [1, 2], "a": [0, 1], "b": [1, 1]})
    _, targets = table.split_target(["a", "b"])
    assert MultiLabelEncoder().fit(targets).names == ["a", "b"]


targets = numpy_strategies.arrays(
    np.float64,
    st.tuples(st.integers(1, 20), st.integers(1, 3)),
    elements=st.floats(-1e12, 1e12, allow_nan=False),
)


@settings(max_examples=100)
@given(y=targets, one_axis=st.booleans())
def test_scaled_targets_come_back(y: np.ndarray[Any, Any], one_axis: bool) -> None:
    if one_axis:
        y = y[:, 0]
    scaler = RegressionScaler().fit(y)
    scaled = scaler.transform(y)
    assert scaled.shape == y.shape
    assert scaled.dtype == np.float32
    assert np.isfinite(scaled).all()
    back = scaler.inverse(scaled)
    assert back.shape == y.shape
    tolerance = 1e-6 * np.max(scaler.scale) * (1 + np.abs(scaled).max()) + 1e-12 * np.abs(y).max()
    assert np.abs(back - y).max() <= tolerance
    stored = RegressionScaler.from_config(json.loads(json.dumps(scaler.to_config())))
    np.testing.assert_array_equal(stored.inverse(scaled), back)
    predictions = scaled.reshape(len(y), -1)
    assert scaler.inverse(predictions).shape == y.shape


def test_scaled_targets_agree_with_scikit_learn() -> None:
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    y = np.random.default_rng(0).normal(5, 3, size=(200, 2))
    wanted = preprocessing.StandardScaler().fit_transform(y)
    np.testing.assert_allclose(RegressionScaler().fit(y).transform(y), wanted, rtol=1e-5, atol=1e-6)


def test_weighted_targets_are_repeated_targets() -> None:
    y, weights = np.array([1.0, 5.0, 9.0]), np.array([2, 0, 1])
    one = RegressionScaler().fit(y, sample_weight=weights)
    other = RegressionScaler().fit(np.repeat(y, weights))
    np.testing.assert_allclose([*one.mean, *one.scale], [*other.mean, *other.scale], rtol=1e-14)


def test_constant_huge_and_plain_targets() -> None:
    assert RegressionScaler().fit([3, 3, 3]).transform([3, 3]).tolist() == [0.0, 0.0]
    assert RegressionScaler().fit([1e300, -1e300]).transform([1e300]).tolist() == [1.0]
    plain = RegressionScaler(standardize=False).fit([1.0, 5.0])
    assert plain.transform([5.0]).tolist() == [5.0]
    with pytest.raises(ShapeError, match="wrong number of outputs"):
        plain.inverse([[1.0, 2.0]])
    with pytest.raises(ShapeError, match="wrong number of outputs"):
        RegressionScaler().fit([[1.0, 2.0], [2.0, 1.0]]).transform([1.0, 2.0])


CLASSES = ClassEncoder().fit(["a", "b"]).to_config()
SCALES = RegressionScaler().fit([1.0, 3.0]).to_config()


@pytest.mark.parametrize(
    "change",
    [
        {"dtype": "object"},
        {"dtype": ["str"]},
        {"dtype": "int64"},
        {"classes": []},
        {"classes": ["b", "a"]},
        {"classes": ["a", "a"]},
        {"classes": ["a", 1]},
        {"classes": "ab"},
        {"classes": ["a", "b" * 10_000]},
        {"counts": [1]},
        {"counts": [1, -1]},
        {"counts": [1, "2"]},
        {"counts": [1, 10**400]},
        {"counts": [True, 1]},
        {"extra": 1},
        {"dtype": "int8", "classes": [1, 1000]},
        {"dtype": "bool", "classes": [0, 1]},
        {"dtype": "float64", "classes": [float("nan"), 1.0]},
    ],
)
def test_damaged_classes(change: dict[str, Any]) -> None:
    with pytest.raises(FileFormatError, match="damaged"):
        ClassEncoder.from_config({**CLASSES, **change})


@pytest.mark.parametrize(
    "change",
    [
        {"mean": []},
        {"mean": [float("nan")]},
        {"mean": [float("inf")]},
        {"mean": [None]},
        {"mean": 1.0},
        {"scale": [0.0]},
        {"scale": [-1.0]},
        {"scale": [1.0, 1.0]},
        {"one_axis": 1},
        {"standardize": "yes"},
        {"mean": [1.0, 2.0], "scale": [1.0, 1.0]},
    ],
)
def test_damaged_scales(change: dict[str, Any]) -> None:
    with pytest.raises(FileFormatError, match="damaged"):
        RegressionScaler.from_config({**SCALES, **change})


@pytest.mark.parametrize(
    "config", [None, [], "x", {}, {"names": []}, {"names": ["a", "a"]}, {"names": [1]}]
)
def test_damaged_labels(config: Any) -> None:
    with pytest.raises(FileFormatError, match="damaged"):
        MultiLabelEncoder.from_config(config)
