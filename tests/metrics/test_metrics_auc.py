"""The area under the ROC curve: close to scikit-learn's exact value, within the stated bound."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import metrics
from chainrule.errors import ArgumentError

sk = pytest.importorskip("sklearn.metrics")


def _compute(metric, y, p, weights=None, parts=7):
    metric.reset()
    for rows in np.array_split(np.arange(len(y)), parts):
        metric.update(y[rows], p[rows], None if weights is None else weights[rows])
    return metric.result()


def _scores(kind, random, y):
    z = random.normal(size=len(y)) + 1.2 * y
    return {
        "spread": 1 / (1 + np.exp(-z)),
        "confident": 1 / (1 + np.exp(-12 * z)),
        "rare": 1 / (1 + np.exp(-(z - 9))),
        "float32": (1 / (1 + np.exp(-z))).astype("float32"),
        "outside": z,
        "ties": np.round(1 / (1 + np.exp(-z)), 1),
    }[kind]


@pytest.mark.parametrize("rows", [30, 1000, 20000])
@pytest.mark.parametrize("kind", ["spread", "confident", "rare", "float32", "outside", "ties"])
def test_close_to_the_exact_area(kind, rows):
    random = np.random.default_rng(rows)
    y = (random.uniform(size=rows) < 0.3).astype(int)
    p = _scores(kind, random, y)
    weights = random.uniform(0.5, 2.0, size=rows)
    for w in (None, weights):
        metric = metrics.AUC()
        difference = abs(_compute(metric, y, p, w) - sk.roc_auc_score(y, p, sample_weight=w))
        assert difference <= metric.error_bound + 1e-12
        if rows > 30:
            assert difference < (1e-4 if rows == 1000 else 1e-5)
        if kind == "ties":
            assert difference < 1e-12
        else:
            assert metric.error_bound < 0.003


def test_exact_when_scores_fall_in_bins_of_their_own():
    p = np.linspace(0.01, 0.99, 99)
    y = (np.random.default_rng(0).uniform(size=99) < p).astype(int)
    metric = metrics.AUC()
    assert _compute(metric, y, p) == pytest.approx(sk.roc_auc_score(y, p), abs=1e-14)
    assert metric.error_bound == 0


def test_several_classes_and_columns():
    random = np.random.default_rng(1)
    p = random.dirichlet(np.ones(4), size=500)
    y = np.array([random.choice(4, p=row) for row in p])
    exact = sk.roc_auc_score(y, p, multi_class="ovr")
    assert metrics.AUC().compute(y, p) == pytest.approx(exact, abs=1e-4)
    assert metrics.AUC().compute(np.eye(4)[y], p) == pytest.approx(exact, abs=1e-4)
    many = (random.uniform(size=(500, 4)) < p).astype(int)
    exact = sk.roc_auc_score(many, p)
    assert metrics.AUC(multi_label=True).compute(many, p) == pytest.approx(exact, abs=1e-4)


def test_two_columns_are_two_classes():
    random = np.random.default_rng(2)
    p = random.uniform(size=300)
    y = (random.uniform(size=300) < p).astype(int)
    two = np.stack([1 - p, p], axis=1)
    expected = metrics.AUC().compute(y, p)
    assert metrics.AUC().compute(y, two) == pytest.approx(expected, abs=1e-6)
    assert metrics.AUC().compute(y, p[:, None]) == expected


def test_a_final_sigmoid_is_ranked_by_its_logits():
    z = cr.tensor(np.array([[60.0], [50.0], [40.0]]))
    p = cr.sigmoid(z)  # all of them round to 1
    assert metrics.AUC().compute([1, 0, 0], p) == 1.0
    assert metrics.AUC().compute([1, 0, 0], p.numpy()) == 0.5


def test_margins_of_a_hinge_loss():
    metric = metrics.get("auc", loss=cr.losses.Hinge())
    assert metric.from_logits is True
    z = np.array([-300.0, -200.5, 0.0, 7.0, 7000.0, 90000.0])
    assert metric.compute([0, 0, 1, 0, 1, 1], z) == pytest.approx(8 / 9)


@pytest.mark.parametrize("traced", [False, True])
def test_undefined_areas_are_nan(traced):
    metric = metrics.AUC()
    assert np.isnan(metric.result())
    assert np.isnan(metric.error_bound)
    update = cr.jit(metric.update) if traced else metric.update
    update(np.array([1, 1]), np.array([0.2, 0.3]))
    assert np.isnan(metric.result())
    assert np.isnan(metric.error_bound)
    update(np.array([0, 1]), np.array([0.1, np.nan]))
    assert np.isnan(metric.result())


def test_infinite_scores_have_a_place():
    metric = metrics.AUC(from_logits=True)
    assert metric.compute([0, 1, 1], np.array([-np.inf, 0.0, np.inf])) == 1.0


def test_bins_out_of_range():
    with pytest.raises(ArgumentError, match="bins out of range: got 1"):
        metrics.AUC(bins=1)
