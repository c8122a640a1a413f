"""evaluate, validation and predict go through many batches in one run of the back end."""

import os
import signal
import threading
import time
from typing import Any

import numpy as np
import pytest
from small_networks import blobs, dense

import chainrule as cr
from chainrule.training.batches import Batches, Data, even_size
from chainrule.training.loop import measure
from chainrule.training.step import EvaluationStep

ROWS = 257


def model_and_data(dtype: str = "float64") -> tuple[cr.Sequential, Any, Any, Any]:
    x, y = blobs(ROWS)
    model = dense(6, 3, dtype=dtype)
    model(x[:2])
    weights = np.random.default_rng(2).random(ROWS)
    weights[::3] = 0
    weights[40:80] = 0  # whole batches without weight: their loss is 0, not NaN
    return model, x.astype(dtype), y, weights


def by_hand(model: cr.Sequential, x: Any, y: Any, weights: Any) -> dict[str, float]:
    """Loss and accuracy in NumPy, float64."""
    hidden, bias, out, last = (w.astype("float64") for w in model.get_weights())
    logits = np.tanh(x @ hidden + bias) @ out + last
    logits = logits - logits.max(axis=1, keepdims=True)
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(y)), y]
    return {
        "loss": float(np.average(losses, weights=weights)),
        "accuracy": float(np.average(logits.argmax(axis=1) == y, weights=weights)),
    }


@pytest.mark.parametrize("batch_size", [1, 7, 16, 64, 256, 257, 1000, None])
@pytest.mark.parametrize("weighted", [False, True])
def test_evaluate_is_the_mean_over_all_rows(batch_size: int | None, weighted: bool) -> None:
    model, x, y, weights = model_and_data()
    given = weights if weighted else None
    found = model.evaluate(
        x, y, loss="cross_entropy", metrics=["accuracy"], sample_weight=given, batch_size=batch_size
    )
    assert found == pytest.approx(by_hand(model, x, y, given), rel=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_many_batches_in_one_run_are_those_one_by_one(weighted: bool) -> None:
    model, x, y, weights = model_and_data("float32")
    data = Data(x, y, weights.astype("float32") if weighted else None)
    metrics = [cr.metrics.get("accuracy")]
    step = EvaluationStep(model, cr.losses.get("cross_entropy"), metrics)
    batches = Batches(data, 16)
    total = count = 0.0
    for bx, by, bw, weight in batches.epoch(0):
        total += step(bx, by, bw) * weight
        count += weight
    alone = {"loss": total / count, "accuracy": metrics[0].result()}
    assert measure(step, batches) == pytest.approx(alone, rel=1e-12)


def test_weights_for_each_target() -> None:
    random = np.random.default_rng(0)
    x, y = random.normal(size=(50, 4, 3)), random.normal(size=(50, 4, 2))
    weights = random.random((50, 4)) * (np.arange(50) % 4 > 0)[:, None]
    model = dense(2)
    model(x[:2])
    found = model.evaluate(x, y, loss="mse", sample_weight=weights, batch_size=8)["loss"]
    kernel, bias = model.get_weights()
    squares = ((x @ kernel + bias - y) ** 2).mean(axis=-1)
    assert found == pytest.approx(float((squares * weights).sum() / weights.sum()))
    alone = model.fit(x, y, loss="mse", sample_weight=weights, batch_size=8, optimizer="sgd")
    assert np.isfinite(alone["loss"][0])


class TwoInputs(cr.Model):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = cr.layers.Dense(1), cr.layers.Dense(1)

    def call(self, inputs: Any) -> Any:
        x = self.first(inputs["a"]) + self.second(inputs["b"])
        return {"sum": x, "double": 2 * x} if inputs["a"].shape[1] == 4 else x


def test_several_inputs() -> None:
    random = np.random.default_rng(0)
    data = {"a": random.normal(size=(45, 3)), "b": random.normal(size=(45, 2))}
    y = random.normal(size=(45, 1))
    model = TwoInputs()
    whole = model.predict(data, batch_size=None)
    np.testing.assert_allclose(model.predict(data, batch_size=10), whole, rtol=1e-6)
    found = model.evaluate(data, y, loss="mse", batch_size=10)["loss"]
    assert found == pytest.approx(float(((whole - y) ** 2).mean()), rel=1e-5)


@pytest.mark.parametrize("rows", [1, 9, 10, 11, 40, 43])
@pytest.mark.parametrize("batch_size", [1, 10, None])
def test_predict_does_not_depend_on_the_batches(rows: int, batch_size: int | None) -> None:
    model, x, _, _ = model_and_data("float32")
    parts = np.concatenate([model(x[i : i + 1]).numpy() for i in range(rows)])
    found = model.predict(x[:rows], batch_size=batch_size)
    assert found.shape == (rows, 3)
    np.testing.assert_allclose(found, parts, rtol=1e-5, atol=1e-6)


def test_predict_of_several_outputs() -> None:
    class Two(cr.Model):
        def call(self, inputs: Any) -> Any:
            return {"same": inputs, "pair": [inputs.sum(axis=1), inputs * 2]}

    x = np.random.default_rng(0).normal(size=(23, 3)).astype("float32")
    found = Two().predict(x, batch_size=5)
    np.testing.assert_array_equal(found["same"], x)
    assert isinstance(found["pair"], tuple)
    np.testing.assert_allclose(found["pair"][0], x.sum(axis=1), rtol=1e-5)
    np.testing.assert_array_equal(found["pair"][1], 2 * x)


def test_equal_batches_need_one_program() -> None:
    assert [even_size(1600, 256), even_size(257, 256), even_size(5, 256)] == [200, 256, 5]
    for rows in range(1, 300):
        size = even_size(rows, 32)
        assert size <= 32
        assert rows % size == 0 or size == 32
    model, x, y, _ = model_and_data()
    model.fit(x[:160], y[:160], loss="cross_entropy", validation_data=(x[:250], y[:250]))
    assert model._setup is not None
    assert len(model._setup.evaluation._compiled.graphs) == 1
    model.predict(x[:250], batch_size=64)
    assert len(model.compiled_call.graphs) == 1


def test_batches_share_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x, y, _ = model_and_data("float32")
    x, y = np.tile(x, (8, 1)), np.tile(y, 8)
    runs: list[int] = []
    run = EvaluationStep.run_stacked

    def counted(self: EvaluationStep, *data: Any) -> Any:
        runs.append(len(data[1]))
        return run(self, *data)

    monkeypatch.setattr(EvaluationStep, "run_stacked", counted)
    model.evaluate(x, y, loss="cross_entropy", batch_size=8)
    assert sum(runs) == len(x) // 8
    assert len(runs) < 20  # 1, 8, 64, ... batches


# ---- Ctrl-C and progress

no_signals = pytest.mark.skipif(os.name == "nt", reason="signals are sent by os.kill")


def press_after(seconds: float) -> None:
    def press() -> None:
        time.sleep(seconds)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()


@no_signals
@pytest.mark.parametrize("predicting", [False, True])
def test_ctrl_c_ends_a_long_evaluation(predicting: bool) -> None:
    model = dense(64, 64, 1, dtype="float32")
    row = np.zeros((1, 8), "float32")
    # Seconds of work on little memory.
    x = np.broadcast_to(row, (1 << 14, 8)).copy()
    y = np.zeros((1 << 14, 1), "float32")
    model.predict(row)

    def work() -> None:
        while True:
            if predicting:
                model.predict(x, batch_size=1)
            else:
                model.evaluate(x, y, loss="mse", batch_size=1)

    work_started = time.perf_counter()
    press_after(0.5)
    with pytest.raises(KeyboardInterrupt):
        work()
    assert time.perf_counter() - work_started < 20


class Slow(EvaluationStep):
    """Takes its time and tells when it starts."""

    on_run: Any = None

    def run_stacked(self, *data: Any) -> Any:
        type(self).on_run()
        time.sleep(0.15)
        return super().run_stacked(*data)


@no_signals
def test_ctrl_c_in_the_middle_of_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x, y, _ = model_and_data()
    runs: list[int] = []

    def on_run() -> None:
        runs.append(len(runs))
        if len(runs) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Slow, "on_run", staticmethod(on_run))
    monkeypatch.setattr("chainrule.training.fit.EvaluationStep", Slow)
    monkeypatch.setattr("chainrule.training.fit.EVALUATION_ROWS", 16)
    history = model.fit(
        x[:16], y[:16], loss="cross_entropy", epochs=5, batch_size=16, validation_data=(x, y)
    )
    assert history.stopped_by == "interrupt"
    assert "in epoch 1, after validation" in history.stopped
    assert len(runs) == 2


def test_progress_lives_during_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x, y, _ = model_and_data()
    shown: list[str] = []
    monkeypatch.setattr(Slow, "on_run", staticmethod(lambda: shown.append("run")))
    monkeypatch.setattr("chainrule.training.fit.EvaluationStep", Slow)
    monkeypatch.setattr("chainrule.training.fit.EVALUATION_ROWS", 16)

    class Shown:
        def start(self) -> None: ...

        def batch(self, epoch: int, batch: int, batches: int, loss: float) -> None:
            shown.append(f"{batch}/{batches}")

        def epoch(self, epoch: int, logs: Any) -> None: ...

        def stop(self, reason: str) -> None: ...

        def say(self, line: str) -> None: ...

    monkeypatch.setattr("chainrule.training.fit.make_progress", lambda *given: Shown())
    model.fit(x[:32], y[:32], loss="cross_entropy", batch_size=16, validation_data=(x, y))
    assert shown.count("run") >= 3
    assert shown[-4:] == ["run", "2/2", "run", "2/2"]
