"""What the layers inside a layer return while it computes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from chainrule.nn.contents import walk
from chainrule.nn.layer import Layer
from chainrule.tensor import GradientTape, Tensor


class Output(NamedTuple):
    """A layer and what it returned."""

    layer: Layer
    value: Tensor


@contextmanager
def watched(model: Layer, tape: GradientTape | None = None) -> Iterator[list[Output]]:
    """List what each layer inside ``model`` returns, in the order in which they end; ``tape``
    follows all that is floating. Steps inside a loop are left out: they are traced only.
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
        if isinstance(value, Tensor) and not value.is_traced:
            if tape is not None and value.dtype.kind == "f":
                tape.watch(value)
            outputs.append(Output(layer, value))
        return value

    return call
