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
from chainrule.tensor.layout import checked_indices


@register
class Embedding(Layer):
    """Look up a learned vector for each index.

    y[...] = embeddings[x[...]]

    Shapes: x (N, ...) integers, embeddings (input_dim, output_dim), y (N, ..., output_dim).

    Args:
        input_dim: number of different indices, 0 to input_dim - 1; also ``num_embeddings``.
        output_dim: length of each vector; also ``embedding_dim``.
        padding_index: an index that stands for no thing, as it fills up short sequences; also
            ``padding_idx``. Its vector is zero and never learns; `Sequential` masks its steps in
            the layers behind (see `compute_mask`). Default None.
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

    Different from Keras: ``padding_index=0`` instead of ``mask_zero=True``, and its vector is zero.
    Different from PyTorch: vectors start small and even, not standard normal.
    """

    takes = "one"

    @also_accept(
        num_embeddings="input_dim", embedding_dim="output_dim", padding_idx="padding_index"
    )
    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        *,
        padding_index: int | None = None,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.input_dim = whole_number(self.name, "input_dim", input_dim)
        self.output_dim = whole_number(self.name, "output_dim", output_dim)
        self.padding_index = None
        if padding_index is not None:
            self.padding_index = whole_number(self.name, "padding_index", padding_index, minimum=0)
            if self.padding_index >= self.input_dim:
                raise ArgumentError(
                    self.name, "padding_index out of range", got=padding_index,
                    expected=f"0 to {self.input_dim - 1}",
                )  # fmt: skip
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
        self.embeddings_constraint = constraints.get(embeddings_constraint)

    def build(self, input_shape: Shape) -> None:
        self.embeddings = self.add_weight(
            "embeddings",
            (self.input_dim, self.output_dim),
            self._first_vectors,
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
        indices = checked_indices(inputs, self.input_dim)
        vectors = functions.take(self.embeddings, indices, axis=0)
        if self.padding_index is None:
            return vectors
        there = functions.expand_dims(functions.not_equal(inputs, self.padding_index), -1)
        return functions.where(there, vectors, 0)

    def compute_mask(self, inputs: Any, mask: Tensor | None = None) -> Tensor | None:
        """True where an index is not ``padding_index``; without one the mask of the inputs."""
        if self.padding_index is None or inputs is None or inputs.ndim != 2:
            return mask
        there = functions.not_equal(inputs, self.padding_index)
        return there if mask is None else functions.logical_and(there, mask)

    def _first_vectors(self, shape: tuple[int, ...], dtype: str, key: Tensor) -> Tensor:
        vectors = initializers.drawn(self.embeddings_initializer, shape, dtype, key)
        if self.padding_index is None:
            return vectors
        there = functions.not_equal(functions.arange(self.input_dim), self.padding_index)
        return functions.where(functions.expand_dims(there, -1), vectors, 0)

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
