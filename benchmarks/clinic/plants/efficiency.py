"""Faults that cost time."""

import json
import tempfile
import time
from typing import Any

import numpy as np
from numpy.random import Generator

import chainrule as cr
from benchmarks.clinic.plants import Plant
from benchmarks.clinic.plants.editing import rebuilt, reconfigured
from chainrule.diagnosis.recipe import Recipe
from chainrule.nn import Layer

layers = cr.layers


class StepLog(cr.callbacks.Callback):
    """Writes the loss of each step to a file on a slow disk.

    Args:
        seconds: how long the disk takes.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        with tempfile.TemporaryFile("w") as file:
            file.write(json.dumps({"batch": batch, **(logs or {})}))
        time.sleep(self.seconds)


class Report(cr.callbacks.Callback):
    """Looks at the model's outputs after each epoch, and sends what it saw.

    Args:
        x: rows.
        seconds: how long sending takes.
    """

    def __init__(self, x: Any, seconds: float) -> None:
        self.x = x
        self.seconds = seconds

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        outputs = np.asarray(self.model.predict(self.x))
        json.dumps(outputs.reshape(-1).tolist())
        time.sleep(self.seconds)


def _each_step(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    return recipe.with_settings(callbacks=[StepLog((0.0005, 0.002)[severity])])


def _each_epoch(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    return recipe.with_settings(callbacks=[Report(recipe.x[:200], (0.05, 0.15)[severity])])


def _small_batches(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    """Four rows a step, or two, for layers eight times as wide; the rate is fit for them."""
    small = (4, 2)[severity]
    rate = recipe.learning_rate * (small / recipe.batch_size) ** 0.5
    return _widened(recipe, 8).with_settings(batch_size=small).with_rate(rate)


def _too_wide(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    """Ten to sixty times as many units as are needed."""
    widths = [layer.units for layer in recipe.make().layers[:-1] if isinstance(layer, layers.Dense)]
    return _widened(recipe, (512, 1024)[severity] // max(widths))


def _widened(recipe: Recipe, factor: int) -> Recipe:
    last = len(recipe.make().layers) - 1

    def change(index: int, layer: Layer) -> Layer:
        if index < last and isinstance(layer, layers.Dense):
            return reconfigured(layer, units=factor * layer.units)
        return layer

    return rebuilt(recipe, change)


PLANTS: tuple[Plant, ...] = (
    Plant("E1", ("moons", "article", "digits_mlp", "penguins"), _each_step, judged="time"),
    Plant(
        "E1", ("digits_mlp", "digits_cnn", "films", "spoken"), _each_epoch,
        variant="epochs", judged="time",
    ),
    Plant("E2", ("moons", "spirals", "digits_mlp"), _small_batches, judged="time"),
    Plant("E2", ("moons", "spirals", "digits_mlp"), _too_wide, variant="width", judged="time"),
)  # fmt: skip
