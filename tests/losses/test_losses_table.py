"""The table of losses: nothing is missing, every name finds its loss."""

import inspect
import json

import numpy as np
import pytest
from loss_samples import SAMPLES

import chainrule as cr
from chainrule import losses
from chainrule.errors import ArgumentError, UnknownNameError


def test_no_row_is_missing():
    functions = {
        value.__name__
        for name in losses.__all__
        if inspect.isfunction(value := getattr(losses, name))
        and list(inspect.signature(value).parameters)[:2] == ["y_true", "y_pred"]
    }
    classes = {
        value.__name__
        for name in losses.__all__
        if isinstance(value := getattr(losses, name), type)
        and issubclass(value, losses.Loss)
        and value.function is not None
    }
    missing = {
        "functions without a row": functions - set(losses.LOSSES),
        "classes without a row": classes - {r.loss_class.__name__ for r in losses.LOSSES.values()},
        "rows without a public function": set(losses.LOSSES) - functions,
        "rows without samples": set(losses.LOSSES) - set(SAMPLES),
        "samples without a row": set(SAMPLES) - set(losses.LOSSES),
    }
    assert not any(missing.values()), missing


def test_class_and_function_agree():
    for name, row in losses.LOSSES.items():
        assert row.loss_class.function is row.function
        assert row.loss_class().name == name
        options = set(inspect.signature(row.function).parameters) - {"y_true", "y_pred"}
        options -= {"label_lengths", "logit_lengths"}  # of each batch, not of the loss
        taken = set(inspect.signature(row.loss_class).parameters) - {"name", "options"}
        assert taken in (options, set()), name
        for y_options, y_true, y_pred in SAMPLES[name]:
            loss = row.loss_class(**y_options)
            rows = row.function(y_true, y_pred, **y_options)
            assert loss.per_example(y_true, y_pred).numpy() == pytest.approx(
                rows.numpy(), rel=1e-15
            )
            assert float(loss(y_true, y_pred)) == pytest.approx(rows.numpy().mean(), rel=1e-14)
            assert rows.shape == (y_pred.shape[:1] if name == "ctc" else y_pred.shape[:-1])


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("mse", "mean_squared_error"),
        ("MSE", "mean_squared_error"),
        ("MSELoss", "mean_squared_error"),
        ("mse_loss", "mean_squared_error"),
        ("MeanSquaredError", "mean_squared_error"),
        ("half_squared_error", "half_squared_error"),
        ("L1Loss", "mean_absolute_error"),
        ("mean_absolute_percentage_error", "mean_absolute_percentage_error"),
        ("msle", "mean_squared_logarithmic_error"),
        ("SmoothL1Loss", "huber"),
        ("HuberLoss", "huber"),
        ("logcosh", "log_cosh"),
        ("cross_entropy", "cross_entropy"),
        ("crossentropy", "cross_entropy"),
        ("CrossEntropyLoss", "cross_entropy"),
        ("NLLLoss", "cross_entropy"),
        ("categorical_crossentropy", "cross_entropy"),
        ("sparse_categorical_crossentropy", "cross_entropy"),
        ("SparseCategoricalCrossentropy", "cross_entropy"),
        ("binary_crossentropy", "binary_cross_entropy"),
        ("BCEWithLogitsLoss", "binary_cross_entropy"),
        ("BCELoss", "binary_cross_entropy"),
        ("bce", "binary_cross_entropy"),
        ("CategoricalFocalCrossentropy", "focal_cross_entropy"),
        ("binary_focal_crossentropy", "binary_focal_cross_entropy"),
        ("kl_divergence", "kl_divergence"),
        ("CTCLoss", "ctc"),
        ("KLDivLoss", "kl_divergence"),
        ("kld", "kl_divergence"),
        ("PoissonNLLLoss", "poisson"),
        ("GaussianNLLLoss", "gaussian_negative_log_likelihood"),
        ("pinball", "quantile_loss"),
        ("quantile", "quantile_loss"),
        ("cosine_similarity", "cosine_similarity"),
        ("squared-hinge", "squared_hinge"),
    ],
)
def test_spellings(spelling, name):
    assert losses.get(spelling).name == name


def test_spellings_of_pytorch_that_carry_options():
    assert losses.get("BCELoss").options["from_logits"] is False
    assert losses.get("bce").options["from_logits"] is None
    assert losses.get("PoissonNLLLoss").options["log_input"] is True


def test_every_name_is_found_once():
    names = losses.known_names()
    assert len(names) == len(set(names))
    for name in names:
        assert losses.get(name)


def test_get_takes_losses_classes_and_functions():
    huber = losses.Huber(3.0)
    assert losses.get(huber) is huber
    assert losses.get(losses.Huber, delta=2.0).options == {"delta": 2.0}
    assert isinstance(losses.get(losses.huber, delta=2.0), losses.Huber)
    assert isinstance(losses.get(losses.categorical_crossentropy), losses.CrossEntropy)
    own = losses.get(lambda y_true, y_pred: (y_true - y_pred) ** 2)
    assert isinstance(own, losses.FunctionLoss)


def test_unknown_name_has_the_nearest_one():
    with pytest.raises(UnknownNameError, match="did you mean 'huber'"):
        losses.get("hubber")


@pytest.mark.parametrize("nothing", [None, 3, {}, ["mse"]])
def test_not_a_loss(nothing):
    with pytest.raises(ArgumentError, match="not a loss"):
        losses.get(nothing)


def test_a_function_of_one_argument_is_not_a_loss():
    with pytest.raises(ArgumentError, match="two arguments"):
        losses.get(lambda y: y)


def test_options_have_to_fit():
    with pytest.raises(ArgumentError, match="unknown option: got reduction"):
        losses.MeanSquaredError(reduction="sum")
    with pytest.raises(ArgumentError, match="made already"):
        losses.get(losses.Huber(), delta=2.0)
    for call, text in [
        (lambda: losses.CrossEntropy(label_smoothing=1.0), "label_smoothing"),
        (lambda: losses.huber([0.0], [1.0], delta=0), "delta"),
        (lambda: losses.quantile_loss([0.0], [1.0], quantile=1.5), "quantile"),
        (lambda: losses.focal_cross_entropy([0], np.zeros((1, 2)), gamma=-1), "gamma"),
        (lambda: losses.focal_cross_entropy([0], np.zeros((1, 2)), alpha=[1, 1, 1]), "alphas"),
        (lambda: losses.binary_focal_cross_entropy([0], [1.0], alpha=2), "alpha"),
        (
            lambda: losses.gaussian_negative_log_likelihood([0], [[1.0, 2.0]], minimum_variance=0),
            "minimum_variance",
        ),
    ]:
        with pytest.raises(ArgumentError, match=text):
            call()


def test_config_round_trip():
    for row in losses.LOSSES.values():
        config = json.loads(json.dumps(row.loss_class(name="mine").get_config()))
        again = losses.from_config(config)
        assert type(again) is row.loss_class
        assert again.get_config() == config
    assert losses.from_config(losses.Huber(0.7).get_config()).options == {"delta": 0.7}


def test_config_of_own_losses_needs_them():
    def own(y_true, y_pred):
        return cr.mean(y_pred - y_true, axis=-1)

    class Own(losses.Loss):
        def per_example(self, y_true, y_pred):
            return cr.mean(y_pred - y_true, axis=-1)

    for loss, table in [(losses.get(own), {"own": own}), (Own(), {"Own": Own})]:
        config = loss.get_config()
        assert losses.from_config(config, table).name == loss.name
        with pytest.raises(UnknownNameError):
            losses.from_config(config)


def test_repr_shows_the_options():
    assert repr(losses.Huber(2.0)) == "Huber(delta=2.0)"
