"""Layers about steps of time: TimeDistributed and Masking."""

from typing import Any, Unpack

from chainrule.errors import ArgumentError
from chainrule.nn.layer import Layer, LayerOptions, Shape
from chainrule.nn.registry import register
from chainrule.nn.validate import number, wrong_input_shape
from chainrule.tensor import Tensor, functions


@register
class TimeDistributed(Layer):
    """Apply a layer to each step by itself: the steps become rows of one large batch.

    y_t = layer(x_t)

    Shapes: x (N, time, ...), y (N, time, ...): the rest as the layer makes it.

    Args:
        layer: the layer; the same variables for all steps.
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Raises:
        ArgumentError: not a layer.
        ShapeError: the input has fewer than three axes.

    Example:
        >>> import chainrule as cr
        >>> video = cr.layers.TimeDistributed(cr.layers.Conv2D(4, 3))
        >>> video(cr.ones((2, 5, 8, 8, 3))).shape
        (2, 5, 6, 6, 4)

    ``Dense``, activations and ``LayerNormalization`` act on each step anyway. Batch statistics are
    taken over all rows and steps.
    """

    takes = "one"

    def __init__(self, layer: Layer, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        if not isinstance(layer, Layer):
            raise ArgumentError(
                self.name, "not a layer", got=repr(layer)[:80],
                expected="a layer, such as cr.layers.Conv2D(8, 3)",
            )  # fmt: skip
        self.layer = layer

    def call(self, inputs: Tensor) -> Any:
        shape = self._checked(inputs.shape)
        rows, steps = inputs.shape[:2]
        outputs = self.layer(inputs.reshape((rows * steps, *shape[2:])))
        return outputs.reshape((rows, steps, *outputs.shape[1:]))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        shape = self._checked(input_shape)
        return (*shape[:2], *self.layer.compute_output_shape((None, *shape[2:]))[1:])

    def _checked(self, shape: Shape) -> Shape:
        if len(shape) < 3:
            raise wrong_input_shape(
                self.where, shape, "(batch, time, ...) with at least three axes",
                "reshape numbers in time to (batch, time, 1)",
            )  # fmt: skip
        return shape


@register
class Masking(Layer):
    """Mask the steps at which all features have one value: those that only fill up a sequence.

    y = x; `Sequential` gives the layers behind the mask any(x != mask_value) over the features.

    Shapes: x (N, time, features), y (N, time, features).

    Args:
        mask_value: the value. Default 0.0.
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Raises:
        ArgumentError: mask_value is not a finite number.
        ShapeError: the input is not (N, time, features).

    Example:
        >>> import chainrule as cr
        >>> model = cr.Sequential([cr.layers.Masking(), cr.layers.GlobalAveragePooling1D()])
        >>> model([[[2.0], [4.0], [0.0]]]).numpy().tolist()
        [[3.0]]
    """

    takes = "one"

    def __init__(self, mask_value: float = 0.0, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.mask_value = number(self.name, "mask_value", mask_value)

    def call(self, inputs: Tensor) -> Tensor:
        if inputs.ndim != 3:
            raise wrong_input_shape(
                self.where, inputs.shape, "(batch, time, features)",
                "reshape numbers in time to (batch, time, 1)",
            )  # fmt: skip
        return inputs

    def compute_mask(self, inputs: Any, mask: Tensor | None = None) -> Tensor | None:
        """True for the steps that have another value in some feature."""
        if inputs is None:
            return mask
        there = functions.any(functions.not_equal(inputs, self.mask_value), -1)
        return there if mask is None else functions.logical_and(there, mask)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape
