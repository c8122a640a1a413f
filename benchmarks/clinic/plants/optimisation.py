"""Faults of the optimisation: rate, optimizer, length, batches, penalties, order of rows."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.random import Generator

import chainrule as cr
from benchmarks.clinic.plants import Edit, Plant
from benchmarks.clinic.plants.editing import rebuilt, reconfigured
from chainrule.diagnosis.recipe import Recipe
from chainrule.nn import Layer
from chainrule.optimizers import Optimizer

layers = cr.layers

EVERY = (
    "moons", "spirals", "article", "penguins", "wide", "digits_mlp", "digits_cnn", "films",
    "spoken", "adding",
)  # fmt: skip
DENSE = ("spirals", "article", "penguins", "wide", "digits_mlp")


def _optimizer(mild: Callable[[], Optimizer], severe: Callable[[], Optimizer]) -> Edit:
    return lambda recipe, severity, random: recipe.with_optimizer((mild, severe)[severity])


def _times(mild: float, severe: float) -> Edit:
    """The rate of the reference, times a factor."""

    def edit(recipe: Recipe, severity: int, random: Generator) -> Recipe:
        return recipe.with_rate(recipe.learning_rate * (mild, severe)[severity])

    return edit


# ---- stopped too early


def _few_epochs(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    return recipe.with_settings(epochs=max(1, recipe.epochs // (15, 40)[severity]))


def _short_schedule(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    """A cosine for a shorter run: the rate is 0 for most of this one."""
    rate, steps = recipe.learning_rate, max(2, recipe.steps // (25, 60)[severity])
    before = recipe.optimizer

    def make() -> Optimizer:
        config = before().get_config()
        config["learning_rate"] = cr.optimizers.CosineDecay(rate, steps)
        return type(before()).from_config(config)

    return recipe.with_optimizer(make)


def _impatient(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    """Early stopping that wants a large improvement in each epoch."""
    stopping = cr.callbacks.EarlyStopping(patience=1, min_delta=(0.1, 0.3)[severity])
    return recipe.with_settings(early_stopping=stopping)


# ---- batches


def _all_rows(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    """One step an epoch, and epochs that would be enough for small batches."""
    epochs = max(10, recipe.epochs // (2, 5)[severity])
    return recipe.with_settings(batch_size=None, epochs=epochs)


def _single_rows(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    """Batch normalisation over the two rows of a batch, or over one."""
    last = len(recipe.make().layers) - 1

    def change(index: int, layer: Layer) -> Layer | list[Layer]:
        if index < last and isinstance(layer, layers.Dense | layers.Conv2D):
            return [layer, layers.BatchNormalization(momentum=0.9)]
        return layer

    return rebuilt(recipe, change).with_settings(batch_size=(2, 1)[severity])


# ---- penalties


def _penalised(mild: float, severe: float, kind: Any) -> Edit:
    def edit(recipe: Recipe, severity: int, random: Generator) -> Recipe:
        amount = (mild, severe)[severity]

        def change(index: int, layer: Layer) -> Layer:
            if isinstance(layer, layers.Dense | layers.Conv2D | layers.GRU):
                return reconfigured(layer, kernel_regularizer=kind(amount))
            return layer

        return rebuilt(recipe, change)

    return edit


def _decayed(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    rate = recipe.learning_rate
    return recipe.with_optimizer(
        lambda: cr.optimizers.AdamW(rate, weight_decay=(5.0, 30.0)[severity])
    )


# ---- order


def _sorted(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    """Rows sorted by their target, in two stretches or in one, and taken as they come."""
    order = random.permutation(recipe.rows)
    values = np.asarray(recipe.y).reshape(len(order), -1)[:, 0]
    parts = np.array_split(order, (2, 1)[severity])
    order = np.concatenate([part[np.argsort(values[part], kind="stable")] for part in parts])
    changed = recipe.with_data(recipe.x[order], recipe.y[order])
    return changed.with_settings(shuffle=False, early_stopping=None)


PLANTS: tuple[Plant, ...] = (
    Plant("O1", EVERY, _times(30, 200)),
    Plant(
        "O1", EVERY,
        _optimizer(lambda: cr.optimizers.SGD(2.0, momentum=0.9), lambda: cr.optimizers.SGD(20.0)),
        variant="gradient descent",
    ),
    Plant("O2", EVERY, _times(1e-3, 1e-6)),
    Plant(
        "O2", EVERY,
        _optimizer(lambda: cr.optimizers.SGD(1e-4), lambda: cr.optimizers.SGD(1e-6)),
        variant="gradient descent",
    ),
    Plant(
        "O2", EVERY,
        _optimizer(lambda: cr.optimizers.Adagrad(3e-4), lambda: cr.optimizers.Adadelta(1e-3)),
        variant="weak optimizer",
    ),
    Plant("O3", EVERY, _few_epochs),
    Plant("O3", EVERY, _short_schedule, variant="schedule"),
    Plant("O3", EVERY, _impatient, variant="patience"),
    Plant("O4", EVERY, _all_rows),
    Plant("O4", DENSE, _single_rows, variant="normalised"),
    Plant("O5", EVERY, _penalised(0.3, 3.0, cr.regularizers.L2)),
    Plant("O5", DENSE, _penalised(0.05, 0.5, cr.regularizers.L1), variant="absolute"),
    Plant("O5", EVERY, _decayed, variant="decay"),
    Plant("O6", EVERY, _sorted),
)  # fmt: skip
