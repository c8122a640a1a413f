"""The live line of a training run, and one plain line an epoch for logs.

Nothing here runs, and rich is not imported, when the progress is off.
"""

import sys
import time
from collections.abc import Mapping
from typing import Any, Literal, Protocol

from chainrule.errors import ArgumentError

Verbose = Literal["auto", 0, 1, 2] | bool

REFRESH_SECONDS = 0.1


class Progress(Protocol):
    """What the training loop tells the display."""

    def start(self) -> None:
        """The run begins."""

    def batch(self, epoch: int, batch: int, batches: int, loss: float) -> None:
        """Some batches of an epoch are done; called a few times a second."""

    def epoch(self, epoch: int, logs: Mapping[str, Any]) -> None:
        """An epoch is done."""

    def stop(self, reason: str) -> None:
        """The run is over."""

    def say(self, line: str) -> None:
        """Something to know after the run."""


def make_progress(verbose: Verbose, epochs: int) -> Progress | None:
    """The display for this setting, or None for none.

    Args:
        verbose: ``"auto"`` shows the live line only on a terminal; 0 nothing; 1 the live line; 2
            one plain line an epoch.
        epochs: how many epochs the run has at most.
    """
    if verbose == "auto":
        verbose = 1 if sys.stderr is not None and sys.stderr.isatty() else 0
    if isinstance(verbose, bool) or verbose in (0, 1):
        return LiveProgress(epochs) if verbose else None
    if verbose == 2:
        return LineProgress(epochs)
    raise ArgumentError("fit", "unknown verbose", got=repr(verbose), expected="'auto', 0, 1 or 2")


def format_logs(logs: Mapping[str, Any]) -> str:
    """The single numbers of an epoch in a line.

    >>> format_logs({"loss": 0.012346, "accuracy": 0.9})
    'loss 0.01235  accuracy 0.9000'
    """
    return "  ".join(
        f"{name} {_number(value)}" for name, value in logs.items() if isinstance(value, int | float)
    )


def _number(value: float) -> str:
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.4f}" if abs(value) >= 0.1 or value == 0 else f"{value:.5f}"
    return f"{value:.3e}"


def format_seconds(seconds: float) -> str:
    """A duration in the two units that matter.

    >>> format_seconds(3.2), format_seconds(75), format_seconds(7500)
    ('3 s', '1 min 15 s', '2 h 5 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class LineProgress:
    """One plain line an epoch on standard error, for log files."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self._last = time.perf_counter()

    def start(self) -> None:
        """Start the clock."""
        self._last = time.perf_counter()

    def batch(self, epoch: int, batch: int, batches: int, loss: float) -> None:
        """Show nothing: a log file gets whole epochs."""

    def epoch(self, epoch: int, logs: Mapping[str, Any]) -> None:
        """Write the line of this epoch."""
        now = time.perf_counter()
        sys.stderr.write(
            f"epoch {epoch + 1}/{self.epochs}  {format_logs(logs)}  {now - self._last:.2f} s\n"
        )
        self._last = now

    def stop(self, reason: str) -> None:
        """Write why the run ended."""
        self.say(reason)

    def say(self, line: str) -> None:
        """Write a line."""
        sys.stderr.write(line + "\n")


class LiveProgress:
    """A line on the terminal, redrawn at most ten times a second: bar, numbers, time left."""

    def __init__(self, epochs: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress

        self.epochs = epochs
        self._display = RichProgress(
            TextColumn("epoch {task.fields[epoch]}/{task.total:.0f}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[numbers]}"),
            TextColumn("{task.fields[left]}", style="dim"),
            console=Console(stderr=True),
            auto_refresh=False,  # no thread beside the training: it redraws when told to
        )
        self._task = self._display.add_task("", total=epochs, epoch=0, numbers="", left="")
        self._begin = self._shown = 0.0
        self._first_epoch = 0.0  # when it ended: its time holds the compilation
        self._numbers = ""

    def start(self) -> None:
        """Put the line on the terminal."""
        self._begin = time.perf_counter()
        self._display.start()

    def batch(self, epoch: int, batch: int, batches: int, loss: float) -> None:
        """Move inside an epoch; the numbers are those of the last whole epoch."""
        numbers = self._numbers or f"loss {_number(loss)}"
        self._draw(epoch, epoch + batch / batches, numbers)

    def epoch(self, epoch: int, logs: Mapping[str, Any]) -> None:
        """Show the numbers of this epoch."""
        self._numbers = format_logs(logs)
        now = time.perf_counter()
        self._first_epoch = self._first_epoch or now
        if now - self._shown >= REFRESH_SECONDS or epoch + 1 == self.epochs:
            self._draw(epoch, epoch + 1, self._numbers)

    def stop(self, reason: str) -> None:
        """Leave the last state of the line on the terminal, and below it why the run ended."""
        task = self._display.tasks[0]
        took = time.perf_counter() - self._begin
        self._display.update(
            self._task, numbers=self._numbers or task.fields["numbers"], left=format_seconds(took)
        )
        self._display.stop()
        if reason:
            self.say(reason)

    def say(self, line: str) -> None:
        """Put a line below the last state."""
        self._display.console.print(line, style="dim", highlight=False)

    def _draw(self, epoch: int, done: float, numbers: str) -> None:
        self._shown = time.perf_counter()
        if done > 1:
            left = (self._shown - self._first_epoch) / (done - 1) * (self.epochs - done)
        else:
            left = (self._shown - self._begin) / done * (self.epochs - done)
        self._display.update(
            self._task,
            completed=done,
            epoch=epoch + 1,
            numbers=numbers,
            left=f"{format_seconds(left)} left",
            refresh=True,
        )
