"""The rows of the subjects: generated, or read once and kept in the user's cache folder."""

import io
import os
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import chainrule as cr
from benchmarks.data import mnist
from chainrule.cache_folder import cache_folder
from chainrule.data import TextEncoder, read_table
from chainrule.formats.atomic import write_atomically

Array = NDArray[Any]
Pair = tuple[Array, Array]

#: Where the data sets are that are read, if nothing is said: the folder that holds ``mnist``,
#: ``fsdd``, ``penguins.csv`` and ``movie_sentences.csv``.
VARIABLE = "CHAINRULE_CLINIC_DATA"
#: Counts up when a reader changes, so that kept rows are read again.
VERSION = 2
SAMPLE_RATE, CLIP_SAMPLES = 8000, 4800
TIME_STEPS = 20


@dataclass(frozen=True)
class Rows:
    """Rows to learn from, to validate on, and to judge with; diagnosis never sees the last.

    Attributes:
        columns: names of the columns, where they have names.
    """

    train: Pair
    validation: Pair
    test: Pair
    columns: tuple[str, ...] = ()

    def flat(self) -> "Rows":
        """The same with x as vectors."""
        pairs = (self.train, self.validation, self.test)
        train, validation, test = ((x.reshape(len(x), -1), y) for x, y in pairs)
        return Rows(train, validation, test, self.columns)


def data_folder(given: Path | None = None) -> Path | None:
    """The folder of the data sets: the given one, else that of CHAINRULE_CLINIC_DATA, else None."""
    if given is not None:
        return given
    text = os.environ.get(VARIABLE)
    return Path(text) if text else None


def _divided(x: Array, y: Array, train: int, validation: int, test: int) -> Rows:
    """So many rows for each purpose, in an order of chance."""
    order = np.random.default_rng(0).permutation(len(x))[: train + validation + test]
    return _at(x, y, np.split(order, [train, train + validation]))


def _at(x: Array, y: Array, places: list[Array]) -> Rows:
    """The rows at these places for training, validation and test."""
    train, validation, test = ((x[part], y[part]) for part in places)
    return Rows(train, validation, test)


def _standardised(rows: Rows, columns: slice = slice(None)) -> Rows:
    """Columns with mean 0 and deviation 1 in the training rows."""
    x = rows.train[0][:, columns]
    mean, deviation = x.mean(0), x.std(0)

    def change(pair: Pair) -> Pair:
        changed = pair[0].copy()
        changed[:, columns] = (changed[:, columns] - mean) / deviation
        return changed, pair[1]

    return Rows(change(rows.train), change(rows.validation), change(rows.test), rows.columns)


def moons() -> Rows:
    """Two half circles, one in the other, with noise: (N, 2), two classes."""
    random = np.random.default_rng(11)
    count = 1800
    y = random.integers(0, 2, count).astype(np.int32)
    angle = random.random(count) * np.pi
    x = np.stack([np.cos(angle), np.sin(angle)], 1)
    x[y == 1] = [1.0, 0.5] - x[y == 1]
    x += random.normal(0, 0.2, x.shape)
    return _standardised(_divided(x.astype(np.float32), y, 400, 200, 1200))


def spirals() -> Rows:
    """Three spiral arms with noise: (N, 2), three classes."""
    random = np.random.default_rng(12)
    count = 2100
    y = random.integers(0, 3, count).astype(np.int32)
    radius = np.sqrt(random.random(count)) * 0.95 + 0.05
    angle = radius * 4.5 + y * (2 * np.pi / 3) + random.normal(0, 0.4, count)
    x = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    return _standardised(_divided(x.astype(np.float32), y, 600, 300, 1200))


def article() -> Rows:
    """A thousand rows of ten numbers, and a quantity that bends: (N, 10), (N, 1)."""
    random = np.random.default_rng(13)
    x = random.random((2250, 10)).astype(np.float32)
    y = (
        x[:, 0]
        - x[:, 1]
        + 0.5 * x[:, 2]
        + 2 * np.abs(x[:, 3] - 0.5)
        + random.normal(0, 0.1, len(x))
    )
    return _divided(x, y[:, None].astype(np.float32), 1000, 250, 1000)


def wide() -> Rows:
    """Few rows, forty columns of which six count, much noise: (N, 40), (N, 1)."""
    random = np.random.default_rng(14)
    x = random.normal(size=(1450, 40)).astype(np.float32)
    y = (
        x[:, 0]
        + 0.7 * x[:, 1]
        - 0.7 * x[:, 2]
        + 0.5 * x[:, 3]
        + 0.6 * np.abs(x[:, 4])
        + 0.4 * x[:, 5]
    )
    y = y - 0.5 + random.normal(0, 0.6, len(x))
    return _divided(x, y[:, None].astype(np.float32), 300, 150, 1000)


def penguins(folder: Path) -> Rows:
    """Three species by four measurements, three islands and two sexes: (N, 9), three classes."""
    table = read_table(folder / "penguins.csv")
    measures = ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g")
    numbers = [np.asarray(table.column(name).values, np.float64) for name in measures]
    texts = {name: table.column(name).values for name in ("island", "sex", "species")}
    whole = np.all([np.isfinite(values) for values in numbers], 0)
    whole &= np.array([value in ("male", "female") for value in texts["sex"]])
    columns, parts = list(measures), list(numbers)
    for name in ("island", "sex"):
        for value in sorted(set(texts[name][whole].tolist())):
            columns.append(f"{name}={value}")
            parts.append(np.asarray(texts[name] == value, np.float64))
    species = np.unique(texts["species"][whole].astype(str), return_inverse=True)[1]
    x = np.stack(parts, 1)[whole].astype(np.float32)
    share = len(x) // 10
    rows = _divided(x, species.astype(np.int32), 5 * share, 2 * share, len(x) - 7 * share)
    rows = _standardised(rows, slice(0, 4))
    return Rows(rows.train, rows.validation, rows.test, tuple(columns))


def digits(folder: Path) -> Rows:
    """Handwritten digits from 0 to 1: (N, 28, 28, 1), ten classes."""
    found = mnist(folder / "mnist")
    order = np.random.default_rng(15).permutation(len(found.x))[:1600]
    first, second = np.split(order, [len(order) * 3 // 4])
    return Rows(
        (found.x[first], found.y[first]),
        (found.x[second], found.y[second]),
        (found.x_check[:1000], found.y_check[:1000]),
    )


def films(folder: Path) -> Rows:
    """Sentences about films as numbers of words, 0 after the end: (N, 24), good or bad."""
    table = read_table(folder / "movie_sentences.csv")
    texts = table.column("text").values.astype(str)
    rating = np.asarray(table.column("rating").values, np.float64)
    clear = np.random.default_rng(16).permutation(np.flatnonzero(np.abs(rating) >= 1))
    encoder = TextEncoder("words", min_count=3, max_length=24)
    encoder.fit([str(text) for text in texts[clear[:3000]]])
    x = encoder.transform([str(text) for text in texts[clear]]).astype(np.int32)
    y = (rating[clear] > 0).astype(np.int32)
    return _at(x, y, np.split(np.arange(len(y)), [len(y) * 4 // 9, len(y) * 6 // 9]))


def spoken(folder: Path) -> Rows:
    """Spoken digits as the energy in bands over time: (N, 29, 20, 1), ten classes."""
    paths = sorted((folder / "fsdd" / "recordings").glob("*_*_*.wav"))
    order = np.random.default_rng(17).permutation(len(paths))[:2000]
    clips = np.stack([_clip(paths[index]) for index in order])
    labels = np.array([int(paths[index].name[0]) for index in order], np.int32)
    layer = cr.layers.LogMel(SAMPLE_RATE, bands=20, window=0.04, hop=0.02, floor=1e-6)
    x = np.asarray(layer(clips).numpy(), np.float32)[..., None]
    parts = np.split(np.arange(len(order)), [len(order) * 2 // 5, len(order) // 2])
    learnt = x[parts[0]]
    return _at((x - learnt.mean()) / learnt.std(), labels, parts)


def _clip(path: Path) -> Array:
    with wave.open(str(path), "rb") as file:
        samples = np.frombuffer(file.readframes(CLIP_SAMPLES), np.int16)
    clip = np.zeros(CLIP_SAMPLES, np.float32)
    clip[: len(samples)] = samples / 32768
    return clip


def adding() -> Rows:
    """Numbers of which two are marked; the target is their sum: (N, steps, 2), (N, 1)."""
    random = np.random.default_rng(18)
    count = 2900
    x = np.zeros((count, TIME_STEPS, 2), np.float32)
    x[..., 0] = random.random((count, TIME_STEPS))
    half = TIME_STEPS // 2
    rows = np.arange(count)
    for place in (random.integers(0, half, count), random.integers(half, TIME_STEPS, count)):
        x[rows, place, 1] = 1
    y = (x[..., 0] * x[..., 1]).sum(1, keepdims=True)
    return _divided(x, y.astype(np.float32), 1500, 400, 1000)


READ: dict[str, Callable[[Path], Rows]] = {
    "penguins": penguins,
    "digits": digits,
    "films": films,
    "spoken": spoken,
}
GENERATED: dict[str, Callable[[], Rows]] = {
    "moons": moons,
    "spirals": spirals,
    "article": article,
    "wide": wide,
    "adding": adding,
}


def load(name: str, folder: Path | None = None) -> Rows:
    """The rows of this name.

    Raises:
        FileNotFoundError: they have to be read, and there is no folder to read them from.
    """
    if name in GENERATED:
        return GENERATED[name]()
    folder = data_folder(folder)
    if folder is None or not folder.is_dir():
        raise FileNotFoundError(f"{name}: no data folder; give --data or set {VARIABLE}")
    cache = cache_folder("clinic")
    if cache is None:
        return READ[name](folder)
    source = int(folder.absolute().stat().st_mtime_ns)
    kept = cache / f"{name}-{VERSION}-{source}.npz"
    if not kept.exists():
        cache.mkdir(parents=True, exist_ok=True)
        write_atomically(kept, [_packed(READ[name](folder))])
    with np.load(kept, allow_pickle=False) as found:
        train, validation, test = ((found[f"{part}_x"], found[f"{part}_y"]) for part in _PARTS)
        return Rows(train, validation, test, tuple(found["columns"].tolist()))


_PARTS = ("train", "validation", "test")


def _packed(rows: Rows) -> bytes:
    arrays = {"columns": np.array(rows.columns, dtype=str)}
    for part in _PARTS:
        arrays[f"{part}_x"], arrays[f"{part}_y"] = getattr(rows, part)
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()
