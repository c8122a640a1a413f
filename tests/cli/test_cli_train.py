"""``chainrule train``: the report, the JSON line, the model file."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from cli_outcome import Run

from chainrule.data import read_table
from chainrule.estimators import NetworkClassifier, NetworkRegressor, load


def test_classification(run: Run, penguins: Path) -> None:
    result = run("train", penguins, "--target", "species", "--json")
    assert result.code == 0
    facts = result.json
    assert (facts["task"], facts["rows"], facts["model"]) == (
        "classification",
        344,
        "penguins.safetensors",
    )
    assert facts["train_rows"] + facts["test_rows"] == 344
    assert facts["test"]["accuracy"] >= 0.95
    assert facts["baseline"]["accuracy"] == pytest.approx(0.44, abs=0.02)
    assert facts["test"]["loss"] < facts["baseline"]["loss"]
    assert facts["epochs"] > 10
    assert facts["stopped_by"] == "early_stopping"
    assert facts["seconds"] > 0
    assert np.sum(facts["confusion"]["counts"]) == facts["test_rows"]
    for words in (
        "344 rows",
        "species: classification (the target holds text)",
        "island: one-hot, 3 categories",
        "the weights are those of epoch",
        "majority class",
        "true \\ predicted",
        "Model written to penguins.safetensors",
    ):
        assert words in result.out
    assert not any(line.endswith(" ") for line in result.out.splitlines()[:20])
    assert isinstance(load("penguins.safetensors"), NetworkClassifier)


def test_regression_with_missing_cells(run: Run, houses: Path) -> None:
    result = run("train", houses, "--target", "price", "--epochs", 60, "--json", "--out", "m")
    assert result.code == 0
    facts = result.json
    assert (facts["task"], facts["rows"], facts["rows_without_target"]) == ("regression", 120, 1)
    assert facts["test"].keys() == {"r2", "mae", "loss"}
    assert facts["test"]["r2"] > 0.8 > facts["baseline"]["r2"]
    assert facts["test"]["mae"] < facts["baseline"]["mae"]
    assert [item["column"] for item in facts["columns"]["dropped"]] == ["number"]
    assert "1 row left out: price is missing there" in result.out
    assert "Dropped" in result.out
    assert "filled with the mean" in " ".join(result.out.split())
    assert isinstance(load("m"), NetworkRegressor)


def test_the_loss_of_the_test_is_the_loss_of_the_training(run: Run, houses: Path) -> None:
    facts = run("train", houses, "--target", "price", "--epochs", 5, "--json").json
    table = read_table(houses)
    known = table.take(~table["price"].missing)
    estimator = load("houses.safetensors")
    scaled = estimator.target_encoder_.transform(known["price"])
    found = estimator.target_encoder_.transform(estimator.predict(known))
    again = run("evaluate", "houses.safetensors", houses, "--json").json
    assert again["test"]["loss"] == pytest.approx(np.mean((scaled - found) ** 2), rel=1e-4)
    assert facts["baseline"]["loss"] == pytest.approx(1, abs=0.5)


def test_seed_repeats_the_model(run: Run, penguins: Path) -> None:
    words = ("train", penguins, "--target", "species", "--epochs", 3, "--hidden", 8)
    files = []
    for seed in (1, 1, 2):
        run(*words, "--seed", seed, "--out", "m.safetensors")
        files.append(Path("m.safetensors").read_bytes())
    assert files[0] == files[1] != files[2]


def test_options_reach_the_estimator(run: Run, penguins: Path) -> None:
    words = ["train", penguins, "--target", "species", "--hidden", "7,5", "--epochs", 4]
    words += ["--learning-rate", 0.02, "--batch-size", 50, "--until", "loss=0"]
    result = run(*words, "--ignore", "year", "--ignore", "sex", "--json")
    estimator = load("penguins.safetensors")
    assert estimator.get_params()["hidden"] == (7, 5)
    assert estimator.get_params()["learning_rate"] == 0.02
    assert estimator.get_params()["batch_size"] == 50
    assert estimator.get_params()["until"] == {"loss": 0.0}
    assert list(estimator.feature_names_in_) == [
        "island",
        "bill_length_mm",
        "bill_depth_mm",
        "flipper_length_mm",
        "body_mass_g",
    ]
    assert result.json["epochs"] == 4
    assert result.json["stopped_by"] == "epochs"


def test_until_stops_at_the_threshold(run: Run, penguins: Path) -> None:
    result = run("train", penguins, "--target", "species", "--until", "loss=0.3", "--json")
    assert result.json["stopped_by"] == "until"
    assert "loss" in result.json["stopped"]
    assert "<= 0.3" in result.json["stopped"]


def test_all_rows_can_be_learned_from(run: Run, penguins: Path) -> None:
    words = ("train", penguins, "--target", "species", "--epochs", 2)
    facts = run(*words, "--test-fraction", 0, "--json").json
    assert (facts["train_rows"], facts["test_rows"]) == (344, 0)
    assert facts["test"] is None
    assert facts["baseline"] is None


def test_task_can_be_chosen(run: Run, penguins: Path) -> None:
    words = ("train", penguins, "--target", "year", "--epochs", 2, "--json")
    assert run(*words).json["task"] == "classification"
    assert run(*words, "--task", "regression").json["task"] == "regression"


def test_parquet_and_tsv(run: Run, penguins: Path) -> None:
    polars = pytest.importorskip("polars")
    frame = polars.read_csv(penguins, null_values="NA")
    frame.write_parquet("a.parquet")
    frame.write_csv("a.tsv", separator="\t")
    for name in ("a.parquet", "a.tsv"):
        facts = run("train", name, "--target", "species", "--epochs", 2, "--json").json
        assert (facts["rows"], facts["task"]) == (344, "classification")


def test_many_columns_are_told_in_groups(run: Run) -> None:
    random = np.random.default_rng(0)
    names = [f"c{i}" for i in range(60)]
    rows = [
        ",".join([*(f"{v:.2f}" for v in random.normal(size=60)), "yes" if i % 2 else "no"])
        for i in range(60)
    ]
    rows[::5] = ["," + row.split(",", 1)[1] for row in rows[::5]]
    Path("wide.csv").write_text("\n".join([",".join([*names, "y"]), *rows]))
    text = " ".join(run("train", "wide.csv", "--target", "y", "--epochs", 2).out.split())
    assert "number columns (59): c1, c2, c3, c4, c5, c6, c7, ..., c59" in text
    assert "number columns with missing cells, filled in and marked (1): c0" in text


def test_hostile_names_do_not_reach_the_terminal(run: Run) -> None:
    rows = "\n".join(f"{i},{'[red]a' if i % 2 else 'b'}" for i in range(40))
    Path("t.csv").write_text(f"\x1b[2J[bold]x,y\n{rows}\n")
    result = run("train", "t.csv", "--target", "y", "--epochs", 2)
    assert result.code == 0
    assert "\x1b" not in result.out + result.err
    assert "\\x1b[2J[bold]x" in result.out
    assert "[red]a" in result.out


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_interrupt_keeps_the_model(tmp_path: Path, penguins: Path) -> None:
    program = "import sys; from chainrule.cli import main; sys.exit(main())"
    words = ["train", str(penguins), "--target", "species", "--until", "loss=0"]
    words += ["--epochs", "1000000", "--out", str(tmp_path / "m.safetensors"), "--json"]
    process = subprocess.Popen(
        [sys.executable, "-c", program, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(4)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert '"stopped_by": "interrupt"' in out.splitlines()[-1]
    assert load(tmp_path / "m.safetensors").n_iter_ > 0
