"""Machine code that was made before: in memory, and as files in the user's cache folder.

An entry's name is a hash of everything that the code depends on. Its content begins with a hash of
name and code, which is checked before the code goes anywhere near the processor. The folder and its
files belong to the user and nobody else may write them; what does not fit is thrown away and made
again. Where there is no such folder (no home, a read-only one, another user's) everything works
from memory.

The folder is ``objects`` in the user's cache folder; see `chainrule.cache_folder`.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import stat
import sys
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from weakref import WeakValueDictionary

from chainrule.backends.cpu import llvm
from chainrule.cache_folder import cache_folder
from chainrule.errors import GraphError, StateError

DISK_LIMIT = 256 << 20
MEMORY_LIMIT = 16 << 20
_ENTRY_LIMIT = 64 << 20
_MAGIC = b"chainrule object 1\n"
_HEAD = len(_MAGIC) + 32
_TEMPORARY, _SUFFIX = ".writing-", ".object"
# An entry counts as used when it is read; that is noted at most so often, in seconds.
_NOTE_USE = 600
_LENGTH = 8  # bytes, before each object of an entry
_DEFINED = re.compile(r'^define\b[^@\n]*@"?([-\w.$]+)"?\(', re.MULTILINE)
_LEFT_OVER = 3600


class ObjectCache:
    """Bytes by name, on disk.

    Args:
        folder: where; ``None`` for nowhere: then nothing is found and nothing is kept.
        limit: bytes that all entries together may have; those unused longest go first.
    """

    def __init__(self, folder: Path | None, limit: int = DISK_LIMIT) -> None:
        self.folder = folder
        self.limit = limit
        self._writable = True
        self._until_sweep = 0  # bytes that may be written before the size is looked at again

    def read(self, name: str) -> bytes | None:
        """The entry, or None if there is none that can be trusted."""
        try:
            with self._opened(create=False) as place:
                data = place.read(name + _SUFFIX)
                if data is None:
                    return None
                content = data[_HEAD:]
                if data[:_HEAD] != _MAGIC + _digest(name, content):
                    place.remove(name + _SUFFIX)
                    return None
                return content
        except OSError:
            return None

    def write(self, name: str, content: bytes) -> None:
        """Keep an entry. A reader sees all of it or nothing; a failure is no error."""
        if not self._writable or len(content) > min(self.limit, _ENTRY_LIMIT):
            return
        try:
            with self._opened(create=True) as place:
                place.write(name + _SUFFIX, [_MAGIC + _digest(name, content), content])
                self._until_sweep -= len(content)
                if self._until_sweep < 0:
                    place.sweep(self.limit)
                    self._until_sweep = self.limit // 16
        except OSError:
            self._writable = False

    def discard(self, name: str) -> None:
        """Forget an entry."""
        with contextlib.suppress(OSError), self._opened(create=False) as place:
            place.remove(name + _SUFFIX)

    @contextlib.contextmanager
    def _opened(self, create: bool) -> Iterator[_Place]:
        if self.folder is None:
            raise FileNotFoundError("no cache folder")
        if create:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                self.folder.mkdir(mode=0o700)
        place = _Place(self.folder)
        try:
            yield place
        finally:
            place.close()


class _Place:
    """The folder, open: on POSIX systems all its files are reached through one descriptor, so that
    the folder that was checked is the folder that is used.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor: int | None = None
        if os.name != "posix":
            return
        self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            status = os.fstat(self._descriptor)
            if status.st_uid != os.geteuid():
                raise PermissionError("the cache folder belongs to another user")
            if stat.S_IMODE(status.st_mode) & 0o077:
                os.fchmod(self._descriptor, 0o700)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _path(self, name: str) -> str:
        return name if self._descriptor is not None else str(self._folder / name)

    def _open(self, name: str, flags: int) -> int:
        for extra in ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_BINARY", "O_NOINHERIT"):
            flags |= getattr(os, extra, 0)
        return os.open(self._path(name), flags, 0o600, dir_fd=self._descriptor)

    def read(self, name: str) -> bytes | None:
        """A file's content; a file that is not the user's own plain file is removed."""
        try:
            descriptor = self._open(name, os.O_RDONLY)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.EACCES):
                raise
            self.remove(name)  # a link, or no right to read it
            return None
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not _trusted(status):
                self.remove(name)
                return None
            if time.time() - status.st_mtime > _NOTE_USE:
                with contextlib.suppress(OSError):
                    os.utime(descriptor if os.utime in os.supports_fd else self._path(name))
            return file.read(_ENTRY_LIMIT + _HEAD)

    def write(self, name: str, pieces: Sequence[bytes]) -> None:
        """A new file in place of an old one, in one step."""
        temporary = f"{_TEMPORARY}{secrets.token_hex(8)}"
        descriptor = self._open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            with open(descriptor, "wb") as file:
                file.writelines(pieces)
            os.replace(
                self._path(temporary), self._path(name),
                src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor,
            )  # fmt: skip
        except BaseException:
            self.remove(temporary)
            raise

    def remove(self, name: str) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self._path(name), dir_fd=self._descriptor)

    def sweep(self, limit: int) -> None:
        """Over the limit, remove what was used longest ago until a quarter of it is free."""
        entries: list[tuple[float, int, str]] = []
        now = time.time()
        with os.scandir(self._folder if self._descriptor is None else self._descriptor) as found:
            for item in found:
                with contextlib.suppress(FileNotFoundError):
                    status = item.stat(follow_symlinks=False)
                    if item.name.endswith(_SUFFIX):
                        entries.append((status.st_mtime, status.st_size, item.name))
                    elif item.name.startswith(_TEMPORARY) and now - status.st_mtime > _LEFT_OVER:
                        self.remove(item.name)
        total = sum(size for _, size, _ in entries)
        if total <= limit:
            return
        for _, size, name in sorted(entries):
            if total <= limit - limit // 4:
                break
            self.remove(name)
            total -= size


def _trusted(status: os.stat_result) -> bool:
    if not stat.S_ISREG(status.st_mode) or status.st_size > _ENTRY_LIMIT + _HEAD:
        return False
    if os.name != "posix":
        return True
    return status.st_uid == os.geteuid() and not status.st_mode & 0o022


def _digest(name: str, content: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + content).digest()


def default_folder() -> Path | None:
    """Where this user's entries are kept, or None."""
    return cache_folder("objects")


# ---- compiled modules

_disk: dict[Path | None, ObjectCache] = {}
_objects: OrderedDict[str, bytes] = OrderedDict()
_loaded: WeakValueDictionary[tuple[object, ...], llvm.Library] = WeakValueDictionary()
_folder: list[Path | None] = []


def use_folder(folder: Path | None) -> None:
    """Keep entries here from now on (``None``: in memory only); what is in memory is forgotten."""
    with llvm.LOCK:
        _folder[:] = [folder]
        _objects.clear()


def _cache() -> ObjectCache:
    if not _folder:
        _folder.append(default_folder())
    return _disk.setdefault(_folder[0], ObjectCache(_folder[0]))


def entry_name(ir_text: str | Sequence[str], variant: str | None = None) -> str:
    """The name of the object code of a module, or of several: a hash of the text and of all else
    that it depends on.
    """
    texts = [ir_text] if isinstance(ir_text, str) else ir_text
    return _name("", "\n; ----\n".join(texts).encode(), variant)


def _name(kind: str, content: bytes, variant: str | None = None) -> str:
    version = getattr(sys.modules["chainrule"], "__version__", "")
    facts = (version, llvm.version(), llvm.CODE_GENERATION, *llvm.machine(variant))
    digest = hashlib.sha256("\n".join(facts).encode())
    digest.update(f"\n{kind}\n".encode() + content)
    return digest.hexdigest()


def _object_code(name: str, ir_texts: Sequence[str], variant: str | None) -> bytes:
    """The object code of modules: from memory, from the disk, or made now."""
    content = _kept_code(name)
    if content is None:
        if len(ir_texts) == 1:
            objects = [llvm.compile_object(ir_texts[0], variant)]
        else:
            objects = llvm.compile_objects(ir_texts, variant)
        content = b"".join(len(part).to_bytes(_LENGTH, "little") + part for part in objects)
        _cache().write(name, content)
        _remember(name, content)
    return content


def _load(content: bytes, names: Sequence[str], symbols: Mapping[str, int]) -> llvm.Library:
    """Objects one after the other, each behind its length, in memory."""
    objects, place = [], 0
    while place < len(content):
        begin = place + _LENGTH
        place = begin + int.from_bytes(content[place:begin], "little")
        objects.append(content[begin:place])
    if place != len(content) or not objects:
        raise StateError("backend cpu", "machine code cannot be loaded", got="a wrong length")
    return llvm.load_objects(objects, names, symbols)


def _kept_code(name: str) -> bytes | None:
    content = _objects.get(name)
    if content is None:
        content = _cache().read(name)
    if content is not None:
        _remember(name, content)
    return content


def _remember(name: str, content: bytes) -> None:
    _objects[name] = content
    _objects.move_to_end(name)
    total = sum(map(len, _objects.values()))
    while total > MEMORY_LIMIT and len(_objects) > 1:
        total -= len(_objects.popitem(last=False)[1])


def library(
    ir_text: str | Sequence[str],
    names: Sequence[str],
    symbols: Mapping[str, int] | None = None,
    variant: str | None = None,
) -> llvm.Library:
    """A module in memory, ready to run. The same text gives the same library while one holds it.

    Args:
        ir_text: the module, or several that call each other, which are compiled side by side.
        names: the functions and variables whose addresses are wanted.
        symbols: addresses of functions that the code calls, besides the system's; they never
            change in a process.
        variant: see ``llvm.machine``.

    Raises:
        GraphError: LLVM does not take the text, or it calls a function that nobody has.
    """
    symbols = symbols or {}
    texts = [ir_text] if isinstance(ir_text, str) else list(ir_text)
    name = entry_name(texts, variant)
    key = (name, *names)
    with llvm.LOCK:
        found = _loaded.get(key)
        if found is not None:
            return found
        try:
            found = _load(_object_code(name, texts, variant), names, symbols)
        except StateError:
            # What was kept cannot be loaded, or never could be.
            unknown = _unknown_functions(texts, symbols)
            if unknown:
                raise GraphError(
                    "backend cpu", "unknown functions are called", got=", ".join(unknown)
                ) from None
            del _objects[name]
            _cache().discard(name)
            found = _load(_object_code(name, texts, variant), names, symbols)
        _loaded[key] = found
        return found


def _unknown_functions(ir_texts: Sequence[str], symbols: Mapping[str, int]) -> list[str]:
    defined = {name for text in ir_texts for name in _DEFINED.findall(text)}
    found = {name for text in ir_texts for name in llvm.unknown_functions(text, symbols)}
    return sorted(found - defined)


def kept_library(
    name: str, names: Sequence[str], symbols: Mapping[str, int] | None = None
) -> llvm.Library | None:
    """A module by the name of its object code; None if that is not kept or cannot be loaded."""
    key = (name, *names)
    with llvm.LOCK:
        found = _loaded.get(key)
        content = _kept_code(name) if found is None else None
        if content is not None:
            with contextlib.suppress(StateError):
                found = _loaded[key] = _load(content, names, symbols or {})
        return found


# ---- descriptions of compiled graphs

# The parts of the package that a graph goes through on its way to code.
_COMPILER = ("graph", "passes", "backends/cpu")


@cache
def _compiler_digest() -> str:
    """A hash of the compiler itself: what another one has made is not used."""
    root = Path(__file__).parents[2]
    files = sorted(path for part in _COMPILER for path in (root / part).rglob("*.py"))
    digest = hashlib.sha256()
    for file in files:
        with contextlib.suppress(OSError):  # in an archive: then the version alone must tell
            digest.update(f"{file.relative_to(root).as_posix()}\n".encode() + file.read_bytes())
    return digest.hexdigest()


def description_name(key: bytes, target: str) -> str:
    """The name of what is kept of a compiled graph besides its code.

    Args:
        key: a hash of the graph.
        target: the kind of processor that it was planned for.
    """
    return _name(f"description {_compiler_digest()} {target}", key)


def read_description(name: str) -> bytes | None:
    """What is kept under this name, if there is something that can be trusted."""
    with llvm.LOCK:
        return _cache().read(name)


def write_description(name: str, content: bytes) -> None:
    """Keep it; a failure is no error."""
    with llvm.LOCK:
        _cache().write(name, content)
