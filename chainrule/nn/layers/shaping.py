"""Layers that only change shapes: InputLayer, Flatten, Reshape."""

import math
from collections.abc import Sequence
from typing import Any, Unpack

from chainrule.errors import ShapeError
from chainrule.nn.layer import Layer, LayerOptions, Shape
from chainrule.nn.registry import register
from chainrule.nn.validate import dtype_of, sizes, whole_number, wrong_input_shape
from chainrule.tensor import Tensor


@register
class InputLayer(Layer):
    """Say what the input looks like, so that a model can be built and shown before it sees data.

    Shapes: x (N, *shape), y (N, *shape).

    Args:
        shape: sizes of one example, without the batch axis; a single number is one axis.
        input_dtype: dtype of the input; "int32" for indices. Default "float32".
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Raises:
        ShapeError: the input has another shape.

    Example:
        >>> import chainrule as cr
        >>> cr.layers.InputLayer((3,))(cr.ones((5, 3))).shape
        (5, 3)
    """

    takes = "one"

    def __init__(
        self,
        shape: int | Sequence[int],
        *,
        input_dtype: str = "float32",
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.shape = sizes(self.name, "shape", shape)
        self.input_dtype = dtype_of(self.name, input_dtype).name

    def call(self, inputs: Tensor) -> Tensor:
        if inputs.shape[1:] != self.shape or not inputs.shape:
            expected = f"(batch, {', '.join(map(str, self.shape))})"
            fix = "give it examples of the declared shape, or declare another shape"
            raise wrong_input_shape(self.where, inputs.shape, expected, fix)
        return inputs

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], *self.shape)


def Input(shape: int | Sequence[int], **options: Any) -> InputLayer:  # noqa: N802  # Keras's name
    """The first entry of a ``Sequential``: an ``InputLayer`` of this shape, without the batch axis.

    Example:
        >>> import chainrule as cr
        >>> cr.layers.Input((3,)).shape
        (3,)

    Different from Keras: it is a layer for ``Sequential``, not a symbolic tensor.
    """
    return InputLayer(shape, **options)


@register
class Flatten(Layer):
    """Join all axes but the batch into one.

    Shapes: x (N, a, b, ...), y (N, a * b * ...); x (N,), y (N, 1).

    Args:
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Example:
        >>> import chainrule as cr
        >>> cr.layers.Flatten()(cr.ones((5, 2, 3))).shape
        (5, 6)
    """

    takes = "one"

    def call(self, inputs: Tensor) -> Tensor:
        if not inputs.shape:
            raise _scalar(self)
        return inputs.reshape((inputs.shape[0], math.prod(inputs.shape[1:])))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], _size(self, input_shape))


@register
class Reshape(Layer):
    """Give each example another shape of the same size.

    Shapes: x (N, a, b, ...), y (N, *target_shape).

    Args:
        target_shape: sizes of one example, without the batch axis; one of them may be -1.
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Raises:
        ShapeError: the sizes do not multiply to the size of an example.

    Example:
        >>> import chainrule as cr
        >>> cr.layers.Reshape((2, -1))(cr.ones((5, 6))).shape
        (5, 2, 3)
    """

    takes = "one"

    def __init__(self, target_shape: Sequence[int], **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.target_shape = tuple(
            -1 if size == -1 else whole_number(self.name, "target_shape", size)
            for size in sizes(self.name, "target_shape", target_shape, minimum=-1)
        )
        if self.target_shape.count(-1) > 1:
            raise ShapeError(
                self.name, "bad target_shape", got=self.target_shape, expected="at most one -1"
            )

    def call(self, inputs: Tensor) -> Tensor:
        if not inputs.shape:
            raise _scalar(self)
        return inputs.reshape((inputs.shape[0], *self._target(inputs.shape)))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], *self._target(input_shape))

    def _target(self, shape: Shape) -> tuple[int, ...]:
        size = _size(self, shape)
        known = math.prod(n for n in self.target_shape if n != -1)
        fits = size % known == 0 if -1 in self.target_shape else size == known
        if not fits:
            target = ", ".join(map(str, self.target_shape))
            raise wrong_input_shape(
                self.where, shape, f"examples of a size that fits ({target})",
                f"choose a target_shape of {size} elements",
            )  # fmt: skip
        return tuple(size // known if n == -1 else n for n in self.target_shape)


def _size(layer: Layer, shape: Shape) -> int:
    known = [n for n in shape[1:] if n is not None]
    if not shape or len(known) < len(shape) - 1:
        raise _scalar(layer, shape)
    return math.prod(known)


def _scalar(layer: Layer, shape: Shape = ()) -> ShapeError:
    return wrong_input_shape(
        layer.where, shape, "(batch, size, ...) with known sizes", "give it a batch of examples"
    )
