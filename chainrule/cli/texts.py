"""Texts on the command line: what is said about them, answers, scores, mistakes."""

import os
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.cli import media
from chainrule.cli.answers import class_answers
from chainrule.cli.kind import (
    Columns,
    EvaluateRequest,
    ExplainRequest,
    PredictRequest,
    StepExamples,
)
from chainrule.cli.table_models import kept_columns, target_of
from chainrule.cli.text import count
from chainrule.data import Table, TextData, TextEncoder, read_table, read_texts, text
from chainrule.data.text_reading import column_of_texts, is_text, of_columns
from chainrule.data.tokenizers import GramTokenizer
from chainrule.errors import ArgumentError
from chainrule.estimators import TextClassifier

NOUN = "texts"
MAX_MISTAKES = 8
MAX_SHOWN = 200

_SUFFIX = re.compile(r"\w\.[A-Za-z0-9]{1,8}$")


def text_facts(source: str, data: TextData) -> list[tuple[str, str]]:
    """What was read, and what was left out and why."""
    column = "" if data.column is None else f", column {data.column}"
    facts = [("Texts", f"{source}: {count(len(data), 'text')}{column}")]
    empty = sum(not content.strip() for content in data.texts)
    if empty:
        facts.append(("", f"{count(empty, 'text')} without any letter"))
    return [*facts, *media.skipped_facts(data.skipped)]


def preparation_fact(encoder: TextEncoder, truncated: int | None = None) -> str:
    """How texts become numbers, in one line."""
    tokenizer = encoder.tokenizer
    kind = tokenizer.kind
    if isinstance(tokenizer, GramTokenizer):
        kind = f"words, runs of up to {tokenizer.word_ngrams} words"
        if tokenizer.longest:
            kind += f", pieces of {tokenizer.shortest} to {tokenizer.longest} letters"
    fact = f"{kind}; {len(encoder.vocabulary.known):,} known, at most {encoder.length:,} a text"
    return fact + (f"; {count(truncated, 'text')} cut off there" if truncated else "")


def only_text_column(table: Table, target: str | None) -> str | None:
    """The column of texts of a table that has nothing else to learn from, or None.

    >>> from chainrule.data import as_table
    >>> table = as_table({"said": ["it was a very good film"] * 3, "answer": ["y", "n", "y"]})
    >>> only_text_column(table, "answer")
    'said'
    """
    others = [column for column in table.columns if column.name != target]
    return others[0].name if len(others) == 1 and is_text(others[0]) else None


def answers(classifier: TextClassifier, request: PredictRequest) -> tuple[Columns, Columns]:
    """Where each text is from, and what is predicted for it.

    What is no file is a text itself.
    """
    data = request.data
    if not any(map(os.path.exists, data)) and not any(map(_like_a_file, data)):
        if request.keep:
            raise ArgumentError("--keep", "this option is for tables", got=repr(request.keep[0]))
        probabilities = classifier.predict_proba(list(data))
        return {"text": list(data)}, class_answers(classifier.classes_, probabilities)
    if request.keep:
        return _table_answers(classifier, request)
    found = media.with_progress(
        NOUN, read_texts, data, text_column=classifier.text_name_, encoding=request.encoding
    )
    media.warn_skipped(found.skipped)
    names = [name.encode(errors="backslashreplace").decode() for name in found.names]
    probabilities = classifier.predict_proba(found)
    return {"text": names}, class_answers(classifier.classes_, probabilities)


def _like_a_file(word: str) -> bool:
    """Whether a word that names nothing was meant to: a path without spaces."""
    return " " not in word and (_SUFFIX.search(word) is not None or os.sep in word)


def _table_answers(classifier: TextClassifier, request: PredictRequest) -> tuple[Columns, Columns]:
    """The columns to repeat, and what is predicted for the texts of a table."""
    if len(request.data) > 1 or os.path.isdir(request.data[0]):
        raise ArgumentError("--keep", "this option is for a table", got=", ".join(request.data))
    table = read_table(request.data[0], encoding=request.encoding)
    found = read_texts(request.data, text_column=classifier.text_name_, encoding=request.encoding)
    probabilities = classifier.predict_proba(found)
    return kept_columns(table, request.keep), class_answers(classifier.classes_, probabilities)


def evaluate(classifier: TextClassifier, request: EvaluateRequest) -> None:
    """Score a text classifier on texts with known classes."""
    media.evaluate(
        NOUN, lambda: _known(classifier, request, "evaluate"), text_facts, classifier, request
    )


def step_examples(classifier: TextClassifier, request: ExplainRequest) -> StepExamples:
    """The batch of one text."""
    data = _known(classifier, request, "explain")
    return media.step_examples(data, data.names, classifier, request)


def _known(
    classifier: TextClassifier, request: EvaluateRequest | ExplainRequest, where: str
) -> TextData:
    """Texts with known classes."""
    if os.path.isdir(request.data):
        return media.with_progress(
            NOUN, text, request.data, encoding=request.encoding, allow_one_class=True
        )
    table = read_table(request.data, encoding=request.encoding)
    target = target_of(classifier.classifier_, request.target, where)
    column = column_of_texts(table, classifier.text_name_, target)
    return of_columns(table, column.name, target, allow_one_class=True)


def summary(model: str, classifier: TextClassifier, as_json: bool) -> None:
    """Show the classes, how texts are prepared, and the network."""
    prepared = ("Texts", preparation_fact(classifier.preparation_))
    media.summary(model, classifier, prepared, as_json)


def mistakes(data: TextData, probabilities: NDArray[Any]) -> list[dict[str, Any]]:
    """The most confident mistakes, the most confident first.

    Args:
        data: N texts with their classes.
        probabilities: (N, K).
    """
    predicted, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != data.y)
    wrong = wrong[np.argsort(-sure[wrong], kind="stable")][:MAX_MISTAKES]
    return [
        {
            "text": _short(data.texts[row]),
            "from": data.names[row].encode(errors="backslashreplace").decode(),
            "class": data.classes[data.y[row]],
            "prediction": data.classes[predicted[row]],
            "probability": round(float(sure[row]), 4),
        }
        for row in wrong
    ]


def _short(content: str) -> str:
    """The beginning of a text, on one line."""
    line = " ".join(content[: 2 * MAX_SHOWN].split())
    line = line.encode(errors="backslashreplace").decode()
    return line if len(line) <= MAX_SHOWN else line[: MAX_SHOWN - 3] + "..."
