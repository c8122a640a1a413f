"""What the layers inside a model return while it computes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import ArgumentError, unknown_name
from chainrule.nn import Layer
from chainrule.nn.contents import walk
from chainrule.tensor import GradientTape, Tensor, functions, tensor


class Output(NamedTuple):
    """A layer and what it returned."""

    layer: Layer
    value: Tensor


@contextmanager
def watched(model: Layer, tape: GradientTape | None = None) -> Iterator[list[Output]]:
    """List what each layer inside ``model`` returns, in the order in which they end; ``tape``
    follows all that is floating.
    """
    outputs: list[Output] = []
    layers = [place.layer for place in walk(model) if place.layer is not model]
    for layer in layers:
        # On the object: it hides the method of the class until it is taken away again.
        layer.__dict__["call"] = _listing(layer, outputs, tape)
    try:
        yield outputs
    finally:
        for layer in layers:
            del layer.__dict__["call"]


def _listing(layer: Layer, outputs: list[Output], tape: GradientTape | None) -> Callable[..., Any]:
    compute = layer.call

    def call(*inputs: Any, **options: Any) -> Any:
        value = compute(*inputs, **options)
        if isinstance(value, Tensor):
            if tape is not None and value.dtype.kind == "f":
                tape.watch(value)
            outputs.append(Output(layer, value))
        return value

    return call


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
