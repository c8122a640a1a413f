"""fit, evaluate, predict: what is computed, and when it stops."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from small_networks import blobs, dense, line_data

import chainrule as cr
from chainrule.training.step import TrainingStep


def test_loss_falls_and_history_counts() -> None:
    x, y = line_data()
    model = dense(1)
    history = model.fit(x, y, loss="mse", optimizer=cr.optimizers.SGD(0.1), epochs=40, seed=0)
    assert history.epochs == len(history["loss"]) == len(history) == 40
    assert history["loss"][-1] < 1e-3 < history["loss"][0]
    assert (history.stopped_by, history.stopped) == ("epochs", "all 40 epochs done")
    assert history.seconds > 0


def test_tape_loop_gives_the_same_weights() -> None:
    x, y = line_data(64)
    by_fit, by_hand = dense(8, 1), dense(8, 1)
    by_fit(x), by_hand(x)
    by_hand.set_weights(by_fit.get_weights())
    by_fit.fit(
        x,
        y,
        loss="mse",
        optimizer=cr.optimizers.Adam(0.01),
        epochs=25,
        batch_size=16,
        shuffle=False,
    )
    loss_function, optimizer = cr.losses.MeanSquaredError(), cr.optimizers.Adam(0.01)
    for _ in range(25):
        for start in range(0, 64, 16):
            rows = slice(start, start + 16)
            with cr.GradientTape() as tape:
                loss = loss_function(y[rows, None], by_hand(x[rows], training=True))
            gradients = tape.gradient(loss, by_hand.trainable_variables)
            optimizer.apply_gradients(zip(gradients, by_hand.trainable_variables))
    for fitted, written in zip(by_fit.get_weights(), by_hand.get_weights()):
        np.testing.assert_allclose(fitted, written, rtol=1e-12, atol=1e-14)


def test_short_last_batch_is_weighted_by_its_rows() -> None:
    x, y = line_data(70)
    model = dense(1)
    model(x)
    expected = float(np.mean((model.predict(x)[:, 0] - y) ** 2))
    optimizer = cr.optimizers.SGD(0.0)
    history = model.fit(x, y, loss="mse", metrics=["mae"], optimizer=optimizer, batch_size=32)
    assert history["loss"][0] == pytest.approx(expected, rel=1e-12)
    mean = float(np.mean(np.abs(model.predict(x)[:, 0] - y)))
    assert history["mae"][0] == pytest.approx(mean, rel=1e-12)
    assert model.evaluate(x, y, batch_size=33)["loss"] == pytest.approx(expected, rel=1e-12)


def test_metrics_start_afresh_in_each_epoch() -> None:
    x, y = line_data(40)
    history = dense(1).fit(
        x, y, loss="mse", metrics=["mae"], optimizer=cr.optimizers.SGD(0.0), epochs=3,
        validation_data=(x + 5, y),
    )  # fmt: skip
    assert history["mae"] == pytest.approx([history["mae"][0]] * 3, rel=1e-12)
    assert history["val_mae"] == pytest.approx([history["val_mae"][0]] * 3, rel=1e-12)


def test_a_step_is_traced_at_most_twice() -> None:
    x, y = line_data(70)
    model = dense(4, 1)
    model.fit(x, y, loss="mse", epochs=3, batch_size=32, validation_split=0.2)
    assert len(model._setup.step._compiled_rows.graphs) == 2
    assert len(model._setup.evaluation._compiled.graphs) == 1


def test_whole_step_is_one_graph() -> None:
    x, y = line_data(20)
    model = cr.Sequential([
        cr.layers.Dense(4, kernel_regularizer="l2"), cr.layers.BatchNormalization(),
        cr.layers.Dropout(0.5), cr.layers.Dense(1),
    ])  # fmt: skip
    model(x)
    metric = cr.metrics.get("mae")
    step = TrainingStep(model, cr.losses.get("mse"), cr.optimizers.Adam(), [metric])
    before = [v.numpy() for v in model.variables]
    state = model.generators[0].state.numpy()
    step(x, y[:, None])
    assert len(step._compiled.graphs) == 1
    assert all((a != b).any() for a, b in zip(before, model.get_weights()) if a.size > 1)
    assert (state != model.generators[0].state.numpy()).any()
    assert metric.result() > 0


def test_penalties_are_in_the_loss() -> None:
    x, y = line_data(20)
    model = dense(1, kernel_regularizer=cr.regularizers.L2(0.5))
    model(x)
    plain = float(np.mean((model.predict(x)[:, 0] - y) ** 2))
    penalty = 0.5 * float((model.weights["dense/kernel"].numpy() ** 2).sum())
    assert model.evaluate(x, y, loss="mse")["loss"] == pytest.approx(plain + penalty, rel=1e-12)
    history = model.fit(x, y, loss="mse", optimizer=cr.optimizers.SGD(0.1), batch_size=None)
    assert history["loss"][0] == pytest.approx(plain + penalty, rel=1e-12)


# ---- weights


def test_sample_weights_act_as_repeated_rows() -> None:
    x, y = line_data(12)
    weights = np.array([0, 1, 2] * 4, float)
    repeated = np.repeat(np.arange(12), weights.astype(int))
    models = [dense(1), dense(1)]
    for model in models:
        model(x)
        model.set_weights(models[0].get_weights())
    options: Any = {"loss": "mse", "batch_size": None, "epochs": 10}
    one = models[0].fit(x, y, sample_weight=weights, optimizer=cr.optimizers.SGD(0.1), **options)
    two = models[1].fit(x[repeated], y[repeated], optimizer=cr.optimizers.SGD(0.1), **options)
    np.testing.assert_allclose(one["loss"], two["loss"], rtol=1e-12)
    np.testing.assert_allclose(models[0].get_weights()[0], models[1].get_weights()[0], rtol=1e-12)


@pytest.mark.parametrize("one_hot", [False, True])
def test_class_weights_are_sample_weights_by_class(one_hot: bool) -> None:
    x, y = blobs(30)
    targets = np.eye(3, dtype=int)[y] if one_hot else y
    table = np.array([1.0, 2.0, 5.0])
    models = [dense(3), dense(3)]
    for model in models:
        model(x)
        model.set_weights(models[0].get_weights())
    options: Any = {"loss": "cross_entropy", "batch_size": None, "epochs": 5}
    one = models[0].fit(x, targets, class_weight=dict(enumerate(table)), **options)
    two = models[1].fit(x, targets, sample_weight=table[y], **options)
    assert one["loss"] == two["loss"]
    balanced = dense(3).fit(x, targets, class_weight="balanced", **options)
    assert np.isfinite(balanced["loss"][-1])


def test_batches_without_weight_are_left_out() -> None:
    x, y = line_data(40)
    weights = np.zeros(40)
    weights[5] = 1.0
    optimizer = cr.optimizers.SGD(0.1, momentum=0.9)
    history = dense(1).fit(
        x, y, loss="mse", sample_weight=weights, batch_size=4, epochs=3, optimizer=optimizer
    )
    assert np.isfinite(history["loss"]).all()
    assert int(optimizer.iterations) == 3  # momentum did not move the weights meanwhile


def test_class_and_sample_weights_multiply() -> None:
    x, y = blobs(30)
    rows = np.linspace(0.1, 1, 30)
    table = np.array([1.0, 2.0, 5.0])
    models = [dense(3), dense(3)]
    for model in models:
        model(x)
        model.set_weights(models[0].get_weights())
    options: Any = {"loss": "cross_entropy", "batch_size": None, "epochs": 3}
    both = models[0].fit(x, y, class_weight=dict(enumerate(table)), sample_weight=rows, **options)
    one = models[1].fit(x, y, sample_weight=table[y] * rows, **options)
    assert both["loss"] == one["loss"]


# ---- the rest


def test_fit_goes_on_with_an_optimizer_object() -> None:
    x, y = line_data(32)
    one, two = dense(1), dense(1)
    one(x), two(x)
    two.set_weights(one.get_weights())
    first, second = cr.optimizers.Adam(0.01), cr.optimizers.Adam(0.01)
    options: Any = {"loss": "mse", "batch_size": None}
    one.fit(x, y, optimizer=first, epochs=10, **options)
    two.fit(x, y, optimizer=second, epochs=5, **options)
    step = two._setup.step
    two.fit(x, y, optimizer=second, epochs=5, **options)
    assert two._setup.step is step
    np.testing.assert_array_equal(one.get_weights()[0], two.get_weights()[0])
    two.fit(x, y, optimizer="adam", **options)
    step = two._setup.step
    two.fit(x, y, optimizer="adam", **options)
    assert two._setup.step is not step  # a name means a new optimizer, without old moments
    assert int(two._setup.optimizer.iterations) == 1


def test_freezing_a_layer_between_fits_is_noticed() -> None:
    x, y = line_data(32)
    model = dense(4, 1)
    optimizer = cr.optimizers.SGD(0.1)
    model.fit(x, y, loss="mse", optimizer=optimizer)
    model.layers[0].trainable = False
    frozen, before = model.layers[0].get_weights(), model.layers[1].get_weights()
    model.fit(x, y, loss="mse", optimizer=optimizer)
    assert all((a == b).all() for a, b in zip(frozen, model.layers[0].get_weights()))
    assert (before[0] != model.layers[1].get_weights()[0]).any()


def test_lbfgs_uses_all_rows_and_stops_when_it_has_converged() -> None:
    x, y = line_data(50)
    model = dense(1)
    history = model.fit(
        x, y, loss="mse", optimizer="lbfgs", epochs=200, metrics=["mae"], batch_size=8
    )
    assert history["loss"][-1] < 1e-10
    assert history.epochs < 50
    assert history.stopped_by == "converged"
    assert any("batch_size=8 has no effect" in note for note in history.notes)
    assert model.evaluate(x, y)["loss"] == pytest.approx(history["loss"][-1], abs=1e-12)


def test_lbfgs_is_given_one_function_while_the_data_stay() -> None:
    x, y = line_data(50)
    model = dense(4, 1)
    model.fit(x, y, loss="mse", optimizer="lbfgs")
    step = model._setup.step
    data = cr.tensor(x), cr.tensor(y[:, None])
    step(*data)
    function = step._function
    step(*data)
    assert step._function is function
    step(cr.tensor(x), data[1])
    assert step._function is not function


def test_two_inputs_as_tuple_and_as_dict() -> None:
    class Two(cr.Model):
        def __init__(self, as_dict: bool) -> None:
            super().__init__()
            self.as_dict = as_dict
            self.left, self.right = cr.layers.Dense(4), cr.layers.Dense(1)

        def call(self, inputs: Any) -> Any:
            a, b = (inputs["a"], inputs["b"]) if self.as_dict else inputs
            return self.right(cr.concatenate([self.left(a), b], axis=-1))

    x, y = line_data(50)
    losses = []
    for as_dict in (False, True):
        inputs = {"a": x[:, :2], "b": x[:, 2:]} if as_dict else (x[:, :2], x[:, 2:])
        model = Two(as_dict)
        history = model.fit(
            inputs, y, loss="mse", epochs=3, seed=0, validation_split=0.2, batch_size=16
        )
        losses.append(history["loss"])
        assert model.predict(inputs, batch_size=7).shape == (50, 1)
    assert losses[0] == losses[1]


def test_the_loss_may_be_any_function() -> None:
    x, y = line_data(40)

    def absolute(y_true: Any, y_pred: Any) -> Any:
        return cr.mean(cr.abs(y_true - y_pred), axis=-1)

    model = dense(1)
    history = model.fit(x, y, loss=absolute, optimizer=cr.optimizers.SGD(0.01), epochs=5)
    by_name = model.evaluate(x, y, loss="mae")
    assert model.evaluate(x, y)["loss"] == pytest.approx(by_name["loss"], rel=1e-12)
    assert history["loss"][-1] < history["loss"][0]


def test_folded_softmax_is_noted() -> None:
    x, y = blobs()
    model = cr.Sequential([cr.layers.Dense(3, activation="softmax")])
    history = model.fit(x, y, loss="cross_entropy", metrics=["accuracy"], epochs=2)
    assert any("softmax is folded" in note for note in history.notes)
    np.testing.assert_allclose(model.predict(x).sum(axis=1), 1, rtol=1e-5)


def test_an_unused_layer_is_noted_and_left_alone() -> None:
    class Spare(cr.Model):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.spare = cr.layers.Dense(1), cr.layers.Dense(1)

        def call(self, inputs: Any) -> Any:
            return self.used(inputs) + cr.stop_gradient(self.spare(inputs))

    x, y = line_data(20)
    history = Spare().fit(x, y, loss="mse")
    assert any("spare/kernel" in note for note in history.notes)


def test_a_model_whose_loss_depends_on_nothing_is_an_error() -> None:
    class Cut(cr.Model):
        def __init__(self) -> None:
            super().__init__()
            self.out = cr.layers.Dense(1)

        def call(self, inputs: Any) -> Any:
            return cr.stop_gradient(self.out(inputs))

    x, y = line_data(20)
    with pytest.raises(cr.errors.GradientError, match="does not depend on any trainable variable"):
        Cut().fit(x, y, loss="mse")


def test_predict_in_batches_and_at_once_agree() -> None:
    x, _ = line_data(50)
    model = dense(4, 1)
    np.testing.assert_allclose(
        model.predict(x, batch_size=7), model.predict(x, batch_size=None), rtol=1e-12
    )
    assert model.predict(x[:1]).shape == (1, 1)


def test_model_dtype_follows_its_layers() -> None:
    x, y = line_data(20)
    model = dense(1)
    model.fit(x, y, loss="mse")
    assert model.dtype == "float64"
    assert model.predict(x).dtype == np.float64
    single = dense(1, dtype="float32")
    single.fit(x, y, loss="mse")
    assert single.predict(x).dtype == np.float32


def test_a_changed_network_is_compiled_again() -> None:
    class Net(cr.Model):
        def __init__(self) -> None:
            super().__init__()
            self.scale = 1.0
            self.out = cr.layers.Dense(1)

        def call(self, inputs: Any) -> Any:
            return self.out(inputs) * self.scale

    x, y = line_data(20)
    model = Net()
    model.fit(x, y, loss="mse")
    before = model.predict(x)
    compiled = model.compiled_call
    assert model.compiled_call is compiled
    model.scale = 3.0
    np.testing.assert_allclose(model.predict(x), 3 * before, rtol=1e-6)
    model.out = cr.layers.Dense(2)
    assert model.predict(x).shape == (20, 2)


def test_copies_and_pickles_are_models_of_their_own() -> None:
    x, y = line_data(20)
    model = dense(4, 1)
    model.fit(x, y, loss="mse")
    expected = model.predict(x)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):  # noqa: S301 - made here
        np.testing.assert_array_equal(twin.predict(x), expected)
        twin.fit(x, y, loss="mse", epochs=2)
        np.testing.assert_array_equal(model.predict(x), expected)


def test_a_schedule_is_logged_and_the_average_of_weights_is_noted() -> None:
    x, y = line_data(32)
    optimizer = cr.optimizers.SGD(cr.optimizers.ExponentialDecay(0.1, 2, 0.5), ema_decay=0.9)
    history = dense(1).fit(x, y, loss="mse", optimizer=optimizer, epochs=3, batch_size=16)
    assert history["learning_rate"] == pytest.approx([0.05, 0.025, 0.0125])
    assert any("swap_ema" in note for note in history.notes)


def test_nothing_to_train_is_an_error() -> None:
    x, y = line_data(20)
    model = dense(1)
    model.trainable = False
    with pytest.raises(cr.errors.ArgumentError, match="nothing to train"):
        model.fit(x, y, loss="mse")


def test_a_matrix_cannot_be_a_goal() -> None:
    x, y = blobs()
    options: Any = {"loss": "cross_entropy", "metrics": ["confusion_matrix"]}
    assert np.shape(dense(3).fit(x, y, **options)["confusion_matrix"][0]) == (3, 3)
    stopping = cr.callbacks.EarlyStopping("confusion_matrix")
    goals: list[Any] = [{"until": {"confusion_matrix": 1}}, {"early_stopping": stopping}]
    for extra in goals:
        with pytest.raises(cr.errors.ArgumentError, match="no single number"):
            dense(3).fit(x, y, **options, **extra)


def test_an_optimizer_belongs_to_one_model() -> None:
    x, y = line_data(20)
    optimizer = cr.optimizers.Adam(0.01)
    dense(1).fit(x, y, loss="mse", optimizer=optimizer)
    with pytest.raises(cr.errors.StateError, match="new optimizer for another model"):
        dense(1).fit(x, y, loss="mse", optimizer=optimizer)


def test_thawing_a_layer_goes_on_with_the_same_optimizer() -> None:
    x, y = line_data(20)
    model = dense(4, 1)
    model(x)
    model.layers[0].trainable = False
    optimizer = cr.optimizers.Adam(0.01)
    model.fit(x, y, loss="mse", optimizer=optimizer)
    model.layers[0].trainable = True
    before = model.layers[0].get_weights()[0]
    model.fit(x, y, loss="mse", optimizer=optimizer)
    assert (model.layers[0].get_weights()[0] != before).any()


def test_a_single_metric_and_callback_need_no_list() -> None:
    x, y = line_data(20)
    seen: list[int] = []
    callback = cr.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
    model = dense(1)
    history = model.fit(x, y, loss="mse", metrics=cr.metrics.get("mae"), callbacks=callback)
    assert seen == [0]
    assert set(model.evaluate(x, y, metrics="mae")) == {"loss", "mae"} == set(history)


def blocks_and_single_steps(batch_size: int | None, **options: Any) -> list[Any]:
    """The weights and losses after fits in blocks, and the same one step at a time."""
    x, y = line_data(50)
    results = []
    for callbacks in (
        [],
        [cr.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)],
    ):
        model = cr.Sequential([cr.layers.Dense(4, activation="tanh"), cr.layers.Dense(1)])
        history = model.fit(
            x,
            y,
            loss="mse",
            batch_size=batch_size,
            seed=5,
            verbose=0,
            callbacks=callbacks,
            **options,
        )
        results.append((model.get_weights(), history["loss"], history.stopped))
    return results


@pytest.mark.parametrize("batch_size", [None, 50, 16, 7, 1])
def test_steps_in_blocks_give_the_bits_of_single_steps(batch_size: int | None) -> None:
    weight = np.random.default_rng(0).random(50)
    blocks, single = blocks_and_single_steps(batch_size, epochs=9, sample_weight=weight)
    for a, b in zip(blocks[0], single[0], strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(blocks[1], single[1], rtol=1e-6)


def test_a_block_that_goes_past_the_goal_is_run_again_up_to_it() -> None:
    blocks, single = blocks_and_single_steps(None, epochs=400, until={"loss": 3.0})
    assert len(blocks[1]) == len(single[1]) < 400
    assert blocks[2] == single[2]
    for a, b in zip(blocks[0], single[0], strict=True):
        np.testing.assert_array_equal(a, b)
