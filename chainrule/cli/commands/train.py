"""``chainrule train``: from a table, or from pictures, to a model file."""

import os
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import click
import numpy as np
from numpy.typing import NDArray

from chainrule.cli import report
from chainrule.cli.commands.train_pictures import PictureOptions, train_pictures
from chainrule.cli.options import (
    data_argument,
    encoding_option,
    examples,
    hidden_sizes,
    json_option,
    picture_size,
    thresholds,
)
from chainrule.cli.outputs import check_model_output
from chainrule.cli.scores import Estimator, Scores, score
from chainrule.cli.tables import Examples, read_examples
from chainrule.cli.text import count, printable
from chainrule.data import (
    ClassEncoder,
    Column,
    RegressionScaler,
    Table,
    TaskDecision,
    infer_task,
    split_indices,
)
from chainrule.data.image_decoding import ASPECTS, Aspect
from chainrule.errors import ArgumentError, DataError
from chainrule.estimators import NetworkClassifier, NetworkRegressor
from chainrule.estimators.defaults import ADAM_RATE
from chainrule.estimators.image_defaults import NETWORKS

DEFAULTS = NetworkClassifier().get_params()

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


@click.command(
    epilog=examples(
        "chainrule train penguins.csv --target species",
        "chainrule train houses.parquet --target price --hidden 128,64 --out houses.safetensors",
        "chainrule train digits.csv --target digit --until loss=0.05 --json",
        "chainrule train photos --out birds.safetensors",
        "chainrule train birds.csv --images file --target species --size 96",
    )
)
@data_argument
@click.option(
    "--target", metavar="COLUMN", help="The column to predict; a folder of pictures needs none."
)
@click.option(
    "--out", metavar="MODEL", help="The model file to write.  [default: DATA's name].safetensors"
)
@click.option(
    "--task",
    type=click.Choice(["auto", "classification", "regression"]),
    default="auto",
    show_default=True,
    callback=lambda context, option, value: None if value == "auto" else value,
    help="auto decides by the values of the target.",
)
@click.option(
    "--ignore", multiple=True, metavar="COLUMN", help="A column not to learn from; repeatable."
)
@click.option(
    "--hidden",
    callback=hidden_sizes,
    metavar="N,N,...",
    help=f"Widths of the hidden layers.  [default: {','.join(map(str, DEFAULTS['hidden']))}]",
)
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"Epochs at most.  [default: {DEFAULTS['epochs']}; for pictures by their number]",
)
@click.option(
    "--until",
    callback=thresholds,
    multiple=True,
    metavar="NAME=VALUE",
    help="Train until a number is that good, such as loss=0.05 or val_accuracy=0.9; repeatable. "
    "Early stopping is off then.",
)
@click.option(
    "--learning-rate",
    type=click.FloatRange(min=0, min_open=True),
    metavar="R",
    help=f"Size of a step.  [default: {ADAM_RATE}]",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    metavar="N",
    help="Rows or pictures in one step.  [default: by their number]",
)
@click.option(
    "--test-fraction",
    type=click.FloatRange(min=0, max=1, max_open=True),
    default=0.2,
    show_default=True,
    metavar="F",
    help="Share held out to test the model; 0 learns from all.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="The same seed gives the same model.",
)
@click.option(
    "--images", metavar="COLUMN", help="DATA is a table of pictures; the column of their paths."
)
@click.option(
    "--size",
    callback=picture_size,
    metavar="N|HxW",
    help="Height and width of pictures.  [default: their own if one and small, else 64]",
)
@click.option(
    "--aspect",
    type=click.Choice(ASPECTS),
    default="stretch",
    show_default=True,
    help="How pictures of another shape are brought to that size.",
)
@click.option(
    "--network",
    type=click.Choice(["auto", *NETWORKS]),
    default="auto",
    show_default=True,
    help="The network for pictures; auto decides by their size and number.",
)
@click.option(
    "--augment/--no-augment",
    default=True,
    show_default=True,
    help="Change pictures a little in training.",
)
@click.option(
    "--mistakes",
    metavar="PNG",
    help="The picture of mistakes to write.  [default: MODEL's name]-mistakes.png",
)
@encoding_option
@json_option
def train(
    data: str,
    target: str | None,
    encoding: str,
    out: str | None,
    task: Task | None,
    ignore: tuple[str, ...],
    test_fraction: float,
    seed: int,
    images: str | None,
    size: tuple[int, int] | None,
    aspect: Aspect,
    network: str,
    augment: bool,
    mistakes: str | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Train a network on DATA and write it to a model file.

    DATA is a table (CSV, TSV or Parquet), or a folder of pictures with a sub-folder for each class.

    Numbers are standardised, categories become one input for each value, missing cells are filled
    in and marked. Part of the rows is held out to test the model, the classes in proportion;
    training stops when the loss on another part no longer falls, and the best weights are put back.
    Ctrl-C stops early and keeps the model.

    Pictures are brought to one size; files that cannot be read are listed and skipped. The most
    confident mistakes of the test are drawn into a PNG.
    """
    if os.path.isdir(data) or images is not None:
        _refuse(data, {"--task": task, "--ignore": ignore, "--hidden": settings.pop("hidden")})
        if images is None:
            _refuse(data, {"--target": target})
        options = PictureOptions(
            images, target, size, aspect, network, augment, mistakes, out, test_fraction, seed,
            as_json,
        )  # fmt: skip
        given = {name: value for name, value in settings.items() if value is not None}
        train_pictures(data, options, given)
        return
    if target is None:
        raise click.MissingParameter(param_hint="'--target'", param_type="option")
    start = time.perf_counter()
    path = out or f"{Path(data).stem}.safetensors"
    check_model_output(path)
    table = read_examples(data, target, encoding, ignore)
    decision = _decide(table.target, task)
    train_rows, test_rows = _split(table, decision.task, test_fraction, seed)
    estimator = _make_estimator(decision.task, seed, settings)
    _fit(estimator, *table.take(train_rows))
    estimator.save(path)
    scores = score(estimator, *table.take(test_rows)) if len(test_rows) else None
    seconds = time.perf_counter() - start
    run = Run(data, table, decision, estimator, len(test_rows), scores, seconds, path)
    _print_report(run)
    if as_json:
        report.print_json(_facts(run))


def _refuse(data: str, options: dict[str, Any]) -> None:
    """Refuse options that have no meaning for pictures."""
    for name, value in options.items():
        if value:
            raise ArgumentError(
                name, "this option is for tables", got=f"{data}, a folder or table of pictures",
                fix=f"leave {name} out, or name a table",
            )  # fmt: skip


def _decide(target: Column, task: Task | None) -> TaskDecision:
    """The task, after a check that the target can be learned that way."""
    where = f"target {target.name!r}"
    decision = infer_task(target, where)
    if task is not None:
        decision = TaskDecision(task, False, "as asked for")
    encoder = ClassEncoder() if decision.task == "classification" else RegressionScaler()
    encoder.fit(target, where)
    return decision


def _split(
    table: Examples, task: str, test_fraction: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows to train and to test."""
    if test_fraction == 0:
        return np.arange(len(table)), np.arange(0)
    labels = table.target.values if task == "classification" else None
    try:
        return split_indices(len(table), test_fraction, seed=seed, stratify=labels)
    except DataError as error:
        raise DataError(
            table.inputs.source,
            error.what,
            got=error.got,
            expected=error.expected,
            fix="give more rows, or learn from all of them with --test-fraction 0",
        ) from None


def _make_estimator(task: str, seed: int, settings: dict[str, Any]) -> Estimator:
    given = {name: value for name, value in settings.items() if value is not None}
    kind = NetworkClassifier if task == "classification" else NetworkRegressor
    return kind(random_state=seed, verbose="auto", **given)


def _fit(estimator: Estimator, inputs: Table, target: Column) -> None:
    """Train; a run that ended in numbers that are not finite is a mistake, not a model."""
    with warnings.catch_warnings():
        # Said once, below or in the report, as the reason why the training stopped.
        warnings.simplefilter("ignore", RuntimeWarning)
        estimator.fit(inputs, target)
    if not all(np.isfinite(weights).all() for weights in estimator.model_.get_weights()):
        raise DataError(
            "train",
            "the weights grew beyond all bounds, so no model was written",
            got=f"{estimator.n_iter_} epochs of finite losses",
            fix="use a smaller --learning-rate",
        )


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
