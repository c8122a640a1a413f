"""Bags of tokens: what is in a text, without its order."""

from typing import Any, Literal, Unpack

from chainrule.errors import ArgumentError
from chainrule.nn.configurable import also_accept
from chainrule.nn.layer import LayerOptions, Shape
from chainrule.nn.layers.embedding import Embedding
from chainrule.nn.layers.noise import RandomLayer
from chainrule.nn.registry import register
from chainrule.nn.validate import number
from chainrule.tensor import Tensor, functions, random

COMBINERS = ("mean", "sqrt_n", "sum")


@register
class EmbeddingBag(Embedding):
    """The mean or sum of learned vectors, one for each index; the index 0 is padding.

    y = sum_t [x_t > 0] embeddings[x_t] / d,
    d = n ("mean"), sqrt(n) ("sqrt_n") or 1 ("sum"), n = max(1, number of x_t > 0)

    Shapes: x (N, ..., T) integers, embeddings (input_dim, output_dim), y (N, ..., output_dim).

    Args:
        input_dim: number of different indices, that of padding counted; also ``num_embeddings``.
        output_dim: length of each vector; also ``embedding_dim``.
        combiner: "mean", "sqrt_n" or "sum"; also ``mode``. Default "mean".
        embeddings_initializer: first values. Default "uniform": evenly between -0.05 and 0.05.
        embeddings_regularizer, embeddings_constraint: as in `Embedding`. Default None.
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Raises:
        DTypeError: the indices are not integers.
        ArgumentError: another combiner; an index out of range (outside ``jit``).

    Example:
        >>> import chainrule as cr
        >>> bag = cr.layers.EmbeddingBag(10, 4)
        >>> y = bag([[1, 2, 0, 0], [2, 1, 1, 2], [0, 0, 0, 0]]).numpy()
        >>> bool(np.allclose(y[0], y[1])), y[2].tolist()
        (True, [0.0, 0.0, 0.0, 0.0])

    Different from PyTorch: rows of one length with padding instead of offsets; "sqrt_n", which is
    TensorFlow's "sqrtn": for vectors of chance its size does not depend on n.
    """

    @also_accept(num_embeddings="input_dim", embedding_dim="output_dim", mode="combiner")
    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        combiner: Literal["mean", "sqrt_n", "sum"] = "mean",
        *,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(
            input_dim, output_dim, embeddings_initializer=embeddings_initializer,
            embeddings_regularizer=embeddings_regularizer,
            embeddings_constraint=embeddings_constraint, **options,
        )  # fmt: skip
        if combiner not in COMBINERS:
            raise ArgumentError(
                self.name, "unknown combiner", got=repr(combiner), expected=" or ".join(COMBINERS)
            )
        self.combiner = combiner

    def call(self, inputs: Tensor) -> Tensor:
        vectors = super().call(inputs)
        there = inputs > 0
        total = functions.sum(functions.where(there[..., None], vectors, 0), axis=-2)
        if self.combiner == "sum":
            return total
        count = functions.sum(there.astype(total.dtype), axis=-1, keepdims=True)
        count = functions.maximum(count, 1.0)
        return total / (functions.sqrt(count) if self.combiner == "sqrt_n" else count)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.output_dim)


@register
class TokenDropout(RandomLayer):
    """Set a share of the indices to 0, padding, during training: words are left out.

    y = x * m, m one with probability 1 - rate, else zero; y = x outside training

    Shapes: x (N, ...) integers, y (N, ...).

    Args:
        rate: the share that is dropped, at least 0 and less than 1; also accepted as ``p``.
        seed: a fixed seed. Default None: it follows from the model's seed.
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Raises:
        ArgumentError: the rate is out of range.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.layers.TokenDropout(0.5, seed=1)
        >>> layer([[7, 8, 9, 5]]).tolist(), layer([[7, 8, 9, 5]], training=True).tolist()
        ([[7, 8, 9, 5]], ...)

    Reference: Iyyer et al., "Deep unordered composition rivals syntactic methods for text
    classification", 2015.
    """

    @also_accept(p="rate")
    def __init__(
        self, rate: float, *, seed: int | None = None, **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**options)
        self.rate = number(self.name, "rate", rate, minimum=0.0, below=1.0)
        self._set_seed(seed)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        if not training or self.rate == 0.0:
            return inputs
        kept = random.bernoulli(self.generator.next_key(), 1.0 - self.rate, inputs.shape)
        return functions.where(kept, inputs, 0)
