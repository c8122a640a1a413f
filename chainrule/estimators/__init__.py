"""Estimators for tables: networks under scikit-learn's contract, with or without scikit-learn."""

from chainrule.estimators.base import NotFittedError
from chainrule.estimators.classifier import NetworkClassifier
from chainrule.estimators.regressor import NetworkRegressor
from chainrule.estimators.saving import load

__all__ = ["NetworkClassifier", "NetworkRegressor", "NotFittedError", "load"]
