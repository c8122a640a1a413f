"""Saving and loading: every layer comes back whole; nothing of a file is trusted."""

import copy
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import (
    ArgumentError,
    ChainruleError,
    FileAccessError,
    FileFormatError,
    StateError,
    UnknownNameError,
)
from chainrule.formats import read_model_file, write_model_file
from chainrule.nn import registry
from chainrule.training.saving import (
    load_model_and_extra,
    model_to_parts,
    parts_to_model,
    save_model,
)

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(6, 4)).astype("float32")


def dense_then(layer: cr.Layer) -> cr.Model:
    return cr.Sequential([cr.layers.Dense(4), layer, cr.layers.Dense(2)])


class Merged(cr.Model):
    """Two branches, merged by the layer that is passed."""

    def __init__(self, merge: cr.Layer) -> None:
        super().__init__()
        self.merge = merge
        self.branches = [cr.layers.Dense(3, activation="tanh"), cr.layers.Dense(3)]

    def call(self, inputs: cr.Tensor) -> cr.Tensor:
        return self.merge([branch(inputs) for branch in self.branches])


# Every layer of the library, in a model that uses it; the second value is the input.
MODELS: dict[str, Callable[[], tuple[cr.Model, Any]]] = {
    "Activation": lambda: (dense_then(cr.layers.Activation("gelu")), X),
    "Add": lambda: (Merged(cr.layers.Add()), X),
    "BatchNormalization": lambda: (dense_then(cr.layers.BatchNormalization(momentum=0.5)), X),
    "Concatenate": lambda: (Merged(cr.layers.Concatenate()), X),
    "Dense": lambda: (
        dense_then(
            cr.layers.Dense(
                3,
                activation="softplus",
                use_bias=False,
                kernel_initializer=cr.initializers.get("he_normal"),
                kernel_regularizer=cr.regularizers.L1L2(0.1, 0.2),
                kernel_constraint=cr.constraints.get("max_norm"),
                name="odd one",
            )
        ),
        X,
    ),
    "Dropout": lambda: (dense_then(cr.layers.Dropout(0.5, seed=3)), X),
    "Embedding": lambda: (
        cr.Sequential([cr.layers.Embedding(9, 4), cr.layers.Flatten(), cr.layers.Dense(1)]),
        RANDOM.integers(0, 9, (6, 5)).astype("int32"),
    ),
    "Flatten": lambda: (
        cr.Sequential([cr.layers.Flatten(), cr.layers.Dense(1)]),
        X.reshape(6, 2, 2),
    ),
    "GaussianNoise": lambda: (dense_then(cr.layers.GaussianNoise(0.1)), X),
    "InputLayer": lambda: (cr.Sequential([cr.layers.Input(4), cr.layers.Dense(2)]), X),
    "LayerNormalization": lambda: (dense_then(cr.layers.LayerNormalization()), X),
    "Reshape": lambda: (
        cr.Sequential([cr.layers.Reshape((2, -1)), cr.layers.Dense(3), cr.layers.Flatten()]),
        X,
    ),
    "Sequential": lambda: (
        cr.Sequential([cr.Sequential([cr.layers.Dense(3)], name="inner"), cr.layers.Dense(1)]),
        X,
    ),
}
CUSTOM = {"Merged": Merged}


def same_arrays(left: dict[str, Any], right: dict[str, Any]) -> bool:
    return list(left) == list(right) and all(
        (left[name].dtype, left[name].shape, left[name].tobytes())
        == (right[name].dtype, right[name].shape, right[name].tobytes())
        for name in left
    )


def test_every_layer_of_the_library_is_in_the_table() -> None:
    assert sorted(registry.LAYERS.keys() - MODELS.keys()) == []


@pytest.mark.parametrize("name", MODELS)
def test_every_layer_comes_back(tmp_path: Path, name: str) -> None:
    model, x = MODELS[name]()
    model(x, training=True)
    expected = model(x).numpy()
    model.save(tmp_path / "m.safetensors")
    loaded = cr.load_model(tmp_path / "m.safetensors", CUSTOM)
    assert type(loaded) is type(model)
    assert np.array_equal(loaded(x).numpy(), expected)
    assert same_arrays(model_to_parts(loaded)[1], model_to_parts(model)[1])
    assert model_to_parts(loaded)[0] == model_to_parts(model)[0]
    assert str(loaded.summary()) == str(model.summary())
    assert [g.state.shape for g in loaded.generators] == [g.state.shape for g in model.generators]


@pytest.mark.parametrize("name", MODELS)
def test_saving_what_was_loaded_gives_the_same_file(tmp_path: Path, name: str) -> None:
    model, x = MODELS[name]()
    model(x)
    model.save(tmp_path / "first")
    cr.load_model(tmp_path / "first", CUSTOM).save(tmp_path / "second")
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def doubled(x: cr.Tensor) -> cr.Tensor:
    return x * 2.0


class Scale(cr.Layer):
    """A user's layer, with a sublayer that it creates when it is built."""

    def __init__(self, factor: float, **options: Any) -> None:
        super().__init__(**options)
        self.factor = factor
        self.count = cr.Variable(np.array([3, 4]), name="count", trainable=False)

    def build(self, input_shape: Any) -> None:
        self.gain = self.add_weight("gain", (input_shape[-1],), "ones")
        self.late = cr.layers.Dense(input_shape[-1])

    def call(self, inputs: cr.Tensor) -> cr.Tensor:
        return self.late(inputs * self.gain * self.factor)


class Nested(cr.Model):
    """A user's model: layers in a list and a dictionary, a custom layer and function."""

    def __init__(self, width: int = 3, depth: int = 2) -> None:
        super().__init__()
        self.width = width
        self.depth = depth
        self.blocks = [cr.layers.Dense(width, activation=doubled) for _ in range(depth)]
        self.heads = {"a": Scale(0.5), "b": cr.Sequential([cr.layers.Dense(1)])}

    def call(self, inputs: cr.Tensor) -> Any:
        for block in self.blocks:
            inputs = block(inputs)
        return {name: head(inputs) for name, head in self.heads.items()}


NESTED = {"Nested": Nested, "Scale": Scale, "doubled": doubled}


def test_a_users_model_with_its_own_layers_and_functions(tmp_path: Path) -> None:
    model = Nested(width=5, depth=3)
    expected = model(X)
    model.save(tmp_path / "m")
    loaded = cr.load_model(tmp_path / "m", custom_objects=NESTED)
    assert isinstance(loaded, Nested)
    assert (loaded.width, loaded.depth) == (5, 3)
    assert list(loaded.weights) == list(model.weights)
    assert "heads/a/late/kernel" in loaded.weights
    outputs = loaded(X)
    assert all(np.array_equal(outputs[name].numpy(), expected[name].numpy()) for name in expected)


def test_a_custom_class_that_is_not_passed_is_named_with_the_remedy(tmp_path: Path) -> None:
    model = cr.Sequential([Scale(2.0), cr.layers.Dense(1, activation=doubled)])
    model(X)
    path = tmp_path / "m"
    model.save(path)
    with pytest.raises(UnknownNameError) as caught:
        cr.load_model(path, custom_objects={"Nested": Nested})
    assert str(caught.value) == (
        f"[{path}] the model uses classes or functions that are not part of chainrule: "
        "got 'Scale', 'doubled', expected all of them in custom_objects. To fix: pass the class or "
        "function itself: load_model(path, custom_objects={'Scale': Scale, 'doubled': doubled})."
    )
    custom = {"Scale": Scale, "doubled": doubled}
    assert np.array_equal(cr.load_model(path, custom)(X).numpy(), model(X).numpy())


@pytest.mark.parametrize("custom", [["Scale"], {"Scale": "Scale"}, {1: Scale}, "Scale", 5])
def test_custom_objects_of_the_wrong_kind(tmp_path: Path, custom: Any) -> None:
    model, x = MODELS["Dense"]()
    model(x)
    model.save(tmp_path / "m")
    with pytest.raises(ArgumentError, match="custom_objects is not a table"):
        cr.load_model(tmp_path / "m", custom_objects=custom)


def test_a_custom_object_of_another_kind_is_refused(tmp_path: Path) -> None:
    model = cr.Sequential([Scale(2.0)])
    model(X)
    model.save(tmp_path / "m")
    for wrong in (cr.initializers.Zeros, doubled, int, print):
        with pytest.raises(FileFormatError, match="the structure cannot be built"):
            cr.load_model(tmp_path / "m", custom_objects={"Scale": wrong})


def test_frozen_layers_and_variables_stay_frozen(tmp_path: Path) -> None:
    model = Nested()
    model(X)
    model.blocks[0].trainable = False
    model.weights["heads/b/dense/bias"].trainable = False
    model.save(tmp_path / "m")
    loaded = cr.load_model(tmp_path / "m", NESTED)
    assert [v.path for v in loaded.trainable_variables] == [
        v.path for v in model.trainable_variables
    ]
    assert len(loaded.trainable_variables) < len(loaded.variables) - 3


def test_float64_and_weights_that_are_not_finite(tmp_path: Path) -> None:
    class Wide(cr.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = cr.layers.Dense(3, dtype="float64")

        def call(self, inputs: cr.Tensor) -> cr.Tensor:
            return self.dense(inputs)

    model = Wide()
    model(X.astype("float64"))
    model.weights["dense/bias"].assign(np.array([np.nan, np.inf, -0.0]))
    model.save(tmp_path / "m")
    loaded = cr.load_model(tmp_path / "m", {"Wide": Wide})
    assert loaded.dtype == model.dtype
    assert same_arrays(model_to_parts(loaded)[1], model_to_parts(model)[1])


def test_a_model_that_never_ran(tmp_path: Path) -> None:
    model = cr.Sequential([cr.layers.Dense(3), cr.layers.Dense(1)])
    model.save(tmp_path / "m")
    loaded = cr.load_model(tmp_path / "m")
    assert not loaded.built
    assert loaded(X).shape == (6, 1)


def test_a_part_that_ran_alone(tmp_path: Path) -> None:
    model = Nested()
    model.blocks[1](np.ones((2, 3), "float32"))
    model.save(tmp_path / "m")
    loaded = cr.load_model(tmp_path / "m", NESTED)
    assert list(loaded.weights) == list(model.weights)
    assert loaded.blocks[1].built
    assert not loaded.built


def test_a_loaded_model_trains_and_starts_anew(tmp_path: Path) -> None:
    y = (X[:, :1] * 2 - 1).astype("float32")
    model = cr.Sequential([cr.layers.Dense(8, activation="tanh"), cr.layers.Dense(1)])
    model.fit(X, y, loss="mse", epochs=3, seed=1)
    model.save(tmp_path / "m")
    loaded = cr.load_model(tmp_path / "m")
    assert np.array_equal(loaded.predict(X), model.predict(X))
    loss = loaded.evaluate(X, y, loss="mse")["loss"]
    history = loaded.fit(X, y, loss="mse", epochs=20, seed=1)
    assert history["loss"][-1] < loss
    loaded.reinitialize(seed=5)
    model.reinitialize(seed=5)
    assert same_arrays(model_to_parts(loaded)[1], model_to_parts(model)[1])


def test_the_extra_table_comes_back(tmp_path: Path) -> None:
    model, x = MODELS["Dense"]()
    model(x)
    extra = {"classes": ["Adélie", "帝"], "preprocessing": {"mean": [0.5, -1e-300], "drop": None}}
    save_model(model, tmp_path / "m", extra=extra)
    assert load_model_and_extra(tmp_path / "m")[1] == extra
    assert load_model_and_extra(tmp_path / "m")[0].built
    model.save(tmp_path / "m")
    assert load_model_and_extra(tmp_path / "m")[1] == {}


def test_another_process_computes_the_same_bits(tmp_path: Path) -> None:
    model, x = MODELS["BatchNormalization"]()
    model(x, training=True)
    model.save(tmp_path / "m")
    np.save(tmp_path / "x.npy", x)
    program = (
        "import sys, numpy as np, chainrule as cr\n"
        "x = np.load(sys.argv[2])\n"
        "print(cr.load_model(sys.argv[1])(x).numpy().tobytes().hex())\n"
    )
    paths = [str(tmp_path / "m"), str(tmp_path / "x.npy")]
    run = [sys.executable, "-c", program, *paths]
    output = subprocess.run(run, check=True, capture_output=True, text=True).stdout
    assert output.strip() == model(x).numpy().tobytes().hex()


def test_what_cannot_be_saved(tmp_path: Path) -> None:
    path = tmp_path / "m"
    shared = cr.layers.Dense(4)
    twice = cr.Sequential([shared, shared])
    twice(X)
    with pytest.raises(ArgumentError, match="one layer stands in two places"):
        twice.save(path)
    with pytest.raises(ArgumentError, match="this is not a model: got Dense"):
        save_model(cr.layers.Dense(3), path)  # type: ignore[arg-type]
    nameless = cr.Sequential([cr.layers.Activation(lambda x: x)])
    with pytest.raises(ArgumentError, match="without a name"):
        nameless.save(path)
    with pytest.raises(ArgumentError, match="too many layers to be saved: got 1001"):
        cr.Sequential([cr.layers.Flatten(name=str(i)) for i in range(1000)]).save(path)
    by_hand = cr.Sequential([cr.layers.Dense(3)])
    by_hand[0].build((None, 4))
    by_hand[0].built = True
    with pytest.raises(StateError, match=r"dense.*never ran"):
        by_hand.save(path)

    class Forgetful(cr.Model):
        def __init__(self, width: int) -> None:
            super().__init__()

    with pytest.raises(ArgumentError, match=r"'width' was not kept.*self\.width = width"):
        Forgetful(3).save(path)
    with pytest.raises(FileAccessError, match="got no folder"):
        cr.Sequential([]).save(tmp_path / "no" / "m")
    assert not path.exists()


# ---- files that are not what they should be

Change = Callable[[dict[str, Any], dict[str, Any]], None]


def good_parts() -> tuple[dict[str, Any], dict[str, Any]]:
    model = cr.Sequential([cr.layers.Dense(3, activation="relu"), cr.layers.BatchNormalization()])
    model(X)
    architecture, arrays = model_to_parts(model)
    return json.loads(json.dumps(architecture)), arrays


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


def test_an_error_inside_a_users_class_is_shown_and_chained(tmp_path: Path) -> None:
    class Fussy(cr.Layer):
        def __init__(self, size: int) -> None:
            super().__init__()
            self.size = size
            if size > 2:
                raise RuntimeError("only small sizes")

        def call(self, inputs: cr.Tensor) -> cr.Tensor:
            return inputs

    model = cr.Sequential([Fussy(2)])
    model(X)
    architecture, arrays = model_to_parts(model)
    architecture = copy.deepcopy(architecture)
    dense(architecture)["size"] = 3
    with pytest.raises(FileFormatError, match="RuntimeError: only small sizes") as caught:
        parts_to_model(architecture, arrays, {"Fussy": Fussy})
    assert isinstance(caught.value.__cause__, RuntimeError)


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


def test_the_file_holds_what_the_documentation_says(tmp_path: Path) -> None:
    model, x = MODELS["Dense"]()
    model(x)
    model.save(tmp_path / "m")
    metadata, arrays = read_model_file(tmp_path / "m")
    assert list(arrays) == sorted(model.weights)
    assert metadata.keys() == {"architecture", "extra"}
    assert metadata["architecture"]["model"]["class"] == "Sequential"
    assert metadata["architecture"]["layers"]["odd one"]["input_shape"] == [None, 4]
