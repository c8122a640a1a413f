"""Reading pictures at other places than their pixels stand: whole shifts and bilinear samples.

Places may lie outside the picture; the fill mode says what is read there, for a row ``a b c d``:

    constant   k k k k | a b c d | k k k k    k is the fill value
    nearest    a a a a | a b c d | d d d d
    reflect    d c b a | a b c d | d c b a
    wrap       a b c d | a b c d | a b c d
"""

from chainrule.errors import unknown_name
from chainrule.tensor import Tensor, functions

FILL_MODES = ("constant", "nearest", "reflect", "wrap")


def check_fill_mode(where: str, fill_mode: object) -> str:
    """``fill_mode``, if it is one."""
    if isinstance(fill_mode, str) and fill_mode in FILL_MODES:
        return fill_mode
    raise unknown_name(where, "fill_mode", fill_mode, FILL_MODES)


def pixels_at(
    images: Tensor, rows: Tensor, columns: Tensor, fill_mode: str, fill_value: float = 0.0
) -> Tensor:
    """The pixels at whole places, which may lie outside.

    Shapes: images (N, H, W, C), rows and columns whole numbers that broadcast to (N, h, w)
    -> (N, h, w, C).
    """
    count, height, width, channels = images.shape
    first = functions.reshape(functions.arange(count, dtype="int32") * height, (count, 1, 1))
    places = (first + _inside(rows, height, fill_mode)) * width + _inside(columns, width, fill_mode)
    found = functions.take(functions.reshape(images, (-1, channels)), places, 0)
    if fill_mode != "constant":
        return found
    known = _is_inside(rows, height) & _is_inside(columns, width)
    return functions.where(functions.expand_dims(known, -1), found, fill_value)


def _inside(places: Tensor, length: int, fill_mode: str) -> Tensor:
    if fill_mode == "wrap":
        return functions.remainder(places, length)
    if fill_mode == "reflect":
        twice = functions.remainder(places, 2 * length)
        return functions.minimum(twice, 2 * length - 1 - twice)
    return functions.clip(places, 0, length - 1)


def _is_inside(places: Tensor, length: int) -> Tensor:
    return (places >= 0) & (places < length)


def bilinear_samples(
    images: Tensor, rows: Tensor, columns: Tensor, fill_mode: str, fill_value: float = 0.0
) -> Tensor:
    """The pictures read at any places: the mean of the four pixels around, weighted by nearness.

    Shapes: images (N, H, W, C), rows and columns floating, which broadcast to (N, h, w)
    -> (N, h, w, C).
    """
    top, left = functions.floor(rows), functions.floor(columns)
    down = functions.expand_dims(rows - top, -1)
    right = functions.expand_dims(columns - left, -1)
    row, column = top.astype("int32"), left.astype("int32")

    def between_columns(row: Tensor) -> Tensor:
        before = pixels_at(images, row, column, fill_mode, fill_value)
        after = pixels_at(images, row, column + 1, fill_mode, fill_value)
        return before * (1.0 - right) + after * right

    return between_columns(row) * (1.0 - down) + between_columns(row + 1) * down
