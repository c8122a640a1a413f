"""Explanations of a step: numbers against differences in float64, text, page, zooms."""

import html
import re

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ArgumentError, UnknownNameError

random = np.random.default_rng(3)
L = cr.layers


def rows(*shape):
    return random.normal(size=(16, *shape)).astype("float32")


NETS = {
    "dense": ([L.Dense(4, activation="tanh"), L.Dense(2)], (3,)),
    "relu and norm": ([L.Dense(6), L.BatchNormalization(), L.Activation("relu"), L.Dense(2)], (3,)),
    "layer norm": ([L.Dense(5, activation="gelu"), L.LayerNormalization(), L.Dense(2)], (3,)),
    "dropout": ([L.Dense(8, activation="sigmoid"), L.Dropout(0.3), L.Dense(2)], (3,)),
    "convolution": ([L.Conv2D(3, 3, activation="tanh"), L.Flatten(), L.Dense(2)], (6, 6, 2)),
    "pools": ([L.Conv2D(4, 3, padding="same"), L.MaxPooling2D(2), L.GlobalAveragePooling2D(),
               L.Dense(2)], (6, 6, 1)),
    "depthwise": ([L.DepthwiseConv2D(3), L.Flatten(), L.Dense(2)], (5, 5, 2)),
    "lstm": ([L.LSTM(4, return_sequences=True), L.GRU(3), L.Dense(2)], (5, 3)),
    "gru in both directions": ([L.GRU(3, bidirectional=True), L.Dense(2)], (4, 3)),
    "one dimension": ([L.Conv1D(3, 2, activation="softplus"), L.GlobalMaxPooling1D(),
                       L.Dense(2)], (6, 2)),
}  # fmt: skip


@pytest.mark.parametrize("net", NETS)
def test_gradients_agree_with_differences(net):
    layers, shape = NETS[net]
    model = cr.Sequential(layers)
    x, y = rows(*shape), rows(2)
    model.fit(x, y, loss="mse", epochs=2, batch_size=8, seed=1, verbose=0)
    before = [v.numpy() for v in model.variables]
    explanation = model.explain(x, y, row=1)
    assert explanation.check() < 1e-5
    for value, variable in zip(before, model.variables, strict=True):
        assert (value == variable.numpy()).all()
    text = str(explanation)
    assert max(map(len, text.splitlines())) <= 100
    for variable in model.trainable_variables:
        assert f"dL/d {variable.path}" in text


def test_a_wrong_gradient_is_found(monkeypatch):
    from chainrule.training.explanation import explanation as module

    model = cr.Sequential([L.Dense(2)])
    explanation = model.explain(rows(3), rows(2), loss="mse")
    record = explanation.one.weights[0]
    record.gradient[0, 0] += 0.01
    assert module.largest_difference(explanation._step, explanation.one) > 1e-4


def small():
    model = cr.Sequential([L.Dense(1, kernel_initializer="ones", name="sum")])
    return model, np.array([[1.0, 2.0], [3.0, -1.0]], "float32"), np.array([5.0, 2.0], "float32")


def test_the_step_by_hand():
    model, x, y = small()
    e = model.explain(x, y, row=0, loss="mse", optimizer=cr.optimizers.SGD(0.1))
    assert e.one.loss == 4.0
    assert e.batch.loss == 2.0
    layer = e.one.layers[0]
    assert layer.a.item() == 3.0
    assert layer.da.item() == -4.0
    np.testing.assert_allclose(e.one.weights[0].gradient, [[-4.0], [-8.0]])
    np.testing.assert_allclose(e.batch.weights[0].after, 1 - 0.1 * np.array([[-2.0], [-4.0]]))
    np.testing.assert_allclose(e.batch.predicted_loss, 2 - 0.1 * (4 + 16 + 4), rtol=1e-6)
    text = str(e)
    assert "(3 - 5)^2 / 1 = 4" in text
    assert "w <- w - rate * dL/dw   (rate = 0.1, t = 1)" in text


def test_zooms():
    model, x, y = small()
    e = model.explain(x, y, loss="mse")
    assert "z = 1*1 + 1*2 + 0 = 3" in str(e.zoom(neuron=("sum", 0)))
    assert "1*-2 + 3*0 = -2" in str(e.zoom(weight=("sum/kernel", (0, 0))))
    with pytest.raises(UnknownNameError):
        e.zoom(neuron=("sun", 0))
    with pytest.raises(ArgumentError, match="no such place"):
        e.zoom(weight=("sum/kernel", (9, 0)))
    sequences = cr.Sequential([L.GRU(2, return_sequences=True), L.GlobalAveragePooling1D()])
    zoomed = sequences.explain(rows(4, 3), rows(2), loss="mse").zoom(time=2)
    assert "gru: a =" in str(zoomed)
    pictures = cr.Sequential([L.Conv2D(2, 3), L.Flatten(), L.Dense(1)])
    zoomed = pictures.explain(rows(5, 5, 1), rows(1), loss="mse").zoom(filter=("conv2d", 1))
    assert "dL/dw" in str(zoomed)


def test_the_page_has_the_numbers_of_the_text_and_no_foreign_code(tmp_path):
    name = "<img src=x onerror=alert(1)>"
    model = cr.Sequential([L.Dense(2, name=name)]) if _may_be_named(name) else small()[0]
    e = model.explain(rows(2), rows(2), loss="mse")
    page = e.to_html(tmp_path / "step.html")
    assert (tmp_path / "step.html").read_text() == page
    assert "<img" not in page
    shown = html.unescape(re.sub(r"<[^>]*>", "\n", page))
    for block in e.blocks().values():
        for line in block:
            assert line in shown


def _may_be_named(name):
    try:
        L.Dense(2, name=name)
    except ArgumentError:
        return False
    return True


def test_chinese():
    model, x, y = small()
    text = str(model.explain(x, y, loss="mse", language="zh"))
    assert "反向传播" in text
    assert model.explain(x, y, loss="mse", language="zh").to_html().count("链式法则") == 1


def test_mistakes():
    model, x, y = small()
    with pytest.raises(ArgumentError, match="no such row"):
        model.explain(x, y, row=2, loss="mse")
    with pytest.raises(ArgumentError, match="no loss was given"):
        model.explain(x, y)
    with pytest.raises(UnknownNameError, match="language"):
        model.explain(x, y, loss="mse", language="fr")
