"""Optimizers, learning-rate schedules and gradient clipping."""

from chainrule.optimizers import schedules
from chainrule.optimizers.adam import Adam, Adamax, AdamW, Nadam
from chainrule.optimizers.adaptive import Adadelta, Adagrad, RMSprop
from chainrule.optimizers.clipping import (
    clip_by_global_norm,
    clip_by_norm,
    clip_by_value,
    global_norm,
)
from chainrule.optimizers.lbfgs import LBFGS
from chainrule.optimizers.momentum import SGD, Lion
from chainrule.optimizers.optimizer import Optimizer, Step
from chainrule.optimizers.registry import get, serialize
from chainrule.optimizers.schedules import (
    Constant,
    CosineDecay,
    CosineRestarts,
    ExponentialDecay,
    OneCycle,
    PiecewiseConstant,
    PolynomialDecay,
    Schedule,
    StepDecay,
    WarmUp,
)

__all__ = [
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Constant",
    "CosineDecay",
    "CosineRestarts",
    "ExponentialDecay",
    "Lion",
    "Nadam",
    "OneCycle",
    "Optimizer",
    "PiecewiseConstant",
    "PolynomialDecay",
    "RMSprop",
    "Schedule",
    "Step",
    "StepDecay",
    "WarmUp",
    "clip_by_global_norm",
    "clip_by_norm",
    "clip_by_value",
    "get",
    "global_norm",
    "schedules",
    "serialize",
]
