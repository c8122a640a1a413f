"""Imputation: a value in place of what stands for "missing"."""

from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np

from chainrule.nn.layer import LayerOptions, Shape
from chainrule.nn.layers.normalization import AlongAxes
from chainrule.nn.registry import register
from chainrule.nn.validate import axes, finite_numbers, number, wrong_input_shape
from chainrule.tensor import Tensor, functions, tensor


@register
class Imputation(AlongAxes):
    """Put a value in place of the number that stands for "missing".

    y = fill where x = missing, else x

    Shapes: x (N, ..., features), y like x, fill (features,).

    Args:
        missing: the number that stands for a missing value, such as -999.
        fill: a number, or one for each feature, such as their medians; ``missing`` itself for the
            features in which it is an ordinary value.
        axis: the axis, or axes, of the features. Default -1.
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Raises:
        ArgumentError: numbers that are not finite: ``fit`` and ``predict`` take no NaN either.
        ShapeError: another number of features than ``fill`` has.

    Example:
        >>> import chainrule as cr
        >>> cr.layers.Imputation(-999, fill=[0.5, 2.0])([[-999, 7.0], [1.0, -999]]).numpy().tolist()
        [[0.5, 7.0], [1.0, 2.0]]

    Reference: the constant strategy of scikit-learn's SimpleImputer.
    """

    def __init__(
        self,
        missing: float,
        fill: Any,
        axis: int | Sequence[int] = -1,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.missing = number(self.name, "missing", missing)
        self.fill = finite_numbers(self.name, "fill", fill)
        self.axis = axes(self.name, axis)

    def build(self, input_shape: Shape) -> None:
        self._find_axes(input_shape)
        if self.fill.ndim and self.fill.shape != self._parameter_shape:
            raise wrong_input_shape(
                self.where, input_shape, f"features like those of fill, {self.fill.shape}",
                "give one number as fill, or one for each feature",
            )  # fmt: skip

    def call(self, inputs: Tensor) -> Tensor:
        inputs = self._checked(inputs)
        kind = inputs.dtype.name
        fill = np.broadcast_to(self.fill, self._parameter_shape).astype(kind)
        marked = functions.equal(inputs, np.asarray(self.missing, kind))
        return functions.where(marked, self._spread(tensor(fill)), inputs)
