"""Faults of the task, planted and in healthy runs that look alike."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.config import settings
from chainrule.diagnosis.case import Case
from chainrule.diagnosis.faults.task import _floor
from chainrule.diagnosis.measurements.loss_forms import pairs_instead_of_rows
from chainrule.diagnosis.table import BY_CODE

layers = cr.layers
random = np.random.default_rng(0)
X = random.normal(size=(120, 5)).astype("float32")
QUANTITY = (X[:, :1] - 2 * X[:, 1:2] + 0.3).astype("float32")
CLASSES = (X @ random.normal(size=(5, 3))).argmax(1).astype("int32")
BINARY = (X[:, 0] > 0).astype("int32")


def stack(*head, front=()):
    return cr.Sequential([*front, layers.Dense(8, "relu"), *head])


def fitted(model, y, loss, x=X, refused=False, **options):
    options = {"epochs": 3, "seed": 1, "verbose": 0, **options}
    if refused:
        with pytest.raises((ValueError, TypeError)):
            model.fit(x, y, loss=loss, **options)
    else:
        model.fit(x, y, loss=loss, **options)
    return Case(model, x, y)


@pytest.fixture(autouse=True)
def interpreted():
    """For a few steps nothing has to be compiled."""
    with settings(backend="reference"):
        yield


def found(code, case):
    return BY_CODE[code].probe(case)


# ---- T1


def flat(y_true, y_pred):
    return cr.mean((cr.reshape(y_true, (-1,)) - y_pred) ** 2)


def mirrored(y_true, y_pred):
    return cr.sum(abs(y_true - y_pred[:, 0]))


def aligned(y_true, y_pred):
    return cr.mean((y_true - y_pred) ** 2)


def ranking(y_true, y_pred):
    """Meant to compare pairs: the order of predictions with that of targets."""
    wanted = cr.sign(y_true - cr.transpose(y_true))
    return cr.mean(cr.log1p(cr.exp(-wanted * (y_pred - cr.transpose(y_pred)))))


@pytest.mark.parametrize("loss", [flat, mirrored])
def test_a_loss_over_all_pairs_is_found_and_aligned(loss):
    case = fitted(stack(layers.Dense(1)), QUANTITY[:, 0], loss)
    evidence = found("T1", case)
    assert evidence.settled
    assert evidence.place == {"operation": loss.__name__}
    fixed = evidence.remedies[0].apply(case.recipe).settings["loss"]
    p = random.normal(size=QUANTITY.shape).astype("float32")
    difference = QUANTITY - p
    right = (difference**2).mean() if loss is flat else abs(difference).sum()
    assert float(fixed(QUANTITY, p)) == pytest.approx(right, rel=1e-5)


@pytest.mark.parametrize("loss", [aligned, ranking, "mse"])
def test_losses_of_rows_and_losses_that_mean_pairs_are_left(loss):
    assert found("T1", fitted(stack(layers.Dense(1)), QUANTITY[:, 0], loss)) is None


def test_pairs_are_told_from_rows_by_values():
    y, p = QUANTITY[:7], X[:7, 2:3]
    assert pairs_instead_of_rows(lambda t, o: ((t - o) ** 2).mean(), y, p) is False
    assert pairs_instead_of_rows(lambda t, o: ((t[:, 0] - o) ** 2).mean(), y, p) is True


# ---- T2


def test_targets_out_of_the_range_of_the_head():
    case = fitted(stack(layers.Dense(1, "relu")), QUANTITY, "mse")
    evidence = found("T2", case)
    assert evidence.settled
    assert evidence.place == {"layer": "dense_1"}
    assert "down to" in evidence.sentence
    model = evidence.remedies[0].apply(case.recipe).make()
    assert model[-1].activation.__name__ == "linear"
    assert found("T2", fitted(stack(layers.Dense(1, "relu")), abs(QUANTITY), "mse")) is None
    assert found("T2", fitted(stack(layers.Dense(1)), QUANTITY, "mse")) is None


@pytest.mark.parametrize(
    ("head", "loss", "targets", "units"),
    [
        (layers.Dense(2), "cross_entropy", CLASSES, 3),
        (layers.Dense(1), "cross_entropy", CLASSES, 3),
        (layers.Dense(1, "sigmoid"), "binary_cross_entropy", CLASSES, 3),
        (layers.Dense(3, "sigmoid"), "cross_entropy", CLASSES, 3),
        (layers.Dense(2), "mse", QUANTITY, 1),
    ],
)
def test_a_head_with_a_wrong_number_of_outputs(head, loss, targets, units):
    case = fitted(stack(head), targets, loss, refused=True)
    evidence = found("T2", case)
    assert evidence.settled
    assert evidence.place == {"layer": "dense_1"}
    assert found("T3", case) is None
    changed = evidence.remedies[0].apply(case.recipe)
    assert changed.make()[-1].units == units
    assert changed.train().error is None


def test_scores_between_bounds_are_tried_only():
    evidence = found("T2", fitted(stack(layers.Dense(3, "tanh")), CLASSES, "cross_entropy"))
    assert not evidence.settled
    more = fitted(stack(layers.Dense(5)), CLASSES, "cross_entropy")
    assert found("T2", more) is None
    assert found("T2", fitted(stack(layers.Dense(3, "softmax")), CLASSES, "cross_entropy")) is None


# ---- T3


def test_classes_fitted_as_quantities():
    fast = cr.optimizers.Adam(0.02)
    case = fitted(stack(layers.Dense(1)), CLASSES, "mse", metrics=["mae"], optimizer=fast)
    evidence = found("T3", case)
    assert not evidence.settled
    trained = evidence.remedies[0].apply(case.recipe).train(epochs=40)
    assert case.skill(trained.model) > 0.5


@pytest.mark.parametrize("loss", ["mse", "binary_cross_entropy"])
def test_one_output_for_each_class_with_a_loss_for_other_things(loss):
    case = fitted(stack(layers.Dense(3)), CLASSES, loss, refused=True)
    assert found("T3", case).settled
    assert found("T2", case) is None


def test_quantities_with_a_loss_for_classes():
    case = fitted(stack(layers.Dense(1)), QUANTITY, "binary_cross_entropy", refused=True)
    evidence = found("T3", case)
    assert evidence.settled
    assert evidence.remedies[0].apply(case.recipe).train().error is None
    unusual = found("T3", fitted(stack(layers.Dense(1)), QUANTITY, "cosine_similarity"))
    assert not unusual.settled


@pytest.mark.parametrize(
    ("outputs", "targets", "loss"),
    [
        (1, BINARY, "mse"),
        (3, np.eye(3, dtype="float32")[CLASSES], "mse"),
        (1, QUANTITY, "huber"),
        (3, CLASSES, "categorical_hinge"),
        (1, BINARY, "binary_cross_entropy"),
    ],
)
def test_losses_that_fit(outputs, targets, loss):
    assert found("T3", fitted(stack(layers.Dense(outputs)), targets, loss)) is None


# ---- T4


def of_scores(y_true, y_pred):
    return -cr.sum(cr.one_hot(y_true, 3) * cr.log_softmax(y_pred), axis=-1)


def of_probabilities(y_true, y_pred):
    return -cr.sum(cr.one_hot(y_true, 3) * cr.log(cr.clip(y_pred, 1e-7, 1)), axis=-1)


def of_one_probability(y_true, y_pred):
    p = cr.clip(y_pred, 1e-6, 1 - 1e-6)
    return -cr.mean(y_true * cr.log(p) + (1 - y_true) * cr.log(1 - p), axis=-1)


def softmax_twice():
    return [layers.Dense(3, "softmax"), layers.Activation("softmax")]


WRONG = {
    "a softmax in the loss": ([layers.Dense(3, "softmax")], CLASSES, of_scores, "of_scores"),
    "two layers": (softmax_twice(), CLASSES, "cross_entropy", "activation"),
    "logits": ([layers.Dense(3)], CLASSES, of_probabilities, "of_probabilities"),
    "logits, by the library": (
        [layers.Dense(3)], CLASSES, cr.losses.CrossEntropy(from_logits=False), "cross_entropy",
    ),
    "one logit": ([layers.Dense(1)], BINARY, of_one_probability, "of_one_probability"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_probabilities_and_logits_are_mixed_up(name):
    head, targets, loss, place = WRONG[name]
    case = fitted(stack(*head), targets, loss)
    evidence = found("T4", case)
    assert evidence.settled
    assert place in evidence.place.values()
    repaired = evidence.remedies[0].apply(case.recipe)
    trained = repaired.train()
    assert trained.error is None
    again = Case(trained.model, repaired.x, repaired.y)
    assert found("T4", again) is None


RIGHT = {
    "softmax, folded in": ([layers.Dense(3, "softmax")], CLASSES, "cross_entropy"),
    "logits": ([layers.Dense(3)], CLASSES, of_scores),
    "probabilities": ([layers.Dense(3, "softmax")], CLASSES, of_probabilities),
    "one probability": ([layers.Dense(1, "sigmoid")], BINARY, of_one_probability),
    "one logit": ([layers.Dense(1)], BINARY, "binary_cross_entropy"),
    "smoothed": ([layers.Dense(3)], CLASSES, cr.losses.CrossEntropy(label_smoothing=0.1)),
}


@pytest.mark.parametrize("name", RIGHT)
def test_losses_that_take_what_the_model_gives(name):
    head, targets, loss = RIGHT[name]
    assert found("T4", fitted(stack(*head), targets, loss)) is None


@pytest.mark.parametrize(("classes", "floor"), [(4, 0.744), (10, 1.461)])
def test_the_floor_is_what_the_best_outputs_reach(classes, floor):
    best = np.eye(classes)
    reached = float(cr.losses.cross_entropy(np.arange(classes), best, from_logits=True).mean())
    assert _floor(classes) == pytest.approx(reached, rel=1e-6)
    assert _floor(classes) == pytest.approx(floor, abs=5e-4)


# ---- T5


class Stopped(cr.Layer):
    def call(self, inputs):
        return cr.stop_gradient(inputs) * 2.0


class Spare(cr.Model):
    """Has a layer whose outputs are thrown away."""

    def __init__(self):
        super().__init__()
        self.used, self.spare = layers.Dense(1), layers.Dense(4)

    def call(self, inputs):
        self.spare(inputs)
        return self.used(inputs)


def test_a_gradient_that_is_cut_is_placed():
    model = cr.Sequential([layers.Dense(6, "tanh"), Stopped(), layers.Dense(1)])
    evidence = found("T5", fitted(model, QUANTITY, "mse"))
    assert evidence.settled
    assert evidence.place["layer"] == "stopped"
    assert "`dense`" in evidence.sentence


def test_frozen_layers_are_tried_and_unfrozen():
    model = stack(layers.Dense(1), front=[layers.Dense(1, trainable=False)])
    case = fitted(model, QUANTITY, "mse", epochs=60, optimizer=cr.optimizers.Adam(0.02))
    evidence = found("T5", case)
    assert not evidence.settled
    assert evidence.place == {"layer": "dense"}
    assert len(evidence.remedies[0].apply(case.recipe).make().trainable_variables) == 6
    wide = stack(layers.Dense(1), front=[layers.Dense(30, trainable=False)])
    case = fitted(wide, QUANTITY, "mse", epochs=60, optimizer=cr.optimizers.Adam(0.02))
    assert found("T5", case) is None


def test_nothing_to_train():
    model = cr.Sequential([layers.Dense(4), layers.Dense(1)], trainable=False)
    evidence = found("T5", fitted(model, QUANTITY, "mse", refused=True))
    assert evidence.settled


@pytest.mark.parametrize(
    "model",
    [Spare(), stack(layers.BatchNormalization(), layers.Dropout(0.2), layers.Dense(1))],
)
def test_layers_without_effect_and_statistics_are_no_fault(model):
    assert found("T5", fitted(model, QUANTITY, "mse")) is None


# ---- T6


class Turned(cr.Layer):
    def call(self, inputs):
        return cr.reshape(cr.transpose(inputs), inputs.shape)


class WrongMean(cr.Layer):
    def call(self, inputs):
        return inputs - cr.mean(inputs, axis=0, keepdims=True)


@pytest.mark.parametrize("layer", [Turned, WrongMean])
def test_rows_that_mix_are_placed(layer):
    model = stack(layer(name="wrong"), layers.Dense(1))
    evidence = found("T6", fitted(model, QUANTITY, "mse"))
    assert evidence.settled
    assert evidence.place == {"layer": "wrong"}


def test_statistics_of_batches_and_axes_of_time_are_no_fault():
    normalised = stack(layers.BatchNormalization(), layers.Dense(1))
    assert found("T6", fitted(normalised, QUANTITY, "mse")) is None
    in_time = cr.Sequential(
        [layers.Reshape((5, 1)), layers.GRU(4, return_sequences=True), layers.Flatten(),
         layers.Dense(1)]
    )  # fmt: skip
    assert found("T6", fitted(in_time, QUANTITY, "mse")) is None
