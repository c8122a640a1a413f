"""Faults of the set-up of the task."""

from typing import Any

import numpy as np
from numpy.random import Generator

import chainrule as cr
from benchmarks.clinic.plants import Place, Plant
from benchmarks.clinic.plants.editing import rebuilt, reconfigured
from chainrule.diagnosis.recipe import Recipe
from chainrule.nn import Layer

QUANTITIES = ("article", "wide", "adding")
CLASSES = ("spirals", "penguins", "digits_mlp", "digits_cnn", "spoken")


# ---- T1: the loss compares all pairs of rows


def squared_error(y_true: Any, y_pred: Any) -> Any:
    """The mean squared difference."""
    return cr.mean((cr.reshape(y_true, (-1,)) - y_pred) ** 2)


def absolute_error(y_true: Any, y_pred: Any) -> Any:
    """The mean absolute difference."""
    return cr.mean(abs(y_true - y_pred[:, 0]))


def _pairs(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    return recipe.with_settings(loss=(absolute_error, squared_error)[severity])


# ---- T2: the outputs cannot say the answer


def _head(recipe: Recipe, **changes: Any) -> Recipe:
    last = len(recipe.make().layers) - 1
    return rebuilt(recipe, lambda i, layer: reconfigured(layer, **changes) if i == last else layer)


def _last_layer(recipe: Recipe, severity: int, random: Generator) -> Place:
    return {"layer": recipe.make().named_layers()[-1][0]}


def _bounded(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    """A head that ends below some targets: those of the middle, or nearly all."""
    y = recipe.y
    return _head(recipe, activation="relu" if y.min() < -0.5 else ("tanh", "sigmoid")[severity])


def _few_outputs(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    """An output less than there are classes, or a single one."""
    count = int(recipe.y.max()) + 1
    if severity == 0:
        return _head(recipe, units=count - 1)
    return _head(recipe, units=1, activation="sigmoid").with_settings(loss="binary_cross_entropy")


# ---- T3: the loss does not fit the task


def _as_quantity(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    return _head(recipe, units=1).with_settings(loss=("mse", "mae")[severity], metrics=[])


def _unusual(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    return recipe.with_settings(loss=("poisson", "cosine_similarity")[severity])


def _as_probability(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    if severity == 0:
        return recipe.with_settings(loss="binary_cross_entropy")
    return recipe.with_settings(loss="cross_entropy")


# ---- T4: softmax twice, or logits taken for probabilities


def log_loss(y_true: Any, y_pred: Any) -> Any:
    """The cross-entropy of scores."""
    wanted = cr.one_hot(y_true, y_pred.shape[-1])
    return -cr.sum(wanted * cr.log_softmax(y_pred), axis=-1)


def negative_log(y_true: Any, y_pred: Any) -> Any:
    """The cross-entropy of probabilities."""
    wanted = cr.one_hot(y_true, y_pred.shape[-1])
    return -cr.sum(wanted * cr.log(cr.clip(y_pred, 1e-7, 1.0)), axis=-1)


def _twice(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    if severity == 0:
        return _head(recipe, activation="softmax").with_settings(loss=log_loss)

    def ending(index: int, layer: Layer) -> list[Layer] | Layer:
        if index != len(recipe.make().layers) - 1:
            return layer
        return [reconfigured(layer, activation="softmax"), cr.layers.Activation("softmax")]

    return rebuilt(recipe, ending)


def _logits(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    loss = (negative_log, cr.losses.CrossEntropy(from_logits=False))[severity]
    return recipe.with_settings(loss=loss)


# ---- T5: not everything is trained


def _frozen(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    """The first layer with weights is frozen, or all but the last."""
    learning = _with_weights(recipe)
    chosen = learning[:1] if severity == 0 else learning[:-1]

    def freeze(index: int, layer: Layer) -> Layer:
        return reconfigured(layer, trainable=False) if index in chosen else layer

    return rebuilt(recipe, freeze)


def _first_layer(recipe: Recipe, severity: int, random: Generator) -> Place:
    return {"layer": recipe.make().named_layers()[_with_weights(recipe)[0]][0]}


def _with_weights(recipe: Recipe) -> list[int]:
    model = recipe.make()
    model(np.asarray(recipe.x[:2]))
    return [i for i, layer in enumerate(model.layers) if layer.weights]


class Scaled(cr.Layer):
    """Multiply by a number that goes with the size of the row."""

    def call(self, inputs: Any) -> Any:
        """inputs / (1 + mean size)"""
        size = cr.mean(abs(inputs), axis=-1, keepdims=True)
        return cr.stop_gradient(inputs / (1.0 + size))


def _cut(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    """Behind the first layer with weights, or before the last."""
    learning = _with_weights(recipe)
    place = learning[0] + 1 if severity == 0 else learning[-1]
    return rebuilt(recipe, lambda i, layer: [Scaled(), layer] if i == place else layer)


# ---- T6: rows of a batch mix


class Turned(cr.Layer):
    """Exchange two axes, for some of the columns."""

    def __init__(self, columns: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        self.columns = columns

    def call(self, inputs: Any) -> Any:
        """The last axis as it was for the others."""
        count = round(self.columns * inputs.shape[-1])
        part, rest = inputs[..., :count], inputs[..., count:]
        turned = cr.reshape(cr.transpose(part), part.shape)
        return cr.concatenate([turned, rest], axis=-1)


def _mixed(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    """All columns behind the first layer, or half of them."""
    place = _with_weights(recipe)[0] + 1
    columns = (0.5, 1.0)[severity]
    return rebuilt(recipe, lambda i, layer: [Turned(columns), layer] if i == place else layer)


PLANTS: tuple[Plant, ...] = (
    Plant("T1", QUANTITIES, _pairs),
    Plant("T2", QUANTITIES, _bounded, variant="range", located=_last_layer),
    Plant("T2", CLASSES, _few_outputs, variant="units", judged="exact", located=_last_layer),
    Plant("T3", ("digits_mlp", "digits_cnn", "spoken"), _as_quantity, variant="quantity"),
    Plant("T3", QUANTITIES, _unusual, variant="unusual"),
    Plant("T3", QUANTITIES, _as_probability, variant="probability", judged="exact"),
    Plant("T4", CLASSES, _twice, variant="twice", judged="exact"),
    Plant("T4", CLASSES, _logits, variant="logits"),
    Plant("T5", ("digits_mlp", "moons", "films", "article"), _frozen, variant="frozen",
          located=_first_layer),
    Plant("T5", ("digits_mlp", "article", "wide", "digits_cnn"), _cut, variant="cut",
          located={"layer": "scaled"}),
    Plant("T6", ("moons", "spirals", "article", "penguins", "digits_mlp", "adding"), _mixed,
          judged="exact", located={"layer": "turned"}),
)  # fmt: skip
