"""Writing: the old file or the new one, whole; refusals before work is lost."""

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from chainrule.errors import FileAccessError
from chainrule.formats import check_writable, read_model_file, write_model_file
from chainrule.formats.atomic import write_atomically

posix = pytest.mark.skipif(os.name != "posix", reason="rights, links and pipes of POSIX")
not_root = pytest.mark.skipif(
    hasattr(os, "geteuid") and os.geteuid() == 0, reason="the administrator may write everywhere"
)

SAVE_FOREVER = """
import sys, numpy as np
from chainrule.formats import write_model_file
number = 0
while True:
    number += 1
    arrays = {"first": np.full(300_000, number), "last": np.full(10, number)}
    write_model_file(sys.argv[1], {"number": number}, arrays)
    print(number, flush=True)
"""


@posix
def test_kill_at_random_points_leaves_the_old_or_the_new_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    random = np.random.default_rng(int(os.environ.get("CHAINRULE_FUZZ_SEED", "0")))
    for _ in range(int(os.environ.get("CHAINRULE_KILL_COUNT", "8"))):
        process = subprocess.Popen(
            [sys.executable, "-c", SAVE_FOREVER, path], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(random.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        printed = process.stdout.read().split()
        process.stdout.close()
        assert process.wait() == -signal.SIGKILL
        metadata, arrays = read_model_file(path)
        assert metadata["number"] >= int(printed[-1] if printed else 1)
        assert (arrays["first"] == metadata["number"]).all()
        assert (arrays["last"] == metadata["number"]).all()
    assert all(name == path.name or name.startswith(".chainrule-") for name in os.listdir(tmp_path))


def failing_pieces() -> Iterator[bytes]:
    yield b"new"
    raise KeyboardInterrupt


def test_an_interrupted_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, failing_pieces())
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["m"]


@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_a_refusal_of_the_system_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "m"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, name, refuse)
    with pytest.raises(FileAccessError, match="cannot write the file: got no space left on device"):
        write_atomically(path, [b"new"])
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["m"]


@posix
def test_content_is_on_the_disk_before_the_name_and_the_name_before_the_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace

    def watched_fsync(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        calls.append("folder" if is_folder else "content")
        fsync(descriptor)

    def watched_replace(source: str, target: str) -> None:
        calls.append("name")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", watched_replace)
    write_atomically(tmp_path / "m", [b"new"])
    assert calls == ["content", "name", "folder"]


@posix
def test_permissions_follow_the_old_file_or_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "m"
    old = os.umask(0o027)
    try:
        write_atomically(path, [b"1"])
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(0o600)
        write_atomically(path, [b"2"])
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(old)


@posix
def test_a_link_stays_and_its_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "latest").symlink_to("folder/m")
    write_atomically(tmp_path / "latest", [b"1"])
    check_writable(tmp_path / "latest")
    write_atomically(tmp_path / "latest", [b"2"])
    assert (tmp_path / "latest").is_symlink()
    assert (tmp_path / "folder" / "m").read_bytes() == b"2"


def test_check_writable_leaves_no_trace(tmp_path: Path) -> None:
    check_writable(tmp_path / "new")
    (tmp_path / "old").write_bytes(b"old")
    check_writable(tmp_path / "old")
    check_writable(os.path.relpath(tmp_path / "old"))
    assert os.listdir(tmp_path) == ["old"]
    assert (tmp_path / "old").read_bytes() == b"old"


def unwritable(tmp_path: Path, kind: str) -> Path | str:
    """A path of this kind that no file can be written to."""
    path = tmp_path / "m"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        os.mknod(path, stat.S_IFSOCK | 0o600)
    elif kind == "device":
        return "/dev/null"
    elif kind == "no folder":
        return path / "deeper" / "m"
    elif kind == "file as folder":
        path.write_bytes(b"")
        return path / "m"
    elif kind == "loop":
        path.symlink_to("m")
    elif kind == "long name":
        return tmp_path / ("x" * 300)
    elif kind == "empty":
        return ""
    else:
        return "a\0b"
    return path


@posix
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("folder", "got the name of a folder, expected a file"),
        ("pipe", "got the name of a pipe"),
        ("socket", "got the name of a socket"),
        ("device", "got the name of a device"),
        ("no folder", "got no folder /"),
        ("file as folder", "not a directory"),
        ("loop", "symbolic links"),
        ("long name", "name too long"),
        ("empty", "the file name is empty"),
        ("null", "null byte"),
    ],
)
def test_unwritable_places_are_named_before_and_when_writing(
    tmp_path: Path, kind: str, words: str
) -> None:
    path = unwritable(tmp_path, kind)
    with pytest.raises(FileAccessError) as before:
        check_writable(path)
    with pytest.raises(FileAccessError) as when:
        write_model_file(path, {}, {"a": np.zeros(3)})
    for message in str(before.value), str(when.value):
        assert words in message
        assert "To fix: " in message


@posix
@not_root
def test_rights_are_respected(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(b"old")
    (tmp_path / "m").chmod(0o444)
    with pytest.raises(FileAccessError, match="write-protected"):
        check_writable(tmp_path / "m")
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(FileAccessError, match="permission denied"):
            check_writable(tmp_path / "new")
    finally:
        tmp_path.chmod(0o755)


@posix
def test_a_write_protected_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs for the administrator too, whom the system asks nothing."""
    (tmp_path / "m").write_bytes(b"old")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(FileAccessError, match="got a write-protected file"):
        check_writable(tmp_path / "m")
