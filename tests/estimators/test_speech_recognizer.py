"""SpeechRecognizer: sounds in, letters out, and the file between."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from spoken_tones import RATE, tones

import chainrule as cr
from chainrule.data import AudioPreparation
from chainrule.errors import ArgumentError, DataError, FileFormatError, UnknownNameError
from chainrule.estimators import NotFittedError, SpeechRecognizer, load
from chainrule.estimators import speech_defaults as defaults
from chainrule.formats import read_model_file, write_model_file


def small(input_shape: tuple[int, int], outputs: int) -> cr.Model:
    return cr.Sequential(
        [
            cr.layers.Conv1D(48, 5, padding="same", activation="relu"),
            cr.layers.Conv1D(48, 5, padding="same", activation="relu"),
            cr.layers.Dense(outputs),
        ]
    )


@pytest.fixture(scope="module")
def trained() -> SpeechRecognizer:
    return SpeechRecognizer(small, augment=False, epochs=25, random_state=0).fit(tones(240))


def test_it_writes_down_tones(trained: SpeechRecognizer) -> None:
    data = tones(60, seed=1)
    rates = trained.error_rates(data)
    assert rates["letter_error_rate"] < 0.1
    assert rates["letter_error_rate"] <= rates["word_error_rate"] < 0.5
    found = trained.transcribe(data)
    assert len(found) == 60
    assert set("".join(found)) <= set("abcd")
    # One by one as all together.
    assert [trained.transcribe(data.take(np.array([row])))[0] for row in range(3)] == found[:3]


def test_the_default_network_learns_too() -> None:
    data = tones(40)
    recognizer = SpeechRecognizer(epochs=3, random_state=1).fit(data)
    assert recognizer.network_ == "speech_gru"
    losses = recognizer.history_["loss"]
    assert losses[-1] < losses[0]
    kinds = [type(layer).__name__ for layer in recognizer.model_.layers]
    assert kinds == ["RandomNoise", "LogMel", "RandomWarp", "SpecAugment", "Sequential"]


def test_a_seed_repeats_the_network() -> None:
    data = tones(24)
    found = [
        SpeechRecognizer(small, epochs=1, random_state=seed).fit(data).model_.get_weights()[0]
        for seed in (5, 5, 6)
    ]
    assert (found[0] == found[1]).all()
    assert not (found[0] == found[2]).all()


def test_the_file_holds_all_that_transcribing_needs(
    trained: SpeechRecognizer, tmp_path: Path
) -> None:
    trained.save(tmp_path / "m.safetensors")
    loaded = load(tmp_path / "m.safetensors")
    assert isinstance(loaded, SpeechRecognizer)
    data = tones(10, seed=2)
    assert loaded.transcribe(data) == trained.transcribe(data)
    for name in ("preparation_", "length_", "network_", "n_iter_"):
        assert getattr(loaded, name) == getattr(trained, name)
    loaded.save(tmp_path / "again.safetensors")
    assert load(tmp_path / "again.safetensors").transcribe(data) == trained.transcribe(data)


def test_damaged_files_are_refused(trained: SpeechRecognizer, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    trained.save(path)
    metadata, arrays = read_model_file(path)
    good = metadata["speech"]
    for damaged in (
        None,
        {},
        {**good, "more": 1},
        {**good, "version": 2},
        {**good, "network": "os.system"},
        {**good, "alphabet": {"letters": "abc"}},
        {**good, "alphabet": {"letters": "dcba"}},
        {**good, "preparation": {"sample_rate": 8_000}},
        {**good, "epochs": -1},
    ):
        write_model_file(path, {**metadata, "speech": damaged}, arrays)
        with pytest.raises(FileFormatError):
            load(path)
    for more in ({**metadata, "sounds": {}}, {"speech": good, "architecture": {}}):
        write_model_file(path, more, arrays)
        with pytest.raises(FileFormatError):
            load(path)


def test_wrong_settings_are_refused_at_once() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'speech_gru'"):
        SpeechRecognizer("speech_cn")
    for options in ({"epochs": 0}, {"batch_size": 1.5}, {"learning_rate": 0}):
        with pytest.raises(ArgumentError, match=f"wrong {next(iter(options))}"):
            SpeechRecognizer(**options)
    with pytest.raises(NotFittedError):
        SpeechRecognizer().transcribe(tones(2))


def test_wrong_sounds(trained: SpeechRecognizer) -> None:
    data = tones(4)
    with pytest.raises(DataError, match="have no transcripts"):
        SpeechRecognizer(small).fit(replace(data, transcripts=[]))
    with pytest.raises(DataError, match=r"an empty transcript: got 1\.wav"):
        SpeechRecognizer(small).fit(replace(data, transcripts=["a", " ", "b", "c"]))
    with pytest.raises(DataError, match="another sample rate than in training"):
        trained.transcribe(replace(data, preparation=AudioPreparation(2 * RATE)))


def test_defaults_follow_from_the_sounds() -> None:
    for count in (2, 50, 500, 5_000, 500_000):
        batch = defaults.batch_size(count)
        assert 8 <= batch <= 32
        assert 5 <= defaults.epochs(count, batch) <= 100
    assert defaults.optimizer(0.5, 10).learning_rate == 0.5
