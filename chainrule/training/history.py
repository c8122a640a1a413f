"""What happened in a training run: every logged number of every epoch, and why the run ended."""

from collections.abc import Iterator
from os import PathLike
from typing import TYPE_CHECKING, Any

from chainrule import figures
from chainrule.errors import missing_dependency, unknown_name
from chainrule.training.nonfinite import Origin

if TYPE_CHECKING:
    import pandas as pd

    from chainrule.training.watching import Watched


class History:
    """The record that ``fit`` returns.

    Attributes:
        history: the logged numbers by name, one a finished epoch, as in Keras; ``history["loss"]``
            reads the same.
        epochs: how many epochs were finished.
        stopped: why the run ended, in a sentence.
        stopped_by: the same as one word: ``"epochs"``, ``"until"``, ``"converged"``,
            ``"early_stopping"``, ``"interrupt"``, ``"not_finite"`` or ``"callback"``.
        origin: where the first number that is not finite came from, when the run ended because of
            one (``operation``, ``layer``, ``row`` of the training data, ``step``, ``epoch``; see
            ``training.nonfinite.Origin``); else None.
        notes: what a user should know about the run, for example that a softmax was folded into the
            loss, or that it has stalled.
        watched: what ``fit(..., watch=True)`` saw of gradients, weights, updates and activations
            (see ``training.watching.Watched``), since it was last taken up; else None.
        seconds: wall-clock time of the run.
        seconds_in_steps: what of it the training and validation steps took, with their compilation;
            the rest went to callbacks, progress, files and the order of rows.

    >>> history = History()
    >>> history.append({"loss": 0.5, "accuracy": 0.8})
    >>> history.append({"loss": 0.4, "accuracy": 0.9})
    >>> history["loss"], history.epochs
    ([0.5, 0.4], 2)
    """

    def __init__(self) -> None:
        self.history: dict[str, list[Any]] = {}
        self.epochs = 0
        self.stopped = ""
        self.stopped_by = ""
        self.origin: Origin | None = None
        self.notes: list[str] = []
        self.watched: Watched | None = None
        self.seconds = 0.0
        self.seconds_in_steps = 0.0

    def append(self, logs: dict[str, Any]) -> None:
        """Add the numbers of one epoch; a new name gets NaN for the epochs before."""
        for name, value in logs.items():
            self.history.setdefault(name, [float("nan")] * self.epochs).append(value)
        self.epochs += 1
        for values in self.history.values():
            if len(values) < self.epochs:
                values.append(float("nan"))

    def extend(self, name: str, values: list[Any]) -> None:
        """Add one number of many epochs; as many calls of ``append`` with nothing else in them."""
        if not values:
            return
        self.history.setdefault(name, [float("nan")] * self.epochs).extend(values)
        self.epochs += len(values)
        for others in self.history.values():
            others += [float("nan")] * (self.epochs - len(others))

    def __getitem__(self, name: str) -> list[Any]:
        if name not in self.history:
            raise unknown_name("history", "logged number", name, self.history)
        return self.history[name]

    def __contains__(self, name: object) -> bool:
        return name in self.history

    def __iter__(self) -> Iterator[str]:
        return iter(self.history)

    def __len__(self) -> int:
        return self.epochs

    def __repr__(self) -> str:
        last = ", ".join(
            f"{name}={values[-1]:.4g}"
            for name, values in self.history.items()
            if isinstance(values[-1], float)
        )
        return f"History({self.epochs} epochs, {last}; {self.stopped})"

    def to_pandas(self) -> "pd.DataFrame":
        """The numbers as a pandas data frame with one row an epoch, counted from 1.

        Raises:
            MissingDependencyError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise missing_dependency("history.to_pandas", "pandas", "pandas") from None
        index = pd.RangeIndex(1, self.epochs + 1, name="epoch")
        return pd.DataFrame(self.history, index=index)

    def plot(
        self,
        path: "str | PathLike[str] | None" = None,
        *,
        names: list[str] | None = None,
        log: bool | None = None,
    ) -> "figures.Figure":
        """Draw every number over the epochs: one panel for each, with its validation twin in the
        same panel.

        Args:
            path: where to save the picture (the ending picks the format, ``.png`` or ``.svg``);
                None saves nothing.
            names: which numbers to draw (a name brings its ``val_`` twin); default all.
            log: logarithmic axis; default only for a loss that falls more than 50-fold.

        Returns:
            The matplotlib figure.

        Raises:
            MissingDependencyError: matplotlib is not installed.
            StateError: no epoch was finished.
        """
        return figures.learning_curves(self.history, "history.plot", path, names, log)
