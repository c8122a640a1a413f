"""``model.explain(x, y)``: one training step in four blocks, as text, as a page, as numbers."""

import copy
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import ArgumentError, StateError, unknown_name
from chainrule.formats.atomic import write_atomically
from chainrule.losses import Loss
from chainrule.training.batches import Data
from chainrule.training.explanation.check import largest_difference
from chainrule.training.explanation.page import frame, page
from chainrule.training.explanation.pieces import WIDTH, Line
from chainrule.training.explanation.record import LayerRecord, Recorder, StepRecord, WeightRecord
from chainrule.training.explanation.report import Blocks, Names, Report, text_of
from chainrule.training.explanation.words import LANGUAGES, words
from chainrule.training.explanation.zoom import zoomed
from chainrule.training.fit import find_loss, probe, ready
from chainrule.training.inputs import as_arrays, count_rows, take_rows
from chainrule.training.step import FullBatchStep, TrainingStep
from chainrule.training.targets import as_targets

if TYPE_CHECKING:
    from chainrule.training.model import Model

_WHERE = "explain"
_MOST_EXAMPLES = 16
UNNAMED = Names()
Array = NDArray[Any]


class Explanation:
    """One training step, for one example and for the mean over a batch.

    ``print(explanation)`` shows four blocks: forward, loss, backward, update. The numbers are those
    of the compiled step that ``fit`` runs; the model is as it was afterwards.

    Attributes:
        one: the step on the chosen row alone, a `StepRecord`.
        batch: the step on all rows.
        row: the number of the chosen row.
    """

    def __init__(
        self, model: "Model", recorder: Recorder, data: Data, row: int, language: str, names: Names
    ) -> None:
        self._model = model  # what the recorder runs holds it weakly
        self._recorder, self._data, self._names = recorder, data, names
        self.row = row
        self.batch = recorder.record(data.x, data.y)
        self.one = self._example(row)
        self.words = words(language)
        self._language = language
        self._zoom: list[str] = []

    def _example(self, row: int) -> StepRecord:
        chosen = slice(row, row + 1)
        return self._recorder.record(take_rows(self._data.x, chosen), self._data.y[chosen])

    def __str__(self) -> str:
        if self._zoom:
            return "\n".join(self._zoom)
        lines = []
        for title, block in self.blocks().items():
            lines += [title, "-" * min(WIDTH, len(title)), *block, ""]
        return "\n".join(lines)

    __repr__ = __str__

    def blocks(self) -> dict[str, list[str]]:
        """The four blocks: the lines of each by its title."""
        return text_of(self._blocks(self.one, self.row))

    def _blocks(self, one: StepRecord, row: int) -> Blocks:
        step = self._recorder.step
        with self._recorder.as_it_was():
            return Report(one, self.batch, row, step, self._names, self.words).blocks()

    def check(self) -> float:
        """The largest difference between a shown gradient and central differences of the loss in
        float64: of every weight, z and a, over both steps.

        It is relative to the largest gradient of its array, or a hundredth of the largest of all.

        Example:
            >>> import chainrule as cr
            >>> model = cr.Sequential([cr.layers.Dense(3, activation="tanh"), cr.layers.Dense(1)])
            >>> model.explain(np.ones((4, 2)), np.ones(4), loss="mse").check() < 1e-5
            True
        """
        return max(largest_difference(self._recorder, r) for r in (self.one, self.batch))

    def to_dict(self) -> dict[str, Any]:
        """All numbers as nested dictionaries of lists."""
        return {"row": self.row, "one": _plain(self.one), "batch": _plain(self.batch)}

    def to_html(
        self, path: str | PathLike[str] | None = None, *, compare: "Explanation | None" = None
    ) -> str:
        """A page of its own, without a network, with up to 16 examples of the batch to choose from.

        Args:
            path: the file to write; default none.
            compare: another step, such as one after more training, whose examples follow.

        Returns:
            The page.
        """
        steps = self._shown()
        if compare is not None:
            steps = [(f"1: {name}", blocks) for name, blocks in steps]
            steps += [(f"2: {name}", blocks) for name, blocks in compare._shown()]
        first = 0 if self._zoom else self.row - self._first_shown()
        text = page(steps, first, self.words, self._language)
        if path is not None:
            write_atomically(path, [text.encode()])
        return text

    def _first_shown(self) -> int:
        return max(0, min(self.row - _MOST_EXAMPLES // 2, self._data.rows - _MOST_EXAMPLES))

    def _shown(self) -> list[tuple[str, Blocks]]:
        """The name and the blocks of each example of the page."""
        if self._zoom:
            return [(self._names.row(self.row), {"": [Line(line) for line in self._zoom]})]
        start = self._first_shown()
        found = []
        for row in range(start, min(start + _MOST_EXAMPLES, self._data.rows)):
            one = self.one if row == self.row else self._example(row)
            found.append((self._names.row(row), self._blocks(one, row)))
        return found

    def _repr_html_(self) -> str:
        return frame(self.to_html(), self.words)

    def zoom(
        self,
        neuron: tuple[str, int] | None = None,
        weight: tuple[str, tuple[int, ...]] | None = None,
        filter: tuple[str, int] | None = None,
        time: int | None = None,
    ) -> "Explanation":
        """Show one neuron, weight, filter or step of time instead of the four blocks."""
        chosen = copy.copy(self)
        chosen._zoom = zoomed(self, self.words, neuron, weight, filter, time)
        return chosen

    def layer(self, path: str) -> tuple[LayerRecord, LayerRecord]:
        """The records of a layer: of the one example, and of the batch."""
        paths = [record.path for record in self.one.layers]
        if path not in paths:
            raise unknown_name(_WHERE, "layer", path, paths)
        place = paths.index(path)
        return self.one.layers[place], self.batch.layers[place]

    def weight(self, path: str) -> tuple[WeightRecord, WeightRecord]:
        """The records of a weight: of the one example, and of the batch."""
        paths = [record.path for record in self.one.weights]
        if path not in paths:
            raise unknown_name(_WHERE, "weight", path, paths)
        place = paths.index(path)
        return self.one.weights[place], self.batch.weights[place]


def explain_step(
    model: "Model",
    x: Any,
    y: Any,
    row: int,
    loss: Any,
    optimizer: Any,
    language: str,
    names: Names = UNNAMED,
) -> Explanation:
    """One step explained; see `Model.explain`."""
    if language not in LANGUAGES:
        raise unknown_name(_WHERE, "language", str(language)[:80], LANGUAGES)
    inputs = as_arrays(x, "x", _WHERE)
    if isinstance(inputs, tuple | dict):
        raise ArgumentError(_WHERE, "several inputs", fix="explain works for models of one input")
    targets = as_targets(y, count_rows(inputs), _WHERE)
    outputs = probe(model, inputs)
    function = find_loss(loss, model._setup, _WHERE)
    data = ready(model, inputs, targets, outputs, function, _WHERE)
    if not -data.rows <= row < data.rows:
        raise ArgumentError(_WHERE, "no such row", got=row, expected=f"0 to {data.rows - 1}")
    recorder = Recorder(_step_of(model, function, optimizer))
    return Explanation(model, recorder, data, row % data.rows, language, names)


def _step_of(model: "Model", loss: Loss, optimizer: Any) -> TrainingStep:
    """The step of the last fit, or one with a fresh optimizer."""
    from chainrule import optimizers

    setup = model._setup
    if optimizer is None and setup is not None:
        if isinstance(setup.step, FullBatchStep):
            raise StateError(_WHERE, "the optimizer works on all rows at once",
                             got=setup.optimizer.name, fix="pass optimizer='sgd'")  # fmt: skip
        return setup.step
    chosen = optimizers.get(optimizer or "sgd")
    if int(chosen.iterations) == 0:
        chosen.build(model.trainable_variables)
    return TrainingStep(model, loss, chosen)


def _plain(record: StepRecord) -> dict[str, Any]:
    layers = [
        {"path": r.path, "kind": r.kind,
         **{k: _list(getattr(r, k)) for k in ("inputs", "z", "a", "dz", "da")}}
        for r in record.layers
    ]  # fmt: skip
    weights = [
        {"path": w.path, **{k: _list(getattr(w, k)) for k in ("before", "gradient", "after")}}
        for w in record.weights
    ]
    return {
        "x": _list(record.x), "y": _list(record.y), "outputs": _list(record.outputs),
        "loss": record.loss, "new_loss": record.new_loss,
        "predicted_loss": record.predicted_loss, "layers": layers, "weights": weights,
    }  # fmt: skip


def _list(array: Array | None) -> Any:
    return None if array is None else np.asarray(array).tolist()
