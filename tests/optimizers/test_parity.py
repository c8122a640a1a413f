"""20 steps of each optimizer in float64 against PyTorch, from the same weights and gradients."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.optimizers import clipping

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

RATE = 0.01

# name: ours, PyTorch's, with every hyper-parameter set on both sides.
PAIRS: dict[str, tuple[Callable[[], cr.optimizers.Optimizer], Callable[[Any], Any]]] = {
    "sgd": (lambda: cr.optimizers.SGD(RATE), lambda p: torch.optim.SGD(p, lr=RATE)),
    "sgd_momentum": (
        lambda: cr.optimizers.SGD(RATE, momentum=0.9),
        lambda p: torch.optim.SGD(p, lr=RATE, momentum=0.9),
    ),
    "sgd_nesterov_l2": (
        lambda: cr.optimizers.SGD(RATE, momentum=0.9, nesterov=True, l2=0.1),
        lambda p: torch.optim.SGD(p, lr=RATE, momentum=0.9, nesterov=True, weight_decay=0.1),
    ),
    "rmsprop": (
        lambda: cr.optimizers.RMSprop(RATE, rho=0.95, epsilon=1e-3),
        lambda p: torch.optim.RMSprop(p, lr=RATE, alpha=0.95, eps=1e-3),
    ),
    "rmsprop_centered_momentum": (
        lambda: cr.optimizers.RMSprop(RATE, rho=0.9, momentum=0.8, epsilon=1e-3, centered=True),
        lambda p: torch.optim.RMSprop(p, lr=RATE, alpha=0.9, momentum=0.8, eps=1e-3, centered=True),
    ),
    "adagrad": (
        lambda: cr.optimizers.Adagrad(RATE, initial_accumulator_value=0.1, epsilon=1e-3),
        lambda p: torch.optim.Adagrad(p, lr=RATE, initial_accumulator_value=0.1, eps=1e-3),
    ),
    "adadelta": (
        lambda: cr.optimizers.Adadelta(1.0, rho=0.9, epsilon=1e-4),
        lambda p: torch.optim.Adadelta(p, lr=1.0, rho=0.9, eps=1e-4),
    ),
    "adam": (
        lambda: cr.optimizers.Adam(RATE, epsilon=1e-3),
        lambda p: torch.optim.Adam(p, lr=RATE, eps=1e-3),
    ),
    "adam_amsgrad_l2": (
        lambda: cr.optimizers.Adam(RATE, 0.8, 0.9, epsilon=1e-8, amsgrad=True, l2=0.1),
        lambda p: torch.optim.Adam(
            p, lr=RATE, betas=(0.8, 0.9), eps=1e-8, amsgrad=True, weight_decay=0.1
        ),
    ),
    "adamw": (
        lambda: cr.optimizers.AdamW(RATE, weight_decay=0.1, epsilon=1e-3),
        lambda p: torch.optim.AdamW(p, lr=RATE, weight_decay=0.1, eps=1e-3),
    ),
    "adam_decoupled": (
        lambda: cr.optimizers.Adam(RATE, weight_decay=0.1, eps=1e-8),
        lambda p: torch.optim.AdamW(p, lr=RATE, weight_decay=0.1, eps=1e-8),
    ),
    "nadam": (
        lambda: cr.optimizers.Nadam(RATE, epsilon=1e-3, momentum_decay=0.004),
        lambda p: torch.optim.NAdam(p, lr=RATE, eps=1e-3, momentum_decay=0.004),
    ),
    "nadam_decay": (
        lambda: cr.optimizers.Nadam(RATE, epsilon=1e-8, momentum_decay=0.5, weight_decay=0.1),
        lambda p: torch.optim.NAdam(
            p,
            lr=RATE,
            eps=1e-8,
            momentum_decay=0.5,
            weight_decay=0.1,
            decoupled_weight_decay=True,
        ),
    ),
    "adamax": (
        lambda: cr.optimizers.Adamax(RATE, epsilon=1e-3),
        lambda p: torch.optim.Adamax(p, lr=RATE, eps=1e-3),
    ),
}


@pytest.fixture(autouse=True)
def _double() -> Iterator[None]:
    """PyTorch keeps Nadam's product of momentums in the default dtype."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def _close(ours: Any, theirs: Any, tolerance: float = 1e-10) -> None:
    np.testing.assert_allclose(np.asarray(ours), theirs.detach().numpy(), rtol=tolerance, atol=0)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("name", PAIRS)
def test_twenty_steps_as_pytorch(name: str, compiled: bool) -> None:
    generator = np.random.default_rng(7)
    first = [generator.normal(size=(3, 2)), generator.normal(size=(4,))]
    gradients = [[generator.normal(size=w.shape) for w in first] for _ in range(20)]
    make, make_torch = PAIRS[name]
    ours, optimizer = [cr.Variable(w) for w in first], make()
    theirs = [torch.tensor(w, requires_grad=True) for w in first]
    torch_optimizer = make_torch(theirs)

    def step(*new: cr.Tensor) -> None:
        optimizer.apply_gradients(zip(new, ours, strict=True))

    optimizer.build(ours)
    run = cr.jit(step) if compiled else step
    for new in gradients:
        run(*new)
        for parameter, gradient in zip(theirs, new, strict=True):
            parameter.grad = torch.tensor(gradient)
        torch_optimizer.step()
        for a, b in zip(ours, theirs, strict=True):
            _close(a.numpy(), b)
    assert optimizer.iterations.item() == 20


def test_clip_grad_value() -> None:
    gradient = np.random.default_rng(0).normal(size=(5, 3))
    parameter = torch.zeros(5, 3, dtype=torch.float64, requires_grad=True)
    parameter.grad = torch.tensor(gradient)
    torch.nn.utils.clip_grad_value_([parameter], 0.3)
    _close(clipping.clip_by_value(cr.tensor(gradient), 0.3), parameter.grad)


@pytest.mark.parametrize("max_norm", [0.5, 100.0])
def test_clip_grad_norm(max_norm: float) -> None:
    generator = np.random.default_rng(0)
    gradients = [generator.normal(size=(5, 3)), generator.normal(size=(4,))]
    parameters = [torch.zeros(g.shape, dtype=torch.float64, requires_grad=True) for g in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = torch.tensor(gradient)
    total = torch.nn.utils.clip_grad_norm_(parameters, max_norm)
    clipped, norm = clipping.clip_by_global_norm([cr.tensor(g) for g in gradients], max_norm)
    _close(norm, total)
    # PyTorch divides by norm + 1e-6 where it shortens.
    extra = 1.0 if max_norm > float(total) else float(total) / (float(total) + 1e-6)
    for ours, parameter in zip(clipped, parameters, strict=True):
        _close(ours.numpy() * extra, parameter.grad)


def _torch_rates(make: Callable[[Any], Any], count: int, rate: float) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=rate)
    scheduler = make(optimizer)
    rates = []
    for _ in range(count):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


SCHEDULES: dict[str, tuple[cr.optimizers.Schedule, Callable[[Any], Any], int]] = {
    "step": (
        cr.optimizers.StepDecay(0.5, 4, factor=0.3),
        lambda o: torch.optim.lr_scheduler.StepLR(o, 4, gamma=0.3),
        30,
    ),
    "piecewise": (
        cr.optimizers.PiecewiseConstant([3, 9], [0.5, 0.05, 0.005]),
        lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [3, 9], gamma=0.1),
        20,
    ),
    "exponential": (
        cr.optimizers.ExponentialDecay(0.5, 1, 0.9),
        lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.9),
        30,
    ),
    "polynomial": (
        cr.optimizers.PolynomialDecay(0.5, 20, final_rate=0.0, power=1.5),
        lambda o: torch.optim.lr_scheduler.PolynomialLR(o, 20, power=1.5),
        25,
    ),
    "cosine": (
        cr.optimizers.CosineDecay(0.5, 20, final_rate=0.01),
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 20, eta_min=0.01),
        21,
    ),
    "restarts_equal": (
        cr.optimizers.CosineRestarts(0.5, 7, length_factor=1, final_rate=0.01),
        lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 7, 1, 0.01),
        60,
    ),
    "restarts_longer": (
        cr.optimizers.CosineRestarts(0.5, 3, length_factor=3, final_rate=0.01),
        lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 3, 3, 0.01),
        150,
    ),
    "one_cycle": (
        cr.optimizers.OneCycle(0.5, 50),
        lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.5, total_steps=50),
        50,
    ),
    "one_cycle_linear": (
        cr.optimizers.OneCycle(0.5, 40, 0.25, 10.0, 100.0, shape="linear"),
        lambda o: torch.optim.lr_scheduler.OneCycleLR(
            o,
            0.5,
            total_steps=40,
            pct_start=0.25,
            div_factor=10.0,
            final_div_factor=100.0,
            anneal_strategy="linear",
        ),
        40,
    ),
    "warm_up": (
        cr.optimizers.WarmUp(0.5, 5),
        lambda o: torch.optim.lr_scheduler.LinearLR(o, start_factor=1 / 5, total_iters=4),
        12,
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.filterwarnings("ignore:.*lr_scheduler.step.*")
def test_schedule_as_pytorch(name: str) -> None:
    schedule, make, count = SCHEDULES[name]
    expected = _torch_rates(make, count, 0.5)
    ours = [float(schedule(step)) for step in range(count)]
    np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-15)
