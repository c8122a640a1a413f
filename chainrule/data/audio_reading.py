"""Folders and tables of sounds as arrays: found, decoded by several threads, kept in a cache."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.cache_folder import cache_folder
from chainrule.data.array_cache import ArrayCache
from chainrule.data.audio_decoding import (
    HIGHEST_RATE,
    LOWEST_RATE,
    MAX_CHANNELS,
    MAX_TRIM,
    AudioFacts,
    AudioLimits,
    AudioPreparation,
    Samples,
    decode,
    decoder_versions,
    look,
)
from chainrule.data.audio_files import SOUNDS, SPEECH
from chainrule.data.media_files import Listing, MediaFile, Skipped, list_files, list_labelled
from chainrule.data.media_reading import (
    FILES_A_TASK,
    Progress,
    UnreadableError,
    check_any,
    checked_workers,
    each,
    none_readable,
    one_class,
    unreadable,
)
from chainrule.errors import ArgumentError, DataError, ShapeError

MAX_SECONDS = 60.0
MAX_FILE_BYTES = 1 << 26
MAX_ARRAY_BYTES = 4 << 30

#: The rate that sounds of several rates, or of a higher one, are brought to.
DEFAULT_RATE = 16_000

_WHERE = "cr.data.audio"


@dataclass(frozen=True, eq=False)
class AudioData:
    """Sounds of one sample rate, each of its own length, with their classes or what is said.

    Args:
        samples: (total,) float32, one sound after the other.
        starts: (N + 1,) int64: sound i is ``samples[starts[i]:starts[i + 1]]``.
        y: (N,) int32 codes of the classes; -1 where none is known.
        classes: the names of the classes, in the order of the codes.
        transcripts: what is said in each; empty where that is not known.
        paths: the N files, from the folder.
        rates: the sample rates of the files, with their numbers of files.
        skipped: files that are not used, and why.
        preparation: how the sounds were made; for those to come.
    """

    samples: Samples
    starts: NDArray[np.int64]
    y: NDArray[np.int32]
    classes: list[str]
    transcripts: list[str]
    paths: list[str]
    rates: dict[int, int]
    skipped: list[Skipped]
    preparation: AudioPreparation

    def __len__(self) -> int:
        """The number of sounds N."""
        return len(self.starts) - 1

    def __getitem__(self, row: int) -> Samples:
        """The samples of one sound."""
        row = range(len(self))[row]
        return self.samples[self.starts[row] : self.starts[row + 1]]

    def __repr__(self) -> str:
        """One line, without the samples."""
        rate = self.preparation.sample_rate
        return (
            f"AudioData({len(self):,} sounds, {self.seconds:,.1f} s at {rate:,} Hz, "
            f"{len(self.classes)} classes, {len(self.skipped)} files skipped)"
        )

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The number of samples of each sound, (N,)."""
        return np.diff(self.starts)

    @property
    def seconds(self) -> float:
        """The duration of all sounds together."""
        return len(self.samples) / self.preparation.sample_rate

    @property
    def counts(self) -> list[int]:
        """The number of sounds of each class."""
        return [int(n) for n in np.bincount(self.y[self.y >= 0], minlength=len(self.classes))]

    def take(self, rows: NDArray[Any]) -> "AudioData":
        """The sounds of the given rows."""
        lengths = self.lengths[rows]
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        samples = np.empty(starts[-1], np.float32)
        for place, row in enumerate(rows):
            samples[starts[place] : starts[place + 1]] = self[int(row)]
        transcripts = [self.transcripts[row] for row in rows] if self.transcripts else []
        return replace(
            self, samples=samples, starts=starts, y=self.y[rows], transcripts=transcripts,
            paths=[self.paths[row] for row in rows],
        )  # fmt: skip

    def padded(self, length: int) -> Samples:
        """All sounds with one length, (N, length): zeros around shorter ones, of longer ones the
        middle.

        Raises:
            ShapeError: more than 4 GiB.
        """
        if len(self) * length * 4 > MAX_ARRAY_BYTES:
            raise ShapeError(
                _WHERE, "the sounds would take too much memory",
                got=f"{len(self):,} of {length:,} samples",
                expected=f"at most {MAX_ARRAY_BYTES >> 30} GiB in all",
                fix="ask for shorter sounds or a lower sample rate",
            )  # fmt: skip
        result = np.zeros((len(self), length), np.float32)
        for row in range(len(self)):
            sound = self[row]
            cut = max(0, len(sound) - length) // 2
            sound = sound[cut : cut + length]
            first = (length - len(sound)) // 2
            result[row, first : first + len(sound)] = sound
        return result


def audio(
    source: str | os.PathLike[str],
    *,
    sample_rate: int | None = None,
    trim: int = 40,
    path_column: str | None = None,
    label_column: str | None = None,
    transcripts: bool = False,
    allow_one_class: bool = False,
    max_seconds: float = MAX_SECONDS,
    max_bytes: int = MAX_FILE_BYTES,
    max_channels: int = MAX_CHANNELS,
    cache: bool = True,
    workers: int | None = None,
    progress: Progress | None = None,
) -> AudioData:
    """Read the sounds of a folder, one sub-folder a class, or of a table of paths and labels.

    WAV, FLAC and OGG (Vorbis, Opus), told apart by content. Channels are mixed, sounds of other
    rates resampled (soxr), silence at both ends cut off. Files that give no sound, and links that
    lead out of the folder, are listed in ``skipped``. Decoded sounds are kept in the user's cache
    folder ($CHAINRULE_CACHE_DIR, "off" for none).

    Args:
        source: the folder, or a CSV, TSV or Parquet file with a path and a label in each row.
        sample_rate: samples a second. Default: that of the files if all have the same and it is not
            above 16,000, else 16,000.
        trim: decibels below the loudest 20 ms that count as silence; default 40; 0 cuts nothing.
        path_column, label_column: the columns of a table; default found by their names.
        transcripts: the label is what is said, not a class; default False.
        allow_one_class: accept sounds of a single class; default False.
        max_seconds: files that declare more are skipped undecoded; default 60.
        max_bytes: larger files are skipped unread; default 64 MiB.
        max_channels: files that declare more are skipped undecoded; default 32.
        cache: False neither reads nor writes the cache; default True.
        workers: threads; default one for each processor.
        progress: called with (files done, files in all) now and then; default none.

    Returns:
        An AudioData with float32 samples from -1 to 1.

    Raises:
        FileAccessError: no such folder or file.
        DataError: no sounds, none that can be read, one class only, or more than memory should be
            taken for.
        MissingDependencyError: soundfile or soxr is not installed.

    Example:
        >>> import pathlib, tempfile, soundfile
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> for name, pitch in (("high", 880), ("low", 110)):
        ...     (folder / name).mkdir()
        ...     tone = np.sin(np.arange(4000) * (2 * np.pi * pitch / 8000))
        ...     soundfile.write(folder / name / "a.wav", tone, 8000)
        >>> data = cr.data.audio(folder)
        >>> data
        AudioData(2 sounds, 1.0 s at 8,000 Hz, 2 classes, 0 files skipped)
        >>> data.classes, data.y.tolist(), data.padded(6000).shape
        (['high', 'low'], [0, 1], (2, 6000))

    Different from Keras' audio_dataset_from_directory: nothing is shuffled or batched, sounds keep
    their lengths, other formats than WAV are read, and unreadable files do not end the run.
    """
    options = _Options(
        sample_rate, trim, AudioLimits(max_seconds, max_bytes, max_channels),
        checked_workers(_WHERE, workers),
    )  # fmt: skip
    _check(options)
    listing = list_labelled(source, SPEECH if transcripts else SOUNDS, path_column, label_column)
    found = _read(listing, options, cache, progress)
    labels = [file.label for file in found.files]
    if transcripts:
        return _data(found, np.full(len(labels), -1, np.int32), [], labels)
    classes, codes = np.unique(np.array(labels), return_inverse=True)
    if len(classes) < 2 and not allow_one_class:
        raise one_class(listing, len(labels), str(classes[0]), found.skipped)
    return _data(found, codes.astype(np.int32), [str(name) for name in classes], [])


def read_sounds(
    sources: Sequence[str | os.PathLike[str]],
    preparation: AudioPreparation,
    *,
    max_seconds: float = MAX_SECONDS,
    max_bytes: int = MAX_FILE_BYTES,
    max_channels: int = MAX_CHANNELS,
    progress: Progress | None = None,
) -> AudioData:
    """Read files, and all sounds below folders, as a model takes them; no classes are known.

    Args:
        sources: files and folders.
        preparation: that of the sounds which the model learned from.
        max_seconds, max_bytes, max_channels, progress: as for `audio`.

    Returns:
        An AudioData whose ``y`` is -1 throughout; ``paths`` are the files as they were named.

    Raises:
        FileAccessError: no such file or folder.
        DataError: no sounds, or none that can be read.
    """
    options = _Options(
        preparation.sample_rate, preparation.trim,
        AudioLimits(max_seconds, max_bytes, max_channels), checked_workers(_WHERE, None),
    )  # fmt: skip
    listing = list_files([os.fspath(item) for item in sources], SOUNDS)
    found = _read(listing, options, False, progress)
    return _data(found, np.full(len(found.files), -1, np.int32), [], [])


# ---- reading


@dataclass(frozen=True)
class _Options:
    sample_rate: int | None
    trim: int
    limits: AudioLimits
    workers: int


@dataclass(frozen=True)
class _Found:
    sounds: Samples
    lengths: NDArray[np.int64]
    files: list[MediaFile]
    rates: dict[int, int]
    skipped: list[Skipped]
    preparation: AudioPreparation


def _data(
    found: _Found, y: NDArray[np.int32], classes: list[str], transcripts: list[str]
) -> AudioData:
    starts = np.concatenate([[0], np.cumsum(found.lengths)]).astype(np.int64)
    return AudioData(
        found.sounds, starts, y, classes, transcripts, [file.name for file in found.files],
        found.rates, found.skipped, found.preparation,
    )  # fmt: skip


def _read(listing: Listing, options: _Options, cache: bool, progress: Progress | None) -> _Found:
    check_any(listing)
    kept = ArrayCache(cache_folder("sounds") if cache else None)
    facts = [1, decoder_versions(), repr(replace(options, workers=1)), listing.files]
    name = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    found = _from_cache(kept, name, listing)
    if found is None:
        found = _decode_all(listing, options, progress)
        rows = {file: row for row, file in enumerate(listing.files)}
        note = {
            "preparation": found.preparation.to_config(),
            "rows": [rows[file] for file in found.files],
            "lengths": found.lengths.tolist(),
            "rates": list(found.rates.items()),
            "skipped": found.skipped[len(listing.skipped) :],
        }
        kept.write(name, note, found.sounds)
    return found


def _from_cache(kept: ArrayCache, name: str, listing: Listing) -> _Found | None:
    entry = kept.read(name)
    if entry is None:
        return None
    note, samples = entry
    try:
        files = [listing.files[row] for row in note["rows"]]
        lengths = np.array(note["lengths"], np.int64).reshape(len(files))
        rates = {int(rate): int(count) for rate, count in note["rates"]}
        skipped = [*listing.skipped, *(Skipped(*item) for item in note["skipped"])]
        preparation = AudioPreparation.from_config(note["preparation"])
        whole = samples.dtype == np.float32 and samples.shape == (lengths.sum(),)
        if not whole or not files or lengths.min() < 1:
            return None
    except (LookupError, TypeError, ValueError, OverflowError):
        return None
    return _Found(samples, lengths, files, rates, skipped, preparation)


def _decode_all(listing: Listing, options: _Options, progress: Progress | None) -> _Found:
    """Look at the files, choose the rate, decode them one after the other into one array."""
    failed: dict[MediaFile, UnreadableError] = {}
    candidates: list[MediaFile] = []
    facts: list[AudioFacts] = []
    good: list[MediaFile] = []
    sounds: list[Samples] = []
    with ThreadPoolExecutor(options.workers) as pool:
        for file, fact in each(pool, partial(look, limits=options.limits), listing.files):
            if isinstance(fact, UnreadableError):
                failed[file] = fact
            else:
                candidates.append(file)
                facts.append(fact)
        if not facts:
            raise none_readable(listing, failed)
        wanted = AudioPreparation(_rate(facts, options), options.trim)
        _check_memory(listing, facts, wanted)
        rates = Counter(fact.rate for fact in facts)
        make = partial(decode, limits=options.limits, wanted=wanted)
        for place, (file, samples) in enumerate(each(pool, make, candidates)):
            if isinstance(samples, UnreadableError):
                failed[file] = samples
                rates[facts[place].rate] -= 1
            else:
                good.append(file)
                sounds.append(samples)
            done = len(failed) + len(good)
            if progress is not None and (done % FILES_A_TASK == 0 or file is candidates[-1]):
                progress(done, len(listing.files))
    if not good:
        raise none_readable(listing, failed)
    lengths = np.array([len(samples) for samples in sounds], np.int64)
    skipped = [*listing.skipped, *unreadable(listing, failed)]
    by_rate = {rate: number for rate, number in sorted(rates.items()) if number}
    return _Found(np.concatenate(sounds), lengths, good, by_rate, skipped, wanted)


def _rate(facts: Sequence[AudioFacts], options: _Options) -> int:
    """The rate asked for, or the one that the files decide."""
    if options.sample_rate is not None:
        return options.sample_rate
    rates = {fact.rate for fact in facts}
    first = int(next(iter(rates)))
    return first if len(rates) == 1 and first <= DEFAULT_RATE else DEFAULT_RATE


def _check_memory(listing: Listing, facts: list[AudioFacts], wanted: AudioPreparation) -> None:
    seconds = sum(fact.frames / fact.rate for fact in facts)
    # Twice: the sounds one by one, and together.
    if 2 * 4 * seconds * wanted.sample_rate > MAX_ARRAY_BYTES:
        raise DataError(
            listing.source,
            "the sounds would take too much memory",
            got=f"{seconds / 3600:,.1f} hours at {wanted.sample_rate:,} samples a second",
            expected=f"at most {MAX_ARRAY_BYTES / 8 / wanted.sample_rate / 3600:,.1f} hours",
            fix="ask for a lower sample_rate, or give fewer files",
        )


def _check(options: _Options) -> None:
    rate, trim, limits = options.sample_rate, options.trim, options.limits
    for name, value, good, expected in (
        (
            "sample_rate", rate,
            rate is None or (type(rate) is int and LOWEST_RATE <= rate <= HIGHEST_RATE),
            f"a whole number from {LOWEST_RATE:,} to {HIGHEST_RATE:,}, or None",
        ),
        ("trim", trim, type(trim) is int and 0 <= trim <= MAX_TRIM, f"decibels, 0 to {MAX_TRIM}"),
        ("max_seconds", limits.seconds, limits.seconds > 0, "more than 0"),
        ("max_bytes", limits.size, limits.size >= 1, "at least 1"),
        ("max_channels", limits.channels, limits.channels >= 1, "at least 1"),
    ):  # fmt: skip
        if not good:
            raise ArgumentError(_WHERE, f"wrong {name}", got=repr(value), expected=expected)
