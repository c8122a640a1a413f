"""Schedules against their closed formulas."""

import json
import math
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ArgumentError, UnknownNameError
from chainrule.optimizers import schedules
from chainrule.optimizers.schedules import SCHEDULES

EXAMPLES: dict[str, cr.optimizers.Schedule] = {
    "Constant": cr.optimizers.Constant(0.3),
    "PiecewiseConstant": cr.optimizers.PiecewiseConstant([3, 7], [0.3, 0.2, 0.1]),
    "StepDecay": cr.optimizers.StepDecay(0.3, 4),
    "ExponentialDecay": cr.optimizers.ExponentialDecay(0.3, 5, 0.7, staircase=True),
    "PolynomialDecay": cr.optimizers.PolynomialDecay(0.3, 20, 0.01, 2.0),
    "CosineDecay": cr.optimizers.CosineDecay(0.3, 20, 0.01),
    "CosineRestarts": cr.optimizers.CosineRestarts(0.3, 4, 1.5, 0.8, 0.01),
    "OneCycle": cr.optimizers.OneCycle(0.3, 20, 0.4, shape="linear"),
    "WarmUp": cr.optimizers.WarmUp(cr.optimizers.CosineDecay(0.3, 20), 5, 0.01),
}


def test_every_schedule_has_an_example() -> None:
    assert set(EXAMPLES) == set(SCHEDULES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_config_and_tracing(name: str) -> None:
    schedule = EXAMPLES[name]
    again = schedules.get(json.loads(json.dumps(schedules.serialize(schedule))))
    assert isinstance(again, cr.optimizers.Schedule)
    assert schedules.serialize(again) == schedules.serialize(schedule)
    compiled = cr.jit(schedule)
    rates = [schedule(step) for step in range(40)]
    assert {rate.dtype.name for rate in rates} == {"float64"}
    assert {rate.shape for rate in rates} == {()}
    expected = [float(rate) for rate in rates]
    traced = [float(compiled(cr.tensor(np.int64(step)))) for step in range(40)]
    np.testing.assert_allclose(traced, expected, rtol=1e-13)
    np.testing.assert_allclose(schedule(cr.tensor(np.arange(40))).numpy(), expected, rtol=1e-13)
    assert len(compiled.graphs) == 1


def _formula(name: str, step: int) -> float:
    match name:
        case "Constant":
            return 0.3
        case "PiecewiseConstant":
            return 0.3 if step < 3 else 0.2 if step < 7 else 0.1
        case "StepDecay":
            return 0.3 * 0.1 ** (step // 4)
        case "ExponentialDecay":
            return 0.3 * 0.7 ** (step // 5)
        case "PolynomialDecay":
            return 0.01 + 0.29 * (1 - min(step, 20) / 20) ** 2
        case "CosineDecay":
            return 0.01 + 0.29 / 2 * (1 + math.cos(math.pi * min(step, 20) / 20))
        case "CosineRestarts":
            length, rate, left = 4.0, 0.3, float(step)
            while left >= length:
                left, length, rate = left - length, length * 1.5, rate * 0.8
            return 0.01 + (rate - 0.01) / 2 * (1 + math.cos(math.pi * left / length))
        case "OneCycle":
            top = 0.4 * 20 - 1
            if step <= top:
                return 0.3 / 25 + (0.3 - 0.3 / 25) * step / top
            end = 0.3 / 25 / 10000
            return 0.3 + (end - 0.3) * min((step - top) / (19 - top), 1)
        case "WarmUp":
            if step < 5:
                return 0.01 + 0.29 * (step + 1) / 5
            return 0.3 / 2 * (1 + math.cos(math.pi * min(step - 5, 20) / 20))
    raise AssertionError(name)


@pytest.mark.parametrize("name", EXAMPLES)
def test_closed_formula(name: str) -> None:
    ours = [float(EXAMPLES[name](step)) for step in range(60)]
    expected = [_formula(name, step) for step in range(60)]
    np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize("factor", [1.001, 1.01, 1.1, 1.5, 2.0, 3.0, 7.0, 10.0])
def test_restarts_hit_the_exact_step(factor: float) -> None:
    schedule = cr.optimizers.CosineRestarts(1.0, 1000, factor)
    starts = 1000 * (factor ** np.arange(1.0, 60) - 1) / (factor - 1)
    starts = starts[starts < 1e9]
    first = schedule(cr.tensor(np.ceil(starts - 1e-6))).numpy()
    last = schedule(cr.tensor(np.floor(starts - 0.5))).numpy()
    np.testing.assert_allclose(first, 1.0, atol=1e-4)
    np.testing.assert_allclose(last, 0.0, atol=1e-4)


def test_restarts_against_a_loop_far_out() -> None:
    schedule = cr.optimizers.CosineRestarts(1.0, 3, 2.0)
    steps = np.arange(100_000)
    ours = schedule(cr.tensor(steps)).numpy()
    starts = 3 * (2.0 ** np.arange(20) - 1)
    cycle = np.searchsorted(starts, steps, side="right") - 1
    progress = (steps - starts[cycle]) / (3 * 2.0**cycle)
    np.testing.assert_allclose(ours, 0.5 * (1 + np.cos(np.pi * progress)), atol=1e-12)


class Halving(cr.optimizers.Schedule):
    def __init__(self, steps: int) -> None:
        self.steps = steps

    def rate(self, step: cr.Tensor) -> cr.Tensor:
        return 0.5 ** (step / self.steps)


def test_own_schedule() -> None:
    optimizer = cr.optimizers.Adam(cr.optimizers.WarmUp(Halving(10), 2))
    saved = cr.optimizers.serialize(optimizer)
    with pytest.raises(UnknownNameError, match="Halving"):
        cr.optimizers.get(saved)
    again = cr.optimizers.get(saved, {"Halving": Halving})
    assert isinstance(again.learning_rate, cr.optimizers.WarmUp)
    assert float(again.learning_rate(12)) == 0.5


BAD: list[tuple[str, tuple[Any, ...], str]] = [
    ("PiecewiseConstant", ([5, 3], [1.0, 0.1, 0.01]), "increase"),
    ("PiecewiseConstant", ([3, 5], [1.0, 0.1]), "number of values"),
    ("StepDecay", (1.0, 0), "step_size"),
    ("ExponentialDecay", (1.0, 10, -0.5), "decay_rate"),
    ("CosineDecay", (-1.0, 10), "initial_rate"),
    ("CosineRestarts", (1.0, 10, 0.5), "length_factor"),
    ("OneCycle", (1.0, 100, 1.0), "warm-up"),
    ("OneCycle", (1.0, 10, 0.1), "warm-up"),
    ("OneCycle", (1.0, 100, 0.3, 25.0, 1e4, "cosin"), "'cosine'"),
    ("WarmUp", ("slow", 10), "learning_rate"),
    ("WarmUp", (0.1, 0), "steps"),
]


@pytest.mark.parametrize(("name", "arguments", "word"), BAD)
def test_bad_arguments(name: str, arguments: tuple[Any, ...], word: str) -> None:
    with pytest.raises(ArgumentError, match=word):
        SCHEDULES[name](*arguments)
