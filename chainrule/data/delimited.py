"""Checks on delimited text (CSV, TSV) before a reader sees it.

Encoding, separator, quotes, the width of every line.

Works on the bytes with NumPy in blocks, so a file of a gigabyte costs seconds and little memory.
What passes here is regular text: UTF-8, one separator, quotes around whole fields only, the same
number of fields on every line.
"""

import codecs
import csv
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import FileFormatError

SEPARATORS = (",", ";", "\t", "|")
SEPARATOR_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
MAX_FIELD_BYTES = 1 << 20
MAX_HEADER_BYTES = 16 << 20
MAX_COLUMNS = 100_000
SNIFFED_LINES = 50
EMPTY_NAME = "column {}"
BLOCK_BYTES = 4 << 20

QUOTE, NEWLINE, RETURN = 34, 10, 13

_UNICODE_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)

# How files of other kinds begin, and what to tell the reader of the message.
SIGNATURES = (
    (b"\x89PNG", "a PNG image", ""),
    (b"\xff\xd8\xff", "a JPEG image", ""),
    (b"GIF8", "a GIF image", ""),
    (b"%PDF", "a PDF document", ""),
    (
        b"PK\x03\x04",
        "a zip archive or an Excel workbook",
        "save the sheet as CSV, or unpack the archive first",
    ),
    (b"PK\x05\x06", "an empty zip archive", ""),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file", "save the sheet as CSV"),
    (b"\x1f\x8b", "a gzip archive", "unpack it first (gunzip)"),
    (b"BZh", "a bzip2 archive", "unpack it first (bunzip2)"),
    (b"\xfd7zXZ", "an xz archive", "unpack it first (unxz)"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", "unpack it first (unzstd)"),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it first"),
    (b"Rar!", "a RAR archive", "unpack it first"),
    (b"\x93NUMPY", "a NumPy array file", "load it with numpy and save it as CSV"),
    (b"\x89HDF", "an HDF5 file", "save the table as CSV or Parquet"),
    (b"SQLite format 3", "an SQLite database", "save the table as CSV"),
    (b"ARROW1", "an Arrow file", "save the table as Parquet"),
    (b"FEA1", "a Feather file", "save the table as Parquet"),
    (b"ORC", "an ORC file", "save the table as Parquet"),
    (b"PAR1", "a Parquet file", "name it .parquet"),
    (b"\x7fELF", "a program", ""),
    (b"MZ\x90", "a program", ""),
    (b"RIFF", "a sound or video file", ""),
    (b"OggS", "a sound file", ""),
    (b"ID3", "a sound file", ""),
)


@dataclass(frozen=True)
class Delimited:
    """Regular delimited text.

    Args:
        names: the column names.
        body: UTF-8 bytes of the data lines, without the header.
        separator: one character.
        n_rows: the number of data lines.
    """

    names: list[str]
    body: bytes
    separator: str
    n_rows: int


def parse_delimited(
    data: bytes,
    where: str,
    *,
    encoding: str = "utf-8",
    separator: str | None = None,
    preferred: str = ",",
) -> Delimited:
    r"""Check the bytes of a delimited file and split off the header.

    Args:
        data: the whole file.
        where: the file's name, for errors.
        encoding: any text encoding that Python knows.
        separator: one character; None chooses among comma, semicolon, tab and bar.
        preferred: the separator to prefer where several would do.

    Returns:
        A Delimited.

    Raises:
        FileFormatError: not text, another encoding, no data lines, uneven lines, bad quotes, bad
            names.

    Example:
        >>> parse_delimited(b"a;b\n1;2\n", "t.csv")
        Delimited(names=['a', 'b'], body=b'1;2', separator=';', n_rows=1)
    """
    data = _plain_text(data, where, encoding)
    if separator is None:
        separator = _sniff(data, preferred)
    regular = _regular(data, separator, where)
    widths, starts = _measure(regular, separator, where)
    _refuse_ragged(regular, widths, starts, where, separator)
    end = int(starts[1]) if len(starts) > 1 else len(regular)
    names = _names(regular[:end], separator, where)
    if len(starts) < 2:
        raise FileFormatError(
            where,
            "there are no data lines under the header",
            got=f"only the line of {len(names)} column names",
            expected="at least one data line",
            fix="check that the file was written completely",
        )
    _refuse_data_as_header(names, where)
    return Delimited(names, regular[end:], separator, len(starts) - 1)


def refuse_other_kinds(data: bytes, where: str) -> None:
    """Raise a FileFormatError that names the kind of a file that is not delimited text."""
    found = next(((kind, fix) for mark, kind, fix in SIGNATURES if data.startswith(mark)), None)
    if found is None and len(data) > 1 and data[0] == 0x80 and data[1] in (2, 3, 4, 5):
        found = ("a Python pickle", "never load a pickle from others; ask for CSV or Parquet")
    if found is None and len(data) > 9 and data[8:10] == b'{"' and data[5:8] == b"\0\0\0":
        found = ("a safetensors file (a model?)", "give the table as data, and the model as model")
    if found is None and data[:1] in b"{[<" and data[:1]:
        kind = {b"{": "JSON", b"[": "JSON"}.get(data[:1], "HTML or XML")
        found = (kind, "save the table as CSV")
    if found is not None:
        raise FileFormatError(
            where,
            "this file is not a table",
            got=found[0],
            expected="CSV, TSV or Parquet",
            fix=found[1] or "give a file of one of these kinds",
        )


def line_number(data: bytes, offset: int) -> int:
    """Return the number of the line, from 1, that holds the byte at an offset."""
    return data.count(b"\n", 0, offset) + 1


def _plain_text(data: bytes, where: str, encoding: str) -> bytes:
    """Return UTF-8 text without mark, with plain line ends and without blank lines at its ends."""
    if not data.removeprefix(codecs.BOM_UTF8).strip():
        raise FileFormatError(
            where,
            "the file is empty",
            got=f"{len(data)} bytes",
            expected="a line of column names and data lines",
            fix="check the path and that the file was written completely",
        )
    refuse_other_kinds(data.removeprefix(codecs.BOM_UTF8).lstrip(), where)
    if encoding.lower().replace("_", "-") not in ("utf-8", "utf8", "utf-8-sig", "ascii"):
        data = _recode(data, where, encoding)
    data = data.removeprefix(codecs.BOM_UTF8)
    _refuse_encoding(data, where)
    if data.find(b"\r") >= 0:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return data.strip(b"\n")


def _recode(data: bytes, where: str, encoding: str) -> bytes:
    try:
        return data.decode(encoding).encode()
    except LookupError:
        raise FileFormatError(
            where,
            "unknown encoding",
            got=repr(encoding),
            expected="a name such as 'gb18030' or 'latin-1'",
        ) from None
    except (UnicodeError, ValueError) as error:
        raise FileFormatError(
            where, f"the text is not {encoding}", got=str(error)[:100], expected=f"{encoding} text"
        ) from None


def _refuse_encoding(data: bytes, where: str) -> None:
    """Raise where the bytes are not UTF-8 text, naming the likely encoding and the line."""
    for mark, name in _UNICODE_MARKS:
        if data.startswith(mark):
            raise _encoding_error(where, f"{name} text (by its first bytes)", name.lower())
    zero = data.find(b"\0")
    if zero >= 0:
        share = data[:4096].count(b"\0") / len(data[:4096])
        if 0.2 < share < 0.6:
            raise _encoding_error(
                where, "UTF-16 text or binary data (every other byte is zero)", "utf-16"
            )
        raise FileFormatError(
            where,
            "a null byte, which no table of text has",
            got=f"byte 0 on line {line_number(data, zero)}",
            expected="CSV, TSV or Parquet",
            fix="the file is binary or damaged; export the table again",
        )
    if data.isascii():
        return
    bad = _first_not_utf8(data)
    if bad is not None:
        guess = _guess_encoding(data)
        raise _encoding_error(
            where,
            f"byte 0x{data[bad]:02x} on line {line_number(data, bad)}, probably {guess}",
            guess,
        )


def _encoding_error(where: str, got: str, guess: str) -> FileFormatError:
    return FileFormatError(
        where,
        "wrong encoding",
        got=got,
        expected="UTF-8",
        fix=f"save the file as UTF-8: iconv -f {guess} -t utf-8 IN > OUT, "
        f"or read_table(path, encoding={guess!r})",
    )


def _first_not_utf8(data: bytes) -> int | None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(data), BLOCK_BYTES):
        kept = len(decoder.getstate()[0])
        try:
            decoder.decode(data[start : start + BLOCK_BYTES], start + BLOCK_BYTES >= len(data))
        except UnicodeDecodeError as error:
            return start - kept + error.start
    return None


def _guess_encoding(data: bytes) -> str:
    """Name the likeliest of the common encodings that are not UTF-8."""
    sample = data[: 1 << 16]
    text = sample.decode("gb18030", errors="replace")
    high = [character for character in text if ord(character) > 127]
    chinese = sum(0x4E00 <= ord(character) <= 0x9FFF for character in high)
    return "gb18030" if chinese > 0.7 * len(high) and chinese >= 2 else "windows-1252"


def _sniff(data: bytes, preferred: str) -> str:
    """Choose the separator that cuts the first lines most evenly."""
    head = data[: 1 << 16].decode("utf-8", errors="replace")
    lines = [line for line in head.split("\n")[:SNIFFED_LINES] if line.strip()]
    if len(head) == 1 << 16 and len(lines) > 1:
        lines.pop()
    candidates = [preferred, *(mark for mark in SEPARATORS if mark != preferred)]
    best, best_score = preferred, (0.0, 0)
    for mark in candidates:
        counts = [_count_outside_quotes(line, mark) for line in lines]
        if counts[0] == 0:
            continue
        even = sum(count == counts[0] for count in counts) / len(counts)
        score = (round(even, 2), counts[0])
        if score > best_score:
            best, best_score = mark, score
    return best


def _count_outside_quotes(line: str, mark: str) -> int:
    return sum(part.count(mark) for part in line.split('"')[::2])


def _structure(
    data: bytes, separator: str
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.bool_]]]:
    """Iterate over blocks of separators and line ends outside quotes.

    Gives their positions, and which of them are line ends.
    """
    mark = ord(separator)
    quoted = data.find(b'"') >= 0
    inside = 0
    for start in range(0, len(data), BLOCK_BYTES):
        block = np.frombuffer(data, np.uint8, min(BLOCK_BYTES, len(data) - start), start)
        hits = (block == NEWLINE) | (block == mark)
        if quoted:
            quotes = block == QUOTE
            level = np.logical_xor.accumulate(quotes)
            hits &= level == bool(inside)
            inside ^= int(quotes.sum()) & 1
        positions = np.flatnonzero(hits)
        yield positions + start, block[positions] == NEWLINE


def _measure(
    data: bytes, separator: str, where: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the number of fields and the first byte of every line; refuse endless fields."""
    widths: list[NDArray[np.int64]] = []
    starts: list[NDArray[np.int64]] = [np.zeros(1, np.int64)]
    before, last = 0, -1
    for positions, is_end in _structure(data, separator):
        if len(positions) == 0:
            continue
        lengths = np.diff(positions, prepend=last) - 1
        longest = int(lengths.argmax())
        if lengths[longest] > MAX_FIELD_BYTES:
            raise _too_long(data, int(positions[longest]), int(lengths[longest]), where)
        ends = np.flatnonzero(is_end)
        counts = np.diff(ends, prepend=-1)
        if len(ends):
            counts[0] += before
            before = 0
            widths.append(counts)
            starts.append(positions[ends] + 1)
        before += len(positions) - (int(ends[-1]) + 1 if len(ends) else 0)
        last = int(positions[-1])
    if len(data) - 1 - last > MAX_FIELD_BYTES:
        raise _too_long(data, len(data), len(data) - 1 - last, where)
    widths.append(np.array([before + 1], np.int64))
    return np.concatenate(widths), np.concatenate(starts)


def _too_long(data: bytes, end: int, length: int, where: str) -> FileFormatError:
    return FileFormatError(
        where,
        f"a field that is too long, on line {line_number(data, end - length)}",
        got=f"{length} bytes",
        expected=f"at most {MAX_FIELD_BYTES}",
        fix="check that the file is a table, and its separators and quotes",
    )


def _regular(data: bytes, separator: str, where: str) -> bytes:
    """Return the data with quotes around whole fields only and without blank lines."""
    if not _has_odd_quotes(data, separator) and data.find(b"\n\n") < 0 and data[:1] != b"\n":
        return data
    reader = csv.reader(
        io.StringIO(data.decode(), newline=""),
        delimiter=separator,
        strict=True,
        skipinitialspace=True,
    )
    out = io.StringIO()
    writer = csv.writer(out, delimiter=separator, lineterminator="\n")
    begin = 1
    width = 0
    try:
        for row in reader:
            if row and width and len(row) != width:
                raise _ragged(where, begin, len(row), width, separator)
            if row:
                width = width or len(row)
                writer.writerow(row)
            begin = reader.line_num + 1
    except csv.Error as error:
        unclosed = "unexpected end" in str(error) or "field larger" in str(error)
        raise FileFormatError(
            where,
            "a quote that is opened and not closed"
            if unclosed
            else "a quote inside a quoted field",
            got=f"the line {begin}",
            expected='quotes around whole fields, and "" for a quote inside',
            fix=f"correct the quotes on line {begin}",
        ) from None
    return out.getvalue().encode().rstrip(b"\n")


def _has_odd_quotes(data: bytes, separator: str) -> bool:
    """Return whether a quote is neither at the end of a field nor doubled inside one."""
    if data.find(b'"') < 0:
        return False
    edges = np.zeros(256, np.bool_)
    edges[[QUOTE, NEWLINE, ord(separator)]] = True
    inside = False
    for start in range(0, len(data), BLOCK_BYTES):
        size = min(BLOCK_BYTES, len(data) - start)
        block = np.frombuffer(data, np.uint8, size, start)
        places = np.flatnonzero(block == QUOTE)
        opens = (np.arange(len(places)) % 2 == 0) != inside
        before, after = places + start - 1, places + start + 1
        bytes_all = np.frombuffer(data, np.uint8)
        left = edges[bytes_all[np.maximum(before, 0)]] | (before < 0)
        right = edges[bytes_all[np.minimum(after, len(data) - 1)]] | (after >= len(data))
        if not bool(np.where(opens, left, right).all()):
            return True
        inside ^= len(places) % 2 == 1
    return inside


def _refuse_ragged(
    data: bytes, widths: NDArray[np.int64], starts: NDArray[np.int64], where: str, separator: str
) -> None:
    uneven = np.flatnonzero(widths != widths[0])
    if len(uneven):
        first = int(uneven[0])
        line = line_number(data, int(starts[first]))
        raise _ragged(where, line, int(widths[first]), int(widths[0]), separator)


def _ragged(where: str, line: int, got: int, expected: int, separator: str) -> FileFormatError:
    name = SEPARATOR_NAMES.get(separator, repr(separator))
    return FileFormatError(
        where,
        f"line {line} has another number of fields than the header",
        got=f"{got} (separator: {name})",
        expected=expected,
        fix=f"correct line {line}; put quotes around text that holds a {name}",
    )


def _names(header: bytes, separator: str, where: str) -> list[str]:
    """Return the column names; a name that is empty becomes ``column 3``."""
    if len(header) > MAX_HEADER_BYTES:
        raise FileFormatError(
            where,
            "the first line is too long",
            got=len(header),
            expected=f"at most {MAX_HEADER_BYTES}",
        )
    text = io.StringIO(header.decode().rstrip("\n"), newline="")
    row = next(csv.reader(text, delimiter=separator))
    if len(row) > MAX_COLUMNS:
        raise FileFormatError(
            where, "too many columns", got=len(row), expected=f"at most {MAX_COLUMNS}"
        )
    names = [name.strip() or EMPTY_NAME.format(place) for place, name in enumerate(row, start=1)]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        _refuse_data_as_header(names, where)
        raise FileFormatError(
            where,
            "two columns have the same name",
            got=", ".join(map(repr, twice[:5])),
            expected="different names in the first line",
            fix="rename the columns; if the first line holds data, add a line of names above it",
        )
    return names


def _refuse_data_as_header(names: list[str], where: str) -> None:
    """Raise where the first line looks like data: half of it numbers, one with a fraction.

    An empty first name is the mark of a table that was written with the names of its rows.
    """
    if names[0] == EMPTY_NAME.format(1):
        return
    numbers = [name for name in names if _is_number(name)]
    if 2 * len(numbers) >= len(names) and any("." in name for name in numbers):
        raise FileFormatError(
            where,
            "the first line holds data, not column names",
            got=", ".join(map(repr, names[:5])),
            expected="a line of column names",
            fix="add a line of column names at the top of the file",
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
