"""Callbacks: code that `fit` calls between epochs and batches.

A callback subclasses `Callback` and overrides the moments it needs; moments that nobody overrides
cost nothing. Epochs and batches are counted from 0, as in Keras.
"""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from chainrule.errors import ArgumentError, StateError, unknown_name
from chainrule.formats.atomic import check_writable
from chainrule.optimizers import Optimizer

if TYPE_CHECKING:
    from chainrule.training.model import Model

Logs = dict[str, Any]
Direction = Literal["min", "max"]


@dataclass
class Run:
    """What a callback may know about the run it belongs to.

    Attributes:
        model: the model in training.
        optimizer: the optimizer in use.
        epochs: how many epochs the run has at most.
        steps: batches in an epoch.
        directions: every logged name, with ``"min"`` where smaller is better and ``"max"`` where
            larger is.
        spellings: the logged names of metrics by the names that the user gave them.
        notes: sentences for ``History.notes``; a callback may add to them.
    """

    model: "Model"
    optimizer: Optimizer
    epochs: int
    steps: int
    directions: dict[str, Direction]
    spellings: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def logged_name(self, name: str, where: str) -> str:
        """The logged name of a number that may be spelled as in ``metrics=``.

        Raises:
            UnknownNameError: the run logs no such number.
        """
        if name in self.directions:
            return name
        inner = name.removeprefix("val_")
        spelled = name.removesuffix(inner) + self.spellings.get(inner, inner)
        if spelled not in self.directions:
            raise unknown_name(where, "logged number", name, self.directions)
        return spelled


class Callback:
    """Base class of callbacks: override what you need.

    The last argument, ``logs``, holds the numbers of the epoch by name. What a callback adds to it
    in `on_epoch_end` is recorded in the history too; list such names in ``logged`` if ``until`` or
    other callbacks shall use them.

    >>> class Shout(Callback):
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         if logs["loss"] < 0.1:
    ...             self.stop("good enough")
    """

    run: Run
    logged: ClassVar[Mapping[str, Direction]] = {}
    stopped_by: ClassVar[str] = "callback"
    stop_reason: str | None = None

    @property
    def model(self) -> "Model":
        """The model in training."""
        return self.run.model

    def set_run(self, run: Run) -> None:
        """Take the run this callback belongs to; called before `on_train_begin`."""
        self.run = run
        self.stop_reason = None

    def stop(self, reason: str) -> None:
        """End the training after this moment; the reason is shown in ``History.stopped``."""
        self.stop_reason = reason

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of this callback: numbers, words, arrays, lists of arrays."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state that ``state`` gave; called after `on_train_begin`."""

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Before the first epoch."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """After the last epoch, however the run ended."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Before an epoch."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """After an epoch; logs holds its numbers."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a training step."""

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a training step; logs holds its loss."""


def single_number(logs: Logs, name: str, where: str) -> float:
    """A logged number that is compared with others.

    Raises:
        ArgumentError: it is an array, such as a confusion matrix.
    """
    value = logs[name]
    if np.ndim(value):
        raise ArgumentError(
            where,
            f"{name} is no single number",
            got=f"shape {np.shape(value)}",
            expected="a number",
        )
    return float(value)


MOMENTS = tuple(name for name in vars(Callback) if name.startswith("on_"))


def overrides(callback: Callback, moment: str) -> bool:
    """Whether a callback does anything at this moment."""
    method = getattr(callback, moment)
    return getattr(method, "__func__", None) is not getattr(Callback, moment)


class LambdaCallback(Callback):
    """A callback made of functions.

    Args:
        **functions: functions by moment: on_train_begin(logs), on_epoch_end(epoch, logs),
            on_train_batch_end(batch, logs) and so on.

    >>> seen = []
    >>> callback = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(logs["loss"]))
    """

    def __init__(self, **functions: Callable[..., None]) -> None:
        for moment, function in functions.items():
            if moment not in MOMENTS:
                raise unknown_name("LambdaCallback", "moment", moment, MOMENTS)
            setattr(self, moment, function)


class _Monitor(Callback):
    """A callback that watches one logged number."""

    def __init__(
        self, monitor: str | None, min_delta: float, mode: Direction | Literal["auto"]
    ) -> None:
        if mode not in ("auto", "min", "max"):
            raise ArgumentError(
                type(self).__name__,
                "unknown mode",
                got=repr(mode),
                expected="'auto', 'min' or 'max'",
            )
        if min_delta < 0:
            raise ArgumentError(
                type(self).__name__, "min_delta is negative", got=min_delta, expected="0 or more"
            )
        self.monitor = monitor
        self.min_delta = min_delta
        self.mode = mode
        self.best = float("nan")

    def set_run(self, run: Run) -> None:
        super().set_run(run)
        default = "val_loss" if "val_loss" in run.directions else "loss"
        self.watched = run.logged_name(self.monitor or default, type(self).__name__)
        self.direction = run.directions[self.watched] if self.mode == "auto" else self.mode
        self.best = float("inf") if self.direction == "min" else float("-inf")

    # Attributes that a checkpoint keeps.
    _kept: ClassVar[tuple[str, ...]] = ("best",)

    def state(self) -> dict[str, Any]:
        return {name.removeprefix("_"): getattr(self, name) for name in self._kept}

    def restore(self, state: dict[str, Any]) -> None:
        for name in self._kept:
            value, present = state[name.removeprefix("_")], getattr(self, name)
            if isinstance(present, list):
                right = isinstance(value, list) and len(value) in (0, len(self.model.variables))
            else:
                right = isinstance(value, int | float) or (value is None and present is None)
            if not right:
                raise TypeError(f"{name} of {type(self).__name__} is {type(value).__name__}")
            setattr(self, name, value)

    def _improved(self, logs: Logs) -> bool:
        """Whether this epoch beats the best so far by more than min_delta; then it is the best."""
        value = single_number(logs, self.watched, type(self).__name__)
        if self.direction == "min":
            better = value < self.best - self.min_delta
        else:
            better = value > self.best + self.min_delta
        if better:
            self.best = value
        return better


class EarlyStopping(_Monitor):
    """Stop when a number has not improved for some epochs, and put the best weights back.

    Args:
        monitor: the number to watch; default ``val_loss`` if there is validation data, else
            ``loss``.
        patience: how many epochs without an improvement are allowed; default 10.
        min_delta: an improvement must be larger than this; default 0.
        mode: ``"min"``, ``"max"``, or ``"auto"`` to know it from the metric.
        restore_best: put back the weights of the best epoch at the end, however the run ended;
            default True. Keras's ``restore_best_weights`` (default False there) is accepted too.
        start_from_epoch: let this many epochs pass before watching; default 0.

    Raises:
        UnknownNameError: the run logs no such number (at the start of the run).

    Reference: L. Prechelt, "Early stopping, but when?", Neural Networks: Tricks of the Trade, 1998.

    >>> EarlyStopping("val_loss", patience=5).patience
    5
    """

    stopped_by: ClassVar[str] = "early_stopping"
    _kept = ("best", "best_epoch", "_waited", "_best_values")

    def __init__(
        self,
        monitor: str | None = None,
        *,
        patience: int = 10,
        min_delta: float = 0.0,
        mode: Direction | Literal["auto"] = "auto",
        restore_best: bool = True,
        restore_best_weights: bool | None = None,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, min_delta, mode)
        if patience < 0:
            raise ArgumentError(
                "EarlyStopping", "patience is negative", got=patience, expected="0 or more"
            )
        self.patience = patience
        self.restore_best = restore_best if restore_best_weights is None else restore_best_weights
        self.start_from_epoch = start_from_epoch
        self.best_epoch: int | None = None

    def set_run(self, run: Run) -> None:
        super().set_run(run)
        if self.watched == "loss" and self.monitor is None:
            run.notes.append(
                "early stopping watches the training loss, since there is no validation data; "
                "pass validation_split=0.1 to watch unseen rows"
            )

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.best_epoch = None
        self._best_values: list[np.ndarray[Any, Any]] = []
        self._waited = 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if epoch < self.start_from_epoch or logs is None:
            return
        if self._improved(logs):
            self.best_epoch = epoch
            self._waited = 0
            if self.restore_best:
                self._best_values = [variable.numpy().copy() for variable in self.model.variables]
            return
        self._waited += 1
        if self._waited >= max(self.patience, 1):
            best = (
                ""
                if self.best_epoch is None
                else f" on {self.best:.6g} of epoch {self.best_epoch + 1}"
            )
            self.stop(
                f"early stopping: {self.watched} did not improve{best} for {self._waited} epochs"
            )

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.restore_best and self.best_epoch is not None:
            for variable, value in zip(self.model.variables, self._best_values, strict=True):
                variable.assign(value)
            self.run.notes.append(
                f"the weights are those of epoch {self.best_epoch + 1}, "
                f"the best by {self.watched} ({self.best:.6g})"
            )
        self._best_values = []


class ReduceOnPlateau(_Monitor):
    """Multiply the learning rate by a factor when a number has not improved for some epochs.

    Args:
        monitor: the number to watch; default ``val_loss`` if there is validation data, else
            ``loss``.
        factor: what to multiply the rate by; default 0.1.
        patience: epochs without an improvement before each reduction; default 10.
        min_delta: an improvement must be larger than this; default 1e-4.
        mode: ``"min"``, ``"max"``, or ``"auto"`` to know it from the metric.
        cooldown: epochs after a reduction in which nothing is counted; default 0.
        min_learning_rate: the rate is never made smaller than this; default 0. Keras's ``min_lr``
            is accepted too.

    The rate is logged as ``learning_rate``. Keras calls this ReduceLROnPlateau.

    >>> ReduceOnPlateau(patience=3, factor=0.5).factor
    0.5
    """

    logged: ClassVar[Mapping[str, Direction]] = {"learning_rate": "min"}
    _kept = ("best", "_waited", "_cooling")

    def __init__(
        self,
        monitor: str | None = None,
        *,
        factor: float = 0.1,
        patience: int = 10,
        min_delta: float = 1e-4,
        mode: Direction | Literal["auto"] = "auto",
        cooldown: int = 0,
        min_learning_rate: float = 0.0,
        min_lr: float | None = None,
    ) -> None:
        super().__init__(monitor, min_delta, mode)
        if not 0 < factor < 1:
            raise ArgumentError(
                "ReduceOnPlateau", "factor does not reduce", got=factor, expected="between 0 and 1"
            )
        self.factor = factor
        self.patience = patience
        self.cooldown = cooldown
        self.min_learning_rate = min_learning_rate if min_lr is None else min_lr

    def on_train_begin(self, logs: Logs | None = None) -> None:
        _settable_rate(self.run.optimizer, "ReduceOnPlateau")
        self._waited = self._cooling = 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        logs = {} if logs is None else logs
        rate = _settable_rate(self.run.optimizer, "ReduceOnPlateau")
        if self._improved(logs):
            self._waited = 0
        elif self._cooling == 0:
            self._waited += 1
            if self._waited >= self.patience and rate > self.min_learning_rate:
                self.run.optimizer.learning_rate = max(rate * self.factor, self.min_learning_rate)
                self._waited, self._cooling = 0, self.cooldown + 1
        self._cooling = max(self._cooling - 1, 0)
        logs["learning_rate"] = rate


class LearningRateScheduler(Callback):
    """Set the learning rate before each epoch from a function.

    Args:
        schedule: function of the epoch (from 0), or of the epoch and the current rate, that returns
            the rate.

    For a rate that changes with every step, pass a schedule as the optimizer's learning rate
    instead. The rate is logged as ``learning_rate``.

    >>> callback = LearningRateScheduler(lambda epoch, rate: rate * 0.9)
    """

    logged: ClassVar[Mapping[str, Direction]] = {"learning_rate": "min"}

    def __init__(self, schedule: Callable[..., float]) -> None:
        if not callable(schedule):
            raise ArgumentError(
                "LearningRateScheduler",
                "schedule is no function",
                got=repr(schedule),
                expected="a function of the epoch",
            )
        self.schedule = schedule
        self._takes_rate = len(signature(schedule).parameters) > 1

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        rate = _settable_rate(self.run.optimizer, "LearningRateScheduler")
        new = float(self.schedule(epoch, rate) if self._takes_rate else self.schedule(epoch))
        if not (np.isfinite(new) and new >= 0):
            raise ArgumentError(
                "LearningRateScheduler",
                f"schedule returned no rate for epoch {epoch}",
                got=new,
                expected="a finite number, 0 or more",
            )
        self.run.optimizer.learning_rate = new

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = _settable_rate(self.run.optimizer, "LearningRateScheduler")


def _settable_rate(optimizer: Optimizer, where: str) -> float:
    rate = optimizer.learning_rate
    if not isinstance(rate, float):
        raise StateError(
            where,
            "the optimizer follows a schedule already",
            got=type(rate).__name__,
            expected="a number",
            fix="give the optimizer a number as learning_rate, or leave this callback out",
        )
    return rate


class ModelCheckpoint(_Monitor):
    """Save the model after an epoch, to one file that is always whole.

    Args:
        path: the file; may contain ``{epoch}`` (counted from 1) and logged names, as in
            ``"net-{epoch}.safetensors"``.
        monitor: the number that says which epoch is best; default ``val_loss`` if there is
            validation data, else ``loss``.
        save_best_only: save only after an epoch that is the best so far; default True (Keras:
            False).
        min_delta: an improvement must be larger than this; default 0.
        mode: ``"min"``, ``"max"``, or ``"auto"`` to know it from the metric.
        every: look only at every so many epochs; default 1.

    Raises:
        FileAccessError: the folder does not exist or cannot be written to; said before training
            starts.

    >>> callback = ModelCheckpoint("best.safetensors", "val_loss")
    """

    def __init__(
        self,
        path: str | Path,
        monitor: str | None = None,
        *,
        save_best_only: bool = True,
        min_delta: float = 0.0,
        mode: Direction | Literal["auto"] = "auto",
        every: int = 1,
    ) -> None:
        super().__init__(monitor, min_delta, mode)
        if every < 1:
            raise ArgumentError(
                "ModelCheckpoint", "every is too small", got=every, expected="1 or more"
            )
        self.path = str(path)
        self.save_best_only = save_best_only
        self.every = every

    def on_train_begin(self, logs: Logs | None = None) -> None:
        numbers = dict.fromkeys(self.run.directions, 0.0)
        try:
            example = self.path.format(epoch=1, **numbers)
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            raise ArgumentError(
                "ModelCheckpoint",
                "path names a number that is not logged",
                got=f"{self.path!r} ({error})",
                expected="{epoch} or one of " + ", ".join(numbers),
            ) from None
        check_writable(example)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        logs = {} if logs is None else logs
        if (epoch + 1) % self.every:
            return
        if self._improved(logs) or not self.save_best_only:
            self.model.save(self.path.format(epoch=epoch + 1, **logs))


class CSVLogger(Callback):
    """Write the numbers of every epoch to a CSV file, a line as soon as the epoch is done.

    Args:
        path: the file; it is replaced.

    Raises:
        FileAccessError: the file cannot be written; said before training starts.

    >>> callback = CSVLogger("log.csv")
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        check_writable(self.path)
        self.path.write_text("", encoding="utf-8")
        self._names: list[str] = []

    def state(self) -> dict[str, Any]:
        return {"text": self.path.read_text(encoding="utf-8")}

    def restore(self, state: dict[str, Any]) -> None:
        self.path.write_text(state["text"], encoding="utf-8")
        self._names = next(csv.reader(state["text"].splitlines()), [])

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        logs = {} if logs is None else logs
        with self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if not self._names:
                numbers = (name for name, value in logs.items() if isinstance(value, int | float))
                self._names = ["epoch", *numbers]
                writer.writerow(self._names)
            row = {"epoch": epoch + 1, **logs}
            writer.writerow([row.get(name, "") for name in self._names])


ReduceLROnPlateau = ReduceOnPlateau
