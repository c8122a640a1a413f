"""Decoded pictures and sounds that were read before, as files in the user's cache folder.

An entry's name is a hash of all that the array depends on: names, sizes and times of the files, the
options, the version of the decoder. Its content is a line of JSON (the shape, the dtype and a note)
and the bytes of the array. What does not fit is made again, and a failure to keep an entry is no
error.
"""

import contextlib
import json
import os
import secrets
import stat
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ENTRY_LIMIT = 512 << 20
DISK_LIMIT = 2 << 30
DTYPES = ("uint8", "float32")
_TEMPORARY, _SUFFIX = ".writing-", ".array"
_LEFT_OVER = 3600
_MOST_NOTE = 256 << 20


class ArrayCache:
    """Arrays by name, on disk.

    Args:
        folder: where; None for nowhere: then nothing is found and nothing is kept.
        limit: bytes that all entries together may have; those unused longest go first.
    """

    def __init__(self, folder: Path | None, limit: int = DISK_LIMIT) -> None:
        self._folder = folder
        self._limit = limit

    def read(self, name: str) -> tuple[Any, NDArray[Any]] | None:
        """The note and the array of an entry, or None."""
        if self._folder is None or not self._folder_is_ours():
            return None
        path = self._folder / (name + _SUFFIX)
        try:
            with open(path, "rb") as file:
                head = json.loads(file.readline(_MOST_NOTE))
                shape, dtype = tuple(map(int, head["shape"])), np.dtype(head["dtype"])
                if dtype.name not in DTYPES or min(shape) < 0:
                    raise ValueError("not an entry")
                array = np.fromfile(file, dtype).reshape(shape)
            with contextlib.suppress(OSError):
                os.utime(path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, LookupError, TypeError, MemoryError, RecursionError):
            self._remove(path)
            return None
        return head.get("note"), array

    def write(self, name: str, note: Any, array: NDArray[Any]) -> None:
        """Keep an entry. A reader sees all of it or nothing."""
        if self._folder is None or array.nbytes > min(ENTRY_LIMIT, self._limit):
            return
        head = {"shape": array.shape, "dtype": array.dtype.name, "note": note}
        temporary = self._folder / f"{_TEMPORARY}{secrets.token_hex(8)}"
        try:
            self._folder.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                self._folder.mkdir(mode=0o700)
            if not self._folder_is_ours():
                return
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            try:
                with open(os.open(temporary, flags, 0o600), "wb") as file:
                    file.write(json.dumps(head).encode() + b"\n")
                    file.write(np.ascontiguousarray(array).data)
                os.replace(temporary, self._folder / (name + _SUFFIX))
            except BaseException:
                self._remove(temporary)
                raise
            self._sweep()
        except OSError:
            return

    def _folder_is_ours(self) -> bool:
        """Whether nobody else can have written what is in the folder."""
        assert self._folder is not None
        try:
            status = self._folder.lstat()
        except OSError:
            return False
        if not stat.S_ISDIR(status.st_mode):
            return False
        if os.name != "posix":
            return True
        return status.st_uid == os.geteuid() and not status.st_mode & 0o022

    def _sweep(self) -> None:
        """Over the limit, remove what was used longest ago; remove what killed programs left."""
        assert self._folder is not None
        entries: list[tuple[float, int, Path]] = []
        oldest = time.time() - _LEFT_OVER
        for path in self._folder.iterdir():
            with contextlib.suppress(OSError):
                status = path.lstat()
                if path.name.endswith(_SUFFIX):
                    entries.append((status.st_mtime, status.st_size, path))
                elif path.name.startswith(_TEMPORARY) and status.st_mtime < oldest:
                    self._remove(path)
        total = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total <= self._limit:
                break
            self._remove(path)
            total -= size

    @staticmethod
    def _remove(path: Path) -> None:
        with contextlib.suppress(OSError):
            path.unlink()
