"""How the estimators train: weights, goals, early stopping, seeds, losses, own models."""

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ArgumentError, DataError
from chainrule.estimators import NetworkClassifier, NetworkRegressor

rng = np.random.default_rng(0)
X = rng.normal(size=(200, 3))
CLASSES = np.where(X[:, 0] > 0.5, "high", np.where(X[:, 1] > 0, "left", "right"))
SIGNS = (X[:, 0] + X[:, 1] > 0).astype(int)
NUMBERS = 100 * X[:, 0] - 50 * X[:, 1] + 1000


@pytest.mark.parametrize("kind", [NetworkClassifier, NetworkRegressor])
def test_weights_count_like_repeated_rows(kind: Any) -> None:
    """In a small table, a whole number of weight is that many rows, in any order."""
    weights = rng.integers(0, 4, 30)
    again = np.repeat(np.arange(30), weights)
    weighted = kind(epochs=60, random_state=0).fit(X[:30], SIGNS[:30], sample_weight=weights)
    repeated = kind(epochs=60, random_state=0, batch_size=None, early_stopping=False, dropout=0.0)
    if len(again) >= 50:
        again = again[:49]
        weights = np.bincount(again, minlength=30)
        weighted = kind(epochs=60, random_state=0).fit(X[:30], SIGNS[:30], sample_weight=weights)
    repeated.fit(X[again], SIGNS[again])
    method = "predict_proba" if kind is NetworkClassifier else "predict"
    np.testing.assert_allclose(
        getattr(weighted, method)(X), getattr(repeated, method)(X), rtol=1e-7
    )


def test_weights_times_a_number_change_nothing() -> None:
    weights = rng.random(200) + 0.1
    one = NetworkRegressor(epochs=5, random_state=0).fit(X, NUMBERS, sample_weight=weights)
    other = NetworkRegressor(epochs=5, random_state=0).fit(X, NUMBERS, sample_weight=4 * weights)
    np.testing.assert_allclose(one.predict(X), other.predict(X), rtol=1e-4)


def test_class_weights_pull_towards_a_class() -> None:
    y = (X[:, 0] > 1.2).astype(int)
    plain = NetworkClassifier(epochs=30, random_state=0).fit(X, y)
    balanced = NetworkClassifier(epochs=30, class_weight="balanced", random_state=0).fit(X, y)
    heavy = NetworkClassifier(epochs=30, class_weight={1: 50.0}, random_state=0).fit(X, y)
    means = [c.predict_proba(X)[:, 1].mean() for c in (plain, balanced, heavy)]
    assert means[0] < means[1] < means[2]


def test_balanced_weights_are_the_formula() -> None:
    y = np.array([0] * 30 + [1] * 10)
    by_word = NetworkClassifier(epochs=5, class_weight="balanced", random_state=0).fit(X[:40], y)
    by_hand = NetworkClassifier(epochs=5, class_weight={0: 40 / 60, 1: 40 / 20}, random_state=0)
    np.testing.assert_allclose(
        by_hand.fit(X[:40], y).predict_proba(X), by_word.predict_proba(X), rtol=1e-6
    )


def test_class_weight_for_an_unknown_class_is_refused() -> None:
    with pytest.raises(DataError, match="'maybe'"):
        NetworkClassifier(class_weight={"maybe": 2.0}).fit(X, CLASSES)
    with pytest.raises(ArgumentError, match="several labels"):
        NetworkClassifier(class_weight="balanced").fit(X, (X > 0).astype(int))


def test_until_stops_at_the_plain_loss() -> None:
    classifier = NetworkClassifier(until={"loss": 0.3}, random_state=0).fit(X, SIGNS)
    assert classifier.history_ is not None
    assert classifier.history_.stopped_by == "until"
    assert classifier.loss_ is not None
    assert classifier.loss_ <= 0.3
    assert "val_loss" not in classifier.history_
    assert classifier.n_iter_ == len(classifier.loss_curve_ or [])


def test_until_may_watch_held_out_rows() -> None:
    regressor = NetworkRegressor(until={"val_r2": 0.8}, random_state=0).fit(X, NUMBERS)
    assert regressor.history_ is not None
    assert regressor.history_["val_r2"][-1] >= 0.8


def test_early_stopping_can_be_turned_off_and_set() -> None:
    off = NetworkRegressor(epochs=4, early_stopping=False, random_state=0).fit(X, NUMBERS)
    assert off.n_iter_ == 4
    assert off.history_ is not None
    assert "val_loss" not in off.history_
    whole = NetworkRegressor(epochs=4, validation_fraction=0, random_state=0).fit(X, NUMBERS)
    np.testing.assert_array_equal(whole.predict(X), off.predict(X))
    own = cr.callbacks.EarlyStopping("val_r2", patience=2)
    regressor = NetworkRegressor(early_stopping=own, random_state=0).fit(X, NUMBERS)
    assert regressor.n_iter_ < 300
    held = NetworkRegressor(epochs=2, early_stopping=False, validation_fraction=0.3)
    assert "val_loss" in held.fit(X, NUMBERS).history_


def test_same_seed_same_bits_and_another_seed_another_network() -> None:
    first, second, third = (
        NetworkClassifier(epochs=3, random_state=seed).fit(X, CLASSES).predict_proba(X)
        for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, third)


def test_random_state_may_be_a_generator_of_numpy() -> None:
    for make in (np.random.RandomState, np.random.default_rng):
        pair = [NetworkRegressor(epochs=1, random_state=make(3)).fit(X, NUMBERS) for _ in range(2)]
        np.testing.assert_array_equal(pair[0].predict(X), pair[1].predict(X))


def test_fitting_again_forgets() -> None:
    used = NetworkClassifier(epochs=3, random_state=0).fit(X, CLASSES).fit(X, SIGNS)
    fresh = NetworkClassifier(epochs=3, random_state=0).fit(X, SIGNS)
    np.testing.assert_array_equal(used.predict_proba(X), fresh.predict_proba(X))


def test_partial_fit_learns_in_pieces() -> None:
    classifier = NetworkClassifier(random_state=0)
    for _ in range(40):
        for start in range(0, 200, 100):
            rows = slice(start, start + 100)
            classifier.partial_fit(X[rows], CLASSES[rows], classes=np.unique(CLASSES))
    assert classifier.score(X, CLASSES) > 0.85
    assert classifier.n_iter_ == 80
    assert len(classifier.loss_curve_ or []) == 80


def test_partial_fit_refuses_other_classes() -> None:
    classifier = NetworkClassifier(random_state=0).partial_fit(X, SIGNS, classes=[0, 1])
    with pytest.raises(DataError, match="other classes"):
        classifier.partial_fit(X, SIGNS, classes=[0, 1, 2])
    with pytest.raises(DataError, match="not in the training data"):
        classifier.partial_fit(X, SIGNS + 1)


def test_partial_fit_of_numbers_and_labels() -> None:
    regressor = NetworkRegressor(random_state=0)
    for _ in range(60):
        regressor.partial_fit(X, NUMBERS)
    assert regressor.score(X, NUMBERS) > 0.8
    labels = NetworkClassifier(random_state=0).partial_fit(X, (X > 0).astype(int))
    assert labels.predict(X).shape == (200, 3)


@pytest.mark.parametrize(
    "loss", ["cross_entropy", "focal", "mse", lambda t, p: cr.mean(abs(t - p), axis=-1)]
)
def test_losses_of_classes(loss: Any) -> None:
    classifier = NetworkClassifier(loss=loss, epochs=60, random_state=0).fit(X, CLASSES)
    assert classifier.score(X, CLASSES) > 0.8
    np.testing.assert_allclose(classifier.predict_proba(X).sum(axis=1), 1, rtol=1e-5)


def test_binary_cross_entropy_has_one_output() -> None:
    classifier = NetworkClassifier(loss="binary_cross_entropy", epochs=40, random_state=0)
    assert classifier.fit(X, SIGNS).score(X, SIGNS) > 0.85
    assert classifier.predict_proba(X).shape == (200, 2)
    assert classifier.model_(X[:1].astype("float32")).shape == (1, 1)


@pytest.mark.parametrize("loss", ["binary_cross_entropy", "hinge"])
def test_losses_that_do_not_fit_classes(loss: str) -> None:
    with pytest.raises(ArgumentError, match="To fix"):
        NetworkClassifier(loss=loss).fit(X, CLASSES)


@pytest.mark.parametrize("loss", ["mae", "huber", "quantile"])
def test_losses_of_numbers(loss: str) -> None:
    regressor = NetworkRegressor(loss=loss, epochs=100, random_state=0).fit(X, NUMBERS)
    assert regressor.score(X, NUMBERS) > 0.8


def test_counts_by_poisson_are_never_negative() -> None:
    counts = np.random.default_rng(1).poisson(np.exp(X[:, 0]))
    regressor = NetworkRegressor(loss="poisson", epochs=60, random_state=0).fit(X, counts)
    assert regressor.predict(X).min() >= 0
    assert regressor.score(X, counts) > 0.3


def test_own_model_is_copied_not_changed() -> None:
    model = cr.Sequential([cr.layers.Dense(8, activation="tanh"), cr.layers.Dense(3)])
    classifier = NetworkClassifier(model=model, epochs=60, random_state=0).fit(X, CLASSES)
    assert classifier.score(X, CLASSES) > 0.8
    assert not model.built


@pytest.mark.parametrize("activation", ["softmax", "log_softmax", None])
def test_own_model_may_end_in_any_form_of_probabilities(activation: str | None) -> None:
    def build(n_features: int, n_outputs: int) -> cr.Model:
        assert (n_features, n_outputs) == (3, 3)
        return cr.Sequential([cr.layers.Dense(n_outputs, activation=activation)])

    classifier = NetworkClassifier(model=build, epochs=40, random_state=0).fit(X, CLASSES)
    shares = classifier.predict_proba(X)
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)
    assert classifier.score(X, CLASSES) > 0.7


@pytest.mark.parametrize("activation", ["sigmoid", None])
def test_own_model_with_one_output_for_two_classes(activation: str | None) -> None:
    def build() -> cr.Model:
        return cr.Sequential([cr.layers.Dense(1, activation=activation)])

    classifier = NetworkClassifier(model=build, epochs=60, random_state=0).fit(X, SIGNS)
    assert classifier.score(X, SIGNS) > 0.9


def test_own_model_of_another_kind_is_refused() -> None:
    with pytest.raises(ArgumentError, match="does not return a Model"):
        NetworkClassifier(model=lambda: cr.layers.Dense(2)).fit(X, SIGNS)
    with pytest.raises(ValueError, match=r"^\["):
        NetworkClassifier(model=lambda: cr.Sequential([cr.layers.Dense(2)])).fit(X, CLASSES)


def test_own_model_takes_images_as_they_are() -> None:
    images = np.zeros((60, 4, 4, 1), np.float32)
    y = np.arange(60) % 2
    images[y == 1, 1, 1, 0] = 1.0

    def build() -> cr.Model:
        return cr.Sequential([cr.layers.Flatten(), cr.layers.Dense(2)])

    classifier = NetworkClassifier(model=build, epochs=60, random_state=0).fit(images, y)
    assert classifier.score(images, y) == 1.0


def test_without_preprocessing_numbers_stay_as_they_are() -> None:
    x = X.astype(np.float32)
    regressor = NetworkRegressor(preprocessing=False, epochs=2, random_state=0).fit(x, NUMBERS)
    assert regressor.preprocessor_ is None
    expected = regressor.target_encoder_.inverse(regressor.model_.predict(x))
    np.testing.assert_array_equal(regressor.predict(x), expected)
    with pytest.raises(DataError, match="missing"):
        NetworkRegressor(preprocessing=False).fit(np.where(x > 2, np.nan, x), NUMBERS)


def test_preprocessing_may_be_set() -> None:
    chosen = cr.data.TablePreprocessor(impute="median")
    x = np.where(X > 1.5, np.nan, X)
    regressor = NetworkRegressor(preprocessing=chosen, epochs=1).fit(x, NUMBERS)
    assert regressor.preprocessor_ is not None
    assert regressor.preprocessor_.impute == "median"
    assert regressor.preprocessor_ is not chosen


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "lbfgs", "nesterov"])
def test_optimizers_by_name(optimizer: str) -> None:
    regressor = NetworkRegressor(optimizer=optimizer, epochs=80, random_state=0).fit(X, NUMBERS)
    assert regressor.score(X, NUMBERS) > 0.8


def test_optimizer_object_is_not_used_up() -> None:
    optimizer = cr.optimizers.Adam(cr.optimizers.CosineDecay(0.01, 200))
    pair = [
        NetworkRegressor(optimizer=optimizer, epochs=3, random_state=0).fit(X, NUMBERS)
        for _ in range(2)
    ]
    np.testing.assert_array_equal(pair[0].predict(X), pair[1].predict(X))


def test_callbacks_are_called() -> None:
    seen: list[int] = []
    watch = cr.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
    NetworkRegressor(callbacks=[watch], epochs=3, early_stopping=False).fit(X, NUMBERS)
    assert seen == [0, 1, 2]


def test_curved_border_is_learnt() -> None:
    """The plateau at the straight border must not end the training."""
    angle = rng.uniform(0, np.pi, 500)
    side = np.arange(500) % 2
    moons = np.stack([np.cos(angle) + side, np.sin(angle) * (1 - 2 * side) + side * 0.5], axis=1)
    moons += rng.normal(0, 0.15, moons.shape)
    classifier = NetworkClassifier(random_state=0).fit(moons[:400], side[:400])
    assert classifier.score(moons[400:], side[400:]) > 0.93
