"""What all optimizers share: pairs, slots, clipping, accumulation, averages, decay, constraints."""

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import (
    ArgumentError,
    DTypeError,
    GradientError,
    ShapeError,
    StateError,
    UnknownNameError,
)


def variable(value: Any, path: str, dtype: str = "float64") -> cr.Variable:
    result = cr.Variable(np.asarray(value, dtype), name=path.rsplit("/", 1)[-1])
    result.path = path
    return result


# Slots and state ----------------------------------------------------------------------------------


def test_paths_of_slots() -> None:
    weights = [variable(np.zeros((2, 3)), "dense1/kernel"), variable(np.zeros(3), "dense1/bias")]
    optimizer = cr.optimizers.Adam(ema_decay=0.9, accumulate_steps=2)
    optimizer.build(weights)
    assert [v.path for v in optimizer.variables] == [
        "adam/iterations",
        "adam/learning_rate",
        "adam/pending",
        "adam/momentum/dense1/kernel",
        "adam/velocity/dense1/kernel",
        "adam/accumulated/dense1/kernel",
        "adam/average/dense1/kernel",
        "adam/momentum/dense1/bias",
        "adam/velocity/dense1/bias",
        "adam/accumulated/dense1/bias",
        "adam/average/dense1/bias",
    ]
    assert not any(v.trainable for v in optimizer.variables)
    assert optimizer.iterations.dtype == "int64"


def test_equal_paths_get_numbers() -> None:
    optimizer = cr.optimizers.SGD(momentum=0.5, name="first")
    optimizer.build([variable(0.0, "w"), variable(0.0, "w"), variable(0.0, "w")])
    assert [v.path for v in optimizer.variables][2:] == [
        "first/momentum/w",
        "first/momentum/w_1",
        "first/momentum/w_2",
    ]


def test_state_that_does_not_fit() -> None:
    optimizer = cr.optimizers.Adam()
    state = optimizer.state()
    optimizer.build([variable(np.zeros(2), "w")])
    with pytest.raises(StateError, match="adam/momentum/w"):
        optimizer.load_state(state)
    state = {**optimizer.state(), "adam/iterations": np.array(5), "adam/momentum/w": np.zeros(3)}
    with pytest.raises(ShapeError, match="adam/momentum/w"):
        optimizer.load_state(state)
    assert optimizer.iterations.item() == 0  # all or nothing
    with pytest.raises(StateError, match="build"):
        cr.optimizers.Adam().load_state(optimizer.state())


def test_learning_rate_of_a_schedule_cannot_be_set() -> None:
    schedule = cr.optimizers.CosineDecay(0.1, 10)
    optimizer = cr.optimizers.Adam(schedule)
    assert optimizer.learning_rate is schedule
    with pytest.raises(StateError, match="CosineDecay"):
        optimizer.learning_rate = 0.2
    plain = cr.optimizers.Adam()
    with pytest.raises(ArgumentError, match="learning_rate"):
        plain.learning_rate = -1.0


def test_learning_rate_keeps_its_digits() -> None:
    assert cr.optimizers.Adam(0.1).learning_rate == 0.1


# Pairs --------------------------------------------------------------------------------------------


def test_missing_gradient_is_an_error_that_names_the_variable() -> None:
    used, unused = variable(1.0, "used/kernel"), variable(1.0, "unused/kernel")
    optimizer = cr.optimizers.SGD(0.5)
    with pytest.raises(GradientError, match="'unused/kernel'") as caught:
        optimizer.apply_gradients([(np.array(1.0), used), (None, unused)])
    assert "'used/kernel'" not in str(caught.value)
    assert used.item() == 1.0
    optimizer.build([used, unused])
    optimizer.apply_gradients([(np.array(1.0), used), (None, unused)], missing_gradients="skip")
    assert (used.item(), unused.item()) == (0.5, 1.0)
    optimizer.apply_gradients([(None, used)], missing_gradients="skip")
    assert optimizer.iterations.item() == 1
    with pytest.raises(UnknownNameError, match="missing_gradients"):
        optimizer.apply_gradients([(None, used)], missing_gradients="warn")


def test_bad_pairs() -> None:
    weight = variable(np.zeros(2), "w")
    optimizer = cr.optimizers.SGD()
    with pytest.raises(ArgumentError, match="no gradients"):
        optimizer.apply_gradients([])
    with pytest.raises(ShapeError, match=r"\[w\].*\(3,\).*\(2,\)"):
        optimizer.apply_gradients([(np.zeros(3), weight)])
    with pytest.raises(ArgumentError, match="twice"):
        optimizer.apply_gradients([(np.zeros(2), weight), (np.zeros(2), weight)])
    with pytest.raises(ArgumentError, match="ndarray"):
        optimizer.apply_gradients([(weight, np.zeros(2))])
    with pytest.raises(DTypeError, match="int32"):
        optimizer.apply_gradients([(np.zeros(2), variable(np.zeros(2), "n", "int32"))])


def test_new_variables_must_be_announced() -> None:
    first, second = variable(1.0, "first"), variable(1.0, "second")
    optimizer = cr.optimizers.SGD(0.5, momentum=0.5, ema_decay=0.5)
    optimizer.apply_gradients([(np.array(1.0), first)])
    with pytest.raises(StateError, match="'second'"):
        optimizer.apply_gradients([(np.array(1.0), second)])
    optimizer.build([first, second])
    optimizer.apply_gradients([(np.array(1.0), second)])
    assert second.item() == 0.5
    assert optimizer.ema_values()["second"] == 0.75


def test_some_of_the_variables() -> None:
    first, second = variable(1.0, "first"), variable(1.0, "second")
    optimizer = cr.optimizers.Adam(0.5)
    optimizer.build([first, second])
    optimizer.apply_gradients([(np.array(1.0), second)])
    assert first.item() == 1.0
    assert second.item() == pytest.approx(0.5)


def test_mixed_dtypes() -> None:
    single, double = variable(np.ones(2), "s", "float32"), variable(np.ones(2), "d")
    optimizer = cr.optimizers.Adam(0.1, global_clip_norm=1.0)
    optimizer.apply_gradients([(np.ones(2), single), (np.ones(2), double)])
    assert (single.dtype, double.dtype) == (np.float32, np.float64)
    np.testing.assert_allclose(single.numpy(), double.numpy(), rtol=1e-6)


def test_updates_are_not_recorded() -> None:
    weight = variable(1.0, "w")
    with cr.GradientTape(persistent=True) as tape:
        loss = cr.square(weight)
        cr.optimizers.SGD(0.25).apply_gradients([(tape.gradient(loss, weight), weight)])
        later = cr.square(weight)
    assert weight.item() == 0.5
    assert tape.gradient(later, weight).item() == 1.0


# Clipping -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"clip_value": 2.0}, [[2.0, -2.0], [1.0]]),
        ({"clip_norm": 2.5}, [[1.5, -2.0], [1.0]]),
        ({"global_clip_norm": np.sqrt(26.0) / 2}, [[1.5, -2.0], [0.5]]),
        ({"global_clip_norm": 10.0}, [[3.0, -4.0], [1.0]]),
    ],
)
def test_clipping(options: dict[str, float], expected: list[list[float]]) -> None:
    weights = [variable(np.zeros(2), "a"), variable(np.zeros(1), "b")]
    gradients = [np.array([3.0, -4.0]), np.array([1.0])]
    cr.optimizers.SGD(1.0, **options).apply_gradients(zip(gradients, weights, strict=True))
    for weight, value in zip(weights, expected, strict=True):
        np.testing.assert_allclose(-weight.numpy(), value, rtol=1e-12)


def test_clipping_leaves_zero_and_shows_nan() -> None:
    zero = cr.tensor(np.zeros(3))
    assert not cr.optimizers.clip_by_norm(zero, 1.0).numpy().any()
    clipped, norm = cr.optimizers.clip_by_global_norm([zero, cr.tensor([np.nan, 1.0])], 1.0)
    assert np.isnan(norm.item())
    assert np.isnan(clipped[1].numpy()).all()
    with pytest.raises(ArgumentError, match="max_norm"):
        cr.optimizers.clip_by_norm(zero, 0.0)
    with pytest.raises(ArgumentError, match="no gradients"):
        cr.optimizers.global_norm([])


# Accumulation -------------------------------------------------------------------------------------


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
@pytest.mark.parametrize("name", ["SGD", "Adam", "Nadam", "AdamW"])
def test_accumulation_equals_a_big_batch(name: str, compiled: bool) -> None:
    generator = np.random.default_rng(1)
    x, y = generator.normal(size=(5, 12, 3)), generator.normal(size=(5, 12))
    start = generator.normal(size=3)
    results = []
    for parts in (1, 4):
        weight = variable(start, "w")
        optimizer = getattr(cr.optimizers, name)(0.1, accumulate_steps=parts, clip_norm=0.7)
        optimizer.build([weight])

        def step(a: Any, b: Any, weight: Any = weight, optimizer: Any = optimizer) -> None:
            with cr.GradientTape() as tape:
                loss = cr.mean(cr.square(a @ weight - b))
            optimizer.apply_gradients([(tape.gradient(loss, weight), weight)])

        run = cr.jit(step) if compiled else step
        seen = []
        for a, b in zip(x, y, strict=True):
            for part in range(parts):
                before = weight.numpy()
                rows = slice(part * 12 // parts, (part + 1) * 12 // parts)
                run(cr.tensor(a[rows]), cr.tensor(b[rows]))
                changed = (weight.numpy() != before).any()
                assert changed == (part == parts - 1)
            seen.append(weight.numpy())
        assert optimizer.iterations.item() == 5
        results.append(seen)
    np.testing.assert_allclose(results[0], results[1], rtol=1e-12)


# Running average ----------------------------------------------------------------------------------


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
def test_running_average(compiled: bool) -> None:
    weight, frozen = variable([1.0, -1.0], "w"), variable([5.0], "frozen")
    optimizer = cr.optimizers.SGD(0.1, ema_decay=0.8)
    optimizer.build([weight, frozen])

    def step(gradient: cr.Tensor) -> None:
        optimizer.apply_gradients([(gradient, weight)])

    run = cr.jit(step) if compiled else step
    np.testing.assert_array_equal(optimizer.ema_values()["w"], [1.0, -1.0])
    average = None
    for gradient in np.random.default_rng(0).normal(size=(10, 2)):
        run(cr.tensor(gradient))
        now = weight.numpy()
        average = now if average is None else 0.8 * average + 0.2 * now
    np.testing.assert_allclose(optimizer.ema_values()["w"], average, rtol=1e-12)
    assert optimizer.ema_values()["frozen"] == 5.0
    trained = weight.numpy()
    optimizer.swap_ema()
    np.testing.assert_allclose(weight.numpy(), average, rtol=1e-12)
    with pytest.raises(StateError, match="swap_ema"):
        step(cr.tensor(np.zeros(2)))
    optimizer.swap_ema()
    np.testing.assert_array_equal(weight.numpy(), trained)
    np.testing.assert_allclose(optimizer.ema_values()["w"], average, rtol=1e-12)


def test_no_running_average_asked_for() -> None:
    with pytest.raises(StateError, match="ema_decay"):
        cr.optimizers.SGD().swap_ema()


# Decay and constraints ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SGD", "RMSprop", "Adagrad", "Adam", "Nadam", "Adamax", "Lion"])
def test_decoupled_decay_does_not_pass_the_rule(name: str) -> None:
    kernel, bias = variable([2.0], "dense/kernel"), variable([2.0], "dense/bias")
    optimizer = getattr(cr.optimizers, name)(0.1, weight_decay=0.5, no_decay=("bias",))
    for _ in range(3):
        optimizer.apply_gradients([(np.zeros(1), kernel), (np.zeros(1), bias)])
    assert kernel.item() == pytest.approx(2.0 * 0.95**3, rel=1e-12)
    assert bias.item() == 2.0


def test_l2_passes_the_rule() -> None:
    kernel, bias = variable([2.0], "dense/kernel"), variable([2.0], "dense/bias")
    optimizer = cr.optimizers.Adam(0.1, l2=0.5, no_decay=["bias"])
    optimizer.apply_gradients([(np.zeros(1), kernel), (np.zeros(1), bias)])
    assert kernel.item() == pytest.approx(1.9, rel=1e-6)
    assert bias.item() == 2.0


def test_constraint_is_applied_after_the_update() -> None:
    weight = variable([0.5, 0.5], "w")
    weight.constraint = lambda w: cr.maximum(w, 0.0)
    cr.optimizers.SGD(1.0).apply_gradients([(np.array([1.0, 0.2]), weight)])
    np.testing.assert_allclose(weight.numpy(), [0.0, 0.3], rtol=1e-12)


# Schedules inside an optimizer --------------------------------------------------------------------


def test_schedule_counts_updates_in_one_compiled_step() -> None:
    weight = variable([0.0], "w")
    schedule = cr.optimizers.PiecewiseConstant([2], [1.0, 10.0])
    optimizer = cr.optimizers.SGD(schedule, accumulate_steps=2)
    optimizer.build([weight])
    compiled = cr.jit(lambda g: optimizer.apply_gradients([(g, weight)]))
    seen = []
    for _ in range(8):
        compiled(cr.tensor(np.ones(1)))
        seen.append(-weight.item())
    assert seen == [0.0, 1.0, 1.0, 2.0, 2.0, 12.0, 12.0, 22.0]
    assert len(compiled.graphs) == 1


def test_first_call_inside_jit_builds() -> None:
    weight = variable([1.0], "w")
    optimizer = cr.optimizers.Adam(0.1, ema_decay=0.9, accumulate_steps=2)
    compiled = cr.jit(lambda g: optimizer.apply_gradients([(g, weight)]))
    for _ in range(4):
        compiled(cr.tensor(np.ones(1)))
    assert weight.item() == pytest.approx(0.8, rel=1e-6)
    assert optimizer.iterations.item() == 2


def test_repr() -> None:
    text = repr(cr.optimizers.Adam(0.5, clip_norm=2.0))
    assert text.startswith("Adam(learning_rate=0.5, beta_1=0.9")
    assert "clip_norm=2.0" in text
    assert "ema_decay" not in text
