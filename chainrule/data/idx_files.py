"""The idx format of MNIST: one array of numbers in a file, plain or packed with gzip.

Four bytes (0, 0, the kind of number, the number of axes), the length of each axis as a big-endian
32-bit number, then the numbers, big-endian, the last axis running fastest. What the header promises
is compared with what the file can hold before memory is taken for it.
"""

import gzip
import math
import os
import stat
import zlib
from io import BufferedReader
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import FileAccessError, FileFormatError

KINDS = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MAX_AXES = 8
MAX_BYTES = 4 << 30

# DEFLATE cannot pack anything tighter than this.
_MAX_EXPANSION = 1032
_GZIP_MARK = b"\x1f\x8b"
_PIECE = 1 << 20


def idx(path: str | os.PathLike[str], *, max_bytes: int = MAX_BYTES) -> NDArray[Any]:
    """Read an array from an idx file, such as those of MNIST.

    Args:
        path: the file; gzip is told by its content.
        max_bytes: refuse a larger array before memory is taken; default 4 GiB.

    Returns:
        The array, in this machine's byte order: uint8, int8, int16, int32, float32 or float64.

    Raises:
        FileAccessError: the file cannot be read.
        FileFormatError: not an idx file, cut off, too long, or larger than allowed.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "labels.idx"
        >>> _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
        >>> cr.data.idx(path)
        array([7, 2, 1], dtype=uint8)

    Reference: Yann LeCun, Corinna Cortes, Christopher Burges, The MNIST database.
    """
    where = os.fspath(path)
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        with open(os.open(where, flags), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise FileAccessError(
                    where, "this is not an ordinary file", expected="an idx or idx.gz file"
                )
            if file.peek(2)[:2] != _GZIP_MARK:
                return _read(file, status.st_size, where, max_bytes)
            with gzip.GzipFile(fileobj=file) as unpacked:
                return _read(unpacked, status.st_size * _MAX_EXPANSION, where, max_bytes)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _wrong(where, "the gzip file is damaged", str(error), "a whole file") from None
    except (OSError, ValueError) as error:
        if isinstance(error, FileAccessError | FileFormatError):
            raise
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise FileAccessError(
            where, "cannot read the file", got=reason, fix="check the path"
        ) from None


def _read(
    file: "BufferedReader | gzip.GzipFile", most: int, where: str, max_bytes: int
) -> NDArray[Any]:
    """Read header and numbers from a stream that cannot hold more than `most` bytes."""
    start = _exactly(file, 4, where)
    axes = start[3]
    if start[:2] != b"\0\0" or start[2] not in KINDS or not 1 <= axes <= MAX_AXES:
        expected = f"0, 0, one of {', '.join(map(str, KINDS))}, 1 to {MAX_AXES} axes"
        raise _wrong(where, "this is not an idx file", f"{list(start)} at the beginning", expected)
    lengths = np.frombuffer(_exactly(file, 4 * axes, where), ">u4")
    shape = tuple(int(length) for length in lengths)
    kind = np.dtype(KINDS[start[2]])
    size = math.prod(shape) * kind.itemsize
    described = f"{' × '.join(map(str, shape))} numbers of {kind.itemsize} bytes"
    if size > max_bytes:
        raise _wrong(where, "the array is too large", described, f"at most {max_bytes:,} bytes")
    if size > most:
        raise _wrong(where, "the header promises more than the file holds", described, None)
    numbers = np.empty(size, np.uint8)
    _fill(file, numbers.data, where, described)
    if file.read(1):
        raise _wrong(where, "the file goes on after its numbers", None, described)
    array = numbers.view(kind).reshape(shape)
    return array.astype(kind.newbyteorder("="), copy=False)


def _fill(
    file: "BufferedReader | gzip.GzipFile", memory: memoryview, where: str, described: str
) -> None:
    done = 0
    while done < len(memory):
        count = file.readinto(memory[done : done + _PIECE])
        if not count:
            raise _wrong(where, "the file is cut off", f"{done:,} bytes of numbers", described)
        done += count


def _exactly(file: "BufferedReader | gzip.GzipFile", count: int, where: str) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise _wrong(where, "this is not an idx file", f"{len(data)} bytes", f"at least {count}")
    return data


def _wrong(where: str, what: str, got: object, expected: object) -> FileFormatError:
    return FileFormatError(
        where, what, got=got, expected=expected, fix="fetch or write the file again"
    )
