"""The object cache: damaged, foreign and stale entries, rights, races, limits, no folder at all."""

import ctypes
import errno
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from chainrule.backends.cpu import cache, llvm
from chainrule.backends.cpu.cache import ObjectCache
from chainrule.errors import GraphError

ROOT = Path(__file__).resolve().parents[2]
posix = pytest.mark.skipif(os.name != "posix", reason="rights of POSIX systems")


@pytest.fixture
def folder(tmp_path):
    """The folder that compiled modules go to; memory is empty."""
    before = cache.default_folder()
    cache.use_folder(tmp_path / "chainrule" / "objects")
    yield tmp_path / "chainrule" / "objects"
    cache.use_folder(before)


@pytest.fixture
def store(tmp_path):
    return ObjectCache(tmp_path / "store")


@pytest.fixture
def compilations(monkeypatch):
    """The texts that were compiled."""
    texts = []
    compile_object = llvm.compile_object

    def counted(text, variant=None):
        texts.append(text)
        return compile_object(text, variant)

    monkeypatch.setattr(llvm, "compile_object", counted)
    return texts


def only_file(folder):
    (file,) = folder.iterdir()
    return file


def add(number):
    return f"define double @f(double %x) {{\n %y = fadd double %x, {number}.0\n ret double %y\n}}\n"


def result(library):
    return ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(library.address("f"))(1.0)


def forget():
    cache._objects.clear()


# ---- entries


def test_entries_come_back(store):
    assert store.read("a") is None
    for content in (b"", b"x", bytes(range(256)) * 1000):
        store.write("a", content)
        store.write("b", b"other")
        assert store.read("a") == content
    assert len(list(store.folder.iterdir())) == 2


@posix
def test_only_the_user_can_reach_folder_and_files(store):
    store.write("a", b"content")
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(only_file(store.folder).stat().st_mode) == 0o600


def test_every_damaged_byte_is_found(store):
    content = b"0123456789" * 4
    store.write("a", content)
    file = only_file(store.folder)
    whole = file.read_bytes()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        file.write_bytes(damaged)
        assert store.read("a") is None
        assert not file.exists()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        assert store.read("a") is None
    file.write_bytes(whole + b"0")
    assert store.read("a") is None
    file.write_bytes(whole)
    file.chmod(0o600)
    assert store.read("a") == content


def test_an_entry_under_another_name_is_found(store):
    store.write("a", b"content")
    os.replace(only_file(store.folder), store.folder / "b.object")
    assert store.read("b") is None
    assert list(store.folder.iterdir()) == []


@posix
def test_links_pipes_and_folders_are_not_entries(store, tmp_path):
    store.write("a", b"content")
    file = only_file(store.folder)
    elsewhere = tmp_path / "elsewhere"
    os.replace(file, elsewhere)
    file.symlink_to(elsewhere)
    assert store.read("a") is None
    assert elsewhere.exists()
    os.mkfifo(file)
    assert store.read("a") is None  # and does not wait for a writer
    file.mkdir()
    assert store.read("a") is None
    store.write("a", b"new")
    assert ObjectCache(store.folder).read("a") is None


@posix
@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_files_that_others_may_write_are_not_trusted(store, mode):
    store.write("a", b"content")
    only_file(store.folder).chmod(mode)
    assert store.read("a") is None
    assert list(store.folder.iterdir()) == []


@posix
def test_a_folder_of_another_user_is_not_used(store, monkeypatch):
    store.write("a", b"content")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert store.read("a") is None
    store.write("b", b"content")
    monkeypatch.undo()
    assert store.read("a") == b"content"
    assert store.read("b") is None


@posix
def test_a_file_of_another_user_is_not_used(store, monkeypatch):
    store.write("a", b"content")
    real = os.fstat

    def foreign(descriptor):
        values = list(real(descriptor))
        if stat.S_ISREG(values[0]):
            values[4] += 1
        return os.stat_result(values)

    monkeypatch.setattr(os, "fstat", foreign)
    assert store.read("a") is None


@posix
def test_an_open_folder_is_closed_to_others(store):
    store.folder.mkdir(mode=0o777)
    store.folder.chmod(0o777)
    store.write("a", b"content")
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700


# ---- no folder


def test_nothing_is_kept_nowhere():
    store = ObjectCache(None)
    store.write("a", b"content")
    assert store.read("a") is None
    store.discard("a")


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path, compilations):
    (tmp_path / "file").write_text("in the way")
    before = cache.default_folder()
    cache.use_folder(tmp_path / "file" / "objects")
    try:
        assert result(cache.library(add(1), ["f"])) == 2.0
        assert result(cache.library(add(1), ["f"])) == 2.0
    finally:
        cache.use_folder(before)
    assert len(compilations) == 1


@posix
@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_rights_is_no_error(store):
    store.folder.mkdir(mode=0o500)
    store.write("a", b"content")
    assert store.read("a") is None


@pytest.mark.parametrize("failing", ["replace", "open"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_failed_write_leaves_nothing_and_is_no_error(store, monkeypatch, failing, code):
    store.write("a", b"old")
    real = os.open

    def refuse(*arguments, **keywords):
        if failing == "open" and not arguments[1] & os.O_CREAT:
            return real(*arguments, **keywords)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, failing, refuse)
    store.write("a", b"new")
    monkeypatch.undo()
    assert [file.name for file in store.folder.iterdir()] == ["a.object"]
    assert store.read("a") == b"old"


def run(program, **variables):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


PROGRAM = f"""
import ctypes
from chainrule.backends.cpu import cache
library = cache.library({add(4)!r}, ["f"])
print(ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(library.address("f"))(1.0))
"""


@pytest.mark.parametrize("home", ["/proc/nowhere", "/dev/null", ""])
def test_programs_run_without_a_home(home):
    done = run(PROGRAM, HOME=home, XDG_CACHE_HOME="", CHAINRULE_CACHE_DIR="")
    assert (done.stdout, done.stderr, done.returncode) == ("5.0\n", "", 0)


def test_the_variable_chooses_the_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", "off")
    assert cache.default_folder() is None
    monkeypatch.setenv("CHAINRULE_CACHE_DIR", str(tmp_path))
    assert cache.default_folder() == tmp_path / "objects"
    monkeypatch.delenv("CHAINRULE_CACHE_DIR")
    assert cache.default_folder().parts[-2:] == ("chainrule", "objects")


# ---- limits


def age(store, name, seconds):
    file = store.folder / f"{name}.object"
    then = time.time() - seconds
    os.utime(file, (then, then))


def test_what_was_unused_longest_goes_first(tmp_path):
    store = ObjectCache(tmp_path, limit=10_000)
    for number in range(9):
        store.write(str(number), bytes(1000))
        age(store, str(number), 10_000 - number)
    assert store.read("0") is not None  # used now
    for number in (9, 10):
        store.write(str(number), bytes(1000))
    left = {number for number in range(11) if store.read(str(number)) is not None}
    assert {0, 8, 9, 10} <= left
    assert not {1, 2, 3} & left
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 10_000


def test_an_entry_larger_than_the_limit_is_not_kept(tmp_path):
    store = ObjectCache(tmp_path, limit=100)
    store.write("a", bytes(101))
    assert list(tmp_path.iterdir()) == []


def test_old_left_overs_are_removed(tmp_path):
    for name, seconds in (("old", 7200), ("new", 10)):
        file = tmp_path / f".writing-{name}"
        file.write_bytes(b"half")
        os.utime(file, (time.time() - seconds,) * 2)
    ObjectCache(tmp_path).write("a", b"content")
    assert {file.name for file in tmp_path.iterdir()} == {".writing-new", "a.object"}


# ---- compiled modules


def test_one_compilation_serves_memory_and_disk(folder, compilations):
    library = cache.library(add(1), ["f"])
    assert cache.library(add(1), ["f"]) is library
    del library
    assert result(cache.library(add(1), ["f"])) == 2.0  # object code in memory
    forget()
    assert result(cache.library(add(1), ["f"])) == 2.0  # object code on disk
    assert len(compilations) == 1
    assert result(cache.library(add(2), ["f"])) == 3.0
    assert len(compilations) == 2
    assert len(list(folder.iterdir())) == 2


def test_damaged_code_is_made_again(folder, compilations):
    cache.library(add(1), ["f"])
    file = only_file(folder)
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + b"?")
    forget()
    assert result(cache.library(add(1), ["f"])) == 2.0
    assert len(compilations) == 2
    assert file.read_bytes() == whole


def test_code_that_cannot_be_loaded_is_made_again(folder, compilations):
    name = cache.entry_name(add(1))
    ObjectCache(folder).write(name, b"the hash is right, but this is no object")
    assert result(cache.library(add(1), ["f"])) == 2.0
    assert len(compilations) == 1
    forget()
    assert result(cache.library(add(1), ["f"])) == 2.0
    assert len(compilations) == 1


TWO = [
    """declare double @g(double)
define double @f(double %x) {
 %y = call double @g(double %x)
 ret double %y
}
""",
    "define double @g(double %x) {\n %y = fadd double %x, 6.0\n ret double %y\n}\n",
]


def test_modules_that_call_each_other_are_one_entry(folder):
    for _ in range(2):
        assert result(cache.library(TWO, ["f"])) == 7.0
        forget()
    assert len(list(folder.iterdir())) == 1
    assert result(cache.kept_library(cache.entry_name(TWO), ["f"])) == 7.0
    assert cache.kept_library(cache.entry_name(TWO[::-1]), ["f"]) is None


@pytest.mark.parametrize("number", [0, 1])
def test_each_of_several_modules_is_checked(folder, number):
    wrong = list(TWO)
    wrong[number] = "define"
    with pytest.raises(GraphError, match="LLVM refuses the generated code"):
        cache.library(wrong, ["f"])
    wrong[number] = TWO[number].replace("ret", "%z = call double @nobody(double %x)\n ret")
    wrong[number] += "declare double @nobody(double)\n"
    with pytest.raises(GraphError, match="unknown functions are called: got nobody"):
        cache.library(wrong, ["f"])


def test_without_another_thread_modules_are_compiled_one_by_one(folder, monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert result(cache.library(TWO, ["f"])) == 7.0


@pytest.mark.parametrize("damage", [b"", b"\x07", b"\xff" * 8, b"\xff" * 20, bytes(8)])
def test_wrong_lengths_are_found(folder, damage):
    cache.library(TWO, ["f"])
    forget()
    cache._cache().write(cache.entry_name(TWO), damage)  # rightly signed
    assert cache.kept_library(cache.entry_name(TWO), ["f"]) is None
    assert result(cache.library(TWO, ["f"])) == 7.0


def test_names_depend_on_everything_that_code_depends_on(monkeypatch):
    names = {cache.entry_name(add(1)), cache.entry_name(add(2))}
    names |= {cache.entry_name(add(1), variant) for variant in llvm.VARIANTS}
    monkeypatch.setattr(sys.modules["chainrule"], "__version__", "99.0")
    names.add(cache.entry_name(add(1)))
    monkeypatch.setattr(llvm, "version", lambda: "0.1 7.0.0")
    names.add(cache.entry_name(add(1)))
    machine = llvm.machine()._replace(features="+nothing")
    monkeypatch.setattr(llvm, "machine", lambda variant=None: machine)
    names.add(cache.entry_name(add(1)))
    assert len(names) == 5 + len(llvm.VARIANTS)


def test_memory_has_a_limit(folder, monkeypatch):
    size = 8 + len(llvm.compile_object(add(1)))  # behind its length
    monkeypatch.setattr(cache, "MEMORY_LIMIT", 3 * size)
    for number in range(8):
        cache.library(add(number), ["f"])
    assert len(cache._objects) == 3
    assert cache.entry_name(add(7)) in cache._objects


RACE = """
import random, sys
from pathlib import Path
from chainrule.backends.cpu.cache import ObjectCache
from chainrule.errors import GraphError
store = ObjectCache(Path(sys.argv[1]), limit=200_000)
store._until_sweep = -1
draw = random.Random(sys.argv[2])
hits = 0
for _ in range(1500):
    name = str(draw.randrange(12))
    content = name.encode() * (1 + 3000 * int(name))
    found = store.read(name)
    assert found in (None, content), name
    hits += found is not None
    if draw.random() < 0.4:
        store.write(name, content)
        store._until_sweep -= 20_000
print(hits)
"""


def test_processes_may_race(tmp_path):
    """Four processes read, write and sweep one folder: an entry is always whole, or absent."""
    command = [sys.executable, "-c", RACE, str(tmp_path / "objects")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    processes = [
        subprocess.Popen([*command, str(n)], env=environment, stdout=subprocess.PIPE, text=True)
        for n in range(4)
    ]
    for process in processes:
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        assert int(output) > 100
    assert all(file.name.endswith(".object") for file in (tmp_path / "objects").iterdir())
