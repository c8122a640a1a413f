"""What plants have in common: other layers, other first weights."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import chainrule as cr
from chainrule.diagnosis.recipe import Recipe
from chainrule.nn import Layer
from chainrule.training.model import Model

#: Of a layer's place and the layer: the layers to have there instead (itself among them or not).
ChangeLayer = Callable[[int, Layer], Layer | Sequence[Layer]]
#: Of a variable's path and its value: the value to begin with, or None to leave it.
ChangeValue = Callable[[str, NDArray[Any]], NDArray[Any] | None]


def rebuilt(recipe: Recipe, change: ChangeLayer) -> Recipe:
    """The run with other layers; ``change`` says for each layer of the model what stands there."""

    def edit(model: Model) -> Model:
        layers: list[Layer] = []
        for index, layer in enumerate(model.layers):
            given = change(index, layer)
            layers += [given] if isinstance(given, Layer) else given
        return cr.Sequential(layers)

    return recipe.with_model(edit)


def reconfigured(layer: Layer, **changes: Any) -> Layer:
    """A new layer of the same kind with other arguments: ``reconfigured(dense, units=2)``."""
    return type(layer).from_config({**layer.get_config(), **changes})


def initialised(recipe: Recipe, change: ChangeValue) -> Recipe:
    """The run with other first weights; ``change`` gets paths such as ``"dense/kernel"``."""

    def edit(model: Model) -> None:
        model.seed_if_new(int(recipe.settings.get("seed", 0)))
        rows = recipe.x[:2]
        model(rows if isinstance(rows, np.ndarray) else np.asarray(rows))
        for variable in model.variables:
            value = change(variable.path, variable.value.numpy())
            if value is not None:
                variable.assign(np.asarray(value, variable.value.dtype.name))

    return recipe.with_model(edit)
