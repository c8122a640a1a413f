"""Training: models, fit and its loop, callbacks, history."""

from chainrule.training.callbacks import Callback
from chainrule.training.history import History
from chainrule.training.model import Model
from chainrule.training.sequential import Sequential
from chainrule.training.step import EvaluationStep, TrainingStep

__all__ = ["Callback", "EvaluationStep", "History", "Model", "Sequential", "TrainingStep"]
