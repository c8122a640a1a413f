"""Tables on the command line: answers, scores and summary of a model."""

import time
from typing import Any

import click

from chainrule.cli import report
from chainrule.cli.answers import class_answers
from chainrule.cli.kind import Columns, EvaluateRequest, PredictRequest
from chainrule.cli.scores import Estimator, score
from chainrule.cli.tables import read_examples
from chainrule.cli.text import count, printable
from chainrule.data import Table, read_table
from chainrule.errors import ArgumentError
from chainrule.estimators import NetworkClassifier


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
    table = read_examples(request.data, target_of(estimator, request.target), request.encoding)
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


def target_of(estimator: Any, given: str | None) -> str:
    """The name of the target column: the one given, else that of the training.

    Raises:
        ArgumentError: neither is known.
    """
    target: str | None = given or estimator.target_name_
    if target is None:
        raise ArgumentError(
            "evaluate", "the model does not know the name of its target", fix="give --target COLUMN"
        )
    return target


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
