"""Faults of activations and first weights: each is told from the others, and from healthy runs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.diagnosis.case import Case
from chainrule.diagnosis.engine import confirmed
from chainrule.diagnosis.faults import activations
from chainrule.diagnosis.finding import Evidence
from chainrule.diagnosis.measurements.signals import signals_at_start
from chainrule.nn import Layer

layers, initializers = cr.layers, cr.initializers
RANDOM = np.random.default_rng(6)
X = RANDOM.normal(size=(320, 4)).astype("float32")
Y = (np.abs(X[:, 0]) > 0.7).astype("int32")


def case_of(stack: Sequence[Layer], x=X, epochs=12, y=Y, loss="cross_entropy") -> Case:
    """A case of a run with these layers, validated on the last half."""
    model, cut = cr.Sequential(stack), len(x) // 2
    model.fit(x[:cut], y[:cut], loss=loss, optimizer=cr.optimizers.Adam(0.01), epochs=epochs,
              seed=1, batch_size=16, validation_data=(x[cut:], y[cut:]), verbose=0)  # fmt: skip
    return Case(model, x[:cut], y[:cut])


def dense(count: int, units: int, activation: str | None = "relu", **options: Any) -> list[Layer]:
    return [layers.Dense(units, activation, **options) for _ in range(count)]


def normal(deviation: float) -> Any:
    return initializers.RandomNormal(stddev=deviation)


def network(count: int, units: int, activation: str | None = "relu", **options: Any) -> list[Layer]:
    return [*dense(count, units, activation, **options), layers.Dense(2)]


PROBES = {fault.code: fault.probe for fault in activations.FAULTS}

#: What is planted, and the layer that has to be named.
PLANTED = {
    "V1": (lambda: network(10, 16, "sigmoid"), "dense"),
    "V2": (lambda: network(10, 16, kernel_initializer=normal(1.5)), "dense"),
    "V3": (lambda: [*dense(1, 16), *dense(1, 16, bias_initializer=initializers.Constant(-9)),
                    layers.Dense(2)], "dense_1"),
    "V4": (lambda: network(2, 16, "tanh", kernel_initializer=normal(8.0)), "dense"),
    "V5": (lambda: network(2, 16, kernel_initializer=initializers.Constant(0.2)), "dense"),
    "V6": (lambda: network(1, 16, kernel_initializer=normal(80.0)), "dense"),
}  # fmt: skip


def found_in(case: Case) -> dict[str, Evidence]:
    found = {code: probe(case) for code, probe in PROBES.items()}
    return {code: evidence for code, evidence in found.items() if evidence is not None}


@pytest.mark.parametrize("code", PLANTED)
def test_one_cause_is_named_with_its_layer_and_its_remedy_helps(code):
    stack, place = PLANTED[code]
    case = case_of(stack())
    found = found_in(case)
    assert list(found) == [code]
    evidence = found[code]
    assert evidence.place == {"layer": place}
    assert f"`{place}`" in evidence.sentence
    twin = case.twin(evidence.remedies[0].apply(case.recipe), "remedy")
    assert twin.skill > case.control_skill + 0.05
    assert evidence.settled or confirmed(case, twin, evidence.certain)


#: Networks that look like the planted ones and are in order.
HEALTHY = {
    "few sigmoid layers": lambda: network(2, 16, "sigmoid"),
    "deep, with usual weights": lambda: network(
        8, 16, kernel_initializer="he_normal"
    ),
    "narrow to wide": lambda: network(1, 200, kernel_initializer="he_normal"),
    "the last layer begins with zeros": lambda: [
        *dense(1, 16), layers.Dense(2, kernel_initializer="zeros")
    ],
    "a quarter of the units is never active": lambda: [
        layers.Dense(
            16, "relu",
            bias_initializer=initializers.Constant([-9.0] * 4 + [0.0] * 12),
        ),
        layers.Dense(2),
    ],
    "one unit": lambda: network(1, 1),
}  # fmt: skip


@pytest.mark.parametrize("name", HEALTHY)
def test_what_only_looks_like_a_fault_is_left_alone(name):
    assert found_in(case_of(HEALTHY[name](), epochs=1)) == {}


def test_large_inputs_are_not_the_fault_of_the_weights():
    case = case_of(network(1, 16, "tanh"), x=X * 100, epochs=1)
    assert signals_at_start(case)[0].flat > 0.9
    assert found_in(case) == {}


def test_large_targets_are_not_the_fault_of_the_weights():
    case = case_of([*network(1, 16)[:1], layers.Dense(1)], y=1e4 * X[:, :1], loss="mse", epochs=1)
    assert found_in(case) == {}


def test_an_activation_layer_behind_counts_as_that_of_the_layer():
    apart = [layers.Dense(16, kernel_initializer=normal(8.0)), layers.BatchNormalization(),
             layers.Activation("tanh"), layers.Dense(2)]  # fmt: skip
    signals = signals_at_start(case_of(apart, epochs=1))
    assert [s.activation for s in signals] == ["tanh", "linear"]
    assert signals[0].flat < 0.2  # normalised in between


def test_weights_that_are_small_in_two_layers():
    case = case_of(network(2, 16, kernel_initializer=normal(1e-3)), epochs=2)
    assert activations.cause(case)[0] == "V6"
    evidence = activations.first_weights(case)
    assert "smaller" in evidence.sentence
    edited = evidence.remedies[0].apply(case.recipe).make()
    spread = edited[0].kernel.numpy().std()
    assert spread == pytest.approx((2 / 4) ** 0.5, rel=0.4)


def test_a_few_live_units_of_many_are_no_proof():
    bias = initializers.Constant([-9.0] * 26 + [0.0] * 6)
    evidence = activations.inactive(case_of(network(1, 32, bias_initializer=bias)))
    assert "26 of 32" in evidence.sentence
    assert not evidence.settled
    assert not evidence.certain
