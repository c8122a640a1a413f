"""``chainrule train FOLDER`` and what follows: predict, evaluate and summary of sounds."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from cli_outcome import Run

from chainrule.estimators import SoundClassifier, load

RATE = 4_000


def chirps(folder: Path, count: int = 24) -> Path:
    """Noisy tones that fall in the first class and rise in the second."""
    random = np.random.default_rng(0)
    for code, name in enumerate(("fall", "rise")):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            times = np.arange(1_000) / 1_000
            pitch = random.uniform(700, 900) * 2.0 ** ((2 * code - 1) * times)
            wave = np.sin(2 * np.pi * np.cumsum(pitch) / RATE) + random.normal(0, 0.05, 1_000)
            soundfile.write(folder / name / f"{i:02d}.wav", wave / 4, RATE)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return chirps(tmp_path / "words")


@pytest.fixture
def model(run: Run, folder: Path) -> str:
    assert run("train", "words", "--epochs", 12, "--no-augment").code == 0
    return "words.safetensors"


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_train(run: Run, folder: Path) -> None:
    (folder / "fall" / "bad.wav").write_text("no sound")
    soundfile.write(folder / "rise" / "fast.flac", np.sin(np.arange(9_000)) / 2, 32_000)
    result = run("train", "words", "--epochs", 12, "--no-augment", "--json")
    assert result.code == 0, result.err
    facts = result.json
    assert (facts["task"], facts["sounds"], facts["classes"]) == (
        "classification", 49, ["fall", "rise"],
    )  # fmt: skip
    assert (facts["train_sounds"], facts["test_sounds"]) == (39, 10)
    assert facts["skipped"] == [
        {"path": "fall/bad.wav", "reason": "this is no WAV, FLAC or OGG sound"}
    ]
    assert facts["rates"] == {"4000": 48, "32000": 1}
    assert (facts["network"], facts["preparation"]["sample_rate"]) == ("sound_cnn", 16_000)
    assert facts["test"]["accuracy"] >= 0.8
    assert facts["baseline"]["accuracy"] == pytest.approx(0.5)
    assert [row["class"] for row in facts["per_class"]] == ["fall", "rise"]
    assert sum(row["sounds"] for row in facts["per_class"]) == 10
    wrong = round(10 * (1 - facts["test"]["accuracy"]))
    assert len(facts["mistakes"]) == wrong
    for words in (
        "Sounds     words: 49 sounds, 12",
        "Resampled  4,000 Hz (48 files), 32,000 Hz (1 file), to 16,000 Hz",
        "fall/bad.wav: this is no WAV, FLAC or OGG sound",
        "16,000 samples a second, mono; silence at the ends cut off (below 40 decibels)",
        "2: fall (24), rise (25)",
        "39 sounds to learn from, 10 held out to test",
        "sound_cnn, ",
        "majority class",
        "precision",
        "Model written to words.safetensors",
    ):
        assert words in " ".join(result.out.replace("\n  ", " ").split("\n")), words
    assert isinstance(load("words.safetensors"), SoundClassifier)


def test_the_most_confident_mistakes_are_listed(run: Run, folder: Path) -> None:
    for i in range(8):  # sounds in the wrong folder are mistakes for sure
        (folder / "fall" / f"{i:02d}.wav").rename(folder / "rise" / f"x{i}\x1b[31m.wav")
    result = run("train", "words", "--epochs", 10, "--no-augment", "--json")
    found = result.json["mistakes"]
    assert found
    assert found == sorted(found, key=lambda row: -row["probability"])
    assert all(row["class"] != row["prediction"] for row in found)
    assert "Most confident mistakes" in result.out
    assert "\x1b[31m" not in result.out


def test_options_reach_the_network(run: Run, folder: Path) -> None:
    words = ["--seconds", 0.5, "--epochs", 2, "--learning-rate", 0.01, "--batch-size", 16]
    facts = run("train", "words", *words, "--test-fraction", 0, "--out", "m.st", "--json").json
    assert (facts["length"], facts["epochs"], facts["test"]) == (2_000, 2, None)
    parameters = load("m.st").classifier_.get_params()
    assert (parameters["learning_rate"], parameters["batch_size"]) == (0.01, 16)
    assert type(load("m.st").classifier_.model_.layers[0]).__name__ == "RandomNoise"


def test_a_table_of_sounds(run: Run, folder: Path) -> None:
    lines = [f"words/{p.parent.name}/{p.name},{p.parent.name}" for p in folder.rglob("*.wav")]
    Path("said.csv").write_text("\n".join(["where,word", *lines, "../x.wav,fall"]))
    words = ["train", "said.csv", "--audio", "where", "--target", "word", "--epochs", 1]
    facts = run(*words, "--json").json
    assert (facts["sounds"], facts["classes"]) == (48, ["fall", "rise"])
    assert facts["skipped"] == [{"path": "../x.wav", "reason": "leads out of the folder"}]


def test_predict_files_and_folders(run: Run, model: str, folder: Path) -> None:
    tone = np.sin(np.arange(20_000) * 0.2) / 4
    soundfile.write("new.ogg", np.stack([tone, tone], axis=1), 32_000)
    (folder / "fall" / "bad.wav").write_bytes(b"damaged")
    result = run("predict", model, "new.ogg", "words/fall", "words/rise/03.wav")
    assert result.code == 0, result.err
    assert result.err == "Skipped words/fall/bad.wav: this is no WAV, FLAC or OGG sound\n"
    found = rows(result.out)
    names = ["new.ogg", *(f"words/fall/{i:02d}.wav" for i in range(24)), "words/rise/03.wav"]
    assert [row["file"] for row in found] == names
    assert found[0].keys() == {
        "file", "prediction", "probability of fall", "probability of rise",
    }  # fmt: skip
    assert sum(row["prediction"] == "fall" for row in found[1:25]) >= 20
    assert run("predict", model, "words", "--out", "answers.csv").code == 0
    assert len(rows(Path("answers.csv").read_text())) == 48


def test_evaluate_and_summary(run: Run, model: str, folder: Path) -> None:
    result = run("evaluate", model, "words", "--json")
    assert result.code == 0, result.err
    assert (result.json["sounds"], result.json["test"]["accuracy"] > 0.8) == (48, True)
    shown = run("summary", model, "--json")
    assert shown.json["network"] == "sound_cnn"
    assert "4,000 samples a second" in shown.out
    assert "LogMel" in shown.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["words", "--target", "x"], "this option is for tables"),
        (["words", "--hidden", "8"], "this option is for tables"),
        (["words", "--size", "8"], "this option is for pictures"),
        (["words", "--seconds", "0"], "not in the range"),
        (["words", "--seconds", "0.5", "--epochs", "0"], "not in the range"),
        (["words/fall"], "there are no sounds|all of one class"),
        (["nowhere", "--audio", "path"], "no such file"),
        (["words", "--out", "words/fall/00.wav"], "exists and is not a model"),
    ],
)
def test_mistakes(run: Run, folder: Path, words: list[str], message: str) -> None:
    result = run("train", *words)
    assert result.code == 2
    assert any(part in " ".join(result.err.split()) for part in message.split("|")), result.err
    assert not list(Path().glob("*.safetensors"))


def test_mistakes_of_predict(run: Run, model: str, folder: Path) -> None:
    for words, message in (
        (["words", "--keep", "x"], "this option is for tables"),
        (["nowhere.wav"], "no such file or folder"),
        ([model], "there are no sounds"),
    ):
        result = run("predict", model, *words)
        assert result.code == 2
        assert message in " ".join(result.err.split())
