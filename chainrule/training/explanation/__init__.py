"""One training step, shown: forward, loss, backward, update."""

from chainrule.training.explanation.explanation import Explanation, explain_step
from chainrule.training.explanation.report import Names

__all__ = ["Explanation", "Names", "explain_step"]
