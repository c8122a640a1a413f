"""Floor 2: graph to graph, same result, less work."""

from chainrule.passes.pipeline import PASSES, optimize

__all__ = ["PASSES", "optimize"]
