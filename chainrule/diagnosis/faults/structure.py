"""Faults of the family: the structure of the network.

All four are settled by a twin with the remedy. What keeps them apart: S1 and S3 follow from the
layers alone; S4 from a forward pass with and without dropout; S2, the vaguest, only counts where
the run does not fit its own training rows either, and a wider twin does.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.diagnosis import editing
from chainrule.diagnosis.case import Case
from chainrule.diagnosis.finding import Evidence, Fault, Remedy
from chainrule.diagnosis.measurements.signals import quoted, signals_at_start
from chainrule.diagnosis.recipe import Recipe
from chainrule.errors import ShapeError
from chainrule.nn import Layer
from chainrule.training.explanation.record import LayerRecord

#: S1: layers that leave a linear network linear. Others bend what passes, or may.
LINEAR = frozenset({
    "Dense", "Conv1D", "Conv2D", "Conv3D", "DepthwiseConv2D", "SeparableConv2D", "Flatten",
    "Reshape", "Activation", "Dropout", "SpatialDropout2D", "GaussianNoise", "BatchNormalization",
    "AveragePooling1D", "AveragePooling2D", "AveragePooling3D", "GlobalAveragePooling1D",
    "GlobalAveragePooling2D", "InputLayer", "Normalization", "Rescaling", "ZeroPadding2D",
})  # fmt: skip
#: S2: how much of the error on training rows a wider twin must take away, and how much wider it is.
LEAST_REDUCTION, WIDER = 0.25, 4
#: S2: a run that fits its training rows better than this is large enough.
FITTED_SKILL = 0.97
#: S2: so many units are few for any task; what a wider twin must gain then, in skill, and in
#: standard errors of the validation rows.
FEW_UNITS, LEAST_GAIN, LEAST_Z = 4, 0.01, 2.0
#: S3: places that a pooling layer must have had before it left one.
LEAST_PLACES = 9
#: S4: the smallest share dropped that is suspected.
DROPPED_SHARE = 0.6
#: S4: nobody drops so much on purpose, and the share that the remedy leaves.
NEARLY_ALL, USUAL_DROPOUT = 0.85, 0.2


# ---- S1


def no_activation(case: Case) -> Evidence | None:
    """S1: layers one behind another without an activation are one linear layer."""
    step, signals = case.at_start, signals_at_start(case)
    if step is None or len(signals) < 2:
        return None
    if any(la.kind not in LINEAR or la.activation not in ("", "linear") for la in step.layers[:-1]):
        return None
    hidden = [s.path for s in signals[:-1]]
    line = f'{signals[0].kind}(..., activation="relu")  # {quoted(hidden)}'
    relu = Remedy(line, "B", lambda recipe: editing.set_activation(recipe, hidden, "relu"))
    sentence = (
        f"The {len(signals)} layers {quoted([s.path for s in signals])} have no activation between "
        f"them, which makes them one linear layer."
    )
    return Evidence(0.95, sentence, (relu,), {"layer": hidden[0]}, certain=True)


# ---- S2


def too_small(case: Case) -> Evidence | None:
    """S2: the network cannot fit its training rows, and a wider one can."""
    if not editing.is_sequential(case.first) or not (widths := hidden_widths(case)):
        return None
    path, narrow = min(widths, key=lambda pair: pair[1])
    fitted = case.training_skill
    if fitted > (FITTED_SKILL if narrow > FEW_UNITS else 0.995):
        return None
    other = case.skill(case.reseeded.model, training=True)
    best = max(fitted, other) if math.isfinite(other) else fitted
    factor = max(WIDER, math.ceil(8 / narrow))
    wider = Remedy(
        f"make the hidden layers {factor} times as wide  # `{path}`: {narrow * factor} units",
        "B",
        lambda recipe: editing.with_widths(recipe, factor),
    )
    assert wider.apply is not None
    twin = case.twin(wider.apply(case.short), f"S2: {wider.line}")
    if not math.isfinite(twin.training_skill) or not best > -1:
        return None
    reduction = 1 - (1 - twin.training_skill) / max(1 - best, 1e-9)
    if reduction < LEAST_REDUCTION:
        return None
    sentence = (
        f"`{path}` has {narrow} units, and the run does not fit its own training rows "
        f"(score {fitted:.2f}); {factor} times wider, the error on them is {reduction:.0%} smaller."
    )
    # Few units are dead by chance, which another seed shows: that is no reason to doubt.
    clear = narrow <= FEW_UNITS and twin.gain > LEAST_GAIN and twin.z > LEAST_Z
    return Evidence(
        _strength_of_width(narrow), sentence, (wider,), {"layer": path},
        settled=clear, gain=twin.gain,
    )  # fmt: skip


def _strength_of_width(units: int) -> float:
    """The fewer units, the likelier that they are too few: 0.9 for two, 0.6 for eight."""
    return float(np.clip(1.05 - 0.15 * math.log2(max(units, 1)), 0.5, 0.95))


def hidden_widths(case: Case) -> list[tuple[str, int]]:
    """Path and width of each layer that has a width, but the last and embeddings."""
    found = [
        (path, width)
        for path, layer in case.first.named_layers()
        if (width := editing.width_of(layer)) is not None
    ]
    return [(path, width) for path, width in found[:-1]]


# ---- S3


def collapsed(case: Case) -> Evidence | None:
    """S3: a window larger than what it looks at, or a pooling that leaves one place of many."""
    refused = _window_too_large(case)
    if refused is not None:
        return refused
    step = None if case.refused else case.at_start
    for layer in () if step is None else step.layers:
        before, after = _places(layer.inputs), _places(layer.a)
        pools = layer.kind.startswith(("MaxPooling", "AveragePooling"))
        if pools and after == 1 and before >= LEAST_PLACES:
            return _pooled_away(case, layer, before)
    return None


def _places(values: np.ndarray[Any, Any]) -> int:
    return math.prod(values.shape[1:-1])


def _pooled_away(case: Case, layer: LayerRecord, before: int) -> Evidence:
    channels = layer.a.shape[-1]
    sentence = (
        f"`{layer.path}` leaves 1 of {before} places: only {channels} numbers of "
        f"{before * channels} go on, and where something is in the input is lost."
    )
    path = layer.path
    removed = Remedy(
        f"leave `{path}` out", "B", lambda recipe: editing.remove_layers(recipe, [path])
    )
    smaller = Remedy(
        f"{layer.kind}(2)  # `{path}`",
        "B",
        lambda recipe: editing.configure(recipe, [path], pool_size=2, strides=2),
    )
    remedies = (removed, smaller) if before * channels <= 10_000 else (smaller, removed)
    sequential = editing.is_sequential(case.first)
    given = remedies if sequential else tuple(Remedy(r.line, "B") for r in remedies)
    return Evidence(0.95, sentence, given, {"layer": path}, certain=True)


def _window_too_large(case: Case) -> Evidence | None:
    """Follow the shapes to the first layer whose window does not fit into its input."""
    model = case.recipe.make()
    if not editing.is_sequential(model) or not isinstance(case.x, np.ndarray):
        return None
    shape: Any = (None, *case.x.shape[1:])
    for path, layer in model.named_layers():
        window, sides = _window(layer), list(shape[1:-1])
        if window is not None and len(window) == len(sides):
            reach = [1 + (w - 1) * g for w, g in zip(window, _gaps(layer), strict=True)]
            large = any(w > side for w, side in zip(reach, sides, strict=True))
            if large and _refuses(layer, shape):
                return _too_large(path, layer, window, sides)
        try:
            shape = layer.compute_output_shape(shape)
        except ShapeError:
            return None
    return None


def _window(layer: Layer) -> tuple[int, ...] | None:
    given = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
    return given if isinstance(given, tuple) else None


def _gaps(layer: Layer) -> tuple[int, ...]:
    window = _window(layer) or ()
    return getattr(layer, "dilation_rate", (1,) * len(window))


def _refuses(layer: Layer, shape: Any) -> bool:
    try:
        layer.compute_output_shape(shape)
    except ShapeError:
        return True
    return False


def _too_large(path: str, layer: Layer, window: Sequence[int], sides: Sequence[int]) -> Evidence:
    name = "kernel_size" if hasattr(layer, "kernel_size") else "pool_size"
    fitting = tuple(min(w, 3, side) for w, side in zip(window, sides, strict=True))
    sentence = (
        f"The window of `{path}` is {_by(window)}, but what comes in is only {_by(sides)}: it fits "
        "nowhere."
    )

    def fit(recipe: Recipe) -> Recipe:
        return editing.configure(recipe, [path], **{name: fitting, "padding": "same"})

    line = f'{type(layer).__name__}(..., {name}={fitting}, padding="same")  # `{path}`'
    return Evidence(0.99, sentence, (Remedy(line, "B", fit),), {"layer": path}, settled=True)


def _by(sizes: Sequence[int]) -> str:
    return " x ".join(str(size) for size in sizes)


# ---- S4


def dropped(case: Case) -> Evidence | None:
    """S4: dropout takes away so much that even the training rows are not learnt."""
    rates = {
        path: max(editing.dropping(layer).values(), default=0.0) for path, layer in case.layers
    }
    high = {path: rate for path, rate in rates.items() if rate >= DROPPED_SHARE}
    if not high:
        return None
    path, rate = max(high.items(), key=lambda pair: pair[1])
    usual = Remedy(
        f"Dropout({USUAL_DROPOUT})  # {quoted(list(high))}",
        "A",
        lambda recipe: editing.set_dropout(recipe, USUAL_DROPOUT, list(high)),
    )
    assert usual.apply is not None
    twin = case.twin(usual.apply(case.short), f"S4: {usual.line}")
    sentence = (
        f"`{path}` drops {rate:.0%} of its values in each training step: the score on the training "
        f"rows is {case.training_skill:.2f}; with {USUAL_DROPOUT:.0%} it is "
        f"{twin.training_skill:.2f}."
    )
    strength = 0.6 + 0.35 * float(np.clip((rate - DROPPED_SHARE) / 0.25, 0, 1))
    return Evidence(strength, sentence, (usual,), {"layer": path}, certain=rate >= NEARLY_ALL)


FAULTS: tuple[Fault, ...] = (
    Fault(
        "S1", "no activation between layers", "structure",
        "all layers are linear, and relu between them is better",
        no_activation, explains=("S2", "O2", "O3", "D10"), cost=1,
    ),
    Fault(
        "S2", "network too small", "structure",
        f"{WIDER} times wider, the error on training rows is {LEAST_REDUCTION:.0%} smaller",
        too_small, cost=2,
    ),
    Fault(
        "S3", "map or kernel collapses", "structure",
        f"a window larger than its input, or pooling from {LEAST_PLACES} places or more to one",
        collapsed, explains=("S2", "O2", "O3", "D10"), cost=0,
    ),
    Fault(
        "S4", "too much dropout", "structure",
        f"{DROPPED_SHARE:.0%} or more dropped, and {USUAL_DROPOUT:.0%} is better",
        dropped, explains=("S2", "O2", "O3", "D10"), cost=2,
    ),
)  # fmt: skip
