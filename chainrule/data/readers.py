"""Reading tables from files: CSV, TSV and Parquet, through polars.

polars is imported when the first file is read.

Why polars: docs/decisions/0001-table-reader.md. Types are inferred here, over the whole column: a
column is a number, a boolean or a date when every cell that is not missing is one, else text.
"""

import contextlib
import io
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chainrule.data.convert import table_from_data_frame
from chainrule.data.delimited import MAX_COLUMNS, Delimited, parse_delimited
from chainrule.data.table import Table
from chainrule.errors import ArgumentError, FileAccessError, FileFormatError, missing_dependency

if TYPE_CHECKING:
    import polars as pl

MAX_FILE_BYTES = 2 << 30
MAX_CELLS = 1 << 29
MAX_EXPANSION = 1000
UNQUESTIONED_BYTES = 256 << 20
MISSING_MARKS = (
    "", "NA", "N/A", "n/a", "na", "#N/A", "<NA>", "NaN", "nan", "NAN", "NaT",
    "NULL", "Null", "null", "None", "none", "?",
)  # fmt: skip
MISSING_IN_NUMBERS = ("-", "--", ".")
DELIMITED_SUFFIXES = {".csv": ",", ".txt": ",", ".tsv": "\t", ".tab": "\t"}
PARQUET_SUFFIXES = (".parquet", ".pq")
PARQUET_MARK = b"PAR1"

# What a cell of each kind looks like, in the syntax of Rust's regular expressions. A leading zero
# makes a code, not a number.
LEADING_ZERO = r"^[+-]?0\d"
DATE = r"^\d{4}-\d{2}-\d{2}$"
MOMENT = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?$"


def read_table(
    path: str | os.PathLike[str],
    *,
    encoding: str = "utf-8",
    separator: str | None = None,
    max_bytes: int = MAX_FILE_BYTES,
) -> Table:
    r"""Read a table from a CSV, TSV or Parquet file.

    Delimited text has one line of column names; comma, semicolon, tab and bar are told apart by
    the first lines. Missing cells are empty or one of NA, N/A, NaN, NULL, None, ? (in columns of
    numbers also ``-``, ``--`` and ``.``). Numbers with leading zeros or with commas stay text. A
    UTF-8 byte-order mark is accepted.

    Args:
        path: the file; ``.parquet`` and ``.pq`` are Parquet, all else is judged by its content.
        encoding: the encoding of delimited text, default UTF-8.
        separator: the separator of delimited text, one character; default chosen by the first
            lines.
        max_bytes: refuse larger files before they are read, default 2 GiB.

    Returns:
        A Table whose rows are counted from 1.

    Raises:
        FileAccessError: no such file, a folder, no permission.
        FileFormatError: not a table, empty, damaged, too large, uneven lines, two columns of one
            name, wrong encoding.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "pets.csv"
        >>> _ = path.write_text("name,age\nRex,3\nTom,NA\n")
        >>> read_table(path)
        Table(2 rows: name text, age number)
    """
    file = Path(path)
    if separator is not None and (
        len(separator) != 1 or ord(separator) > 127 or separator in '"\n\r'
    ):
        raise ArgumentError(
            "read_table",
            "wrong separator",
            got=repr(separator),
            expected="one ASCII character, no quote",
        )
    data = _read_bytes(file, max_bytes)
    where = file.name
    suffix = file.suffix.lower()
    if suffix in PARQUET_SUFFIXES or data.startswith(PARQUET_MARK):
        return _read_parquet(data, where)
    text = parse_delimited(
        data,
        where,
        encoding=encoding,
        separator=separator,
        preferred=DELIMITED_SUFFIXES.get(suffix, ","),
    )
    return _read_delimited(text, where)


def _read_bytes(file: Path, max_bytes: int) -> bytes:
    """Return the content of an ordinary file of bounded size."""
    where = str(file)
    try:
        status = file.stat()
        if stat.S_ISDIR(status.st_mode):
            raise FileAccessError(
                where, "this is a folder", expected="a file", fix="name a file in it"
            )
        if not stat.S_ISREG(status.st_mode):
            raise FileAccessError(
                where, "this is not an ordinary file", expected="a CSV, TSV or Parquet file"
            )
        if status.st_size > max_bytes:
            raise FileFormatError(
                where,
                "the file is too large",
                got=f"{status.st_size:,} bytes",
                expected=f"at most {max_bytes:,}",
                fix="train on a part of it, or read it in parts and pass data frames",
            )
        with file.open("rb") as stream:
            return stream.read(max_bytes + 1)
    except FileNotFoundError:
        near = _near_name(file)
        fix = f"did you mean {near!r}?" if near else "check the path"
        raise FileAccessError(where, "no such file", fix=fix) from None
    except PermissionError:
        raise FileAccessError(
            where, "no permission to read", fix="change its permissions"
        ) from None
    except (OSError, ValueError) as error:
        if isinstance(error, (FileAccessError, FileFormatError)):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise FileAccessError(
            where, "the file cannot be read", got=reason, fix="check the path"
        ) from None


def _near_name(file: Path) -> str | None:
    """Return the name in the same folder that is nearest to a missing one."""
    import difflib

    try:
        names = [entry.name for entry in os.scandir(file.parent)][:10_000]
    except OSError:
        return None
    near = difflib.get_close_matches(file.name, names, n=1, cutoff=0.6)
    return str(file.parent / near[0]) if near else None


def _polars() -> Any:
    try:
        import polars as pl
    except ImportError:
        raise missing_dependency("read_table", "polars", "all") from None
    return pl


def _read_delimited(text: Delimited, where: str) -> Table:
    pl = _polars()
    _refuse_expansion(where, len(text.body), text.n_rows, len(text.names))
    try:
        frame = pl.read_csv(
            text.body,
            has_header=False,
            separator=text.separator,
            new_columns=text.names,
            infer_schema=False,
            raise_if_empty=False,
        )
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise _not_readable(where, "the text cannot be read as a table", error) from None
    if frame.shape != (text.n_rows, len(text.names)):
        raise FileFormatError(
            where,
            "the lines do not form a table",
            got=f"{frame.height} rows, {frame.width} columns",
            expected=f"{text.n_rows} rows, {len(text.names)} columns",
            fix="check quotes and separators",
        )
    return table_from_data_frame(
        pl.DataFrame([_typed(frame[:, j], pl) for j in range(frame.width)]), where, first_row=1
    )


def _typed(series: "pl.Series", pl: Any) -> "pl.Series":
    """Return text as numbers, booleans or dates where every cell that is there is one."""
    series = series.str.strip_chars()
    series = series.set(series.is_in(MISSING_MARKS), None)
    if series.null_count() == len(series):
        return series.cast(pl.Float64)
    number = _as_number(series, pl)
    if number is not None:
        return number
    first = str(series.drop_nulls()[0])
    if first.lower() in ("true", "false"):
        lower = series.str.to_lowercase()
        if lower.drop_nulls().is_in(("true", "false")).all():
            return lower == "true"
    for pattern, kind in ((DATE, pl.Date), (MOMENT, pl.Datetime("us"))):
        if len(first) <= 32 and series.str.contains(pattern).all():
            moment = (
                series.str.to_date("%Y-%m-%d", strict=False)
                if kind == pl.Date
                else _moments(series)
            )
            if moment.null_count() == series.null_count():
                return moment
    return series


def _moments(series: "pl.Series") -> "pl.Series":
    """Return ISO dates with a time, with or without seconds and fractions."""
    plain = series.str.replace("T", " ", literal=True)
    plain = plain.str.replace(r"^(.{16})$", "${1}:00")
    return plain.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False)


def _as_number(series: "pl.Series", pl: Any) -> "pl.Series | None":
    """Return text as whole numbers, else floats; None where a cell is neither, or a code."""
    missing = series.null_count()
    floats = series.cast(pl.Float64, strict=False)
    if floats.null_count() != missing:
        others = series.filter(floats.is_null() & series.is_not_null())
        if not others.is_in(MISSING_IN_NUMBERS).all() or len(others) + missing == len(series):
            return None
        series = series.set(series.is_in(MISSING_IN_NUMBERS), None)
        missing = series.null_count()
    if series.str.contains(LEADING_ZERO).any():
        return None
    whole = series.cast(pl.Int64, strict=False)
    return whole if whole.null_count() == missing else floats


def _read_parquet(data: bytes, where: str) -> Table:
    pl = _polars()
    if len(data) < 12 or not data.startswith(PARQUET_MARK) or not data.endswith(PARQUET_MARK):
        raise FileFormatError(
            where,
            "this is not a complete Parquet file",
            got=f"{len(data)} bytes, without the marks PAR1 at both ends",
            expected="a Parquet file",
            fix="check that the file was written completely, or rename it if it is CSV",
        )
    try:
        with _native_messages_held():
            names = list(pl.read_parquet_schema(io.BytesIO(data)))
            rows = int(pl.scan_parquet(io.BytesIO(data)).select(pl.len()).collect().item())
            _refuse_expansion(where, len(data), rows, len(names))
            frame = pl.read_parquet(io.BytesIO(data))
    except FileFormatError:
        raise
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        raise _not_readable(where, "the Parquet file is damaged", error) from None
    if frame.width == 0 or frame.height == 0:
        raise FileFormatError(
            where,
            "the table is empty",
            got=f"{frame.height} rows, {frame.width} columns",
            expected="at least one of each",
        )
    return table_from_data_frame(frame, where, first_row=1)


@contextlib.contextmanager
def _native_messages_held() -> Iterator[None]:
    """Hold back what native code writes to standard error, and drop it where an error is raised.

    On a damaged Parquet file polars' Rust code prints the stack of its panic before it raises.
    """
    try:
        terminal = os.dup(2)
    except OSError:  # no standard error to protect
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
        held.seek(0)
        os.write(2, held.read())


def _refuse_expansion(where: str, size: int, rows: int, columns: int) -> None:
    """Raise where a file says that it holds more than memory should be taken for."""
    taken = rows * max(1, columns) * 8
    too_dense = taken > UNQUESTIONED_BYTES and taken > MAX_EXPANSION * size
    if columns > MAX_COLUMNS or rows * max(1, columns) > MAX_CELLS or too_dense:
        raise _too_many_cells(where, rows, columns)


def _too_many_cells(where: str, rows: int, columns: int) -> FileFormatError:
    return FileFormatError(
        where,
        "the table is too large",
        got=f"{rows:,} rows, {columns:,} columns",
        expected=f"at most {MAX_CELLS:,} cells and {MAX_COLUMNS:,} columns",
        fix="train on a part of the rows or columns",
    )


def _not_readable(where: str, what: str, error: BaseException) -> FileFormatError:
    first = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
    return FileFormatError(where, what, got=first, expected="a table", fix="write the file again")
