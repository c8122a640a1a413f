"""The table of metrics: nothing is missing, names and losses are found, the state behaves."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import losses, metrics
from chainrule.errors import ArgumentError, DataError, ShapeError, UnknownNameError

NAMED_METRICS = {
    "accuracy": "max", "acc": "max", "binary_accuracy": "max", "categorical_accuracy": "max",
    "sparse_categorical_accuracy": "max", "top_k_accuracy": "max", "precision": "max",
    "recall": "max", "f1": "max", "f1_macro": "max", "f1_micro": "max", "f1_weighted": "max",
    "auc": "max", "roc_auc": "max", "mae": "min", "mse": "min", "rmse": "min", "r2": "max",
    "confusion_matrix": "max", "cross_entropy": "min", "huber": "min",
}  # fmt: skip


def test_no_row_is_missing():
    classes = {
        value
        for name in metrics.__all__
        if isinstance(value := getattr(metrics, name), type) and issubclass(value, metrics.Metric)
    }
    bases = {metrics.Metric, metrics.Mean, metrics.MeanLoss}
    missing = {
        "classes without a row": classes
        - bases
        - {r.metric_class for r in metrics.METRICS.values()},
        "rows without a public class": {r.metric_class for r in metrics.METRICS.values()} - classes,
    }
    assert not any(missing.values()), missing
    for name, row in metrics.METRICS.items():
        assert metrics.get(name).name == name
        assert row.metric_class.__doc__


@pytest.mark.parametrize(("name", "direction"), NAMED_METRICS.items())
def test_names_and_directions(name, direction):
    metric = metrics.get(name)
    assert metric.name == name
    assert metric.direction == direction
    assert all(v.path.startswith(name + "/") and not v.trainable for v in metric.variables)


def test_names_of_losses_and_metrics_do_not_collide():
    own = {name for row in metrics.METRICS.values() for name in (row.name, *row.aliases)}
    assert own & set(losses.known_names()) == set()
    for name in metrics.known_names():
        assert metrics.get(name)


def test_class_names_become_plain_ones():
    assert metrics.get("MeanSquaredError").name == "mean_squared_error"
    assert metrics.get("F1Score").name == "f1"
    assert metrics.get("BinaryAccuracy").name == "binary_accuracy"


def test_losses_and_functions_are_metrics():
    for loss in (losses.Huber(2.0), losses.Huber, losses.huber, "huber"):
        metric = metrics.get(loss)
        assert metric.name == "huber"
        assert metric.direction == "min"
    own = metrics.get(lambda y, p: abs(y - p), name="distance")
    assert own.name == "distance"
    assert own.compute([1.0, 2.0], [[1.0], [4.0]]) == 1.0


def test_a_cross_entropy_metric_reads_probabilities():
    p = np.array([[0.5, 0.5], [0.25, 0.75]])
    expected = -(np.log(0.5) + np.log(0.75)) / 2
    for loss in ("cross_entropy", losses.CrossEntropy(), losses.cross_entropy):
        assert metrics.get(loss).compute([0, 1], p) == pytest.approx(expected)
        assert cr.jit(metrics.get(loss).update)([0, 1], p) is None
    folded = metrics.get("cross_entropy")
    folded.update([0], cr.softmax(np.array([[0.0, 800.0]])))
    assert folded.result() == 800


def test_the_loss_says_what_the_predictions_are():
    p = np.array([[0.9, 0.8], [0.2, 0.3]])
    y = np.array([[1.0, 1.0], [0.0, 1.0]])
    assert metrics.get("accuracy", loss=losses.BinaryCrossEntropy()).compute(y, p) == 0.75
    one_hot = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert metrics.get("accuracy", loss=losses.CrossEntropy()).compute(one_hot, p) == 1.0
    assert metrics.get("accuracy", loss=losses.get("mse")).compute(one_hot, p) == 1.0
    margins = np.array([0.2, -0.2, 0.4])
    assert metrics.get("accuracy", loss=losses.Hinge()).compute([1, -1, 1], margins) == 1.0
    assert metrics.get("f1", loss=losses.Hinge()).compute([1, -1, 1], margins) == 1.0
    matrix = metrics.get("confusion_matrix", loss=losses.Hinge()).compute([1, -1, 1], margins)
    assert matrix.tolist() == [[1, 0], [0, 2]]
    own_choice = metrics.get(metrics.Accuracy(threshold=0.3), loss=losses.Hinge())
    assert own_choice.threshold == 0.3


def test_reset_and_compute():
    metric = metrics.get("precision")
    assert metric.variables == []
    assert np.isnan(metric.result())
    metric.update([1, 0], [0.9, 0.8])
    assert metric.result() == 0.5
    assert metric.compute([1], [0.9]) == 1.0
    assert metric.result() == 0.5
    metric.reset()
    assert metric.result() == 0.0
    metric.update([1], [0.9])
    assert metric.result() == 1.0
    assert len(metric.variables) == 3
    assert np.isnan(metrics.Mean().result())
    assert np.isnan(metrics.R2().result())
    with pytest.raises(ArgumentError, match="no rows yet"):
        metrics.ConfusionMatrix().result()


def test_rows_of_weight_zero_do_not_count():
    padded = [1.0, 1.0, 0.0]
    for name in ("accuracy", "f1_macro", "auc", "top_k_accuracy", "cross_entropy"):
        options = {"k": 2} if name == "top_k_accuracy" else {}
        p = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.1, 0.8]])
        whole = metrics.get(name, **options).compute([0, 2, 0], p, padded)
        assert whole == pytest.approx(metrics.get(name, **options).compute([0, 2], p[:2])), name


def test_state_made_inside_jit_survives():
    metric = metrics.get("recall_macro")
    update = cr.jit(metric.update)
    for y, p in [([0, 1], np.eye(3)[[0, 1]]), ([2, 2], np.eye(3)[[0, 2]])]:
        update(np.array(y), p)
    assert metric.result() == pytest.approx((1 + 1 + 0.5) / 3)


def test_ties_go_to_the_first_class():
    flat = np.full((3, 3), 1 / 3)
    assert metrics.TopKAccuracy(1).compute([0, 1, 2], flat) == pytest.approx(1 / 3)
    assert metrics.TopKAccuracy(2).compute([0, 1, 2], flat) == pytest.approx(2 / 3)
    assert metrics.Accuracy().compute([0, 1, 2], flat) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: metrics.get("acuracy"), UnknownNameError, "did you mean 'accuracy'"),
        (lambda: metrics.get(3), ArgumentError, "not a metric: got 3"),
        (lambda: metrics.get(metrics.R2(), k=2), ArgumentError, "made already"),
        (lambda: metrics.get("f1", average="sum"), ArgumentError, "unknown average: got 'sum'"),
        (lambda: metrics.TopKAccuracy(0), ArgumentError, "k out of range: got 0"),
        (
            lambda: metrics.TopKAccuracy().compute([0, 1], np.eye(3)[:2]),
            ArgumentError,
            "k out of range: got 5, expected at most 3",
        ),
        (
            lambda: metrics.get("f1", average="binary").compute([0, 1], np.eye(3)[:2]),
            ArgumentError,
            "more than two classes: got 3 classes",
        ),
        (
            lambda: metrics.get("accuracy").compute([0, 3], np.eye(3)[:2]),
            DataError,
            "got 3 in row 1",
        ),
        (
            lambda: metrics.get("f1").compute([0, 3], [0, 2]),
            ArgumentError,
            "class numbers beyond 0 and 1: got 0 to 3",
        ),
        (
            lambda: metrics.get("f1", num_classes=3).compute([0, 3], [0, 2]),
            DataError,
            "got 3 in row 1",
        ),
        (
            lambda: metrics.get("accuracy").compute([0, 1, 1], np.eye(3)[:2]),
            ShapeError,
            "wrong target shape",
        ),
        (
            lambda: metrics.get("mse").compute([0, 1], np.eye(3)[:2]),
            ShapeError,
            "wrong target shape",
        ),
        (
            lambda: metrics.get("mse").compute([0.0, 1.0], [0.0, 1.0], [1.0]),
            ShapeError,
            "wrong sample_weight shape",
        ),
    ],
)
def test_bad_input(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_another_number_of_classes_is_refused():
    metric = metrics.get("recall")
    metric.update([0, 1], np.eye(3)[:2])
    with pytest.raises(ShapeError, match="another number of classes"):
        metric.update([0, 1], np.eye(4)[:2])


def test_bases_say_what_a_subclass_has_to_define():
    with pytest.raises(NotImplementedError, match="update"):
        metrics.Metric().update([0], [0])
    with pytest.raises(NotImplementedError, match="result"):
        metrics.Metric().result()
    with pytest.raises(NotImplementedError, match="per_row"):
        metrics.Mean().update([0], [0])
