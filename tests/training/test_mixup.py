"""Mixup: shares by their distribution, losses against mixed targets, repeatable fits."""

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ArgumentError
from chainrule.training import TrainingStep
from chainrule.training.mixup import Mix, Mixup

RNG = np.random.default_rng(31)
X = RNG.uniform(size=(96, 5, 4, 1)).astype("float32")
Y = RNG.integers(0, 3, 96)


def network() -> cr.Sequential:
    return cr.Sequential([cr.layers.Flatten(), cr.layers.Dense(8, "tanh"), cr.layers.Dense(3)])


@pytest.mark.parametrize("alpha", [0.05, 0.2, 1.0, 5.0])
def test_shares_have_the_distribution_of_numpys_beta(alpha: float) -> None:
    mixup = Mixup(alpha, seed=1)
    draw = cr.jit(lambda n: mixup.draw(n).share)
    found = np.array([draw(2).item() for _ in range(4000)])
    drawn = RNG.beta(alpha, alpha, 400_000)
    expected = np.sort(np.maximum(drawn, 1 - drawn))
    assert 0.5 <= found.min() <= found.max() <= 1
    # Kolmogorov and Smirnov: 1.95 / sqrt(n) is exceeded once in a thousand times
    below = np.searchsorted(expected, np.sort(found), side="right") / expected.size
    steps = np.arange(1, found.size + 1) / found.size
    near_one = np.sort(found) > 0.9999  # float32 has few values there
    assert np.abs(below - steps)[~near_one].max() < 1.95 / np.sqrt(found.size)


def test_every_draw_has_other_partners() -> None:
    mixup = Mixup(0.4, seed=2)
    first, second = mixup.draw(50), mixup.draw(50)
    assert sorted(first.partners.tolist()) == list(range(50))
    assert first.partners.tolist() != second.partners.tolist()
    assert first.share.item() != second.share.item()


def test_inputs_and_loss_by_hand() -> None:
    partners, share = np.array([2, 0, 1]), 0.75
    mix = Mix(cr.tensor(partners), cr.tensor(share, "float32"))
    x = RNG.uniform(size=(3, 2, 2, 1)).astype("float32")
    expected = share * x + (1 - share) * x[partners]
    np.testing.assert_allclose(mix.inputs(cr.tensor(x)).numpy(), expected, rtol=1e-6)
    both = mix.inputs({"a": cr.tensor(x), "b": cr.tensor((x * 255).astype("uint8"))})
    np.testing.assert_allclose(both["a"].numpy(), expected, rtol=1e-6)
    assert both["b"].dtype == np.uint8
    whole = (x * 255).astype("uint8")
    rounded = np.rint(0.75 * whole + 0.25 * whole[partners])
    np.testing.assert_array_equal(both["b"].numpy(), rounded)

    y, weights = np.array([0, 2, 1]), np.array([1.0, 2.0, 5.0], "float32")
    logits = RNG.standard_normal((3, 3)).astype("float32")
    loss = cr.losses.get("cross_entropy")
    one_hot = np.eye(3)[y]
    log_shares = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    targets = share * one_hot + (1 - share) * one_hot[partners]
    found = mix.loss(loss)(cr.tensor(y), cr.tensor(logits))
    assert found.item() == pytest.approx(-(targets * log_shares).sum(1).mean(), rel=1e-5)
    own, other = weights / weights.sum(), weights[partners] / weights.sum()
    weighted = share * own[:, None] * one_hot + (1 - share) * other[:, None] * one_hot[partners]
    found = mix.loss(loss)(cr.tensor(y), cr.tensor(logits), sample_weight=cr.tensor(weights))
    assert found.item() == pytest.approx(-(weighted * log_shares).sum(), rel=1e-5)


def test_a_step_trains_on_mixed_rows() -> None:
    """One step of gradient descent of a linear model, against NumPy with the same draw."""
    x, y = X.reshape(96, 20), RNG.standard_normal((96, 1)).astype("float32")
    model = cr.Sequential([cr.layers.Dense(1, use_bias=False)])
    model(x)
    kernel = model.get_weights()[0]
    step = TrainingStep(
        model, cr.losses.get("mse"), cr.optimizers.SGD(0.1), mixup=Mixup(1.0, seed=4)
    )
    loss = step(x, y)
    mix = Mixup(1.0, seed=4).draw(96)
    share, partners = mix.share.item(), mix.partners.numpy()
    mixed = share * x + (1 - share) * x[partners]
    errors = [mixed @ kernel - y, mixed @ kernel - y[partners]]
    parts = [share, 1 - share]
    assert loss == pytest.approx(sum(p * (e**2).mean() for p, e in zip(parts, errors)), rel=1e-5)
    gradient = sum(p * 2 * mixed.T @ e / 96 for p, e in zip(parts, errors))
    np.testing.assert_allclose(model.get_weights()[0], kernel - 0.1 * gradient, atol=1e-6)


class Watching(cr.callbacks.Callback):
    def on_train_batch_end(self, batch: int, logs: Any) -> None:
        pass


def fitted(threads: int | None = None, **options: Any) -> list[np.ndarray]:
    with cr.settings(threads=threads):
        model = network()
        settings = {"epochs": 3, "seed": 6, "mixup": 0.3, "verbose": 0, **options}
        history = model.fit(X, Y, loss="cross_entropy", metrics=["accuracy"], **settings)
        return [*model.get_weights(), np.array(history["loss"]), np.array(history["accuracy"])]


def test_a_fit_is_repeatable_to_the_bit() -> None:
    first = fitted(1)
    for other in (fitted(1), fitted(2), fitted(None, callbacks=[Watching()])):
        for a, b in zip(first[:-2], other, strict=False):
            assert a.tobytes() == b.tobytes()
        np.testing.assert_allclose(first[-2], other[-2], rtol=1e-6)
    for other in (fitted(mixup=0.0), fitted(seed=7), fitted(mixup=0.4)):
        assert not np.array_equal(first[0], other[0])


def test_a_second_fit_with_the_same_seed_draws_the_same() -> None:
    optimizer = cr.optimizers.SGD(0.1)
    model = network()
    model.ensure_built((None, 5, 4, 1))
    start, found = model.get_weights(), []
    for _ in range(2):
        model.set_weights(start)
        model.fit(X, Y, loss="cross_entropy", optimizer=optimizer, seed=1, mixup=0.5)
        found.append(model.get_weights()[0])
    np.testing.assert_array_equal(found[0], found[1])


def test_the_draws_belong_to_the_state_of_a_step() -> None:
    mixup = Mixup(0.2)
    model = network()
    model(X)
    step = TrainingStep(model, cr.losses.get("cross_entropy"), cr.optimizers.SGD(0.1), [], mixup)
    assert any(variable is mixup.generator.state for variable, _ in step.state())


def test_bad_input() -> None:
    with pytest.raises(ArgumentError, match="bad mixup"):
        fitted(mixup=-1.0)
    with pytest.raises(ArgumentError, match="mixup does not go with lbfgs"):
        fitted(optimizer="lbfgs")
    tokens = cr.Sequential([cr.layers.Embedding(9, 4), cr.layers.Flatten(), cr.layers.Dense(3)])
    with pytest.raises(ArgumentError, match="no quantities"):
        tokens.fit(RNG.integers(0, 9, (8, 3)), Y[:8], loss="cross_entropy", mixup=0.2)
    with pytest.raises(ArgumentError, match="a number above 0"):
        Mixup(0.0)
