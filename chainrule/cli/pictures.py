"""Pictures on the command line: what is said about them, answers, scores, mistakes."""

import io
from typing import Any

from numpy.typing import NDArray

from chainrule import plot
from chainrule.cli import media
from chainrule.cli.kind import (
    Columns,
    EvaluateRequest,
    ExplainRequest,
    PredictRequest,
    StepExamples,
)
from chainrule.cli.text import count, printable
from chainrule.data import ImageData, ImagePreparation, images, read_pictures
from chainrule.errors import MissingDependencyError
from chainrule.estimators import ImageClassifier
from chainrule.formats.atomic import write_atomically

NOUN = "pictures"

_ASPECTS = {
    "stretch": "stretched to that size",
    "crop": "cropped to that shape",
    "pad": "with borders where they have another shape",
}


def picture_facts(source: str, data: ImageData) -> list[tuple[str, str]]:
    """What was read, what was left out and why, and how pictures are prepared."""
    facts = [("Pictures", f"{source}: {count(len(data), 'picture')}")]
    facts += media.skipped_facts(data.skipped)
    facts.append(("Prepared", preparation_fact(data.preparation)))
    return facts


def preparation_fact(preparation: ImagePreparation) -> str:
    """How pictures become inputs, in one line."""
    colours = "grey" if preparation.channels == 1 else "red, green, blue"
    size = f"{preparation.height} × {preparation.width} pixels"
    return f"{size}, {colours}; {_ASPECTS[preparation.aspect]}"


def draw_mistakes(path: str, data: ImageData, probabilities: NDArray[Any]) -> str:
    """Draw the most confident mistakes into a PNG file.

    Args:
        path: the file, written or replaced as a whole.
        data: N pictures with their classes.
        probabilities: (N, K).

    Returns:
        The path; or why nothing was drawn, where matplotlib is not installed.
    """
    # A dollar sign would begin a formula.
    names = [printable(name).replace("$", r"\$") for name in data.classes]
    try:
        figure = plot.mistakes(data.x, data.y, probabilities, names)
    except MissingDependencyError as error:
        return f"not drawn, {error.what}; {error.fix}"
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120)
    write_atomically(path, [stream.getvalue()])
    return path


def answers(classifier: ImageClassifier, request: PredictRequest) -> tuple[Columns, Columns]:
    """The files, and what is predicted for each."""
    return media.answers(NOUN, read_pictures, classifier, request)


def evaluate(classifier: ImageClassifier, request: EvaluateRequest) -> None:
    """Score an image classifier on pictures with known classes."""
    media.evaluate(NOUN, lambda: _known(classifier, request), picture_facts, classifier, request)


def step_examples(classifier: ImageClassifier, request: ExplainRequest) -> StepExamples:
    """The batch of one picture."""
    data = _known(classifier, request)
    return media.step_examples(data, data.paths, classifier, request)


def _known(classifier: ImageClassifier, request: EvaluateRequest | ExplainRequest) -> ImageData:
    """Pictures with known classes, prepared as in training."""
    wanted = classifier.preparation_
    return media.with_progress(
        NOUN, images, request.data, size=(wanted.height, wanted.width), aspect=wanted.aspect,
        channels=wanted.channels, dtype=wanted.dtype, background=wanted.background,
        label_column=request.target, allow_one_class=True,
    )  # fmt: skip


def summary(model: str, classifier: ImageClassifier, as_json: bool) -> None:
    """Show the classes, how pictures are prepared, and the network."""
    prepared = ("Pictures", preparation_fact(classifier.preparation_))
    media.summary(model, classifier, prepared, as_json)
