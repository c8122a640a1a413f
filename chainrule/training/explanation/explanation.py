"""``model.explain(x, y)``: one training step in four blocks, as text, as a page, as numbers."""

from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import ArgumentError, StateError, unknown_name
from chainrule.formats.atomic import write_atomically
from chainrule.losses import Loss
from chainrule.training.explanation.check import largest_difference
from chainrule.training.explanation.page import page
from chainrule.training.explanation.record import LayerRecord, StepRecord, WeightRecord, record_step
from chainrule.training.explanation.report import blocks
from chainrule.training.explanation.words import LANGUAGES, words
from chainrule.training.explanation.zoom import zoomed
from chainrule.training.fit import find_loss, probe, ready
from chainrule.training.inputs import as_arrays, count_rows, take_rows
from chainrule.training.step import FullBatchStep, TrainingStep
from chainrule.training.targets import as_targets

if TYPE_CHECKING:
    from chainrule.training.model import Model

_WHERE = "explain"
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
        self, step: TrainingStep, one: StepRecord, batch: StepRecord, row: int, language: str
    ) -> None:
        self._step = step
        self.one = one
        self.batch = batch
        self.row = row
        self._words = words(language)
        self._zoom: list[str] = []

    def __str__(self) -> str:
        return "\n".join(self._zoom or self._lines())

    __repr__ = __str__

    def _lines(self) -> list[str]:
        lines = []
        for title, block in self.blocks().items():
            lines += [title, "-" * min(100, len(title)), *block, ""]
        return lines

    def blocks(self) -> dict[str, list[str]]:
        """The four blocks: the lines of each by its title."""
        return blocks(self.one, self.batch, self.row, self._step, self._words)

    def check(self) -> float:
        """The largest difference between a shown gradient of a weight and central differences of
        the loss in float64, relative to the largest gradient of its array, over both steps.

        Example:
            >>> import chainrule as cr
            >>> model = cr.Sequential([cr.layers.Dense(3, activation="tanh"), cr.layers.Dense(1)])
            >>> model.explain(np.ones((4, 2)), np.ones(4), loss="mse").check() < 1e-5
            True
        """
        return max(largest_difference(self._step, r) for r in (self.one, self.batch))

    def to_dict(self) -> dict[str, Any]:
        """All numbers as nested dictionaries of lists."""
        return {"row": self.row, "one": _plain(self.one), "batch": _plain(self.batch)}

    def to_html(self, path: str | PathLike[str] | None = None) -> str:
        """A page of its own, without a network; it is written to ``path`` if one is given."""
        text = page(self.blocks(), self._zoom, self._words)
        if path is not None:
            write_atomically(path, [text.encode()])
        return text

    def _repr_html_(self) -> str:
        return self.to_html()

    def zoom(
        self,
        neuron: tuple[str, int] | None = None,
        weight: tuple[str, tuple[int, ...]] | None = None,
        filter: tuple[str, int] | None = None,
        time: int | None = None,
    ) -> "Explanation":
        """Show one neuron, weight, filter or step of time instead of the four blocks."""
        chosen = Explanation(self._step, self.one, self.batch, self.row, "en")
        chosen._words = self._words
        chosen._zoom = zoomed(self, self._words, neuron, weight, filter, time)
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
    model: "Model", x: Any, y: Any, row: int, loss: Any, optimizer: Any, language: str
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
    row %= data.rows
    step = _step_of(model, function, optimizer)
    batch = record_step(step, data.x, data.y)
    chosen = slice(row, row + 1)
    one = record_step(step, take_rows(data.x, chosen), data.y[chosen])
    return Explanation(step, one, batch, row, language)


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
