"""`diagnose`: why does training not improve, and what is to be changed?"""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.diagnosis.case import Case
from chainrule.diagnosis.engine import Examination, examine
from chainrule.diagnosis.measurements.predictability import signal
from chainrule.diagnosis.report import Report, Verdict
from chainrule.errors import ArgumentError, DataError, StateError
from chainrule.estimators.media_classifier import MediaClassifier
from chainrule.estimators.network import NetworkEstimator
from chainrule.training.history import History
from chainrule.training.inputs import take_rows
from chainrule.training.model import Model

Trainable = Model | NetworkEstimator | MediaClassifier


def diagnose(
    model: Trainable,
    x: Any,
    y: Any = None,
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
        model: a model after ``fit``, also one that failed or was refused; or an estimator. The
            training of an estimator from a file is repeated first.
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
        ArgumentError: there is no budget.
        DataError: x and y are not rows that belong together, or hold text.
        ShapeError: rows that do not fit the model.
        StateError: the model was not trained since it was made or loaded.

    Example:
        >>> import chainrule as cr
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(200, 4)).astype("float32")
        >>> y = (x[:, :1] * 2 - x[:, 1:2]).astype("float32")
        >>> model = cr.Sequential([cr.layers.Dense(8, activation="relu"), cr.layers.Dense(1)])
        >>> sgd = cr.optimizers.SGD(1e-6)
        >>> history = model.fit(x, y, loss="mse", optimizer=sgd, epochs=50, seed=0)
        >>> report = cr.diagnose(model, x, y, history)
        >>> report.causes[0].code, report.causes[0].name
        ('O2', 'learning rate too low')
        >>> repaired = report.repair()
        >>> repaired.after > 0.9
        True
    """
    if not budget >= 0:
        raise ArgumentError("diagnose", "no budget", got=budget, expected="seconds, 0 or more")
    network, x, y, names, wrap = _parts(model, x, y)
    if columns is None:
        columns = names
    _check(network, x, y)
    case = Case(network, x, y, history, validation_data, columns, budget)
    if case.usable and not case.refused:
        network.predict(take_rows(case.x, slice(0, 1)))  # complains about rows that do not fit
    examination = examine(case)
    return Report(case, examination, _verdict(case, examination), wrap)


def _check(network: Model, x: Any, y: Any) -> None:
    """Complain about what cannot be looked at; numbers that are not finite can."""
    if network._last_run is None:
        raise StateError(
            "diagnose", "there is no training to look at", got="a model without fit",
            expected="a model that was trained since it was made or loaded",
            fix="call model.fit(x, y, ...) first",
        )  # fmt: skip
    for name, value in (("x", x), ("y", y)):
        if value is None:
            raise DataError("diagnose", f"{name} is missing", got="None", fix=f"pass {name}")
    lengths = []
    for value in [*(x.values() if isinstance(x, dict) else [x]), y]:
        try:
            array = np.asarray(value if not isinstance(value, tuple) else value[0])
        except ValueError as error:  # NumPy's word for rows of different lengths
            raise DataError(
                "diagnose", "rows differ in length", got=str(error),
                expected="the same number of values in each row", fix="pass what fit was given",
            ) from None  # fmt: skip
        if array.dtype.kind in "USMmcV":
            raise DataError(
                "diagnose", "values that are no numbers", got=f"dtype {array.dtype}",
                expected="numbers, as fit takes them", fix="pass what fit was given",
            )  # fmt: skip
        lengths.append(len(array) if array.ndim else 0)
    if len(set(lengths)) > 1:
        raise DataError(
            "diagnose", "x and y have different lengths",
            got=f"{lengths[0]} rows in x, {lengths[-1]} in y", expected="one target for each row",
            fix="pass what fit was given",
        )  # fmt: skip


def _parts(
    model: Trainable, x: Any, y: Any
) -> tuple[Model, Any, Any, list[str] | None, Callable[[Model], Any]]:
    """The network in an estimator, what it is trained on, names of columns, and a function that
    puts another network into a copy of the estimator.
    """
    if isinstance(model, Model):
        return model, x, y, None, lambda network: network
    if isinstance(model, MediaClassifier):
        labels = np.array(x.classes)[x.y] if y is None else y
        inner = _parts(model.classifier_, model.network_inputs(x), labels)

        def wrap(network: Model) -> MediaClassifier:
            changed = copy.copy(model)
            changed.classifier_ = inner[4](network)
            return changed

        return (*inner[:4], wrap)
    features, targets, _ = model.network_examples(x, y)
    network = model.model_
    if network._last_run is None:
        network = model.trained_again(features, targets)
    prepared = model.preprocessor_
    names = None if prepared is None else list(prepared.feature_names)

    def with_network(network: Model) -> NetworkEstimator:
        changed = copy.copy(model)
        changed.model_ = network
        return changed

    return network, features, targets, names, with_network


def _verdict(case: Case, examination: Examination) -> Verdict:
    if examination.causes:
        return "causes"
    if not examination.poor:
        return "healthy"
    ran = case.usable and not case.refused and not case.not_finite
    return "no signal" if ran and not signal(case) else "unknown"
