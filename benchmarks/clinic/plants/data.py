"""Faults of the inputs."""

from typing import Any

import numpy as np
from numpy.random import Generator

from benchmarks.clinic.plants import Edit, EditTest, Place, Plant
from benchmarks.clinic.rows import Array, Pair
from chainrule.diagnosis.recipe import Recipe

TABLES = ("moons", "spirals", "article", "penguins", "wide")
#: The columns of the penguins: diagnosis is told their names.
PENGUINS = ("bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g", "island=Biscoe",
            "island=Dream", "island=Torgersen", "sex=female", "sex=male")  # fmt: skip


def column_place(recipe: Recipe, index: int) -> Place:
    """A place that has the number of a column, and its name where it has one."""
    names = PENGUINS if recipe.x.shape[1] in (9, 10) else ()
    known = [names[index]] if index < len(names) else [f"column {index}"]
    return {"column": [index, *known]}


def _first_column(recipe: Recipe, severity: int, random: Generator) -> Place:
    return column_place(recipe, 0)


def _last_column(recipe: Recipe, severity: int, random: Generator) -> Place:
    return column_place(recipe, recipe.x.shape[1] - 1)


def everywhere(change: EditTest) -> Edit:
    """The run with training and validation rows changed as ``change`` does it to test rows."""

    def edit(recipe: Recipe, severity: int, random: Generator) -> Recipe:
        assert recipe.validation is not None
        held_out = change(*recipe.validation, severity, random)
        x, y = change(recipe.x, recipe.y, severity, random)
        return recipe.with_data(x, y, held_out)

    return edit


# ---- cells without a value


def _not_finite(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    """One infinite cell in the first column, or one in a hundred of its cells without a number."""
    x = recipe.x.copy()
    rows = random.permutation(len(x))
    chosen = rows[: (1, max(3, len(x) // 100))[severity]]
    x.reshape(len(x), -1)[chosen, 0] = (np.inf, np.nan)[severity]
    return recipe.with_data(x)


def _placeholder(value: float) -> EditTest:
    def change(x: Any, y: Any, severity: int, random: Generator) -> Pair:
        x = x.copy()
        chosen = random.permutation(len(x))[: max(3, int(len(x) * (0.05, 0.15)[severity]))]
        x[chosen, 0] = value
        return x, y

    return change


# ---- scales


def _times_column(x: Any, y: Any, severity: int, random: Generator) -> Pair:
    x = x.copy()
    x[:, 0] *= (1e3, 1e4)[severity]
    return x, y


def _times_all(x: Any, y: Any, severity: int, random: Generator) -> Pair:
    return (x * np.float32((100, 1000)[severity])), y


def _tiny(x: Any, y: Any, severity: int, random: Generator) -> Pair:
    return (x * np.float32((1e-3, 1e-4)[severity])), y


def _shifted(x: Any, y: Any, severity: int, random: Generator) -> Pair:
    return (x + np.float32((100, 1000)[severity])), y


# ---- leaks


def _copied(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    """Validation rows that are training rows too."""
    assert recipe.validation is not None
    x, y = recipe.validation
    chosen = random.permutation(len(x))[: int(len(x) * (0.4, 0.8)[severity])]
    order = random.permutation(len(recipe.x) + len(chosen))
    return recipe.with_data(
        np.concatenate([recipe.x, x[chosen]])[order], np.concatenate([recipe.y, y[chosen]])[order]
    )


def _from_target(y: Array, severity: int, random: Generator) -> Array:
    """A column that is the target with some noise."""
    column = y.reshape(len(y), -1)[:, :1].astype(np.float32)
    column = (column - column.mean()) / column.std()
    noise = random.normal(size=column.shape).astype(np.float32)
    noisy: Array = column + np.float32((0.1, 0.02)[severity]) * noise
    return noisy


def _with_target(x: Any, y: Any, severity: int, random: Generator) -> Pair:
    column = _from_target(y, severity, random)
    return np.concatenate([x, column], 1).astype(np.float32), y


def _without_target(x: Any, y: Any, severity: int, random: Generator) -> Pair:
    """As it is in use: nobody knows the target yet."""
    column = random.permutation(_from_target(y, severity, random))
    return np.concatenate([x, column], 1).astype(np.float32), y


# ---- training and validation rows differ


def _sorted(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    """The last rows are held out, of a file sorted by the target; mild: only its top is sorted."""
    assert recipe.validation is not None
    x = np.concatenate([recipe.x, recipe.validation[0]])
    y = np.concatenate([recipe.y, recipe.validation[1]])
    key = y.reshape(len(y)).astype(np.float64)
    if not severity:
        high = y.max() if y.dtype.kind == "i" else np.quantile(key, 0.85)
        key = (key >= high).astype(np.float64)
    order = np.lexsort([random.random(len(y)), key])
    count = len(recipe.y)
    return recipe.with_data(
        x[order[:count]], y[order[:count]], (x[order[count:]], y[order[count:]])
    )


def _in_other_units(x: Any, y: Any, severity: int, random: Generator) -> Pair:
    return (x * np.float32((4, 30)[severity])), y


def _scaled_alone(recipe: Recipe, severity: int, random: Generator) -> Recipe:
    """Only the training rows were divided."""
    assert recipe.validation is not None
    return recipe.with_data(
        validation=_in_other_units(*recipe.validation, severity, random),
    )


# ---- a group


def _group_of(x: Any) -> Array:
    """Whether a row is of the group; the last column of the tables that have no groups says it."""
    group: Array = x[:, -1] > (0.7 if x.shape[1] != len(PENGUINS) else 0.5)
    return group


def _noisy_group(x: Any, y: Any, severity: int, random: Generator) -> Pair:
    """Some rows come from a site whose instruments are bad; the last column says so."""
    x, chosen = x.copy(), _group_of(x)
    columns = slice(0, 4) if x.shape[1] == len(PENGUINS) else slice(0, -1)
    noise = random.normal(size=x[chosen, columns].shape) * x[:, columns].std(0)
    x[chosen, columns] += ((1.0, 2.5)[severity] * noise).astype(np.float32)
    x[:, -1] = chosen
    return x, y


def _in_first_column(code: str, variant: str, change: EditTest, *subjects: str) -> Plant:
    return Plant(code, subjects or TABLES, everywhere(change), variant=variant, test=change,
                 located=_first_column)  # fmt: skip


def _in_all(code: str, variant: str, change: EditTest, *subjects: str) -> Plant:
    return Plant(code, subjects, everywhere(change), variant=variant, test=change)


PLANTS: tuple[Plant, ...] = (
    Plant("D1", TABLES, _not_finite, judged="exact", located=_first_column),
    Plant("D1", ("digits_cnn", "spoken", "adding"), _not_finite, judged="exact", variant="array"),
    _in_first_column("D2", "-999", _placeholder(-999)),
    _in_first_column("D2", "9999", _placeholder(9999)),
    _in_first_column("D3", "column", _times_column),
    _in_all("D3", "all", _times_all, "moons", "spirals", "wide", "digits_mlp", "digits_cnn",
            "spoken"),
    _in_all("D3", "tiny", _tiny, "moons", "spirals", "article", "wide", "digits_mlp"),
    _in_all("D3", "shifted", _shifted, "moons", "spirals", "wide", "spoken"),
    Plant("D7", ("moons", "wide", "films", "spoken", "digits_mlp"), _copied, judged="gap",
          variant="rows"),
    Plant("D7", TABLES, everywhere(_with_target), judged="gap", variant="column",
          test=_without_target, located=_last_column),
    Plant("D8", ("spirals", "penguins", "article", "digits_mlp", "digits_cnn", "spoken"), _sorted,
          variant="sorted"),
    Plant("D8", ("moons", "spirals", "article", "wide", "digits_mlp", "digits_cnn", "spoken"),
          _scaled_alone, variant="scaled", test=_in_other_units),
    Plant("D10", ("article", "penguins", "wide"), everywhere(_noisy_group), judged="group",
          test=_noisy_group, groups=_group_of, located=_last_column),
)  # fmt: skip
