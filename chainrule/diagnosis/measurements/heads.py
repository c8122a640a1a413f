"""The end of a model: its last activation, how wide its outputs are, what they can reach."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.config import settings
from chainrule.diagnosis.case import Case
from chainrule.nn.watching import watched
from chainrule.training.inputs import as_arrays, take_rows

Array = NDArray[Any]

#: What the values of an activation lie between.
RANGES: dict[str, tuple[float, float]] = {
    "relu": (0.0, math.inf),
    "relu6": (0.0, 6.0),
    "exponential": (0.0, math.inf),
    "softplus": (0.0, math.inf),
    "sigmoid": (0.0, 1.0),
    "hard_sigmoid": (0.0, 1.0),
    "softmax": (0.0, 1.0),
    "log_softmax": (-math.inf, 0.0),
    "tanh": (-1.0, 1.0),
    "softsign": (-1.0, 1.0),
    "elu": (-1.0, math.inf),
    "selu": (-1.7581, math.inf),
    "gelu": (-0.17, math.inf),
    "silu": (-0.2785, math.inf),
    "mish": (-0.3088, math.inf),
}


@dataclass(frozen=True)
class Head:
    """The last layer of a model.

    Attributes:
        path: where it is.
        activation: the name of its activation, "" for none.
        shape: of the outputs of one row.
    """

    path: str
    activation: str
    shape: tuple[int, ...]

    @property
    def width(self) -> int:
        """The number of outputs."""
        return self.shape[-1] if self.shape else 1

    @property
    def range(self) -> tuple[float, float]:
        """What its values lie between; a softmax of one output is always 1."""
        if self.activation == "softmax" and self.width == 1:
            return 1.0, 1.0
        return RANGES.get(self.activation, (-math.inf, math.inf))


def head_of(case: Case) -> Head | None:
    """The head of the model before training; None where the model cannot be run."""
    return case.once("head", lambda: _head(case))


def _head(case: Case) -> Head | None:
    if not case.usable:
        return None
    model, x = case.first, as_arrays(take_rows(case.x, slice(0, 2)), "x", "diagnose")
    with settings(backend="reference"), np.errstate(all="ignore"), watched(model) as seen:
        outputs = model(x, training=False)
    if not seen or not hasattr(outputs, "shape"):
        return None
    last = seen[-1].layer
    name = getattr(last.__dict__.get("activation"), "__name__", "")
    return Head(last.where, "" if name == "linear" else name, tuple(outputs.shape[1:]))


def unreachable(head: Head, y: Array) -> tuple[float, float]:
    """The share of the targets' variance that lies outside of the head's range, and the share of
    the targets that do.
    """
    values = y.reshape(len(y), -1).astype(np.float64)
    missed = values - values.clip(*head.range)
    spread = np.square(values - values.mean(axis=0)).sum()
    return float(np.square(missed).sum() / max(spread, 1e-30)), float((missed != 0).mean())
