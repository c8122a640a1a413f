"""How the cost of a step grows with width, batch and depth, against the limit of the arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from benchmarks.serving import repeated


@dataclass(frozen=True)
class Net:
    """A network of equal dense layers with ReLU and the mean squared error.

    Args:
        width: inputs, units of each layer, and outputs.
        batch: rows in a step.
        depth: layers.
    """

    width: int = 256
    batch: int = 128
    depth: int = 2

    @property
    def flops(self) -> int:
        """Of a step's matrix products: forward, weight gradients, and deltas but the first."""
        return 2 * self.batch * self.width**2 * (3 * self.depth - 1)


#: What is varied, the others as they stand in `Net`.
SWEEPS: dict[str, tuple[int, ...]] = {
    "width": (8, 16, 32, 64, 128, 256, 512, 1024, 2048),
    "batch": (1, 4, 16, 64, 256, 1024, 4096),
    "depth": (1, 2, 4, 8, 16),
}


@dataclass(frozen=True)
class Point:
    """One network: the value that is varied, seconds a step, and the least possible."""

    value: int
    seconds: float
    limit: float


@dataclass
class Line:
    """One sweep."""

    name: str
    points: list[Point] = field(default_factory=list)


def nets(name: str) -> list[tuple[int, Net]]:
    """The networks of a sweep with the value that is varied."""
    return [(value, replace(Net(), **{name: value})) for value in SWEEPS[name]]


def step_seconds(net: Net, seconds: float, repeats: int) -> float:
    """The median of a training step, measured over many in a call of ``fit``."""
    import chainrule as cr

    layers: list[Any] = [
        cr.layers.Dense(net.width, activation="relu") for _ in range(net.depth - 1)
    ]
    model = cr.Sequential([*layers, cr.layers.Dense(net.width)])
    random = np.random.default_rng(0)
    x = random.random((net.batch, net.width), dtype=np.float32)
    y = random.random((net.batch, net.width), dtype=np.float32)
    loss, optimizer = cr.losses.get("mse"), cr.optimizers.Adam()

    def run(count: int) -> None:
        model.fit(x, y, loss=loss, optimizer=optimizer, epochs=count, batch_size=None, verbose=0)

    sample = repeated(run, seconds)
    return float(np.median([sample().value for _ in range(repeats)]))


def run_sweeps(
    names: Sequence[str], peak: float, seconds: float, repeats: int, say: Callable[[str], None]
) -> list[Line]:
    """Measure sweeps.

    Args:
        names: which.
        peak: the machine's floating-point operations a second.
        seconds: length of a sample.
        repeats: samples a point.
        say: is told what goes on.
    """
    lines = []
    for name in names:
        line = Line(name)
        for value, net in nets(name):
            say(f"sweep of {name}: {value}")
            took = step_seconds(net, seconds, repeats)
            line.points.append(Point(value, took, net.flops / peak))
        lines.append(line)
    return lines
