"""Every loss against finite differences in float64, first and second order."""

import numpy as np
import pytest
from loss_samples import CASES, IDS

import chainrule as cr
from chainrule import losses


@pytest.mark.parametrize(("name", "number", "options", "y_true", "y_pred"), CASES, ids=IDS)
def test_gradient_of_each_row(name, number, options, y_true, y_pred):
    function = losses.LOSSES[name].function
    cr.check_gradients(lambda p: function(y_true, p, **options), y_pred)


@pytest.mark.parametrize(
    "name",
    ["half_squared_error", "mean_squared_error", "huber", "log_cosh", "cosine_similarity"],
)
def test_gradient_of_targets_too(name):
    function = losses.LOSSES[name].function
    y_true, y_pred = next(case[3:] for case in CASES if case[0] == name)
    cr.check_gradients(function, y_true, y_pred)


@pytest.mark.parametrize("name", ["cross_entropy", "kl_divergence", "focal_cross_entropy"])
def test_gradient_of_soft_targets(name):
    function = losses.LOSSES[name].function
    y_true, y_pred = next(c[3:] for c in CASES if c[0] == name and c[3].shape == c[4].shape)
    cr.check_gradients(function, y_true, y_pred)


@pytest.mark.parametrize(
    ("loss", "activation"),
    [
        (losses.CrossEntropy(), cr.softmax),
        (losses.CrossEntropy(label_smoothing=0.1), cr.functions.log_softmax),
        (losses.FocalCrossEntropy(), cr.softmax),
        (losses.KLDivergence(), cr.softmax),
        (losses.BinaryCrossEntropy(), cr.sigmoid),
        (losses.BinaryFocalCrossEntropy(), cr.sigmoid),
    ],
    ids=lambda x: getattr(x, "__name__", None) or repr(x),
)
def test_gradient_through_a_folded_activation(loss, activation):
    random = np.random.default_rng(5)
    logits = random.normal(size=(5, 4))
    y_true = np.eye(4)[[0, 1, 3, 2, 2]]
    weights = random.uniform(0.5, 2.0, size=5)
    cr.check_gradients(lambda z: loss(y_true, activation(z), sample_weight=weights), logits)


def test_gradient_of_weighted_and_masked_means():
    random = np.random.default_rng(6)
    logits, weights = random.normal(size=(3, 4, 5)), random.uniform(size=(3, 4))
    y_true = random.integers(0, 5, size=(3, 4))
    mask = np.arange(4) < np.array([[4], [2], [3]])
    y_true[~mask] = -100
    cr.check_gradients(
        lambda z, w: losses.CrossEntropy()(y_true, z, sample_weight=w, mask=mask), logits, weights
    )


@pytest.mark.parametrize(
    ("loss", "y_true"),
    [
        (losses.CrossEntropy(), [0, 1, 1]),
        (losses.BinaryCrossEntropy(), [[0, 1], [1, 1], [0, 0]]),
        (losses.FocalCrossEntropy(), [0, 1, 1]),
        (losses.BinaryFocalCrossEntropy(), [[0, 1], [1, 1], [0, 0]]),
        (losses.KLDivergence(), [[0.5, 0.5], [1, 0], [0.1, 0.9]]),
        (losses.LogCosh(), [[0, 0], [0, 0], [0, 0]]),
    ],
    ids=repr,
)
def test_gradient_where_all_logits_are_zero(loss, y_true):
    """A network whose last layer starts at zero: the kinks of max and abs must not show."""
    cr.check_gradients(lambda z: loss(y_true, z), np.zeros((3, 2)))


def test_half_squared_error_has_the_article_s_delta():
    y, a = np.array([[1.0, -2.0], [0.5, 3.0]]), np.array([[0.0, 1.0], [2.0, 2.0]])
    gradient = cr.grad(lambda p: cr.sum(losses.half_squared_error(y, p)))(cr.tensor(a))
    assert gradient.numpy() == pytest.approx(a - y)
    assert float(losses.HalfSquaredError()(y, a)) == 0.5 * ((y - a) ** 2).sum() / 2


def test_gradient_inside_jit_equals_eager():
    for name, _, options, y_true, y_pred in CASES:
        loss = losses.get(name, **options)

        def run(y, p, loss=loss):
            return cr.value_and_grad(lambda q: loss(y, q))(p)

        p = cr.tensor(y_pred)
        for eager, traced in zip(run(y_true, p), cr.jit(run)(y_true, p), strict=True):
            assert traced.numpy() == pytest.approx(eager.numpy(), rel=1e-12, abs=1e-14), name
