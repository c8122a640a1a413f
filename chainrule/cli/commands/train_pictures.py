"""``chainrule train FOLDER``: from pictures to a model file."""

import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.cli import pictures, report
from chainrule.cli.outputs import check_model_output, check_png_output
from chainrule.cli.scores import Scores, score_pictures
from chainrule.cli.text import count, printable
from chainrule.data import ImageData, images, split_indices
from chainrule.data.image_decoding import Aspect
from chainrule.errors import DataError
from chainrule.estimators import ImageClassifier


@dataclass(frozen=True)
class PictureOptions:
    """What the user asked for, besides the settings of the network.

    Args:
        path_column, label_column: of a table of paths; None for a folder.
        size, aspect: how pictures are brought to one size.
        network: its name, or "auto".
        augment: whether pictures are changed a little in training.
        mistakes: the picture of mistakes to write; None for the default name.
        out: the model file; None for the default name.
        test_fraction, seed: of the split.
        as_json: end with a JSON line.
    """

    path_column: str | None
    label_column: str | None
    size: tuple[int, int] | None
    aspect: Aspect
    network: str
    augment: bool
    mistakes: str | None
    out: str | None
    test_fraction: float
    seed: int
    as_json: bool


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


def train_pictures(source: str, options: PictureOptions, settings: dict[str, Any]) -> None:
    """Read pictures, train, save, test and report.

    Args:
        source: the folder or table.
        options: what the user asked for.
        settings: those of `ImageClassifier`.
    """
    start = time.perf_counter()
    stem = Path(source).resolve().stem
    path = options.out or f"{stem}.safetensors"
    mistakes = options.mistakes or f"{Path(path).with_suffix('')}-mistakes.png"
    check_model_output(path)
    check_png_output(mistakes)
    classifier = ImageClassifier(
        options.network, augment=options.augment, random_state=options.seed, verbose="auto",
        **settings,
    )  # fmt: skip
    data = pictures.with_progress(
        images, source, size=options.size, aspect=options.aspect,
        path_column=options.path_column, label_column=options.label_column,
    )  # fmt: skip
    train_rows, test_rows = _split(data, source, options)
    _fit(classifier, data.take(train_rows))
    classifier.save(path)
    scores, per_class, drawn = None, None, ""
    if len(test_rows):
        test = data.take(test_rows)
        probabilities = classifier.predict_proba(test)
        scores = score_pictures(classifier, test, probabilities)
        per_class = pictures.per_class_scores(data.classes, scores.confusion)
        drawn = pictures.draw_mistakes(mistakes, test, probabilities)
    seconds = time.perf_counter() - start
    run = _Run(
        source, data, classifier, len(test_rows), scores, per_class,
        mistakes if drawn == mistakes else None, drawn, seconds, path,
    )  # fmt: skip
    _print_report(run)
    if options.as_json:
        report.print_json(_facts(run))


def _split(
    data: ImageData, source: str, options: PictureOptions
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    if options.test_fraction == 0:
        return np.arange(len(data)), np.arange(0)
    try:
        return split_indices(len(data), options.test_fraction, seed=options.seed, stratify=data.y)
    except DataError as error:
        raise DataError(
            source, error.what, got=error.got, expected=error.expected,
            fix="give more pictures, or learn from all of them with --test-fraction 0",
        ) from None  # fmt: skip


def _fit(classifier: ImageClassifier, data: ImageData) -> None:
    """Train; a run that ended in numbers that are not finite is a mistake, not a model."""
    with warnings.catch_warnings():
        # Said once, in the report, as the reason why the training stopped.
        warnings.simplefilter("ignore", RuntimeWarning)
        classifier.fit(data)
    trained = classifier.classifier_
    if not all(np.isfinite(weights).all() for weights in trained.model_.get_weights()):
        raise DataError(
            "train", "the weights grew beyond all bounds, so no model was written",
            got=f"{trained.n_iter_} epochs of finite losses", fix="use a smaller --learning-rate",
        )  # fmt: skip


def _print_report(run: _Run) -> None:
    out, trained = report.console(), run.classifier.classifier_
    lines = pictures.picture_facts(run.source, run.data)
    lines.append(("Classes", pictures.class_counts(run.data)))
    learnt = count(len(run.data) - run.test_count, "picture")
    lines.append(("Split", f"{learnt} to learn from, {run.test_count:,} held out to test"))
    parameters = trained.model_.summary().parameters
    lines.append(("Network", f"{run.classifier.network_}, {count(parameters, 'parameter')}"))
    history = trained.history_
    if history is not None:
        epochs = count(history.epochs, "epoch")
        lines.append(("Training", f"{epochs} in {history.seconds:.1f} s; {history.stopped}"))
        lines += [("", note) for note in history.notes]
    report.print_facts(out, lines)
    if run.scores is not None and run.per_class is not None:
        report.print_scores(out, "Test", run.scores, trained)
        pictures.print_per_class(out, run.per_class)
        out.print(f"\nMost confident mistakes: {printable(run.drawn)}")
    out.print(f"\nModel written to {printable(run.path)} ({run.seconds:.1f} s in all)")


def _facts(run: _Run) -> dict[str, Any]:
    """What the JSON line holds."""
    trained, preparation = run.classifier.classifier_, run.data.preparation
    history = trained.history_
    return {
        "task": "classification",
        "pictures": len(run.data),
        "skipped": [item._asdict() for item in run.data.skipped],
        "train_pictures": len(run.data) - run.test_count,
        "test_pictures": run.test_count,
        "classes": run.data.classes,
        "preparation": preparation.to_config(),
        "network": run.classifier.network_,
        "parameters": trained.model_.summary().parameters,
        "epochs": trained.n_iter_,
        "stopped": history.stopped if history else None,
        "stopped_by": history.stopped_by if history else None,
        **report.score_facts(run.scores, trained),
        "per_class": run.per_class,
        "mistakes": run.mistakes,
        "seconds": round(run.seconds, 3),
        "model": run.path,
    }
