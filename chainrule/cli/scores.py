"""How good a model is on some rows, and how good the simplest guess would be."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.data import ClassEncoder, Column, RegressionScaler, Table
from chainrule.errors import DataError
from chainrule.estimators import NetworkClassifier, NetworkRegressor

Estimator = NetworkClassifier | NetworkRegressor


@dataclass(frozen=True)
class Scores:
    """The scores of a model on some rows beside those of a baseline that ignores the inputs.

    Args:
        test: by name; accuracy and loss, or r2, mae and loss.
        baseline: the same scores of the baseline.
        confusion: counts, rows: true class, columns: predicted class; None for regression.
    """

    test: dict[str, float]
    baseline: dict[str, float]
    confusion: NDArray[np.int64] | None = None


def score(estimator: Estimator, inputs: Table, target: Column) -> Scores:
    """Score an estimator on rows whose target is known.

    Raises:
        DataError: the target is not of the kind that the estimator learned.
    """
    where, encoder = f"target {target.name!r}", estimator.target_encoder_
    if isinstance(estimator, NetworkClassifier):
        if not isinstance(encoder, ClassEncoder):
            raise DataError(
                "evaluate",
                "this model has several labels a row, which one target column cannot hold",
                fix="use its score method in Python",
            )
        codes = encoder.encode(target, where)
        return score_classes(encoder, codes, estimator.predict_proba(inputs))
    assert isinstance(encoder, RegressionScaler)
    encoder.transform(target, where)  # refuses text and infinite numbers
    return score_numbers(encoder, target.to_float(), estimator.predict(inputs))


def score_classes(
    classes: ClassEncoder, codes: NDArray[Any], probabilities: NDArray[Any]
) -> Scores:
    """Score class probabilities; the baseline always answers with the shares of the training rows.

    The loss is the mean of ``-log p[true class]``.

    Args:
        classes: the classes, with their counts in the training rows.
        codes: the true classes, integers of shape (N,).
        probabilities: shape (N, C) for C classes.
    """
    shares = classes.counts / classes.counts.sum()
    predicted = probabilities.argmax(axis=1)
    confusion = np.zeros((classes.n_classes, classes.n_classes), np.int64)
    np.add.at(confusion, (codes, predicted), 1)
    test = {
        "accuracy": float(np.mean(predicted == codes)),
        "loss": _log_loss(probabilities[np.arange(len(codes)), codes]),
    }
    baseline = {
        "accuracy": float(np.mean(codes == shares.argmax())),
        "loss": _log_loss(shares[codes]),
    }
    return Scores(test, baseline, confusion)


def score_labels(
    classifier: NetworkClassifier, labels: NDArray[Any], probabilities: NDArray[Any]
) -> Scores:
    """Score what a classifier says of examples with known classes; see `score_classes`.

    Raises:
        DataError: a class that the model does not know.
    """
    encoder = classifier.target_encoder_
    assert isinstance(encoder, ClassEncoder)
    return score_classes(encoder, encoder.encode(labels, "classes"), probabilities)


def _log_loss(probabilities: NDArray[Any]) -> float:
    # The smallest positive float32 number stands for a probability that was rounded to zero.
    return float(-np.log(np.maximum(probabilities, np.finfo(np.float32).tiny)).mean())


def score_numbers(
    scaler: RegressionScaler, truth: NDArray[Any], predictions: NDArray[Any]
) -> Scores:
    """Score predicted numbers; the baseline always answers with the mean of the training rows.

    ``r2 = 1 - sum((y - p)^2) / sum((y - mean(y))^2)`` and ``mae = mean(|y - p|)``; the loss is the
    mean squared error of the standardised target, the number that training makes small.

    Args:
        scaler: the scale of the target in the training rows.
        truth: shape (N,).
        predictions: shape (N,), in the units of the target.
    """
    mean = np.full(len(truth), scaler.mean[0])
    scale = float(scaler.scale[0])
    return Scores(_number_scores(truth, predictions, scale), _number_scores(truth, mean, scale))


def _number_scores(truth: NDArray[Any], guess: NDArray[Any], scale: float) -> dict[str, float]:
    errors = truth - guess
    spread = float(np.sum((truth - truth.mean()) ** 2))
    return {
        "r2": 1 - float(np.sum(errors**2)) / spread if spread else float("nan"),
        "mae": float(np.mean(np.abs(errors))),
        "loss": float(np.mean((errors / scale) ** 2)),
    }
