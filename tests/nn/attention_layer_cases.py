"""The conformance cases of attention, positions and transformer blocks, by class."""

from collections.abc import Callable
from typing import Any

import chainrule as cr

layers = cr.layers

SHAPE = (2, 4, 6)

CASES: dict[str, list[tuple[Callable[[], cr.Layer], Any, dict[str, Any]]]] = {
    "MultiHeadAttention": [
        (lambda: layers.MultiHeadAttention(2, 3), SHAPE, {}),
        (
            lambda: layers.MultiHeadAttention(
                2, 3, 2, causal=True, dropout=0.3, use_bias=False, kernel_regularizer="l2"
            ),
            SHAPE, {},
        ),
        (
            lambda: layers.MultiHeadAttention(1, 2, bias_initializer="ones", seed=4),
            [(2, 4, 5), (2, 3, 4), (2, 3, 2)], {"training": [False]},
        ),
        (lambda: layers.MultiHeadAttention(2, 2), [(2, 4, 3), (2, 2, 5)], {"training": [False]}),
    ],
    "PositionalEncoding": [
        (lambda: layers.PositionalEncoding(), SHAPE, {}),
        (lambda: layers.PositionalEncoding(100), (2, 3, 5), {"training": [False]}),
    ],
    "PositionalEmbedding": [
        (lambda: layers.PositionalEmbedding(4), SHAPE, {}),
        (
            lambda: layers.PositionalEmbedding(7, embeddings_regularizer="l2"),
            SHAPE, {"training": [False]},
        ),
    ],
    "TransformerBlock": [
        (lambda: layers.TransformerBlock(2, 3, 5), SHAPE, {"training": [False]}),
        (
            lambda: layers.TransformerBlock(
                1, 4, 3, "tanh", dropout=0.2, causal=True, use_bias=False, epsilon=0.1
            ),
            SHAPE, {},
        ),
    ],
}  # fmt: skip
