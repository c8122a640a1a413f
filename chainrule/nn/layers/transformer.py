"""TransformerBlock: attention and a small network at each place, each beside a shortcut."""

from collections.abc import Callable
from typing import Any, Unpack

from chainrule.nn import activations, initializers
from chainrule.nn.layer import Layer, LayerOptions, Shape
from chainrule.nn.layers.attention import MultiHeadAttention
from chainrule.nn.layers.dense import Dense
from chainrule.nn.layers.noise import Dropout
from chainrule.nn.layers.normalization import LayerNormalization
from chainrule.nn.masks import spread, step_mask
from chainrule.nn.registry import register
from chainrule.nn.validate import number, truth, whole_number, wrong_input_shape
from chainrule.tensor import Tensor, functions


@register
class TransformerBlock(Layer):
    """Self-attention, then two dense layers, each added to what it started from.

    h = x + attention(normalize(x)), y = h + contract(activation(expand(normalize(h))))

    Normalised before each part, not after: such blocks train without a warm-up of the learning
    rate. A stack of them ends with a ``LayerNormalization`` of its own.

    Places where ``mask`` is False count as zeros: what stands there, even NaN, changes no bit of
    any output or gradient.

    Shapes: x (N, time, width), y like x; mask (N, time); attention_mask as in
    ``MultiHeadAttention``.

    Args:
        num_heads: number of heads.
        key_dim: length of a head's queries, keys and values.
        feed_forward_units: width between the two dense layers.
        activation: name or function between the two dense layers. Default "gelu".
        dropout: the share dropped during training: of the attention's weights, of what the two
            parts return, and between the dense layers. Default 0.
        causal: whether place t sees the places 0 to t only. Default False.
        use_bias: whether to add biases to all products. Default True.
        epsilon: of the two normalisations. Default 1e-5.
        kernel_initializer: first values of all kernels. Default "glorot_uniform".
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    Raises:
        ArgumentError: a size that is not a whole number of at least 1, or dropout out of range.
        ShapeError: the input is no batch of sequences, or has another width than in the first call.

    Example:
        >>> import chainrule as cr
        >>> block = cr.layers.TransformerBlock(num_heads=2, key_dim=4, feed_forward_units=16)
        >>> block(cr.ones((3, 5, 8))).shape, [layer.name for layer in block.layers][:2]
        ((3, 5, 8), ['attention_normalization', 'attention'])

    As PyTorch's ``TransformerEncoderLayer(norm_first=True, activation="gelu")``. Different: its
    default is to normalise after each part, and ``relu``.
    Reference: Vaswani et al., "Attention is all you need", 2017; Xiong et al., "On layer
    normalization in the transformer architecture", 2020.
    """

    takes = "one"

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        feed_forward_units: int,
        activation: Any = "gelu",
        *,
        dropout: float = 0.0,
        causal: bool = False,
        use_bias: bool = True,
        epsilon: float = 1e-5,
        kernel_initializer: Any = "glorot_uniform",
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.num_heads = whole_number(self.name, "num_heads", num_heads)
        self.key_dim = whole_number(self.name, "key_dim", key_dim)
        self.feed_forward_units = whole_number(self.name, "feed_forward_units", feed_forward_units)
        self.activation: Callable[[Tensor], Tensor] = activations.get(activation)
        self.dropout = number(self.name, "dropout", dropout, minimum=0.0, below=1.0)
        self.causal = truth(self.name, "causal", causal)
        self.use_bias = truth(self.name, "use_bias", use_bias)
        self.epsilon = number(self.name, "epsilon", epsilon, minimum=0.0)
        self.kernel_initializer = initializers.get(kernel_initializer)

    def build(self, input_shape: Shape) -> None:
        if len(input_shape) != 3 or input_shape[-1] is None:
            raise wrong_input_shape(
                self.where, input_shape, "(batch, time, features)",
                "give it sequences of vectors, such as the outputs of an Embedding",
            )  # fmt: skip
        dense: dict[str, Any] = {
            "use_bias": self.use_bias,
            "kernel_initializer": self.kernel_initializer,
            "dtype": self.dtype,
        }
        self.attention_normalization = LayerNormalization(epsilon=self.epsilon, dtype=self.dtype)
        self.attention = MultiHeadAttention(
            self.num_heads, self.key_dim, dropout=self.dropout, causal=self.causal, **dense
        )
        self.normalization = LayerNormalization(epsilon=self.epsilon, dtype=self.dtype)
        self.expand = Dense(self.feed_forward_units, self.activation, **dense)
        self.contract = Dense(input_shape[-1], **dense)
        names = ("attention_dropout", "hidden_dropout", "output_dropout") if self.dropout else ()
        self.dropouts = {name: Dropout(self.dropout, dtype=self.dtype) for name in names}

    def call(self, inputs: Tensor, mask: Any = None, attention_mask: Any = None) -> Tensor:
        x = inputs if inputs.dtype.kind == "f" else inputs.astype(self.dtype)
        if mask is not None:
            mask = step_mask(self.where, mask, x.shape)
            x = functions.where(spread(mask, x.ndim), x, 0)
        found = self.attention(
            self.attention_normalization(x), mask=mask, attention_mask=attention_mask
        )
        x = x + self._dropped("attention_dropout", found)
        hidden = self._dropped("hidden_dropout", self.expand(self.normalization(x)))
        return x + self._dropped("output_dropout", self.contract(hidden))

    def _dropped(self, name: str, x: Tensor) -> Tensor:
        return self.dropouts[name](x) if self.dropouts else x

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape
