"""L-BFGS: curvature from the last gradients, for data small enough to use whole in every step."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, NoReturn

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import ArgumentError, GradientError, ShapeError, StateError
from chainrule.optimizers.arguments import accepts_aliases, not_negative, whole
from chainrule.optimizers.line_search import Point, StrongWolfe
from chainrule.optimizers.optimizer import Optimizer, Pair
from chainrule.optimizers.schedules import Schedule
from chainrule.tensor import Variable

ValueAndGradients = Callable[[], tuple[float, Sequence[NDArray[Any]]]]


class LBFGS(Optimizer):
    """Limited-memory BFGS with a strong-Wolfe line search.

    Each step goes along ``-H g``, where ``H`` is the inverse-curvature estimate that the last
    ``history_size`` pairs (change of weights, change of gradient) give, to a point that meets the
    strong Wolfe conditions. The arithmetic runs in float64 on the host, whatever the variables'
    dtype; the loss must be the same function in every step: whole data, no dropout.

    Args:
        learning_rate: first step length that each line search tries, number or schedule; default
            1.0. Also ``lr``.
        history_size: pairs kept; default 10.
        max_evaluations: loss evaluations that one line search may take; default 25.
        tolerance: the largest gradient element at which training has converged; default 1e-7.
        name: first part of the state's paths; default "lbfgs".

    Raises:
        ArgumentError: a value out of range; clipping, weight decay and the other options of
            `Optimizer` are refused, since they would change the function that is minimised (put
            penalties into the loss).

    Example:
        >>> import chainrule as cr
        >>> weight = cr.Variable(np.array([3.0, -2.0]), name="weight")
        >>> def value_and_gradients():
        ...     w = weight.numpy()
        ...     return float((w**2).sum()), [2 * w]
        >>> optimizer = cr.optimizers.LBFGS()
        >>> while not optimizer.converged:
        ...     loss = optimizer.minimize_step(value_and_gradients, [weight])
        >>> bool(np.abs(weight.numpy()).max() < 1e-6)
        True

    Differences: PyTorch's ``LBFGS`` has no line search unless asked
    (``line_search_fn="strong_wolfe"``) and makes 20 iterations a step; here a step is one
    iteration. Keras has none.

    Reference: Liu, Nocedal, "On the limited memory BFGS method for large scale optimization", 1989.
    """

    full_batch: ClassVar[bool] = True

    @accepts_aliases
    def __init__(
        self,
        learning_rate: float | Schedule = 1.0,
        history_size: int = 10,
        max_evaluations: int = 25,
        tolerance: float = 1e-7,
        name: str | None = None,
    ) -> None:
        super().__init__(learning_rate, name=name)
        self.history_size = whole("LBFGS", "history_size", history_size)
        self.max_evaluations = whole("LBFGS", "max_evaluations", max_evaluations, 2)
        self.tolerance = not_negative("LBFGS", "tolerance", tolerance)
        self.converged = False
        """True once the gradient is within ``tolerance`` or no step lowers the loss any more."""
        self._history: list[Variable] = []
        # The function, position and point of the last step: they spare one evaluation in the next.
        self._last: tuple[ValueAndGradients, NDArray[Any], Point] | None = None

    @property
    def variables(self) -> list[Variable]:
        """All state: iterations, learning rate and, once built, the stored pairs."""
        return [*super().variables, *self._history]

    def build(self, variables: Iterable[Variable]) -> None:
        """Make the memory for these variables; other variables than before start it afresh.

        Raises:
            DTypeError: a variable that does not hold floats.
            ArgumentError: no variables, or one with a constraint.
        """
        variables = list(variables)
        if not variables:
            raise ArgumentError(self.name, "no variables", got="an empty list")
        if [id(v) for v in variables] == [id(v) for v in self._variables]:
            return
        for variable in variables:
            if variable.constraint is not None:
                raise ArgumentError(
                    variable.path,
                    "L-BFGS takes no constraints",
                    got=f"constraint {variable.constraint!r}",
                    fix="use another optimizer, or a penalty in the loss",
                )
        self._variables, self._slots, self._last = [], {}, None
        super().build(variables)
        size = sum(variable.size for variable in variables)
        pairs = np.zeros((self.history_size, size))
        self._history = [
            self._variable(np.zeros((), np.int64), f"{self.name}/stored"),
            self._variable(pairs, f"{self.name}/steps"),
            self._variable(pairs, f"{self.name}/changes"),
        ]

    def apply_gradients(
        self, pairs: Iterable[Pair], *, missing_gradients: str = "raise"
    ) -> NoReturn:
        """Not for L-BFGS: it needs the loss as a function.

        Raises:
            StateError: always.
        """
        raise StateError(
            self.name,
            "L-BFGS cannot work from gradients alone",
            fix="use fit, or minimize_step(value_and_gradients, variables)",
        )

    def minimize_step(
        self, value_and_gradients: ValueAndGradients, variables: Iterable[Variable]
    ) -> float:
        """One iteration: a direction, a line search, the variables at the new point.

        Args:
            value_and_gradients: () -> (loss, one gradient array per variable), at the variables'
                current values. While the same function is passed and nothing else changed the
                variables, the last values are used again.
            variables: what to change; the same in every step.

        Returns:
            The loss at the new point; where no step lowers it, the variables stay and ``converged``
            is True.

        Raises:
            GradientError: a gradient is None, or loss or gradients are not finite at the current
                values.
            ShapeError: a gradient has another shape than its variable.
        """
        self.build(variables)
        position = self._position()
        start = self._start(value_and_gradients, position)
        self.converged = bool(np.abs(start.gradient).max() <= self.tolerance)
        if self.converged:
            return start.value
        try:
            found = self._search(value_and_gradients, position, start)
        except BaseException:
            self._move(position)  # interrupted between two trial points
            raise
        if found is None:
            self._move(position)
            self.converged = True
            return start.value
        point, reached = found
        self._store(reached - position, point.gradient - start.gradient)
        self.iterations.assign(self.iterations.numpy() + 1)
        self._last = (value_and_gradients, reached, point)
        return point.value

    def _start(self, value_and_gradients: ValueAndGradients, position: NDArray[Any]) -> Point:
        if self._last is not None:
            function, reached, point = self._last
            if function == value_and_gradients and np.array_equal(reached, position):
                return point
        value, gradient = self._evaluate(value_and_gradients)
        if not (np.isfinite(value) and np.isfinite(gradient).all()):
            raise GradientError(
                self.name,
                "the loss or its gradient is not finite",
                got=f"loss {value}",
                fix="look for NaN in the data, and at the initial weights",
            )
        return Point(0.0, value, 0.0, gradient)

    def _search(
        self, value_and_gradients: ValueAndGradients, position: NDArray[Any], start: Point
    ) -> tuple[Point, NDArray[Any]] | None:
        """The point found and the position there; without stored pairs where those fail."""
        precision = max(float(np.finfo(v.dtype).eps) for v in self._variables)
        noise = 4 * precision * abs(start.value)
        rate = float(self.current_rate())
        for attempt in range(2):
            stored = int(self._history[0].numpy())
            direction = self._direction(start.gradient)
            slope = float(start.gradient @ direction)
            if slope < 0:
                first = rate if stored else rate * min(1.0, 1.0 / np.abs(start.gradient).sum())

                def evaluate(step: float, direction: NDArray[Any] = direction) -> Point:
                    self._move(position + step * direction)
                    value, gradient = self._evaluate(value_and_gradients)
                    return Point(step, value, float(gradient @ direction), gradient)

                origin = Point(0.0, start.value, slope, start.gradient)
                search = StrongWolfe(evaluate, origin, noise, max_evaluations=self.max_evaluations)
                point = search.search(first)
                if point is not None:
                    self._move(position + point.step * direction)
                    return point, self._position()
            if not stored or attempt:
                break
            self._history[0].assign(np.zeros((), np.int64))
        return None

    def _direction(self, gradient: NDArray[Any]) -> NDArray[Any]:
        """``-H g`` by the two-loop recursion over the stored pairs, newest first."""
        stored = int(self._history[0].numpy())
        steps, changes = self._history[1].numpy(), self._history[2].numpy()
        rows = [i % self.history_size for i in range(stored - 1, -1, -1)][: self.history_size]
        direction = -gradient
        weights = {}
        for row in rows:
            weights[row] = float(steps[row] @ direction) / float(steps[row] @ changes[row])
            direction = direction - weights[row] * changes[row]
        if rows:
            newest = rows[0]
            scale = float(steps[newest] @ changes[newest]) / float(
                changes[newest] @ changes[newest]
            )
            direction = scale * direction
        for row in reversed(rows):
            correction = float(changes[row] @ direction) / float(steps[row] @ changes[row])
            direction = direction + (weights[row] - correction) * steps[row]
        return direction

    def _store(self, step: NDArray[Any], change: NDArray[Any]) -> None:
        """Keep the pair if the loss curves upwards along it; else it would spoil the estimate."""
        curvature = float(step @ change)
        if not curvature > np.finfo(np.float64).eps * float(change @ change):
            return
        stored = int(self._history[0].numpy())
        for variable, row in ((self._history[1], step), (self._history[2], change)):
            rows = variable.numpy().copy()
            rows[stored % self.history_size] = row
            variable.assign(rows)
        self._history[0].assign(np.array(stored + 1, np.int64))

    def _evaluate(self, value_and_gradients: ValueAndGradients) -> tuple[float, NDArray[Any]]:
        value, gradients = value_and_gradients()
        parts = []
        for gradient, variable in zip(gradients, self._variables, strict=True):
            if gradient is None:
                raise GradientError(
                    self.name,
                    "no gradient",
                    got=f"None for {variable.path!r}",
                    expected="a gradient for every variable",
                    fix="leave the variable out if the loss does not depend on it",
                )
            if np.shape(gradient) != variable.shape:
                raise ShapeError(
                    variable.path,
                    "the gradient does not fit the variable",
                    got=np.shape(gradient),
                    expected=variable.shape,
                )
            parts.append(np.asarray(gradient, np.float64).reshape(-1))
        return float(value), np.concatenate(parts)

    def _position(self) -> NDArray[Any]:
        return np.concatenate([v.numpy().astype(np.float64).reshape(-1) for v in self._variables])

    def _move(self, position: NDArray[Any]) -> None:
        offset = 0
        for variable in self._variables:
            part = position[offset : offset + variable.size]
            variable.assign(part.reshape(variable.shape).astype(variable.dtype))
            offset += variable.size
