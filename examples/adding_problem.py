"""The adding problem: what a network remembers over 100 steps, and how its gradients fare.

Each sequence has 100 random numbers, of which two are marked, one in each half; the target is their
sum. A network that remembers nothing answers 1 and has a mean squared error of 1/6 = 0.167.

Run it: ``python examples/adding_problem.py``, or with a path to save the picture of the gradients:
``python examples/adding_problem.py gradients.png``.

Reference: Hochreiter and Schmidhuber, "Long short-term memory", 1997, experiment 4, in the form of
Le, Jaitly and Hinton, "A simple way to initialize recurrent networks of rectified linear units",
2015.
"""

import sys

import numpy as np
from numpy.typing import NDArray

import chainrule as cr

STEPS = 100
GOAL = 0.01
LAYERS = {"SimpleRNN": cr.layers.SimpleRNN, "GRU": cr.layers.GRU, "LSTM": cr.layers.LSTM}


def make_data(rows: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Sequences (rows, STEPS, 2) of numbers and marks, and the sums (rows, 1)."""
    generator = np.random.default_rng(seed)
    x = np.zeros((rows, STEPS, 2), "float32")
    x[..., 0] = generator.random((rows, STEPS))
    for half in (range(STEPS // 2), range(STEPS // 2, STEPS)):
        x[np.arange(rows), generator.choice(half, rows), 1] = 1
    return x, (x[..., 0] * x[..., 1]).sum(1, keepdims=True)


def train(kind: str, epochs: int = 20, seed: int = 0) -> tuple[cr.Sequential, float, int]:
    """A network with this recurrent layer, its error on new sequences, and the epochs it took."""
    model = cr.Sequential([LAYERS[kind](32), cr.layers.Dense(1)])
    history = model.fit(
        *make_data(8000, seed=1),
        loss="mse",
        optimizer=cr.optimizers.Adam(learning_rate=0.01, clip_norm=1.0),
        epochs=epochs,
        batch_size=64,
        validation_data=make_data(1000, seed=2),
        until={"val_loss": GOAL},
        seed=seed,
        verbose=0,
    )
    return model, history["val_loss"][-1], len(history["loss"])


def main(path: str | None = None) -> None:
    """Train the three networks, and show the gradients on their way back through time."""
    x, y = make_data(64, seed=3)
    flows = {}
    for kind in LAYERS:
        model, error, epochs = train(kind)
        reached = "reached" if error <= GOAL else "not reached"
        print(f"{kind}: mean squared error {error:.4f} after {epochs} epochs, goal {reached}")
        flow = model.gradient_flow(x, y)
        print(flow, end="\n\n")
        flows[kind] = next(iter(flow.values()))
    if path is not None:
        cr.plot.gradient_flow(flows, path)


if __name__ == "__main__":
    main(*sys.argv[1:2])
