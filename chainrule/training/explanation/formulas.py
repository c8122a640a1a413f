"""Losses and update rules as formulas with numbers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.losses import Loss
from chainrule.optimizers import SGD, Optimizer
from chainrule.training.explanation.origins import Origins
from chainrule.training.explanation.pieces import Number, Piece
from chainrule.training.explanation.record import StepRecord

_MOST_TERMS = 4
# A formula is shown only where its value is that of the step.
_CLOSE = 1e-3

_ADAM = (
    "m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;  "
    "w <- w - rate * (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)"
)
_RULES = {
    "sgd": "w <- w - rate * dL/dw",
    "momentum": "v <- m v + dL/dw;  w <- w - rate * v",
    "nesterov": "v <- m v + dL/dw;  w <- w - rate * (dL/dw + m v)",
    "adam": _ADAM,
    "adamw": _ADAM,
    "rmsprop": "v <- r v + (1 - r) g^2;  w <- w - rate * g / (sqrt(v) + eps)",
    "adagrad": "v <- v + g^2;  w <- w - rate * g / (sqrt(v) + eps)",
    "lion": "w <- w - rate * sign(b1 m + (1 - b1) g);  m <- b2 m + (1 - b2) g",
}


def update_rule(optimizer: Optimizer) -> str:
    """What the optimizer does with a gradient, and its rate now."""
    name = type(optimizer).__name__.lower()
    if isinstance(optimizer, SGD) and optimizer.momentum:
        name = "nesterov" if optimizer.nesterov else "momentum"
    rule = _RULES.get(name, f"w <- {type(optimizer).__name__}(w, dL/dw)")
    settings = [f"rate = {float(optimizer.current_rate()):g}"]
    if optimizer.weight_decay:
        rule += " - rate * decay * w"
        settings.append(f"decay = {optimizer.weight_decay:g}")
    settings.append(f"t = {int(optimizer.iterations) + 1}")
    others = ("l2", "clip_value", "clip_norm", "global_clip_norm")
    given = ((option, getattr(optimizer, option)) for option in others)
    settings += [f"{option} = {value:g}" for option, value in given if value]
    return f"{rule}   ({', '.join(settings)})"


def loss_formula(loss: Loss, record: StepRecord, origins: Origins) -> tuple[Piece, ...]:
    """The loss of one example, with its numbers where it is a known sum."""
    total = Number(record.loss, "L", ("o", "y"))
    for known in (_difference, _cross_entropy, _binary_cross_entropy):
        found = known(loss, record, origins)
        if found is not None and abs(found[1] - record.loss) <= _CLOSE * max(1e-6, record.loss):
            return (*found[0], " = ", total)
    return (f"{loss.name}(y, output) = ", total)


Formula = tuple[tuple[Piece, ...], float] | None


def _difference(loss: Loss, record: StepRecord, origins: Origins) -> Formula:
    """A mean of squares or of absolute values."""
    squares = loss.name in ("mse", "mean_squared_error")
    if not squares and loss.name not in ("mae", "mean_absolute_error"):
        return None
    y, outputs = record.y.reshape(-1), record.outputs.reshape(-1)
    if y.shape != outputs.shape:
        return None
    wrong = outputs.astype(np.float64) - y
    opening, closing = ("(", ")^2") if squares else ("|", "|")
    terms: list[Piece] = []
    for place in range(min(_MOST_TERMS, len(y))):
        terms += [" + "] if place else []
        terms += [opening, origins.output(place), " - ", origins.target(place), closing]
    terms += [" + ..."] if len(y) > _MOST_TERMS else []
    if len(y) > 1:
        terms = ["(", *terms, ")"]
    title = "mean of (output - y)^2 = " if squares else "mean of |output - y| = "
    value = float(np.mean(wrong**2 if squares else np.abs(wrong)))
    return (title, *terms, f" / {len(y)}"), value


def _smoothing(loss: Loss) -> float:
    return float(getattr(loss, "options", {}).get("label_smoothing", 0.0) or 0.0)


def _cross_entropy(loss: Loss, record: StepRecord, origins: Origins) -> Formula:
    """-log of the probability of the one class that is right."""
    outputs = record.outputs.astype(np.float64)
    if getattr(loss, "activation", "") != "softmax" or outputs.ndim != 2 or record.y.size != 1:
        return None
    y, smoothing = int(record.y.reshape(-1)[0]), _smoothing(loss)
    logs = _log_probabilities(outputs[0])
    if not 0 <= y < len(logs):
        return None
    mine, mean = -logs[y], -float(logs.mean())
    p = Number(float(np.exp(logs[y])), "", (f"o.{y}", "o"), f"p[{y}] = softmax(output)[{y}]")
    if not smoothing:
        return ("-log p(y) = -log(", p, ")"), float(mine)
    text = f"{1 - smoothing:g} * -log p(y) + {smoothing:g} * mean of -log p = {1 - smoothing:g} * "
    tail = (f" + {smoothing:g} * ", Number(mean, "", ("o",)))
    value = (1 - smoothing) * float(mine) + smoothing * mean
    return (text, "-log(", p, ")", *tail), value


def _log_probabilities(outputs: NDArray[Any]) -> NDArray[Any]:
    """The logarithms of what may be probabilities or logits."""
    if outputs.min() >= 0 and abs(outputs.sum() - 1) < 1e-3:
        return np.asarray(np.log(np.maximum(outputs, np.finfo(np.float32).tiny)))
    shifted = outputs - outputs.max()
    return np.asarray(shifted - np.log(np.exp(shifted).sum()))


def _binary_cross_entropy(loss: Loss, record: StepRecord, origins: Origins) -> Formula:
    """The same for one output that says yes or no."""
    if getattr(loss, "activation", "") != "sigmoid" or record.outputs.size != 1:
        return None
    output, smoothing = float(record.outputs.reshape(-1)[0]), _smoothing(loss)
    t = (1 - smoothing) * float(record.y.reshape(-1)[0]) + smoothing / 2
    folded = bool(record.layers) and record.layers[-1].activation == "sigmoid"
    p = output if folded else 1 / (1 + np.exp(-output))
    tiny = np.finfo(np.float32).tiny
    yes, no = -np.log(max(p, tiny)), -np.log(max(1 - p, tiny))
    shown = Number(p, "", ("o",), "p = sigmoid(output)")
    value = float(t * yes + (1 - t) * no)
    if t in (0.0, 1.0):
        return (("-log p = -log(", shown, ")") if t else ("-log(1 - p) = -log(1 - ", shown, ")"),
                value)  # fmt: skip
    text = f"-(t log p + (1 - t) log(1 - p)) = {t:g} * -log("
    return (text, shown, f") + {1 - t:g} * -log(1 - ", shown, ")"), value
