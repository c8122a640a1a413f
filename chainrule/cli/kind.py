"""What the commands do with one kind of data: tables, pictures and so on; the table is `kinds`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import ArgumentError
from chainrule.training.explanation import Names
from chainrule.training.model import Model

Columns = dict[str, Any]


@dataclass(frozen=True)
class TrainRequest:
    """What ``chainrule train`` was asked for.

    Args:
        data: the file or folder.
        target: the column to predict, or None.
        encoding: how delimited text spells letters.
        out: the model file; None for the default name.
        test_fraction, seed: of the split.
        as_json: end with a JSON line.
        settings: settings of the estimator that were given.
        own: the options that not all kinds take, by name, given or not.
    """

    data: str
    target: str | None
    encoding: str
    out: str | None
    test_fraction: float
    seed: int
    as_json: bool
    settings: dict[str, Any]
    own: dict[str, Any]


@dataclass(frozen=True)
class PredictRequest:
    """What ``chainrule predict`` was asked for.

    Args:
        data: files, folders or whatever else the kind takes.
        keep: columns of a table to repeat.
        encoding: how delimited text spells letters.
    """

    data: tuple[str, ...]
    keep: tuple[str, ...]
    encoding: str


@dataclass(frozen=True)
class EvaluateRequest:
    """What ``chainrule evaluate`` was asked for.

    Args:
        model: the model file.
        data: the file or folder.
        target: the column with the answers; None for that of the training.
        encoding: how delimited text spells letters.
        as_json: end with a JSON line.
    """

    model: str
    data: str
    target: str | None
    encoding: str
    as_json: bool


@dataclass(frozen=True)
class ExplainRequest:
    """What ``chainrule explain`` was asked for.

    Args:
        data: the file or folder.
        target: the column with the answers; None for that of the training.
        encoding: how delimited text spells letters.
        row: the example, counted from 1.
        rows: how many there are in a batch.
    """

    data: str
    target: str | None
    encoding: str
    row: int
    rows: int

    def batch(self, total: int, usable: NDArray[Any] | None = None) -> tuple[NDArray[Any], int]:
        """The batch that the example is in, where data is cut into batches in its order.

        Args:
            total: how many rows there are.
            usable: the numbers, from 0, of those that can be learnt from, the example among them;
                default all.

        Returns:
            The numbers of the rows in the batch, and the place of the example in it.

        Raises:
            ArgumentError: there is no such example.
        """
        if self.row > total:
            raise ArgumentError(
                "--row", "no such example", got=self.row, expected=f"1 to {total:,}",
                fix=f"choose another row of {self.data}",
            )  # fmt: skip
        rows = np.arange(total) if usable is None else usable
        place = int(np.searchsorted(rows, self.row - 1))
        start = place // self.rows * self.rows
        return rows[start : start + self.rows], place - start


@dataclass(frozen=True)
class StepExamples:
    """The batch of a training step to explain.

    Args:
        model: the network.
        x, y: what it is given.
        loss: what training lowers.
        row: the place of the example in the batch.
        names: what is called how.
    """

    model: Model
    x: NDArray[Any]
    y: NDArray[Any]
    loss: Any
    row: int
    names: Names


@dataclass(frozen=True)
class Kind:
    """One kind of data.

    Args:
        name: in the plural.
        estimators: the classes that learn from it.
        options: names of the options of ``train`` that it takes and not all kinds do.
        chosen_by: the one of them that says the data is of this kind, or "".
        suffixes: how the names of its files end; a folder is of the kind that most files are of.
        train: reads, trains, saves, tests and reports.
        answers: for an estimator, the columns to repeat and the answers.
        evaluate: scores an estimator and reports.
        summary: shows an estimator; takes the model's path, the estimator and whether to end with
            a JSON line.
        examples: for an estimator, the batch of a training step.
    """

    name: str
    estimators: tuple[type, ...]
    options: tuple[str, ...]
    chosen_by: str
    suffixes: tuple[str, ...]
    train: Callable[[TrainRequest], None]
    answers: Callable[[Any, PredictRequest], tuple[Columns, Columns]]
    evaluate: Callable[[Any, EvaluateRequest], None]
    summary: Callable[[str, Any, bool], None]
    examples: Callable[[Any, ExplainRequest], StepExamples]
