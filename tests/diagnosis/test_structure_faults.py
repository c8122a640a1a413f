"""Faults of the structure: each is seen where it was planted, and not where it only looks so."""

import contextlib
from collections.abc import Sequence

import numpy as np

import chainrule as cr
from chainrule.diagnosis.case import Case
from chainrule.diagnosis.faults import structure
from chainrule.errors import ShapeError
from chainrule.nn import Layer

layers = cr.layers
RANDOM = np.random.default_rng(5)
X = RANDOM.normal(size=(400, 2)).astype("float32")
#: inside or outside of a ring: no straight line parts them.
Y = (np.abs(np.linalg.norm(X, axis=1) - 1.1) < 0.45).astype("int32")
#: a bright bar in one of four corners.
CORNER = RANDOM.integers(0, 4, 240).astype("int32")
PICTURES = RANDOM.normal(0, 0.3, (240, 12, 12, 1)).astype("float32")
for row, corner in enumerate(CORNER):
    top, left = 6 * (corner // 2) + 1, 6 * (corner % 2) + 1
    PICTURES[row, top : top + 4, left : left + 4] += 1


def case_of(stack: Sequence[Layer], x=X, y=Y, rate=0.02, epochs=30) -> Case:
    """A case of a run with these layers, validated on the last quarter."""
    model, cut = cr.Sequential(stack), len(x) * 3 // 4
    with contextlib.suppress(ShapeError):
        model.fit(
            x[:cut], y[:cut], loss="cross_entropy", optimizer=cr.optimizers.Adam(rate), seed=1,
            epochs=epochs, validation_data=(x[cut:], y[cut:]), verbose=0,
        )  # fmt: skip
    return Case(model, x[:cut], y[:cut])


def dense(units: int, activation: str | None = "relu", **options) -> Layer:
    return layers.Dense(units, activation, **options)


def test_layers_without_activation_are_one_linear_layer():
    case = case_of([dense(16, None), dense(16, None), dense(2, None)], epochs=1)
    found = structure.no_activation(case)
    assert found is not None
    assert found.place == {"layer": "dense"}
    assert "`dense`, `dense_1` and `dense_2`" in found.sentence
    edited = found.remedies[0].apply(case.recipe).make()
    assert [layer.activation.__name__ for layer in edited] == ["relu", "relu", "linear"]


def test_an_activation_layer_or_a_bottleneck_before_relu_is_no_linear_network():
    apart = [dense(8, None), layers.Activation("tanh"), dense(2, None)]
    bottleneck = [dense(4, None), dense(16), dense(2, None)]
    alone = [dense(2, None)]
    for stack in (apart, bottleneck, alone):
        assert structure.no_activation(case_of(stack, epochs=1)) is None


def test_two_units_are_too_few_for_a_ring():
    found = structure.too_small(case_of([dense(2), dense(2, None)]))
    assert found is not None
    assert found.place == {"layer": "dense"}
    assert found.settled
    assert found.gain > 0.1
    assert found.strength >= 0.9


def test_a_floor_of_noise_is_not_a_network_too_small():
    flipped = RANDOM.random(len(X)) < 0.25
    noisy = np.where(flipped, 1 - Y, Y).astype("int32")
    case = case_of([dense(12), dense(2, None)], y=noisy)
    assert case.training_skill < 0.5
    assert structure.too_small(case) is None
    pure = case_of([dense(2), dense(2, None)], y=RANDOM.permutation(Y))
    found = structure.too_small(pure)
    assert found is None or not found.settled


def picture_layers(*behind: Layer, size: int = 3, **options) -> list[Layer]:
    return [
        layers.Conv2D(4, 3, padding="same", activation="relu"), *behind,
        layers.Conv2D(8, size, activation="relu", **options), layers.Flatten(), dense(4, None),
    ]  # fmt: skip


def test_pooling_over_the_whole_map_is_named():
    case = case_of(
        picture_layers(layers.MaxPooling2D(12), padding="same"), PICTURES, CORNER, epochs=10
    )
    found = structure.collapsed(case)
    assert found is not None
    assert found.place == {"layer": "max_pooling2d"}
    assert "1 of 144 places" in found.sentence
    twin = case.twin(found.remedies[0].apply(case.recipe), "without")
    assert twin.gain > 0.3


def test_pooling_that_leaves_places_or_at_the_end_of_a_small_map_is_fine():
    pooled = picture_layers(layers.MaxPooling2D(2), padding="same")
    last = [layers.Conv2D(4, 3, 6, activation="relu"), layers.AveragePooling2D(2), layers.Flatten()]
    for stack in (pooled, [*last, dense(4, None)]):
        assert structure.collapsed(case_of(stack, PICTURES, CORNER, epochs=1)) is None


def test_a_window_larger_than_its_input_is_named_though_fit_refuses_it():
    case = case_of(picture_layers(layers.MaxPooling2D(4), size=5), PICTURES, CORNER)
    assert case.refused
    found = structure.collapsed(case)
    assert found is not None
    assert found.settled
    assert found.place == {"layer": "conv2d_1"}
    assert "5 x 5" in found.sentence
    assert "3 x 3" in found.sentence
    assert found.remedies[0].apply(case.recipe).train().error is None


def test_dropout_of_nearly_everything():
    case = case_of([dense(16), layers.Dropout(0.95), dense(2, None)], epochs=10)
    found = structure.dropped(case)
    assert found is not None
    assert found.place == {"layer": "dropout"}
    assert "95%" in found.sentence
    remedy = found.remedies[0]
    assert remedy.automatic == "A"
    assert remedy.apply(case.recipe).make()[1].rate == structure.USUAL_DROPOUT


def test_ordinary_dropout_is_not_suspected():
    stack = [dense(16), layers.Dropout(0.5), dense(2, None)]
    assert structure.dropped(case_of(stack, epochs=2)) is None
