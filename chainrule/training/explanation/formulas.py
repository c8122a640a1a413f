"""Losses and update rules as formulas with numbers."""

import numpy as np

from chainrule.losses import Loss
from chainrule.optimizers import Optimizer
from chainrule.training.explanation.record import StepRecord

_MOST_TERMS = 4

_RULES = {
    "sgd": "w <- w - rate * dL/dw",
    "momentum": "v <- m v + dL/dw;  w <- w - rate * v",
    "adam": "m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;  "
    "w <- w - rate * (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)",
    "rmsprop": "v <- r v + (1 - r) g^2;  w <- w - rate * g / (sqrt(v) + eps)",
    "adagrad": "v <- v + g^2;  w <- w - rate * g / (sqrt(v) + eps)",
}


def update_rule(optimizer: Optimizer) -> str:
    """What the optimizer does with a gradient, and its rate now."""
    name = type(optimizer).__name__.lower()
    key = "momentum" if name == "sgd" and getattr(optimizer, "momentum", False) else name
    rule = _RULES.get(key, f"w <- {type(optimizer).__name__}(w, dL/dw)")
    rate = float(optimizer.current_rate())
    return f"{rule}   (rate = {rate:g}, t = {int(optimizer.iterations) + 1})"


def loss_formula(loss: Loss, record: StepRecord) -> str:
    """The loss of one example, with its numbers where it is a known sum."""
    name, total = loss.name, f"{record.loss:.4g}"
    y = record.y.astype(np.float64).reshape(-1)
    outputs = record.outputs.astype(np.float64).reshape(-1)
    if name in ("mse", "mean_squared_error") and y.shape == outputs.shape:
        terms = [f"({b:.4g} - {a:.4g})^2" for a, b in zip(y, outputs, strict=True)]
        return f"mean of (output - y)^2 = {_sum(terms)} / {len(y)} = {total}"
    if name in ("mae", "mean_absolute_error") and y.shape == outputs.shape:
        terms = [f"|{b:.4g} - {a:.4g}|" for a, b in zip(y, outputs, strict=True)]
        return f"mean of |output - y| = {_sum(terms)} / {len(y)} = {total}"
    if "cross_entropy" in name or "crossentropy" in name:
        p = np.exp(-record.loss)
        return f"-log p(y) = -log({p:.4g}) = {total}"
    return f"{name}(y, output) = {total}"


def _sum(terms: list[str]) -> str:
    shown = terms[:_MOST_TERMS]
    text = " + ".join([*shown, "..."] if len(terms) > len(shown) else shown)
    return f"({text})" if len(terms) > 1 else text
