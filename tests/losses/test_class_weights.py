"""Class weights as sample weights."""

import numpy as np
import pytest

from chainrule.errors import ArgumentError, DataError, ShapeError
from chainrule.losses import class_weights_to_sample_weights


def test_dictionary_list_and_words():
    assert class_weights_to_sample_weights({0: 2.0, 1: 0.5}, [0, 1, 1]).tolist() == [2.0, 0.5, 0.5]
    assert class_weights_to_sample_weights([1, 2, 3], [2, 0]).tolist() == [3.0, 1.0]
    assert class_weights_to_sample_weights({"yes": 3.0}, ["no", "yes"]).tolist() == [1.0, 3.0]
    assert class_weights_to_sample_weights({1: 4.0}, np.array([[0], [1]])).tolist() == [1.0, 4.0]
    assert class_weights_to_sample_weights({1: 4.0}, np.eye(2)).tolist() == [1.0, 4.0]
    assert class_weights_to_sample_weights([1, 2], [[0, 1], [1, 1]]).tolist() == [[1, 2], [2, 2]]


def test_times_sample_weights():
    weights = class_weights_to_sample_weights({1: 2.0}, [0, 1], [10.0, 100.0])
    assert weights.tolist() == [10.0, 200.0]
    sequence = class_weights_to_sample_weights({1: 2.0}, [[0, 1], [1, 0]], [10.0, 100.0])
    assert sequence.tolist() == [[10.0, 20.0], [200.0, 100.0]]


def test_balanced_is_scikit_learn_s():
    sklearn = pytest.importorskip("sklearn.utils.class_weight")
    y = np.random.default_rng(0).choice(["a", "b", "c"], size=100, p=[0.7, 0.2, 0.1])
    ours = class_weights_to_sample_weights("balanced", y)
    assert ours == pytest.approx(sklearn.compute_sample_weight("balanced", y))


@pytest.mark.parametrize(
    ("class_weight", "error", "text"),
    [
        ({7: 1.0}, DataError, "got 7, expected one of 0, 1"),
        ([1.0], DataError, "a label without a weight"),
        ({1: -1.0}, ArgumentError, "negative"),
        ({1: float("nan")}, ArgumentError, "not a number"),
        ("balance", ArgumentError, "unknown word: got 'balance'"),
    ],
)
def test_bad_class_weights(class_weight, error, text):
    with pytest.raises(error, match=text):
        class_weights_to_sample_weights(class_weight, [0, 1, 1])


def test_bad_sample_weights():
    with pytest.raises(ShapeError, match="wrong shape: got"):
        class_weights_to_sample_weights({1: 2.0}, [0, 1], [1.0, 1.0, 1.0])
