"""Model files whose structure is not what it should be: refused with the promised words."""

import copy
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ChainruleError, FileFormatError, UnknownNameError
from chainrule.formats import write_model_file
from chainrule.training.saving import model_to_parts, parts_to_model

X = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")

Change = Callable[[dict[str, Any], dict[str, Any]], None]


def good_parts() -> tuple[dict[str, Any], dict[str, Any]]:
    model = cr.Sequential([cr.layers.Dense(3, activation="relu"), cr.layers.BatchNormalization()])
    model(X)
    architecture, arrays = model_to_parts(model)
    return architecture, arrays


def dense(architecture: dict[str, Any]) -> dict[str, Any]:
    """The config of the dense layer."""
    return architecture["model"]["config"]["layers"][0]["config"]


def put(*way: Any) -> Change:
    """Put the last value at the place that the others name."""
    *keys, last, value = way

    def change(architecture: dict[str, Any], arrays: dict[str, Any]) -> None:
        inner: Any = architecture
        for key in keys:
            inner = inner[key]
        inner[last] = value

    return change


def put_dense(name: str, value: Any) -> Change:
    return put("model", "config", "layers", 0, "config", name, value)


def put_array(name: str, array: Any) -> Change:
    return lambda architecture, arrays: arrays.__setitem__(name, np.asarray(array))


def part(kind: str, name: str, **config: Any) -> dict[str, Any]:
    return {"kind": kind, "class": name, "config": config}


BAD: dict[str, tuple[Change, str]] = {
    "key missing": (lambda a, _: a.pop("frozen"), "the architecture is wrong"),
    "key added": (put("extra", 1), "the architecture is wrong"),
    "model a list": (put("model", []), "the model's part is wrong"),
    "model without class": (lambda a, _: a["model"].pop("class"), "the model's part is wrong"),
    "class a number": (put("model", "class", 5), "a part has a wrong class"),
    "class a list": (put("model", "class", ["Sequential"]), "a part has a wrong class"),
    "kind a list": (put("model", "kind", ["layer"]), "a part has a wrong class"),
    "kind unknown": (put("model", "kind", "module"), "a part is of an unknown kind: got 'module'"),
    "kind other": (
        put("model", part("initializer", "Zeros")),
        "outermost layer is no model: got Z",
    ),
    "layer as model": (put("model", part("layer", "Dense", units=3)), "is no model: got Dense"),
    "unknown layer": (put("model", part("layer", "Lambda", code="x")), "got 'Lambda'"),
    "import path": (put("model", part("layer", "os.system")), "got 'os.system'"),
    "builtin": (put_dense("activation", part("function", "eval")), "got 'eval'"),
    "dunder": (put("model", "class", "__class__"), "got '__class__'"),
    "config a list": (put("model", "config", [1]), "the structure cannot be built"),
    "config null": (put("model", "config", None), "the file lists a layer"),
    "config of odd key": (put_dense("unit", 3), "unknown argument in config: got 'unit'"),
    "config incomplete": (lambda a, _: dense(a).pop("units"), "incomplete config"),
    "units a text": (put_dense("units", "3"), "units"),
    "units negative": (put_dense("units", -3), "units"),
    "units a float": (put_dense("units", 3.5), "units"),
    "units true": (put_dense("units", True), "units"),
    "units null": (put_dense("units", None), "units"),
    "units 10^12": (put_dense("units", 10**12), "got shape (4, 3), expected shape (4, 1000000"),
    "units 2^63": (put_dense("units", 2**63), "does not fit the structure"),
    "units 4": (put_dense("units", 4), "array 'dense/kernel' does not fit the structure: got sh"),
    "activation unknown": (put_dense("activation", "rellu"), "did you mean 'relu'"),
    "activation a number": (put_dense("activation", 7), "the structure cannot be built"),
    "initializer a layer": (
        put_dense("kernel_initializer", part("layer", "Dense", units=1)),
        "has a layer that the file does not list",
    ),
    "name with a slash": (put_dense("name", "a/b"), "bad name"),
    "name with a newline": (put_dense("name", "a\nb"), "bad name"),
    "name other": (put_dense("name", "other"), "has a layer that the file does not list: got 'oth"),
    "dtype odd": (put("layers", "dense", "dtype", "float16"), "float16"),
    "dtype a number": (put("layers", "dense", "dtype", 3), "a layer's entry is wrong"),
    "built a number": (put("layers", "dense", "built", 1), "a layer's entry is wrong"),
    "built false": (put("layers", "dense", "built", False), "an array belongs to no variable"),
    "trainable null": (put("layers", "dense", "trainable", None), "a layer's entry is wrong"),
    "row a number": (put("layers", "dense", 5), "a layer's entry is wrong"),
    "row of odd keys": (put("layers", "dense", "more", 1), "a layer's entry is wrong"),
    "rows a list": (put("layers", []), "the list of layers is wrong"),
    "rows a list of rows": (put("layers", [1]), "the list of layers is wrong: got [1]"),
    "rows empty": (put("layers", {}), "the list of layers is wrong: got 0"),
    "row missing": (lambda a, _: a["layers"].pop("dense"), "does not list: got 'dense'"),
    "root row missing": (lambda a, _: a["layers"].pop(""), "the file does not list"),
    "row for nobody": (
        lambda a, _: a["layers"].update(ghost=a["layers"]["dense"]),
        "that its structure does not have: got 'ghost'",
    ),
    "shape negative": (put("layers", "dense", "input_shape", [None, -4]), "a shape is wrong"),
    "shape a float": (put("layers", "dense", "input_shape", [None, 4.0]), "a shape is wrong"),
    "shape true": (put("layers", "dense", "input_shape", [None, True]), "a shape is wrong"),
    "shape a text": (put("layers", "dense", "input_shape", "44"), "a shape is wrong"),
    "shape null": (put("layers", "dense", "input_shape", None), "a shape is wrong"),
    "shape mixed": (put("layers", "dense", "input_shape", [[None], 4]), "a shape is wrong"),
    "shape a table": (put("layers", "dense", "input_shape", {"a": [None, 4]}), "built"),
    "shape unknown width": (put("layers", "dense", "input_shape", [None, None]), "built"),
    "shape of rank 0": (put("layers", "dense", "input_shape", []), "built"),
    "shape 10^12": (put("layers", "dense", "input_shape", [None, 10**12]), "expected shape (10000"),
    "output shape odd": (put("layers", "dense", "output_shape", ["x"]), "a shape is wrong"),
    "frozen a text": (put("frozen", "dense/kernel"), "the list of frozen variables is wrong"),
    "frozen a number": (put("frozen", [3]), "the list of frozen variables is wrong"),
    "frozen ghost": (put("frozen", ["ghost"]), "a frozen variable does not exist: got 'ghost'"),
    "array missing": (lambda _, b: b.pop("dense/bias"), "an array is missing: got none named 'den"),
    "array for nobody": (put_array("ghost", [1.0]), "an array belongs to no variable: got 'ghost'"),
    "array of other shape": (
        put_array("dense/kernel", np.zeros((3, 4), "float32")),
        "'dense/kernel' does not fit the structure: got shape (3, 4), expected shape (4, 3)",
    ),
    "array of other dtype": (
        put_array("dense/bias", np.zeros(3)),
        "'dense/bias' does not fit the structure: got shape (3,) of float64, expected shape (3,)",
    ),
    "too many layers": (
        put("model", "config", "layers", [part("layer", "Flatten")] * 1001),
        "the model has too many layers: got 1002",
    ),
    "too many rows": (put("layers", {str(i): 0 for i in range(1001)}), "got 1001, expected 1 to"),
}


def test_the_good_parts_are_good() -> None:
    architecture, arrays = good_parts()
    assert parts_to_model(architecture, arrays)(X).shape == (6, 3)


@pytest.mark.parametrize("case", BAD)
def test_bad_architecture(tmp_path: Path, case: str) -> None:
    change, words = BAD[case]
    architecture, arrays = good_parts()
    change(architecture, arrays)
    path = tmp_path / "m"
    write_model_file(path, {"architecture": architecture, "extra": {}}, arrays)
    begin = time.perf_counter()
    with pytest.raises(ChainruleError) as caught:
        cr.load_model(path)
    assert isinstance(caught.value, FileFormatError | UnknownNameError)
    message = str(caught.value)
    assert message.startswith(f"[{path}] ")
    assert words in message
    assert "To fix: " in message
    assert message.isprintable()
    assert "Error" not in message
    assert time.perf_counter() - begin < 2


@pytest.mark.parametrize(
    "metadata", [{}, {"architecture": {}}, {"architecture": {}, "extra": []}, {"a": 1, "extra": {}}]
)
def test_a_file_without_a_model(tmp_path: Path, metadata: dict[str, Any]) -> None:
    write_model_file(tmp_path / "m", metadata, {})
    with pytest.raises(FileFormatError, match="the file holds no model"):
        cr.load_model(tmp_path / "m")


@pytest.mark.parametrize("architecture", [None, 5, "x", [], [[]], True, 0.5])
def test_an_architecture_of_the_wrong_type(architecture: Any) -> None:
    with pytest.raises(FileFormatError, match="the architecture is wrong"):
        parts_to_model(architecture, {})


def test_nothing_of_a_file_is_imported_or_opened(tmp_path: Path) -> None:
    """A file's words must not reach ``import`` or ``open``: an audit hook watches them."""
    program = """
import sys, chainrule as cr
from chainrule.errors import ChainruleError
cr.load_model(sys.argv[1])  # whatever is imported lazily is imported now
seen = []
sys.addaudithook(lambda event, args: seen.append((event, args)))
for path in sys.argv[1:]:
    try:
        cr.load_model(path)
    except ChainruleError:
        pass
events = [(event, args[0]) for event, args in seen if event in ("import", "exec")]
events += [("open", args[0]) for event, args in seen if event == "open"
           and isinstance(args[0], str) and args[0] not in sys.argv]
print(events)
"""
    architecture, arrays = good_parts()
    paths = [tmp_path / "good"]
    write_model_file(paths[0], {"architecture": architecture, "extra": {}}, arrays)
    for number, hostile in enumerate(["antigravity", "os.system", "/etc/passwd", "antigravity:x"]):
        for change in (
            put("model", "class", hostile),
            put_dense("activation", hostile),
            put_dense("kernel_initializer", hostile),
            put_dense("kernel_initializer", part("initializer", hostile)),
            put_dense("activation", part("function", hostile)),
        ):
            bad = copy.deepcopy(architecture)
            change(bad, {})
            paths.append(tmp_path / f"bad{number}{len(paths)}")
            write_model_file(paths[-1], {"architecture": bad, "extra": {}}, arrays)
    run = [sys.executable, "-c", program, *map(str, paths)]
    output = subprocess.run(run, check=True, capture_output=True, text=True).stdout
    assert output.strip() == "[]"
