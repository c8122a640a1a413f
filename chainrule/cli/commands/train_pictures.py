"""``chainrule train FOLDER``: from pictures to a model file."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.cli import media, pictures, report
from chainrule.cli.kind import TrainRequest
from chainrule.cli.outputs import check_model_output, check_png_output
from chainrule.cli.per_class import per_class_scores, print_per_class
from chainrule.cli.scores import Scores, score_labels
from chainrule.cli.text import printable
from chainrule.cli.training import fit, split
from chainrule.data import ImageData, images
from chainrule.errors import ArgumentError
from chainrule.estimators import ImageClassifier


@dataclass(frozen=True)
class _Run:
    source: str
    data: ImageData
    classifier: ImageClassifier
    test_count: int
    scores: Scores | None
    per_class: list[dict[str, Any]] | None
    mistakes: str | None
    drawn: str
    seconds: float
    path: str


def train_pictures(request: TrainRequest) -> None:
    """Read pictures, train, save, test and report."""
    start = time.perf_counter()
    source, own = request.data, request.own
    if own["images"] is None and request.target is not None:
        raise ArgumentError(
            "--target", "this option is for tables", got=f"{source}, a folder of pictures",
            fix="leave --target out, or name a table",
        )  # fmt: skip
    path = request.out or f"{Path(source).resolve().stem}.safetensors"
    mistakes = own["mistakes"] or f"{Path(path).with_suffix('')}-mistakes.png"
    check_model_output(path)
    check_png_output(mistakes)
    classifier = ImageClassifier(
        own["network"], augment=own["augment"], random_state=request.seed, verbose="auto",
        **request.settings,
    )  # fmt: skip
    data = media.with_progress(
        pictures.NOUN, images, source, size=own["size"], aspect=own["aspect"],
        path_column=own["images"], label_column=request.target,
    )  # fmt: skip
    train_rows, test_rows = split(request, len(data), data.y, source, "pictures")
    fit(classifier, data.take(train_rows))
    classifier.save(path)
    scores, per_class, drawn = None, None, ""
    if len(test_rows):
        test = data.take(test_rows)
        probabilities = classifier.predict_proba(test)
        labels = np.array(data.classes)[test.y]
        scores = score_labels(classifier.classifier_, labels, probabilities)
        per_class = per_class_scores(data.classes, scores.confusion, "pictures")
        drawn = pictures.draw_mistakes(mistakes, test, probabilities)
    seconds = time.perf_counter() - start
    run = _Run(
        source, data, classifier, len(test_rows), scores, per_class,
        mistakes if drawn == mistakes else None, drawn, seconds, path,
    )  # fmt: skip
    _print_report(run)
    if request.as_json:
        report.print_json(_facts(run))


def _print_report(run: _Run) -> None:
    out = report.console()
    lines = pictures.picture_facts(run.source, run.data)
    lines += media.training_facts(pictures.NOUN, run.data, run.test_count, run.classifier)
    report.print_facts(out, lines)
    if run.scores is not None and run.per_class is not None:
        report.print_scores(out, "Test", run.scores, run.classifier.classifier_)
        print_per_class(out, run.per_class, pictures.NOUN)
        out.print(f"\nMost confident mistakes: {printable(run.drawn)}")
    out.print(f"\nModel written to {printable(run.path)} ({run.seconds:.1f} s in all)")


def _facts(run: _Run) -> dict[str, Any]:
    """What the JSON line holds."""
    return {
        **media.training_json(pictures.NOUN, run.data, run.test_count, run.classifier),
        **report.score_facts(run.scores, run.classifier.classifier_),
        "per_class": run.per_class,
        "mistakes": run.mistakes,
        "seconds": round(run.seconds, 3),
        "model": run.path,
    }
