"""``chainrule summary``: what is in a model file."""

import click

from chainrule.cli.kinds import kind_of
from chainrule.cli.options import examples, json_option, model_argument
from chainrule.estimators import load


@click.command(epilog=examples("chainrule summary penguins.safetensors"))
@model_argument
@json_option
def summary(model: str, as_json: bool) -> None:
    """Show what MODEL predicts, from which columns or pictures, and its network by layers."""
    estimator = load(model)
    kind_of(estimator).summary(model, estimator, as_json)
