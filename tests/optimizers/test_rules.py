"""The update rules: they converge, keep dtypes, compile once and resume to the bit."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ArgumentError, UnknownNameError
from chainrule.optimizers.adam import bias_correction
from chainrule.optimizers.registry import NAMES, OPTIMIZERS

# (name, arguments, steps on Rosenbrock's function); every rule and every switch of a rule.
TABLE: list[tuple[str, dict[str, Any], int]] = [
    ("SGD", {"learning_rate": 1e-3}, 12000),
    ("SGD", {"learning_rate": 1e-3, "momentum": 0.9}, 4000),
    ("SGD", {"learning_rate": 1e-3, "momentum": 0.9, "nesterov": True}, 4000),
    ("RMSprop", {"learning_rate": 1e-3}, 4000),
    ("RMSprop", {"learning_rate": 1e-3, "centered": True, "momentum": 0.5}, 4000),
    ("Adagrad", {"learning_rate": 0.5}, 4000),
    ("Adadelta", {"learning_rate": 0.05, "epsilon": 1e-7}, 12000),
    ("Adam", {"learning_rate": 0.02}, 3000),
    ("Adam", {"learning_rate": 0.02, "amsgrad": True}, 3000),
    ("AdamW", {"learning_rate": 0.02, "weight_decay": 1e-6}, 3000),
    ("Nadam", {"learning_rate": 0.02}, 3000),
    ("Adamax", {"learning_rate": 0.05}, 3000),
    ("Lion", {"learning_rate": 1e-3}, 4000),
]
IDS = [f"{name}-{'-'.join(map(str, arguments))}" for name, arguments, _ in TABLE]
OPTIONS = {
    "weight_decay": 0.01,
    "l2": 0.02,
    "no_decay": ["bias"],
    "accumulate_steps": 2,
    "ema_decay": 0.9,
    "global_clip_norm": 1.0,
}


def make(name: str, arguments: dict[str, Any]) -> cr.optimizers.Optimizer:
    return OPTIMIZERS[name](**arguments)


def parabola(w: cr.Tensor) -> cr.Tensor:
    return cr.sum(cr.square(w - np.array([1.0, -2.0])))


def rosenbrock(w: cr.Tensor) -> cr.Tensor:
    return cr.square(1.0 - w[0]) + 100.0 * cr.square(w[1] - cr.square(w[0]))


def train(
    function: Callable[[cr.Tensor], cr.Tensor],
    optimizer: cr.optimizers.Optimizer,
    weight: cr.Variable,
    steps: int,
) -> Any:
    def step() -> cr.Tensor:
        with cr.GradientTape() as tape:
            loss = function(weight)
        optimizer.apply_gradients([(tape.gradient(loss, weight), weight)])
        return loss

    optimizer.build([weight])
    compiled = cr.jit(step)
    for _ in range(steps):
        compiled()
    return compiled


def test_table_names_every_rule() -> None:
    assert {name for name, _, _ in TABLE} == set(OPTIMIZERS) - {"LBFGS"}


@pytest.mark.parametrize(("name", "arguments", "steps"), TABLE, ids=IDS)
def test_parabola(name: str, arguments: dict[str, Any], steps: int) -> None:
    weight = cr.Variable(np.array([0.3, 0.4]))
    rate = {"SGD": 0.05, "Adagrad": 1.0, "Adadelta": 20.0, "Lion": 0.01}.get(name, 0.02)
    optimizer = make(name, {**arguments, "learning_rate": rate})
    train(parabola, optimizer, weight, 800)
    np.testing.assert_allclose(weight.numpy(), [1.0, -2.0], atol=0.05)


@pytest.mark.parametrize(("name", "arguments", "steps"), TABLE, ids=IDS)
def test_rosenbrock(name: str, arguments: dict[str, Any], steps: int) -> None:
    weight = cr.Variable(np.array([0.5, 0.0]))
    train(rosenbrock, make(name, arguments), weight, steps)
    assert float(rosenbrock(weight)) < 5e-4  # 6.5 at the start
    np.testing.assert_allclose(weight.numpy(), [1.0, 1.0], atol=0.03)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "arguments", "steps"), TABLE, ids=IDS)
def test_dtype_kept(name: str, arguments: dict[str, Any], steps: int, dtype: str) -> None:
    weight = cr.Variable(np.zeros(2, dtype))
    optimizer = make(name, {**arguments, **OPTIONS})
    other = "float64" if dtype == "float32" else "float32"
    for _ in range(4):
        optimizer.apply_gradients([(np.ones(2, other), weight)])
    assert weight.dtype == dtype
    slots = [v for v in optimizer.variables if v.path.endswith("/variable")]
    assert len(slots) >= 2
    assert {v.dtype for v in slots} == {np.dtype(dtype)}
    assert np.isfinite(weight.numpy()).all()


@pytest.mark.parametrize(("name", "arguments", "steps"), TABLE, ids=IDS)
def test_compiles_once_and_obeys_the_rate(name: str, arguments: Any, steps: int) -> None:
    weight = cr.Variable(np.array([0.5, 0.5]))
    optimizer = make(name, arguments)
    compiled = train(rosenbrock, optimizer, weight, 3)
    before = weight.numpy()
    optimizer.learning_rate = 0.0
    optimizer_is_still = compiled()
    assert float(optimizer_is_still) > 0
    np.testing.assert_array_equal(weight.numpy(), before)
    optimizer.learning_rate = 0.1
    compiled()
    assert (weight.numpy() != before).any()
    assert optimizer.learning_rate == 0.1
    assert len(compiled.graphs) == 1


@pytest.mark.parametrize(("name", "arguments", "steps"), TABLE, ids=IDS)
def test_eager_and_compiled_agree(name: str, arguments: dict[str, Any], steps: int) -> None:
    eager, traced = (cr.Variable(np.array([0.5, -0.5])) for _ in range(2))
    first, second = (make(name, {**arguments, **OPTIONS}) for _ in range(2))
    train(rosenbrock, first, traced, 11)
    for _ in range(11):
        with cr.GradientTape() as tape:
            loss = rosenbrock(eager)
        second.apply_gradients([(tape.gradient(loss, eager), eager)])
    np.testing.assert_allclose(traced.numpy(), eager.numpy(), rtol=1e-13)


@pytest.mark.parametrize(("name", "arguments", "steps"), TABLE, ids=IDS)
def test_resume_to_the_bit(name: str, arguments: dict[str, Any], steps: int) -> None:
    arguments = {**arguments, **OPTIONS, "learning_rate": cr.optimizers.CosineDecay(0.01, 20)}
    whole = cr.Variable(np.array([0.5, -0.5], "float32"))
    train(rosenbrock, make(name, arguments), whole, 13)
    half = cr.Variable(np.array([0.5, -0.5], "float32"))
    optimizer = make(name, arguments)
    train(rosenbrock, optimizer, half, 7)
    again = cr.Variable(half.numpy())
    resumed = cr.optimizers.get(json.loads(json.dumps(cr.optimizers.serialize(optimizer))))
    resumed.build([again])
    resumed.load_state(optimizer.state())
    train(rosenbrock, resumed, again, 6)
    assert again.numpy().tobytes() == whole.numpy().tobytes()


@pytest.mark.parametrize(("name", "arguments", "steps"), TABLE, ids=IDS)
def test_config_round_trip(name: str, arguments: dict[str, Any], steps: int) -> None:
    optimizer = make(name, {**arguments, **OPTIONS})
    optimizer.learning_rate = 0.125
    config = json.loads(json.dumps(optimizer.get_config()))
    again = type(optimizer).from_config(config)
    assert again.get_config() == optimizer.get_config()
    assert again.learning_rate == 0.125
    assert {**config, **arguments, **OPTIONS, "learning_rate": 0.125} == config


def test_lion_formula() -> None:
    weight, moment = np.array([0.3, -0.7]), np.zeros(2)
    variable = cr.Variable(weight)
    optimizer = cr.optimizers.Lion(0.1, 0.8, 0.95, weight_decay=0.5)
    for gradient in np.random.default_rng(3).normal(size=(20, 2)):
        direction = np.sign(0.8 * moment + (1 - 0.8) * gradient)
        weight = weight - 0.1 * (direction + 0.5 * weight)
        moment = 0.95 * moment + (1 - 0.95) * gradient
        optimizer.apply_gradients([(gradient, variable)])
    np.testing.assert_allclose(variable.numpy(), weight, rtol=1e-12)


def test_adam_in_float32_is_right_from_the_first_step() -> None:
    """The exact first step is the rate times the gradient's sign."""
    weight = cr.Variable(np.zeros(1, "float32"))
    cr.optimizers.Adam(1.0, epsilon=1e-30).apply_gradients([(np.ones(1, "float32"), weight)])
    assert abs(weight.item() + 1.0) < 3e-7


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 0.999, 0.999999])
def test_bias_correction(beta: float) -> None:
    for count in (1, 2, 10, 1000, 1_000_000):
        exact = -np.expm1(count * np.log(np.float64(beta))) if beta else 1.0
        single = bias_correction(beta, cr.tensor(float(count)))
        assert single.dtype == "float32"
        assert abs(float(single) / exact - 1) < 5e-7


def test_centered_rmsprop_survives_a_variance_below_zero() -> None:
    """Both averages end a little above a gradient that had been larger: the difference is < 0."""
    weight = cr.Variable(np.zeros(50, "float32"))
    optimizer = cr.optimizers.RMSprop(1e-6, centered=True)
    gradient = np.random.default_rng(0).normal(size=50).astype("float32")
    for step in range(400):
        optimizer.apply_gradients([(gradient * np.float32(2 if step < 50 else 1), weight)])
    assert np.isfinite(weight.numpy()).all()
    state = optimizer.state()
    mean = state["rmsprop/average_gradient/variable"]
    assert (state["rmsprop/velocity/variable"] < mean * mean).any()


def test_small_decay_is_not_lost_in_float32() -> None:
    weight = cr.Variable(np.ones(1, "float32"))
    optimizer = cr.optimizers.SGD(1e-3, weight_decay=2e-4)
    for _ in range(10):
        optimizer.apply_gradients([(np.zeros(1, "float32"), weight)])
    # Each decay of 2e-7 is nearer to two float32 steps (1.19e-7) below 1 than to one or none.
    assert 0.9e-6 < 1 - weight.item() < 2.5e-6


# Names and arguments ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("adam", "Adam"),
        ("Adam", "Adam"),
        ("RMSprop", "RMSprop"),
        ("rms_prop", "RMSprop"),
        ("AdamW", "AdamW"),
        ("l-bfgs", "LBFGS"),
        ("LBFGS", "LBFGS"),
        ("gradient descent", "SGD"),
        ("nesterov", "SGD"),
        ("amsgrad", "Adam"),
        (cr.optimizers.Lion, "Lion"),
    ],
)
def test_get(name: Any, expected: str) -> None:
    assert type(cr.optimizers.get(name)).__name__ == expected


def test_every_name_makes_a_new_optimizer() -> None:
    for name in NAMES:
        assert cr.optimizers.get(name) is not cr.optimizers.get(name)
    optimizer = cr.optimizers.Adam()
    assert cr.optimizers.get(optimizer) is optimizer
    nesterov = cr.optimizers.get("nesterov")
    assert isinstance(nesterov, cr.optimizers.SGD)
    assert nesterov.nesterov


def test_aliases() -> None:
    adam = cr.optimizers.Adam(lr=0.5, betas=(0.8, 0.9), eps=1e-4, clipnorm=2.0)
    assert (adam.learning_rate, adam.beta_1, adam.beta_2) == (0.5, 0.8, 0.9)
    assert (adam.epsilon, adam.clip_norm) == (1e-4, 2.0)
    rms = cr.optimizers.RMSprop(alpha=0.7, clipvalue=1.0, ema_momentum=0.9)
    assert (rms.rho, rms.clip_value, rms.ema_decay) == (0.7, 1.0, 0.9)
    sgd = cr.optimizers.SGD(global_clipnorm=3.0, gradient_accumulation_steps=4)
    assert (sgd.global_clip_norm, sgd.accumulate_steps) == (3.0, 4)


def test_defaults() -> None:
    adam = cr.optimizers.Adam()
    assert (adam.learning_rate, adam.beta_1, adam.beta_2, adam.epsilon) == (1e-3, 0.9, 0.999, 1e-7)
    assert cr.optimizers.AdamW().weight_decay == 0.004
    assert cr.optimizers.RMSprop().rho == 0.9
    assert cr.optimizers.SGD().learning_rate == 0.01


BAD_ARGUMENTS: list[tuple[str, dict[str, Any], str]] = [
    ("Adam", {"learning_rate": -1.0}, "learning_rate"),
    ("Adam", {"learning_rate": float("nan")}, "learning_rate"),
    ("Adam", {"learning_rate": "fast"}, "learning_rate"),
    ("Adam", {"learning_rate": None}, "learning_rate"),
    ("Adam", {"learning_rate": lambda step: 0.1}, "Schedule"),
    ("Adam", {"learning_rate": 0.1, "lr": 0.2}, "twice"),
    ("Adam", {"beta_1": 1.0}, "beta_1"),
    ("Adam", {"beta_2": -0.1}, "beta_2"),
    ("Adam", {"betas": 0.9}, "betas"),
    ("Adam", {"betas": (0.9, 0.99, 0.999)}, "betas"),
    ("Adam", {"epsilon": 0.0}, "epsilon"),
    ("Adam", {"weight_decay": -0.1}, "weight_decay"),
    ("Adam", {"no_decay": "bias"}, "no_decay"),
    ("Adam", {"clip_value": 0.0}, "clip_value"),
    ("Adam", {"clip_norm": 1.0, "clip_value": 1.0}, "more than one"),
    ("Adam", {"accumulate_steps": 1.5}, "accumulate_steps"),
    ("Adam", {"accumulate_steps": -2}, "accumulate_steps"),
    ("Adam", {"ema_decay": 1.0}, "ema_decay"),
    ("SGD", {"momentum": 1.0}, "momentum"),
    ("SGD", {"nesterov": True}, "nesterov"),
    ("LBFGS", {"history_size": 0}, "history_size"),
]


@pytest.mark.parametrize(("name", "arguments", "word"), BAD_ARGUMENTS)
def test_bad_arguments(name: str, arguments: dict[str, Any], word: str) -> None:
    with pytest.raises(ArgumentError, match=word):
        make(name, arguments)


def test_unknown_names() -> None:
    with pytest.raises(UnknownNameError, match="'adam'"):
        cr.optimizers.get("Adamm")
    with pytest.raises(UnknownNameError, match="'momentum'"):
        cr.optimizers.SGD(momentun=0.9)
    with pytest.raises(UnknownNameError, match="'eps'"):
        cr.optimizers.SGD(eps=0.9)
    with pytest.raises(UnknownNameError, match="clip_norm"):
        cr.optimizers.LBFGS(clip_norm=1.0)
    with pytest.raises(UnknownNameError, match="Adm"):
        cr.optimizers.get({"class_name": "Adm", "config": {}})
    with pytest.raises(ArgumentError, match="not an optimizer"):
        cr.optimizers.get(3)
