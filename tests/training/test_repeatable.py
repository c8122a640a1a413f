"""One seed makes a run repeatable to the bit, also in another process."""

import hashlib
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import chainrule as cr

PROGRAM = """
import hashlib, numpy as np, chainrule as cr
{before}
rng = np.random.default_rng(5)
x, y = rng.normal(size=(150, 6)), rng.integers(0, 3, 150)
model = cr.Sequential([
    cr.layers.Dense(16, activation="relu"), cr.layers.BatchNormalization(),
    cr.layers.Dropout(0.3), cr.layers.Dense(3),
])
history = model.fit(
    x, y, loss="cross_entropy", metrics=["accuracy"], epochs=4, validation_split=0.2,
    early_stopping=True, {options}
)
numbers = [np.array(history[name]) for name in history] + model.get_weights()
print(hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in numbers)).hexdigest())
"""


def run(before: str = "", options: str = "") -> str:
    program = PROGRAM.format(before=before, options=options)
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return result.stdout.strip()


def test_the_same_seed_gives_the_same_bits_in_two_processes() -> None:
    runs = [run(options=f"seed={seed}") for seed in (11, 11, 12)]
    assert runs[0] == runs[1] != runs[2]
    assert len(runs[0]) == len(hashlib.sha256().hexdigest())


def test_set_seed_does_the_same() -> None:
    runs = [run(before=f"cr.set_seed({seed})") for seed in (11, 11, 12)]
    assert runs[0] == runs[1] != runs[2]


def network() -> cr.Sequential:
    return cr.Sequential([cr.layers.Dense(8), cr.layers.Dropout(0.5), cr.layers.Dense(1)])


X = np.random.default_rng(0).normal(size=(64, 4))
Y = X.sum(axis=1)


def losses(model: cr.Model, **options: Any) -> list[float]:
    return model.fit(X, Y, loss="mse", epochs=2, **options)["loss"]


def test_without_a_seed_runs_differ() -> None:
    assert losses(network()) != losses(network())


def test_a_seed_leaves_weights_alone_that_are_there_already() -> None:
    first, second = network(), network()
    first(X), second(X)
    second.set_weights(first.get_weights())
    before = first.get_weights()
    history = first.fit(X, Y, loss="mse", optimizer=cr.optimizers.SGD(0.0), seed=1)
    assert all((a == b).all() for a, b in zip(before, first.get_weights()))
    again = second.fit(X, Y, loss="mse", optimizer=cr.optimizers.SGD(0.0), seed=1)
    assert history["loss"] == again["loss"]  # dropout draws the same


def test_a_seed_of_the_model_wins_over_that_of_fit() -> None:
    one, two = network(), network()
    one.tree_seed = two.tree_seed = 3
    one.fit(X, Y, loss="mse", optimizer=cr.optimizers.SGD(0.0), seed=1)
    two.fit(X, Y, loss="mse", optimizer=cr.optimizers.SGD(0.0), seed=2)
    assert all((a == b).all() for a, b in zip(one.get_weights(), two.get_weights()))


@pytest.mark.parametrize("shuffle", [True, False])
def test_rows_are_shuffled_anew_in_each_epoch(shuffle: bool) -> None:
    from chainrule.training.batches import Batches, Data

    data = Data(np.arange(10.0)[:, None], np.arange(10.0))
    batches = Batches(data, 4, 7 if shuffle else None)
    epochs = [[b.y.tolist() for b in batches.epoch(epoch)] for epoch in range(3)]
    assert [len(rows) for rows in epochs[0]] == [4, 4, 2]
    for epoch in epochs:
        assert sorted(row for rows in epoch for row in rows) == list(range(10))
    assert (epochs[0] == epochs[1]) is not shuffle
    assert epochs[1] == [b.y.tolist() for b in batches.epoch(1)]
