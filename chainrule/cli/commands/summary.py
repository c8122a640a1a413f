"""``chainrule summary``: what is in a model file."""

import click

from chainrule.cli import pictures, report
from chainrule.cli.options import examples, json_option, model_argument
from chainrule.cli.text import count, printable
from chainrule.estimators import ImageClassifier, NetworkClassifier, load


@click.command(epilog=examples("chainrule summary penguins.safetensors"))
@model_argument
@json_option
def summary(model: str, as_json: bool) -> None:
    """Show what MODEL predicts, from which columns or pictures, and its network by layers."""
    estimator = load(model)
    if isinstance(estimator, ImageClassifier):
        _summary_of_pictures(model, estimator, as_json)
        return
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


def _summary_of_pictures(model: str, classifier: ImageClassifier, as_json: bool) -> None:
    trained, preparation = classifier.classifier_, classifier.preparation_
    layers = trained.model_.summary()
    lines = [
        ("Model", model),
        ("Classes", report.class_facts(trained)),
        ("Pictures", pictures.preparation_fact(preparation)),
        ("Network", classifier.network_),
        ("Training", count(trained.n_iter_, "epoch")),
    ]
    out = report.console()
    report.print_facts(out, lines)
    out.print()
    click.echo(printable(str(layers)))
    if as_json:
        facts = {
            "task": "classification",
            "classes": trained.classes_,
            "preparation": preparation.to_config(),
            "network": classifier.network_,
            "parameters": layers.parameters,
            "epochs": trained.n_iter_,
            "model": model,
        }
        report.print_json(facts)
