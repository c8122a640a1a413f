"""``chainrule train FOLDER``: from sounds to a model file."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.cli import media, report, sounds
from chainrule.cli.kind import TrainRequest
from chainrule.cli.outputs import check_model_output
from chainrule.cli.per_class import per_class_scores, print_per_class
from chainrule.cli.scores import Scores, score_labels
from chainrule.cli.text import printable
from chainrule.cli.training import fit, split
from chainrule.data import AudioData, audio
from chainrule.errors import ArgumentError
from chainrule.estimators import SoundClassifier


@dataclass(frozen=True)
class _Run:
    source: str
    data: AudioData
    classifier: SoundClassifier
    test_count: int
    scores: Scores | None
    per_class: list[dict[str, Any]] | None
    mistakes: list[dict[str, Any]] | None
    seconds: float
    path: str


def train_sounds(request: TrainRequest) -> None:
    """Read sounds, train, save, test and report."""
    start = time.perf_counter()
    source, own = request.data, request.own
    if own["audio"] is None and request.target is not None:
        raise ArgumentError(
            "--target", "this option is for tables", got=f"{source}, a folder of sounds",
            fix="leave --target out, or name a table",
        )  # fmt: skip
    path = request.out or f"{Path(source).resolve().stem}.safetensors"
    check_model_output(path)
    classifier = SoundClassifier(
        augment=own["augment"], seconds=own["seconds"], random_state=request.seed, verbose="auto",
        **request.settings,
    )  # fmt: skip
    data = media.with_progress(
        sounds.NOUN, audio, source, path_column=own["audio"], label_column=request.target
    )
    train_rows, test_rows = split(request, len(data), data.y, source, sounds.NOUN)
    fit(classifier, data.take(train_rows))
    classifier.save(path)
    scores, per_class, mistakes = None, None, None
    if len(test_rows):
        test = data.take(test_rows)
        probabilities = classifier.predict_proba(test)
        labels = np.array(data.classes)[test.y]
        scores = score_labels(classifier.classifier_, labels, probabilities)
        per_class = per_class_scores(data.classes, scores.confusion, sounds.NOUN)
        mistakes = sounds.mistakes(test, probabilities)
    seconds = time.perf_counter() - start
    run = _Run(source, data, classifier, len(test_rows), scores, per_class, mistakes, seconds, path)
    _print_report(run)
    if request.as_json:
        report.print_json(_facts(run))


def _print_report(run: _Run) -> None:
    out, classifier = report.console(), run.classifier
    lines = sounds.sound_facts(run.source, run.data)
    prepared = sounds.preparation_fact(run.data.preparation, classifier.length_)
    lines.append(("Prepared", prepared))
    lines += media.training_facts(sounds.NOUN, run.data, run.test_count, classifier)
    report.print_facts(out, lines)
    if run.scores is not None and run.per_class is not None:
        report.print_scores(out, "Test", run.scores, classifier.classifier_)
        print_per_class(out, run.per_class, sounds.NOUN)
    if run.mistakes:
        out.print("\nMost confident mistakes")
        for row in run.mistakes:
            out.print(
                printable(
                    f"  {row['file']}: {row['prediction']} ({row['probability']:.2f}), "
                    f"in fact {row['class']}"
                )
            )
    out.print(f"\nModel written to {printable(run.path)} ({run.seconds:.1f} s in all)")


def _facts(run: _Run) -> dict[str, Any]:
    """What the JSON line holds."""
    return {
        **media.training_json(sounds.NOUN, run.data, run.test_count, run.classifier),
        "rates": {str(rate): files for rate, files in run.data.rates.items()},
        "duration": round(run.data.seconds, 3),
        "length": run.classifier.length_,
        **report.score_facts(run.scores, run.classifier.classifier_),
        "per_class": run.per_class,
        "mistakes": run.mistakes,
        "seconds": round(run.seconds, 3),
        "model": run.path,
    }
