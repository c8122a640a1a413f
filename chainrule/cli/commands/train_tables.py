"""``chainrule train TABLE``: from a table to a model file."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import click

from chainrule.cli import report
from chainrule.cli.commands.train_texts import train_texts
from chainrule.cli.kind import TrainRequest
from chainrule.cli.outputs import check_model_output
from chainrule.cli.scores import Estimator, Scores, score
from chainrule.cli.tables import Examples, read_examples
from chainrule.cli.text import count, printable
from chainrule.cli.texts import only_text_column
from chainrule.cli.training import fit, split
from chainrule.data import ClassEncoder, Column, RegressionScaler, TaskDecision, infer_task
from chainrule.estimators import NetworkClassifier, NetworkRegressor

Task = Literal["classification", "regression"]


@dataclass(frozen=True)
class Run:
    """What a training run has to tell."""

    data: str
    table: Examples
    decision: TaskDecision
    estimator: Estimator
    test_rows: int
    scores: Scores | None
    seconds: float
    path: str


def train_tables(request: TrainRequest) -> None:
    """Read a table, train, save, test and report."""
    if request.target is None:
        raise click.MissingParameter(param_hint="'--target'", param_type="option")
    start = time.perf_counter()
    data, own = request.data, request.own
    path = request.out or f"{Path(data).stem}.safetensors"
    check_model_output(path)
    table = read_examples(data, request.target, request.encoding, own["ignore"])
    decision = decide(table.target, own["task"])
    column = only_text_column(table.inputs, table.target.name)
    if column is not None and decision.task == "classification" and own["hidden"] is None:
        train_texts(replace(request, own={**own, "text": column}))
        return
    labels = table.target.values if decision.task == "classification" else None
    train_rows, test_rows = split(request, len(table), labels, table.inputs.source, "rows")
    estimator = make_estimator(decision.task, request)
    fit(estimator, *table.take(train_rows))
    estimator.save(path)
    scores = score(estimator, *table.take(test_rows)) if len(test_rows) else None
    seconds = time.perf_counter() - start
    run = Run(data, table, decision, estimator, len(test_rows), scores, seconds, path)
    _print_report(run)
    if request.as_json:
        report.print_json(_facts(run))


def decide(target: Column, task: Task | None) -> TaskDecision:
    """The task, after a check that the target can be learned that way."""
    where = f"target {target.name!r}"
    decision = infer_task(target, where)
    if task is not None:
        decision = TaskDecision(task, False, "as asked for")
    encoder = ClassEncoder() if decision.task == "classification" else RegressionScaler()
    encoder.fit(target, where)
    return decision


def make_estimator(task: str, request: TrainRequest) -> Estimator:
    """The estimator with the settings asked for."""
    kind = NetworkClassifier if task == "classification" else NetworkRegressor
    settings = dict(request.settings)
    if request.own["hidden"] is not None:
        settings["hidden"] = request.own["hidden"]
    return kind(random_state=request.seed, verbose="auto", **settings)


def _print_report(run: Run) -> None:
    out, table, target = report.console(), run.table, run.table.target.name
    lines = report.table_facts(run.data, table)
    lines.append(("Target", f"{target}: {run.decision.task} ({run.decision.reason})"))
    if isinstance(run.estimator, NetworkClassifier):
        lines.append(("Classes", report.class_facts(run.estimator)))
    lines += report.column_facts(run.estimator)
    train = count(len(table) - run.test_rows, "row")
    lines.append(("Split", f"{train} to learn from, {run.test_rows:,} held out to test"))
    lines.append(("Network", report.network_fact(run.estimator)))
    history = run.estimator.history_
    if history is not None:
        epochs = count(history.epochs, "epoch")
        lines.append(("Training", f"{epochs} in {history.seconds:.1f} s; {history.stopped}"))
        lines += [("", note) for note in history.notes]
    report.print_facts(out, lines)
    if run.scores is not None:
        report.print_scores(out, "Test", run.scores, run.estimator)
    out.print(f"\nModel written to {printable(run.path)} ({run.seconds:.1f} s in all)")


def _facts(run: Run) -> dict[str, Any]:
    """What the JSON line holds."""
    history = run.estimator.history_
    return {
        "task": run.decision.task,
        "target": run.table.target.name,
        "rows": run.table.rows,
        "rows_without_target": run.table.without_target,
        "train_rows": len(run.table) - run.test_rows,
        "test_rows": run.test_rows,
        "columns": report.column_json(run.estimator),
        "epochs": run.estimator.n_iter_,
        "stopped": history.stopped if history else None,
        "stopped_by": history.stopped_by if history else None,
        **report.score_facts(run.scores, run.estimator),
        "seconds": round(run.seconds, 3),
        "model": run.path,
    }
