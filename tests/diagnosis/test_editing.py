"""Remedies that change the model of a run: what they change, and what they leave."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.diagnosis import editing
from chainrule.diagnosis.recipe import Recipe, recipe_of

layers = cr.layers
X = np.random.default_rng(0).normal(size=(40, 5)).astype("float32")
Y = X[:, :1] - X[:, 1:2]


def fitted(model: cr.Model, x=X, y=Y) -> Recipe:
    """The recipe of a short run."""
    model.fit(x, y, loss="mse", epochs=2, seed=3, verbose=0)
    return recipe_of(model, x, y)


def stack() -> cr.Sequential:
    return cr.Sequential(
        [layers.Dense(8, "tanh"), layers.Dropout(0.5), layers.Dense(6, "tanh"), layers.Dense(1)]
    )


def first(recipe: Recipe) -> dict[str, np.ndarray]:
    return {path: value.numpy() for path, value in recipe.make().weights.items()}


def test_layers_that_are_not_touched_keep_their_first_weights():
    recipe = fitted(stack())
    before = first(recipe)
    changed = editing.insert_before(recipe, ["dense_1"], layers.BatchNormalization)
    model = changed.make()
    assert [name for name, _ in model.named_layers()] == [
        "dense", "dropout", "batch_normalization", "dense_1", "dense_2",
    ]  # fmt: skip
    assert model.built
    after = first(changed)
    assert all(np.array_equal(before[path], after[path]) for path in before)
    assert first(recipe).keys() == before.keys()
    assert changed.train().error is None


def test_only_what_has_another_shape_is_drawn_anew():
    recipe = fitted(stack())
    before, after = first(recipe), first(editing.with_widths(recipe, 2))
    assert after["dense/kernel"].shape == (5, 16)
    assert after["dense_1/kernel"].shape == (16, 12)
    assert after["dense_2/kernel"].shape == (12, 1)
    assert np.array_equal(before["dense_2/bias"], after["dense_2/bias"])
    removed = first(editing.remove_layers(recipe, ["dense_1"]))
    assert removed["dense_1/kernel"].shape == (8, 1)
    assert np.array_equal(before["dense/kernel"], removed["dense/kernel"])


def test_a_replaced_layer_and_layers_behind_it():
    recipe = fitted(stack())
    changed = editing.replace_layer(
        recipe, "dropout", lambda _: [layers.Dense(3), layers.Activation("relu")]
    )
    assert [type(layer).__name__ for layer in changed.make().layers] == [
        "Dense", "Dense", "Activation", "Dense", "Dense",
    ]  # fmt: skip
    assert first(changed)["dense_2/kernel"].shape == (3, 6)
    assert changed.train().error is None


def test_a_new_model_is_left_unbuilt():
    recipe = Recipe(stack, X, Y, None, cr.optimizers.Adam, {"loss": "mse", "seed": 1})
    changed = editing.configure(recipe, ["dense"], units=9)
    assert not changed.make().built
    trained = changed.train()
    assert trained.error is None
    assert trained.model[0].units == 9


def test_a_function_without_a_name_survives():
    model = cr.Sequential([layers.Dense(4), layers.Dense(4, lambda x: x * 2), layers.Dense(1)])
    changed = editing.configure(fitted(model), ["dense"], units=7)
    assert changed.make()(X[:2]).shape == (2, 1)


class Own(cr.Model):
    def __init__(self):
        super().__init__()
        self.hidden = layers.Dense(8, "sigmoid")
        self.memory = layers.GRU(4, dropout=0.8)
        self.out = layers.Dense(1)

    def call(self, inputs):
        return self.out(self.memory(self.hidden(inputs)))


def test_attributes_of_any_model():
    x = X.reshape(40, 5, 1)
    recipe = fitted(Own(), x, Y)
    model = editing.set_activation(recipe, ["hidden", "memory"], "relu").make()
    names = (model.hidden, model.memory, model.memory.cell, model.out)
    assert [layer.activation.__name__ for layer in names] == ["relu", "relu", "relu", "linear"]
    model = editing.set_dropout(recipe, 0.2).make()
    assert (model.memory.dropout, model.memory.recurrent_dropout) == (0.2, 0.0)
    assert not editing.is_sequential(model)


@pytest.mark.parametrize("built", [True, False])
def test_first_values_are_those_of_a_model_made_with_the_initializer(built):
    recipe = fitted(stack())
    if not built:
        recipe = Recipe(stack, X, Y, None, cr.optimizers.Adam, {"loss": "mse", "seed": 3})
    changed = editing.set_initializer(recipe, {"kernel": "he_normal"}, ["dense_1"])
    model = changed.make()
    model.seed_if_new(3)
    model(X[:2])
    wanted = cr.Sequential(
        [
            layers.Dense(8, "tanh"),
            layers.Dropout(0.5),
            layers.Dense(6, "tanh", kernel_initializer="he_normal"),
            layers.Dense(1),
        ]
    )
    wanted.tree_seed = 3
    wanted(X[:2])
    for path, value in wanted.weights.items():
        np.testing.assert_array_equal(model.weights[path].numpy(), value.numpy())
