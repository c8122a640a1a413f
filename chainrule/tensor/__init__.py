"""Floor 4: tensors, their functions, gradients and compilation."""

# First: tensors have these functions as methods (see operators.py).
from chainrule.tensor import functions  # isort: skip
from chainrule.tensor import random
from chainrule.tensor.custom import custom_gradient
from chainrule.tensor.jit import jit
from chainrule.tensor.scan import scan
from chainrule.tensor.state import scope
from chainrule.tensor.tape import GradientTape
from chainrule.tensor.tensor import Tensor, Variable, tensor
from chainrule.tensor.transforms import grad, hessian, jacobian, jvp, value_and_grad, vjp

__all__ = [
    "GradientTape",
    "Tensor",
    "Variable",
    "custom_gradient",
    "functions",
    "grad",
    "hessian",
    "jacobian",
    "jit",
    "jvp",
    "random",
    "scan",
    "scope",
    "tensor",
    "value_and_grad",
    "vjp",
]
