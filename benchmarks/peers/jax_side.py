"""JAX's side: a step compiled, and many steps compiled as one with ``scan``."""

# mypy: disable-error-code="import-not-found,import-untyped,unused-ignore"
# jax and optax live in an environment of their own.

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks import data
from benchmarks.peers import jax_networks
from benchmarks.serving import Builder, Measured, Options, Sample, main, once, repeated

State = tuple[Any, ...]


def parameters(*widths: int) -> list[tuple[Any, Any]]:
    """Weights and biases of dense layers."""
    keys = jax.random.split(jax.random.key(0), len(widths))
    initialize = jax.nn.initializers.glorot_uniform()
    return [
        (initialize(key, (before, after)), jnp.zeros(after))
        for key, before, after in zip(keys, widths[:-1], widths[1:])
    ]


def forward(layers: list[tuple[Any, Any]], x: Any) -> Any:
    """Dense layers with ReLU between them."""
    for weights, bias in layers[:-1]:
        x = jax.nn.relu(x @ weights + bias)
    weights, bias = layers[-1]
    return x @ weights + bias


def squared_error(outputs: Any, y: Any) -> Any:
    """The mean squared error."""
    return jnp.mean((outputs - y) ** 2)


def cross_entropy(outputs: Any, y: Any) -> Any:
    """The mean cross-entropy of logits."""
    return optax.softmax_cross_entropy_with_integer_labels(outputs, y).mean()


def make_step(
    loss_function: Callable[[Any, Any], Any], optimizer: Any
) -> Callable[[State, Any, Any], tuple[State, Any]]:
    """A training step as a function of the state."""

    def step(state: State, x: Any, y: Any) -> tuple[State, Any]:
        layers, moments = state
        loss, gradients = jax.value_and_grad(lambda p: loss_function(forward(p, x), y))(layers)
        updates, moments = optimizer.update(gradients, moments)
        return (optax.apply_updates(layers, updates), moments), loss

    return step


NETWORKS = {
    "cnn": (jax_networks.cnn, data.cnn_data),
    "resnet20": (jax_networks.resnet20, data.picture_data),
    "mobilenet": (jax_networks.mobilenet_tiny, data.picture_data),
    "lstm": (jax_networks.lstm, data.sequence_data),
    "gru": (jax_networks.gru, data.sequence_data),
    "transformer": (jax_networks.transformer, data.token_data),
}


def network_step(
    network: jax_networks.Network, x: Any, seed: int = 0
) -> tuple[State, Callable[[State, Any, Any], tuple[State, Any]]]:
    """State and step of a network; the state ends with a key."""
    first = jax_networks.Pass(jax.random.key(seed))
    network(first, x[:1])
    optimizer = optax.adam(data.PICTURE_RATE)

    def step(state: State, x: Any, y: Any) -> tuple[State, Any]:
        parameters, statistics, moments, key = state
        key, own = jax.random.split(key)

        def loss_of(parameters: Any) -> Any:
            net = jax_networks.Pass(own, parameters, statistics)
            return cross_entropy(network(net, x), y), net.statistics

        (loss, after), gradients = jax.value_and_grad(loss_of, has_aux=True)(parameters)
        updates, moments = optimizer.update(gradients, moments)
        return (optax.apply_updates(parameters, updates), after, moments, key), loss

    start = first.parameters
    return (start, first.statistics, optimizer.init(start), jax.random.key(seed)), step


def _problem(name: str) -> tuple[Any, ...]:
    """State, step, inputs and targets."""
    if name in NETWORKS:
        network, read = NETWORKS[name]
        x, y = map(jnp.asarray, read())
        return *network_step(network, x), x, y
    if name == "seed":
        x, y = data.seed_data()
        layers, loss, rate = parameters(data.SEED_WIDTH, 10, 1), squared_error, 0.01
    else:
        x, y = data.mlp_data()
        layers = parameters(data.MLP_INPUTS, data.MLP_HIDDEN, data.MLP_HIDDEN, data.CLASSES)
        loss, rate = cross_entropy, 0.001
    optimizer = optax.adam(rate)
    return (
        (layers, optimizer.init(layers)),
        make_step(loss, optimizer),
        jnp.asarray(x),
        jnp.asarray(y),
    )


def steps_jit(name: str) -> Builder:
    """Steps called one by one."""

    def build(options: Options) -> Sample:
        state, step, x, y = _problem(name)
        compiled = jax.jit(step, donate_argnums=0)

        def run(count: int) -> None:
            nonlocal state
            for _ in range(count):
                state, _ = compiled(state, x, y)
            jax.block_until_ready(state)

        return repeated(run, options.seconds)

    return build


def steps_scan(name: str) -> Builder:
    """Blocks of steps, each block one call; the data are constants of the program."""
    block = {"seed": 1000, "mlp": 50}.get(name, 4)

    def build(options: Options) -> Sample:
        state, step, x, y = _problem(name)

        def many(state: Any) -> Any:
            return jax.lax.scan(lambda s, _: step(s, x, y), state, None, length=block)

        compiled = jax.jit(many, donate_argnums=0)

        def run(count: int) -> None:
            nonlocal state
            for _ in range(count):
                state, _ = compiled(state)
            jax.block_until_ready(state)

        sample = repeated(run, options.seconds)

        def divided() -> Measured:
            return Measured(sample().value / block)

        return divided

    return build


def image_fit(scan: bool) -> Builder:
    """Three epochs of the images, rows shuffled, and the compiling: an epoch a call, or a step."""

    def build(options: Options) -> Sample:
        x, y = map(jnp.asarray, data.image_data())
        jax.block_until_ready((x, y))
        random = np.random.default_rng(0)

        def run() -> None:
            optimizer = optax.adam(0.001)
            layers = parameters(data.MLP_INPUTS, data.IMAGE_HIDDEN, data.CLASSES)
            state = (layers, optimizer.init(layers))
            step = make_step(cross_entropy, optimizer)

            def gathered(state: Any, rows: Any, x: Any, y: Any) -> Any:
                return step(state, x[rows], y[rows])

            def epoch(state: Any, order: Any, x: Any, y: Any) -> Any:
                return jax.lax.scan(lambda s, rows: gathered(s, rows, x, y), state, order)

            compiled = jax.jit(epoch if scan else gathered, donate_argnums=0)
            count = data.IMAGES // data.IMAGE_BATCH
            for _ in range(data.IMAGE_EPOCHS):
                shuffled = random.permutation(data.IMAGES)[: count * data.IMAGE_BATCH]
                order = shuffled.astype(np.int32).reshape(count, data.IMAGE_BATCH)
                for rows in [order] if scan else order:
                    state, _ = compiled(state, rows, x, y)
                jax.block_until_ready(state)

        return once(run)

    return build


def mnist_fit(options: Options) -> Sample:
    """Epochs of MNIST, rows shuffled, and the compiling, a step a call; then the accuracy."""
    split = data.mnist(options.folder())
    x, y = jnp.asarray(split.x), jnp.asarray(split.y)
    random = np.random.default_rng(options.seed)
    state, step = network_step(partial(jax_networks.cnn, dropout=0.5), x, options.seed)
    compiled = jax.jit(lambda state, rows, x, y: step(state, x[rows], y[rows]), donate_argnums=0)

    def sample() -> Measured:
        nonlocal state
        start = time.perf_counter()
        for _ in range(data.MNIST_EPOCHS):
            order = random.permutation(len(x)).astype(np.int32)
            for rows in order.reshape(-1, data.PICTURE_BATCH):
                state, _ = compiled(state, rows, x, y)
            jax.block_until_ready(state)
        seconds = time.perf_counter() - start
        net = jax_networks.Pass(state[-1], state[0])
        found = jax_networks.cnn(net, jnp.asarray(split.x_check)).argmax(1)
        return Measured(seconds, float((found == split.y_check).mean()))

    return sample


def ctc(options: Options) -> Sample:
    """The mean CTC loss of a batch and its gradient."""
    scores, labels, frames, counts = map(jnp.asarray, data.transcript_data())

    def loss(scores: Any) -> Any:
        padding = [
            (jnp.arange(most) >= lengths[:, None]).astype("float32")
            for most, lengths in ((scores.shape[1], frames), (labels.shape[1], counts))
        ]
        return optax.ctc_loss(scores, padding[0], labels, padding[1]).mean()

    slope = jax.jit(jax.value_and_grad(loss))

    def run(count: int) -> None:
        for _ in range(count):
            result = slope(scores)
        jax.block_until_ready(result)

    return repeated(run, options.seconds)


WORK: dict[str, dict[str, Builder]] = {
    "seed": {"jit": steps_jit("seed"), "scan": steps_scan("seed")},
    "mlp": {"jit": steps_jit("mlp"), "scan": steps_scan("mlp")},
    "images": {"jit": image_fit(False), "scan": image_fit(True)},
    **{name: {"jit": steps_jit(name), "scan": steps_scan(name)} for name in NETWORKS},
    "ctc": {"jit": ctc},
    "mnist": {"jit": mnist_fit},
}

if __name__ == "__main__":
    main(WORK, {"jax": jax.__version__, "optax": optax.__version__})
