"""Reference kernels against the standard library and NumPy in float64."""

import math

import numpy as np
import pytest

import chainrule as cr
from chainrule.backends.reference import KERNELS
from chainrule.errors import ShapeError


def test_erf_against_the_standard_library():
    x = np.concatenate([np.linspace(-7, 7, 20001), [0.0, -0.0, 1e-300, np.inf, -np.inf]])
    exact = np.array([math.erf(v) for v in x])
    ulps = np.abs(cr.erf(x).numpy() - exact) / np.spacing(np.abs(exact) + 1e-300)
    assert ulps.max() <= 1
    assert np.isnan(cr.erf(float("nan")).item())


def test_sigmoid_keeps_small_results_and_does_not_overflow():
    x = np.array([-745.0, -100.0, -1.0, 0.0, 1.0, 100.0, 745.0, np.inf, -np.inf])
    found = cr.sigmoid(x).numpy()
    with np.errstate(all="ignore"):
        exact = np.where(x < 0, np.exp(x) / (1 + np.exp(x)), 1 / (1 + np.exp(-x)))
    exact[-2:] = [1, 0]
    np.testing.assert_allclose(found, exact, rtol=1e-15)


@pytest.mark.parametrize("x", [-1e4, -30.0, 0.0, 30.0, 1e4])
def test_stable_composites_at_extremes(x):
    exact = max(x, 0) + math.log1p(math.exp(-abs(x)))
    assert cr.softplus(np.array(x)).item() == pytest.approx(exact, rel=1e-15)
    assert cr.logsumexp(np.array([x, x])).item() == pytest.approx(x + math.log(2), rel=1e-12)
    assert np.isfinite(cr.log_softmax(np.array([x, -x])).numpy()).all()
    assert cr.softmax(np.array([x, -x])).sum().item() == pytest.approx(1)


def test_erf_inv_inverts():
    x = np.linspace(-0.999999, 0.999999, 1001)
    np.testing.assert_allclose(cr.erf(cr.erf_inv(x)).numpy(), x, rtol=1e-12, atol=1e-15)


def test_scatter_add_adds_equal_indices():
    found = cr.scatter_add(cr.zeros(3), [0, 2, 0], [1.0, 2.0, 3.0])
    assert found.tolist() == [4.0, 0.0, 2.0]


def test_one_hot_outside_is_zero():
    assert cr.one_hot([3, -1], 2).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_top_k_keeps_the_first_of_equals():
    values, indices = cr.top_k([1.0, 3.0, 3.0, 2.0], 3)
    assert (values.tolist(), indices.tolist()) == ([3.0, 3.0, 2.0], [1, 2, 3])


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "uint8", "bool"])
@pytest.mark.parametrize("one", [(100, 100), (100, 1), (), "zero", "minus zero"])
@pytest.mark.parametrize("other", [(100, 100), (1, 100), (), "zero"])
def test_select_of_many_is_numpys_where(dtype, one, other):
    draw = np.random.default_rng(0)

    def values(shape):
        if isinstance(shape, str):
            return np.array(-0.0 if shape == "minus zero" else 0.0).astype(dtype)
        numbers = draw.normal(size=shape) * 10
        return np.where(draw.random(shape) < 0.1, np.nan, numbers).astype(dtype)

    with np.errstate(invalid="ignore"):
        x, y = values(one), values(other)
    for condition in (draw.random((100, 100)) < 0.5, (draw.random((200, 100)) < 0.5)[::2].T):
        found = KERNELS["select"](condition, x, y)
        expected = np.where(condition, x, y)
        assert found.dtype == expected.dtype
        assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    "shape", [(257, 2), (1000, 10), (3000, 64), (25, 40, 3), (5000, 1), (9, 9)]
)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_sums_over_many_short_rows(shape, dtype):
    x = (np.random.default_rng(0).normal(size=shape) * 100).astype(dtype)
    for array in (x, np.asfortranarray(x)):
        for axes in [tuple(range(n)) for n in range(1, len(shape) + 1)] + [(len(shape) - 1,)]:
            found = KERNELS["reduce_sum"](array, axes)
            assert found.dtype == x.dtype
            np.testing.assert_allclose(
                found, x.astype("float64").sum(axes), rtol=1e-5, atol=np.abs(x).max() * 1e-4
            )


def test_outer_products():
    x, y = np.random.default_rng(0).normal(size=(2, 3, 1, 4))
    found = KERNELS["matmul"](x.swapaxes(-1, -2), y)
    np.testing.assert_allclose(found, np.einsum("bki,bkj->bij", x, y))
    with pytest.raises(ShapeError, match="do not fit"):
        cr.matmul(cr.ones((2, 1)), cr.ones((2, 3)))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize(
    "sizes", [(50, 1, 3), (3, 1, 1), (1, 4, 5), (6, 7, 8), (0, 3, 2), (2, 0, 3)]
)
def test_matrices_in_every_layout(sizes, dtype):
    n, k, m = sizes
    random = np.random.default_rng(0)
    x, y = (random.integers(-9, 10, size).astype(dtype) for size in [(n, k), (k, m)])
    exact = np.einsum("ik,kj->ij", x, y)
    spread = np.zeros((2 * n, 3 * k), dtype)[::2, ::3]
    spread[...] = x
    for left in (x, np.asfortranarray(x), spread):
        for right in (y, np.asfortranarray(y), np.flip(np.flip(y, 1).copy(), 1)):
            found = KERNELS["matmul"](left, right)
            assert found.dtype == x.dtype
            np.testing.assert_array_equal(found, exact)


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
@pytest.mark.parametrize("wanted", [(), (3,), (4, 3), (0, 3), (2, 1, 5)])
def test_single_numbers_are_repeated_as_numpy_repeats_them(shape, wanted):
    x = np.full((2,) * len(shape), 7.0)[tuple([slice(1)] * len(shape))]
    if len(shape) > len(wanted):
        with pytest.raises(ValueError, match=r"broadcast|dimensions"):
            KERNELS["broadcast_to"](x, wanted)
        return
    found, exact = KERNELS["broadcast_to"](x, wanted), np.broadcast_to(x, wanted)
    np.testing.assert_array_equal(found, exact)
    assert (found.strides, found.dtype) == (exact.strides, exact.dtype)
    assert not found.flags.writeable
