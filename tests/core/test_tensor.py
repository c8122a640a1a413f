"""Tensors against NumPy: values, dtypes, indexing, conversions, errors."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import chainrule as cr
from chainrule import dtypes
from chainrule.errors import ArgumentError, ChainruleError, DTypeError, ShapeError, StateError

SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
NAMES = st.sampled_from(sorted(dtypes.DTYPES))


def arrays(dtype="float64", shape=SHAPES):
    elements = st.floats(-10, 10, width=32) if np.dtype(dtype).kind == "f" else None
    return hnp.arrays(dtype, shape, elements=elements)


@given(st.data(), hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=4))
@settings(deadline=None)
def test_binary_functions_broadcast_as_numpy(data, shapes):
    x, y = (data.draw(arrays(shape=shape)) for shape in shapes.input_shapes)
    for name in ("add", "subtract", "multiply", "maximum", "minimum", "less", "equal"):
        expected = getattr(np, name)(x, y)
        found = getattr(cr, name)(x, y)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found.numpy(), expected)


@given(NAMES, NAMES)
def test_promotion_is_symmetric_and_idempotent(a, b):
    x, y = dtypes.as_dtype(a), dtypes.as_dtype(b)
    assert dtypes.promote(x, y) == dtypes.promote(y, x)
    assert dtypes.promote(dtypes.promote(x, y), y) == dtypes.promote(x, y)
    assert dtypes.promote(x, y) in dtypes.DTYPES.values()


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (cr.tensor([1]), 2, "int32"),
        (cr.tensor([1]), 2.5, "float32"),
        (cr.tensor([True]), 1, "int32"),
        (cr.ones(1), np.ones(1), "float64"),
        (cr.ones(1), np.float64(2), "float32"),
        (np.ones(1, "int64"), cr.ones(1), "float32"),
        (cr.ones(1, "uint32"), cr.ones(1, "int32"), "int64"),
        (2.0, cr.ones(1, "float64"), "float64"),
        (cr.ones(1, "uint8"), cr.ones(1, "int32"), "int32"),
    ],
)
def test_promotion_table(left, right, expected):
    assert cr.add(left, right).dtype == expected


def test_division_of_integers_is_true_division():
    assert (cr.tensor([1, 2]) / 2).tolist() == [0.5, 1.0]
    assert (cr.tensor([7, -7]) // 2).tolist() == [3, -4]
    assert (cr.tensor([7, -7]) % 3).tolist() == [1, 2]
    with pytest.raises(ArgumentError, match="zero"):
        cr.tensor([1]) // cr.tensor([0])


@given(arrays(), st.data())
@settings(deadline=None)
def test_basic_and_fancy_indexing_as_numpy(x, data):
    index = data.draw(hnp.basic_indices(x.shape, allow_newaxis=True))
    np.testing.assert_array_equal(cr.tensor(x)[index].numpy(), x[index])
    if x.ndim and x.shape[0]:
        rows = data.draw(
            hnp.arrays("int64", (3,), elements=st.integers(-x.shape[0], x.shape[0] - 1))
        )
        np.testing.assert_array_equal(cr.tensor(x)[rows].numpy(), x[rows])
        np.testing.assert_array_equal(cr.tensor(x)[x > 0].numpy(), x[x > 0])
    if x.ndim > 1 and x.size:
        grid = [
            data.draw(hnp.arrays("int64", (2,), elements=st.integers(-n, n - 1)))
            for n in x.shape[:2]
        ]
        np.testing.assert_array_equal(cr.tensor(x)[grid[0], grid[1]].numpy(), x[grid[0], grid[1]])


@given(arrays(shape=hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4)), st.data())
@settings(deadline=None)
def test_reductions_as_numpy(x, data):
    axis = data.draw(st.one_of(st.none(), st.integers(-x.ndim, x.ndim - 1)))
    keepdims = data.draw(st.booleans())
    for name in ("sum", "mean", "max", "min", "var", "std", "prod"):
        expected = getattr(np, name)(x, axis=axis, keepdims=keepdims)
        found = getattr(cr, name)(x, axis, keepdims).numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-9)
    last = axis if axis is not None else -1
    np.testing.assert_array_equal(cr.argmax(x, last).numpy(), x.argmax(last))
    np.testing.assert_array_equal(cr.sort(x, last).numpy(), np.sort(x, last))
    np.testing.assert_allclose(cr.cumsum(x, last).numpy(), np.cumsum(x, last), rtol=1e-12)
    np.testing.assert_array_equal(cr.any(x > 0, axis).numpy(), np.any(x > 0, axis))


@pytest.mark.parametrize("keepdims", [False, True])
def test_means_of_single_numbers_are_no_views_of_what_changes(keepdims):
    array, variable = np.ones((3, 1)), cr.Variable(np.ones((3, 1)))
    means = [cr.mean(x, -1, keepdims) for x in (array, variable)]
    array[:] = 2
    variable.assign(array)
    assert all((mean.numpy() == 1).all() and type(mean) is cr.Tensor for mean in means)


@given(st.data())
@settings(deadline=None)
def test_matmul_as_numpy(data):
    shapes = data.draw(
        hnp.mutually_broadcastable_shapes(signature="(n?,k),(k,m?)->(n?,m?)", max_side=3)
    )
    x, y = (data.draw(arrays(shape=shape)) for shape in shapes.input_shapes)
    np.testing.assert_allclose(cr.matmul(x, y).numpy(), x @ y, rtol=1e-12, atol=1e-12)


@given(arrays(shape=hnp.array_shapes(min_dims=2, max_dims=3, max_side=4)))
@settings(deadline=None)
def test_strided_views_as_numpy(x):
    views = (x[::-1], x.T, x[..., ::2])
    for view in views:
        np.testing.assert_array_equal((cr.tensor(view) * 2.0).numpy(), view * 2)
        np.testing.assert_array_equal(cr.flip(view).numpy(), np.flip(view))


def test_arrays_keep_their_dtype_and_lists_take_the_default():
    assert cr.tensor(np.zeros(2)).dtype == "float64"
    assert cr.tensor([0.0]).dtype == "float32"
    assert cr.tensor([2**40]).dtype == "int64"
    assert cr.tensor(np.zeros(2, "float16")).dtype == "float32"
    assert cr.tensor(np.zeros(2, ">f8")).dtype == "float64"
    assert cr.tensor([[1, 2], [3, 4]], "float64").dtype == "float64"


def test_tensor_copies_and_does_not_follow_the_array():
    x = np.zeros(3)
    t, v = cr.tensor(x), cr.Variable(x)
    x[0] = 9
    assert t.tolist() == v.tolist() == [0.0, 0.0, 0.0]
    v.assign(x)
    x[1] = 9
    assert v.tolist() == [9.0, 0.0, 0.0]
    t.numpy()[0] = 5
    assert t.tolist() == [0.0, 0.0, 0.0]


def test_numpy_sees_a_read_only_array():
    view = np.asarray(cr.tensor([1.0]))
    assert not view.flags.writeable
    assert isinstance(np.ones(1) + cr.tensor(np.ones(1)), cr.Tensor)


def test_lists_of_tensors_stack():
    assert cr.tensor([cr.tensor(1.0), cr.tensor(2.0)]).tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: cr.tensor("text"), DTypeError, "expected numbers"),
        (lambda: cr.tensor(["a"]), DTypeError, "numbers"),
        (lambda: cr.tensor(np.array([None])), DTypeError, "dtype object"),
        (lambda: cr.tensor([[1], [1, 2]]), ShapeError, "unequal"),
        (lambda: cr.tensor([1.0], "float128x"), DTypeError, "expected one of"),
        (lambda: cr.ones((2, 3)) + cr.ones((2, 4)), ShapeError, r"\(2, 3\) and \(2, 4\)"),
        (lambda: cr.ones((2, 3)) @ cr.ones((2, 3)), ShapeError, r"\(2, 3\) @ \(2, 3\)"),
        (lambda: cr.ones(3).reshape(2, 2), ShapeError, "expected a shape of 3"),
        (lambda: cr.ones(3).reshape(-1, 2), ShapeError, "does not fit"),
        (lambda: cr.ones(3)[5], ArgumentError, "out of range"),
        (lambda: cr.ones(3)[cr.tensor([7])], ArgumentError, "out of range"),
        (lambda: cr.ones(3)["a"], DTypeError, "expected integers"),
        (lambda: cr.ones(3)[1, 2], ShapeError, "too many"),
        (lambda: cr.sum(cr.ones(3), axis=1), ShapeError, "axis out of range"),
        (lambda: cr.max(cr.ones((0, 3)), axis=0), ShapeError, "nothing to reduce"),
        (lambda: cr.concatenate([]), ShapeError, "nothing to join"),
        (lambda: cr.clip([1.0], 2, 1), ArgumentError, "low above high"),
        (lambda: float(cr.ones(2)), ShapeError, "single number"),
        (lambda: bool(cr.ones(2) > 0), ShapeError, "any"),
        (lambda: len(cr.tensor(1.0)), ShapeError, "length"),
        (lambda: cr.Variable([1.0]).assign([1.0, 2.0]), ShapeError, r"expected \(1,\)"),
        (lambda: cr.zeros(-1), ShapeError, "negative length"),
    ],
)
def test_errors_say_what_was_got(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_variables_can_be_copied():
    v = cr.Variable([1.0, 2.0], name="w", trainable=False)
    v.path = "dense/w"
    other = copy.deepcopy(v)
    assert (other.path, other.trainable, other.tolist()) == ("dense/w", False, [1.0, 2.0])


def test_a_traced_variable_value_is_refused():
    with pytest.raises(StateError, match="traced"):
        cr.jit(lambda x: cr.Variable(x))(cr.tensor(1.0))


def test_origin_names_the_logits():
    x = cr.tensor([1.0, 2.0])
    assert cr.softmax(x).origin == ("softmax", x)
    assert cr.softmax(cr.ones((2, 2)), axis=0).origin is None
    assert cr.sigmoid(x).origin[0] == "sigmoid"
    assert (cr.softmax(x) * 1.0).origin is None


def test_errors_can_be_copied():
    error = ShapeError("dense1", "wrong shape", got=(1,), expected=(2,), fix="reshape")
    assert str(copy.copy(error)) == str(error)
    assert isinstance(error, ChainruleError)
