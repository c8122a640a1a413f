"""Layers that keep the largest or the mean of each window, or of the whole input."""

import math
from collections.abc import Callable
from typing import Any, ClassVar, Unpack

from chainrule.graph.windows import window_max
from chainrule.nn.configurable import also_accept
from chainrule.nn.layer import Layer, LayerOptions, Shape
from chainrule.nn.layers.spatial import checked_padding, spatial_axes
from chainrule.nn.masks import spread, step_mask
from chainrule.nn.registry import register
from chainrule.nn.validate import truth
from chainrule.tensor import Tensor, functions
from chainrule.tensor.windows import Sizes, Widths, axis_sizes, padding_widths


class _Pooling(Layer):
    """A window over the spatial axes, channel by channel."""

    takes = "one"
    rank: ClassVar[int]
    pool: ClassVar[Callable[..., Tensor]]

    @also_accept(kernel_size="pool_size", stride="strides")
    def __init__(
        self,
        pool_size: Sizes = 2,
        strides: Sizes | None = None,
        padding: Any = "valid",
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.pool_size = axis_sizes(self.name, "pool_size", pool_size, self.rank)
        steps = self.pool_size if strides is None else strides
        self.strides = axis_sizes(self.name, "strides", steps, self.rank)
        self.padding = checked_padding(self.name, padding, self.rank)

    def call(self, inputs: Tensor) -> Tensor:
        widths = self._places(inputs.shape)[0]
        inputs = inputs if inputs.dtype.kind == "f" else inputs.astype(self.dtype)
        return type(self).pool(inputs, self.pool_size, self.strides, widths)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], *self._places(input_shape)[1], input_shape[-1])

    def _places(self, shape: Shape) -> tuple[Widths, tuple[int, ...]]:
        """The padding in numbers, and the number of windows along each spatial axis."""
        spatial = spatial_axes(self, shape, self.rank)
        gaps = (1,) * self.rank
        widths = padding_widths(
            self.where, self.padding, spatial, self.pool_size, self.strides, gaps
        )
        result = window_max(
            self.where, (1, *spatial, 1), window=self.pool_size, strides=self.strides,
            padding=widths, dilation=gaps,
        )  # fmt: skip
        return widths, result[1:-1]


@register
class MaxPooling1D(_Pooling):
    """The largest element of each window of a sequence, channel by channel.

    Shapes: x (N, steps, C), y (N, places, C); places as in `MaxPooling2D`.

    Args:
        pool_size, strides, padding, options: as in `MaxPooling2D`.

    Example:
        >>> import chainrule as cr
        >>> cr.layers.MaxPooling1D(2)([[[1.0], [5.0], [2.0], [3.0]]]).numpy()[0, :, 0].tolist()
        [5.0, 3.0]
    """

    rank = 1
    pool = staticmethod(functions.max_pool)


@register
class MaxPooling2D(_Pooling):
    """The largest element of each window of a picture, channel by channel.

    Shapes: x (N, height, width, C), y (N, places, places, C),
    places = (length + padding - pool_size) // strides + 1.

    Args:
        pool_size: length of the window, for both axes or one an axis; also ``kernel_size``.
            Default 2.
        strides: elements from one window to the next; also ``stride``. Default: ``pool_size``.
        padding: "valid": none; "same": ceil(length / strides) places; or (low, high) for each axis.
            It never is the largest. Default "valid".
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Raises:
        ShapeError: another rank, or a window larger than the padded input.
        ArgumentError: a size that is not a whole number of at least 1.

    Example:
        >>> import chainrule as cr
        >>> cr.layers.MaxPooling2D()(cr.ones((5, 28, 28, 3))).shape
        (5, 14, 14, 3)

    Different from PyTorch: channels last; a single number of padding stands for both ends, too.
    """

    rank = 2
    pool = staticmethod(functions.max_pool)


@register
class MaxPooling3D(_Pooling):
    """The largest element of each window of a volume, channel by channel.

    Shapes: x (N, depth, height, width, C), y (N, places, places, places, C); places as in
    `MaxPooling2D`.

    Args:
        pool_size, strides, padding, options: as in `MaxPooling2D`.

    Example:
        >>> import chainrule as cr
        >>> cr.layers.MaxPooling3D()(cr.ones((2, 4, 6, 8, 3))).shape
        (2, 2, 3, 4, 3)
    """

    rank = 3
    pool = staticmethod(functions.max_pool)


@register
class AveragePooling1D(_Pooling):
    """The mean of each window of a sequence, channel by channel.

    Shapes: x (N, steps, C), y (N, places, C); places as in `AveragePooling2D`.

    Args:
        pool_size, strides, padding, options: as in `AveragePooling2D`.

    Example:
        >>> import chainrule as cr
        >>> cr.layers.AveragePooling1D(2)([[[1.0], [5.0], [2.0], [3.0]]]).numpy()[0, :, 0].tolist()
        [3.0, 2.5]
    """

    rank = 1
    pool = staticmethod(functions.average_pool)


@register
class AveragePooling2D(_Pooling):
    """The mean of each window of a picture, channel by channel.

    Shapes: x (N, height, width, C), y (N, places, places, C),
    places = (length + padding - pool_size) // strides + 1.

    Args:
        pool_size: length of the window, for both axes or one an axis; also ``kernel_size``.
            Default 2.
        strides: elements from one window to the next; also ``stride``. Default: ``pool_size``.
        padding: "valid": none; "same": ceil(length / strides) places; or (low, high) for each axis.
            It is left out of the mean. Default "valid".
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Raises:
        ShapeError: another rank, or a window larger than the padded input.
        ArgumentError: a size that is not a whole number of at least 1.

    Example:
        >>> import chainrule as cr
        >>> cr.layers.AveragePooling2D()(cr.ones((5, 28, 28, 3))).shape
        (5, 14, 14, 3)

    Different from PyTorch: channels last, and padding does not count
    (``count_include_pad=False``).
    """

    rank = 2
    pool = staticmethod(functions.average_pool)


@register
class AveragePooling3D(_Pooling):
    """The mean of each window of a volume, channel by channel.

    Shapes: x (N, depth, height, width, C), y (N, places, places, places, C); places as in
    `AveragePooling2D`.

    Args:
        pool_size, strides, padding, options: as in `AveragePooling2D`.

    Example:
        >>> import chainrule as cr
        >>> cr.layers.AveragePooling3D()(cr.ones((2, 4, 6, 8, 3))).shape
        (2, 2, 3, 4, 3)
    """

    rank = 3
    pool = staticmethod(functions.average_pool)


# ---- over the whole input


class _GlobalPooling(Layer):
    """One number for each channel."""

    takes = "one"
    rank: ClassVar[int]
    pool: ClassVar[Callable[..., Tensor]]

    def __init__(self, *, keepdims: bool = False, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.keepdims = truth(self.name, "keepdims", keepdims)

    def call(self, inputs: Tensor) -> Tensor:
        spatial_axes(self, inputs.shape, self.rank)
        inputs = inputs if inputs.dtype.kind == "f" else inputs.astype(self.dtype)
        return type(self).pool(inputs, tuple(range(1, self.rank + 1)), keepdims=self.keepdims)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        spatial_axes(self, input_shape, self.rank)
        kept = (1,) * self.rank if self.keepdims else ()
        return (input_shape[0], *kept, input_shape[-1])


@register
class GlobalMaxPooling1D(_GlobalPooling):
    """The largest element of each channel of a sequence.

    Shapes: x (N, steps, C), y (N, C), or (N, 1, C) with ``keepdims``. With ``mask`` (N, steps),
    an argument of the call, over the steps where it is True; 0 where there are none.

    Args:
        keepdims, options: as in `GlobalAveragePooling2D`.

    Example:
        >>> import chainrule as cr
        >>> cr.layers.GlobalMaxPooling1D()([[[1.0], [5.0], [2.0]]]).numpy().tolist()
        [[5.0]]
    """

    rank = 1
    pool = staticmethod(functions.max)

    def call(self, inputs: Tensor, mask: Any = None) -> Tensor:
        if mask is None:
            return super().call(inputs)
        spatial_axes(self, inputs.shape, 1)
        there = spread(step_mask(self.where, mask, inputs.shape), 3)
        largest = super().call(functions.where(there, inputs, -math.inf))
        return functions.where(functions.any(there, 1, keepdims=self.keepdims), largest, 0)


@register
class GlobalMaxPooling2D(_GlobalPooling):
    """The largest element of each channel of a picture.

    Shapes: x (N, height, width, C), y (N, C), or (N, 1, 1, C) with ``keepdims``.

    Args:
        keepdims, options: as in `GlobalAveragePooling2D`.

    Example:
        >>> import chainrule as cr
        >>> cr.layers.GlobalMaxPooling2D()(cr.ones((5, 7, 7, 3))).shape
        (5, 3)
    """

    rank = 2
    pool = staticmethod(functions.max)


@register
class GlobalMaxPooling3D(_GlobalPooling):
    """The largest element of each channel of a volume.

    Shapes: x (N, depth, height, width, C), y (N, C), or (N, 1, 1, 1, C) with ``keepdims``.

    Args:
        keepdims, options: as in `GlobalAveragePooling2D`.

    Example:
        >>> import chainrule as cr
        >>> cr.layers.GlobalMaxPooling3D(keepdims=True)(cr.ones((2, 4, 5, 6, 3))).shape
        (2, 1, 1, 1, 3)
    """

    rank = 3
    pool = staticmethod(functions.max)


@register
class GlobalAveragePooling1D(_GlobalPooling):
    """The mean of each channel of a sequence.

    Shapes: x (N, steps, C), y (N, C), or (N, 1, C) with ``keepdims``. With ``mask`` (N, steps),
    an argument of the call, over the steps where it is True; 0 where there are none.

    Args:
        keepdims, options: as in `GlobalAveragePooling2D`.

    Example:
        >>> import chainrule as cr
        >>> cr.layers.GlobalAveragePooling1D()([[[1.0], [5.0], [3.0]]]).numpy().tolist()
        [[3.0]]
    """

    rank = 1
    pool = staticmethod(functions.mean)

    def call(self, inputs: Tensor, mask: Any = None) -> Tensor:
        if mask is None:
            return super().call(inputs)
        spatial_axes(self, inputs.shape, 1)
        inputs = inputs if inputs.dtype.kind == "f" else inputs.astype(self.dtype)
        there = spread(step_mask(self.where, mask, inputs.shape), 3)
        total = functions.sum(functions.where(there, inputs, 0), 1, keepdims=self.keepdims)
        count = functions.sum(there.astype(inputs.dtype), 1, keepdims=self.keepdims)
        return total / functions.maximum(count, 1)


@register
class GlobalAveragePooling2D(_GlobalPooling):
    """The mean of each channel of a picture.

    Shapes: x (N, height, width, C), y (N, C), or (N, 1, 1, C) with ``keepdims``.

    Args:
        keepdims: whether the spatial axes stay, of length 1. Default False.
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Raises:
        ShapeError: another rank.

    Example:
        >>> import chainrule as cr
        >>> cr.layers.GlobalAveragePooling2D()(cr.ones((5, 7, 7, 3))).shape
        (5, 3)

    Reference: Lin, Chen and Yan, "Network in network", 2013.
    """

    rank = 2
    pool = staticmethod(functions.mean)


@register
class GlobalAveragePooling3D(_GlobalPooling):
    """The mean of each channel of a volume.

    Shapes: x (N, depth, height, width, C), y (N, C), or (N, 1, 1, 1, C) with ``keepdims``.

    Args:
        keepdims, options: as in `GlobalAveragePooling2D`.

    Example:
        >>> import chainrule as cr
        >>> cr.layers.GlobalAveragePooling3D()(cr.ones((2, 4, 5, 6, 3))).shape
        (2, 3)
    """

    rank = 3
    pool = staticmethod(functions.mean)
