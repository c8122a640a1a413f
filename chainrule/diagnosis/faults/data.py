"""Faults of the inputs: values that are none, placeholders, scales, leaks, splits, groups."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import tree
from chainrule.diagnosis.case import Case
from chainrule.diagnosis.editing import insert_first
from chainrule.diagnosis.faults import groups, splits
from chainrule.diagnosis.finding import Evidence, Fault, Remedy
from chainrule.diagnosis.recipe import Recipe
from chainrule.nn.layers import Imputation, Normalization
from chainrule.training.inputs import take_rows

Array = NDArray[Any]

#: a placeholder lies this many interquartile ranges off the other values of its column, ...
FAR_OFF = 5.0
SURELY_OFF = 20.0
#: ... and stands in this share of the rows at least.
PLACEHOLDER_SHARE = 0.01
#: what people write for "missing".
USUAL_PLACEHOLDERS = (-9999, -999, -99, -1, 99, 999, 9999, 99999)
#: columns whose deviations differ by more than this factor are on different scales.
SCALES = 100.0
#: a mean this many deviations off zero.
OFFSET = 10.0
#: inputs all larger, or all smaller, than this fit no usual first weights.
LARGE, SMALL = 10.0, 0.05
#: layers that bring inputs to one scale, or look them up in a table.
SCALING = ("Normalization", "BatchNormalization", "LayerNormalization", "Rescaling",
           "GroupNormalization", "LogMel", "MFCC", "Embedding", "EmbeddingBag")  # fmt: skip
#: up to so many columns each gets a mean and a deviation of its own.
OWN_SCALES = 128


# ---- D1: not finite


def _bad(array: Array) -> Array:
    """Where an array holds no finite number."""
    if array.dtype.kind == "f":
        return ~np.isfinite(array)
    if array.dtype.kind not in "OUS":
        return np.zeros(array.shape, bool)
    found = np.ones(array.shape, bool)
    for place in np.ndindex(array.shape):
        try:
            found[place] = not np.isfinite(float(array[place]))
        except (TypeError, ValueError):
            continue
    return found


def _columns_with_bad(case: Case, array: Array) -> tuple[str, Array]:
    """In words where the bad cells of an input are, and the number of the worst column."""
    bad = _bad(array)
    if array.ndim != 2:
        return "the inputs", np.zeros(0, np.int64)
    counts = bad.sum(axis=0)
    order = np.argsort(-counts, kind="stable")[: int((counts > 0).sum())]
    names = [case.column(int(index)) for index in order[:3]]
    more = f" and {len(order) - 3} more" if len(order) > 3 else ""
    plural = "columns" if len(order) > 1 else "column"
    return f"{plural} {', '.join(names)}{more}", order


def not_finite(case: Case) -> Evidence | None:
    """D1: cells of the inputs or targets that are no finite numbers."""
    for part, x, y in (("training", case.x, case.y), ("validation", *case.validation)):
        for array in tree.flatten(x)[0]:
            bad = _bad(np.asarray(array))
            if bad.any():
                return _not_finite_inputs(case, np.asarray(array), bad, part)
        bad = _bad(np.asarray(y))
        if bad.any():
            rows = np.flatnonzero(bad.reshape(len(bad), -1).any(axis=1))
            return Evidence(
                1.0,
                f"{len(rows)} of the {part} targets are not finite numbers "
                f"({_listed(rows, case, part)}); every loss with them is not a number.",
                (Remedy("keep = np.isfinite(y); x, y = x[keep], y[keep]", "B", _without_values),),
                {"rows": _given_rows(rows, case, part)}, settled=True,
            )  # fmt: skip
    return None


def _not_finite_inputs(case: Case, array: Array, bad: Array, part: str) -> Evidence:
    where, order = _columns_with_bad(case, array)
    rows = np.flatnonzero(bad.reshape(len(bad), -1).any(axis=1))
    count = int(bad.sum())
    values = "1 value that is" if count == 1 else f"{count} values that are"
    number = "not a finite number" if count == 1 else "not finite numbers"
    sentence = (
        f"{where} of the {part} rows: {values} {number} ({_listed(rows, case, part)}); nothing "
        "can be computed from them."
    )
    place: dict[str, Any] = {"rows": _given_rows(rows, case, part)}
    if len(order):
        place["column"] = case.column(int(order[0]))
    line = "x = np.where(np.isfinite(x), x, np.nanmedian(x, axis=0))  # medians of training rows"
    return Evidence(
        1.0, sentence[0].upper() + sentence[1:], (Remedy(line, "B", _without_values),), place,
        settled=True,
    )  # fmt: skip


def _given_rows(rows: Array, case: Case, part: str) -> list[int]:
    """The first of some rows, as they were numbered by the user."""
    numbered = case.rows[rows] if part == "training" else rows
    return [int(row) for row in numbered[:20]]


def _listed(rows: Array, case: Case, part: str) -> str:
    given = _given_rows(rows, case, part)
    shown = ", ".join(str(row) for row in given[:4]) + (", ..." if len(rows) > 4 else "")
    return f"row{'s' if len(rows) > 1 else ''} {shown}"


def _without_values(recipe: Recipe) -> Recipe:
    """Medians of the training rows where inputs have no value; no rows without a target."""
    arrays, structure = tree.flatten(recipe.x)
    numbers = [_as_numbers(np.asarray(array)) for array in arrays]
    fills = [_medians(array) for array in numbers]

    def filled(x: Any) -> Any:
        given = [_as_numbers(np.asarray(array)) for array in tree.flatten(x)[0]]
        return tree.unflatten(
            structure,
            [
                np.where(_bad(a), fill, a).astype(a.dtype)
                for a, fill in zip(given, fills, strict=True)
            ],
        )

    def pair(x: Any, y: Any) -> tuple[Any, Any]:
        keep = ~_bad(np.asarray(y)).reshape(len(y), -1).any(axis=1)
        return take_rows(filled(x), np.flatnonzero(keep)), np.asarray(y)[keep]

    held_out = None if recipe.validation is None else pair(*recipe.validation)
    return recipe.with_data(*pair(recipe.x, recipe.y), held_out)


def _as_numbers(array: Array) -> Array:
    if array.dtype.kind not in "OUS":
        return array
    bad = _bad(array)
    return np.where(bad, np.nan, np.where(bad, 0, array).astype(np.float64))


def _medians(array: Array) -> Array:
    """The median of each column over finite values; 0 where there are none."""
    kept = np.where(_bad(array), np.nan, array.astype(np.float64))
    some = np.isfinite(kept).any(axis=0)
    return np.where(some, np.nanmedian(np.where(some, kept, 0), axis=0), 0)


# ---- D2: placeholders


def placeholders(case: Case) -> Evidence | None:
    """D2: a value far off the others that many rows share, as people write for "missing"."""
    if case.table is None or not case.usable:
        return None
    found = [(i, *hit) for i, hit in enumerate(map(_placeholder, case.table.T)) if hit is not None]
    if not found:
        return None
    index, value, share, distance = max(found, key=lambda f: f[2])
    # Far enough off, what is written for "missing" cannot be a value: no twin has to show it.
    sure = any(v in USUAL_PLACEHOLDERS and off > SURELY_OFF for _, v, _, off in found)
    sentence = (
        f"Column {case.column(index)} is {value:g} in {share:.0%} of the rows, {distance:.0f} "
        "times the spread of its other values away from them: that looks like 'missing'."
    )
    if len(found) > 1:
        sentence += f" {len(found) - 1} more columns have such a value."
    places = {i: value for i, value, _, _ in found}
    remedy = Remedy(
        f"cr.Sequential([cr.layers.Imputation(missing={value:g}, fill=medians), *model.layers])",
        "B", lambda recipe: _imputed(recipe, places),
    )  # fmt: skip
    place = {"column": case.column(index)}
    return Evidence(0.95 if sure else 0.75, sentence, (remedy,), place, settled=sure)


def _placeholder(column: Array) -> tuple[float, float, float] | None:
    """The placeholder of a column, its share, and its distance in interquartile ranges."""
    for end in (float(column.min()), float(column.max())):
        marked = column == end
        count = int(marked.sum())
        if not max(3, PLACEHOLDER_SHARE * len(column)) <= count <= len(column) / 2:
            continue
        rest = column[~marked].astype(np.float64)
        low, high = np.quantile(rest, (0.25, 0.75))
        distance = max(float(rest.min()) - end, end - float(rest.max()))
        if len(np.unique(rest)) > 5 and high > low and distance > FAR_OFF * (high - low):
            return end, count / len(column), distance / float(high - low)
    return None


def _imputed(recipe: Recipe, places: dict[int, float]) -> Recipe:
    """Layers in front, one for each placeholder, that put medians in its places."""
    x = recipe.x
    for value in sorted(set(places.values())):
        fill = np.full(x.shape[1], value)
        for index in [i for i, v in places.items() if v == value]:
            column = x[:, index]
            fill[index] = np.median(column[column != value])
        recipe = insert_first(recipe, lambda v=value, f=fill: Imputation(v, f))  # type: ignore[misc]
    return recipe


# ---- D3: scales


def scales(case: Case) -> Evidence | None:
    """D3: inputs that are large, tiny, far off zero, or on very different scales."""
    if not case.usable or _scaled_inside(case) or not isinstance(case.x, np.ndarray):
        return None
    if case.x.ndim < 2:
        return None
    columns = case.x.reshape(-1, case.x.shape[-1])[:200_000].astype(np.float64)
    mean, deviation = columns.mean(axis=0), columns.std(axis=0)
    used = np.flatnonzero((deviation > 0) & (_busy(columns) > 0.05))
    if not len(used):
        return None
    found = _scale_problem(case, used, mean[used], deviation[used])
    if found is None:
        return None
    strength, sentence, place = found
    remedy = Remedy(
        "cr.Sequential([cr.layers.Normalization().adapt(x_train), *model.layers])", "A",
        _standardised,
    )  # fmt: skip
    return Evidence(strength, sentence, (remedy,), place)


def _scaled_inside(case: Case) -> bool:
    """Whether a layer before the first one with weights scales the inputs."""
    for _, layer in case.layers:
        if type(layer).__name__ in SCALING:
            return True
        if layer.trainable_variables:
            return False
    return False


def _busy(columns: Array) -> Array:
    """The share of the rows that differ from the median, for each column."""
    share: Array = (columns != np.median(columns, axis=0)).mean(axis=0)
    return share


def _scale_problem(
    case: Case, used: Array, mean: Array, deviation: Array
) -> tuple[float, str, dict[str, Any]] | None:
    one = case.x.ndim == 2
    largest, usual = int(deviation.argmax()), float(np.median(deviation))
    off = np.abs(mean) / deviation
    place: dict[str, Any] = {}
    # Of two columns the median is between them: compare with the smallest instead.
    ratio = float(deviation.max()) / (float(deviation.min()) if len(used) < 4 else usual)
    if one and len(used) > 1 and ratio > SCALES:
        name = case.column(int(used[largest]))
        sentence = (
            f"Column {name} is spread over {deviation[largest]:.3g}, about {ratio:,.0f} times as "
            "wide as the others: the network sees little else."
        )
        return 0.95, sentence, {"column": name}
    if usual > LARGE or deviation.max() > 10 * LARGE:
        if one and deviation.max() > 10 * LARGE and usual < LARGE:
            place = {"column": case.column(int(used[largest]))}
        strength = 0.9 if deviation.max() > 3 * LARGE else 0.75
        return strength, (
            f"The inputs are large: their deviation is {deviation.max():.3g}, where first weights "
            "are made for about 1."
        ), place  # fmt: skip
    worst = int(off.argmax())
    if off[worst] > OFFSET and abs(mean[worst]) > 3:
        if one:
            place = {"column": case.column(int(used[worst]))}
        return 0.9, (
            f"The inputs are far from 0: a mean of {mean[worst]:.4g} with a deviation of "
            f"{deviation[worst]:.3g}, so that rows look nearly alike to the network."
        ), place  # fmt: skip
    if float(np.sqrt((mean**2 + deviation**2).max())) < SMALL:
        return 0.85, (
            f"The inputs are tiny: their deviation is {deviation.max():.2g}, where first weights "
            "are made for about 1."
        ), place  # fmt: skip
    return None


def _standardised(recipe: Recipe) -> Recipe:
    """A layer in front that standardises; many columns on one scale get one mean and deviation."""
    x = np.asarray(recipe.x)
    columns = x.reshape(-1, x.shape[-1]).astype(np.float64)
    mean, variance = columns.mean(axis=0), columns.var(axis=0)
    if x.shape[-1] > OWN_SCALES:
        mean, variance = columns.mean(), columns.var()
    return insert_first(recipe, lambda: Normalization(mean, variance))


FAULTS: tuple[Fault, ...] = (
    Fault(
        "D1", "values that are not finite", "data", "any cell that is NaN, infinite or no number",
        not_finite, ("N1", "O1", "V2", "T1", "T2"),
    ),
    Fault(
        "D2", "placeholders for missing values", "data",
        f"one value at the end of a column's range in {PLACEHOLDER_SHARE:.0%} of the rows or more, "
        f"more than {FAR_OFF:g} interquartile ranges off the rest",
        placeholders, ("D3", "V2", "V3", "V4", "V6", "O1", "O2", "O3", "S2"),
    ),
    Fault(
        "D3", "inputs not on one scale", "data",
        f"deviations of columns {SCALES:g} times apart, or above {LARGE:g}, or all values below "
        f"{SMALL:g}, or a mean {OFFSET:g} deviations off 0; a twin with standardised inputs is "
        "better",
        scales, ("V1", "V2", "V3", "V4", "V6", "O1", "O2", "O3", "O4", "S1", "S2", "G2"),
    ),
    *splits.FAULTS,
    *groups.FAULTS,
)  # fmt: skip
