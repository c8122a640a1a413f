"""cr.data.idx: the files of MNIST, and what pretends to be one."""

import gzip
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ChainruleError, FileAccessError, FileFormatError

KINDS = {
    0x08: np.uint8, 0x09: np.int8, 0x0B: np.int16, 0x0C: np.int32, 0x0D: np.float32,
    0x0E: np.float64,
}  # fmt: skip


def idx_bytes(array: np.ndarray, kind: int) -> bytes:
    """The file of an array, written from the format's description."""
    head = bytes([0, 0, kind, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(5,), (2, 3), (4, 3, 2), (0, 3), (1, 1, 1, 1, 1, 1, 1, 1)])
@pytest.mark.parametrize("packed", [False, True])
def test_arrays_come_back(tmp_path: Path, kind: int, shape: tuple[int, ...], packed: bool) -> None:
    array = (np.random.default_rng(0).normal(size=shape) * 100).astype(KINDS[kind])
    data = idx_bytes(array, kind)
    path = tmp_path / "a.idx"
    path.write_bytes(gzip.compress(data) if packed else data)
    found = cr.data.idx(path)
    assert found.dtype == array.dtype
    assert found.dtype.isnative
    assert found.shape == shape
    assert (found == array).all()
    assert found.flags.writeable


HEAD = bytes([0, 0, 8, 2])


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\0\0", "not an idx file: got 2 bytes"),
        (HEAD + b"\0\0\0\1", "got 4 bytes, expected at least 8"),
        (b"PK\x03\x04" + bytes(50), "not an idx file"),
        (bytes([0, 0, 7, 1]) + bytes(8), "not an idx file"),
        (bytes([0, 0, 8, 0]) + bytes(8), "1 to 8 axes"),
        (bytes([0, 0, 8, 9]) + bytes(99), "1 to 8 axes"),
        (HEAD + struct.pack(">2I", 2, 3) + bytes(5), "cut off|more than the file holds"),
        (HEAD + struct.pack(">2I", 2, 3) + bytes(7), "goes on after its numbers"),
        (HEAD + struct.pack(">2I", 2**32 - 1, 2**32 - 1), "array is too large"),
        (HEAD + struct.pack(">2I", 1000, 2000) + bytes(5), "more than the file holds"),
    ],
)
def test_what_is_no_idx_file(tmp_path: Path, data: bytes, words: str, packed: bool) -> None:
    path = tmp_path / "a.idx"
    path.write_bytes(gzip.compress(data) if packed else data)
    with pytest.raises(FileFormatError, match=words):
        cr.data.idx(path)


def test_a_gzip_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    bomb = HEAD + struct.pack(">2I", 1, 1 << 26) + bytes(1 << 26)
    path = tmp_path / "a.idx.gz"
    path.write_bytes(gzip.compress(bomb))
    assert path.stat().st_size < 1 << 17
    with pytest.raises(FileFormatError, match="too large"):
        cr.data.idx(path, max_bytes=1 << 20)
    # More behind the array than it declares is never unpacked.
    path.write_bytes(gzip.compress(HEAD + struct.pack(">2I", 1, 1) + bytes(1 << 26)))
    with pytest.raises(FileFormatError, match="goes on after"):
        cr.data.idx(path)


def test_damaged_gzip(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    random = np.random.default_rng(0).integers(0, 255, (50, 50), dtype=np.uint8)
    whole = gzip.compress(idx_bytes(random, 8))
    for data in (whole[:10], whole[:-20], whole[:-5] + b"\0" + whole[-4:], b"\x1f\x8b\x09" + whole):
        path.write_bytes(data)
        with pytest.raises(FileFormatError, match="gzip file is damaged"):
            cr.data.idx(path)


def test_places_that_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match="no such file"):
        cr.data.idx(tmp_path / "none")
    with pytest.raises(FileAccessError):
        cr.data.idx(tmp_path)
    with pytest.raises(FileAccessError):
        cr.data.idx("a\0b")
    if os.name == "posix":
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(FileAccessError, match="not an ordinary file"):
            cr.data.idx(tmp_path / "pipe")


@pytest.mark.fuzz
def test_damaged_files_give_an_array_or_a_clear_error(tmp_path: Path) -> None:
    count = int(os.environ.get("CHAINRULE_FUZZ_COUNT", "2000"))
    random = np.random.default_rng(int(os.environ.get("CHAINRULE_FUZZ_SEED", "5")))
    array = random.integers(0, 255, (6, 5, 4), dtype=np.uint8)
    good = [idx_bytes(array, 8), idx_bytes(array.astype(np.float64), 14)]
    good += [gzip.compress(data) for data in good]
    path = tmp_path / "a"
    outcomes = {"read": 0, "refused": 0}
    for _ in range(count):
        data = bytearray(good[int(random.integers(4))])
        for _ in range(int(random.integers(1, 4))):
            # Most changes go into the header, which decides how much memory is asked for.
            end = len(data) if random.random() < 0.3 else 20
            place = int(random.integers(max(1, min(end, len(data)))))
            match int(random.integers(4)):
                case 0:
                    data[place : place + 1] = [int(random.integers(256))]
                case 1:
                    del data[place:]
                case 2:
                    data[place:place] = bytes(int(random.integers(1, 9)))
                case _:
                    data[place : place + 4] = b"\xff\xff\xff\xff"
        path.write_bytes(data)
        try:
            found = cr.data.idx(path)
            outcomes["read"] += 1
            assert found.nbytes <= 1032 * len(data)
        except ChainruleError:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > count / 50


def test_the_numbers_agree_with_zlib_and_numpy_read_by_hand(tmp_path: Path) -> None:
    array = np.arange(60, dtype=np.int32).reshape(3, 4, 5) - 30
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(idx_bytes(array, 0x0C)))
    plain = zlib.decompress(path.read_bytes(), wbits=31)
    assert (np.frombuffer(plain[16:], ">i4").reshape(3, 4, 5) == cr.data.idx(path)).all()
