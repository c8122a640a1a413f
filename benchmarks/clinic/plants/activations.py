"""Faults of activations and first weights."""

import math
from collections.abc import Callable
from typing import Any

from numpy.random import Generator
from numpy.typing import NDArray

import chainrule as cr
from benchmarks.clinic.plants import Plant
from benchmarks.clinic.plants.editing import initialised, rebuilt, reconfigured
from benchmarks.clinic.plants.structure import is_hidden
from chainrule.diagnosis.recipe import Recipe
from chainrule.nn import Layer

layers, initializers = cr.layers, cr.initializers


def _hidden(recipe: Recipe, **arguments: Any) -> Recipe:
    """The run with these arguments in all hidden layers."""
    return rebuilt(
        recipe, lambda _, layer: reconfigured(layer, **arguments) if is_hidden(layer) else layer
    )


def _deep(recipe: Recipe, depth: int, width: int, **arguments: Any) -> Recipe:
    """The run with ``depth`` dense layers of one width in place of the hidden ones."""
    places = [i for i, layer in enumerate(recipe.make().layers) if is_hidden(layer)]

    def change(index: int, layer: Layer) -> Layer | list[Layer]:
        if index == places[0]:
            return [layers.Dense(width, **arguments) for _ in range(depth)]
        return [] if index in places else layer

    return rebuilt(recipe, change)


def _deep_sigmoid(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    """Eight sigmoid layers; severe: twenty."""
    return _deep(recipe, 20 if severity else 8, 32, activation="sigmoid")


def _small_sigmoid(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    """Five sigmoid layers with first weights of N(0, 0.01); severe: twelve."""
    return _deep(recipe, 12 if severity else 5, 32, activation="sigmoid",
                 kernel_initializer=initializers.RandomNormal(stddev=0.01))  # fmt: skip


def _deep_growing(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    """Twelve relu layers that each make the signal 2.5 times larger; severe: twenty, 4 times."""
    width, gain = 32, 4.0 if severity else 2.5
    normal = initializers.RandomNormal(stddev=gain * math.sqrt(2 / width))
    return _deep(recipe, 20 if severity else 12, width, activation="relu",
                 kernel_initializer=normal)  # fmt: skip


def _low_bias(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    """Biases that begin at -3; severe: -10."""
    return _hidden(recipe, bias_initializer=initializers.Constant(-10.0 if severity else -3.0))


def _negative_weights(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    """First weights that are all negative, on inputs that are not; severe: ten times larger."""
    low = -0.5 if severity else -0.05
    return _hidden(recipe, kernel_initializer=initializers.RandomUniform(low, 0.0))


def _scaled(factor: float) -> Callable[[str, NDArray[Any]], NDArray[Any] | None]:
    return lambda path, value: value * factor if path.endswith("kernel") else None


def _saturated(activation: str) -> Callable[[Recipe, int, Generator], Recipe]:
    """First weights 20 times too large for a function with two flat ends; severe: 100 times."""

    def edit(recipe: Recipe, severity: int, random: Generator) -> Recipe:
        recipe = _hidden(recipe, activation=activation)
        last = len(recipe.make().layers) - 1
        names = [name for name, _ in recipe.make().named_layers()]
        factor = _scaled(100.0 if severity else 20.0)
        return initialised(
            recipe,
            lambda path, value: None if path.startswith(names[last]) else factor(path, value),
        )

    return edit


def _alike(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    """All weights of a hidden layer begin with one value; severe: all weights with 0."""
    if severity:
        return initialised(
            recipe, lambda path, value: value * 0 if path.endswith("kernel") else None
        )
    return _hidden(recipe, kernel_initializer=initializers.Constant(0.1))


def _large(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    """First weights 10 times too large; severe: 100 times."""
    return initialised(recipe, _scaled(100.0 if severity else 10.0))


def _small(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    """First weights 100 times too small; severe: 1000 times."""
    return initialised(recipe, _scaled(0.001 if severity else 0.01))


TABLES = ("moons", "spirals", "article", "penguins", "digits_mlp")
#: Where the hidden layers have to learn: random ones would not do.
BENT = ("moons", "spirals", "article", "digits_mlp", "wide")

PLANTS: tuple[Plant, ...] = (
    Plant("V1", TABLES, _deep_sigmoid, variant="depth"),
    Plant("V1", TABLES, _small_sigmoid, variant="normal"),
    Plant("V2", TABLES, _deep_growing),
    Plant("V3", (*TABLES, "digits_cnn", "spoken"), _low_bias, variant="bias"),
    Plant("V3", ("article", "digits_mlp", "digits_cnn"), _negative_weights, variant="weights"),
    Plant("V4", BENT, _saturated("tanh"), variant="tanh"),
    Plant("V4", BENT, _saturated("sigmoid"), variant="sigmoid"),
    Plant("V5", (*TABLES, "digits_cnn"), _alike),
    Plant("V6", (*TABLES, "digits_cnn", "spoken"), _large, variant="large"),
    Plant("V6", ("moons", "article", "digits_cnn", "spoken"), _small, variant="small"),
)
