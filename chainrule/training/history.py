"""What happened in a training run: every logged number of every epoch, and why the run ended."""

from collections.abc import Iterator
from os import PathLike
from typing import TYPE_CHECKING, Any

from chainrule.errors import ArgumentError, StateError, missing_dependency, unknown_name

if TYPE_CHECKING:
    import matplotlib.figure
    import pandas as pd


class History:
    """The record that ``fit`` returns.

    Attributes:
        history: the logged numbers by name, one a finished epoch, as in Keras; ``history["loss"]``
            reads the same.
        epochs: how many epochs were finished.
        stopped: why the run ended, in a sentence.
        stopped_by: the same as one word: ``"epochs"``, ``"until"``, ``"converged"``,
            ``"early_stopping"``, ``"interrupt"``, ``"not_finite"`` or ``"callback"``.
        notes: what a user should know about the run, for example that a softmax was folded into the
            loss.
        seconds: wall-clock time of the run.

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
        self.notes: list[str] = []
        self.seconds = 0.0

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
    ) -> "matplotlib.figure.Figure":
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
        try:
            from matplotlib.figure import Figure
        except ImportError:
            raise missing_dependency("history.plot", "matplotlib", "plot") from None
        panels = self._panels(names)
        columns = min(len(panels), 3)
        rows = -(-len(panels) // columns)
        figure = Figure(figsize=(4.6 * columns, 3.4 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
        for index, axis in enumerate(axes.flat):
            if index < len(panels):
                self._draw_panel(axis, panels[index], log)
            else:
                axis.set_visible(False)
        if path is not None:
            figure.savefig(path, dpi=120)
        return figure

    def _panels(self, names: list[str] | None) -> list[str]:
        if self.epochs == 0:
            raise StateError(
                "history.plot", "no epoch was finished", fix="train for at least one epoch"
            )
        drawable = [
            name
            for name, values in self.history.items()
            if not name.startswith("val_")
            and all(isinstance(value, int | float) for value in values)
        ]
        if names is None:
            return drawable
        for name in names:
            if name not in drawable:
                raise unknown_name("history.plot", "logged number", name, drawable)
        if not names:
            raise ArgumentError(
                "history.plot", "no names to draw", fix="leave names out to draw all"
            )
        return names

    def _draw_panel(self, axis: Any, name: str, log: bool | None) -> None:
        epochs = range(1, self.epochs + 1)
        drawn: list[float] = []
        for key, label, colour in (
            (name, "training", "#1f77b4"),
            ("val_" + name, "validation", "#d95f02"),
        ):
            if key in self.history:
                values = self.history[key]
                marker = "o" if self.epochs == 1 else None
                axis.plot(epochs, values, label=label, color=colour, linewidth=1.6, marker=marker)
                drawn += [value for value in values if value == value]
        positive = bool(drawn) and min(drawn) > 0
        falls = positive and name == "loss" and drawn[0] > 50 * min(drawn)
        if positive and (falls if log is None else log):
            axis.set_yscale("log")
        axis.set_title(name.replace("_", " "))
        axis.set_xlabel("epoch")
        axis.grid(alpha=0.3)
        if "val_" + name in self.history:
            axis.legend(frameon=False)
