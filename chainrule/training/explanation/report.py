"""The four blocks of an explanation as lines of at most 100 characters."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.training.explanation.formulas import loss_formula, update_rule
from chainrule.training.explanation.record import StepRecord, WeightRecord
from chainrule.training.step import TrainingStep

WIDTH = 100
# Arrays of up to so many numbers are shown whole, of larger ones the largest few.
_SMALL, _SHOWN = 24, 5
_BAR = 30


def number(x: float) -> str:
    """Four significant digits."""
    return f"{x:.4g}"


def numbers(array: NDArray[Any], words: dict[str, str]) -> str:
    """The numbers of a small array, or the largest of a large one with their places."""
    if array.size <= _SMALL:
        return " ".join(number(x) for x in array.reshape(-1).tolist())
    flat = array.reshape(-1)
    order = np.argsort(-np.abs(flat.astype(np.float64)), kind="stable")[:_SHOWN]
    places = (np.unravel_index(i, array.shape) for i in order)
    parts = [
        f"[{','.join(str(int(i)) for i in place)}] {number(flat[k])}"
        for place, k in zip(places, order, strict=True)
    ]
    head = words["largest"].format(n=_SHOWN, total=array.size)
    return f"{head}: " + ", ".join(parts)


def wrapped(head: str, text: str) -> list[str]:
    """A line that goes on below itself, indented."""
    lines, rest = [], f"{head}{text}"
    while len(rest) > WIDTH:
        cut = rest.rfind(" ", len(head) + 1, WIDTH)
        cut = WIDTH if cut <= len(head) else cut
        lines.append(rest[:cut])
        rest = " " * len(head) + rest[cut:].lstrip()
    return [*lines, rest]


def norm(array: NDArray[Any]) -> float:
    """The root of the sum of squares."""
    return float(np.sqrt(np.square(array.astype(np.float64)).sum()))


def blocks(
    one: StepRecord, batch: StepRecord, row: int, step: TrainingStep, words: dict[str, str]
) -> dict[str, list[str]]:
    """The lines of each block by its title."""
    return {
        f"{words['forward']} ({words['one']}: {row})": _forward(one, words),
        words["loss"]: _loss(one, batch, step, words),
        words["backward"]: _backward(one, batch, words),
        words["update"]: _update(one, batch, step, words),
    }


def _name(path: str) -> str:
    """A layer's path as text that cannot be taken for anything else."""
    return path if path.isprintable() else repr(path)


def _forward(one: StepRecord, words: dict[str, str]) -> list[str]:
    lines = wrapped(f"{words['input']:<10} = ", numbers(one.x[0], words))
    for record in one.layers:
        lines.append(f"{_name(record.path)} ({record.kind}) {words['shape']} {record.a.shape[1:]}")
        if record.z is not None:
            lines += wrapped("    z = ", numbers(record.z, words))
        lines += wrapped("    a = ", numbers(record.a, words))
    return lines


def _loss(
    one: StepRecord, batch: StepRecord, step: TrainingStep, words: dict[str, str]
) -> list[str]:
    lines = wrapped(f"{words['target']:<10} = ", numbers(one.y, words))
    lines += wrapped(f"{words['output']:<10} = ", numbers(one.outputs, words))
    lines += wrapped("L = ", loss_formula(step.loss, one))
    rows = len(batch.y)
    return [*lines, f"{words['batch']} ({rows}): L = {number(batch.loss)}"]


def _backward(one: StepRecord, batch: StepRecord, words: dict[str, str]) -> list[str]:
    lines = []
    last = norm(batch.layers[-1].da) if batch.layers else 0.0
    for mine, all_rows in zip(reversed(one.layers), reversed(batch.layers), strict=True):
        lines.append(f"{_name(mine.path)} ({mine.kind})")
        lines += wrapped("    dL/da = ", numbers(mine.da, words))
        if mine.dz is not None:
            lines += wrapped("    delta = dL/dz = ", numbers(mine.dz, words))
        share = norm(all_rows.da) / last if last else 0.0
        bar = "#" * min(_BAR, round(share * _BAR / 2))
        lines.append(f"    |dL/da| {words['share']}: {number(share):<9} {bar}")
    for w, mean in zip(one.weights, batch.weights, strict=True):
        head = f"{words['one']}"
        lines.append(f"dL/d {_name(w.path)}")
        lines += wrapped(f"    {head}: ", numbers(w.gradient, words))
        lines += wrapped(f"    {words['batch']}: ", numbers(mean.gradient, words))
    return lines


def _update(
    one: StepRecord, batch: StepRecord, step: TrainingStep, words: dict[str, str]
) -> list[str]:
    lines = wrapped(f"{words['rule']}: ", update_rule(step.optimizer))
    for w in batch.weights:
        lines.append(f"{_name(w.path)}  |change| / |w| = {number(_relative(w))}")
        place = np.unravel_index(int(np.argmax(np.abs(w.gradient))), w.gradient.shape)
        before, change, after = (float(a[place]) for a in (w.before, w.change, w.after))
        at = ",".join(str(int(i)) for i in place)
        lines.append(
            f"    [{at}] {words['before']} {number(before)}, dL/dw {number(w.gradient[place])}, "
            f"{words['step']} {number(change)}, {words['after']} {number(after)}"
        )
    lines.append(
        f"L {number(batch.loss)} -> {words['predicted']}: {number(batch.predicted_loss)}, "
        f"{words['actual']}: {number(batch.new_loss)}"
    )
    return lines


def _relative(w: WeightRecord) -> float:
    before = norm(w.before)
    return norm(w.change) / before if before else float("inf")
