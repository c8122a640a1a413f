"""cr.plot: what stands in each figure; fonts for any script; matplotlib only where it draws."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import figures
from chainrule.errors import ArgumentError, DataError, ShapeError, StateError, UnknownNameError
from chainrule.training import History

pytest.importorskip("matplotlib")
RNG = np.random.default_rng(43)
X = RNG.uniform(size=(6, 8, 8, 1)).astype("float32")
NAMES = ["cat", "dog", "fox"]


@pytest.fixture(scope="module")
def model() -> cr.Sequential:
    layers = [cr.layers.Conv2D(5, 3, activation="relu"), cr.layers.Flatten()]
    built = cr.Sequential([*layers, cr.layers.Dense(3, activation="softmax")])
    built(X)
    return built


def visible(figure: Any) -> list[Any]:
    return [axis for axis in figure.axes if axis.get_visible()]


def titles(figure: Any) -> list[str]:
    return [axis.get_title() for axis in visible(figure)]


def image_of(axis: Any, number: int = 0) -> np.ndarray:
    return np.asarray(axis.images[number].get_array())


def test_learning_curves(tmp_path: Path) -> None:
    history = History()
    for epoch in (1, 2, 3):
        history.append({"loss": 1 / epoch, "val_loss": 2 / epoch, "matrix": np.eye(2)})
    figure = cr.plot.learning_curves(history, tmp_path / "curves.svg")
    assert (tmp_path / "curves.svg").stat().st_size > 5000
    (axis,) = visible(figure)
    assert [line.get_ydata().tolist() for line in axis.lines] == [
        history["loss"],
        history["val_loss"],
    ]
    assert all(float(tick).is_integer() for tick in axis.get_xticks())
    numbers = {"loss": [3.0, 2.0], "accuracy": [0.1, 0.9]}
    assert titles(cr.plot.learning_curves(numbers)) == ["loss", "accuracy"]
    assert titles(cr.plot.learning_curves(numbers, names=["accuracy"])) == ["accuracy"]
    with pytest.raises(StateError, match="no epoch"):
        cr.plot.learning_curves({})
    with pytest.raises(UnknownNameError):
        cr.plot.learning_curves(numbers, names=["acuracy"])


def test_confusion_matrix_counts_as_sklearn_does() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    truth, p = RNG.integers(0, 3, 90), RNG.dirichlet(np.ones(3), 90)
    expected = sklearn.confusion_matrix(truth, p.argmax(1))
    labels = np.array(NAMES)
    for y_true, y_pred, classes in (
        (truth, p, NAMES),
        (np.eye(3)[truth], p.argmax(1), NAMES),
        (labels[truth], labels[p.argmax(1)], None),
        (labels[truth], labels[p.argmax(1)], NAMES),
        (truth[:, None], p.argmax(1), None),
    ):
        figure = cr.plot.confusion_matrix(y_true, y_pred, classes)
        axis = figure.axes[0]
        counts = [int(text.get_text()) for text in axis.texts]
        np.testing.assert_array_equal(np.reshape(counts, (3, 3)), expected)
        np.testing.assert_allclose(image_of(axis), expected / expected.sum(1, keepdims=True))
        shown = [label.get_text() for label in axis.get_yticklabels()]
        assert shown == (["0", "1", "2"] if y_true is not truth and classes is None and
                         np.asarray(y_true).dtype.kind != "U" else NAMES)  # fmt: skip
        right = expected.trace() / 90
        assert axis.get_title() == f"{right:.1%} of 90 right"


def test_confusion_matrix_of_many_classes_and_in_given_axes() -> None:
    from matplotlib.figure import Figure

    truth = RNG.integers(0, 30, 300)
    assert not cr.plot.confusion_matrix(truth, truth).axes[0].texts
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert cr.plot.confusion_matrix([0, 1], [1, 1], ax=right) is figure
    assert right.get_title() == "50.0% of 2 right"
    assert not left.get_title()


def test_kernels() -> None:
    layer = cr.layers.Conv2D(10, (3, 4))
    layer(np.zeros((1, 8, 8, 3), "float32"))
    axes = visible(cr.plot.kernels(layer))
    kernel = layer.kernel.numpy()
    assert len(axes) == 10
    for index, axis in enumerate(axes):
        expected = 0.5 + kernel[..., index] / (2 * np.abs(kernel).max())
        np.testing.assert_allclose(image_of(axis), expected, atol=1e-6)
    with pytest.raises(ArgumentError, match="no kernel that could be shown"):
        cr.plot.kernels(cr.Sequential([cr.layers.Dense(2)]))


def test_activations(model: cr.Sequential) -> None:
    figure = cr.plot.activations(model, X[0], "conv2d")
    expected = cr.explain.activations(model, X[:1], "conv2d")[0]
    assert titles(figure) == list("01234")
    for index, axis in enumerate(visible(figure)):
        np.testing.assert_array_equal(image_of(axis), expected[..., index])
    bars = cr.plot.activations(model, X[:1], "dense").axes[0].patches
    assert sum(bar.get_height() for bar in bars) == pytest.approx(1)
    with pytest.raises(ShapeError, match="more than one input"):
        cr.plot.activations(model, X, "conv2d")


def test_saliency_and_grad_cam(model: cr.Sequential) -> None:
    best = cr.explain.best_classes(model, X)
    figure = cr.plot.saliency(model, X, classes=NAMES)
    axes = visible(figure)
    assert titles(figure)[1::2] == [f"for {NAMES[n]}" for n in best]
    for n in range(6):
        np.testing.assert_allclose(image_of(axes[2 * n]), X[n, :, :, 0])
        np.testing.assert_allclose(image_of(axes[2 * n + 1]), cr.explain.saliency(model, X)[n])
    axes = visible(cr.plot.grad_cam(model, X, class_index=1))
    expected = cr.explain.grad_cam(model, X, class_index=1)
    for n in range(6):
        axis = axes[2 * n + 1]
        np.testing.assert_allclose(image_of(axis, 1), expected[n])
        assert axis.get_title() == ("for 1" if expected[n].any() else "no region for 1")
    assert len(visible(cr.plot.grad_cam(model, X[0], "conv2d"))) == 2
    with pytest.raises(ShapeError, match="no pictures"):
        cr.plot.saliency(model, X[0, 0])


def test_mistakes(tmp_path: Path) -> None:
    y = np.array([0, 1, 2, 0, 1, 2])
    p = np.full((6, 3), 0.1)
    p[np.arange(6), y] = 0.8
    p[4] = [0.05, 0.05, 0.9]
    p[1] = [0.6, 0.3, 0.1]
    figure = cr.plot.mistakes(X, y, p, NAMES, tmp_path / "mistakes.png")
    assert (tmp_path / "mistakes.png").stat().st_size > 2000
    assert titles(figure) == ["said fox (90%)\nis dog", "said cat (60%)\nis dog"]
    np.testing.assert_allclose(image_of(visible(figure)[0]), X[4, :, :, 0])
    assert figure.get_suptitle() == "2 of 6 classified wrongly"
    assert len(visible(cr.plot.mistakes(X, y, p, count=1))) == 1
    none = cr.plot.mistakes(X, p.argmax(1), p, path=tmp_path / "none.png")
    assert (none.get_suptitle(), none.axes) == ("0 of 6 classified wrongly", [])


def test_pictures_of_any_range_are_shown_as_they_are() -> None:
    whole = RNG.integers(0, 256, (4, 5, 3)).astype("uint8")
    np.testing.assert_allclose(figures.as_picture(whole)[0], whole / 255)
    np.testing.assert_allclose(figures.as_picture(whole.astype("float32"))[0], whole / 255)
    dim = whole / 2550
    np.testing.assert_allclose(figures.as_picture(dim)[0], dim)
    centred = figures.as_picture(RNG.standard_normal((4, 5, 1)))[0]
    assert (centred.shape, centred.min(), centred.max()) == ((4, 5), 0, 1)


# ---- labels


def test_characters_that_the_usual_font_lacks_come_from_another(tmp_path: Path) -> None:
    """With the fonts that matplotlib brings along."""
    from matplotlib.font_manager import findfont, get_font

    usual, other = (
        set(get_font(findfont(name)).get_charmap()) for name in ("DejaVu Sans", "STIXGeneral")
    )
    strange = chr(min(c for c in other - usual if 0x400 < c < 0xE000))
    names = ["plain", f"with {strange}"]
    figure = cr.plot.confusion_matrix([0, 1], [1, 1], names, tmp_path / "a.png")
    label = figure.axes[0].get_yticklabels()[1]
    assert label.get_text() == names[1]
    assert len(label.get_fontfamily()) > 1
    assert figure.axes[0].get_yticklabels()[0].get_fontfamily() != label.get_fontfamily()


def test_chinese_labels_are_drawn_without_warnings(tmp_path: Path) -> None:
    """Warnings are errors in these tests. Without a font that has them, codes stand for them."""
    figure = cr.plot.confusion_matrix([0, 1], [1, 1], ["猫", "狗 dog"], tmp_path / "a.png")
    first, second = (label.get_text() for label in figure.axes[0].get_yticklabels())
    found, missing = figures._fonts_for(frozenset("猫"), ("sans-serif",))
    assert (first, second) == (("猫", "狗 dog") if not missing else ("U+732B", "U+72D7 dog"))
    assert bool(found) != bool(missing)


def test_a_line_break_is_no_missing_character() -> None:
    assert figures._fonts_for(frozenset("é\n"), ("sans-serif",)) == ((), frozenset())


# ---- bad input, and no matplotlib


def test_bad_input() -> None:
    with pytest.raises(DataError, match="a label that is no class"):
        cr.plot.confusion_matrix(["cat", "cow"], ["cat", "cat"], NAMES)
    with pytest.raises(DataError, match="different numbers of rows"):
        cr.plot.confusion_matrix([0, 1, 1], [0, 1])
    with pytest.raises(DataError, match="no rows"):
        cr.plot.confusion_matrix([], [])
    with pytest.raises(DataError, match="no class numbers"):
        cr.plot.confusion_matrix([0, 3], [0, 1], NAMES)
    with pytest.raises(ShapeError, match="do not fit"):
        cr.plot.mistakes(X, [0, 1], np.full((2, 3), 1 / 3))


def test_matplotlib_is_loaded_only_to_draw_and_missed_clearly() -> None:
    program = (
        "import sys, numpy as np, chainrule as cr\n"
        "cr.plot, cr.explain.confident_mistakes([0, 1], np.eye(2))\n"
        "print('matplotlib' in sys.modules)\n"
        "sys.modules['matplotlib'] = sys.modules['matplotlib.figure'] = None\n"
        "try:\n"
        "    cr.plot.confusion_matrix([0, 1], [1, 1])\n"
        "except cr.errors.MissingDependencyError as error:\n"
        "    print(error)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded, message = result.stdout.strip().split("\n", 1)
    assert loaded == "False"
    assert "plot.confusion_matrix" in message
    assert "chainrule[plot]" in message
