"""Layers over sequences, pictures and volumes: conventions, values, bad input."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ArgumentError, ChainruleError, ShapeError, UnknownNameError

L = cr.layers
RNG = np.random.default_rng(23)
PICTURES = np.ones((2, 8, 8, 3), "float32")


# ---- conventions of Keras


@pytest.mark.parametrize("length", [5, 6, 9])
@pytest.mark.parametrize("taps", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_same_is_that_of_keras(length: int, taps: int, stride: int) -> None:
    # Keras's documented rule: ceil(n / s) places; the odd zero stands after the input.
    places = -(-length // stride)
    total = max((places - 1) * stride + taps - length, 0)
    before = total // 2
    x = RNG.standard_normal((1, length, 2))
    layer = L.Conv1D(3, taps, stride, "same", use_bias=False, dtype="float64")
    output = layer(x).numpy()
    padded = np.pad(x, ((0, 0), (before, total - before), (0, 0)))
    kernel = layer.kernel.numpy()
    expected = [
        np.einsum("kc,kcf->f", padded[0, o * stride : o * stride + taps], kernel)
        for o in range(places)
    ]
    np.testing.assert_allclose(output[0], expected, rtol=1e-12, atol=1e-12)
    for pool, reduce in [(L.MaxPooling1D, np.max), (L.AveragePooling1D, np.mean)]:
        found = pool(taps, stride, "same", dtype="float64")(x).numpy()[0]
        windows = [
            x[0, max(o * stride - before, 0) : o * stride - before + taps] for o in range(places)
        ]
        np.testing.assert_allclose(found, [reduce(w, axis=0) for w in windows], rtol=1e-12)


def test_transpose_lengths_are_those_of_keras() -> None:
    for taps, stride in itertools.product((1, 2, 3, 4), (1, 2, 3)):
        shape = (None, 5, 4, 2)
        same = L.Conv2DTranspose(3, taps, stride, "same").compute_output_shape(shape)
        assert same == (None, 5 * stride, 4 * stride, 3)
        valid = L.Conv2DTranspose(3, taps, stride).compute_output_shape(shape)
        extra = max(taps - stride, 0)
        assert valid == (None, 5 * stride + extra, 4 * stride + extra, 3)


def test_defaults_are_those_of_keras() -> None:
    layer = L.Conv2D(8, 3)
    assert (layer.kernel_size, layer.strides, layer.dilation_rate) == ((3, 3), (1, 1), (1, 1))
    assert (layer.padding, layer.groups, layer.use_bias) == ("valid", 1, True)
    assert layer.activation is cr.activations.get(None)
    assert L.MaxPooling2D().pool_size == L.MaxPooling2D().strides == (2, 2)
    assert L.MaxPooling2D(3).strides == (3, 3)
    assert L.ZeroPadding2D((1, 2)).padding == ((1, 1), (2, 2))
    assert L.UpSampling2D().size == (2, 2)
    assert L.GroupNormalization().groups == 32


def test_names_of_pytorch() -> None:
    layer = L.Conv2D(out_channels=4, kernel_size=3, stride=2, padding=1, dilation=1, bias=False)
    assert (layer.filters, layer.strides, layer.use_bias) == (4, (2, 2), False)
    assert layer.padding == ((1, 1), (1, 1))
    pool = L.MaxPooling2D(kernel_size=3, stride=1)
    assert (pool.pool_size, pool.strides) == ((3, 3), (1, 1))
    assert L.GroupNormalization(num_groups=4, eps=1e-5).epsilon == 1e-5
    assert L.UpSampling2D(scale_factor=3, mode="bilinear").size == (3, 3)
    made = L.Conv2d(3, 8, 3, padding=1, dilation=2, groups=1, bias=False)
    assert made.built
    assert list(made.weights) == ["kernel"]
    assert made(PICTURES).shape == (2, 6, 6, 8)


# ---- values


def test_values_of_a_convolution() -> None:
    layer = L.Conv2D(4, (2, 3), (2, 1), groups=2, activation="relu", dtype="float64")
    x = RNG.standard_normal((2, 5, 6, 4))
    layer.ensure_built(x.shape)
    layer.bias.assign(RNG.standard_normal(4))
    kernel, bias = layer.kernel.numpy(), layer.bias.numpy()
    expected = np.zeros((2, 2, 4, 4))
    for row, column, f in itertools.product(range(2), range(4), range(4)):
        part = slice(0, 2) if f < 2 else slice(2, 4)
        window = x[:, 2 * row : 2 * row + 2, column : column + 3, part]
        expected[:, row, column, f] = (window * kernel[..., f]).sum((1, 2, 3)) + bias[f]
    np.testing.assert_allclose(layer(x).numpy(), np.maximum(expected, 0), rtol=1e-12, atol=1e-12)


def test_sizes_may_change_but_channels_may_not() -> None:
    layer = L.Conv2D(4, 3, padding="same")
    assert layer(PICTURES).shape == (2, 8, 8, 4)
    assert layer(np.ones((1, 5, 7, 3), "float32")).shape == (1, 5, 7, 4)
    assert layer(np.ones((0, 5, 7, 3), "float32")).shape == (0, 5, 7, 4)


@pytest.mark.parametrize(
    "layer",
    [
        L.Conv2D(2, 3), L.MaxPooling2D(), L.AveragePooling2D(), L.GlobalMaxPooling2D(),
        L.GlobalAveragePooling2D(), L.UpSampling2D(), L.DepthwiseConv2D(3), L.ResidualBlock(4),
        L.SpatialDropout2D(0.5), L.GroupNormalization(3), L.Conv2DTranspose(2, 3),
    ],
    ids=lambda layer: layer.name,
)  # fmt: skip
def test_pictures_of_bytes(layer: cr.Layer) -> None:
    pictures = RNG.integers(0, 256, (3, 6, 6, 3)).astype("uint8")
    output = layer(pictures, training=True)
    assert output.dtype == np.float32
    same = layer(pictures.astype("float32"))
    np.testing.assert_allclose(layer(pictures).numpy(), same.numpy(), rtol=1e-5, atol=1e-5)


def test_variance_of_first_values_follows_the_window() -> None:
    layer = L.Conv2D(64, 5, kernel_initializer="he_normal")
    layer.ensure_built((None, 8, 8, 16))
    assert abs(layer.kernel.numpy().var() / (2 / (25 * 16)) - 1) < 0.05
    layer = L.Conv2D(64, 5)
    layer.ensure_built((None, 8, 8, 16))
    bound = np.sqrt(6 / (25 * (16 + 64)))
    assert 0.99 * bound < np.abs(layer.kernel.numpy()).max() <= bound
    depthwise = L.DepthwiseConv2D(5, depthwise_initializer="he_normal")
    depthwise.ensure_built((None, 8, 8, 512))
    assert abs(depthwise.kernel.numpy().var() / (2 / 25) - 1) < 0.05


def test_penalties_enter_the_losses() -> None:
    layer = L.Conv2D(2, 2, l2=0.5, activity_regularizer="l1", bias_regularizer="l2")
    layer.bias_initializer = cr.initializers.Constant(2.0)
    output = layer(PICTURES).numpy()
    kernel, bias, activity = (float(loss) for loss in layer.losses)
    assert kernel == pytest.approx(0.5 * (layer.kernel.numpy() ** 2).sum(), rel=1e-5)
    assert bias == pytest.approx(0.01 * 8.0)
    assert activity == pytest.approx(0.01 * np.abs(output).sum() / 2, rel=1e-5)
    depthwise = L.DepthwiseConv2D(2, depthwise_regularizer="l2", depthwise_constraint="max_norm")
    depthwise(PICTURES)
    assert len(depthwise.losses) == 1
    assert depthwise.kernel.constraint is depthwise.depthwise_constraint
    separable = L.SeparableConv2D(2, 2, pointwise_regularizer="l2", pointwise_constraint="max_norm")
    separable(PICTURES)
    assert len(separable.losses) == 1
    assert separable.pointwise_kernel.constraint is separable.pointwise_constraint


def test_spatial_dropout_drops_whole_channels() -> None:
    output = L.SpatialDropout2D(0.3, seed=1)(np.ones((100, 3, 4, 50)), training=True).numpy()
    assert (output == output[:, :1, :1]).all()
    kept = output[:, 0, 0] != 0
    assert abs(kept.mean() - 0.7) < 5 * np.sqrt(0.21 / kept.size)
    np.testing.assert_allclose(output[output != 0], 1 / 0.7, rtol=1e-6)
    assert (L.SpatialDropout2D(0.3)(PICTURES).numpy() == PICTURES).all()


def test_group_normalization_values() -> None:
    x = RNG.standard_normal((3, 4, 5, 6)) * 3 + 2
    output = L.GroupNormalization(2, epsilon=0.0, dtype="float64")(x).numpy()
    for group in (output[..., :3], output[..., 3:]):
        np.testing.assert_allclose(group.mean((1, 2, 3)), 0, atol=1e-13)
        np.testing.assert_allclose(group.std((1, 2, 3)), 1, rtol=1e-12)


def test_running_statistics_over_pictures_in_the_compiled_step() -> None:
    model = cr.Sequential([L.Conv2D(3, 3), L.BatchNormalization(momentum=0.9), L.Flatten(),
                           L.Dense(1)])  # fmt: skip
    x = RNG.standard_normal((12, 6, 6, 2)).astype("float32")
    model.ensure_built((None, 6, 6, 2))
    convolved = model[0](x).numpy()
    mean, variance = np.zeros(3), np.ones(3)
    # No step changes the kernel, so each of the six steps sees its batch as it was before.
    model.fit(x, np.zeros((12, 1)), loss="mse", optimizer=cr.optimizers.SGD(0.0), epochs=2,
              batch_size=4, shuffle=False, verbose=0)  # fmt: skip
    for rows in [slice(0, 4), slice(4, 8), slice(8, 12)] * 2:
        mean = 0.9 * mean + 0.1 * convolved[rows].mean((0, 1, 2))
        variance = 0.9 * variance + 0.1 * convolved[rows].var((0, 1, 2))
    np.testing.assert_allclose(model[1].moving_mean.numpy(), mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(model[1].moving_variance.numpy(), variance, rtol=1e-4)


# ---- bad input


BAD: dict[str, tuple[Callable[[], Any], type[ChainruleError], list[str]]] = {
    "kernel larger than the input": (
        lambda: L.Conv2D(4, 9)(PICTURES), ShapeError,
        ["[conv2d] the window is larger than the input on spatial axis 0", "window of 9 over 8"],
    ),
    "kernel larger than the input, in a model": (
        lambda: cr.Sequential([L.Conv2D(4, 5), L.Conv2D(4, 5)])(PICTURES), ShapeError,
        ["[conv2d_1] the window is larger", "a window of 5 over 4", "take a smaller window"],
    ),
    "dilated kernel larger than the input": (
        lambda: L.DepthwiseConv2D(3, dilation_rate=4)(PICTURES), ShapeError,
        ["[depthwise_conv2d] the window is larger", "3 taps, 4 apart"],
    ),
    "pool larger than the input": (
        lambda: L.MaxPooling2D(9)(PICTURES), ShapeError,
        ["[max_pooling2d] the window is larger than the input"],
    ),
    "pool of nothing but padding": (
        lambda: L.MaxPooling2D(2, padding=2)(PICTURES), ShapeError,
        ["[max_pooling2d] a window holds nothing but padding"],
    ),
    "channels not divisible by groups": (
        lambda: L.Conv2D(4, 3, groups=2)(PICTURES), ShapeError,
        ["[conv2d] channels do not divide into the groups: got 3 channels, groups=2"],
    ),
    "filters not divisible by groups": (
        lambda: L.Conv2D(4, 3, groups=3), ArgumentError,
        ["[conv2d] filters do not divide into the groups: got 4 filters, groups=3"],
    ),
    "channels not divisible by groups of a normalisation": (
        lambda: L.GroupNormalization(2)(PICTURES), ShapeError,
        ["[group_normalization] channels do not divide", "got 3 channels, groups=2"],
    ),
    "pictures without channels": (
        lambda: L.Conv2D(4, 3)(PICTURES[..., 0]), ShapeError,
        ["[conv2d] wrong input shape: got (batch, 8, 8), expected (batch, height, width, channels)",
         "x[..., None]"],
    ),
    "flat rows": (
        lambda: L.MaxPooling2D()(np.ones((4, 10))), ShapeError,
        ["[max_pooling2d] wrong input shape: got (4, 10)", "2 spatial axes"],
    ),
    "a sequence for a picture": (
        lambda: L.Conv1D(4, 3)(PICTURES), ShapeError, ["expected (batch, steps, channels)"],
    ),
    "other channels": (
        lambda: _built(L.Conv2D(4, 3))(np.ones((2, 8, 8, 5))), ShapeError,
        ["got (2, 8, 8, 5), expected (batch, height, width, 3)", "inputs of 3 channels"],
    ),
    "channels first": (
        lambda: _built(L.Conv2D(4, 3))(np.ones((2, 3, 8, 8))), ShapeError,
        ["expected (batch, height, width, 3)", "np.moveaxis(x, 1, -1)"],
    ),
    "transposed with other channels": (
        lambda: _built(L.Conv2DTranspose(4, 3))(np.ones((2, 8, 8, 5))), ShapeError,
        ["[conv2d_transpose] wrong input shape"],
    ),
    "nothing left of a transposed one": (
        lambda: L.Conv2DTranspose(4, 1, padding=4)(PICTURES), ShapeError,
        ["[conv2d_transpose] nothing is left"],
    ),
    "output padding": (
        lambda: L.Conv2DTranspose(4, 3, 2, output_padding=2)(PICTURES), ArgumentError,
        ["[conv2d_transpose] output_padding out of range"],
    ),
    "everything cut off": (
        lambda: L.Cropping2D(4)(PICTURES), ShapeError,
        ["[cropping2d] wrong input shape", "a height of more than 8"],
    ),
    "too many channels for zeros": (
        lambda: L.ResidualBlock(2, shortcut="zeros")(PICTURES), ShapeError,
        ["[residual_block] wrong input shape", "at most 2 channels", "projection"],
    ),
    "kernel size": (
        lambda: L.Conv2D(4, 0), ArgumentError, ["[conv2d] kernel_size out of range: got 0"],
    ),
    "kernel size a fraction": (lambda: L.Conv2D(4, 2.5), ArgumentError, ["got 2.5"]),
    "three kernel sizes": (
        lambda: L.Conv2D(4, (3, 3, 3)), ShapeError, ["wrong number of kernel_size", "2 for 2"],
    ),
    "filters": (lambda: L.Conv2D(0, 3), ArgumentError, ["[conv2d] bad filters: got 0"]),
    "strides": (lambda: L.Conv2D(4, 3, 0), ArgumentError, ["[conv2d] strides out of range"]),
    "padding word": (
        lambda: L.Conv2D(4, 3, padding="sme"), UnknownNameError,
        ["[conv2d] unknown padding: got 'sme'", "did you mean 'same'?"],
    ),
    "causal pictures": (
        lambda: L.Conv2D(4, 3, padding="causal"), UnknownNameError, ["unknown padding"],
    ),
    "negative padding": (lambda: L.Conv2D(4, 3, padding=-1), ArgumentError, ["padding"]),
    "padding for three axes": (
        lambda: L.ZeroPadding2D((1, 1, 1)), ShapeError, ["[zero_padding2d] wrong number"],
    ),
    "interpolation": (
        lambda: L.UpSampling2D(2, "cubic"), UnknownNameError, ["unknown interpolation"],
    ),
    "shortcut": (
        lambda: L.ResidualBlock(4, shortcut="identity"), UnknownNameError, ["unknown shortcut"],
    ),
    "two penalties": (
        lambda: L.Conv2D(4, 3, l2=0.1, kernel_regularizer="l1"), ArgumentError, ["two penalties"],
    ),
    "groups": (lambda: L.GroupNormalization(0), ArgumentError, ["bad groups: got 0"]),
    "argument of another layer": (
        lambda: L.DepthwiseConv2D(3, groups=2), UnknownNameError,
        ["[depthwise_conv2d] unknown argument: got 'groups'"],
    ),
}  # fmt: skip


def _built(layer: cr.Layer) -> cr.Layer:
    layer(PICTURES)
    return layer


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case: str) -> None:
    make, error, texts = BAD[case]
    with pytest.raises(error) as caught:
        make()
    for text in texts:
        assert text in str(caught.value)


def test_a_layer_that_could_not_be_built_can_be_used_with_better_input() -> None:
    layer = L.Conv2D(4, 3, groups=2)
    with pytest.raises(ShapeError, match="groups"):
        layer(PICTURES)
    assert layer(PICTURES[..., :2]).shape == (2, 6, 6, 4)
