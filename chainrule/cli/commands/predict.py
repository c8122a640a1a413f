"""``chainrule predict``: answers for new rows or pictures."""

from typing import Any

import click
from numpy.typing import NDArray

from chainrule.cli.answers import to_csv
from chainrule.cli.options import encoding_option, examples, model_argument
from chainrule.cli.pictures import warn_skipped, with_progress
from chainrule.cli.scores import Estimator
from chainrule.cli.text import count
from chainrule.data import Table, read_pictures, read_table
from chainrule.errors import ArgumentError
from chainrule.estimators import ImageClassifier, NetworkClassifier, load
from chainrule.formats import check_writable
from chainrule.formats.atomic import write_atomically


@click.command(
    epilog=examples(
        "chainrule predict penguins.safetensors new.csv --out answers.csv",
        "chainrule predict houses.safetensors houses.parquet --keep address | head",
        "chainrule predict birds.safetensors picture.png more/",
    )
)
@model_argument
@click.argument("data", type=click.Path(), nargs=-1, required=True)
@click.option("--out", metavar="FILE", help="The CSV file to write.  [default: standard output]")
@click.option(
    "--keep", multiple=True, metavar="COLUMN", help="A column of DATA to repeat; repeatable."
)
@encoding_option
def predict(
    model: str, data: tuple[str, ...], out: str | None, keep: tuple[str, ...], encoding: str
) -> None:
    """Write the predictions of MODEL for each row of the table DATA, in order, as CSV.

    The column "prediction" holds the predicted class or number; for classes, one column each holds
    its probability. Columns that the model does not know are ignored. Text that a spreadsheet would
    take for a formula gets an apostrophe in front.

    For a model of pictures, DATA are picture files, and folders with pictures at any depth. The
    column "file" names each; those that cannot be read are told and left out.
    """
    if out is not None:
        check_writable(out)
    estimator = load(model)
    if isinstance(estimator, ImageClassifier):
        columns, answers = _picture_answers(estimator, data, keep)
    else:
        columns, answers = _table_answers(estimator, data, keep, encoding)
    twice = columns.keys() & answers.keys()
    if twice:
        raise ArgumentError("predict", "a kept column has the name of an answer", got=sorted(twice))
    text = to_csv(columns | answers)
    if out is None:
        click.echo(text, nl=False)
    else:
        write_atomically(out, [text.encode()])
        click.echo(f"{count(len(answers['prediction']), 'prediction')} written to {out}", err=True)


def _picture_answers(
    classifier: ImageClassifier, data: tuple[str, ...], keep: tuple[str, ...]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The files, and what is predicted for each."""
    if keep:
        raise ArgumentError("--keep", "this option is for tables", got=repr(keep[0]))
    found = with_progress(read_pictures, data, classifier.preparation_)
    warn_skipped(found.skipped)
    files = [name.encode(errors="backslashreplace").decode() for name in found.paths]
    probabilities = classifier.predict_proba(found)
    return {"file": files}, _class_answers(classifier.classes_, probabilities)


def _table_answers(
    estimator: Estimator, data: tuple[str, ...], keep: tuple[str, ...], encoding: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The columns to repeat, and what is predicted for each row."""
    if len(data) > 1:
        raise ArgumentError(
            "predict", "this model takes one table", got=", ".join(data), expected="one file",
            fix="run predict for each table",
        )  # fmt: skip
    table = read_table(data[0], encoding=encoding)
    columns: dict[str, Any] = {}
    for name in keep:
        column = table.column(name)
        columns[name] = [
            None if gone else value
            for value, gone in zip(column.values.tolist(), column.missing, strict=True)
        ]
    return columns, _answers(estimator, table)


def _answers(estimator: Estimator, table: Table) -> dict[str, Any]:
    """The columns of predictions, with the digits that single precision can vouch for."""
    if not isinstance(estimator, NetworkClassifier):
        numbers = estimator.predict(table).tolist()
        return {"prediction": [float(f"{number:.7g}") for number in numbers]}
    return _class_answers(estimator.classes_, estimator.predict_proba(table))


def _class_answers(classes: NDArray[Any], probabilities: NDArray[Any]) -> dict[str, Any]:
    answers: dict[str, Any] = {"prediction": classes[probabilities.argmax(axis=1)]}
    for label, column in zip(classes, probabilities.T, strict=True):
        answers[f"probability of {label}"] = column.round(6)
    return answers
