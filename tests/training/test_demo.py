"""The article's program: the example as a user writes it, and the copy that the wheel carries."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from chainrule.training import demo

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "simple_nn.py"


def test_example_and_demo_are_the_same_program(capsys: pytest.CaptureFixture[str]) -> None:
    spec = importlib.util.spec_from_file_location("simple_nn", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    x, y = example.make_data(3)
    shipped_x, shipped_y = demo.make_data(3)
    assert (x.numpy() == shipped_x.numpy()).all()
    assert (y.numpy() == shipped_y.numpy()).all()
    model = example.SimpleNN()
    model.tree_seed = 3
    written = example.train_with_tape(model, x, y, epochs=30)
    assert "Epoch 0, Loss: " in capsys.readouterr().out
    reported: list[int] = []
    shipped = demo.demonstrate(30, seed=3, report=lambda epoch, loss: reported.append(epoch))
    assert shipped.with_tape == written
    assert reported == list(range(30))
    np.testing.assert_allclose(shipped.with_fit, shipped.with_tape, rtol=1e-5)
    assert shipped.with_fit[-1] < shipped.with_fit[0]
    assert sorted(shipped.model.weights) == [
        "dense1/bias", "dense1/kernel", "dense2/bias", "dense2/kernel",
    ]  # fmt: skip


def test_example_runs_as_a_program() -> None:
    result = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLE)], capture_output=True, text=True, check=True
    )
    lines = result.stdout.splitlines()
    losses = [float(line.split()[-1]) for line in lines if line.startswith("Epoch")]
    assert len(losses) == 10
    assert losses[-1] < losses[0]
    assert lines[-1].startswith("last loss with the tape: ")
