"""What a network looks at, as arrays: against finite differences of its own forward pass."""

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ArgumentError, DataError, ShapeError, UnknownNameError

RNG = np.random.default_rng(41)
STEP = 1e-5


def network(last: str | None = None) -> cr.Sequential:
    model = cr.Sequential(
        [
            cr.layers.Conv2D(3, 3, activation="tanh", dtype="float64"),
            cr.layers.AveragePooling2D(2, dtype="float64"),
            cr.layers.Conv2D(4, 2, activation="softplus", dtype="float64"),
            cr.layers.Flatten(dtype="float64"),
            cr.layers.Dense(3, activation=last, dtype="float64"),
        ],
        dtype="float64",
    )
    model.tree_seed = 5
    model(np.zeros((1, 8, 9, 2)))
    return model


def differences(function: Any, x: np.ndarray) -> np.ndarray:
    """The gradient of a function of an array by central differences."""
    gradient = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        ends = []
        for sign in (1, -1):
            moved = x.copy()
            moved[place] += sign * STEP
            ends.append(function(moved))
        gradient[place] = (ends[0] - ends[1]) / (2 * STEP)
    return gradient


@pytest.mark.parametrize("last", [None, "softmax"])
def test_input_gradient_agrees_with_finite_differences(last: str | None) -> None:
    model, x = network(last), RNG.standard_normal((2, 8, 9, 2))
    logits = network()  # the same weights: the score stands before the softmax
    found = cr.explain.input_gradient(model, x, [2, 0])
    for row, number in enumerate((2, 0)):
        expected = differences(lambda v, c=number: logits(v[None]).numpy()[0, c], x[row])
        np.testing.assert_allclose(found[row], expected, atol=1e-8)
    chosen = cr.explain.best_classes(model, x)
    np.testing.assert_array_equal(chosen, logits(x).numpy().argmax(1))
    np.testing.assert_array_equal(
        cr.explain.input_gradient(model, x), cr.explain.input_gradient(model, x, chosen)
    )


def test_saliency_is_the_largest_over_channels() -> None:
    model, x = network(), RNG.standard_normal((2, 8, 9, 2))
    gradient = cr.explain.input_gradient(model, x, 1)
    found = cr.explain.saliency(model, x, 1)
    np.testing.assert_array_equal(found, np.abs(gradient).max(-1))
    assert found.shape == (2, 8, 9)


def test_saliency_of_a_model_that_sees_one_pixel() -> None:
    class Corner(cr.Model):
        def call(self, inputs: cr.Tensor) -> cr.Tensor:
            return cr.stack([inputs[:, 1, 2, 0] * 3.0, inputs[:, 0, 0, 0]], 1)

    x = RNG.uniform(size=(2, 3, 4, 1)).astype("float32")
    expected = np.zeros((2, 3, 4))
    expected[:, 1, 2] = 3
    np.testing.assert_array_equal(cr.explain.saliency(Corner(), x, 0), expected)


def test_activations_are_those_of_the_layers_one_after_another() -> None:
    model, x = network(), RNG.standard_normal((2, 8, 9, 2))
    value = cr.tensor(x)
    for layer in model:
        value = layer(value)
        np.testing.assert_array_equal(cr.explain.activations(model, x, layer), value.numpy())
        np.testing.assert_array_equal(cr.explain.activations(model, x, layer.path), value.numpy())


@pytest.mark.parametrize("number", [0, 1, 2])
def test_grad_cam_by_hand(number: int) -> None:
    model, x = network("softmax"), RNG.standard_normal((2, 8, 9, 2))
    logits = network()
    for last, name in ((2, "conv2d_1"), (0, "conv2d")):
        seen = cr.explain.activations(model, x, name)

        def score(value: np.ndarray, last: int = last) -> float:
            out = cr.tensor(value[None])
            for layer in list(logits)[last + 1 :]:
                out = layer(out)
            return float(out.numpy()[0, number])

        maps = []
        for row in range(2):
            weights = differences(score, seen[row]).mean((0, 1))
            regions = np.maximum((weights * seen[row]).sum(-1), 0)
            large = cr.resize(regions[None, :, :, None], (8, 9), method="bilinear")
            maps.append(large.numpy()[0, :, :, 0] / max(regions.max(), 1e-300))
        found = cr.explain.grad_cam(model, x, name, number)
        expected = np.array([m / (m.max() or 1) for m in maps])
        np.testing.assert_allclose(found, expected, atol=1e-7)
    by_default = cr.explain.grad_cam(model, x, class_index=number)
    np.testing.assert_array_equal(by_default, cr.explain.grad_cam(model, x, "conv2d_1", number))


def test_grad_cam_finds_what_speaks_for_a_class() -> None:
    """Class 1 is brightness: its region is where the bright square stands."""
    model = cr.Sequential(
        [
            cr.layers.Conv2D(1, 3, padding="same", kernel_initializer="ones", use_bias=False),
            cr.layers.GlobalAveragePooling2D(),
            cr.layers.Dense(2, kernel_initializer=lambda s, d: np.array([[-1.0, 1.0]], d)),
        ]
    )
    x = np.zeros((1, 12, 12, 1), "float32")
    x[:, 2:5, 7:10] = 1
    bright = cr.explain.grad_cam(model, x, class_index=1)[0]
    assert bright.max() == 1
    assert bright[3, 8] == 1
    assert bright[7:].max() == bright[:, :5].max() == 0
    assert cr.explain.grad_cam(model, x, class_index=0).max() == 0


def test_nothing_of_the_watching_stays() -> None:
    model, x = network(), RNG.standard_normal((2, 8, 9, 2))
    before = model(x).numpy()
    cr.explain.grad_cam(model, x)
    with pytest.raises(ShapeError):
        cr.explain.activations(model, x[..., :1], "conv2d")
    assert all("call" not in vars(layer) for layer in model)
    np.testing.assert_array_equal(model(x).numpy(), before)


def test_whole_numbers_and_models_that_are_not_built() -> None:
    model = cr.Sequential([cr.layers.Conv2D(2, 3), cr.layers.Flatten(), cr.layers.Dense(2)])
    x = RNG.integers(0, 256, (2, 6, 6, 1)).astype("uint8")
    assert cr.explain.grad_cam(model, x).shape == (2, 6, 6)
    assert cr.explain.saliency(model, x).dtype == np.float32


def test_mistakes_the_surest_first() -> None:
    y = RNG.integers(0, 4, 200)
    p = RNG.dirichlet(np.ones(4), 200)
    found = cr.explain.confident_mistakes(y, p)
    assert set(found) == {i for i in range(200) if p[i].argmax() != y[i]}
    assert (np.diff(p[found].max(1)) <= 0).all()
    np.testing.assert_array_equal(cr.explain.confident_mistakes(np.eye(4)[y], p), found)
    two = p[:, 0] / p[:, :2].sum(1)
    binary = cr.explain.confident_mistakes(y % 2, two)
    assert set(binary) == set(np.flatnonzero((two > 0.5) != (y % 2)))
    np.testing.assert_array_equal(
        cr.explain.confident_mistakes((y % 2)[:, None], two[:, None]), binary
    )


def test_bad_input() -> None:
    model, x = network(), RNG.standard_normal((2, 8, 9, 2))
    with pytest.raises(UnknownNameError, match="did you mean 'conv2d_1'"):
        cr.explain.activations(model, x, "conv2d_2")
    with pytest.raises(ArgumentError, match="does not hold this layer"):
        cr.explain.grad_cam(model, x, cr.layers.Conv2D(1, 1))
    with pytest.raises(ArgumentError, match="from 0 to 2"):
        cr.explain.saliency(model, x, 3)
    with pytest.raises(ArgumentError, match="bad class_index"):
        cr.explain.saliency(model, x, [0, 1, 2])
    with pytest.raises(ShapeError, match="x\\[None\\]"):
        cr.explain.saliency(model, x[0])
    with pytest.raises(ShapeError, match="returns no pictures"):
        cr.explain.grad_cam(model, x, "dense")
    flat = cr.Sequential([cr.layers.Flatten(), cr.layers.Dense(2)])
    with pytest.raises(ArgumentError, match="no layer of the model returns pictures"):
        cr.explain.grad_cam(flat, x)
    with pytest.raises(ShapeError, match="does not end in classes"):
        cr.explain.saliency(cr.Sequential([cr.layers.Conv2D(2, 3)]), x)
    with pytest.raises(DataError, match="no class numbers"):
        cr.explain.confident_mistakes([0, 4], np.full((2, 3), 1 / 3))
    with pytest.raises(ShapeError, match="different numbers of rows"):
        cr.explain.confident_mistakes([0, 1, 1], np.full((2, 3), 1 / 3))
    with pytest.raises(ShapeError, match="no probabilities"):
        cr.explain.confident_mistakes([0, 1], [0, 1])
