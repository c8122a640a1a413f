"""`diagnose`: why does training not improve, and what is to be changed?"""

from typing import Any

from chainrule.diagnosis.case import Case
from chainrule.diagnosis.engine import Examination, examine
from chainrule.diagnosis.report import Report, Verdict
from chainrule.errors import ArgumentError
from chainrule.training.history import History
from chainrule.training.model import Model


def diagnose(
    model: Model,
    x: Any,
    y: Any,
    history: History | None = None,
    budget: float = 60.0,
    *,
    validation_data: Any = None,
    columns: list[str] | None = None,
) -> Report:
    """Look for the cause of poor training, and measure what its remedy brings.

    It looks for 41 faults: in the data, the structure, the learning rate and batches, activations
    and loss, the first weights. Where it can, it tries the remedy in a twin run from the same first
    weights. The model is not changed.

    Args:
        model: a model after ``fit``, also one that failed or was refused.
        x, y: the rows that ``fit`` was given.
        history: what ``fit`` returned. Default that of the last fit.
        budget: seconds that it may take; the run itself is repeated in parts of them. Default 60.
        validation_data: (x, y) to measure on. Default what the last fit validated on, else a fifth
            of the rows, on which the run is repeated without them.
        columns: names of the columns of x, for messages.

    Returns:
        A report: at most three causes, each with a probability, evidence, place, remedy and gain;
        notes; ``report.repair()``.

    Raises:
        ArgumentError: there is no budget, or x and y are not rows of numbers.

    Example:
        >>> import chainrule as cr
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(200, 4)).astype("float32")
        >>> y = (x[:, :1] * 2 - x[:, 1:2]).astype("float32")
        >>> model = cr.Sequential([cr.layers.Dense(8, activation="relu"), cr.layers.Dense(1)])
        >>> sgd = cr.optimizers.SGD(1e-6)
        >>> history = model.fit(x, y, loss="mse", optimizer=sgd, epochs=20, seed=0)
        >>> report = cr.diagnose(model, x, y, history)
        >>> report.causes[0].code, report.causes[0].name
        ('O2', 'learning rate too low')
        >>> repaired = report.repair()
        >>> repaired.after > 0.9
        True
    """
    if not budget >= 0:
        raise ArgumentError("diagnose", "no budget", got=budget, expected="seconds, 0 or more")
    case = Case(model, x, y, history, validation_data, columns, budget)
    examination = examine(case)
    return Report(case, examination, _verdict(case, examination))


def _verdict(case: Case, examination: Examination) -> Verdict:
    if examination.causes:
        return "causes"
    return "unknown" if examination.poor else "healthy"
