"""The header of a model file: what it may say, checked before anything is read or allocated by it.

A model file is a safetensors file: 8 bytes with the length of the header (little-endian), the
header (JSON, one entry a tensor: dtype, shape, byte range), the tensors' bytes. The header's
``__metadata__`` holds one key, ``chainrule``, whose text is JSON again: see ``docs/model-file.md``.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.errors import FileFormatError
from chainrule.formats.strict_json import RESTORE, parse, shown

FORMAT_VERSION = 1
LENGTH_SIZE = 8
"""Bytes before the header: its length."""

MAX_HEADER_SIZE = 8 * 2**20
MAX_TENSORS = 100_000
MAX_RANK = 8
MAX_NAME_LENGTH = 256
MAX_ELEMENTS = 2**48
"""Of one tensor, zero-sized axes counted as one."""

DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("bool"),
    "U8": np.dtype("uint8"),
    "I32": np.dtype("<i4"),
    "I64": np.dtype("<i8"),
    "U32": np.dtype("<u4"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
}
"""The dtypes of the library, by their names in a safetensors header."""

UNSET_CHECKSUM = "0" * 64
"""What stands in place of the header's checksum while it is computed."""

_CHECKSUM = re.compile("[0-9a-f]{64}")
_UPGRADE = "pip install --upgrade chainrule"


@dataclass(frozen=True)
class Entry:
    """One tensor: its byte range is counted from the end of the header."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class Header:
    """A checked header."""

    metadata: dict[str, Any]
    entries: tuple[Entry, ...]
    checksums: dict[str, str]

    @property
    def data_size(self) -> int:
        """Bytes of all tensors together."""
        return self.entries[-1].end if self.entries else 0


def checksum(content: bytes | memoryview) -> str:
    """SHA-256 of the content, as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def parse_header(raw: bytes, where: str) -> Header:
    """Read and check a header.

    Args:
        raw: the file's first bytes: length and header, which begins with ``{``.
        where: the file, for messages.

    Returns:
        The header; its entries cover the bytes from 0 to ``data_size`` exactly, in order.

    Raises:
        FileFormatError: naming what is wrong.
    """
    try:
        text = raw[LENGTH_SIZE:].decode()
    except UnicodeDecodeError as error:
        raise _damaged(where, "the header is not UTF-8 text", f"byte {error.start} of it") from None
    table = parse(text, where=where, part="the header")
    about = _about(table.pop("__metadata__", None), raw, where)
    if len(table) > MAX_TENSORS:
        raise _damaged(
            where, "the file holds too many tensors", len(table), f"at most {MAX_TENSORS}"
        )
    entries = [_entry(name, row, where) for name, row in table.items()]
    entries.sort(key=lambda entry: (entry.begin, entry.end))
    _check_cover(entries, where)
    model, checksums = about["model"], about["tensor_sha256"]
    if not isinstance(model, dict):
        raise _damaged(where, "the metadata's 'model' is no table", shown(model), "a JSON object")
    if not isinstance(checksums, dict) or checksums.keys() != table.keys():
        raise _damaged(where, "the metadata does not list one checksum for each tensor")
    return Header(model, tuple(entries), checksums)


def _about(outer: object, raw: bytes, where: str) -> dict[str, Any]:
    """The metadata table, after the header's checksum and the format version are found right."""
    if not isinstance(outer, dict) or outer.keys() != {"chainrule"}:
        raise FileFormatError(
            where,
            "the file has no chainrule metadata",
            got="a safetensors file of another program",
            expected="the key 'chainrule' and no other",
            fix="use a file that model.save(path) wrote",
        )
    text = outer["chainrule"]
    if not isinstance(text, str):
        raise _damaged(where, "the metadata is no text", shown(text), "JSON text")
    about = parse(text, where=where, part="the metadata")
    if not isinstance(about, dict):
        raise _damaged(where, "the metadata is no table", shown(about), "a JSON object")
    stated = about.get("header_sha256")
    if not isinstance(stated, str) or not _CHECKSUM.fullmatch(stated):
        raise _damaged(where, "the header's checksum is missing", shown(stated), "64 hex digits")
    if (
        raw.count(stated.encode()) != 1
        or checksum(raw.replace(stated.encode(), UNSET_CHECKSUM.encode())) != stated
    ):
        part = f"bytes 0 to {len(raw) - 1}, the header"
        raise _damaged(where, "the file was changed after it was written", f"damage in {part}")
    version = about.get("format_version")
    if type(version) is not int or version < 1:
        raise _damaged(where, "the format version is wrong", shown(version), "a whole number")
    if version > FORMAT_VERSION:
        raise FileFormatError(
            where,
            "the file was written by a newer chainrule",
            got=f"format version {version}",
            expected=f"at most {FORMAT_VERSION}",
            fix=_UPGRADE,
        )
    keys = {"format_version", "header_sha256", "tensor_sha256", "model"}
    if about.keys() != keys:
        raise _damaged(where, "the metadata's keys are wrong", shown(sorted(about)), sorted(keys))
    return about


def check_name(name: object) -> bool:
    """Whether a tensor may have this name: 1 to 256 printable characters, not ``__metadata__``."""
    return (
        isinstance(name, str)
        and 0 < len(name) <= MAX_NAME_LENGTH
        and name.isprintable()
        and name != "__metadata__"
    )


def _entry(name: str, row: object, where: str) -> Entry:
    """Check one tensor's entry on its own."""
    if not check_name(name):
        limit = f"1 to {MAX_NAME_LENGTH} printable characters"
        raise _damaged(where, "a tensor has a name that is not allowed", shown(name), limit)
    tensor = f"tensor {shown(name)}"
    keys = ["data_offsets", "dtype", "shape"]
    if not isinstance(row, dict) or sorted(row) != keys:
        raise _damaged(where, f"{tensor} has a wrong entry", shown(row), f"a table of {keys}")
    code, shape, offsets = row["dtype"], row["shape"], row["data_offsets"]
    if not isinstance(code, str) or code not in DTYPES:
        expected = "one of " + ", ".join(DTYPES)
        raise _damaged(where, f"{tensor} has an unknown dtype", shown(code), expected)
    if not _are_sizes(shape) or len(shape) > MAX_RANK:
        expected = f"at most {MAX_RANK} whole numbers, none negative"
        raise _damaged(where, f"{tensor} has a wrong shape", shown(shape), expected)
    if not _are_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        expected = "two whole numbers, the first not above the second"
        raise _damaged(where, f"{tensor} has a wrong byte range", shown(offsets), expected)
    bound = 1
    for size in shape:
        bound *= max(size, 1)
        if bound > MAX_ELEMENTS:
            expected = f"at most {MAX_ELEMENTS} elements"
            raise _damaged(where, f"{tensor} has a huge shape", shown(shape), expected)
    dtype = DTYPES[code]
    needed = (0 if 0 in shape else bound) * dtype.itemsize
    if offsets[1] - offsets[0] != needed:
        got = f"{offsets[1] - offsets[0]} bytes for shape {shown(shape)} of {code}"
        raise _damaged(where, f"{tensor} has a wrong byte range", got, f"{needed} bytes")
    return Entry(name, dtype, tuple(shape), offsets[0], offsets[1])


def _are_sizes(value: object) -> bool:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def _check_cover(entries: list[Entry], where: str) -> None:
    """The byte ranges follow each other without a gap or an overlap, from byte 0."""
    position = 0
    for entry in entries:
        if entry.begin != position:
            problem = "overlap" if entry.begin < position else "leave a gap"
            got = f"byte {entry.begin} at tensor {shown(entry.name)}"
            raise _damaged(where, f"the tensors' byte ranges {problem}", got, f"byte {position}")
        position = entry.end


def _damaged(where: str, what: str, got: object = None, expected: object = None) -> FileFormatError:
    return FileFormatError(where, what, got=got, expected=expected, fix=RESTORE)
