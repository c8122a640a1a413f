"""Faults of the family: activations and first weights.

Many of these faults show the same symptoms, such as gradients that vanish. So one decision names
the cause, from the first step alone (the first weights, before anything is learnt), in this order:

1. V5: the units of a hidden layer have equal weights. Nothing else can be judged then.
2. V2: five hidden layers or more, and the gradient of the first is 70 times that of the last or
   more: each layer may be off by little, the depth multiplies it. (In deep relu networks many units
   are never active; where gradients grow on their way back, that is not what is wrong.)
3. V3: most units of a hidden layer that is cut off below 0 are 0 for every row. Their gradients are
   exactly 0, so no rate and no more epochs would help.
4. V4: most values of a hidden layer lie in the flat ends of its activation, and its own weights or
   biases are why. (If its inputs are why, that is D3.)
5. V1: four hidden layers or more, and the gradient of the first is a thousandth of that of the last
   or less, through the activation function (one with two flat ends) or through depth.
6. V6: weights more than 3 times larger, or 4 times smaller, than any usual first values. Only
   weights are compared, not the first loss: that is also high where inputs (D3) or targets (D4) are
   off.

The learning rate (O1, O2) is a cause only if none of these is confirmed: a rate that suits badly
chosen first weights is no cure for them.
"""

from collections.abc import Sequence

from chainrule.diagnosis import editing
from chainrule.diagnosis.case import Case
from chainrule.diagnosis.finding import Evidence, Fault, Remedy
from chainrule.diagnosis.measurements.signals import FLAT_FROM, Signal, quoted, signals_at_start
from chainrule.diagnosis.recipe import Recipe
from chainrule.nn.layers import LayerNormalization

#: V3: the share of a layer's units that are 0 for every row, of so many units at least: the only
#: unit of a layer is 0 by chance.
INACTIVE_SHARE, LEAST_UNITS = 0.6, 4
#: V3: so few units that are left cannot do for a layer.
FEW_ACTIVE = 4
#: V4: the share of a layer's values in the flat ends; the lower one if its weights are too large.
FLAT_SHARE, FLAT_SHARE_LARGE = 0.5, 0.2
#: V4: inputs beyond this are why values are large.
LARGE_INPUTS = 5.0
#: V2: gradient of the first hidden layer against the last, and layers at least.
EXPLODING_RATIO, EXPLODING_DEPTH = 70.0, 5
#: V1: the same.
VANISHING_RATIO, VANISHING_DEPTH = 1e-3, 4
#: V6: times too large, and too small.
TOO_LARGE, TOO_SMALL = 3.0, 4.0


def cause(case: Case) -> tuple[str, list[Signal]]:
    """The code of the fault that the first step shows, and the layers where it is; "" if none."""
    return case.once("first weights", lambda: _cause(signals_at_start(case)))


def _cause(signals: Sequence[Signal]) -> tuple[str, list[Signal]]:
    hidden = list(signals[:-1])
    flat = [s for s in hidden if _saturated(s)]
    for code, found in (
        ("V5", [s for s in hidden if s.alike]),
        ("V2", hidden if _ratio(hidden, EXPLODING_DEPTH) > EXPLODING_RATIO else []),
        ("V3", [s for s in hidden if s.inactive >= INACTIVE_SHARE and s.units >= LEAST_UNITS]),
        ("V4", flat),
        ("V1", hidden if _vanishes(hidden) else []),
        ("V6", _unusual(signals)),
    ):
        if found:
            return code, found
    return "", []


def _saturated(signal: Signal) -> bool:
    if signal.size > TOO_LARGE:
        return signal.flat >= FLAT_SHARE_LARGE
    return signal.flat >= FLAT_SHARE and signal.inputs < LARGE_INPUTS


def _ratio(hidden: Sequence[Signal], depth: int) -> float:
    """The gradient of the first hidden layer against the last; 1 for fewer layers than this."""
    if len(hidden) < depth or hidden[-1].delta == 0:
        return 1.0
    return hidden[0].delta / hidden[-1].delta


def _vanishes(hidden: Sequence[Signal]) -> bool:
    in_order = all(s.shortage <= TOO_SMALL for s in hidden)
    bounded = sum(s.activation in FLAT_FROM for s in hidden) >= VANISHING_DEPTH
    return (bounded or in_order) and _ratio(hidden, VANISHING_DEPTH) < VANISHING_RATIO


def _unusual(signals: Sequence[Signal]) -> list[Signal]:
    """The layers with weights of unusual size; a last layer that begins near 0 alone is healthy."""
    found = [s for s in signals if s.size > TOO_LARGE or s.shortage > TOO_SMALL]
    return [] if found == list(signals[-1:]) and found[0].size <= TOO_LARGE else found


# ---- remedies


def with_usual_weights(recipe: Recipe, signals: Sequence[Signal], biases: bool = False) -> Recipe:
    """He's first values for layers that are cut off below 0, Glorot's for the others."""
    extra = {"bias": "zeros"} if biases else {}
    cut = [s.path for s in signals if s.activation.endswith("elu")]
    other = [s.path for s in signals if s.path not in cut]
    recipe = editing.set_initializer(recipe, {"kernel": "he_normal", **extra}, cut)
    return editing.set_initializer(recipe, {"kernel": "glorot_uniform", **extra}, other)


def _usual_weights(signals: Sequence[Signal], biases: bool = False) -> Remedy:
    name = "he_normal" if signals[0].activation.endswith("elu") else "glorot_uniform"
    more = ', bias_initializer="zeros"' if biases else ""
    return Remedy(
        f'{signals[0].kind}(..., kernel_initializer="{name}"{more})  # {_named(signals)}',
        "A",
        lambda recipe: with_usual_weights(recipe, signals, biases),
    )


def _relu(signals: Sequence[Signal]) -> Remedy:
    """Relu instead of the layers' activation, with first weights to suit it."""
    paths = [s.path for s in signals]

    def apply(recipe: Recipe) -> Recipe:
        recipe = editing.set_activation(recipe, paths, "relu")
        return editing.set_initializer(recipe, {"kernel": "he_normal", "bias": "zeros"}, paths)

    line = f'{signals[0].kind}(..., activation="relu", kernel_initializer="he_normal")'
    return Remedy(f"{line}  # {_named(signals)}", "B", apply)


def _named(signals: Sequence[Signal]) -> str:
    return quoted([s.path for s in signals])


# ---- probes


def alike(case: Case) -> Evidence | None:
    """V5: all units of a hidden layer begin alike."""
    code, found = cause(case)
    if code != "V5":
        return None
    first = found[0]
    same = first.together
    kept = "and get the same updates, so they stay one unit" if same else "and begin as one unit"
    sentence = f"All {first.units} units of `{first.path}` begin with the same weights {kept}."
    return Evidence(
        0.97 if same else 0.9, sentence, (_usual_weights(found),), {"layer": first.path},
        settled=same, certain=True,
    )  # fmt: skip


def inactive(case: Case) -> Evidence | None:
    """V3: units that are 0 for every row."""
    code, found = cause(case)
    if code != "V3":
        return None
    first = found[0]
    count = round(first.inactive * first.units)
    sentence = (
        f"{count} of {first.units} units of `{first.path}` are 0 for every row before training "
        "begins: no gradient reaches their weights, so they cannot learn."
    )
    leaky = Remedy(
        f'{first.kind}(..., activation="leaky_relu")',
        "B",
        lambda recipe: editing.set_activation(recipe, [s.path for s in found], "leaky_relu"),
    )
    remedies = (_usual_weights(found, biases=True), leaky)
    # A few live units of many may do.
    certain = first.units - count < FEW_ACTIVE
    strength = 0.6 + 0.35 * first.inactive
    return Evidence(strength, sentence, remedies, {"layer": first.path}, certain=certain)


def saturated(case: Case) -> Evidence | None:
    """V4: values in the flat ends of a sigmoid or tanh."""
    code, found = cause(case)
    if code != "V4":
        return None
    first = found[0]
    large = first.size > TOO_LARGE
    why = f"; its first weights are {first.size:.0f} times too large" if large else ""
    sentence = (
        f"{first.flat:.0%} of the values of `{first.path}` lie where {first.activation} is flat "
        f"before training begins, so that hardly any gradient comes through{why}."
    )
    weights, relu = _usual_weights(found, biases=True), _relu(found)
    # A sigmoid learns slowly from usual first weights too.
    remedies = (weights, relu) if large and first.activation == "tanh" else (relu, weights)
    strength = 0.95 if large else 0.7
    return Evidence(strength, sentence, remedies, {"layer": first.path}, certain=True)


def exploding(case: Case) -> Evidence | None:
    """V2: the gradient grows from layer to layer."""
    code, hidden = cause(case)
    if code != "V2":
        return None
    ratio = _ratio(hidden, EXPLODING_DEPTH)
    growth = ratio ** (1 / (len(hidden) - 1))
    first, last = hidden[0], hidden[-1]
    sentence = (
        f"The gradient grows {growth:.1f}-fold from layer to layer on its way back: at "
        f"`{first.path}` it is {ratio:,.0f} times that at `{last.path}`, so no learning rate suits "
        "both."
    )
    norm = Remedy(
        "LayerNormalization()  # behind each hidden layer",
        "B",
        lambda recipe: editing.insert_after(recipe, [s.path for s in hidden], LayerNormalization),
    )
    remedies = (_usual_weights(hidden), norm)
    return Evidence(0.95, sentence, remedies, {"layer": first.path}, certain=True)


def vanishing(case: Case) -> Evidence | None:
    """V1: the gradient shrinks from layer to layer."""
    code, hidden = cause(case)
    if code != "V1":
        return None
    ratio = _ratio(hidden, VANISHING_DEPTH)
    shrink = ratio ** (-1 / (len(hidden) - 1)) if ratio else float("inf")
    first, last = hidden[0], hidden[-1]
    sentence = (
        f"The gradient shrinks {shrink:.1f}-fold from layer to layer on its way back: "
        f"`{first.path}` gets {ratio:.0e} of what `{last.path}` gets, so the first of "
        f"{len(hidden)} hidden layers hardly learn."
    )
    remedies = (_relu(hidden),)
    return Evidence(0.95, sentence, remedies, {"layer": first.path}, certain=True)


def first_weights(case: Case) -> Evidence | None:
    """V6: first weights far from all usual ones."""
    code, found = cause(case)
    if code != "V6":
        return None
    worst = max(found, key=lambda s: max(s.size, s.shortage))
    large = worst.size > TOO_LARGE
    times = worst.size if large else worst.shortage
    word = "larger" if large else "smaller"
    sentence = (
        f"The first weights of {_named(found)} are up to {times:,.0f} times {word} than usual for "
        "their numbers of inputs and outputs"
    )
    all_signals = signals_at_start(case)
    sentence += (
        f": what comes in with size {all_signals[0].inputs:.2g} goes out with "
        f"{all_signals[-1].outputs:.2g}."
    )
    strength = 0.95 if times > 8 else 0.85
    remedies = (_usual_weights(found),)
    return Evidence(strength, sentence, remedies, {"layer": worst.path}, certain=True)


FAULTS: tuple[Fault, ...] = (
    Fault(
        "V1", "vanishing gradients", "activation and loss",
        f"gradient of the first hidden layer / last < {VANISHING_RATIO}, through the activation",
        vanishing, explains=("O1", "O2", "O3", "S2", "G1", "D10"), cost=1,
    ),
    Fault(
        "V2", "exploding gradients", "initial weights",
        f"gradient of the first hidden layer / last > {EXPLODING_RATIO:.0f}",
        exploding, explains=("O1", "O2", "O3", "S2", "N1", "D4", "D10"), cost=1,
    ),
    Fault(
        "V3", "units that are never active", "initial weights",
        f"{INACTIVE_SHARE:.0%} of a layer's units are 0 for every row",
        inactive, explains=("O1", "O2", "O3", "S2", "D10"), cost=1,
    ),
    Fault(
        "V4", "saturated activations", "activation and loss",
        f"{FLAT_SHARE:.0%} of a layer's values where its function is flat",
        saturated, explains=("O1", "O2", "O3", "S2", "G1", "D10"), cost=1,
    ),
    Fault(
        "V5", "all units begin alike", "initial weights",
        "equal columns in a hidden kernel and in its gradient",
        alike, explains=("S1", "S2", "O1", "O2", "O3", "V3", "V6", "D10"), cost=1,
    ),
    Fault(
        "V6", "first weights too large or too small", "initial weights",
        f"{TOO_LARGE:.0f} times larger or {TOO_SMALL:.0f} times smaller than He, Glorot and LeCun",
        first_weights, explains=("O1", "O2", "O3", "S2", "D4", "N1", "G1", "D10"), cost=1,
    ),
)  # fmt: skip
