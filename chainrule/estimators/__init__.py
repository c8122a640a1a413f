"""Estimators: networks for tables, under scikit-learn's contract, and for pictures and sounds."""

from chainrule.estimators.audio_classifier import SoundClassifier
from chainrule.estimators.base import NotFittedError
from chainrule.estimators.classifier import NetworkClassifier
from chainrule.estimators.image_classifier import ImageClassifier
from chainrule.estimators.regressor import NetworkRegressor
from chainrule.estimators.saving import load

__all__ = [
    "ImageClassifier",
    "NetworkClassifier",
    "NetworkRegressor",
    "NotFittedError",
    "SoundClassifier",
    "load",
]
