"""Bad input to layers: each error says where, what, what was expected, and what to do."""

from collections.abc import Callable

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import (
    ArgumentError,
    ChainruleError,
    DTypeError,
    ShapeError,
    StateError,
    UnknownNameError,
)

X = np.ones((4, 10), "float32")


class Net(cr.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.dense1 = cr.layers.Dense(3)
        self.dense2 = cr.layers.Dense(1)

    def call(self, inputs: cr.Tensor) -> cr.Tensor:
        return self.dense2(self.dense1(inputs))


def built(layer: cr.Layer, inputs: object = X) -> cr.Layer:
    layer(inputs)
    return layer


CASES: dict[str, tuple[Callable[[], object], type[ChainruleError], list[str]]] = {
    "width of an inner layer": (
        lambda: built(Net())(np.ones((32, 64))), ShapeError,
        ["[dense1] wrong input shape: got (32, 64), expected (batch, 10). To fix: give it a batch"],
    ),
    "a row instead of a batch": (
        lambda: built(Net())(np.ones(10)), ShapeError,
        ["[dense1] wrong input shape: got (10,), expected (batch, 10)"],
    ),
    "a row at the first call": (
        lambda: Net()(np.ones(10)), ShapeError, ["[dense1] wrong input shape", "(batch, inputs)"],
    ),
    "a scalar": (lambda: Net()(3.0), ShapeError, ["[dense1] wrong input shape: got ()"]),
    "width in rank 3": (
        lambda: built(Net())(np.ones((2, 5, 7))), ShapeError, ["expected (..., 10)"],
    ),
    "text": (lambda: Net()(np.array([["a", "b"]])), DTypeError, ["[net]", "numbers"]),
    "objects": (lambda: Net()(np.array([[None, 1]])), DTypeError, ["[net]", "numbers"]),
    "complex numbers": (lambda: Net()(np.ones((2, 3), complex)), DTypeError, ["[net]"]),
    "nothing": (lambda: Net()(None), ArgumentError, ["[net] no input: got None"]),
    "a file name": (lambda: Net()("data.csv"), ArgumentError, ["[net] no input: got 'data.csv'"]),
    "ragged lists": (lambda: Net()([[1.0, 2.0], [3.0]]), ShapeError, ["[net] nested lists"]),
    "several inputs for one": (
        lambda: cr.layers.Dense(1)([X, X]), ArgumentError,
        ["[dense] wrong number of inputs: got a structure of 2 inputs, expected one tensor"],
    ),
    "one input for several": (
        lambda: cr.layers.Add()(X), ArgumentError, ["expected a list of tensors"],
    ),
    "index too large": (
        lambda: cr.layers.Embedding(5, 2)([[1, 2], [9, 0]]), ArgumentError,
        ["[embedding] index out of range: got 9 at position (1, 0), expected 0 to 4", "dim=10"],
    ),
    "negative index": (
        lambda: cr.layers.Embedding(5, 2)([[-1]]), ArgumentError, ["got -1 at position (0, 0)"],
    ),
    "floating indices": (
        lambda: cr.layers.Embedding(5, 2)([[1.0]]), DTypeError,
        ["[embedding] indices are not integers: got float32", "astype('int32')"],
    ),
    "boolean indices": (lambda: cr.layers.Embedding(5, 2)([[True]]), DTypeError, ["got bool"]),
    "embedding sizes": (lambda: cr.layers.Embedding(0, 2), ArgumentError, ["bad input_dim: got 0"]),
    "units zero": (
        lambda: cr.layers.Dense(0), ArgumentError,
        ["[dense] bad units: got 0, expected a whole number of at least 1"],
    ),
    "units a fraction": (lambda: cr.layers.Dense(2.5), ArgumentError, ["got 2.5"]),
    "units a truth value": (lambda: cr.layers.Dense(True), ArgumentError, ["got True"]),
    "units text": (lambda: cr.layers.Dense("10"), ArgumentError, ["got '10'"]),
    "use_bias": (lambda: cr.layers.Dense(1, use_bias="no"), ArgumentError, ["bad use_bias"]),
    "activation": (
        lambda: cr.layers.Dense(1, "rellu"), UnknownNameError, ["did you mean 'relu'?"],
    ),
    "initializer": (
        lambda: cr.layers.Dense(1, kernel_initializer="glorot_unform"), UnknownNameError,
        ["did you mean 'glorot_uniform'?"],
    ),
    "layer name": (
        lambda: cr.layers.get("Dens"), UnknownNameError, ["unknown layer", "mean 'Dense'?"],
    ),
    "argument name": (
        lambda: cr.layers.Dropout(0.5, sed=1), UnknownNameError,
        ["[dropout] unknown argument: got 'sed'", "did you mean 'seed'?"],
    ),
    "argument twice": (
        lambda: cr.layers.Dense(1, use_bias=True, bias=False), ArgumentError, ["given twice"],
    ),
    "rate one": (lambda: cr.layers.Dropout(1.0), ArgumentError, ["at least 0 and less than 1"]),
    "rate negative": (lambda: cr.layers.Dropout(-0.1), ArgumentError, ["bad rate: got -0.1"]),
    "rate not a number": (lambda: cr.layers.Dropout(float("nan")), ArgumentError, ["got nan"]),
    "noise negative": (lambda: cr.layers.GaussianNoise(-1), ArgumentError, ["bad stddev"]),
    "seed": (lambda: cr.layers.Dropout(0.5, seed=-3), ArgumentError, ["bad seed: got -3"]),
    "momentum": (lambda: cr.layers.BatchNormalization(momentum=1.0), ArgumentError, ["momentum"]),
    "variance alone": (
        lambda: cr.layers.Normalization(variance=1.0), ArgumentError, ["belong together"],
    ),
    "negative variance": (
        lambda: cr.layers.Normalization(0.0, [1.0, -2.0]), ArgumentError, ["got -2", "at least 0"],
    ),
    "mean not finite": (
        lambda: cr.layers.Normalization([np.nan, 1.0], 1.0), ArgumentError, ["bad mean"],
    ),
    "mean of another width": (
        lambda: cr.layers.Normalization([1.0, 2.0], 1.0)(np.ones((3, 5))),
        ShapeError, ["mean does not fit the features: got (2,), expected (5,)"],
    ),
    "not adapted": (
        lambda: cr.layers.Normalization()(X), StateError, ["not known", "call adapt(x)"],
    ),
    "adapt to no rows": (
        lambda: cr.layers.Normalization().adapt(np.ones((0, 3))), ArgumentError, ["bad rows"],
    ),
    "fill of another width": (
        lambda: cr.layers.Imputation(-1, [0.0, 2.0])(np.ones((3, 5))), ShapeError, ["fill, (2,)"],
    ),
    "fill not a number": (lambda: cr.layers.Imputation(-1, "x"), ArgumentError, ["bad fill"]),
    "scale of another width": (
        lambda: cr.layers.Rescaling([1.0, 2.0])(np.ones((3, 5))),
        ShapeError, ["scale, (2,), broadcasts to"],
    ),
    "scale for each row": (
        lambda: cr.layers.Rescaling(np.ones((3, 1)))(np.ones((3, 5))),
        ShapeError, ["scale, (3, 1)"],
    ),
    "offset not finite": (
        lambda: cr.layers.Rescaling(1.0, np.inf), ArgumentError, ["bad offset"],
    ),
    "epsilon": (lambda: cr.layers.LayerNormalization(epsilon=-1.0), ArgumentError, ["epsilon"]),
    "two feature axes": (
        lambda: cr.layers.BatchNormalization(axis=(1, 2)), ArgumentError, ["bad axis: got (1, 2)"],
    ),
    "axis the input lacks": (
        lambda: cr.layers.LayerNormalization(axis=3)(X), ShapeError,
        ["[layer_normalization]", "axis 3"],
    ),
    "the batch axis": (
        lambda: cr.layers.LayerNormalization(axis=0)(X), ShapeError, ["other than the batch axis"],
    ),
    "one axis twice": (
        lambda: cr.layers.LayerNormalization(axis=(1, -1))(X), ShapeError, ["axis (1, -1)"],
    ),
    "features of a normalisation": (
        lambda: built(cr.layers.BatchNormalization())(np.ones((4, 7))), ShapeError,
        ["[batch_normalization] wrong input shape: got (4, 7), expected (batch, 10)"],
    ),
    "rank of a normalisation": (
        lambda: built(cr.layers.BatchNormalization())(np.ones((4, 2, 10))), ShapeError,
        ["expected (batch, 10)"],
    ),
    "mask shape": (
        lambda: cr.layers.BatchNormalization()(X, training=True, mask=np.ones(3, bool)), ShapeError,
        ["wrong shape of the mask: got (3,), expected (4,)"],
    ),
    "target shape": (
        lambda: cr.layers.Reshape((3, 4))(X), ShapeError, ["[reshape] wrong input", "10 elements"],
    ),
    "target shape with -1": (lambda: cr.layers.Reshape((3, -1))(X), ShapeError, ["(3, -1)"]),
    "two unknown sizes": (lambda: cr.layers.Reshape((-1, -1)), ShapeError, ["at most one -1"]),
    "size zero": (lambda: cr.layers.Reshape((0, 2)), ArgumentError, ["bad target_shape: got 0"]),
    "flatten a scalar": (lambda: cr.layers.Flatten()(3.0), ShapeError, ["[flatten]"]),
    "concatenate other sizes": (
        lambda: cr.layers.Concatenate()([X, X[:2]]), ShapeError,
        ["[concatenate] inputs do not fit together: got (4, 10), (2, 10)"],
    ),
    "concatenate the batch": (
        lambda: cr.layers.Concatenate(axis=0)([X, X]), ShapeError, ["beside the batch axis"],
    ),
    "add other sizes": (
        lambda: cr.layers.Add()([X, X[:, :3]]), ShapeError, ["[add] inputs do not fit together"],
    ),
    "add other ranks": (lambda: cr.layers.Add()([X, X[0]]), ShapeError, ["[add]"]),
    "declared input": (
        lambda: cr.layers.Input((7,))(X), ShapeError, ["got (4, 10), expected (batch, 7)"],
    ),
    "input sizes": (lambda: cr.layers.Input((0,)), ArgumentError, ["bad shape: got 0"]),
    "input shape to build for": (
        lambda: cr.layers.Dense(1).ensure_built((None, None)), ArgumentError, ["not a shape"],
    ),
    "seed of a model": (lambda: Net().reinitialize(seed=1.5), ArgumentError, ["bad seed: got 1.5"]),
    "global seed": (lambda: cr.set_seed(-1), ArgumentError, ["[set_seed] bad seed"]),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(CASES))
def test_bad_input(name: str) -> None:
    run, error, texts = CASES[name]
    with pytest.raises(error) as caught:
        run()
    message = str(caught.value)
    assert message.startswith("[")
    for text in texts:
        assert text in message


def test_there_are_many_cases() -> None:
    assert len(CASES) >= 50


def test_out_of_range_in_jit_is_left_to_the_back_end() -> None:
    layer = cr.layers.Embedding(5, 2)
    compiled = cr.jit(lambda i: layer(i))
    assert compiled(np.array([[1, 4]])).shape == (1, 2, 2)
