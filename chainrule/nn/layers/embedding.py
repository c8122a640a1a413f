"""Embedding: a vector for each of a number of things."""

from typing import Any, Unpack

import numpy as np

from chainrule.errors import ArgumentError, DTypeError
from chainrule.nn import constraints, initializers, regularizers
from chainrule.nn.configurable import also_accept
from chainrule.nn.layer import Layer, LayerOptions, Shape
from chainrule.nn.registry import register
from chainrule.nn.validate import whole_number
from chainrule.tensor import Tensor, functions


@register
class Embedding(Layer):
    """Look up a learned vector for each index.

    y[...] = embeddings[x[...]]

    Shapes: x (N, ...) integers, embeddings (input_dim, output_dim), y (N, ..., output_dim).

    Args:
        input_dim: number of different indices, 0 to input_dim - 1; also ``num_embeddings``.
        output_dim: length of each vector; also ``embedding_dim``.
        embeddings_initializer: first values. Default "uniform": evenly between -0.05 and 0.05.
        embeddings_regularizer: penalty on the vectors. Default None.
        embeddings_constraint: what the vectors must satisfy after an update. Default None.
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Raises:
        DTypeError: the indices are not integers.
        ArgumentError: an index is out of range (outside ``jit``, where the numbers are known).

    Example:
        >>> import chainrule as cr
        >>> cr.layers.Embedding(10, 4)([[1, 2, 3]]).shape
        (1, 3, 4)

    Different from Keras: no ``mask_zero``; pass a mask to the layers that take one.
    Different from PyTorch: vectors start small and even, not standard normal.
    """

    takes = "one"

    @also_accept(num_embeddings="input_dim", embedding_dim="output_dim")
    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        *,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.input_dim = whole_number(self.name, "input_dim", input_dim)
        self.output_dim = whole_number(self.name, "output_dim", output_dim)
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
        self.embeddings_constraint = constraints.get(embeddings_constraint)

    def build(self, input_shape: Shape) -> None:
        self.embeddings = self.add_weight(
            "embeddings",
            (self.input_dim, self.output_dim),
            self.embeddings_initializer,
            regularizer=self.embeddings_regularizer,
            constraint=self.embeddings_constraint,
        )

    def call(self, inputs: Tensor) -> Tensor:
        if inputs.dtype.kind not in "iu":
            raise DTypeError(
                self.where, "indices are not integers", got=inputs.dtype.name, expected="int32",
                fix="convert them with x.astype('int32')",
            )  # fmt: skip
        if not inputs.is_traced:
            self._check_range(np.asarray(inputs))
        return functions.take(self.embeddings, inputs, axis=0)

    def _check_range(self, indices: Any) -> None:
        wrong = (indices < 0) | (indices >= self.input_dim)
        if wrong.any():
            place = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise ArgumentError(
                self.where, "index out of range", got=f"{indices[place]} at position {place}",
                expected=f"0 to {self.input_dim - 1}",
                fix=f"make the layer with input_dim={max(int(indices.max()) + 1, 1)}, "
                "or number the things from 0",
            )  # fmt: skip

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape, self.output_dim)
