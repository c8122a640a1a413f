"""``chainrule explain``: one training step of a model, with all its numbers."""

from typing import Any

import click
import numpy as np

from chainrule import optimizers
from chainrule.cli import report
from chainrule.cli.kind import ExplainRequest
from chainrule.cli.kinds import kind_of
from chainrule.cli.options import (
    data_argument,
    encoding_option,
    examples,
    json_option,
    model_argument,
)
from chainrule.cli.outputs import check_page_output
from chainrule.cli.text import printable
from chainrule.estimators import load
from chainrule.training.explanation import Explanation, explain_step
from chainrule.training.explanation.words import LANGUAGES


@click.command(
    epilog=examples(
        "chainrule explain penguins.safetensors penguins.csv --row 5",
        "chainrule explain penguins.safetensors penguins.csv --row 5 --html step.html",
        "chainrule explain birds.safetensors photos --language zh --optimizer adam",
    )
)
@model_argument
@data_argument
@click.option(
    "--row",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="The example to show: a row of a table, or a file of a folder, counted from 1.",
)
@click.option(
    "--rows",
    type=click.IntRange(min=1),
    default=32,
    show_default=True,
    metavar="N",
    help="Examples in a batch.",
)
@click.option(
    "--html", metavar="FILE", help="Write a page with the examples of the batch instead of text."
)
@click.option(
    "--language", type=click.Choice(LANGUAGES), default="en", show_default=True, help="Of the text."
)
@click.option(
    "--optimizer",
    default="sgd",
    show_default=True,
    metavar="NAME",
    help="Whose update to show, as in its first step.",
)
@click.option(
    "--learning-rate",
    type=click.FloatRange(min=0, min_open=True),
    metavar="R",
    help="Size of a step.  [default: that of the optimizer]",
)
@click.option(
    "--check", is_flag=True, help="Compare the gradients with differences of the loss in float64."
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="What dropout and the like draw.",
)
@click.option(
    "--target", metavar="COLUMN", help="The column with the answers.  [default: as in training]"
)
@encoding_option
@json_option
def explain(
    model: str,
    data: str,
    row: int,
    rows: int,
    html: str | None,
    language: str,
    optimizer: str,
    learning_rate: float | None,
    check: bool,
    seed: int,
    target: str | None,
    encoding: str,
    as_json: bool,
) -> None:
    """Show one training step of MODEL on an example of DATA, with its numbers.

    Four blocks: forward, from the input to the output; the loss; backward, the gradient of every
    layer and weight; the update of the weights. Beside the example stands the mean over its batch.
    DATA is as in "chainrule evaluate"; MODEL stays as it is.

    With --html a page shows where each number comes from, and compares the examples of the batch.
    """
    if html is not None:
        check_page_output(html)
    chosen = optimizers.get(optimizer)
    if learning_rate is not None:
        chosen.learning_rate = learning_rate
    estimator = load(model)
    request = ExplainRequest(data, target, encoding, row, rows)
    batch = kind_of(estimator).examples(estimator, request)
    batch.model.reset_generators(seed)
    step = explain_step(
        batch.model, batch.x, batch.y, batch.row, batch.loss, chosen, language, batch.names
    )
    if html is None:
        click.echo(printable(str(step)), nl=False)
    else:
        step.to_html(html)
        click.echo(f"Page written to {printable(html)}")
    difference = step.check() if check else None
    if difference is not None:
        click.echo(f"{step.words['check']}: {difference:.1e}")
    if as_json:
        report.print_json({**_facts(step), "row": row, "difference": difference, "model": model})


def _facts(step: Explanation) -> dict[str, Any]:
    """The step in numbers, without those of single neurons."""
    layers = [
        {
            "path": one.path,
            "kind": one.kind,
            "shape": list(one.a.shape[1:]),
            "gradient_norm": None if one.delta is None else float(np.linalg.norm(one.delta)),
        }
        for one in step.one.layers
    ]
    weights = [
        {
            "path": mean.path,
            "shape": list(mean.before.shape),
            "gradient_norm": float(np.linalg.norm(one.gradient)),
            "batch_gradient_norm": float(np.linalg.norm(mean.gradient)),
            "batch_change_norm": float(np.linalg.norm(mean.change)),
        }
        for one, mean in zip(step.one.weights, step.batch.weights, strict=True)
    ]
    return {
        "rows": len(step.batch.y),
        "loss": step.one.loss,
        "batch_loss": step.batch.loss,
        "predicted_batch_loss": step.batch.predicted_loss,
        "new_batch_loss": step.batch.new_loss,
        "layers": layers,
        "weights": weights,
    }
