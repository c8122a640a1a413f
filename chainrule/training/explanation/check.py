"""Every gradient that an explanation shows, against differences of the loss in float64."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.backends.reference import every_value
from chainrule.graph.graph import Graph, Value
from chainrule.graph.widen import widened
from chainrule.tensor import Tensor
from chainrule.tensor.state import STATE, paused_tapes
from chainrule.tensor.trace import Trace
from chainrule.training.explanation.record import StepRecord
from chainrule.training.step import TrainingStep, batch_loss

_STEP = 1e-5
# Of each array so many entries are compared: the largest gradients and some others.
_LARGEST, _OTHERS = 6, 4


def largest_difference(step: TrainingStep, record: StepRecord) -> float:
    """The largest difference, relative to the largest gradient of its array, or to a hundredth of
    the largest of all where that is more: some gradients are zero.

    The graph of the loss is made again, in float64, and evaluated by the reference interpreter with
    one number of a weight changed up and down.
    """
    graph, inputs, weights = _loss_graph(step, record)
    generator = np.random.default_rng(0)
    worst = 0.0
    least = 1e-2 * max(float(np.abs(w.gradient).max(initial=0.0)) for w in record.weights)
    least = max(least, 1e-30)
    for w in record.weights:
        value = weights[w.path]
        array = inputs[graph.inputs.index(value)]
        places = _places(w.gradient, generator)
        scale = max(float(np.abs(w.gradient).max(initial=0.0)), least)
        for place in places:
            found = float(w.gradient[place])
            worst = max(worst, abs(found - _slope(graph, inputs, array, place)) / scale)
    return worst


def _places(gradient: NDArray[Any], generator: np.random.Generator) -> list[tuple[int, ...]]:
    flat = np.argsort(-np.abs(gradient).reshape(-1))[:_LARGEST].tolist()
    flat += generator.integers(0, gradient.size, _OTHERS).tolist() if gradient.size else []
    return [tuple(map(int, np.unravel_index(i, gradient.shape))) for i in dict.fromkeys(flat)]


def _slope(
    graph: Graph, inputs: list[NDArray[Any]], array: NDArray[Any], place: tuple[int, ...]
) -> float:
    """The central difference of fourth order; the array is as it was afterwards."""
    before = array[place]
    size = _STEP * max(1.0, abs(float(before)))
    losses = []
    for shift in (-2, -1, 1, 2):
        array[place] = before + shift * size
        losses.append(float(every_value(graph, inputs)[graph.outputs[0]]))
    array[place] = before
    return (losses[0] - 8 * losses[1] + 8 * losses[2] - losses[3]) / (12 * size)


def _loss_graph(
    step: TrainingStep, record: StepRecord
) -> tuple[Graph, list[NDArray[Any]], dict[str, Value]]:
    """The loss alone as a graph in float64, its inputs, and which of them each weight is."""
    trace = Trace("loss")
    x = Tensor(trace.builder.input(record.x.shape, record.x.dtype))
    y = Tensor(trace.builder.input(record.y.shape, record.y.dtype))
    STATE.trace = trace
    try:
        with paused_tapes():
            loss = batch_loss(step.model, step.loss, y, step.model(x, training=True), None)
    finally:
        STATE.trace = None
    graph = widened(trace.builder.finish([trace.lift(loss)]))
    arrays = [record.x, record.y, *(v.value.numpy() for v in trace.variables)]
    inputs = [np.array(a, np.float64) if a.dtype.kind == "f" else a for a in arrays]
    paths = [variable.path for variable in trace.variables]
    return graph, inputs, dict(zip(paths, graph.inputs[2:], strict=True))
