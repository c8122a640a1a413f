"""``chainrule train`` of texts and what follows: predict, evaluate and summary."""

import csv
import io
import re
from pathlib import Path

import numpy as np
import pytest
from cli_outcome import Run

import chainrule as cr
from chainrule.estimators import TextClassifier, load

GOOD = ["a fine film", "what a lovely story", "great fun and very good", "I liked it a lot"]
BAD = ["a dull film", "what a boring story", "poor and very bad", "I disliked it a lot"]


def sentences(count: int = 80) -> list[tuple[str, str]]:
    random = np.random.default_rng(0)
    rows = []
    for i in range(count):
        first, second = random.choice(BAD if i % 2 else GOOD, 2)
        rows.append((f"{first}, {second} number {i % 7}", "bad" if i % 2 else "good"))
    return rows


@pytest.fixture
def table(run: Run) -> str:
    with open("reviews.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *sentences()])
    return "reviews.csv"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, (text, label) in enumerate(sentences()):
        place = tmp_path / "reviews" / label
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number:02d}.txt").write_text(text)
    return tmp_path / "reviews"


@pytest.fixture
def model(run: Run, table: str) -> str:
    assert run("train", table, "--text", "text", "--target", "label").code == 0
    return "reviews.safetensors"


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_train_a_table(run: Run, table: str) -> None:
    result = run("train", table, "--text", "text", "--target", "label", "--json")
    assert result.code == 0, result.err
    facts = result.json
    assert (facts["texts"], facts["train_texts"], facts["test_texts"]) == (80, 64, 16)
    assert (facts["classes"], facts["column"], facts["target"]) == (
        ["bad", "good"],
        "text",
        "label",
    )
    assert facts["network"] == "bag"
    assert facts["preparation"]["tokenizer"]["kind"] == "grams"
    assert facts["preparation"]["vocabulary"] > 50
    assert facts["test"]["accuracy"] >= 0.9
    assert sum(row["texts"] for row in facts["per_class"]) == 16
    for words in (
        "Texts     reviews.csv: 80 texts, column text",
        "Tokens    words, runs of up to 3 words, pieces of 3 to 6 letters",
        "2: bad (40), good (40)",
        "64 texts to learn from, 16 held out to test",
        "majority class",
        "precision",
        "Model written to reviews.safetensors",
    ):
        assert words in result.out, words
    assert isinstance(load("reviews.safetensors"), TextClassifier)


def test_mistakes_are_shown_most_confident_first(run: Run, table: str) -> None:
    """Every text comes with both labels, so that mistakes are certain."""
    pairs = [(f"\x1b[2J{text}", label) for text, _ in sentences() for label in ("bad", "good")]
    with open(table, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *pairs])
    result = run("train", table, "--text", "text", "--target", "label", "--json", "--seed", 3)
    found = result.json["mistakes"]
    assert found
    sure = [row["probability"] for row in found]
    assert sure == sorted(sure, reverse=True)
    assert all(row["class"] != row["prediction"] for row in found)
    assert "Most confident mistakes" in result.out
    assert "\x1b" not in result.out


def test_texts_beside_the_target_are_found_without_an_option(run: Run, table: str) -> None:
    result = run("train", table, "--target", "label", "--json")
    assert result.json["column"] == "text"
    # With a second column of numbers, or a width of hidden layers, it is an ordinary table.
    with open("more.csv", "w", newline="", encoding="utf-8") as file:
        lines = [(text, i, label) for i, (text, label) in enumerate(sentences())]
        csv.writer(file).writerows([("text", "size", "label"), *lines])
    words = ("train", "more.csv", "--target", "label", "--epochs", 1, "--json")
    assert "columns" in run(*words).json
    assert run(*words, "--text", "text").json["column"] == "text"


def test_train_a_folder(run: Run, folder: Path) -> None:
    (folder / "good" / "empty.txt").write_text("")
    (folder / "good" / "bytes.txt").write_bytes(b"\xff\xfe\x00x")
    (folder / "notes.md").write_text("no class")
    result = run("train", "reviews", "--json")
    assert result.code == 0, result.err
    facts = result.json
    assert facts["texts"] == 80
    skipped = {item["path"]: item["reason"] for item in facts["skipped"]}
    assert skipped["good/empty.txt"] == "the file is empty"
    assert skipped["good/bytes.txt"] == "byte 1 is not utf-8 text"
    assert facts["test"]["accuracy"] >= 0.9


def test_predict_tables_files_folders_and_words(run: Run, model: str, folder: Path) -> None:
    result = run("predict", model, "what a lovely fine film", "boring and poor")
    answers = rows(result.out)
    assert [row["prediction"] for row in answers] == ["good", "bad"]
    assert next(iter(answers[0])) == "text"
    loaded = load(model)
    assert isinstance(loaded, TextClassifier)
    expected = loaded.predict_proba(["what a lovely fine film", "boring and poor"])
    found = [[float(v) for k, v in row.items() if k.startswith("prob")] for row in answers]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    answers = rows(run("predict", model, "reviews.csv").out)
    assert len(answers) == 80
    assert answers[0]["text"] == "data row 1"
    answers = rows(run("predict", model, "reviews.csv", "--keep", "label").out)
    right = np.mean([row["label"] == row["prediction"] for row in answers])
    assert right > 0.95
    answers = rows(run("predict", model, "reviews", "reviews/bad/01.txt").out)
    assert len(answers) == 81
    assert answers[-1]["text"] == "reviews/bad/01.txt"
    assert [row["text"] for row in rows(run("predict", model, "wow...").out)] == ["wow..."]
    assert run("predict", model, "").code == 0  # an empty text is all padding


def test_evaluate(run: Run, model: str, folder: Path) -> None:
    result = run("evaluate", model, "reviews.csv", "--json")
    data, loaded = cr.data.text("reviews.csv"), load(model)
    right = loaded.predict(data) == data.labels
    assert result.json["test"]["accuracy"] == pytest.approx(right.mean())
    assert result.json["texts"] == 80
    assert "precision" in result.out
    by_folder = run("evaluate", model, "reviews", "--json").json
    assert by_folder["test"]["accuracy"] == pytest.approx(right.mean())


def test_summary(run: Run, model: str) -> None:
    result = run("summary", model, "--json")
    assert result.json["classes"] == ["bad", "good"]
    assert result.json["preparation"]["vocabulary"] > 50
    assert "EmbeddingBag" in result.out
    assert len(result.out) < 5_000


def test_a_seed_repeats_the_model(run: Run, table: str) -> None:
    files = []
    for seed in (1, 1, 2):
        run("train", table, "--target", "label", "--epochs", 2, "--seed", seed, "--out", "m")
        files.append(Path("m").read_bytes())
    assert files[0] == files[1] != files[2]


@pytest.mark.parametrize("tokens", ["words", "characters"])
def test_options_reach_the_encoder(run: Run, table: str, tokens: str) -> None:
    words = ["--tokens", tokens, "--epochs", 2, "--batch-size", 16, "--test-fraction", 0]
    facts = run("train", table, "--text", "text", "--target", "label", *words, "--json").json
    assert facts["preparation"]["tokenizer"]["kind"] == tokens
    assert (facts["epochs"], facts["test"]) == (2, None)


MISTAKES = [
    ("train reviews.csv --text text", "Missing option '--target'"),
    ("train reviews.csv --text txt --target label", "no such column: got 'txt'"),
    ("train reviews.csv --text text --target labels", "no such column: got 'labels'"),
    ("train numbers.csv --text b --target y", "this column holds no text: got number cells"),
    ("train reviews.csv --text text --target label --hidden 8", "this option is for tables"),
    ("train reviews.csv --text text --target label --size 8", "this option is for pictures"),
    ("train numbers.csv --target y --tokens words", "is for running text and texts"),
    (
        "train reviews.csv --text text --target label --tokens vowels",
        "Invalid value for '--tokens'",
    ),
    ("train reviews.csv --text text --target label --out reviews.csv", "is not a model"),
    ("train single.csv --text text --target label", "the texts are all of one class"),
    ("train few.csv --text text --target label", "more texts.*--test-fraction 0"),
    ("train ratings.csv --text text --target label", "numbers with a fraction cannot be classes"),
    ("train blank.csv --text text --target label", "there is no token in the texts"),
    ("train reviews --target label", r"\[--target\] this option is for tables"),
    ("train reviews --text text", r"\[--text\] this option is for tables"),
    ("predict m.st none.txt", "no such file or folder"),
    ("predict m.st empty", "there are no texts"),
    ("predict m.st numbers.csv", "no such column: got 'text'"),
    ("evaluate m.st numbers.csv", "no such column"),
    ("evaluate m.st none.csv", "no such file"),
]


@pytest.fixture
def places(run: Run, table: str, folder: Path) -> Run:
    """The program beside good and bad data, and a model."""
    Path("empty").mkdir()
    Path("numbers.csv").write_text("\n".join(["b,y", *(f"{i},{i % 3}" for i in range(60))]))
    Path("single.csv").write_text("text,label\na good film,x\na bad film,x\n")
    Path("few.csv").write_text("text,label\na good film,x\na bad film,y\n")
    Path("ratings.csv").write_text("text,label\na good film,1.5\na bad film,2.5\n")
    Path("blank.csv").write_text("text,label\n" + ",x\n,y\n" * 20)
    words = ("--text", "text", "--target", "label", "--epochs", 1, "--out", "m.st")
    assert run("train", table, *words).code == 0
    return run


def test_mistakes(places: Run) -> None:
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    for words, expected in MISTAKES:
        result = places(*words.split())
        message = " ".join(result.err.split())
        assert result.code == 2, (words, result)
        assert re.search(expected, message), (words, message)
        assert result.out == ""
        after = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
        assert after == before, words
