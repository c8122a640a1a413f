"""The numbers of one training step: what each layer computed, the gradients, the update."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.nn import Layer
from chainrule.nn.contents import walk
from chainrule.tensor import GradientTape, Tensor, Variable, jit
from chainrule.tensor.state import STATE
from chainrule.tensor.trace import Trace
from chainrule.training.nonfinite import restore
from chainrule.training.step import TrainingStep, batch_loss

Array = NDArray[Any]


@dataclass(frozen=True)
class LayerRecord:
    """One layer in one step.

    Attributes:
        path: where the model holds it.
        kind: its class.
        inputs: what came in.
        z: before the activation; None where the layer has none of its own.
        a: what came out.
        dz: dL/dz, the delta of the textbooks; None where there is no z.
        da: dL/da.
    """

    path: str
    kind: str
    inputs: Array
    z: Array | None
    a: Array
    dz: Array | None
    da: Array


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
        new_loss: on the same batch after it.
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


@dataclass
class _Seen:
    """A call of a layer while it is traced."""

    layer: Layer
    inputs: Tensor
    z: Tensor | None
    a: Tensor


def record_step(step: TrainingStep, x: Any, y: Any) -> StepRecord:
    """Run the step that ``fit`` runs once, keep all that it computes, and put everything back.

    Args:
        step: the training step of the model.
        x: inputs of a batch.
        y: targets.
    """
    before = step.state()
    described: list[tuple[str, str]] = []
    compiled = jit(_explained(step, described))
    try:
        loss, outputs, seen, gradients = compiled(x, y)
        after = {id(variable): variable.numpy() for variable in step.variables}
        new_loss, *_ = compiled(x, y)
    finally:
        restore(before)
    layers = tuple(
        LayerRecord(path, kind, inputs.numpy(), _array(z), a.numpy(), _array(dz), da.numpy())
        for (path, kind), (inputs, z, a, dz, da) in zip(described, seen, strict=True)
    )
    weights = tuple(
        WeightRecord(v.path, v.numpy(), g.numpy(), after[id(v)])
        for v, g in zip(step.variables, gradients, strict=True)
    )
    arrays = np.asarray(x), np.asarray(y), outputs.numpy()
    return StepRecord(*arrays, float(loss), float(new_loss), layers, weights)


def _array(x: Tensor | None) -> Array | None:
    return None if x is None else x.numpy()


def _explained(step: TrainingStep, described: list[tuple[str, str]]) -> Callable[..., Any]:
    """The training step as a function that also returns what is inside it."""

    def run(x: Any, y: Tensor) -> Any:
        tape = GradientTape()
        trace = STATE.trace
        assert trace is not None
        with tape, _listened(step.model, tape, trace) as seen:
            outputs = step.model(x, training=True)
            loss = batch_loss(step.model, step.loss, y, outputs, None)
        inside = [part for s in seen for part in (s.z, s.a) if part is not None]
        variables: list[Variable] = step.variables
        found = tape.gradient(loss, [*inside, *variables])
        filled = [
            x * 0 if g is None else g for x, g in zip([*inside, *variables], found, strict=True)
        ]
        flows = iter(filled)
        rows = []
        for s in seen:
            dz = None if s.z is None else next(flows)
            rows.append((s.inputs, s.z, s.a, dz, next(flows)))
        gradients = list(flows)
        step.optimizer.apply_gradients(zip(found[len(inside) :], variables, strict=True),
                                       missing_gradients="skip")  # fmt: skip
        described[:] = [(s.layer.where, type(s.layer).__name__) for s in seen]
        return loss, outputs, rows, gradients

    return run


@contextmanager
def _listened(model: Layer, tape: GradientTape, trace: Trace) -> Iterator[list[_Seen]]:
    """List the calls of the layers inside a model, with what goes into their activations. What is
    computed inside loops is left out: it stands for many steps.
    """
    seen: list[_Seen] = []
    layers = [place.layer for place in walk(model) if place.layer is not model]
    activations = [layer.__dict__.get("activation") for layer in layers]
    for layer, activation in zip(layers, activations, strict=True):
        held: list[Tensor] = []
        if callable(activation):
            layer.__dict__["activation"] = _noting(activation, held, tape, trace)
        layer.__dict__["call"] = _listing(layer, held, seen, tape, trace)
    try:
        yield seen
    finally:
        for layer, activation in zip(layers, activations, strict=True):
            del layer.__dict__["call"]
            if callable(activation):
                layer.__dict__["activation"] = activation


def _noting(
    function: Callable[[Tensor], Tensor], held: list[Tensor], tape: GradientTape, trace: Trace
) -> Callable[[Tensor], Tensor]:
    """An activation that tells what went in."""

    def activation(z: Tensor) -> Tensor:
        if trace.holds(z):
            tape.watch(z)
            held[:] = [z]
        return function(z)

    return activation


def _listing(
    layer: Layer, held: list[Tensor], seen: list[_Seen], tape: GradientTape, trace: Trace
) -> Callable[..., Any]:
    compute = layer.call

    def call(*inputs: Any, **options: Any) -> Any:
        held.clear()
        value = compute(*inputs, **options)
        first = inputs[0] if inputs else None
        if not isinstance(value, Tensor) or not isinstance(first, Tensor):
            return value
        if trace.holds(value) and value.dtype.kind == "f":
            tape.watch(value)
            seen.append(_Seen(layer, first, held[0] if held else None, value))
        return value

    return call
