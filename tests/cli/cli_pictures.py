"""Folders of small pictures for the command line."""

from pathlib import Path

import numpy as np
from PIL import Image


def stripes(folder: Path, count: int = 24, classes: tuple[str, ...] = ("flat", "upright")) -> Path:
    """Noisy stripes, lying in the first class and standing in the second."""
    random = np.random.default_rng(0)
    for code, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            picture = random.integers(0, 60, (12, 12), dtype=np.uint8)
            picture[int(random.integers(3)) :: 3] += 180
            pixels = picture.T if code % 2 else picture
            Image.fromarray(np.ascontiguousarray(pixels)).save(folder / name / f"{i:02d}.png")
    return folder
