"""The training loop: epochs of steps, validation, callbacks, stopping rule, progress, Ctrl-C."""

import math
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from chainrule.metrics import Metric
from chainrule.training.batches import Batches
from chainrule.training.callbacks import Callback, Logs, Run, overrides, single_number
from chainrule.training.history import History
from chainrule.training.interrupt import Interrupt
from chainrule.training.progress import REFRESH_SECONDS, Progress
from chainrule.training.step import EvaluationStep, TrainingStep


class Stopped(Exception):  # noqa: N818 - not an error: the way out of the loops inside an epoch
    """The run ends here.

    Args:
        by: the kind of reason, as in ``History.stopped_by``.
        reason: the sentence for ``History.stopped``.
    """

    def __init__(self, by: str, reason: str) -> None:
        super().__init__(reason)
        self.by = by
        self.reason = reason


class Loop:
    """One run of training.

    Args:
        run: what callbacks may know.
        step: trains on one batch.
        batches: the training rows.
        validation: measures one batch, and the rows to measure after each epoch; None for no
            validation.
        callbacks: called in this order.
        until: numbers that end the run when all of them are reached.
        progress: the display, or None.
    """

    def __init__(
        self,
        run: Run,
        step: TrainingStep,
        batches: Batches,
        validation: tuple[EvaluationStep, Batches] | None,
        callbacks: Sequence[Callback],
        until: Mapping[str, float],
        progress: Progress | None,
    ) -> None:
        self._run = run
        self._step = step
        self._batches = batches
        self._validation = validation
        self._callbacks = callbacks
        self._until = until
        self._progress = progress
        self._interrupt = Interrupt()
        self._before = [c for c in callbacks if overrides(c, "on_train_batch_begin")]
        self._after = [c for c in callbacks if overrides(c, "on_train_batch_end")]
        self._next_look = 0.0

    def run(self) -> History:
        """Train until a reason to stop comes up."""
        history = History()
        begin = time.perf_counter()
        for callback in self._callbacks:
            callback.set_run(self._run)
        with self._interrupt:
            for callback in self._callbacks:
                callback.on_train_begin({})
            if self._progress is not None:
                self._progress.start()
            try:
                self._epochs(history)
            finally:
                if self._progress is not None:
                    self._progress.stop(history.stopped)
            for callback in self._callbacks:
                callback.on_train_end({})
        history.notes = self._run.notes
        history.seconds = time.perf_counter() - begin
        return history

    def _epochs(self, history: History) -> None:
        try:
            for epoch in range(self._run.epochs):
                self._epoch(epoch, history)
        except Stopped as stopped:
            history.stopped_by, history.stopped = stopped.by, stopped.reason
        except KeyboardInterrupt:
            if self._interrupt.pressed:  # the second Ctrl-C: the user does not want to wait
                raise
            history.stopped_by, history.stopped = "interrupt", "interrupted by Ctrl-C"
        else:
            history.stopped_by, history.stopped = "epochs", self._all_done(history)

    def _epoch(self, epoch: int, history: History) -> None:
        for callback in self._callbacks:
            callback.on_epoch_begin(epoch, {})
        logs: Logs = {"loss": self._train(epoch)}
        logs.update(read_metrics(self._step.metrics))
        if self._validation is not None:
            step, batches = self._validation
            values = measure(step, batches, lambda: self._check_interrupt(epoch))
            logs.update({f"val_{name}": value for name, value in values.items()})
        if self._run.optimizer.schedule is not None:
            logs["learning_rate"] = float(self._run.optimizer.current_rate())
        for callback in self._callbacks:
            callback.on_epoch_end(epoch, logs)
        history.append(logs)
        if self._progress is not None:
            self._progress.epoch(epoch, logs)
        self._check_until(logs, history.epochs)
        self._check_callbacks()
        if self._step.converged:
            name = self._run.optimizer.name
            raise Stopped("converged", f"{name} has converged after {history.epochs} epochs")

    def _train(self, epoch: int) -> float:
        """Train one epoch and return the mean of its loss over the rows (by their weights)."""
        step, looks = self._step, bool(self._before or self._after or self._progress)
        total = rows = 0.0
        for metric in step.metrics:
            metric.reset()
        for number, (x, y, weights, weight) in enumerate(self._batches.epoch(epoch)):
            for callback in self._before:
                callback.on_train_batch_begin(number, {})
            loss = step(x, y, weights)
            total += loss * weight
            rows += weight
            if not math.isfinite(loss):
                self._not_finite(loss, epoch, number)
            if self._interrupt.pressed:
                self._check_interrupt(epoch, number + 1)
            if looks:
                self._between(epoch, number, loss, total / rows)
        return total / rows

    def _between(self, epoch: int, number: int, loss: float, mean: float) -> None:
        for callback in self._after:
            callback.on_train_batch_end(number, {"loss": loss})
        if self._before or self._after:
            self._check_callbacks()
        if self._progress is not None and self._batches.steps > 1:
            now = time.perf_counter()
            if now >= self._next_look:
                self._next_look = now + REFRESH_SECONDS
                self._progress.batch(epoch, number + 1, self._batches.steps, mean)

    def _not_finite(self, loss: float, epoch: int, number: int) -> None:
        where = f"epoch {epoch + 1}" + (f", step {number + 1}" if self._batches.steps > 1 else "")
        rate = self._run.optimizer.learning_rate
        now = f" (now {rate:g})" if isinstance(rate, float) else ""
        reason = (
            f"the loss became {loss} in {where}. To fix: lower the learning rate{now}, clip the "
            "gradients (global_clip_norm=1.0 in the optimizer), or scale inputs and targets to "
            "about -1 to 1"
        )
        warnings.warn(reason, RuntimeWarning, stacklevel=2)
        raise Stopped("not_finite", reason)

    def _check_interrupt(self, epoch: int, steps: int | None = None) -> None:
        if self._interrupt.pressed:
            place = "validation" if steps is None else f"{steps} of {self._batches.steps} steps"
            raise Stopped(
                "interrupt",
                f"interrupted by Ctrl-C in epoch {epoch + 1}, after {place}; "
                "the model keeps the last finished step",
            )

    def _check_callbacks(self) -> None:
        for callback in self._callbacks:
            if callback.stop_reason is not None:
                raise Stopped(callback.stopped_by, callback.stop_reason)
        if self._run.model.stop_training:
            raise Stopped("callback", "a callback set model.stop_training")

    def _check_until(self, logs: Logs, epochs: int) -> None:
        reached = [
            self._reached(name, single_number(logs, name, "fit: until")) for name in self._until
        ]
        if reached and all(reached):
            raise Stopped("until", f"{self._describe(logs)} after {epochs} epochs")

    def _reached(self, name: str, value: float) -> bool:
        smaller = self._run.directions[name] == "min"
        return value <= self._until[name] if smaller else value >= self._until[name]

    def _describe(self, logs: Mapping[str, Any]) -> str:
        return " and ".join(
            f"{name} {logs[name]:.6g} {self._sign(name, logs[name])} {limit:g}"
            for name, limit in self._until.items()
        )

    def _sign(self, name: str, value: float) -> str:
        if self._run.directions[name] == "min":
            return "<=" if self._reached(name, value) else ">"
        return ">=" if self._reached(name, value) else "<"

    def _all_done(self, history: History) -> str:
        done = f"all {history.epochs} epochs done"
        if self._until and history.epochs:
            last = {name: history[name][-1] for name in self._until}
            return f"{done}; the goal was not reached: {self._describe(last)}"
        return done


def read_metrics(metrics: Sequence[Metric]) -> dict[str, Any]:
    """The results of all metrics by name."""
    return {metric.name: metric.result() for metric in metrics}


def measure(step: EvaluationStep, batches: Batches, between: Any = None) -> dict[str, Any]:
    """Loss and metrics over all rows; ``between`` is called after each batch."""
    total = rows = 0.0
    for metric in step.metrics:
        metric.reset()
    for x, y, weights, weight in batches.epoch(0):
        total += step(x, y, weights) * weight
        rows += weight
        if between is not None:
            between()
    return {"loss": total / rows, **read_metrics(step.metrics)}
