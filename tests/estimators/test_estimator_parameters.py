"""Parameters: the table's checks, other names, representation; nothing optional is needed."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ArgumentError, UnknownNameError
from chainrule.estimators import NetworkClassifier, NetworkRegressor
from chainrule.estimators.base import Estimator
from chainrule.estimators.defaults import make_optimizer, make_plan
from chainrule.estimators.parameters import ALIASES, PARAMETERS, REFUSED

X = np.arange(20.0)[:, None]
Y = np.arange(20) % 2


def test_table_has_a_row_for_every_parameter_and_no_other() -> None:
    names = set(NetworkClassifier().get_params()) | set(NetworkRegressor().get_params())
    assert names == set(PARAMETERS)


def test_defaults_are_accepted() -> None:
    for kind in (NetworkClassifier, NetworkRegressor):
        assert kind()._checked_parameters()["hidden"] == (64, 64)


BAD: list[tuple[str, Any]] = [
    ("hidden", (0,)), ("hidden", "64"), ("hidden", (1.5,)), ("hidden", True), ("hidden", None),
    ("learning_rate", 0), ("learning_rate", "adaptive"), ("learning_rate", float("nan")),
    ("batch_size", 0), ("batch_size", "big"), ("epochs", 0), ("epochs", 2.5), ("epochs", True),
    ("until", 0.05), ("early_stopping", "yes"), ("patience", 0), ("validation_fraction", 1.0),
    ("validation_fraction", -0.1), ("dropout", 1), ("dropout", "some"), ("weight_decay", -1),
    ("label_smoothing", 1.0), ("class_weight", "even"), ("class_weight", {0: -1.0}),
    ("model", 3), ("preprocessing", "none"), ("callbacks", [print]), ("callbacks", None),
    ("random_state", -1), ("random_state", 1.5), ("verbose", 3), ("verbose", "loud"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), BAD)
def test_values_are_checked_in_fit_not_before(name: str, value: Any) -> None:
    classifier = NetworkClassifier(**{name: value})
    with pytest.raises(ArgumentError, match=name) as caught:
        classifier.fit(X, Y)
    assert "expected" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "nearest"),
    [("activation", "rellu", "relu"), ("optimizer", "adan", "adam"), ("loss", "crossentropi", "")],
)
def test_unknown_names_name_the_nearest(name: str, value: str, nearest: str) -> None:
    with pytest.raises(UnknownNameError, match="did you mean") as caught:
        NetworkClassifier(**{name: value}).fit(X, Y)
    assert nearest in str(caught.value)


@pytest.mark.parametrize(("alias", "name"), sorted(ALIASES.items()))
def test_other_names_are_accepted_everywhere(alias: str, name: str) -> None:
    marker = object()
    assert getattr(NetworkRegressor(**{alias: marker}), name) is marker
    assert getattr(NetworkRegressor().set_params(**{alias: marker}), name) is marker


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_names_that_mean_something_else_are_refused_with_advice(name: str) -> None:
    with pytest.raises(ArgumentError, match="To fix") as caught:
        NetworkClassifier(**{name: 1})
    assert name in str(caught.value)


def test_unknown_and_double_parameters() -> None:
    with pytest.raises(UnknownNameError, match="'hidden'"):
        NetworkClassifier(hiden=(4,))
    with pytest.raises(UnknownNameError, match="'epochs'"):
        NetworkClassifier().set_params(epoch=4)
    with pytest.raises(ArgumentError, match="given twice"):
        NetworkClassifier(epochs=3, max_iter=4)


def test_optimizer_object_beside_its_settings_is_refused() -> None:
    for name in ("learning_rate", "weight_decay"):
        estimator = NetworkClassifier(optimizer=cr.optimizers.SGD(), **{name: 0.1})
        with pytest.raises(ArgumentError, match=name):
            estimator.fit(X, Y)


def test_representation_shows_what_is_not_default() -> None:
    assert repr(NetworkClassifier()) == "NetworkClassifier()"
    shown = repr(NetworkRegressor(hidden=[8], until={"loss": 0.1}))
    assert shown == "NetworkRegressor(hidden=[8], until={'loss': 0.1})"
    assert "array" in repr(NetworkRegressor(hidden=np.array([8, 8])))


def test_parameters_of_parameters() -> None:
    class Outer(Estimator):
        def __init__(self, inner: Any = None) -> None:
            self.inner = inner

    outer = Outer(NetworkClassifier(epochs=7))
    assert outer.get_params()["inner__epochs"] == 7
    assert "inner__epochs" not in outer.get_params(deep=False)
    outer.set_params(inner__epochs=9)
    assert outer.inner.epochs == 9


@pytest.mark.parametrize(
    ("rows", "batch"), [(49, None), (50, 32), (1024, 32), (1025, 64), (4999, 256), (10**6 + 3, 256)]
)
def test_batches_grow_with_the_rows(rows: int, batch: int | None) -> None:
    plan = make_plan(NetworkClassifier()._checked_parameters(), rows, False)
    assert plan.batch_size == batch


@pytest.mark.parametrize(
    ("rows", "fraction", "batch"),
    [(5000, 0.0, 250), (4000, 0.2, 128), (3000, 0.1, 108), (1500, 0.1, 54), (1500, 0.25, 64)],
)
def test_batches_are_even_where_a_few_rows_fewer_do(rows: int, fraction: float, batch: int) -> None:
    parameters = NetworkClassifier(validation_fraction=fraction)._checked_parameters()
    assert make_plan(parameters, rows, False).batch_size == batch
    is_even = (rows - round(rows * fraction)) % batch == 0
    assert is_even == (rows != 1500 or fraction != 0.25)
    given = NetworkClassifier(batch_size=256)._checked_parameters()
    assert make_plan(given, 5000, False).batch_size == 256


def test_small_tables_are_used_whole() -> None:
    plan = make_plan(NetworkClassifier()._checked_parameters(), 49, False)
    assert plan.early_stopping is None
    assert plan.validation_fraction == 0
    assert plan.dropout == 0
    plan = make_plan(NetworkClassifier()._checked_parameters(), 50, False)
    assert plan.early_stopping is not None
    assert plan.validation_fraction == 0.2
    plan = make_plan(NetworkClassifier()._checked_parameters(), 1000, False)
    assert plan.validation_fraction == 0.1


def test_default_rates_are_for_adam_only() -> None:
    def made(**settings: Any) -> cr.optimizers.Optimizer:
        return make_optimizer(NetworkClassifier(**settings)._checked_parameters(), 600)

    assert (made().learning_rate, made().weight_decay) == (0.003, 0.5)
    assert made(optimizer="sgd").learning_rate == cr.optimizers.SGD().learning_rate
    assert made(optimizer="sgd").weight_decay == 0
    assert made(optimizer="sgd", lr=0.3, weight_decay=0.2).weight_decay == 0.2


WITHOUT = """
import sys
for name in ("sklearn", "pandas", "polars", "pyarrow", "scipy", "matplotlib"):
    sys.modules[name] = None  # importing it fails
import numpy as np
from chainrule.estimators import NetworkClassifier, NetworkRegressor, NotFittedError
x = np.linspace(-1, 1, 60)[:, None]
try:
    NetworkClassifier().predict(x)
except NotFittedError as error:
    assert isinstance(error, ValueError) and isinstance(error, AttributeError)
classifier = NetworkClassifier(epochs=30, random_state=0).fit(x, x[:, 0] > 0)
assert classifier.score(x, x[:, 0] > 0) > 0.9
regressor = NetworkRegressor(epochs=2).partial_fit({"a": x[:, 0], "b": ["u", "v"] * 30}, x[:, 0])
print(classifier, regressor.get_params()["epochs"])
"""


def test_nothing_optional_is_needed() -> None:
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=False
    )
    assert result.stderr == ""
    assert result.stdout.strip() == "NetworkClassifier(epochs=30, random_state=0) 2"
