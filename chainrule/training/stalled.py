"""Whether a run has failed or stalled, which ``fit`` says in a line that offers diagnosis.

A false alarm is worse than none: short runs, runs that are still on their way, and models that do
better than the training loss says (which has dropout and penalties in it) are left alone.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from chainrule.losses import Loss
from chainrule.tensor import Tensor
from chainrule.training.batches import Data
from chainrule.training.constant import constant_loss
from chainrule.training.history import History
from chainrule.training.states import stateful_layers

if TYPE_CHECKING:
    from chainrule.training.model import Model

#: Runs of fewer steps say nothing.
STEPS = 100
#: Of more targets the loss of a constant is not computed.
TARGETS = 1_000_000
#: Rows on which the model is asked again.
ROWS = 256

_LOOK = "cr.diagnose(model, x, y) looks for the cause"


def find_trouble(
    model: "Model", loss: Loss, data: Data, outputs: Tensor, history: History, steps: int
) -> str | None:
    """The line that ``fit`` adds to the notes, or None where a run looks well or is too short.

    Args:
        model: after the run.
        loss: that it was trained with.
        data: the training rows.
        outputs: of the model for some rows.
        history: of the run.
        steps: of an epoch.
    """
    if history.stopped_by == "not_finite":
        return f"training has failed: its numbers are not finite any more; {_LOOK}"
    if history.stopped_by == "until" or history.epochs * steps < STEPS:
        return None
    curve = Curve.of(history["loss"])
    constant = None
    if data.y.size <= TARGETS:
        constant = constant_loss(loss, data.y, data.weights, outputs.shape[1:], search=False)
        if constant is not None and curve.end > 0.3 * constant:
            constant = constant_loss(loss, data.y, data.weights, outputs.shape[1:])
    if curve.has_risen(constant):
        return f"training goes wrong: the loss rose over the second half of the run; {_LOOK}"
    if constant is None or not curve.stands_at(constant) or _is_better(model, loss, data):
        return None
    return (
        "training has stalled: the loss is no better than that of a constant prediction; " + _LOOK
    )


class Curve(NamedTuple):
    """The loss of the first epoch, where the second half of the run begins, and at its end: medians
    of an eighth of the epochs, so that single ones say nothing.
    """

    first: float
    middle: float
    end: float

    @classmethod
    def of(cls, losses: list[float]) -> "Curve":
        """The curve of these losses."""
        part = min(max(3, len(losses) // 8), 50)
        half = len(losses) // 2
        return cls(losses[0], _median(losses[half : half + part]), _median(losses[-part:]))

    def has_risen(self, constant: float | None) -> bool:
        """Whether it ends well above the middle: against its own size, and against the loss of a
        constant (else that of the first epoch).
        """
        if self.end <= 1.5 * abs(self.middle):
            return False
        if constant is None:
            return self.end > self.first
        return self.end - self.middle > 0.1 * abs(constant)

    def stands_at(self, constant: float) -> bool:
        """Whether it ends no lower than a constant's loss and, falling as it does, would not get
        there in a run of twice the length. 2 % lower is nothing: chance rows can be fitted as well
        as that.
        """
        if self.end < constant - 0.02 * abs(constant) or constant == 0:
            return False
        fall = self.middle - self.end
        return fall <= 0.01 * abs(constant) or self.end - constant > 2 * fall


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def _is_better(model: "Model", loss: Loss, data: Data) -> bool:
    """Whether the model, asked outside of training, beats a constant on some rows after all."""
    if np.ptp(data.y, axis=0).max() == 0 or stateful_layers(model):
        return True  # a constant is right, or rows cannot be asked alone
    rows = np.random.default_rng(0).permutation(data.rows)[:ROWS]
    some = data.take(rows)
    if some.weights is not None and not some.weights.any():
        return True
    with np.errstate(all="ignore"):
        outputs = model(some.x, training=False)
        found = float(loss(some.y, outputs, sample_weight=some.weights))
    constant = constant_loss(loss, some.y, some.weights, outputs.shape[1:])
    return constant is None or found < constant - 0.03 * abs(constant)
