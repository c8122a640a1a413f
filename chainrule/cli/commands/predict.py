"""``chainrule predict``: answers for new rows."""

from typing import Any

import click

from chainrule.cli.answers import to_csv
from chainrule.cli.options import data_argument, encoding_option, examples, model_argument
from chainrule.cli.scores import Estimator
from chainrule.cli.text import count
from chainrule.data import Table, read_table
from chainrule.errors import ArgumentError
from chainrule.estimators import NetworkClassifier, load
from chainrule.formats import check_writable
from chainrule.formats.atomic import write_atomically


@click.command(
    epilog=examples(
        "chainrule predict penguins.safetensors new.csv --out answers.csv",
        "chainrule predict houses.safetensors houses.parquet --keep address | head",
    )
)
@model_argument
@data_argument
@click.option("--out", metavar="FILE", help="The CSV file to write.  [default: standard output]")
@click.option(
    "--keep", multiple=True, metavar="COLUMN", help="A column of DATA to repeat; repeatable."
)
@encoding_option
def predict(model: str, data: str, out: str | None, keep: tuple[str, ...], encoding: str) -> None:
    """Write the predictions of MODEL for each row of the table DATA, in order, as CSV.

    The column "prediction" holds the predicted class or number; for classes, one column each holds
    its probability. Columns that the model does not know are ignored. Text that a spreadsheet would
    take for a formula gets an apostrophe in front.
    """
    if out is not None:
        check_writable(out)
    estimator = load(model)
    table = read_table(data, encoding=encoding)
    columns: dict[str, Any] = {}
    for name in keep:
        column = table.column(name)
        columns[name] = [
            None if gone else value
            for value, gone in zip(column.values.tolist(), column.missing, strict=True)
        ]
    answers = _answers(estimator, table)
    twice = columns.keys() & answers.keys()
    if twice:
        raise ArgumentError("predict", "a kept column has the name of an answer", got=sorted(twice))
    text = to_csv(columns | answers)
    if out is None:
        click.echo(text, nl=False)
    else:
        write_atomically(out, [text.encode()])
        click.echo(f"{count(table.n_rows, 'prediction')} written to {out}", err=True)


def _answers(estimator: Estimator, table: Table) -> dict[str, Any]:
    """The columns of predictions, with the digits that single precision can vouch for."""
    if not isinstance(estimator, NetworkClassifier):
        numbers = estimator.predict(table).tolist()
        return {"prediction": [float(f"{number:.7g}") for number in numbers]}
    probabilities = estimator.predict_proba(table)
    answers: dict[str, Any] = {"prediction": estimator.classes_[probabilities.argmax(axis=1)]}
    for label, column in zip(estimator.classes_, probabilities.T, strict=True):
        answers[f"probability of {label}"] = column.round(6)
    return answers
