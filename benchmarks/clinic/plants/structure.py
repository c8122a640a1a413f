"""Faults of the structure."""

from numpy.random import Generator

import chainrule as cr
from benchmarks.clinic.plants import Plant
from benchmarks.clinic.plants.editing import rebuilt, reconfigured
from chainrule.diagnosis.recipe import Recipe
from chainrule.nn import Layer

layers = cr.layers

#: The arguments that say how wide a layer is.
WIDTHS = ("units", "filters", "output_dim")


def is_hidden(layer: Layer) -> bool:
    """Whether it is a layer with weights and an activation of its own."""
    config = layer.get_config()
    return "kernel_initializer" in config and config.get("activation") != "linear"


def _activations_forgotten(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    """No activation; severe: and one more such layer behind each."""

    def change(index: int, layer: Layer) -> Layer | list[Layer]:
        if not is_hidden(layer):
            return layer
        linear = reconfigured(layer, activation="linear")
        more = {"strides": 1} if isinstance(layer, layers.Conv2D) else {}
        return [linear, reconfigured(linear, **more)] if severity else linear

    return rebuilt(recipe, change)


def _narrow(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    """Two units or filters in each hidden layer; severe: one."""
    width = 1 if severity else 2

    def change(index: int, layer: Layer) -> Layer:
        if not is_hidden(layer):
            return layer
        return reconfigured(layer, **{name: width for name in WIDTHS if hasattr(layer, name)})

    return rebuilt(recipe, change)


def _pooled_away(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    """One pooling over the whole map behind the last convolution; severe: behind the first."""
    places = [i for i, layer in enumerate(recipe.make().layers) if isinstance(layer, layers.Conv2D)]
    behind = places[: 1 if severity else None]
    window = tuple(-(-side // 2 ** len(behind)) for side in recipe.x.shape[1:3])  # strides of 2

    def change(index: int, layer: Layer) -> Layer | list[Layer]:
        return [layer, layers.MaxPooling2D(window)] if index == behind[-1] else layer

    return rebuilt(recipe, change)


def _kernel_too_large(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    """The last convolution has a window larger than what it gets; severe: the first has."""
    places = [i for i, layer in enumerate(recipe.make().layers) if isinstance(layer, layers.Conv2D)]
    chosen = places[0] if severity else places[-1]
    size = max(recipe.x.shape[1:3]) + 3 if severity else max(recipe.x.shape[1:3]) // 2 + 2

    def change(index: int, layer: Layer) -> Layer:
        if index != chosen:
            return layer
        return reconfigured(layer, kernel_size=size, padding="valid", strides=1)

    return rebuilt(recipe, change)


def _dropped(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    """Dropout of 0.9 in the model's dropout layers, else behind each hidden one; severe: 0.97."""
    rate = 0.97 if severity else 0.9
    has_own = any(isinstance(layer, layers.Dropout) for layer in recipe.make().layers)

    def change(index: int, layer: Layer) -> Layer | list[Layer]:
        if isinstance(layer, layers.Dropout):
            return layers.Dropout(rate)
        return [layer, layers.Dropout(rate)] if is_hidden(layer) and not has_own else layer

    return rebuilt(recipe, change)


PLANTS: tuple[Plant, ...] = (
    Plant("S1", ("moons", "spirals", "article", "digits_mlp", "digits_cnn"),
          _activations_forgotten),
    Plant("S2", ("moons", "spirals", "article", "digits_mlp", "digits_cnn", "spoken", "adding"),
          _narrow),
    Plant("S3", ("digits_cnn", "spoken"), _pooled_away, variant="pooling"),
    Plant("S3", ("digits_cnn", "spoken"), _kernel_too_large, variant="kernel", judged="exact",
          located=lambda recipe, severity, random: {"layer": "conv2d" if severity else "conv2d_1"}),
    Plant("S4", ("moons", "spirals", "digits_mlp", "digits_cnn", "films", "spoken"), _dropped),
)  # fmt: skip
