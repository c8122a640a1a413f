"""SpeechRecognizer: a network that writes down what is said."""

import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from os import PathLike
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from chainrule.data import AudioData, AudioPreparation
from chainrule.data.checks import StoredConfig
from chainrule.data.transcripts import Alphabet, normalized
from chainrule.decoding import ctc_greedy
from chainrule.errors import ArgumentError, DataError, FileFormatError
from chainrule.estimators import speech_defaults as defaults
from chainrule.estimators.base import not_fitted_error
from chainrule.estimators.media_classifier import OWN
from chainrule.estimators.network import seed_of
from chainrule.formats import write_model_file
from chainrule.metrics import CharacterErrorRate, WordErrorRate
from chainrule.training.history import History
from chainrule.training.model import Model
from chainrule.training.saving import model_to_parts, parts_to_model
from chainrule.training.sequential import Sequential

Array = NDArray[Any]
Network = Callable[[tuple[int, int], int], Model]

_WHERE = "SpeechRecognizer"
SOUNDS_AT_ONCE = 128
"""Sounds that `transcribe` pads together."""


class SpeechRecognizer:
    """A network that learns from sounds and what is said in them, letter by letter (CTC).

    Sounds are brought to the length of the longest, with silence. The network sees them as a
    `SoundClassifier` does, and gives for each frame the letters, or a blank; where in time a letter
    stands need not be known. AdamW, its rate falling to zero along half a cosine.

    Transcripts are learnt in small letters with single spaces.

    Args:
        network: a name in `chainrule.estimators.speech_defaults.NETWORKS`, or a function of
            (input_shape, outputs), with input_shape (frames, bands), that returns a Model with
            logits (N, time, outputs); default "speech_gru".
        augment: False leaves the sounds as they are; default True.
        epochs, batch_size, learning_rate: default by the number of sounds.
        until: as in `Model.fit`; default None.
        random_state: a whole number makes the fit repeatable; default None.
        verbose: as in `Model.fit`; default 0.

    Attributes:
        alphabet_: the letters.
        model_: the trained network.
        network_: its name.
        length_: the samples that it takes.
        preparation_: how sounds become samples, for those to come.
        history_, n_iter_: what happened in training, and its epochs.

    Example:
        >>> from chainrule.data import audio
        >>> data = audio("said.csv", transcripts=True)  # doctest: +SKIP
        >>> SpeechRecognizer(random_state=0).fit(data).transcribe(data)  # doctest: +SKIP

    Reference: Graves, Fernández, Gomez and Schmidhuber, "Connectionist temporal classification",
    2006.
    """

    alphabet_: Alphabet
    model_: Model
    network_: str
    length_: int
    preparation_: AudioPreparation
    history_: History | None
    n_iter_: int

    def __init__(
        self,
        network: str | Network = "speech_gru",
        *,
        augment: bool = True,
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        until: Mapping[str, float] | None = None,
        random_state: int | None = None,
        verbose: Any = 0,
    ) -> None:
        if isinstance(network, str):
            defaults.network_of(network)
        for name, value in (("epochs", epochs), ("batch_size", batch_size)):
            if value is not None and (type(value) is not int or value < 1):
                raise ArgumentError(
                    _WHERE, f"wrong {name}", got=repr(value), expected="a whole number from 1 up"
                )
        if learning_rate is not None and not 0 < learning_rate < np.inf:
            raise ArgumentError(
                _WHERE, "wrong learning_rate", got=learning_rate, expected="a number above 0"
            )
        self.network = network
        self.augment = augment
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.until = until
        self.random_state = random_state
        self.verbose = verbose

    # ---- learning

    def fit(self, x: AudioData) -> Self:
        """Learn from sounds with transcripts, forgetting what was learnt before.

        Args:
            x: what ``cr.data.audio(..., transcripts=True)`` returned.

        Returns:
            The recogniser itself.

        Raises:
            DataError: no transcripts, empty ones, or more letters than a sound has time for.
        """
        if len(x.transcripts) != len(x):
            raise DataError(
                _WHERE, "the sounds have no transcripts",
                fix="read them with cr.data.audio(..., transcripts=True)",
            )  # fmt: skip
        empty = [
            path for path, text in zip(x.paths, x.transcripts, strict=True) if not text.strip()
        ]
        if empty:
            raise DataError(_WHERE, "an empty transcript", got=empty[0], fix="leave the file out")
        alphabet, length = Alphabet.of(x.transcripts), int(x.lengths.max())
        seed = seed_of(self.random_state)
        model = self._model(x.preparation.sample_rate, length, len(alphabet), seed)
        batch = self.batch_size or defaults.batch_size(len(x))
        epochs = self.epochs or defaults.epochs(len(x), batch)
        history = model.fit(
            x.padded(length),
            alphabet.encode_all(x.transcripts),
            loss="ctc",
            optimizer=defaults.optimizer(self.learning_rate, epochs * -(-len(x) // batch)),
            epochs=epochs,
            batch_size=batch,
            until=self.until,
            seed=seed,
            verbose=self.verbose,
        )
        self.network_ = self.network if isinstance(self.network, str) else OWN
        self.alphabet_, self.model_, self.length_ = alphabet, model, length
        self.preparation_, self.history_, self.n_iter_ = x.preparation, history, history.epochs
        return self

    def _model(self, rate: int, length: int, outputs: int, seed: int) -> Model:
        before, features, after = defaults.layers(rate, self.augment)
        network = self.network
        if isinstance(network, str):
            network = partial(defaults.network_of(network), seed=seed)
        shape = (features.frames(length), features.bands)
        model = Sequential([*before, features, *after, network(shape, outputs)])
        model.tree_seed = seed
        model.ensure_built((None, length))
        return model

    # ---- using

    def transcribe(self, x: AudioData) -> list[str]:
        """What is said in each sound.

        Args:
            x: sounds of the sample rate that the network was trained on; of longer ones than in
                training only the middle is heard.

        Raises:
            DataError: sounds of another sample rate.
        """
        if not hasattr(self, "model_"):
            raise not_fitted_error(_WHERE)
        if x.preparation.sample_rate != self.preparation_.sample_rate:
            raise DataError(
                _WHERE, "sounds of another sample rate than in training",
                got=x.preparation.sample_rate, expected=self.preparation_.sample_rate,
                fix="read them with cr.data.read_sounds(paths, recognizer.preparation_)",
            )  # fmt: skip
        texts: list[str] = []
        for start in range(0, len(x), SOUNDS_AT_ONCE):
            rows = np.arange(start, min(start + SOUNDS_AT_ONCE, len(x)))
            outputs = self.model_.predict(x.take(rows).padded(self.length_))
            texts += [self.alphabet_.decode(row) for row in ctc_greedy(outputs).numpy()]
        return texts

    def network_examples(self, x: AudioData) -> tuple[Array, Array]:
        """Sounds, and the numbers of the letters said in them, as training gives them."""
        return x.padded(self.length_), self.alphabet_.encode_all(x.transcripts)

    def error_rates(self, x: AudioData) -> dict[str, float]:
        """Shares of letters and of words that are wrong: edits over the true number.

        Args:
            x: sounds with transcripts.
        """
        return error_rates(x.transcripts, self.transcribe(x))

    # ---- files

    def save(self, path: str | PathLike[str]) -> None:
        """Write the network, its letters and the preparation of sounds to one file.

        `chainrule.estimators.load` reads it.

        Raises:
            NotFittedError: there is nothing to save.
            FileAccessError: the file cannot be written.
        """
        if not hasattr(self, "model_"):
            raise not_fitted_error(_WHERE)
        architecture, weights = model_to_parts(self.model_)
        about = {
            "version": 1,
            "alphabet": self.alphabet_.to_config(),
            "preparation": self.preparation_.to_config(),
            "network": self.network_,
            "epochs": self.n_iter_,
        }
        write_model_file(path, {"architecture": architecture, "speech": about}, weights)

    @classmethod
    def from_parts(
        cls,
        metadata: Mapping[str, Any],
        arrays: dict[str, Array],
        custom_objects: Mapping[str, Any] | None,
        where: str,
    ) -> "SpeechRecognizer":
        """Rebuild from what a file holds; nothing is assumed about it.

        Raises:
            FileFormatError, UnknownNameError: see `load`.
        """
        keys = ("version", "alphabet", "preparation", "network", "epochs")
        stored = StoredConfig(metadata["speech"], where, keys)
        stored.integer("version", 1, 1)
        network = stored.choice("network", (*defaults.NETWORKS, OWN))
        result = cls() if network == OWN else cls(network)
        result.network_ = network
        result.alphabet_ = Alphabet.from_config(stored.raw("alphabet"), where)
        result.preparation_ = AudioPreparation.from_config(stored.raw("preparation"), where)
        result.n_iter_ = stored.integer("epochs", 0, 2**53)
        result.history_ = None
        if metadata.keys() != {"architecture", "speech"}:
            raise stored.wrong("file", sorted(metadata), "'architecture', 'speech'")
        model = parts_to_model(metadata["architecture"], arrays, custom_objects, where=where)
        shape = model.input_shape
        good = isinstance(shape, tuple) and len(shape) == 2 and isinstance(shape[1], int)
        outputs: Any = None
        if good:
            with contextlib.suppress(Exception):  # classes of the caller may raise anything
                outputs = model(np.zeros((1, shape[1]), np.float32), training=False).shape
        if outputs is None or len(outputs) != 3 or outputs[2] != len(result.alphabet_):
            raise FileFormatError(
                where, "the network does not fit the letters", got=outputs,
                expected=f"(1, time, {len(result.alphabet_)})", fix="train and save again",
            )  # fmt: skip
        result.model_, result.length_ = model, shape[1]
        return result


def error_rates(truth: list[str], found: list[str]) -> dict[str, float]:
    """Shares of letters and of words that are wrong, after `normalized`.

    >>> error_rates(["one two"], ["one too"])
    {'letter_error_rate': 0.14..., 'word_error_rate': 0.5}
    """
    true = [normalized(text) for text in truth]
    return {
        "letter_error_rate": float(CharacterErrorRate().compute(true, found)),
        "word_error_rate": float(WordErrorRate().compute(true, found)),
    }
