"""Convolutions of each channel by itself: DepthwiseConv2D and SeparableConv2D."""

from typing import Any, Unpack

from chainrule.nn import constraints, initializers, regularizers
from chainrule.nn.configurable import also_accept
from chainrule.nn.layer import Shape
from chainrule.nn.layers.convolution import WindowLayer, WindowOptions
from chainrule.nn.registry import register
from chainrule.nn.validate import whole_number
from chainrule.tensor import Tensor, Variable, functions
from chainrule.tensor.windows import Sizes


class _Depthwise(WindowLayer):
    """A window with a kernel of its own for each channel."""

    depth_multiplier: int
    depthwise_initializer: Any
    depthwise_regularizer: Any
    depthwise_constraint: Any

    def _set_depthwise(
        self, multiplier: int, initializer: Any, regularizer: Any, constraint: Any
    ) -> None:
        self.depth_multiplier = whole_number(self.name, "depth_multiplier", multiplier)
        self.depthwise_initializer = initializers.get(initializer)
        self.depthwise_regularizer = regularizers.get(regularizer)
        self.depthwise_constraint = constraints.get(constraint)

    def _depthwise_weight(self, name: str, channels: int) -> Variable:
        return self.add_weight(
            name,
            (*self.kernel_size, 1, channels * self.depth_multiplier),
            self.depthwise_initializer,
            regularizer=self.depthwise_regularizer,
            constraint=self.depthwise_constraint,
        )


@register
class DepthwiseConv2D(_Depthwise):
    """A convolution of each channel by itself, with ``depth_multiplier`` kernels for each.

    y[n, o, c * m + j] = activation(sum over k of x[n, o * strides + k, c] * kernel[k, 0, c * m + j]
    + bias[c * m + j]), m = depth_multiplier

    Shapes: x (N, height, width, C), kernel (*window, 1, C * m), bias (C * m,),
    y (N, places, places, C * m); places as in `Conv2D`.

    Args:
        kernel_size: length of the window, for both axes or one an axis.
        strides: elements from one place to the next; also ``stride``. Default 1.
        padding: as in `Conv2D`. Default "valid".
        depth_multiplier: number of kernels for each channel. Default 1.
        depthwise_initializer: first values of the kernel. Default "glorot_uniform".
        depthwise_regularizer: penalty on the kernel. Default None.
        depthwise_constraint: what the kernel must satisfy after an update. Default None.
        options: ``dilation_rate``, ``activation``, ``use_bias``, ``bias_initializer``,
            ``bias_regularizer``, ``activity_regularizer``, ``bias_constraint``, ``name``,
            ``dtype``, ``trainable``, as in `Conv2D`.

    Raises:
        ArgumentError: a size that is not a whole number of at least 1.
        ShapeError: another rank or other channels than in the first call, or a window larger than
            the padded input.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.layers.DepthwiseConv2D(3, padding="same")
        >>> layer(cr.ones((5, 8, 8, 4))).shape, layer.kernel.shape
        ((5, 8, 8, 4), (3, 3, 1, 4))

    Different from Keras: the kernel is (*window, 1, C * m), the same numbers as its (*window, C, m)
    in the same order, so that initialisers count the window alone as inputs of an output.
    Reference: Howard et al., "MobileNets: efficient convolutional neural networks for mobile vision
    applications", 2017.
    """

    @also_accept(stride="strides", dilation="dilation_rate", bias="use_bias")
    def __init__(
        self,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: Any = "valid",
        *,
        depth_multiplier: int = 1,
        depthwise_initializer: Any = "glorot_uniform",
        depthwise_regularizer: Any = None,
        depthwise_constraint: Any = None,
        **options: Unpack[WindowOptions],
    ) -> None:
        super().__init__(kernel_size, strides, padding, **options)
        self._set_depthwise(
            depth_multiplier, depthwise_initializer, depthwise_regularizer, depthwise_constraint
        )

    def build(self, input_shape: Shape) -> None:
        channels = self.set_channels(input_shape)
        self.kernel = self._depthwise_weight("kernel", channels)
        self.add_bias(channels * self.depth_multiplier)

    def call(self, inputs: Tensor) -> Tensor:
        return self.finished(self.convolve(inputs, self.kernel, self.channels))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        lengths, channels = self.places(input_shape)[1], input_shape[-1] or 0
        return (input_shape[0], *lengths, channels * self.depth_multiplier)


@register
class SeparableConv2D(_Depthwise):
    """A convolution of each channel by itself, then a mixture of the channels at each place.

    y = activation(convolution(depthwise(x), pointwise_kernel) + bias): about 1 / filters +
    1 / window^2 of the work of `Conv2D`

    Shapes: x (N, height, width, C), depthwise_kernel (*window, 1, C * m),
    pointwise_kernel (1, 1, C * m, filters), bias (filters,), y (N, places, places, filters);
    m = depth_multiplier, places as in `Conv2D`.

    Args:
        filters: number of outputs at each place; also ``out_channels``.
        kernel_size: length of the window, for both axes or one an axis.
        strides: elements from one place to the next; also ``stride``. Default 1.
        padding: as in `Conv2D`. Default "valid".
        depth_multiplier: number of depthwise kernels for each channel. Default 1.
        depthwise_initializer: first values of that kernel. Default "glorot_uniform".
        pointwise_initializer: first values of the other. Default "glorot_uniform".
        depthwise_regularizer: default None.
        pointwise_regularizer: default None.
        depthwise_constraint: default None.
        pointwise_constraint: default None.
        options: as in `DepthwiseConv2D`.

    Raises:
        ArgumentError: a size that is not a whole number of at least 1.
        ShapeError: another rank or other channels than in the first call, or a window larger than
            the padded input.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.layers.SeparableConv2D(8, 3, use_bias=False)
        >>> layer(cr.ones((5, 8, 8, 4))).shape, layer.count_params()
        ((5, 6, 6, 8), 68)

    Different from Keras: the layout of the depthwise kernel, as in `DepthwiseConv2D`.
    Reference: Chollet, "Xception: deep learning with depthwise separable convolutions", 2017.
    """

    @also_accept(
        out_channels="filters", stride="strides", dilation="dilation_rate", bias="use_bias"
    )
    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: Any = "valid",
        *,
        depth_multiplier: int = 1,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        depthwise_constraint: Any = None,
        pointwise_constraint: Any = None,
        **options: Unpack[WindowOptions],
    ) -> None:
        super().__init__(kernel_size, strides, padding, **options)
        self.filters = whole_number(self.name, "filters", filters)
        self._set_depthwise(
            depth_multiplier, depthwise_initializer, depthwise_regularizer, depthwise_constraint
        )
        self.pointwise_initializer = initializers.get(pointwise_initializer)
        self.pointwise_regularizer = regularizers.get(pointwise_regularizer)
        self.pointwise_constraint = constraints.get(pointwise_constraint)

    def build(self, input_shape: Shape) -> None:
        channels = self.set_channels(input_shape)
        self.depthwise_kernel = self._depthwise_weight("depthwise_kernel", channels)
        self.pointwise_kernel = self.add_weight(
            "pointwise_kernel",
            (*(1,) * self.rank, channels * self.depth_multiplier, self.filters),
            self.pointwise_initializer,
            regularizer=self.pointwise_regularizer,
            constraint=self.pointwise_constraint,
        )
        self.add_bias(self.filters)

    def call(self, inputs: Tensor) -> Tensor:
        apart = self.convolve(inputs, self.depthwise_kernel, self.channels)
        return self.finished(functions.convolution(apart, self.pointwise_kernel))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], *self.places(input_shape)[1], self.filters)
