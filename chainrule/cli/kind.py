"""What the commands do with one kind of data: tables, pictures and so on; the table is `kinds`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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
