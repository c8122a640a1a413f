"""Layers that change the size of pictures: ZeroPadding2D, Cropping2D, UpSampling2D."""

from typing import Any, Unpack

from chainrule.errors import unknown_name
from chainrule.nn.configurable import also_accept
from chainrule.nn.layer import Layer, LayerOptions, Shape
from chainrule.nn.layers.spatial import pairs, spatial_axes
from chainrule.nn.registry import register
from chainrule.nn.validate import wrong_input_shape
from chainrule.tensor import Tensor, functions
from chainrule.tensor.windows import METHODS, Padding, Sizes, axis_sizes


@register
class ZeroPadding2D(Layer):
    """Put zeros around a picture.

    Shapes: x (N, height, width, C), y (N, height + top + bottom, width + left + right, C).

    Args:
        padding: a number for all four sides; two numbers, for top and bottom, and left and right;
            or ((top, bottom), (left, right)). Default 1.
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Raises:
        ShapeError: the input is no batch of pictures.
        ArgumentError: a padding that is not a whole number of at least 0.

    Example:
        >>> import chainrule as cr
        >>> cr.layers.ZeroPadding2D(((1, 0), (2, 2)))(cr.ones((5, 4, 4, 3))).shape
        (5, 5, 8, 3)

    Different from PyTorch: its ``ZeroPad2d`` counts (left, right, top, bottom).
    """

    takes = "one"

    def __init__(self, padding: Padding = 1, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.padding = pairs(self.name, padding, 2)

    def call(self, inputs: Tensor) -> Tensor:
        spatial_axes(self, inputs.shape, 2)
        return functions.pad(inputs, ((0, 0), *self.padding, (0, 0)))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        lengths = spatial_axes(self, input_shape, 2)
        padded = (n + low + high for n, (low, high) in zip(lengths, self.padding, strict=True))
        return (input_shape[0], *padded, input_shape[-1])


@register
class Cropping2D(Layer):
    """Cut rows and columns off the sides of a picture.

    Shapes: x (N, height, width, C), y (N, height - top - bottom, width - left - right, C).

    Args:
        cropping: a number for all four sides; two numbers, for top and bottom, and left and right;
            or ((top, bottom), (left, right)). Default 0.
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Raises:
        ShapeError: the input is no batch of pictures, or nothing of it would be left.
        ArgumentError: a number that is not whole or negative.

    Example:
        >>> import chainrule as cr
        >>> cr.layers.Cropping2D(((1, 0), (2, 2)))(cr.ones((5, 8, 8, 3))).shape
        (5, 7, 4, 3)
    """

    takes = "one"

    def __init__(self, cropping: Padding = 0, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.cropping = pairs(self.name, cropping, 2)

    def call(self, inputs: Tensor) -> Tensor:
        height, width = self._left(inputs.shape)
        (top, _), (left, _) = self.cropping
        return inputs[:, top : top + height, left : left + width]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], *self._left(input_shape), input_shape[-1])

    def _left(self, shape: Shape) -> list[int]:
        lengths = spatial_axes(self, shape, 2)
        left = [n - low - high for n, (low, high) in zip(lengths, self.cropping, strict=True)]
        if min(left) < 1:
            (top, bottom), sides = self.cropping
            raise wrong_input_shape(
                self.where, shape,
                f"a height of more than {top + bottom} and a width of more than {sum(sides)}",
                "cut off less, or give it larger pictures",
            )  # fmt: skip
        return left


@register
class UpSampling2D(Layer):
    """Make pictures larger by whole factors.

    Shapes: x (N, height, width, C), y (N, height * factor, width * factor, C).

    Args:
        size: the factor, for both axes or one an axis; also ``scale_factor``. Default 2.
        interpolation: "nearest" repeats elements, "bilinear" blends neighbours; also ``mode``.
            Default "nearest".
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Raises:
        ShapeError: the input is no batch of pictures.
        UnknownNameError: another interpolation.

    Example:
        >>> import chainrule as cr
        >>> cr.layers.UpSampling2D((1, 2))([[[[1.0], [5.0]]]]).numpy()[0, 0, :, 0].tolist()
        [1.0, 1.0, 5.0, 5.0]
    """

    takes = "one"

    @also_accept(scale_factor="size", mode="interpolation")
    def __init__(
        self, size: Sizes = 2, interpolation: Any = "nearest", **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**options)
        self.size = axis_sizes(self.name, "size", size, 2)
        if interpolation not in METHODS:
            raise unknown_name(self.name, "interpolation", str(interpolation)[:80], METHODS)
        self.interpolation = str(interpolation)

    def call(self, inputs: Tensor) -> Tensor:
        spatial_axes(self, inputs.shape, 2)
        inputs = inputs if inputs.dtype.kind == "f" else inputs.astype(self.dtype)
        return functions.resize(inputs, self._larger(inputs.shape), self.interpolation)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], *self._larger(input_shape), input_shape[-1])

    def _larger(self, shape: Shape) -> tuple[int, ...]:
        lengths = spatial_axes(self, shape, 2)
        return tuple(n * factor for n, factor in zip(lengths, self.size, strict=True))
