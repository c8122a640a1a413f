"""Explanations of a step: the numbers by hand, text, page, zooms."""

import base64
import hashlib
import html
import re

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ArgumentError, UnknownNameError
from chainrule.training.explanation.explanation import explain_step
from chainrule.training.explanation.report import Names

random = np.random.default_rng(3)
L = cr.layers


def rows(*shape):
    return random.normal(size=(16, *shape)).astype("float32")


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


def test_the_loss_after_the_step_is_that_of_the_same_draws():
    model = cr.Sequential([L.Dense(30, "tanh"), L.Dropout(0.5), L.Dense(1)])
    x, y = rows(3), rows(1)
    for optimizer in (cr.optimizers.SGD(1e-4), cr.optimizers.Adam(1e-5)):
        batch = model.explain(x, y, loss="mse", optimizer=optimizer).batch
        assert batch.new_loss < batch.loss
        promised = batch.predicted_loss - batch.loss
        np.testing.assert_allclose(batch.new_loss - batch.loss, promised, rtol=0.02, atol=3e-7)


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


def words_of(text):
    return " ".join(text.split())


def articles(page):
    """The text of each example of a page, without its markup."""
    found = re.findall(r"<article[^>]*>(.*?)</article>", page, re.DOTALL)
    return [words_of(html.unescape(re.sub(r"<[^>]*>", "", text))) for text in found]


def test_the_page_has_the_lines_of_the_text(tmp_path):
    layers = [L.Conv2D(3, 3, activation="relu"), L.Flatten(), L.Dense(3, "softmax")]
    model, x, y = cr.Sequential(layers), rows(5, 5, 1), np.arange(16) % 3
    e = model.explain(x, y, row=2, loss="cross_entropy", optimizer="adam")
    page = e.to_html(tmp_path / "step.html")
    assert (tmp_path / "step.html").read_text() == page
    found = articles(page)
    assert len(found) == 16
    for row in (2, 15):
        text = str(model.explain(x, y, row=row, loss="cross_entropy", optimizer="adam"))
        assert found[row] == words_of(re.sub(r"\n-+\n", "\n", text))
    assert page.count("<article") - page.count(" hidden>") == 1
    numbers = re.findall(r'<data value="([^"]*)" title="([^"]*)"[^>]*>([^<]*)<', page)
    assert len(numbers) > 500
    for value, title, shown in numbers:
        assert value == title
        single = float(np.float32(value))  # a decimal may be a tie where the number is none
        assert shown in (value, f"{float(value):.4g}", f"{single:.4g}")


def test_a_page_of_many_examples_has_sixteen_around_the_chosen():
    model, x = cr.Sequential([L.Dense(1)]), np.arange(40, dtype="float32")[:, None]
    for row, first in ((0, 0), (20, 12), (39, 24)):
        page = model.explain(x, x[:, 0], row=row, loss="mse").to_html()
        titles = re.findall(r'<article data-title="(\d+)"( hidden)?>', page)
        assert titles == [(str(i), "" if i == row else " hidden") for i in range(first, first + 16)]


def test_the_page_of_two_steps():
    model, x, y = small()
    before = model.explain(x, y, loss="mse")
    model.fit(x, y, loss="mse", optimizer="sgd", epochs=5, verbose=0)
    after = model.explain(x, y)
    page = before.to_html(compare=after)
    assert re.findall('data-title="([^"]*)"', page) == ["1: 0", "1: 1", "2: 0", "2: 1"]
    assert articles(page) == articles(before.to_html()) + articles(after.to_html())


def test_numbers_of_the_page_say_where_they_come_from():
    model, x, y = small()
    page = model.explain(x, y, loss="mse").to_html()
    for name, sources, rule in (
        ("z0.0", "x", "z[0] = sum of x * w + b = 1*1 + 2*1 + 0"),
        ("w0.1", "x.1 dz0.0", "dL/dw[1,0] = x * delta = 2 * -4"),
        ("da0.0", "o y", "dL/da[0] = the derivative of the loss by the output"),
    ):
        assert f'data-name="{name}" data-from="{sources}" data-rule="{html.escape(rule)}"' in page
    names = set(re.findall('data-name="([^"]*)"', page))
    for sources in re.findall('data-from="([^"]*)"', page):
        for source in sources.split():
            assert any(name == source or name.startswith(f"{source}.") for name in names), source


HOSTILE = '</script><img onerror="a(1)">&lt;'


def test_hostile_names_are_text():
    model = cr.Sequential([L.Dense(2, name="<b>"), L.Dense(3, name="onerror=alert(1)")])
    names = Names([HOSTILE] * 16, [HOSTILE, "b"], [HOSTILE, "c", "d"])
    loss = cr.losses.CrossEntropy()
    e = explain_step(model, rows(2), np.zeros(16, int), 0, loss, None, "en", names)
    for page in (e.to_html(), e._repr_html_(), e.zoom(neuron=("<b>", 0)).to_html()):
        assert "<img" not in page
        assert "<b>" not in page
        assert page.count("</script") <= 1
    assert len(articles(e.to_html())) == 16
    assert articles(e.to_html())[0].count(HOSTILE) == 4


def test_a_page_loads_and_runs_nothing_else():
    model, x, y = small()
    page = model.explain(x, y, loss="mse").to_html()
    policy = re.search('Security-Policy" content="([^"]*)"', page).group(1)
    assert policy.startswith("default-src 'none'; ")
    for kind in ("style", "script"):
        text = re.search(f"<{kind}>(.*?)</{kind}>", page, re.DOTALL).group(1)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert not re.search(r"""https?:|url\(|import|innerHTML| style=| on\w+=""", page)
    assert model.explain(x, y, loss="mse")._repr_html_().startswith("<iframe")


LOSSES = [
    ("mse", [[1.0, 2.0]], [[3.0, 1.0]], "((3 - 1)^2 + (1 - 2)^2) / 2 = 2.5"),
    ("mae", [[1.0, 2.0]], [[3.0, 1.0]], "(|3 - 1| + |1 - 2|) / 2 = 1.5"),
    ("cross_entropy", [1], [[0.0, 0.0]], "-log p(y) = -log(0.5) = 0.6931"),
    (cr.losses.CrossEntropy(label_smoothing=0.5), [1], [[0.0, 2.0]],
     "0.5 * -log p(y) + 0.5 * mean of -log p = 0.5 * -log(0.8808) + 0.5 * 1.127 = 0.6269"),
    ("binary_cross_entropy", [1.0], [[0.0]], "-log p = -log(0.5) = 0.6931"),
    ("binary_cross_entropy", [0.0], [[2.0]], "-log(1 - p) = -log(1 - 0.8808) = 2.127"),
    ("binary_cross_entropy", [0.25], [[0.0]], "0.25 * -log(0.5) + 0.75 * -log(1 - 0.5) = 0.6931"),
    (cr.losses.FocalCrossEntropy(), [1], [[0.0, 0.0]], "focal_cross_entropy(y, output) = "),
    ("huber", [[0.0]], [[3.0]], "huber(y, output) = 2.5"),
]  # fmt: skip


@pytest.mark.parametrize(("loss", "y", "x", "formula"), LOSSES)
def test_losses_as_formulas(loss, y, x, formula):
    model = cr.Sequential([L.Dense(len(x[0]), kernel_initializer="identity")])
    assert formula in str(model.explain(np.float32(x), np.array(y), loss=loss))


def test_a_penalty_is_not_taken_for_a_part_of_the_formula():
    model = cr.Sequential([L.Dense(1, kernel_initializer="ones", l2=0.5)])
    e = model.explain(np.float32([[3.0]]), np.float32([[1.0]]), loss="mse")
    assert e.one.loss > 4
    assert f"(y, output) = {e.one.loss:.4g}" in str(e)


RULES = [
    (cr.optimizers.SGD(0.1, momentum=0.9, nesterov=True), "w - rate * (dL/dw + m v) (rate = 0.1"),
    (cr.optimizers.AdamW(0.1, weight_decay=0.5), "- rate * decay * w (rate = 0.1, decay = 0.5"),
    (cr.optimizers.SGD(0.1, clip_norm=1.0), "(rate = 0.1, t = 1, clip_norm = 1)"),
    (cr.optimizers.Adamax(0.1), "w <- Adamax(w, dL/dw)"),
]  # fmt: skip


@pytest.mark.parametrize(("optimizer", "rule"), RULES, ids=lambda value: str(value)[:12])
def test_update_rules(optimizer, rule):
    model, x, y = small()
    assert rule in words_of(str(model.explain(x, y, loss="mse", optimizer=optimizer)))


def test_names_of_inputs_classes_and_rows():
    model = cr.Sequential([L.Dense(2, kernel_initializer="identity")])
    names = Names(["first, a.png", "second"], ["legs", "wings"], ["cat", "bird"])
    x = np.float32([[4, 0], [2, 2]])
    loss = cr.losses.CrossEntropy()
    text = str(explain_step(model, x, np.array([0, 1]), 0, loss, None, "en", names))
    for words in ("(one example: first, a.png)", "= legs 4, wings 0", "= 0 (cat)",
                  "= cat 4, bird 0"):  # fmt: skip
        assert words in text


def test_chinese():
    model, x, y = small()
    text = str(model.explain(x, y, loss="mse", language="zh"))
    assert "反向传播" in text
    page = model.explain(x, y, loss="mse", language="zh").to_html()
    assert '<html lang="zh">' in page
    assert "反向传播" in articles(page)[0]


def test_mistakes():
    model, x, y = small()
    with pytest.raises(ArgumentError, match="no such row"):
        model.explain(x, y, row=2, loss="mse")
    with pytest.raises(ArgumentError, match="no loss was given"):
        model.explain(x, y)
    with pytest.raises(UnknownNameError, match="language"):
        model.explain(x, y, loss="mse", language="fr")
