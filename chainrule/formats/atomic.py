"""Writing a file so that a reader finds the old content or the new, never a part.

The new content goes to a temporary file in the same folder, is forced to the disk, and takes the
name in one step (``os.replace``); then the folder entry is forced to the disk. A killed program can
leave a temporary file (``.chainrule-....tmp``) behind, nothing worse.
"""

import os
import secrets
import stat
from collections.abc import Iterable
from contextlib import suppress

from chainrule.errors import ArgumentError, FileAccessError
from chainrule.formats.strict_json import shown

PathLike = str | os.PathLike[str]

_CHOOSE = "choose another place, or change the rights of this one"


def place(path: PathLike) -> str:
    """The path as it stands in messages.

    Raises:
        ArgumentError: not a path.
    """
    try:
        text = os.fsdecode(path)
    except TypeError:
        raise ArgumentError(
            "path", "this is not a path", got=shown(path), expected="text", fix="give a file name"
        ) from None
    return text if text and text.isprintable() else shown(text)


def access_error(
    path: PathLike, verb: str, error: OSError | ValueError, fix: str
) -> FileAccessError:
    """The error for a refusal of the operating system."""
    reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
    return FileAccessError(place(path), f"cannot {verb} the file", got=reason.lower(), fix=fix)


def check_writable(path: PathLike) -> None:
    """Make sure that a file can be written here; call it before work whose result would be lost.

    An existing file is left as it is. To find out about rights and full disks, a small temporary
    file is made in the folder and removed.

    Args:
        path: where a file is to be written later.

    Raises:
        FileAccessError: the folder is missing or does not take files, or the path names a folder,
            a device or a write-protected file.

    >>> check_writable("/no/such/folder/model.safetensors")
    Traceback (most recent call last):
    chainrule.errors.FileAccessError: [/no/such/folder/model.safetensors] cannot write the file: ...
    """
    target, _ = _resolve(path)
    try:
        descriptor, temporary = _temporary_file(target, 0o600)
        try:
            with open(descriptor, "wb") as file:
                file.write(b"chainrule")
        finally:
            os.unlink(temporary)
    except OSError as error:
        raise access_error(path, "write", error, _CHOOSE) from error


def write_atomically(path: PathLike, pieces: Iterable[bytes | memoryview]) -> None:
    """Write the pieces one after another as the new content of a file, atomically.

    A symbolic link is followed: the file that it names is replaced, the link stays. An existing
    file keeps its permission bits.

    Args:
        path: the file.
        pieces: the content.

    Raises:
        FileAccessError: see ``check_writable``; also when the disk is full. The old file is whole.
    """
    target, mode = _resolve(path)
    try:
        descriptor, temporary = _temporary_file(target, 0o666)
        try:
            with open(descriptor, "wb") as file:
                if mode is not None and hasattr(os, "fchmod"):
                    os.fchmod(file.fileno(), mode)
                for piece in pieces:
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise
        _sync_folder(os.path.dirname(target))
    except OSError as error:
        raise access_error(path, "write", error, _CHOOSE) from error


def _resolve(path: PathLike) -> tuple[str, int | None]:
    """The absolute file behind the path, and the permission bits of an existing one."""
    if place(path) == "''":
        raise FileAccessError("path", "the file name is empty", fix="give a file name")
    try:
        target = os.path.realpath(path)
        status = os.stat(target)
    except FileNotFoundError:
        folder = os.path.dirname(target)
        if os.path.isdir(folder):
            return target, None
        raise FileAccessError(
            place(path),
            "cannot write the file",
            got=f"no folder {place(folder)}",
            expected="an existing folder",
            fix="make the folder first, or choose another place",
        ) from None
    except (OSError, ValueError) as error:
        raise access_error(path, "write", error, _CHOOSE) from error
    if not stat.S_ISREG(status.st_mode):
        raise FileAccessError(
            place(path),
            "cannot write the file",
            got=f"the name of {kind_of(status.st_mode)}",
            expected="a file, or a name that is free",
            fix="add a file name to the path",
        )
    if not os.access(target, os.W_OK):
        raise FileAccessError(
            place(path), "cannot write the file", got="a write-protected file", fix=_CHOOSE
        )
    return target, stat.S_IMODE(status.st_mode)


def kind_of(mode: int) -> str:
    """What a path names, in words, from its ``st_mode``."""
    if stat.S_ISDIR(mode):
        return "a folder"
    if stat.S_ISFIFO(mode):
        return "a pipe"
    if stat.S_ISSOCK(mode):
        return "a socket"
    return "a file" if stat.S_ISREG(mode) else "a device"


def _temporary_file(target: str, mode: int) -> tuple[int, str]:
    """A new file beside the target: its descriptor and its path."""
    name = f".chainrule-{secrets.token_hex(8)}.tmp"
    temporary = os.path.join(os.path.dirname(target), name)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    return os.open(temporary, flags, mode), temporary


def _sync_folder(folder: str) -> None:
    """Force the folder's entries to the disk, where the system can open folders."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
