"""One picture file as an array of one size, through Pillow, which is imported on first use.

The size that a file declares is checked before anything is decoded. Only the decoders of `FORMATS`
are ever tried, whatever a file is called. A decoder that is given a damaged file may raise
anything: all of it becomes `UnreadableError`, with a reason.
"""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from chainrule.data.checks import StoredConfig
from chainrule.data.media_reading import UnreadableError, opened
from chainrule.errors import missing_dependency

if TYPE_CHECKING:
    from PIL.Image import Image

Aspect = Literal["stretch", "crop", "pad"]
ASPECTS: tuple[Aspect, ...] = ("stretch", "crop", "pad")
DTYPES = ("uint8", "float32")
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")
MAX_SIDE = 4096

_ORIENTATION = 0x0112
# orientation in EXIF -> the method of Image.Transpose that puts the picture upright
_UPRIGHT = {
    2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE",
    6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90",
}  # fmt: skip
_GREY = ("1", "L", "LA", "La", "I", "F")
_WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
_WIDE_WHITE = 65535.0

# Pictures with more pixels than this are decoded one at a time, so that threads do not add up.
_LARGE = 1 << 24
_one_large = threading.Lock()


@dataclass(frozen=True)
class Limits:
    """What a single file may ask for.

    Args:
        pixels: declared width times height.
        size: bytes of the file.
    """

    pixels: int
    size: int


@dataclass(frozen=True)
class Facts:
    """What a file says about its picture before it is decoded.

    Args:
        height, width: in pixels, upright.
        grey: whether it has no colours.
    """

    height: int
    width: int
    grey: bool


@dataclass(frozen=True)
class ImagePreparation:
    """How pictures become arrays of one shape; a model keeps it for the pictures to come.

    Args:
        height, width: of the arrays.
        channels: 1 for grey, 3 for red, green, blue.
        aspect: "stretch" changes proportions, "crop" cuts off what is too long, "pad" adds borders.
        dtype: "uint8", 0 to 255, or "float32", 0 to 1, which keeps the 16 bits of grey pictures.
        background: the grey level, 0 to 255, of borders and behind transparent pixels.

    Example:
        >>> ImagePreparation(28, 28, 1).shape
        (28, 28, 1)
    """

    height: int
    width: int
    channels: int
    aspect: Aspect = "stretch"
    dtype: str = "uint8"
    background: int = 255

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        return self.height, self.width, self.channels

    def to_config(self) -> dict[str, Any]:
        """Return JSON-able values."""
        return {
            "height": self.height, "width": self.width, "channels": self.channels,
            "aspect": self.aspect, "dtype": self.dtype, "background": self.background,
        }  # fmt: skip

    @classmethod
    def from_config(cls, config: object, where: str = "image preparation") -> "ImagePreparation":
        """Rebuild from `to_config`, every value checked.

        Raises:
            FileFormatError: a value of another type or out of bounds.
        """
        keys = ("height", "width", "channels", "aspect", "dtype", "background")
        stored = StoredConfig(config, where, keys)
        channels = stored.integer("channels", 1, 3)
        if channels == 2:
            raise stored.wrong("channels", channels, "1 or 3")
        chosen = stored.choice("aspect", ASPECTS)
        return cls(
            stored.integer("height", 1, MAX_SIDE),
            stored.integer("width", 1, MAX_SIDE),
            channels,
            next(aspect for aspect in ASPECTS if aspect == chosen),
            stored.choice("dtype", DTYPES),
            stored.integer("background", 0, 255),
        )


def pillow() -> Any:
    """The module ``PIL.Image``.

    Raises:
        MissingDependencyError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError:
        raise missing_dependency("cr.data.images", "Pillow", "images") from None
    return Image


def pillow_version() -> str:
    """The version of Pillow, on which decoded values may depend."""
    return str(pillow().__version__)


@contextmanager
def decoding() -> Iterator[None]:
    """Hold back Pillow's warnings; for the thread that starts the decoding ones.

    The filters are the process's, so threads must not change them themselves.
    """
    pillow()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def look(path: str, limits: Limits) -> Facts:
    """Read what a file declares, without decoding it.

    Raises:
        UnreadableError: no picture, or one beyond the limits.
    """
    with _opened(path, limits) as picture:
        width, height = picture.size
        if _orientation(picture) >= 5:
            width, height = height, width
        return Facts(height, width, _is_grey(picture))


def decode(path: str, limits: Limits, wanted: ImagePreparation) -> NDArray[Any]:
    """Decode a file into an array of the wanted shape and dtype.

    Of an animation the first picture counts. Colours are made grey by ITU-R 601-2 luma.

    Raises:
        UnreadableError: no picture, damaged, or beyond the limits.
    """
    with _opened(path, limits) as picture:
        # A JPEG can be decoded at a half, a quarter or an eighth: twice the wanted size is enough.
        side = 2 * max(wanted.height, wanted.width)
        picture.draft(None, (side, side))
        if picture.width * picture.height > _LARGE:
            with _one_large:
                return _as_array(picture, wanted)
        return _as_array(picture, wanted)


@contextmanager
def _opened(path: str, limits: Limits) -> "Iterator[Image]":
    """The picture in a file, its header read and its declared size within the limits."""
    try:
        with opened(path, limits.size) as file, pillow().open(file, formats=FORMATS) as picture:
            width, height = picture.size
            if width < 1 or height < 1:
                raise UnreadableError("the picture has no pixels")
            if width * height > limits.pixels:
                raise UnreadableError(f"{width:,} × {height:,} pixels, over {limits.pixels:,}")
            yield picture
    except UnreadableError:
        raise
    except Exception as error:
        raise UnreadableError(_reason(error)) from error


def _reason(error: Exception) -> str:
    image = pillow()
    if isinstance(error, image.UnidentifiedImageError):
        return f"this is no {', '.join(FORMATS[:-1])} or {FORMATS[-1]} picture"
    if isinstance(error, image.DecompressionBombError):
        return "it declares more pixels than Pillow takes"
    if isinstance(error, MemoryError):
        return "it does not fit into memory"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    first = (str(error).strip() or type(error).__name__).splitlines()[0][:100]
    return f"the picture is damaged: {first}"


def _orientation(picture: "Image") -> int:
    if "exif" not in picture.info:
        return 1
    try:
        return int(picture.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged EXIF data says nothing; the picture may still be good
        return 1


def _is_grey(picture: "Image") -> bool:
    if picture.mode == "P":
        palette = np.array(picture.getpalette() or [0, 0, 1]).reshape(-1, 3)
        return bool((palette == palette[:, :1]).all())
    return picture.mode in _GREY or picture.mode.startswith("I;16")


def _as_array(picture: "Image", wanted: ImagePreparation) -> NDArray[Any]:
    picture.load()
    method = _UPRIGHT.get(_orientation(picture))
    if method is not None:
        picture = picture.transpose(pillow().Transpose[method])
    wide = picture.mode[0] in "IF"  # more than 8 bits of grey
    if wide:
        picture = picture.convert("F")
    else:
        picture = _without_alpha(picture, wanted.background)
        picture = picture.convert("L" if wanted.channels == 1 else "RGB")
    white = _WIDE_WHITE if wide else 255.0
    picture = _resized(picture, wanted, wanted.background * white / 255)
    array: NDArray[Any] = np.asarray(picture)
    if wanted.dtype == "float32":
        array = (array / white).astype(np.float32).clip(0, 1)
    elif wide:
        array = np.rint(array * (255 / white)).clip(0, 255).astype(np.uint8)
    if array.ndim == 2:
        array = np.broadcast_to(array[:, :, None], wanted.shape)
    return array


def _without_alpha(picture: "Image", background: int) -> "Image":
    """The picture on a background of this grey level, where it is transparent at all."""
    if picture.mode not in _WITH_ALPHA and "transparency" not in picture.info:
        return picture
    picture = picture.convert("RGBA")
    image = pillow()
    behind = image.new("RGBA", picture.size, (background, background, background, 255))
    result: Image = image.alpha_composite(behind, picture)
    return result


def _resized(picture: "Image", wanted: ImagePreparation, background: float) -> "Image":
    size = (wanted.width, wanted.height)
    if picture.size == size:
        return picture
    bilinear = pillow().Resampling.BILINEAR
    width, height = picture.size
    if wanted.aspect == "stretch":
        return picture.resize(size, bilinear)
    ratios = wanted.width / width, wanted.height / height
    if wanted.aspect == "crop":
        scale = max(ratios)
        part_width, part_height = wanted.width / scale, wanted.height / scale
        left, top = (width - part_width) / 2, (height - part_height) / 2
        box = (max(0.0, left), max(0.0, top), min(width, left + part_width),
               min(height, top + part_height))  # fmt: skip
        return picture.resize(size, bilinear, box=box)
    scale = min(ratios)
    inner = (
        max(1, min(wanted.width, round(width * scale))),
        max(1, min(wanted.height, round(height * scale))),
    )
    colour: Any = background if picture.mode == "F" else round(background)
    if picture.mode == "RGB":
        colour = (colour,) * 3
    result: Image = pillow().new(picture.mode, size, colour)
    place = ((wanted.width - inner[0]) // 2, (wanted.height - inner[1]) // 2)
    result.paste(picture.resize(inner, bilinear), place)
    return result
