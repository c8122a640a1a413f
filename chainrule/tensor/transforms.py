"""Derivatives of functions: grad, vjp, jvp, jacobian, hessian. All are the tape, used for you."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule import tree
from chainrule.errors import DTypeError, GradientError, ShapeError
from chainrule.graph.primitives import PRIMITIVES
from chainrule.tensor.creation import zeros_like
from chainrule.tensor.layout import reshape, stack
from chainrule.tensor.tape import GradientTape
from chainrule.tensor.tensor import Tensor, as_tensor, bind

_RESHAPE = PRIMITIVES["reshape"]


def grad(function: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """The function that computes the gradient of a scalar function.

    Args:
        function: returns one floating number (a rank-0 tensor).
        argnums: the position of the argument to differentiate by, or several.

    Returns:
        A function of the same arguments; it returns a gradient of the argument's structure, or a
        tuple for several.

    Raises:
        GradientError: the function's result is not a floating scalar.

    Example:
        >>> import chainrule as cr
        >>> cr.grad(lambda x: x**3)(2.0).item()
        12.0
        >>> cr.grad(cr.grad(lambda x: x**3))(2.0).item()
        12.0
    """
    value_and_gradient = value_and_grad(function, argnums)

    def gradient(*arguments: Any, **keywords: Any) -> Any:
        return value_and_gradient(*arguments, **keywords)[1]

    return gradient


def value_and_grad(
    function: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """Like ``grad``, but the value is returned too: ``(value, gradient)``.

    Args:
        function: as for ``grad``; with ``has_aux`` it returns ``(value, anything else)``.
        argnums: as for ``grad``.
        has_aux: whether the function returns more than its value.

    Returns:
        A function that returns ``(value, gradient)``, or ``((value, anything else), gradient)``.

    Example:
        >>> import chainrule as cr
        >>> value, gradient = cr.value_and_grad(lambda x: (x * x).sum())([1.0, 2.0])
        >>> value.item(), gradient.tolist()
        (5.0, [2.0, 4.0])
    """

    def value_and_gradient(*arguments: Any, **keywords: Any) -> Any:
        with GradientTape() as tape:
            inputs, sources = _watched(tape, arguments, argnums)
            result = function(*inputs, **keywords)
            value = result[0] if has_aux else result
            if not isinstance(value, Tensor) or value.shape != () or value.dtype.kind != "f":
                raise GradientError(
                    "grad",
                    "the function does not return a floating scalar",
                    got=f"{value.dtype.name}{list(value.shape)}"
                    if isinstance(value, Tensor)
                    else repr(value),
                    expected="a rank-0 float tensor",
                    fix="reduce it, for example with .sum() or .mean()",
                )
        return result, _filled(tape.gradient(value, sources), sources)

    return value_and_gradient


def vjp(function: Callable[..., Any], *arguments: Any) -> tuple[Any, Callable[..., Any]]:
    """The value, and the function from a gradient of the value to the gradients of the arguments.

    Returns:
        ``(value, pullback)``; ``pullback(g)`` is a tuple of one gradient an argument: g times the
        Jacobian.

    Example:
        >>> import chainrule as cr
        >>> value, pullback = cr.vjp(lambda x: x * x, [1.0, 2.0])
        >>> pullback([1.0, 10.0])[0].tolist()
        [2.0, 40.0]
    """
    tape = GradientTape(persistent=True)
    with tape:
        inputs, sources = _watched(tape, arguments, range(len(arguments)))
        value = function(*inputs)

    def pullback(gradient: Any) -> Any:
        return _filled(tape.gradient(value, sources, gradient), sources)

    return value, pullback


def jvp(
    function: Callable[..., Any], arguments: Sequence[Any], tangents: Sequence[Any]
) -> tuple[Any, Any]:
    """Forward mode: the value, and its derivative in the direction of the tangents (the Jacobian
    times them).

    Reverse mode applied twice: the pullback is linear in what flows in, and its own derivative by
    that is the Jacobian.

    Args:
        function: of one tensor value.
        arguments: its arguments.
        tangents: a direction for each, of its structure and shapes.

    Returns:
        ``(value, tangent of the value)``.

    Example:
        >>> import chainrule as cr
        >>> cr.jvp(lambda x: x * x, ([1.0, 2.0],), ([1.0, 1.0],))[1].tolist()
        [2.0, 4.0]
    """
    outer = GradientTape()
    with outer:
        value, pullback = vjp(function, *arguments)
        flow = zeros_like(value)
        outer.watch(flow)
        gradients = pullback(flow)
    flat, _ = tree.flatten(gradients)
    directions, _ = tree.flatten(tuple(_as_leaves(x) for x in tangents))
    pairs = [
        (g, _shaped_like(g, direction)) for g, direction in zip(flat, directions, strict=True)
        if g.dtype.kind == "f"
    ]  # fmt: skip
    tangent = outer.gradient([g for g, _ in pairs], flow, [d for _, d in pairs])
    return value, zeros_like(value) if tangent is None else tangent


def jacobian(function: Callable[..., Any], argnums: int = 0) -> Callable[..., Any]:
    """The function that computes all first derivatives of a tensor function.

    Shapes:
        value (m...), argument (n...) -> (m..., n...); one backward pass for each element of the
        value.

    Example:
        >>> import chainrule as cr
        >>> cr.jacobian(lambda x: x * x)([1.0, 2.0]).tolist()
        [[2.0, 0.0], [0.0, 4.0]]
    """

    def computed(*arguments: Any, **keywords: Any) -> Tensor:
        tape = GradientTape(persistent=True)
        with tape:
            inputs, source = _watched(tape, arguments, argnums)
            value = function(*inputs, **keywords)
        rows = []
        for i in range(value.size):
            seed = np.zeros(value.size, value.dtype)
            seed[i] = 1
            row = tape.gradient(value, source, Tensor(seed.reshape(value.shape)))
            rows.append(_filled(row, source))
        shape = (*value.shape, *source.shape)
        return reshape(stack(rows), shape) if rows else Tensor(np.zeros(shape, value.dtype))

    return computed


def hessian(function: Callable[..., Any], argnums: int = 0) -> Callable[..., Any]:
    """The function that computes all second derivatives of a scalar function.

    Shapes:
        argument (n...) -> (n..., n...)

    Example:
        >>> import chainrule as cr
        >>> cr.hessian(lambda x: x[0] ** 2 * x[1])([1.0, 3.0]).tolist()
        [[6.0, 2.0], [2.0, 0.0]]
    """
    return jacobian(grad(function, argnums), argnums)


def _watched(
    tape: GradientTape, arguments: Sequence[Any], argnums: int | Sequence[int]
) -> tuple[list[Any], Any]:
    """The arguments with those to differentiate replaced by fresh tensors that the tape follows."""
    single = isinstance(argnums, int)
    chosen = [argnums] if isinstance(argnums, int) else list(argnums)
    inputs = list(arguments)
    for position in chosen:
        if not -len(inputs) <= position < len(inputs):
            raise GradientError(
                "grad", "no such argument", got=position, expected=f"below {len(inputs)}"
            )
        inputs[position] = tree.map_leaves(lambda x: _fresh(tape, x), _as_leaves(inputs[position]))
    sources = tuple(inputs[position] for position in chosen)
    return inputs, sources[0] if single else sources


def _as_leaves(argument: Any) -> Any:
    """A list of plain numbers is one tensor; containers of tensors and arrays stay containers."""
    leaves, _ = tree.flatten(argument)
    plain = isinstance(argument, list) and all(
        isinstance(leaf, bool | int | float) for leaf in leaves
    )
    return as_tensor(argument) if plain else argument


def _fresh(tape: GradientTape, x: Any) -> Tensor:
    x = as_tensor(x)
    if x.dtype.kind != "f":
        raise DTypeError(
            "grad",
            "cannot be differentiated",
            got=x.dtype.name,
            expected="a floating argument",
            fix="pass floats, or name another argument with argnums",
        )
    # Another identity than x: a function that also reads x from outside treats that as a constant.
    result: Tensor = bind(_RESHAPE, (x,), {"shape": x.shape})
    tape.watch(result)
    return result


def _filled(gradients: Any, sources: Any) -> Any:
    found, structure = tree.flatten(gradients)
    leaves = tree.flatten(sources)[0]
    full = [zeros_like(x) if g is None else g for g, x in zip(found, leaves, strict=True)]
    return tree.unflatten(structure, full)


def _shaped_like(like: Tensor, direction: Any) -> Tensor:
    result = as_tensor(direction, like.dtype).astype(like.dtype)
    if result.shape != like.shape:
        raise ShapeError("jvp", "wrong shape of a tangent", got=result.shape, expected=like.shape)
    return result
