"""Layers that make one tensor of several: Add and Concatenate."""

from collections.abc import Sequence
from typing import Unpack

from chainrule.errors import ShapeError
from chainrule.nn.layer import Layer, LayerOptions, Shape
from chainrule.nn.registry import register
from chainrule.nn.validate import whole_number
from chainrule.tensor import Tensor, functions


@register
class Add(Layer):
    """The sum of the inputs, as in a residual connection.

    y = x1 + x2 + ...

    Shapes: every x (N, ...), y (N, ...); an axis of size 1 is repeated, a missing axis is not
        added.

    Args:
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Raises:
        ShapeError: the inputs do not have one shape.

    Example:
        >>> import chainrule as cr
        >>> cr.layers.Add()([cr.ones((2, 3)), cr.ones((2, 3))]).numpy().tolist()
        [[2.0, 2.0, 2.0], [2.0, 2.0, 2.0]]

    Reference: He et al., "Deep residual learning for image recognition", 2016.
    """

    takes = "several"

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        self.compute_output_shape([x.shape for x in inputs])
        total = inputs[0]
        for x in inputs[1:]:
            total = total + x
        return total

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        first = input_shape[0]
        merged = []
        for axis_sizes in zip(*input_shape, strict=False):
            wide = {size for size in axis_sizes if size != 1}
            merged.append(wide.pop() if wide else 1)
            if wide:
                raise _unequal(self, input_shape, "one shape")
        if any(len(shape) != len(first) for shape in input_shape):
            raise _unequal(self, input_shape, "one rank")
        return tuple(merged)


@register
class Concatenate(Layer):
    """The inputs side by side along one axis.

    y = [x1, x2, ...]

    Shapes: x1 (N, ..., a), x2 (N, ..., b), y (N, ..., a + b) for axis -1.

    Args:
        axis: the axis along which they are joined; not the batch axis. Default -1.
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Raises:
        ShapeError: the inputs differ in another axis.

    Example:
        >>> import chainrule as cr
        >>> cr.layers.Concatenate()([cr.ones((2, 3)), cr.zeros((2, 1))]).shape
        (2, 4)
    """

    takes = "several"

    def __init__(self, axis: int = -1, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.axis = whole_number(self.name, "axis", axis, minimum=-64)

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        self.compute_output_shape([x.shape for x in inputs])
        return functions.concatenate(list(inputs), axis=self.axis)

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        first = input_shape[0]
        axis = self.axis + len(first) if self.axis < 0 else self.axis
        if not 0 < axis < len(first):
            raise _unequal(self, input_shape, f"inputs with axis {self.axis} beside the batch axis")
        for shape in input_shape:
            if len(shape) != len(first) or any(
                a != b for n, (a, b) in enumerate(zip(shape, first, strict=True)) if n != axis
            ):
                raise _unequal(self, input_shape, f"one shape but for axis {self.axis}")
        joined = [shape[axis] for shape in input_shape]
        known = [size for size in joined if size is not None]
        width = sum(known) if len(known) == len(joined) else None
        return (*first[:axis], width, *first[axis + 1 :])


def _unequal(layer: Layer, shapes: Sequence[Shape], expected: str) -> ShapeError:
    return ShapeError(
        layer.where, "inputs do not fit together",
        got=", ".join(str(tuple(shape)) for shape in shapes), expected=expected,
        fix="bring the inputs to matching shapes first, for example with Dense or Reshape",
    )  # fmt: skip
