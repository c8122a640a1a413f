"""The layers over sequences, pictures and volumes against PyTorch in float64, weights copied."""

from typing import Any

import numpy as np
import pytest

import chainrule as cr

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

L = cr.layers
RNG = np.random.default_rng(17)
RANKS = pytest.mark.parametrize("rank", [1, 2, 3])
TRAINING = pytest.mark.parametrize("training", [False, True])
DOUBLE: dict[str, Any] = {"dtype": torch.float64}


def channels_first(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(x, -1, 1))


def kernel_first(kernel: np.ndarray) -> np.ndarray:
    """(*K, C // groups, F) -> (F, C // groups, *K); also (*K, F, C) -> (C, F, *K)."""
    return np.ascontiguousarray(np.moveaxis(kernel, (-1, -2), (0, 1)))


def module(kind: str, rank: int, *args: Any, **options: Any) -> Any:
    return getattr(torch.nn, f"{kind}{rank}d")(*args, **options)


def layer(kind: str, rank: int, *args: Any, **options: Any) -> cr.Layer:
    made: cr.Layer = getattr(L, f"{kind}{rank}D")(*args, dtype="float64", **options)
    return made


def pictures(rank: int, channels: int) -> np.ndarray:
    return RNG.standard_normal((2, *(7, 6, 5)[:rank], channels))


def compare(ours: cr.Layer, theirs: Any, x: np.ndarray, training: bool = True) -> None:
    """Output and gradients of a random sum of it, for the input and every weight.

    The layer's weights go to the module, which has the same ones in the same order.
    """
    inputs = cr.tensor(x)
    ours.ensure_built(x.shape)
    for variable in ours.trainable_variables:
        variable.assign(RNG.standard_normal(variable.shape))
    weights = list(theirs.parameters())
    with torch.no_grad():
        for weight, variable in zip(weights, ours.trainable_variables, strict=True):
            weight.copy_(torch.tensor(_as_weight(variable.numpy())))
    with cr.GradientTape() as tape:
        tape.watch(inputs)
        output = ours(inputs, training=training)
        flow = RNG.standard_normal(output.shape)
        total = (output * flow).sum()
    found = [g.numpy() for g in tape.gradient(total, [inputs, *ours.trainable_variables])]
    theirs.train(training)
    torch_inputs = torch.tensor(channels_first(x), requires_grad=True)
    expected = theirs(torch_inputs)
    _close(channels_first(output.numpy()), expected.detach().numpy())
    expected.backward(torch.tensor(channels_first(flow)))
    _close(channels_first(found[0]), torch_inputs.grad.numpy())
    for gradient, weight in zip(found[1:], weights, strict=True):
        _close(_as_weight(gradient), weight.grad.numpy())


def _as_weight(value: np.ndarray) -> np.ndarray:
    return value if value.ndim < 2 else kernel_first(value)


def _close(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)


# ---- convolutions


@RANKS
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("taps", "stride", "padding", "dilation"),
    [(3, 1, 0, 1), (3, 2, 1, 1), (2, 1, 2, 2), (1, 1, 0, 1), (1, 2, 0, 1), (3, 1, "same", 1)],
)
def test_convolution(
    rank: int, groups: int, bias: bool, taps: int, stride: int, padding: Any, dilation: int
) -> None:
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    compare(
        layer("Conv", rank, 6, taps, bias=bias, **options),
        module("Conv", rank, 4, 6, taps, bias=bias, **options, **DOUBLE),
        pictures(rank, 4),
    )


@pytest.mark.parametrize(
    ("name", "options"),
    [("Conv1d", {}), ("Conv2d", {"padding": (1, 0), "stride": (2, 1)}), ("Conv3d", {"groups": 2})],
)
def test_convolution_by_the_arguments_of_pytorch(name: str, options: dict[str, Any]) -> None:
    compare(
        getattr(L, name)(4, 6, 3, **options, dtype="float64"),
        getattr(torch.nn, name)(4, 6, 3, **options, **DOUBLE),
        pictures(int(name[-2]), 4),
    )


@pytest.mark.parametrize(
    ("taps", "stride", "padding", "extra", "dilation"),
    [(3, 1, 0, 0, 1), (3, 2, 1, 1, 1), (2, 2, 0, 0, 1), (3, 2, 2, 0, 2), (1, 3, 0, 2, 1)],
)
def test_transpose(taps: int, stride: int, padding: int, extra: int, dilation: int) -> None:
    # Explicit padding cuts off as much in both libraries.
    ours = L.Conv2DTranspose(
        3, taps, stride, padding, output_padding=extra, dilation=dilation, dtype="float64"
    )
    theirs = torch.nn.ConvTranspose2d(
        4, 3, taps, stride, padding, extra, dilation=dilation, **DOUBLE
    )
    compare(ours, theirs, pictures(2, 4))


@pytest.mark.parametrize("multiplier", [1, 3])
@pytest.mark.parametrize(("stride", "padding", "dilation"), [(1, 0, 1), (2, 1, 1), (1, 2, 2)])
def test_depthwise(multiplier: int, stride: int, padding: int, dilation: int) -> None:
    options = {"stride": stride, "padding": padding, "dilation": dilation}
    compare(
        L.DepthwiseConv2D(3, depth_multiplier=multiplier, dtype="float64", **options),
        torch.nn.Conv2d(4, 4 * multiplier, 3, groups=4, **options, **DOUBLE),
        pictures(2, 4),
    )


@pytest.mark.parametrize("multiplier", [1, 2])
def test_separable(multiplier: int) -> None:
    ours = L.SeparableConv2D(5, 3, 2, 1, depth_multiplier=multiplier, dtype="float64")
    depthwise = torch.nn.Conv2d(4, 4 * multiplier, 3, 2, 1, groups=4, bias=False, **DOUBLE)
    compare(
        ours,
        torch.nn.Sequential(depthwise, torch.nn.Conv2d(4 * multiplier, 5, 1, **DOUBLE)),
        pictures(2, 4),
    )


def test_causal_sees_nothing_later() -> None:
    ours = L.Conv1D(3, 3, padding="causal", dilation=2, dtype="float64")
    pad = torch.nn.ConstantPad1d((4, 0), 0.0)
    compare(ours, torch.nn.Sequential(pad, torch.nn.Conv1d(4, 3, 3, dilation=2, **DOUBLE)),
            pictures(1, 4))  # fmt: skip


# ---- pools


@RANKS
@pytest.mark.parametrize(("window", "stride", "padding"), [(2, None, 0), (3, 2, 1), (3, 1, 1)])
def test_pooling(rank: int, window: int, stride: int | None, padding: int) -> None:
    x = pictures(rank, 3)
    compare(
        layer("MaxPooling", rank, window, stride, padding),
        module("MaxPool", rank, window, stride, padding),
        x,
    )
    compare(
        layer("AveragePooling", rank, window, stride, padding),
        module("AvgPool", rank, window, stride, padding, count_include_pad=False),
        x,
    )


@RANKS
def test_global_pooling(rank: int) -> None:
    x = pictures(rank, 3)
    for ours, theirs in [("GlobalMaxPooling", "AdaptiveMaxPool"),
                         ("GlobalAveragePooling", "AdaptiveAvgPool")]:  # fmt: skip
        compare(layer(ours, rank, keepdims=True), module(theirs, rank, 1), x)
        flat = torch.nn.Sequential(module(theirs, rank, 1), torch.nn.Flatten())
        compare(layer(ours, rank), flat, x)


# ---- sizes


def test_padding_and_cropping() -> None:
    x = pictures(2, 3)
    compare(L.ZeroPadding2D(((1, 2), (3, 0)), dtype="float64"), torch.nn.ZeroPad2d((3, 0, 1, 2)), x)
    compare(L.Cropping2D(((1, 2), (2, 0)), dtype="float64"), torch.nn.ZeroPad2d((-2, 0, -1, -2)), x)


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_up_sampling(mode: str) -> None:
    options = {"align_corners": False} if mode == "bilinear" else {}
    compare(
        L.UpSampling2D((2, 3), mode, dtype="float64"),
        torch.nn.Upsample(scale_factor=(2, 3), mode=mode, **options),
        pictures(2, 3),
    )


# ---- normalisation


@RANKS
@pytest.mark.parametrize(("groups", "given"), [(1, 1), (2, 2), (6, 6), (6, -1)])
def test_group_normalization(rank: int, groups: int, given: int) -> None:
    compare(
        L.GroupNormalization(given, eps=1e-5, dtype="float64"),
        torch.nn.GroupNorm(groups, 6, eps=1e-5, **DOUBLE),
        pictures(rank, 6),
    )


@RANKS
@TRAINING
def test_batch_normalization(rank: int, training: bool) -> None:
    ours = L.BatchNormalization(momentum=0.9, eps=1e-5, dtype="float64")
    theirs = module("BatchNorm", rank, 3, eps=1e-5, momentum=0.1, **DOUBLE)
    for _ in range(3):
        x = pictures(rank, 3)
        theirs.zero_grad()
        compare(ours, theirs, x, training)
    _close(ours.moving_mean.numpy(), theirs.running_mean.numpy())
    # PyTorch's running variance has the factor n / (n - 1): both start at 1, so compare the parts.
    count, start = x[..., 0].size, 0.9**3 if training else 1.0
    found = (ours.moving_variance.numpy() - start) * count / (count - 1)
    np.testing.assert_allclose(found, theirs.running_var.numpy() - start, rtol=1e-9, atol=1e-13)


# ---- residual blocks


class Residual(torch.nn.Module):
    """The block of the paper, with option B where the shape changes."""

    def __init__(self, channels: int, filters: int, stride: int, shortcut: str) -> None:
        super().__init__()
        conv = torch.nn.Conv2d
        norm = torch.nn.BatchNorm2d
        self.conv1 = conv(channels, filters, 3, stride, 1, bias=False, **DOUBLE)
        self.norm1 = norm(filters, eps=1e-3, **DOUBLE)
        self.conv2 = conv(filters, filters, 3, 1, 1, bias=False, **DOUBLE)
        self.norm2 = norm(filters, eps=1e-3, **DOUBLE)
        self.stride, self.more, self.projects = stride, filters - channels, False
        if shortcut == "projection" and (stride, self.more) != (1, 0):
            self.projects = True
            self.down = conv(channels, filters, 1, stride, bias=False, **DOUBLE)
            self.down_norm = norm(filters, eps=1e-3, **DOUBLE)

    def forward(self, x: Any) -> Any:
        y = self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x)))))
        if self.projects:
            x = self.down_norm(self.down(x))
        else:
            x = x[:, :, :: self.stride, :: self.stride]
            x = torch.nn.functional.pad(x, (0, 0, 0, 0, 0, self.more))
        return torch.relu(y + x)


@TRAINING
@pytest.mark.parametrize(
    ("filters", "stride", "shortcut"),
    [(3, 1, "projection"), (5, 1, "projection"), (5, 1, "zeros"), (3, 1, "zeros")],
)
def test_residual_block(filters: int, stride: int, shortcut: str, training: bool) -> None:
    ours = L.ResidualBlock(filters, stride, shortcut=shortcut, dtype="float64")
    compare(ours, Residual(3, filters, stride, shortcut), pictures(2, 3), training)


@pytest.mark.parametrize("shortcut", ["projection", "zeros"])
def test_residual_block_with_strides(shortcut: str) -> None:
    # Over an odd length "same" pads one zero on each side, as PyTorch's padding=1 does.
    x = RNG.standard_normal((2, 7, 5, 3))
    ours = L.ResidualBlock(5, 2, shortcut=shortcut, dtype="float64")
    compare(ours, Residual(3, 5, 2, shortcut), x)
