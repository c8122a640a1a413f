"""What layers over pictures and sequences check alike: rank, channels and padding."""

from typing import Any

from chainrule.errors import unknown_name
from chainrule.nn.layer import Layer, Shape
from chainrule.nn.validate import wrong_input_shape
from chainrule.tensor.windows import Padding, Widths, padding_widths

AXES = {
    1: ("steps",),
    2: ("height", "width"),
    3: ("depth", "height", "width"),
}
"""What the spatial axes are called, by their number."""


def checked_padding(
    where: str, padding: Any, rank: int, words: tuple[str, ...] = ("valid", "same")
) -> str | Widths:
    """One of the words, or a pair (low, high) for each spatial axis."""
    if isinstance(padding, str):
        if padding not in words:
            raise unknown_name(where, "padding", padding[:80], words)
        return padding
    return pairs(where, padding, rank)


def pairs(where: str, numbers: Padding, rank: int) -> Widths:
    """A number, numbers or pairs as one pair (low, high) for each spatial axis."""
    ones = (1,) * rank
    return padding_widths(where, numbers, ones, ones, ones, ones)


def spatial_axes(
    layer: Layer, shape: Shape, rank: int, channels: int | None = None
) -> tuple[int, ...]:
    """The spatial lengths of an input (N, *S, C).

    Args:
        layer: the layer, for the error.
        shape: the shape of its input.
        rank: number of spatial axes.
        channels: the channels that the layer was built for. Default None: any known number.

    Raises:
        ShapeError: another rank, other channels, or sizes that are not known.
    """
    known = tuple(size for size in shape[1:] if size is not None)
    if len(shape) == len(known) + 1 == rank + 2 and channels in (None, known[-1]):
        return known[:-1]
    last = "channels" if channels is None else str(channels)
    expected = f"({', '.join(['batch', *AXES[rank], last])})"
    got = f"({', '.join('batch' if size is None else str(size) for size in shape)})"
    raise wrong_input_shape(layer.where, got, expected, _fix(shape, rank, channels))


def _fix(shape: Shape, rank: int, channels: int | None) -> str:
    if len(shape) == rank + 1:
        return "add the missing axis: x[..., None] for one channel, x[None] for one example"
    if len(shape) == rank + 2 and channels is not None:
        if shape[1] == channels:
            return "put the channels last, with np.moveaxis(x, 1, -1)"
        return f"give it inputs of {channels} channels, or make a new layer for other inputs"
    return f"give it a batch with {rank} spatial {'axis' if rank == 1 else 'axes'}, channels last"
