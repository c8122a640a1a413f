"""Sequential: layers one after another."""

from collections.abc import Iterable, Iterator
from typing import Any, Unpack

from chainrule.errors import ArgumentError
from chainrule.nn import Layer
from chainrule.nn.calling import call_parameters
from chainrule.nn.layer import LayerOptions
from chainrule.nn.layers.shaping import InputLayer
from chainrule.nn.masks import kept, step_mask
from chainrule.nn.naming import snake_case
from chainrule.nn.registry import register
from chainrule.tensor import Tensor
from chainrule.training.model import Model


@register
class Sequential(Model):
    """A model whose layers run one after another, each on the output of the one before.

    Layers are named after their class with a counter (``dense``, ``dense_1``), or as they were
    given.

    Args:
        layers: the layers, in order; more can be added with `add`.
        name: its name; default ``sequential``.
        dtype: floating inputs are cast to it; default the widest dtype of the layers.
        trainable: False leaves all variables out of training. Default True.

    Raises:
        ArgumentError: something that is no layer, or two layers of one name.

    Example:
        >>> import chainrule as cr
        >>> model = cr.Sequential([cr.layers.Dense(10, activation="relu"), cr.layers.Dense(1)])
        >>> model(np.ones((4, 3), "float32")).shape
        (4, 1)
        >>> list(model.weights)
        ['dense/kernel', 'dense/bias', 'dense_1/kernel', 'dense_1/bias']
    """

    def __init__(self, layers: Iterable[Layer] = (), **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self._stack: list[Layer] = []
        for layer in layers:
            self.add(layer)

    def add(self, layer: Layer) -> None:
        """Put a layer at the end."""
        if not isinstance(layer, Layer):
            raise ArgumentError(
                self.where,
                "not a layer",
                got=repr(layer)[:80],
                expected="a layer, such as cr.layers.Dense(10)",
                fix="wrap a function with cr.layers.Activation(function)"
                if callable(layer)
                else "",
            )
        names = [name for name, _ in self.named_layers()]
        given = layer._given_name
        if given in names and all(layer is not other for other in self._stack):
            raise ArgumentError(
                self.where,
                "two layers of one name",
                got=repr(given),
                fix="give one of them another name",
            )
        self._stack.append(layer)
        self.forget_compiled()

    def call(self, inputs: Tensor, mask: Any = None) -> Any:
        """The output of the last layer.

        Args:
            inputs: what the first layer takes.
            mask: True for the steps of each sequence that are there, (N, steps). Each layer that
                takes a mask is given it, up to a layer whose outputs are no sequences of these
                steps. Default None: all are there, unless a layer says otherwise, as an `Embedding`
                with a ``padding_index`` does.
        """
        known = None if mask is None else step_mask(self.where, mask, inputs.shape)
        outputs: Any = inputs
        for layer in self._stack:
            before = outputs
            if known is not None and "mask" in call_parameters(type(layer)):
                outputs = layer(outputs, mask=known)
            else:
                outputs = layer(outputs)
            known = kept(layer.compute_mask(before, known), layer.output_shape)
        return outputs

    def compute_mask(self, inputs: Any, mask: Tensor | None = None) -> Tensor | None:
        """The mask that is left behind the last layer; without those that layers after the first
        make of their inputs, which are not known here.
        """
        for layer in self._stack:
            mask = kept(layer.compute_mask(inputs, mask), layer.output_shape)
            inputs = inputs if isinstance(layer, InputLayer) else None
        return mask

    def named_layers(self) -> list[tuple[str, Layer]]:
        """The layers with their names."""
        taken = {layer._given_name for layer in self._stack}
        names: dict[int, str] = {}
        counts: dict[str, int] = {}
        for layer in self._stack:
            if id(layer) in names:
                continue
            name = layer._given_name
            while name is None:
                base = snake_case(type(layer).__name__)
                count = counts.get(base, 0)
                counts[base] = count + 1
                candidate = f"{base}_{count}" if count else base
                name = None if candidate in taken else candidate
            names[id(layer)] = name
        return [(names[id(layer)], layer) for layer in self._stack]

    def __len__(self) -> int:
        return len(self._stack)

    def __getitem__(self, index: int) -> Layer:
        return self._stack[index]

    def __iter__(self) -> Iterator[Layer]:
        return iter(self._stack)
