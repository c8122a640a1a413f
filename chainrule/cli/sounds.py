"""Sounds on the command line: what is said about them, answers, scores, mistakes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.cli import media
from chainrule.cli.kind import (
    Columns,
    EvaluateRequest,
    ExplainRequest,
    PredictRequest,
    StepExamples,
)
from chainrule.cli.text import count
from chainrule.data import AudioData, AudioPreparation, audio, read_sounds
from chainrule.estimators import SoundClassifier

NOUN = "sounds"
MAX_MISTAKES = 8


def sound_facts(source: str, data: AudioData) -> list[tuple[str, str]]:
    """What was read, what was left out and why, and how sounds are prepared."""
    duration = _duration(data.seconds)
    facts = [("Sounds", f"{source}: {count(len(data), 'sound')}, {duration} in all")]
    rate = data.preparation.sample_rate
    others = [(found, files) for found, files in data.rates.items() if found != rate]
    if others:
        listed = ", ".join(f"{found:,} Hz ({count(files, 'file')})" for found, files in others)
        facts.append(("Resampled", f"{listed}, to {rate:,} Hz"))
    return [*facts, *media.skipped_facts(data.skipped)]


def preparation_fact(preparation: AudioPreparation, length: int) -> str:
    """How sounds become inputs, in one line."""
    rate = preparation.sample_rate
    trimmed = (
        f"silence at the ends cut off (below {preparation.trim} decibels), "
        if preparation.trim
        else ""
    )
    return f"{rate:,} samples a second, mono; {trimmed}the middle {length / rate:.2f} s"


def answers(classifier: SoundClassifier, request: PredictRequest) -> tuple[Columns, Columns]:
    """The files, and what is predicted for each."""
    return media.answers(NOUN, read_sounds, classifier, request)


def evaluate(classifier: SoundClassifier, request: EvaluateRequest) -> None:
    """Score a sound classifier on sounds with known classes."""
    media.evaluate(NOUN, lambda: _known(classifier, request), sound_facts, classifier, request)


def step_examples(classifier: SoundClassifier, request: ExplainRequest) -> StepExamples:
    """The batch of one sound."""
    data = _known(classifier, request)
    return media.step_examples(data, data.paths, classifier, request)


def _known(classifier: SoundClassifier, request: EvaluateRequest | ExplainRequest) -> AudioData:
    """Sounds with known classes, prepared as in training."""
    wanted = classifier.preparation_
    return media.with_progress(
        NOUN, audio, request.data, sample_rate=wanted.sample_rate, trim=wanted.trim,
        label_column=request.target, allow_one_class=True,
    )  # fmt: skip


def summary(model: str, classifier: SoundClassifier, as_json: bool) -> None:
    """Show the classes, how sounds are prepared, and the network."""
    prepared = ("Sounds", preparation_fact(classifier.preparation_, classifier.length_))
    media.summary(model, classifier, prepared, as_json)


def mistakes(data: AudioData, probabilities: NDArray[Any]) -> list[dict[str, Any]]:
    """The most confident mistakes, the most confident first.

    Args:
        data: N sounds with their classes.
        probabilities: (N, K).
    """
    predicted, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != data.y)
    wrong = wrong[np.argsort(-sure[wrong], kind="stable")][:MAX_MISTAKES]
    return [
        {
            "file": data.paths[row].encode(errors="backslashreplace").decode(),
            "class": data.classes[data.y[row]],
            "prediction": data.classes[predicted[row]],
            "probability": round(float(sure[row]), 4),
        }
        for row in wrong
    ]


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} seconds"
    return f"{seconds / 60:.1f} minutes" if seconds < 7_200 else f"{seconds / 3_600:.1f} hours"
