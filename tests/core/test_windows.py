"""Convolutions, pools and resizing: derivatives, the definition, edges, and what is refused."""

import itertools
from functools import partial

import numpy as np
import pytest

import chainrule as cr
from chainrule.backends.reference import windows as kernels
from chainrule.errors import ArgumentError, ChainruleError, ShapeError, UnknownNameError
from chainrule.graph import operations as ops
from chainrule.graph.windows import output_lengths
from chainrule.tensor.windows import padding_widths
from chainrule.testing import check_gradients

SPATIAL = {1: (7,), 2: (6, 5), 3: (4, 3, 5)}
WINDOWS = {1: [(1,), (2,), (3,)], 2: [(1, 1), (2, 3), (3, 3)], 3: [(1, 1, 1), (2, 1, 3)]}
PADDINGS = [(0, 0), (1, 1), (0, 2), (3, 1)]
# rank, window, stride, padding of each axis, dilation, groups
GRID = [
    case
    for rank in (1, 2, 3)
    for case in itertools.product(
        [rank], WINDOWS[rank], (1, 2, 3), PADDINGS, (1, 2), (1, 2) if rank == 3 else (1, 2, 4)
    )
    if all(
        (k - 1) * case[4] < n + sum(case[3]) for k, n in zip(case[1], SPATIAL[rank], strict=True)
    )
]
# Pools do not have groups; in a maximum no window may hold padding alone.
POOLS = [case[:5] for case in GRID if case[5] == 1]
MAXIMA = [
    case
    for case in POOLS
    if all(
        max(case[3]) <= (k - 1) * case[4] and not (case[4] == 2 and n < 4)
        for k, n in zip(case[1], SPATIAL[case[0]], strict=True)
    )
]


def in_parts(cases, parts):
    """The cases in a few lists, so that a run is not mostly the start of tests."""
    return [pytest.param(cases[i::parts], id=f"part{i}") for i in range(parts)]


def moves_of(rank, stride, padding, dilation):
    return {
        "strides": (stride,) * rank,
        "padding": (padding,) * rank,
        "dilation": (dilation,) * rank,
    }


def distinct(generator, *shape):
    """Numbers far enough apart that a step of differences changes no order."""
    count = int(np.prod(shape))
    return generator.permutation((np.arange(count) - count // 2) * 0.5).reshape(shape)


def definition(x, kernel, strides, padding, dilation, groups):
    """Every product of the sum by itself."""
    window, filters = kernel.shape[:-2], kernel.shape[-1]
    lengths = [
        (n + low + high - (k - 1) * d - 1) // s + 1
        for n, k, s, (low, high), d in zip(
            x.shape[1:-1], window, strides, padding, dilation, strict=True
        )
    ]
    y = np.zeros((len(x), *lengths, filters))
    of_group = x.shape[-1] // groups
    for place in np.ndindex(*lengths):
        for tap in np.ndindex(*window):
            at = [
                o * s - low + k * d
                for o, s, (low, _), k, d in zip(place, strides, padding, tap, dilation, strict=True)
            ]
            if any(not 0 <= a < n for a, n in zip(at, x.shape[1:-1], strict=True)):
                continue
            for f in range(filters):
                first = f // (filters // groups) * of_group
                seen = x[(slice(None), *at, slice(first, first + of_group))]
                y[(slice(None), *place, f)] += seen @ kernel[(*tap, slice(None), f)]
    return y


def drawn(case):
    rank, window, stride, padding, dilation, groups = case
    generator = np.random.default_rng(hash(case) % 2**32)
    x = generator.normal(size=(2, *SPATIAL[rank], 4))
    kernel = generator.normal(size=(*window, 4 // groups, 4))
    return x, kernel, {**moves_of(rank, stride, padding, dilation), "groups": groups}


@pytest.mark.parametrize("cases", in_parts(GRID, 8))
def test_convolutions_have_their_derivatives(cases):
    for case in cases:
        x, kernel, attributes = drawn(case)
        try:
            check_gradients(partial(ops.convolution, **attributes), x, kernel, order=2)
        except ChainruleError as error:
            raise AssertionError(f"{case}: {error}") from error


@pytest.mark.parametrize("cases", in_parts(GRID, 4))
def test_convolutions_are_what_they_are_defined_as(cases):
    for case in cases:
        x, kernel, attributes = drawn(case)
        expected = definition(x, kernel, **attributes)
        found = ops.convolution(cr.tensor(x), cr.tensor(kernel), **attributes)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12, err_msg=str(case))
        # Both gradients are adjoints: <y, dy> = <x, dx> = <kernel, dkernel>.
        dy = np.random.default_rng(1).normal(size=expected.shape)
        flow, (dx, dkernel) = (
            (expected * dy).sum(),
            cr.vjp(partial(ops.convolution, **attributes), x, kernel)[1](dy),
        )
        assert (x * dx.numpy()).sum() == pytest.approx(flow, rel=1e-11), case
        assert (kernel * dkernel.numpy()).sum() == pytest.approx(flow, rel=1e-11), case


@pytest.mark.parametrize("cases", in_parts(POOLS, 2))
def test_sums_have_their_derivatives(cases):
    for rank, window, stride, padding, dilation in cases:
        x = np.random.default_rng(0).normal(size=(2, *SPATIAL[rank], 2))
        moves = moves_of(rank, stride, padding, dilation)
        check_gradients(partial(ops.window_sum, window=window, **moves), x, order=2)


@pytest.mark.parametrize("cases", in_parts(MAXIMA, 2))
def test_maxima_have_their_derivatives(cases):
    for rank, window, stride, padding, dilation in cases:
        generator = np.random.default_rng(0)
        moves = moves_of(rank, stride, padding, dilation)
        pool = partial(ops.window_max, window=window, **moves)
        x = distinct(generator, 2, *SPATIAL[rank], 2)
        # Squared, so that there is a second derivative.
        check_gradients(lambda v, p=pool: p(v) * p(v), x, order=2)
        lengths = output_lengths("test", SPATIAL[rank], window, **moves)
        padded = np.pad(x, ((0, 0), *[padding] * rank, (0, 0)), constant_values=-np.inf)
        for place in np.ndindex(*lengths):
            seen = tuple(
                slice(o * stride, o * stride + (k - 1) * dilation + 1, dilation)
                for o, k in zip(place, window, strict=True)
            )
            best = padded[(slice(None), *seen)].max(axis=tuple(range(1, rank + 1)))
            np.testing.assert_array_equal(pool(cr.tensor(x)).numpy()[(slice(None), *place)], best)


def test_there_are_many_cases():
    assert len(GRID) > 500
    assert len(POOLS) > 180
    assert len(MAXIMA) > 40


@pytest.mark.parametrize("padding", ["valid", "same", 1, ((2, 0), (0, 1))])
@pytest.mark.parametrize("strides", [1, 2, (3, 1)])
@pytest.mark.parametrize("dilation", [1, 2])
def test_transposed_convolutions_have_their_derivatives(padding, strides, dilation):
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 3))
    kernel = np.random.default_rng(1).normal(size=(3, 2, 2, 3))
    transposed = partial(
        cr.convolution_transpose, strides=strides, padding=padding, dilation=dilation
    )
    check_gradients(transposed, x, kernel, order=2)


@pytest.mark.parametrize("size", [1, 2, (3, 4), (6, 8), (7, 5), (12, 12)])
@pytest.mark.parametrize("method", ["nearest", "bilinear", "antialias"])
def test_resizing_has_its_derivative(size, method):
    options = (
        {"method": "bilinear", "antialias": True} if method == "antialias" else {"method": method}
    )
    x = np.random.default_rng(0).normal(size=(2, 6, 4, 2))
    check_gradients(lambda v: cr.resize(v * v, size, **options), x, order=2)


def test_third_order():
    x, kernel, attributes = drawn((2, (2, 3), 2, (0, 2), 1, 2))
    check_gradients(lambda v, k: ops.convolution(v * v, k * k, **attributes), x, kernel, order=3)


def test_many_examples_are_taken_a_few_at_a_time(monkeypatch):
    x, kernel, attributes = drawn((2, (3, 3), 1, (1, 1), 1, 2))
    x = np.concatenate([x] * 5)
    y = kernels.convolution(x, kernel, **attributes)
    dkernel = kernels.convolution_kernel_gradient(x, y, window=(3, 3), **attributes)
    monkeypatch.setattr(kernels, "_AT_ONCE", 3000)
    np.testing.assert_allclose(kernels.convolution(x, kernel, **attributes), y, rtol=1e-13)
    again = kernels.convolution_kernel_gradient(x, y, window=(3, 3), **attributes)
    np.testing.assert_allclose(again, dkernel, rtol=1e-12)


# ---- edges


def test_the_first_of_equals_gets_the_gradient():
    x = [[[1.0], [3.0], [3.0], [2.0]]]
    gradient = cr.grad(lambda v: cr.max_pool(v, 4).sum())(x)
    assert gradient[0, :, 0].tolist() == [0.0, 1.0, 0.0, 0.0]
    overlapping = cr.grad(lambda v: cr.max_pool(v, 2, 1).sum())(x)
    assert overlapping[0, :, 0].tolist() == [0.0, 2.0, 1.0, 0.0]


def test_padding_is_never_the_largest():
    x = np.full((1, 3, 3, 1), -np.inf)
    assert np.isneginf(cr.max_pool(x, 3, 1, "same").numpy()).all()
    gradient = cr.grad(lambda v: cr.max_pool(v, 3, 1, "same").sum())(x)
    assert gradient[0, :, :, 0].tolist() == [[4.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    assert (cr.max_pool(-np.ones((1, 3, 1)), 3, 1, "same").numpy() == -1).all()


def test_a_nan_is_the_largest():
    x = np.array([[[1.0], [np.nan], [2.0], [3.0]]])
    assert np.isnan(cr.max_pool(x, 2).numpy()[0, :, 0]).tolist() == [True, False]
    gradient = cr.grad(lambda v: cr.max_pool(v, 2).sum())(x)
    assert gradient[0, :, 0].tolist() == [0.0, 1.0, 0.0, 1.0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_results_keep_the_dtype(dtype):
    x, kernel = np.ones((1, 4, 4, 2), dtype), np.ones((2, 2, 2, 3), dtype)
    results = [
        cr.convolution(x, kernel), cr.convolution_transpose(x, np.ones((2, 2, 3, 2), dtype)),
        cr.max_pool(x, 2), cr.average_pool(x, 2, padding="same"), cr.resize(x, 3, "bilinear"),
        cr.grad(lambda v: cr.max_pool(v, 2).sum())(cr.tensor(x)),
        cr.grad(lambda v: cr.convolution(x, v).sum())(cr.tensor(kernel)),
    ]  # fmt: skip
    assert {str(result.dtype) for result in results} == {dtype}
    assert cr.resize(np.ones((1, 2, 2, 1), "uint8"), 3).dtype == "uint8"
    assert cr.convolution(np.ones((1, 3, 1), "uint8"), np.ones((2, 1, 1), dtype)).dtype == dtype
    assert cr.max_pool(np.ones((1, 4, 1), "uint8"), 2).dtype == "float32"


def test_no_examples():
    x, kernel = np.zeros((0, 5, 5, 2)), np.ones((3, 3, 2, 4))
    assert cr.convolution(x, kernel).shape == (0, 3, 3, 4)
    assert cr.grad(lambda k: cr.convolution(x, k).sum())(kernel).shape == kernel.shape
    assert cr.grad(lambda v: cr.max_pool(v, 2).sum())(x).shape == x.shape
    assert cr.average_pool(x, 2).shape == (0, 2, 2, 2)
    pool = partial(cr.max_pool, window=2)
    assert cr.jvp(pool, (cr.tensor(x),), (cr.tensor(x),))[1].shape == (0, 2, 2, 2)
    assert cr.resize(x, (3, 10), "bilinear").shape == (0, 3, 10, 2)


def test_traced_equals_eager():
    x, kernel, attributes = drawn((2, (3, 3), 2, (1, 1), 1, 1))

    def function(v, k):
        y = cr.relu(ops.convolution(v, k, **attributes))
        return cr.average_pool(cr.max_pool(y, 2, 1, "same"), 3, 2, "same").sum()

    with cr.settings(backend="reference"):
        value, gradients = cr.jit(cr.value_and_grad(function, (0, 1)))(x, kernel)
    expected, wanted = cr.value_and_grad(function, (0, 1))(x, kernel)
    assert value.item() == pytest.approx(expected.item(), rel=1e-13)
    for a, b in zip(gradients, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


# ---- "same", "causal"


@pytest.mark.parametrize("length", range(1, 12))
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
@pytest.mark.parametrize("span", [1, 2, 3, 4, 5, 7])
def test_same_is_keras_rule(length, stride, span):
    ((low, high),) = padding_widths("test", "same", (length,), (span,), (stride,), (1,))
    # The rule as TensorFlow's documentation has it.
    along = max(span - (length % stride or stride), 0)
    assert (low, high) == (along // 2, along - along // 2)
    places = output_lengths("test", (length,), (span,), (stride,), ((low, high),), (1,))
    assert places == (-(-length // stride),)


def test_same_with_an_even_rest_at_the_end():
    x = cr.reshape(cr.arange(1, 7, dtype="float64"), (1, 6, 1))
    kernel = np.array([1.0, 10.0, 100.0]).reshape(3, 1, 1)
    found = cr.convolution(x, kernel, strides=2, padding="same")[0, :, 0]
    assert found.tolist() == [321.0, 543.0, 65.0]
    even = cr.convolution(x[:, :5], kernel[:2], padding="same")[0, :, 0]
    assert even.tolist() == [21.0, 32.0, 43.0, 54.0, 5.0]


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("taps", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_transposed_same_undoes_same(count, taps, stride):
    generator = np.random.default_rng(0)
    dy, kernel = generator.normal(size=(1, count, 2)), generator.normal(size=(taps, 3, 2))
    x = np.zeros((1, count * stride, 3))
    pullback = cr.vjp(lambda v: cr.convolution(v, kernel, stride, "same"), x)[1]
    found = cr.convolution_transpose(dy, kernel, stride, "same")
    np.testing.assert_allclose(found, pullback(dy)[0], rtol=1e-13, atol=1e-13)


# What keras.ops.conv_transpose (3.15 on TensorFlow) made of [1, 10, 100] with kernel [1, 2, ...].
TRANSPOSED = [
    (3, 2, "valid", None, [1, 2, 13, 20, 130, 200, 300]),
    (1, 3, "valid", None, [1, 0, 0, 10, 0, 0, 100, 0, 0]),
    (1, 3, "same", 2, [1, 0, 0, 10, 0, 0, 100, 0, 0]),
    (1, 3, "valid", 1, [1, 0, 0, 10, 0, 0, 100, 0]),
    (3, 2, "same", None, [1, 2, 13, 20, 130, 200]),
    (3, 2, "same", 0, [2, 13, 20, 130, 200]),
    (3, 2, "same", 1, [1, 2, 13, 20, 130, 200]),
    (2, 2, "same", 1, [1, 2, 10, 20, 100]),
    (5, 3, "same", 2, [2, 3, 14, 25, 30, 140, 250, 300, 400]),
]


@pytest.mark.parametrize(("taps", "stride", "padding", "extra", "expected"), TRANSPOSED)
def test_transposed_lengths_are_keras(taps, stride, padding, extra, expected):
    x = np.array([1.0, 10.0, 100.0]).reshape(1, 3, 1)
    kernel = np.arange(1.0, taps + 1).reshape(taps, 1, 1)
    found = cr.convolution_transpose(x, kernel, stride, padding, extra)
    assert found[0, :, 0].tolist() == expected


def test_causal_sees_nothing_later():
    x = np.random.default_rng(0).normal(size=(1, 8, 2))
    kernel = np.random.default_rng(1).normal(size=(3, 2, 4))
    before = cr.convolution(x, kernel, padding="causal", dilation=2).numpy()
    changed = x.copy()
    changed[:, 5:] = 0
    after = cr.convolution(changed, kernel, padding="causal", dilation=2).numpy()
    assert before.shape == (1, 8, 4)
    np.testing.assert_array_equal(before[:, :5], after[:, :5])
    assert (before[:, 5:] != after[:, 5:]).any()


# ---- bad input

X, KERNEL = np.ones((1, 5, 6, 4)), np.ones((3, 3, 4, 2))
REFUSED = {
    "window larger than the input": (
        lambda: cr.convolution(X, np.ones((3, 7, 4, 2))),
        ShapeError,
        r"larger than the input on spatial axis 1: got a window of 7 over 6",
    ),
    "dilated window larger than the padded input": (
        lambda: cr.convolution(X, KERNEL, padding=((0, 1), (0, 0)), dilation=3),
        ShapeError,
        r"a window of 7 \(3 taps, 3 apart\) over 6 \(5 and padding 0 \+ 1\)",
    ),
    "groups": (
        lambda: cr.convolution(X, np.ones((3, 3, 1, 4)), groups=3),
        ShapeError,
        r"do not divide into the groups: got 4 channels, 4 filters, groups=3",
    ),
    "filters": (
        lambda: cr.convolution(X, np.ones((3, 3, 2, 3)), groups=2),
        ShapeError,
        r"do not divide into the groups: got 4 channels, 3 filters, groups=2",
    ),
    "no groups": (lambda: cr.convolution(X, KERNEL, groups=0), ArgumentError, "groups out of"),
    "channels": (
        lambda: cr.convolution(X, np.ones((3, 3, 3, 2))),
        ShapeError,
        r"another number of channels.*expected a kernel of 4 channels",
    ),
    "rank of the kernel": (
        lambda: cr.convolution(X, np.ones((3, 4, 2))),
        ShapeError,
        r"another number of spatial axes: got kernel \(3, 4, 2\)",
    ),
    "no channels": (
        lambda: cr.convolution(np.ones((5, 6)), np.ones((3, 1))),
        ShapeError,
        r"wrong rank: got \(5, 6\).*x\[\.\.\., None\]",
    ),
    "zero strides": (
        lambda: cr.convolution(X, KERNEL, strides=0),
        ArgumentError,
        r"\[convolution\] strides out of range: got 0, expected 1 or more",
    ),
    "zero strides in same": (
        lambda: cr.convolution(X, KERNEL, strides=(1, 0), padding="same"),
        ArgumentError,
        "strides out of range",
    ),
    "strides of another rank": (
        lambda: cr.convolution(X, KERNEL, strides=(1, 1, 1)),
        ShapeError,
        r"wrong number of strides: got \(1, 1, 1\)",
    ),
    "broken strides": (
        lambda: cr.convolution(X, KERNEL, strides=1.5),
        ArgumentError,
        "strides is no whole number: got 1.5",
    ),
    "negative dilation": (
        lambda: cr.convolution(X, KERNEL, dilation=-1),
        ArgumentError,
        "dilation out of range: got -1",
    ),
    "negative padding": (
        lambda: cr.convolution(X, KERNEL, padding=((0, -1), (0, 0))),
        ArgumentError,
        "padding out of range",
    ),
    "padding of another rank": (
        lambda: cr.convolution(X, KERNEL, padding=((0, 1),)),
        ShapeError,
        "wrong number of paddings",
    ),
    "padding of three": (
        lambda: cr.convolution(X, KERNEL, padding=((0, 1, 2), (0, 1))),
        ShapeError,
        "pairs",
    ),
    "unknown padding": (
        lambda: cr.convolution(X, KERNEL, padding="sane"),
        UnknownNameError,
        "did you mean 'same'",
    ),
    "causal pictures": (
        lambda: cr.convolution(X, KERNEL, padding="causal"),
        ShapeError,
        "causal padding is for one spatial axis",
    ),
    "empty window": (
        lambda: cr.convolution(X, np.ones((3, 0, 4, 2))),
        ArgumentError,
        "window out of range",
    ),
    "transposed channels": (
        lambda: cr.convolution_transpose(X, np.ones((3, 3, 4, 2))),
        ShapeError,
        "a last axis of 4",
    ),
    "transposed output padding": (
        lambda: cr.convolution_transpose(X, np.ones((3, 3, 2, 4)), 2, output_padding=2),
        ArgumentError,
        r"output_padding out of range: got 2, expected less than the strides \(2, 2\)",
    ),
    "transposed causal": (
        lambda: cr.convolution_transpose(X, np.ones((3, 3, 2, 4)), padding="causal"),
        UnknownNameError,
        "expected one of same, valid",
    ),
    "nothing left": (
        lambda: cr.convolution_transpose(X, np.ones((3, 3, 2, 4)), padding=4),
        ShapeError,
        "nothing is left on spatial axis 0: got length -1",
    ),
    "pool larger than the input": (
        lambda: cr.max_pool(X, 6),
        ShapeError,
        r"\[max_pool\] the window is larger than the input on spatial axis 0",
    ),
    "pool of padding": (
        lambda: cr.max_pool(X, 2, padding=2),
        ShapeError,
        r"\[max_pool\] a window holds nothing but padding on spatial axis 0",
    ),
    "average of padding": (
        lambda: cr.average_pool(X, 2, padding=2),
        ShapeError,
        r"\[average_pool\] a window holds nothing but padding",
    ),
    "window of zero": (lambda: cr.average_pool(X, 0), ArgumentError, "window out of range: got 0"),
    "pool of a matrix": (lambda: cr.max_pool(np.ones((3, 4)), 2), ShapeError, "wrong rank"),
    "size of zero": (lambda: cr.resize(X, 0), ArgumentError, "size out of range: got 0"),
    "unknown method": (
        lambda: cr.resize(X, 3, "bilinaer"),
        UnknownNameError,
        "did you mean 'bilinear'",
    ),
    "antialias": (lambda: cr.resize(X, 3, antialias=True), ArgumentError, "nothing to average"),
    "empty picture": (
        lambda: cr.resize(np.ones((1, 0, 3, 1)), 2),
        ShapeError,
        "nothing to resize",
    ),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_bad_input_is_refused(case):
    call, error, message = case
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"strides": (0, 1)}, ArgumentError, r"\[window_sum\] strides out of range: got \(0, 1\)"),
        ({"dilation": (1, -1)}, ArgumentError, "dilation out of range"),
        ({"window": (0, 2)}, ArgumentError, "window out of range"),
        (
            {"padding": ((0, 0), (-1, 0))},
            ArgumentError,
            r"padding widths out of range: got \(\(0, 0\), \(-1",
        ),
        ({"strides": (1,)}, ShapeError, "wrong number of strides: got 1, expected 2"),
        ({"padding": ((0, 0),)}, ShapeError, "wrong number of padding widths: got 2, expected 4"),
    ],
)
def test_the_primitives_check_their_attributes(change, error, message):
    attributes = {"window": (2, 2), **moves_of(2, 1, (0, 0), 1), **change}
    with pytest.raises(error, match=message):
        ops.window_sum(cr.tensor(X), **attributes)
    with cr.settings(backend="reference"), pytest.raises(error, match=message):
        cr.jit(lambda x: ops.window_sum(x, **attributes))(X)


def test_gradients_of_another_shape_are_refused():
    x, kernel = cr.tensor(X), cr.tensor(KERNEL)
    moves = moves_of(2, 1, (0, 0), 1)
    with pytest.raises(ShapeError, match="wrong shape of dy"):
        ops.convolution_input_gradient(cr.ones((1, 3, 3, 2)), kernel, (5, 6), **moves)
    with pytest.raises(ShapeError, match="wrong shape of dy"):
        ops.convolution_kernel_gradient(x, cr.ones((1, 3, 3, 2), "float64"), (3, 3), **moves)
    with pytest.raises(ShapeError, match="wrong shape of dy"):
        ops.window_scatter(x, x, window=(2, 2), **moves)
    with pytest.raises(ShapeError, match="shapes differ"):
        ops.window_gather(x, x[:, 1:], window=(2, 2), **moves)
