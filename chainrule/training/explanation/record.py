"""The numbers of one training step: what each layer computed, the gradients, the update."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.nn import Layer
from chainrule.tensor import GradientTape, Tensor, Variable, jit
from chainrule.tensor.state import STATE
from chainrule.training.explanation.listening import listened
from chainrule.training.nonfinite import restore
from chainrule.training.step import TrainingStep, batch_loss

Array = NDArray[Any]


@dataclass(frozen=True)
class LayerRecord:
    """One layer in one step.

    Attributes:
        path: where the model holds it.
        kind: its class.
        activation: the name of the function between z and a, "" where there is none.
        inputs: what came in; of several inputs the first.
        sources: the number of the layer that each input came from; -1 for the batch, or where it
            changed on the way.
        z: before the activation; None where the layer has none of its own.
        a: what came out.
        dz: dL/dz, the delta of the textbooks; None where there is no z.
        da: dL/da; None where the loss does not use a, because it is computed from z at once.
    """

    path: str
    kind: str
    activation: str
    inputs: Array
    sources: tuple[int, ...]
    z: Array | None
    a: Array
    dz: Array | None
    da: Array | None

    @property
    def delta(self) -> Array | None:
        """dL/dz where there is a z, else dL/da."""
        return self.da if self.z is None else self.dz


@dataclass(frozen=True)
class WeightRecord:
    """One trainable variable in one step.

    Attributes:
        path: where the model holds it.
        before: its values before the update.
        gradient: dL/dw.
        after: its values after the update.
    """

    path: str
    before: Array
    gradient: Array
    after: Array

    @property
    def change(self) -> Array:
        """after - before"""
        return self.after - self.before


@dataclass(frozen=True)
class StepRecord:
    """All of one step on one batch.

    Attributes:
        x, y: the batch.
        outputs: what the model returned.
        loss: before the update.
        new_loss: on the same batch after it, with the same random draws.
        layers: in the order in which they were computed.
        weights: the trainable variables.
    """

    x: Array
    y: Array
    outputs: Array
    loss: float
    new_loss: float
    layers: tuple[LayerRecord, ...]
    weights: tuple[WeightRecord, ...]

    @property
    def predicted_loss(self) -> float:
        """The loss that the gradients promise for the change: L + sum of dL/dw * change."""
        promised = sum(
            float((w.gradient.astype(np.float64) * w.change).sum()) for w in self.weights
        )
        return self.loss + promised


class Recorder:
    """Runs the step that ``fit`` runs, keeps all that it computes, and puts everything back.

    Compiled once for each number of rows.

    Args:
        step: the training step of the model.
    """

    def __init__(self, step: TrainingStep) -> None:
        self.step = step
        self._state = step.state()
        self._described: list[tuple[Layer, tuple[int, ...]]] = []
        self._compiled = jit(_explained(step, self._described))

    def record(self, x: Any, y: Any) -> StepRecord:
        """One step from the state in which the recorder was made, on one batch."""
        variables = self.step.variables
        with self.as_it_was():
            weights = [variable.numpy() for variable in variables]
            loss, outputs, seen, gradients = self._compiled(x, y)
            after = [variable.numpy() for variable in variables]
            restore(self._state)  # dropout and the like draw the same again
            for variable, new in zip(variables, after, strict=True):
                variable.assign(new)
            new_loss, *_ = self._compiled(x, y)
        layers = tuple(
            LayerRecord(
                layer.where, type(layer).__name__, _activation(layer, z is not None),
                inputs.numpy(), sources, _array(z), a.numpy(), _array(dz), _array(da),
            )
            for (layer, sources), (inputs, z, a, dz, da) in zip(self._described, seen, strict=True)
        )  # fmt: skip
        changes = tuple(
            WeightRecord(variable.path, before, gradient.numpy(), new)
            for variable, before, gradient, new in zip(
                variables, weights, gradients, after, strict=True
            )
        )
        arrays = np.asarray(x), np.asarray(y), outputs.numpy()
        return StepRecord(*arrays, float(loss), float(new_loss), layers, changes)

    @contextmanager
    def as_it_was(self) -> Iterator[None]:
        """The model in the state in which the recorder was made, for a while."""
        now = self.step.state()
        restore(self._state)
        try:
            yield
        finally:
            restore(now)


def _array(x: Tensor | None) -> Array | None:
    return None if x is None else x.numpy()


def _activation(layer: Layer, has_z: bool) -> str:
    name = getattr(layer.__dict__.get("activation"), "__name__", "f")
    return name if has_z else ""


def _explained(
    step: TrainingStep, described: list[tuple[Layer, tuple[int, ...]]]
) -> Callable[..., Any]:
    """The training step as a function that also returns what is inside it."""

    def run(x: Any, y: Tensor) -> Any:
        tape = GradientTape()
        trace = STATE.trace
        assert trace is not None

        def watched(value: Tensor) -> Tensor:
            tape.watch(value)
            return value

        with tape, listened(step.model, trace, watched) as seen:
            outputs = step.model(x, training=True)
            loss = batch_loss(step.model, step.loss, y, outputs, None)
        inside = [part for s in seen for part in (s.z, s.a) if part is not None]
        variables: list[Variable] = step.variables
        found = tape.gradient(loss, [*inside, *variables])
        flows, gradients = iter(found[: len(inside)]), found[len(inside) :]
        rows = [(s.inputs, s.z, s.a, None if s.z is None else next(flows), next(flows))
                for s in seen]  # fmt: skip
        step.optimizer.apply_gradients(zip(gradients, variables, strict=True),
                                       missing_gradients="skip")  # fmt: skip
        described[:] = [(s.layer, s.sources) for s in seen]
        filled = [v * 0 if g is None else g for v, g in zip(variables, gradients, strict=True)]
        return loss, outputs, rows, filled

    return run
