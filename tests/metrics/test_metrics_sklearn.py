"""Metrics over uneven batches against scikit-learn on the whole data, eager and inside jit."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import metrics

sk = pytest.importorskip("sklearn.metrics")

ROWS = 211
CUTS = [1, 2, 40, 41, 150]  # batches of 1, 1, 38, 1, 109 and 61 rows
_RANDOM = np.random.default_rng(11)
SCORES = _RANDOM.dirichlet(np.ones(4), size=ROWS)
CLASSES = np.array([_RANDOM.choice(4, p=0.5 * row + 0.125) for row in SCORES])
ONE_HOT = np.eye(4)[CLASSES]
YES_SCORES = _RANDOM.uniform(size=ROWS)
YES = (_RANDOM.uniform(size=ROWS) < YES_SCORES).astype(int)
LABELS = (_RANDOM.uniform(size=(ROWS, 3)) < 0.4).astype(int)
LABEL_SCORES = np.clip(0.3 * LABELS + 0.7 * _RANDOM.uniform(size=(ROWS, 3)), 0, 1)
VALUES = _RANDOM.normal(size=(ROWS, 2)) * [1.0, 5.0] + [3.0, 1000.0]
PREDICTED = VALUES + _RANDOM.normal(size=(ROWS, 2))
WEIGHTS = _RANDOM.uniform(0.1, 3.0, size=ROWS)

chosen = SCORES.argmax(axis=1)
yes = YES_SCORES > 0.5
labels = LABEL_SCORES > 0.5


def _average(function, average):
    return lambda y, p, w: function(y, p, sample_weight=w, average=average, zero_division=0)


def _case(metric, y_true, y_pred, reference, y_reference, p_reference):
    return metric, y_true, y_pred, reference, y_reference, p_reference


def _weighted(function):
    return lambda y, p, w: function(y, p, sample_weight=w)


def _classification_cases():
    yield _case("accuracy", CLASSES, SCORES, _weighted(sk.accuracy_score), CLASSES, chosen)
    yield _case("accuracy", ONE_HOT, SCORES, _weighted(sk.accuracy_score), CLASSES, chosen)
    yield _case("accuracy", YES, YES_SCORES, _weighted(sk.accuracy_score), YES, yes)
    yield _case("accuracy", YES, YES_SCORES[:, None], _weighted(sk.accuracy_score), YES, yes)
    yield _case("accuracy", CLASSES, chosen, _weighted(sk.accuracy_score), CLASSES, chosen)
    yield _case(
        "categorical_accuracy", CLASSES, SCORES, _weighted(sk.accuracy_score), CLASSES, chosen
    )
    yield _case(
        "binary_accuracy",
        LABELS,
        LABEL_SCORES,
        lambda y, p, w: np.average((y == p).mean(axis=1), weights=w),
        LABELS,
        labels,
    )
    for k in (1, 2, 3):
        yield _case(
            metrics.TopKAccuracy(k),
            CLASSES,
            SCORES,
            lambda y, p, w, k=k: sk.top_k_accuracy_score(
                y, p, k=k, sample_weight=w, labels=[0, 1, 2, 3]
            ),
            CLASSES,
            SCORES,
        )
    scores = {"precision": sk.precision_score, "recall": sk.recall_score, "f1": sk.f1_score}
    for name, function in scores.items():
        binary = _average(function, "binary")
        yield _case(name, YES, YES_SCORES, binary, YES, yes)
        two = np.stack([1 - YES_SCORES, YES_SCORES], axis=1)
        metric = metrics.get(name, average="binary")
        yield _case(metric, YES, two, binary, YES, yes)
        for average in ("macro", "micro", "weighted"):
            reference = _average(function, average)
            yield _case(f"{name}_{average}", CLASSES, SCORES, reference, CLASSES, chosen)
            yield _case(f"{name}_{average}", ONE_HOT, SCORES, reference, CLASSES, chosen)
            metric = metrics.get(name, average=average, num_classes=4)
            yield _case(metric, CLASSES, chosen, reference, CLASSES, chosen)
            metric = metrics.get(name, average=average, multi_label=True)
            yield _case(metric, LABELS, LABEL_SCORES, reference, LABELS, labels)
        metric = metrics.get(name, average=None)
        yield _case(metric, CLASSES, SCORES, _average(function, None), CLASSES, chosen)
    yield _case(
        "confusion_matrix", CLASSES, SCORES, _weighted(sk.confusion_matrix), CLASSES, chosen
    )
    yield _case("confusion_matrix", YES, YES_SCORES, _weighted(sk.confusion_matrix), YES, yes)
    metric = metrics.ConfusionMatrix(num_classes=4)
    yield _case(metric, CLASSES, chosen, _weighted(sk.confusion_matrix), CLASSES, chosen)
    yield _case("cross_entropy", CLASSES, SCORES, _weighted(sk.log_loss), CLASSES, SCORES)
    yield _case("binary_crossentropy", YES, YES_SCORES, _weighted(sk.log_loss), YES, YES_SCORES)
    signed, margin = 2 * YES - 1, 4 * YES_SCORES - 2
    yield _case("hinge", signed, margin, _weighted(sk.hinge_loss), YES, margin)
    yield _case("categorical_hinge", CLASSES, SCORES, _weighted(sk.hinge_loss), CLASSES, SCORES)


def _value_cases():
    two = (VALUES, PREDICTED)
    one = (VALUES[:, 0], PREDICTED[:, :1])
    for y, p in (two, one):
        yield _case("mae", y, p, _weighted(sk.mean_absolute_error), y, p)
        yield _case("mse", y, p, _weighted(sk.mean_squared_error), y, p)
        yield _case("r2", y, p, _weighted(sk.r2_score), y, p)
        yield _case(
            "rmse", y, p, lambda y, p, w: sk.mean_squared_error(y, p, sample_weight=w) ** 0.5, y, p
        )
    yield _case(
        metrics.MeanLoss(cr.losses.Quantile(0.8)),
        *two,
        lambda y, p, w: sk.mean_pinball_loss(y, p, alpha=0.8, sample_weight=w),
        *two,
    )
    positive = (np.abs(VALUES), np.abs(PREDICTED))
    yield _case("msle", *positive, _weighted(sk.mean_squared_log_error), *positive)
    yield _case(
        "mape",
        *two,
        lambda y, p, w: 100 * sk.mean_absolute_percentage_error(y, p, sample_weight=w),
        *two,
    )


CASES = [*_classification_cases(), *_value_cases()]
IDS = [f"{n}-{c[0] if isinstance(c[0], str) else type(c[0]).__name__}" for n, c in enumerate(CASES)]


def _in_batches(update, *arrays):
    for parts in zip(*(np.split(a, CUTS) for a in arrays), strict=True):
        update(*parts)


@pytest.mark.parametrize("traced", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize(
    ("name", "y_true", "y_pred", "reference", "y_reference", "p_reference"), CASES, ids=IDS
)
def test_uneven_batches_give_the_value_of_the_whole(
    name, y_true, y_pred, reference, y_reference, p_reference, weighted, traced
):
    metric = metrics.get(name)
    metric.reset()
    update = cr.jit(metric.update) if traced else metric.update
    weights = (WEIGHTS,) if weighted else ()
    _in_batches(update, y_true, y_pred, *weights)
    expected = reference(y_reference, p_reference, WEIGHTS if weighted else None)
    np.testing.assert_allclose(metric.result(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_float32_predictions_are_summed_in_float64(dtype):
    """A million small errors: a float32 sum would stand still."""
    metric = metrics.get("mae")
    ones = np.full(250_000, 0.1, dtype)
    for _ in range(4):
        metric.update(np.zeros(250_000, dtype), ones)
    assert metric.result() == pytest.approx(float(dtype_value(0.1, dtype)), rel=1e-12)


def dtype_value(x, dtype):
    return np.asarray(x, dtype)


def test_r2_keeps_its_digits_beside_a_large_offset():
    random = np.random.default_rng(3)
    y = random.normal(size=1000) + 1e8
    p = y + 0.1 * random.normal(size=1000)
    metric = metrics.R2()
    for part in range(0, 1000, 37):
        metric.update(y[part : part + 37], p[part : part + 37])
    assert metric.result() == pytest.approx(sk.r2_score(y, p), rel=1e-9)


def test_r2_of_equal_targets():
    assert metrics.R2().compute([2.0, 2.0], [2.0, 2.0]) == 1.0
    assert metrics.R2().compute([2.0, 2.0], [2.0, 3.0]) == 0.0


def test_sequences_are_rows_of_their_own():
    random = np.random.default_rng(4)
    scores = random.dirichlet(np.ones(3), size=(6, 5))
    y = random.integers(0, 3, size=(6, 5))
    mask = random.uniform(size=(6, 5)) > 0.3
    flat, kept = y[mask], scores[mask].argmax(axis=-1)
    for name, expected in [
        ("accuracy", sk.accuracy_score(flat, kept)),
        ("f1_macro", sk.f1_score(flat, kept, average="macro")),
        ("confusion_matrix", sk.confusion_matrix(flat, kept)),
    ]:
        value = metrics.get(name).compute(y, scores, sample_weight=mask)
        np.testing.assert_allclose(value, expected, rtol=1e-12)


def test_classes_that_never_occur_do_not_count_in_a_macro_mean():
    scores = np.eye(5)[[0, 1, 1, 2]]
    y = [0, 1, 2, 2]
    expected = sk.f1_score(y, scores.argmax(1), average="macro")
    assert metrics.get("f1_macro").compute(y, scores) == pytest.approx(expected)
