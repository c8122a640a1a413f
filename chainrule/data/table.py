"""Tables: named columns of one kind each, as NumPy arrays with masks of missing cells.

A `Table` is what every reader and every data frame becomes before preprocessing. It never
changes: `take`, `select` and `drop` return new tables, and rows keep the number that they had in
the file, so that an error can name the row.
"""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.errors import ArgumentError, DataError, ShapeError

Kind = Literal["number", "boolean", "text", "date", "unsupported"]
KINDS: tuple[Kind, ...] = ("number", "boolean", "text", "date", "unsupported")

MICROSECONDS_PER_DAY = 86_400_000_000
ROWS_PER_BLOCK_ELEMENTS = 1 << 20
NAMED_AT_MOST = 5


class SparseMatrix(Protocol):
    """What chainrule uses of a scipy sparse matrix in CSR form."""

    shape: tuple[int, int]
    dtype: Any
    data: NDArray[Any]

    def toarray(self) -> NDArray[Any]:
        """Return the matrix as an ordinary array."""

    def __getitem__(self, index: Any) -> Any:
        """Return a part of the matrix."""


@dataclass(frozen=True, eq=False)
class RowNumbers:
    """The number of each row in its source, kept through `take`, so that an error can name it.

    Args:
        numbers: (N,) counted from 0; None for 0, 1, 2, ....
        first: how the source counts: 0 for arrays and data frames, 1 for the data rows of files.

    Example:
        >>> RowNumbers(first=1).take(np.array([7, 3])).name(0)
        'data row 8'
    """

    numbers: NDArray[np.int64] | None = None
    first: int = 0

    def take(self, index: NDArray[np.intp]) -> "RowNumbers":
        """Return the numbers of the given rows."""
        taken = index.astype(np.int64) if self.numbers is None else self.numbers[index]
        return RowNumbers(taken, self.first)

    def name(self, row: int) -> str:
        """Return how to call a row: ``row 4``, in a file ``data row 5``."""
        number = row if self.numbers is None else int(self.numbers[row])
        return f"{'data row' if self.first else 'row'} {number + self.first}"

    def listed(self, rows: NDArray[np.intp]) -> str:
        """Return the names of the first few of many rows."""
        names = [self.name(int(row)) for row in rows[:NAMED_AT_MOST]]
        return join_some(names, len(rows))


@dataclass(frozen=True, eq=False)
class Column:
    """One named column: values of one kind and a mask of missing cells.

    Args:
        name: the column's name.
        kind: "number", "boolean", "text", "date" or "unsupported" (lists, bytes and the like).
        values: (N,) integers or floats, booleans, an object array of str, or datetime64[us].
        missing: (N,) booleans, True where the cell holds nothing; what `values` holds there has no
            meaning.
        note: what an unsupported column holds, for the report.
        rows: the number of each row in its source.

    Example:
        >>> column = Column("age", "number", np.array([31.0, np.nan]), np.array([False, True]))
        >>> column.present.tolist(), len(column)
        ([31.0], 2)
    """

    name: str
    kind: Kind
    values: NDArray[Any]
    missing: NDArray[np.bool_]
    note: str = ""
    rows: RowNumbers = field(default_factory=RowNumbers)

    def __post_init__(self) -> None:
        """Check the two arrays against each other and freeze them."""
        if self.kind not in KINDS:
            raise ArgumentError(
                f"column {self.name!r}",
                "unknown kind",
                got=repr(self.kind),
                expected=", ".join(KINDS),
            )
        if self.values.ndim != 1 or self.values.shape != self.missing.shape:
            raise ShapeError(
                f"column {self.name!r}",
                "values and the mask of missing cells do not match",
                got=f"shapes {self.values.shape} and {self.missing.shape}",
                expected="the same shape (N,)",
            )
        for name in ("values", "missing"):
            frozen = getattr(self, name).view()
            frozen.flags.writeable = False
            object.__setattr__(self, name, frozen)

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self.values)

    @property
    def present(self) -> NDArray[Any]:
        """The values of the cells that are not missing."""
        return self.values[~self.missing]

    def take(self, rows: NDArray[np.intp]) -> "Column":
        """Return the column of the given rows, in the given order."""
        return replace(
            self, values=self.values[rows], missing=self.missing[rows], rows=self.rows.take(rows)
        )

    def renamed(self, name: str) -> "Column":
        """Return the same column under another name."""
        return replace(self, name=name)

    def to_float(self, rows: slice = slice(None)) -> NDArray[np.float64]:
        """Return (N,) float64: numbers, 0/1, or days since 1970; NaN where missing."""
        values = self.values[rows]
        if self.kind == "date":
            values = values.astype("datetime64[us]").astype(np.int64) / MICROSECONDS_PER_DAY
        result = np.array(values, dtype=np.float64)
        result[self.missing[rows]] = np.nan
        return result


class Table:
    """Named columns of equal length.

    Args:
        columns: the columns; names must differ.
        source: what to call the table in errors (a file name, or "table").
        rows: the number of each row in its source.
        positional: True when the names were made up and only positions mean something (arrays).

    Example:
        >>> ages = Column("age", "number", np.array([31, 47]), np.zeros(2, bool))
        >>> table = Table([ages])
        >>> table
        Table(2 rows: age number)
        >>> table["age"].values.tolist()
        [31, 47]
    """

    def __init__(
        self,
        columns: Iterable[Column],
        *,
        source: str = "table",
        rows: RowNumbers | None = None,
        positional: bool = False,
    ) -> None:
        self._columns: dict[str, Column] = {}
        self.source = source
        self.rows = rows or RowNumbers()
        self.positional = positional
        for column in columns:
            if column.name in self._columns:
                raise DataError(
                    source,
                    "two columns have the same name",
                    got=f"{column.name!r} twice",
                    expected="different names",
                    fix="rename one of them",
                )
            self._columns[column.name] = column
        lengths = {name: len(column) for name, column in self._columns.items()}
        self._n_rows = next(iter(lengths.values()), 0)
        uneven = next((name for name, length in lengths.items() if length != self._n_rows), None)
        if uneven is not None:
            raise ShapeError(
                source,
                "columns have different lengths",
                got=f"{lengths[uneven]} cells in {uneven!r}",
                expected=f"{self._n_rows} as in {next(iter(lengths))!r}",
            )

    @property
    def names(self) -> list[str]:
        """The column names, in order."""
        return list(self._columns)

    @property
    def n_rows(self) -> int:
        """The number of rows."""
        return self._n_rows

    @property
    def n_columns(self) -> int:
        """The number of columns."""
        return len(self._columns)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.n_rows, self.n_columns

    @property
    def columns(self) -> list[Column]:
        """The columns, in order."""
        return [self.column(name) for name in self.names]

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.n_rows

    def __contains__(self, name: object) -> bool:
        """Return whether a column has this name."""
        return name in self._columns

    def __iter__(self) -> Iterator[Column]:
        """Iterate over the columns."""
        return iter(self.columns)

    def __getitem__(self, name: str) -> Column:
        """Return one column."""
        return self.column(name)

    def __repr__(self) -> str:
        """Return the number of rows, the names and the kinds."""
        shown = [f"{column.name} {column.kind}" for column in self.columns[:12]]
        more = f", and {self.n_columns - 12} more" if self.n_columns > 12 else ""
        return f"Table({self.n_rows} rows: {', '.join(shown)}{more})"

    def column(self, name: str) -> Column:
        """Return the column of this name.

        Raises:
            DataError: no column has it; the message names the nearest.
        """
        if name not in self:
            raise self._missing_column(name)
        return replace(self._columns[name], rows=self.rows)

    def take(self, rows: ArrayLike) -> "Table":
        """Return the table of the given rows, in the given order."""
        index = self._row_index(rows)
        return Table(
            (column.take(index) for column in self._columns.values()),
            source=self.source,
            rows=self.rows.take(index),
            positional=self.positional,
        )

    def select(self, names: Sequence[str]) -> "Table":
        """Return the table of the named columns, in the given order."""
        return Table(
            (self.column(name) for name in names),
            source=self.source,
            rows=self.rows,
        )

    def drop(self, names: Iterable[str]) -> "Table":
        """Return the table without the named columns."""
        gone = set(names)
        for name in gone:
            if name not in self:
                raise self._missing_column(name)
        return self.select([name for name in self.names if name not in gone])

    @overload
    def split_target(self, target: str) -> tuple["Table", Column]: ...
    @overload
    def split_target(self, target: list[str]) -> tuple["Table", list[Column]]: ...
    def split_target(
        self, target: str | list[str]
    ) -> tuple["Table", Column] | tuple["Table", list[Column]]:
        """Split into the table without the target, and the target column (or columns).

        Raises:
            DataError: the target is not in the table, or nothing else is.
        """
        names = [target] if isinstance(target, str) else list(target)
        chosen = [self.column(name) for name in names]
        rest = self.drop(names)
        if rest.n_columns == 0:
            raise DataError(
                self.source,
                "no column is left to learn from",
                got=f"only the target {', '.join(map(repr, names))}",
                expected="at least one more column",
            )
        return (rest, chosen[0]) if isinstance(target, str) else (rest, chosen)

    def row_name(self, row: int) -> str:
        """Return how to call a row in a message: ``row 4``, in a file ``data row 5``."""
        return self.rows.name(row)

    def blocks(self) -> Iterator[slice]:
        """Iterate over slices of rows small enough to work on at once."""
        return row_blocks(self.n_rows, self.n_columns)

    def _row_index(self, rows: ArrayLike) -> NDArray[np.intp]:
        index = np.asarray(rows)
        if index.dtype == np.bool_:
            index = np.flatnonzero(index)
        index = index.astype(np.intp)
        if index.ndim != 1 or (index.size and not 0 <= index.min() <= index.max() < self.n_rows):
            raise ArgumentError(
                self.source,
                "row numbers outside the table",
                got=f"shape {index.shape}"
                if index.ndim != 1
                else f"{index.min()} to {index.max()}",
                expected=f"one axis, 0 to {self.n_rows - 1}",
            )
        return index

    def _missing_column(self, name: object) -> DataError:
        near = difflib.get_close_matches(str(name), self.names, n=1, cutoff=0.5)
        listed = join_some([repr(known) for known in self.names[:20]], self.n_columns)
        return DataError(
            self.source,
            "no such column",
            got=repr(name),
            expected=f"one of {listed}",
            fix=f"did you mean {near[0]!r}?" if near else "use one of the names in the first line",
        )


class MatrixTable(Table):
    """A table of numbers held as one matrix, dense or sparse (CSR).

    Columns are made when asked for.

    Args:
        matrix: (N, D) numbers or booleans.
        names: column names; default x0, x1, ....
        source: what to call the table in errors.
        rows: the number of each row in its source.
    """

    def __init__(
        self,
        matrix: NDArray[Any] | SparseMatrix,
        *,
        names: Sequence[str] | None = None,
        source: str = "table",
        rows: RowNumbers | None = None,
    ) -> None:
        super().__init__((), source=source, rows=rows, positional=names is None)
        self.matrix = matrix
        width = matrix.shape[1]
        self._names = position_names(width) if names is None else list(names)
        self._positions = {name: position for position, name in enumerate(self._names)}
        if len(self._names) != width or len(self._positions) != width:
            raise ShapeError(
                source,
                "the column names do not fit the matrix",
                got=f"{len(self._positions)} different names",
                expected=f"{width}",
            )

    @property
    def is_sparse(self) -> bool:
        """Whether the matrix is a sparse one."""
        return not isinstance(self.matrix, np.ndarray)

    @property
    def names(self) -> list[str]:
        """The column names, in order."""
        return list(self._names)

    @property
    def n_rows(self) -> int:
        """The number of rows."""
        return int(self.matrix.shape[0])

    @property
    def n_columns(self) -> int:
        """The number of columns."""
        return int(self.matrix.shape[1])

    @property
    def columns(self) -> list[Column]:
        """The columns, in order."""
        dense = self.dense(slice(None))
        return [self._make(name, dense[:, j]) for j, name in enumerate(self._names)]

    def __contains__(self, name: object) -> bool:
        """Return whether a column has this name."""
        return name in self._positions

    def __repr__(self) -> str:
        """Return the shape and the kind of matrix."""
        form = "sparse" if self.is_sparse else "dense"
        return f"MatrixTable({self.n_rows} rows, {self.n_columns} columns of numbers, {form})"

    def column(self, name: str) -> Column:
        """Return the column of this name."""
        if name not in self:
            raise self._missing_column(name)
        position = self._positions[name]
        part: Any = self.matrix[:, [position]]
        return self._make(name, part.toarray()[:, 0] if self.is_sparse else part[:, 0])

    def take(self, rows: ArrayLike) -> "MatrixTable":
        """Return the table of the given rows, in the given order."""
        index = self._row_index(rows)
        return MatrixTable(
            self.matrix[index],
            names=None if self.positional else self._names,
            source=self.source,
            rows=self.rows.take(index),
        )

    def select(self, names: Sequence[str]) -> "MatrixTable":
        """Return the table of the named columns, in the given order."""
        for name in names:
            if name not in self:
                raise self._missing_column(name)
        chosen = [self._positions[name] for name in names]
        return MatrixTable(self.matrix[:, chosen], names=names, source=self.source, rows=self.rows)

    def dense(self, rows: slice) -> NDArray[Any]:
        """Return the rows as an ordinary matrix (a view where the matrix is dense)."""
        part: Any = self.matrix[rows]
        result: NDArray[Any] = part.toarray() if self.is_sparse else part
        return result

    def _make(self, name: str, values: NDArray[Any]) -> Column:
        kind: Kind = "boolean" if values.dtype == np.bool_ else "number"
        missing = np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), np.bool_)
        return Column(name, kind, values, missing, rows=self.rows)


def row_blocks(n_rows: int, n_columns: int) -> Iterator[slice]:
    """Iterate over slices of rows with about a million cells each."""
    size = max(1, ROWS_PER_BLOCK_ELEMENTS // max(1, n_columns))
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))


def position_names(width: int) -> list[str]:
    """Return the names of columns that have none: x0, x1, ...."""
    return [f"x{position}" for position in range(width)]


def join_some(shown: Sequence[str], total: int) -> str:
    """Join names with commas and say how many more there are."""
    more = total - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
