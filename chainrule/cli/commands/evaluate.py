"""``chainrule evaluate``: how good a model is on rows or pictures whose answers are known."""

import time

import click

from chainrule.cli import pictures, report
from chainrule.cli.options import (
    data_argument,
    encoding_option,
    examples,
    json_option,
    model_argument,
)
from chainrule.cli.scores import Estimator, score, score_pictures
from chainrule.cli.tables import read_examples
from chainrule.data import images
from chainrule.errors import ArgumentError
from chainrule.estimators import ImageClassifier, NetworkClassifier, load


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

    For a model of pictures, DATA is a folder with a sub-folder for each class, or a table of paths
    and labels.

    The scores stand beside those of a baseline that ignores the inputs: the most frequent class, or
    the mean, of the rows that the model learned from.
    """
    start = time.perf_counter()
    estimator = load(model)
    if isinstance(estimator, ImageClassifier):
        _evaluate_pictures(model, estimator, data, target, as_json)
        return
    table = read_examples(data, _target_of(estimator, target), encoding)
    scores = score(estimator, table.inputs, table.target)
    seconds = time.perf_counter() - start
    out = report.console()
    report.print_facts(out, report.table_facts(data, table))
    report.print_scores(out, "Scores", scores, estimator)
    if as_json:
        classifier = isinstance(estimator, NetworkClassifier)
        facts = {
            "task": "classification" if classifier else "regression",
            "target": table.target.name,
            "rows": table.rows,
            "rows_without_target": table.without_target,
            **report.score_facts(scores, estimator),
            "seconds": round(seconds, 3),
            "model": model,
        }
        report.print_json(facts)


def _evaluate_pictures(
    model: str, classifier: ImageClassifier, source: str, target: str | None, as_json: bool
) -> None:
    start = time.perf_counter()
    wanted, trained = classifier.preparation_, classifier.classifier_
    data = pictures.with_progress(
        images, source, size=(wanted.height, wanted.width), aspect=wanted.aspect,
        channels=wanted.channels, dtype=wanted.dtype, background=wanted.background,
        label_column=target, allow_one_class=True,
    )  # fmt: skip
    scores = score_pictures(classifier, data, classifier.predict_proba(data))
    per_class = pictures.per_class_scores(classifier.classes_.tolist(), scores.confusion)
    seconds = time.perf_counter() - start
    out = report.console()
    report.print_facts(out, pictures.picture_facts(source, data))
    report.print_scores(out, "Scores", scores, trained)
    pictures.print_per_class(out, per_class)
    if as_json:
        facts = {
            "task": "classification",
            "pictures": len(data),
            "skipped": [item._asdict() for item in data.skipped],
            **report.score_facts(scores, trained),
            "per_class": per_class,
            "seconds": round(seconds, 3),
            "model": model,
        }
        report.print_json(facts)


def _target_of(estimator: Estimator, given: str | None) -> str:
    target = given or estimator.target_name_
    if target is None:
        raise ArgumentError(
            "evaluate", "the model does not know the name of its target", fix="give --target COLUMN"
        )
    return target
