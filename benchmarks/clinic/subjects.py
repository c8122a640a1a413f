"""The healthy references: ten small problems, each with a network that is well trained."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

import chainrule as cr
from benchmarks.clinic import rows as data
from benchmarks.clinic.rows import Array, Pair, Rows
from chainrule.diagnosis.recipe import Recipe
from chainrule.nn import Layer
from chainrule.optimizers import Optimizer
from chainrule.training.model import Model

layers = cr.layers

Metric = Literal["accuracy", "r2"]


@dataclass(frozen=True)
class Subject:
    """A problem with a healthy way to train for it.

    Attributes:
        name: the key of the command line.
        recipe: the healthy run with this seed.
        test: (x, y) to judge with.
        metric: ``"accuracy"`` or ``"r2"``, one minus the mean squared error over the variance.
        columns: names of the columns of x, where they have names.
    """

    name: str
    recipe: Callable[[int], Recipe]
    test: Pair
    metric: Metric
    columns: tuple[str, ...] = ()


def score(metric: Metric, model: Model, x: Any, y: Any) -> float:
    """What the model reaches on these rows; minus infinity where it gives no finite answer."""
    try:
        found = np.asarray(model.predict(x), np.float64)
    except (ValueError, TypeError, ArithmeticError, RuntimeError):
        return -np.inf
    return score_outputs(metric, found, y)


def score_outputs(metric: Metric, found: Array, y: Array) -> float:
    """What these outputs are worth."""
    if not np.isfinite(found).all():
        return -np.inf
    if metric == "r2":
        wanted = np.asarray(y, np.float64).reshape(len(y), -1)
        found = found.reshape(len(found), -1)
        if found.shape != wanted.shape:
            return -np.inf
        with np.errstate(over="ignore"):
            return float(1 - np.square(found - wanted).mean() / wanted.var())
    return _share_right(found, labels_of(y))


def _share_right(found: Array, labels: Array) -> float:
    """The share of rows in the right class."""
    found = found.reshape(len(found), -1)
    if found.shape[1] > 1:
        return float((found.argmax(1) == labels).mean())
    if labels.max() > 1:  # fitted as a quantity: the nearest class
        return float((np.rint(found[:, 0]) == labels).mean())
    # A probability or a log odds ratio: what it is, the loss knows; the better reading counts.
    return max(float(((found[:, 0] > middle) == labels).mean()) for middle in (0.0, 0.5))


def labels_of(y: Array) -> Array:
    """The class numbers of targets, one-hot or not."""
    return np.asarray(y.argmax(1) if y.ndim == 2 and y.shape[1] > 1 else y.reshape(-1), np.int64)


@dataclass(frozen=True)
class Plan:
    """How a subject is trained.

    Attributes:
        stack: gives the layers.
        rate: the learning rate of Adam.
        epochs, batch: as in ``fit``.
        patience: of early stopping, 0 for none.
        decay: of AdamW; 0 is Adam.
        cosine: lets the rate fall along half a cosine.
        metric: how it is judged.
        rows: the name of its rows, if it is another than its own.
        flat: the rows as vectors.
    """

    stack: Callable[[], list[Layer]]
    rate: float
    epochs: int
    batch: int
    patience: int = 0
    decay: float = 0.0
    cosine: bool = False
    metric: Metric = "accuracy"
    rows: str = ""
    flat: bool = False
    settings: dict[str, Any] = field(default_factory=dict)


def _mlp(*widths: int, outputs: int, activation: str = "relu", dropout: float = 0) -> Any:
    def stack() -> list[Layer]:
        made: list[Layer] = []
        for width in widths:
            made.append(layers.Dense(width, activation=activation))
            if dropout:
                made.append(layers.Dropout(dropout))
        return [*made, layers.Dense(outputs)]

    return stack


def _digits_cnn() -> list[Layer]:
    return [
        layers.Conv2D(16, 3, strides=2, padding="same", activation="relu"),
        layers.Conv2D(32, 3, strides=2, padding="same", activation="relu"),
        layers.Flatten(),
        layers.Dropout(0.5),
        layers.Dense(10),
    ]


def _films() -> list[Layer]:
    return [
        layers.Embedding(3000, 16, padding_index=0),
        layers.Dropout(0.4),
        layers.GRU(16),
        layers.Dropout(0.4),
        layers.Dense(2),
    ]


def _spoken() -> list[Layer]:
    return [
        layers.Conv2D(12, 3, strides=2, padding="same", activation="relu"),
        layers.Conv2D(24, 3, strides=2, padding="same", activation="relu"),
        layers.Flatten(),
        layers.Dropout(0.4),
        layers.Dense(10),
    ]


def _adding() -> list[Layer]:
    return [layers.GRU(24), layers.Dense(1)]


PLANS: dict[str, Plan] = {
    "moons": Plan(_mlp(16, 16, outputs=2), 0.01, 60, 32, patience=15),
    "spirals": Plan(_mlp(32, 32, outputs=3), 0.01, 120, 32, patience=20),
    "article": Plan(_mlp(10, outputs=1), 0.01, 100, 32, metric="r2", patience=20),
    "penguins": Plan(_mlp(16, outputs=3), 0.01, 60, 16, patience=15),
    "wide": Plan(
        _mlp(64, outputs=1, dropout=0.5), 0.003, 120, 32, metric="r2", patience=20, decay=0.1
    ),
    "digits_mlp": Plan(
        _mlp(64, outputs=10, dropout=0.3), 0.003, 30, 32, patience=8, rows="digits", flat=True
    ),
    "digits_cnn": Plan(_digits_cnn, 0.003, 25, 32, patience=6, rows="digits"),
    "films": Plan(_films, 0.001, 12, 50, patience=3),
    "spoken": Plan(_spoken, 0.004, 30, 32, patience=8),
    "adding": Plan(_adding, 0.01, 25, 50, metric="r2", patience=10, cosine=True),
}  # fmt: skip

#: Where the rows have to be read from files.
READ = tuple(name for name, plan in PLANS.items() if (plan.rows or name) in data.READ)


def recipe_of(plan: Plan, rows: Rows, seed: int) -> Recipe:
    """The run of a plan."""
    steps = plan.epochs * -(-len(rows.train[0]) // plan.batch)

    def make() -> Model:
        return cr.Sequential(plan.stack())

    def optimizer() -> Optimizer:
        rate: Any = cr.optimizers.CosineDecay(plan.rate, steps) if plan.cosine else plan.rate
        if plan.decay:
            return cr.optimizers.AdamW(rate, weight_decay=plan.decay)
        return cr.optimizers.Adam(rate)

    settings: dict[str, Any] = {
        "loss": "cross_entropy" if plan.metric == "accuracy" else "mse",
        "metrics": ["accuracy"] if plan.metric == "accuracy" else [],
        "epochs": plan.epochs,
        "batch_size": plan.batch,
        "seed": seed,
        **plan.settings,
    }
    if plan.patience:
        settings["early_stopping"] = cr.callbacks.EarlyStopping(patience=plan.patience)
    return Recipe(make, *rows.train, rows.validation, optimizer, settings)


@cache
def get(name: str, folder: Path | None = None) -> Subject:
    """The subject of this name.

    Args:
        name: a key of ``PLANS``.
        folder: the folder of the data sets, for those that are read.
    """
    plan = PLANS[name]
    rows = data.load(plan.rows or name, folder)
    if plan.flat:
        rows = rows.flat()
    return Subject(
        name, lambda seed: recipe_of(plan, rows, seed), rows.test, plan.metric, rows.columns
    )
