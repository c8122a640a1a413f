"""ImageClassifier: a network that tells classes from pictures."""

from collections.abc import Callable
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from chainrule.data import ImageData, ImagePreparation
from chainrule.data.checks import StoredConfig
from chainrule.errors import DataError, FileFormatError, ShapeError
from chainrule.estimators import image_defaults as defaults
from chainrule.estimators.classifier import NetworkClassifier
from chainrule.estimators.media_classifier import OWN, MediaClassifier, settings_with
from chainrule.estimators.network import seed_of
from chainrule.training.model import Model
from chainrule.training.sequential import Sequential

Array = NDArray[Any]
Network = Callable[[tuple[int, int, int], int], Model]

_WHERE = "ImageClassifier"
PICTURES_AT_ONCE = 1_024
"""Pictures that `predict_proba` turns into floats together."""


class ImageClassifier(MediaClassifier):
    """A network for pictures, chosen and trained by their size and number.

    Pixels become floats from 0 to 1. Layers that change the pictures a little (only in training)
    come before the network. It learns as a `NetworkClassifier` does: AdamW on cross-entropy until
    the loss on held-out pictures no longer falls; the best weights are put back.

    Shapes: pictures (N, height, width, channels), uint8, or floats from 0 to 1; (N, height, width)
    counts as one channel.

    Args:
        network: a name in `chainrule.estimators.image_defaults.NETWORKS`, or a function of
            (input_shape, classes) that returns a Model; default "auto".
        augment: False leaves the pictures as they are; default True.
        settings: those of `NetworkClassifier`, such as ``epochs``, ``batch_size``, ``until``,
            ``learning_rate`` and ``random_state``; their defaults here follow from the number of
            pictures.

    Attributes:
        classes_: the classes, sorted.
        classifier_: the trained NetworkClassifier, with ``history_``, ``n_iter_``, ``model_``.
        network_: the name of the network.
        preparation_: how pictures become arrays, for those to come.

    Example:
        >>> from chainrule.estimators import ImageClassifier
        >>> pictures = np.zeros((40, 6, 6), np.uint8)
        >>> pictures[::2] = 200
        >>> classifier = ImageClassifier(epochs=20, random_state=0)
        >>> classifier = classifier.fit(pictures, ["light", "dark"] * 20)
        >>> classifier.predict(pictures[:2]).tolist()
        ['light', 'dark']
    """

    key = "pictures"

    preparation_: ImagePreparation

    def __init__(
        self, network: str | Network = "auto", *, augment: bool = True, **settings: Any
    ) -> None:
        super().__init__(settings)
        if isinstance(network, str) and network != "auto":
            defaults.network_of(network)
        self.network = network
        self.augment = augment

    # ---- learning

    def fit(self, x: ImageData | Array, y: Any = None) -> Self:
        """Learn from pictures, forgetting what was learnt before.

        Args:
            x: what `cr.data.images` returned, or an array of N pictures.
            y: for an array, its N classes.

        Returns:
            The classifier itself.

        Raises:
            DataError, ShapeError: pictures that cannot be learnt from.
        """
        pictures, labels, preparation = _examples(x, y)
        count = len(pictures)
        settings = settings_with(self.settings, count, defaults)
        seed = settings["random_state"] = seed_of(settings["random_state"])
        network = self._network(preparation.shape, count, seed)

        def make(channels: int, classes: int) -> Model:
            layers = defaults.augmentation(preparation.shape) if self.augment else []
            return Sequential([*layers, network(preparation.shape, classes)])

        classifier = NetworkClassifier(model=make, preprocessing=False, **settings)
        classifier.fit(_floats(pictures), labels)
        self.classifier_, self.preparation_ = classifier, preparation
        return self

    def _network(self, shape: tuple[int, int, int], count: int, seed: int) -> Network:
        if not isinstance(self.network, str):
            self.network_ = OWN
            return self.network
        name = self.network
        self.network_ = defaults.choose_network(shape, count) if name == "auto" else name
        return partial(defaults.network_of(self.network_), seed=seed)

    # ---- using

    def predict_proba(self, x: ImageData | Array) -> Array:
        """The probability of each class, (N, K), in the order of ``classes_``.

        Args:
            x: N pictures of the shape and kind that the network was trained on.

        Raises:
            ShapeError: pictures of another shape.
            DataError: pictures of another kind.
        """
        classifier = self._fitted()
        pictures = x.x if isinstance(x, ImageData) else _array(x)
        wanted = self.preparation_
        if pictures.shape[1:] != wanted.shape:
            raise ShapeError(
                _WHERE, "pictures of another shape than in training", got=pictures.shape[1:],
                expected=wanted.shape,
                fix="read them with cr.data.read_pictures(paths, classifier.preparation_)",
            )  # fmt: skip
        if (pictures.dtype == np.uint8) != (wanted.dtype == "uint8"):
            raise DataError(
                _WHERE, "pictures of another kind than in training", got=pictures.dtype.name,
                expected=wanted.dtype, fix="use 0 to 255 in uint8, or floats from 0 to 1",
            )  # fmt: skip
        starts = range(0, len(pictures), PICTURES_AT_ONCE)
        pieces = [
            classifier.predict_proba(_floats(pictures[start : start + PICTURES_AT_ONCE]))
            for start in starts
        ]
        return np.concatenate(pieces)

    def network_inputs(self, x: ImageData) -> Array:
        """Pictures as the network takes them, (N, height, width, channels) from 0 to 1."""
        return _floats(x.x)

    @classmethod
    def from_parts(cls, about: object, classifier: Any, where: str) -> "ImageClassifier":
        """Rebuild from the table "pictures" of a file and the estimator beside it.

        Raises:
            FileFormatError: the parts are damaged or do not fit each other.
        """
        stored = StoredConfig(about, where, ("preparation", "network"))
        network = stored.choice("network", (*defaults.NETWORKS, OWN))
        preparation = ImagePreparation.from_config(stored.raw("preparation"), where)
        shape = getattr(getattr(classifier, "model_", None), "input_shape", None)
        if not isinstance(classifier, NetworkClassifier) or shape != (None, *preparation.shape):
            raise FileFormatError(
                where, "the network does not take the pictures", got=shape,
                expected=preparation.shape, fix="train and save again",
            )  # fmt: skip
        result = cls(network if network != OWN else "auto")
        result.classifier_, result.network_ = classifier, network
        result.preparation_ = preparation
        return result


def _examples(x: Any, y: Any) -> tuple[Array, Array, ImagePreparation]:
    """Pictures, their classes, and how such pictures are made."""
    if isinstance(x, ImageData):
        if y is not None or bool((x.y < 0).any()):
            raise DataError(
                _WHERE, "ImageData brings its own classes",
                got="y" if y is not None else "pictures without a class",
                fix="leave y out, and use what cr.data.images returned",
            )  # fmt: skip
        return x.x, np.array(x.classes)[x.y], x.preparation
    pictures = _array(x)
    if y is None or len(y) != len(pictures):
        raise DataError(
            _WHERE, "not one class for each picture", got="none" if y is None else len(y),
            expected=len(pictures),
        )  # fmt: skip
    height, width, channels = (int(size) for size in pictures.shape[1:])
    dtype = "uint8" if pictures.dtype == np.uint8 else "float32"
    return pictures, np.asarray(y), ImagePreparation(height, width, channels, dtype=dtype)


def _array(x: Any) -> Array:
    """An array of pictures with an axis of channels."""
    pictures: Array = np.asarray(x)
    if pictures.ndim == 3:
        pictures = pictures[..., None]
    if pictures.ndim != 4 or 0 in pictures.shape or pictures.shape[-1] not in (1, 3):
        raise ShapeError(
            _WHERE, "these are no pictures", got=f"shape {np.shape(x)}",
            expected="(N, height, width) or (N, height, width, 1 or 3)",
        )  # fmt: skip
    whole = pictures.dtype == np.uint8
    floating = pictures.dtype.kind == "f"
    if not whole and not (floating and pictures.min() >= 0 and pictures.max() <= 1):
        raise DataError(
            _WHERE, "wrong pixels", got=pictures.dtype.name + (", not 0 to 1" if floating else ""),
            expected="uint8, or floats from 0 to 1",
        )  # fmt: skip
    return pictures


def _floats(pictures: Array) -> Array:
    """Pixels from 0 to 1 in float32."""
    if pictures.dtype != np.uint8:
        return pictures.astype(np.float32, copy=False)
    return pictures * np.float32(1 / 255)
