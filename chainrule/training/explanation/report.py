"""The four blocks of an explanation, in lines of text and numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.training.explanation.formulas import loss_formula, update_rule
from chainrule.training.explanation.origins import Origins
from chainrule.training.explanation.pieces import (
    Line,
    Number,
    Piece,
    numbers,
    place_text,
    plain_name,
)
from chainrule.training.explanation.record import LayerRecord, StepRecord, WeightRecord
from chainrule.training.step import TrainingStep

_BAR = 30

Blocks = dict[str, list[Line]]


@dataclass(frozen=True)
class Names:
    """What is called how in an explanation.

    Attributes:
        rows: of the examples; default their numbers.
        inputs: of the numbers of an example; default none.
        outputs: of the numbers of an output, such as classes; default none.
    """

    rows: Sequence[str] = ()
    inputs: Sequence[str] = ()
    outputs: Sequence[str] = ()

    def row(self, row: int) -> str:
        """How an example is called."""
        return plain_name(self.rows[row]) if self.rows else str(row)


def norm(array: NDArray[Any]) -> float:
    """The root of the sum of squares."""
    return float(np.sqrt(np.square(array.astype(np.float64)).sum()))


class Report:
    """The four blocks for one example.

    Args:
        one: the step on the example.
        batch: the step on all rows.
        row: the number of the example.
        step: what ``fit`` runs.
        names: what is called how.
        words: the sentences.
    """

    def __init__(
        self,
        one: StepRecord,
        batch: StepRecord,
        row: int,
        step: TrainingStep,
        names: Names,
        words: dict[str, str],
    ) -> None:
        self._one, self._batch, self._row = one, batch, row
        self._step, self._names, self._words = step, names, words
        self._origins = Origins(one, words)

    def blocks(self) -> Blocks:
        """The lines of each block by its title."""
        words = self._words
        return {
            f"{words['forward']} ({words['one']}: {self._names.row(self._row)})": self._forward(),
            words["loss"]: self._loss(),
            words["backward"]: self._backward(),
            words["update"]: self._update(),
        }

    def _array(self, head: str, part: str, index: int, array: NDArray[Any]) -> Line:
        marked = self._origins.marked(part, index, array)
        return Line(head, numbers(array if part == "w" else array[0], self._words, marked))

    def _forward(self) -> list[Line]:
        one, words = self._one, self._words
        x = numbers(one.x[0], words, self._origins.input, self._names.inputs)
        lines = [Line(f"{words['input']:<10} = ", x)]
        for index, record in enumerate(one.layers):
            shape = f"{words['shape']} {record.a.shape[1:]}"
            lines.append(Line(f"{_title(record)} {shape}"))
            if record.z is not None:
                lines.append(self._array("    z = ", "z", index, record.z))
            lines.append(self._array("    a = ", "a", index, record.a))
        return lines

    def _loss(self) -> list[Line]:
        one, words, names = self._one, self._words, self._names.outputs
        y = numbers(one.y, words, self._origins.target)
        if names and one.y.size == 1 and one.y.dtype.kind in "iu":
            y = (*y, f" ({plain_name(names[int(one.y.reshape(-1)[0])])})")
        outputs = numbers(one.outputs, words, self._origins.output, names)
        rows = len(self._batch.y)
        return [
            Line(f"{words['target']:<10} = ", y),
            Line(f"{words['output']:<10} = ", outputs),
            Line("L = ", loss_formula(self._step.loss, one, self._origins)),
            Line(f"{words['batch']} ({rows}): L = ", (Number(self._batch.loss, "mean"),)),
        ]

    def _backward(self) -> list[Line]:
        one, batch, words = self._one, self._batch, self._words
        lines = []
        flows = [norm(record.delta) for record in batch.layers if record.delta is not None]
        last = flows[-1] if flows else 0.0
        for index in reversed(range(len(one.layers))):
            record, all_rows = one.layers[index], batch.layers[index]
            lines.append(Line(_title(record)))
            if record.da is not None:
                lines.append(self._array("    dL/da = ", "da", index, record.da))
            elif record.dz is None:
                lines.append(Line(f"    {words['unused']}"))
            if record.dz is not None:
                lines.append(self._array("    delta = dL/dz = ", "dz", index, record.dz))
            if record.da is None and record.dz is not None:
                lines.append(Line(f"    {words['at once'].format(kind=record.activation)}"))
            if all_rows.delta is not None and last:
                share = norm(all_rows.delta) / last
                bar = "#" * min(_BAR, round(share * _BAR / 2))
                end = f" {bar}" if bar else ""
                head = f"    {words['share']}: "
                lines.append(Line(head, (Number(share, f"share{index}"), end)))
        for k, (w, mean) in enumerate(zip(one.weights, batch.weights, strict=True)):
            lines.append(Line(f"dL/d {plain_name(w.path)}"))
            lines.append(self._array(f"    {words['one']}: ", "w", k, w.gradient))
            averages = numbers(mean.gradient, words, partial(_average, k, mean))
            lines.append(Line(f"    {words['batch']}: ", averages))
        return lines

    def _update(self) -> list[Line]:
        batch, words = self._batch, self._words
        rule = update_rule(self._step.optimizer)
        lines = [Line(f"{words['rule']}: ", (rule,))]
        for k, w in enumerate(batch.weights):
            before = norm(w.before)
            relative: Piece = Number(norm(w.change) / before, f"move{k}") if before else "-"
            lines.append(Line(f"{plain_name(w.path)}  |change| / |w| = ", (relative,)))
            place = int(np.argmax(np.abs(w.gradient)))
            lines.append(
                Line(f"    [{place_text(place, w.before.shape)}] ", self._change(k, w, place, rule))
            )
        promised = Number(batch.predicted_loss, "promised", (), words["promise"])
        actual = Number(batch.new_loss, "actual", (), words["again"])
        end = (f" -> {words['predicted']}: ", promised, f", {words['actual']}: ", actual)
        return [*lines, Line("L ", (Number(batch.loss, "mean"), *end))]

    def _change(self, k: int, w: WeightRecord, place: int, rule: str) -> tuple[Piece, ...]:
        """One weight before, its gradient, how it moves, and after."""
        words = self._words
        before, change, after = (a.reshape(-1)[place] for a in (w.before, w.change, w.after))
        names = f"before{k}.{place}", f"change{k}.{place}"
        return (
            f"{words['before']} ", Number(before, names[0]),
            ", dL/dw ", _average(k, w, place),
            f", {words['step']} ", Number(change, names[1], (f"mean{k}.{place}",), rule),
            f", {words['after']} ", Number(after, f"after{k}.{place}", names,
                                           f"{words['before']} + {words['step']}"),
        )  # fmt: skip


def _average(k: int, w: WeightRecord, place: int) -> Number:
    """The gradient of a weight for the mean over the batch."""
    return Number(w.gradient.reshape(-1)[place], f"mean{k}.{place}", (f"w{k}.{place}",))


def _title(record: LayerRecord) -> str:
    return f"{plain_name(record.path)} ({record.kind})"


def text_of(blocks: Blocks) -> dict[str, list[str]]:
    """The lines of text of each block."""
    return {
        title: [text for line in lines for text in line.wrapped()]
        for title, lines in blocks.items()
    }
