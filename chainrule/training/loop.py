"""The training loop: epochs of steps, validation, callbacks, stopping rule, progress, Ctrl-C."""

import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chainrule.metrics import Metric
from chainrule.tensor.tensor import Tensor, Variable, present_values
from chainrule.training.batches import Batches
from chainrule.training.callbacks import Callback, Logs, Run, overrides, single_number
from chainrule.training.checkpoints import CheckpointFolder, Place
from chainrule.training.history import History
from chainrule.training.inputs import count_rows
from chainrule.training.interrupt import Interrupt
from chainrule.training.nonfinite import Origin, State, all_finite, is_finite, last_good, restore
from chainrule.training.progress import REFRESH_SECONDS, Progress
from chainrule.training.states import stateful_layers
from chainrule.training.step import EvaluationStep, TrainingStep

if TYPE_CHECKING:
    from chainrule.training.watching import Watch


# Between two snapshots of the variables, where the runs since the last one can be repeated.
SNAPSHOT_SECONDS = 0.5


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


class Pace:
    """How many steps one run of the back end takes: about a tenth of a second's worth.

    ``seconds`` is the time that all of them took.
    """

    SECONDS = 0.1
    MOST = 1 << 16

    def __init__(self) -> None:
        self.steps = 1
        self.seconds = 0.0

    def note(self, steps: int, seconds: float) -> None:
        """Learn from a run; the number of steps at most grows eightfold at a time."""
        self.seconds += seconds
        fitting = int(self.SECONDS * steps / max(seconds, 1e-9))
        self.steps = max(1, min(fitting, 8 * steps, self.MOST))


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
        checkpoints: where to go on from, and to write to; None for neither.
        watch: looks at some steps, or None.
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
        checkpoints: CheckpointFolder | None = None,
        watch: "Watch | None" = None,
    ) -> None:
        self._run = run
        self._step = step
        self._batches = batches
        self._validation = validation
        self._callbacks = callbacks
        self._until = until
        self._progress = progress
        self._checkpoints = checkpoints
        self._watch = watch
        self._place = Place()
        self._interrupt = Interrupt()
        self._before = [c for c in callbacks if overrides(c, "on_train_batch_begin")]
        self._after = [c for c in callbacks if overrides(c, "on_train_batch_end")]
        self._next_look = 0.0
        self._pace = Pace()
        self._validation_pace = Pace()
        self._stateful = stateful_layers(run.model)
        self._variables: list[Variable] = []
        # The last runs of the back end: what the variables held before, epoch and number of the
        # first step, and the batches. What stands before the first two snapshots is forgotten;
        # between them the values are None, and the runs can be repeated.
        self._recent: list[tuple[list[Tensor] | None, int, int, Any]] = []
        self._snapshot = 0  # the place of the last one
        self._next_snapshot = 0.0

    def run(self) -> History:
        """Train until a reason to stop comes up."""
        history = History()
        begin = time.perf_counter()
        for callback in self._callbacks:
            callback.set_run(self._run)
        with self._interrupt:
            for callback in self._callbacks:
                callback.on_train_begin({})
            state = self._step.state()
            self._variables = [variable for variable, _ in state]
            if self._checkpoints is not None:
                self._place = self._checkpoints.restore(state, history, self._callbacks)
            if self._watch is not None:
                self._watch.begin(self._place.epoch * self._batches.steps + self._place.batches)
            if self._progress is not None:
                self._progress.start()
            try:
                self._epochs(history)
                self._save(history, (history.stopped_by, history.stopped))
            finally:
                if self._progress is not None:
                    self._progress.stop(history.stopped)
            for callback in self._callbacks:
                callback.on_train_end({})
        history.notes = self._run.notes
        if self._watch is not None:
            history.watched = self._watch.result()
        history.seconds = time.perf_counter() - begin
        history.seconds_in_steps = self._pace.seconds + self._validation_pace.seconds
        return history

    def _state(self, values: Sequence[Tensor]) -> State:
        return tuple(zip(self._variables, values, strict=True))

    def _remember(
        self, epoch: int, number: int, batches: Any, exactly: bool = False
    ) -> list[Tensor] | None:
        """Take note of the run of the back end that comes next and, where it could not be repeated
        or some time has passed, of what the variables hold.
        """
        before = None
        now = time.perf_counter()
        is_due = not 0 < self._next_snapshot - now <= SNAPSHOT_SECONDS
        if is_due or exactly or self._callbacks or self._stateful:
            before = present_values(self._variables)
            self._next_snapshot = now + SNAPSHOT_SECONDS
            del self._recent[: self._snapshot]
            self._snapshot = len(self._recent)
        self._recent.append((before, epoch, number, batches))
        return before

    def _epochs(self, history: History) -> None:
        try:
            self._check_ended()
            if self._may_join_epochs():
                self._joined_epochs(history)
            else:
                for epoch in range(self._place.epoch, self._run.epochs):
                    self._epoch(epoch, history)
            history.stopped_by, history.stopped = "epochs", self._all_done(history)
        except Stopped as stopped:
            history.stopped_by, history.stopped = stopped.by, stopped.reason
        except KeyboardInterrupt:
            if self._interrupt.pressed:  # the second Ctrl-C: the user does not want to wait
                raise
            history.stopped_by, history.stopped = "interrupt", "interrupted by Ctrl-C"
        if history.stopped_by != "not_finite":
            try:
                self._check_weights(history)
            except Stopped as stopped:
                history.stopped_by, history.stopped = stopped.by, stopped.reason

    def _may_join_epochs(self) -> bool:
        """Whether nothing happens between epochs but the update: full batches, nobody watching."""
        watched = bool(self._callbacks or self._validation or self._step.metrics or self._stateful)
        return self._batches.steps == 1 and not self._step.one_by_one and not watched

    def _joined_epochs(self, history: History) -> None:
        """Many epochs a run of the back end; one that goes past the goal is run again up to it."""
        data = self._batches.tensors()
        while history.epochs < self._run.epochs:
            count = min(self._most_steps(), self._run.epochs - history.epochs)
            if self._watch is not None:
                self._watch.look(*data)
            before = self._remember(history.epochs, 0, count, exactly=True)
            begin = time.perf_counter()
            losses = self._step.run_whole(count, data)
            self._note_pace(count, time.perf_counter() - begin)
            ended = self._first_end(losses)
            if ended is not None and ended + 1 < count:
                count = ended + 1
                if math.isfinite(losses[ended]):
                    assert before is not None
                    restore(self._state(before))
                    losses = self._step.run_whole(count, data)
            numbers = losses[:count].tolist()
            # Only the last one can be infinite or NaN: such a loss ends the run.
            whole = numbers if math.isfinite(numbers[-1]) else numbers[:-1]
            history.extend("loss", whole)
            if len(whole) < count:
                self._not_finite(history, numbers[-1], len(whole))
            if self._progress is not None:
                self._progress.epoch(history.epochs - 1, {"loss": losses[count - 1].item()})
            self._place = Place(history.epochs)
            self._check_until({"loss": losses[count - 1].item()}, history.epochs)
            self._check_interrupt(history.epochs - 1, 1)
            self._save_if_due(history)

    def _most_steps(self) -> int:
        """How many steps the next run of the back end may take."""
        if self._watch is None:
            return self._pace.steps
        return min(self._pace.steps, self._watch.ahead)

    def _note_pace(self, steps: int, seconds: float) -> None:
        self._pace.note(steps, seconds)
        if self._watch is not None:
            self._watch.advance(steps, seconds)

    def _first_end(self, losses: NDArray[Any]) -> int | None:
        """The first of some epochs, by their losses, after which the run ends."""
        losses = losses.astype(np.float64)
        ends = ~np.isfinite(losses)
        if "loss" in self._until:
            limit, smaller = self._until["loss"], self._run.directions["loss"] == "min"
            ends |= losses <= limit if smaller else losses >= limit
        return int(np.argmax(ends)) if ends.any() else None

    def _epoch(self, epoch: int, history: History) -> None:
        if not self._place.rows:  # else the epoch goes on from a checkpoint
            self._reset_states()
            for callback in self._callbacks:
                callback.on_epoch_begin(epoch, {})
            for metric in self._step.metrics:
                metric.reset()
        logs: Logs = {"loss": self._train(epoch, history)}
        logs.update(read_metrics(self._step.metrics))
        if self._validation is not None:
            logs.update(self._validate(epoch))
        if self._run.optimizer.schedule is not None:
            logs["learning_rate"] = float(self._run.optimizer.current_rate())
        for callback in self._callbacks:
            callback.on_epoch_end(epoch, logs)
        history.append(logs)
        self._place = Place(epoch + 1)
        if self._progress is not None:
            self._progress.epoch(epoch, logs)
        self._check_until(logs, history.epochs)
        self._check_callbacks()
        if self._step.converged:
            name = self._run.optimizer.name
            raise Stopped("converged", f"{name} has converged after {history.epochs} epochs")
        self._save_if_due(history)

    def _reset_states(self) -> None:
        for layer in self._stateful:
            layer.reset_states()

    def _validate(self, epoch: int) -> Logs:
        """The numbers of the validation rows."""

        def between() -> None:
            self._check_interrupt(epoch)
            self._show(epoch, self._place)

        assert self._validation is not None
        self._reset_states()
        values = measure(*self._validation, self._validation_pace, between)
        return {f"val_{name}": value for name, value in values.items()}

    def _train(self, epoch: int, history: History) -> float:
        """Train one epoch and return the mean of its loss over the rows (by their weights)."""
        watched = bool(self._before or self._after)
        if self._step.one_by_one or watched or self._batches.steps == 1:
            self._train_one_by_one(epoch, history)
        else:
            self._train_in_blocks(epoch, history)
        return self._place.mean()

    def _train_in_blocks(self, epoch: int, history: History) -> None:
        """Many batches a run of the back end, some runs a second: progress and Ctrl-C live."""
        step, batches, place = self._step, self._batches, self._place
        data = batches.tensors()
        order = batches.order(epoch)
        first = place.rows
        for start, stop, size in blocks(len(order) - first, batches.size, self._most_steps):
            rows = order[first + start : first + stop].reshape(-1, size)
            totals = batches.totals(rows)
            rows, totals = rows[totals > 0], totals[totals > 0]
            if not len(rows):
                continue
            if self._watch is not None:
                self._watch.look_at_rows(rows[0], data)
            self._remember(epoch, place.batches, rows)
            begin = time.perf_counter()
            losses = step.run_rows(rows, data)
            self._note_pace(len(rows), time.perf_counter() - begin)
            if not all_finite(losses):
                bad = int(np.argmin(np.isfinite(losses)))
                self._not_finite(history, float(losses[bad]), bad)
            place.note(losses, totals, first + stop)
            if self._interrupt.pressed:
                self._check_interrupt(epoch, place.batches)
            self._show(epoch, place)
            self._save_if_due(history)

    def _train_one_by_one(self, epoch: int, history: History) -> None:
        step, looks = self._step, bool(self._before or self._after or self._progress)
        place = self._place
        batches = islice(self._batches.epoch(epoch), place.batches, None)
        for number, (x, y, weights, weight) in enumerate(batches, place.batches):
            for callback in self._before:
                callback.on_train_batch_begin(number, {})
            if self._watch is not None:
                self._watch.look(x, y, weights)
            self._remember(epoch, number, (x, y, weights))
            begin = time.perf_counter()
            loss = step(x, y, weights)
            self._note_pace(1, time.perf_counter() - begin)
            if not math.isfinite(loss):
                self._not_finite(history, loss, 0)
            place.note(np.array([loss]), np.array([weight]), place.rows + count_rows(x))
            if self._interrupt.pressed:
                self._check_interrupt(epoch, number + 1)
            if looks:
                self._between(epoch, number, loss, place)
            self._save_if_due(history)

    def _between(self, epoch: int, number: int, loss: float, place: Place) -> None:
        for callback in self._after:
            callback.on_train_batch_end(number, {"loss": loss})
        if self._before or self._after:
            self._check_callbacks()
        if self._batches.steps > 1:
            self._show(epoch, place)

    def _show(self, epoch: int, place: Place) -> None:
        """Bring the progress up to date, if it was not just now."""
        if self._progress is None:
            return
        now = time.perf_counter()
        if now >= self._next_look:
            self._next_look = now + REFRESH_SECONDS
            self._progress.batch(epoch, place.batches, self._batches.steps, place.mean())

    def _check_weights(self, history: History) -> None:
        """The last steps may have left weights that are not finite though their losses were."""
        if not self._recent or is_finite(self._step.state()):
            return
        if any(is_finite(self._state(self._recent[i][0] or ())) for i in (0, self._snapshot)):
            self._not_finite(history, None, _steps_of(self._recent[-1][3]))
        # Else it was so from the start, or is meant.

    def _not_finite(self, history: History, loss: float | None, bad: int) -> None:
        """Stop at numbers that are not finite.

        Args:
            history: gets the origin.
            loss: the one that is not finite; None for weights.
            bad: the step of the last run of the back end that has it.
        """
        before, epoch, number, batches, bad = self._bad_run(bad)
        good = last_good(self._step, self._state(before), partial(self._again, batches), bad)
        joined = isinstance(batches, int)
        epoch, number = (epoch + good, 0) if joined else (epoch, number + good)
        origin = self._origin(batches, good)
        where = f"epoch {epoch + 1}" + (f", step {number + 1}" if self._batches.steps > 1 else "")
        rate = self._run.optimizer.learning_rate
        now = f" (now {rate:g})" if isinstance(rate, float) else ""
        cause = ""
        if origin is not None:
            rows = self._batches.rows(epoch, number)
            row = None if origin.row is None else int(rows[origin.row])
            history.origin = replace(origin, row=row, epoch=epoch + 1, step=number + 1)
            cause = f": {history.origin.describe()}"
        what = "weights became infinite or NaN" if loss is None else f"the loss became {loss}"
        reason = (
            f"{what} by {where}{cause}. The model keeps the weights from before "
            f"that step. To fix: lower the learning rate{now}, clip the gradients "
            "(global_clip_norm=1.0 in the optimizer), or scale inputs and targets to about -1 to 1"
        )
        warnings.warn(reason, RuntimeWarning, stacklevel=2)
        raise Stopped("not_finite", reason)

    def _bad_run(self, bad: int) -> tuple[list[Tensor], int, int, Any, int]:
        """The run that made numbers that are not finite, and the step of it that shows them.

        Weights that a run ends with show in the losses of a later one: the runs since a good
        snapshot are repeated up to the first that ends with such weights.
        """
        last = self._snapshot
        first = last if is_finite(self._state(self._recent[last][0] or ())) else 0
        restore(self._state(self._recent[first][0] or ()))
        *runs, latest = self._recent[first:]
        for _, epoch, number, batches in runs:
            before, steps = present_values(self._variables), _steps_of(batches)
            self._again(batches, steps)
            if not is_finite(self._step.state()):
                return before, epoch, number, batches, steps
        return present_values(self._variables), *latest[1:], bad

    def _again(self, batches: Any, steps: int) -> None:
        """Repeat the first steps of a run of the back end."""
        if isinstance(batches, int):
            self._step.run_whole(steps, self._batches.tensors())
        elif isinstance(batches, np.ndarray):
            self._step.run_rows(batches[:steps], self._batches.tensors())
        else:
            self._step(*batches)

    def _origin(self, batches: Any, number: int) -> Origin | None:
        """Where a step of a run makes numbers that are not finite, from the present weights."""
        if isinstance(batches, np.ndarray):
            rows = batches[min(number, len(batches) - 1)]
            return self._step.origin_of_rows(rows, self._batches.tensors())
        whole = isinstance(batches, int)
        return self._step.origin(*(self._batches.tensors() if whole else batches))

    def _save_if_due(self, history: History) -> None:
        if self._checkpoints is not None and self._checkpoints.is_due:
            self._check_weights(history)
            self._save(history)

    def _save(self, history: History, ended: tuple[str, str] | None = None) -> None:
        """Write a checkpoint; none of a run that ended in numbers that are not finite."""
        if self._checkpoints is None or (ended and ended[0] == "not_finite"):
            return
        if ended and ended[0] == "interrupt":
            ended = None  # it will go on
        state = self._step.state()
        self._checkpoints.save(state, history, self._callbacks, self._place, ended)

    def _check_ended(self) -> None:
        """A run that had ended for good is not gone on with; more epochs are."""
        ended = self._checkpoints.ended if self._checkpoints is not None else None
        if ended is not None and ended[0] != "epochs":
            raise Stopped(*ended)

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


def _steps_of(batches: Any) -> int:
    """How many steps a run of the back end took: so many whole epochs, rows (steps, size) or one
    batch.
    """
    if isinstance(batches, int):
        return batches
    return len(batches) if isinstance(batches, np.ndarray) else 1


def read_metrics(metrics: Sequence[Metric]) -> dict[str, Any]:
    """The results of all metrics by name."""
    return {metric.name: metric.result() for metric in metrics}


def blocks(rows: int, size: int, most: Callable[[], int]) -> Iterator[tuple[int, int, int]]:
    """Rows in blocks of at most so many whole batches: where a block begins and ends, and the
    rows in its batches. A short last batch is a block of its own.
    """
    start, whole = 0, rows // size * size
    while start < whole:
        stop = min(start + most() * size, whole)
        yield start, stop, size
        start = stop
    if whole < rows:
        yield whole, rows, rows - whole


def measure(
    step: EvaluationStep,
    batches: Batches,
    pace: Pace | None = None,
    between: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """Loss and metrics over all rows, many batches a run of the back end.

    Args:
        step: measures batches.
        batches: the rows; they keep their order.
        pace: how many batches a run takes; it learns.
        between: called after each run.
    """
    pace = pace or Pace()
    total = weight = 0.0
    for metric in step.metrics:
        metric.reset()
    for start, stop, size in blocks(batches.data.rows, batches.size, lambda: pace.steps):
        stack = batches.stack(start, stop, size)
        begin = time.perf_counter()
        losses = step.run_stacked(stack.x, stack.y, stack.weights)
        pace.note(len(losses), time.perf_counter() - begin)
        total += float((losses * stack.totals).sum(dtype=np.float64))
        weight += float(stack.totals.sum())
        if between is not None:
            between()
    return {"loss": total / weight, **read_metrics(step.metrics)}
