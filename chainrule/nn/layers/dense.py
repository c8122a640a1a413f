"""Dense: the fully connected layer."""

import math
from collections.abc import Callable
from typing import Any, Unpack

from chainrule.errors import ArgumentError
from chainrule.nn import activations, constraints, initializers, regularizers
from chainrule.nn.configurable import also_accept
from chainrule.nn.layer import Layer, LayerOptions, Shape
from chainrule.nn.registry import register
from chainrule.nn.validate import number, truth, whole_number, wrong_input_shape
from chainrule.tensor import Tensor, functions


@register
class Dense(Layer):
    """Every output unit sees every input: the layer of the backpropagation article.

    y = activation(x @ kernel + bias)

    Shapes: x (N, ..., inputs), kernel (inputs, units), bias (units,), y (N, ..., units).

    Args:
        units: number of outputs.
        activation: name or function. Default None: linear.
        use_bias: whether to add a bias. Default True.
        kernel_initializer: first values of the kernel. Default "glorot_uniform".
        bias_initializer: first values of the bias. Default "zeros".
        kernel_regularizer: penalty on the kernel. Default None.
        bias_regularizer: penalty on the bias. Default None.
        activity_regularizer: penalty on the output, divided by N. Default None.
        kernel_constraint: what the kernel must satisfy after an update. Default None.
        bias_constraint: what the bias must satisfy after an update. Default None.
        l2: short for ``kernel_regularizer=L2(l2)``. Default None.
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Raises:
        ArgumentError: units is not a whole number of at least 1, or both l2 and kernel_regularizer.
        ShapeError: the input has fewer than two axes, or another width than in the first call.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.layers.Dense(2, activation="relu")
        >>> layer(cr.ones((5, 3))).shape, layer.kernel.shape
        ((5, 2), (3, 2))

    Different from PyTorch: the kernel is (inputs, units), the transpose of ``Linear.weight``, drawn
    from Glorot's distribution, with a bias of zeros, as in Keras.
    Reference: Rumelhart, Hinton and Williams, "Learning representations by back-propagating
    errors", 1986.
    """

    takes = "one"

    @also_accept(bias="use_bias")
    def __init__(
        self,
        units: int,
        activation: Any = None,
        *,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        l2: float | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.units = whole_number(self.name, "units", units)
        self.activation: Callable[[Tensor], Tensor] = activations.get(activation)
        self.use_bias = truth(self.name, "use_bias", use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.l2 = None if l2 is None else number(self.name, "l2", l2, minimum=0.0)
        if l2 is not None and kernel_regularizer is not None:
            raise ArgumentError(
                self.name, "two penalties on the kernel", got="l2 and kernel_regularizer",
                expected="one of them", fix="use kernel_regularizer=L1L2(l1=..., l2=...)",
            )  # fmt: skip

    def build(self, input_shape: Shape) -> None:
        width = _width(self, input_shape)
        penalty = self.kernel_regularizer if self.l2 is None else regularizers.L2(self.l2)
        self.kernel = self.add_weight(
            "kernel",
            (width, self.units),
            self.kernel_initializer,
            regularizer=penalty,
            constraint=self.kernel_constraint,
        )
        if self.use_bias:
            self.bias = self.add_weight(
                "bias",
                (self.units,),
                self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )

    def call(self, inputs: Tensor) -> Tensor:
        shape = inputs.shape
        width = self.kernel.shape[0]
        if len(shape) < 2 or shape[-1] != width:
            raise wrong_input_shape(
                self.where, shape, f"(batch, {width})" if len(shape) < 3 else f"(..., {width})",
                f"give it a batch of inputs of width {width}, or make a new layer for other widths",
            )  # fmt: skip
        rows = inputs if len(shape) == 2 else inputs.reshape((math.prod(shape[:-1]), width))
        outputs = functions.matmul(rows, self.kernel)
        if self.use_bias:
            outputs = outputs + self.bias
        if len(shape) != 2:
            outputs = outputs.reshape((*shape[:-1], self.units))
        outputs = self.activation(outputs)
        if self.activity_regularizer is not None:
            self.add_loss(self.activity_regularizer(outputs) / max(1, shape[0]))
        return outputs

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        _width(self, input_shape)
        return (*input_shape[:-1], self.units)


def _width(layer: Dense, shape: Shape) -> int:
    if len(shape) < 2 or shape[-1] is None:
        raise wrong_input_shape(
            layer.where, shape, "(batch, inputs)",
            "reshape one example to (1, inputs), or one column to (batch, 1)",
        )  # fmt: skip
    return shape[-1]


def Linear(  # noqa: N802  # PyTorch's name
    in_features: int, out_features: int, bias: bool = True, **options: Any
) -> Dense:
    """A ``Dense`` layer by PyTorch's arguments, built at once for its number of inputs.

    Args:
        in_features: width of the input.
        out_features: number of outputs.
        bias: whether to add a bias. Default True.
        options: further arguments of ``Dense``.

    Example:
        >>> import chainrule as cr
        >>> cr.layers.Linear(3, 2).kernel.shape
        (3, 2)

    Different from PyTorch: initial values and layout of the kernel are those of ``Dense``.
    """
    layer = Dense(out_features, use_bias=bias, **options)
    layer.ensure_built((None, whole_number(layer.name, "in_features", in_features)))
    return layer
