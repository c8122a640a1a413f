"""``chainrule train`` for texts: from a table or a folder to a model file."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from chainrule.cli import media, report, texts
from chainrule.cli.kind import TrainRequest
from chainrule.cli.outputs import check_model_output
from chainrule.cli.per_class import per_class_scores, print_per_class
from chainrule.cli.scores import Scores, score_labels
from chainrule.cli.text import printable
from chainrule.cli.training import fit, split
from chainrule.data import TextData, text
from chainrule.errors import ArgumentError
from chainrule.estimators import TextClassifier


@dataclass(frozen=True)
class _Run:
    source: str
    data: TextData
    classifier: TextClassifier
    test_count: int
    scores: Scores | None
    per_class: list[dict[str, Any]] | None
    mistakes: list[dict[str, Any]] | None
    seconds: float
    path: str


def train_texts(request: TrainRequest) -> None:
    """Read texts, train, save, test and report."""
    start = time.perf_counter()
    source, own = request.data, request.own
    if os.path.isdir(source):
        for name, value in (("--target", request.target), ("--text", own["text"])):
            if value is not None:
                raise ArgumentError(
                    name, "this option is for tables", got=f"{source}, a folder of texts",
                    fix=f"leave {name} out, or name a table",
                )  # fmt: skip
    elif request.target is None:
        raise click.MissingParameter(param_hint="'--target'", param_type="option")
    path = request.out or f"{Path(source).resolve().stem}.safetensors"
    check_model_output(path)
    classifier = TextClassifier(
        own["tokens"], chinese=own["chinese"], random_state=request.seed, verbose="auto",
        **request.settings,
    )  # fmt: skip
    data = media.with_progress(
        texts.NOUN, text, source, text_column=own["text"], label_column=request.target,
        encoding=request.encoding,
    )  # fmt: skip
    train_rows, test_rows = split(request, len(data), data.y, source, texts.NOUN)
    fit(classifier, data.take(train_rows))
    classifier.save(path)
    scores, per_class, mistakes = None, None, None
    if len(test_rows):
        test = data.take(test_rows)
        probabilities = classifier.predict_proba(test)
        scores = score_labels(classifier.classifier_, test.labels, probabilities)
        per_class = per_class_scores(data.classes, scores.confusion, texts.NOUN)
        mistakes = texts.mistakes(test, probabilities)
    seconds = time.perf_counter() - start
    run = _Run(source, data, classifier, len(test_rows), scores, per_class, mistakes, seconds, path)
    _print_report(run)
    if request.as_json:
        report.print_json(_facts(run))


def _print_report(run: _Run) -> None:
    out, classifier = report.console(), run.classifier
    lines = texts.text_facts(run.source, run.data)
    prepared = texts.preparation_fact(classifier.preparation_, classifier.truncated_)
    lines.append(("Tokens", prepared))
    lines += media.training_facts(texts.NOUN, run.data, run.test_count, classifier)
    report.print_facts(out, lines)
    if run.scores is not None and run.per_class is not None:
        report.print_scores(out, "Test", run.scores, classifier.classifier_)
        print_per_class(out, run.per_class, texts.NOUN)
    if run.mistakes:
        out.print("\nMost confident mistakes")
        for row in run.mistakes:
            out.print(
                printable(
                    f"  {row['prediction']} ({row['probability']:.2f}), in fact {row['class']}: "
                    f"{row['text']}"
                )
            )
    out.print(f"\nModel written to {printable(run.path)} ({run.seconds:.1f} s in all)")


def _facts(run: _Run) -> dict[str, Any]:
    """What the JSON line holds."""
    return {
        **media.training_json(texts.NOUN, run.data, run.test_count, run.classifier),
        "column": run.data.column,
        "target": run.data.target,
        "truncated": run.classifier.truncated_,
        **report.score_facts(run.scores, run.classifier.classifier_),
        "per_class": run.per_class,
        "mistakes": run.mistakes,
        "seconds": round(run.seconds, 3),
        "model": run.path,
    }
