"""Faults of the family: recurrent layers that forget, explode or read padding."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.config import settings
from chainrule.diagnosis.case import Case
from chainrule.diagnosis.editing import (
    configure,
    insert_before,
    is_sequential,
    replace_layer,
    set_initializer,
)
from chainrule.diagnosis.finding import Evidence, Fault, Remedy
from chainrule.diagnosis.measurements.loss_forms import eager, spread_rows
from chainrule.diagnosis.recipe import Recipe
from chainrule.nn import Layer
from chainrule.nn.contents import walk
from chainrule.nn.layers import GRU, Embedding, Masking, SimpleRNN
from chainrule.nn.layers.cells import Cell
from chainrule.nn.layers.recurrent_base import Recurrent
from chainrule.training.gradient_flow import gradient_flow
from chainrule.training.inputs import as_arrays, take_rows
from chainrule.training.model import Model

Array = NDArray[Any]

_ROWS = 32
#: Rows whose padding is taken away.
_FEW = 6
#: A gradient that is so much smaller at the first step than at the last one is lost.
LOST = 1e-5
#: ... and one so much larger explodes; with a spectral radius above the limit.
GROWN, MOST_RADIUS = 70.0, 1.5
#: Share of the steps that are padding from which on it drowns the rest.
MOST_PADDING = 0.5


@dataclass(frozen=True)
class Memory:
    """A recurrent layer and how gradients pass through it.

    Attributes:
        path: of the layer.
        ratio: the gradient at the first step over that at the last, in the first model.
        largest: the largest gradient of a step over that at the last, in the first model.
        radius: the largest spectral radius of the products of its state, in the first model.
        steps: how many steps there are.
    """

    path: str
    layer: Layer
    ratio: float
    largest: float
    radius: float
    steps: int


def memories(case: Case) -> list[Memory]:
    """The recurrent layers of the model; none where it cannot be run."""
    return case.once("memories", lambda: _memories(case))


def _memories(case: Case) -> list[Memory]:
    recurrent = [(path, layer) for path, layer in case.layers if isinstance(layer, Recurrent)]
    if not recurrent or case.loss is None or not case.usable or case.refused:
        return []
    rows = spread_rows(case, _ROWS)
    with settings(backend="reference"), np.errstate(all="ignore"):
        flow = gradient_flow(case.first, take_rows(case.x, rows), case.y[rows], case.loss)
    found = []
    for path, layer in recurrent:
        cells = [p for p in flow if p.startswith(f"{path}/")]
        if not cells:
            continue
        norms = flow[cells[0]]
        last = max(float(norms[-1]), 1e-30)
        ratio, largest = float(norms[0]) / last, float(norms.max()) / last
        found.append(Memory(path, layer, ratio, largest, _radius(layer), len(norms)))
    return found


def _radius(layer: Layer) -> float:
    """The largest spectral radius of the square blocks of all recurrent kernels."""
    radii = [0.0]
    for place in walk(layer):
        kernel = place.layer._weights.get("recurrent_kernel")
        if isinstance(place.layer, Cell) and kernel is not None and kernel.ndim == 2:
            values = kernel.numpy().astype(np.float64)
            units = len(values)
            blocks = [values[:, i : i + units] for i in range(0, values.shape[1], units)]
            square = [block for block in blocks if block.shape == (units, units)]
            radii += [float(np.abs(np.linalg.eigvals(block)).max()) for block in square]
    return max(radii)


# ---- R1: forgets


def _forgets(case: Case) -> Evidence | None:
    for memory in memories(case):
        plain = isinstance(memory.layer, SimpleRNN)
        if memory.radius > MOST_RADIUS or (memory.ratio > LOST and not plain):
            continue
        lost = memory.ratio < LOST
        remedies = _longer_memory(case, memory)
        if not remedies:
            continue
        seen = (
            f"step 1 of {memory.steps} gets {memory.ratio:.0e} of the gradient of the last step"
            if lost
            else f"what it learnt over {memory.steps} steps has to pass through one product a step"
        )
        sentence = f"`{memory.path}` forgets: {seen}."
        strength = 0.95 if lost else 0.8
        return Evidence(strength, sentence, remedies, {"layer": memory.path})
    return None


def _longer_memory(case: Case, memory: Memory) -> tuple[Remedy, ...]:
    layer, path = memory.layer, memory.path
    if isinstance(layer, SimpleRNN):
        line = f"{path}: cr.layers.GRU({layer.units}) in place of SimpleRNN"
        if not is_sequential(case.recipe.make()):
            return (Remedy(line, "B"),)
        return (Remedy(line, "B", lambda recipe: replace_layer(recipe, path, _gated)),)
    given = {"recurrent_kernel": "orthogonal"}
    line = f'{path}: recurrent_initializer="orthogonal"'
    return (Remedy(line, "A", lambda recipe: set_initializer(recipe, given, [path])),)


def _gated(layer: Layer) -> Layer:
    """A GRU with what the simple layer was given."""
    own = layer.get_config()
    same = ("units", "num_layers", "bidirectional", "merge", "return_sequences", "go_backwards",
            "dropout", "name", "seed")  # fmt: skip
    return GRU(**{name: own[name] for name in same if name in own})


# ---- R2: explodes


def _explodes(case: Case) -> Evidence | None:
    for memory in memories(case):
        if memory.radius <= MOST_RADIUS:
            continue
        path = memory.path

        def apply(recipe: Recipe, path: str = path) -> Recipe:
            return set_initializer(recipe, {"recurrent_kernel": "orthogonal"}, [path])

        growth = (
            f": over {memory.steps} steps the gradient becomes {memory.largest:.0e} times as large"
            if memory.largest > GROWN
            else ", so that small differences grow from step to step"
        )
        sentence = (
            f"The products of the state of `{path}` have a spectral radius of {memory.radius:.2g} "
            f"at the beginning (1 keeps sizes as they are){growth}."
        )
        line = f'{path}: recurrent_initializer="orthogonal", and global_clip_norm=1.0'
        strength = 0.97 if memory.largest > GROWN else 0.9
        if _inputs_too_large(memory.layer):
            strength = 0.6  # all weights are: V6
        return Evidence(strength, sentence, (Remedy(line, "A", apply),), {"layer": path})
    return None


def _inputs_too_large(layer: Layer) -> bool:
    """Whether the weights of the inputs are three times as large as usual, too."""
    for place in walk(layer):
        kernel = place.layer._weights.get("kernel")
        if isinstance(place.layer, Cell) and kernel is not None:
            values = kernel.numpy().astype(np.float64)
            usual = np.sqrt(2.0 / (values.shape[0] + values.shape[1] / 4))
            if float(np.sqrt(np.square(values).mean())) > 3 * usual:
                return True
    return False


# ---- R3: padding


@dataclass(frozen=True)
class Padding:
    """What fills up short sequences.

    Attributes:
        value: the token, or the number that all features have.
        share: of all steps.
        end: whether it stands behind the sequences (else before).
    """

    value: float
    share: float
    end: bool


def padding_of(x: Any) -> Padding | None:
    """The one value that stands at the end or at the beginning of the sequences, if any.

    Args:
        x: tokens (N, steps), whole numbers, or numbers (N, steps, features).
    """
    if not isinstance(x, np.ndarray) or x.ndim not in (2, 3) or x.shape[1] < 2:
        return None
    if (x.ndim == 2) != (x.dtype.kind in "iu"):
        return None
    best = None
    for end in (True, False):
        steps = x[:, ::-1] if end else x
        values, counts = np.unique(steps[:, 0].reshape(-1), return_counts=True)
        value = values[counts.argmax()]
        same = steps == value if x.ndim == 2 else (steps == value).all(axis=-1)
        share = float(np.logical_and.accumulate(same, axis=1).mean())
        if best is None or share > best.share:
            best = Padding(value.item(), share, end)
    return best


def _padding(case: Case) -> Evidence | None:
    recurrent = [path for path, layer in case.layers if isinstance(layer, Recurrent)]
    if not recurrent or not case.usable:
        return None
    found = padding_of(case.x)
    if found is None or found.share < MOST_PADDING or not _reads(case, found):
        return None
    value = f"{found.value:g}"
    sentence = (
        f"{found.share:.0%} of the steps are padding ({value}), and `{recurrent[0]}` reads it: "
        "without it the outputs are other ones."
    )
    remedy = _mask(case, found, value)
    return Evidence(0.97, sentence, (remedy,), {"layer": recurrent[0]})


def _reads(case: Case, found: Padding) -> bool:
    """Whether the outputs change without the padding, in the first or the trained model."""
    for row in np.asarray(case.x)[spread_rows(case, _FEW)]:
        steps = row[::-1] if found.end else row
        there = steps != found.value if row.ndim == 1 else (steps != found.value).any(axis=-1)
        length = len(there) - int(there.argmax())
        if not there.any() or length == len(row):
            continue
        short = row[:length] if found.end else row[-length:]
        try:
            if any(_differ(model, row[None], short[None]) for model in (case.first, case.model)):
                return True
        except (ValueError, TypeError, ArithmeticError, RuntimeError):  # takes one length only
            return False
    return False


def _differ(model: Model, one: Array, other: Array) -> bool:
    before, after = (eager(model, as_arrays(x, "x", "diagnose"))[0] for x in (one, other))
    scale = float(np.abs(before).max(initial=0.0)) + 1e-30
    return before.shape == after.shape and bool(np.abs(before - after).max() > 1e-3 * scale)


def _mask(case: Case, found: Padding, value: str) -> Remedy:
    model = case.recipe.make()
    tokens = [path for path, layer in case.layers if type(layer) is Embedding]
    if case.x.ndim == 2 and tokens and found.value >= 0:
        line = f"{tokens[0]}: Embedding(..., padding_index={value})"
        if not is_sequential(model):
            return Remedy(line, "A")
        index = int(found.value)
        return Remedy(line, "A", lambda r: configure(r, [tokens[0]], padding_index=index))
    line = f"cr.layers.Masking({value}) in front"
    if not is_sequential(model) or case.x.ndim != 3:
        return Remedy(line, "A")
    front = model.named_layers()[0][0]
    number = float(found.value)
    return Remedy(line, "A", lambda r: insert_before(r, [front], lambda: Masking(number)))


FAULTS: tuple[Fault, ...] = (
    Fault(
        "R1", "a recurrent layer forgets", "structure",
        "the gradient at the first step is under 1e-5 of that at the last, or a SimpleRNN, and a "
        "gated layer does better", _forgets, explains=("V1", "O3", "S2", "O2", "D5"), cost=1,
    ),
    Fault(
        "R2", "gradients explode through time", "initial weights",
        "the spectral radius of the recurrent weights is above 1.5, and orthogonal ones do better",
        _explodes, explains=("V2", "O1", "V4", "V6", "O2", "S2", "D5"), cost=1,
    ),
    Fault(
        "R3", "padding drowns the signal", "data",
        "over 50 % of the steps are padding, and the outputs change without it", _padding,
        explains=("R1", "V1", "S2", "O3", "O2", "D5", "D6"), cost=1,
    ),
)  # fmt: skip
