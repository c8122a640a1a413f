"""Faults of the family: numbers that overflow or are not defined, and wrong derivatives."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import losses
from chainrule.backends.reference import every_value
from chainrule.diagnosis.case import Case
from chainrule.diagnosis.finding import Evidence, Fault, Remedy
from chainrule.diagnosis.measurements.heads import head_of
from chainrule.diagnosis.measurements.loss_forms import is_own, takes, written_by_user
from chainrule.graph.widen import widened
from chainrule.nn import Layer
from chainrule.nn.contents import walk
from chainrule.tensor import GradientTape, Tensor, functions, tensor
from chainrule.tensor.state import STATE, paused_tapes
from chainrule.tensor.trace import Trace
from chainrule.training.nonfinite import Origin

Array = NDArray[Any]

#: Functions that are not defined, or overflow, for numbers of ordinary size.
UNSAFE = {
    "log": "cr.log(cr.maximum(x, 1e-7)), or a loss of the library, which starts from logits",
    "log1p": "cr.log1p(cr.maximum(x, -1 + 1e-7))",
    "divide": "divide by cr.maximum(x, 1e-7), or add 1e-7 to it",
    "sqrt": "cr.sqrt(cr.maximum(x, 0) + 1e-12)",
    "rsqrt": "cr.rsqrt(x + 1e-7)",
    "power": "keep the base above 0 with cr.maximum(x, 1e-7)",
    "exp": "subtract the largest value first, or cr.exp(cr.minimum(x, 80))",
    "expm1": "cr.expm1(cr.minimum(x, 80))",
}
#: Inputs up to this size are ordinary, and weights that grew no more than so many times.
ORDINARY, MOST_GROWTH = 1e6, 30.0

#: A derivative is wrong from this relative error on.
WRONG = 1e-2
_STEP, _ROWS, _DIRECTIONS = 1e-5, 8, 3


# ---- N1: functions that are not safe


def _unsafe(case: Case) -> Evidence | None:
    origin = None if case.history is None else case.history.origin
    if origin is None or not case.not_finite or not case.usable or origin.operation not in UNSAFE:
        return None
    sizes = np.abs(np.array(origin.inputs, np.float64))
    ordinary = bool(np.isfinite(sizes).all() and (sizes < ORDINARY).all())
    if not ordinary or _growth(case) > MOST_GROWTH or not _by_user(case, origin):
        return None
    given = " and ".join(f"{number:.6g}" for number in origin.inputs) or "finite numbers"
    where = f"`{origin.layer}`" if origin.layer else f"the loss {_loss_name(case)!r}"
    row = "" if origin.row is None else f", for row {origin.row}"
    sentence = (
        f"`{origin.operation}` in {where} got {given} and gave {origin.result:g} in step "
        f"{origin.step} of epoch {origin.epoch}{row}; weights and data were of ordinary size."
    )
    place: dict[str, Any] = {"operation": origin.operation, "step": origin.step}
    if origin.layer:
        place["layer"] = origin.layer
    if origin.row is not None:
        place["rows"] = [origin.row]
    remedies = (*_safe_loss(case, origin), Remedy(f"{UNSAFE[origin.operation]}", "N"))
    return Evidence(0.99, sentence, remedies, place, settled=True)


def _loss_name(case: Case) -> str:
    return "" if case.loss is None else case.loss.name


def _growth(case: Case) -> float:
    """How many times the weights have grown since the beginning."""
    first = {v.path: v.numpy() for v in case.first.trainable_variables}
    before = np.sqrt(np.mean([float(np.square(v).mean()) for v in first.values()] or [1.0]))
    now = [float(np.square(v.numpy()).mean()) for v in case.model.trainable_variables]
    return float(np.sqrt(np.mean(now or [1.0])) / max(before, 1e-3))


def _by_user(case: Case, origin: Origin) -> bool:
    """Whether the function stands in code of the user's; that of the library is guarded."""
    if not origin.layer:
        own_loss = case.loss is not None and written_by_user(case.loss)
        return own_loss or is_own(type(case.first))
    layer = dict(case.layers).get(origin.layer)
    return layer is None or _has_own_code(layer) or _activation_name(layer) == "exponential"


def _activation_name(layer: Layer) -> str:
    return getattr(layer.__dict__.get("activation"), "__name__", "")


def _has_own_code(layer: Layer) -> bool:
    activation = layer.__dict__.get("activation")
    return is_own(type(layer)) or (callable(activation) and is_own(activation))


def _safe_loss(case: Case, origin: Origin) -> tuple[Remedy, ...]:
    """The library's loss where the user's own is a cross-entropy of probabilities."""
    taken, given = takes(case)
    head = head_of(case)
    if origin.layer or head is None or (taken, given) != ("probabilities", "probabilities"):
        return ()
    name = "binary_cross_entropy" if head.width == 1 else "cross_entropy"
    known = head.activation in ("softmax", "sigmoid")
    loss: Any = name if known else losses.get(name, from_logits=False)
    return (Remedy(f"loss={loss!r}", "B", lambda recipe: recipe.with_settings(loss=loss)),)


# ---- N2: derivatives


@dataclass(frozen=True)
class Check:
    """A derivative beside central differences.

    Attributes:
        of: what it is with respect to: ``"inputs"`` or the path of a weight.
        given, numeric: the slopes along some random directions.
    """

    of: str
    given: Array
    numeric: Array

    @property
    def wrong(self) -> bool:
        """Whether all directions say so. Where the function is flat all over, as rounding is, a
        derivative of one's own is meant to be another one.
        """
        size = np.maximum(np.abs(self.given), np.abs(self.numeric))
        flat = np.abs(self.numeric) <= 1e-9 * np.abs(self.given)
        return bool((np.abs(self.given - self.numeric) > WRONG * size).all() and not flat.any())

    def describe(self) -> str:
        """The ratio where it is one number, else the largest difference."""
        ratios = self.given / self.numeric
        if np.ptp(ratios) < 0.01 * np.abs(ratios).max():
            return f"is {ratios.mean():.3g} times the numeric one"
        low, high = ratios.min(), ratios.max()
        return f"is between {low:.2g} and {high:.2g} times the numeric one"


def _wrong_derivative(case: Case) -> Evidence | None:
    if case.loss is None or not case.usable:
        return None
    for path, kind, check in _checks(case):
        if not check.wrong:
            continue
        what = "inputs" if check.of == "inputs" else f"`{check.of}`"
        name = f"`{path}` ({kind})" if path else f"the loss {kind!r}"
        sentence = (
            f"The derivative of {name} by its {what} {check.describe()}, measured by differences "
            f"in float64 along {len(check.given)} directions."
        )
        remedy = Remedy(f"{kind}: correct the gradient, and test it with cr.testing", "N")
        place = {"layer": path} if path else {"operation": kind}
        return Evidence(0.99, sentence, (remedy,), place, settled=True)
    return None


def _checks(case: Case) -> Iterator[tuple[str, str, Check]]:
    """The checks of everything that the user wrote: path and class of a layer, or "" and the name
    of the loss; what is inside of others first.
    """
    own = [p for p in walk(case.first) if p.layer is not case.first and _has_own_code(p.layer)]
    whole = is_own(type(case.first))
    record = case.at_start if own or whole else None
    if record is not None:
        inputs = {layer.path: layer.inputs for layer in record.layers}
        for place in sorted(own, key=lambda p: -p.depth):
            if place.path in inputs and inputs[place.path].dtype.kind == "f":
                layer, kind = copy.deepcopy(place.layer), type(place.layer).__name__
                for check in _check(partial(layer, training=False), inputs[place.path]):
                    yield place.path, kind, check
        if whole and record.x.dtype.kind == "f":
            model, kind = copy.deepcopy(case.first), type(case.first).__name__
            for check in _check(partial(model, training=False), record.x):
                yield model.name, kind, check
    loss = case.loss
    if loss is not None and written_by_user(loss) and case.at_start is not None:
        targets, outputs = case.at_start.y[:_ROWS], case.at_start.outputs[:_ROWS]
        points = [outputs]
        if targets.shape == outputs.shape and targets.dtype.kind == "f":
            points.append(np.roll(targets, 1, axis=0))  # on both sides of the targets
        for point in points:
            for check in _check(partial(loss, tensor(targets)), point):
                yield "", loss.name, check


def _check(function: Callable[[Tensor], Any], x: Array) -> list[Check]:
    """The derivatives of a function, by its input and by each variable, beside differences."""
    x = x[:_ROWS]
    generator = np.random.default_rng(0)
    trace = Trace("check")
    entered = Tensor(trace.builder.input(x.shape, x.dtype))
    STATE.trace = trace
    try:
        with paused_tapes(), GradientTape() as tape:
            tape.watch(entered)
            outputs = function(entered)
            if not isinstance(outputs, Tensor) or outputs.dtype.kind != "f":
                return []
            # Small weights: gradients that are clipped on purpose stay within their limits.
            weights = tensor(generator.normal(0, 0.01, outputs.shape).astype(outputs.dtype))
            total = functions.sum(outputs * weights)
        variables = [v for v in trace.variables if v.dtype.kind == "f"]
        found = tape.gradient(total, [entered, *variables])
        kept = [i for i, g in enumerate(found) if g is not None]
        graph = widened(trace.builder.finish([trace.lift(g) for g in (total, *_there(found))]))
    finally:
        STATE.trace = None
    arrays = [x, *(v.numpy() for v in trace.variables)]
    arrays = [a.astype(np.float64) if a.dtype.kind == "f" else a for a in arrays]
    # Away from corners such as that of relu at 0, and not below 0, where a root would not be one.
    arrays[0] = arrays[0] + abs(generator.normal(0, 0.01, x.shape))
    places = [0, *(i + 1 for i, v in enumerate(trace.variables) if v.dtype.kind == "f")]
    names = ["inputs", *(v.path for v in variables)]
    values = every_value(graph, arrays)
    gradients = [values[v] for v in graph.outputs[1:]]

    def loss(place: int, moved: Array) -> float:
        changed = [moved if i == place else a for i, a in enumerate(arrays)]
        return float(every_value(graph, changed)[graph.outputs[0]])

    checks = []
    for i, gradient in zip(kept, gradients, strict=True):
        slopes = _slopes(partial(loss, places[i]), arrays[places[i]], gradient)
        if slopes is not None:
            checks.append(Check(names[i], *slopes))
    return checks


def _there(found: list[Tensor | None]) -> list[Tensor]:
    return [gradient for gradient in found if gradient is not None]


def _slopes(
    loss: Callable[[Array], float], at: Array, gradient: Array
) -> tuple[Array, Array] | None:
    """The slopes along random directions by a gradient and by differences; None where there is no
    slope, or too small a one to be measured.
    """
    generator = np.random.default_rng(1)
    given, numeric = [], []
    for _ in range(3 * _DIRECTIONS):
        direction = generator.normal(size=at.shape)
        before, here, after = (loss(at + h * direction) for h in (-_STEP, 0.0, _STEP))
        left, right, both = here - before, after - here, (after - before) / 2
        slope = float((gradient * direction).sum())
        size = max(abs(both) / _STEP, abs(slope))
        if size > 1e-7 and abs(right - left) < 0.1 * WRONG * size * _STEP:  # no corner
            given.append(slope)
            numeric.append(both / _STEP)
        if len(given) == _DIRECTIONS:
            return np.array(given), np.array(numeric)
    return None


FAULTS: tuple[Fault, ...] = (
    Fault(
        "N1", "a function that is not safe", "activation and loss",
        "the first number that is not finite came from log, a division, sqrt or exp in the user's "
        "own code, from finite numbers under 1e6 and weights that grew less than 30 times", _unsafe,
        explains=("O1", "V2", "V6", "D3", "D4"), cost=0,
    ),
    Fault(
        "N2", "a wrong derivative", "activation and loss",
        "the derivative of an own layer or loss is 1 % off central differences in float64",
        _wrong_derivative, explains=("S2", "O1", "O2", "V1", "V2"), cost=1,
    ),
)  # fmt: skip
