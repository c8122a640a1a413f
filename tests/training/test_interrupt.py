"""Ctrl-C ends a run after the step and keeps the model."""

import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest

import chainrule as cr

X = np.random.default_rng(0).normal(size=(64, 3))
Y = X.sum(axis=1)
pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals are sent by os.kill")


def press(times: int = 1) -> None:
    for _ in range(times):
        os.kill(os.getpid(), signal.SIGINT)


class Press(cr.callbacks.Callback):
    """Presses Ctrl-C in the third epoch, after the second of four batches."""

    def __init__(self, times: int = 1) -> None:
        self.times = times
        self.ended = False

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if (self.epoch, batch) == (2, 1):
            press(self.times)

    def on_train_end(self, logs: Any = None) -> None:
        self.ended = True


def test_the_run_ends_cleanly_and_the_model_is_usable() -> None:
    model = cr.Sequential([cr.layers.Dense(1)])
    callback = Press()
    history = model.fit(X, Y, loss="mse", epochs=10, batch_size=16, callbacks=[callback])
    assert history.stopped_by == "interrupt"
    assert "interrupted by Ctrl-C in epoch 3, after 3 of 4 steps" in history.stopped
    assert history.epochs == 2
    assert callback.ended
    assert np.isfinite(model.predict(X)).all()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert model.fit(X, Y, loss="mse", epochs=2).stopped_by == "epochs"


def test_the_weights_are_those_of_the_last_finished_step() -> None:
    interrupted, plain = (cr.Sequential([cr.layers.Dense(1)]) for _ in range(2))
    options: Any = {"loss": "mse", "epochs": 10, "batch_size": 16, "seed": 1, "optimizer": "sgd"}
    interrupted.fit(X, Y, callbacks=[Press()], **options)

    class Stop(cr.callbacks.Callback):
        steps = 0

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.steps += 1
            if self.steps == 4 * 2 + 3:
                self.stop("there")

    plain.fit(X, Y, callbacks=[Stop()], **options)
    assert all((a == b).all() for a, b in zip(interrupted.get_weights(), plain.get_weights()))


def test_a_second_press_interrupts_at_once() -> None:
    model = cr.Sequential([cr.layers.Dense(1)])
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, loss="mse", epochs=10, batch_size=16, callbacks=[Press(2)])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_programs_own_handler_is_left_alone() -> None:
    pressed = []
    before = signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number))
    try:
        model = cr.Sequential([cr.layers.Dense(1)])
        history = model.fit(X, Y, loss="mse", epochs=3, batch_size=16, callbacks=[Press()])
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(pressed) == 1
    assert history.stopped_by == "epochs"


def test_training_in_another_thread_works() -> None:
    results: list[Any] = []
    model = cr.Sequential([cr.layers.Dense(1)])
    thread = threading.Thread(target=lambda: results.append(model.fit(X, Y, loss="mse", epochs=2)))
    thread.start()
    thread.join()
    assert results[0].stopped_by == "epochs"


def test_ctrl_c_on_a_program() -> None:
    program = (
        "import numpy as np, chainrule as cr\n"
        "x = np.random.default_rng(0).normal(size=(256, 8))\n"
        "m = cr.Sequential([cr.layers.Dense(16, activation='relu'), cr.layers.Dense(1)])\n"
        "m(x)\n"
        "print('ready', flush=True)\n"
        "h = m.fit(x, x[:, 0], loss='mse', epochs=10**6)\n"
        "print(h.stopped_by, h.epochs > 0, np.isfinite(m.predict(x)).all())\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        ready = process.stdout.readline()
        time.sleep(1.0)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (ready, out, err) == ("ready\n", "interrupt True True\n", "")
    assert process.returncode == 0
