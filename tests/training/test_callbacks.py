"""Callbacks: when they are called, what they may do, and that idle ones cost nothing."""

import csv
import os
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ArgumentError, FileAccessError, StateError, UnknownNameError
from chainrule.training.callbacks import Callback, Run

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
Y = X @ np.array([1.0, -1.0, 2.0])


def fit(model: Any = None, **options: Any) -> cr.training.History:
    model = model or cr.Sequential([cr.layers.Dense(1)])
    return model.fit(X, Y, **{"loss": "mse", "epochs": 4, "batch_size": 16, **options})


class Diary(Callback):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def on_train_begin(self, logs: Any = None) -> None:
        self.lines.append("begin")

    def on_train_end(self, logs: Any = None) -> None:
        self.lines.append("end")

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.lines.append(f"epoch {epoch}")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.lines.append(f"done {epoch} {sorted(logs)}")

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.lines.append(f"batch {batch}")

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.lines.append(f"loss {batch} {np.isfinite(logs['loss'])}")


def test_moments_come_in_order() -> None:
    diary = Diary()
    fit(callbacks=[diary], epochs=1, validation_split=0.25, metrics=["mae"], batch_size=16)
    names = ["loss", "mae", "val_loss", "val_mae"]
    assert diary.lines == [
        "begin", "epoch 0", "batch 0", "loss 0 True", "batch 1", "loss 1 True", f"done 0 {names}",
        "end",
    ]  # fmt: skip


def test_lambda_callback() -> None:
    seen: list[Any] = []
    callback = cr.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append((epoch, logs["loss"])),
        on_train_batch_end=lambda batch, logs: seen.append(batch),
    )
    history = fit(callbacks=[callback], epochs=2)
    assert seen == [0, 1, 2, (0, history["loss"][0]), 0, 1, 2, (1, history["loss"][1])]
    with pytest.raises(UnknownNameError, match="did you mean 'on_epoch_end'"):
        cr.callbacks.LambdaCallback(on_epoch_ends=print)


def test_a_callback_may_log_and_until_may_use_it() -> None:
    class Double(Callback):
        logged: ClassVar = {"double": "min"}

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            logs["double"] = 2 * logs["loss"]

    history = fit(callbacks=[Double()], until={"double": 1e9})
    assert history.epochs == 1
    assert history["double"] == [2 * history["loss"][0]]
    with pytest.raises(UnknownNameError, match="double"):
        fit(until={"double": 1.0})


def test_a_callback_may_stop_the_run() -> None:
    class Stop(Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if epoch == 1:
                self.stop("seen enough")

    callback = Stop()
    for _ in range(2):  # the second run starts afresh
        history = fit(callbacks=[callback])
        assert (history.epochs, history.stopped_by, history.stopped) == (
            2,
            "callback",
            "seen enough",
        )


def test_keras_way_to_stop_inside_an_epoch() -> None:
    class Stop(Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.model.stop_training = batch == 1

    model = cr.Sequential([cr.layers.Dense(1)])
    history = fit(model, callbacks=[Stop()])
    assert (history.epochs, history.stopped_by) == (0, "callback")
    assert fit(model).epochs == 4


def test_an_error_in_a_callback_reaches_the_user() -> None:
    class Fail(Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        fit(callbacks=[Fail()])


# ---- early stopping, followed on given numbers


class Given(Callback):
    """Logs given numbers instead of measured ones."""

    logged: ClassVar = {"score": "max", "cost": "min"}

    def __init__(self, name: str, values: list[float]) -> None:
        self.name, self.values = name, values

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs["score"] = logs["cost"] = 0.0
        logs[self.name] = self.values[epoch]


@pytest.mark.parametrize(
    ("values", "options", "epochs", "best"),
    [
        ([3, 2, 1, 2, 2, 2, 2], {"patience": 3}, 6, 2),
        ([3, 2, 1, 2, 2, 0.5, 2], {"patience": 3}, 7, 5),
        ([3, 2, 1, 1, 1, 1, 1], {"patience": 2}, 5, 2),
        ([3, 2, 1, 0.95, 0.9, 0.85, 0.8], {"patience": 2, "min_delta": 0.5}, 5, 2),
        ([3, 4, 1, 1, 1, 1, 1], {"patience": 0}, 2, 0),
        ([1, 2, 2, 2, 0.5, 0.6, 0.7], {"patience": 1, "start_from_epoch": 4}, 6, 4),
        ([float("nan"), 2, 1, 2, 2, 2, 2], {"patience": 2}, 5, 2),
        ([3, 2, 1, 2, 3, 4, 5], {"patience": 2, "mode": "max"}, 3, 0),
    ],
)
def test_early_stopping_counts(
    values: list[float], options: dict[str, Any], epochs: int, best: int
) -> None:
    stopping = cr.callbacks.EarlyStopping("cost", **options)
    weights: list[Any] = []
    model = cr.Sequential([cr.layers.Dense(1)])
    record = cr.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: weights.append(model.get_weights()[0])
    )
    history = fit(
        model, callbacks=[Given("cost", values), record], early_stopping=stopping, epochs=7
    )
    assert history.epochs == epochs
    assert stopping.best_epoch == best
    assert (model.get_weights()[0] == weights[best]).all()


def test_early_stopping_knows_that_a_score_should_grow() -> None:
    stopping = cr.callbacks.EarlyStopping("score", patience=1)
    history = fit(callbacks=[Given("score", [1, 2, 1.5, 3])], early_stopping=stopping)
    assert (history.epochs, stopping.best_epoch) == (3, 1)
    assert "score did not improve on 2 of epoch 2 for 1 epochs" in history.stopped


def test_keras_spelling_and_no_restoring() -> None:
    stopping = cr.callbacks.EarlyStopping("cost", patience=1, restore_best_weights=False)
    model = cr.Sequential([cr.layers.Dense(1)])
    last: list[Any] = []
    record = cr.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: last.append(model.get_weights()[0])
    )
    fit(model, callbacks=[Given("cost", [1, 2, 3, 4]), record, stopping])
    assert (model.get_weights()[0] == last[-1]).all()
    assert len(last) == 2


def test_best_weights_come_back_also_when_all_epochs_are_done() -> None:
    stopping = cr.callbacks.EarlyStopping("cost")
    model = cr.Sequential([cr.layers.Dense(1), cr.layers.BatchNormalization()])
    kept: list[Any] = []
    record = cr.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: kept.append(model.get_weights())
    )
    fit(model, callbacks=[Given("cost", [2, 1, 3, 4]), record], early_stopping=stopping)
    assert all((a == b).all() for a, b in zip(model.get_weights(), kept[1]))


# ---- learning rates


def test_learning_rate_scheduler_by_epoch_and_by_rate() -> None:
    optimizer = cr.optimizers.SGD(0.1)
    history = fit(
        optimizer=optimizer,
        callbacks=[cr.callbacks.LearningRateScheduler(lambda epoch: 0.1 / (epoch + 1))],
    )
    assert history["learning_rate"] == pytest.approx([0.1, 0.05, 0.1 / 3, 0.025])
    halve = cr.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    history = fit(optimizer=cr.optimizers.SGD(0.1), callbacks=[halve])
    assert history["learning_rate"] == pytest.approx([0.05, 0.025, 0.0125, 0.00625])
    with pytest.raises(ArgumentError, match="no rate for epoch 0"):
        fit(callbacks=[cr.callbacks.LearningRateScheduler(lambda epoch: -1.0)])
    with pytest.raises(StateError, match="follows a schedule already"):
        fit(
            optimizer=cr.optimizers.SGD(cr.optimizers.Constant(0.1)),
            callbacks=[cr.callbacks.LearningRateScheduler(lambda epoch: 0.1)],
        )


def test_a_new_rate_needs_no_new_trace() -> None:
    model = cr.Sequential([cr.layers.Dense(1)])
    fit(
        model,
        callbacks=[cr.callbacks.LearningRateScheduler(lambda e: 0.1 / (e + 1))],
        batch_size=20,
    )
    assert len(model._setup.step._compiled_rows.graphs) == 1


def test_reduce_on_plateau() -> None:
    optimizer = cr.optimizers.SGD(1.0)
    plateau = cr.callbacks.ReduceOnPlateau("cost", factor=0.5, patience=2, cooldown=1, min_lr=0.2)
    given = Given("cost", [1, 1, 1, 1, 1, 1, 1, 1, 1, 1])
    history = fit(optimizer=optimizer, callbacks=[given, plateau], epochs=10)
    assert history["learning_rate"] == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.2]
    assert cr.callbacks.ReduceLROnPlateau is cr.callbacks.ReduceOnPlateau
    with pytest.raises(ArgumentError, match="factor does not reduce"):
        cr.callbacks.ReduceOnPlateau(factor=2.0)


# ---- files


def test_model_checkpoint_saves_the_best_and_every_epoch(tmp_path: Path) -> None:
    model = cr.Sequential([cr.layers.Dense(1)])
    kept: list[Any] = []
    record = cr.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: kept.append(model.get_weights()[0])
    )
    best = cr.callbacks.ModelCheckpoint(tmp_path / "best.safetensors", "cost")
    each = cr.callbacks.ModelCheckpoint(
        tmp_path / "net-{epoch}-{cost:.0f}.safetensors", save_best_only=False, every=2
    )
    fit(model, callbacks=[Given("cost", [2, 1, 3, 4]), record, best, each])
    assert sorted(os.listdir(tmp_path)) == [
        "best.safetensors", "net-2-1.safetensors", "net-4-4.safetensors",
    ]  # fmt: skip
    loaded = cr.load_model(tmp_path / "best.safetensors")
    assert (loaded.get_weights()[0] == kept[1]).all()


def test_paths_are_checked_before_training(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere" / "net.safetensors"
    for callback in (cr.callbacks.ModelCheckpoint(missing), cr.callbacks.CSVLogger(missing)):
        diary = Diary()
        with pytest.raises(FileAccessError, match="nowhere"):
            fit(callbacks=[callback, diary])
        assert diary.lines == []
    with pytest.raises(ArgumentError, match="path names a number that is not logged"):
        fit(callbacks=[cr.callbacks.ModelCheckpoint(tmp_path / "{acc}.safetensors")])


def test_csv_logger(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    history = fit(callbacks=[cr.callbacks.CSVLogger(path)], metrics=["mae"])
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4]
    assert [float(row["loss"]) for row in rows] == history["loss"]
    fit(callbacks=[cr.callbacks.CSVLogger(path)], epochs=1)
    assert len(path.read_text().splitlines()) == 2


def test_run_finds_names_by_their_spelling() -> None:
    run = Run(
        None,
        None,
        1,
        1,
        {"loss": "min", "accuracy": "max", "val_accuracy": "max"},
        {"acc": "accuracy"},
    )  # type: ignore[arg-type]
    names = ("loss", "acc", "accuracy", "val_acc", "val_accuracy")
    assert [run.logged_name(name, "test") for name in names] == [
        "loss", "accuracy", "accuracy", "val_accuracy", "val_accuracy",
    ]  # fmt: skip
