"""Activation: an activation function as a layer of its own."""

from typing import Any, Unpack

from chainrule.nn import activations
from chainrule.nn.layer import Layer, LayerOptions, Shape
from chainrule.nn.registry import register
from chainrule.tensor import Tensor


@register
class Activation(Layer):
    """Apply an activation function.

    y = activation(x)

    Shapes: x (N, ...), y (N, ...).

    Args:
        activation: name, name with parameters, or function (see ``activations.get``).
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Raises:
        UnknownNameError: no activation has this name.

    Example:
        >>> import chainrule as cr
        >>> cr.layers.Activation("relu")([[-1.0, 2.0]]).numpy().tolist()
        [[0.0, 2.0]]
    """

    takes = "one"

    def __init__(self, activation: Any, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.activation = activations.get(activation)

    def call(self, inputs: Tensor) -> Tensor:
        return self.activation(inputs)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape
