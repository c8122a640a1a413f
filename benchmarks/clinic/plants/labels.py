"""Faults of the targets: their scale, wrong ones, wrong places, rare classes."""

from typing import Any

import numpy as np
from numpy.random import Generator

from benchmarks.clinic.plants import EditTest, Place, Plant
from benchmarks.clinic.plants.data import everywhere
from benchmarks.clinic.rows import Array, Pair
from chainrule.diagnosis.recipe import Recipe

CLASSES = ("moons", "spirals", "penguins", "digits_mlp", "digits_cnn", "spoken")
NUMBERS = ("article", "wide", "adding")

# ---- scale


def _rescaled(*pairs: tuple[float, float]) -> EditTest:
    def change(x: Any, y: Any, severity: int, random: Generator) -> Pair:
        factor, offset = pairs[severity]
        return x, (y * factor + offset).astype(np.float32)

    return change


def _scale_plant(variant: str, *pairs: tuple[float, float]) -> Plant:
    change = _rescaled(*pairs)
    return Plant("D4", NUMBERS, everywhere(change), variant=variant, test=change)


# ---- wrong ones


def _wrong_rows(count: int, severity: int, random: Generator) -> Array:
    rows: Array = random.permutation(count)[: int(count * (0.2, 0.4)[severity])]
    return rows


def _flipped(x: Any, y: Any, severity: int, random: Generator) -> Pair:
    """Another class for some rows."""
    classes = int(y.max()) + 1
    rows = _wrong_rows(len(y), severity, random)
    y = y.copy()
    y[rows] = (y[rows] + random.integers(1, classes, len(rows))) % classes
    return x, y


def _swapped(x: Any, y: Any, severity: int, random: Generator) -> Pair:
    """The quantities of some rows change places."""
    rows = _wrong_rows(len(y), severity, random)
    y = y.copy()
    y[rows] = random.permutation(y[rows])
    return x, y


def _at_wrong_rows(recipe: Recipe, severity: int, random: Generator) -> Place:
    assert recipe.validation is not None
    _skip(recipe.validation[1], severity, random)
    return {"rows": _wrong_rows(len(recipe.y), severity, random)}


def _skip(y: Array, severity: int, random: Generator) -> None:
    """Draw what was drawn for the validation rows, which come first."""
    rows = _wrong_rows(len(y), severity, random)
    if y.dtype.kind == "i":
        random.integers(1, int(y.max()) + 1, len(rows))
    else:
        random.permutation(y[rows])


# ---- at wrong rows


def _rolled(x: Any, y: Any, severity: int, random: Generator) -> Pair:
    return x, np.roll(y, (1, -2)[severity], axis=0)


def _shuffled_inputs(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    """The inputs were shuffled and the targets not, when the training rows were written."""
    return recipe.with_data(recipe.x[random.permutation(len(recipe.x))])


# ---- rare classes


def _rare(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    """The upper half of the classes is rare, in training and validation rows."""
    assert recipe.validation is not None

    def thinned(x: Any, y: Array) -> Pair:
        rare = y >= (int(y.max()) + 2) // 2
        rows = np.flatnonzero(rare)
        left = random.permutation(rows)[: max(2, len(rows) // (20, 50)[severity])]
        kept = np.sort(np.concatenate([np.flatnonzero(~rare), left]))
        return x[kept], y[kept]

    held_out = thinned(*recipe.validation)
    return recipe.with_data(*thinned(recipe.x, recipe.y), held_out)


PLANTS: tuple[Plant, ...] = (
    _scale_plant("large", (1e2, 1e3), (1e4, 5e4)),
    _scale_plant("small", (1e-3, 0.0), (1e-4, 0.0)),
    Plant("D5", CLASSES, everywhere(_flipped), variant="classes", located=_at_wrong_rows),
    Plant("D5", ("article", "wide"), everywhere(_swapped), variant="numbers",
          located=_at_wrong_rows),
    Plant("D6", ("moons", "article", "penguins", "digits_mlp", "spoken"), everywhere(_rolled),
          variant="shifted"),
    Plant("D6", ("spirals", "article", "penguins", "digits_cnn", "spoken"), _shuffled_inputs, 1,
          variant="shuffled"),
    Plant("D9", ("moons", "films", "spirals", "digits_mlp", "digits_cnn", "spoken"), _rare),
)  # fmt: skip
