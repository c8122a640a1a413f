"""How values and gradients pass through the layers in one step: what is measured at each kernel."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.diagnosis.case import Case
from chainrule.nn.initializers import fans
from chainrule.training.explanation.record import LayerRecord, StepRecord, WeightRecord

Array = NDArray[Any]

#: Functions that are 0 for every input below 0.
CUT_OFF = ("relu", "relu6")
#: Functions with two flat ends: the |z| from which their slope is below a twentieth of its largest.
FLAT_FROM = {"sigmoid": 4.36, "tanh": 2.18, "softsign": 3.47, "hard_sigmoid": 3.0}


@dataclass(frozen=True)
class Signal:
    """A layer with a kernel in one step.

    Attributes:
        path: where the model holds it.
        kind: its class.
        activation: the function behind it, its own or that of a layer of its own; "linear" if none.
        units: how many outputs it has at each place.
        size: how many times too large its weights are: their root mean square over the largest of
            the usual first values (He's, Glorot's, LeCun's); below 1 it is not too large.
        shortage: how many times too small, against the smallest of the usual first values.
        inactive: the share of its units that are 0 for every row; 0 unless it is cut off below 0.
        flat: the share of its values in the flat ends of its function; 0 if it has none.
        alike: whether all its units have the same weights.
        together: and, but for rounding, get the same gradients.
        inputs: the root mean square of what comes in.
        outputs: of what the activation gives.
        delta: of dL/dz.
    """

    path: str
    kind: str
    activation: str
    units: int
    size: float
    shortage: float
    inactive: float
    flat: float
    alike: bool
    together: bool
    inputs: float
    outputs: float
    delta: float


def signals_at_start(case: Case) -> list[Signal]:
    """The layers with kernels at the first step, in the order in which they compute; empty if the
    model cannot be run.
    """
    return case.once("signals at start", lambda: signals_of(case.at_start))


def signals_of(step: StepRecord | None) -> list[Signal]:
    """The layers with kernels in a step."""
    if step is None:
        return []
    weights = {weight.path: weight for weight in step.weights}
    found = []
    for number, layer in enumerate(step.layers):
        kernel = weights.get(f"{layer.path}/kernel")
        if kernel is not None and kernel.before.ndim >= 2:
            behind = _until_next(step.layers[number:], weights)
            found.append(_signal(layer, kernel, _activated(behind)))
    return found


def _until_next(
    layers: Sequence[LayerRecord], weights: dict[str, WeightRecord]
) -> list[LayerRecord]:
    """A layer and those behind it that have no kernels."""
    for number, layer in enumerate(layers[1:], 1):
        if f"{layer.path}/kernel" in weights:
            return list(layers[:number])
    return list(layers)


def _activated(layers: Sequence[LayerRecord]) -> LayerRecord:
    """The layer that holds the activation: the first itself, or an activation layer behind it."""
    return next((la for la in layers if la.activation not in ("", "linear")), layers[0])


def _signal(layer: LayerRecord, kernel: WeightRecord, active: LayerRecord) -> Signal:
    weights = kernel.before.astype(np.float64)
    fan_in, fan_out = fans(weights.shape)
    usual = [2 / fan_in, 2 / (fan_in + fan_out), 1 / (3 * fan_in)]  # the last is PyTorch's
    spread = root_mean_square(weights)
    z, name = active.z, active.activation or "linear"
    inactive = flat = 0.0
    if z is not None and name in CUT_OFF:
        inactive = float((z.reshape(-1, z.shape[-1]) <= 0).all(axis=0).mean())
    if z is not None and name in FLAT_FROM:
        flat = float((np.abs(z) > FLAT_FROM[name]).mean())
    delta = active.delta
    alike = _same_columns(weights)
    return Signal(
        layer.path, layer.kind, name, weights.shape[-1],
        size=spread / math.sqrt(max(usual)),
        shortage=math.sqrt(min(usual)) / spread if spread else math.inf,
        inactive=inactive, flat=flat, alike=alike,
        together=alike and _same_columns(kernel.gradient, 1e-3),
        inputs=root_mean_square(layer.inputs), outputs=root_mean_square(active.a),
        delta=0.0 if delta is None else root_mean_square(delta),
    )  # fmt: skip


def _same_columns(values: Array, tolerance: float = 0.0) -> bool:
    """Whether there are several columns, all equal, but for this share of the largest value."""
    columns = values.reshape(-1, values.shape[-1]).astype(np.float64)
    if columns.shape[1] < 2:
        return False
    apart = np.abs(columns - columns[:, :1]).max()
    return bool(apart <= tolerance * np.abs(columns).max())


def root_mean_square(values: Array) -> float:
    """The root of the mean of the squares, in float64."""
    with np.errstate(all="ignore"):
        return float(np.sqrt(np.square(values.astype(np.float64)).mean())) if values.size else 0.0


def quoted(paths: Sequence[str]) -> str:
    """The paths in words, the first and the last of many."""
    names = [f"`{path}`" for path in paths]
    if len(names) > 3:
        return f"{names[0]} to {names[-1]}"
    return ", ".join(names[:-1]) + " and " * (len(names) > 1) + names[-1]
