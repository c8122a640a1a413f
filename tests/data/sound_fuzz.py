"""Fuzzing sounds: damaged and mislabelled files, made from good ones.

``python tests/data/sound_fuzz.py 2000 0`` reads 2,000 of them and prints a JSON report. Each must
give a sound or be listed as skipped with a reason, within 10 seconds; all together must take less
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
from picture_fuzz import MEMORY_LIMIT, SECONDS_PER_FILE, TookTooLong, damage
from sound_files import encoded, tone

from chainrule.data import AudioPreparation, read_sounds
from chainrule.errors import DataError

KEPT = Path(tempfile.gettempdir()) / "chainrule-fuzz-failure.sound"
NAMES = ("a.wav", "a.flac", "a.ogg", "a.opus")


def good_files() -> list[bytes]:
    """Return sounds of all formats as bytes."""
    noise = np.random.default_rng(3).normal(0, 0.1, 1600)
    stereo = np.stack([noise, tone(440, 0.2)], axis=1)
    return [
        encoded(noise, "WAV"),
        encoded(noise, "WAV", subtype="PCM_U8"),
        encoded(noise, "WAV", subtype="PCM_24"),
        encoded(noise, "WAV", subtype="FLOAT"),
        encoded(noise, "WAV", subtype="DOUBLE"),
        encoded(noise, "WAV", subtype="ULAW"),
        encoded(noise, "WAV", subtype="IMA_ADPCM"),
        encoded(stereo, "WAV"),
        encoded(stereo, "WAVEX"),
        encoded(stereo, "RF64"),
        encoded(noise, "FLAC"),
        encoded(stereo, "FLAC", subtype="PCM_24"),
        encoded(noise, "OGG"),
        encoded(stereo, "OGG", subtype="OPUS"),
        encoded(noise, "MP3"),
        encoded(noise, "AIFF"),
        encoded(noise, "VOC"),
    ]


def _alarm(number: int, frame: Any) -> None:
    raise TookTooLong


def fuzz_sounds(count: int, seed: int) -> dict[str, Any]:
    """Read `count` damaged sounds; return how they ended.

    Raises:
        AssertionError: anything but a sound or a reason, a hang, or too much memory; the file is
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
                wanted = AudioPreparation(int(random.choice([4000, 8000])), 40)
                started = time.perf_counter()
                signal.alarm(SECONDS_PER_FILE)
                try:
                    data = read_sounds([path], wanted, max_seconds=30)
                    outcomes["read"] += 1
                    if not np.isfinite(data.samples).all() or data.lengths.min() < 1:
                        raise AssertionError("samples that are none")
                except DataError as error:
                    outcomes["refused"] += 1
                    if "can be read: got" not in str(error) or len(str(error)) > 600:
                        raise AssertionError(f"a poor message: {error}") from error
                except BaseException as error:
                    KEPT.write_bytes(path.read_bytes())
                    raise AssertionError(
                        f"file {number} of seed {seed}: {error!r}; kept in {KEPT}"
                    ) from error
                finally:
                    signal.alarm(0)
                slowest = max(slowest, time.perf_counter() - started)
                path.unlink()
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
    sys.stdout.write(json.dumps(fuzz_sounds(int(sys.argv[1]), int(sys.argv[2]))) + "\n")
