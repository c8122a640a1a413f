"""Numbers at the edge, folded activations, probabilities in the wrong place, weights and masks."""

import numpy as np
import pytest
from loss_samples import SAMPLES

import chainrule as cr
from chainrule import losses
from chainrule.errors import ArgumentError, DataError, ShapeError

CLASS_LOSSES = ["cross_entropy", "focal_cross_entropy", "kl_divergence", "categorical_hinge"]
YES_NO_LOSSES = ["binary_cross_entropy", "binary_focal_cross_entropy", "hinge", "squared_hinge"]
HUGE = np.array([[1e4, -1e4], [-1e4, 1e4], [1e4, 1e4], [-1e4, -1e4], [0.0, 1e4], [-1e4, 0.0]])


def _value_and_gradient(loss, y_true, y_pred):
    value, gradient = cr.value_and_grad(lambda p: loss(y_true, p))(cr.tensor(y_pred))
    return value.numpy(), gradient.numpy()


# ---- extreme predictions


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [*losses.LOSSES])
def test_huge_predictions_stay_finite(name, dtype):
    loss = losses.get(name)
    y_true, predicted = np.array([0, 1, 0, 1, 0, 1]), HUGE.astype(dtype)
    if name == "ctc":
        y_true, predicted = np.array([[1]]), predicted[None]
    elif name in YES_NO_LOSSES:
        y_true = np.stack([y_true, 1 - y_true], axis=1)
    elif name == "kl_divergence":
        y_true = np.eye(2)[y_true]
    elif name not in CLASS_LOSSES:
        y_true = np.ones((6, 1 if name.startswith("gaussian") else 2))
    value, gradient = _value_and_gradient(loss, y_true, predicted)
    assert np.isfinite(value), value
    assert np.isfinite(gradient).all(), gradient


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_huge_logits_give_the_exact_loss(dtype):
    z = np.array([[1e4, 0.0]], dtype)
    assert losses.cross_entropy([1], z).item() == 1e4
    assert losses.cross_entropy([0], z).item() == 0
    assert losses.binary_cross_entropy([[0.0]], z[:, :1]).item() == 1e4
    assert losses.binary_cross_entropy([[1.0]], z[:, :1]).item() == 0
    assert losses.binary_cross_entropy([[1.0]], -z[:, :1]).item() == 1e4
    assert losses.log_cosh([[0.0]], z[:, :1]).item() == pytest.approx(1e4 - np.log(2), rel=1e-6)


def test_tiny_probabilities_keep_their_digits():
    """At logit -40 the probability of float32 is 4e-18, its complement rounds to 1."""
    z = np.array([[-40.0]], "float32")
    assert losses.binary_cross_entropy([[0.0]], z).item() == pytest.approx(np.exp(-40), rel=1e-5)
    assert losses.cross_entropy([0], np.array([[40.0, 0.0]], "float32")).item() < 1e-7


def test_probabilities_at_0_and_1_are_clipped():
    p = np.array([[0.0, 1.0]], "float32")
    edge = -np.log(np.finfo("float32").eps)
    assert losses.cross_entropy([0], p, from_logits=False).item() == pytest.approx(edge)
    yes_no = losses.binary_cross_entropy([[1, 0]], p, from_logits=False)
    assert yes_no.item() == pytest.approx(edge, rel=1e-6)
    assert losses.kl_divergence([[1, 0]], p, from_logits=False).item() == pytest.approx(edge)


def test_classes_ruled_out_by_infinite_logits():
    z = np.array([[0.0, -np.inf, 0.0]])
    value, gradient = _value_and_gradient(losses.CrossEntropy(), [2], z)
    assert value == pytest.approx(np.log(2))
    assert gradient == pytest.approx(np.array([[0.5, 0.0, -0.5]]))


# ---- folding


@pytest.mark.parametrize(
    ("loss", "activation", "y_true"),
    [
        (losses.CrossEntropy(), "softmax", [0, 1]),
        (losses.CrossEntropy(from_logits=False), "softmax", [0, 1]),
        (losses.CrossEntropy(), "log_softmax", [0, 1]),
        (losses.FocalCrossEntropy(), "softmax", [0, 1]),
        (losses.KLDivergence(), "softmax", [[0.5, 0.5], [1.0, 0.0]]),
        (losses.BinaryCrossEntropy(), "sigmoid", [[0, 1], [1, 1]]),
        (losses.BinaryCrossEntropy(from_logits=False), "sigmoid", [[0, 1], [1, 1]]),
        (losses.BinaryFocalCrossEntropy(), "sigmoid", [[0, 1], [1, 1]]),
    ],
    ids=repr,
)
def test_final_activation_is_folded_in_and_reported(loss, activation, y_true):
    z = cr.tensor(np.array([[800.0, -800.0], [1.0, 2.0]]))
    p = getattr(cr, activation)(z)
    assert loss.folded(p) == activation
    assert loss.folded(z) is None
    from_logits = type(loss)(from_logits=None)
    assert float(loss(y_true, p)) == float(from_logits(y_true, z))


def test_folding_works_inside_jit():
    z, y = np.array([[800.0, -800.0], [1.0, 2.0]]), np.array([1, 0])
    loss = losses.CrossEntropy()
    traced = cr.jit(lambda x: loss(y, cr.softmax(x)))(z)
    assert float(traced) == pytest.approx(float(loss(y, z)), rel=1e-14)
    assert float(traced) > 700


def test_losses_without_probabilities_fold_nothing():
    p = cr.softmax(np.zeros((2, 3)))
    assert losses.MeanSquaredError().folded(p) is None
    assert losses.CategoricalHinge().folded(p) is None
    assert losses.BinaryCrossEntropy().folded(p) is None


@pytest.mark.parametrize(
    ("loss", "activation"),
    [(losses.CrossEntropy(), "sigmoid"), (losses.BinaryCrossEntropy(), "softmax")],
    ids=repr,
)
def test_wrong_final_activation_is_refused(loss, activation):
    p = getattr(cr, activation)(np.zeros((2, 2)))
    with pytest.raises(ArgumentError, match="do not belong together") as caught:
        loss([[0, 1], [1, 0]], p)
    assert f"the output of {activation}" in str(caught.value)
    as_probabilities = type(loss)(from_logits=False)([[0, 1], [1, 0]], p)
    assert float(as_probabilities) == pytest.approx(np.log(2))


def test_from_logits_of_a_softmax_is_a_contradiction():
    p = cr.softmax(np.zeros((2, 2)))
    with pytest.raises(ArgumentError, match="from_logits=True"):
        losses.CrossEntropy(from_logits=True)([0, 1], p)


def test_predictions_are_probabilities():
    z = cr.tensor(np.array([[1.0, 2.0, 0.0]]))
    p = cr.softmax(z)
    loss = losses.CrossEntropy()
    assert loss.predictions(p) is p
    assert loss.predictions(z).numpy() == pytest.approx(p.numpy())
    assert loss.predictions(cr.functions.log_softmax(z)).numpy() == pytest.approx(p.numpy())
    plain = cr.tensor(p.numpy())
    assert losses.CrossEntropy(from_logits=False).predictions(plain) is plain
    yes = losses.BinaryCrossEntropy().predictions(z)
    assert yes.numpy() == pytest.approx(1 / (1 + np.exp(-z.numpy())))
    assert losses.MeanSquaredError().predictions(z) is z
    assert losses.Poisson(log_input=True).predictions(z).numpy() == pytest.approx(np.exp(z.numpy()))
    means = losses.GaussianNegativeLogLikelihood().predictions(np.array([[1.0, 2.0, 3.0, 4.0]]))
    assert means.tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize("name", [*losses.LOSSES])
def test_loss_of_converted_predictions_is_the_same(name):
    for options, y_true, y_pred in SAMPLES[name]:
        loss = losses.get(name, **options)
        if name == "gaussian_negative_log_likelihood":
            with pytest.raises(ArgumentError, match="cannot be a metric"):
                loss.for_predictions()
            continue
        converted = loss.predictions(y_pred).numpy()
        again = loss.for_predictions()(y_true, converted)
        assert float(again) == pytest.approx(float(loss(y_true, y_pred)), rel=1e-9)


# ---- probabilities where logits are expected


@pytest.mark.parametrize(
    ("loss", "p", "y_true"),
    [
        (losses.CrossEntropy(), [[0.05, 0.95, 0.0], [0.1, 0.8, 0.1]], [1, 2]),
        (losses.CrossEntropy(), [[1.0, 0.0], [0.0, 1.0]], [0, 1]),
        (losses.FocalCrossEntropy(), [[0.5, 0.5], [0.25, 0.75]], [0, 1]),
        (losses.KLDivergence(), [[0.5, 0.5], [0.25, 0.75]], [[0.5, 0.5], [0.5, 0.5]]),
        (losses.BinaryCrossEntropy(), [[0.2], [0.9]], [0, 1]),
        (losses.BinaryFocalCrossEntropy(), [0.2, 0.9], [0, 1]),
    ],
    ids=repr,
)
def test_arrays_of_probabilities_do_not_pass_for_logits(loss, p, y_true):
    with pytest.raises(ArgumentError, match="look like probabilities"):
        loss(y_true, np.array(p))
    for from_logits in (True, False):
        assert np.isfinite(float(type(loss)(from_logits=from_logits)(y_true, np.array(p))))


def test_the_guard_sees_a_prediction_of_the_library():
    z = np.random.default_rng(0).normal(size=(50, 7)).astype("float32")
    p = cr.softmax(z)
    with pytest.raises(ArgumentError, match="from_logits=False"):
        losses.CrossEntropy()(np.zeros(50, int), p.numpy())
    # A tensor whose origin is lost, as after slicing.
    with pytest.raises(ArgumentError, match="from_logits=False"):
        losses.CrossEntropy()(np.zeros(20, int), p[:20])


def test_the_guard_lets_logits_of_a_training_loop_pass():
    """Tensors of one row, or of yes/no logits, may lie in [0, 1] by chance."""
    assert float(losses.CrossEntropy()([1], cr.tensor([[0.25, 0.75]]))) > 0
    assert float(losses.BinaryCrossEntropy()([1, 0], cr.tensor([[0.25], [0.75]]))) > 0
    assert float(losses.CrossEntropy()([1, 0], np.array([[0.2, 0.3], [0.9, 0.1]]))) > 0
    assert float(losses.BinaryCrossEntropy()([1, 0], np.zeros((2, 1)))) > 0


def test_logits_do_not_pass_for_probabilities():
    with pytest.raises(
        DataError, match=r"got 3.0 in row 1, position 0, expected values from 0 to 1"
    ):
        losses.cross_entropy([0, 1], [[0.5, 0.5], [3.0, -2.0]], from_logits=False)
    with pytest.raises(DataError, match="sum over the classes is not 1"):
        losses.cross_entropy([0], [[0.5, 0.4]], from_logits=False)
    with pytest.raises(DataError, match="expected values from 0 to 1"):
        losses.binary_cross_entropy([0], [[-0.5]], from_logits=False)


# ---- targets


def test_class_numbers_in_every_form():
    z = np.random.default_rng(1).normal(size=(3, 4))
    expected = losses.cross_entropy(np.eye(4)[[2, 0, 3]], z).numpy()
    for y in (
        [2, 0, 3],
        np.array([2, 0, 3], "uint8"),
        np.array([2.0, 0.0, 3.0]),
        np.array([[2], [0], [3]]),
        np.eye(4, dtype=bool)[[2, 0, 3]],
        np.eye(4, dtype=int)[[2, 0, 3]],
        cr.tensor([2, 0, 3]),
    ):
        assert losses.cross_entropy(y, z).numpy() == pytest.approx(expected, rel=1e-15)
    assert losses.cross_entropy([True, False], z[:2, :2]).shape == (2,)
    many = losses.cross_entropy(np.array([255], "uint8"), np.eye(300)[[255]] * 800)
    assert many.tolist() == [0.0]


@pytest.mark.parametrize("name", ["cross_entropy", "focal_cross_entropy", "categorical_hinge"])
@pytest.mark.parametrize(
    ("labels", "text"),
    [
        ([0, 3, 1], "got 3 in row 1, expected a whole number from 0 to 2"),
        ([0, 1, -1], "got -1 in row 2"),
        ([0.0, 0.5, 1.0], "got 0.5 in row 1"),
        ([0.0, np.nan, 1.0], "got nan in row 1"),
    ],
)
def test_class_numbers_out_of_range_are_named(name, labels, text):
    loss = losses.get(name)
    with pytest.raises(DataError, match=text):
        loss(labels, np.zeros((3, 3)) - 1)
    with pytest.raises(DataError, match=text):
        loss.check_targets(labels, (3,))


def test_class_number_out_of_range_inside_jit_is_nan_not_zero():
    loss = cr.jit(lambda y, z: losses.cross_entropy(y, z))
    rows = loss(np.array([5, 1]), np.zeros((2, 3))).numpy()
    assert np.isnan(rows).tolist() == [True, False]


@pytest.mark.parametrize(
    ("name", "labels", "text"),
    [
        ("binary_cross_entropy", [0, 2], "got 2 in row 1"),
        ("binary_cross_entropy", [-1, 1], "got -1 in row 0"),
        ("binary_cross_entropy", [np.nan, 1], "got nan in row 0"),
        ("hinge", [1, 3], "got 3.0 in row 1"),
        ("squared_hinge", [0.5, 1], "got 0.5 in row 0"),
    ],
)
def test_yes_no_labels_out_of_range_are_named(name, labels, text):
    loss = losses.get(name)
    with pytest.raises(DataError, match=text):
        loss(labels, np.zeros((2, 1)) - 1)
    with pytest.raises(DataError, match=text):
        loss.check_targets(labels, (1,))


def test_several_classes_in_one_row_are_refused():
    with pytest.raises(DataError, match=r"got 2.0 in row 1.*binary_cross_entropy"):
        losses.cross_entropy([[1, 0, 0], [1, 1, 0]], np.zeros((2, 3)) - 1)


def test_negative_targets_of_msle_are_named():
    with pytest.raises(DataError, match=r"negative target: got -1.0 in row 1"):
        losses.mean_squared_logarithmic_error([1.0, -1.0], [[1.0], [1.0]])


@pytest.mark.parametrize(
    ("name", "y_shape", "p_shape", "fix"),
    [
        ("mean_squared_error", (4,), (4, 3), "use the loss cross_entropy"),
        ("mean_squared_error", (4, 2), (4, 3), "2 outputs"),
        ("mean_squared_error", (5, 3), (4, 3), "one target for each row"),
        ("mean_squared_error", (4, 4), (4, 1), "4 outputs"),
        ("huber", (4, 1, 1), (4, 3), "reshape"),
        ("binary_cross_entropy", (4,), (4, 2), "cross_entropy"),
        ("cross_entropy", (4, 2), (4, 3), "2 outputs"),
        ("cross_entropy", (5,), (4, 3), "one class number for each row"),
        ("cross_entropy", (4,), (4, 1), "binary_cross_entropy"),
        ("cross_entropy", (4,), (4,), "one output for each class"),
        ("gaussian_negative_log_likelihood", (4, 1), (4, 3), "two outputs for each target"),
        ("gaussian_negative_log_likelihood", (4, 2), (4, 2), "2 outputs"),
        ("mean_squared_error", (), (), "one row for each example"),
    ],
)
def test_shape_errors_say_got_and_expected(name, y_shape, p_shape, fix):
    with pytest.raises(ShapeError, match=r"got .*expected .*To fix: ") as caught:
        losses.get(name)(np.ones(y_shape), np.full(p_shape, -1.0))
    assert fix in str(caught.value)
    assert name in str(caught.value)


def test_columns_and_vectors_are_aligned_never_broadcast():
    y, p = np.arange(4.0), np.arange(4.0)[:, None] + 1
    for left, right in [(y, p), (y[:, None], p[:, 0]), (y, p[:, 0]), (y[:, None], p)]:
        assert losses.mean_squared_error(left, right).tolist() == [1.0] * 4
        assert float(losses.MeanSquaredError()(left, right)) == 1.0
    own = losses.get(lambda a, b: (a - b) ** 2)
    assert own.per_example(y, p).shape == (4, 1)


def test_targets_take_the_dtype_of_predictions():
    for dtype in ("float32", "float64"):
        p = np.ones((2, 1), dtype)
        for y in (np.ones(2), np.ones(2, "float32"), np.ones(2, int), np.ones(2, bool), [1, 1]):
            assert losses.mean_squared_error(y, p).dtype == dtype
            assert losses.binary_cross_entropy(y, p - 2).dtype == dtype
    assert losses.mean_squared_error([1.0], [[2]]).dtype == "float32"


# ---- weights and masks


def test_weighted_mean():
    y, p = np.zeros((3, 2)), np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    loss = losses.MeanSquaredError()
    w = np.array([1.0, 0.0, 3.0])
    expected = (1 * 1 + 3 * 9) / 4
    assert float(loss(y, p, sample_weight=w)) == expected
    assert float(loss(y, p, sample_weight=w[:, None])) == expected
    assert float(loss(y, p, sample_weight=10 * w)) == pytest.approx(expected)
    assert float(loss(y, p, sample_weight=[1, 0, 3])) == expected
    assert float(loss(y, p, mask=[True, False, False])) == 1.0
    assert float(loss(y, p, sample_weight=w, mask=[False, True, True])) == 9.0
    assert float(loss(y, p, sample_weight=[0, 0, 0])) == 0.0
    assert float(loss(y, p, mask=[False] * 3)) == 0.0


def test_weights_of_sequences():
    p = np.arange(6.0).reshape(2, 3, 1)
    loss, y = losses.MeanAbsoluteError(), np.zeros((2, 3, 1))
    rows = np.arange(6.0).reshape(2, 3)
    w = np.array([1.0, 2.0])
    assert float(loss(y, p, sample_weight=w)) == pytest.approx((rows * w[:, None]).sum() / 9)
    w = np.arange(6.0).reshape(2, 3)
    assert float(loss(y, p, sample_weight=w)) == pytest.approx((rows * w).sum() / w.sum())


@pytest.mark.parametrize("shape", [(2,), (3, 2), (1,), (), (3, 3, 1)])
def test_wrong_weight_shapes(shape):
    with pytest.raises(ShapeError, match=r"wrong sample_weight shape: got .*expected"):
        losses.MeanSquaredError()(np.zeros((3, 2)), np.zeros((3, 2)), sample_weight=np.ones(shape))
    with pytest.raises(ShapeError, match="wrong mask shape"):
        losses.MeanSquaredError()(np.zeros((3, 2)), np.zeros((3, 2)), mask=np.ones(shape, bool))


def test_missing_targets_behind_a_mask_do_no_harm():
    p = np.array([[1.0], [2.0], [3.0]])
    y = np.array([0.0, np.nan, 5.0])
    loss = losses.MeanSquaredError()
    value, gradient = cr.value_and_grad(lambda a: loss(y, a, mask=~np.isnan(y)))(cr.tensor(p))
    assert float(value) == (1 + 4) / 2
    assert gradient.numpy()[:, 0] == pytest.approx([1.0, 0.0, -2.0])
    labels = np.array([0, -100, 1])
    masked = losses.CrossEntropy()(labels, np.zeros((3, 2)) - 1, mask=labels >= 0)
    assert float(masked) == pytest.approx(np.log(2))


# ---- own functions


def test_any_function_is_a_loss():
    y, p = np.array([1.0, 2.0]), np.array([[1.5], [4.0]])
    per_row = losses.get(lambda a, b: cr.mean(abs(a - b), axis=-1))
    per_element = losses.get(lambda a, b: abs(a - b))
    for loss in (per_row, per_element):
        assert float(loss(y, p)) == 1.25
        assert float(loss(y, p, sample_weight=[3.0, 1.0])) == (3 * 0.5 + 2) / 4
    single = losses.get(lambda a, b: cr.mean(abs(a - b)))
    assert float(single(y, p)) == 1.25
    assert single.per_example(y, p).tolist() == [1.25, 1.25]
    with pytest.raises(ArgumentError, match="single number takes no weights"):
        single(y, p, sample_weight=[1.0, 1.0])
    with pytest.raises(ArgumentError, match="single number takes no weights"):
        single(y, p, mask=[True, False])
    with pytest.raises(ShapeError, match="wrong shape of the loss"):
        losses.get(lambda a, b: cr.sum(b, axis=0))(y, np.ones((2, 3)))


def test_own_loss_class_has_to_say_what_it_computes():
    with pytest.raises(NotImplementedError, match="per_example"):
        losses.Loss()([1.0], [[1.0]])


def test_check_targets_accepts_what_the_losses_accept():
    for name, samples in SAMPLES.items():
        for options, y_true, y_pred in samples:
            losses.get(name, **options).check_targets(y_true, y_pred.shape[1:])
