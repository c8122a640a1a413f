"""The files that a command writes: found to be possible before any work is done."""

from pathlib import Path

from chainrule.errors import FileAccessError, FileFormatError
from chainrule.formats import check_writable, read_model_file

_PAGE_MARK = b"<!doctype html>"
_PNG_MARK = b"\x89PNG\r\n\x1a\n"


def check_model_output(path: str) -> None:
    """Make sure, before any work, that the model can be written and nothing else is overwritten.

    Raises:
        FileAccessError: the place takes no files, or the file there is not a model.
    """
    check_writable(path)
    if not Path(path).exists():
        return
    try:
        read_model_file(path)
    except FileFormatError as error:
        raise _in_the_way(path, "a model", error.got or error.what, "--out") from None


def check_png_output(path: str) -> None:
    """The same for a PNG picture."""
    check_writable(path)
    if Path(path).exists():
        with open(path, "rb") as file:
            if file.read(len(_PNG_MARK)) != _PNG_MARK:
                raise _in_the_way(path, "a PNG picture", None, "--mistakes")


def check_page_output(path: str) -> None:
    """The same for an HTML page."""
    check_writable(path)
    if Path(path).exists():
        with open(path, "rb") as file:
            if file.read(len(_PAGE_MARK)).lower() != _PAGE_MARK:
                raise _in_the_way(path, "an HTML page", None, "--html")


def _in_the_way(path: str, kind: str, got: object, option: str) -> FileAccessError:
    return FileAccessError(
        path,
        f"this file exists and is not {kind}",
        got=got,
        expected=f"a free name, or {kind.split(' ', 1)[1]} file to replace",
        fix=f"choose another {option}, or remove the file first",
    )
