"""Small sounds as files, made by soundfile."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

RATE = 8_000


def tone(pitch: float, seconds: float = 0.3, rate: int = RATE) -> NDArray[np.float64]:
    """A sine wave of amplitude 0.5."""
    return 0.5 * np.sin(np.arange(round(seconds * rate)) * (2 * np.pi * pitch / rate))


def encoded(
    samples: NDArray[Any], kind: str, rate: int = RATE, subtype: str | None = None
) -> bytes:
    """The bytes of a file."""
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format=kind, subtype=subtype)
    return stream.getvalue()


def write(path: Path, samples: NDArray[Any], rate: int = RATE, **options: Any) -> Path:
    """Write a sound, its folder too; the format follows from the name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, **options)
    return path


def two_classes(folder: Path, count: int = 3, rate: int = RATE) -> Path:
    """A folder of high and low tones."""
    for i in range(count):
        write(folder / "high" / f"{i}.wav", tone(1200 + 40 * i, rate=rate), rate)
        write(folder / "low" / f"{i}.wav", tone(300 + 10 * i, rate=rate), rate)
    return folder
