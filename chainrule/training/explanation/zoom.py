"""Explanations of one neuron, weight, filter or step of time: sums with every term."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import ArgumentError
from chainrule.training.explanation.pieces import as_text, number, numbers, wrapped

if TYPE_CHECKING:
    from chainrule.training.explanation.explanation import Explanation

_WHERE = "explain"
_MOST_TERMS = 12


def zoomed(
    explanation: "Explanation",
    words: dict[str, str],
    neuron: tuple[str, int] | None,
    weight: tuple[str, tuple[int, ...]] | None,
    filter: tuple[str, int] | None,
    time: int | None,
) -> list[str]:
    """The lines of what was asked for; none where nothing was."""
    lines: list[str] = []
    if neuron is not None:
        lines += _neuron(explanation, words, *neuron)
    if weight is not None:
        lines += _weight(explanation, words, *weight)
    if filter is not None:
        lines += _filter(explanation, words, *filter)
    if time is not None:
        lines += _time(explanation, words, time)
    return lines


def _neuron(e: "Explanation", words: dict[str, str], path: str, unit: int) -> list[str]:
    """z as a sum of weight times input, delta as a sum of weight times delta of the next layer."""
    mine, _ = e.layer(path)
    kernel = _kernel_of(e, path)
    if kernel is None or kernel.ndim != 2 or mine.a.ndim != 2:
        raise ArgumentError(
            _WHERE, "no dense layer with neurons", got=path, expected="a Dense layer"
        )
    if not 0 <= unit < kernel.shape[1]:
        raise ArgumentError(
            _WHERE, "no such neuron", got=unit, expected=f"0 to {kernel.shape[1] - 1}"
        )
    x = mine.inputs[0]
    z = mine.a if mine.z is None else mine.z
    terms = [f"{number(w)}*{number(v)}" for w, v in zip(kernel[:, unit], x, strict=True)]
    bias = float(z[0, unit]) - float(x.astype(np.float64) @ kernel[:, unit])
    lines = [words["neuron"].format(unit=unit, layer=path)]
    lines += wrapped("  z = ", f"{_joined(terms)} + {number(bias)} = {number(z[0, unit])}")
    lines.append(f"  a = f(z) = {number(mine.a[0, unit])}")
    if mine.da is not None:
        lines.append(f"  dL/da = {number(mine.da[0, unit])}")
    if mine.dz is not None:
        rule = "" if mine.da is None else " = dL/da * f'(z)"
        lines.append(f"  delta = dL/dz{rule} = {number(mine.dz[0, unit])}")
        products = [f"{number(v)}*{number(mine.dz[0, unit])}" for v in x]
        lines += wrapped("  dL/dw = x * delta = ", _joined(products, ", "))
    return lines


def _joined(terms: list[str], between: str = " + ") -> str:
    shown = terms[:_MOST_TERMS]
    return between.join([*shown, "..."] if len(terms) > len(shown) else shown)


def _kernel_of(e: "Explanation", path: str) -> NDArray[Any] | None:
    for w in e.one.weights:
        if w.path == f"{path}/kernel":
            return w.before.astype(np.float64)
    return None


def _weight(
    e: "Explanation", words: dict[str, str], path: str, place: tuple[int, ...]
) -> list[str]:
    """The gradient of one weight, and in a dense layer the term of each example."""
    one, batch = e.weight(path)
    place = tuple(place)
    if len(place) != one.before.ndim or any(
        not 0 <= i < n for i, n in zip(place, one.before.shape, strict=True)
    ):
        raise ArgumentError(
            _WHERE, "no such place", got=place, expected=f"inside {one.before.shape}"
        )
    lines = [words["weight"].format(place=list(place), path=path)]
    layer = path.rpartition("/")[0]
    known = [r.path for r in e.batch.layers]
    if path.endswith("/kernel") and len(place) == 2 and layer in known:
        record = e.batch.layers[known.index(layer)]
        delta = record.delta
        if record.inputs.ndim == 2 and delta is not None:
            terms = [
                f"{number(x)}*{number(d)}"
                for x, d in zip(record.inputs[:, place[0]], delta[:, place[1]], strict=True)
            ]
            lines.append(f"  {words['examples']}: x * delta")
            lines += wrapped("  dL/dw = ", f"{_joined(terms)} = {number(batch.gradient[place])}")
    lines.append(
        f"  {words['before']} {number(batch.before[place])}, dL/dw {number(batch.gradient[place])} "
        f"({words['one']}: {number(one.gradient[place])}), {words['step']} "
        f"{number(batch.change[place])}, {words['after']} {number(batch.after[place])}"
    )
    return lines


def _filter(e: "Explanation", words: dict[str, str], path: str, unit: int) -> list[str]:
    """The weights of one filter, their gradients, and what it found."""
    mine, _ = e.layer(path)
    one, batch = e.weight(f"{path}/kernel")
    if not 0 <= unit < one.before.shape[-1]:
        raise ArgumentError(
            _WHERE, "no such filter", got=unit, expected=f"0 to {one.before.shape[-1] - 1}"
        )
    lines = [words["filter"].format(unit=unit, layer=path)]
    for name, array in (
        ("w", batch.before),
        ("dL/dw", batch.gradient),
        (words["step"], batch.change),
    ):
        lines += wrapped(f"  {name} = ", as_text(numbers(array[..., unit], words)))
    lines += wrapped("  a = ", as_text(numbers(mine.a[0, ..., unit], words)))
    if mine.da is not None:
        lines += wrapped("  dL/da = ", as_text(numbers(mine.da[0, ..., unit], words)))
    return lines


def _time(e: "Explanation", words: dict[str, str], time: int) -> list[str]:
    """What layers with outputs (batch, time, features) have at one step."""
    lines = [words["time"].format(time=time)]
    for record in e.one.layers:
        if record.a.ndim == 3 and -record.a.shape[1] <= time < record.a.shape[1]:
            lines += wrapped(f"  {record.path}: a = ", as_text(numbers(record.a[0, time], words)))
            if record.da is not None:
                lines += wrapped("    dL/da = ", as_text(numbers(record.da[0, time], words)))
    if len(lines) == 1:
        raise ArgumentError(
            _WHERE, "no layer has outputs at this step of time", got=time,
            expected="a layer with outputs (batch, time, features)",
            fix="use return_sequences=True, or model.gradient_flow(x, y)",
        )  # fmt: skip
    return lines
