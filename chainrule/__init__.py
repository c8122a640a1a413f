"""chainrule: train neural networks by backpropagation, on the CPU and the data you have.

    import chainrule as cr

    model = cr.Sequential([cr.layers.Dense(10, activation="relu"), cr.layers.Dense(1)])
    history = model.fit(x, y, loss="mse", optimizer="adam", epochs=100, until={"loss": 0.05})
    model.predict(x_new)

Parts that a program may not need (``Model``, ``estimators``, ``data``, ...) are loaded when they
are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from chainrule import errors
from chainrule.config import config, settings
from chainrule.tensor import (
    GradientTape,
    Tensor,
    Variable,
    custom_gradient,
    functions,
    grad,
    hessian,
    jacobian,
    jit,
    jvp,
    random,
    scan,
    tensor,
    value_and_grad,
    vjp,
)
from chainrule.tensor.functions import *  # noqa: F403  # its __all__ is the list of functions

if TYPE_CHECKING:
    from chainrule import (
        data,
        decoding,
        estimators,
        explain,
        losses,
        metrics,
        networks,
        optimizers,
        plot,
        testing,
    )
    from chainrule.diagnosis.diagnose import diagnose
    from chainrule.nn import activations, constraints, initializers, layers, regularizers
    from chainrule.nn.layer import Layer
    from chainrule.nn.seeding import set_seed
    from chainrule.testing.gradients import check_gradients
    from chainrule.training import callbacks
    from chainrule.training.checkpoints import Checkpoint
    from chainrule.training.model import Model
    from chainrule.training.saving import load_model
    from chainrule.training.sequential import Sequential

__version__ = "0.1.0"

# name -> (module, attribute; "" for the module itself)
_LAZY = {
    "Checkpoint": ("chainrule.training.checkpoints", "Checkpoint"),
    "Layer": ("chainrule.nn.layer", "Layer"),
    "Model": ("chainrule.training.model", "Model"),
    "Sequential": ("chainrule.training.sequential", "Sequential"),
    "activations": ("chainrule.nn.activations", ""),
    "callbacks": ("chainrule.training.callbacks", ""),
    "check_gradients": ("chainrule.testing.gradients", "check_gradients"),
    "constraints": ("chainrule.nn.constraints", ""),
    "data": ("chainrule.data", ""),
    "decoding": ("chainrule.decoding", ""),
    "diagnose": ("chainrule.diagnosis.diagnose", "diagnose"),
    "estimators": ("chainrule.estimators", ""),
    "explain": ("chainrule.explain", ""),
    "initializers": ("chainrule.nn.initializers", ""),
    "layers": ("chainrule.nn.layers", ""),
    "load_model": ("chainrule.training.saving", "load_model"),
    "losses": ("chainrule.losses", ""),
    "metrics": ("chainrule.metrics", ""),
    "networks": ("chainrule.networks", ""),
    "optimizers": ("chainrule.optimizers", ""),
    "plot": ("chainrule.plot", ""),
    "regularizers": ("chainrule.nn.regularizers", ""),
    "set_seed": ("chainrule.nn.seeding", "set_seed"),
    "testing": ("chainrule.testing", ""),
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'chainrule' has no attribute {name!r}")
    module, attribute = _LAZY[name]
    loaded = import_module(module)
    value = getattr(loaded, attribute) if attribute else loaded
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


__all__ = [
    "Checkpoint",
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
    "decoding",
    "diagnose",
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
    "scan",
    "set_seed",
    "settings",
    "tensor",
    "testing",
    "value_and_grad",
    "vjp",
]
__all__ += functions.__all__
