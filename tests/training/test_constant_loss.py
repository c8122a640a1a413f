"""The loss of the best constant prediction, against every constant of a fine grid."""

from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

import chainrule as cr
from chainrule.training.constant import constant_loss

RNG = np.random.default_rng(3)
VALUES = RNG.gamma(2.0, size=(60, 1)) + 0.1
LABELS = RNG.integers(0, 2, (60, 1)) * RNG.integers(0, 2, (60, 1))
CLASSES = RNG.choice(4, 80, p=[0.5, 0.3, 0.15, 0.05])
WEIGHTS = RNG.uniform(0.1, 2.0, 60)

OF_VALUES: list[tuple[str, dict[str, Any]]] = [
    ("mse", {}), ("half_mse", {}), ("mae", {}), ("mape", {}), ("msle", {}), ("log_cosh", {}),
    ("huber", {"delta": 0.5}), ("quantile", {"quantile": 0.8}), ("poisson", {}),
    ("poisson", {"log_input": True}),
]  # fmt: skip
OF_LABELS: list[tuple[str, dict[str, Any]]] = [
    ("binary_cross_entropy", {}), ("binary_cross_entropy", {"label_smoothing": 0.2}),
    ("hinge", {}), ("squared_hinge", {}), ("binary_focal_cross_entropy", {"alpha": 0.7}),
]  # fmt: skip


def made(name: str, options: dict[str, Any]) -> cr.losses.Loss:
    kind = type(cr.losses.get(name))
    logits: dict[str, Any] = (
        {"from_logits": True} if issubclass(kind, cr.losses.ProbabilityLoss) else {}
    )
    return kind(**options, **logits)


def found(loss: cr.losses.Loss, y: Any, weights: Any = None, outputs: Any = None) -> float:
    value = constant_loss(loss, y, weights, outputs)
    assert value is not None
    return value


def best_of_grid(loss: cr.losses.Loss, y: Any, weights: Any) -> float:
    grid = np.linspace(-4, 8, 2401)
    tried = [float(loss(y, np.full(y.shape, c), sample_weight=weights)) for c in grid]
    return min(tried)


@pytest.mark.parametrize(("name", "options"), OF_VALUES)
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
def test_no_constant_does_better_for_values(name: str, options: Any, weights: Any) -> None:
    loss = made(name, options)
    assert found(loss, VALUES, weights) == pytest.approx(
        best_of_grid(loss, VALUES, weights), rel=1e-3, abs=1e-4
    )


@pytest.mark.parametrize(("name", "options"), OF_LABELS)
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
def test_no_constant_does_better_for_labels(name: str, options: Any, weights: Any) -> None:
    loss = made(name, options)
    assert found(loss, LABELS, weights) == pytest.approx(
        best_of_grid(loss, LABELS, weights), rel=1e-3, abs=1e-4
    )


@pytest.mark.parametrize(
    ("name", "options"),
    [("cross_entropy", {}), ("cross_entropy", {"label_smoothing": 0.1}), ("kl_divergence", {})],
)
@pytest.mark.parametrize("kind", ["numbers", "one-hot", "soft"])
def test_classes(name: str, options: Any, kind: str) -> None:
    loss = made(name, options)
    y: Any = {"numbers": CLASSES, "one-hot": np.eye(4)[CLASSES],
              "soft": RNG.dirichlet(np.ones(4), 80)}[kind]  # fmt: skip
    weights = RNG.uniform(0.1, 2.0, 80)

    def of(logits: Any) -> float:
        return float(loss(y, np.tile(logits, (80, 1)), sample_weight=weights))

    best = minimize(of, np.array([1.0, 0.5, 0.0, -0.5]), tol=1e-9)
    assert found(loss, y, weights, (4,)) == pytest.approx(best.fun, rel=1e-5, abs=1e-6)
    assert found(loss, y, weights) == pytest.approx(best.fun, rel=1e-5, abs=1e-6)


def test_every_column_has_its_own_constant() -> None:
    y = RNG.normal(size=(50, 3)) * [1, 10, 100] + [0, 5, 50]
    each = [found(cr.losses.get("huber"), y[:, i]) for i in range(3)]
    assert found(cr.losses.get("huber"), y) == pytest.approx(np.mean(each))
    assert found(cr.losses.get("mse"), y) == pytest.approx(y.var(axis=0).mean())
    assert found(cr.losses.get("half_mse"), y) == pytest.approx(y.var(axis=0).sum() / 2)


def test_classes_at_each_time_step_and_weights_of_each() -> None:
    y = RNG.integers(0, 3, (20, 5))
    weights = RNG.uniform(0.1, 2, (20, 5))
    q = np.array([weights[y == c].sum() for c in range(3)]) / weights.sum()
    loss = cr.losses.get("cross_entropy")
    assert found(loss, y, weights, (5, 3)) == pytest.approx(-(q * np.log(q)).sum())


def test_many_rows_are_searched_in_part_and_measured_whole() -> None:
    y = RNG.normal(size=(40_000, 1))
    exact = 0.5 * np.abs(y - np.median(y)).mean()
    assert exact <= found(cr.losses.get("quantile"), y) * (1 + 1e-9) <= exact * 1.001


def test_without_a_search_the_mean_is_taken() -> None:
    for name in ("huber", "quantile", "mape", "poisson"):
        loss = cr.losses.get(name)
        rough = constant_loss(loss, VALUES, search=False)
        assert rough == pytest.approx(float(loss(VALUES, np.full_like(VALUES, VALUES.mean()))))
        assert found(loss, VALUES) <= rough * (1 + 1e-6)


def test_unknown_losses_say_so() -> None:
    for name in ("ctc", "cosine_similarity", "gaussian_nll", "categorical_hinge"):
        assert constant_loss(cr.losses.get(name), np.ones((4, 2))) is None
    own = cr.losses.get(lambda y, p: cr.mean((y - p) ** 2))
    assert constant_loss(own, np.ones((4, 2))) is None
    assert constant_loss(cr.losses.get("mse"), np.ones((0, 2))) is None
