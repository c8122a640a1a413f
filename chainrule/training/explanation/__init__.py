"""One training step, shown: forward, loss, backward, update."""

from chainrule.training.explanation.explanation import Explanation, explain_step

__all__ = ["Explanation", "explain_step"]
