"""Running the program in-process, and small tables to run it on."""

from pathlib import Path

import numpy as np
import pytest
from cli_outcome import Outcome, Run

from chainrule.cli import main

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run ``chainrule`` with these words, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def call(*words: object) -> Outcome:
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def penguins() -> Path:
    """The example table of the README."""
    return EXAMPLES / "penguins.csv"


@pytest.fixture
def houses(tmp_path: Path) -> Path:
    """A regression table: the price follows from size and town, with a few cells missing."""
    random = np.random.default_rng(3)
    size, town = random.uniform(20, 200, 120), random.choice(["Bern", "Lyon"], 120)
    price = 1000 * size + 50_000 * (town == "Lyon") + random.normal(0, 500, 120)
    lines = ["number,size,town,price"]
    for i in range(120):
        shown = "" if i in (5, 50) else f"{size[i]:.1f}"
        lines.append(f"h{i},{shown},{town[i]},{'' if i == 7 else f'{price[i]:.2f}'}")
    path = tmp_path / "houses.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def model(run: Run, penguins: Path) -> str:
    """A model of the penguins' species."""
    words = ["train", penguins, "--target", "species", "--epochs", 15, "--hidden", 16]
    assert run(*words, "--out", "penguins.safetensors").code == 0
    return "penguins.safetensors"
