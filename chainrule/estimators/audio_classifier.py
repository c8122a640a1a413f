"""SoundClassifier: a network that tells classes from sounds."""

from collections.abc import Callable
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from chainrule.data import AudioData, AudioPreparation
from chainrule.data.audio_decoding import HIGHEST_RATE, LOWEST_RATE
from chainrule.data.checks import StoredConfig
from chainrule.errors import ArgumentError, DataError, FileFormatError, ShapeError
from chainrule.estimators import audio_defaults as defaults
from chainrule.estimators.classifier import NetworkClassifier
from chainrule.estimators.media_classifier import OWN, MediaClassifier, settings_with
from chainrule.estimators.network import seed_of
from chainrule.training.model import Model
from chainrule.training.sequential import Sequential

Array = NDArray[Any]
Network = Callable[[tuple[int, int], int], Model]

_WHERE = "SoundClassifier"
SOUNDS_AT_ONCE = 256
"""Sounds that `predict_proba` pads together."""


class SoundClassifier(MediaClassifier):
    """A network for sounds: words, voices, instruments, birds, machines.

    Sounds are brought to one length: silence around shorter ones, of longer ones the middle. In the
    network come first, in training only, noise; then the energy in bands of frequencies
    (`LogMel`) down to 40 decibels below the loudest, standardised sound by sound; then, in training
    only, warps of time and frequency and blots (`RandomWarp`, `SpecAugment`); then convolutions.
    AdamW learns on cross-entropy with mixup, its rate falling to zero along half a cosine.

    Shapes: sounds (N, samples), floats from -1 to 1.

    Args:
        network: a name in `chainrule.estimators.audio_defaults.NETWORKS`, or a function of
            (input_shape, classes), with input_shape (frames, bands), that returns a Model; default
            "sound_cnn".
        augment: False leaves the sounds as they are; default True.
        seconds: the length that sounds are brought to; default that of the longest, the longest
            twentieth left out.
        sample_rate: samples a second of arrays; AudioData brings its own. Default None.
        settings: those of `NetworkClassifier`, such as ``epochs``, ``batch_size``, ``until``,
            ``learning_rate`` and ``random_state``; their defaults here follow from the number of
            sounds.

    Attributes:
        classes_: the classes, sorted.
        classifier_: the trained NetworkClassifier, with ``history_``, ``n_iter_``, ``model_``.
        network_: the name of the network.
        length_: the samples that the network takes.
        preparation_: how sounds become samples, for those to come.

    Example:
        >>> from chainrule.estimators import SoundClassifier
        >>> times = np.arange(1600) / 8000
        >>> sounds = np.stack([np.sin(2 * np.pi * hz * times) for hz in [300, 900] * 20])
        >>> classifier = SoundClassifier(sample_rate=8000, epochs=8, random_state=0)
        >>> classifier = classifier.fit(sounds, ["low", "high"] * 20)
        >>> classifier.predict(sounds[:2]).tolist()
        ['low', 'high']
    """

    key = "sounds"

    length_: int
    preparation_: AudioPreparation

    def __init__(
        self,
        network: str | Network = "sound_cnn",
        *,
        augment: bool = True,
        seconds: float | None = None,
        sample_rate: int | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(settings)
        if isinstance(network, str):
            defaults.network_of(network)
        if seconds is not None and not 0.05 <= seconds <= defaults.MOST_SECONDS:
            raise ArgumentError(
                _WHERE, "wrong seconds", got=seconds, expected=f"0.05 to {defaults.MOST_SECONDS:g}"
            )
        if sample_rate is not None and not LOWEST_RATE <= sample_rate <= HIGHEST_RATE:
            raise ArgumentError(
                _WHERE, "wrong sample_rate", got=sample_rate,
                expected=f"{LOWEST_RATE:,} to {HIGHEST_RATE:,}",
            )  # fmt: skip
        self.network = network
        self.augment = augment
        self.seconds = seconds
        self.sample_rate = sample_rate

    # ---- learning

    def fit(self, x: AudioData | Array, y: Any = None) -> Self:
        """Learn from sounds, forgetting what was learnt before.

        Args:
            x: what `cr.data.audio` returned, or an array of N sounds.
            y: for an array, its N classes.

        Returns:
            The classifier itself.

        Raises:
            DataError, ShapeError: sounds that cannot be learnt from.
        """
        sounds, labels, preparation = self._examples(x, y)
        count, (_, length) = len(sounds), sounds.shape
        settings = settings_with(self.settings, count, defaults)
        seed = settings["random_state"] = seed_of(settings["random_state"])
        network = self.network
        if isinstance(network, str):
            network = partial(defaults.network_of(network), seed=seed)
        rate = preparation.sample_rate

        def make(samples: int, classes: int) -> Model:
            before, features, after = defaults.layers(rate, self.augment)
            shape = (features.frames(length), features.bands)
            return Sequential([*before, features, *after, network(shape, classes)])

        classifier = NetworkClassifier(model=make, preprocessing=False, **settings)
        classifier.fit(sounds, labels)
        self.network_ = self.network if isinstance(self.network, str) else OWN
        self.classifier_, self.preparation_, self.length_ = classifier, preparation, length
        return self

    def _examples(self, x: Any, y: Any) -> tuple[Array, Array, AudioPreparation]:
        """Sounds of one length, their classes, and how such sounds are made."""
        if isinstance(x, AudioData):
            if y is not None or bool((x.y < 0).any()):
                raise DataError(
                    _WHERE, "AudioData brings its own classes",
                    got="y" if y is not None else "sounds without a class",
                    fix="leave y out, and use what cr.data.audio returned",
                )  # fmt: skip
            rate = x.preparation.sample_rate
            length = (
                round(self.seconds * rate) if self.seconds else defaults.length(x.lengths, rate)
            )
            return x.padded(length), np.array(x.classes)[x.y], x.preparation
        if self.sample_rate is None:
            raise ArgumentError(
                _WHERE, "the sample rate of the array is not known",
                fix="give sample_rate=, or pass what cr.data.audio returned",
            )  # fmt: skip
        sounds = _array(x)
        if y is None or len(y) != len(sounds):
            raise DataError(
                _WHERE, "not one class for each sound", got="none" if y is None else len(y),
                expected=len(sounds),
            )  # fmt: skip
        return sounds, np.asarray(y), AudioPreparation(int(self.sample_rate), 0)

    # ---- using

    def predict_proba(self, x: AudioData | Array) -> Array:
        """The probability of each class, (N, K), in the order of ``classes_``.

        Args:
            x: N sounds of the rate, and an array of the length, that the network was trained on.

        Raises:
            ShapeError: sounds of another length.
            DataError: sounds of another rate.
        """
        classifier = self._fitted()
        if isinstance(x, AudioData):
            if x.preparation.sample_rate != self.preparation_.sample_rate:
                raise DataError(
                    _WHERE, "sounds of another sample rate than in training",
                    got=x.preparation.sample_rate, expected=self.preparation_.sample_rate,
                    fix="read them with cr.data.read_sounds(paths, classifier.preparation_)",
                )  # fmt: skip
            rows = range(0, len(x), SOUNDS_AT_ONCE)
            pieces = [
                x.take(np.arange(row, min(row + SOUNDS_AT_ONCE, len(x)))).padded(self.length_)
                for row in rows
            ]
            return np.concatenate([classifier.predict_proba(piece) for piece in pieces])
        sounds = _array(x)
        if sounds.shape[1] != self.length_:
            raise ShapeError(
                _WHERE, "sounds of another length than in training", got=sounds.shape[1],
                expected=self.length_,
                fix="cut or pad them, or read them with cr.data.read_sounds",
            )  # fmt: skip
        return classifier.predict_proba(sounds)

    def network_inputs(self, x: AudioData) -> Array:
        """Sounds as the network takes them, (N, samples)."""
        return x.padded(self.length_)

    # ---- files

    @classmethod
    def from_parts(cls, about: object, classifier: Any, where: str) -> "SoundClassifier":
        """Rebuild from the table "sounds" of a file and the estimator beside it.

        Raises:
            FileFormatError: the parts are damaged or do not fit each other.
        """
        stored = StoredConfig(about, where, ("preparation", "network"))
        network = stored.choice("network", (*defaults.NETWORKS, OWN))
        preparation = AudioPreparation.from_config(stored.raw("preparation"), where)
        shape = getattr(getattr(classifier, "model_", None), "input_shape", None)
        if not isinstance(classifier, NetworkClassifier) or shape is None or len(shape) != 2:
            raise FileFormatError(
                where, "the network does not take sounds", got=shape, expected="(None, samples)",
                fix="train and save again",
            )  # fmt: skip
        result = cls() if network == OWN else cls(network)
        result.classifier_, result.network_ = classifier, network
        result.preparation_, result.length_ = preparation, shape[1]
        return result


def _array(x: Any) -> Array:
    """An array of sounds in float32."""
    sounds: Array = np.asarray(x)
    if sounds.ndim != 2 or 0 in sounds.shape:
        raise ShapeError(
            _WHERE, "these are no sounds", got=f"shape {np.shape(x)}", expected="(N, samples)"
        )
    if sounds.dtype.kind != "f" or not np.isfinite(sounds).all():
        raise DataError(
            _WHERE, "wrong samples",
            got=sounds.dtype.name + (", not finite" if sounds.dtype.kind == "f" else ""),
            expected="floats from -1 to 1",
        )  # fmt: skip
    return sounds.astype(np.float32, copy=False)
