"""``chainrule diagnose``: what keeps a network from learning, on the command line."""

from pathlib import Path

from cli_outcome import Run


def test_a_rate_that_is_too_high_is_named_and_tried(run: Run, penguins: Path) -> None:
    result = run("diagnose", penguins, "--target", "species", "--learning-rate", 10, "--json")
    assert (result.code, result.err) == (0, "")
    found = result.json
    assert found["verdict"] == "causes"
    assert found["causes"][0]["code"] == "O1"
    before, after = found["causes"][0]["skill"]
    assert after > 0.8 > before
    assert "1. learning rate too high (O1)" in result.out
    assert "To fix: optimizer=cr.optimizers.Adam(" in result.out


def test_a_healthy_model_from_a_file(run: Run, model: str, penguins: Path) -> None:
    before = Path(model).read_bytes()
    result = run("diagnose", model, penguins, "--json")
    assert (result.code, result.err) == (0, "")
    assert result.json["verdict"] == "healthy"
    assert result.json["causes"] == []
    assert Path(model).read_bytes() == before


def test_a_table_needs_a_target(run: Run, penguins: Path) -> None:
    result = run("diagnose", penguins)
    assert result.code == 2
    assert "--target" in result.err


def test_settings_of_the_training_do_not_go_with_a_model(
    run: Run, model: str, penguins: Path
) -> None:
    result = run("diagnose", model, penguins, "--epochs", 5)
    assert result.code == 2
    assert "--epochs" in result.err
    assert "the model says how it was trained" in result.err


def test_a_file_that_is_not_there(run: Run) -> None:
    result = run("diagnose", "no.csv", "--target", "species")
    assert result.code == 2
    assert "no.csv" in result.err
