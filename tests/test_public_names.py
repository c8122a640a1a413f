"""What ``import chainrule as cr`` offers: the list, that all of it is there, and documented."""

import subprocess
import sys

import chainrule as cr
from chainrule.tensor import functions

NAMES = {
    "GradientTape",
    "Layer",
    "Model",
    "Sequential",
    "Tensor",
    "Variable",
    "activations",
    "callbacks",
    "check_gradients",
    "config",
    "constraints",
    "custom_gradient",
    "data",
    "errors",
    "estimators",
    "explain",
    "grad",
    "hessian",
    "initializers",
    "jacobian",
    "jit",
    "jvp",
    "layers",
    "load_model",
    "losses",
    "metrics",
    "networks",
    "optimizers",
    "plot",
    "random",
    "regularizers",
    "set_seed",
    "settings",
    "tensor",
    "testing",
    "value_and_grad",
    "vjp",
}
FUNCTIONS = {
    "abs",
    "add",
    "all",
    "any",
    "arange",
    "argmax",
    "argmin",
    "argsort",
    "astype",
    "average_pool",
    "bitwise_and",
    "bitwise_not",
    "bitwise_or",
    "bitwise_xor",
    "broadcast_to",
    "ceil",
    "clip",
    "concatenate",
    "convolution",
    "convolution_transpose",
    "cos",
    "cumsum",
    "divide",
    "equal",
    "erf",
    "erf_inv",
    "exp",
    "expand_dims",
    "expm1",
    "eye",
    "flip",
    "floor",
    "floor_divide",
    "full",
    "full_like",
    "greater",
    "greater_equal",
    "is_finite",
    "is_nan",
    "l2_normalize",
    "left_shift",
    "less",
    "less_equal",
    "linspace",
    "log",
    "log1p",
    "log_sigmoid",
    "log_softmax",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "logsumexp",
    "matmul",
    "max",
    "max_pool",
    "maximum",
    "mean",
    "min",
    "minimum",
    "moveaxis",
    "multiply",
    "negative",
    "norm",
    "not_equal",
    "one_hot",
    "ones",
    "ones_like",
    "pad",
    "power",
    "prod",
    "reciprocal",
    "relu",
    "remainder",
    "reshape",
    "resize",
    "right_shift",
    "round",
    "rsqrt",
    "scatter_add",
    "sigmoid",
    "sign",
    "sin",
    "softmax",
    "softplus",
    "sort",
    "split",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "std",
    "stop_gradient",
    "subtract",
    "sum",
    "swapaxes",
    "take",
    "take_along_axis",
    "tanh",
    "tile",
    "top_k",
    "transpose",
    "var",
    "where",
    "zeros",
    "zeros_like",
}


def test_the_list_of_public_names():
    assert set(functions.__all__) == FUNCTIONS
    assert set(cr.__all__) == NAMES | FUNCTIONS


def test_every_public_name_exists_and_says_what_it_is():
    for name in cr.__all__:
        value = getattr(cr, name)
        assert value.__doc__, name


def test_import_loads_numpy_only():
    program = (
        "import sys, chainrule;"
        "print(sorted({m.partition('.')[0] for m in sys.modules} & "
        "{'rich', 'click', 'polars', 'narwhals', 'safetensors', 'sklearn', 'pandas'}))"
    )
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert output.stdout.strip() == "[]"
