"""Planted sources of numbers that are not finite: operation, layer, row and step are named."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.formats import read_model_file
from chainrule.nn.seeding import derive_seed
from chainrule.training.batches import Batches, Data
from chainrule.training.nonfinite import is_finite

ROWS, WIDTH, BAD = 60, 4, 37
random = np.random.default_rng(0)
X = random.uniform(0.5, 1.0, (ROWS, WIDTH)).astype("float32")
Y = X.sum(axis=1, keepdims=True)


class Through(cr.Layer):
    """A function of the features, and nothing to train."""

    def __init__(self, function, **options):
        super().__init__(**options)
        self.function = function

    def call(self, inputs):
        return self.function(inputs)


def planted(value, column=0):
    """The data with one number changed."""
    x = X.copy()
    x[BAD, column] = value
    return x


class Watcher(cr.callbacks.Callback):
    """Makes training go batch by batch."""

    def on_train_batch_end(self, batch, logs=None):
        pass


def network(function, name="bad"):
    return cr.Sequential([Through(function, name=name), cr.layers.Dense(1, name="out")])


def recurrent():
    layers = cr.layers
    return cr.Sequential(
        [
            layers.Reshape((2, 2)),
            Through(lambda x: x * 1.0, name="in"),
            layers.RNN(_Root(), name="loop"),
            layers.Dense(1),
        ]
    )


class _Root(cr.layers.Cell):
    def build(self, input_shape):
        self.state_sizes = (input_shape[-1],)

    def call(self, inputs, state):
        y = cr.sqrt(inputs) + 0.1 * state[0]
        return y, (y,)


def deep():
    return cr.Sequential(
        [
            cr.layers.Reshape((2, 2, 1)),
            cr.layers.Conv2D(2, 2, kernel_initializer="ones", name="pictures"),
            cr.layers.Flatten(),
            cr.layers.Dense(1),
        ]
    )


def divided_by_deviation(x):
    return x / cr.sqrt(((x - x) ** 2).sum(axis=1, keepdims=True))


# name: network, data, what the message must name
SOURCES = {
    "log of 0": (network(cr.log), planted(0.0), "log gave -inf from 0 in bad"),
    "log of a negative": (network(cr.log), planted(-1.0), "log gave nan from -1 in bad"),
    "0 / 0": (network(lambda x: (x - 0.0) / (x + x)), planted(0.0), "divide gave nan"),
    "1 / 0": (network(lambda x: 1.0 / x), planted(0.0), "divide gave inf from 1 and 0 in bad"),
    "root of a negative": (network(cr.sqrt), planted(-2.0), "sqrt gave nan from -2 in bad"),
    "exp of much": (network(cr.exp), planted(100.0), "exp gave inf from 100 in bad"),
    "power": (network(lambda x: cr.power(x, 0.5)), planted(-1.0), "power gave nan"),
    "overflow of a square": (network(lambda x: x * x), planted(3e30), "multiply gave inf"),
    "overflow of a product": (cr.Sequential([cr.layers.Dense(1, "linear", name="sum")]),
                              planted(3e38), ""),
    "overflow of a convolution": (deep(), planted(3e38, slice(None)),
                                  "convolution gave inf in pictures"),
    "inside a loop": (recurrent(), planted(-4.0), "sqrt gave nan from -4 in loop"),
    "a deviation of 0": (network(divided_by_deviation), X, "divide gave inf"),
}  # fmt: skip


@pytest.mark.parametrize("source", SOURCES)
def test_the_source_is_named(source):
    model, x, words = SOURCES[source]
    with pytest.warns(RuntimeWarning, match="the loss became"):
        history = model.fit(
            x, Y, loss="mse", optimizer="sgd", epochs=3, batch_size=10, seed=2, verbose=0
        )
    assert history.stopped_by == "not_finite"
    assert words in history.stopped
    assert history.origin.describe() in history.stopped
    assert f"epoch {history.origin.epoch}, step {history.origin.step}" in history.stopped
    if words:
        operation, _, layer = words.partition(" gave ")
        assert operation in history.origin.operation
        assert history.origin.layer.startswith(layer.partition(" in ")[2])
    assert all(np.isfinite(v.numpy()).all() for v in model.variables)
    if x is not X:
        assert f"for row {BAD} of the data" in history.stopped
        assert history.origin.row == BAD


@pytest.mark.parametrize("batch_size", [7, None])
@pytest.mark.parametrize("split", [0.0, 0.3])
@pytest.mark.parametrize("watched", [False, True])
def test_the_row_is_that_of_the_data_that_was_given(batch_size, split, watched):
    """However the rows were chosen, shuffled and cut; those of weight 0 are in no batch."""
    weights = np.ones(ROWS)
    weights[np.arange(ROWS) % 3 == 0] = 0.0
    x = X.copy()
    x[:, 0] = -1.0 - np.arange(ROWS)
    for seed in range(3):
        with pytest.warns(RuntimeWarning, match="log gave nan"):
            history = network(cr.log).fit(
                x, Y, loss="mse", epochs=3, batch_size=batch_size, verbose=0, seed=seed,
                sample_weight=weights, validation_split=split, callbacks=[Watcher()] * watched,
            )  # fmt: skip
        assert history.origin.inputs == (-1.0 - history.origin.row,)


def test_a_denormal_number_is_zero_as_in_compiled_programs():
    model = network(lambda x: cr.log(cr.exp(x)))
    with pytest.warns(RuntimeWarning, match="log gave -inf from 0 in bad"):
        history = model.fit(planted(-95.0), Y, loss="mse", epochs=1, batch_size=10, verbose=0)
    assert history.origin.row == BAD


def test_a_healthy_run_has_no_origin():
    history = network(cr.log).fit(X, Y, loss="mse", epochs=1, verbose=0)
    assert history.origin is None


def exploding(batch_size, **options):
    model = cr.Sequential([cr.layers.Dense(8, activation="relu"), cr.layers.Dense(1)])
    optimizer = cr.optimizers.SGD(learning_rate=50.0)
    with pytest.warns(RuntimeWarning, match="the loss became"):
        history = model.fit(
            X, Y, loss="mse", optimizer=optimizer, epochs=400, batch_size=batch_size, seed=1,
            verbose=0, **options,
        )  # fmt: skip
    return model, optimizer, history


@pytest.mark.parametrize("options", [{}, {"metrics": ["mae"]}])
@pytest.mark.parametrize("batch_size", [None, 7, 60])
def test_a_rate_that_explodes_leaves_finite_weights(batch_size, options):
    model, optimizer, history = exploding(batch_size, **options)
    assert history.stopped_by == "not_finite"
    assert "gave" in history.stopped
    assert is_finite([(v, v.value) for v in [*model.variables, *optimizer.variables]])
    # One more step is the one that fails.
    with cr.GradientTape() as tape:
        loss = ((model(X, training=True) - Y) ** 2).mean()
    if batch_size != 7:
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        after = model(X)
        assert not all(
            np.isfinite(v).all()
            for v in [loss.numpy(), ((after - Y) ** 2).numpy(), *(g.numpy() for g in gradients)]
        )


class Root(cr.Layer):
    """sqrt(x w): at 0 the value is finite, its derivative is not."""

    def build(self, input_shape):
        self.w = self.add_weight("w", (input_shape[-1],), "ones")

    def call(self, inputs):
        return cr.sqrt(inputs * self.w)


@pytest.mark.parametrize("epochs", [1, 3])
@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("batch_size", [None, 10])
def test_a_gradient_that_is_not_finite_while_the_loss_is(batch_size, watched, epochs):
    """The loss tells of it one step later, in the next run of the back end, or never."""
    model = cr.Sequential([Root(name="bad"), cr.layers.Dense(1)])
    with pytest.warns(RuntimeWarning, match="weights became infinite or NaN|the loss became nan"):
        history = model.fit(
            planted(0.0), Y, loss="mse", epochs=epochs, batch_size=batch_size, seed=2, verbose=0,
            callbacks=[Watcher()] * watched,
        )  # fmt: skip
    assert history.stopped_by == "not_finite"
    assert all(np.isfinite(v.numpy()).all() for v in model.variables)
    origin = history.origin
    assert (origin.operation, origin.row, origin.epoch) == ("divide", BAD, 1)
    if batch_size == 10:
        order = Batches(Data(X, Y), 10, derive_seed(2, "order of rows")).order(0)
        assert origin.step == list(order).index(BAD) // 10 + 1


@pytest.mark.parametrize("seed", range(4))
def test_they_are_found_in_whichever_step_and_never_saved(seed, tmp_path):
    """Also in the last step of an epoch, which the next run of the back end tells of."""
    model = cr.Sequential([Root(name="bad"), cr.layers.Dense(1)])
    batches = Batches(Data(X, Y), 10, derive_seed(seed, "order of rows"))
    x = X.copy()
    row = batches.order(0)[-1 - seed]
    x[row, 0] = 0.0
    with pytest.warns(RuntimeWarning, match="weights became infinite or NaN|the loss became nan"):
        history = model.fit(
            x, Y, loss="mse", epochs=3, batch_size=10, seed=seed, verbose=0,
            checkpoint=cr.Checkpoint(tmp_path, every_seconds=0),
        )  # fmt: skip
    assert (history.origin.row, history.origin.epoch, history.origin.step) == (row, 1, 6)
    assert all(np.isfinite(v.numpy()).all() for v in model.variables)
    for path in tmp_path.glob("checkpoint-*"):
        assert all(np.isfinite(x).all() for x in read_model_file(path)[1].values())


def test_weights_that_are_infinite_from_the_start_are_left_alone():
    class Limit(cr.Layer):
        def build(self, input_shape):
            self.limit = self.add_weight("limit", (), "zeros", trainable=False)
            self.limit.assign(np.float32(np.inf))

        def call(self, inputs):
            return cr.minimum(inputs, self.limit)

    model = cr.Sequential([Limit(), cr.layers.Dense(1)])
    history = model.fit(X, Y, loss="mse", epochs=2, batch_size=10, verbose=0)
    assert history.stopped_by == "epochs"


def test_an_infinity_that_is_meant_is_not_blamed():
    def masked(x):
        return cr.softmax(cr.where(x > 0.75, x, -np.inf), axis=1) + cr.log(x)

    model = network(masked)
    with pytest.warns(RuntimeWarning, match="log gave -inf from 0 in bad"):
        model.fit(planted(0.0), Y, loss="mse", epochs=1, batch_size=10, verbose=0)
