"""Positions: what tells a layer that treats all places alike where in a sequence it is."""

from typing import Any, Unpack

import numpy as np

from chainrule.errors import ShapeError
from chainrule.nn import initializers, regularizers
from chainrule.nn.layer import Layer, LayerOptions, Shape
from chainrule.nn.registry import register
from chainrule.nn.validate import number, whole_number, wrong_input_shape
from chainrule.tensor import Tensor, tensor


class _Positions(Layer):
    """Base of layers that add a vector for each place of a sequence."""

    takes = "one"

    def _checked(self, shape: Shape) -> tuple[int, int]:
        """Time and width of an input of this shape."""
        if len(shape) != 3 or shape[1] is None or shape[2] is None:
            raise wrong_input_shape(
                self.where, shape, "(batch, time, features)",
                "give it sequences of vectors, such as the outputs of an Embedding",
            )  # fmt: skip
        return shape[1], shape[2]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        self._checked(input_shape)
        return input_shape


@register
class PositionalEncoding(_Positions):
    """Add waves of many lengths, from which a place can be read.

    y[t, 2i] = x[t, 2i] + sin(t / max_wavelength^(2i / width)),
    y[t, 2i + 1] = x[t, 2i + 1] + cos(t / max_wavelength^(2i / width))

    Shapes: x (N, time, width), y like x.

    Args:
        max_wavelength: the longest wave is nearly 2 pi times this long. Default 10000.
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Raises:
        ArgumentError: max_wavelength is not a finite number of at least 1.
        ShapeError: the input is no batch of sequences.

    Example:
        >>> import chainrule as cr
        >>> cr.layers.PositionalEncoding()(cr.zeros((1, 2, 2))).numpy().round(2).tolist()
        [[[0.0, 1.0], [0.8399999737739563, 0.5400000214576721]]]

    Different from KerasHub: it adds the waves instead of returning them. It does not scale x;
    the paper multiplies what comes out of the embedding by sqrt(width).
    Reference: Vaswani et al., "Attention is all you need", 2017, section 3.5.
    """

    def __init__(self, max_wavelength: float = 10000.0, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.max_wavelength = number(self.name, "max_wavelength", max_wavelength, minimum=1.0)

    def call(self, inputs: Tensor) -> Tensor:
        time, width = self._checked(inputs.shape)
        floating = inputs if inputs.dtype.kind == "f" else inputs.astype(self.dtype)
        return floating + tensor(self._waves(time, width).astype(floating.dtype))

    def _waves(self, time: int, width: int) -> Any:
        exponents = np.arange(width) // 2 * 2 / width
        angles = np.arange(time)[:, None] / self.max_wavelength**exponents
        return np.where(np.arange(width) % 2 == 0, np.sin(angles), np.cos(angles))


@register
class PositionalEmbedding(_Positions):
    """Add a learned vector for each place.

    y[t] = x[t] + embeddings[t]

    Shapes: x (N, time, width) with time at most max_length, embeddings (max_length, width), y like
    x.

    Args:
        max_length: the longest sequence that can come.
        embeddings_initializer: first values. Default "uniform": evenly between -0.05 and 0.05.
        embeddings_regularizer: penalty on the vectors. Default None.
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Raises:
        ArgumentError: max_length is not a whole number of at least 1.
        ShapeError: the input is no batch of sequences, is longer than max_length, or has another
            width than in the first call.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.layers.PositionalEmbedding(max_length=10)
        >>> layer(cr.ones((2, 6, 4))).shape, layer.embeddings.shape
        ((2, 6, 4), (10, 4))

    Different from KerasHub: it adds the vectors instead of returning them.
    Reference: Gehring et al., "Convolutional sequence to sequence learning", 2017, section 3.1.
    """

    def __init__(
        self,
        max_length: int,
        *,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.max_length = whole_number(self.name, "max_length", max_length)
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)

    def build(self, input_shape: Shape) -> None:
        self.embeddings = self.add_weight(
            "embeddings",
            (self.max_length, self._checked(input_shape)[1]),
            self.embeddings_initializer,
            regularizer=self.embeddings_regularizer,
        )

    def call(self, inputs: Tensor) -> Tensor:
        time, width = self._checked(inputs.shape)
        if time > self.max_length or width != self.embeddings.shape[1]:
            raise ShapeError(
                self.where, "no position for this input", got=inputs.shape,
                expected=f"(batch, at most {self.max_length}, {self.embeddings.shape[1]})",
                fix="make the layer with a larger max_length, or cut the sequences",
            )  # fmt: skip
        return inputs + (self.embeddings if time == self.max_length else self.embeddings[:time])
