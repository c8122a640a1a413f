"""Saving and loading: every layer comes back whole; nothing of a file is trusted."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import (
    ArgumentError,
    FileAccessError,
    FileFormatError,
    StateError,
    UnknownNameError,
)
from chainrule.formats import read_model_file
from chainrule.nn import registry
from chainrule.training.saving import (
    load_model_and_extra,
    model_to_parts,
    parts_to_model,
    save_model,
)

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(6, 4)).astype("float32")
TOKENS = RANDOM.integers(0, 9, (6, 5)).astype("int32")
PICTURES = RANDOM.uniform(size=(4, 4, 5, 1)).astype("float32")


def dense_then(layer: cr.Layer) -> cr.Model:
    return cr.Sequential([cr.layers.Dense(4), layer, cr.layers.Dense(2)])


def picture_layers() -> dict[str, cr.Layer]:
    """The layers over sequences, pictures and volumes; the last letters of the name say which."""
    layers = cr.layers
    convolutions = [
        layers.Conv1D(4, 2, padding="causal", dilation=2),
        layers.Conv2D(4, 2, (1, 2), ((1, 0), (0, 1)), groups=2, activation="relu", l2=0.1),
        layers.Conv3D(2, (1, 2, 2), padding="same", kernel_initializer="he_normal"),
        layers.Conv2DTranspose(3, 2, 2, output_padding=1, use_bias=False),
        layers.DepthwiseConv2D(2, depth_multiplier=2, depthwise_regularizer="l2"),
        layers.SeparableConv2D(3, 2, pointwise_constraint="max_norm"),
        layers.ResidualBlock(3, (1, 2)),
        layers.GroupNormalization(2),
    ]
    windows = [
        layers.get(name)(2, 1, "same")
        for name in registry.LAYERS
        if name.startswith(("MaxPooling", "AveragePooling"))
    ]
    whole = [layers.get(name)() for name in registry.LAYERS if name.startswith("Global")]
    sizes = [
        layers.ZeroPadding2D(((1, 0), (2, 0))),
        layers.Cropping2D(((0, 1), (1, 0))),
        layers.UpSampling2D((1, 2), "bilinear"),
        layers.SpatialDropout2D(0.3),
    ]
    return {type(layer).__name__: layer for layer in [*convolutions, *windows, *whole, *sizes]}


def sequence_layers() -> dict[str, cr.Layer]:
    layers = cr.layers
    cells = [
        layers.SimpleRNNCell(3),
        layers.LSTMCell(2, unit_forget_bias=False),
        layers.GRUCell(3, recurrent_activation="relu", reset_after=False),
    ]
    several = [
        layers.RNN([layers.GRUCell(2), layers.SimpleRNNCell(3)], bidirectional=True, merge="mean"),
        layers.SimpleRNN(2, go_backwards=True, use_bias=False),
        layers.LSTM(2, num_layers=2, bidirectional=True, dropout=0.1, recurrent_dropout=0.2),
        layers.GRU(3, stateful=True, batch_size=8, return_sequences=True),
        layers.TimeDistributed(layers.Dense(2)),
        layers.Masking(-1.0),
        layers.MultiHeadAttention(2, 3, 2, dropout=0.2, causal=True, kernel_regularizer="l2"),
        layers.PositionalEncoding(100.0),
        layers.PositionalEmbedding(9, embeddings_initializer="normal"),
        layers.TransformerBlock(2, 3, 4, "relu", dropout=0.1, epsilon=0.1),
    ]
    over = {type(cell).__name__: layers.RNN(cell) for cell in cells}
    return over | {type(layer).__name__: layer for layer in several}


def sound_layers() -> list[tuple[cr.Layer, Any]]:
    """Layers for sounds (6, 40) and for frames (6, 5, 4)."""
    layers, short = cr.layers, {"window": 0.016, "hop": 0.008}
    clips = RANDOM.uniform(-1, 1, (6, 40)).astype("float32")
    frames = RANDOM.normal(size=(6, 5, 4)).astype("float32")
    for_clips = [
        layers.LogMel(1000, 4, scale="htk", standardize="band", **short),
        layers.MFCC(1000, 3, 5, **short),
        layers.RandomNoise((0, 10), seed=2),
        layers.RandomTimeShift(0.5),
    ]
    for_frames = [layers.RandomWarp(0.3), layers.SpecAugment(1, 2, 1, 2, fill_value=0.5)]
    return [*((x, clips) for x in for_clips), *((x, frames) for x in for_frames)]


def over_pictures(layer: cr.Layer) -> cr.Model:
    shapes = {"1D": (10, 2), "3D": (2, 2, 5, 1)}
    shape = shapes.get(type(layer).__name__[-2:], (2, 5, 2))
    parts = [cr.layers.Reshape(shape), layer, cr.layers.Flatten(), cr.layers.Dense(2)]
    return cr.Sequential(parts)


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
        TOKENS,
    ),
    "Flatten": lambda: (
        cr.Sequential([cr.layers.Flatten(), cr.layers.Dense(1)]),
        X.reshape(6, 2, 2),
    ),
    "GaussianNoise": lambda: (dense_then(cr.layers.GaussianNoise(0.1)), X),
    "InputLayer": lambda: (cr.Sequential([cr.layers.Input(4), cr.layers.Dense(2)]), X),
    "LayerNormalization": lambda: (dense_then(cr.layers.LayerNormalization()), X),
    "Normalization": lambda: (dense_then(cr.layers.Normalization([1.0, 0.5, -2.0, 3.0], 0.3)), X),
    "Imputation": lambda: (dense_then(cr.layers.Imputation(0.0, [1.0, 0.5, -2.0, 3.0])), X),
    "Rescaling": lambda: (dense_then(cr.layers.Rescaling(2.0, [1.0, 0.5, -2.0, 3.0])), X),
    **{
        type(layer).__name__: lambda layer=layer: (
            cr.Sequential([layer, cr.layers.Flatten(), cr.layers.Dense(2)]),
            PICTURES,
        )
        for layer in (
            cr.layers.Cutout(2),
            cr.layers.RandomBrightness((0.1, 0.3), value_range=(0, 2)),
            cr.layers.RandomContrast(0.2),
            cr.layers.RandomCrop(2, 3),
            cr.layers.RandomFlip("vertical", seed=4),
            cr.layers.RandomRotation(0.2, fill_mode="wrap"),
            cr.layers.RandomShift(0.3),
            cr.layers.RandomZoom(0.2, 0.1),
        )
    },
    **{
        name: lambda layer=layer: (over_pictures(layer), PICTURES)
        for name, layer in picture_layers().items()
    },
    **{
        name: lambda layer=layer: (
            cr.Sequential([cr.layers.Reshape((2, 2)), layer, cr.layers.Flatten()]),
            X,
        )
        for name, layer in sequence_layers().items()
    },
    **{
        type(layer).__name__: lambda layer=layer, x=x: (
            cr.Sequential([layer, cr.layers.Flatten(), cr.layers.Dense(2)]),
            x,
        )
        for layer, x in sound_layers()
    },
    "EmbeddingBag": lambda: (cr.Sequential([cr.layers.EmbeddingBag(9, 4, "sqrt_n")]), TOKENS),
    "TokenDropout": lambda: (
        cr.Sequential([cr.layers.TokenDropout(0.3, seed=1), cr.layers.EmbeddingBag(9, 4)]),
        TOKENS,
    ),
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


def test_a_users_variable_without_an_array() -> None:
    model = Nested()
    model(X)
    architecture, arrays = model_to_parts(model)
    del arrays["heads/a/count"]
    with pytest.raises(FileFormatError, match="a variable has no array: got 'heads/a/count'"):
        parts_to_model(architecture, arrays, NESTED)


def test_a_layer_that_is_built_in_its_constructor(tmp_path: Path) -> None:
    class Ready(cr.Layer):
        def __init__(self, size: int) -> None:
            super().__init__(dtype="float64")
            self.size = size
            self.gain = cr.Variable(np.full(size, 2.0), name="gain")
            self.built = True

        def call(self, inputs: cr.Tensor) -> cr.Tensor:
            return inputs * self.gain

    model = cr.Sequential([Ready(4)])
    expected = model(X).numpy()
    model.save(tmp_path / "m")
    loaded = cr.load_model(tmp_path / "m", {"Ready": Ready})
    assert np.array_equal(loaded(X).numpy(), expected)


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
    architecture["model"]["config"]["layers"][0]["config"]["size"] = 3
    with pytest.raises(FileFormatError, match="RuntimeError: only small sizes") as caught:
        parts_to_model(architecture, arrays, {"Fussy": Fussy})
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_the_file_holds_what_the_documentation_says(tmp_path: Path) -> None:
    model, x = MODELS["Dense"]()
    model(x)
    model.save(tmp_path / "m")
    metadata, arrays = read_model_file(tmp_path / "m")
    assert list(arrays) == sorted(model.weights)
    assert metadata.keys() == {"architecture", "extra"}
    assert metadata["architecture"]["model"]["class"] == "Sequential"
    assert metadata["architecture"]["layers"]["odd one"]["input_shape"] == [None, 4]
