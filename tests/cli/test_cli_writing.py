"""``chainrule train --generate``, ``generate``, ``evaluate`` and ``summary`` of running text."""

import re
from pathlib import Path

import pytest
from cli_outcome import Run

LINES = "the cat sat on the mat.\nthe dog ran to the cat.\n" * 40


@pytest.fixture
def model(run: Run) -> str:
    Path("story.txt").write_text(LINES)
    words = ("train", "story.txt", "--generate", "--tokens", "characters", "--epochs", 3)
    assert run(*words, "--batch-size", 4).code == 0
    return "story.safetensors"


def test_train(run: Run) -> None:
    Path("story.txt").write_text(LINES)
    words = ("train", "story.txt", "--generate", "--tokens", "characters", "--epochs", 2)
    result = run(*words, "--batch-size", 4, "--json")
    assert result.code == 0, result.err
    facts = result.json
    assert (facts["task"], facts["characters"]) == ("generation", len(LINES))
    assert facts["test_characters"] == round(0.2 * len(LINES))
    assert (facts["tokens"], facts["epochs"]) == ("characters", 2)
    assert 0 < facts["test"]["bits_per_character"] < 5
    assert len(facts["sample"]) == 300
    for text in ("Text      story.txt: 1,920 characters", "bits a character", "A sample:"):
        assert text in result.out, text
    result = run(*words, "--test-fraction", 0, "--json")
    assert result.json["test"] is None


def test_byte_pairs_are_the_default_where_they_can_be(run: Run) -> None:
    pytest.importorskip("tokenizers")
    Path("story.txt").write_text(LINES)
    facts = run("train", "story.txt", "--generate", "--epochs", 1, "--json").json
    assert facts["tokens"] == "byte pairs"


def test_generate(run: Run, model: str) -> None:
    one = run("generate", model, "--prompt", "the ", "--length", 40, "--seed", 3)
    assert one.code == 0
    assert one.out.startswith("the ")
    assert len(one.out) == 4 + 40 + 1
    assert run("generate", model, "--prompt", "the ", "--length", 40, "--seed", 3).out == one.out
    assert run("generate", model, "--prompt", "the ", "--length", 40, "--seed", 4).out != one.out
    cold = [run("generate", model, "--temperature", 0, "--seed", s).out for s in (1, 2)]
    assert cold[0] == cold[1]


def test_evaluate_and_summary(run: Run, model: str) -> None:
    result = run("evaluate", model, "story.txt", "--json")
    assert "bits a character" in result.out
    assert result.json["test"]["bits_per_character"] > 0
    result = run("summary", model, "--json")
    assert result.json["tokens"] == "characters"
    assert "LSTM" in result.out


MISTAKES = [
    ("train none.txt --generate", "no such file"),
    ("train story.txt --generate --target a", r"\[--target\] this option is for tables"),
    ("train story.txt --generate --until loss=1", "not for running text"),
    ("train story.txt --generate --hidden 8", r"\[--hidden\] this option is for tables"),
    ("train story.txt --generate --tokens words", "cannot be written in these: got words"),
    ("train short.txt --generate --tokens characters", "the text is too short"),
    ("train bytes.txt --generate", "byte 2 is not utf-8 text"),
    ("train empty.txt --generate", "the file is empty"),
    ("train story.txt --generate --out story.txt", "is not a model"),
    ("generate story.safetensors --temperature -1", "Invalid value for '--temperature'"),
    ("generate story.safetensors --length 0", "Invalid value for '--length'"),
    ("generate table.st", "this model does not write text"),
    ("generate none.st", "find"),
    ("predict story.safetensors story.txt", "use chainrule generate"),
    ("evaluate story.safetensors none.txt", "no such file"),
]


def test_mistakes(run: Run, model: str) -> None:
    Path("short.txt").write_text("abc")
    Path("bytes.txt").write_bytes(b"a\xff\xff")
    Path("empty.txt").write_bytes(b"")
    Path("table.csv").write_text("\n".join(["a,y", *(f"{i},{i % 3}" for i in range(60))]))
    words = ("train", "table.csv", "--target", "y", "--epochs", 1, "--out", "table.st")
    assert run(*words).code == 0
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    for line, expected in MISTAKES:
        result = run(*line.split())
        message = " ".join(result.err.split())
        assert result.code == 2, (line, result)
        assert re.search(expected, message), (line, message)
        assert result.out == ""
        after = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
        assert after == before, line
