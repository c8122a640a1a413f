"""`diagnose`: why does training not improve, and what is to be changed?"""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.diagnosis.case import Case
from chainrule.diagnosis.engine import Examination, examine
from chainrule.diagnosis.measurements.predictability import signal
from chainrule.diagnosis.report import Report, Verdict
from chainrule.errors import ArgumentError
from chainrule.estimators.media_classifier import MediaClassifier
from chainrule.estimators.network import NetworkEstimator
from chainrule.training.history import History
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
        ArgumentError: there is no budget, or x and y are not rows of numbers.

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
    case = Case(network, x, y, history, validation_data, columns, budget)
    examination = examine(case)
    return Report(case, examination, _verdict(case, examination), wrap)


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
