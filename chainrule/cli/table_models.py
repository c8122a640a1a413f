"""Tables on the command line: answers, scores and summary of a model."""

import time
from typing import Any

import click
import numpy as np

from chainrule.cli import report
from chainrule.cli.answers import class_answers
from chainrule.cli.kind import (
    Columns,
    EvaluateRequest,
    ExplainRequest,
    PredictRequest,
    StepExamples,
)
from chainrule.cli.scores import Estimator, score
from chainrule.cli.tables import read_examples
from chainrule.cli.text import count, printable
from chainrule.data import ClassEncoder, MultiLabelEncoder, Table, read_table
from chainrule.errors import ArgumentError, DataError
from chainrule.estimators import NetworkClassifier
from chainrule.training.explanation import Names


def answers(estimator: Estimator, request: PredictRequest) -> tuple[Columns, Columns]:
    """The columns to repeat, and what is predicted for each row."""
    if len(request.data) > 1:
        raise ArgumentError(
            "predict", "this model takes one table", got=", ".join(request.data),
            expected="one file", fix="run predict for each table",
        )  # fmt: skip
    table = read_table(request.data[0], encoding=request.encoding)
    return kept_columns(table, request.keep), _answers(estimator, table)


def kept_columns(table: Table, keep: tuple[str, ...]) -> Columns:
    """Columns of a table to repeat beside the answers; missing cells are None."""
    columns: Columns = {}
    for name in keep:
        column = table.column(name)
        columns[name] = [
            None if gone else value
            for value, gone in zip(column.values.tolist(), column.missing, strict=True)
        ]
    return columns


def _answers(estimator: Estimator, table: Table) -> Columns:
    """The columns of predictions, with the digits that single precision can vouch for."""
    if not isinstance(estimator, NetworkClassifier):
        numbers = estimator.predict(table).tolist()
        return {"prediction": [float(f"{number:.7g}") for number in numbers]}
    return class_answers(estimator.classes_, estimator.predict_proba(table))


def evaluate(estimator: Estimator, request: EvaluateRequest) -> None:
    """Score an estimator on a table that holds the target column."""
    start = time.perf_counter()
    target = target_of(estimator, request.target, "evaluate")
    table = read_examples(request.data, target, request.encoding)
    scores = score(estimator, table.inputs, table.target)
    seconds = time.perf_counter() - start
    out = report.console()
    report.print_facts(out, report.table_facts(request.data, table))
    report.print_scores(out, "Scores", scores, estimator)
    if request.as_json:
        classifier = isinstance(estimator, NetworkClassifier)
        facts = {
            "task": "classification" if classifier else "regression",
            "target": table.target.name,
            "rows": table.rows,
            "rows_without_target": table.without_target,
            **report.score_facts(scores, estimator),
            "seconds": round(seconds, 3),
            "model": request.model,
        }
        report.print_json(facts)


def target_of(estimator: Any, given: str | None, where: str) -> str:
    """The name of the target column: the one given, else that of the training.

    Raises:
        ArgumentError: neither is known.
    """
    target: str | None = given or estimator.target_name_
    if target is None:
        raise ArgumentError(
            where, "the model does not know the name of its target", fix="give --target COLUMN"
        )
    return target


def step_examples(estimator: Estimator, request: ExplainRequest) -> StepExamples:
    """The batch of a row of a table; all rows of the file count, those without a target too."""
    table = read_table(request.data, encoding=request.encoding)
    target = table.column(target_of(estimator, request.target, "explain"))
    encoder = estimator.target_encoder_
    if isinstance(encoder, MultiLabelEncoder):
        raise DataError(
            "explain", "this model has several labels a row, which one target column cannot hold",
            fix="use model_.explain in Python",
        )  # fmt: skip
    rows, place = request.batch(table.n_rows, np.flatnonzero(~target.missing))
    if target.missing[request.row - 1]:
        raise DataError(
            table.source, "this row has no target", got=f"row {request.row}",
            expected=f"a value in the column {target.name!r}", fix="choose another --row",
        )  # fmt: skip
    inputs, answers = table.take(rows).split_target(target.name)
    x, y, loss = estimator.network_examples(inputs, answers)
    prepared = estimator.preprocessor_
    columns = list(inputs.names) if prepared is None else prepared.feature_names
    classes = encoder.class_names if isinstance(encoder, ClassEncoder) else ()
    names = Names([str(row + 1) for row in rows], columns, list(map(str, classes)))
    return StepExamples(estimator.model_, x, y, loss, place, names)


def summary(model: str, estimator: Estimator, as_json: bool) -> None:
    """Show what an estimator predicts, from which columns, and its network by layers."""
    classifier = isinstance(estimator, NetworkClassifier)
    task = "classification" if classifier else "regression"
    layers = estimator.model_.summary()
    lines = [("Model", model), ("Target", f"{estimator.target_name_ or 'not named'}: {task}")]
    if isinstance(estimator, NetworkClassifier):
        lines.append(("Classes", report.class_facts(estimator)))
    lines += report.column_facts(estimator)
    lines.append(("Training", count(estimator.n_iter_, "epoch")))
    out = report.console()
    report.print_facts(out, lines)
    out.print()
    click.echo(printable(str(layers)))
    if as_json:
        facts = {
            "task": task,
            "target": estimator.target_name_,
            "classes": estimator.classes_ if isinstance(estimator, NetworkClassifier) else None,
            "columns": report.column_json(estimator),
            "parameters": layers.parameters,
            "epochs": estimator.n_iter_,
            "model": model,
        }
        report.print_json(facts)
