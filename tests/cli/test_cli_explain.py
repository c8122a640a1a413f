"""``chainrule explain``: one training step on the command line."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from cli_outcome import Run
from cli_pictures import stripes

import chainrule as cr
from chainrule.estimators import (
    ImageClassifier,
    NetworkClassifier,
    SoundClassifier,
    SpeechRecognizer,
    TextClassifier,
    TextGenerator,
    load,
)


def test_the_step_is_that_of_the_model(run: Run, model: str, penguins: Path) -> None:
    before = Path(model).read_bytes()
    result = run("explain", model, penguins, "--row", 5, "--check", "--json")
    assert (result.code, result.err) == (0, "")
    for words in (
        "1 Forward: from the input to the output (one example: 5)",
        "bill_length_mm -1.306",
        "island=Torgersen 1",
        "= 0 (Adelie)",
        "dL/d dense/kernel",
        "rule: w <- w - rate * dL/dw   (rate = 0.01, t = 1)",
        "mean over the batch (32)",
    ):
        assert words in result.out
    facts = result.json
    assert (facts["row"], facts["rows"], facts["model"]) == (5, 32, model)
    assert facts["difference"] < 1e-5
    assert [layer["kind"] for layer in facts["layers"]] == ["Dense", "Dropout", "Dense"]
    assert [weight["shape"] for weight in facts["weights"]] == [[15, 16], [16], [16, 3], [3]]
    assert facts["new_batch_loss"] < facts["batch_loss"]
    assert Path(model).read_bytes() == before


def test_the_loss_is_that_of_the_estimator(run: Run, penguins: Path) -> None:
    table = cr.data.read_table(penguins)
    inputs, target = table.split_target("species")
    estimator = NetworkClassifier(8, dropout=0, label_smoothing=0, epochs=3, random_state=0)
    estimator.fit(inputs, target).save("m.safetensors")
    p = estimator.predict_proba(inputs.take(np.array([199])))[0]
    facts = run("explain", "m.safetensors", penguins, "--row", 200, "--json").json
    mine = -np.log(p[list(estimator.classes_).index(target.values[199])])
    np.testing.assert_allclose(facts["loss"], mine, rtol=1e-5)


def test_the_seed_decides_what_is_drawn(run: Run, model: str, penguins: Path) -> None:
    same = [run("explain", model, penguins, "--row", 5).out for _ in range(2)]
    assert same[0] == same[1]
    assert run("explain", model, penguins, "--row", 5, "--seed", 1).out != same[0]


def test_the_rows_are_those_of_the_file(run: Run, houses: Path) -> None:
    """Row 8 has no price: the rows after it keep their numbers, and its batch is without it."""
    words = ("train", houses, "--target", "price", "--epochs", 2, "--hidden", 4)
    assert run(*words).code == 0
    estimator = load("houses.safetensors")
    table = cr.data.read_table(houses)
    for row in (1, 9, 120):
        out = run("explain", "houses.safetensors", houses, "--row", row, "--rows", 16).out
        price = table["price"].to_float()[[row - 1]]
        scaled = estimator.target_encoder_.transform(price, "y").item()
        assert f"(one example: {row})" in out
        assert re.search(r"target y   = (\S+)", out).group(1) == f"{scaled:.4g}"
        rows = 119 % 16 if row == 120 else 16
        assert f"mean over the batch ({rows})" in out
    result = run("explain", "houses.safetensors", houses, "--row", 8)
    assert result.code == 2
    assert "this row has no target: got row 8, expected a value in the column 'price'" in result.err


def test_the_page(run: Run, model: str, penguins: Path) -> None:
    text = run("explain", model, penguins, "--row", 40, "--language", "zh").out
    result = run("explain", model, penguins, "--row", 40, "--language", "zh", "--html", "p.html")
    assert result.out == "Page written to p.html\n"
    page = Path("p.html").read_text("utf-8")
    assert page.startswith("<!doctype html>\n<html lang=")
    titles = re.findall(r'data-title="(\d+)"', page)
    assert titles == [str(row) for row in range(33, 49)]
    shown = re.search(r'<article data-title="40">.*?</article>', page, re.DOTALL).group(0)
    of_page = re.findall(r"<data [^>]*>([^<]*)</data>", shown)
    assert len(of_page) > 100
    place = 0
    for number in of_page:  # the same numbers in the same order
        place = text.index(number, place) + len(number)
    assert run("explain", model, penguins, "--html", "p.html").code == 0


def test_columns_and_layers_with_hostile_names_are_text(run: Run) -> None:
    name = "<img src=x onerror=alert(1)>\x1b[31m"
    random = np.random.default_rng(0)
    x = {name: random.normal(size=80), "b": random.normal(size=80)}
    labels = np.where(x[name] > 0, "<script>alert(2)</script>", "no")
    network = cr.Sequential([cr.layers.Dense(2, name="<b>bold")])
    NetworkClassifier(model=network, epochs=1).fit(x, labels).save("m.safetensors")
    cells = [f"{a},{b},{c}" for a, b, c in zip(x["b"], x[name], labels, strict=True)]
    Path("t.csv").write_text(f"b,{name},y\n" + "\n".join(cells) + "\n")
    words = ("explain", "m.safetensors", "t.csv", "--target", "y")
    result = run(*words)
    assert result.code == 0, result.err
    assert "\x1b" not in result.out
    assert "<img src=x onerror=" in result.out
    assert run(*words, "--html", "page.html").code == 0
    page = Path("page.html").read_text()
    assert "<img" not in page
    assert "<b>" not in page
    assert "\x1b" not in page
    assert page.count("<script") == 1


def small(shape: tuple[int, ...], outputs: int) -> cr.Model:
    return cr.Sequential([cr.layers.Flatten(), cr.layers.Dense(outputs)])


def of_pictures(folder: Path) -> tuple[str, str]:
    data = cr.data.images(stripes(folder / "stripes", 10))
    ImageClassifier(small, augment=False, epochs=1, random_state=0).fit(data).save("m.safetensors")
    return "stripes", "1, flat/00.png)"


def of_texts(folder: Path) -> tuple[str, str]:
    lines = [f"{'good' if i % 2 else 'bad'} film number {i},{i % 2}" for i in range(40)]
    (folder / "reviews.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    TextClassifier(epochs=1, random_state=0).fit(cr.data.text("reviews.csv")).save("m.safetensors")
    return "reviews.csv", "1, "


def tones(folder: Path) -> None:
    for i in range(20):
        place = folder / "tones" / ("high" if i % 2 else "low") / f"{i:02d}.wav"
        place.parent.mkdir(parents=True, exist_ok=True)
        wave = 0.3 * np.sin(np.arange(900) * (0.9 if i % 2 else 0.3))
        soundfile.write(place, wave, 4_000)


def of_sounds(folder: Path) -> tuple[str, str]:
    tones(folder)
    data = cr.data.audio("tones")
    SoundClassifier(small, augment=False, epochs=1, random_state=0).fit(data).save("m.safetensors")
    return "tones", "1, high/01.wav)"


def of_speech(folder: Path) -> tuple[str, str]:
    def hearing(shape: tuple[int, ...], outputs: int) -> cr.Model:
        return cr.Sequential([cr.layers.Dense(outputs)])

    tones(folder)
    files = sorted((folder / "tones").rglob("*.wav"))
    lines = [f"{os.path.relpath(file, folder)},{'ab'[i % 2] * 2}" for i, file in enumerate(files)]
    (folder / "said.csv").write_text("\n".join(["path,text", *lines]) + "\n")
    data = cr.data.audio("said.csv", transcripts=True)
    SpeechRecognizer(hearing, augment=False, epochs=1, random_state=0).fit(data).save(
        "m.safetensors"
    )
    return "said.csv", "1, tones/high/01.wav)"


def of_writing(folder: Path) -> tuple[str, str]:
    text = "once upon a time there was a cat. " * 40
    (folder / "story.txt").write_text(text)
    generator = TextGenerator(units=8, embedding=4, length=8, epochs=1, random_state=0)
    generator.fit(text).save("m.safetensors")
    return "story.txt", "1)"


KINDS = [of_pictures, of_texts, of_sounds, of_speech, of_writing]


@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
def test_every_kind_of_data(
    run: Run, tmp_path: Path, make: Callable[[Path], tuple[str, str]]
) -> None:
    data, name = make(tmp_path)
    result = run("explain", "m.safetensors", data, "--rows", 4, "--json")
    assert result.code == 0, result.err
    assert f"(one example: {name}" in result.out
    facts = result.json
    assert facts["rows"] == 4
    assert any(weight["gradient_norm"] > 0 for weight in facts["weights"])
    assert facts["predicted_batch_loss"] < facts["batch_loss"]
    last = run("explain", "m.safetensors", data, "--row", 100_000)
    assert last.code == 2
    assert re.search(r"\[--row\] no such example: got 100000, expected 1 to \d+", last.err)


def test_the_optimizer_can_be_chosen(run: Run, model: str, penguins: Path) -> None:
    out = run("explain", model, penguins, "--optimizer", "adam", "--learning-rate", 0.5).out
    assert "(rate = 0.5, t = 1)" in out
    assert "m <- b1 m + (1 - b1) g" in out


MISTAKES = [
    (["penguins.csv", "--row", 345], r"\[--row\] no such example: got 345, expected 1 to 344"),
    (["penguins.csv", "--row", 0], "Invalid value for '--row'"),
    (["penguins.csv", "--rows", 0], "Invalid value for '--rows'"),
    (["penguins.csv", "--language", "fr"], "Invalid value for '--language'"),
    (["penguins.csv", "--optimizer", "adm"], r"got 'adm'.*did you mean 'adam'\?"),
    (["penguins.csv", "--optimizer", "lbfgs"], "lbfgs"),
    (["penguins.csv", "--target", "specie"], r"no such column: got 'specie'.*'species'\?"),
    (["no_target.csv"], "no such column: got 'species'"),
    (["none.csv"], "no such file|cannot find"),
    (["penguins.csv", "--html", "penguins.csv"], "exists and is not an HTML page.*another --html"),
    (["penguins.csv", "--html", "no/step.html"], "no folder"),
]


@pytest.mark.parametrize(("words", "expected"), MISTAKES, ids=lambda value: str(value)[:50])
def test_mistakes(run: Run, model: str, penguins: Path, words: list[str], expected: str) -> None:
    table = penguins.read_text()
    Path("penguins.csv").write_text(table)
    Path("no_target.csv").write_text(table.replace("species", "kind", 1))
    result = run("explain", model, *words)
    message = " ".join(result.err.split())
    assert result.code == 2
    assert re.search(expected, message), message
    assert message.count("Error: ") == 1
    assert result.out == ""
    assert Path("penguins.csv").read_text() == table


def test_files_that_are_no_estimators_or_lack_the_loss(run: Run, penguins: Path) -> None:
    network = cr.Sequential([cr.layers.Dense(3)])
    network(np.zeros((1, 4), "float32"))
    network.save("plain.safetensors")
    assert "the file holds no estimator" in run("explain", "plain.safetensors", penguins).err

    def wrong(y_true: cr.Tensor, y_pred: cr.Tensor) -> cr.Tensor:
        return cr.mean((y_true - y_pred) ** 4, axis=-1)

    x = {"a": np.arange(60.0), "b": np.arange(60.0) % 7}
    estimator = NetworkClassifier(loss=wrong, epochs=1, hidden=4)
    estimator.fit(x, np.arange(60) % 3).save("own.safetensors")
    lines = [f"{i},{i % 7},{i % 3}" for i in range(60)]
    Path("t.csv").write_text("\n".join(["a,b,y", *lines]) + "\n")
    result = run("explain", "own.safetensors", "t.csv", "--target", "y")
    assert result.code == 2
    assert "the loss is not known: got a function, not in the file" in result.err


def test_a_model_of_several_labels_is_told(run: Run) -> None:
    x = {"a": np.arange(60.0), "b": np.arange(60.0) % 7}
    labels = np.stack([np.arange(60) % 2, np.arange(60) % 3 == 0], axis=1).astype(int)
    NetworkClassifier(epochs=1, hidden=4).fit(x, labels).save("labels.safetensors")
    Path("t.csv").write_text("a,b,y\n1,2,0\n2,3,1\n")
    result = run("explain", "labels.safetensors", "t.csv", "--target", "y")
    assert result.code == 2
    assert "several labels a row" in result.err
