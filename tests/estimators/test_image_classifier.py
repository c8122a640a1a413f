"""ImageClassifier: pictures in, classes out, and the file between."""

import copy
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule.data import ImageData, ImagePreparation
from chainrule.errors import (
    ArgumentError,
    DataError,
    FileFormatError,
    ShapeError,
    UnknownNameError,
)
from chainrule.estimators import ImageClassifier, NetworkClassifier, NotFittedError, load
from chainrule.estimators import image_defaults as defaults
from chainrule.formats import read_model_file, write_model_file

CLASSES = ["bar", "cross", "dot"]


def shapes(count: int, side: int = 12, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noisy pictures of a bar, a cross or a dot somewhere."""
    random = np.random.default_rng(seed)
    codes = np.arange(count) % 3
    x = random.integers(0, 80, (count, side, side), dtype=np.uint8)
    for picture, code in zip(x, codes, strict=True):
        i, j = random.integers(2, side - 3, 2)
        if code == 0:
            picture[i, 1:-1] = 255
        elif code == 1:
            picture[i - 2 : i + 3, j] = picture[i, j - 2 : j + 3] = 255
        else:
            picture[i - 1 : i + 1, j - 1 : j + 1] = 255
    return x, np.array(CLASSES)[codes]


def dense(input_shape: tuple[int, int, int], classes: int) -> cr.Model:
    return cr.Sequential([cr.layers.Flatten(), cr.layers.Dense(classes)])


@pytest.fixture(scope="module")
def trained() -> ImageClassifier:
    return ImageClassifier(epochs=12, random_state=0).fit(*shapes(600))


def test_it_learns_shapes_wherever_they_are(trained: ImageClassifier) -> None:
    x, y = shapes(150, seed=1)
    assert trained.classes_.tolist() == CLASSES
    assert trained.network_ == "small_cnn"
    assert np.mean(trained.predict(x) == y) > 0.95
    probabilities = trained.predict_proba(x)
    assert probabilities.shape == (150, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)


def test_image_data_and_arrays_give_the_same_network() -> None:
    x, y = shapes(90)
    codes = np.searchsorted(CLASSES, y).astype(np.int32)
    preparation = ImagePreparation(12, 12, 1)
    data = ImageData(x[..., None], codes, CLASSES, [""] * 90, [], preparation)
    options = {"epochs": 2, "random_state": 3}
    one = ImageClassifier(dense, **options).fit(data)
    two = ImageClassifier(dense, **options).fit(x, y)
    three = ImageClassifier(dense, **options).fit(np.float32(x / 255), y)
    assert (one.predict_proba(data) == two.predict_proba(x)).all()
    np.testing.assert_allclose(two.predict_proba(x), three.predict_proba(x / 255), atol=1e-5)


@pytest.mark.parametrize("augment", [True, False])
def test_a_seed_repeats_the_network(augment: bool) -> None:
    x, y = shapes(64)
    found = [
        ImageClassifier("lenet5", augment=augment, epochs=1, random_state=seed)
        .fit(x, y)
        .predict_proba(x)
        for seed in (5, 5, 6)
    ]
    assert (found[0] == found[1]).all()
    assert not (found[0] == found[2]).all()


def test_augmentation_works_in_training_only() -> None:
    x, y = shapes(64)
    options = {"epochs": 1, "random_state": 5}
    plain = ImageClassifier(dense, augment=False, **options).fit(x, y)
    changed = ImageClassifier(dense, **options).fit(x, y)
    kinds = [type(layer).__name__ for layer in changed.classifier_.model_.layers]
    assert kinds == ["RandomShift", "RandomRotation", "RandomZoom", "Sequential"]
    assert len(plain.classifier_.model_.layers) == 1
    assert (changed.predict_proba(x) == changed.predict_proba(x)).all()


def test_the_file_holds_all_that_predicting_needs(trained: ImageClassifier, tmp_path: Path) -> None:
    trained.save(tmp_path / "m.safetensors")
    loaded = load(tmp_path / "m.safetensors")
    assert isinstance(loaded, ImageClassifier)
    x, _ = shapes(40, seed=2)
    assert (loaded.predict_proba(x) == trained.predict_proba(x)).all()
    assert loaded.preparation_ == trained.preparation_
    assert loaded.network_ == "small_cnn"
    assert loaded.classes_.tolist() == CLASSES
    loaded.save(tmp_path / "again.safetensors")
    again = load(tmp_path / "again.safetensors")
    assert (again.predict_proba(x) == trained.predict_proba(x)).all()


def test_a_network_of_ones_own_is_saved_too(tmp_path: Path) -> None:
    x, y = shapes(60)
    own = ImageClassifier(dense, epochs=1, random_state=0).fit(x, y)
    own.save(tmp_path / "m")
    loaded = load(tmp_path / "m")
    assert loaded.network_ == "given by the user"
    assert (loaded.predict_proba(x) == own.predict_proba(x)).all()


def test_damaged_files_are_refused(trained: ImageClassifier, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    trained.save(path)
    metadata, arrays = read_model_file(path)
    good = metadata["pictures"]
    size = good["preparation"]
    for damaged in (
        None,
        {},
        [],
        {**good, "more": 1},
        {**good, "network": "os.system"},
        {**good, "network": 5},
        {**good, "preparation": None},
        {**good, "preparation": {**size, "height": 13}},
        {**good, "preparation": {**size, "channels": 3}},
        {**good, "preparation": {**size, "height": 10**9}},
    ):
        write_model_file(path, {**metadata, "pictures": damaged}, arrays)
        with pytest.raises(FileFormatError):
            load(path)


def test_a_table_model_with_pictures_is_refused(trained: ImageClassifier, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(60, 4))
    table = NetworkClassifier(epochs=1, random_state=0).fit(x, np.arange(60) % 2)
    table.save(tmp_path / "t")
    trained.save(tmp_path / "m")
    pictures = read_model_file(tmp_path / "m")[0]["pictures"]
    metadata, arrays = read_model_file(tmp_path / "t")
    write_model_file(tmp_path / "t", {**metadata, "pictures": pictures}, arrays)
    with pytest.raises(FileFormatError, match="does not take the pictures"):
        load(tmp_path / "t")


def test_a_loaded_estimator_takes_arrays_of_more_axes(tmp_path: Path) -> None:
    x, y = shapes(60)
    inputs = np.float32(x / 255)
    made = NetworkClassifier(model=lambda: dense((12, 12, 1), 3), epochs=1, random_state=0)
    made.fit(inputs, y).save(tmp_path / "m")
    loaded = load(tmp_path / "m")
    assert (loaded.predict_proba(inputs) == made.predict_proba(inputs)).all()
    loaded.partial_fit(inputs, y)


def test_settings_given_win_over_the_defaults() -> None:
    x, y = shapes(60)

    def found(**settings: object) -> dict[str, object]:
        fitted = ImageClassifier(dense, until={"loss": 9}, **settings).fit(x, y)
        return fitted.classifier_.get_params()

    default = found()
    assert (default["batch_size"], default["epochs"], default["patience"]) == (8, 188, 94)
    assert default["weight_decay"] == 0.05
    given = found(batch_size=20, max_epochs=7, patience=3, weight_decay=0.5)
    assert (given["batch_size"], given["epochs"], given["patience"]) == (20, 7, 3)
    assert given["weight_decay"] == 0.5
    own = found(optimizer=cr.optimizers.SGD(0.01))
    assert own["weight_decay"] == "auto"


def test_wrong_settings_are_refused_at_once() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'small_cnn'"):
        ImageClassifier("smal_cnn")
    with pytest.raises(UnknownNameError, match="epochs"):
        ImageClassifier(epoch=3)
    with pytest.raises(ArgumentError, match="epochs cannot have this value"):
        ImageClassifier(epochs=0)
    with pytest.raises(ArgumentError, match=r"there is no setting 'hidden'.*function as network"):
        ImageClassifier(hidden=(3,))
    with pytest.raises(NotFittedError):
        ImageClassifier().predict(np.zeros((1, 2, 2), np.uint8))


@pytest.mark.parametrize(
    ("x", "y", "error", "words"),
    [
        (np.zeros((4, 3), np.uint8), "abab", ShapeError, "these are no pictures"),
        (np.zeros((4, 8, 8, 2), np.uint8), "abab", ShapeError, "1 or 3"),
        (np.zeros((0, 8, 8, 1), np.uint8), "", ShapeError, "these are no pictures"),
        (np.zeros((4, 8, 8), np.int64), "abab", DataError, "wrong pixels: got int64"),
        (np.full((4, 8, 8), 1.5), "abab", DataError, "not 0 to 1"),
        (np.full((4, 8, 8), np.nan), "abab", DataError, "not 0 to 1"),
        (np.zeros((4, 8, 8), np.uint8), "aba", DataError, "not one class for each picture: got 3"),
        (np.zeros((4, 8, 8), np.uint8), None, DataError, "not one class for each picture"),
        (np.zeros((4, 8, 8), np.uint8), "aaaa", DataError, "only one class"),
    ],
)
def test_wrong_pictures(x: np.ndarray, y: str | None, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        ImageClassifier(dense).fit(x, None if y is None else list(y))


def test_pictures_of_another_shape_or_kind(trained: ImageClassifier) -> None:
    with pytest.raises(ShapeError, match=r"got \(13, 12, 1\), expected \(12, 12, 1\).*read_pict"):
        trained.predict(np.zeros((2, 13, 12), np.uint8))
    with pytest.raises(DataError, match="another kind than in training: got float64"):
        trained.predict(np.zeros((2, 12, 12)))
    data = ImageData(
        np.zeros((1, 12, 12, 1), np.uint8), np.array([-1], np.int32), [], ["a"], [],
        trained.preparation_,
    )  # fmt: skip
    assert len(trained.predict(data)) == 1
    with pytest.raises(DataError, match="pictures without a class"):
        copy.copy(trained).fit(data)
    with pytest.raises(DataError, match="brings its own classes"):
        copy.copy(trained).fit(data, ["a"])


def test_defaults_follow_from_size_and_count() -> None:
    for shape in ((1, 3, 1), (4, 4, 1), (28, 28, 1), (32, 32, 3), (64, 64, 3), (128, 96, 3)):
        for count in (10, 1_000, 50_000):
            name = defaults.choose_network(shape, count)
            assert defaults.network_of(name)(shape, 3).count_params() < 1_000_000
    assert type(defaults.augmentation((8, 8, 3))[0]).__name__ == "RandomFlip"
    for count in (2, 50, 500, 5_000, 500_000):
        batch = defaults.batch_size(count)
        epochs = defaults.epochs(count, batch)
        assert 8 <= batch <= 64
        assert 20 <= epochs <= 300
        assert defaults.patience(epochs) < epochs
