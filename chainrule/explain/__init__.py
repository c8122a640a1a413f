"""What a trained network looks at, as arrays; ``cr.plot`` draws the same."""

from chainrule.explain.layers import activations
from chainrule.explain.mistakes import confident_mistakes
from chainrule.explain.pictures import best_classes, grad_cam, input_gradient, saliency

__all__ = [
    "activations",
    "best_classes",
    "confident_mistakes",
    "grad_cam",
    "input_gradient",
    "saliency",
]
