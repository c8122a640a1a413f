"""The record of a run: numbers, data frame, picture, and the live line."""

import io
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import StateError, UnknownNameError
from chainrule.training import History
from chainrule.training import progress as module
from chainrule.training.progress import LineProgress, LiveProgress, format_logs, make_progress


def history_of(epochs: int = 30, validation: bool = True) -> History:
    history = History()
    for epoch in range(1, epochs + 1):
        logs: dict[str, Any] = {"loss": 2.0 / epoch, "accuracy": 1 - 0.5 / epoch}
        if validation:
            logs |= {"val_loss": 2.2 / epoch + 0.1, "val_accuracy": 0.9 - 0.4 / epoch}
        history.append(logs)
    return history


def test_reading() -> None:
    history = history_of(3)
    assert history["loss"] == history.history["loss"] == [2.0, 1.0, 2.0 / 3]
    assert "val_loss" in history
    assert list(history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    with pytest.raises(UnknownNameError, match="did you mean 'loss'"):
        history["los"]


@pytest.mark.parametrize("moment", ["on_epoch_end", "on_train_batch_end"])
def test_time_outside_steps_is_not_counted_as_theirs(moment: str) -> None:
    slow = cr.callbacks.LambdaCallback(**{moment: lambda number, logs: time.sleep(0.02)})
    model = cr.Sequential([cr.layers.Dense(1)])
    x, y = np.ones((8, 2), np.float32), np.ones((8, 1), np.float32)
    history = model.fit(x, y, loss="mse", epochs=3, batch_size=4, callbacks=slow, verbose=0)
    slept = 0.02 * (3 if moment == "on_epoch_end" else 6)
    assert 0 < history.seconds_in_steps <= history.seconds - slept


def test_names_that_come_and_go_are_filled() -> None:
    history = History()
    for logs in ({"loss": 1.0}, {"loss": 2.0, "new": 5.0}, {"new": 6.0}):
        history.append(logs)
    np.testing.assert_equal(history["loss"], [1.0, 2.0, np.nan])
    np.testing.assert_equal(history["new"], [np.nan, 5.0, 6.0])


def test_to_pandas() -> None:
    pytest.importorskip("pandas")
    frame = history_of(4).to_pandas()
    assert frame.index.tolist() == [1, 2, 3, 4]
    assert frame.index.name == "epoch"
    assert frame["loss"].tolist() == history_of(4)["loss"]


def test_plot(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    history = history_of()
    figure = history.plot(tmp_path / "history.png")
    assert (tmp_path / "history.png").stat().st_size > 5000
    visible = [axis for axis in figure.axes if axis.get_visible()]
    assert [axis.get_title() for axis in visible] == ["loss", "accuracy"]
    assert [len(axis.lines) for axis in visible] == [2, 2]
    assert len(history_of(1, validation=False).plot(names=["loss"]).axes) == 1
    assert history.plot(log=True).axes[0].get_yscale() == "log"
    with pytest.raises(UnknownNameError):
        history.plot(names=["los"])
    with pytest.raises(StateError, match="no epoch"):
        History().plot()


def test_plot_leaves_out_what_is_no_single_number() -> None:
    pytest.importorskip("matplotlib")
    history = History()
    history.append({"loss": 1.0, "confusion_matrix": np.eye(2)})
    assert len(history.plot().axes) == 1


# ---- progress


def test_verbose_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert make_progress("auto", 5) is None  # pytest's standard error is no terminal
    assert make_progress(0, 5) is None
    assert make_progress(False, 5) is None
    assert isinstance(make_progress(1, 5), LiveProgress)
    assert isinstance(make_progress(2, 5), LineProgress)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert isinstance(make_progress("auto", 5), LiveProgress)


def test_rich_is_not_imported_when_the_progress_is_off() -> None:
    program = (
        "import sys, numpy as np, chainrule as cr\n"
        "m = cr.Sequential([cr.layers.Dense(1)])\n"
        "m.fit(np.ones((4, 2)), np.ones(4), loss='mse')\n"
        "names = ('rich', 'pandas', 'matplotlib', 'narwhals', 'polars')\n"
        "print([name for name in names if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (result.stdout.strip(), result.stderr) == ("[]", "")


def test_lines(capsys: pytest.CaptureFixture[str]) -> None:
    model = cr.Sequential([cr.layers.Dense(1)])
    history = model.fit(np.ones((4, 2)), np.ones(4), loss="mse", epochs=2, verbose=2)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(f"epoch 1/2  {format_logs({'loss': history['loss'][0]})}")
    assert lines[2] == "all 2 epochs done"


def test_live_line_shows_numbers_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=100)
    monkeypatch.setattr("rich.console.Console", lambda **options: console)
    monkeypatch.setattr(module, "REFRESH_SECONDS", 0.0)
    model = cr.Sequential([cr.layers.Dense(1)])
    history = model.fit(
        np.ones((64, 2)), np.ones(64), loss="mse", epochs=3, verbose=1, batch_size=8
    )
    shown = text.getvalue()
    assert "epoch 3/3" in shown
    assert format_logs({"loss": history["loss"][-1]}) in shown
    assert "left" in shown
    assert shown.rstrip().endswith("all 3 epochs done\x1b[0m")


def test_live_line_is_closed_when_training_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []
    monkeypatch.setattr(LiveProgress, "stop", lambda self, reason: closed.append(reason))

    class Fail(cr.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        cr.Sequential([cr.layers.Dense(1)]).fit(
            np.ones((4, 2)), np.ones(4), loss="mse", verbose=1, callbacks=[Fail()]
        )
    assert closed == [""]


def test_many_epochs_at_once_are_like_one_after_another() -> None:
    one, many = History(), History()
    for history in (one, many):
        history.append({"rate": 0.5, "loss": 3.0})
    for loss in (2.0, 1.0):
        one.append({"loss": loss})
    many.extend("loss", [2.0, 1.0])
    many.extend("loss", [])
    assert one.epochs == many.epochs == 3
    assert repr(one.history) == repr(many.history)
