"""What the layers inside a model return while it computes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import ArgumentError, unknown_name
from chainrule.nn import Layer
from chainrule.nn.contents import walk
from chainrule.nn.watching import Output, watched
from chainrule.tensor import Tensor, functions, tensor


def find_layer(model: Layer, layer: str | Layer, where: str) -> Layer:
    """The layer of this path, or this layer, if the model holds it.

    Raises:
        UnknownNameError: the model has no layer of this path.
        ArgumentError: the layer is not inside the model.
    """
    places = [place for place in walk(model) if place.layer is not model]
    for place in places:
        if layer is place.layer or layer == place.path:
            return place.layer
    if isinstance(layer, str):
        raise unknown_name(where, "layer", layer, [place.path for place in places])
    raise ArgumentError(
        where, "the model does not hold this layer", got=repr(layer)[:80],
        expected=f"one of {', '.join(place.path for place in places)}",
    )  # fmt: skip


def floating_batch(model: Layer, x: Any) -> Tensor:
    """The inputs as one floating tensor in the model's dtype."""
    x = x if isinstance(x, Tensor) else tensor(np.asarray(x))
    return functions.astype(x, model.dtype)


def activations(model: Layer, x: Any, layer: str | Layer) -> NDArray[Any]:
    """What a layer inside the model returns for these inputs, outside training.

    Shapes: x (N, ...) -> (N, ...), the shape of the layer's output.

    Args:
        model: the model.
        x: a batch of inputs.
        layer: a layer of the model, or its path, such as ``"conv2d"``.

    Returns:
        The output; of a layer that is called several times, the last.

    Raises:
        UnknownNameError: the model has no layer of this path.
        ArgumentError: the layer is not inside the model, or was not called.

    Example:
        >>> import chainrule as cr
        >>> model = cr.Sequential([cr.layers.Dense(4, "relu"), cr.layers.Dense(1)])
        >>> _ = model(np.ones((2, 3), "float32"))
        >>> cr.explain.activations(model, np.ones((2, 3), "float32"), "dense").shape
        (2, 4)
    """
    where = "explain.activations"
    x = x if isinstance(x, Tensor) else tensor(np.asarray(x))
    if not model.built:
        model(x)
    found = find_layer(model, layer, where)
    with watched(model) as outputs:
        model(x, training=False)
    return last_output(outputs, found, where).numpy()


def last_output(outputs: list[Output], layer: Layer, where: str) -> Tensor:
    """What ``layer`` returned last."""
    for output in reversed(outputs):
        if output.layer is layer:
            return output.value
    raise ArgumentError(
        where, "the layer returned no tensor", got=layer.where,
        expected="a layer that the model calls, with one tensor as its result",
    )  # fmt: skip
