"""Every gradient that an explanation shows, against differences of the loss in float64."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.backends.reference import every_value
from chainrule.graph.graph import Graph, Value
from chainrule.graph.widen import widened
from chainrule.tensor import Tensor
from chainrule.tensor.state import STATE, paused_tapes
from chainrule.tensor.trace import Trace
from chainrule.training.explanation.listening import listened
from chainrule.training.explanation.record import Recorder, StepRecord
from chainrule.training.step import TrainingStep, batch_loss

Array = NDArray[Any]

_STEP = 1e-5
_SHIFTS = (-2, -1, 0, 1, 2)
# Of each array so many entries are compared: the largest gradients and some others.
_LARGEST, _OTHERS = 4, 3
# A loss whose slope changes so much, relative to the gradient, over four steps has a corner there.
_CORNER = 1e-3


def largest_difference(recorder: Recorder, record: StepRecord) -> float:
    """The largest difference, relative to the largest gradient of its array, or to a hundredth of
    the largest of all of its kind where that is more: some gradients are zero.

    The graph of the loss is made again, in float64, and evaluated by the reference interpreter with
    one number changed up and down: of a weight, or of a zero that is added to a z or an a. At a
    corner, such as a tie of a maximum, every slope between those of its sides is right.
    """
    with recorder.as_it_was():
        graph, inputs, weights, added = _loss_graph(recorder.step, record)
    by_weight = [(weights[w.path], w.gradient) for w in record.weights]
    inside = [g for r in record.layers for g in ((r.da,) if r.z is None else (r.dz, r.da))]
    by_layer = [(v, g) for v, g in zip(added, inside, strict=True) if g is not None]
    arrays = dict(zip(graph.inputs, inputs, strict=True))
    generator = np.random.default_rng(0)

    def loss() -> float:
        return float(every_value(graph, inputs)[graph.outputs[0]])

    worst = 0.0
    for group in (by_weight, by_layer):
        least = max(1e-2 * max((_size(g) for _, g in group), default=0.0), 1e-30)
        for value, gradient in group:
            scale = max(_size(gradient), least)
            for place in _places(gradient, generator):
                slopes = _slopes(loss, arrays[value], place)
                worst = max(worst, _distance(float(gradient[place]), slopes, scale))
    return worst


def _size(gradient: Array) -> float:
    return float(np.abs(gradient).max(initial=0.0))


def _places(gradient: Array, generator: np.random.Generator) -> list[tuple[int, ...]]:
    flat = np.argsort(-np.abs(gradient).reshape(-1))[:_LARGEST].tolist()
    flat += generator.integers(0, gradient.size, _OTHERS).tolist() if gradient.size else []
    return [tuple(map(int, np.unravel_index(i, gradient.shape))) for i in dict.fromkeys(flat)]


def _slopes(loss: Callable[[], float], array: Array, place: tuple[int, ...]) -> list[float]:
    """The central difference of fourth order, then the slopes between neighbouring points; the
    array is as it was afterwards.
    """
    before = array[place]
    size = _STEP * max(1.0, abs(float(before)))
    losses = []
    for shift in _SHIFTS:
        array[place] = before + shift * size
        losses.append(loss())
    array[place] = before
    central = (losses[0] - 8 * losses[1] + 8 * losses[3] - losses[4]) / (12 * size)
    return [central, *(np.diff(losses) / size).tolist()]


def _distance(found: float, slopes: list[float], scale: float) -> float:
    """How far a gradient is from the slope, or at a corner from the slopes of its sides."""
    central, *pieces = slopes
    low, high = min(pieces), max(pieces)
    if high - low > _CORNER * scale:
        return max(low - found, found - high, 0.0) / scale
    return abs(found - central) / scale


def _loss_graph(
    step: TrainingStep, record: StepRecord
) -> tuple[Graph, list[Array], dict[str, Value], list[Value]]:
    """The loss alone as a graph in float64, its inputs, which of them each weight is, and which are
    added to each z and a, in the order of the record.
    """
    trace = Trace("loss")
    x = Tensor(trace.builder.input(record.x.shape, record.x.dtype))
    y = Tensor(trace.builder.input(record.y.shape, record.y.dtype))
    added: list[Value] = []

    def moved(value: Tensor) -> Tensor:
        added.append(trace.builder.input(value.shape, value.dtype))
        result = value + Tensor(added[-1])
        result.origin = value.origin
        return result

    STATE.trace = trace
    try:
        with paused_tapes(), listened(step.model, trace, moved):
            loss = batch_loss(step.model, step.loss, y, step.model(x, training=True), None)
    finally:
        STATE.trace = None
    graph = widened(trace.builder.finish([trace.lift(loss)]))
    zeros, variables = {id(value) for value in added}, iter(trace.variables)
    arrays, paths, places = [record.x, record.y], {}, []
    for mine, wide in zip(trace.builder.inputs[2:], graph.inputs[2:], strict=True):
        if id(mine) in zeros:
            places.append(wide)
            arrays.append(np.zeros(mine.shape, mine.dtype))
        else:
            variable = next(variables)
            paths[variable.path] = wide
            arrays.append(variable.numpy())
    inputs = [np.array(a, np.float64) if a.dtype.kind == "f" else np.asarray(a) for a in arrays]
    return graph, inputs, paths, places
