"""A small network trained by backpropagation, written out step by step, then the same with ``fit``.

Run it: ``python examples/simple_nn.py``. It reads as a Keras program does; only the imports differ.
"""

import numpy as np

import chainrule as cr


class SimpleNN(cr.Model):
    """Ten hidden neurons with ReLU, one output."""

    def __init__(self) -> None:
        super().__init__()
        self.dense1 = cr.layers.Dense(10, activation="relu")
        self.dense2 = cr.layers.Dense(1)

    def call(self, inputs: cr.Tensor) -> cr.Tensor:
        """The forward pass."""
        return self.dense2(self.dense1(inputs))


def make_data(seed: int = 0) -> tuple[cr.Tensor, cr.Tensor]:
    """1000 random rows of 10 numbers, and a random target for each."""
    generator = np.random.default_rng(seed)
    x_train = cr.tensor(generator.random((1000, 10)), dtype="float32")
    y_train = cr.tensor(generator.random((1000, 1)), dtype="float32")
    return x_train, y_train


def train_with_tape(
    model: SimpleNN, x_train: cr.Tensor, y_train: cr.Tensor, epochs: int = 1000
) -> list[float]:
    """The training loop by hand: forward, loss, gradients, update; returns every loss."""
    loss_fn = cr.losses.MeanSquaredError()
    optimizer = cr.optimizers.Adam(learning_rate=0.01)
    losses = []
    for epoch in range(epochs):
        with cr.GradientTape() as tape:
            predictions = model(x_train)
            loss = loss_fn(y_train, predictions)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables))
        losses.append(float(loss))
        if epoch % 100 == 0:
            print(f"Epoch {epoch}, Loss: {float(loss):.6f}")
    return losses


def train_with_fit(
    model: SimpleNN, x_train: cr.Tensor, y_train: cr.Tensor, epochs: int = 1000
) -> list[float]:
    """The same training in one call; returns the loss of each epoch."""
    history = model.fit(
        x_train,
        y_train,
        loss=cr.losses.MeanSquaredError(),
        optimizer=cr.optimizers.Adam(learning_rate=0.01),
        epochs=epochs,
        batch_size=None,
    )
    print(history.stopped)
    return history["loss"]


def main() -> None:
    """Train the same network twice from the same initial weights."""
    x_train, y_train = make_data()
    by_hand, by_fit = SimpleNN(), SimpleNN()
    by_hand(x_train)
    by_fit(x_train)
    by_fit.set_weights(by_hand.get_weights())
    losses = train_with_tape(by_hand, x_train, y_train)
    fitted = train_with_fit(by_fit, x_train, y_train)
    print(f"last loss with the tape: {losses[-1]:.6f}, with fit: {fitted[-1]:.6f}")


if __name__ == "__main__":
    main()
