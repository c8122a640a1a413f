"""A run with checkpoints as a program of its own, for tests that kill it: FOLDER OUTPUT."""

import sys

import numpy as np

import chainrule as cr


def make():
    """A network with everything that has a state: dropout, running statistics, moments."""
    layers = cr.layers
    return cr.Sequential(
        [
            layers.Dense(12, activation="relu"),
            layers.Dropout(0.2),
            layers.BatchNormalization(),
            layers.Dense(1),
        ]
    )


def data():
    random = np.random.default_rng(0)
    x = random.normal(size=(300, 5)).astype("float32")
    return x, (x[:, :1] - 2 * x[:, 1:2]).astype("float32")


def fit(model, folder, epochs=30, every_seconds=0.0, verbose=0):
    return model.fit(
        *data(),
        loss="mse",
        epochs=epochs,
        batch_size=16,
        seed=5,
        metrics=["mae"],
        validation_split=0.1,
        callbacks=[cr.callbacks.ReduceOnPlateau(patience=2)],
        checkpoint=None if folder is None else cr.Checkpoint(folder, every_seconds=every_seconds),
        verbose=verbose,
    )


def values(model, history):
    """All that must be the same to the bit."""
    arrays = {f"v{i}": v.numpy() for i, v in enumerate(model.variables)}
    return {**arrays, **{name: np.array(history[name]) for name in history}}


if __name__ == "__main__":
    network = make()
    print("begins", flush=True)
    record = fit(network, sys.argv[1])
    np.savez(sys.argv[2], **values(network, record))
