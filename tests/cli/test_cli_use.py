"""``chainrule predict``, ``evaluate``, ``summary`` and ``demo``."""

import csv
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cli_outcome import Run

from chainrule.data import read_table
from chainrule.estimators import load


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_predictions_are_those_of_the_estimator(run: Run, model: str, penguins: Path) -> None:
    result = run("predict", model, penguins)
    table, estimator = read_table(penguins), load(model)
    rows = _rows(result.out)
    assert (result.code, result.err) == (0, "")
    assert [row["prediction"] for row in rows] == list(estimator.predict(table))
    shares = [[float(row[f"probability of {c}"]) for c in estimator.classes_] for row in rows]
    np.testing.assert_allclose(shares, estimator.predict_proba(table), atol=1e-6)


def test_predictions_of_numbers(run: Run, houses: Path) -> None:
    run("train", houses, "--target", "price", "--epochs", 5)
    found = [
        float(row["prediction"]) for row in _rows(run("predict", "houses.safetensors", houses).out)
    ]
    np.testing.assert_allclose(
        found, load("houses.safetensors").predict(read_table(houses)), rtol=1e-6
    )


def test_predictions_to_a_file_with_kept_columns(run: Run, model: str, penguins: Path) -> None:
    words = ("predict", model, penguins, "--out", "answers.csv", "--keep", "sex", "--keep", "year")
    result = run(*words)
    assert result.out == ""
    assert "344 predictions written to answers.csv" in result.err
    rows = _rows(Path("answers.csv").read_text())
    assert list(rows[0])[:3] == ["sex", "year", "prediction"]
    assert (rows[0]["sex"], rows[0]["year"], rows[3]["sex"]) == ("male", "2007", "")


def test_rows_may_lack_the_target_and_hold_new_categories(run: Run, model: str) -> None:
    Path("new.csv").write_text(
        "bill_length_mm,island,bill_depth_mm,flipper_length_mm,body_mass_g,sex,year,note\n"
        "39.1,Atlantis,18.7,181,3750,,2007,first\n"
    )
    result = run("predict", model, "new.csv")
    assert result.code == 0
    assert _rows(result.out)[0]["prediction"] == "Adelie"


def test_formulas_in_class_names_are_quoted(run: Run) -> None:
    rows = "\n".join(f"{i},{'=1+1' if i % 2 else '@b'}" for i in range(40))
    Path("t.csv").write_text(f"x,y\n{rows}\n")
    run("train", "t.csv", "--target", "y", "--epochs", 2)
    rows = _rows(run("predict", "t.safetensors", "t.csv", "--keep", "y").out)
    assert {row["y"] for row in rows} == {"'=1+1", "'@b"}
    assert {row["prediction"] for row in rows} <= {"'=1+1", "'@b"}


def test_evaluate(run: Run, model: str, penguins: Path) -> None:
    result = run("evaluate", model, penguins, "--json")
    facts = result.json
    estimator, table = load(model), read_table(penguins)
    assert facts["rows"] == 344
    right = estimator.predict(table) == table["species"].values
    assert facts["test"]["accuracy"] == pytest.approx(np.mean(right))
    assert np.trace(facts["confusion"]["counts"]) == right.sum()
    assert "majority class" in result.out
    renamed = penguins.read_text().replace("species", "kind", 1)
    Path("renamed.csv").write_text(renamed)
    assert run("evaluate", model, "renamed.csv").code == 2
    again = run("evaluate", model, "renamed.csv", "--target", "kind", "--json")
    assert again.json["test"] == facts["test"]


def test_summary(run: Run, model: str) -> None:
    result = run("summary", model, "--json")
    assert result.code == 0
    for words in ("species: classification", "Adelie (122)", "sex: one-hot", "Dense", "(N, 16)"):
        assert words in result.out
    facts = result.json
    assert facts["classes"] == ["Adelie", "Chinstrap", "Gentoo"]
    assert facts["parameters"] == 15 * 16 + 16 + 16 * 3 + 3
    assert facts["epochs"] == 15


def test_demo_shows_the_loss_falling(run: Run) -> None:
    result = run("demo", "--epochs", 60, "--json")
    lines = [line.split() for line in result.out.splitlines() if line.startswith("epoch ")]
    assert [line[1] for line in lines] == ["1", "2", "5", "10", "20", "50", "60"]
    losses = [float(line[3]) for line in lines]
    assert result.code == 0
    assert losses[-1] < losses[0] / 4
    facts = result.json
    assert facts["loss"] < facts["first_loss"] / 4
    assert facts["loss_with_fit"] == pytest.approx(facts["loss"], rel=1e-3)


def test_help_shows_examples(run: Run) -> None:
    assert "chainrule train penguins.csv --target species" in run("--help").out
    for command in ("train", "predict", "evaluate", "summary"):
        result = run(command, "--help")
        assert result.code == 0
        assert f"chainrule {command} " in result.out.split("Examples:")[1]
    assert run("--version").out.startswith("chainrule, version ")


@pytest.mark.skipif(os.name != "posix", reason="closes a pipe early")
def test_nobody_reads_the_output(run: Run, model: str, penguins: Path) -> None:
    rows = penguins.read_text().splitlines()
    Path("long.csv").write_text("\n".join([rows[0], *rows[1:] * 30]))
    program = "import sys; from chainrule.cli import main; sys.exit(main())"
    words = [sys.executable, "-c", program, "predict", model, "long.csv"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=30) in (0, 1)  # by the version of click
