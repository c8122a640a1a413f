"""Data that cannot be trained on is refused before training, with the place and the remedy."""

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ArgumentError, ChainruleError, DataError, ShapeError

X = np.arange(12.0).reshape(4, 3)
Y = np.array([0.0, 1.0, 2.0, 3.0])
LABELS = np.array([0, 1, 2, 1])


def model(width: int = 1) -> cr.Sequential:
    return cr.Sequential([cr.layers.Dense(width)])


def with_value(value: float, row: int, column: int) -> Any:
    x = X.copy()
    x[row, column] = value
    return x


class Record:
    nnz = 1

    def toarray(self) -> Any:
        return X


BAD_X: list[tuple[str, Any, type[ChainruleError], list[str]]] = [
    ("empty", np.zeros((0, 3)), DataError, ["x is empty", "shape (0, 3)"]),
    ("no columns", np.zeros((4, 0)), DataError, ["x is empty", "shape (4, 0)"]),
    ("nan", with_value(np.nan, 2, 1), DataError, ["nan in column 1, row 2", "fill or drop"]),
    ("inf", with_value(np.inf, 0, 2), DataError, ["inf in column 2, row 0"]),
    (
        "minus inf and inf",
        with_value(np.inf, 0, 2) - with_value(np.inf, 1, 1),
        DataError,
        ["row 0"],
    ),
    ("several nan", np.full((4, 3), np.nan), DataError, ["and 11 more cells"]),
    ("single number", 3.0, ShapeError, ["x is a single value"]),
    ("rank 1", np.arange(4.0), ShapeError, ["[dense]", "(batch, 1)"]),
    ("text", np.array([["a", "b"]] * 4), DataError, ["x holds text", "cr.estimators"]),
    ("text list", [["1", "2"]] * 4, DataError, ["x holds text"]),
    ("a file name", "penguins.csv", DataError, ["x holds text"]),
    (
        "objects",
        np.array([[1, None]] * 4, dtype=object),
        DataError,
        ["x holds objects", "np.asarray(x"],
    ),
    ("ragged", [[1.0, 2.0], [1.0]], DataError, ["rows of x differ in length", "pad the rows"]),
    ("complex", X + 1j, DataError, ["complex numbers"]),
    ("dates", np.array(["2020-01-01"] * 4, dtype="M8[D]"), DataError, ["dates"]),
    ("none", None, DataError, ["x is missing"]),
    ("sparse", Record(), DataError, ["sparse matrix", "x.toarray()"]),
    ("generator", (row for row in X), DataError, ["x holds objects"]),
    ("no arrays", {}, DataError, ["holds no arrays"]),
    ("unequal inputs", (X, X[:3]), DataError, ["different lengths", "'0': 4", "'1': 3"]),
    ("nan in an input", {"a": X, "b": with_value(np.nan, 1, 1)}, DataError, ["x['b']", "row 1"]),
    ("too large for float32", with_value(1e300, 3, 0), DataError, ["1e+300 in column 0, row 3"]),
]


@pytest.mark.parametrize(("name", "x", "kind", "words"), BAD_X, ids=[case[0] for case in BAD_X])
def test_bad_inputs(name: str, x: Any, kind: type[ChainruleError], words: list[str]) -> None:
    with pytest.raises(kind) as caught:
        model().fit(x, Y, loss="mse")
    assert all(word in str(caught.value) for word in words), str(caught.value)


BAD_Y: list[tuple[str, Any, str, int, type[ChainruleError], list[str]]] = [
    ("missing", None, "mse", 1, DataError, ["targets are missing"]),
    ("length", Y[:3], "mse", 1, DataError, ["4 rows in x, 3 in y"]),
    ("nan", [0, 1, np.nan, 3], "mse", 1, DataError, ["y holds", "nan in row 2"]),
    ("text", ["a", "b", "a", "b"], "cross_entropy", 2, DataError, ["np.unique(y", "Classifier"]),
    ("objects", np.array([1, None, 2, 3], object), "mse", 1, DataError, ["y holds objects"]),
    ("names", np.array(["a", "b"] * 2, object), "mse", 1, DataError, ["y holds text", "np.unique"]),
    ("too wide", np.ones((4, 2)), "mse", 1, ShapeError, ["(4, 2)"]),
    ("too narrow", Y, "mse", 3, ShapeError, ["(4,)", "cross_entropy"]),
    ("label too large", [0, 1, 5, 1], "cross_entropy", 3, DataError, ["5", "row 2"]),
    ("label negative", [0, 1, -1, 1], "cross_entropy", 3, DataError, ["-1", "row 2"]),
    ("label not whole", [0, 1, 0.5, 1], "cross_entropy", 3, DataError, ["0.5", "row 2"]),
    ("no probability", [0, 1, 3, 1], "binary_cross_entropy", 1, DataError, ["3", "row 2"]),
    ("two sets", (Y, Y), "mse", 1, DataError, ["several sets of targets"]),
]


@pytest.mark.parametrize(
    ("name", "y", "loss", "width", "kind", "words"), BAD_Y, ids=[case[0] for case in BAD_Y]
)
def test_bad_targets(
    name: str, y: Any, loss: str, width: int, kind: type[ChainruleError], words: list[str]
) -> None:
    with pytest.raises(kind) as caught:
        model(width).fit(X, y, loss=loss)
    assert all(word in str(caught.value) for word in words), str(caught.value)


BAD_OPTIONS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("no loss", {"loss": None}, ["no loss was given", "'mse'", "'cross_entropy'"]),
    ("unknown loss", {"loss": "msee"}, ["did you mean"]),
    ("unknown optimizer", {"optimizer": "adamm"}, ["did you mean 'adam'"]),
    ("unknown metric", {"metrics": ["acuracy"]}, ["did you mean 'accuracy'"]),
    ("same metric twice", {"metrics": ["mae", "mae"]}, ["same name"]),
    ("epochs", {"epochs": 0}, ["epochs", "at least 1"]),
    ("epochs float", {"epochs": 1.5}, ["epochs", "whole number"]),
    ("batch size", {"batch_size": 0}, ["batch_size", "at least 1"]),
    ("batch size text", {"batch_size": "big"}, ["batch_size"]),
    ("seed", {"seed": -1}, ["seed"]),
    ("split", {"validation_split": 1.0}, ["validation_split", "below 1"]),
    ("both", {"validation_split": 0.5, "validation_data": (X, Y)}, ["only one"]),
    ("validation alone", {"validation_data": X}, ["(x, y)"]),
    ("validation width", {"validation_data": (X[:, :2], Y)}, ["got (2, 2)", "(batch, 3)"]),
    (
        "validation nan",
        {"validation_data": (with_value(np.nan, 0, 0), Y)},
        ["validation_data", "nan"],
    ),
    ("weights length", {"sample_weight": [1.0, 1.0]}, ["sample_weight", "(4,)"]),
    ("weights negative", {"sample_weight": [1, 1, -1, 1]}, ["-1.0 in row 2"]),
    ("weights zero", {"sample_weight": [0, 0, 0, 0]}, ["all sample weights are 0"]),
    ("weights nan", {"sample_weight": [1, np.nan, 1, 1]}, ["sample_weight", "row 1"]),
    ("class weight", {"class_weight": {7: 1.0}}, ["7"]),
    ("class weight word", {"class_weight": "balance"}, ["balanced"]),
    ("class weight values", {"class_weight": {0: -1.0}}, ["negative"]),
    ("callback", {"callbacks": [print]}, ["not a callback"]),
    ("early stopping number", {"early_stopping": 5}, ["EarlyStopping(patience"]),
    (
        "only validation has weight",
        {"sample_weight": [0, 0, 0, 1], "validation_split": 0.7, "seed": 0},
        ["rows have weight 0"],
    ),
    ("verbose", {"verbose": 7}, ["verbose", "'auto'"]),
    ("early stopping", {"early_stopping": cr.callbacks.EarlyStopping("val_los")}, ["val_los"]),
]


@pytest.mark.parametrize(
    ("name", "options", "words"), BAD_OPTIONS, ids=[case[0] for case in BAD_OPTIONS]
)
def test_bad_options(name: str, options: dict[str, Any], words: list[str]) -> None:
    net = model()
    net(X)
    before = net.get_weights()
    with pytest.raises(ChainruleError) as caught:
        net.fit(X, Y, **{"loss": "mse", **options})
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert all((a == b).all() for a, b in zip(before, net.get_weights()))


def test_class_weight_needs_classes() -> None:
    with pytest.raises(DataError, match="class_weight needs targets that are classes"):
        model().fit(X, Y + 0.5, loss="mse", class_weight="balanced")


def test_data_frames_name_the_column() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"age": [1.0, 2.0, np.nan, 4.0], "size": [1, 2, 3, 4]})
    with pytest.raises(DataError, match="nan in column 'age', row 2"):
        model().fit(frame, Y, loss="mse")
    text = pandas.DataFrame({"age": [1.0, 2.0], "kind": ["a", "b"]})
    with pytest.raises(DataError, match=r"column 'kind' of x .*'a' in row 0"):
        model().fit(text, Y[:2], loss="mse")
    nullable = pandas.DataFrame({"n": pandas.array([1, None], dtype="Int64"), "m": [1.0, 2.0]})
    with pytest.raises(DataError, match=r"column 'n' of x .*a cell without a value in row 1"):
        model().fit(nullable, Y[:2], loss="mse")


def test_data_frames_of_numbers_are_read() -> None:
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    columns = {"a": [1.0, 2.0, 3.0, 4.0], "b": [1, 0, 1, 0], "c": [True, False, True, True]}
    expected = None
    nullable = pandas.DataFrame(columns).convert_dtypes()
    for frame in (pandas.DataFrame(columns), polars.DataFrame(columns), nullable):
        net = model()
        history = net.fit(frame, pandas.Series(Y), loss="mse", epochs=3, seed=0)
        expected = expected or history["loss"]
        assert history["loss"] == pytest.approx(expected, rel=1e-6)
        assert net.predict(frame).shape == (4, 1)


@pytest.mark.parametrize(
    "kind", ["list", "tensor", "float16", "int8", "bool", "fortran", "strided"]
)
def test_kinds_of_arrays_that_are_taken(kind: str) -> None:
    made: dict[str, Any] = {
        "list": X.tolist(),
        "tensor": cr.tensor(X),
        "float16": X.astype("float16"),
        "int8": X.astype("int8"),
        "bool": X > 5,
        "fortran": np.asfortranarray(X),
        "strided": np.repeat(X, 2, axis=0)[::2],
    }
    history = model().fit(made[kind], Y.tolist(), loss="mse", epochs=2, batch_size=3, seed=0)
    assert np.isfinite(history["loss"]).all()


@pytest.mark.parametrize("rows", [1, 2, 4])
@pytest.mark.parametrize("column", [False, True])
def test_targets_and_outputs_are_aligned_and_never_broadcast(rows: int, column: bool) -> None:
    class Flat(cr.Model):
        def __init__(self) -> None:
            super().__init__()
            self.out = cr.layers.Dense(1, dtype="float64")

        def call(self, inputs: Any) -> Any:
            return self.out(inputs)[:, 0]

    def squares(y_true: Any, y_pred: Any) -> Any:
        return (y_true - y_pred) ** 2

    y = Y[:rows, None] if column else Y[:rows]
    for net in (Flat(), cr.Sequential([cr.layers.Dense(1, dtype="float64")])):
        prediction = net.predict(X[:rows]).ravel()
        expected = float(np.mean((prediction - Y[:rows]) ** 2))
        for loss in ("mse", squares):
            value = net.evaluate(X[:rows], y, loss=loss)["loss"]
            assert value == pytest.approx(expected, rel=1e-12)


def test_predict_and_evaluate_check_their_data_too() -> None:
    net = model()
    net.fit(X, Y, loss="mse")
    with pytest.raises(DataError, match=r"\[predict\] .*nan in column 1, row 2"):
        net.predict(with_value(np.nan, 2, 1))
    with pytest.raises(ShapeError, match=r"got \(4, 2\), expected \(batch, 3\)"):
        net.predict(X[:, :2])
    with pytest.raises(DataError, match=r"\[evaluate\] .*different lengths"):
        net.evaluate(X, Y[:2])
    with pytest.raises(ArgumentError, match=r"\[evaluate\] no loss was given"):
        model().evaluate(X, Y)


def test_a_model_with_several_outputs_is_refused_by_fit_not_by_predict() -> None:
    class Two(cr.Model):
        def __init__(self) -> None:
            super().__init__()
            self.out = cr.layers.Dense(1)

        def call(self, inputs: Any) -> Any:
            return self.out(inputs), {"twice": 2 * self.out(inputs)}

    net = Two()
    first, rest = net.predict(X, batch_size=3)
    np.testing.assert_allclose(2 * first, rest["twice"], rtol=1e-6)
    with pytest.raises(ShapeError, match="more than one output"):
        net.fit(X, Y, loss="mse")
