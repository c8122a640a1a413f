"""THE table of the estimators' parameters: what each may be, and the other names it goes by."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import losses, optimizers
from chainrule.data import TablePreprocessor
from chainrule.errors import ArgumentError
from chainrule.nn import activations
from chainrule.optimizers import Optimizer
from chainrule.optimizers.schedules import Schedule
from chainrule.training.callbacks import Callback, EarlyStopping
from chainrule.training.model import Model

AUTO = "auto"


@dataclass(frozen=True)
class Parameter:
    """One parameter.

    Attributes:
        accepts: whether a value can be right.
        expected: what can be right, in words.
        aliases: the names that Keras, PyTorch and scikit-learn have for the same thing.
    """

    accepts: Callable[[Any], bool]
    expected: str
    aliases: tuple[str, ...] = ()


def _whole(low: int) -> Callable[[Any], bool]:
    def accepts(value: Any) -> bool:
        whole = isinstance(value, int | np.integer) and type(value) is not bool
        return whole and bool(value >= low)

    return accepts


def _number(low: float, high: float = np.inf, *, open_low: bool = False) -> Callable[[Any], bool]:
    """A test for ``low <= number < high``, or ``low < number < high``."""

    def accepts(value: Any) -> bool:
        if type(value) is bool or not isinstance(value, int | float | np.integer | np.floating):
            return False
        return bool((low < value if open_low else low <= value) and value < high)

    return accepts


def _auto_or(accepts: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: (isinstance(value, str) and value == AUTO) or accepts(value)


def _widths(value: Any) -> bool:
    if _whole(1)(value):
        return True
    return isinstance(value, list | tuple | np.ndarray) and all(_whole(1)(width) for width in value)


def _named(get: Callable[[Any], object]) -> Callable[[Any], bool]:
    """A test that lets the table of the names raise its own error, with the nearest name."""

    def accepts(value: Any) -> bool:
        get(value)
        return True

    return accepts


def _goals(value: Any) -> bool:
    return value is None or isinstance(value, Mapping)


def _random_state(value: Any) -> bool:
    return (
        value is None
        or _whole(0)(value)
        or isinstance(value, np.random.RandomState | np.random.Generator)
    )


def _callbacks(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, Callback) for item in value)


def _model(value: Any) -> bool:
    return value is None or isinstance(value, Model) or callable(value)


def _class_weight(value: Any) -> bool:
    return (
        value is None
        or (isinstance(value, str) and value == "balanced")
        or (isinstance(value, Mapping) and all(_number(0)(weight) for weight in value.values()))
    )


PARAMETERS: dict[str, Parameter] = {
    "hidden": Parameter(
        _widths, "widths of the hidden layers, such as (64, 64); () for none",
        ("hidden_layer_sizes", "hidden_units"),
    ),
    "activation": Parameter(_named(activations.get), "the name of an activation or a function"),
    "optimizer": Parameter(
        _named(optimizers.get), "the name of an optimizer or an Optimizer", ("solver",)
    ),
    "learning_rate": Parameter(
        _auto_or(lambda v: isinstance(v, Schedule) or _number(0, open_low=True)(v)),
        "a number above 0, a schedule or 'auto'", ("lr", "learning_rate_init"),
    ),
    "batch_size": Parameter(
        _auto_or(lambda v: v is None or _whole(1)(v)),
        "a whole number from 1 up, 'auto', or None for all rows at once",
    ),
    "epochs": Parameter(_whole(1), "a whole number from 1 up", ("max_iter", "max_epochs")),
    "until": Parameter(_goals, "goals by name, such as {'loss': 0.05}", ("stopping_threshold",)),
    "early_stopping": Parameter(
        _auto_or(lambda v: isinstance(v, bool | np.bool_ | EarlyStopping)),
        "True, False, 'auto' or an EarlyStopping",
    ),
    "patience": Parameter(_whole(1), "a whole number from 1 up", ("n_iter_no_change",)),
    "validation_fraction": Parameter(
        _auto_or(_number(0, 1)), "a number from 0 up and below 1, or 'auto'", ("validation_split",)
    ),
    "dropout": Parameter(_auto_or(_number(0, 1)), "a number from 0 up and below 1, or 'auto'"),
    "weight_decay": Parameter(_auto_or(_number(0)), "a number from 0 up, or 'auto'"),
    "label_smoothing": Parameter(
        _auto_or(_number(0, 1)), "a number from 0 up and below 1, or 'auto'"
    ),
    "mixup": Parameter(_number(0), "a number from 0 up"),
    "loss": Parameter(_auto_or(_named(losses.get)), "a loss, its name or 'auto'", ("criterion",)),
    "class_weight": Parameter(
        _class_weight, "a weight from 0 up for each class, such as {'yes': 5.0}, or 'balanced'"
    ),
    "model": Parameter(_model, "a Model, a function that returns one, or None"),
    "preprocessing": Parameter(
        _auto_or(lambda v: isinstance(v, bool | TablePreprocessor)),
        "'auto', True, False or a TablePreprocessor",
    ),
    "callbacks": Parameter(_callbacks, "a list of callbacks"),
    "random_state": Parameter(
        _random_state, "a whole number from 0 up, a NumPy generator or None", ("seed",)
    ),
    "verbose": Parameter(
        _auto_or(lambda v: isinstance(v, bool) or (_whole(0)(v) and v <= 2)), "'auto', 0, 1 or 2"
    ),
}  # fmt: skip

ALIASES = {alias: name for name, row in PARAMETERS.items() for alias in row.aliases}

# Parameters of scikit-learn's MLP and other estimators that mean something else here, or nothing.
REFUSED = {
    "alpha": "use weight_decay (decoupled, not divided by the rows), or model= with Dense(l2=)",
    "tol": "pass early_stopping=cr.callbacks.EarlyStopping(min_delta=...)",
    "momentum": "pass optimizer=cr.optimizers.SGD(momentum=...)",
    "nesterovs_momentum": "pass optimizer=cr.optimizers.SGD(momentum=..., nesterov=True)",
    "beta_1": "pass optimizer=cr.optimizers.Adam(beta_1=...)",
    "beta_2": "pass optimizer=cr.optimizers.Adam(beta_2=...)",
    "epsilon": "pass optimizer=cr.optimizers.Adam(epsilon=...)",
    "power_t": "pass a schedule as learning_rate",
    "warm_start": "call partial_fit to go on with a trained network",
    "shuffle": "leave it out: rows are always put in a new order in each epoch",
    "max_fun": "use epochs: an epoch of L-BFGS is one iteration",
    "metrics": "leave it out: accuracy or r2 is logged; score with sklearn.metrics",
    "n_jobs": "leave it out: set the threads of the machine's linear algebra instead",
}


def proper_names(where: str, names: tuple[str, ...], given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments by the names that the parameters have here.

    >>> proper_names("Network", ("epochs",), {"max_iter": 5})
    {'epochs': 5}

    Raises:
        ArgumentError: a name that means something else elsewhere, or one parameter given twice.
    """
    result: dict[str, Any] = {}
    for key, value in given.items():
        if key in REFUSED and key not in names:
            raise ArgumentError(where, f"there is no parameter {key!r}", fix=REFUSED[key])
        name = ALIASES.get(key, key) if key not in names else key
        if name in result:
            raise ArgumentError(where, f"{name} is given twice", got=repr(key))
        result[name] = value
    return result


def proper_values(where: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values by name, each of them checked by its row of the table.

    Raises:
        ArgumentError: a value that its parameter cannot have.
    """
    for name, value in values.items():
        row = PARAMETERS[name]
        if not row.accepts(value):
            fix = ""
            if name == "learning_rate" and isinstance(value, str):
                fix = "for a rate that adapts, pass callbacks=[cr.callbacks.ReduceOnPlateau()]"
            raise ArgumentError(
                where, f"{name} cannot have this value", got=repr(value)[:200],
                expected=row.expected, fix=fix,
            )  # fmt: skip
    result = dict(values)
    hidden = result.get("hidden", ())
    result["hidden"] = (int(hidden),) if _whole(1)(hidden) else tuple(int(w) for w in hidden)
    if isinstance(result.get("optimizer"), Optimizer):
        for name in "learning_rate", "weight_decay":
            if result[name] != AUTO:
                raise ArgumentError(
                    where, f"{name} beside an optimizer that has one already",
                    got=repr(result[name]), fix=f"give {name} to the optimizer",
                )  # fmt: skip
    return result
