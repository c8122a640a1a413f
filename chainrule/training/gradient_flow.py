"""How gradients fare on their way back through time: what `Model.gradient_flow` returns."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chainrule import figures
from chainrule.errors import ArgumentError
from chainrule.nn import Layer
from chainrule.nn.contents import walk
from chainrule.nn.layers.cells import Cell
from chainrule.nn.layers.recurrent_base import Recurrent
from chainrule.nn.watching import Output, watched
from chainrule.tensor import GradientTape, Tensor, functions
from chainrule.training.fit import find_loss, probe, ready
from chainrule.training.inputs import as_arrays, count_rows
from chainrule.training.states import kept_states
from chainrule.training.targets import as_targets

if TYPE_CHECKING:
    from chainrule.training.model import Model

_WHERE = "gradient_flow"
# Steps that a table shows.
MOST_COLUMNS = 6


class GradientFlow(Mapping[str, NDArray[Any]]):
    """The norm of the loss's gradient at each step of time, for each layer, by its path.

    ``flow["lstm/cell"]`` is an array (steps,); ``print(flow)`` shows a table.

    Args:
        norms: the norms by path.
    """

    def __init__(self, norms: Mapping[str, NDArray[Any]]) -> None:
        self._norms = dict(norms)

    def __getitem__(self, path: str) -> NDArray[Any]:
        return self._norms[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._norms)

    def __len__(self) -> int:
        return len(self._norms)

    def ratio(self, path: str) -> float:
        """The norm at the first step over that at the last: near 0, the gradient vanishes."""
        first, last = float(self._norms[path][0]), float(self._norms[path][-1])
        return first / last if last else float("inf" if first else "nan")

    def plot(self, path: "str | PathLike[str] | None" = None) -> "figures.Figure":
        """Draw the norms over the steps, on a logarithmic axis; save the picture under ``path``.

        Raises:
            MissingDependencyError: matplotlib is not installed.
        """
        return figures.gradient_flow(self._norms, "gradient_flow.plot", path)

    def __str__(self) -> str:
        title = "norm of the gradient"
        wide = max(len(path) for path in [*self._norms, title])
        longest = max(len(norms) for norms in self._norms.values())
        shown = sorted({int(t) for t in np.linspace(0, longest - 1, MOST_COLUMNS).round()})
        head = "".join(f"t={t}".rjust(10) for t in shown)
        lines = [f"{title:<{wide}}{head}{'first/last':>12}"]
        for path, norms in self._norms.items():
            cells = [f"{norms[t]:.2e}" if t < len(norms) else "" for t in shown]
            numbers = "".join(cell.rjust(10) for cell in cells)
            lines.append(f"{path:<{wide}}{numbers}{self.ratio(path):>12.2e}")
        return "\n".join(lines)

    __repr__ = __str__


def gradient_flow(model: "Model", x: Any, y: Any, loss: Any) -> GradientFlow:
    """Norms of gradients by layer and step; see `Model.gradient_flow`."""
    inputs = as_arrays(x, "x", _WHERE)
    targets = as_targets(y, count_rows(inputs), _WHERE)
    outputs = probe(model, inputs)
    function = find_loss(loss, model._setup, _WHERE)
    data = ready(model, inputs, targets, outputs, function, _WHERE)
    tape = GradientTape()
    with kept_states(model), tape, watched(model, tape) as seen, _disturbed(model, tape, seen):
        total = function(data.y, model(data.x, training=False))
    followed = [output for output in seen if _has_steps(output)]
    if not followed:
        raise ArgumentError(
            _WHERE, "no layer of the model gives out sequences", got=repr(model),
            expected="recurrent layers, or layers with outputs (batch, time, features)",
        )  # fmt: skip
    gradients = tape.gradient(total, [output.value for output in followed])
    norms = {}
    for output, gradient in zip(followed, gradients, strict=True):
        flow = np.zeros(output.value.shape) if gradient is None else gradient.numpy()
        time = 0 if isinstance(output.layer, Cell) else 1
        steps = np.moveaxis(flow.astype(np.float64), time, 0)
        norms[output.layer.where] = np.sqrt(np.square(steps).reshape(len(steps), -1).sum(1))
    return GradientFlow(norms)


@contextmanager
def _disturbed(model: Layer, tape: GradientTape, seen: list[Output]) -> Iterator[None]:
    """Add zeros to the states of all recurrent layers; their gradients are those of the states."""

    def zeros(cell: Cell, steps: int, shape: tuple[int, ...]) -> Tensor:
        added = functions.zeros((steps, *shape), cell.dtype)
        tape.watch(added)
        seen.append(Output(cell, added))
        return added

    layers = [place.layer for place in walk(model) if isinstance(place.layer, Recurrent)]
    for layer in layers:
        layer.__dict__["disturbance"] = zeros
    try:
        yield
    finally:
        for layer in layers:
            del layer.__dict__["disturbance"]


def _has_steps(output: Output) -> bool:
    if isinstance(output.layer, Recurrent):  # its cells are seen instead
        return False
    return isinstance(output.layer, Cell) or output.value.ndim == 3
