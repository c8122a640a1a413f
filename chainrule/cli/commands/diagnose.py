"""``chainrule diagnose``: why a network does not learn better, and what to change."""

import contextlib
import io
import tempfile
import warnings
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from chainrule.cli import report
from chainrule.cli.commands.train import train
from chainrule.cli.commands.train_tables import decide, make_estimator
from chainrule.cli.kind import ExplainRequest, TrainRequest
from chainrule.cli.kinds import TABLES, kind_of, kind_of_data
from chainrule.cli.options import encoding_option, examples, hidden_sizes, json_option
from chainrule.cli.tables import read_examples
from chainrule.cli.text import printable
from chainrule.cli.texts import only_text_column
from chainrule.data import split_indices
from chainrule.diagnosis.diagnose import diagnose as find_causes
from chainrule.diagnosis.report import Report
from chainrule.errors import ArgumentError
from chainrule.estimators import load
from chainrule.estimators.media_classifier import MediaClassifier
from chainrule.estimators.network import NetworkEstimator
from chainrule.training.model import Model

#: Rows that are looked at: the training is repeated on them, several times.
MOST_ROWS = 20_000
_AS_IN_TRAIN = 'Without MODEL: as in "chainrule train".'


@click.command(
    epilog=examples(
        "chainrule diagnose penguins.csv --target species",
        "chainrule diagnose penguins.csv --target species --learning-rate 10",
        "chainrule diagnose penguins.safetensors penguins.csv",
        "chainrule diagnose photos --budget 120 --json",
    )
)
@click.argument("model_or_data", type=click.Path())
@click.argument("data", type=click.Path(), required=False)
@click.option(
    "--target", metavar="COLUMN", help="The column with the answers.  [default: as in training]"
)
@click.option(
    "--budget",
    type=click.FloatRange(min=1),
    default=60.0,
    show_default=True,
    metavar="S",
    help="Seconds that the search may take, beside the training.",
)
@click.option("--epochs", type=click.IntRange(min=1), metavar="N", help=_AS_IN_TRAIN)
@click.option(
    "--learning-rate",
    type=click.FloatRange(min=0, min_open=True),
    metavar="R",
    help=_AS_IN_TRAIN,
)
@click.option("--hidden", callback=hidden_sizes, metavar="N,N,...", help=_AS_IN_TRAIN)
@encoding_option
@json_option
def diagnose(
    model_or_data: str,
    data: str | None,
    target: str | None,
    budget: float,
    encoding: str,
    as_json: bool,
    **settings: Any,
) -> None:
    """Say what keeps a network from learning better.

    With MODEL and DATA the training of the model is repeated on DATA, from new first weights; with
    DATA alone a network is trained first. Then 41 faults are looked for, in the data, the
    structure, the learning rate, the activations and the loss, and the first weights; where it can
    be, the remedy is tried. Nothing is written.
    """
    given = {name: value for name, value in settings.items() if value is not None}
    if data is None:
        own: dict[str, Any] = dict.fromkeys(p.name for p in train.params if p.name)
        if kind_of_data(model_or_data, own) is TABLES:
            found = _diagnose_table(model_or_data, target, encoding, given, budget)
        else:
            found = _diagnose_by_model(model_or_data, target, encoding, given, budget)
    else:
        if given:
            option = "--" + next(iter(given)).replace("_", "-")
            raise ArgumentError(
                option, "the model says how it was trained", got=model_or_data,
                fix=f"leave {option} out, or leave the model out",
            )  # fmt: skip
        found = _diagnose_model(model_or_data, data, target, encoding, budget)
    click.echo(printable(found.text()))
    if as_json:
        report.print_json({**found.to_dict(), "data": data or model_or_data})


def _diagnose_table(
    data: str, target: str | None, encoding: str, given: dict[str, Any], budget: float
) -> Report:
    """Train on a table with these settings, however it ends, and look at the run."""
    if target is None:
        raise click.MissingParameter(param_hint="'--target'", param_type="option")
    table = read_examples(data, target, encoding)
    task = decide(table.target, None).task
    column = only_text_column(table.inputs, table.target.name)
    if column is not None and task == "classification" and "hidden" not in given:
        return _diagnose_by_model(data, target, encoding, given, budget)
    hidden = given.pop("hidden", None)
    request = TrainRequest(data, target, encoding, None, 0.0, 0, False, given, {"hidden": hidden})
    labels = table.target.values if task == "classification" else None
    inputs, answers = table.take(_some(len(table), labels))
    estimator = make_estimator(task, request)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the report says it
        estimator.fit(inputs, answers)
    return find_causes(estimator, inputs, answers, budget=budget)


def _diagnose_by_model(
    data: str, target: str | None, encoding: str, given: dict[str, Any], budget: float
) -> Report:
    """Train on a folder or a table of texts as ``chainrule train`` does; look at the model."""
    if "hidden" in given:
        raise ArgumentError("--hidden", "this option is for tables", got=data,
                            fix="leave it out")  # fmt: skip
    options = {"--target": target, "--encoding": encoding}
    options |= {f"--{name.replace('_', '-')}": value for name, value in given.items()}
    words = [str(part) for pair in options.items() if pair[1] is not None for part in pair]
    with tempfile.TemporaryDirectory() as folder:
        model = str(Path(folder) / "model.safetensors")
        with contextlib.redirect_stdout(io.StringIO()):
            train.main([data, "--out", model, *words], standalone_mode=False)
        return _diagnose_model(model, data, target, encoding, budget)


def _diagnose_model(
    path: str, data: str, target: str | None, encoding: str, budget: float
) -> Report:
    """Repeat the training of a model on data, and look at the run."""
    estimator = load(path)
    if not isinstance(estimator, NetworkEstimator | MediaClassifier):
        raise ArgumentError(
            "diagnose", "models of this kind cannot be diagnosed yet", got=type(estimator).__name__,
            expected="a model of a table, of pictures, of sounds or of texts with classes",
        )  # fmt: skip
    batch = kind_of(estimator).examples(estimator, ExplainRequest(data, target, encoding, 1, 10**9))
    rows = _some(len(batch.y), batch.y if batch.y.dtype.kind in "iu" else None)
    x, y = batch.x[rows], batch.y[rows]
    inner = estimator.classifier_ if isinstance(estimator, MediaClassifier) else estimator
    network: Model = inner.trained_again(x, y)
    return find_causes(network, x, y, budget=budget, columns=list(batch.names.inputs) or None)


def _some(total: int, labels: NDArray[Any] | None) -> NDArray[Any]:
    """The numbers of the rows to look at, of each class in proportion."""
    if total <= MOST_ROWS:
        return np.arange(total)
    chosen = split_indices(total, MOST_ROWS / total, seed=0, stratify=labels)[1]
    return np.sort(chosen)
