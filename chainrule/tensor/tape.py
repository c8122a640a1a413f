"""GradientTape: records what is computed, then walks it backwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import numpy as np

from chainrule import tree
from chainrule.errors import DTypeError, GradientError, ShapeError, StateError
from chainrule.graph import operations as ops
from chainrule.graph.graph import Node
from chainrule.graph.operand import Attributes
from chainrule.graph.primitives import Primitive
from chainrule.tensor.backward import backward
from chainrule.tensor.state import STATE
from chainrule.tensor.tensor import Tensor, Variable, as_tensor


class GradientTape:
    """Record operations inside a ``with`` block and differentiate them.

    Trainable variables that are read inside are watched by themselves; other tensors after
    ``watch``. Tapes nest: the gradient that an inner tape computes is recorded by the outer one,
    which gives gradients of gradients.

    Args:
        persistent: keep the record, so that ``gradient`` may be called more than once.
        watch_accessed_variables: watch trainable variables when they are read.

    Example:
        >>> import chainrule as cr
        >>> x = cr.tensor(3.0)
        >>> with cr.GradientTape() as tape:
        ...     tape.watch(x)
        ...     y = x * x
        >>> tape.gradient(y, x).item()
        6.0

    As in TensorFlow, except that ``gradient`` of a target that is not recorded raises when nothing
    at all was recorded on the tape.
    """

    def __init__(self, persistent: bool = False, watch_accessed_variables: bool = True) -> None:
        self._persistent = persistent
        self._watch_variables = watch_accessed_variables
        self._nodes: list[Node[Tensor]] = []
        self._watched: list[Tensor] = []
        self._reads: dict[int, list[Tensor]] = {}
        self._known: set[int] = set()
        self._used = False

    def __enter__(self) -> GradientTape:
        STATE.tapes = (*STATE.tapes, self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if STATE.tapes:
            STATE.tapes = tuple([tape for tape in STATE.tapes if tape is not self])

    def watch(self, tensors: Any) -> None:
        """Follow a tensor, or every tensor of a nested structure.

        Raises:
            DTypeError: a tensor without derivatives (integers, booleans), or not a tensor.
        """
        for x in tree.flatten(tensors)[0]:
            if not isinstance(x, Tensor) or x.dtype.kind != "f":
                raise DTypeError(
                    "GradientTape.watch",
                    "cannot be differentiated",
                    got=x.dtype.name if isinstance(x, Tensor) else type(x).__name__,
                    expected="a floating tensor",
                    fix="make one with cr.tensor(x, dtype='float32')",
                )
            if isinstance(x, Variable):
                self._note(x, x._read())
            else:
                self._watched.append(x)
                self._known.add(id(x))

    def note_read(self, variable: Variable, current: Tensor) -> None:
        """A trainable variable was read (called by the variable)."""
        if self._watch_variables and current.dtype.kind == "f":
            self._note(variable, current)

    def _note(self, variable: Variable, current: Tensor) -> None:
        if id(current) not in self._known:
            self._known.add(id(current))
            self._reads.setdefault(id(variable), []).append(current)

    def follows(self, tensor: Tensor) -> bool:
        """Whether gradients may flow to this tensor."""
        return id(tensor) in self._known

    def record(
        self,
        primitive: Primitive,
        inputs: tuple[Tensor, ...],
        attributes: Attributes,
        outputs: tuple[Tensor, ...],
        pullback: Callable[..., Sequence[Any]] | None = None,
    ) -> None:
        """Note an operation if a gradient may have to flow back to one of its inputs."""
        known = self._known
        for x in inputs:
            if id(x) in known:
                known.update(map(id, outputs))
                self._nodes.append(
                    Node(primitive, inputs, attributes, outputs, STATE.scope, pullback)
                )
                return

    def gradient(self, target: Any, sources: Any, output_gradients: Any = None) -> Any:
        """The gradients of ``target`` (summed over its elements) with respect to ``sources``.

        Args:
            target: a tensor, or a nested structure of tensors whose gradients add up.
            sources: a tensor or variable, or a nested structure of them.
            output_gradients: what flows into the target, of its structure and shapes; ones by
            default.

        Returns:
            A structure like ``sources`` of gradients in the sources' shapes; None where the target
            does not depend on a source.

        Raises:
            StateError: a second call on a tape that is not persistent.
            GradientError: the target was not computed from anything the tape follows.
        """
        if self._used and not self._persistent:
            raise StateError(
                "GradientTape.gradient",
                "called twice",
                fix="create the tape with GradientTape(persistent=True)",
            )
        self._used = True
        targets = [self._target(x) for x in tree.flatten(target)[0]]
        given = (
            [output_gradients] if isinstance(target, Tensor) else tree.flatten(output_gradients)[0]
        )
        seeds = self._seeds(targets, None if output_gradients is None else given)
        leaves, structure = tree.flatten(sources)
        expanded = [self._tensors_of(source) for source in leaves]
        flat = [x for group in expanded for x in group]
        nodes = list(self._nodes)
        if not self._persistent:
            self.__exit__(None, None, None)
            self._nodes.clear()
        results: list[Any] = backward(nodes, targets, seeds, flat)
        if [*map(len, expanded)] != [1] * len(expanded):
            found = iter(results)
            results = []
            for group in expanded:
                parts = [g for g in (next(found) for _ in group) if g is not None]
                results.append(sum(parts[1:], parts[0]) if parts else None)
        return tree.unflatten(structure, results)

    def _target(self, x: Any) -> Tensor:
        if not isinstance(x, Tensor) or x.dtype.kind != "f":
            raise GradientError(
                "GradientTape.gradient",
                "the target has no gradient",
                got=x.dtype.name if isinstance(x, Tensor) else type(x).__name__,
                expected="a floating tensor computed inside the tape",
            )
        if not self._known:
            raise GradientError(
                "GradientTape.gradient",
                "nothing was recorded",
                fix="compute the target in the with block, and watch tensors that are no variables",
            )
        return x._read()

    def _seeds(self, targets: list[Tensor], given: list[Any] | None) -> list[Tensor]:
        if given is None:
            return [_ones_like(x) for x in targets]
        seeds = [as_tensor(g, x.dtype) for g, x in zip(given, targets, strict=True)]
        for g, x in zip(seeds, targets, strict=True):
            if g.shape != x.shape:
                raise ShapeError(
                    "GradientTape.gradient",
                    "wrong shape of output_gradients",
                    got=g.shape,
                    expected=x.shape,
                )
        return [g.astype(x.dtype)._read() for x, g in zip(targets, seeds, strict=True)]

    def _tensors_of(self, source: Any) -> list[Tensor]:
        if isinstance(source, Variable):
            return self._reads.get(id(source), [])
        if not isinstance(source, Tensor):
            raise DTypeError(
                "GradientTape.gradient",
                "not a source",
                got=type(source).__name__,
                expected="a tensor or variable",
            )
        return [source]


def _ones_like(x: Tensor) -> Tensor:
    if STATE.trace is None:
        return Tensor(np.ones(x.shape, x.dtype)) if x.shape else x.constant_like(1)
    # A value of the graph, so that what is computed from it is written down and not stored as a
    # large constant.
    one = Tensor(STATE.trace.builder.constant(np.ones((), x.dtype)))
    return ops.broadcast_to(one, x.shape)
