"""Finding pictures or sounds: a sub-folder for each class, a table of paths and labels, or files.

Nothing outside the folder is read: a link or a path that leads out of it is listed as skipped. A
file counts by its name here, and by its content when it is opened.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from chainrule.data.readers import read_table
from chainrule.data.table import Column, Table
from chainrule.errors import DataError, FileAccessError

MAX_FILES = 1_000_000
MAX_DEPTH = 32

# What systems leave in folders; files whose names begin with a dot are passed over as well.
_NOT_CONTENT = ("Thumbs.db", "desktop.ini", "__MACOSX")
_LEADS_OUT = "leads out of the folder"


class Skipped(NamedTuple):
    """A file that is not used, and why.

    Args:
        path: its path, from the folder.
        reason: in a few words.
    """

    path: str
    reason: str


@dataclass(frozen=True)
class MediaKind:
    """What kind of files is looked for.

    Args:
        noun: what they hold, in the plural.
        formats: the formats, for messages.
        suffixes: how their names end.
        path_names, label_names: how columns of a table of them are usually named.
    """

    noun: str
    formats: str
    suffixes: tuple[str, ...]
    path_names: tuple[str, ...]
    label_names: tuple[str, ...] = ("label", "class", "target", "category", "class_name")


class MediaFile(NamedTuple):
    """A file that should hold a picture or a sound.

    Args:
        name: its path from the folder, with slashes.
        path: its absolute path, links resolved.
        label: its class; empty where none is known.
        size: bytes.
        changed: when it was written, in nanoseconds.
    """

    name: str
    path: str
    label: str
    size: int
    changed: int


@dataclass
class Listing:
    """What a folder or table offers.

    Args:
        source: the path as it was given.
        kind: what is looked for.
        files: what may be read.
        skipped: what may not, and why.
    """

    source: str
    kind: MediaKind
    files: list[MediaFile] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

    def add(self, name: str, path: str, label: str = "") -> None:
        """List a file, as usable or as skipped."""
        if not name.lower().endswith(self.kind.suffixes):
            self.skip(name, f"its name does not end in {', '.join(self.kind.suffixes)}")
            return
        try:
            status = os.stat(path)
        except FileNotFoundError:
            self.skip(name, "there is no such file")
            return
        except (OSError, ValueError) as error:
            self.skip(name, getattr(error, "strerror", None) or str(error))
            return
        if not stat.S_ISREG(status.st_mode):
            self.skip(name, "this is not an ordinary file")
            return
        if len(self.files) >= MAX_FILES:
            raise DataError(
                self.source,
                f"there are too many {self.kind.noun}",
                expected=f"at most {MAX_FILES:,}",
            )
        self.files.append(MediaFile(name, path, label, status.st_size, status.st_mtime_ns))

    def skip(self, name: str, reason: str) -> None:
        """List a file as skipped."""
        self.skipped.append(Skipped(name, reason))


def list_labelled(
    source: str | os.PathLike[str],
    kind: MediaKind,
    path_column: str | None = None,
    label_column: str | None = None,
) -> Listing:
    """List the files of a folder with a sub-folder for each class, or of a table.

    Args:
        source: the folder, or a CSV, TSV or Parquet file; its paths count from its own folder.
        kind: what is looked for.
        path_column: the table's column of paths; default found by name, or the first of two.
        label_column: the table's column of classes; default found by name, or the other of two.

    Raises:
        FileAccessError: there is no such folder or file.
        DataError: a table whose columns are not clear.
    """
    place = os.fspath(source)
    if os.path.isdir(place):
        return _list_classes(place, kind)
    table = read_table(place)
    paths = find_column(table, path_column, kind.path_names, 0, "path_column")
    labels = find_column(table, label_column, kind.label_names, 1, "label_column")
    root = os.path.realpath(os.path.dirname(place) or ".")
    listing = Listing(place, kind)
    for row in range(table.n_rows):
        if paths.missing[row] or labels.missing[row]:
            listing.skip(labels.rows.name(row), "the path or the label is missing")
            continue
        name = str(paths.values[row])
        path = _resolved(os.path.join(root, name))
        if _inside(path, root):
            listing.add(name, path, label_of(labels, row))
        else:
            listing.skip(name, _LEADS_OUT)
    return listing


def list_files(sources: list[str], kind: MediaKind) -> Listing:
    """List files, and all of the kind below folders, without classes.

    Raises:
        FileAccessError: there is no such file or folder.
    """
    listing = Listing(", ".join(sources[:3]) + (", ..." if len(sources) > 3 else ""), kind)
    for source in sources:
        if os.path.isdir(source):
            root = os.path.realpath(source)
            for name, path in _walk(listing, root, root, source):
                listing.add(name, path)
        elif os.path.exists(source):
            listing.add(source, os.path.realpath(source))
        else:
            raise FileAccessError(source, "no such file or folder", fix="check the path")
    return listing


def _list_classes(place: str, kind: MediaKind) -> Listing:
    listing, root = Listing(place, kind), os.path.realpath(place)
    for name, path, is_folder in _entries(listing, root, root, ""):
        if not is_folder:
            listing.skip(name, "it is in no sub-folder, so its class is not known")
            continue
        before = len(listing.files)
        for inner, file in _walk(listing, root, path, name):
            listing.add(inner, file, name)
        if len(listing.files) == before:
            listing.skip(name, f"no {kind.noun} are in this folder")
    return listing


def _walk(listing: Listing, root: str, folder: str, name: str) -> Iterator[tuple[str, str]]:
    """Yield name and path of every file below a folder, in the order of the names."""
    waiting = [(folder, name, 0)]
    while waiting:
        folder, name, depth = waiting.pop()
        if depth > MAX_DEPTH:
            listing.skip(name, f"it is more than {MAX_DEPTH} folders deep")
            continue
        inner = []
        for entry_name, path, is_folder in _entries(listing, root, folder, name):
            if is_folder:
                inner.append((path, entry_name, depth + 1))
            else:
                yield entry_name, path
        waiting += reversed(inner)


def _entries(
    listing: Listing, root: str, folder: str, name: str
) -> Iterator[tuple[str, str, bool]]:
    """Yield (name from the root, resolved path, is it a folder?) of what may be used."""
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        if folder == root:
            reason = (error.strerror or str(error)).lower()
            raise FileAccessError(listing.source, "cannot read the folder", got=reason) from None
        listing.skip(name, (error.strerror or str(error)).lower())
        return
    for entry in entries:
        if entry.name.startswith(".") or entry.name in _NOT_CONTENT:
            continue
        inner = f"{name}/{entry.name}" if name else entry.name
        path = entry.path
        if entry.is_symlink() or _is_junction(path):
            path = _resolved(path)
            if not _inside(path, root):
                listing.skip(inner, f"a link that {_LEADS_OUT}")
                continue
            if os.path.isdir(path):
                listing.skip(inner, "a link to a folder, which is not followed")
                continue
        yield inner, path, os.path.isdir(path)


def _is_junction(path: str) -> bool:
    """Whether this is Windows' other kind of link."""
    test = getattr(os.path, "isjunction", None)  # Python 3.12 and later
    return test is not None and bool(test(path))


def _resolved(path: str) -> str:
    try:
        return os.path.realpath(path)
    except (OSError, ValueError):  # a loop of links, a null character
        return ""


def _inside(path: str, root: str) -> bool:
    try:
        return bool(path) and os.path.commonpath((path, root)) == root
    except ValueError:  # another drive
        return False


def find_column(
    table: Table, given: str | None, names: tuple[str, ...], position: int, option: str
) -> Column:
    """The column asked for, else the one of a usual name, else the one in this place of two."""
    if given is not None:
        return table.column(given)
    usual = [name for name in table.names if name.lower() in names]
    if len(usual) == 1:
        return table.column(usual[0])
    if table.n_columns == 2 and not usual:
        return table.columns[position]
    raise DataError(
        table.source,
        f"it is not clear which column is the {option.replace('_column', '')}",
        got=", ".join(table.names[:10]),
        expected=f"one column named like {', '.join(names[:3])}",
        fix=f"name it with {option}",
    )


def label_of(labels: Column, row: int) -> str:
    """The class in a cell, as text.

    Raises:
        DataError: a number with a fraction.
    """
    value = labels.values[row]
    if labels.kind in ("text", "boolean") or value == int(value):
        return str(value) if labels.kind in ("text", "boolean") else str(int(value))
    raise DataError(
        f"column {labels.name!r}",
        "numbers with a fraction cannot be classes",
        got=f"{value} in {labels.rows.name(row)}",
        expected="text or whole numbers",
        fix="choose another label_column",
    )
