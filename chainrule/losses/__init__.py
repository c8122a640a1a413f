"""Losses: from targets and predictions to the number that training makes small.

Every loss is a function ``loss(y_true, y_pred)`` of one value a row, a class that averages it with
weights and masks, and a name for ``fit(loss=...)``. All of them are rows of ``losses/table.py``.
"""

from chainrule.losses.base import FunctionLoss, Loss
from chainrule.losses.class_weights import class_weights_to_sample_weights
from chainrule.losses.distributions import (
    GaussianNegativeLogLikelihood,
    KLDivergence,
    Poisson,
    gaussian_negative_log_likelihood,
    kl_divergence,
    poisson,
)
from chainrule.losses.entropies import (
    BinaryCrossEntropy,
    CrossEntropy,
    ProbabilityLoss,
    binary_cross_entropy,
    cross_entropy,
)
from chainrule.losses.focal import (
    BinaryFocalCrossEntropy,
    FocalCrossEntropy,
    binary_focal_cross_entropy,
    focal_cross_entropy,
)
from chainrule.losses.margins import (
    CategoricalHinge,
    Hinge,
    SquaredHinge,
    categorical_hinge,
    hinge,
    squared_hinge,
)
from chainrule.losses.regression import (
    CosineSimilarity,
    HalfSquaredError,
    Huber,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Quantile,
    cosine_similarity,
    half_squared_error,
    huber,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    quantile_loss,
)
from chainrule.losses.table import LOSSES, find, from_config, get, known_names
from chainrule.losses.temporal import CTC, ctc

# Keras's names.
BinaryCrossentropy = BinaryCrossEntropy
CategoricalCrossentropy = CrossEntropy
SparseCategoricalCrossentropy = CrossEntropy
BinaryFocalCrossentropy = BinaryFocalCrossEntropy
CategoricalFocalCrossentropy = FocalCrossEntropy
binary_crossentropy = binary_cross_entropy
categorical_crossentropy = cross_entropy
sparse_categorical_crossentropy = cross_entropy
binary_focal_crossentropy = binary_focal_cross_entropy
categorical_focal_crossentropy = focal_cross_entropy

__all__ = [
    # finding and making losses
    "Loss", "FunctionLoss", "ProbabilityLoss", "LOSSES", "get", "find", "from_config",
    "known_names",
    "class_weights_to_sample_weights",
    # values
    "half_squared_error", "HalfSquaredError", "mean_squared_error", "MeanSquaredError",
    "mean_absolute_error", "MeanAbsoluteError",
    "mean_absolute_percentage_error", "MeanAbsolutePercentageError",
    "mean_squared_logarithmic_error", "MeanSquaredLogarithmicError",
    "huber", "Huber", "log_cosh", "LogCosh", "quantile_loss", "Quantile",
    "cosine_similarity", "CosineSimilarity",
    # classes
    "cross_entropy", "CrossEntropy", "binary_cross_entropy", "BinaryCrossEntropy",
    "focal_cross_entropy", "FocalCrossEntropy",
    "binary_focal_cross_entropy", "BinaryFocalCrossEntropy",
    "hinge", "Hinge", "squared_hinge", "SquaredHinge", "categorical_hinge", "CategoricalHinge",
    # sequences of labels
    "ctc", "CTC",
    # distributions
    "kl_divergence", "KLDivergence", "poisson", "Poisson",
    "gaussian_negative_log_likelihood", "GaussianNegativeLogLikelihood",
    # Keras's names
    "BinaryCrossentropy", "CategoricalCrossentropy", "SparseCategoricalCrossentropy",
    "BinaryFocalCrossentropy", "CategoricalFocalCrossentropy", "binary_crossentropy",
    "categorical_crossentropy", "sparse_categorical_crossentropy", "binary_focal_crossentropy",
    "categorical_focal_crossentropy",
]  # fmt: skip
