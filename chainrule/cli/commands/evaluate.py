"""``chainrule evaluate``: how good a model is on data whose answers are known."""

import click

from chainrule.cli.kind import EvaluateRequest
from chainrule.cli.kinds import kind_of
from chainrule.cli.options import (
    data_argument,
    encoding_option,
    examples,
    json_option,
    model_argument,
)
from chainrule.estimators import load


@click.command(
    epilog=examples(
        "chainrule evaluate penguins.safetensors test.csv",
        "chainrule evaluate birds.safetensors test-photos",
    )
)
@model_argument
@data_argument
@click.option(
    "--target", metavar="COLUMN", help="The column with the answers.  [default: as in training]"
)
@encoding_option
@json_option
def evaluate(model: str, data: str, target: str | None, encoding: str, as_json: bool) -> None:
    """Score MODEL on the table DATA, which must hold the target column.

    For a model of pictures or sounds, DATA is a folder with a sub-folder for each class, or a table
    of paths and labels.

    The scores stand beside those of a baseline that ignores the inputs: the most frequent class, or
    the mean, of the rows that the model learned from.
    """
    estimator = load(model)
    request = EvaluateRequest(model, data, target, encoding, as_json)
    kind_of(estimator).evaluate(estimator, request)
