"""SoundClassifier: sounds in, classes out, and the file between."""

import copy
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule.data import AudioData, AudioPreparation
from chainrule.errors import (
    ArgumentError,
    DataError,
    FileFormatError,
    ShapeError,
    UnknownNameError,
)
from chainrule.estimators import NetworkClassifier, NotFittedError, SoundClassifier, load
from chainrule.estimators import audio_defaults as defaults
from chainrule.formats import read_model_file, write_model_file

RATE = 4_000
CLASSES = ["fall", "flat", "rise"]


def sweeps(count: int, seed: int = 0) -> tuple[list[np.ndarray], np.ndarray]:
    """Noisy tones of 0.2 to 0.3 seconds that fall, stay or rise, somewhere, as loud as you like."""
    random = np.random.default_rng(seed)
    codes = np.arange(count) % 3
    sounds = []
    for code in codes:
        length = int(random.integers(800, 1_200))
        times = np.arange(length) / length
        start = random.uniform(600, 1_000)
        pitch = start * 2.0 ** ((code - 1) * times)
        wave = np.sin(2 * np.pi * np.cumsum(pitch) / RATE)
        noisy = wave + random.normal(0, 0.1, length)
        sounds.append(np.float32(noisy * random.uniform(0.05, 0.8)))
    return sounds, np.array(CLASSES)[codes]


def as_data(sounds: list[np.ndarray], y: np.ndarray) -> AudioData:
    starts = np.concatenate([[0], np.cumsum([len(sound) for sound in sounds])])
    codes = np.searchsorted(CLASSES, y).astype(np.int32)
    return AudioData(
        np.concatenate(sounds), starts.astype(np.int64), codes, CLASSES, [], [""] * len(y),
        {RATE: len(y)}, [], AudioPreparation(RATE),
    )  # fmt: skip


def linear(input_shape: tuple[int, int], classes: int) -> cr.Model:
    return cr.Sequential([cr.layers.Flatten(), cr.layers.Dense(classes)])


@pytest.fixture(scope="module")
def trained() -> SoundClassifier:
    return SoundClassifier(epochs=12, random_state=0).fit(as_data(*sweeps(360)))


def test_it_learns_what_tones_do(trained: SoundClassifier) -> None:
    sounds, y = sweeps(150, seed=1)
    data = as_data(sounds, y)
    assert trained.classes_.tolist() == CLASSES
    assert (trained.network_, trained.preparation_) == ("sound_cnn", AudioPreparation(RATE))
    assert 1_100 < trained.length_ <= 1_200
    assert trained.score(data, y) > 0.95
    probabilities = trained.predict_proba(data)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    # How loud it is does not matter; neither does whether it comes in pieces.
    quiet = as_data([sound / 50 for sound in sounds], y)
    np.testing.assert_allclose(trained.predict_proba(quiet), probabilities, atol=1e-2)
    rows = data.padded(trained.length_)
    np.testing.assert_allclose(trained.predict_proba(rows), probabilities, atol=1e-6)


def test_audio_data_and_arrays_give_the_same_network() -> None:
    data = as_data(*sweeps(60))
    options = {"epochs": 2, "random_state": 3}
    one = SoundClassifier(linear, seconds=0.3, **options).fit(data)
    rows = data.padded(1_200)
    two = SoundClassifier(linear, sample_rate=RATE, **options)
    two.fit(rows, np.array(CLASSES)[data.y])
    assert (one.predict_proba(data) == two.predict_proba(rows)).all()
    assert (one.length_, two.length_) == (1_200, 1_200)


def test_a_seed_repeats_the_network() -> None:
    data = as_data(*sweeps(40))
    found = [
        SoundClassifier(epochs=1, random_state=seed).fit(data).predict_proba(data)
        for seed in (5, 5, 6)
    ]
    assert (found[0] == found[1]).all()
    assert not (found[0] == found[2]).all()


def test_augmentation_works_in_training_only() -> None:
    data = as_data(*sweeps(40))
    options = {"epochs": 1, "random_state": 5}
    plain = SoundClassifier(linear, augment=False, **options).fit(data)
    changed = SoundClassifier(linear, **options).fit(data)
    kinds = [type(layer).__name__ for layer in changed.classifier_.model_.layers]
    assert kinds == ["RandomNoise", "LogMel", "RandomWarp", "SpecAugment", "Sequential"]
    assert [type(layer).__name__ for layer in plain.classifier_.model_.layers] == [
        "LogMel", "Sequential",
    ]  # fmt: skip
    assert (changed.predict_proba(data) == changed.predict_proba(data)).all()


def test_the_file_holds_all_that_predicting_needs(trained: SoundClassifier, tmp_path: Path) -> None:
    trained.save(tmp_path / "m.safetensors")
    loaded = load(tmp_path / "m.safetensors")
    assert isinstance(loaded, SoundClassifier)
    data = as_data(*sweeps(30, seed=2))
    assert (loaded.predict_proba(data) == trained.predict_proba(data)).all()
    for name in ("preparation_", "length_", "network_"):
        assert getattr(loaded, name) == getattr(trained, name)
    loaded.save(tmp_path / "again.safetensors")
    again = load(tmp_path / "again.safetensors")
    assert (again.predict_proba(data) == trained.predict_proba(data)).all()


def test_a_network_of_ones_own_is_saved_too(tmp_path: Path) -> None:
    data = as_data(*sweeps(30))
    own = SoundClassifier(linear, epochs=1, random_state=0).fit(data)
    own.save(tmp_path / "m")
    loaded = load(tmp_path / "m")
    assert loaded.network_ == "given by the user"
    assert (loaded.predict_proba(data) == own.predict_proba(data)).all()


def test_damaged_files_are_refused(trained: SoundClassifier, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    trained.save(path)
    metadata, arrays = read_model_file(path)
    good = metadata["sounds"]
    for damaged in (
        None,
        {},
        {**good, "more": 1},
        {**good, "network": "os.system"},
        {**good, "network": "small_cnn"},
        {**good, "preparation": {"sample_rate": 8_000}},
        {**good, "preparation": {"sample_rate": 10**9, "trim": 40}},
    ):
        write_model_file(path, {**metadata, "sounds": damaged}, arrays)
        with pytest.raises(FileFormatError):
            load(path)
    write_model_file(path, {**metadata, "pictures": good}, arrays)
    with pytest.raises(FileFormatError):
        load(path)


def test_a_model_of_pictures_as_one_of_sounds_is_refused(
    trained: SoundClassifier, tmp_path: Path
) -> None:
    x = np.random.default_rng(0).normal(size=(60, 4, 3)).astype("float32")
    model = NetworkClassifier(model=lambda: linear((4, 3), 2), epochs=1, random_state=0)
    model.fit(x, np.arange(60) % 2).save(tmp_path / "t")
    trained.save(tmp_path / "m")
    sounds = read_model_file(tmp_path / "m")[0]["sounds"]
    metadata, arrays = read_model_file(tmp_path / "t")
    write_model_file(tmp_path / "t", {**metadata, "sounds": sounds}, arrays)
    with pytest.raises(FileFormatError, match="does not take sounds"):
        load(tmp_path / "t")


def test_settings_given_win_over_the_defaults() -> None:
    data = as_data(*sweeps(30))

    def found(**settings: object) -> dict[str, object]:
        return (
            SoundClassifier(linear, **{"epochs": 2, **settings}).fit(data).classifier_.get_params()
        )

    default = found()
    assert (default["batch_size"], default["mixup"], default["weight_decay"]) == (8, 0.3, 0.05)
    assert default["early_stopping"] is False
    assert default["learning_rate"].decay_steps == 2 * 4
    given = found(batch_size=20, mixup=0.0, lr=0.01, early_stopping=True)
    assert (given["batch_size"], given["epochs"], given["mixup"]) == (20, 2, 0)
    assert (given["learning_rate"], given["early_stopping"]) == (0.01, True)
    own = found(optimizer=cr.optimizers.SGD(0.01), until={"loss": 9})
    assert (own["weight_decay"], own["learning_rate"], own["mixup"]) == ("auto", "auto", 0)


def test_wrong_settings_are_refused_at_once() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'sound_cnn'"):
        SoundClassifier("sound_cn")
    with pytest.raises(UnknownNameError, match="epochs"):
        SoundClassifier(epoch=3)
    with pytest.raises(ArgumentError, match=r"there is no setting 'hidden'.*function as network"):
        SoundClassifier(hidden=(3,))
    with pytest.raises(ArgumentError, match="wrong seconds"):
        SoundClassifier(seconds=1e9)
    with pytest.raises(ArgumentError, match="wrong sample_rate"):
        SoundClassifier(sample_rate=10)
    with pytest.raises(NotFittedError):
        SoundClassifier().predict(np.zeros((1, 900), "float32"))


@pytest.mark.parametrize(
    ("x", "y", "error", "words"),
    [
        (np.zeros((4, 3, 2), "float32"), "abab", ShapeError, "these are no sounds"),
        (np.zeros((0, 900), "float32"), "", ShapeError, "these are no sounds"),
        (np.zeros((4, 900), np.int16), "abab", DataError, "wrong samples: got int16"),
        (np.full((4, 900), np.nan), "abab", DataError, "not finite"),
        (np.zeros((4, 900)), "aba", DataError, "not one class for each sound: got 3"),
        (np.zeros((4, 900)), None, DataError, "not one class for each sound"),
        (np.zeros((4, 90)), "abab", ShapeError, "shorter than one frame|one frame"),
    ],
)
def test_wrong_sounds(x: np.ndarray, y: str | None, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        SoundClassifier(linear, sample_rate=RATE).fit(x, None if y is None else list(y))


def test_sounds_of_another_rate_or_length(trained: SoundClassifier) -> None:
    with pytest.raises(ArgumentError, match="sample rate of the array is not known"):
        SoundClassifier(linear).fit(np.zeros((4, 900), "float32"), list("abab"))
    with pytest.raises(ShapeError, match="another length than in training: got 900"):
        trained.predict(np.zeros((2, 900), "float32"))
    data = as_data(*sweeps(3))
    other = AudioData(**{**vars(data), "preparation": AudioPreparation(8_000)})
    with pytest.raises(DataError, match="another sample rate than in training: got 8000"):
        trained.predict(other)
    unknown = AudioData(**{**vars(data), "y": np.full(3, -1, np.int32)})
    assert len(trained.predict(unknown)) == 3
    with pytest.raises(DataError, match="sounds without a class"):
        copy.copy(trained).fit(unknown)
    with pytest.raises(DataError, match="brings its own classes"):
        copy.copy(trained).fit(data, list("abc"))


def test_defaults_follow_from_the_sounds() -> None:
    assert defaults.length(np.array([100]), 8_000) == 1_600
    assert defaults.length(np.full(9, 10**9), 8_000) == 480_000
    for count in (2, 50, 500, 5_000, 500_000):
        batch = defaults.batch_size(count)
        assert 8 <= batch <= 64
        assert 10 <= defaults.epochs(count, batch) <= 100
