"""explain: the kernels, the layers they serve, their work, counted by hand; measured times."""

import re

import numpy as np
import pytest

import chainrule as cr
from chainrule.backends import cpu
from chainrule.errors import StateError
from chainrule.graph import GraphBuilder
from chainrule.graph import operations as ops


def columns(text):
    """The rows of a table as dictionaries, by the place of the headings."""
    lines = text.splitlines()
    first = next(i for i, line in enumerate(lines) if line.lstrip().startswith("kernel "))
    rows = []
    for line in lines[first + 1 :]:
        cells = re.split(r"  +", line.strip())
        rows.append(cells)
        if cells[0] == "total":
            return rows
    raise AssertionError("no line of totals")


def numbers(row):
    """Operations, bytes read, bytes written, pieces of a row without times."""
    found = [cell for cell in row if re.fullmatch(r"[\d,]+", cell)]
    return [int(cell.replace(",", "")) for cell in found]


def test_operations_and_bytes_are_those_counted_by_hand():
    builder, dtype = GraphBuilder("two kernels"), np.dtype("float32")
    x, w = builder.input((6, 5), dtype), builder.input((5, 7), dtype)
    with builder.scoped("dense"):
        product = ops.matmul(x, w)
    total = ops.reduce_sum(ops.tanh(x), (0, 1))
    text = cpu.compile(builder.finish([product, total])).explain()
    rows = columns(text)
    by_kind = {row[1].split(" ")[0]: row for row in rows[:-1]}
    assert by_kind["matmul"][2] == "dense"
    operations, read, written, pieces = numbers(by_kind["matmul"][1:])
    assert operations == 2 * 6 * 5 * 7
    assert read == 4 * (6 * 5 + 5 * 7)
    assert written == 4 * 6 * 7
    assert pieces == 1
    assert numbers(rows[-1])[0] == 2 * 6 * 5 * 7 + 2 * 30
    assert "whole rows and columns" in by_kind["matmul"][-1]


def trained(*layers, rows=70, **options):
    model = cr.Sequential(list(layers))
    generator = np.random.default_rng(0)
    x = generator.standard_normal((rows, 6)).astype("float32")
    model.fit(x, x[:, :1], loss="mse", seed=0, **options)
    return model, x


def test_every_layer_has_kernels_forward_and_backward():
    model, x = trained(
        cr.layers.Dense(40, activation="relu"),
        cr.layers.LayerNormalization(),
        cr.layers.Dense(33, activation="tanh"),
        cr.layers.Dense(1),
    )
    text = model.explain_plan(x[:32], x[:32, :1], measure=False)
    assert text.startswith("training step\ncpu back end")
    assert {"dense", "dense_1", "dense_2", "layer_normalization"} <= set(
        re.findall(r"[a-z]+(?:_[a-z0-9]+)*", text)
    )
    products = [row for row in columns(text) if row[1].startswith("matmul")]
    assert products
    assert all(row[2].startswith("dense") for row in products)
    assert all("because" not in row[-1] and len(row[-1]) > 10 for row in columns(text)[:-1])


def test_measured_shares_add_up():
    model, x = trained(cr.layers.Dense(300, activation="relu"), cr.layers.Dense(1))
    before = [variable.numpy().copy() for variable in model.variables]
    text = model.explain_plan(x, x[:, :1])
    heading = next(line for line in text.splitlines() if "GFLOP/s" in line)
    assert "microseconds" in heading
    shares = [float(x) for x in re.findall(r" ([\d.]+)%", text)]
    assert shares[-1] == 100.0
    assert sum(shares[:-1]) == pytest.approx(100, abs=0.1 * len(shares))
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_measuring_changes_no_later_result():
    """Also where the program on zeros meets an error: an integer divided by zero."""
    divide = cr.jit(lambda x, y: x // y)
    x, y = np.array([7, 8]), np.array([2, 3])
    expected = divide(x, y).tolist()
    assert "elementwise" in divide.explain(measure=True)
    assert divide(x, y).tolist() == expected


def test_all_programs_of_a_model_are_listed():
    model, x = trained(cr.layers.Dense(3), cr.layers.Dense(1), validation_split=0.2)
    model.predict(x)
    text = model.explain_plan(measure=False)
    assert re.findall(r"^(training step|evaluation|predict)$", text, re.MULTILINE) == [
        "training step", "evaluation", "predict",
    ]  # fmt: skip


def test_what_cannot_be_explained_says_so():
    model = cr.Sequential([cr.layers.Dense(1)])
    with pytest.raises(StateError, match="nothing was compiled"):
        model.explain_plan()
    x = np.zeros((4, 2), "float32")
    with pytest.raises(StateError, match="no fit"):
        model.explain_plan(x, x)
    assert model.explain_plan(x).startswith("predict\ncpu back end")


def test_full_batch_optimizers_and_the_reference():
    model, x = trained(cr.layers.Dense(2), cr.layers.Dense(1), optimizer="lbfgs")
    assert "matmul" in model.explain_plan(x, x[:, :1], measure=False)
    with cr.settings(backend="reference"):
        assert "NumPy call" in cr.Sequential([cr.layers.Dense(1)]).explain_plan(x)
