"""Anything that holds rows and columns, as a `Table`.

Arrays, nested lists, data frames, sparse matrices, dicts.

Data frames of any library go through narwhals, which is imported only when a frame is met.
"""

import datetime as dt
import decimal
import numbers
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from chainrule.data.table import (
    Column,
    Kind,
    MatrixTable,
    RowNumbers,
    Table,
    join_some,
    position_names,
)
from chainrule.errors import ArgumentError, DataError, DTypeError, ShapeError

NUMBER_KINDS = "iuf"
MAX_COLUMNS = 100_000


def as_table(
    data: object,
    *,
    names: Sequence[str] | None = None,
    missing: Literal["accept", "refuse"] = "accept",
    numbers_only: bool = False,
    where: str = "X",
) -> Table:
    """Make a `Table` of whatever holds rows and columns.

    Args:
        data: a Table, a (N, D) NumPy array or nested list, a data frame (pandas, polars, pyarrow or
            any other that narwhals knows), a scipy sparse matrix, or a dict of column name to
            values.
        names: column names for data that has none; default x0, x1, ....
        missing: "accept" takes NaN and None as missing cells; "refuse" raises, naming column and
            row.
        numbers_only: refuse text and dates, naming column and row.
        where: what to call the data in errors.

    Returns:
        A Table; a MatrixTable for numeric arrays and sparse matrices, which stay one matrix.

    Raises:
        DTypeError: not something with rows and columns.
        ShapeError: not two axes.
        DataError: no rows, no columns, two columns of one name; missing cells or text where they
            are refused.

    Example:
        >>> as_table({"age": [31, None], "city": ["Lyon", "Lima"]})
        Table(2 rows: age number, city text)
    """
    if missing not in ("accept", "refuse"):
        raise ArgumentError(
            where, "unknown missing=", got=repr(missing), expected="accept or refuse"
        )
    table = _dispatch(data, names, where)
    if table.n_columns == 0:
        raise DataError(
            where, f"0 feature(s) (shape=({table.n_rows}, 0)) while a minimum of 1 is required"
        )
    if table.n_rows == 0:
        raise DataError(
            where, "there are no rows", got=f"shape {table.shape}", expected="at least 1 row"
        )
    if numbers_only:
        _refuse_text(table, where)
    if missing == "refuse":
        _refuse_missing(table, where)
    return table


def _dispatch(data: object, names: Sequence[str] | None, where: str) -> Table:
    if isinstance(data, Table):
        return data
    if isinstance(data, np.ndarray):
        return table_from_array(data, names, where)
    if isinstance(data, (list, tuple)):
        return table_from_array(_nested(data), names, where)
    if isinstance(data, Mapping):
        columns = [column_from_values(value, str(name), where) for name, value in data.items()]
        return Table(columns, source=where)
    if hasattr(data, "tocsr") and hasattr(data, "toarray"):
        return _table_from_sparse(data, names, where)
    frame = _as_frame(data, where)
    if frame is not None:
        return _table_from_frame(frame, where)
    if hasattr(data, "__array__"):
        return table_from_array(np.asarray(data), names, where)
    raise DTypeError(
        where,
        "this is not a table",
        got=type(data).__name__,
        expected="a NumPy array with two axes, a data frame, a sparse matrix or a dict of columns",
    )


def table_from_array(array: NDArray[Any], names: Sequence[str] | None, where: str) -> Table:
    """Make a table of a (N, D) array; numbers stay one matrix, objects become columns."""
    if array.dtype.kind == "c":
        raise DataError(
            where, "Complex data not supported", got=array.dtype, expected="real numbers"
        )
    if array.ndim != 2:
        fix = (
            "Reshape your data: X.reshape(-1, 1) for one column, X.reshape(1, -1) for one row"
            if array.ndim < 2
            else "reshape each row to one axis, X.reshape(len(X), -1)"
        )
        raise ShapeError(
            where,
            "wrong number of axes",
            got=f"shape {array.shape}",
            expected="(rows, columns)",
            fix=fix,
        )
    if array.shape[1] == 0:
        return MatrixTable(np.zeros(array.shape), source=where)
    if array.dtype.kind in NUMBER_KINDS + "b":
        return MatrixTable(_plain_numbers(array), names=names, source=where)
    known = position_names(array.shape[1]) if names is None else list(names)
    if len(known) != array.shape[1]:
        raise ShapeError(
            where,
            "wrong number of names",
            got=len(known),
            expected=f"{array.shape[1]}, one a column",
        )
    columns = [column_from_values(array[:, j], name, where) for j, name in enumerate(known)]
    return Table(columns, source=where, positional=names is None)


def column_from_values(values: object, name: str, where: str) -> Column:
    """Make a column of a one-axis array, list or data-frame series."""
    if isinstance(values, Column):
        return values.renamed(name)
    if not isinstance(values, (np.ndarray, list, tuple)):
        series = _as_series(values)
        if series is not None:
            return _column_from_series(series, name, where)
        if not hasattr(values, "__array__"):
            raise DTypeError(
                where,
                f"column {name!r} is not a list of values",
                got=type(values).__name__,
                expected="a NumPy array, a list or a series",
            )
    array = values if isinstance(values, np.ndarray) else _one_axis(values)
    if array.ndim != 1:
        raise ShapeError(
            where,
            f"column {name!r} has more than one axis",
            got=f"shape {array.shape}",
            expected="(N,)",
        )
    code = array.dtype.kind
    if code == "c":
        raise DataError(
            where, "Complex data not supported", got=array.dtype, expected="real numbers"
        )
    if code in NUMBER_KINDS:
        array = _plain_numbers(array)
        return Column(
            name, "number", array, np.isnan(array) if code == "f" else _none_missing(array)
        )
    if code == "b":
        return Column(name, "boolean", array, _none_missing(array))
    if code == "M":
        return Column(name, "date", array.astype("datetime64[us]"), np.isnat(array))
    return _column_from_objects(array.astype(object), name, where)


def _plain_numbers(array: NDArray[Any]) -> NDArray[Any]:
    """Return numbers in a type that NumPy computes with quickly, not half or long double."""
    if array.dtype.kind == "f" and array.dtype.itemsize not in (4, 8):
        return array.astype(np.float32 if array.dtype.itemsize == 2 else np.float64)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _none_missing(array: NDArray[Any]) -> NDArray[np.bool_]:
    return np.zeros(array.shape, np.bool_)


def _nested(rows: Sequence[Any]) -> NDArray[Any]:
    """Return nested lists as a 2-D array: numbers when all are, objects else."""
    try:
        array = np.asarray(rows)
    except ValueError:
        array = np.empty(0, dtype=object)
    if array.dtype.kind in NUMBER_KINDS + "bc" and array.ndim > 0:
        return array
    lengths = {len(row) if isinstance(row, (list, tuple, np.ndarray)) else -1 for row in rows}
    if len(lengths) > 1:
        raise ShapeError(
            "X", "the rows have different lengths", got=f"{sorted(lengths)}", expected="one length"
        )
    if lengths == {-1} or not lengths:
        return array
    result = np.empty((len(rows), lengths.pop()), dtype=object)
    for number, row in enumerate(rows):
        for position, cell in enumerate(row):
            result[number, position] = cell
    return result


def _one_axis(values: object) -> NDArray[Any]:
    """Return a list as a one-axis array, of objects unless all are numbers or all booleans."""
    if not isinstance(values, (list, tuple)):
        return np.asarray(values)
    types = {type(value) for value in values}
    plain = types and all(
        issubclass(kind, (int, float, np.integer, np.floating)) and kind is not bool
        for kind in types
    )
    if types == {bool} or plain:
        array = np.asarray(values)
        if array.dtype.kind in NUMBER_KINDS + "b":
            return array
    result = np.empty(len(values), dtype=object)
    for number, value in enumerate(values):
        result[number] = value
    return result


def _is_missing(value: object) -> bool:
    """Return whether a cell holds nothing: None, NaN, NaT or pandas' NA."""
    if value is None:
        return True
    if isinstance(value, (float, np.floating, np.datetime64, decimal.Decimal)):
        return bool(value != value)
    return type(value).__name__ in ("NAType", "NaTType")


def _kind_of(value: object) -> Kind | None:
    if isinstance(value, (bool, np.bool_)):
        return "boolean"
    if isinstance(value, (numbers.Real, decimal.Decimal)):
        return "number"
    if isinstance(value, str):
        return "text"
    if isinstance(value, (dt.date, np.datetime64)):
        return "date"
    return None


def _column_from_objects(cells: NDArray[Any], name: str, where: str) -> Column:
    """Make a column of Python objects: one kind for all, text where kinds are mixed."""
    missing = np.fromiter((_is_missing(cell) for cell in cells), np.bool_, len(cells))
    found: set[Kind] = set()
    for row in np.flatnonzero(~missing):
        kind = _kind_of(cells[row])
        if kind is None:
            raise DTypeError(
                where,
                f"column {name!r}, row {row}: a cell that is neither text nor a number",
                got=f"a {type(cells[row]).__name__}",
                expected="text, a number, a boolean, a date or nothing",
                fix="the argument must be a string or a number in every cell",
            )
        found.add(kind)
    present = cells[~missing]
    if found <= {"number", "boolean"}:
        if found == {"boolean"}:
            flags = np.zeros(len(cells), np.bool_)
            flags[~missing] = present.astype(np.bool_)
            return Column(name, "boolean", flags, missing)
        return Column(name, "number", _numbers(cells, missing), missing)
    if found == {"date"}:
        dates = np.full(len(cells), np.datetime64("NaT"), "datetime64[us]")
        dates[~missing] = [_plain_date(value) for value in present]
        return Column(name, "date", dates, missing)
    text = np.full(len(cells), "", dtype=object)
    text[~missing] = [text_of(value) for value in present]
    return Column(name, "text", text, missing)


def _numbers(cells: NDArray[Any], missing: NDArray[np.bool_]) -> NDArray[Any]:
    """Return int64 where all are whole and small enough, else float64."""
    present = cells[~missing]
    if len(present) and all(
        isinstance(value, (int, np.integer)) and -(2**63) <= int(value) < 2**63 for value in present
    ):
        whole = np.zeros(len(cells), np.int64)
        whole[~missing] = [int(value) for value in present]
        return whole
    result = np.full(len(cells), np.nan)
    result[~missing] = [_float(value) for value in present]
    return result


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _plain_date(value: Any) -> np.datetime64:
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        value = value.astimezone(dt.UTC).replace(tzinfo=None)
    return np.datetime64(value, "us")


def text_of(value: object) -> str:
    """Return a cell as category text: whole numbers without a point, booleans as in files."""
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _table_from_sparse(data: Any, names: Sequence[str] | None, where: str) -> Table:
    matrix = data.tocsr()
    if matrix.dtype.kind == "c":
        raise DataError(
            where, "Complex data not supported", got=matrix.dtype, expected="real numbers"
        )
    if matrix.ndim != 2 or matrix.dtype.kind not in NUMBER_KINDS + "b":
        raise DTypeError(
            where,
            "a sparse matrix of this kind is not supported",
            got=f"{matrix.dtype}, shape {matrix.shape}",
            expected="real numbers, two axes",
        )
    if matrix.shape[1] == 0:
        return MatrixTable(np.zeros(matrix.shape), source=where)
    return MatrixTable(matrix, names=names, source=where)


def _as_frame(data: object, where: str) -> Any:
    """Return the data as a narwhals frame, or None where it is not a data frame."""
    import narwhals as nw

    try:
        frame = nw.from_native(data, pass_through=True)
    except nw.exceptions.DuplicateError:
        names = [str(name) for name in getattr(data, "columns", ())]
        twice = sorted({repr(name) for name in names if names.count(name) > 1})
        raise DataError(
            where,
            "two columns have the same name",
            got=join_some(twice[:5], len(twice)),
            expected="different names",
            fix="rename the columns",
        ) from None
    if isinstance(frame, nw.LazyFrame):
        return frame.collect()
    return frame if isinstance(frame, nw.DataFrame) else None


def _as_series(values: object) -> Any:
    import narwhals as nw

    series = nw.from_native(values, pass_through=True, allow_series=True)
    return series if isinstance(series, nw.Series) else None


def _table_from_frame(frame: Any, where: str) -> Table:
    if frame.shape[1] > MAX_COLUMNS:
        raise DataError(
            where, "too many columns", got=frame.shape[1], expected=f"at most {MAX_COLUMNS}"
        )
    names = [str(name) for name in frame.columns]
    columns = [_column_from_series(frame[:, j], name, where) for j, name in enumerate(names)]
    return Table(columns, source=where)


def table_from_data_frame(data: object, source: str, *, first_row: int = 0) -> Table:
    """Make a table of a data frame that stands for a file."""
    frame = _as_frame(data, source)
    table = _table_from_frame(frame, source)
    return Table(table.columns, source=source, rows=RowNumbers(first=first_row))


def _column_from_series(series: Any, name: str, where: str) -> Column:
    """Make a column of a narwhals series."""
    import narwhals as nw

    dtype = series.dtype
    if dtype.is_numeric():
        return _number_column(series.cast(nw.Float64) if dtype.is_decimal() else series, name)
    if dtype == nw.Object or isinstance(dtype, nw.Categorical):
        return column_from_values(np.array(series.to_list() or [], dtype=object), name, where)
    missing = series.is_null().to_numpy().astype(np.bool_)
    if dtype == nw.Boolean:
        return Column(name, "boolean", series.fill_null(False).to_numpy().astype(np.bool_), missing)
    if dtype == nw.String or isinstance(dtype, nw.Enum):
        text = series.cast(nw.String).fill_null("").to_numpy().astype(object)
        return Column(name, "text", text, missing)
    if dtype == nw.Date or isinstance(dtype, nw.Datetime):
        stamps = series.dt.timestamp("us").fill_null(0).to_numpy().astype(np.int64)
        dates = stamps.view("datetime64[us]")
        return Column(name, "date", np.where(missing, np.datetime64("NaT"), dates), missing)
    nothing = np.full(len(missing), "", dtype=object)
    if missing.all():
        return Column(name, "number", np.full(len(missing), np.nan), missing)
    return Column(name, "unsupported", nothing, np.ones(len(missing), np.bool_), str(dtype))


def _number_column(series: Any, name: str) -> Column:
    missing = series.is_null().to_numpy().astype(np.bool_)
    values = (series.fill_null(0) if missing.any() else series).to_numpy()
    if values.dtype == object or values.dtype.itemsize > 8:
        values = values.astype(np.float64)
    values = _plain_numbers(values)
    if values.dtype.kind == "f":
        values = np.where(missing, np.nan, values)
        missing = np.isnan(values)
    return Column(name, "number", values, missing)


def _refuse_text(table: Table, where: str) -> None:
    if isinstance(table, MatrixTable):
        return
    for column in table:
        if column.kind not in ("number", "boolean"):
            row = int(np.argmin(column.missing))
            raise DataError(
                where,
                f"{column.kind} where numbers are needed, in column {column.name!r}, "
                f"{table.row_name(row)}",
                got=repr(str(column.values[row]))[:60],
                expected="a number",
                fix="give a data frame with named columns, whose text is one-hot encoded",
            )


def _refuse_missing(table: Table, where: str) -> None:
    if isinstance(table, MatrixTable):
        found = _first_nan(table)
    else:
        found = next(((c.name, int(np.argmax(c.missing))) for c in table if c.missing.any()), None)
    if found is not None:
        raise DataError(
            where,
            f"NaN (a missing cell) in column {found[0]!r}, {table.row_name(found[1])}",
            expected="finite numbers",
            fix="fill the missing cells in, or give a data frame, whose missing cells are imputed",
        )


def _first_nan(table: MatrixTable) -> tuple[str, int] | None:
    if table.matrix.dtype.kind != "f":
        return None
    if table.is_sparse and not np.isnan(table.matrix.data).any():
        return None
    for rows in table.blocks():
        found = np.argwhere(np.isnan(table.dense(rows)))
        if len(found):
            return table.names[int(found[0, 1])], rows.start + int(found[0, 0])
    return None
