"""Texts and their classes from a table, a folder with a sub-folder for each class, or lines."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.data.media_files import (
    Listing,
    MediaFile,
    Skipped,
    find_column,
    label_of,
    list_files,
    list_labelled,
)
from chainrule.data.media_reading import (
    Progress,
    UnreadableError,
    check_any,
    none_readable,
    one_class,
    opened,
    unreadable,
)
from chainrule.data.readers import DELIMITED_SUFFIXES, PARQUET_SUFFIXES, read_table
from chainrule.data.table import Column, Table
from chainrule.data.text_files import SUFFIXES, TEXTS
from chainrule.errors import DataError, FileAccessError, FileFormatError

MAX_FILE_BYTES = 1 << 26
MAX_ALL_BYTES = 4 << 30
FILES_A_TELL = 256

#: A column holds texts, not names or codes, if its cells have so many words on average.
WORDS_OF_TEXT = 4
#: Cells that are looked at.
CELLS_LOOKED_AT = 1_000


@dataclass(frozen=True, eq=False)
class TextData:
    """Texts with their classes.

    Args:
        texts: N texts.
        y: (N,) int32 codes of the classes; -1 where none is known.
        classes: the names of the classes, in the order of the codes.
        names: where each text is from: a file, a row, a line.
        skipped: what is not used, and why.
        column, target: the names of the columns of texts and of classes; None where there are
            none.
    """

    texts: list[str]
    y: NDArray[np.int32]
    classes: list[str]
    names: list[str]
    skipped: list[Skipped]
    column: str | None = None
    target: str | None = None

    def __len__(self) -> int:
        """The number of texts N."""
        return len(self.texts)

    def __repr__(self) -> str:
        """One line, without the texts."""
        return (
            f"TextData({len(self):,} texts, {len(self.classes)} classes, "
            f"{len(self.skipped)} skipped)"
        )

    @property
    def counts(self) -> list[int]:
        """The number of texts of each class."""
        return [int(n) for n in np.bincount(self.y[self.y >= 0], minlength=len(self.classes))]

    @property
    def labels(self) -> NDArray[Any]:
        """The class of each text, by name.

        Raises:
            DataError: texts without a class.
        """
        if bool((self.y < 0).any()) or not self.classes:
            raise DataError(
                "texts", "the classes of the texts are not known",
                expected="a table with a column of classes, or a folder with a sub-folder for each",
            )  # fmt: skip
        return np.array(self.classes, dtype=object)[self.y]

    def take(self, rows: NDArray[Any]) -> "TextData":
        """The texts of the given rows."""
        return replace(
            self,
            texts=[self.texts[row] for row in rows],
            y=self.y[rows],
            names=[self.names[row] for row in rows],
        )


def text(
    source: str | os.PathLike[str],
    *,
    text_column: str | None = None,
    label_column: str | None = None,
    encoding: str = "utf-8",
    allow_one_class: bool = False,
    max_bytes: int = MAX_FILE_BYTES,
    progress: Progress | None = None,
) -> TextData:
    r"""Read texts: a table, a folder with a sub-folder of .txt files for each class, or lines.

    In a table, a missing cell is an empty text; a row without a class is skipped. In a folder,
    files that are empty or no text in this encoding, and links that lead out of the folder, are
    skipped. Of a .txt file each line that is not empty is a text without a class.

    Args:
        source: a CSV, TSV or Parquet file, a folder, or a .txt file.
        text_column: the table's column of texts; default found by its name, or the other of two.
        label_column: the table's column of classes; default found by its name, or the other of two.
        encoding: how letters are spelt in files; default UTF-8.
        allow_one_class: accept texts of a single class; default False.
        max_bytes: larger .txt files are skipped; default 64 MiB.
        progress: called with (files done, files in all) now and then; default none.

    Returns:
        A TextData.

    Raises:
        FileAccessError: no such folder or file.
        FileFormatError: not a table, or not text in this encoding.
        DataError: no texts, one class only, columns that are not clear, or more than memory should
            be taken for.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "reviews.csv"
        >>> _ = path.write_text("review,label\nA good film.,yes\nA bad film.,no\n")
        >>> data = cr.data.text(path)
        >>> data
        TextData(2 texts, 2 classes, 0 skipped)
        >>> data.texts, data.labels.tolist()
        (['A good film.', 'A bad film.'], ['yes', 'no'])

    Different from Keras' text_dataset_from_directory: nothing is shuffled or batched, and
    unreadable files do not end the run.
    """
    place = os.fspath(source)
    if os.path.isdir(place):
        return _of_folder(place, encoding, allow_one_class, max_bytes, progress)
    if place.lower().endswith(SUFFIXES) and text_column is None:
        return read_lines(place, encoding=encoding, max_bytes=max_bytes)
    table = read_table(place, encoding=encoding)
    texts = column_of_texts(table, text_column, label_column)
    others = [name for name in table.names if name != texts.name]
    if label_column is None and len(others) == 1:
        label_column = others[0]
    labels = find_column(table, label_column, TEXTS.label_names, 1, "label_column")
    return of_columns(table, texts.name, labels.name, allow_one_class)


def of_columns(
    table: Table, text_column: str, label_column: str | None, allow_one_class: bool = False
) -> TextData:
    """The texts of a table, with their classes if a column of classes is named.

    Raises:
        DataError: no such column, a column that holds no text, or one class only.
    """
    texts = column_of_texts(table, text_column, label_column)
    cells = [
        "" if missing else str(value)
        for value, missing in zip(texts.values.tolist(), texts.missing.tolist(), strict=True)
    ]
    names = [texts.rows.name(row) for row in range(table.n_rows)]
    if label_column is None:
        unknown = np.full(len(cells), -1, np.int32)
        return TextData(cells, unknown, [], names, [], texts.name)
    column = table.column(label_column)
    known = np.flatnonzero(~column.missing)
    skipped = [
        Skipped(names[row], "its class is missing") for row in np.flatnonzero(column.missing)
    ]
    if not len(known):
        raise DataError(
            f"column {label_column!r}", "it holds no values", fix="choose another label_column"
        )
    listing = Listing(table.source, TEXTS, skipped=skipped)
    labels = [label_of(column, int(row)) for row in known]
    classes, codes = _codes(listing, labels, allow_one_class)
    kept = [cells[row] for row in known]
    names = [names[row] for row in known]
    return TextData(kept, codes, classes, names, skipped, texts.name, label_column)


def column_of_texts(table: Table, given: str | None, label_column: str | None = None) -> Column:
    """The column of texts: the one named, else one of a usual name, else the only one like it.

    Raises:
        DataError: no such column, it holds no text, or it is not clear which one it is.
    """
    if given is not None:
        return _checked(table.column(given))
    others = [column for column in table.columns if column.name != label_column]
    if label_column is not None or table.n_columns > 2:
        likely = [column for column in others if is_text(column)]
        if len(likely) == 1:
            return likely[0]
    elif len(others) == 2 and [is_text(column) for column in others].count(True) == 1:
        return next(column for column in others if is_text(column))
    return _checked(find_column(table, None, TEXTS.path_names, 0, "text_column"))


def _checked(column: Column) -> Column:
    if column.kind != "text" and not column.missing.all():
        raise DataError(
            f"column {column.name!r}", "this column holds no text", got=f"{column.kind} cells",
            expected="text", fix="choose another column of texts",
        )  # fmt: skip
    return column


def is_text(column: Column) -> bool:
    """Whether a column looks like one of sentences: several words a cell, or many Chinese letters.

    The cells that are there have at least 4 words on average; a letter of a script without spaces
    counts as half a word.
    """
    if column.kind != "text":
        return False
    cells = column.values[np.flatnonzero(~column.missing)[:CELLS_LOOKED_AT]]
    words = sum(len(cell.split()) + sum(map(_is_wide, cell)) / 2 for cell in cells.tolist())
    return len(cells) > 0 and words >= WORDS_OF_TEXT * len(cells)


def _is_wide(letter: str) -> bool:
    return "\u3040" <= letter <= "\u9fff"


def read_texts(
    sources: Sequence[str | os.PathLike[str]],
    *,
    text_column: str | None = None,
    encoding: str = "utf-8",
    max_bytes: int = MAX_FILE_BYTES,
    progress: Progress | None = None,
) -> TextData:
    """Read texts whose classes are not known: tables, .txt files, and those below folders.

    Args:
        sources: folders, whose .txt files are a text each; .txt files, a text each; tables.
        text_column: the column of texts in tables; default found by its name.
        encoding, max_bytes, progress: as for `text`.

    Returns:
        A TextData whose ``y`` is -1 throughout.

    Raises:
        FileAccessError: no such file or folder.
        DataError: nothing that can be read.
    """
    texts: list[str] = []
    names: list[str] = []
    skipped: list[Skipped] = []
    for given in sources:
        source = os.fspath(given)
        if source.lower().endswith((*DELIMITED_TABLES, *PARQUET_SUFFIXES)):
            table = read_table(source, encoding=encoding)
            column = column_of_texts(table, text_column)
            found = of_columns(table, column.name, None)
            prefix = f"{source}: " if len(sources) > 1 else ""
            found = replace(found, names=[prefix + name for name in found.names])
        else:
            listing = list_files([source], TEXTS)
            read, reasons = _read(listing, encoding, max_bytes, progress)
            unknown = np.full(len(read), -1, np.int32)
            files = [file.name for file, _ in read]
            found = TextData([content for _, content in read], unknown, [], files, reasons)
        texts += found.texts
        names += found.names
        skipped += found.skipped
    return TextData(texts, np.full(len(texts), -1, np.int32), [], names, skipped)


#: .txt is a table elsewhere; here it is a text.
DELIMITED_TABLES = tuple(suffix for suffix in DELIMITED_SUFFIXES if suffix not in SUFFIXES)


def read_lines(
    path: str | os.PathLike[str], *, encoding: str = "utf-8", max_bytes: int = MAX_FILE_BYTES
) -> TextData:
    """The lines of a file that are not empty, each a text.

    Raises:
        FileAccessError: the file cannot be read.
        FileFormatError: not text in this encoding.
        DataError: no line holds anything.
    """
    content = read_file(path, encoding=encoding, max_bytes=max_bytes)
    lines = [(number, line.strip()) for number, line in enumerate(content.splitlines(), 1)]
    kept = [(f"line {number}", line) for number, line in lines if line]
    if not kept:
        raise DataError(os.fspath(path), "there are no texts", got="empty lines")
    unknown = np.full(len(kept), -1, np.int32)
    return TextData([line for _, line in kept], unknown, [], [name for name, _ in kept], [])


def read_file(
    path: str | os.PathLike[str], *, encoding: str = "utf-8", max_bytes: int = MAX_FILE_BYTES
) -> str:
    """The text of a file, line ends as a single character.

    Raises:
        FileAccessError: the file cannot be read.
        FileFormatError: it is empty, too large, or not text in this encoding.
    """
    place = os.fspath(path)
    try:
        return _content(place, encoding, max_bytes)
    except UnreadableError as reason:
        raise FileFormatError(
            place,
            str(reason),
            expected=f"{encoding} text",
            fix="name its encoding, or another file",
        ) from None
    except FileNotFoundError:
        raise FileAccessError(place, "no such file", fix="check the path") from None
    except (OSError, ValueError) as error:
        got = getattr(error, "strerror", None) or str(error)
        raise FileAccessError(place, "the file cannot be read", got=got) from None


# ---- folders


def _of_folder(
    place: str, encoding: str, allow_one_class: bool, max_bytes: int, progress: Progress | None
) -> TextData:
    listing = list_labelled(place, TEXTS)
    read, skipped = _read(listing, encoding, max_bytes, progress)
    labels = [file.label for file, _ in read]
    classes, codes = _codes(replace(listing, skipped=skipped), labels, allow_one_class)
    names = [file.name for file, _ in read]
    return TextData([content for _, content in read], codes, classes, names, skipped)


def _read(
    listing: Listing, encoding: str, max_bytes: int, progress: Progress | None
) -> tuple[list[tuple[MediaFile, str]], list[Skipped]]:
    """The files with their texts; what was skipped."""
    check_any(listing)
    total = sum(min(file.size, max_bytes) for file in listing.files)
    if total > MAX_ALL_BYTES:
        raise DataError(
            listing.source, "the texts would take too much memory", got=f"{total:,} bytes",
            expected=f"at most {MAX_ALL_BYTES >> 30} GiB in all", fix="give fewer texts",
        )  # fmt: skip
    read: list[tuple[MediaFile, str]] = []
    failed: dict[MediaFile, UnreadableError] = {}
    for done, file in enumerate(listing.files, 1):
        try:
            read.append((file, _content(file.path, encoding, max_bytes)))
        except UnreadableError as reason:
            failed[file] = reason
        except (OSError, ValueError) as error:
            failed[file] = UnreadableError(getattr(error, "strerror", None) or str(error))
        if progress is not None and (done % FILES_A_TELL == 0 or done == len(listing.files)):
            progress(done, len(listing.files))
    if not read:
        raise none_readable(listing, failed)
    return read, [*listing.skipped, *unreadable(listing, failed)]


def _content(path: str, encoding: str, max_bytes: int) -> str:
    """The decoded text of a file, without a byte-order mark.

    Raises:
        UnreadableError: no ordinary file, empty, too large, or not text in this encoding.
    """
    with opened(path, max_bytes) as file:
        data = file.read(max_bytes + 1)
    try:
        content = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise UnreadableError(f"byte {error.start + 1} is not {encoding} text") from None
    except LookupError:
        raise UnreadableError(f"there is no encoding {encoding!r}") from None
    if "\0" in content:
        raise UnreadableError("it holds null characters, so it is no text in this encoding")
    return content.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _codes(
    listing: Listing, labels: list[str], allow_one_class: bool
) -> tuple[list[str], NDArray[np.int32]]:
    classes, codes = np.unique(np.array(labels, dtype=object), return_inverse=True)
    if len(classes) < 2 and not allow_one_class:
        raise one_class(listing, len(labels), str(classes[0]), listing.skipped)
    return [str(name) for name in classes], codes.astype(np.int32)
