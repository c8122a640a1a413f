"""``chainrule train TABLE --transcripts``, and ``chainrule transcribe``."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from cli_outcome import Run

from chainrule.estimators import SpeechRecognizer, load

RATE = 4_000
PITCHES = {"a": 400, "b": 900, "c": 1_600}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Sounds in which every letter is a tone of its own, and a table of what is said."""
    random = np.random.default_rng(0)
    (tmp_path / "clips").mkdir()
    lines = ["path,speaker,text"]
    for i in range(80):
        text = "".join(random.choice(list("abc"), int(random.integers(2, 5))))
        times = np.arange(360)
        tones = [np.sin(2 * np.pi * PITCHES[x] * times / RATE) * np.hanning(360) for x in text]
        wave = np.concatenate([np.append(tone, np.zeros(40)) for tone in tones])
        sound = 0.3 * (wave + random.normal(0, 0.01, len(wave)))
        soundfile.write(tmp_path / "clips" / f"{i:02d}.wav", sound, RATE)
        lines.append(f"clips/{i:02d}.wav,s{i % 3},{text}")
    path = tmp_path / "said.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def model(run: Run, table: Path) -> str:
    words = ("train", "said.csv", "--transcripts", "text", "--audio", "path", "--epochs", 3)
    assert run(*words, "--no-augment").code == 0
    return "said.safetensors"


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_train(run: Run, table: Path) -> None:
    table.write_text(table.read_text() + "clips/gone.wav,s1,abc\n../x.wav,s1,abc\n")
    words = ["train", "said.csv", "--transcripts", "text", "--epochs", 60, "--no-augment"]
    result = run(*words, "--json")
    assert result.code == 0, result.err
    facts = result.json
    assert (facts["task"], facts["letters"], facts["sounds"]) == ("transcription", "abc", 80)
    assert (facts["train_sounds"], facts["test_sounds"], facts["epochs"]) == (64, 16, 60)
    assert {row["path"] for row in facts["skipped"]} == {"clips/gone.wav", "../x.wav"}
    assert facts["test"]["letter_error_rate"] < 0.25
    assert facts["test"]["letter_error_rate"] <= facts["test"]["word_error_rate"]
    for words in (
        "Sounds    said.csv: 80 sounds",
        "clips/gone.wav: there is no such file",
        "4,000 samples a second, mono",
        "3: a, b, c",
        "64 sounds to learn from, 16 held out to test",
        "speech_gru, ",
        "Test, letters wrong: 0.",
        "Model written to said.safetensors",
    ):
        assert words in " ".join(result.out.replace("\n  ", " ").split("\n")), words
    assert isinstance(load("said.safetensors"), SpeechRecognizer)


def test_transcribe_files_and_folders(run: Run, model: str) -> None:
    soundfile.write("new.flac", np.sin(np.arange(16_000) * 0.3) / 3, 16_000)
    Path("clips/bad.wav").write_text("no sound")
    result = run("transcribe", model, "new.flac", "clips")
    assert result.code == 0, result.err
    assert result.err == (
        "Skipped clips/bad.wav: this is no WAV, FLAC or OGG sound\n"
        "new.flac: only the middle 0.4 s, the longest learnt, are heard\n"
    )
    found = rows(result.out)
    assert [row["file"] for row in found] == [
        "new.flac", *(f"clips/{i:02d}.wav" for i in range(80)),
    ]  # fmt: skip
    assert found[0].keys() == {"file", "transcript"}
    assert set("".join(row["transcript"] for row in found)) <= set("abc")
    told = run("transcribe", model, "clips", "--out", "said-again.csv")
    assert told.err.endswith("80 transcripts written to said-again.csv\n")
    again = rows(Path("said-again.csv").read_text())
    assert [row["transcript"] for row in again] == [row["transcript"] for row in found[1:]]
    predicted = rows(run("predict", model, "clips").out)
    assert [row["prediction"] for row in predicted] == [row["transcript"] for row in again]


def test_evaluate_and_summary(run: Run, model: str) -> None:
    result = run("evaluate", model, "said.csv", "--json")
    assert result.code == 0, result.err
    assert result.json["sounds"] == 80
    assert 0 <= result.json["letter_error_rate"] <= 1
    by_name = run("evaluate", model, "said.csv", "--target", "text", "--json")
    assert by_name.json["letter_error_rate"] == result.json["letter_error_rate"]
    shown = run("summary", model, "--json")
    assert (shown.json["letters"], shown.json["network"]) == ("abc", "speech_gru")
    assert "LogMel" in shown.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["said.csv", "--transcripts", "words"], "words"),
        (["said.csv", "--transcripts", "text", "--target", "speaker"], "for classes"),
        (["said.csv", "--transcripts", "text", "--seconds", "1"], "this option is for sounds"),
        (["said.csv", "--target", "speaker", "--audio", "nowhere"], "nowhere"),
        (["gone.csv", "--transcripts", "text"], "no such file"),
    ],
)
def test_mistakes(run: Run, table: Path, words: list[str], message: str) -> None:
    result = run("train", *words)
    assert result.code == 2
    assert message in " ".join(result.err.split())
    assert not list(Path().glob("*.safetensors"))


def test_other_models_do_not_transcribe(run: Run, penguins: Path) -> None:
    assert run("train", penguins, "--target", "species", "--epochs", 1, "--out", "p").code == 0
    result = run("transcribe", "p", "a.wav")
    assert result.code == 2
    assert "does not write down speech: got NetworkClassifier" in " ".join(result.err.split())
