"""Activation functions, by name or as functions: all act elementwise except softmax and
log_softmax.

Wherever a layer takes ``activation=``, it takes a name (``"relu"``), a name with parameters
(``{"name": "leaky_relu", "negative_slope": 0.2}``) or any function from a tensor to a tensor.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from chainrule.errors import ArgumentError, unknown_name
from chainrule.nn.naming import look_up
from chainrule.nn.validate import number
from chainrule.tensor import Tensor, functions
from chainrule.tensor.custom import attach_gradient

ActivationFunction = Callable[[Tensor], Tensor]

# Chosen by the authors of selu so that mean 0 and variance 1 are kept from layer to layer.
SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


def linear(x: Tensor) -> Tensor:
    """The input itself.

    f(x) = x

    Example:
        >>> import chainrule as cr
        >>> float(cr.activations.linear(cr.tensor(3.0)))
        3.0
    """
    return x


def relu(x: Tensor) -> Tensor:
    """Rectified linear unit; its derivative at 0 is taken as 0.

    f(x) = max(x, 0)

    Example:
        >>> import chainrule as cr
        >>> cr.activations.relu(cr.tensor([-1.0, 2.0])).numpy().tolist()
        [0.0, 2.0]

    Reference: Nair and Hinton, "Rectified linear units improve restricted Boltzmann machines",
        2010.
    """
    return functions.relu(x)


def leaky_relu(x: Tensor, negative_slope: float = 0.01) -> Tensor:
    """Rectified linear unit that lets a little through below zero.

    f(x) = x where x > 0, else negative_slope * x

    Args:
        x: any shape.
        negative_slope: the slope below zero. Default 0.01, as in PyTorch and the paper; Keras
            takes 0.2.

    Example:
        >>> import chainrule as cr
        >>> cr.activations.leaky_relu(cr.tensor([-1.0, 2.0]), negative_slope=0.5).numpy().tolist()
        [-0.5, 2.0]

    Reference: Maas et al., "Rectifier nonlinearities improve neural network acoustic models", 2013.
    """
    return functions.where(functions.greater(x, 0), x, x * negative_slope)


def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """Exponential linear unit.

    f(x) = x where x > 0, else alpha * (exp(x) - 1)

    Args:
        x: any shape.
        alpha: minus the limit for very negative x. Default 1.0.

    Example:
        >>> import chainrule as cr
        >>> round(float(cr.activations.elu(cr.tensor(-1.0))), 4)
        -0.6321

    Reference: Clevert et al., "Fast and accurate deep network learning by exponential linear
        units", 2016.
    """
    below = functions.expm1(functions.minimum(x, 0)) * alpha
    return functions.where(functions.greater(x, 0), x, below)


def selu(x: Tensor) -> Tensor:
    """Scaled exponential linear unit; use it with ``kernel_initializer="lecun_normal"``.

    f(x) = 1.0507 * elu(x, alpha=1.6733)

    Example:
        >>> import chainrule as cr
        >>> round(float(cr.activations.selu(cr.tensor(1.0))), 4)
        1.0507

    Reference: Klambauer et al., "Self-normalizing neural networks", 2017.
    """
    return elu(x, SELU_ALPHA) * SELU_SCALE


def gelu(x: Tensor, approximate: bool = False) -> Tensor:
    """Gaussian error linear unit.

    f(x) = x * P(Z <= x) = x/2 * (1 + erf(x / sqrt(2))), Z standard normal

    Args:
        x: any shape.
        approximate: True takes the form with tanh, x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715
            x^3))). Default False.

    Example:
        >>> import chainrule as cr
        >>> round(float(cr.activations.gelu(cr.tensor(1.0))), 4)
        0.8413

    Reference: Hendrycks and Gimpel, "Gaussian error linear units", 2016.
    """
    if approximate:
        inner = (x + x * x * x * 0.044715) * 0.7978845608028654
        return x * 0.5 * (functions.tanh(inner) + 1)
    share = (functions.erf(x * 0.7071067811865476) + 1) * 0.5

    def gradient(g: Tensor) -> tuple[Tensor]:
        density = functions.exp(functions.square(x) * -0.5) * 0.3989422804014327
        # One factor, made in the forward pass: half of what its pieces would keep for the backward.
        return (g * (share + x * density),)

    return attach_gradient(x * share, (x,), gradient)


def silu(x: Tensor) -> Tensor:
    """Sigmoid-weighted linear unit, also called swish.

    f(x) = x * sigmoid(x)

    Example:
        >>> import chainrule as cr
        >>> round(float(cr.activations.silu(cr.tensor(1.0))), 4)
        0.7311

    Reference: Elfwing et al., "Sigmoid-weighted linear units for neural network function
        approximation", 2018.
    """
    return x * functions.sigmoid(x)


def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent, between -1 and 1.

    f(x) = (exp(x) - exp(-x)) / (exp(x) + exp(-x))

    Example:
        >>> import chainrule as cr
        >>> round(float(cr.activations.tanh(cr.tensor(1.0))), 4)
        0.7616
    """
    return functions.tanh(x)


def sigmoid(x: Tensor) -> Tensor:
    """Logistic function, between 0 and 1. As a last layer it is folded into a cross-entropy loss.

    f(x) = 1 / (1 + exp(-x))

    Example:
        >>> import chainrule as cr
        >>> float(cr.activations.sigmoid(cr.tensor(0.0)))
        0.5
    """
    return functions.sigmoid(x)


def softplus(x: Tensor) -> Tensor:
    """Smooth form of relu, without overflow for large x.

    f(x) = log(1 + exp(x))

    Example:
        >>> import chainrule as cr
        >>> round(float(cr.activations.softplus(cr.tensor(0.0))), 4)
        0.6931

    Reference: Dugas et al., "Incorporating second-order functional knowledge for better option
        pricing", 2001.
    """
    return functions.softplus(x)


def softsign(x: Tensor) -> Tensor:
    """Between -1 and 1 like tanh, but reaching them slowly.

    f(x) = x / (1 + |x|)

    Example:
        >>> import chainrule as cr
        >>> float(cr.activations.softsign(cr.tensor(3.0)))
        0.75
    """
    return x / (functions.abs(x) + 1)


def hard_sigmoid(x: Tensor) -> Tensor:
    """Straight-line form of sigmoid.

    f(x) = min(max(x + 3, 0), 6) / 6, as in Keras 3 and PyTorch

    Example:
        >>> import chainrule as cr
        >>> cr.activations.hard_sigmoid(cr.tensor([-4.0, 0.0, 4.0])).numpy().tolist()
        [0.0, 0.5, 1.0]
    """
    return relu6(x + 3) / 6


def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """Probabilities along one axis. As a last layer it is folded into a cross-entropy loss.

    f(x)_i = exp(x_i) / sum_j exp(x_j)

    Args:
        x: shape (..., classes).
        axis: the axis along which the results sum to 1. Default -1.

    Example:
        >>> import chainrule as cr
        >>> cr.activations.softmax(cr.tensor([[0.0, 0.0]])).numpy().tolist()
        [[0.5, 0.5]]
    """
    return functions.softmax(x, axis)


def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    """The logarithm of softmax, without overflow.

    f(x)_i = x_i - log(sum_j exp(x_j))

    Args:
        x: shape (..., classes).
        axis: the axis of the classes. Default -1.

    Example:
        >>> import chainrule as cr
        >>> round(float(cr.activations.log_softmax(cr.tensor([0.0, 0.0]))[0]), 4)
        -0.6931
    """
    return functions.log_softmax(x, axis)


def mish(x: Tensor) -> Tensor:
    """A smooth function close to silu.

    f(x) = x * tanh(softplus(x))

    Example:
        >>> import chainrule as cr
        >>> round(float(cr.activations.mish(cr.tensor(1.0))), 4)
        0.8651

    Reference: Misra, "Mish: a self regularized non-monotonic activation function", 2019.
    """
    return x * functions.tanh(functions.softplus(x))


def relu6(x: Tensor) -> Tensor:
    """Rectified linear unit cut off at 6.

    f(x) = min(max(x, 0), 6)

    Example:
        >>> import chainrule as cr
        >>> cr.activations.relu6(cr.tensor([-1.0, 2.0, 9.0])).numpy().tolist()
        [0.0, 2.0, 6.0]
    """
    return functions.clip(x, 0, 6)


def exponential(x: Tensor) -> Tensor:
    """The exponential function.

    f(x) = exp(x)

    Example:
        >>> import chainrule as cr
        >>> float(cr.activations.exponential(cr.tensor(0.0)))
        1.0
    """
    return functions.exp(x)


ACTIVATIONS: dict[str, Callable[..., Tensor]] = {
    function.__name__: function
    for function in (
        linear, relu, leaky_relu, elu, selu, gelu, silu, tanh, sigmoid, softplus, softsign,
        hard_sigmoid, softmax, log_softmax, mish, relu6, exponential,
    )
}  # fmt: skip

# Other names of the same functions: scikit-learn, PyTorch, Keras and the literature.
ALIASES = {"identity": "linear", "logistic": "sigmoid", "swish": "silu", "exp": "exponential"}


def get(identifier: object) -> ActivationFunction:
    """The activation function that a name, a name with parameters or a function means.

    Args:
        identifier: None (linear), a name in any usual spelling ("relu", "LeakyReLU", "logistic"),
            a dictionary ``{"name": "leaky_relu", "negative_slope": 0.2}``, or a function from a
            tensor to a tensor.

    Raises:
        UnknownNameError: no activation or parameter has this name.
        ArgumentError: the argument is none of these.

    Example:
        >>> import chainrule as cr
        >>> cr.activations.get("ReLU").__name__
        'relu'
    """
    if identifier is None:
        return linear
    if isinstance(identifier, str):
        return look_up("activation", "activation", identifier, ACTIVATIONS, ALIASES)
    if isinstance(identifier, Mapping) and isinstance(identifier.get("name"), str):
        parameters = {key: value for key, value in identifier.items() if key != "name"}
        return _with_parameters(identifier["name"], parameters)
    if callable(identifier) and not isinstance(identifier, type):
        function: ActivationFunction = identifier
        return function
    raise ArgumentError(
        "activation", "bad activation", got=repr(identifier)[:80],
        expected="a name, a function from a tensor to a tensor, or None",
    )  # fmt: skip


def _with_parameters(name: str, parameters: Mapping[str, Any]) -> ActivationFunction:
    function = look_up("activation", "activation", name, ACTIVATIONS, ALIASES)
    known = list(inspect.signature(function).parameters)[1:]
    for key, value in parameters.items():
        if key not in known:
            raise unknown_name(name, "parameter", key, known or ["none"])
        if not isinstance(value, bool):
            number(name, key, value)
    return functools.partial(function, **parameters) if parameters else function


def to_config(function: Callable[..., Any]) -> str | dict[str, Any] | None:
    """The name, with parameters, from which ``get`` makes this function; None for others."""
    if isinstance(function, functools.partial) and not function.args:
        name = to_config(function.func)
        return {"name": name, **function.keywords} if isinstance(name, str) else None
    name = getattr(function, "__name__", "")
    if ACTIVATIONS.get(name) is function:
        return str(name)
    same = getattr(functions, name, None) if name in ACTIVATIONS else None
    return name if same is function and same is not None else None
