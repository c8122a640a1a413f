"""run_layer_checks finds what it is there to find: each broken layer is caught by its own check."""

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ArgumentError, ChainruleError, GradientError
from chainrule.testing.layer_checks import LayerCheckError, run_layer_checks

CALLS = {"count": 0}


class Good(cr.Layer):
    def __init__(self, power: int = 2, **options: Any) -> None:
        super().__init__(**options)
        self.power = power

    def build(self, input_shape: Any) -> None:
        self.factor = self.add_weight("factor", (input_shape[-1],), "normal")

    def call(self, inputs: cr.Tensor) -> cr.Tensor:
        return inputs * self.factor


class WrongShape(Good):
    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], 99)


class WrongDType(Good):
    def call(self, inputs: cr.Tensor) -> cr.Tensor:
        return (inputs * self.factor).astype("float32")


class WrongBatch(Good):
    def call(self, inputs: cr.Tensor) -> cr.Tensor:
        return cr.concatenate([inputs, inputs]) * self.factor


class ForgetsConfig(Good):
    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "power": 3}

    def call(self, inputs: cr.Tensor) -> cr.Tensor:
        return inputs * self.factor * float(self.power)


class WrongGradient(Good):
    def call(self, inputs: cr.Tensor) -> cr.Tensor:
        return inputs * self.factor + cr.stop_gradient(inputs * inputs)


class WrongSecondOrder(Good):
    def call(self, inputs: cr.Tensor) -> cr.Tensor:
        @cr.custom_gradient
        def squared(x: cr.Tensor) -> Any:
            return x * x, lambda g: g * 2 * cr.stop_gradient(x)

        return squared(inputs) * self.factor


class Unused(Good):
    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        self.idle = self.add_weight("idle", (2,))


class CountsCalls(Good):
    def call(self, inputs: cr.Tensor) -> cr.Tensor:
        CALLS["count"] += 1
        return inputs * self.factor + float(CALLS["count"])


class NotSeeded(Good):
    def build(self, input_shape: Any) -> None:
        shape = (input_shape[-1],)
        self.factor = self.add_weight("factor", shape, lambda s, d: np.random.rand(*s))  # noqa: NPY002


class EagerOnly(Good):
    def call(self, inputs: cr.Tensor) -> cr.Tensor:
        return inputs * self.factor if float(inputs.sum()) > 0 else -inputs


class SharesVariables(Good):
    def __deepcopy__(self, memo: Any) -> "SharesVariables":
        return self


class Composite(cr.Layer):
    """Layers in a list, statistics, chance, and an input used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = [cr.layers.Dense(4, "tanh", l2=0.1), cr.layers.BatchNormalization()]
        self.dropout = cr.layers.Dropout(0.3)
        self.add = cr.layers.Add()
        self.last = cr.layers.Dense(2, "softmax")

    def call(self, inputs: cr.Tensor) -> cr.Tensor:
        hidden = inputs
        for block in self.blocks:
            hidden = block(hidden)
        return self.last(self.add([self.dropout(hidden), inputs]))


@pytest.mark.parametrize("layer", [Good, Composite])
def test_good_layers_pass(layer: Any) -> None:
    run_layer_checks(layer, (3, 4))


@pytest.mark.parametrize(
    ("layer", "error", "text"),
    [
        (WrongShape, LayerCheckError, "compute_output_shape is wrong"),
        (WrongDType, LayerCheckError, "wrong dtype"),
        (WrongBatch, LayerCheckError, "the batch axis changed"),
        (ForgetsConfig, LayerCheckError, "a layer made from the config computes something else"),
        (WrongGradient, GradientError, "first derivative"),
        (WrongSecondOrder, GradientError, "next derivative"),
        (Unused, LayerCheckError, "idle has no gradient"),
        (CountsCalls, LayerCheckError, "computes something else"),
        (NotSeeded, LayerCheckError, "another"),
        (EagerOnly, ChainruleError, "traced"),
        (SharesVariables, LayerCheckError, "a deep copy shares variables"),
    ],
)
def test_broken_layers_are_caught(layer: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        run_layer_checks(layer, (3, 4))
    assert text in str(caught.value)


def test_layer_that_keeps_no_argument_and_layer_already_built() -> None:
    class Forgets(Good):
        def __init__(self, size: int = 3) -> None:
            super().__init__()

    with pytest.raises(ArgumentError, match="was not kept"):
        run_layer_checks(Forgets, (3, 4))
    built = Good()
    built(np.ones((3, 4)))
    with pytest.raises(LayerCheckError, match="not built"):
        run_layer_checks(lambda: built, (3, 4))
