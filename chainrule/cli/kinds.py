"""THE table of the kinds of data that the commands know, and how one is told from another."""

import os
from collections import Counter
from collections.abc import Collection, Mapping
from itertools import islice
from typing import Any

from chainrule.cli import pictures, sounds, speech, table_models, texts, writing
from chainrule.cli.commands.train_pictures import train_pictures
from chainrule.cli.commands.train_sounds import train_sounds
from chainrule.cli.commands.train_speech import train_speech
from chainrule.cli.commands.train_tables import train_tables
from chainrule.cli.commands.train_texts import train_texts
from chainrule.cli.kind import Kind
from chainrule.data.audio_files import SUFFIXES as SOUND_SUFFIXES
from chainrule.data.image_files import SUFFIXES as PICTURE_SUFFIXES
from chainrule.data.text_files import SUFFIXES as TEXT_SUFFIXES
from chainrule.errors import ArgumentError
from chainrule.estimators import (
    ImageClassifier,
    NetworkClassifier,
    NetworkRegressor,
    SoundClassifier,
    SpeechRecognizer,
    TextClassifier,
    TextGenerator,
)

#: A folder is judged by so many files at most.
MAX_FILES = 10_000

TABLES = Kind(
    "tables",
    (NetworkClassifier, NetworkRegressor),
    options=("task", "ignore", "hidden"),
    chosen_by="",
    suffixes=(),
    train=train_tables,
    answers=table_models.answers,
    evaluate=table_models.evaluate,
    summary=table_models.summary,
    examples=table_models.step_examples,
)

PICTURES = Kind(
    "pictures",
    (ImageClassifier,),
    options=("images", "size", "aspect", "network", "augment", "mistakes"),
    chosen_by="images",
    suffixes=PICTURE_SUFFIXES,
    train=train_pictures,
    answers=pictures.answers,
    evaluate=pictures.evaluate,
    summary=pictures.summary,
    examples=pictures.step_examples,
)

SOUNDS = Kind(
    "sounds",
    (SoundClassifier,),
    options=("audio", "seconds", "augment"),
    chosen_by="audio",
    suffixes=SOUND_SUFFIXES,
    train=train_sounds,
    answers=sounds.answers,
    evaluate=sounds.evaluate,
    summary=sounds.summary,
    examples=sounds.step_examples,
)

SPEECH = Kind(
    "speech",
    (SpeechRecognizer,),
    options=("transcripts", "audio", "augment"),
    chosen_by="transcripts",
    suffixes=(),
    train=train_speech,
    answers=speech.answers,
    evaluate=speech.evaluate,
    summary=speech.summary,
    examples=speech.step_examples,
)

TEXTS = Kind(
    "texts",
    (TextClassifier,),
    options=("text", "tokens", "chinese"),
    chosen_by="text",
    suffixes=TEXT_SUFFIXES,
    train=train_texts,
    answers=texts.answers,
    evaluate=texts.evaluate,
    summary=texts.summary,
    examples=texts.step_examples,
)

WRITING = Kind(
    "running text",
    (TextGenerator,),
    options=("generate", "tokens"),
    chosen_by="generate",
    suffixes=(),
    train=writing.train_writer,
    answers=writing.answers,
    evaluate=writing.evaluate,
    summary=writing.summary,
    examples=writing.step_examples,
)

#: Of folders that tell nothing, the first is taken.
KINDS = (PICTURES, SPEECH, SOUNDS, WRITING, TEXTS, TABLES)


def kind_of(estimator: object) -> Kind:
    """The kind of data that an estimator takes."""
    return next(kind for kind in KINDS if isinstance(estimator, kind.estimators))


def kind_of_data(data: str, own: Mapping[str, Any]) -> Kind:
    """The kind of a file or folder.

    Args:
        data: its path.
        own: the options that not all kinds take; the values of those not given are None or false.
    """
    for kind in KINDS:
        if kind.chosen_by and own[kind.chosen_by]:
            return kind
    return _kind_of_folder(data) if os.path.isdir(data) else TABLES


def refuse_options_of_others(kind: Kind, data: str, given: Collection[str]) -> None:
    """Refuse options that have no meaning for this kind of data.

    Args:
        kind: the kind.
        data: what was named, for the message.
        given: names of the options that the user gave.

    Raises:
        ArgumentError: an option of other kinds.
    """
    for name in given:
        others = [other.name for other in KINDS if name in other.options]
        if others and name not in kind.options:
            option = "--" + name.replace("_", "-")
            raise ArgumentError(
                option, f"this option is for {' and '.join(others)}",
                got=f"{data}, taken for {kind.name}",
                fix=f"leave {option} out, or name {' or '.join(others)}",
            )  # fmt: skip


def _kind_of_folder(folder: str) -> Kind:
    """The kind of most of its files."""
    found: Counter[str] = Counter()
    files = (name.lower() for _, _, names in os.walk(folder) for name in names)
    for name in islice(files, MAX_FILES):
        found.update(kind.name for kind in KINDS if name.endswith(kind.suffixes))
    return max(KINDS, key=lambda kind: found[kind.name])
