"""Gradients against finite differences, in a random direction, to any order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import tree
from chainrule.errors import ArgumentError, GradientError
from chainrule.tensor import Tensor, jvp, tensor, vjp

# Weights of the central difference of fourth order: error step^4, rounding 1e-16 / step.
_STENCIL = ((1, 8 / 12), (-1, -8 / 12), (2, -1 / 12), (-2, 1 / 12))


def check_gradients(
    function: Callable[..., Any],
    *inputs: Any,
    order: int = 2,
    step: float = 1e-4,
    tolerance: float = 1e-6,
    seed: int = 0,
    forward: bool = True,
) -> None:
    """Compare a function's derivatives with differences of its values, in float64.

    For random v and w of the shapes of input and output, ``w . J v`` is computed by reverse mode,
    by forward mode, and by the central difference ``w . (f(x + t v) - f(x - t v)) / 2t`` (of fourth
    order). For order 2 the same is done to the function that reverse mode made.

    Args:
        function: of the inputs; returns a tensor or a nested structure of tensors.
        inputs: arrays or tensors, floating ones are converted to float64, others are held fixed.
        order: 1 for first derivatives, 2 for second ones too, and so on.
        step: t above, relative to a direction of length 1.
        tolerance: the largest difference, relative to 1 + the size of the terms.
        seed: of the random directions.
        forward: whether forward mode is compared too.

    Raises:
        GradientError: they differ; the message has both numbers.

    Example:
        >>> import chainrule as cr
        >>> cr.check_gradients(lambda x: cr.tanh(x) * x, [0.5, -1.0])
    """
    if order < 1:
        raise ArgumentError("check_gradients", "wrong order", got=order, expected="at least 1")
    arrays = [_as_float64(x) for x in inputs]
    chosen = [i for i, x in enumerate(arrays) if x.dtype.kind == "f"]
    if not chosen:
        raise ArgumentError("check_gradients", "nothing to differentiate", got="no floating input")

    def of_chosen(*values: Any) -> list[Tensor]:
        full: list[Any] = [tensor(x) for x in arrays]
        for i, value in zip(chosen, values, strict=True):
            full[i] = value
        outputs = tree.flatten(function(*full))[0]
        return [y for y in outputs if isinstance(y, Tensor) and y.dtype.kind == "f"]

    points = [arrays[i] for i in chosen]
    generator = np.random.default_rng(seed)
    _check_order(of_chosen, points, order, step, tolerance, generator, forward, "first")


def _as_float64(x: Any) -> NDArray[Any]:
    array = np.asarray(x)
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def _check_order(
    function: Callable[..., list[Tensor]], points: list[NDArray[Any]], order: int, step: float,
    tolerance: float, generator: np.random.Generator, forward: bool, name: str,
) -> None:  # fmt: skip
    directions = _unit_directions([x.shape for x in points], generator)
    outputs = [y.numpy() for y in function(*map(tensor, points))]
    flows = [np.asarray(generator.standard_normal(y.shape)) for y in outputs]

    def along(*values: Any) -> Tensor:
        total = tensor(0.0, "float64")
        for y, w in zip(function(*values), flows, strict=True):
            total = total + (y * tensor(w)).sum()
        return total

    numeric = 0.0
    for offset, weight in _STENCIL:
        moved = [np.asarray(x + offset * step * v) for x, v in zip(points, directions, strict=True)]
        numeric += weight * along(*map(tensor, moved)).item() / step
    value, pullback = vjp(along, *points)
    reverse = sum(
        float((g.numpy() * v).sum()) for g, v in zip(pullback(1.0), directions, strict=True)
    )
    scale = 1 + abs(numeric) + abs(value.item())
    _compare(f"{name} derivative, reverse mode", reverse, numeric, tolerance * scale)
    if forward:
        tangent = jvp(along, points, directions)[1].item()
        _compare(f"{name} derivative, forward mode", tangent, numeric, tolerance * scale)
    if order > 1:

        def gradient(*values: Any) -> list[Tensor]:
            return list(vjp(along, *values)[1](1.0))

        _check_order(
            gradient, points, order - 1, step, tolerance, generator, forward=False, name="next"
        )


def _unit_directions(
    shapes: list[tuple[int, ...]], generator: np.random.Generator
) -> list[NDArray[Any]]:
    directions = [np.asarray(generator.standard_normal(shape)) for shape in shapes]
    length = np.sqrt(sum(float((v * v).sum()) for v in directions)) or 1.0
    return [np.asarray(v / length) for v in directions]


def _compare(what: str, found: float, expected: float, allowed: float) -> None:
    if not abs(found - expected) <= allowed:
        raise GradientError(
            "check_gradients",
            f"the {what} differs from the finite difference",
            got=f"{found:.12g}",
            expected=f"{expected:.12g} to within {allowed:.2g}",
            fix="look at the derivatives that this function uses; away from kinks both must agree",
        )
