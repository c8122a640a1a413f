"""Faults of generalisation."""

import numpy as np
from numpy.random import Generator

import chainrule as cr
from benchmarks.clinic.plants import Plant
from benchmarks.clinic.plants.editing import rebuilt, reconfigured
from chainrule.diagnosis.recipe import Recipe
from chainrule.nn import Layer

layers = cr.layers


def _overfitted(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    """Wide layers, fewer rows, nothing that holds back, and no early stopping."""
    last = len(recipe.make().layers) - 1
    width = (128, 256)[severity]

    def change(index: int, layer: Layer) -> Layer | list[Layer]:
        if isinstance(layer, layers.Dropout):
            return []
        if isinstance(layer, layers.Dense) and index < last:
            return reconfigured(layer, units=width)
        return layer

    rows = np.sort(random.permutation(recipe.rows)[: recipe.rows * 2 // (3, 6)[severity]])
    return (
        rebuilt(recipe, change)
        .with_data(recipe.x[rows], recipe.y[rows])
        .with_settings(early_stopping=None, epochs=(3, 6)[severity] * recipe.epochs)
    )


def _behind(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    """Batch normalisation whose running averages move slowly, in a short run."""
    last = len(recipe.make().layers) - 1
    momentum = (0.999, 0.9999)[severity]

    def change(index: int, layer: Layer) -> Layer | list[Layer]:
        if isinstance(layer, layers.Dropout):
            return []
        if index < last and isinstance(layer, layers.Dense | layers.Conv2D):
            return [layer, layers.BatchNormalization(momentum=momentum)]
        return layer

    return rebuilt(recipe, change).with_settings(
        epochs=max(4, recipe.epochs // 5), early_stopping=None
    )


PLANTS: tuple[Plant, ...] = (
    Plant("G1", ("moons", "spirals", "wide", "films", "article"), _overfitted),
    Plant(
        "G2", ("spirals", "article", "penguins", "wide", "digits_mlp", "digits_cnn", "spoken"),
        _behind,
    ),
)  # fmt: skip
