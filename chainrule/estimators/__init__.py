"""Estimators: networks for tables, by scikit-learn's contract; pictures, sounds, speech, texts."""

from chainrule.estimators.audio_classifier import SoundClassifier
from chainrule.estimators.base import NotFittedError
from chainrule.estimators.classifier import NetworkClassifier
from chainrule.estimators.image_classifier import ImageClassifier
from chainrule.estimators.regressor import NetworkRegressor
from chainrule.estimators.saving import load
from chainrule.estimators.speech_recognizer import SpeechRecognizer
from chainrule.estimators.text_classifier import TextClassifier
from chainrule.estimators.text_generator import TextGenerator

__all__ = [
    "ImageClassifier",
    "NetworkClassifier",
    "NetworkRegressor",
    "NotFittedError",
    "SoundClassifier",
    "SpeechRecognizer",
    "TextClassifier",
    "TextGenerator",
    "load",
]
