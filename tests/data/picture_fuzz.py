"""Fuzzing pictures: damaged and mislabelled files, made from good ones.

``python tests/data/picture_fuzz.py 2000 0`` reads 2,000 of them and prints a JSON report. Each must
give a picture or be listed as skipped with a reason, within 10 seconds; all together must take less
than 128 MiB more memory than before.
"""

import json
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from picture_files import corners, encoded
from PIL import Image

from chainrule.data import ImagePreparation, read_pictures
from chainrule.errors import DataError

SECONDS_PER_FILE = 10
MEMORY_LIMIT = 128 << 20
KEPT = Path(tempfile.gettempdir()) / "chainrule-fuzz-failure.png"
NAMES = ("a.jpg", "a.png", "a.webp", "a.bmp", "a.gif")


class TookTooLong(BaseException):
    """Not an ``Exception``, so that no handler of the library swallows it."""


def good_files() -> list[bytes]:
    """Return pictures of all formats and modes as bytes."""
    noise = np.random.default_rng(3).integers(0, 255, (40, 30, 3), dtype=np.uint8)
    picture, plain = Image.fromarray(noise), corners(24, 20)
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = {"save_all": True, "append_images": [plain, plain.rotate(90)]}
    return [
        encoded(picture, "JPEG", exif=exif),
        encoded(picture, "JPEG", progressive=True),
        encoded(picture.convert("CMYK"), "JPEG"),
        encoded(picture, "PNG", exif=exif),
        encoded(plain.quantize(8), "PNG", transparency=3),
        encoded(plain.convert("RGBA"), "PNG"),
        encoded(Image.fromarray(noise[:, :, 0].astype(np.uint16) * 257), "PNG"),
        encoded(plain, "PNG", **frames),
        encoded(picture, "WEBP"),
        encoded(plain, "WEBP", lossless=True, exif=exif),
        encoded(plain, "WEBP", **frames),
        encoded(plain, "BMP"),
        encoded(plain.quantize(8), "BMP"),
        encoded(plain, "GIF"),
        encoded(plain, "GIF", **frames),
        encoded(plain, "TIFF"),
        encoded(plain, "PPM"),
    ]


def damage(data: bytes, random: np.random.Generator, others: list[bytes]) -> bytes:
    """Return the bytes with one to six random changes, many of them in the header."""
    changed = bytearray(data)
    for _ in range(int(random.choice([1, 1, 2, 3, 6]))):
        size = len(changed)
        if size == 0:
            break
        place = int(random.integers(min(size, 64) if random.random() < 0.5 else size))
        length = int(random.choice([1, 2, 4, 40]))
        match int(random.integers(7)):
            case 0:
                changed[place] = int(random.integers(256))
            case 1:
                changed[place] ^= 1 << int(random.integers(8))
            case 2:
                del changed[place : place + length]
            case 3:
                changed[place : place + length] = b"\xff" * length
            case 4:
                changed[place:place] = changed[max(0, place - length) : place] * 3
            case 5:
                del changed[place:]
            case _:
                other = others[int(random.integers(len(others)))]
                start = int(random.integers(len(other)))
                changed[place : place + length] = other[start : start + length]
    return bytes(changed)


def _alarm(number: int, frame: Any) -> None:
    raise TookTooLong


def fuzz_pictures(count: int, seed: int) -> dict[str, Any]:
    """Read `count` damaged pictures; return how they ended.

    Raises:
        AssertionError: anything but a picture or a reason, a hang, or too much memory; the file is
            kept for a look.
    """
    random = np.random.default_rng(seed)
    files = good_files()
    outcomes: Counter[str] = Counter()
    slowest = 0.0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    previous = signal.signal(signal.SIGALRM, _alarm)
    try:
        with tempfile.TemporaryDirectory() as folder:
            for number in range(count):
                path = Path(folder) / str(random.choice(NAMES))
                path.write_bytes(damage(files[int(random.integers(len(files)))], random, files))
                channels = int(random.choice([1, 3]))
                wanted = ImagePreparation(9, 7, channels, str(random.choice(["crop", "pad"])))
                started = time.perf_counter()
                signal.alarm(SECONDS_PER_FILE)
                try:
                    data = read_pictures([path], wanted, max_pixels=1 << 22)
                    outcomes["read"] += 1
                    if data.x.shape != (1, 9, 7, channels):
                        raise AssertionError(f"shape {data.x.shape}")
                except DataError as error:
                    outcomes["refused"] += 1
                    if "can be read: got" not in str(error) or len(str(error)) > 600:
                        raise AssertionError(f"a poor message: {error}") from error
                except BaseException as error:
                    KEPT.write_bytes(path.read_bytes())
                    raise AssertionError(
                        f"picture {number} of seed {seed}: {error!r}, kept as {KEPT}"
                    ) from error
                finally:
                    signal.alarm(0)
                slowest = max(slowest, time.perf_counter() - started)
    finally:
        signal.signal(signal.SIGALRM, previous)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    if grown > MEMORY_LIMIT:
        raise AssertionError(f"memory grew by {grown / 2**20:.0f} MiB")
    return {
        "files": count,
        "seed": seed,
        "outcomes": dict(outcomes),
        "slowest_seconds": round(slowest, 3),
        "memory_growth_mib": round(grown / 2**20),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(fuzz_pictures(int(sys.argv[1]), int(sys.argv[2]))) + "\n")
