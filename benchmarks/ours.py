"""chainrule's side of the comparison: ``python -m benchmarks.ours WORKLOAD``, driven by a pipe."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

import chainrule as cr
from benchmarks import data
from benchmarks.memory import growth
from benchmarks.serving import Builder, Measured, Options, Sample, main, once, repeated, threads
from chainrule.training.step import TrainingStep


def network(hidden: tuple[int, ...], outputs: int) -> Any:
    """Dense layers with ReLU between them."""
    layers = [cr.layers.Dense(width, activation="relu") for width in hidden]
    return cr.Sequential([*layers, cr.layers.Dense(outputs)])


Problem = tuple[Any, Any, Any, str, float]


def seed_problem() -> Problem:
    """Network, inputs, targets, loss and learning rate of the small network."""
    x, y = data.seed_data()
    return network((10,), 1), x, y, "mse", 0.01


def mlp_problem() -> Problem:
    """The same of the classifier."""
    x, y = data.mlp_data()
    hidden = (data.MLP_HIDDEN, data.MLP_HIDDEN)
    return network(hidden, data.CLASSES), x, y, "cross_entropy", 0.001


def cnn() -> Any:
    """Two convolutions with pooling and two dense layers, as the peers have them: no dropout."""
    layers = cr.layers
    return cr.Sequential(
        [
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(data.CLASSES),
        ]
    )


def cnn_problem() -> Problem:
    """The same of a small network for pictures."""
    x, y = data.cnn_data()
    return cnn(), x, y, "cross_entropy", data.PICTURE_RATE


def resnet20_problem() -> Problem:
    """The same of a network of residual blocks."""
    return _picture_problem(cr.networks.resnet20)


def mobilenet_problem() -> Problem:
    """The same of a network of depthwise convolutions."""
    return _picture_problem(cr.networks.mobilenet_tiny)


def recurrent_problem(layer: str) -> Callable[[], Problem]:
    """The same of a recurrent layer whose last output is classified."""

    def problem() -> Problem:
        x, y = data.sequence_data()
        recurrent = getattr(cr.layers, layer)(data.SEQUENCE_UNITS)
        model = cr.Sequential([recurrent, cr.layers.Dense(data.CLASSES)])
        return model, x, y, "cross_entropy", data.PICTURE_RATE

    return problem


def transformer_problem() -> Problem:
    """The same of a transformer block whose mean output is classified."""
    x, y = data.token_data()
    layers = cr.layers
    block = layers.TransformerBlock(
        data.HEADS, data.TOKENS_SHAPE[1] // data.HEADS, data.FEED_FORWARD
    )
    ending = [layers.GlobalAveragePooling1D(), layers.Dense(data.CLASSES)]
    return cr.Sequential([block, *ending]), x, y, "cross_entropy", data.PICTURE_RATE


def _picture_problem(make: Callable[..., Any]) -> Problem:
    x, y = data.picture_data()
    model = make(data.PICTURE_SHAPE, data.CLASSES)
    return model, x, y, "cross_entropy", data.PICTURE_RATE


def steps(problem: Callable[[], Problem]) -> Builder:
    """Steps on one batch, many in one run of the back end: what ``fit`` does inside."""

    def build(options: Options) -> Sample:
        model, x, y, loss, rate = problem()
        model(x)
        optimizer = cr.optimizers.Adam(learning_rate=rate)
        optimizer.build(model.trainable_variables)
        step = TrainingStep(model, cr.losses.get(loss), optimizer)
        rows = (cr.tensor(x), cr.tensor(y), None)
        return repeated(lambda count: step.run_whole(count, rows), options.seconds)

    return build


def fit_steps(problem: Callable[[], Problem], epochs: int) -> Builder:
    """A whole call of ``fit`` that trains on, divided by its steps."""

    def build(options: Options) -> Sample:
        model, x, y, loss, rate = problem()
        settings = {
            "loss": cr.losses.get(loss),
            "optimizer": cr.optimizers.Adam(learning_rate=rate),
            "batch_size": None,
            "verbose": 0,
        }
        whole = once(lambda: model.fit(x, y, epochs=epochs, **settings) and None)
        whole()
        return lambda: Measured(whole().value / epochs)

    return build


def tape_eager(options: Options) -> Sample:
    """The article's loop, operation by operation."""
    train, _ = _tape()
    return repeated(train, options.seconds)


def tape_jit(options: Options) -> Sample:
    """The article's loop with its step compiled."""
    _, train = _tape()
    return repeated(train, options.seconds)


def _tape() -> tuple[Callable[[int], object], Callable[[int], object]]:
    rows, targets = data.seed_data()
    x, y = cr.tensor(rows), cr.tensor(targets)
    model = network((10,), 1)
    loss_function = cr.losses.MeanSquaredError()
    optimizer = cr.optimizers.Adam(learning_rate=0.01)
    model(x)

    def step(x: Any, y: Any) -> Any:
        with cr.GradientTape() as tape:
            predictions = model(x)
            loss = loss_function(y, predictions)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables))
        return loss

    compiled = cr.jit(step)

    def train(one: Callable[[Any, Any], Any]) -> Callable[[int], object]:
        def run(epochs: int) -> None:
            for epoch in range(epochs):
                loss = one(x, y)
                if epoch % 100 == 0:
                    float(loss)

        return run

    return train(step), train(compiled)


def predict(name: str) -> Builder:
    """``predict`` of one row, call after call."""

    def build(options: Options) -> Sample:
        row = data.row_data()
        model = network(data.PREDICT_HIDDEN[name], 1)
        model(row)

        def run(count: int) -> None:
            for _ in range(count):
                model.predict(row)

        return repeated(run, options.seconds)

    return build


def image_fit(options: Options) -> Sample:
    """The whole of ``fit``: its tracing, its compiling and three epochs."""
    x, y = data.image_data()
    model = network((data.IMAGE_HIDDEN,), data.CLASSES)

    def run() -> None:
        model.fit(
            x, y, loss="cross_entropy", optimizer="adam", epochs=data.IMAGE_EPOCHS,
            batch_size=data.IMAGE_BATCH, seed=0, verbose=0,
        )  # fmt: skip

    return once(run)


class _UntilAccurate(cr.callbacks.Callback):
    """Stops when the rows that were set aside are told apart well enough."""

    def __init__(self, estimator: Any, split: data.Split, target: float) -> None:
        self._estimator = estimator
        self._split = split
        self._target = target
        self.best = 0.0
        self.epochs = 0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Look at the accuracy."""
        if epoch == 0:
            rows = np.asarray(self._estimator.preprocessor_.transform(self._split.x_check))
            self._rows = rows.astype(np.float32)
        found = self.model.predict(self._rows, batch_size=len(self._rows)).argmax(axis=1)
        accuracy = float(np.mean(found == self._split.y_check))
        self.best, self.epochs = max(self.best, accuracy), epoch + 1
        if accuracy >= self._target:
            self.stop("accurate enough")


def classifier(name: str) -> Builder:
    """``NetworkClassifier`` with its defaults until the accuracy that the peer reached."""

    def build(options: Options) -> Sample:
        split = data.TABLES[name]()
        target = 1.0 if options.target is None else options.target

        def sample() -> Measured:
            estimator = cr.estimators.NetworkClassifier(early_stopping=False, random_state=0)
            watch = _UntilAccurate(estimator, split, target)
            estimator.callbacks = [watch]
            start = time.perf_counter()
            estimator.fit(split.x, split.y)
            seconds = time.perf_counter() - start
            reached = "" if watch.best >= target else f"{target:.4f} not reached, "
            return Measured(seconds, watch.best, f"{reached}{watch.epochs} epochs")

        return sample

    return build


def compile_step(problem: Callable[[], Problem]) -> Builder:
    """Tracing, passes and code generation of a step, without its first run."""

    def build(options: Options) -> Sample:
        cr.jit(lambda x: x + 1)(np.ones(4, np.float32))  # loads LLVM
        model, *rows, loss_name, rate = problem()
        x, y = (cr.tensor(part) for part in rows)
        model(x)
        loss = cr.losses.get(loss_name)
        optimizer = cr.optimizers.Adam(learning_rate=rate)
        optimizer.build(model.trainable_variables)

        @cr.jit
        def step(x: Any, y: Any) -> Any:
            with cr.GradientTape() as tape:
                value = loss(y, model(x, training=True))
            gradients = tape.gradient(value, model.trainable_variables)
            optimizer.apply_gradients(zip(gradients, model.trainable_variables))
            return value

        def sample() -> Measured:
            times = []
            for _ in range(2):
                start = time.perf_counter()
                float(step(x, y))
                times.append(time.perf_counter() - start)
            return Measured(times[0] - times[1])

        return sample

    return build


def mnist_fit(options: Options) -> Sample:
    """The whole of ``fit`` of the ready network, its compiling included; then the accuracy."""
    split = data.mnist(options.folder())
    model = cr.networks.small_cnn(data.MNIST_SHAPE, data.CLASSES, seed=options.seed)

    def sample() -> Measured:
        start = time.perf_counter()
        model.fit(
            split.x, split.y, loss="cross_entropy", optimizer="adam", epochs=data.MNIST_EPOCHS,
            batch_size=data.PICTURE_BATCH, seed=options.seed, verbose=0,
        )  # fmt: skip
        seconds = time.perf_counter() - start
        found = model.predict(split.x_check).argmax(1)
        return Measured(seconds, float((found == split.y_check).mean()))

    return sample


def matmul(name: str) -> Builder:
    """A product of two square matrices, compiled."""

    def build(options: Options) -> Sample:
        x, y = (cr.tensor(part) for part in data.square_data(data.SQUARES[name]))
        product = cr.jit(cr.matmul)

        def run(count: int) -> None:
            for _ in range(count):
                product(x, y)

        return repeated(run, options.seconds)

    return build


def ctc(options: Options) -> Sample:
    """The mean CTC loss of a batch and its gradient, compiled."""
    scores, labels, frames, counts = map(cr.tensor, data.transcript_data())

    @cr.jit
    def slope(scores: Any, labels: Any, frames: Any, counts: Any) -> Any:
        return cr.value_and_grad(
            lambda s: cr.losses.CTC()(labels, s, label_lengths=counts, logit_lengths=frames)
        )(scores)

    def run(count: int) -> None:
        for _ in range(count):
            slope(scores, labels, frames, counts)

    return repeated(run, options.seconds)


def second_fit(hidden: tuple[int, ...], read: Callable[[], Any], loss: str) -> Builder:
    """A one-step ``fit`` of a new model, other data and seed, after another of its kind."""

    def build(options: Options) -> Sample:
        x, y = read()
        outputs = y.shape[1] if y.ndim > 1 else data.CLASSES
        count = 0

        def sample() -> Measured:
            nonlocal count
            count += 1
            model = network(hidden, outputs)
            other = x + np.float32(0.1 * count)
            start = time.perf_counter()
            model.fit(other, y, loss=loss, batch_size=None, seed=count, verbose=0)
            return Measured(time.perf_counter() - start)

        sample()
        return sample

    return build


def _in_both_caches(build: Builder) -> dict[str, Builder]:
    """The same work for both forms; whoever starts the process chooses the cache."""
    return {"cache cold": build, "cache warm": build}


_MLP_HIDDEN = (data.MLP_HIDDEN, data.MLP_HIDDEN)

WORK: dict[str, dict[str, Builder]] = {
    "seed": {"steps": steps(seed_problem), "fit": fit_steps(seed_problem, 5000)},
    "mlp": {"steps": steps(mlp_problem), "fit": fit_steps(mlp_problem, 100)},
    "tape": {"eager": tape_eager, "jit": tape_jit},
    "predict_10": {"predict": predict("predict_10")},
    "predict_64": {"predict": predict("predict_64")},
    "images": _in_both_caches(image_fit),
    "digits": {"fit": classifier("digits")},
    "letters": {"fit": classifier("letters")},
    "compile": _in_both_caches(compile_step(mlp_problem)),
    "cnn": {"steps": steps(cnn_problem), "fit": fit_steps(cnn_problem, 50)},
    "resnet20": {"steps": steps(resnet20_problem)},
    "mobilenet": {"steps": steps(mobilenet_problem)},
    "lstm": {"steps": steps(recurrent_problem("LSTM"))},
    "gru": {"steps": steps(recurrent_problem("GRU"))},
    "transformer": {"steps": steps(transformer_problem)},
    "ctc": {"jit": ctc},
    "cnn_growth": _in_both_caches(growth(steps(cnn_problem))),
    "compile_cnn": _in_both_caches(compile_step(cnn_problem)),
    "compile_lstm": _in_both_caches(compile_step(recurrent_problem("LSTM"))),
    "compile_resnet20": _in_both_caches(compile_step(resnet20_problem)),
    "mnist": _in_both_caches(mnist_fit),
    "matmul_512": {"jit": matmul("matmul_512")},
    "matmul_1024": {"jit": matmul("matmul_1024")},
    "second_fit": {
        "10-10-1": second_fit((10,), data.seed_data, "mse"),
        "784-512-512-10": second_fit(_MLP_HIDDEN, data.mlp_data, "cross_entropy"),
    },
}

if __name__ == "__main__":
    main(
        WORK,
        {"chainrule": cr.__version__, "numpy": np.__version__, "threads": str(threads())},
    )
