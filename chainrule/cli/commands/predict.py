"""``chainrule predict``: answers for new data."""

import click

from chainrule.cli.answers import to_csv
from chainrule.cli.kind import PredictRequest
from chainrule.cli.kinds import kind_of
from chainrule.cli.options import encoding_option, examples, model_argument
from chainrule.cli.text import count
from chainrule.errors import ArgumentError
from chainrule.estimators import load
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

    For a model of pictures or sounds, DATA are files, and folders with files at any depth. The
    column "file" names each; those that cannot be read are told and left out.
    """
    if out is not None:
        check_writable(out)
    estimator = load(model)
    request = PredictRequest(data, keep, encoding)
    columns, answers = kind_of(estimator).answers(estimator, request)
    twice = columns.keys() & answers.keys()
    if twice:
        raise ArgumentError("predict", "a kept column has the name of an answer", got=sorted(twice))
    text = to_csv(columns | answers)
    if out is None:
        click.echo(text, nl=False)
    else:
        write_atomically(out, [text.encode()])
        click.echo(f"{count(len(answers['prediction']), 'prediction')} written to {out}", err=True)
