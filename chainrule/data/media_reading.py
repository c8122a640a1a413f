"""What reading pictures and sounds has in common: opening files, threads, reasons, errors."""

import os
import stat
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import BinaryIO, TypeVar

from chainrule.data.media_files import Listing, MediaFile, Skipped
from chainrule.errors import ArgumentError, DataError

Progress = Callable[[int, int], None]
Result = TypeVar("Result")

MAX_WORKERS = 16
FILES_A_TASK = 16


class UnreadableError(Exception):
    """A file that gives no picture or sound; the text is the reason."""


@contextmanager
def opened(path: str, most_bytes: int) -> Iterator[BinaryIO]:
    """An ordinary file of at most so many bytes, open for reading.

    Raises:
        UnreadableError: another kind of file, empty, or too large.
    """
    flags = os.O_RDONLY
    for extra in ("O_BINARY", "O_CLOEXEC", "O_NONBLOCK", "O_NOINHERIT"):
        flags |= getattr(os, extra, 0)
    with open(os.open(path, flags), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableError("this is not an ordinary file")
        if status.st_size == 0:
            raise UnreadableError("the file is empty")
        if status.st_size > most_bytes:
            raise UnreadableError(f"the file has {status.st_size:,} bytes, over {most_bytes:,}")
        yield file


def each(
    pool: ThreadPoolExecutor, function: Callable[[str], Result], files: Sequence[MediaFile]
) -> Iterator[tuple[MediaFile, Result | UnreadableError]]:
    """Apply a function to the paths of all files, in threads; yield each with its result.

    The order is that of the files, and only some of the work is ever waiting.
    """

    def some_of_them(part: Sequence[MediaFile]) -> list[Result | UnreadableError]:
        results: list[Result | UnreadableError] = []
        for file in part:
            try:
                results.append(function(file.path))
            except UnreadableError as reason:
                results.append(reason)
        return results

    starts = range(0, len(files), FILES_A_TASK)
    parts = (files[start : start + FILES_A_TASK] for start in starts)
    first = islice(parts, 2 * MAX_WORKERS)
    waiting = deque((part, pool.submit(some_of_them, part)) for part in first)
    try:
        while waiting:
            part, future = waiting.popleft()
            yield from zip(part, future.result(), strict=True)
            waiting.extend((part, pool.submit(some_of_them, part)) for part in islice(parts, 1))
    finally:
        for _, future in waiting:
            future.cancel()


def checked_workers(where: str, workers: int | None) -> int:
    """The number of threads; one for each processor where none is given."""
    if workers is None:
        return min(MAX_WORKERS, os.cpu_count() or 1)
    if type(workers) is not int or not 1 <= workers <= MAX_WORKERS:
        raise ArgumentError(
            where, "wrong workers", got=repr(workers),
            expected=f"a whole number from 1 to {MAX_WORKERS}, or None",
        )  # fmt: skip
    return workers


def unreadable(listing: Listing, failed: Mapping[MediaFile, UnreadableError]) -> list[Skipped]:
    """The files that failed, in the order of the listing, with the reasons."""
    return [Skipped(file.name, str(failed[file])) for file in listing.files if file in failed]


def check_any(listing: Listing) -> None:
    """Refuse a listing without files.

    Raises:
        DataError: there is nothing to read.
    """
    if not listing.files:
        raise DataError(
            listing.source,
            f"there are no {listing.kind.noun}",
            got=some(listing.skipped) if listing.skipped else "nothing",
            expected=listing.kind.formats,
            fix="check the folder and the names of the files",
        )


def none_readable(listing: Listing, failed: Mapping[MediaFile, UnreadableError]) -> DataError:
    """The error for files none of which can be read."""
    return DataError(
        listing.source,
        f"none of the {len(failed):,} {listing.kind.noun} can be read",
        got=some(unreadable(listing, failed)),
        expected=listing.kind.formats,
        fix="write them again",
    )


def one_class(listing: Listing, count: int, name: str, skipped: Sequence[Skipped]) -> DataError:
    """The error for files that are all of one class."""
    noun = listing.kind.noun
    return DataError(
        listing.source,
        f"the {noun} are all of one class",
        got=f"{count:,} of class {name!r}",
        expected="at least 2 classes, each in a sub-folder of its own",
        fix=f"put the {noun} of each class into a sub-folder named after it"
        + (f"; {some(skipped)}" if skipped else ""),
    )


def some(skipped: Sequence[Skipped]) -> str:
    """The first skipped files with their reasons."""
    shown = "; ".join(f"{path}: {reason}" for path, reason in skipped[:3])
    more = len(skipped) - 3
    return shown + (f"; and {more:,} more" if more > 0 else "")
