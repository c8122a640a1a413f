"""The adding problem: GRU and LSTM learn what happened up to 100 steps ago, SimpleRNN does not."""

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "adding_problem.py"


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLE))


def test_the_data(example: dict[str, Any]) -> None:
    x, y = example["make_data"](50, 4)
    assert x.shape == (50, 100, 2)
    for half in (x[:, :50], x[:, 50:]):
        assert (half[..., 1].sum(1) == 1).all()
    for row in range(50):
        np.testing.assert_allclose(y[row], x[row, x[row, :, 1] == 1, 0].sum(), rtol=1e-6)


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_gates_remember(example: dict[str, Any], kind: str) -> None:
    model, error, epochs = example["train"](kind)
    assert error <= 0.01
    assert epochs <= 15
    flow = model.gradient_flow(*example["make_data"](64, 3))
    assert flow.ratio(f"{kind.lower()}/cell") > 1e-3


def test_a_simple_rnn_forgets(example: dict[str, Any]) -> None:
    model, error, _ = example["train"]("SimpleRNN", epochs=10)
    assert error > 0.14
    flow = model.gradient_flow(*example["make_data"](64, 3))
    assert flow.ratio("simple_rnn/cell") < 1e-4
