"""L-BFGS against known minima and SciPy's implementation."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import chainrule as cr
from chainrule.errors import ArgumentError, GradientError, ShapeError, StateError
from chainrule.optimizers.line_search import Point, StrongWolfe

Function = Callable[[], tuple[float, list[NDArray[Any]]]]


class Counted:
    """The loss and gradients of a traced function at variables' values, counting calls."""

    def __init__(self, loss: Callable[[], cr.Tensor], variables: list[cr.Variable]) -> None:
        self.loss, self.variables, self.calls = loss, variables, 0

    def __call__(self) -> tuple[float, list[NDArray[Any]]]:
        self.calls += 1
        with cr.GradientTape() as tape:
            value = self.loss()
        return float(value), [g.numpy() for g in tape.gradient(value, self.variables)]


def minimize(
    optimizer: cr.optimizers.LBFGS, function: Any, variables: list[cr.Variable], limit: int = 200
) -> list[float]:
    losses = []
    while not optimizer.converged and len(losses) < limit:
        losses.append(optimizer.minimize_step(function, variables))
    return losses


def rosenbrock(w: cr.Tensor) -> cr.Tensor:
    a, b = w[:-1], w[1:]
    return cr.sum(100.0 * cr.square(b - cr.square(a)) + cr.square(1.0 - a))


@pytest.mark.parametrize("size", [2, 10])
def test_rosenbrock_as_scipy(size: int) -> None:
    optimize = pytest.importorskip("scipy.optimize")
    start = np.tile([-1.2, 1.0], size // 2)
    weight = cr.Variable(start)
    function = Counted(lambda: rosenbrock(weight), [weight])
    optimizer = cr.optimizers.LBFGS(tolerance=1e-9)
    losses = minimize(optimizer, function, [weight])
    result = optimize.minimize(
        optimize.rosen, start, jac=optimize.rosen_der, method="L-BFGS-B",
        options={"gtol": 1e-9, "ftol": 0.0},
    )  # fmt: skip
    np.testing.assert_allclose(weight.numpy(), np.ones(size), atol=1e-8)
    assert losses[-1] <= max(result.fun, 1e-15)
    assert np.all(np.diff(losses) <= 0)
    assert function.calls <= 1.5 * result.nfev
    assert optimizer.iterations.item() <= len(losses)


def logistic() -> tuple[NDArray[Any], NDArray[Any]]:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(200, 8)) * np.logspace(-1, 1, 8)
    noise = generator.logistic(size=200)
    return x, np.where(x @ generator.normal(size=8) + noise > 0, 1.0, -1.0)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_logistic_regression_as_scipy(dtype: str) -> None:
    optimize = pytest.importorskip("scipy.optimize")
    x, y = logistic()

    def reference(w: NDArray[Any]) -> tuple[float, NDArray[Any]]:
        margin = y * (x @ w[:-1] + w[-1])
        weight = -y / (1 + np.exp(margin)) / len(y)
        gradient = np.concatenate([x.T @ weight + 0.01 * w[:-1], [weight.sum()]])
        return np.logaddexp(0, -margin).mean() + 0.005 * (w[:-1] @ w[:-1]), gradient

    result = optimize.minimize(
        reference, np.zeros(9), jac=True, method="L-BFGS-B", options={"gtol": 1e-10, "ftol": 0.0}
    )
    kernel, bias = cr.Variable(np.zeros(8, dtype)), cr.Variable(np.zeros((), dtype))
    data, signs = cr.tensor(x.astype(dtype)), cr.tensor(y.astype(dtype))

    def loss() -> cr.Tensor:
        margin = signs * (data @ kernel + bias)
        return cr.mean(cr.softplus(-margin)) + 0.005 * cr.sum(cr.square(kernel))

    function = Counted(loss, [kernel, bias])
    optimizer = cr.optimizers.LBFGS(tolerance=1e-9)
    losses = minimize(optimizer, function, [kernel, bias])
    tolerance = 1e-8 if dtype == "float64" else 1e-3
    assert optimizer.converged
    assert losses[-1] == pytest.approx(result.fun, rel=1e-12 if dtype == "float64" else 1e-6)
    found = np.append(kernel.numpy(), bias.numpy())
    np.testing.assert_allclose(found, result.x, atol=tolerance)
    assert kernel.dtype == dtype
    if dtype == "float64":
        assert function.calls <= 1.5 * result.nfev


def test_resume_to_the_bit() -> None:
    whole = cr.Variable(np.array([-1.2, 1.0]))
    optimizer = cr.optimizers.LBFGS(history_size=4)
    for _ in range(14):
        optimizer.minimize_step(Counted(lambda: rosenbrock(whole), [whole]), [whole])
    half = cr.Variable(np.array([-1.2, 1.0]))
    first = cr.optimizers.LBFGS(history_size=4)
    function = Counted(lambda: rosenbrock(half), [half])
    for _ in range(8):
        first.minimize_step(function, [half])
    again = cr.Variable(half.numpy())
    second = cr.optimizers.LBFGS.from_config(first.get_config())
    second.build([again])
    second.load_state(first.state())
    resumed = Counted(lambda: rosenbrock(again), [again])
    for _ in range(6):
        assert isinstance(second, cr.optimizers.LBFGS)
        second.minimize_step(resumed, [again])
    assert again.numpy().tobytes() == whole.numpy().tobytes()
    assert second.iterations.item() == 14


def test_same_function_is_not_evaluated_twice_at_one_point() -> None:
    weight = cr.Variable(np.array([3.0, -1.0]))
    function = Counted(lambda: cr.sum(cr.square(weight)), [weight])
    optimizer = cr.optimizers.LBFGS(tolerance=0.0)
    optimizer.minimize_step(function, [weight])
    before = function.calls
    optimizer.minimize_step(function, [weight])
    assert function.calls == before + 1
    weight.assign(np.array([2.0, 2.0]))
    optimizer.minimize_step(function, [weight])
    assert function.calls >= before + 3


def test_variables_are_kept_when_interrupted() -> None:
    weight = cr.Variable(np.array([-1.2, 1.0]))
    function = Counted(lambda: rosenbrock(weight), [weight])

    def interrupted() -> tuple[float, list[NDArray[Any]]]:
        if function.calls >= 2:
            raise KeyboardInterrupt
        return function()

    with pytest.raises(KeyboardInterrupt):
        cr.optimizers.LBFGS().minimize_step(interrupted, [weight])
    np.testing.assert_array_equal(weight.numpy(), [-1.2, 1.0])


def test_steps_past_infinite_losses() -> None:
    weight = cr.Variable(np.array([3.0]))

    def function() -> tuple[float, list[NDArray[Any]]]:
        w = weight.numpy()
        with np.errstate(invalid="ignore", divide="ignore"):
            return float((w - np.log(w))[0]), [1 - 1 / w]

    optimizer = cr.optimizers.LBFGS(learning_rate=20.0)
    minimize(optimizer, function, [weight])
    assert weight.item() == pytest.approx(1.0, abs=1e-6)


def test_no_step_lowers_the_loss() -> None:
    weight = cr.Variable(np.array([1.0]))
    optimizer = cr.optimizers.LBFGS()
    assert optimizer.minimize_step(lambda: (2.0, [np.ones(1)]), [weight]) == 2.0
    assert optimizer.converged
    assert weight.item() == 1.0


def test_pairs_of_negative_curvature_are_left_out() -> None:
    """Two evaluations are too few to leave the hill top of the cosine."""
    weight = cr.Variable(np.array([0.1]))
    function = Counted(lambda: cr.sum(cr.cos(weight)), [weight])
    optimizer = cr.optimizers.LBFGS(learning_rate=0.01, max_evaluations=2)
    assert optimizer.minimize_step(function, [weight]) < np.cos(0.1)
    assert optimizer.state()["lbfgs/stored"] == 0


def test_begins_afresh_where_the_stored_pairs_fail() -> None:
    weight = cr.Variable(np.array([1.0]))
    optimizer = cr.optimizers.LBFGS(max_evaluations=4, tolerance=1e-20)
    flat = Counted(lambda: 1e-8 * cr.sum(cr.square(weight - 3.0)), [weight])
    optimizer.minimize_step(flat, [weight])
    assert optimizer.state()["lbfgs/stored"] == 1
    weight.assign(np.array([1.0]))
    steep = Counted(lambda: 1e8 * cr.sum(cr.square(weight - 1.5)), [weight])
    assert optimizer.minimize_step(steep, [weight]) < 0.25e8
    assert not optimizer.converged


def test_line_search_comes_back_from_huge_losses() -> None:
    def evaluate(a: float) -> Point:
        value = math.exp(8.0 * min(a, 50.0))
        slope = 8.0 * value - 1e5
        return Point(a, value - 1e5 * a, slope, np.array([slope]))

    found = StrongWolfe(evaluate, evaluate(0.0), 0.0).search(1000.0)
    assert found is not None
    assert abs(found.slope) <= 0.9 * 1e5


def test_line_search_does_not_creep_below_a_cliff() -> None:
    """Cubics through the cliff's top point to just beside the lower end, again and again."""

    def evaluate(a: float) -> Point:
        share = 1.0 / (1.0 + math.exp(min(90.0 * (13.0 - a), 500.0)))
        value = 400.0 * share - 0.03 * a + 0.001 * a * a
        slope = 400.0 * 90.0 * share * (1.0 - share) - 0.03 + 0.002 * a
        return Point(a, value, slope, np.array([slope]))

    found = StrongWolfe(evaluate, evaluate(0.0), 0.0, max_evaluations=5).search(15.0)
    assert found is not None
    assert abs(found.slope) <= 0.9 * 0.03


def test_errors() -> None:
    weight = cr.Variable(np.ones(2), name="w")
    optimizer = cr.optimizers.LBFGS()
    assert optimizer.full_batch
    assert not cr.optimizers.Adam.full_batch
    with pytest.raises(StateError, match="minimize_step"):
        optimizer.apply_gradients([(np.ones(2), weight)])
    with pytest.raises(GradientError, match="'w'"):
        optimizer.minimize_step(lambda: (1.0, [None]), [weight])
    with pytest.raises(GradientError, match="not finite"):
        optimizer.minimize_step(lambda: (float("nan"), [np.ones(2)]), [weight])
    with pytest.raises(ShapeError, match=r"\[w\]"):
        optimizer.minimize_step(lambda: (1.0, [np.ones(3)]), [weight])
    with pytest.raises(ArgumentError, match="no variables"):
        optimizer.build([])
    constrained = cr.Variable(np.ones(2), name="w")
    constrained.constraint = cr.abs
    with pytest.raises(ArgumentError, match="constraint"):
        optimizer.build([constrained])


@pytest.mark.parametrize("curvature", [0.01, 0.1, 0.9])
@pytest.mark.parametrize("first", [1e-4, 0.1, 1.0, 50.0, 1e4])
def test_line_search_meets_the_strong_wolfe_conditions(first: float, curvature: float) -> None:
    def evaluate(a: float) -> Point:
        # Moré and Thuente's second function, with a long flat stretch.
        value = (a + 0.004) ** 5 - 2 * (a + 0.004) ** 4
        slope = 5 * (a + 0.004) ** 4 - 8 * (a + 0.004) ** 3
        return Point(a, value, slope, np.array([slope]))

    start = evaluate(0.0)
    found = StrongWolfe(evaluate, start, 0.0, curvature=curvature, max_evaluations=30).search(first)
    assert found is not None
    assert found.value <= start.value + 1e-4 * found.step * start.slope
    assert abs(found.slope) <= curvature * abs(start.slope)
