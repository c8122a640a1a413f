"""What holds while layers call layers: the outermost layer, training or not, and the inputs."""

import inspect
import itertools
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from chainrule import tree
from chainrule.errors import ArgumentError, ChainruleError
from chainrule.tensor import Tensor, tensor

if TYPE_CHECKING:
    from chainrule.nn.layer import Layer

ANY_KEYWORD = "**"

_numbers = itertools.count(1)
# Inspecting a signature takes longer than a small layer's call.
_call_parameters: "dict[type[Layer], frozenset[str]]" = {}


class Call(NamedTuple):
    """A call of an outermost layer and all the calls inside it."""

    root: "Layer"
    training: bool
    number: int


class _Active(threading.local):
    call: Call | None = None


_active = _Active()


def current_call() -> Call | None:
    """The call that is going on in this thread, or None."""
    return _active.call


class calling:  # noqa: N801  # used as a function
    """Enter a call of ``layer``; the outermost layer and ``training`` come from the outer call.

    A class rather than a generator: it is entered once a layer in every call of a model.
    """

    __slots__ = ("_call", "_outer")

    def __init__(self, layer: "Layer", training: bool | None) -> None:
        outer = self._outer = _active.call
        if outer is None:
            self._call = Call(layer, bool(training), next(_numbers))
        elif training is None or bool(training) == outer.training:
            self._call = outer
        else:
            self._call = Call(outer.root, bool(training), outer.number)

    def __enter__(self) -> Call:
        _active.call = self._call
        return self._call

    def __exit__(self, *error: object) -> None:
        _active.call = self._outer


def call_parameters(cls: "type[Layer]") -> frozenset[str]:
    """The names that a layer class's ``call`` takes; with ``"**"`` when it takes any keyword."""
    known = _call_parameters.get(cls)
    if known is None:
        parameters = list(inspect.signature(cls.call).parameters.values())[1:]
        known = _call_parameters[cls] = frozenset(
            ANY_KEYWORD if p.kind is inspect.Parameter.VAR_KEYWORD else p.name for p in parameters
        )
    return known


def to_tensors(where: str, inputs: Any, dtype: np.dtype[Any]) -> Any:
    """The inputs of a layer as tensors, floats in ``dtype``.

    A list, tuple or dictionary that holds tensors or arrays keeps its form: it stands for several
    inputs. Anything else becomes one tensor.
    """
    if isinstance(inputs, Tensor):
        return _cast(inputs, dtype)

    def convert(leaf: Any) -> Tensor:
        if leaf is None or isinstance(leaf, str):
            raise ArgumentError(
                where, "no input", got=repr(leaf)[:40], expected="numbers of shape (batch, ...)"
            )
        try:
            return _cast(leaf if isinstance(leaf, Tensor) else tensor(leaf), dtype)
        except ChainruleError as error:
            facts = {"got": error.got, "expected": error.expected, "fix": error.fix}
            raise type(error)(where, error.what, **facts) from None  # type: ignore[arg-type]  # fix is a str

    if isinstance(inputs, (Mapping, list, tuple)):
        leaves = tree.flatten(inputs)[0]
        if isinstance(inputs, Mapping) or any(isinstance(x, (Tensor, np.ndarray)) for x in leaves):
            return tree.map_leaves(convert, inputs)
    return convert(inputs)


def _cast(value: Tensor, dtype: np.dtype[Any]) -> Tensor:
    return value.astype(dtype) if value.dtype.kind == "f" and value.dtype != dtype else value


def shapes_of(values: Any) -> Any:
    """The shape of a tensor, its batch axis as None; of several, a list or dictionary of shapes."""
    if isinstance(values, Tensor):
        return (None, *values.shape[1:]) if values.shape else ()
    if isinstance(values, Mapping):
        return {key: shapes_of(value) for key, value in values.items()}
    if isinstance(values, (list, tuple)):
        return [shapes_of(value) for value in values]
    return ()


def zeros_of(shape: Any, dtype: str, rows: int) -> Any:
    """Zeros of a shape, or of each shape in a list or dictionary, with ``rows`` examples."""
    if isinstance(shape, Mapping):
        return {key: zeros_of(part, dtype, rows) for key, part in shape.items()}
    if isinstance(shape, list) or (shape and isinstance(shape[0], (list, tuple))):
        return [zeros_of(part, dtype, rows) for part in shape]
    if not (isinstance(shape, tuple) and shape and all(isinstance(n, int) for n in shape[1:])):
        raise ArgumentError(
            "input_shape", "not a shape to build for", got=repr(shape)[:80],
            expected="(None, size, ...) with every size but the batch known",
        )  # fmt: skip
    return tensor(np.zeros((rows, *shape[1:]), dtype))
