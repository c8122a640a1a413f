"""The same numbers for every side. Only NumPy and, for the digits, scikit-learn."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

SEED_ROWS, SEED_WIDTH = 1000, 10
MLP_BATCH, MLP_INPUTS, MLP_HIDDEN, CLASSES = 128, 784, 512, 10
IMAGES, IMAGE_HIDDEN, IMAGE_BATCH, IMAGE_EPOCHS = 60_000, 128, 64, 3
PICTURE_BATCH, PICTURE_RATE = 64, 0.001
SEQUENCE_SHAPE, SEQUENCE_BATCH, SEQUENCE_UNITS = (64, 32), 32, 128
TOKENS_SHAPE, HEADS, FEED_FORWARD = (64, 128), 4, 512
FRAMES_SHAPE, MOST_LABELS = (100, 30), 20
MNIST_SHAPE, PICTURE_SHAPE = (28, 28, 1), (32, 32, 3)
MNIST_EPOCHS = 5
#: Channels and strides of the blocks of the small MobileNet.
MOBILENET_BLOCKS = ((32, 1), (64, 2), (64, 1), (128, 2), (128, 1))
PREDICT_WIDTH = 10
PREDICT_HIDDEN = {"predict_10": (10,), "predict_64": (64, 64)}
SQUARES = {"matmul_512": 512, "matmul_1024": 1024}


def seed_data() -> tuple[Array, Array]:
    """1000 rows of 10 numbers and a target for each."""
    random = np.random.default_rng(0)
    x = random.random((SEED_ROWS, SEED_WIDTH), dtype=np.float32)
    return x, random.random((SEED_ROWS, 1), dtype=np.float32)


def mlp_data() -> tuple[Array, Array]:
    """One batch of 128 rows of 784 numbers and a class of 10 for each."""
    random = np.random.default_rng(0)
    x = random.random((MLP_BATCH, MLP_INPUTS), dtype=np.float32)
    return x, random.integers(0, CLASSES, MLP_BATCH).astype(np.int32)


def image_data() -> tuple[Array, Array]:
    """Random data in the shape of MNIST."""
    random = np.random.default_rng(0)
    x = random.random((IMAGES, MLP_INPUTS), dtype=np.float32)
    return x, random.integers(0, CLASSES, IMAGES).astype(np.int32)


def cnn_data() -> tuple[Array, Array]:
    """One batch of 64 grey pictures of 28x28 and a class of 10 for each, channels last."""
    return _pictures(MNIST_SHAPE)


def picture_data() -> tuple[Array, Array]:
    """One batch of 64 pictures of 32x32 in three colours and a class of 10 for each."""
    return _pictures(PICTURE_SHAPE)


def _pictures(shape: tuple[int, ...]) -> tuple[Array, Array]:
    random = np.random.default_rng(0)
    x = random.random((PICTURE_BATCH, *shape), dtype=np.float32)
    return x, random.integers(0, CLASSES, PICTURE_BATCH).astype(np.int32)


def sequence_data() -> tuple[Array, Array]:
    """One batch of 32 sequences of 64 steps of 32 numbers and a class of 10 for each."""
    random = np.random.default_rng(0)
    x = random.random((SEQUENCE_BATCH, *SEQUENCE_SHAPE), dtype=np.float32)
    return x, random.integers(0, CLASSES, SEQUENCE_BATCH).astype(np.int32)


def token_data() -> tuple[Array, Array]:
    """One batch of 32 sequences of 64 vectors of 128 numbers and a class of 10 for each."""
    random = np.random.default_rng(0)
    x = random.random((SEQUENCE_BATCH, *TOKENS_SHAPE), dtype=np.float32)
    return x, random.integers(0, CLASSES, SEQUENCE_BATCH).astype(np.int32)


class Transcripts(NamedTuple):
    """Scores of frames, labels, and how many of both each row has; class 0 is the blank."""

    scores: Array
    labels: Array
    frames: Array
    counts: Array


def transcript_data() -> Transcripts:
    """32 rows of up to 100 frames of 30 scores, and of up to 20 labels."""
    random = np.random.default_rng(0)
    frames, classes = FRAMES_SHAPE
    return Transcripts(
        random.standard_normal((SEQUENCE_BATCH, *FRAMES_SHAPE), dtype=np.float32),
        random.integers(1, classes, (SEQUENCE_BATCH, MOST_LABELS)).astype(np.int32),
        random.integers(frames * 4 // 5, frames + 1, SEQUENCE_BATCH).astype(np.int32),
        random.integers(MOST_LABELS // 2, MOST_LABELS + 1, SEQUENCE_BATCH).astype(np.int32),
    )


def row_data() -> Array:
    """One row of 10 numbers."""
    return np.random.default_rng(0).random((1, PREDICT_WIDTH), dtype=np.float32)


def square_data(size: int) -> tuple[Array, Array]:
    """Two square matrices."""
    random = np.random.default_rng(0)
    x = random.random((size, size), dtype=np.float32)
    return x, random.random((size, size), dtype=np.float32)


class Split(NamedTuple):
    """Rows to learn from and rows to check on."""

    x: Array
    y: Array
    x_check: Array
    y_check: Array


def digits() -> Split:
    """scikit-learn's digits: 1,797 rows of 64 columns, 10 classes; a fifth to check on."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return _split((x / 16).astype(np.float32), y)


def letters() -> Split:
    """16,000 rows to learn from, 16 columns, 26 classes: a stand-in for the UCI letter data.

    The columns are whole numbers from 0 to 15, as there. A class has a centre and four kinds of
    rows around it, as a letter has in several fonts. The spreads are chosen so that it is about as
    hard: of 4,000 other rows a linear model gets 0.78 right, scikit-learn's
    ``MLPClassifier`` 0.95, the nearest neighbour 0.97.
    """
    random = np.random.default_rng(0)
    rows, columns, classes, kinds = 20_000, 16, 26, 4
    centres = random.normal(7.5, 1.3, (classes, 1, columns))
    centres = centres + random.normal(0, 2.0, (classes, kinds, columns))
    y = random.integers(0, classes, rows)
    x = centres[y, random.integers(0, kinds, rows)] + random.normal(0, 1.4, (rows, columns))
    x = np.clip(np.rint(x), 0, 15)
    return _split((x / 15).astype(np.float32), y)


def mnist(folder: Path) -> Split:
    """Pictures (N, 28, 28, 1) from 0 to 1 and their digits, from MNIST's four idx files."""

    def pictures(part: str) -> tuple[Array, Array]:
        x = _idx(folder, f"{part}-images-idx3-ubyte", 16).reshape(-1, *MNIST_SHAPE)
        y = _idx(folder, f"{part}-labels-idx1-ubyte", 8)
        return x.astype(np.float32) / 255, y.astype(np.int32)

    return Split(*pictures("train"), *pictures("t10k"))


def _idx(folder: Path, name: str, header: int) -> Array:
    """The bytes after the header of an idx file, packed or not."""
    packed = folder / f"{name}.gz"
    content = gzip.decompress(packed.read_bytes()) if packed.exists() else None
    return np.frombuffer(content or (folder / name).read_bytes(), np.uint8, offset=header)


def _split(x: Array, y: Array) -> Split:
    order = np.random.default_rng(1).permutation(len(x))
    check, learn = order[: len(x) // 5], order[len(x) // 5 :]
    return Split(x[learn], y[learn], x[check], y[check])


TABLES = {"digits": digits, "letters": letters}
