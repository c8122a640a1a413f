"""Folders and tables of pictures as arrays: found, decoded by several threads, kept in a cache."""

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.cache_folder import cache_folder
from chainrule.data.array_cache import ArrayCache
from chainrule.data.image_decoding import (
    ASPECTS,
    DTYPES,
    MAX_SIDE,
    Aspect,
    Facts,
    ImagePreparation,
    Limits,
    decode,
    decoding,
    look,
    pillow_version,
)
from chainrule.data.image_files import PICTURES
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
from chainrule.errors import ArgumentError, DataError

Array = NDArray[Any]

MAX_PIXELS = 1 << 26
MAX_FILE_BYTES = 1 << 26
MAX_ARRAY_BYTES = 4 << 30

#: The side of the square that pictures of several sizes, or of a larger one, are brought to.
DEFAULT_SIDE = 64
LARGEST_OWN_SIDE = 128

_WHERE = "cr.data.images"


@dataclass(frozen=True, eq=False)
class ImageData:
    """Pictures of one shape with their classes.

    Args:
        x: (N, height, width, channels), uint8 or float32.
        y: (N,) int32 codes of the classes; -1 where none is known.
        classes: the names of the classes, in the order of the codes.
        paths: the N files, from the folder.
        skipped: files that are not used, and why.
        preparation: how the pictures were made; for those to come.
    """

    x: Array
    y: NDArray[np.int32]
    classes: list[str]
    paths: list[str]
    skipped: list[Skipped]
    preparation: ImagePreparation

    def __len__(self) -> int:
        """The number of pictures N."""
        return len(self.x)

    def __repr__(self) -> str:
        """One line, without the pictures."""
        shape = " × ".join(map(str, self.x.shape[1:]))
        return (
            f"ImageData({len(self):,} pictures, {shape} {self.x.dtype}, "
            f"{len(self.classes)} classes, {len(self.skipped)} files skipped)"
        )

    @property
    def counts(self) -> list[int]:
        """The number of pictures of each class."""
        return [int(n) for n in np.bincount(self.y[self.y >= 0], minlength=len(self.classes))]

    def take(self, rows: NDArray[Any]) -> "ImageData":
        """The pictures of the given rows."""
        paths = [self.paths[row] for row in rows]
        return replace(self, x=self.x[rows], y=self.y[rows], paths=paths)


def images(
    source: str | os.PathLike[str],
    *,
    size: int | tuple[int, int] | None = None,
    aspect: Aspect = "stretch",
    channels: int | None = None,
    dtype: str = "uint8",
    background: int = 255,
    path_column: str | None = None,
    label_column: str | None = None,
    allow_one_class: bool = False,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_FILE_BYTES,
    cache: bool = True,
    workers: int | None = None,
    progress: Progress | None = None,
) -> ImageData:
    """Read the pictures of a folder, one sub-folder a class, or of a table of paths and labels.

    JPEG, PNG, WebP, BMP and GIF (the first picture), told apart by content. Pictures are put
    upright by their EXIF orientation; CMYK, palettes and transparency become plain colours. Files
    that give no picture, and links that lead out of the folder, are listed in ``skipped``. Decoded
    pictures are kept in the user's cache folder ($CHAINRULE_CACHE_DIR, "off" for none).

    Args:
        source: the folder, or a CSV, TSV or Parquet file with a path and a label in each row.
        size: (height, width), or one number for both. Default: that of the pictures if all have
            the same and no side is above 128, else 64.
        aspect: "stretch" (default) changes proportions, "crop" cuts off what is too long, "pad"
            adds borders.
        channels: 1 for grey, 3 for colours; default 1 if all pictures are grey, else 3.
        dtype: "uint8" (default), 0 to 255, or "float32", 0 to 1, which keeps 16-bit grey levels.
        background: grey level, 0 to 255, of borders and behind transparency; default 255, white.
        path_column, label_column: the columns of a table; default found by their names.
        allow_one_class: accept pictures of a single class; default False.
        max_pixels: files that declare more are skipped undecoded; default 2^26.
        max_bytes: larger files are skipped unread; default 64 MiB.
        cache: False neither reads nor writes the cache; default True.
        workers: threads; default one for each processor.
        progress: called with (files done, files in all) now and then; default none.

    Returns:
        An ImageData with uint8 or float32 pictures (N, height, width, channels).

    Raises:
        FileAccessError: no such folder or file.
        DataError: no pictures, none that can be read, one class only, or more than memory should
            be taken for.
        MissingDependencyError: Pillow is not installed.

    Example:
        >>> import pathlib, tempfile
        >>> from PIL import Image
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> for name in ("dark", "light"):
        ...     (folder / name).mkdir()
        ...     Image.new("L", (8, 8), 255 * (name == "light")).save(folder / name / "a.png")
        >>> data = cr.data.images(folder)
        >>> data
        ImageData(2 pictures, 8 × 8 × 1 uint8, 2 classes, 0 files skipped)
        >>> data.classes, data.y.tolist(), data.x.max(axis=(1, 2, 3)).tolist()
        (['dark', 'light'], [0, 1], [0, 255])

    Different from Keras' image_dataset_from_directory: nothing is shuffled or batched, grey
    pictures stay grey, and unreadable files do not end the run.
    """
    options = _Options(
        _checked_size(size), aspect, channels, dtype, background,
        Limits(max_pixels, max_bytes), checked_workers(_WHERE, workers),
    )  # fmt: skip
    _check(options)
    listing = list_labelled(source, PICTURES, path_column, label_column)
    found = _read(listing, options, cache, progress)
    labels = [picture.label for picture in found.pictures]
    classes, codes = np.unique(np.array(labels), return_inverse=True)
    if len(classes) < 2 and not allow_one_class:
        raise one_class(listing, len(labels), str(classes[0]), found.skipped)
    names = [picture.name for picture in found.pictures]
    return ImageData(
        found.x, codes.astype(np.int32), [str(name) for name in classes], names,
        found.skipped, found.preparation,
    )  # fmt: skip


def read_pictures(
    sources: Sequence[str | os.PathLike[str]],
    preparation: ImagePreparation,
    *,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_FILE_BYTES,
    progress: Progress | None = None,
) -> ImageData:
    """Read files, and all pictures below folders, as a model takes them; no classes are known.

    Args:
        sources: files and folders.
        preparation: that of the pictures which the model learned from.
        max_pixels, max_bytes, progress: as for `images`.

    Returns:
        An ImageData whose ``y`` is -1 throughout; ``paths`` are the files as they were named.

    Raises:
        FileAccessError: no such file or folder.
        DataError: no pictures, or none that can be read.
    """
    options = _Options(
        (preparation.height, preparation.width), preparation.aspect, preparation.channels,
        preparation.dtype, preparation.background, Limits(max_pixels, max_bytes),
        checked_workers(_WHERE, None),
    )  # fmt: skip
    listing = list_files([os.fspath(item) for item in sources], PICTURES)
    found = _read(listing, options, False, progress)
    names = [picture.name for picture in found.pictures]
    unknown = np.full(len(names), -1, np.int32)
    return ImageData(found.x, unknown, [], names, found.skipped, found.preparation)


# ---- reading


@dataclass(frozen=True)
class _Options:
    size: tuple[int, int] | None
    aspect: Aspect
    channels: int | None
    dtype: str
    background: int
    limits: Limits
    workers: int


@dataclass(frozen=True)
class _Found:
    x: Array
    pictures: list[MediaFile]
    skipped: list[Skipped]
    preparation: ImagePreparation


def _read(listing: Listing, options: _Options, cache: bool, progress: Progress | None) -> _Found:
    check_any(listing)
    kept = ArrayCache(cache_folder("pictures") if cache else None)
    name = _entry_name(listing.files, options)
    found = _from_cache(kept, name, listing)
    if found is None:
        with decoding():
            found = _decode_all(listing, options, progress)
        rows = {picture: row for row, picture in enumerate(listing.files)}
        note = {
            "preparation": found.preparation.to_config(),
            "rows": [rows[picture] for picture in found.pictures],
            "skipped": found.skipped[len(listing.skipped) :],
        }
        kept.write(name, note, found.x)
    return found


def _entry_name(pictures: list[MediaFile], options: _Options) -> str:
    """A hash of all that the decoded pictures depend on."""
    facts = [1, pillow_version(), repr(replace(options, workers=1)), pictures]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _from_cache(kept: ArrayCache, name: str, listing: Listing) -> _Found | None:
    entry = kept.read(name)
    if entry is None:
        return None
    note, x = entry
    try:
        pictures = [listing.files[row] for row in note["rows"]]
        skipped = [*listing.skipped, *(Skipped(*item) for item in note["skipped"])]
        preparation = ImagePreparation.from_config(note["preparation"])
        if x.shape != (len(pictures), *preparation.shape) or x.dtype.name != preparation.dtype:
            return None
    except (LookupError, TypeError, ValueError):
        return None
    return _Found(x, pictures, skipped, preparation)


def _decode_all(listing: Listing, options: _Options, progress: Progress | None) -> _Found:
    """Look at the files, choose the shape, decode into one array."""
    total = len(listing.files)
    failed: dict[MediaFile, UnreadableError] = {}
    with ThreadPoolExecutor(options.workers) as pool:
        look_at = partial(look, limits=options.limits)
        facts: list[Facts] = []
        candidates: list[MediaFile] = []
        for picture, fact in each(pool, look_at, listing.files):
            if isinstance(fact, UnreadableError):
                failed[picture] = fact
            else:
                facts.append(fact)
                candidates.append(picture)
        if not facts:
            raise none_readable(listing, failed)
        wanted = _preparation(facts, options)
        _check_memory(listing, len(facts), wanted)
        x = np.empty((len(facts), *wanted.shape), wanted.dtype)
        good: list[MediaFile] = []
        make = partial(decode, limits=options.limits, wanted=wanted)
        for picture, array in each(pool, make, candidates):
            if isinstance(array, UnreadableError):
                failed[picture] = array
            else:
                x[len(good)] = array
                good.append(picture)
            done = len(failed) + len(good)
            if progress is not None and (done % FILES_A_TASK == 0 or picture is candidates[-1]):
                progress(done, total)
    if not good:
        raise none_readable(listing, failed)
    return _Found(x[: len(good)], good, [*listing.skipped, *unreadable(listing, failed)], wanted)


def _preparation(facts: list[Facts], options: _Options) -> ImagePreparation:
    """The options with what they leave open decided by the pictures."""
    size = options.size
    if size is None:
        sizes = {(item.height, item.width) for item in facts}
        first = next(iter(sizes))
        same = len(sizes) == 1 and max(first) <= LARGEST_OWN_SIDE
        size = first if same else (DEFAULT_SIDE, DEFAULT_SIDE)
    channels = options.channels or (1 if all(item.grey for item in facts) else 3)
    return ImagePreparation(*size, channels, options.aspect, options.dtype, options.background)


def _check_memory(listing: Listing, count: int, wanted: ImagePreparation) -> None:
    size = count * int(np.prod(wanted.shape)) * np.dtype(wanted.dtype).itemsize
    if size > MAX_ARRAY_BYTES:
        raise DataError(
            listing.source,
            "the pictures would take too much memory",
            got=f"{count:,} of {wanted.height} × {wanted.width} pixels",
            expected=f"at most {MAX_ARRAY_BYTES >> 30} GiB in all",
            fix="ask for a smaller size",
        )


# ---- arguments


def _checked_size(size: Any) -> tuple[int, int] | None:
    if size is None:
        return None
    pair = (size, size) if isinstance(size, int | np.integer) else size
    good = isinstance(pair, tuple | list) and len(pair) == 2
    if not good or not all(
        isinstance(side, int | np.integer) and type(side) is not bool and 1 <= side <= MAX_SIDE
        for side in pair
    ):
        raise ArgumentError(
            _WHERE, "wrong size", got=repr(size)[:60],
            expected=f"a side, or (height, width), of 1 to {MAX_SIDE} pixels",
        )  # fmt: skip
    return int(pair[0]), int(pair[1])


def _check(options: _Options) -> None:
    level = options.background
    for name, value, good, expected in (
        ("aspect", options.aspect, options.aspect in ASPECTS, " or ".join(ASPECTS)),
        ("channels", options.channels, options.channels in (None, 1, 3), "1, 3 or None"),
        ("dtype", options.dtype, options.dtype in DTYPES, " or ".join(DTYPES)),
        ("background", level, type(level) is int and 0 <= level <= 255, "a level from 0 to 255"),
        ("max_pixels", options.limits.pixels, options.limits.pixels >= 1, "at least 1"),
        ("max_bytes", options.limits.size, options.limits.size >= 1, "at least 1"),
    ):
        if not good:
            raise ArgumentError(_WHERE, f"wrong {name}", got=repr(value), expected=expected)
