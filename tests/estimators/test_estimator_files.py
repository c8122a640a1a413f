"""Estimators in files: what comes back, and what a file may not say."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import FileAccessError, FileFormatError, UnknownNameError
from chainrule.estimators import NetworkClassifier, NetworkRegressor, load
from chainrule.formats import read_model_file, write_model_file

TABLE = {
    "size": [1.0, 2.0, None, 4.0, 5.0, 6.0] * 10,
    "colour": ["red", "blue", None, "red", "red", "blue"] * 10,
}
KINDS = ["a", "b", "a", "c", "b", "a"] * 10
NUMBERS = np.arange(60.0)
LABELS = np.stack([NUMBERS > 30, NUMBERS % 2], axis=1).astype(int)

FITTED: dict[str, Callable[[], Any]] = {
    "classes": lambda: NetworkClassifier(hidden=(5,), epochs=2, random_state=0).fit(TABLE, KINDS),
    "labels": lambda: NetworkClassifier(hidden=5, epochs=2, random_state=0).fit(TABLE, LABELS),
    "numbers": lambda: NetworkRegressor(hidden=(5, 3), epochs=2).fit(TABLE, NUMBERS),
    "several numbers": lambda: NetworkRegressor(epochs=1).fit(TABLE, LABELS * 1.5),
    "one output": lambda: NetworkClassifier(loss="bce", epochs=1).fit(TABLE, NUMBERS > 30),
    "arrays": lambda: NetworkClassifier(epochs=1).fit(LABELS + 0.5, KINDS),
    "as it is": lambda: NetworkRegressor(epochs=1, preprocessing=False).fit(LABELS, NUMBERS),
    "small, float64": lambda: NetworkRegressor(epochs=1).fit(LABELS[:20], NUMBERS[:20]),
}


@pytest.mark.parametrize("kind", FITTED)
def test_loaded_estimator_is_the_saved_one(kind: str, tmp_path: Path) -> None:
    fitted = FITTED[kind]()
    x = TABLE if hasattr(fitted, "feature_names_in_") else LABELS + 0.0
    path = tmp_path / "model.safetensors"
    fitted.save(path)
    loaded = load(path)
    assert type(loaded) is type(fitted)
    method = "predict_proba" if isinstance(fitted, NetworkClassifier) else "predict"
    np.testing.assert_array_equal(getattr(loaded, method)(x), getattr(fitted, method)(x))
    np.testing.assert_array_equal(loaded.predict(x), fitted.predict(x))
    for name in ("n_features_in_", "n_outputs_", "n_iter_", "loss_", "target_name_"):
        assert getattr(loaded, name) == getattr(fitted, name)
    assert loaded.history_ is None
    assert repr(loaded) == repr(fitted).replace("[", "(").replace("]", ")")


def test_loaded_estimator_goes_on_learning_and_saves_the_same_file(tmp_path: Path) -> None:
    fitted = FITTED["classes"]()
    first, second = tmp_path / "first", tmp_path / "second"
    fitted.save(first)
    load(first).save(second)
    assert first.read_bytes() == second.read_bytes()
    loaded = load(second).partial_fit(TABLE, KINDS)
    assert loaded.n_iter_ == 3


def test_name_of_the_target_is_kept(tmp_path: Path) -> None:
    series = pytest.importorskip("polars").Series("kind", KINDS)
    path = tmp_path / "model"
    NetworkClassifier(epochs=1).fit(TABLE, series).save(path)
    assert load(path).target_name_ == "kind"


def test_what_json_cannot_hold_is_left_at_its_default(tmp_path: Path) -> None:
    def build() -> cr.Model:
        return cr.Sequential([cr.layers.Dense(3)])

    path = tmp_path / "model"
    kept = {"until": {"loss": 0.0001}, "epochs": 2}
    NetworkClassifier(model=build, optimizer=cr.optimizers.SGD(), **kept).fit(TABLE, KINDS).save(
        path
    )
    loaded = load(path)
    assert loaded.model is None
    assert loaded.optimizer == "adam"
    assert loaded.until == {"loss": 0.0001}
    assert len(loaded.predict(TABLE)) == 60


class Doubled(cr.Layer):
    def call(self, inputs: Any) -> Any:
        return inputs * 2


def test_layers_of_the_user_must_be_passed(tmp_path: Path) -> None:
    def build() -> cr.Model:
        return cr.Sequential([Doubled(), cr.layers.Dense(3)])

    path = tmp_path / "model"
    fitted = NetworkClassifier(model=build, epochs=1).fit(TABLE, KINDS)
    fitted.save(path)
    with pytest.raises(UnknownNameError, match="Doubled"):
        load(path)
    loaded = load(path, custom_objects={"Doubled": Doubled})
    np.testing.assert_array_equal(loaded.predict_proba(TABLE), fitted.predict_proba(TABLE))


def test_files_that_cannot_be_written_or_read(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError):
        FITTED["classes"]().save(tmp_path / "no" / "such" / "folder")
    with pytest.raises(FileAccessError):
        load(tmp_path / "nothing")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(FileFormatError):
        load(tmp_path / "text")


def test_file_of_a_plain_model_is_told_apart(tmp_path: Path) -> None:
    model = cr.Sequential([cr.layers.Dense(2)])
    model(np.zeros((1, 2)))
    model.save(tmp_path / "plain")
    with pytest.raises(FileFormatError, match="no estimator"):
        load(tmp_path / "plain")
    FITTED["numbers"]().save(tmp_path / "estimator")
    with pytest.raises(FileFormatError):
        cr.load_model(tmp_path / "estimator")


def _set(*keys: Any, to: Any) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    """A change of one entry of the stored estimator; the last argument is its new value."""

    def change(metadata: dict[str, Any], arrays: dict[str, Any]) -> None:
        place = metadata["estimator"]
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = to

    return change


def _pop(key: str) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    return lambda metadata, arrays: metadata["estimator"].pop(key)


HOSTILE: dict[str, Callable[[dict[str, Any], dict[str, Any]], Any]] = {
    "no estimator": lambda metadata, arrays: metadata.pop("estimator"),
    "an estimator that is text": lambda m, a: m.update(estimator="yes"),
    "more tables": lambda m, a: m.update(extra={}),
    "a newer version": _set("version", to=2),
    "a version that is true": _set("version", to=True),
    "another class": _set("class", to="os.system"),
    "a class that is a list": _set("class", to=["NetworkClassifier"]),
    "the other class": _set("class", to="NetworkRegressor"),
    "parameters that are a list": _set("parameters", to=[]),
    "an unknown parameter": _set("parameters", "__class__", to="x"),
    "a parameter by another name": _set("parameters", "max_iter", to=5),
    "a parameter of a wrong type": _set("parameters", "epochs", to="many"),
    "a negative width": _set("parameters", "hidden", to=[-1]),
    "an unknown activation": _set("parameters", "activation", to="eval"),
    "probabilities of another kind": _set("probabilities", to="argmax"),
    "probabilities that are a list": _set("probabilities", to=[]),
    "no columns": _set("columns", to=0),
    "too many columns": _set("columns", to=10**12),
    "another number of columns": _set("columns", to=3),
    "too few names": _set("names", to=["size"]),
    "names that are numbers": _set("names", to=[1, 2]),
    "a name of a megabyte": _set("names", to=["size", "x" * 10**6]),
    "preprocessing that is a list": _set("preprocessing", to=[1]),
    "preprocessing left out": _set("preprocessing", to=None),
    "a target of another kind": _set("target", "kind", to="numbers"),
    "a target of no kind": _set("target", "kind", to="pickle"),
    "a target that is null": _set("target", to=None),
    "too few classes": _set(
        "target", "config", to={"dtype": "str", "classes": ["a", "b"], "counts": [1, 1]}
    ),
    "classes out of order": _set(
        "target", "config", to={"dtype": "str", "classes": ["c", "b", "a"], "counts": [1, 1, 1]}
    ),
    "a target name that is a number": _set("target_name", to=3),
    "epochs below zero": _set("epochs", to=-1),
    "epochs that are true": _set("epochs", to=True),
    "a loss that is text": _set("loss", to="small"),
    "an entry missing": _pop("epochs"),
    "an array too many": lambda m, a: a.update(other=np.zeros(2)),
    "an array of the columns missing": lambda m, a: a.pop("columns/missing_counts"),
    "an array of the network missing": lambda m, a: a.pop("network/dense/kernel"),
    "an array of another shape": lambda m, a: a.update(
        {"network/dense/kernel": a["network/dense/kernel"][:-1]}
    ),
}


@pytest.fixture(scope="module")
def good_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("good") / "model"
    FITTED["classes"]().save(path)
    return path


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_are_refused(case: str, good_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "model"
    metadata, arrays = copy.deepcopy(read_model_file(good_file))
    HOSTILE[case](metadata, arrays)
    write_model_file(path, metadata, arrays)
    with pytest.raises(FileFormatError) as caught:
        load(path)
    assert "To fix" in str(caught.value)


WITHOUT_NAMES = {
    "as it is": (
        (_set("columns", to=10**12), "damaged columns"),
        (_set("columns", to=True), "damaged columns"),
        (_set("columns", to=3), "does not take the columns"),
        (lambda m, arrays: arrays.update({"columns/other": np.zeros(2)}), "belong to nothing"),
    ),
    "arrays": ((_set("columns", to=3), "damaged columns"),),
}


@pytest.mark.parametrize("kind", WITHOUT_NAMES)
def test_hostile_files_without_names_of_columns_are_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "model"
    FITTED[kind]().save(path)
    good = read_model_file(path)
    for change, words in WITHOUT_NAMES[kind]:
        metadata, arrays = copy.deepcopy(good)
        change(metadata, arrays)
        write_model_file(path, metadata, arrays)
        with pytest.raises(FileFormatError, match=words):
            load(path)


def test_network_that_does_not_fit_the_columns_is_refused(tmp_path: Path) -> None:
    wide, narrow = tmp_path / "wide", tmp_path / "narrow"
    FITTED["classes"]().save(wide)
    FITTED["arrays"]().save(narrow)
    metadata, arrays = read_model_file(wide)
    other, other_arrays = read_model_file(narrow)
    mixed = {k: v for k, v in arrays.items() if k.startswith("columns/")}
    mixed |= {k: v for k, v in other_arrays.items() if k.startswith("network/")}
    write_model_file(
        wide, {"architecture": other["architecture"], "estimator": metadata["estimator"]}, mixed
    )
    with pytest.raises(FileFormatError, match="does not"):
        load(wide)
