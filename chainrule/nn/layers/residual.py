"""ResidualBlock: two convolutions beside a shortcut."""

from typing import Any, Unpack

from chainrule.errors import unknown_name
from chainrule.nn.configurable import also_accept
from chainrule.nn.layer import Layer, LayerOptions, Shape
from chainrule.nn.layers.convolution import Conv2D
from chainrule.nn.layers.normalization import BatchNormalization
from chainrule.nn.layers.spatial import spatial_axes
from chainrule.nn.registry import register
from chainrule.nn.validate import whole_number, wrong_input_shape
from chainrule.tensor import Tensor, functions
from chainrule.tensor.windows import Sizes, axis_sizes

SHORTCUTS = ("projection", "zeros")


@register
class ResidualBlock(Layer):
    """Two 3x3 convolutions with batch normalisation, added to what they started from.

    y = relu(normal(convolution(relu(normal(convolution(x))))) + shortcut(x))

    The shortcut is x itself where the shape stays. Otherwise "projection" is a 1x1 convolution with
    batch normalisation (the paper's option B), and "zeros" takes every ``strides``-th element and
    adds channels of zeros (its option A, no parameters).

    Shapes: x (N, height, width, C), y (N, ceil(height / strides), ceil(width / strides), filters).

    Args:
        filters: channels of the result.
        strides: strides of the first convolution; also ``stride``. Default 1.
        shortcut: "projection" or "zeros". Default "projection".
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Raises:
        ArgumentError: filters or strides that are not whole numbers of at least 1.
        UnknownNameError: another shortcut.
        ShapeError: the input is no batch of pictures, or has more channels than ``filters`` with
            the shortcut "zeros".

    Example:
        >>> import chainrule as cr
        >>> layer = cr.layers.ResidualBlock(8, strides=2)
        >>> layer(cr.ones((1, 6, 6, 4))).shape, [inner.name for inner in layer.layers][:2]
        ((1, 3, 3, 8), ['convolution1', 'normalization1'])

    Reference: He, Zhang, Ren and Sun, "Deep residual learning for image recognition", 2015.
    """

    takes = "one"

    @also_accept(stride="strides")
    def __init__(
        self,
        filters: int,
        strides: Sizes = 1,
        *,
        shortcut: str = "projection",
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.filters = whole_number(self.name, "filters", filters)
        self.strides = axis_sizes(self.name, "strides", strides, 2)
        if shortcut not in SHORTCUTS:
            raise unknown_name(self.name, "shortcut", str(shortcut)[:80], SHORTCUTS)
        self.shortcut = shortcut

    def build(self, input_shape: Shape) -> None:
        spatial_axes(self, input_shape, 2)
        self.convolution1 = self._convolution(3, self.strides)
        self.normalization1 = BatchNormalization(dtype=self.dtype)
        self.convolution2 = self._convolution(3)
        self.normalization2 = BatchNormalization(dtype=self.dtype)
        self._missing_channels = self.filters - (input_shape[-1] or 0)
        self._projects = self._changes_shape and self.shortcut == "projection"
        if self._projects:
            self.projection = self._convolution(1, self.strides)
            self.projection_normalization = BatchNormalization(dtype=self.dtype)
        elif self._missing_channels < 0:
            raise wrong_input_shape(
                self.where, input_shape, f"at most {self.filters} channels",
                "use shortcut='projection', or more filters",
            )  # fmt: skip

    @property
    def _changes_shape(self) -> bool:
        return self.strides != (1, 1) or self._missing_channels != 0

    def _convolution(self, window: int, strides: Sizes = 1) -> Conv2D:
        options: dict[str, Any] = {"kernel_initializer": "he_normal", "dtype": self.dtype}
        return Conv2D(self.filters, window, strides, "same", use_bias=False, **options)

    def call(self, inputs: Tensor) -> Tensor:
        hidden = functions.relu(self.normalization1(self.convolution1(inputs)))
        outputs = self.normalization2(self.convolution2(hidden))
        return functions.relu(outputs + self._beside(inputs))

    def _beside(self, inputs: Tensor) -> Tensor:
        if self._projects:
            return self.projection_normalization(self.projection(inputs))
        down, right = self.strides
        if self.strides != (1, 1):
            inputs = inputs[:, ::down, ::right]
        if self._missing_channels:
            inputs = functions.pad(inputs, (*[(0, 0)] * 3, (0, self._missing_channels)))
        return inputs if inputs.dtype.kind == "f" else inputs.astype(self.dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        lengths = spatial_axes(self, input_shape, 2)
        shorter = (-(-n // step) for n, step in zip(lengths, self.strides, strict=True))
        return (input_shape[0], *shorter, self.filters)
