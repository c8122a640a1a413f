"""Floor 2: the derivative table and the engine that walks it, graph to graph."""

from chainrule.backprop.derivatives import DERIVATIVES
from chainrule.backprop.reverse import JOINT_DERIVATIVES, backpropagate, gradient_graph

__all__ = ["DERIVATIVES", "JOINT_DERIVATIVES", "backpropagate", "gradient_graph"]
