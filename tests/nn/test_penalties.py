"""Regularizers and constraints: values, derivatives, properties, names, their way into layers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule.errors import ArgumentError, ChainruleError, UnknownNameError
from chainrule.nn.naming import snake_case
from chainrule.nn.registry import CONSTRAINTS, REGULARIZERS
from chainrule.testing import check_gradients

WEIGHTS = np.random.default_rng(1).standard_normal((4, 3))

PENALTIES = {
    "l1": (cr.regularizers.L1(0.1), 0.1 * np.abs(WEIGHTS).sum()),
    "l2": (cr.regularizers.L2(0.2), 0.2 * (WEIGHTS**2).sum()),
    "l1_l2": (
        cr.regularizers.L1L2(l1=0.1, l2=0.2),
        0.1 * np.abs(WEIGHTS).sum() + 0.2 * (WEIGHTS**2).sum(),
    ),
}
KEPT = {
    "max_norm": (cr.constraints.MaxNorm(1.0), lambda w: np.linalg.norm(w, axis=0) <= 1 + 1e-12),
    "non_negative": (cr.constraints.NonNegative(), lambda w: w >= 0),
    "unit_norm": (cr.constraints.UnitNorm(), lambda w: abs(np.linalg.norm(w, axis=0) - 1) < 1e-12),
}


def test_tables_have_every_regularizer_and_constraint() -> None:
    missing = {snake_case(name) for name in REGULARIZERS} - set(PENALTIES)
    missing |= {snake_case(name) for name in CONSTRAINTS} - set(KEPT)
    print("regularizers and constraints missing from the tables:", sorted(missing))
    assert missing == set()


@pytest.mark.parametrize("name", sorted(PENALTIES))
def test_penalty_values_and_gradients(name: str) -> None:
    regularizer, expected = PENALTIES[name]
    assert regularizer(cr.tensor(WEIGHTS)).item() == pytest.approx(expected, rel=1e-14)
    assert regularizer(cr.tensor(WEIGHTS)).dtype == np.float64
    check_gradients(regularizer, WEIGHTS)


@pytest.mark.parametrize("name", sorted({**PENALTIES, **KEPT}))
def test_config_round_trip_and_names(name: str) -> None:
    part = {**PENALTIES, **KEPT}[name][0]
    again = type(part).from_config(part.get_config())
    assert again.get_config() == part.get_config()
    get = cr.regularizers.get if name in PENALTIES else cr.constraints.get
    assert type(get(name)) is type(get(type(part).__name__)) is type(part)
    assert type(get(type(part))) is type(part)
    assert get(part) is part
    assert get(None) is None


@pytest.mark.parametrize("name", sorted(KEPT))
def test_constraints_hold_and_change_nothing_twice(name: str) -> None:
    constraint, holds = KEPT[name]
    once = constraint(cr.tensor(WEIGHTS * 3))
    assert holds(once.numpy()).all()
    np.testing.assert_allclose(constraint(once).numpy(), once.numpy(), atol=1e-15)
    traced = cr.jit(lambda w: constraint(w))(WEIGHTS * 3)
    np.testing.assert_allclose(traced.numpy(), once.numpy(), rtol=1e-14)
    assert np.isfinite(constraint(cr.tensor(np.zeros((4, 3)))).numpy()).all()


def test_max_norm_leaves_short_columns_alone() -> None:
    weights = np.array([[0.3, 3.0], [0.4, 4.0]])
    found = cr.constraints.MaxNorm(1.0)(cr.tensor(weights)).numpy()
    np.testing.assert_allclose(found, [[0.3, 0.6], [0.4, 0.8]], rtol=1e-15)
    rows = cr.constraints.MaxNorm(1.0, axis=1)(cr.tensor(weights)).numpy()
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), [1.0, 1.0])


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e6), min_size=6, max_size=6), st.floats(0.0, 10.0), st.integers(0, 1)
)
def test_max_norm_property(values: list[float], bound: float, axis: int) -> None:
    found = cr.constraints.MaxNorm(bound, axis=axis)(cr.tensor(np.reshape(values, (3, 2)))).numpy()
    assert (np.linalg.norm(found, axis=axis) <= bound * (1 + 1e-9) + 1e-12).all()


def test_layer_losses() -> None:
    layer = cr.layers.Dense(
        2, kernel_regularizer="l1", bias_regularizer=cr.regularizers.L2(0.5), dtype="float64",
        bias_initializer="ones",
    )  # fmt: skip
    layer(np.ones((2, 3)))
    kernel, bias = (loss.item() for loss in layer.losses)
    assert kernel == pytest.approx(0.01 * np.abs(layer.kernel.numpy()).sum())
    assert bias == pytest.approx(1.0)
    layer.trainable = False
    assert layer.losses == []


def test_l2_is_short_for_the_regularizer() -> None:
    layer = cr.layers.Dense(2, l2=0.1, dtype="float64")
    layer(np.ones((2, 3)))
    (penalty,) = layer.losses
    assert penalty.item() == pytest.approx(0.1 * (layer.kernel.numpy() ** 2).sum())
    assert cr.layers.Dense.from_config(layer.get_config()).l2 == 0.1


def test_activity_losses_are_those_of_the_last_call() -> None:
    layer = cr.layers.Dense(2, activity_regularizer="l2", dtype="float64")
    for rows in (2, 4):
        output = layer(np.ones((rows, 3)))
        (loss,) = layer.losses
        assert loss.item() == pytest.approx(0.01 * (output.numpy() ** 2).sum() / rows)


def test_losses_are_differentiable_and_traceable() -> None:
    layer = cr.layers.Dense(2, l2=0.1, activity_regularizer="l1", dtype="float64")
    x = np.random.default_rng(2).standard_normal((4, 3))
    layer(x)

    def step(inputs: cr.Tensor) -> list[cr.Tensor]:
        with cr.GradientTape() as tape:
            outputs = layer(inputs)
            total = (outputs * outputs).sum() + sum(layer.losses[1:], layer.losses[0])
        return tape.gradient(total, layer.trainable_variables)

    for traced, eager in zip(cr.jit(step)(x), step(cr.tensor(x)), strict=True):
        np.testing.assert_allclose(traced.numpy(), eager.numpy(), rtol=1e-12)


@pytest.mark.parametrize(
    ("make_bad", "error", "text"),
    [
        (lambda: cr.regularizers.get("l3"), UnknownNameError, "one of l1, l1_l2, l2"),
        (lambda: cr.regularizers.get(0.01), ArgumentError, "a name, a Regularizer"),
        (lambda: cr.regularizers.L2(-0.1), ArgumentError, "at least 0"),
        (lambda: cr.regularizers.L1(float("inf")), ArgumentError, "a finite number"),
        (lambda: cr.constraints.get("maxnrm"), UnknownNameError, "did you mean 'max_norm'?"),
        (lambda: cr.constraints.MaxNorm(-1.0), ArgumentError, "bad max_value"),
        (lambda: cr.constraints.UnitNorm(axis=0.5), ArgumentError, "bad axis"),
        (lambda: cr.layers.Dense(1, l2=0.1, kernel_regularizer="l1"), ArgumentError, "one of them"),
        (lambda: cr.layers.Dense(1, l2=-1), ArgumentError, "bad l2"),
    ],
)
def test_bad_arguments(make_bad: object, error: type[ChainruleError], text: str) -> None:
    with pytest.raises(error) as caught:
        make_bad()  # type: ignore[operator]  # a function of no arguments
    assert text in str(caught.value)
