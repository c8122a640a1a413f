"""The Layer base class: building, tracking, paths, modes, losses, configs, seeds, copies."""

import copy
import json
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import (
    ArgumentError,
    DTypeError,
    ShapeError,
    StateError,
    UnknownNameError,
)
from chainrule.nn.configurable import from_config, to_config


class SimpleNN(cr.Layer):
    """The article's network."""

    def __init__(self) -> None:
        super().__init__()
        self.dense1 = cr.layers.Dense(10, activation="relu")
        self.dense2 = cr.layers.Dense(1)

    def call(self, inputs: cr.Tensor) -> cr.Tensor:
        return self.dense2(self.dense1(inputs))


class Scale(cr.Layer):
    """A layer in ten lines."""

    def __init__(self, start: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        self.start = start

    def build(self, input_shape: Any) -> None:
        self.factor = self.add_weight(
            "factor", (input_shape[-1],), cr.initializers.Constant(self.start)
        )

    def call(self, inputs: cr.Tensor) -> cr.Tensor:
        return inputs * self.factor


class Block(cr.Layer):
    """Layers in a list and a dictionary, a variable of its own, a nested layer."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = cr.Variable(np.zeros(3, "float32"))
        self.stack = [cr.layers.Dense(3), cr.layers.Dense(3, use_bias=False)]
        self.heads = {"left": cr.layers.Dense(1), "right": SimpleNN()}

    def call(self, inputs: cr.Tensor) -> cr.Tensor:
        hidden = inputs + self.shift
        for layer in self.stack:
            hidden = layer(hidden)
        return self.heads["left"](hidden) + self.heads["right"](hidden)


class Mode(cr.Layer):
    """Shows whether it is training."""

    def call(self, inputs: cr.Tensor, training: bool | None = None) -> cr.Tensor:
        return inputs * 0 + float(bool(training))


X = np.random.default_rng(5).standard_normal((4, 3)).astype("float32")


# ---- building and tracking


def test_paths_follow_attributes() -> None:
    model = SimpleNN()
    assert model.weights == {}
    model(X)
    assert list(model.weights) == ["dense1/kernel", "dense1/bias", "dense2/kernel", "dense2/bias"]
    assert [v.path for v in model.variables] == list(model.weights)
    assert (model.dense1.path, model.dense1.name, model.path, model.name) == (
        "dense1", "dense1", "", "simple_nn",
    )  # fmt: skip
    assert model.layers == [model.dense1, model.dense2]
    assert model.count_params() == 3 * 10 + 10 + 10 + 1


def test_lists_dictionaries_and_variables_are_found() -> None:
    block = Block()
    block(X)
    assert list(block.weights) == [
        "shift", "stack/0/kernel", "stack/0/bias", "stack/1/kernel", "heads/left/kernel",
        "heads/left/bias", "heads/right/dense1/kernel", "heads/right/dense1/bias",
        "heads/right/dense2/kernel", "heads/right/dense2/bias",
    ]  # fmt: skip


def test_what_a_class_says_of_its_variables_and_layers_is_asked() -> None:
    class Renamed(Block):
        def named_layers(self) -> list[tuple[str, cr.Layer]]:
            return [(f"layer{i}", layer) for i, layer in enumerate(self.stack)]

    class Hiding(SimpleNN):
        def own_variables(self) -> list[tuple[str, cr.Variable]]:
            return [("extra", cr.Variable(1.0))]

    block, hiding = Renamed(), Hiding()
    block(X)
    hiding(X)
    assert list(block.weights)[:4] == ["shift", "layer0/kernel", "layer0/bias", "layer1/kernel"]
    assert list(hiding.weights)[:2] == ["extra", "dense1/kernel"]


def test_shared_layers_and_cycles_count_once() -> None:
    model = SimpleNN()
    model.dense3 = model.dense2  # type: ignore[attr-defined]  # the same layer again
    model.dense1.owner = model  # type: ignore[attr-defined]  # and a way back up
    model(X)
    assert len(model.variables) == 4
    assert model.count_params() == 51


def test_layer_moved_to_another_model_gets_its_paths_there() -> None:
    first = SimpleNN()
    first(X)

    class Second(cr.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.body = first.dense1
            self.dense1 = cr.layers.Dense(2)

        def call(self, inputs: cr.Tensor) -> cr.Tensor:
            return self.dense1(self.body(inputs))

    second = Second()
    second(X)
    assert list(second.weights) == ["body/kernel", "body/bias", "dense1/kernel", "dense1/bias"]
    assert [v.path for v in second.variables] == list(second.weights)


def test_layer_made_in_build_or_call_is_found() -> None:
    class Late(cr.Layer):
        def build(self, input_shape: Any) -> None:
            self.inner = cr.layers.Dense(input_shape[-1])

        def call(self, inputs: cr.Tensor) -> cr.Tensor:
            if not hasattr(self, "last"):
                self.last = cr.layers.Dense(1)
            return self.last(self.inner(inputs))

    layer = Late()
    layer(X)
    assert list(layer.weights) == ["inner/kernel", "inner/bias", "last/kernel", "last/bias"]
    assert [v.path for v in layer.variables] == list(layer.weights)


def test_user_layer_in_ten_lines_trains_and_saves() -> None:
    layer = Scale(start=2.0, name="gain")
    np.testing.assert_allclose(layer(X).numpy(), X * 2)
    assert layer.get_config() == {
        "start": 2.0, "name": "gain", "dtype": "float32", "trainable": True,
    }  # fmt: skip
    with cr.GradientTape() as tape:
        total = layer(X).sum()
    gradient = tape.gradient(total, layer.factor)
    np.testing.assert_allclose(gradient.numpy(), X.sum(0), rtol=1e-6)


def test_general_output_shape_of_a_user_layer() -> None:
    assert Scale().compute_output_shape((None, 3)) == (None, 3)
    assert SimpleNN().compute_output_shape((None, 7)) == (None, 1)


def test_failed_build_can_be_repeated() -> None:
    class Picky(cr.Layer):
        def build(self, input_shape: Any) -> None:
            self.w = self.add_weight("w", (input_shape[-1],))
            if input_shape[-1] != 3:
                raise ShapeError("picky", "wrong width", got=input_shape[-1], expected=3)

        def call(self, inputs: cr.Tensor) -> cr.Tensor:
            return inputs * self.w

    layer = Picky()
    with pytest.raises(ShapeError):
        layer(np.ones((2, 4)))
    assert layer(X).shape == (4, 3)
    assert [v.shape for v in layer.variables] == [(3,)]


def test_first_call_may_be_inside_jit() -> None:
    traced, eager = SimpleNN(), SimpleNN()
    traced.tree_seed = eager.tree_seed = 3
    compiled = cr.jit(lambda x: traced(x))
    np.testing.assert_allclose(compiled(X).numpy(), eager(X).numpy(), rtol=1e-6)
    np.testing.assert_allclose(compiled(X).numpy(), eager(X).numpy(), rtol=1e-6)
    assert len(compiled.graphs) == 1


def test_several_inputs_and_positional_arguments() -> None:
    class Mix(cr.Layer):
        def call(self, inputs: Any, factor: float = 1.0) -> cr.Tensor:
            return (inputs["a"] + inputs["b"]) * factor

    assert Mix()({"a": X, "b": X}, 2.0).numpy() == pytest.approx(X * 4)
    assert Mix()({"a": X, "b": X}, factor=0.5).numpy() == pytest.approx(X)


def test_input_kinds() -> None:
    layer = Scale(dtype="float64")
    assert layer(X).dtype == np.float64
    assert layer([[1.0, 2.0, 3.0]]).numpy().tolist() == [[1.0, 2.0, 3.0]]
    assert layer(cr.tensor([[1, 2, 3]])).dtype == np.float64
    pandas = pytest.importorskip("pandas")
    assert layer(pandas.DataFrame(X)).shape == (4, 3)


# ---- modes, freezing, losses


def test_training_reaches_inner_layers() -> None:
    class Outer(cr.Layer):
        def __init__(self, inner_training: bool | None) -> None:
            super().__init__()
            self.mode = Mode()
            self.inner_training = inner_training

        def call(self, inputs: cr.Tensor) -> cr.Tensor:
            return self.mode(inputs, training=self.inner_training)

    assert Outer(None)(X).numpy().max() == 0.0
    assert Outer(None)(X, training=True).numpy().min() == 1.0
    assert Outer(True)(X).numpy().min() == 1.0
    assert Outer(False)(X, training=True).numpy().max() == 0.0
    assert Mode()(X, training=None).numpy().max() == 0.0


def test_training_is_reset_after_an_error() -> None:
    class Fails(cr.Layer):
        def call(self, inputs: cr.Tensor) -> cr.Tensor:
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        Fails()(X, training=True)
    assert Mode()(X).numpy().max() == 0.0


def test_freezing() -> None:
    model = SimpleNN()
    model(X)
    model.dense1.trainable = False
    assert [v.path for v in model.trainable_variables] == ["dense2/kernel", "dense2/bias"]
    assert [v.path for v in model.non_trainable_variables] == ["dense1/kernel", "dense1/bias"]
    model.trainable = False
    assert model.trainable_variables == []
    model.trainable = True
    assert len(model.trainable_variables) == 4
    model.dense2.bias.trainable = False
    assert len(model.trainable_variables) == 3


def test_frozen_from_the_start_reaches_inner_layers() -> None:
    class Frozen(cr.Layer):
        def __init__(self) -> None:
            super().__init__(trainable=False)
            self.dense = cr.layers.Dense(2)

        def call(self, inputs: cr.Tensor) -> cr.Tensor:
            return self.dense(inputs)

    model = Frozen()
    model(X)
    assert model.trainable_variables == []
    assert len(model.non_trainable_variables) == 2


def test_added_losses_are_collected_from_the_tree_once_per_call() -> None:
    class Adds(cr.Layer):
        def call(self, inputs: cr.Tensor) -> cr.Tensor:
            self.add_loss(cr.sum(inputs))
            return inputs

    class Outer(cr.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.adds = Adds()

        def call(self, inputs: cr.Tensor) -> cr.Tensor:
            return self.adds(self.adds(inputs))

    model = Outer()
    model(X)
    model(X * 2)
    assert [loss.item() for loss in model.losses] == pytest.approx([2 * X.sum()] * 2, rel=1e-5)
    assert len(model.adds.losses) == 2


def test_stored_losses_of_a_traced_call_do_not_hinder_a_copy() -> None:
    layer = cr.layers.Dense(2, activity_regularizer="l2")
    cr.jit(lambda x: layer(x))(X)
    twin = copy.deepcopy(layer)
    assert twin.losses == []


# ---- configs


def test_config_of_nested_layers() -> None:
    class Pair(cr.Layer):
        def __init__(self, first: cr.Layer, others: list[cr.Layer]) -> None:
            super().__init__()
            self.first, self.others = first, others

        def call(self, inputs: cr.Tensor) -> cr.Tensor:
            return self.first(inputs)

    layer = Pair(cr.layers.Dense(2, "gelu"), [Scale(3.0), cr.layers.Dropout(0.5)])
    text = json.dumps(layer.get_config())
    again = Pair.from_config(json.loads(text), {"Scale": Scale})
    assert json.dumps(again.get_config()) == text
    assert isinstance(again.others[0], Scale)
    assert again.others[0].start == 3.0


def test_custom_functions_need_custom_objects() -> None:
    def squared(x: cr.Tensor) -> cr.Tensor:
        return x * x

    config = cr.layers.Dense(2, squared).get_config()
    again = cr.layers.Dense.from_config(config, {"squared": squared})
    assert again.activation is squared
    with pytest.raises(ArgumentError, match="custom_objects"):
        cr.layers.Dense.from_config(config)
    with pytest.raises(ArgumentError, match="without a name cannot be saved"):
        cr.layers.Dense(2, lambda x: x).get_config()


def test_auto_names_stay_auto_in_the_config() -> None:
    model = SimpleNN()
    model(X)
    assert model.dense1.get_config()["name"] is None
    assert cr.layers.Dense(2, name="hidden").get_config()["name"] == "hidden"


class Forgetful(cr.Layer):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.units = size


@pytest.mark.parametrize(
    ("part", "error", "text"),
    [
        ({"kind": "layer", "class": "Dens", "config": {}}, UnknownNameError, "mean 'Dense'?"),
        ({"kind": "layr", "class": "Dense", "config": {}}, UnknownNameError, "unknown kind"),
        ({"kind": "layer", "class": ["Dense"], "config": {}}, ArgumentError, "name of a class"),
        ({"kind": "layer", "class": "Dense", "config": {}}, ArgumentError, "incomplete config"),
        ({"kind": "layer", "class": "Dense", "config": [1]}, ArgumentError, "a dictionary"),
        (
            {"kind": "layer", "class": "Dense", "config": {"units": 2, "unit": 3}},
            UnknownNameError, "did you mean 'units'?",
        ),
        (
            {"kind": "layer", "class": "Dense", "config": {"units": -2}},
            ArgumentError, "a whole number of at least 1",
        ),
        ({"kind": "layer", "class": "L2", "config": {}}, UnknownNameError, "unknown layer"),
        ({"kind": "function", "class": "os.system", "config": {}}, ArgumentError, "custom_objects"),
    ],
)  # fmt: skip
def test_bad_configs(part: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        from_config(part)
    assert text in str(caught.value)


def test_config_of_what_cannot_be_written() -> None:
    with pytest.raises(ArgumentError, match=r"write self\.size = size in __init__"):
        Forgetful(3).get_config()
    with pytest.raises(ArgumentError, match="cannot be written to a config"):
        to_config(object(), "here")
    with pytest.raises(ArgumentError, match="is no layer"):
        from_config({"kind": "layer", "class": "Dense", "config": {}}, {"Dense": dict})


# ---- seeds


def test_seed_and_path_alone_decide_the_values() -> None:
    first, second = SimpleNN(), SimpleNN()
    first.tree_seed = second.tree_seed = 7
    second.assign_paths()
    second.extra = cr.layers.Dense(4)  # type: ignore[attr-defined]  # more layers change nothing
    first(X)
    second(X)
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first.dense1.kernel.numpy()[:, :1], first.dense2.kernel.numpy()[:3])


def test_reinitialize() -> None:
    model = SimpleNN()
    model.reinitialize(seed=1)
    model(X)
    first = model.get_weights()
    model.reinitialize(seed=2)
    assert not np.array_equal(model.get_weights()[0], first[0])
    model.reinitialize(seed=1)
    for a, b in zip(model.get_weights(), first, strict=True):
        np.testing.assert_array_equal(a, b)
    model.reinitialize()
    assert not np.array_equal(model.get_weights()[0], first[0])


def test_set_seed_gives_a_sequence_of_models() -> None:
    cr.set_seed(11)
    first = [_kernel(cr.layers.Dense(3)), _kernel(cr.layers.Dense(3))]
    cr.set_seed(11)
    second = [_kernel(cr.layers.Dense(3)), _kernel(cr.layers.Dense(3))]
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])
    assert not np.array_equal(first[0], first[1])


def _kernel(layer: cr.layers.Dense) -> np.ndarray:
    layer(X)
    return layer.kernel.numpy()


# ---- weights, copies, display


def test_get_and_set_weights() -> None:
    first, second = SimpleNN(), SimpleNN()
    first(X)
    second(X)
    second.set_weights(first.get_weights())
    np.testing.assert_array_equal(first(X).numpy(), second(X).numpy())
    with pytest.raises(ShapeError, match="wrong number of arrays: got 1, expected 4"):
        second.set_weights([np.zeros(3)])
    bad = [*first.get_weights()[:3], np.zeros(2)]
    before = second.get_weights()
    with pytest.raises(ShapeError, match=r"\[dense2/bias\] wrong shape"):
        second.set_weights(bad)
    np.testing.assert_array_equal(second.get_weights()[0], before[0])


def test_deep_copy_is_independent() -> None:
    model = SimpleNN()
    model(X)
    twin = copy.deepcopy(model)
    twin.dense1.kernel.assign(np.zeros((3, 10)))
    assert model.dense1.kernel.numpy().any()
    assert list(twin.weights) == list(model.weights)


def test_repr() -> None:
    layer = cr.layers.Dense(2)
    assert repr(layer) == "<Dense 'dense', not built>"
    layer(X)
    assert repr(layer) == "<Dense 'dense', 8 parameters>"


# ---- refusals


def test_name_dtype_and_unknown_arguments() -> None:
    for name in ("", "a/b", "a\n", "x" * 101, 3):
        with pytest.raises(ArgumentError, match="bad name"):
            Scale(name=name)
    with pytest.raises(DTypeError, match="expected one of float32, float64"):
        Scale(dtype="int32")
    with pytest.raises(DTypeError, match="bad dtype: got None"):
        Scale(dtype=None)
    with pytest.raises(UnknownNameError, match=r"did you mean 'activation'\?"):
        cr.layers.Dense(2, activaton="relu")
    with pytest.raises(ArgumentError, match="bad trainable"):
        Scale(trainable="yes")
    layer = Scale()
    layer(X)
    with pytest.raises(StateError, match="dtype set after building"):
        layer.dtype = "float64"


def test_missing_super_call_and_missing_call() -> None:
    class NoSuper(cr.Layer):
        def __init__(self) -> None:
            self.units = 3

    class NoCall(cr.Layer):
        pass

    with pytest.raises(StateError, match=r"\[no_super\] not set up.*super"):
        NoSuper()(X)
    with pytest.raises(StateError, match="NoCall has no call method"):
        NoCall()(X)


def test_two_weights_of_one_name() -> None:
    class Twice(cr.Layer):
        def build(self, input_shape: Any) -> None:
            self.add_weight("w", (1,))
            self.add_weight("w", (1,))

    with pytest.raises(ArgumentError, match="two variables of one name"):
        Twice()(X)


def test_errors_inside_name_the_layer() -> None:
    class Wrong(cr.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Scale()

        def call(self, inputs: cr.Tensor) -> cr.Tensor:
            return cr.matmul(self.inner(inputs), inputs)

    with pytest.raises(ShapeError) as caught:
        Wrong()(X)
    assert caught.value.__notes__ == ["in layer wrong (Wrong)"]


def test_unknown_call_arguments() -> None:
    with pytest.raises(UnknownNameError, match=r"did you mean 'training'\?"):
        Mode()(X, trainin=True)
    with pytest.raises(UnknownNameError, match="unknown argument: got 'mask'"):
        Scale()(X, mask=np.ones(4, bool))
