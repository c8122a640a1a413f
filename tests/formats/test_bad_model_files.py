"""Bad model files: each kind of damage or attack gets the promised message, and nothing is used."""

import gzip
import io
import json
import os
import pickle
import socket
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_file_parts import about, assemble, entry, model_file
from safetensors.numpy import save

from chainrule.errors import ChainruleError, FileAccessError, FileFormatError
from chainrule.formats import model_file as model_file_module
from chainrule.formats import read_model_file, write_model_file
from chainrule.formats.header import UNSET_CHECKSUM, Header, checksum, parse_header

DATA = np.arange(6, dtype="float32").tobytes()
GOOD = {"dense/kernel": entry([2, 3], 0, 24)}
TWO = {"a": entry([2], 0, 8), "b": entry([4], 8, 24)}


def zipped() -> bytes:
    """A zip archive, as .keras, .pt and .npz files are."""
    buffer = io.BytesIO()
    np.savez(buffer, a=np.zeros(3))
    assert zipfile.is_zipfile(buffer)
    return buffer.getvalue()


def npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    return buffer.getvalue()


def header(text: str) -> bytes:
    """A file with this header text, the metadata being put in place of ABOUT."""
    return assemble(text.replace("ABOUT", json.dumps({"chainrule": json.dumps(about({}, b""))})))


def metadata(text: str, name: str = "chainrule") -> bytes:
    """A file without tensors and with this metadata text."""
    return assemble(json.dumps({"__metadata__": {name: text}}))


def one(row: Any, name: str = "w", data: bytes = DATA) -> bytes:
    return model_file({name: row}, data)


CASES: dict[str, tuple[bytes, str, str]] = {
    # what: (content, words of the message, more words of it)
    # not a model file at all
    "empty file": (b"", "not a model file", "empty file"),
    "pickle": (pickle.dumps({"a": 1}), "not a model file", "pickle"),
    "pickle, protocol 0": (pickle.dumps([1], protocol=0), "not a model file", "pickle"),
    "pickle, protocol 1": (pickle.dumps([1], protocol=1), "not a model file", "pickle"),
    "zip": (zipped(), "not a model file", "zip archive (.keras"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(50), "not a model file", "HDF5"),
    "NumPy array": (npy(), "not a model file", "NumPy array"),
    "gzip": (gzip.compress(b"abc" * 99), "not a model file", "gzip"),
    "Parquet": (b"PAR1" + bytes(40), "not a model file", "Parquet"),
    "Git LFS pointer": (b"version https://git-lfs.github.com/spec/v1\n", "not a model", "LFS"),
    "web page": (b"<!DOCTYPE html><html></html>", "not a model file", "web page"),
    "table": (b"a,b\n1,2\n3,4\n", "not a model file", "text file"),
    "zero bytes": (bytes(100), "not a model file", "zero bytes"),
    "unknown bytes": (bytes(range(200, 240)), "not a model file", "40 bytes that begin with"),
    "one byte": (b"\x05", "not a model file", "1 bytes"),
    # the header as a whole
    "header of 2^63 bytes": (b"\xff" * 8 + b"{}", "not a model file", "2 bytes to 8 MB"),
    "header over 8 MB": ((2**23 + 1).to_bytes(8, "little") + b"{}", "not a model", "8 MB"),
    "header beyond the end": ((99).to_bytes(8, "little") + b"{}", "truncated within its", "107"),
    "header not UTF-8": (assemble('{"\udcff": 1}'), "not UTF-8", "byte 2"),
    "header not JSON": (assemble('{"a": }'), "header is not JSON", "character 6"),
    "header cut": (assemble('{"a": 1'), "header is not JSON", "character 7"),
    "text after the header": (assemble("{} x"), "header is not JSON", "extra data"),
    "duplicate tensor": (header('{"a": 1, "b": 2, "a": 1}'), "key twice", "'a' twice"),
    "duplicate metadata": (header('{"__metadata__": 1, "__metadata__": 2}'), "key twice", "each"),
    "NaN in the header": (header('{"a": NaN}'), "does not have", "got NaN"),
    "deep header": (assemble('{"a":' * 101 + "1" + "}" * 101), "nested too deeply", "at most 100"),
    "very deep header": (assemble('{"a":' + "[" * 10**6), "nested too deeply", "at most 100"),
    "string without an end": (assemble('{"' + '\\"' * 10**6), "header is not JSON", "string"),
    "endless number": (assemble('{"a":' + "9" * 10**6 + "}"), "endless number", "1000000 char"),
    "number out of range": (assemble('{"a": 1e999}'), "out of range", "1e999"),
    "half a surrogate pair": (assemble('{"\\ud800": 1}'), "not Unicode", "surrogate"),
    # the metadata
    "other safetensors file": (save({"a": np.zeros(3)}), "no chainrule metadata", "another"),
    "metadata of others": (save({"a": np.zeros(3)}, {"format": "pt"}), "no chainrule", "another"),
    "metadata a list": (assemble('{"__metadata__": [1]}'), "no chainrule metadata", "key"),
    "metadata a number": (assemble('{"__metadata__": {"chainrule": 5}}'), "is no text", "5"),
    "metadata not JSON": (metadata("{oops"), "metadata is not JSON", "character 1"),
    "metadata no table": (metadata("[]"), "metadata is no table", "[]"),
    "metadata deep": (metadata("[" * 200 + "]" * 200), "metadata is nested too deeply", "100"),
    "metadata NaN": (metadata('{"model": NaN}'), "metadata holds a value", "NaN"),
    "metadata duplicate": (metadata('{"model": 1, "model": 2}'), "metadata holds a key", "'model'"),
    "checksum missing": (metadata("{}"), "checksum is missing", "64 hex digits"),
    "checksum a number": (model_file({}, b"", header_sha256=1), "checksum is missing", "got 1"),
    "checksum short": (model_file({}, b"", header_sha256="0f"), "checksum is missing", "'0f'"),
    "checksum wrong": (model_file({}, b"", header_sha256="a" * 64), "was changed", "the header"),
    "newer format": (model_file({}, b"", format_version=2), "newer chainrule", "pip install"),
    "format true": (model_file({}, b"", format_version=True), "version is wrong", "True"),
    "format 0": (model_file({}, b"", format_version=0), "version is wrong", "got 0"),
    "format text": (model_file({}, b"", format_version="1"), "version is wrong", "'1'"),
    "more keys": (model_file({}, b"", more=1), "keys are wrong", "'more'"),
    "model a list": (model_file({}, b"", model=[1]), "'model' is no table", "[1]"),
    "checksums a list": (model_file({}, b"", tensor_sha256=[]), "one checksum for each", "To fix"),
    "checksum for nobody": (model_file(GOOD, DATA, tensor_sha256={}), "one checksum for", "tensor"),
    "checksum None": (
        model_file(GOOD, DATA, tensor_sha256={"dense/kernel": None}), "was changed", "dense/kernel"
    ),
    # one tensor
    "no entry": (one(5), "wrong entry", "'w'"),
    "entry of two keys": (one({"dtype": "F32", "shape": [6]}), "wrong entry", "data_offsets"),
    "entry of four keys": (one(entry([6], 0, 24) | {"x": 1}), "wrong entry", "'x'"),
    "unknown dtype": (one(entry([6], 0, 24, "F99")), "unknown dtype", "'F99'"),
    "half precision": (one(entry([12], 0, 24, "F16")), "unknown dtype", "F32"),
    "dtype a list": (one(entry([6], 0, 24, ["F32"])), "unknown dtype", "['F32']"),  # type: ignore[arg-type]
    "negative size": (one(entry([-6], 0, 24)), "wrong shape", "[-6]"),
    "two negative sizes": (one(entry([-2, -3], 0, 24)), "wrong shape", "none negative"),
    "size a float": (one(entry([6.0], 0, 24)), "wrong shape", "[6.0]"),
    "size a text": (one(entry(["6"], 0, 24)), "wrong shape", "['6']"),
    "size true": (one(entry([True, 6], 0, 24)), "wrong shape", "True"),
    "size null": (one(entry([None], 0, 24)), "wrong shape", "None"),
    "shape a number": (one(entry(6, 0, 24)), "wrong shape", "got 6"),  # type: ignore[arg-type]
    "nine axes": (one(entry([1] * 8 + [6], 0, 24)), "wrong shape", "at most 8"),
    "huge shape": (one(entry([2**62], 0, 24)), "huge shape", str(2**62)),
    "shape that overflows": (one(entry([2**32, 2**32], 0, 24)), "huge shape", "at most"),
    "overflow to 6": (one(entry([2**62 + 2, 3], 0, 24)), "huge shape", "at most"),
    "huge empty shape": (one(entry([0, 2**62], 0, 0), data=b""), "huge shape", "at most"),
    "bytes too few": (one(entry([2, 3], 0, 20)), "wrong byte range", "24 bytes"),
    "bytes for other dtype": (one(entry([2, 3], 0, 24, "F64")), "wrong byte range", "48 bytes"),
    "negative offset": (one(entry([6], -24, 0)), "wrong byte range", "[-24, 0]"),
    "offsets reversed": (one(entry([6], 24, 0)), "wrong byte range", "not above"),
    "offset a float": (one(entry([6], 0, 24.0)), "wrong byte range", "24.0"),  # type: ignore[arg-type]
    "three offsets": (
        one(entry([6], 0, 24) | {"data_offsets": [0, 24, 48]}), "wrong byte range", "two whole"
    ),
    "name with a newline": (one(entry([6], 0, 24), "a\nb"), "not allowed", r"'a\nb'"),
    "name with an escape": (one(entry([6], 0, 24), "\x1b[31m"), "not allowed", r"\x1b"),
    "name right to left": (one(entry([6], 0, 24), "a\u202eb"), "not allowed", "printable"),
    "name too long": (one(entry([6], 0, 24), "n" * 257), "not allowed", "1 to 256"),
    "name empty": (one(entry([6], 0, 24), ""), "not allowed", "''"),
    "truth value 2": (one(entry([3], 0, 3, "BOOL"), data=b"\0\1\2"), "truth value", "'w'"),
    # the tensors together
    "overlap": (model_file({"a": entry([4], 0, 16), "b": entry([4], 8, 24)}, DATA), "overlap", "8"),
    "same bytes twice": (model_file(GOOD | {"z": GOOD["dense/kernel"]}, DATA), "overlap", "'z'"),
    "empty tensor inside another": (
        model_file(GOOD | {"z": entry([0], 8, 8)}, DATA), "overlap", "expected byte 24"
    ),
    "gap": (model_file({"a": entry([2], 0, 8), "b": entry([2], 16, 24)}, DATA), "gap", "byte 8"),
    "gap at the start": (one(entry([4], 8, 24)), "leave a gap", "expected byte 0"),
    "data missing": (model_file(GOOD, b""), "truncated", "expected"),
    "last byte missing": (model_file(GOOD, DATA)[:-1], "truncated", "bytes"),
    "one byte more": (model_file(GOOD, DATA) + b"\0", "goes on after", "bytes"),
    "data that no tensor names": (model_file({}, DATA), "goes on after", "bytes"),
    "huge but honest sizes": (one(entry([2**40], 0, 2**42)), "truncated", str(2**42)[:6]),
    "data byte changed": (
        model_file(TWO, DATA)[:-1] + b"\x01", "was changed after", "damage in tensor 'b', bytes"
    ),
    "too many tensors": (
        assemble(json.dumps({"__metadata__": {"chainrule": json.dumps(about({}, b""))}}
                            | {str(i): 0 for i in range(100_001)})),
        "too many tensors", "at most 100000",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_bad_file(tmp_path: Path, case: str) -> None:
    content, words, more = CASES[case]
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(FileFormatError) as caught:
        read_model_file(path)
    message = str(caught.value)
    assert message.startswith(f"[{path}] ")
    assert words in message
    assert more in message
    assert "To fix: " in message
    assert len(message) < 600
    assert message.isprintable()


def test_the_helper_makes_good_files(tmp_path: Path) -> None:
    """Else the table could refuse for another reason than the one it names."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(model_file(TWO | {"c": entry([0, 2**40], 24, 24)}, DATA))
    metadata, arrays = read_model_file(path)
    assert metadata == {"class": "Sequential"}
    assert arrays["b"].tobytes() == DATA[8:]
    assert arrays["c"].shape == (0, 2**40)


def small_file(path: Path) -> bytes:
    """A model file with several tensors, one of them empty."""
    arrays = {"a": np.float64([1.5, np.nan]), "b": np.array(True), "c": np.zeros((0, 2), "int32")}
    write_model_file(path, {"architecture": {"units": 3, "name": "é"}}, arrays)
    return path.read_bytes()


def test_truncated_at_every_length(tmp_path: Path) -> None:
    path = tmp_path / "m"
    content = small_file(path)
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(FileFormatError, match=r"truncated|not a model file"):
            read_model_file(path)


def test_one_byte_changed_anywhere_is_found_and_named(tmp_path: Path) -> None:
    path = tmp_path / "m"
    content = small_file(path)
    start = 8 + int.from_bytes(content[:8], "little")
    ends = {"'a'": 16, "'b'": 17}
    for position, old in enumerate(content):
        part = next((name for name, end in ends.items() if position < start + end), "")
        for new in {old ^ 1, old ^ 0x80, old ^ 0x20, 0, ord('"'), ord(" "), ord("1")} - {old}:
            path.write_bytes(content[:position] + bytes([new]) + content[position + 1 :])
            with pytest.raises(FileFormatError) as caught:
                read_model_file(path)
            if position >= start:
                assert f"was changed after it was written: got damage in tensor {part}" in str(
                    caught.value
                )
            else:
                words = ("header", "metadata", "not a model file", "truncated", "goes on")
                assert any(word in str(caught.value) for word in words)


def make_folder(path: Path) -> None:
    path.mkdir()


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def link_to(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "cannot find the file: got no such file or directory"),
        (make_folder, "got a folder, expected a file"),
        (make_pipe, "got a pipe, expected a file"),
        (link_to("nowhere"), "cannot find the file"),
        (link_to("m"), "too many levels of symbolic links"),
        (link_to("/dev/zero"), "got a device, expected a file"),
    ],
)
@pytest.mark.skipif(os.name != "posix", reason="links and pipes of POSIX")
def test_what_is_no_file(tmp_path: Path, make: Callable[[Path], None], words: str) -> None:
    make(tmp_path / "m")
    with pytest.raises(FileAccessError) as caught:
        read_model_file(tmp_path / "m")
    assert words in str(caught.value)
    assert "To fix: " in str(caught.value)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="sockets of POSIX")
def test_a_socket_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        with pytest.raises(FileAccessError, match="cannot read the file"):
            read_model_file("s")


@pytest.mark.parametrize("path", ["", "a\0b", "x" * 5000])
def test_impossible_names(path: str) -> None:
    with pytest.raises(FileAccessError, match=r"cannot (read|find) the file"):
        read_model_file(path)


@pytest.mark.parametrize("path", [None, 3, ["m"]])
def test_what_is_no_path(path: Any) -> None:
    with pytest.raises(ChainruleError, match="this is not a path"):
        read_model_file(path)


def test_a_link_to_a_model_file_is_followed(tmp_path: Path) -> None:
    write_model_file(tmp_path / "m", {"a": 1}, {})
    (tmp_path / "latest").symlink_to("m")
    assert read_model_file(tmp_path / "latest") == ({"a": 1}, {})


@pytest.mark.skipif(not hasattr(os, "sysconf"), reason="needs sysconf")
def test_a_file_with_holes_beyond_the_memory_is_refused_at_once(tmp_path: Path) -> None:
    path, size = tmp_path / "m", 2**42
    path.write_bytes(model_file({"w": entry([2**40], 0, size)}, b""))
    try:
        os.truncate(path, path.stat().st_size + size)
    except OSError:
        pytest.skip("the file system has no files of this size")
    with pytest.raises(FileAccessError, match=r"at most .* this machine's memory"):
        read_model_file(path)


def test_a_checksum_that_stands_twice_is_refused(tmp_path: Path) -> None:
    raw = model_file({}, b"", model={"note": UNSET_CHECKSUM}, header_sha256=UNSET_CHECKSUM)
    set_right = UNSET_CHECKSUM.encode()
    for word in raw.split(b'"'):
        if len(word.rstrip(b"\\")) == 64 and word.rstrip(b"\\") != set_right:
            raw = raw.replace(word.rstrip(b"\\"), set_right)
    path = tmp_path / "m"
    path.write_bytes(raw.replace(set_right, checksum(raw).encode()))
    with pytest.raises(FileFormatError, match="was changed after it was written"):
        read_model_file(path)


def change_while_reading(path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Let the file's content change after its header was read."""

    def parse_and_change(raw: bytes, where: str) -> Header:
        path.write_bytes(content)
        return parse_header(raw, where)

    monkeypatch.setattr(model_file_module, "parse_header", parse_and_change)


@pytest.mark.parametrize("change", ["cut", "header"])
def test_a_file_that_changes_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    path = tmp_path / "m"
    beyond_any_buffer = {"units": "x" * 100_000}
    write_model_file(path, beyond_any_buffer, {"a": np.zeros(3)})
    content = path.read_bytes()
    other = content[:-1] if change == "cut" else content.replace(b"units", b"stinu")
    change_while_reading(path, monkeypatch, other)
    with pytest.raises(FileFormatError, match="changed while it was read"):
        read_model_file(path)


def test_a_system_that_does_not_tell_its_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sysconf", raising=False)
    write_model_file(tmp_path / "m", {"a": 1}, {})
    assert read_model_file(tmp_path / "m") == ({"a": 1}, {})


def test_control_characters_of_the_path_do_not_reach_the_terminal(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError) as caught:
        read_model_file(tmp_path / "\x1b[31mred")
    assert str(caught.value).isprintable()
