"""Faults of the family: layers that are not trained, and rows of a batch that mix."""

import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.config import settings
from chainrule.diagnosis.case import Case
from chainrule.diagnosis.finding import Evidence, Fault, Remedy
from chainrule.diagnosis.measurements.loss_forms import spread_rows
from chainrule.diagnosis.recipe import Recipe
from chainrule.nn import Layer
from chainrule.nn.contents import walk
from chainrule.nn.watching import Output, watched
from chainrule.tensor import GradientTape, Variable, tensor
from chainrule.training.fit import ready
from chainrule.training.inputs import as_arrays, take_rows
from chainrule.training.model import Model
from chainrule.training.step import batch_loss

Array = NDArray[Any]

_ROWS = 8
#: Frozen layers are a fault if training them leaves no more than this share of the error, or
#: doubles the skill.
MOST_LEFT = 0.6
#: Rows whose outputs are compared while the others change.
_LOOKED_AT = (0, 3, 7)


# ---- T5: what is not trained


def _untrained(case: Case) -> Evidence | None:
    if case.loss is None or not case.usable:
        return None
    frozen = _frozen(case.first)
    cut = _cut(case)
    if cut is not None:
        where, untrained = cut
        sentence = (
            f"No gradient reaches {_listed(untrained)}: it is cut in `{where}`, so "
            f"{'they keep' if len(untrained) > 1 else 'it keeps'} the first values for ever."
        )
        remedy = Remedy(f"{where}: leave out stop_gradient, or what has no derivative", "N")
        place = {"layer": where, "operation": "stop_gradient"}
        return Evidence(0.98, sentence, (remedy,), place, settled=True)
    if not frozen:
        return None
    total = sum(v.size for _, v in case.first.weights.items())
    share = sum(v.size for _, layer in frozen for _, v in layer.own_variables()) / max(total, 1)
    everything = not case.first.trainable_variables
    sentence = (
        f"{_listed([path for path, _ in frozen])} "
        f"{'have' if len(frozen) > 1 else 'has'} trainable=False and did not change: {share:.0%} "
        "of all weights keep their first values."
    )
    paths = [path for path, _ in frozen]
    line = f"{paths[0]}.trainable = True"
    if not everything and not _is_harmful(case, f"T5: {line}"):
        return None
    remedy = Remedy(line, "B", _unfrozen)
    return Evidence(0.9, sentence, (remedy,), {"layer": paths[0]}, settled=everything)


def _listed(paths: list[str]) -> str:
    shown = ", ".join(f"`{path}`" for path in paths[:3])
    return shown + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")


def _frozen(model: Model) -> list[tuple[str, Layer]]:
    """Layers with weights that would be trained if neither they nor what holds them was frozen."""
    return [
        (place.path, place.layer)
        for place in walk(model)
        if not place.trainable and any(_could_learn(v) for _, v in place.layer.own_variables())
    ]


def _is_harmful(case: Case, name: str) -> bool:
    """Whether the error is well above that of the same run with all layers trained; what was
    learnt elsewhere is frozen on purpose, and costs a little.
    """
    twin = case.twin(_unfrozen(case.short), name)
    poor = case.control_skill < twin.skill / 2
    return poor or 1 - twin.skill <= MOST_LEFT * (1 - case.control_skill)


def _could_learn(variable: Variable) -> bool:
    return variable.trainable and variable.dtype.kind == "f" and variable.size > 0


def _unfrozen(recipe: Recipe) -> Recipe:
    def edit(model: Model) -> None:
        for place in walk(model):
            place.layer.trainable = True

    return recipe.with_model(edit)


def _cut(case: Case) -> tuple[str, list[str]] | None:
    """The layer where the way back ends, and the layers that get no gradient though they count."""
    model, x, y = copy.deepcopy(case.first), *_few(case)
    assert case.loss is not None
    variables = model.trainable_variables
    if not variables:
        return None
    tape = GradientTape()
    with settings(backend="reference"), np.errstate(all="ignore"):
        with tape, watched(model, tape) as seen:
            outputs = model(x, training=False)
            data = ready(model, x, y, outputs, case.loss, "diagnose")
            total = batch_loss(model, case.loss, tensor(data.y), outputs, None)
        gradients = tape.gradient(total, [*variables, *(output.value for output in seen)])
        none = [v for v, g in zip(variables, gradients, strict=False) if g is None]
        untrained = [v for v in none if _counts(model, x, outputs.numpy(), v)]
    if not untrained:
        return None
    reached = [g is not None for g in gradients[len(variables) :]]
    known = {id(variable) for variable in untrained}
    owners = [p for p in walk(model) if any(id(v) in known for _, v in p.layer.own_variables())]
    return _place_of_cut(model, seen, reached, owners[0].path), [p.path for p in owners]


def _counts(model: Model, x: Any, before: Array, variable: Variable) -> bool:
    """Whether the outputs depend on a variable."""
    value = variable.numpy()
    noise = np.random.default_rng(0).normal(size=value.shape) * (np.abs(value).max() + 1.0)
    variable.assign((value + noise).astype(value.dtype))
    after = model(x, training=False).numpy()
    variable.assign(value)
    return not np.array_equal(before, after)


def _place_of_cut(model: Model, seen: list[Output], reached: list[bool], owner: str) -> str:
    """The first layer behind the last output that no gradient reaches."""
    floating = [output.value.dtype.kind == "f" for output in seen]
    missed = [i for i in range(len(seen)) if floating[i] and not reached[i]]
    if not missed:
        return owner
    behind = seen[missed[-1] + 1 :]
    return behind[0].layer.where if behind else model.name


def _few(case: Case) -> tuple[Any, Array]:
    rows = spread_rows(case, _ROWS)
    return as_arrays(take_rows(case.x, rows), "x", "diagnose"), case.y[rows]


# ---- T6: rows that mix


def _mixed(case: Case) -> Evidence | None:
    if not case.usable or len(case.y) < _ROWS:
        return None
    path = next((found for row in _LOOKED_AT if (found := _mixing_layer(case, row))), None)
    if path is None:
        return None
    sentence = (
        f"The output for a row depends on the other rows of its batch: `{path}` mixes them, as a "
        "reshape in place of a transpose does, or a mean over the wrong axis."
    )
    remedy = Remedy(f"{path}: keep axis 0, the rows, apart; use transpose to exchange axes", "N")
    return Evidence(0.99, sentence, (remedy,), {"layer": path}, settled=True)


def _mixing_layer(case: Case, row: int) -> str | None:
    """The first layer whose output for a row changes when the other rows are exchanged, if that of
    the model does.
    """
    rows = spread_rows(case, _ROWS)
    others = np.roll(rows, 3)
    others[row] = rows[row]
    before, after = (
        _outputs_of_layers(case.first, as_arrays(take_rows(case.x, r), "x", "diagnose"))
        for r in (rows, others)
    )
    differ = [_differ(a, b, row) for (_, a), (_, b) in zip(before, after, strict=True)]
    if not differ[-1]:
        return None
    return before[differ.index(True)][0] or case.first.name


def _outputs_of_layers(model: Model, x: Any) -> list[tuple[str, Array]]:
    """What each layer gives, and at last the model, each with its path."""
    with settings(backend="reference"), np.errstate(all="ignore"), watched(model) as seen:
        outputs = model(x, training=False)
    found = [(output.layer.where, output.value.numpy()) for output in seen]
    return [*found, ("", np.asarray(outputs.numpy()))]


def _differ(a: Array, b: Array, row: int) -> bool:
    """Whether a row is another one, beyond what another order of adding up makes."""
    if a.shape != b.shape or len(a) != _ROWS:
        return True
    scale = float(np.abs(a).max(initial=0.0)) + 1e-30
    with np.errstate(invalid="ignore"):
        return bool(np.abs(a[row].astype(np.float64) - b[row]).max(initial=0.0) > 1e-4 * scale)


FAULTS: tuple[Fault, ...] = (
    Fault(
        "T5", "not everything is trained", "structure",
        "weights without any gradient although the outputs depend on them, or frozen layers that "
        "without which 40 % of the error goes", _untrained,
        explains=("S2", "V1", "O2", "O3", "S1"), cost=2,
    ),
    Fault(
        "T6", "rows of a batch mix", "structure",
        "the output for a row changes with the other rows of the batch, outside of training",
        _mixed, explains=("S2", "D6", "O1", "O2", "G1", "G2"), cost=1,
    ),
)  # fmt: skip
