"""Healthy runs: the references, and runs that look ill to a rule of thumb and are not."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

import chainrule as cr
from benchmarks.clinic import subjects
from benchmarks.clinic.plants.editing import initialised, rebuilt, reconfigured
from benchmarks.clinic.rows import Array, Pair
from benchmarks.clinic.subjects import Subject
from chainrule.diagnosis.recipe import Recipe
from chainrule.nn import Layer
from chainrule.training.model import Model

layers = cr.layers

Edit = Callable[[Recipe], Recipe]
EditPair = Callable[[Pair], Pair]


@dataclass(frozen=True)
class Case:
    """A healthy run.

    Attributes:
        name: what looks ill.
        subject: the subject that it is made from.
        edit: makes it from the reference.
        pair: does to test rows what ``edit`` does to the others; None: nothing.
        expected: the verdict that is right: nothing to say, or that there is nothing to learn.
    """

    name: str
    subject: str
    edit: Edit = lambda recipe: recipe
    pair: EditPair | None = None
    expected: Literal["healthy", "no signal"] = "healthy"

    def recipe(self, seed: int, folder: Path | None = None) -> Recipe:
        """The run with this seed."""
        recipe = self.edit(subjects.get(self.subject, folder).recipe(seed))
        if self.pair is None:
            return recipe
        x, y = self.pair((recipe.x, recipe.y))
        validation = None if recipe.validation is None else self.pair(recipe.validation)
        return recipe.with_data(x, y, validation)

    def test(self, folder: Path | None = None) -> Pair:
        """The rows to judge with."""
        pair = subjects.get(self.subject, folder).test
        return pair if self.pair is None else self.pair(pair)


def reference(subject: Subject | str) -> Case:
    """The reference itself."""
    name = subject if isinstance(subject, str) else subject.name
    return Case("reference", name)


def _optimizer(make: Callable[[], Any], **settings: Any) -> Edit:
    return lambda recipe: recipe.with_optimizer(make).with_settings(**settings)


def _stack(*stack: Callable[[], Layer], **settings: Any) -> Edit:
    """Other layers."""

    def edit(recipe: Recipe) -> Recipe:
        def make() -> Model:
            return cr.Sequential([layer() for layer in stack])

        return Recipe(
            make, recipe.x, recipe.y, recipe.validation, recipe.optimizer,
            {**recipe.settings, **settings},
        )  # fmt: skip

    return edit


def _dense(units: int, activation: str | None = None, **options: Any) -> Callable[[], Layer]:
    return lambda: layers.Dense(units, activation=activation, **options)


def _stopping(patience: int) -> Any:
    return cr.callbacks.EarlyStopping(patience=patience)


def _scaled(mean: float, deviation: float) -> EditPair:
    return lambda pair: (((pair[0] - mean) / deviation).astype(np.float32), pair[1])


def _zero_last(recipe: Recipe) -> Recipe:
    count = len(recipe.make().layers)
    return rebuilt(
        recipe,
        lambda index, layer: (
            reconfigured(layer, kernel_initializer="zeros") if index == count - 1 else layer
        ),
    )


def _one_hot(classes: int) -> EditPair:
    return lambda pair: (pair[0], np.eye(classes, dtype=np.float32)[pair[1]])


def _rare(pair: Pair) -> Pair:
    """One row of class 1 for twenty of class 0."""
    x, y = pair
    second = np.flatnonzero(y == 1)
    keep = np.sort(np.concatenate([np.flatnonzero(y == 0), second[: max(1, len(second) // 20)]]))
    return x[keep], y[keep]


def _apart(pair: Pair) -> Pair:
    """The classes of the moons further from each other."""
    x, y = pair
    return (x + np.where(y[:, None] == 1, 1.2, -1.2) * [0.0, -1.0]).astype(np.float32), y


def _both(*edits: EditPair) -> EditPair:
    def edit(pair: Pair) -> Pair:
        for one in edits:
            pair = one(pair)
        return pair

    return edit


def _noise(pair: Pair) -> Pair:
    """Targets that nothing tells anything about, with the same distribution."""
    x, y = pair
    return x, np.random.default_rng(len(y)).permutation(y)


def _first_axis(pair: Pair) -> Pair:
    return pair[0], pair[1][:, None].astype(np.float32)


def _open_gates(path: str, value: Array) -> Array | None:
    """Forget gates that are wide open: a long memory."""
    if not path.endswith("bias"):
        return None
    if value.ndim != 1 or len(value) % 4:
        return None
    units = len(value) // 4
    value = value.copy()
    value[units : 2 * units] = 4.0
    return value


def _lstm(recipe: Recipe) -> Recipe:
    edited = _stack(lambda: layers.LSTM(24), _dense(1), epochs=45)(recipe).with_optimizer(
        lambda: cr.optimizers.Adam(cr.optimizers.CosineDecay(0.01, 45 * 30))
    )
    return initialised(
        edited, lambda path, value: _open_gates(path, value) if path.startswith("lstm") else None
    )


def _steps(subject: str) -> int:
    """Updates in a reference's run."""
    return {"digits_cnn": 25 * 38, "spirals": 120 * 19, "films": 12 * 82}[subject]


LOOK_ILL: tuple[Case, ...] = (
    Case("inputs beyond one", "article", pair=_scaled(0.5, 0.29)),
    Case("inputs beyond one", "digits_mlp", pair=_scaled(0.13, 0.31)),
    Case("mostly zeros after relu", "digits_mlp", _stack(
        _dense(256, "relu", bias_initializer=cr.initializers.Constant(-1.2)),
        lambda: layers.Dropout(0.3), _dense(10),
    )),
    Case("easy task", "moons", pair=_apart),
    Case("small batches", "moons", lambda r: r.with_settings(batch_size=8).with_rate(0.004)),
    Case("small batches", "article", lambda r: r.with_settings(batch_size=8).with_rate(0.003)),
    Case("edge of stability", "moons", _optimizer(
        lambda: cr.optimizers.SGD(1.0), batch_size=None, epochs=1500,
        early_stopping=_stopping(300))),
    Case("converged", "penguins", lambda r: r.with_settings(epochs=200, early_stopping=None)),
    Case("converged", "adding", lambda r: r.with_settings(epochs=35)),
    Case("frozen backbone", "digits_mlp", _stack(
        _dense(400, "relu", trainable=False), _dense(10), epochs=60)),
    Case("last layer starts at zero", "moons", _zero_last),
    Case("last layer starts at zero", "digits_cnn", _zero_last),
    Case("last layer starts at zero", "article", _zero_last),
    Case("dropout", "digits_mlp", _stack(
        _dense(128, "relu"), lambda: layers.Dropout(0.5), _dense(10))),
    Case("one to twenty", "moons", pair=_both(_apart, _rare)),
    Case("squared error on one-hot", "penguins", lambda r: r.with_settings(loss="mse"),
         _one_hot(3)),
    Case("squared error on one-hot", "digits_mlp",
         lambda r: r.with_settings(loss="mse", epochs=60), _one_hot(10)),
    Case("warm-up", "films", _optimizer(lambda: cr.optimizers.Adam(
        cr.optimizers.WarmUp(0.001, 150)))),
    Case("one cycle", "digits_cnn", _optimizer(lambda: cr.optimizers.Adam(
        cr.optimizers.OneCycle(0.01, _steps("digits_cnn"))), early_stopping=None)),
    Case("slow start", "spirals", _optimizer(lambda: cr.optimizers.Adam(
        cr.optimizers.WarmUp(0.01, 800)))),
    Case("saturated gates", "adding", _lstm),
    Case("momentum", "spirals", _optimizer(lambda: cr.optimizers.SGD(0.05, momentum=0.9))),
    Case("quasi-Newton", "moons", _optimizer(
        cr.optimizers.LBFGS, epochs=30, batch_size=None, early_stopping=_stopping(10))),
    Case("one probability", "moons", _stack(
        _dense(16, "relu"), _dense(16, "relu"), _dense(1, "sigmoid"),
        loss="binary_cross_entropy"), _first_axis),
    Case("tanh", "spirals", _stack(_dense(32, "tanh"), _dense(32, "tanh"), _dense(3))),
    Case("batch normalisation", "digits_mlp", _stack(
        _dense(64), layers.BatchNormalization, lambda: layers.Activation("relu"),
        lambda: layers.Dropout(0.3), _dense(10))),
    Case("no signal", "article", pair=_noise, expected="no signal"),
    Case("no signal", "moons", pair=_noise, expected="no signal"),
    Case("no signal", "penguins", pair=_noise, expected="no signal"),
)  # fmt: skip


def cases(names: tuple[str, ...] | None = None) -> tuple[Case, ...]:
    """References and runs that look ill, of these subjects; None for all."""
    known = tuple(subjects.PLANS) if names is None else names
    found = [*(reference(name) for name in subjects.PLANS), *LOOK_ILL]
    return tuple(case for case in found if case.subject in known)
