"""From tables to numbers: every kind of column, new rows, weights, against scikit-learn, stored."""

import json
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as numpy_strategies

from chainrule.data import Table, TablePreprocessor, as_table, read_table, split_indices
from chainrule.data import preprocessing as preprocessing_module
from chainrule.errors import DataError, FileFormatError, StateError


def stored(prepared: TablePreprocessor) -> TablePreprocessor:
    config, arrays = prepared.to_config()
    return TablePreprocessor.from_config(json.loads(json.dumps(config)), arrays)


def usable(prepared: TablePreprocessor, data: Any) -> bool:
    """Fit; return False where the only error that may come says that no column can be used."""
    try:
        prepared.fit(data)
    except DataError as error:
        if "no column can be used" not in str(error):
            raise
        return False
    return True


def reasons(prepared: TablePreprocessor) -> dict[str, str]:
    return {item.column: item.reason for item in prepared.report().dropped}


def ways(prepared: TablePreprocessor) -> dict[str, str]:
    return {item.column: item.how for item in prepared.report().used}


def mixed(n: int = 60) -> dict[str, Any]:
    random = np.random.default_rng(5)
    size = random.normal(10, 2, n)
    size[::9] = np.nan
    city = random.choice(["Lyon", "Lima", "Oslo"], n).astype(object)
    city[3::11] = None
    return {
        "id": np.arange(100, 100 + n),
        "name": [f"person {k}" for k in range(n)],
        "size": size,
        "whole": random.integers(0, 9, n),
        "flag": random.random(n) < 0.5,
        "city": city,
        "day": np.array("2020-01-01", "datetime64[D]") + random.integers(0, 99, n),
        "same": np.full(n, 7.5),
        "word": ["x"] * n,
        "empty": [None] * n,
        "once": [None, *([4.0] * (n - 1))],
    }


def test_every_kind_of_column() -> None:
    prepared = TablePreprocessor().fit(mixed())
    assert prepared.feature_names[:6] == [
        "size", "whole", "flag", "day", "size is missing", "once is missing",
    ]  # fmt: skip
    assert sorted(prepared.feature_names[6:9]) == ["city=Lima", "city=Lyon", "city=Oslo"]
    assert prepared.feature_names[9:] == ["city is missing"]
    assert list(reasons(prepared)) == ["id", "name", "same", "word", "empty"]
    assert reasons(prepared) == {
        "id": "like an identifier: by its name, and all its whole numbers differ",
        "name": "like an identifier: all 60 texts differ",
        "same": "constant: always 7.5",
        "word": "constant: always 'x'",
        "empty": "all cells are missing",
    }
    how = ways(prepared)
    assert how["size"].startswith("standardised (mean ")
    assert "7 missing cells filled with the mean" in how["size"]
    assert how["size"].endswith("and marked")
    assert how["flag"] == "0 for false, 1 for true"
    assert how["day"].startswith("days since 1970, standardised")
    assert how["city"] == "one-hot, 3 categories, one for 6 missing cells"
    assert how["once"] == "constant but for 1 missing cell, which are marked"
    features = prepared.transform(mixed())
    assert features.shape == (60, prepared.n_features) == (60, len(prepared.feature_names))
    assert features.dtype == np.float32
    assert features.flags.c_contiguous
    assert json.loads(json.dumps(prepared.report().to_dict()))["dropped"][0]["column"] == "id"
    assert "id: dropped, like an identifier" in str(prepared.report())
    assert prepared.n_inputs == 11
    assert prepared.input_names == list(mixed())


def test_the_same_features_after_storing() -> None:
    for data in (mixed(), np.random.default_rng(0).normal(size=(30, 4)), np.eye(5) > 0):
        prepared = TablePreprocessor().fit(data)
        again = stored(prepared)
        np.testing.assert_array_equal(again.transform(data), prepared.transform(data))
        assert again.feature_names == prepared.feature_names
        assert again.report() == prepared.report()
        assert json.dumps(again.to_config()[0]) == json.dumps(prepared.to_config()[0])


def test_numbers_agree_with_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.preprocessing")
    datasets = pytest.importorskip("sklearn.datasets")
    x = datasets.load_breast_cancer().data
    train, test = split_indices(len(x), 0.3, seed=0)
    wanted = sklearn.StandardScaler().fit(x[train]).transform(x[test])
    got = TablePreprocessor().fit(x[train]).transform(x[test])
    np.testing.assert_allclose(got, np.clip(wanted, -10, 10), rtol=1e-5, atol=1e-6)


def test_missing_cells_agree_with_scikit_learn() -> None:
    impute = pytest.importorskip("sklearn.impute")
    random = np.random.default_rng(1)
    x = random.lognormal(size=(101, 6))
    x[random.random(x.shape) < 0.2] = np.nan
    for way in ("mean", "median"):
        wanted = impute.SimpleImputer(strategy=way, add_indicator=True).fit_transform(x)
        got = TablePreprocessor(impute=way, standardize=False).fit_transform(x)  # type: ignore[arg-type]
        rows = slice(None) if way == "mean" else np.isfinite(x).all(axis=1)
        np.testing.assert_allclose(got[rows], wanted[rows], rtol=1e-6)
    # Of an even number of values the lower middle one is the median, so that weights mean repeats.
    got = TablePreprocessor(impute="median", standardize=False).fit_transform(
        [[1.0], [4.0], [np.nan]]
    )
    assert got[2, 0] == 1.0


def test_categories_agree_with_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.preprocessing")
    random = np.random.default_rng(2)
    city = random.choice(["a", "b", "c", "d"], 200, p=[0.5, 0.3, 0.17, 0.03]).astype(object)
    encoder = sklearn.OneHotEncoder(
        min_frequency=20, handle_unknown="infrequent_if_exist", sparse_output=False
    ).fit(city[:, None])
    prepared = TablePreprocessor(min_category_count=20).fit({"city": city})
    new = np.array(["a", "d", "zzz", "c"], dtype=object)
    wanted = encoder.transform(new[:, None])
    got = prepared.transform({"city": new})
    assert prepared.feature_names == ["city=a", "city=b", "city=c", "city=(other)"]
    np.testing.assert_array_equal(got, wanted)


def test_categories_not_seen_and_missing() -> None:
    data = {"city": ["a", "b"] * 3}
    prepared = TablePreprocessor().fit(data)
    assert prepared.transform({"city": ["c", None, "a"]}).tolist() == [[0, 0], [0, 0], [1, 0]]
    data = {"city": ["a", "b", None] * 3 + ["rare"]}
    prepared = TablePreprocessor().fit(data)
    assert prepared.feature_names == ["city=a", "city=b", "city=(other)", "city is missing"]
    got = prepared.transform({"city": ["c", None, "rare"]})
    assert got.tolist() == [[0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 1, 0]]


def test_the_number_of_categories_is_bounded() -> None:
    words = [f"w{k % 40:02d}" for k in range(400)] + ["w07"] * 5
    prepared = TablePreprocessor(max_categories=3).fit({"word": words})
    assert prepared.feature_names == ["word=w07", "word=w00", "word=w01", "word=(other)"]
    many = {"word": [f"w{k // 2}" for k in range(100)]}
    with pytest.raises(DataError, match="too many categories: 50 in 100 rows"):
        TablePreprocessor().fit(many)
    with pytest.raises(DataError, match="no category is frequent: 4 in 4 rows, each rarer than 2"):
        TablePreprocessor().fit({"word": list("abcd")})


def test_the_order_of_rows_does_not_matter() -> None:
    words = ["b", "a", "c"] * 4
    for order in (words, words[::-1]):
        prepared = TablePreprocessor().fit({"word": order})
        assert prepared.feature_names == ["word=a", "word=b", "word=c"]


def test_numbers_with_commas_are_explained() -> None:
    with pytest.raises(DataError, match="look like numbers with commas"):
        TablePreprocessor().fit({"price": [f"1,{k:03d}" for k in range(30)]})


@pytest.mark.parametrize(
    "name", ["id", "ID", "customer_id", "PassengerId", "userID", "Unnamed: 0", "row"]
)
def test_identifiers_by_name(name: str) -> None:
    data = {name: np.arange(50), "x": np.arange(50.0)}
    assert TablePreprocessor().fit(data).feature_names == ["x"]
    assert TablePreprocessor(drop_identifiers=False).fit(data).n_features == 2
    # Numbers that repeat, or too few rows to tell, are no identifier.
    assert TablePreprocessor().fit({name: np.arange(50) // 2}).n_features == 1
    assert TablePreprocessor().fit({name: np.arange(10)}).n_features == 1


@pytest.mark.parametrize("name", ["idle", "grid", "paid", "width", "arid"])
def test_names_that_only_look_alike_are_kept(name: str) -> None:
    assert TablePreprocessor().fit({name: np.arange(50)}).feature_names == [name]


def test_arrays_keep_columns_that_count_up() -> None:
    assert TablePreprocessor().fit(np.arange(50).reshape(-1, 1)).n_features == 1


def test_far_values_are_cut() -> None:
    x = np.zeros((1000, 1))
    x[::2] = 1.0
    prepared = TablePreprocessor().fit(x)
    assert prepared.transform([[1e300], [-1e300]]).tolist() == [[10.0], [-10.0]]
    loose = TablePreprocessor(robust=False).fit(x)
    assert loose.transform([[1000.0]])[0, 0] == pytest.approx(1999.0)
    assert np.isfinite(loose.transform([[1e300]])).all()
    plain = TablePreprocessor(standardize=False).fit(x)
    assert plain.transform([[50.0]]).tolist() == [[50.0]]


def test_columns_are_found_by_name() -> None:
    prepared = TablePreprocessor().fit(mixed())
    wanted = prepared.transform(mixed())
    turned = dict(reversed(list(mixed().items()))) | {"more": np.arange(60)}
    np.testing.assert_array_equal(prepared.transform(turned), wanted)
    less = {name: values for name, values in mixed().items() if name not in ("id", "empty", "word")}
    np.testing.assert_array_equal(prepared.transform(less), wanted)
    del less["city"]
    with pytest.raises(DataError, match="expected 'city' as well"):
        prepared.transform(less)


def test_arrays_and_frames_can_stand_for_each_other() -> None:
    array = np.random.default_rng(0).normal(size=(20, 3))
    frame = {"a": array[:, 0], "b": array[:, 1], "c": array[:, 2]}
    wanted = TablePreprocessor().fit_transform(array)
    for one in (array, frame, as_table(array, names=["a", "b", "c"])):
        prepared = TablePreprocessor().fit(one)
        for other in (array, frame, array.tolist(), as_table(array, names=["a", "b", "c"])):
            np.testing.assert_array_equal(prepared.transform(other), wanted)
    named = TablePreprocessor().fit(frame)
    swapped = as_table(array[:, ::-1], names=["c", "b", "a"])
    np.testing.assert_array_equal(named.transform(swapped), wanted)


def test_cells_of_another_kind_where_they_can_be_read() -> None:
    frame = {"n": [1.0, 2.0], "t": ["1", "2"], "f": [True, False], "d": np.array([0, 1], "M8[D]")}
    prepared = TablePreprocessor(min_category_count=1).fit(frame)
    wanted = prepared.transform(frame)
    new = {"n": ["1", "2.0"], "t": [1, 2.0], "f": ["True", "false"], "d": frame["d"]}
    np.testing.assert_array_equal(prepared.transform(new), wanted)
    new = {"n": [True, 2], "t": ["1", "2"], "f": [1, 0], "d": frame["d"]}
    np.testing.assert_array_equal(prepared.transform(new), wanted)
    nothing = {name: [None, None] for name in frame}
    assert np.isfinite(prepared.transform(nothing)).all()
    for name, cells in (("f", ["yes", "no"]), ("f", [2, 0]), ("d", ["x", "y"]), ("t", frame["d"])):
        with pytest.raises(
            DataError, match=f"another kind than in training, in column '{name}', row 0"
        ):
            prepared.transform({**frame, name: cells})


def test_weights_stand_for_repeated_rows() -> None:
    data = as_table(mixed())
    weights = np.random.default_rng(3).integers(0, 4, 60)
    one = TablePreprocessor(impute="median").fit(data, sample_weight=weights)
    other = TablePreprocessor(impute="median").fit(data.take(np.repeat(np.arange(60), weights)))
    used = ["size", "whole", "flag", "city", "day"]
    assert [name for name in one.feature_names if name.split("=")[0] in used] == [
        name for name in other.feature_names if name.split("=")[0] in used
    ]
    a, b = one.transform(data), other.transform(data)
    columns = [one.feature_names.index(name) for name in ("size", "whole", "day")]
    others = [other.feature_names.index(name) for name in ("size", "whole", "day")]
    np.testing.assert_allclose(a[:, columns], b[:, others], rtol=1e-5, atol=1e-6)


def test_rows_of_weight_zero_do_not_exist() -> None:
    data = {"x": [1.0, 2.0, None, np.inf], "c": ["a", "b", "c", None]}
    prepared = TablePreprocessor(min_category_count=1).fit(data, sample_weight=[1, 1, 0, 0])
    assert prepared.feature_names == ["x", "c=a", "c=b"]


def test_large_results_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preprocessing_module, "MAX_RESULT_BYTES", 1 << 10)
    x = np.random.default_rng(0).normal(size=(100, 10))
    prepared = TablePreprocessor().fit(x)
    with pytest.raises(DataError, match="too much memory"):
        prepared.transform(x)
    assert prepared.transform(x[:20]).shape == (20, 10)


def test_before_fit() -> None:
    with pytest.raises(StateError, match="call fit first"):
        TablePreprocessor().transform([[1.0]])


def test_the_input_is_not_changed() -> None:
    x = np.array([[1.0, np.nan], [3.0, 4.0], [5.0, 9.0]])
    kept = x.copy()
    TablePreprocessor().fit_transform(x)
    np.testing.assert_array_equal(x, kept)


def test_penguins_end_to_end(request: pytest.FixtureRequest) -> None:
    table = read_table(request.config.rootpath / "examples" / "penguins.csv")
    rest, target = table.split_target("species")
    train, test = split_indices(table.n_rows, 0.25, seed=0, stratify=target.values)
    prepared = TablePreprocessor().fit(rest.take(train))
    features = prepared.transform(rest.take(test))
    assert features.shape == (86, prepared.n_features)
    assert not prepared.report().dropped
    assert sum(name.startswith("island=") for name in prepared.feature_names) == 3


matrices = numpy_strategies.arrays(
    st.sampled_from([np.float64, np.float32, np.int64]),
    st.tuples(st.integers(2, 12), st.integers(1, 4)),
    elements=st.integers(-1000, 1000),
)


@settings(max_examples=100)
@given(
    x=matrices,
    missing=st.floats(0, 0.6),
    seed=st.integers(0, 99),
    way=st.sampled_from(["mean", "median"]),
)
def test_numbers_any(x: Any, missing: float, seed: int, way: Any) -> None:
    """Features are finite, standardised, and depend on no other row than by what was learnt."""
    if x.dtype.kind == "f":
        x = np.where(np.random.default_rng(seed).random(x.shape) < missing, np.nan, x)
    prepared = TablePreprocessor(impute=way)
    if not usable(prepared, x):
        return
    features = prepared.transform(x)
    assert np.isfinite(features).all()
    assert features.shape[1] == len(prepared.feature_names)
    values = features[:, : sum("is missing" not in name for name in prepared.feature_names)]
    if not np.isnan(x).any():
        np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(values.std(axis=0), 1, atol=1e-5)
    for row in range(len(x)):
        np.testing.assert_array_equal(prepared.transform(x[row : row + 1])[0], features[row])
    np.testing.assert_array_equal(stored(prepared).transform(x), features)


@settings(max_examples=100)
@given(
    x=numpy_strategies.arrays(
        np.float64, (4, 2), elements=st.floats(allow_nan=True, allow_infinity=False, width=64)
    )
)
def test_extreme_numbers_stay_finite(x: Any) -> None:
    for options in ({}, {"robust": False}, {"standardize": False}, {"impute": "median"}):
        prepared = TablePreprocessor(**options)  # type: ignore[arg-type]
        assert not usable(prepared, x) or np.isfinite(prepared.transform(x)).all()


cells = st.one_of(st.none(), st.sampled_from(["a", "b", "c"]), st.text(max_size=3))


@settings(max_examples=100)
@given(train=st.lists(cells, min_size=2, max_size=30), new=st.lists(cells, min_size=1, max_size=10))
def test_categories_any(train: list[Any], new: list[Any]) -> None:
    """Every row has at most one 1 among a column's features, a known category its own."""
    prepared = TablePreprocessor(drop_identifiers=False)
    if not usable(prepared, {"c": train}):
        return
    features = prepared.transform(
        {"c": new if any(isinstance(v, str) for v in new) else [*new, "a"]}
    )
    assert set(np.unique(features)) <= {0.0, 1.0}
    assert (features.sum(axis=1) <= 1).all()
    for value, row in zip(new, features):
        if value is not None and f"c={value}" in prepared.feature_names:
            assert row[prepared.feature_names.index(f"c={value}")] == 1
    again = stored(prepared)
    assert again.feature_names == prepared.feature_names


def _good() -> tuple[dict[str, Any], dict[str, Any]]:
    config, arrays = TablePreprocessor().fit(mixed()).to_config()
    return json.loads(json.dumps(config)), dict(arrays)


CHANGES: list[tuple[str, Any]] = [
    ("version", 2),
    ("version", True),
    ("n_inputs", 0),
    ("n_inputs", -1),
    ("n_inputs", 10**12),
    ("n_inputs", 12),
    ("n_inputs", "11"),
    ("names", ["a"] * 11),
    ("names", ["a"]),
    ("names", list(range(11))),
    ("names", "abc"),
    ("names", [f"{k}" * 9999 for k in range(11)]),
    ("kinds", ["number"]),
    ("kinds", ["number"] * 11),
    ("kinds", ["object"] * 11),
    ("kinds", None),
    ("n_values", 3),
    ("n_values", 99),
    ("n_indicators", -1),
    ("categories", []),
    ("categories", {}),
    ("categories", [[]]),
    ("categories", [{"position": 5, "values": ["a"], "other": False}]),
    ("categories", [{"position": 99, "values": ["a"], "other": False, "missing": False}]),
    ("categories", [{"position": 5, "values": [], "other": False, "missing": False}]),
    ("categories", [{"position": 5, "values": ["a", "a"], "other": False, "missing": False}]),
    ("categories", [{"position": 5, "values": ["a"], "other": 1, "missing": False}]),
    ("categories", [{"position": 2, "values": ["a"], "other": False, "missing": False}]),
    ("dropped", []),
    ("dropped", [[0]]),
    ("dropped", [[0, "x" * 9999]]),
    ("dropped", [["0", "x"]]),
    ("dropped", [[True, "x"]]),
    ("dropped", [[0, "x"]] * 99),
    ("options", {}),
    ("options", None),
    ("more", 1),
]


@pytest.mark.parametrize(("key", "value"), CHANGES)
def test_damaged_settings(key: str, value: Any) -> None:
    config, arrays = _good()
    TablePreprocessor.from_config(config, arrays)
    with pytest.raises(FileFormatError, match=r"\[preprocessing\] damaged"):
        TablePreprocessor.from_config({**config, key: value}, arrays)


def test_endless_reasons_in_settings() -> None:
    config, arrays = _good()
    config["dropped"][0][1] = "x" * 999
    with pytest.raises(FileFormatError, match="damaged dropped"):
        TablePreprocessor.from_config(config, arrays)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("impute", "mode"),
        ("impute", ["mean"]),
        ("indicators", 1),
        ("max_categories", 10**9),
        ("max_categories", 1.5),
        ("min_category_count", "some"),
        ("min_category_count", 0),
    ],
)
def test_damaged_options(key: str, value: Any) -> None:
    config, arrays = _good()
    config["options"][key] = value
    with pytest.raises(FileFormatError, match=f"damaged {key}"):
        TablePreprocessor.from_config(config, arrays)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scale", None),
        ("scale", [1.0] * 4),
        ("scale", np.ones(4, np.float32)),
        ("scale", np.ones(5)),
        ("scale", np.ones((4, 1))),
        ("scale", np.zeros(4)),
        ("scale", np.full(4, np.inf)),
        ("center", np.full(4, np.nan)),
        ("fill", np.array(["a"] * 4, dtype=object)),
        ("value_positions", np.array([2, 3, 4, 99])),
        ("value_positions", np.array([-2, 3, 4, 6])),
        ("value_positions", np.array([3, 2, 4, 6])),
        ("value_positions", np.array([2, 2, 4, 6])),
        ("value_positions", np.array([2, 3, 4, 5])),
        ("indicator_positions", np.array([2, 11])),
        ("missing_counts", np.zeros(3, np.int64)),
    ],
)
def test_damaged_arrays(name: str, value: Any) -> None:
    config, arrays = _good()
    arrays[name] = value
    with pytest.raises(FileFormatError, match="damaged"):
        TablePreprocessor.from_config(config, arrays)
    del arrays[name]
    with pytest.raises(FileFormatError, match=f"damaged array '{name}': got nothing"):
        TablePreprocessor.from_config(config, arrays)


@pytest.mark.parametrize("config", [None, [], 3, "x", {}])
def test_settings_that_are_no_settings(config: Any) -> None:
    with pytest.raises(FileFormatError, match="damaged stored settings"):
        TablePreprocessor.from_config(config, {})


def test_what_was_stored_is_copied() -> None:
    config, arrays = _good()
    prepared = TablePreprocessor.from_config(config, arrays)
    wanted = prepared.transform(mixed())
    arrays["scale"][:] = 1e9
    np.testing.assert_array_equal(prepared.transform(mixed()), wanted)


def test_a_table_of_many_rows_is_prepared_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    from chainrule.data import table as table_module

    data = as_table(mixed())
    assert isinstance(data, Table)
    wanted = TablePreprocessor().fit(data).transform(data)
    monkeypatch.setattr(table_module, "ROWS_PER_BLOCK_ELEMENTS", 7)
    np.testing.assert_allclose(TablePreprocessor().fit(data).transform(data), wanted, atol=1e-6)
