"""What the layers of a model compute while it is traced: their inputs, z and outputs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from chainrule.nn import Layer
from chainrule.nn.contents import walk
from chainrule.tensor import Tensor
from chainrule.tensor.trace import Trace
from chainrule.tree import flatten

#: Gets what a layer computed and gives what the model goes on with.
Passing = Callable[[Tensor], Tensor]


@dataclass
class Seen:
    """A call of a layer.

    Attributes:
        layer: the layer.
        inputs: what came in; of several inputs the first.
        sources: for each input the number of the call that made it, -1 for anything else.
        z: what went into the activation, None where the layer has none.
        a: what came out.
    """

    layer: Layer
    inputs: Tensor
    sources: tuple[int, ...]
    z: Tensor | None
    a: Tensor


@contextmanager
def listened(model: Layer, trace: Trace, passing: Passing) -> Iterator[list[Seen]]:
    """List the calls of the layers inside a model, with what goes into their activations.

    What is computed inside loops is left out: it stands for many steps.

    Args:
        model: the model.
        trace: the trace that it is called in.
        passing: is given each z and each output, and returns what takes its place.
    """
    seen: list[Seen] = []
    layers = [place.layer for place in walk(model) if place.layer is not model]
    activations = [layer.__dict__.get("activation") for layer in layers]
    for layer, activation in zip(layers, activations, strict=True):
        held: list[Tensor] = []
        if callable(activation):
            layer.__dict__["activation"] = _noting(activation, held, trace, passing)
        layer.__dict__["call"] = _listing(layer, held, seen, trace, passing)
    try:
        yield seen
    finally:
        for layer, activation in zip(layers, activations, strict=True):
            del layer.__dict__["call"]
            if callable(activation):
                layer.__dict__["activation"] = activation


def _noting(
    function: Callable[[Tensor], Tensor], held: list[Tensor], trace: Trace, passing: Passing
) -> Callable[[Tensor], Tensor]:
    """An activation that tells what went in."""

    def activation(z: Tensor) -> Tensor:
        if trace.holds(z):
            z = passing(z)
            held[:] = [z]
        return function(z)

    return activation


def _listing(
    layer: Layer, held: list[Tensor], seen: list[Seen], trace: Trace, passing: Passing
) -> Callable[..., Any]:
    compute = layer.call

    def call(*inputs: Any, **options: Any) -> Any:
        held.clear()
        value = compute(*inputs, **options)
        given = [x for x in flatten(inputs[:1])[0] if isinstance(x, Tensor)]
        if not isinstance(value, Tensor) or not given:
            return value
        if trace.holds(value) and value.dtype.kind == "f":
            value = passing(value)
            # Of a container and the last layer in it, the layer.
            made = {id(s.a): number for number, s in reversed(list(enumerate(seen)))}
            sources = tuple(made.get(id(x), -1) for x in given)
            seen.append(Seen(layer, given[0], sources, held[0] if held else None, value))
        return value

    return call
