"""The program of ``chainrule demo``: a small network on random rows, trained by tape and by
``fit``.

`examples/simple_nn.py` is the same program as a user writes it; a test holds the two together.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from chainrule.losses import MeanSquaredError
from chainrule.nn.layers import Dense
from chainrule.optimizers import Adam
from chainrule.tensor import GradientTape, Tensor, tensor
from chainrule.training.model import Model

ROWS, INPUTS, HIDDEN, RATE = 1000, 10, 10, 0.01


class SimpleNN(Model):
    """Ten hidden neurons with ReLU, one output."""

    def __init__(self) -> None:
        super().__init__()
        self.dense1 = Dense(HIDDEN, activation="relu")
        self.dense2 = Dense(1)

    def call(self, inputs: Tensor) -> Tensor:
        """The forward pass."""
        return self.dense2(self.dense1(inputs))


@dataclass(frozen=True)
class Demonstration:
    """The two runs: the model that ``fit`` trained, and the loss of each epoch of both."""

    model: SimpleNN
    with_tape: list[float]
    with_fit: list[float]


def make_data(seed: int = 0) -> tuple[Tensor, Tensor]:
    """1000 random rows of 10 numbers between 0 and 1, and a random target for each."""
    generator = np.random.default_rng(seed)
    x = tensor(generator.random((ROWS, INPUTS)), dtype="float32")
    y = tensor(generator.random((ROWS, 1)), dtype="float32")
    return x, y


def train_with_tape(
    model: SimpleNN,
    x: Tensor,
    y: Tensor,
    epochs: int,
    report: Callable[[int, float], None] | None = None,
) -> list[float]:
    """Full-batch training step by step; ``report`` gets the epoch (from 0) and its loss."""
    loss_function, optimizer = MeanSquaredError(), Adam(learning_rate=RATE)
    losses = []
    for epoch in range(epochs):
        with GradientTape() as tape:
            loss = loss_function(y, model(x))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables))
        losses.append(float(loss))
        if report is not None:
            report(epoch, losses[-1])
    return losses


def demonstrate(
    epochs: int = 1000, seed: int = 0, report: Callable[[int, float], None] | None = None
) -> Demonstration:
    """Train the same network twice from the same weights: by tape, and by ``fit``.

    Args:
        epochs: full-batch epochs of each run; default 1000.
        seed: of the data and the initial weights; default 0.
        report: called after each epoch of the tape run with its number (from 0) and loss; default
            None.

    Returns:
        The fitted model and the losses of both runs, which agree to rounding.

    >>> result = demonstrate(epochs=20)
    >>> result.with_fit[-1] < result.with_fit[0]
    True
    """
    x, y = make_data(seed)
    by_hand, by_fit = SimpleNN(), SimpleNN()
    for model in (by_hand, by_fit):
        model.tree_seed = seed
    with_tape = train_with_tape(by_hand, x, y, epochs, report)
    history = by_fit.fit(
        x,
        y,
        loss="mse",
        optimizer=Adam(learning_rate=RATE),
        epochs=epochs,
        batch_size=None,
        verbose=0,
    )
    return Demonstration(by_fit, with_tape, history["loss"])
