"""``chainrule train FOLDER`` and what follows: predict, evaluate and summary of pictures."""

import csv
import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from cli_outcome import Run
from cli_pictures import stripes
from PIL import Image

import chainrule as cr
from chainrule.cli.options import picture_size
from chainrule.cli.per_class import per_class_scores, print_per_class
from chainrule.cli.report import console
from chainrule.data import read_pictures
from chainrule.estimators import ImageClassifier, load


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return stripes(tmp_path / "photos")


@pytest.fixture
def model(run: Run, folder: Path) -> str:
    assert run("train", "photos", "--epochs", 12, "--no-augment").code == 0
    return "photos.safetensors"


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_train(run: Run, folder: Path) -> None:
    (folder / "flat" / "bad.jpg").write_text("no picture")
    (folder / "notes.txt").write_text("")
    result = run("train", "photos", "--epochs", 12, "--no-augment", "--json")
    assert result.code == 0, result.err
    facts = result.json
    assert (facts["task"], facts["pictures"], facts["classes"]) == (
        "classification",
        48,
        ["flat", "upright"],
    )
    assert (facts["train_pictures"], facts["test_pictures"]) == (38, 10)
    assert {item["path"] for item in facts["skipped"]} == {"flat/bad.jpg", "notes.txt"}
    assert facts["network"] == "small_cnn"
    assert facts["preparation"]["height"] == 12
    assert facts["test"]["accuracy"] >= 0.9
    assert facts["baseline"]["accuracy"] == pytest.approx(0.5)
    assert [row["class"] for row in facts["per_class"]] == ["flat", "upright"]
    assert sum(row["pictures"] for row in facts["per_class"]) == 10
    assert np.sum(facts["confusion"]["counts"]) == 10
    for words in (
        "Pictures  photos: 48 pictures",
        "flat/bad.jpg: this is no JPEG, PNG, WEBP, BMP or GIF picture",
        "Prepared  12 × 12 pixels, grey",
        "2: flat (24), upright (24)",
        "38 pictures to learn from, 10 held out to test",
        "small_cnn, ",
        "majority class",
        "precision",
        "Model written to photos.safetensors",
    ):
        assert words in " ".join(result.out.split("\n")), words
    assert isinstance(load("photos.safetensors"), ImageClassifier)


def test_the_most_confident_mistakes_are_drawn(run: Run, folder: Path) -> None:
    # Pictures in the wrong folder, whose names would be formulas, are mistakes for sure.
    (folder / "upright").rename(folder / r"$\oops$")
    for i in range(6):
        (folder / "flat" / f"{i:02d}.png").rename(folder / r"$\oops$" / f"x{i}.png")
    words = ("train", "photos", "--epochs", 10, "--no-augment", "--json", "--out", "m.st")
    result = run(*words, "--mistakes", "wrong.png")
    assert result.code == 0, result.err
    assert result.json["mistakes"] == "wrong.png"
    assert "Most confident mistakes: wrong.png" in result.out
    with Image.open("wrong.png") as drawn:
        assert drawn.format == "PNG"
        assert min(drawn.size) > 100
    assert run(*words).json["mistakes"] == "m-mistakes.png"
    first = Path("m-mistakes.png").read_bytes()
    assert run(*words, "--seed", 4).code == 0
    assert Path("m-mistakes.png").read_bytes() != first
    assert run(*words, "--test-fraction", 0).json["mistakes"] is None


def test_without_matplotlib_nothing_is_drawn(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = run("train", "photos", "--epochs", 1, "--json")
    assert result.code == 0
    assert result.json["mistakes"] is None
    assert "pip install 'chainrule[plot]'" in " ".join(result.out.split())
    assert not Path("photos-mistakes.png").exists()


def test_options_reach_the_network(run: Run, folder: Path) -> None:
    words = ["--size", "10x14", "--aspect", "pad", "--network", "mobilenet_tiny", "--epochs", 2]
    words += ["--learning-rate", 0.01, "--batch-size", 16, "--test-fraction", 0, "--out", "m.st"]
    facts = run("train", "photos", *words, "--until", "loss=0", "--json").json
    assert facts["preparation"] == {
        "height": 10, "width": 14, "channels": 1, "aspect": "pad", "dtype": "uint8",
        "background": 255,
    }  # fmt: skip
    assert (facts["network"], facts["epochs"], facts["test"]) == ("mobilenet_tiny", 2, None)
    loaded = load("m.st")
    parameters = loaded.classifier_.get_params()
    assert parameters["learning_rate"] == 0.01
    assert parameters["batch_size"] == 16
    assert parameters["until"] == {"loss": 0}
    kinds = [type(layer).__name__ for layer in loaded.classifier_.model_.layers]
    assert kinds[:-1] == ["RandomShift", "RandomRotation", "RandomZoom"]


def test_a_seed_repeats_the_model(run: Run, folder: Path) -> None:
    files = []
    for seed in (1, 1, 2):
        run("train", "photos", "--epochs", 1, "--seed", seed, "--out", "m")
        files.append(Path("m").read_bytes())
    assert files[0] == files[1] != files[2]


def test_a_table_of_pictures(run: Run, folder: Path) -> None:
    lines = [f"photos/{p.parent.name}/{p.name},{p.parent.name}" for p in folder.rglob("*.png")]
    Path("birds.csv").write_text("\n".join(["where,kind", *lines, "../x.png,flat"]))
    words = ["train", "birds.csv", "--images", "where", "--target", "kind", "--epochs", 1]
    facts = run(*words, "--json").json
    assert (facts["pictures"], facts["classes"]) == (48, ["flat", "upright"])
    assert facts["skipped"] == [{"path": "../x.png", "reason": "leads out of the folder"}]
    assert facts["model"] == "birds.safetensors"


def test_predict_files_and_folders(run: Run, model: str, folder: Path) -> None:
    Image.new("RGBA", (40, 20), (0, 0, 0, 0)).save("new.webp")
    (folder / "flat" / "bad.png").write_bytes(b"damaged")
    result = run("predict", model, "new.webp", "photos/flat", "photos/upright/03.png")
    assert result.code == 0
    assert (
        result.err
        == "Skipped photos/flat/bad.png: this is no JPEG, PNG, WEBP, BMP or GIF picture\n"
    )
    answers = rows(result.out)
    files = ["new.webp", *(f"photos/flat/{i:02d}.png" for i in range(24)), "photos/upright/03.png"]
    assert [row["file"] for row in answers] == files
    assert [row["prediction"] for row in answers[1:]].count("flat") >= 22
    assert list(answers[0]) == [
        "file",
        "prediction",
        "probability of flat",
        "probability of upright",
    ]
    loaded = load(model)
    expected = loaded.predict_proba(read_pictures(files, loaded.preparation_))
    found = [[float(v) for k, v in row.items() if k.startswith("prob")] for row in answers]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    result = run("predict", model, "photos", "--out", "answers.csv")
    assert "48 predictions written to answers.csv" in result.err
    assert len(rows(Path("answers.csv").read_text())) == 48


def test_evaluate(run: Run, model: str, folder: Path) -> None:
    result = run("evaluate", model, "photos", "--json")
    data, loaded = cr.data.images(folder), load(model)
    right = loaded.predict(data) == np.array(data.classes)[data.y]
    assert result.json["test"]["accuracy"] == pytest.approx(right.mean())
    assert result.json["pictures"] == 48
    assert "precision" in result.out
    stripes(folder / "one", classes=("upright",))
    only = run("evaluate", model, "photos/one", "--json").json
    assert [row["pictures"] for row in only["per_class"]] == [0, 24]
    assert only["per_class"][0]["recall"] is None
    stripes(folder / "other", classes=("flat", "bent"))
    result = run("evaluate", model, "photos/other")
    assert result.code == 2
    assert "a class that was not in the training data" in result.err
    assert "'bent'" in result.err


def test_summary(run: Run, model: str) -> None:
    result = run("summary", model, "--json")
    assert result.json["classes"] == ["flat", "upright"]
    assert result.json["network"] == "small_cnn"
    assert "12 × 12 pixels, grey" in result.out
    assert "Conv2D" in result.out


MISTAKES = [
    ("train photos --hidden 8", r"\[--hidden\] this option is for tables"),
    ("train photos --ignore a", r"\[--ignore\] this option is for tables"),
    ("train photos --task regression", r"\[--task\] this option is for tables"),
    ("train photos --target a", r"\[--target\] this option is for tables"),
    ("train table.csv --target y --size 8", r"\[--size\] this option is for pictures"),
    ("train table.csv --target y --no-augment", r"\[--augment\] this option is for pictures"),
    ("train empty", r"\[empty\] there are no pictures"),
    ("train photos/flat", "no sub-folder, so its class is not known"),
    ("train single", r"\[single\] the pictures are all of one class"),
    ("train broken", r"none of the 2 pictures can be read: got a/x.png: "),
    ("train few", r"every class has a single row.*more pictures.*--test-fraction 0"),
    ("train photos --size 0", "Invalid value for '--size'.*such as 64, or 48x64"),
    ("train photos --size 8xx8", "Invalid value for '--size'"),
    ("train photos --network vgg", "Invalid value for '--network'"),
    ("train photos --out table.csv", "exists and is not a model"),
    ("train photos --mistakes table.csv", "exists and is not a PNG picture"),
    ("train photos --size 3 --network small_cnn", "window is larger.*give it larger inputs"),
    ("train photos --learning-rate 1e30 --epochs 1", "no model was written"),
    ("train table.csv --images paths --target y", "no such column: got 'paths'"),
    ("train nothing --images path", "no such file"),
    ("predict m.st none.png", "no such file or folder"),
    ("predict m.st empty", "there are no pictures"),
    ("predict m.st broken", "none of the 2 pictures"),
    ("predict m.st photos --keep a", r"\[--keep\] this option is for tables"),
    ("predict t.st table.csv table.csv", "this model takes one table"),
    ("predict t.st photos", "this is a folder"),
    ("evaluate m.st empty", "there are no pictures"),
    ("evaluate t.st photos", "this is a folder"),
]


@pytest.fixture
def places(run: Run, folder: Path, tmp_path: Path) -> Run:
    """The program in a folder with good and bad data, and a model of either kind."""
    (tmp_path / "empty").mkdir()
    stripes(tmp_path / "single", classes=("a",))
    stripes(tmp_path / "few", count=1)
    for name in "ab":
        (tmp_path / "broken" / name).mkdir(parents=True)
        (tmp_path / "broken" / name / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    lines = [f"{i},{i % 7},{i % 3}" for i in range(60)]
    Path("table.csv").write_text("\n".join(["path,b,y", *lines]))
    assert run("train", "photos", "--epochs", 1, "--network", "lenet5", "--out", "m.st").code == 0
    words = ("train", "table.csv", "--target", "y", "--epochs", 1, "--hidden", 4)
    assert run(*words, "--out", "t.st").code == 0
    return run


def test_mistakes(places: Run) -> None:
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    for words, expected in MISTAKES:
        result = places(*words.split())
        message = " ".join(result.err.split())
        assert result.code == 2, words
        assert re.search(expected, message), (words, message)
        assert message.count("Error: ") == 1
        assert result.out == ""
        after = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
        assert after == before, words


def test_hostile_names_do_not_reach_the_terminal(run: Run, tmp_path: Path) -> None:
    stripes(tmp_path / "p", classes=("[red]a\x1b[2J", "=1+1"))
    (tmp_path / "p" / "=1+1" / "\x1bbad.png").write_bytes(b"x")
    result = run("train", "p", "--epochs", 1, "--json")
    assert result.code == 0
    assert "\x1b" not in result.out + result.err
    assert "[red]a\\x1b[2J" in result.out
    assert json.loads(result.out.splitlines()[-1])["classes"][0] == "=1+1"
    result = run("predict", "p.safetensors", "p")
    assert "\x1b" not in result.err
    assert {row["prediction"] for row in rows(result.out)} <= {"'=1+1", "[red]a"}


@pytest.mark.parametrize(
    ("text", "size"), [("64", (64, 64)), ("48x64", (48, 64)), ("48X64", (48, 64)), (None, None)]
)
def test_picture_size(text: str | None, size: tuple[int, int] | None) -> None:
    assert picture_size(None, None, text) == size


def test_per_class_scores_are_those_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(0)
    true, found = random.integers(0, 4, 200), random.integers(0, 4, 200)
    confusion = metrics.confusion_matrix(true, found)
    expected = metrics.precision_recall_fscore_support(true, found)
    scores = per_class_scores(list("abcd"), confusion, "pictures")
    for k, name in enumerate(("precision", "recall", "f1", "pictures")):
        np.testing.assert_allclose([row[name] for row in scores], expected[k])


def test_of_many_classes_the_worst_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    confusion = np.diag(np.full(40, 9))
    confusion[7, 8] = 5
    scores = per_class_scores([f"class {k}" for k in range(40)], confusion, "pictures")
    print_per_class(console(), scores, "pictures")
    lines = capsys.readouterr().out.splitlines()
    assert "30 lowest of 40" in lines[1]
    assert len(lines) == 32
    assert {line.split()[1] for line in lines[2:4]} == {"7", "8"}
