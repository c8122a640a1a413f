"""Metrics: numbers about predictions, over a whole epoch.

A metric is found by name in ``metrics/table.py``; any loss, and any function of (y_true, y_pred),
is a metric too.
"""

from chainrule.metrics.accuracy import Accuracy, BinaryAccuracy, CategoricalAccuracy, TopKAccuracy
from chainrule.metrics.base import Mean, MeanLoss, Metric
from chainrule.metrics.confusion import ConfusionMatrix
from chainrule.metrics.edits import CharacterErrorRate, WordErrorRate, edit_distance
from chainrule.metrics.ranking import AUC
from chainrule.metrics.rates import F1, Precision, Recall
from chainrule.metrics.regression import R2, RootMeanSquaredError
from chainrule.metrics.table import METRICS, get, known_names

# Keras's names.
SparseCategoricalAccuracy = CategoricalAccuracy
TopKCategoricalAccuracy = TopKAccuracy
SparseTopKCategoricalAccuracy = TopKAccuracy
F1Score = F1
R2Score = R2

__all__ = [
    "Metric", "Mean", "MeanLoss", "METRICS", "get", "known_names",
    "Accuracy", "BinaryAccuracy", "CategoricalAccuracy", "TopKAccuracy",
    "Precision", "Recall", "F1", "AUC", "ConfusionMatrix", "RootMeanSquaredError", "R2",
    "CharacterErrorRate", "WordErrorRate", "edit_distance",
    "SparseCategoricalAccuracy", "TopKCategoricalAccuracy", "SparseTopKCategoricalAccuracy",
    "F1Score", "R2Score",
]  # fmt: skip
