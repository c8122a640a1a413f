"""MultiHeadAttention: each place of a sequence takes what it needs from all places."""

import math
from typing import Any, Unpack

from chainrule.errors import ArgumentError, DTypeError, ShapeError
from chainrule.nn import initializers, regularizers
from chainrule.nn.configurable import also_accept
from chainrule.nn.layer import Layer, LayerOptions, Shape
from chainrule.nn.layers.noise import Dropout
from chainrule.nn.masks import spread, step_mask
from chainrule.nn.registry import register
from chainrule.nn.seeding import check_seed
from chainrule.nn.validate import number, truth, whole_number, wrong_input_shape
from chainrule.tensor import Tensor, Variable, functions
from chainrule.tensor.tensor import as_tensor


@register
class MultiHeadAttention(Layer):
    """Several attentions side by side, each in a space of its own.

    head_h = softmax(Q_h K_h^T / sqrt(key_dim)) V_h, y = concatenate(heads) @ output_kernel + bias,
    Q_h, K_h and V_h the h-th part of query @ query_kernel, key @ key_kernel, value @ value_kernel
    (with a bias each)

    ``layer(x)`` is self-attention: value and key are x. ``layer(query, value)`` takes what stands
    in other sequences, ``layer(query, value, key)`` finds it by other vectors.

    Places where ``mask`` is False are no keys, and nothing that stands there, not even NaN, changes
    a bit of what comes out at other places or of any gradient; in self-attention they count as
    zeros as queries too. Where a query may see no key at all, all its weights are zero, and its
    output is the output bias.

    Shapes: query (N, queries, width), value (N, keys, value width), key (N, keys, key width), y
    like the query; query_kernel (width, num_heads * key_dim), key_kernel
    (key width, num_heads * key_dim), value_kernel (value width, num_heads * value_dim),
    output_kernel (num_heads * value_dim, width), heads side by side in the columns; mask (N, keys);
    attention_mask (queries, keys), (N, queries, keys) or (N, num_heads, queries, keys).

    Args:
        num_heads: number of heads.
        key_dim: length of a head's queries and keys.
        value_dim: length of a head's values. Default None: key_dim.
        dropout: the share of weights dropped during training. Default 0.
        use_bias: whether to add biases to the four products. Default True.
        causal: whether place t sees the keys 0 to t only. Default False.
        kernel_initializer: first values of the kernels. Default "glorot_uniform".
        bias_initializer: first values of the biases. Default "zeros".
        kernel_regularizer: penalty on each kernel. Default None.
        bias_regularizer: penalty on each bias. Default None.
        seed: a fixed seed of the dropout. Default None: it follows from the model's seed.
        options: ``name``, ``dtype``, ``trainable`` (see ``Layer``).

    In a call: ``mask``, True for the keys that are there; ``attention_mask``, True where a query
    may see a key (what it hides must be finite); ``return_attention_scores``, True to return
    (y, weights), weights (N, num_heads, queries, keys).

    Raises:
        ArgumentError: a size that is not a whole number of at least 1, or a key without a value.
        ShapeError: inputs that are no sequences or have other widths than in the first call, or a
            mask of another shape.

    Example:
        >>> import chainrule as cr
        >>> layer = cr.layers.MultiHeadAttention(num_heads=2, key_dim=4)
        >>> layer(cr.ones((3, 5, 8)), mask=cr.sequence_mask(cr.tensor([5, 2, 1]), 5)).shape
        (3, 5, 8)

    Different from Keras: ``causal`` belongs to the layer, kernels have two axes, the output bias
    alone comes out where every key is hidden (Keras: the mean of the hidden values).
    Different from PyTorch: sizes follow from the inputs, masks are True for what is seen, kernels
    are (inputs, outputs); PyTorch gives NaN where every key is hidden.
    Reference: Vaswani et al., "Attention is all you need", 2017, section 3.2.
    """

    @also_accept(bias="use_bias", key_size="key_dim")
    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        *,
        dropout: float = 0.0,
        use_bias: bool = True,
        causal: bool = False,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.num_heads = whole_number(self.name, "num_heads", num_heads)
        self.key_dim = whole_number(self.name, "key_dim", key_dim)
        given = None if value_dim is None else whole_number(self.name, "value_dim", value_dim)
        self.value_dim = given
        self.dropout = number(self.name, "dropout", dropout, minimum=0.0, below=1.0)
        self.use_bias = truth(self.name, "use_bias", use_bias)
        self.causal = truth(self.name, "causal", causal)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.seed = None if seed is None else check_seed(self.name, seed)

    def __call__(
        self,
        inputs: Any,
        value: Any = None,
        key: Any = None,
        *args: Any,
        training: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Attend from a query to a value, found by a key.

        Args:
            inputs: the query, (N, queries, width).
            value: (N, keys, value width). Default None: the query.
            key: (N, keys, key width). Default None: the value.
            args: further arguments of ``call``.
            training: whether dropout acts. Default: as in the call around this one, else False.
            kwargs: ``mask``, ``attention_mask``, ``return_attention_scores``.
        """
        if value is not None:
            inputs = [as_tensor(x) for x in (inputs, value, key) if x is not None]
        elif key is not None:
            raise ArgumentError(
                self.where, "a key without a value", got="value=None",
                expected="the value that is found by the key", fix="call layer(query, value, key)",
            )  # fmt: skip
        return super().__call__(inputs, *args, training=training, **kwargs)

    def build(self, input_shape: Any) -> None:
        query, value, key = self._three(input_shape)
        widths = [self._width(shape) for shape in (query, value, key)]
        keys, values = self.num_heads * self.key_dim, self.num_heads * self._value_size
        self.query_kernel, self.query_bias = self._projection("query", widths[0], keys)
        self.key_kernel, self.key_bias = self._projection("key", widths[2], keys)
        self.value_kernel, self.value_bias = self._projection("value", widths[1], values)
        self.output_kernel, self.output_bias = self._projection("output", values, widths[0])
        self._drops = None
        if self.dropout:
            self._drops = Dropout(self.dropout, seed=self.seed, dtype=self.dtype)

    @property
    def _value_size(self) -> int:
        return self.key_dim if self.value_dim is None else self.value_dim

    def _three(self, given: Any) -> tuple[Any, Any, Any]:
        """Query, value and key of one input (or its shape), or of a list of up to three."""
        several = list(given) if isinstance(given, list) else [given]
        if not 1 <= len(several) <= 3:
            raise ArgumentError(
                self.where, "wrong number of inputs", got=len(several),
                expected="a query, [query, value] or [query, value, key]",
            )  # fmt: skip
        query, value, key = (*several, *several[-1:] * 2)[:3]
        return query, value, key

    def _width(self, shape: Shape) -> int:
        if len(shape) != 3 or shape[-1] is None:
            raise wrong_input_shape(
                self.where, shape, "(batch, time, features)",
                "give it sequences: one example is x[None], a feature a step x[..., None]",
            )  # fmt: skip
        return shape[-1]

    def _projection(self, name: str, inputs: int, outputs: int) -> tuple[Variable, Variable | None]:
        kernel = self.add_weight(
            f"{name}_kernel", (inputs, outputs), self.kernel_initializer,
            regularizer=self.kernel_regularizer,
        )  # fmt: skip
        if not self.use_bias:
            return kernel, None
        return kernel, self.add_weight(
            f"{name}_bias", (outputs,), self.bias_initializer, regularizer=self.bias_regularizer
        )

    def call(
        self,
        inputs: Any,
        mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
    ) -> Any:
        alone = isinstance(inputs, Tensor)
        query, value, key = self._three(inputs if alone else list(inputs))
        self._check(query, value, key)
        seen = None if mask is None else step_mask(self.where, mask, key.shape)
        if seen is not None:
            value, key = (functions.where(spread(seen, 3), x, 0) for x in (value, key))
            query = key if alone else query
        q = self._heads(query, self.query_kernel, self.query_bias)
        k = self._heads(key, self.key_kernel, self.key_bias)
        v = self._heads(value, self.value_kernel, self.value_bias)
        scores = functions.matmul(q, functions.swapaxes(k, -1, -2)) / math.sqrt(self.key_dim)
        weights = masked_softmax(scores, self._visible(seen, attention_mask, scores.shape))
        dropped = weights if self._drops is None else self._drops(weights)
        heads = functions.transpose(functions.matmul(dropped, v), (0, 2, 1, 3))
        rows = heads.reshape((-1, self.num_heads * self._value_size))
        outputs = self._product(rows, self.output_kernel, self.output_bias)
        outputs = outputs.reshape((*query.shape[:2], -1))
        return (outputs, weights) if return_attention_scores else outputs

    def _check(self, query: Tensor, value: Tensor, key: Tensor) -> None:
        kernels = (self.query_kernel, self.value_kernel, self.key_kernel)
        for x, kernel in zip((query, value, key), kernels, strict=True):
            width = kernel.shape[0]
            if x.ndim != 3 or x.shape[-1] != width:
                raise wrong_input_shape(
                    self.where, x.shape, f"(batch, time, {width})",
                    "give it sequences like those of the first call, or make a new layer",
                )  # fmt: skip
        if not query.shape[0] == value.shape[0] == key.shape[0] or value.shape[1] != key.shape[1]:
            raise ShapeError(
                self.where, "query, value and key do not fit",
                got=f"{query.shape}, {value.shape}, {key.shape}",
                expected="equal batches, and as many keys as values",
            )  # fmt: skip

    def _product(self, rows: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
        outputs = functions.matmul(rows, kernel)
        return outputs if bias is None else outputs + bias

    def _heads(self, x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
        """(N, time, width) to (N, heads, time, length of a head)."""
        batch, time, width = x.shape
        rows = self._product(x.reshape((batch * time, width)), kernel, bias)
        size = kernel.shape[1] // self.num_heads
        return functions.transpose(rows.reshape((batch, time, self.num_heads, size)), (0, 2, 1, 3))

    def _visible(
        self, seen: Tensor | None, attention_mask: Any, shape: tuple[int, ...]
    ) -> Tensor | None:
        """Which keys a query may see, in a shape that broadcasts to that of the scores."""
        batch, _, queries, keys = shape
        masks = [] if seen is None else [seen.reshape((batch, 1, 1, keys))]
        if attention_mask is not None:
            masks.append(self._given(as_tensor(attention_mask), shape))
        if self.causal:
            place = functions.arange(max(queries, keys))
            masks.append(place[:keys] <= functions.expand_dims(place[:queries], 1))
        visible = masks.pop() if masks else None
        for other in masks:
            visible = functions.logical_and(visible, other)
        return visible

    def _given(self, mask: Tensor, shape: tuple[int, ...]) -> Tensor:
        """The attention mask with all four axes."""
        if mask.dtype.kind == "f":
            raise DTypeError(
                self.where, "an attention mask of floating numbers", got=mask.dtype.name,
                expected="truth values, True where a query may see a key", fix="pass mask > 0",
            )  # fmt: skip
        given = mask.shape
        own = {2: (1, 1, *given), 3: (*given[:1], 1, *given[1:]), 4: given}.get(len(given), ())
        if not own or any(n not in (1, m) for n, m in zip(own, shape, strict=True)):
            raise ShapeError(
                self.where, "wrong shape of the attention mask", got=given,
                expected=f"{shape[2:]}, {(shape[0], *shape[2:])} or {shape}",
            )  # fmt: skip
        return functions.reshape(functions.not_equal(mask, 0), own)

    def compute_mask(self, inputs: Any, mask: Tensor | None = None) -> Tensor | None:
        """That of the query: the given one in self-attention, else not known."""
        return mask if isinstance(inputs, Tensor) else None

    def compute_output_shape(self, input_shape: Any) -> Shape:
        query = self._three(input_shape)[0]
        self._width(query)
        return tuple(query)


def masked_softmax(scores: Tensor, visible: Tensor | None) -> Tensor:
    """The softmax over the visible part of the last axis; zeros elsewhere, and where nothing is.

    Args:
        scores: (..., n), finite.
        visible: truth values that broadcast to the scores, or None for all.
    """
    if visible is None:
        return functions.softmax(scores)
    # Any finite number does: what is hidden is set to zero again after the exponential.
    hidden = -1e30
    scores = functions.where(visible, scores, hidden)
    top = functions.stop_gradient(functions.max(scores, -1, keepdims=True))
    powers = functions.where(visible, functions.exp(scores - top), 0)
    total = functions.sum(powers, -1, keepdims=True)
    # The greatest visible score has the power 1: the sum is 0 only where nothing is visible.
    return powers / functions.where(functions.equal(total, 0), 1, total)
