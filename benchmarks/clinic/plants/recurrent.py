"""Faults of recurrent networks: forgetting, exploding, padding."""

from typing import Any

import numpy as np
from numpy.random import Generator

import chainrule as cr
from benchmarks.clinic.plants import Place, Plant
from benchmarks.clinic.plants.editing import initialised, rebuilt, reconfigured
from chainrule.diagnosis.recipe import Recipe
from chainrule.nn import Layer
from chainrule.training.model import Model

SEQUENCES = ("adding", "films", "spoken")
_UNITS = 24


def _as_sequences(recipe: Recipe, make: Any) -> Recipe:
    """The run with this recurrent layer in place of the one there is; a spectrogram is read one
    moment after the other.
    """
    if recipe.x.ndim == 4 or isinstance(recipe.make().layers[0], cr.layers.Conv2D):
        front = [cr.layers.Reshape(recipe.x.shape[1:3])] if recipe.x.ndim == 4 else []

        def edit(model: Model) -> Model:
            return cr.Sequential([*front, make(_UNITS), model.layers[-1]])

        return recipe.with_model(edit)

    def other(index: int, layer: Layer) -> Layer:
        return make(layer.units) if isinstance(layer, cr.layers.GRU) else layer

    return rebuilt(recipe, other)


def _scaled(recipe: Recipe, factor: float) -> Recipe:
    def change(path: str, value: Any) -> Any:
        return value * factor if path.endswith("recurrent_kernel") else None

    return initialised(recipe, change)


def _layer(recipe: Recipe, severity: int, random: Generator) -> Place:
    names = dict(recipe.make().named_layers())
    kinds = (cr.layers.SimpleRNN, cr.layers.GRU)
    return {"layer": next(name for name, layer in names.items() if isinstance(layer, kinds))}


# ---- R1: forgets


def _forgets(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    """A layer without gates, at the worse with small weights for its state."""
    recipe = _as_sequences(recipe, cr.layers.SimpleRNN)
    return recipe if severity == 0 else _scaled(recipe, 0.3)


# ---- R2: explodes


def _explodes(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    """First weights of the state several times as large as they should be."""
    return _scaled(_as_sequences(recipe, cr.layers.GRU), (6.0, 12.0)[severity])


# ---- R3: padding


def _longer(x: Any, severity: int) -> Any:
    """Filled up to three or six times the length; a spectrogram as (N, steps, bands)."""
    x = x[..., 0] if x.ndim == 4 else x
    widths = [(0, 0)] * x.ndim
    widths[1] = (0, x.shape[1] * (3, 6)[severity] - x.shape[1])
    return np.pad(x, widths)


def _padded(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    assert recipe.validation is not None
    x, y = recipe.validation
    recipe = recipe.with_data(_longer(recipe.x, severity), None, (_longer(x, severity), y))
    recipe = _as_sequences(recipe, cr.layers.GRU)

    def unmasked(index: int, layer: Layer) -> Layer:
        if isinstance(layer, cr.layers.Embedding):
            return reconfigured(layer, padding_index=None)
        return layer

    return rebuilt(recipe, unmasked)


def _padded_test(x: Any, y: Any, severity: int, random: Generator) -> tuple[Any, Any]:
    return _longer(x, severity), y


PLANTS: tuple[Plant, ...] = (
    Plant("R1", SEQUENCES, _forgets, located=_layer),
    Plant("R2", SEQUENCES, _explodes, located=_layer),
    Plant("R3", SEQUENCES, _padded, test=_padded_test, located=_layer),
)
