"""The conformance cases of recurrent layers and of what belongs to sequences, by class."""

from collections.abc import Callable
from typing import Any

import numpy as np

import chainrule as cr

layers = cr.layers


def _over(cell: Callable[[], cr.layers.Cell], **options: Any) -> Callable[[], cr.Layer]:
    return lambda: layers.RNN(cell(), **options)


SHAPE = (3, 4, 2)

CASES: dict[str, list[tuple[Callable[[], cr.Layer], Any, dict[str, Any]]]] = {
    "SimpleRNNCell": [(_over(lambda: layers.SimpleRNNCell(3, "softplus")), SHAPE, {})],
    "LSTMCell": [
        (_over(lambda: layers.LSTMCell(3, unit_forget_bias=False)), SHAPE, {"training": [False]})
    ],
    "GRUCell": [
        (
            _over(lambda: layers.GRUCell(3, reset_after=False, kernel_regularizer="l2")),
            SHAPE, {"training": [False]},
        )
    ],
    "RNN": [
        (
            _over(lambda: layers.SimpleRNNCell(3), bidirectional=True, merge="sum", dropout=0.3),
            SHAPE, {},
        ),
        (
            lambda: layers.RNN(
                [layers.SimpleRNNCell(3), layers.GRUCell(2, use_bias=False)], stateful=True,
                batch_size=7, return_sequences=True,
            ),
            SHAPE, {"training": [True], "order": 1},
        ),
    ],
    "SimpleRNN": [
        (lambda: layers.SimpleRNN(3), SHAPE, {}),
        (
            lambda: layers.SimpleRNN(
                2, "softplus", use_bias=False, num_layers=2, bidirectional=True, merge="mean",
                return_sequences=True, recurrent_regularizer="l2", name="steps",
            ),
            SHAPE, {"training": [False]},
        ),
    ],
    "LSTM": [
        (lambda: layers.LSTM(2, return_sequences=True), SHAPE, {"training": [False]}),
        (
            lambda: layers.LSTM(
                2, "softsign", {"name": "elu", "alpha": 0.5}, dropout=0.4, recurrent_dropout=0.3,
                go_backwards=True, bias_initializer=cr.initializers.Constant(0.1), seed=4,
            ),
            SHAPE, {"training": [True]},
        ),
    ],
    "GRU": [
        (lambda: layers.GRU(2), SHAPE, {"training": [False]}),
        (
            lambda: layers.GRU(2, reset_after=False, recurrent_dropout=0.3, bidirectional=True),
            SHAPE, {"training": [True]},
        ),
    ],
    "TimeDistributed": [
        (lambda: layers.TimeDistributed(layers.Dense(3, "tanh")), (2, 3, 4), {}),
        (lambda: layers.TimeDistributed(layers.Flatten()), (2, 3, 2, 2), {}),
    ],
    "Masking": [(lambda: layers.Masking(), SHAPE, {})],
    "Embedding": [
        (
            lambda: layers.Embedding(7, 3, padding_index=2),
            (3, 4), {"inputs": np.array([[0, 3, 6, 2], [2, 2, 1, 0], [4, 5, 2, 6]])},
        ),
    ],
}  # fmt: skip
