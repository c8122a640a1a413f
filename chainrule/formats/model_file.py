"""Model files: named arrays and a table of metadata in one safetensors file, read without trust.

No pickle, nothing imported or run by name, no path taken from the file. The format is written down
in ``docs/model-file.md``.
"""

import os
import stat
from collections.abc import Mapping
from io import BufferedReader
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import (
    ArgumentError,
    ChainruleError,
    DTypeError,
    FileAccessError,
    FileFormatError,
)
from chainrule.formats import header as headers
from chainrule.formats.atomic import (
    PathLike,
    access_error,
    check_writable,
    kind_of,
    place,
    write_atomically,
)
from chainrule.formats.file_kinds import HEAD_SIZE, looks_like
from chainrule.formats.header import LENGTH_SIZE, MAX_HEADER_SIZE, Header, checksum, parse_header
from chainrule.formats.strict_json import RESTORE, plain, shown, text_of

__all__ = ["check_writable", "read_model_file", "write_model_file"]

Arrays = dict[str, NDArray[Any]]


def write_model_file(
    path: PathLike, metadata: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> None:
    """Write arrays and metadata as one model file, atomically.

    Equal content gives equal bytes. Until the new file is whole, the old one stays.

    Args:
        path: the file to write or replace.
        metadata: a table of JSON values (text keys; finite numbers).
        arrays: by name; bool, uint8, int32, int64, uint32, float32 or float64, at most 8 axes.

    Raises:
        FileAccessError: the file cannot be written (see ``check_writable``).
        ArgumentError, DTypeError: content that the format does not hold. Nothing is written.

    Example:
        >>> import tempfile, os
        >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
        >>> write_model_file(path, {"note": "two"}, {"weights": np.array([1.0, 2.0])})
        >>> read_model_file(path)
        ({'note': 'two'}, {'weights': array([1., 2.])})
    """
    from safetensors.numpy import save

    where = place(path)
    ready = {name: _ready(name, array, where) for name, array in arrays.items()}
    about = {
        "format_version": headers.FORMAT_VERSION,
        "header_sha256": headers.UNSET_CHECKSUM,
        "tensor_sha256": {name: checksum(_bytes_of(ready[name])) for name in sorted(ready)},
        "model": plain(dict(metadata), where=where),
    }
    content = memoryview(save(ready, metadata={"chainrule": text_of(about, where=where)}))
    size = LENGTH_SIZE + int.from_bytes(content[:LENGTH_SIZE], "little")
    if size - LENGTH_SIZE > MAX_HEADER_SIZE:
        raise ArgumentError(
            where,
            "there is too much metadata or there are too many arrays for a model file",
            got=f"{len(ready)} arrays and a header of {size - LENGTH_SIZE} bytes",
            expected=f"a header of at most {MAX_HEADER_SIZE} bytes",
            fix="put long lists of numbers into arrays, and small arrays together",
        )
    unset, raw = headers.UNSET_CHECKSUM.encode(), bytes(content[:size])
    raw = raw.replace(unset, checksum(raw).encode(), 1)
    parse_header(raw, where)
    write_atomically(path, [raw, content[size:]])


def read_model_file(path: PathLike) -> tuple[dict[str, Any], Arrays]:
    """Read a model file written by ``write_model_file``.

    Everything the file says is checked before it is used; its checksums must be right.

    Args:
        path: the file.

    Returns:
        The metadata and the arrays by name (writable, in native byte order).

    Raises:
        FileAccessError: the file is missing, cannot be read, or is a folder or a device.
        FileFormatError: not a model file, damaged, or made by a newer version.
    """
    where = place(path)
    # Not blocking: opening a pipe would wait for somebody to write to it.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
        try:
            size = _size_of_file(descriptor, where)
            with open(descriptor, "rb", closefd=False) as file:
                return _read(file, size, where)
        finally:
            os.close(descriptor)
    except ChainruleError:
        raise
    except FileNotFoundError as error:
        raise access_error(path, "find", error, "check the name and the folder") from None
    except (OSError, ValueError) as error:
        raise access_error(path, "read", error, "check the path and its rights") from error
    except MemoryError:
        raise FileAccessError(
            where, "the file does not fit into memory", fix="use a machine with more memory"
        ) from None


def _ready(name: object, array: object, where: str) -> NDArray[Any]:
    """The array as the file holds it: contiguous, little-endian; refuses what the format lacks."""
    if not headers.check_name(name):
        raise ArgumentError(
            where,
            "an array has a name that a model file cannot hold",
            got=shown(name),
            expected=f"1 to {headers.MAX_NAME_LENGTH} printable characters",
            fix="rename it",
        )
    value = np.asarray(array)
    dtype = value.dtype.newbyteorder("<")
    if dtype not in headers.DTYPES.values():
        raise DTypeError(
            where,
            f"array {shown(name)} has a dtype that a model file cannot hold",
            got=value.dtype,
            expected="one of " + ", ".join(known.name for known in headers.DTYPES.values()),
            fix="convert it with .astype(...)",
        )
    if value.ndim > headers.MAX_RANK:
        raise ArgumentError(
            where,
            f"array {shown(name)} has too many axes",
            got=value.ndim,
            expected=f"at most {headers.MAX_RANK}",
            fix="reshape it",
        )
    return np.asarray(value, dtype=dtype, order="C")


def _bytes_of(array: NDArray[Any]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _size_of_file(descriptor: int, where: str) -> int:
    """The length of a regular file; refuses folders and devices."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise FileAccessError(
            where,
            "cannot read a model from here",
            got=kind_of(status.st_mode),
            expected="a file",
            fix="give the path of a model file",
        )
    return status.st_size


def _read(file: BufferedReader, size: int, where: str) -> tuple[dict[str, Any], Arrays]:
    raw = _read_raw_header(file, size, where)
    header = parse_header(raw, where)
    expected = len(raw) + header.data_size
    if size != expected:
        short = size < expected
        raise FileFormatError(
            where,
            "the file is truncated" if short else "the file goes on after its last tensor",
            got=f"{size} bytes",
            expected=f"{expected} bytes",
            fix=RESTORE,
        )
    _check_memory(expected, where)
    file.seek(0)
    content = file.read(expected)
    if len(content) != expected or not content.startswith(raw):
        raise FileFormatError(
            where, "the file changed while it was read", fix="wait until it is written, then retry"
        )
    return header.metadata, _arrays(content, len(raw), header, where)


def _read_raw_header(file: BufferedReader, size: int, where: str) -> bytes:
    """The file's first bytes, up to the end of the header, when they can be a header at all."""
    head = file.read(HEAD_SIZE)
    length = int.from_bytes(head[:LENGTH_SIZE], "little")
    plausible = 2 <= length <= MAX_HEADER_SIZE and head[LENGTH_SIZE : LENGTH_SIZE + 1] in (
        b"{",
        b"",
    )
    if size < LENGTH_SIZE or not plausible:
        kind = "an empty file" if size == 0 else looks_like(head)
        raise FileFormatError(
            where,
            "this is not a model file",
            got=kind or f"{size} bytes that begin with {shown(head[:12])}",
            expected="a safetensors file with a header of 2 bytes to 8 MB",
            fix="use a file that model.save(path) wrote",
        )
    if LENGTH_SIZE + length > size:
        raise FileFormatError(
            where,
            "the file is truncated within its header",
            got=f"{size} bytes",
            expected=f"at least {LENGTH_SIZE + length} bytes",
            fix=RESTORE,
        )
    return head[: LENGTH_SIZE + length] + file.read(max(0, LENGTH_SIZE + length - len(head)))


def _check_memory(size: int, where: str) -> None:
    """Refuse what the machine can never hold; a file with holes can claim any size at no cost."""
    if not hasattr(os, "sysconf"):
        return
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if 2 * size > available:
        raise FileAccessError(
            where,
            "the file does not fit into memory",
            got=f"{size} bytes, needed twice while loading",
            expected=f"at most {available} bytes, this machine's memory",
            fix="use a machine with more memory",
        )


def _arrays(content: bytes, start: int, header: Header, where: str) -> Arrays:
    """The tensors, after their checksums are found right."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    data = memoryview(content)[start:]
    for entry in header.entries:
        piece = data[entry.begin : entry.end]
        part = f"tensor {shown(entry.name)}, bytes {start + entry.begin} to {start + entry.end - 1}"
        if checksum(piece) != header.checksums[entry.name]:
            raise FileFormatError(
                where,
                "the file was changed after it was written",
                got=f"damage in {part}",
                fix=RESTORE,
            )
        if entry.dtype == np.bool_ and piece and np.frombuffer(piece, np.uint8).max() > 1:
            raise FileFormatError(
                where, f"{part} holds a truth value other than 0 and 1", fix=RESTORE
            )
    try:
        loaded = load(content)
    except SafetensorError as error:
        raise FileFormatError(
            where, "the safetensors library refuses the file", got=error, fix=RESTORE
        ) from error
    return {
        entry.name: np.require(loaded[entry.name], requirements="W") for entry in header.entries
    }
