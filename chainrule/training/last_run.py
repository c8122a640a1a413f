"""What a model remembers of its last fit: enough to run it again, from where it began."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chainrule.optimizers import Optimizer
from chainrule.tensor import Tensor
from chainrule.training.history import History

if TYPE_CHECKING:
    from chainrule.training.fit import Options
    from chainrule.training.model import Model

#: The beginning of a larger model is not kept: it would hold memory until the next fit.
MOST_BYTES = 64 * 2**20


@dataclass
class LastRun:
    """The last call of ``fit``, also of one that failed.

    Attributes:
        options: the arguments of ``fit``.
        seed: the seed of the run, drawn if none was given; None before it was known.
        learning_rate: the optimizer's rate at the beginning, None if it follows a schedule.
        optimizer: the optimizer, which goes on changing.
        initial: the values of all variables before the first step, by path; empty if the run did
            not come so far, or the model is larger than 64 MiB.
        history: what ``fit`` returned; None if it raised an error.
    """

    options: "Options"
    seed: int | None = None
    learning_rate: float | None = None
    optimizer: Optimizer | None = None
    initial: dict[str, Tensor] = field(default_factory=dict)
    history: History | None = None

    def begin(self, model: "Model", optimizer: Optimizer, seed: int) -> None:
        """Note where the run begins; values are shared, not copied."""
        self.seed = seed
        self.optimizer = optimizer
        if optimizer.schedule is None:
            rate = optimizer.learning_rate
            self.learning_rate = rate if isinstance(rate, float) else None
        values = {variable.path: variable.value for variable in model.variables}
        size = sum(value.size * value.dtype.itemsize for value in values.values())
        if size <= MOST_BYTES:
            self.initial = values
