"""jit: trace a Python function once per shapes and dtypes, optimise its graph, run that."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import tree
from chainrule.backends import BACKENDS, Repetition, compiled
from chainrule.backends.reference import every_value
from chainrule.config import config
from chainrule.errors import ShapeError, StateError
from chainrule.graph.graph import Graph, Value
from chainrule.tensor.state import STATE, paused_tapes
from chainrule.tensor.tensor import Tensor, Variable, as_tensor
from chainrule.tensor.trace import Trace

# Stands for a tensor among what a function returns.
_TENSOR = object()
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
        self._leaves = [_TENSOR if isinstance(x, Tensor) else x for x in outputs]
        values = [trace.lift(_read(trace, x)) for x in outputs if isinstance(x, Tensor)]
        self._variables = trace.variables
        self._assigned = trace.assigned
        self._returns = len(values)
        first = sum(isinstance(x, Tensor) for x in arguments)
        places = {id(v): i for i, v in enumerate(self._variables, first)}
        self._carried = tuple(
            (places.get(id(v), -1), i) for i, v in enumerate(self._assigned, self._returns)
        )
        graph = trace.builder.finish([*values, *trace.outputs()])
        backend = BACKENDS[config.backend]
        self.compiled = compiled(graph, backend)
        self.executable = self.compiled.executable
        self._copied = _views_of_inputs(self.compiled.graph) if backend.returns_views else []

    def run(self, arrays: list[NDArray[Any]]) -> Any:
        """Run with these arrays and the variables' present values; assign what was assigned."""
        results = self.executable.run(arrays + self._state())
        for i in self._copied:
            results[i] = results[i].copy()
        return self._returned([Tensor(x) for x in results])

    def repeat(self, arrays: list[NDArray[Any]], steps: int, scanned: tuple[int, ...]) -> Any:
        """Run many steps in one call of the back end; variables carry their values along."""
        repetition = Repetition(steps, scanned, self._carried)
        results = self.executable.repeat(arrays + self._state(), repetition)
        for i in self._copied:
            results[i] = results[i].copy()
        return self._returned([Tensor(x) for x in results])

    def _state(self) -> list[NDArray[Any]]:
        arrays: list[Any] = [variable._tensor._payload for variable in self._variables]
        return arrays  # what variables hold is never traced

    def _returned(self, tensors: list[Tensor]) -> Any:
        if self._assigned:
            for variable, value in zip(self._assigned, tensors[self._returns :], strict=True):
                variable._tensor = value
        if self._structure is tree.LEAF and self._returns:
            return tensors[0]
        returned = iter(tensors)
        leaves = [next(returned) if x is _TENSOR else x for x in self._leaves]
        return tree.unflatten(self._structure, leaves)


def _read(trace: Trace, x: Tensor) -> Tensor:
    # Variables that the function returns are read in its trace, which has ended.
    return trace.read(x) if isinstance(x, Variable) else x


def _views_of_inputs(graph: Graph) -> list[int]:
    """The positions of outputs that may be views of inputs or constants."""
    views = set(graph.inputs)
    for node in graph:
        if node.primitive.name in _VIEWS and node.inputs[0] in views:
            views.update(node.outputs)
        if node.primitive.name == "constant":
            views.update(node.outputs)
    return [i for i, value in enumerate(graph.outputs) if value in views]


class Jitted:
    """A function compiled by ``jit``. ``graphs`` lists what was traced; ``explain()`` says what
    runs.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._programs: dict[tuple[Any, ...], Program] = {}
        # The same programs by what is quickly known of plain arguments.
        self._quick: dict[tuple[Any, ...], Program] = {}

    @property
    def graphs(self) -> list[Graph]:
        """The optimised graph of each call signature seen so far."""
        return [program.compiled.named_graph() for program in self._programs.values()]

    def explain(self, *arguments: Any, measure: bool = False) -> str:
        """What runs.

        Args:
            arguments: explain the program for these, compiled if it is not yet, but not called;
                without any, the programs of all calls so far.
            measure: run the programs, on zeros, to say how long each part takes. No variable
                changes.
        """
        programs = [self._program(arguments, {})[0]] if arguments else self._programs.values()
        return "\n\n".join(program.compiled.explain(measure) for program in programs)

    def replay(self, *arguments: Any) -> tuple[Graph, dict[Value, NDArray[Any]]]:
        """What a call would compute, by NumPy and value by value; no variable changes.

        Returns:
            The graph, and the array of each of its values.
        """
        program, arrays = self._program(arguments, {})
        graph = program.compiled.named_graph()
        flush = config.backend != "reference"
        return graph, every_value(graph, arrays + program._state(), flush)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        if STATE.trace is not None or STATE.tapes:
            # Part of a larger trace, or recorded for its gradient: nothing compiled is ever
            # differentiated.
            return self._function(*arguments, **keywords)
        program, arrays = self._program(arguments, keywords)
        return program.run(arrays)

    def _program(
        self, arguments: tuple[Any, ...], keywords: dict[str, Any]
    ) -> tuple[Program, list[NDArray[Any]]]:
        """The program for these arguments, and their arrays."""
        plain = None if keywords else _plain(arguments)
        if plain is None:
            return self._program_of_any(arguments, keywords)
        key, arrays = plain
        program = self._quick.get(key)
        if program is None:
            program, converted = self._program_of_any(arguments, keywords)
            if all(x.dtype == y.dtype for x, y in zip(arrays, converted, strict=True)):
                self._quick[key] = program
            arrays = converted
        return program, arrays

    def _program_of_any(
        self, arguments: tuple[Any, ...], keywords: dict[str, Any]
    ) -> tuple[Program, list[NDArray[Any]]]:
        """The same for every kind of arguments; traced when they are the first of their kind."""
        leaves, structure = tree.flatten(arguments)
        leaves = [x if _is_static(x) else as_tensor(x)._read() for x in leaves]
        key = _signature(leaves, structure, keywords)
        program = self._programs.get(key)
        if program is None:
            program = Program(self._function, leaves, structure, keywords)
            self._programs[key] = program
        return program, [x.concrete("jit") for x in leaves if isinstance(x, Tensor)]

    def repeat(
        self, scanned: Sequence[Any], *arguments: Any, steps: int | None = None, **keywords: Any
    ) -> Any:
        """Call the function once for each entry of the scanned arrays, in one run of the back end.

        The same as ``[f(*entries, *arguments) for entries in zip(*scanned)]``: variables keep what
        one step assigned for the next.

        Args:
            scanned: arrays or tensors of equal first length, at least 1; one entry of each is
                passed to a step, before the other arguments.
            arguments: the same in every step.
            steps: how many; needed only where nothing is scanned.
            keywords: constants, as in a call.

        Returns:
            What the function returns, its tensors along a new first axis.

        Raises:
            ShapeError: no scanned array, first lengths that differ, or no steps.

        Example:
            >>> import chainrule as cr
            >>> total = cr.Variable(0.0)
            >>> @cr.jit
            ... def add(x):
            ...     total.assign_add(x)
            ...     return total.value
            >>> add.repeat([cr.tensor([1.0, 2.0, 3.0])]).tolist()
            [1.0, 3.0, 6.0]
        """
        rows = [as_tensor(x)._read() for x in scanned]
        lengths = {x.shape[0] if x.shape else 0 for x in rows} | ({steps} if steps else set())
        if len(lengths) != 1 or 0 in lengths:
            raise ShapeError(
                "jit.repeat", "wrong scanned arrays", got=[x.shape for x in rows],
                expected="arrays of one first length, at least 1",
            )  # fmt: skip
        count = lengths.pop()
        if STATE.trace is not None or STATE.tapes:
            raise StateError("jit.repeat", "called inside a tape or another jit", fix="use a loop")
        entries = [Tensor(x.concrete("jit")[0]) for x in rows]
        program, arrays = self._program((*entries, *arguments), keywords)
        for i, x in enumerate(rows):
            arrays[i] = x.concrete("jit")
        return program.repeat(arrays, count, tuple(range(len(rows))))

    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else functools.partial(self, instance)


def _plain(arguments: tuple[Any, ...]) -> tuple[tuple[Any, ...], list[NDArray[Any]]] | None:
    """What tells the program of arguments that are tensors, arrays and None, and their arrays."""
    key: list[Any] = [config.backend]
    arrays = []
    for x in arguments:
        if x is None:
            key.append(None)
            continue
        array = x._payload if type(x) is Tensor else x
        if type(array) is not np.ndarray:
            return None
        arrays.append(array)
        key.append(array.shape)
        key.append(array.dtype)
    return tuple(key), arrays


def _is_static(x: Any) -> bool:
    return not isinstance(x, Tensor | np.ndarray | np.generic) and not hasattr(x, "__array__")


def _signature(
    leaves: list[Any], structure: tree.Structure, keywords: dict[str, Any]
) -> tuple[Any, ...]:
    parts = tuple((x.shape, x.dtype) if isinstance(x, Tensor) else _constant(x) for x in leaves)
    given = sorted(keywords.items())
    # Equal constants may compute otherwise: 1, 1.0 and True, 0.0 and -0.0.
    constants = tuple(_constant(x) for x in tree.flatten(given)[0])
    key = (config.backend, structure, parts, tuple(given), constants)
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


def _constant(x: Any) -> tuple[Any, ...]:
    return (float, repr(x)) if type(x) is float else (type(x), x)


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
