"""TensorFlow's side: the step as a graph function, and compiled by XLA."""

# mypy: disable-error-code="import-not-found,import-untyped,unused-ignore"
# tensorflow lives in an environment of its own.

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import tensorflow as tf

from benchmarks import data
from benchmarks.peers import tensorflow_networks
from benchmarks.serving import Builder, Measured, Options, Sample, main, once, repeated


def network(inputs: int, hidden: tuple[int, ...], outputs: int) -> Any:
    """Dense layers with ReLU between them."""
    dense = tf.keras.layers.Dense
    layers = [dense(width, activation="relu") for width in hidden]
    return tf.keras.Sequential([tf.keras.Input((inputs,)), *layers, dense(outputs)])


def make_step(model: Any, loss_function: Any, rate: float) -> Callable[[Any, Any], Any]:
    """A training step on a batch, in the form of TensorFlow's guides."""
    optimizer = tf.keras.optimizers.Adam(rate)
    optimizer.build(model.trainable_variables)

    def step(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = loss_function(y, model(x, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables))
        return loss

    return step


NETWORKS: dict[str, tuple[Callable[[], Any], Callable[[], tuple[Any, Any]]]] = {
    "cnn": (tensorflow_networks.cnn, data.cnn_data),
    "resnet20": (tensorflow_networks.resnet20, data.picture_data),
    "mobilenet": (tensorflow_networks.mobilenet_tiny, data.picture_data),
    "lstm": (partial(tensorflow_networks.recurrent, "LSTM"), data.sequence_data),
    "gru": (partial(tensorflow_networks.recurrent, "GRU"), data.sequence_data),
    "transformer": (tensorflow_networks.transformer, data.token_data),
}


def _problem(name: str) -> tuple[Any, Any, Any]:
    """Step, inputs and targets."""
    if name == "seed":
        x, y = map(tf.constant, data.seed_data())
        loss = tf.keras.losses.MeanSquaredError()
        return make_step(network(data.SEED_WIDTH, (10,), 1), loss, 0.01), x, y
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    if name in NETWORKS:
        build, read = NETWORKS[name]
        x, y = map(tf.constant, read())
        return make_step(build(), loss, data.PICTURE_RATE), x, y
    x, y = map(tf.constant, data.mlp_data())
    model = network(data.MLP_INPUTS, (data.MLP_HIDDEN, data.MLP_HIDDEN), data.CLASSES)
    return make_step(model, loss, 0.001), x, y


def steps(name: str, xla: bool) -> Builder:
    """Steps on one batch."""

    def build(options: Options) -> Sample:
        step, x, y = _problem(name)
        compiled = tf.function(step, jit_compile=xla)

        def run(count: int) -> None:
            for _ in range(count):
                loss = compiled(x, y)
            float(loss)

        return repeated(run, options.seconds)

    return build


def image_fit(xla: bool) -> Builder:
    """Three epochs of the images, rows shuffled, an epoch a call, and the compiling."""

    def build(options: Options) -> Sample:
        x, y = map(tf.constant, data.image_data())

        def run() -> None:
            model = network(data.MLP_INPUTS, (data.IMAGE_HIDDEN,), data.CLASSES)
            _train(model, x, y, data.IMAGE_BATCH, data.IMAGE_EPOCHS, xla)

        return once(run)

    return build


def _train(model: Any, x: Any, y: Any, batch: int, epochs: int, xla: bool) -> None:
    """Epochs of whole batches in new orders, an epoch a call."""
    loss_function = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    step = tf.function(make_step(model, loss_function, 0.001), jit_compile=xla)
    count = len(x) // batch

    def epoch(order: Any) -> Any:
        loss = tf.constant(0.0)
        for i in tf.range(count):
            rows = order[i]
            loss = step(tf.gather(x, rows), tf.gather(y, rows))
        return loss

    compiled = tf.function(epoch)
    for _ in range(epochs):
        order = tf.random.shuffle(tf.range(len(x)))[: count * batch]
        float(compiled(tf.reshape(order, (count, batch))))


def mnist_fit(xla: bool) -> Builder:
    """Epochs of MNIST, rows shuffled, and the compiling; then the accuracy."""

    def build(options: Options) -> Sample:
        split = data.mnist(options.folder())
        x, y = tf.constant(split.x), tf.constant(split.y)
        tf.keras.utils.set_random_seed(options.seed)
        model = tensorflow_networks.cnn(dropout=0.5)

        def sample() -> Measured:
            start = time.perf_counter()
            _train(model, x, y, data.PICTURE_BATCH, data.MNIST_EPOCHS, xla)
            seconds = time.perf_counter() - start
            found = model(split.x_check, training=False).numpy().argmax(1)
            return Measured(seconds, float((found == split.y_check).mean()))

        return sample

    return build


def ctc(options: Options) -> Sample:
    """The mean CTC loss of a batch and its gradient."""
    scores, labels, frames, counts = map(tf.constant, data.transcript_data())

    def slope(scores: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(scores)
            loss = tf.reduce_mean(
                tf.nn.ctc_loss(
                    labels, scores, counts, frames, logits_time_major=False, blank_index=0
                )
            )
        return loss, tape.gradient(loss, scores)

    compiled = tf.function(slope)

    def run(count: int) -> None:
        for _ in range(count):
            loss, _ = compiled(scores)
        float(loss)

    return repeated(run, options.seconds)


WORK: dict[str, dict[str, Builder]] = {
    "seed": {"function": steps("seed", False), "XLA": steps("seed", True)},
    "mlp": {"function": steps("mlp", False), "XLA": steps("mlp", True)},
    "images": {"function": image_fit(False), "XLA": image_fit(True)},
    **{name: {"function": steps(name, False), "XLA": steps(name, True)} for name in NETWORKS},
    "ctc": {"function": ctc},
    "mnist": {"function": mnist_fit(False), "XLA": mnist_fit(True)},
}

if __name__ == "__main__":
    main(WORK, {"tensorflow": tf.__version__})
