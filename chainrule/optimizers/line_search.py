"""A line search that ends at a point meeting the strong Wolfe conditions.

With ``f(a)`` the loss at step length ``a`` along a descent direction and ``f'(a)`` its slope, such
a point has ``f(a) <= f(0) + decrease * a * f'(0)`` and ``abs(f'(a)) <= curvature * abs(f'(0))``.

Reference: Nocedal, Wright, "Numerical optimization", 2006, algorithms 3.5 and 3.6.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True)
class Point:
    """One point on the line: step length, loss, slope along the line, and the gradient there."""

    step: float
    value: float
    slope: float
    gradient: NDArray[Any]

    @property
    def finite(self) -> bool:
        """Whether value and slope are numbers."""
        return math.isfinite(self.value) and math.isfinite(self.slope)


@dataclass(frozen=True)
class StrongWolfe:
    """The search and its settings.

    Args:
        evaluate: step length -> `Point`.
        start: the point at step length 0; its slope is below 0.
        noise: by how much rounding may change a loss; smaller rises count as none.
        decrease: default 1e-4.
        curvature: default 0.9.
        max_evaluations: default 25.
    """

    evaluate: Callable[[float], Point]
    start: Point
    noise: float
    decrease: float = 1e-4
    curvature: float = 0.9
    max_evaluations: int = 25

    def search(self, first_step: float) -> Point | None:
        """A point that meets the conditions, else the lowest one below the start, else None."""
        previous, point = self.start, self.evaluate(first_step)
        lowest = self._lower(self.start, point)
        evaluations = 1
        while evaluations < self.max_evaluations:
            if self._too_high(point) or (evaluations > 1 and point.value > previous.value):
                return self._zoom(previous, point, lowest, evaluations)
            if self._flat(point):
                return point
            if point.slope >= 0:
                return self._zoom(point, previous, lowest, evaluations)
            gap = point.step - previous.step
            ahead = _cubic_minimum(previous, point)
            if ahead is None or not ahead > point.step:
                ahead = 10 * point.step
            ahead = min(max(ahead, point.step + 0.1 * gap), 10 * point.step)
            previous, point = point, self.evaluate(ahead)
            lowest = self._lower(lowest, point)
            evaluations += 1
        return self._result(lowest)

    def _zoom(self, low: Point, high: Point, lowest: Point, evaluations: int) -> Point | None:
        """Shrink the interval between ``low`` (the better end) and ``high`` until a point fits."""
        while evaluations < self.max_evaluations:
            width = abs(high.step - low.step)
            trial = _cubic_minimum(low, high)
            left, right = sorted((low.step, high.step))
            if trial is None:
                trial = 0.5 * (left + right)
            # Away from the ends, so that the interval shrinks by a tenth each time at least.
            trial = min(max(trial, left + 0.1 * width), right - 0.1 * width)
            if not left < trial < right:
                break
            point = self.evaluate(trial)
            lowest = self._lower(lowest, point)
            evaluations += 1
            if self._too_high(point) or point.value > low.value + self.noise:
                high = point
                continue
            if self._flat(point):
                return point
            if point.slope * (high.step - low.step) >= 0:
                high = low
            low = point
        return self._result(lowest)

    def _too_high(self, point: Point) -> bool:
        limit = self.start.value + self.decrease * point.step * self.start.slope + self.noise
        return not point.finite or point.value > limit

    def _flat(self, point: Point) -> bool:
        return abs(point.slope) <= -self.curvature * self.start.slope

    def _lower(self, best: Point, point: Point) -> Point:
        return point if point.finite and point.value < best.value else best

    def _result(self, lowest: Point) -> Point | None:
        return None if lowest is self.start else lowest


def _cubic_minimum(a: Point, b: Point) -> float | None:
    """Where the cubic through two values and two slopes is lowest; None if it has no minimum."""
    if not (a.finite and b.finite) or a.step == b.step:
        return None
    first, second = (a, b) if a.step < b.step else (b, a)
    width = second.step - first.step
    mean = first.slope + second.slope - 3 * (second.value - first.value) / width
    square = mean * mean - first.slope * second.slope
    if not square >= 0:
        return None
    root = math.sqrt(square)
    denominator = second.slope - first.slope + 2 * root
    if denominator == 0 or not math.isfinite(root):
        return None
    return second.step - width * (second.slope + root - mean) / denominator
