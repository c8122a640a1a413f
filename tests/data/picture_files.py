"""Small pictures as files, made by Pillow."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Four corners in four colours: whatever turns, mirrors, crops or stretches a picture shows.
RED, GREEN, BLUE, GREY = (250, 5, 5), (5, 250, 5), (5, 5, 250), (128, 128, 128)


def corners(height: int = 16, width: int = 16) -> Image.Image:
    """A picture of four coloured quarters: red, green above blue, grey."""
    array = np.zeros((height, width, 3), np.uint8)
    half_height, half_width = height // 2, width // 2
    array[:half_height, :half_width], array[:half_height, half_width:] = RED, GREEN
    array[half_height:, :half_width], array[half_height:, half_width:] = BLUE, GREY
    return Image.fromarray(array)


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    """The bytes of a file."""
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def write(path: Path, picture: Image.Image, **options: Any) -> Path:
    """Write a picture, its folder too; the kind follows from the name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, **options)
    return path


def two_classes(folder: Path, count: int = 3, size: int = 12) -> Path:
    """Dark and light grey pictures, each class in its folder."""
    random = np.random.default_rng(0)
    for name, low in (("dark", 0), ("light", 150)):
        for i in range(count):
            pixels: NDArray[Any] = random.integers(low, low + 100, (size, size), dtype=np.uint8)
            write(folder / name / f"{i}.png", Image.fromarray(pixels))
    return folder


def png_bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that declares a picture of this size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = zlib.compress(bytes(100_000))
    marks = chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + marks


def webp_bomb(width: int, height: int) -> bytes:
    """A WebP whose header declares a canvas of this size."""
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    frame = encoded(Image.new("RGB", (8, 8)), "WEBP", lossless=True)[12:]
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + canvas + frame
    return b"RIFF" + struct.pack("<I", len(body)) + body


def gif_bomb(width: int, height: int) -> bytes:
    """A GIF whose screen has this size."""
    whole = bytearray(encoded(Image.new("L", (8, 8)), "GIF"))
    whole[6:10] = struct.pack("<HH", width, height)
    return bytes(whole)


def bmp_bomb(width: int, height: int) -> bytes:
    """A BMP whose header declares a picture of this size."""
    whole = bytearray(encoded(Image.new("L", (8, 8)), "BMP"))
    whole[18:26] = struct.pack("<II", width, height)
    return bytes(whole)
