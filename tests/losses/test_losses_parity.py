"""Every loss against PyTorch in float64: values and gradients to 1e-10."""

import math

import numpy as np
import pytest
from loss_samples import CASES, IDS, SAMPLES

import chainrule as cr
from chainrule import losses

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity
nn = torch.nn.functional


def _cross_entropy(y, p, from_logits=True, label_smoothing=0.0):
    if not from_logits:
        log_p = torch.log(p)
        t = y if y.shape == p.shape else nn.one_hot(y.long(), p.shape[-1]).double()
        return -(((1 - label_smoothing) * t + label_smoothing / p.shape[-1]) * log_p).sum(-1)
    target = torch.movedim(y, -1, 1) if y.shape == p.shape else y.long()
    classes_second = torch.movedim(p, -1, 1)
    return nn.cross_entropy(
        classes_second, target, reduction="none", label_smoothing=label_smoothing
    )


def _binary(y, p, from_logits=True, label_smoothing=0.0):
    y = (1 - label_smoothing) * y + label_smoothing / 2
    function = nn.binary_cross_entropy_with_logits if from_logits else nn.binary_cross_entropy
    return function(p, y, reduction="none").mean(-1)


def _focal(y, p, from_logits=True, gamma=2.0, alpha=None):
    q = torch.softmax(p, -1) if from_logits else p
    t = y if y.shape == p.shape else nn.one_hot(y.long(), p.shape[-1]).double()
    weight = torch.tensor(1.0 if alpha is None else alpha, dtype=torch.float64)
    return -(weight * t * (1 - q) ** gamma * torch.log(q)).sum(-1)


def _binary_focal(y, p, from_logits=True, gamma=2.0, alpha=None, label_smoothing=0.0):
    y = (1 - label_smoothing) * y + label_smoothing / 2
    q = torch.sigmoid(p) if from_logits else p
    yes, no = (1, 1) if alpha is None else (alpha, 1 - alpha)
    hit = yes * y * (1 - q) ** gamma * torch.log(q)
    miss = no * (1 - y) * q**gamma * torch.log(1 - q)
    return -(hit + miss).mean(-1)


def _signed(y):
    return torch.where(y == 0, -torch.ones_like(y), y)


def _categorical_hinge(y, p):
    right = (y if y.shape == p.shape else nn.one_hot(y.long(), p.shape[-1])).bool()
    others = torch.where(right, torch.full_like(p, -math.inf), p).max(-1).values
    return torch.relu(1 + others - p[right])


def _ctc(y, p, from_logits=True, blank=0, zero_infinity=False):
    # PyTorch's gradient is that of the logits behind log_softmax, whatever came before.
    logits = p if from_logits else torch.log(p)
    rows = nn.ctc_loss(
        torch.log_softmax(logits, -1).transpose(0, 1), y.clamp(min=0),
        torch.full((len(y),), p.shape[1]), (y >= 0).sum(1), blank=blank % p.shape[-1],
        reduction="none", zero_infinity=zero_infinity,
    )  # fmt: skip
    return rows if from_logits else rows - torch.log(p.sum(-1)).sum(-1)


def _kl(y, p, from_logits=True):
    log_p = torch.log_softmax(p, -1) if from_logits else torch.log(p)
    return nn.kl_div(log_p, y, reduction="none").sum(-1)


def _gaussian(y, p, full=False):
    mean, log_variance = p.chunk(2, -1)
    y = y.reshape(mean.shape)
    return nn.gaussian_nll_loss(mean, y, log_variance.exp(), full=full, reduction="none").mean(-1)


def _aligned(function):
    return lambda y, p, **options: function(y.reshape(p.shape), p, **options).mean(-1)


REFERENCE = {
    "half_squared_error": lambda y, p: 0.5 * ((y.reshape(p.shape) - p) ** 2).sum(-1),
    "mean_squared_error": _aligned(lambda y, p: nn.mse_loss(p, y, reduction="none")),
    "mean_absolute_error": _aligned(lambda y, p: nn.l1_loss(p, y, reduction="none")),
    "mean_absolute_percentage_error": _aligned(lambda y, p: 100 * ((y - p) / y).abs()),
    "mean_squared_logarithmic_error": _aligned(lambda y, p: (torch.log1p(y) - torch.log1p(p)) ** 2),
    "huber": _aligned(lambda y, p, delta=1.0: nn.huber_loss(p, y, delta=delta, reduction="none")),
    "log_cosh": _aligned(lambda y, p: torch.log(torch.cosh(p - y))),
    "quantile_loss": _aligned(
        lambda y, p, quantile=0.5: torch.maximum(quantile * (y - p), (quantile - 1) * (y - p))
    ),
    "cosine_similarity": lambda y, p: -nn.cosine_similarity(y, p, dim=-1),
    "cross_entropy": _cross_entropy,
    "binary_cross_entropy": _binary,
    "focal_cross_entropy": _focal,
    "binary_focal_cross_entropy": _binary_focal,
    "hinge": lambda y, p: torch.relu(1 - _signed(y) * p).mean(-1),
    "squared_hinge": lambda y, p: (torch.relu(1 - _signed(y) * p) ** 2).mean(-1),
    "categorical_hinge": _categorical_hinge,
    "ctc": _ctc,
    "kl_divergence": _kl,
    "poisson": lambda y, p, log_input=False: nn.poisson_nll_loss(
        p, y, log_input=log_input, eps=0.0, reduction="none"
    ).mean(-1),
    "gaussian_negative_log_likelihood": _gaussian,
}


def test_no_reference_is_missing():
    assert set(losses.LOSSES) - set(REFERENCE) == set(), "losses without a PyTorch reference"
    assert set(SAMPLES) == set(REFERENCE)


@pytest.mark.parametrize(("name", "number", "options", "y_true", "y_pred"), CASES, ids=IDS)
def test_value_and_gradient(name, number, options, y_true, y_pred):
    shape = y_pred.shape[:1] if name == "ctc" else y_pred.shape[:-1]
    flow = np.random.default_rng(7).normal(size=shape)
    ours = cr.tensor(y_pred)
    with cr.GradientTape() as tape:
        tape.watch(ours)
        rows = losses.LOSSES[name].function(y_true, ours, **options)
        total = cr.sum(rows * flow)
    theirs = torch.tensor(y_pred, requires_grad=True)
    expected = REFERENCE[name](torch.tensor(y_true), theirs, **options)
    (expected * torch.tensor(flow)).sum().backward()
    np.testing.assert_allclose(rows.numpy(), expected.detach().numpy(), rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(
        tape.gradient(total, ours).numpy(), theirs.grad.numpy(), rtol=1e-10, atol=1e-13
    )


def test_smooth_l1_is_huber_with_delta_1():
    _, y, p = SAMPLES["huber"][0]
    ours = float(losses.get("SmoothL1Loss")(y, p))
    theirs = nn.smooth_l1_loss(torch.tensor(p), torch.tensor(y)).item()
    assert ours == pytest.approx(theirs, rel=1e-12)


def test_class_weights_divide_as_in_pytorch():
    """sum(w l) / sum(w) with class weights is what CrossEntropyLoss(weight=...) computes."""
    _, y, z = SAMPLES["cross_entropy"][0]
    table = [0.5, 1.0, 2.0, 4.0]
    weights = losses.class_weights_to_sample_weights(table, y)
    ours = float(losses.CrossEntropy()(y, z, sample_weight=weights))
    theirs = nn.cross_entropy(
        torch.tensor(z), torch.tensor(y), weight=torch.tensor(table, dtype=torch.float64)
    ).item()
    assert ours == pytest.approx(theirs, rel=1e-12)


def test_masked_rows_are_pytorch_s_ignore_index():
    _, y, z = SAMPLES["cross_entropy"][2]
    y = np.where(np.arange(y.size).reshape(y.shape) % 3 == 0, -100, y)
    ours = float(losses.CrossEntropy()(y, z, mask=y != -100))
    theirs = nn.cross_entropy(torch.tensor(z).movedim(-1, 1), torch.tensor(y)).item()
    assert ours == pytest.approx(theirs, rel=1e-12)


def test_smoothed_class_numbers_against_pytorch():
    _, y, z = SAMPLES["cross_entropy"][0]
    ours = float(losses.CrossEntropy(label_smoothing=0.3)(y, z))
    theirs = nn.cross_entropy(torch.tensor(z), torch.tensor(y), label_smoothing=0.3).item()
    assert ours == pytest.approx(theirs, rel=1e-12)
