"""The ready networks: sizes, training, saving, seeds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ArgumentError, ShapeError
from chainrule.training.model import Model

Network = Callable[..., Model]

# network, input shape, trainable parameters for ten classes, other variables
SIZES: list[tuple[Network, tuple[int, ...], int, int]] = [
    (cr.networks.lenet5, (28, 28, 1), 61_706, 0),
    (cr.networks.small_cnn, (28, 28, 1), 458_570, 0),
    (cr.networks.resnet20, (32, 32, 3), 272_474, 1_568),
    (cr.networks.mobilenet_tiny, (32, 32, 3), 37_162, 1_472),
    (cr.networks.sound_cnn, (58, 40), 100_894, 456),
]
# with the shape of a small input
NETWORKS = [(row[0], (16, 16, 1)[: len(row[1])]) for row in SIZES]


def patterns(count: int, size: int = 16, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Pictures with a bright bar somewhere: lying, standing or none."""
    generator = np.random.default_rng(seed)
    x = generator.normal(0, 0.3, (count, size, size, 1)).astype("float32")
    y = generator.integers(0, 3, count).astype("int32")
    for picture, kind in zip(x, y, strict=True):
        row, column = generator.integers(1, size - 6, 2)
        if kind == 0:
            picture[row : row + 2, column : column + 6] += 2
        elif kind == 1:
            picture[row : row + 6, column : column + 2] += 2
    return x, y


@pytest.mark.parametrize(("network", "shape", "trainable", "others"), SIZES)
def test_sizes(network: Network, shape: Any, trainable: int, others: int) -> None:
    model = network(shape, 10)
    summary = model.summary()
    assert summary.complete
    assert (summary.trainable, summary.non_trainable) == (trainable, others)
    assert f"{trainable:,}" in (network.__doc__ or "")
    probabilities = model.predict(np.ones((3, *shape), "float32"))
    assert probabilities.shape == (3, 10)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)


def test_resnet20_by_hand() -> None:
    def block(channels: int, filters: int, changes: bool) -> int:
        convolutions = 9 * channels * filters + 9 * filters * filters + 4 * filters
        return convolutions + (channels * filters + 2 * filters if changes else 0)

    blocks = cr.networks.resnet20((32, 32, 3), 10).layers[4:13]
    assert [block.output_shape[1:] for block in blocks] == (
        [(32, 32, 16)] * 3 + [(16, 16, 32)] * 3 + [(8, 8, 64)] * 3
    )
    stem, head = 27 * 16 + 32, 64 * 10 + 10
    for changes, expected in [(True, 272_474), (False, 269_722)]:
        total = stem + 3 * block(16, 16, False) + head
        total += block(16, 32, changes) + 2 * block(32, 32, False)
        total += block(32, 64, changes) + 2 * block(64, 64, False)
        shortcut = "projection" if changes else "zeros"
        model = cr.networks.resnet20((32, 32, 3), 10, shortcut=shortcut)
        assert model.summary().trainable == total == expected


@pytest.mark.parametrize(("network", "shape"), NETWORKS)
def test_saved_and_loaded(tmp_path: Path, network: Network, shape: tuple[int, ...]) -> None:
    x, y = patterns(8)
    x = x.reshape(8, *shape)
    model = network(shape, 3, seed=1)
    options: dict[str, Any] = {"loss": "cross_entropy", "batch_size": 4, "verbose": 0}
    model.fit(x, y, epochs=1, seed=0, **options)
    model.save(tmp_path / "network.safetensors")
    loaded = cr.load_model(tmp_path / "network.safetensors")
    np.testing.assert_array_equal(loaded.predict(x), model.predict(x))
    assert str(loaded.summary()) == str(model.summary())
    for both in (model, loaded):
        both.fit(x, y, epochs=1, seed=0, **options)
    for name, variable in model.weights.items():
        np.testing.assert_array_equal(loaded.weights[name].numpy(), variable.numpy())


@pytest.mark.parametrize(("network", "shape"), NETWORKS)
def test_one_seed_gives_one_network(network: Network, shape: tuple[int, ...]) -> None:
    first, second, third = (network(shape, 3, seed=seed) for seed in (5, 5, 6))
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    name = next(iter(first.weights))
    assert not np.array_equal(first.weights[name].numpy(), third.weights[name].numpy())


def test_small_cnn_learns_patterns() -> None:
    x, y = patterns(240)
    model = cr.networks.small_cnn((16, 16, 1), 3, seed=0)
    model.fit(x, y, loss="cross_entropy", optimizer="adam", epochs=15, batch_size=16, seed=0,
              verbose=0)  # fmt: skip
    assert (model.predict(x).argmax(1) == y).mean() == 1.0
    fresh, classes = patterns(200, seed=1)
    assert (model.predict(fresh).argmax(1) == classes).mean() > 0.97


@pytest.mark.parametrize("network", [cr.networks.resnet20, cr.networks.mobilenet_tiny])
def test_networks_with_batch_normalisation_learn(network: Network) -> None:
    x, y = patterns(48, size=8)
    model = network((8, 8, 1), 3, seed=0)
    history = model.fit(x, y, loss="cross_entropy", optimizer=cr.optimizers.Adam(3e-3), epochs=8,
                        batch_size=16, seed=0, verbose=0)  # fmt: skip
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert np.isfinite(model.predict(x)).all()


@pytest.mark.parametrize("shape", [(28, 28), 28, (28, 28, 1, 1), None])
def test_bad_input_shape(shape: Any) -> None:
    with pytest.raises(ArgumentError, match=r"\[small_cnn\] bad input_shape"):
        cr.networks.small_cnn(shape, 10)
    with pytest.raises(ArgumentError, match=r"\[sound_cnn\] .* expected \(frames, bands\)"):
        cr.networks.sound_cnn((28, 28, 1), 10)


def test_pictures_too_small() -> None:
    with pytest.raises(ShapeError, match="window is larger than the input"):
        cr.networks.lenet5((8, 8, 1), 10)
