"""jit: trace a Python function once per shapes and dtypes, optimise its graph, run that."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import tree
from chainrule.backends import BACKENDS, Executable
from chainrule.config import config
from chainrule.errors import StateError
from chainrule.graph.graph import Graph
from chainrule.passes import optimize
from chainrule.tensor.state import STATE, paused_tapes
from chainrule.tensor.tensor import Tensor, Variable, as_tensor
from chainrule.tensor.trace import Trace

# Outputs that may share memory with an input: the caller may go on writing into his arrays.
_VIEWS = frozenset({"reshape", "transpose", "broadcast_to", "slice", "flip", "stop_gradient"})


class Program:
    """One traced and compiled call signature of a jitted function."""

    def __init__(
        self,
        function: Callable[..., Any],
        arguments: list[Any],
        structure: tree.Structure,
        keywords: dict[str, Any],
    ) -> None:
        trace = Trace(getattr(function, "__name__", "function"))
        leaves = [
            Tensor(trace.builder.input(x.shape, x.dtype, f"argument{i}"))
            if isinstance(x, Tensor)
            else x
            for i, x in enumerate(arguments)
        ]
        STATE.trace = trace
        try:
            with paused_tapes():
                result = function(*tree.unflatten(structure, leaves), **keywords)
        finally:
            STATE.trace = None
        outputs, self._structure = tree.flatten(result)
        self._static = [None if isinstance(x, Tensor) else x for x in outputs]
        values = [trace.lift(_read(trace, x)) for x in outputs if isinstance(x, Tensor)]
        self._variables = trace.variables
        self._assigned = trace.assigned
        self._is_tensor = [isinstance(x, Tensor) for x in outputs]
        self.graph: Graph = optimize(trace.builder.finish([*values, *trace.outputs()]))
        self.executable: Executable = BACKENDS[config.backend](self.graph)
        self._copied = _views_of_inputs(self.graph)

    def run(self, arrays: list[NDArray[Any]]) -> Any:
        """Run with these arrays and the variables' present values; assign what was assigned."""
        state = [variable._tensor.concrete("jit") for variable in self._variables]
        results = self.executable.run([*arrays, *state])
        tensors = [
            Tensor(x.copy() if copied else x)
            for x, copied in zip(results, self._copied, strict=True)
        ]
        returned = iter(tensors)
        leaves = [
            next(returned) if is_tensor else static
            for is_tensor, static in zip(self._is_tensor, self._static, strict=True)
        ]
        for variable in self._assigned:
            variable._tensor = next(returned)
        return tree.unflatten(self._structure, leaves)


def _read(trace: Trace, x: Tensor) -> Tensor:
    # Variables that the function returns are read in its trace, which has ended.
    return trace.read(x) if isinstance(x, Variable) else x


def _views_of_inputs(graph: Graph) -> list[bool]:
    views = set(graph.inputs)
    for node in graph:
        if node.primitive.name in _VIEWS and node.inputs[0] in views:
            views.update(node.outputs)
        if node.primitive.name == "constant":
            views.update(node.outputs)
    return [value in views for value in graph.outputs]


class Jitted:
    """A function compiled by ``jit``. ``graphs`` lists what was traced; ``explain()`` says what
    runs.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._programs: dict[tuple[Any, ...], Program] = {}

    @property
    def graphs(self) -> list[Graph]:
        """The optimised graph of each call signature seen so far."""
        return [program.graph for program in self._programs.values()]

    def explain(self) -> str:
        """What runs for each call signature."""
        return "\n\n".join(program.executable.explain() for program in self._programs.values())

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        if STATE.trace is not None or STATE.tapes:
            # Part of a larger trace, or recorded for its gradient: nothing compiled is ever
            # differentiated.
            return self._function(*arguments, **keywords)
        leaves, structure = tree.flatten(arguments)
        leaves = [x if _is_static(x) else as_tensor(x)._read() for x in leaves]
        key = _signature(leaves, structure, keywords)
        program = self._programs.get(key)
        if program is None:
            program = Program(self._function, leaves, structure, keywords)
            self._programs[key] = program
        return program.run([x.concrete("jit") for x in leaves if isinstance(x, Tensor)])

    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else functools.partial(self, instance)


def _is_static(x: Any) -> bool:
    return not isinstance(x, Tensor | np.ndarray | np.generic) and not hasattr(x, "__array__")


def _signature(
    leaves: list[Any], structure: tree.Structure, keywords: dict[str, Any]
) -> tuple[Any, ...]:
    parts = tuple((x.shape, x.dtype) if isinstance(x, Tensor) else (type(x), x) for x in leaves)
    key = (config.backend, structure, parts, tuple(sorted(keywords.items())))
    try:
        hash(key)
    except TypeError as error:
        raise StateError(
            "jit",
            "an argument that is neither numbers nor hashable",
            got=str(error),
            fix="pass arrays or tensors positionally, settings as strings, numbers or tuples",
        ) from error
    return key


def jit(function: Callable[..., Any]) -> Jitted:
    """Compile a function: it is traced once per shapes and dtypes of its arguments, then its graph
    runs.

    Args:
        function: made of tensor functions. Positional arguments may be nested lists, tuples and
        dictionaries of
            tensors and arrays; Python numbers, strings, None and keyword arguments are constants of
            the program. Variables may be read and assigned.

    Returns:
        A function of the same arguments that returns tensors in the same structure.

    Raises:
        StateError: inside, where Python asks a traced tensor for its numbers (``if``, ``float``).

    Example:
        >>> import chainrule as cr
        >>> @cr.jit
        ... def f(x):
        ...     return cr.tanh(x).sum()
        >>> f(cr.zeros(3)).item()
        0.0
        >>> len(f.graphs)
        1

    As ``jax.jit``, but Python scalars are constants, and variables keep their state.
    """
    return Jitted(function)
