"""Checks for users and for our own tests: gradients, layers, back ends. No floor imports this."""

from chainrule.testing.gradients import check_gradients
from chainrule.testing.layer_checks import run_layer_checks
from chainrule.testing.samples import Sample, function_samples, primitive_samples

__all__ = ["Sample", "check_gradients", "function_samples", "primitive_samples", "run_layer_checks"]
