"""Matching new rows with the columns learnt in training: by name or position, of the right kind."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chainrule.data.convert import text_of
from chainrule.data.number_columns import MatrixSource
from chainrule.data.table import Column, Kind, MatrixTable, Table, join_some
from chainrule.errors import DataError

TRUE_TEXTS = ("true", "1")
FALSE_TEXTS = ("false", "0")


@dataclass(frozen=True)
class InputColumns:
    """The columns of the training table, found again in new rows.

    Args:
        count: how many they are.
        names: their names; None where only positions mean something (arrays).
        kinds: their kinds; None where all are numbers.
    """

    count: int
    names: list[str] | None
    kinds: list[Kind] | None

    def name(self, position: int) -> str:
        """Return the name of a column."""
        return f"x{position}" if self.names is None else self.names[position]

    def kind(self, position: int) -> Kind:
        """Return the kind of a column."""
        return "number" if self.kinds is None else self.kinds[position]

    def matrix(self, table: MatrixTable, needed: NDArray[np.int64]) -> MatrixSource:
        """Return the needed columns of new rows that are one matrix."""
        names = self._names_in(table)
        if names is None:
            return MatrixSource(table, needed)
        self._refuse_missing([names[j] for j in needed.tolist()], table)
        places = {name: place for place, name in enumerate(table.names)}
        return MatrixSource(table, np.array([places[names[j]] for j in needed.tolist()], np.int64))

    def match(self, table: Table, needed: Iterable[int]) -> dict[int, Column]:
        """Return the needed columns of new rows by position, each of the kind as in training.

        Raises:
            DataError: columns missing, or cells of another kind.
        """
        names = self._names_in(table)
        if names is None:
            columns = table.columns
            found = {j: columns[j].renamed(self.name(j)) for j in needed}
        else:
            wanted = {j: names[j] for j in needed}
            self._refuse_missing(list(wanted.values()), table)
            found = {j: table.column(name) for j, name in wanted.items()}
        return {j: conform(column, self.kind(j), table) for j, column in found.items()}

    def _names_in(self, table: Table) -> list[str] | None:
        """Return the names to look for; None where positions decide, once the width is checked."""
        if self.names is not None and not table.positional:
            return self.names
        if table.n_columns != self.count:
            raise DataError(
                table.source,
                "wrong number of columns",
                got=f"X has {table.n_columns} features",
                expected=f"{self.count} features as in training",
                fix="give the columns that the model was trained with, in the same order",
            )
        return None

    def _refuse_missing(self, wanted: list[str], table: Table) -> None:
        missing = [name for name in wanted if name not in table]
        if missing:
            raise DataError(
                table.source,
                "columns that the model was trained with are missing",
                got=join_some([repr(name) for name in table.names[:20]], table.n_columns),
                expected=join_some([repr(name) for name in missing[:20]], len(missing))
                + " as well",
                fix="add the missing columns (cells may be empty), spelt as in training",
            )


def conform(column: Column, kind: Kind, table: Table) -> Column:
    """Return a column as the kind that it had in training, where every cell allows it.

    Raises:
        DataError: a cell that does not, its column and row named.
    """
    if column.kind == kind or (kind == "number" and column.kind == "boolean"):
        return column
    if column.missing.all() and column.kind != "unsupported":
        empty = np.full(len(column), "", object) if kind == "text" else np.full(len(column), np.nan)
        return Column(column.name, "text" if kind == "text" else "number", empty, column.missing)
    if kind == "text" and column.kind in ("number", "boolean"):
        return _as_text(column)
    if kind == "number" and column.kind == "text":
        return _parsed(column, float, "a number", table)
    if kind == "boolean" and column.kind == "text":
        return _parsed(column, _flag, "true or false", table)
    if kind == "boolean" and column.kind == "number":
        wrong = ~column.missing & ~np.isin(column.values, (0, 1))
        if not wrong.any():
            return column
        raise _other_kind(column, int(np.argmax(wrong)), "true or false", table)
    row = int(np.argmin(column.missing))
    raise _other_kind(column, row, f"a {kind}", table)


def _as_text(column: Column) -> Column:
    text = np.full(len(column), "", dtype=object)
    text[~column.missing] = [text_of(value) for value in column.present]
    return Column(column.name, "text", text, column.missing)


def _parsed(column: Column, parse: Callable[[str], float], expected: str, table: Table) -> Column:
    values = np.full(len(column), np.nan)
    for row in np.flatnonzero(~column.missing).tolist():
        try:
            values[row] = parse(column.values[row])
        except ValueError:
            raise _other_kind(column, row, expected, table) from None
    return Column(column.name, "number", values, column.missing | np.isnan(values))


def _flag(text: str) -> float:
    word = text.strip().lower()
    if word in TRUE_TEXTS:
        return 1.0
    if word in FALSE_TEXTS:
        return 0.0
    raise ValueError(text)


def _other_kind(column: Column, row: int, expected: str, table: Table) -> DataError:
    shown = column.note or repr(str(column.values[row]))[:60]
    return DataError(
        table.source,
        f"a cell of another kind than in training, in column {column.name!r}, "
        f"{table.row_name(row)}",
        got=shown,
        expected=expected,
        fix="correct the cell, or leave it empty if it is not known",
    )
