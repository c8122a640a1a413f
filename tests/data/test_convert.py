"""Tables from arrays, lists, data frames of several libraries, sparse matrices and dicts."""

import datetime as dt
import decimal
from typing import Any

import narwhals as nw
import numpy as np
import pytest

from chainrule.data import Column, MatrixTable, Table, TablePreprocessor, as_table
from chainrule.data import convert as convert_module
from chainrule.errors import ArgumentError, DataError, DTypeError, ShapeError

DAY = dt.date(2020, 1, 31)
PLAIN: dict[str, list[Any]] = {
    "whole": [1, 2, None],
    "float": [1.5, float("nan"), -2.0],
    "flag": [True, None, False],
    "city": ["Lyon", None, "北京"],
    "day": [DAY, None, dt.date(1999, 12, 1)],
    "moment": [dt.datetime(2020, 1, 31, 12), None, dt.datetime(1999, 12, 1)],
}
KINDS = ["number", "number", "boolean", "text", "date", "date"]


def _pandas_frame() -> Any:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({name: pandas.Series(values) for name, values in PLAIN.items()})
    frame["flag"] = frame["flag"].astype("boolean")
    frame["moment"] = pandas.to_datetime(frame["moment"])
    return frame


def _pandas_nullable_frame() -> Any:
    frame = _pandas_frame()
    frame["whole"] = frame["whole"].astype("Int32")
    frame["city"] = frame["city"].astype("category")
    return frame


def _pandas_object_frame() -> Any:
    return _pandas_frame().astype(object)


def _pandas_arrow_frame() -> Any:
    pytest.importorskip("pyarrow")
    return _pandas_frame().convert_dtypes(dtype_backend="pyarrow")


def _polars_frame() -> Any:
    return pytest.importorskip("polars").DataFrame(PLAIN)


def _polars_lazy_frame() -> Any:
    return _polars_frame().lazy()


def _arrow_table() -> Any:
    return pytest.importorskip("pyarrow").table(PLAIN)


FRAMES = [
    _pandas_frame,
    _pandas_nullable_frame,
    _pandas_object_frame,
    _pandas_arrow_frame,
    _polars_frame,
    _polars_lazy_frame,
    _arrow_table,
    lambda: nw.from_native(_polars_frame()),
    lambda: PLAIN,
    lambda: {name: np.array(values, dtype=object) for name, values in PLAIN.items()},
]


@pytest.mark.parametrize("make", FRAMES)
def test_frames_of_all_kinds_give_the_same_table(make: Any) -> None:
    table = as_table(make())
    assert table.names == list(PLAIN)
    assert [column.kind for column in table] == KINDS
    assert [column.missing.tolist() for column in table] == [
        [False, False, True], [False, True, False], *[[False, True, False]] * 4,
    ]  # fmt: skip
    assert table["whole"].to_float()[:2].tolist() == [1.0, 2.0]
    assert table["float"].present.tolist() == [1.5, -2.0]
    assert table["flag"].present.tolist() == [True, False]
    assert table["city"].present.tolist() == ["Lyon", "北京"]
    assert table["day"].to_float()[[0, 2]].tolist() == [18292.0, 10926.0]
    assert table["moment"].to_float()[[0, 2]].tolist() == [18292.5, 10926.0]


@pytest.mark.parametrize("make", FRAMES[:7])
def test_frames_and_their_parts_prepare_alike(make: Any) -> None:
    wanted = TablePreprocessor(min_category_count=1).fit_transform(PLAIN)
    np.testing.assert_array_equal(
        TablePreprocessor(min_category_count=1).fit_transform(make()), wanted
    )


def test_times_with_a_zone_are_taken_in_utc() -> None:
    zone = dt.timezone(dt.timedelta(hours=8))
    moment = dt.datetime(2020, 1, 31, 8, tzinfo=zone)
    assert as_table({"a": [moment]})["a"].to_float().tolist() == [18292.0]
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"a": [moment]})
    assert as_table(frame)["a"].to_float().tolist() == [18292.0]


def test_unsupported_columns_are_kept_for_the_report() -> None:
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(
        {"pair": [[1], [2]], "size": [1.0, 2.0], "wait": [dt.timedelta(1)] * 2}
    )
    prepared = TablePreprocessor().fit(frame)
    reasons = {item.column: item.reason for item in prepared.report().dropped}
    assert prepared.feature_names == ["size"]
    assert reasons["pair"].startswith("holds List(Int64)")
    assert reasons["wait"].startswith("holds Duration")


DTYPES = "float16 float32 float64 int8 int64 uint8 uint64 bool >f8 longdouble"


@pytest.mark.parametrize("dtype", DTYPES.split())
def test_numeric_arrays_stay_one_matrix(dtype: str) -> None:
    array = np.array([[0, 1], [1, 1], [1, 0]], dtype=dtype)
    table = as_table(array)
    assert isinstance(table, MatrixTable)
    assert table.names == ["x0", "x1"]
    assert table.positional
    np.testing.assert_array_equal(table["x1"].to_float(), array[:, 1].astype(float))
    assert as_table(array, names=["a", "b"]).names == ["a", "b"]


def test_float_arrays_are_not_copied() -> None:
    array = np.ones((4, 2), np.float32)
    table = as_table(array)
    assert isinstance(table, MatrixTable)
    assert np.shares_memory(table.matrix, array)  # type: ignore[arg-type]


def test_nested_lists_and_objects() -> None:
    assert isinstance(as_table([[1, 2.5], [3, 4]]), MatrixTable)
    table = as_table([[1, "a"], [None, "b"]])
    assert [column.kind for column in table] == ["number", "text"]
    table = as_table(np.array([["1", "a"], ["2", "b"]]))
    assert [column.kind for column in table] == ["text", "text"]
    table = as_table(np.array([[1, 2.5, True, decimal.Decimal("1.5")]], dtype=object))
    assert [column.kind for column in table] == ["number", "number", "boolean", "number"]


def test_objects_of_mixed_kinds_become_text() -> None:
    column = as_table({"a": ["x", 1, 2.0, 2.5, True, None]})["a"]
    assert column.kind == "text"
    assert column.present.tolist() == ["x", "1", "2", "2.5", "true"]
    assert as_table({"a": [1, True, None]})["a"].kind == "number"


def test_huge_whole_numbers() -> None:
    assert as_table({"a": [2**63 - 1, 0]})["a"].values.tolist() == [2**63 - 1, 0]
    assert as_table({"a": np.array([2**64, 0], dtype=object)})["a"].values.tolist() == [
        2.0**64,
        0.0,
    ]
    assert as_table({"a": np.array([10**400, 1], dtype=object)})["a"].values[0] == np.inf


def test_something_with_an_array_inside() -> None:
    class Wrapped:
        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            return np.eye(2)

    assert as_table(Wrapped()).shape == (2, 2)


@pytest.mark.parametrize(
    "form", ["csr_matrix", "csc_matrix", "coo_matrix", "csr_array", "coo_array"]
)
def test_sparse(form: str) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    random = np.random.default_rng(0)
    dense = random.normal(size=(50, 30)) * (random.random((50, 30)) < 0.2)
    table = as_table(getattr(sparse, form)(dense))
    assert isinstance(table, MatrixTable)
    assert table.is_sparse
    np.testing.assert_array_equal(table["x3"].values, dense[:, 3])
    part = table.take([4, 2])
    assert isinstance(part, MatrixTable)
    assert part.is_sparse
    np.testing.assert_array_equal(part["x3"].values, dense[[4, 2], 3])
    one, other = TablePreprocessor().fit(table), TablePreprocessor().fit(dense)
    np.testing.assert_array_equal(one.transform(table), other.transform(dense))
    np.testing.assert_array_equal(one.transform(part), other.transform(dense)[[4, 2]])


def test_sparse_nan_and_inf_are_named() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    dense = np.zeros((300, 5000))
    dense[7, 4321] = np.nan
    with pytest.raises(DataError, match="'x4321', row 7"):
        as_table(sparse.csr_array(dense), missing="refuse")
    dense[7, 4321] = np.inf
    with pytest.raises(DataError, match="'x4321', row 7"):
        TablePreprocessor().fit(sparse.csr_array(dense))


def test_frame_with_two_columns_of_one_name() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(np.eye(2), columns=["a", "a"])
    with pytest.raises(DataError, match="two columns have the same name: got 'a'"):
        as_table(frame)


def test_frame_of_too_many_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert_module, "MAX_COLUMNS", 5)
    with pytest.raises(DataError, match="too many columns: got 6"):
        as_table(_polars_frame())


def test_frame_whose_names_are_not_text() -> None:
    pandas = pytest.importorskip("pandas")
    assert as_table(pandas.DataFrame(np.eye(2))).names == ["0", "1"]


def test_table_operations() -> None:
    table = as_table({"a": [1, 2, 3], "b": ["x", "y", "z"], "c": [1.5, 2.5, 3.5]})
    assert len(table) == 3
    assert "a" in table
    assert "d" not in table
    assert table.take([2, 0])["b"].values.tolist() == ["z", "x"]
    assert table.take([2, 0]).take([0]).row_name(0) == "row 2"
    assert table.take(np.array([True, False, True]))["a"].values.tolist() == [1, 3]
    assert table.select(["c", "a"]).names == ["c", "a"]
    assert table.drop(["b"]).names == ["a", "c"]
    rest, target = table.split_target("b")
    assert (rest.names, target.name) == (["a", "c"], "b")
    rest, targets = table.split_target(["a", "c"])
    assert (rest.names, [column.name for column in targets]) == (["b"], ["a", "c"])
    with pytest.raises(ArgumentError, match="0 to 2"):
        table.take([3])
    with pytest.raises(ValueError, match="read-only"):
        table["a"].values[0] = 9


def test_matrix_table_operations() -> None:
    table = as_table(np.arange(12.0).reshape(4, 3), names=["a", "b", "c"])
    assert table.take([3, 1]).take([0]).row_name(0) == "row 3"
    assert table.select(["c", "a"])["a"].values.tolist() == [0.0, 3.0, 6.0, 9.0]
    rest, target = table.split_target("b")
    assert (rest.names, target.values.tolist()) == (["a", "c"], [1.0, 4.0, 7.0, 10.0])
    assert [column.name for column in table] == ["a", "b", "c"]
    with pytest.raises(DataError, match="no such column"):
        table.select(["d"])
    with pytest.raises(ShapeError, match="do not fit"):
        as_table(np.eye(2), names=["a", "a"])
    with pytest.raises(ShapeError, match="names"):
        as_table(np.array([["a", "b"]]), names=["a"])


def test_column_checks() -> None:
    with pytest.raises(ShapeError, match="do not match"):
        Column("a", "number", np.zeros(3), np.zeros(2, bool))
    with pytest.raises(ArgumentError, match="unknown kind"):
        Column("a", "colour", np.zeros(3), np.zeros(3, bool))  # type: ignore[arg-type]
    with pytest.raises(DTypeError, match="not a list of values"):
        as_table({"a": 3})
    with pytest.raises(ShapeError, match="more than one axis"):
        as_table({"a": np.eye(2)})
    with pytest.raises(ArgumentError, match="missing="):
        as_table(np.eye(2), missing="drop")  # type: ignore[arg-type]


def test_the_callers_array_stays_writable() -> None:
    array = np.array([1.0, 2.0])
    Table([Column("a", "number", array, np.zeros(2, bool))])
    array[0] = 5.0
    assert array.flags.writeable
