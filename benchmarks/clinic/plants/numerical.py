"""Faults of numbers: unsafe functions, wrong derivatives."""

from typing import Any

import numpy as np
from numpy.random import Generator

import chainrule as cr
from benchmarks.clinic.plants import Plant
from benchmarks.clinic.plants.editing import rebuilt, reconfigured
from chainrule.diagnosis.recipe import Recipe
from chainrule.nn import Layer

# ---- N1: functions that are not safe


class Logarithm(cr.Layer):
    """The logarithm of what comes in."""

    def call(self, inputs: Any) -> Any:
        """log x"""
        return cr.log(inputs)


class Shares(cr.Layer):
    """Every column in parts of the first."""

    def call(self, inputs: Any) -> Any:
        """x / x_0"""
        return inputs / inputs[..., :1]


def relative_error(y_true: Any, y_pred: Any) -> Any:
    """The mean size of the difference, in parts of the target."""
    return cr.mean(abs((y_true - y_pred) / y_true), axis=-1)


def log_likelihood(y_true: Any, y_pred: Any) -> Any:
    """Minus the logarithm of the probability of the class, of scores ten times as sharp."""
    chosen = cr.one_hot(y_true, y_pred.shape[-1])
    return -cr.sum(chosen * cr.log(cr.softmax(10.0 * y_pred)), axis=-1)


def _in_layer(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    """Behind the first hidden layer, of which some units are 0."""
    made: Layer = (Shares(), Logarithm())[severity]
    place = _first_active(recipe) + 1

    def change(index: int, layer: Layer) -> list[Layer] | Layer:
        return [reconfigured(made), layer] if index == place else layer

    return rebuilt(recipe, change)


def _first_active(recipe: Recipe) -> int:
    model = recipe.make()
    return next(i for i, layer in enumerate(model.layers) if hasattr(layer, "activation"))


def _in_loss(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    """Some targets are exactly 0, and the error is divided by the target."""
    y = recipe.y.copy()
    share = (0.01, 0.1)[severity]
    y[random.random(len(y)) < share] = 0.0
    return recipe.with_data(y=y).with_settings(loss=relative_error)


def _in_log(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    """The probability of the right class rounds to 0 for a row that is far off."""
    far = (20.0, 60.0)[severity]
    x = np.array(recipe.x)
    x[random.integers(0, len(x))] *= far
    return recipe.with_data(x=x).with_settings(loss=log_likelihood)


# ---- N2: wrong derivatives


@cr.custom_gradient
def distance(y_true: Any, y_pred: Any) -> Any:
    """|y - p|; the sign of the difference is forgotten."""
    return abs(y_true - y_pred), lambda g: (g, -g)


@cr.custom_gradient
def square(y_true: Any, y_pred: Any) -> Any:
    """(y - p)^2; the difference is taken without its sign."""
    size = abs(y_true - y_pred)
    return size * size, lambda g: (2.0 * g * size, -2.0 * g * size)


def mean_distance(y_true: Any, y_pred: Any) -> Any:
    """The mean over the columns."""
    return cr.mean(distance(y_true, y_pred), axis=-1)


def mean_square(y_true: Any, y_pred: Any) -> Any:
    """The mean over the columns."""
    return cr.mean(square(y_true, y_pred), axis=-1)


def _in_own_loss(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    return recipe.with_settings(loss=(mean_square, mean_distance)[severity])


@cr.custom_gradient
def swish(x: Any) -> Any:
    """x sigmoid(x); the first term of the product rule is forgotten."""
    share = cr.sigmoid(x)
    return x * share, lambda g: g * x * share * (1.0 - share)


@cr.custom_gradient
def bend(x: Any) -> Any:
    """tanh, with a sign that is wrong."""
    value = cr.tanh(x)
    return value, lambda g: g * (value * value - 1.0)


class Swish(cr.Layer):
    """x sigmoid(x)"""

    def call(self, inputs: Any) -> Any:
        """By hand."""
        return swish(inputs)


class Bend(cr.Layer):
    """tanh x"""

    def call(self, inputs: Any) -> Any:
        """By hand."""
        return bend(inputs)


def _by_hand(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    """The first activation is a layer with a derivative of its own."""
    place, kind = _first_active(recipe), (Swish, Bend)[severity]

    def change(index: int, layer: Layer) -> list[Layer] | Layer:
        if index != place:
            return layer
        return [reconfigured(layer, activation=None), kind(name="act")]

    return rebuilt(recipe, change)


PLANTS: tuple[Plant, ...] = (
    Plant("N1", ("moons", "spirals", "article", "penguins", "digits_mlp"), _in_layer,
          variant="layer"),
    Plant("N1", ("article", "wide", "adding"), _in_loss, variant="zeros",
          located={"operation": "divide"}),
    Plant("N1", ("moons", "spirals", "penguins", "digits_mlp"), _in_log, variant="log",
          located={"operation": "log"}),
    Plant("N2", ("moons", "spirals", "article", "digits_mlp", "digits_cnn", "spoken"), _by_hand,
          variant="layer", located={"layer": "act"}),
    Plant("N2", ("article", "wide", "adding"), _in_own_loss, variant="loss"),
)  # fmt: skip
