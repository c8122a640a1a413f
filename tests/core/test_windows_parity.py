"""Convolutions, pools and resizing against PyTorch in float64: values and gradients."""

import itertools

import numpy as np
import pytest

import chainrule as cr

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

SPATIAL = {1: (9,), 2: (7, 6), 3: (5, 4, 6)}
RANKS = pytest.mark.parametrize("rank", [1, 2, 3])
CONVOLVE = {1: torch.conv1d, 2: torch.conv2d, 3: torch.conv3d}
TRANSPOSE = {rank: getattr(torch.nn.functional, f"conv_transpose{rank}d") for rank in (1, 2, 3)}
MAX_POOL = {rank: getattr(torch.nn.functional, f"max_pool{rank}d") for rank in (1, 2, 3)}
AVERAGE_POOL = {rank: getattr(torch.nn.functional, f"avg_pool{rank}d") for rank in (1, 2, 3)}


def channels_first(x):
    return np.moveaxis(x, -1, 1)


def compare(ours, theirs, inputs, to_torch, case):
    """Values, and gradients of a random sum of them, of one function written twice."""
    tensors = [
        torch.tensor(np.ascontiguousarray(move(x)), requires_grad=True)
        for x, move in zip(inputs, to_torch, strict=True)
    ]
    expected = theirs(*tensors)
    found, pullback = cr.vjp(ours, *inputs)
    np.testing.assert_allclose(
        channels_first(found.numpy()), expected.detach().numpy(), rtol=1e-9, atol=1e-11,
        err_msg=str(case),
    )  # fmt: skip
    flow = np.random.default_rng(9).normal(size=found.shape)
    expected.backward(torch.tensor(channels_first(flow).copy()))
    for gradient, tensor, move in zip(pullback(flow), tensors, to_torch, strict=True):
        np.testing.assert_allclose(
            move(gradient.numpy()), tensor.grad.numpy(), rtol=1e-9, atol=1e-11, err_msg=str(case)
        )


def kernel_first(kernel):
    """(*K, C // groups, F) -> (F, C // groups, *K); also (*K, F, C) -> (C, F, *K)."""
    return np.moveaxis(kernel, (-1, -2), (0, 1))


@RANKS
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_convolution(rank, groups):
    generator = np.random.default_rng(rank)
    x = generator.normal(size=(2, *SPATIAL[rank], 4))
    for taps, stride, padding, dilation in itertools.product((1, 2, 3), (1, 2), (0, 1, 2), (1, 2)):
        if (taps - 1) * dilation >= min(SPATIAL[rank]) + 2 * padding:
            continue
        kernel = generator.normal(size=(*(taps,) * rank, 4 // groups, 8))
        options = {"dilation": dilation, "groups": groups}
        compare(
            lambda v, k, o=options, s=stride, p=padding: cr.convolution(v, k, s, p, **o),
            lambda v, k, o=options, s=stride, p=padding: CONVOLVE[rank](
                v, k, None, s, p, **o
            ),
            (x, kernel), (channels_first, kernel_first), (taps, stride, padding, options),
        )  # fmt: skip


def test_same_as_pytorch_has_it_for_stride_one():
    x = np.random.default_rng(0).normal(size=(2, 7, 6, 4))
    for window, dilation in itertools.product([(1, 3), (3, 3), (5, 1)], (1, 2)):
        kernel = np.random.default_rng(1).normal(size=(*window, 4, 3))
        compare(
            lambda v, k, d=dilation: cr.convolution(v, k, 1, "same", d),
            lambda v, k, d=dilation: torch.conv2d(v, k, None, 1, "same", d),
            (x, kernel), (channels_first, kernel_first), (window, dilation),
        )  # fmt: skip


@RANKS
def test_convolution_transpose(rank):
    generator = np.random.default_rng(rank)
    x = generator.normal(size=(2, *SPATIAL[rank], 3))
    for taps, stride, padding, extra, dilation in itertools.product(
        (1, 2, 3), (1, 2, 3), (0, 1), (0, 1, 2), (1, 2)
    ):
        if extra >= stride or (taps == 1 and padding):
            continue
        kernel = generator.normal(size=(*(taps,) * rank, 2, 3))
        compare(
            lambda v, k, s=stride, p=padding, e=extra, d=dilation: cr.convolution_transpose(
                v, k, s, p, e, d
            ),
            lambda v, k, s=stride, p=padding, e=extra, d=dilation: TRANSPOSE[rank](
                v, k, None, s, p, e, 1, d
            ),
            (x, kernel), (channels_first, kernel_first), (taps, stride, padding, extra, dilation),
        )  # fmt: skip


@RANKS
def test_max_pool(rank):
    x = np.random.default_rng(rank).normal(size=(2, *SPATIAL[rank], 3))
    for window, stride in itertools.product((1, 2, 3), (None, 1, 2, 3)):
        for padding in range(window // 2 + 1):
            compare(
                lambda v, w=window, s=stride, p=padding: cr.max_pool(v, w, s, p),
                lambda v, w=window, s=stride, p=padding: MAX_POOL[rank](v, w, s, p),
                (x,), (channels_first,), (window, stride, padding),
            )  # fmt: skip


@RANKS
@pytest.mark.parametrize("count_padding", [False, True])
def test_average_pool(rank, count_padding):
    x = np.random.default_rng(rank).normal(size=(2, *SPATIAL[rank], 3))
    for window, stride in itertools.product((1, 2, 3), (None, 1, 2, 3)):
        for padding in range(window // 2 + 1):
            compare(
                lambda v, w=window, s=stride, p=padding: cr.average_pool(
                    v, w, s, p, count_padding
                ),
                lambda v, w=window, s=stride, p=padding: AVERAGE_POOL[rank](
                    v, w, s, p, count_include_pad=count_padding
                ),
                (x,), (channels_first,), (window, stride, padding),
            )  # fmt: skip


@RANKS
@pytest.mark.parametrize("method", ["nearest", "bilinear"])
def test_resize(rank, method):
    linear = {1: "linear", 2: "bilinear", 3: "trilinear"}[rank]
    mode = "nearest-exact" if method == "nearest" else linear
    x = np.random.default_rng(rank).normal(size=(2, *SPATIAL[rank], 3))
    for change in (1, 2, 3, 0.5, 0.7, 1.6):
        size = tuple(max(int(n * change), 1) for n in SPATIAL[rank])
        compare(
            lambda v, s=size: cr.resize(v, s, method),
            lambda v, s=size: torch.nn.functional.interpolate(v, s, mode=mode),
            (x,), (channels_first,), size,
        )  # fmt: skip


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (7, 5), (4, 9), (20, 12), (2, 6)])
def test_resize_without_aliases(size):
    x = np.random.default_rng(0).normal(size=(2, 7, 6, 3))
    compare(
        lambda v: cr.resize(v, size, "bilinear", antialias=True),
        lambda v: torch.nn.functional.interpolate(v, size, mode="bilinear", antialias=True),
        (x,), (channels_first,), size,
    )  # fmt: skip


@pytest.mark.parametrize("groups", [1, 2])
def test_second_derivatives(groups):
    """The gradient of the squared gradient, by both inputs."""
    x = np.random.default_rng(0).normal(size=(2, 6, 5, 4))
    kernel = np.random.default_rng(1).normal(size=(3, 2, 4 // groups, 2))

    def ours(v, k):
        first = cr.grad(
            lambda a, b: (cr.convolution(a, b, 2, 1, groups=groups) ** 3).sum(), (0, 1)
        )(v, k)
        return (first[0] ** 2).sum() + (first[1] ** 2).sum()

    found = cr.grad(ours, (0, 1))(x, kernel)
    v = torch.tensor(channels_first(x).copy(), requires_grad=True)
    k = torch.tensor(kernel_first(kernel).copy(), requires_grad=True)
    value = (torch.conv2d(v, k, None, 2, 1, groups=groups) ** 3).sum()
    first = torch.autograd.grad(value, (v, k), create_graph=True)
    second = torch.autograd.grad((first[0] ** 2).sum() + (first[1] ** 2).sum(), (v, k))
    for a, b, move in zip(found, second, (channels_first, kernel_first), strict=True):
        np.testing.assert_allclose(move(a.numpy()), b.numpy(), rtol=1e-9, atol=1e-9)
