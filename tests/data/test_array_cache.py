"""The cache of decoded arrays: bounded, private, and never trusted blindly."""

import os
from pathlib import Path

import numpy as np
import pytest

from chainrule.data.array_cache import ArrayCache

posix = pytest.mark.skipif(os.name != "posix", reason="rights of files")


@pytest.fixture
def cache(tmp_path: Path) -> ArrayCache:
    return ArrayCache(tmp_path / "made" / "pictures", limit=100_000)


def pictures(count: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (count, 8, 8, 3), dtype=np.uint8)


def test_what_is_written_is_read(cache: ArrayCache) -> None:
    cache.write("a", {"rows": [1, 2], "text": "é"}, pictures())
    note, found = cache.read("a")
    assert note == {"rows": [1, 2], "text": "é"}
    assert (found == pictures()).all()
    assert cache.read("b") is None


@posix
def test_nobody_else_can_read_or_write_it(cache: ArrayCache) -> None:
    cache.write("a", {}, pictures())
    assert cache._folder.stat().st_mode & 0o777 == 0o700
    assert next(cache._folder.iterdir()).stat().st_mode & 0o777 == 0o600
    cache._folder.chmod(0o777)
    assert cache.read("a") is None


def test_no_folder_no_cache() -> None:
    nowhere = ArrayCache(None)
    nowhere.write("a", {}, pictures())
    assert nowhere.read("a") is None


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = ArrayCache(tmp_path / "file" / "pictures")
    cache.write("a", {}, pictures())
    assert cache.read("a") is None


def test_every_damage_is_found_or_harmless(cache: ArrayCache) -> None:
    cache.write("a", {"rows": [0]}, pictures())
    path = next(cache._folder.iterdir())
    whole = path.read_bytes()
    random = np.random.default_rng(1)
    for trial in range(300):
        changed = bytearray(whole)
        place = int(random.integers(100))
        if trial % 3 == 0:
            del changed[place:]
        elif trial % 3 == 1:
            changed[place] = int(random.integers(256))
        else:
            changed[place:place] = bytes(random.integers(0, 256, 5, dtype=np.uint8))
        path.write_bytes(changed)
        found = cache.read("a")
        assert found is None or found[1].size == pictures().size
        # What cannot be read is gone, so that it is made again.
        assert (found is None) == (not path.exists())


def test_objects_are_never_made(cache: ArrayCache) -> None:
    cache.write("a", {}, pictures())
    path = next(cache._folder.iterdir())
    head, numbers = path.read_bytes().split(b"\n", 1)
    for dtype in (b"O", b"int8"):
        path.write_bytes(head.replace(b"uint8", dtype) + b"\n" + numbers)
        assert cache.read("a") is None


def test_what_was_used_longest_ago_goes_first(cache: ArrayCache) -> None:
    big = np.zeros((1, 100, 100, 3), np.uint8)
    for age, name in enumerate("abc"):
        cache.write(name, {}, big)
        os.utime(cache._folder / f"{name}.array", (1000 + age, 1000 + age))
    cache.read("a")
    cache.write("d", {}, big)
    kept = {path.stem for path in cache._folder.iterdir()}
    assert kept == {"c", "a", "d"}
    left = cache._folder / ".writing-left"
    left.write_bytes(b"")
    os.utime(left, (1000, 1000))
    cache.write("e", {}, big)
    assert not left.exists()
    assert sum(path.stat().st_size for path in cache._folder.iterdir()) <= 100_000


def test_what_is_larger_than_the_limit_is_not_kept(cache: ArrayCache) -> None:
    cache.write("a", {}, np.zeros((1, 200, 200, 3), np.uint8))
    assert cache.read("a") is None
