"""Whole fits, evaluations and predictions: the same bits on one thread and on two."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.backends.cpu import threads


@pytest.fixture
def shared(monkeypatch):
    """Programs whose kernels have several pieces run on several threads whether it pays or not;
    gives the numbers of steps that were.
    """
    steps = []
    monkeypatch.setattr(threads.Pace, "choose", lambda *_: threads.Slice(True, 0.05))
    monkeypatch.setattr(
        threads.Pace, "record", lambda _, share, count, *rest: steps.append(share * count)
    )
    return steps


def wide():
    layers = [cr.layers.Dense(512, activation="relu"), cr.layers.Dense(512, activation="relu")]
    return cr.Sequential([*layers, cr.layers.Dense(10)])


def seed():
    return cr.Sequential([cr.layers.Dense(10, activation="relu"), cr.layers.Dense(1)])


def small():
    widths = [cr.layers.Dense(64, activation=name) for name in ("tanh", "gelu")]
    return cr.Sequential([*widths, cr.layers.LayerNormalization(), cr.layers.Dense(26)])


def classifier():
    return cr.Sequential(
        [
            cr.layers.Dense(256, activation="relu"),
            cr.layers.BatchNormalization(),
            cr.layers.Dropout(0.3),
            cr.layers.Dense(128, activation="sigmoid"),
            cr.layers.BatchNormalization(),
            cr.layers.Dropout(0.2),
            cr.layers.Dense(10, activation="softmax"),
        ]
    )


CLASSES = {"loss": "cross_entropy", "metrics": ("accuracy",)}
FITS = {
    "mlp": (wide, 784, 10, 640, {**CLASSES, "batch_size": 128, "epochs": 2}),
    "seed": (seed, 10, 0, 4000, {"loss": "mse", "batch_size": None, "epochs": 20}),
    "small": (small, 16, 26, 1000, {**CLASSES, "batch_size": 200, "epochs": 3}),
    "classifier": (classifier, 64, 10, 700, {**CLASSES, "batch_size": 160, "epochs": 3,
                                              "validation_split": 0.2}),
    "clipped": (small, 30, 26, 600, {**CLASSES, "batch_size": 100, "epochs": 2, "optimizer":
                                     "clipped"}),
}  # fmt: skip


def everything(name, dtype):
    """All numbers that a fit leaves behind, and those of evaluate and predict."""
    make, features, classes, rows, options = FITS[name]
    generator = np.random.default_rng(5)
    x = generator.standard_normal((rows, features)).astype(dtype)
    y = generator.integers(0, classes, rows) if classes else x[:, :1] * x[:, 1:2]
    options = dict(options)
    if options.get("optimizer") == "clipped":
        options["optimizer"] = cr.optimizers.AdamW(0.01, global_clip_norm=0.1)
    model = make()
    model.dtype = dtype
    history = model.fit(x, y, seed=3, verbose=0, **options)
    found = [np.array(history[key]) for key in history]
    found += [variable.numpy() for variable in model.variables]
    found += [variable.numpy() for variable in model._setup.optimizer.variables]
    found += [np.array(value) for value in model.evaluate(x, y).values()]
    found.append(model.predict(x))
    found.append(model.predict(x[:1]))
    return found


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", list(FITS))
def test_the_same_bits_on_one_thread_and_on_two(name, dtype, shared):
    with cr.settings(threads=1):
        expected = everything(name, dtype)
    assert not any(shared)
    for count in (2, 3):
        with cr.settings(threads=count):
            found = everything(name, dtype)
        assert len(found) == len(expected)
        for i, (a, b) in enumerate(zip(found, expected, strict=True)):
            assert a.tobytes() == b.tobytes(), f"number {i} on {count} threads"
    assert sum(shared) > 5  # work was shared
    assert all(np.isfinite(x).all() for x in expected)


@pytest.mark.parametrize("name", ["mlp", "seed", "classifier"])
def test_the_default_pace_gives_them_too(name):
    found = []
    for count in (1, None):
        with cr.settings(threads=count):
            found.append(everything(name, "float32"))
    for a, b in zip(*found, strict=True):
        assert a.tobytes() == b.tobytes()


class Watching(cr.callbacks.Callback):
    """Called after each batch, for which every step must be a call of its own."""

    def on_train_batch_end(self, batch, logs):
        pass


@pytest.mark.parametrize("name", ["mlp", "small", "classifier"])
def test_many_steps_in_one_call_give_the_bits_of_single_steps(name):
    make, features, classes, rows, options = FITS[name]
    generator = np.random.default_rng(5)
    x = generator.standard_normal((rows, features)).astype("float32")
    y = generator.integers(0, classes, rows)
    found = []
    for callbacks in ((), (Watching(),)):
        model = make()
        history = model.fit(x, y, seed=3, verbose=0, callbacks=callbacks, **options)
        state = [variable.numpy() for variable in model.variables]
        found.append([*state, np.array(history["accuracy"])])
    for a, b in zip(*found, strict=True):
        assert a.tobytes() == b.tobytes()
