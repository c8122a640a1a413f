"""Convolutions: a small window of weights moved over a sequence, a picture or a volume."""

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar, Unpack

from chainrule.errors import ArgumentError, ShapeError
from chainrule.graph.windows import output_lengths
from chainrule.nn import activations, constraints, initializers, regularizers
from chainrule.nn.configurable import also_accept
from chainrule.nn.layer import Layer, LayerOptions, Shape
from chainrule.nn.layers.spatial import checked_padding, spatial_axes
from chainrule.nn.registry import register
from chainrule.nn.validate import number, truth, whole_number
from chainrule.tensor import Tensor, functions
from chainrule.tensor.windows import Sizes, Widths, axis_sizes, padding_widths, transpose_lengths


class WindowOptions(LayerOptions, total=False):
    """The arguments that all convolutions take besides their window and their kernels."""

    dilation_rate: Sizes
    activation: Any
    use_bias: bool
    bias_initializer: Any
    bias_regularizer: Any
    activity_regularizer: Any
    bias_constraint: Any


class KernelOptions(WindowOptions, total=False):
    """The arguments of a convolution with one kernel."""

    kernel_initializer: Any
    kernel_regularizer: Any
    kernel_constraint: Any
    l2: float | None


class WindowLayer(Layer):
    """Base of the convolutions: how a window moves, and what comes after the sum over it."""

    takes = "one"
    rank: ClassVar[int] = 2
    paddings: ClassVar[tuple[str, ...]] = ("valid", "same")

    @also_accept(stride="strides", dilation="dilation_rate", bias="use_bias")
    def __init__(
        self,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: Any = "valid",
        *,
        dilation_rate: Sizes = 1,
        activation: Any = None,
        use_bias: bool = True,
        bias_initializer: Any = "zeros",
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        bias_constraint: Any = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.kernel_size = axis_sizes(self.name, "kernel_size", kernel_size, self.rank)
        self.strides = axis_sizes(self.name, "strides", strides, self.rank)
        self.padding = checked_padding(self.name, padding, self.rank, self.paddings)
        self.dilation_rate = axis_sizes(self.name, "dilation_rate", dilation_rate, self.rank)
        self.activation: Callable[[Tensor], Tensor] = activations.get(activation)
        self.use_bias = truth(self.name, "use_bias", use_bias)
        self.bias_initializer = initializers.get(bias_initializer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self.bias_constraint = constraints.get(bias_constraint)

    def set_channels(self, input_shape: Shape) -> int:
        """Keep the number of channels that later inputs must have, and return it."""
        spatial_axes(self, input_shape, self.rank)
        self.channels: int = input_shape[-1]  # type: ignore[assignment]  # known, as just checked
        return self.channels

    def add_bias(self, filters: int) -> None:
        """Create the bias, where there is one."""
        if self.use_bias:
            self.bias = self.add_weight(
                "bias",
                (filters,),
                self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )

    def places(self, shape: Shape) -> tuple[Widths, tuple[int, ...]]:
        """The padding in numbers, and the number of places along each spatial axis."""
        spatial = spatial_axes(self, shape, self.rank, self.channels if self.built else None)
        window, steps, gaps = self.kernel_size, self.strides, self.dilation_rate
        widths = padding_widths(self.where, self.padding, spatial, window, steps, gaps)
        return widths, output_lengths(self.where, spatial, window, steps, widths, gaps)

    def convolve(self, inputs: Tensor, kernel: Tensor, groups: int) -> Tensor:
        """The sum over the window at each place."""
        widths = self.places(inputs.shape)[0]
        return functions.convolution(
            inputs, kernel, self.strides, widths, self.dilation_rate, groups
        )

    def finished(self, outputs: Tensor) -> Tensor:
        """Bias, activation and penalty after the sums."""
        if self.use_bias:
            outputs = outputs + self.bias
        outputs = self.activation(outputs)
        if self.activity_regularizer is not None:
            self.add_loss(self.activity_regularizer(outputs) / max(1, outputs.shape[0]))
        return outputs


class _Filters(WindowLayer):
    """A window with one kernel, for a number of filters."""

    @also_accept(out_channels="filters", stride="strides", dilation="dilation_rate")
    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: Any = "valid",
        *,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        kernel_constraint: Any = None,
        l2: float | None = None,
        **options: Unpack[WindowOptions],
    ) -> None:
        super().__init__(kernel_size, strides, padding, **options)
        self.filters = whole_number(self.name, "filters", filters)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.l2 = None if l2 is None else number(self.name, "l2", l2, minimum=0.0)
        if l2 is not None and kernel_regularizer is not None:
            raise ArgumentError(
                self.name, "two penalties on the kernel", got="l2 and kernel_regularizer",
                expected="one of them", fix="use kernel_regularizer=L1L2(l1=..., l2=...)",
            )  # fmt: skip

    def _add_kernel(self, *channels: int) -> None:
        penalty = self.kernel_regularizer if self.l2 is None else regularizers.L2(self.l2)
        self.kernel = self.add_weight(
            "kernel",
            (*self.kernel_size, *channels),
            self.kernel_initializer,
            regularizer=penalty,
            constraint=self.kernel_constraint,
        )


class _Convolution(_Filters):
    """A convolution over ``rank`` spatial axes."""

    @also_accept(out_channels="filters", stride="strides", dilation="dilation_rate")
    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: Any = "valid",
        *,
        groups: int = 1,
        **options: Unpack[KernelOptions],
    ) -> None:
        super().__init__(filters, kernel_size, strides, padding, **options)
        self.groups = whole_number(self.name, "groups", groups)
        if self.filters % self.groups:
            raise ArgumentError(
                self.name, "filters do not divide into the groups",
                got=f"{self.filters} filters, groups={self.groups}",
                expected="groups that divide the filters",
            )  # fmt: skip

    def build(self, input_shape: Shape) -> None:
        channels = self.set_channels(input_shape)
        if channels % self.groups:
            raise ShapeError(
                self.where, "channels do not divide into the groups",
                got=f"{channels} channels, groups={self.groups}",
                expected="groups that divide the channels",
            )  # fmt: skip
        self._add_kernel(channels // self.groups, self.filters)
        self.add_bias(self.filters)

    def call(self, inputs: Tensor) -> Tensor:
        return self.finished(self.convolve(inputs, self.kernel, self.groups))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], *self.places(input_shape)[1], self.filters)


@register
class Conv1D(_Convolution):
    """A window of weights moved over a sequence, such as sound or words.

    y[n, o, f] = activation(sum over k, c of x[n, o * strides + k, c] * kernel[k, c, f] + bias[f])

    Shapes: x (N, steps, C), kernel (window, C // groups, filters), bias (filters,),
    y (N, places, filters); places as in `Conv2D`.

    Args:
        filters, kernel_size, strides, padding, options: as in `Conv2D`; padding "causal" puts all
            zeros before the sequence, so that no place sees what comes after it.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.layers.Conv1D(8, 3, padding="causal")
        >>> layer(cr.ones((5, 20, 2))).shape, layer.kernel.shape
        ((5, 20, 8), (3, 2, 8))
    """

    rank = 1
    paddings = ("valid", "same", "causal")


@register
class Conv2D(_Convolution):
    """A window of weights moved over a picture: every filter looks for one pattern everywhere.

    y[n, o, f] = activation(sum over k, c of x[n, o * strides + k, c] * kernel[k, c, f] + bias[f]),
    o and k each for height and width

    Shapes: x (N, height, width, C), kernel (*window, C // groups, filters), bias (filters,),
    y (N, places, places, filters),
    places = (length + padding - (window - 1) * dilation - 1) // strides + 1.

    Args:
        filters: number of outputs at each place; also ``out_channels``.
        kernel_size: length of the window, for both axes or one an axis.
        strides: elements from one place to the next; also ``stride``. Default 1.
        padding: zeros around x: "valid": none; "same": ceil(length / strides) places, the odd zero
            after x; or (low, high) for each axis; one number for both ends. Default "valid".
        options: ``groups``: parts into which channels and filters are divided, default 1;
            ``dilation_rate``: elements from one weight to the next, default 1;
            ``activation``, default None; ``use_bias``, default True;
            ``kernel_initializer``, default "glorot_uniform"; ``bias_initializer``, default
            "zeros"; ``kernel_regularizer``, ``bias_regularizer``, ``activity_regularizer``,
            ``kernel_constraint``, ``bias_constraint``, ``l2``, as in `Dense`, default None;
            ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Raises:
        ArgumentError: a size that is not a whole number of at least 1, or filters that do not
            divide into the groups.
        ShapeError: another rank or other channels than in the first call, a window larger than the
            padded input, or channels that do not divide into the groups.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.layers.Conv2D(8, 3, activation="relu")
        >>> layer(cr.ones((5, 28, 28, 3))).shape, layer.kernel.shape
        ((5, 26, 26, 8), (3, 3, 3, 8))

    Different from PyTorch: channels last, kernels (*window, C // groups, filters); drawn from
    Glorot's distribution, with a bias of zeros, as in Keras.
    Reference: LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document
    recognition", 1998.
    """


@register
class Conv3D(_Convolution):
    """A window of weights moved over a volume, such as a scan or a film.

    y[n, o, f] = activation(sum over k, c of x[n, o * strides + k, c] * kernel[k, c, f] + bias[f]),
    o and k each for depth, height and width

    Shapes: x (N, depth, height, width, C), kernel (*window, C // groups, filters),
    bias (filters,), y (N, places, places, places, filters); places as in `Conv2D`.

    Args:
        filters, kernel_size, strides, padding, options: as in `Conv2D`.

    Example:
        >>> import chainrule as cr
        >>> cr.layers.Conv3D(8, 3)(cr.ones((2, 8, 9, 10, 1))).shape
        (2, 6, 7, 8, 8)
    """

    rank = 3


@register
class Conv2DTranspose(_Filters):
    """The transpose of `Conv2D`: each element adds a window of weights to a larger picture.

    y[n, o * strides + k, f] += x[n, o, c] * kernel[k, f, c], then bias and activation

    Shapes: x (N, height, width, C), kernel (*window, filters, C), bias (filters,),
    y (N, length, length, filters), with span = (window - 1) * dilation + 1: "valid"
    length = (places - 1) * strides + max(span, strides), "same" places * strides.

    Args:
        filters: number of outputs at each place; also ``out_channels``.
        kernel_size: length of the window, for both axes or one an axis.
        strides: how far apart the windows of neighbours are; also ``stride``. Default 1.
        padding: "valid", "same", or what is cut off, (low, high) for each axis. Default "valid".
        output_padding: a number below the strides that chooses the length instead (see
            ``convolution_transpose``). Default None.
        options: as in `Conv2D`, without ``groups``.

    Raises:
        ArgumentError: a size that is not a whole number of at least 1, or output_padding not below
            the strides.
        ShapeError: another rank or other channels than in the first call, or nothing left.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.layers.Conv2DTranspose(8, 3, strides=2, padding="same")
        >>> layer(cr.ones((5, 7, 7, 4))).shape, layer.kernel.shape
        ((5, 14, 14, 8), (3, 3, 8, 4))

    Different from PyTorch: channels last, kernels (*window, filters, C), and "same".
    Reference: Zeiler, Krishnan, Taylor and Fergus, "Deconvolutional networks", 2010.
    """

    @also_accept(out_channels="filters", stride="strides")
    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: Any = "valid",
        *,
        output_padding: Sizes | None = None,
        **options: Unpack[KernelOptions],
    ) -> None:
        super().__init__(filters, kernel_size, strides, padding, **options)
        self.output_padding = (
            None
            if output_padding is None
            else axis_sizes(self.name, "output_padding", output_padding, self.rank, 0)
        )

    def build(self, input_shape: Shape) -> None:
        self._add_kernel(self.filters, self.set_channels(input_shape))
        self.add_bias(self.filters)

    def call(self, inputs: Tensor) -> Tensor:
        self._lengths(inputs.shape)
        return self.finished(
            functions.convolution_transpose(
                inputs, self.kernel, self.strides, self.padding, self.output_padding,
                self.dilation_rate,
            )
        )  # fmt: skip

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], *self._lengths(input_shape), self.filters)

    def _lengths(self, shape: Shape) -> tuple[int, ...]:
        places = spatial_axes(self, shape, self.rank, self.channels if self.built else None)
        return transpose_lengths(
            self.where, places, self.kernel_size, self.strides, self.padding,
            self.output_padding, self.dilation_rate,
        )[0]  # fmt: skip


def Conv1d(  # noqa: N802  # PyTorch's name
    in_channels: int, out_channels: int, kernel_size: Sizes, stride: Sizes = 1,
    padding: Any = 0, dilation: Sizes = 1, groups: int = 1, bias: bool = True, **options: Any,
) -> Conv1D:  # fmt: skip
    """A `Conv1D` by PyTorch's arguments; see `Conv2d`.

    Example:
        >>> import chainrule as cr
        >>> cr.layers.Conv1d(3, 8, 5).kernel.shape
        (5, 3, 8)
    """
    layer = Conv1D(
        out_channels, kernel_size, stride, padding,
        dilation_rate=dilation, groups=groups, use_bias=bias, **options,
    )  # fmt: skip
    return _built(layer, in_channels)


def Conv2d(  # noqa: N802  # PyTorch's name
    in_channels: int, out_channels: int, kernel_size: Sizes, stride: Sizes = 1,
    padding: Any = 0, dilation: Sizes = 1, groups: int = 1, bias: bool = True, **options: Any,
) -> Conv2D:  # fmt: skip
    """A `Conv2D` by PyTorch's arguments, built at once for its number of channels.

    Args:
        in_channels: channels of the input.
        out_channels: number of filters.
        kernel_size, stride, padding, dilation, groups, bias: as in PyTorch and `Conv2D`.
        options: further arguments of `Conv2D`.

    Example:
        >>> import chainrule as cr
        >>> cr.layers.Conv2d(3, 8, 5, padding=2)(cr.ones((1, 28, 28, 3))).shape
        (1, 28, 28, 8)

    Different from PyTorch: channels last; initial values and layout of the kernel are those of
    `Conv2D`.
    """
    layer = Conv2D(
        out_channels, kernel_size, stride, padding,
        dilation_rate=dilation, groups=groups, use_bias=bias, **options,
    )  # fmt: skip
    return _built(layer, in_channels)


def Conv3d(  # noqa: N802  # PyTorch's name
    in_channels: int, out_channels: int, kernel_size: Sizes, stride: Sizes = 1,
    padding: Any = 0, dilation: Sizes = 1, groups: int = 1, bias: bool = True, **options: Any,
) -> Conv3D:  # fmt: skip
    """A `Conv3D` by PyTorch's arguments; see `Conv2d`.

    Example:
        >>> import chainrule as cr
        >>> cr.layers.Conv3d(3, 8, 2).kernel.shape
        (2, 2, 2, 3, 8)
    """
    layer = Conv3D(
        out_channels, kernel_size, stride, padding,
        dilation_rate=dilation, groups=groups, use_bias=bias, **options,
    )  # fmt: skip
    return _built(layer, in_channels)


AnyConvolution = TypeVar("AnyConvolution", bound=_Convolution)


def _built(layer: AnyConvolution, channels: int) -> AnyConvolution:
    """The layer after a call on zeros of its window's size."""
    channels = whole_number(layer.name, "in_channels", channels)
    moves = zip(layer.kernel_size, layer.dilation_rate, strict=True)
    layer.ensure_built((None, *((taps - 1) * gap + 1 for taps, gap in moves), channels))
    return layer
