"""Reading the table of a command and telling the target apart from the inputs."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.cli.text import count
from chainrule.data import Column, Table, read_table
from chainrule.errors import ArgumentError, DataError


@dataclass(frozen=True)
class Examples:
    """The rows of a table whose target is known.

    Args:
        inputs: the columns to learn from.
        target: the target column, no cell missing.
        rows: how many rows the file has.
        without_target: how many rows were left out because their target is missing.
    """

    inputs: Table
    target: Column
    rows: int
    without_target: int

    def __len__(self) -> int:
        """How many rows have a target."""
        return len(self.target)

    def take(self, rows: NDArray[Any]) -> tuple[Table, Column]:
        """The inputs and the targets of some rows."""
        return self.inputs.take(rows), self.target.take(rows)


def read_examples(data: str, target: str, encoding: str, ignore: Collection[str] = ()) -> Examples:
    """Read a table with its target column.

    Args:
        data: the path of a CSV, TSV or Parquet file.
        target: the name of the target column.
        encoding: how delimited text spells letters.
        ignore: the names of columns not to learn from; default none.

    Raises:
        FileAccessError, FileFormatError: the file cannot be read or is no table.
        ArgumentError: the target is among the columns to ignore.
        DataError: no such column, or no row with a target.
    """
    table = read_table(data, encoding=encoding)
    column = table.column(target)
    if target in ignore:
        raise ArgumentError("--ignore", "this is the target column", got=repr(target))
    inputs, _ = table.drop(ignore).split_target(target)
    known = np.flatnonzero(~column.missing)
    if not len(known):
        raise DataError(
            table.source,
            f"the target column {target!r} holds no values",
            got=f"{count(table.n_rows, 'row')} without a target",
            expected="a value in the rows to learn from",
            fix="choose another target column",
        )
    if len(known) < table.n_rows:
        inputs, column = inputs.take(known), column.take(known)
    return Examples(inputs, column, table.n_rows, table.n_rows - len(known))
