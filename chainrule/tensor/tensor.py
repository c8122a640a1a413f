"""Tensor and Variable: what users hold, concrete or traced."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.backends.reference import KERNELS, QUIET, Place, checked_call
from chainrule.config import config
from chainrule.dtypes import as_dtype, convert_array, scalar_dtype
from chainrule.errors import ChainruleError, DTypeError, GraphError, ShapeError, StateError
from chainrule.graph.graph import Value, ValueType
from chainrule.graph.operand import Attributes, Operand, Scalar
from chainrule.graph.primitives import Primitive
from chainrule.tensor.operators import TensorOperators
from chainrule.tensor.state import STATE

Origin = tuple[str, "Tensor"]

_SCALARS = frozenset({bool, int, float})
_PRESENT = attrgetter("_tensor")  # takes a tenth of the time of a property


class Tensor(TensorOperators, Operand):
    """An immutable array of numbers.

    A tensor is concrete (it holds a NumPy array, and every operation runs at once), or traced
    (inside ``jit`` it stands for a value of the graph being written). Python operators, NumPy's
    indexing and the functions of ``chainrule`` apply to both.

    Attributes:
        shape: tuple of int.
        dtype: numpy.dtype, one of ``chainrule.dtypes.DTYPES``.
        origin: ``("softmax", x)`` when this is ``softmax(x)`` (or sigmoid, log_softmax), so that
        losses can work from
            ``x``, where they are safe; else None.

    Example:
        >>> import chainrule as cr
        >>> x = cr.tensor([[1.0, 2.0], [3.0, 4.0]])
        >>> (x @ x).sum().item()
        54.0
    """

    __slots__ = ("_payload", "dtype", "origin", "shape")
    # NumPy's operators give way: array + tensor is a tensor.
    __array_ufunc__ = None

    def __init__(self, payload: NDArray[Any] | Value) -> None:
        self._payload = payload
        self.shape: tuple[int, ...] = payload.shape
        self.dtype: np.dtype[Any] = payload.dtype
        self.origin: Origin | None = None

    # ---- applying primitives

    def bind(self, primitive: Primitive, inputs: tuple[Any, ...], attributes: Attributes) -> Any:
        """Run or trace a primitive, and record it on the active tapes."""
        return bind(primitive, inputs, attributes)

    def constant_like(self, value: Scalar, dtype: np.dtype[Any] | None = None) -> Tensor:
        """A rank-0 tensor of this tensor's dtype."""
        return Tensor(np.asarray(value, dtype or self.dtype))

    # ---- to and from NumPy

    @property
    def is_traced(self) -> bool:
        """True inside ``jit``, where there are no numbers yet."""
        return isinstance(self._read()._payload, Value)

    def concrete(self, purpose: str) -> NDArray[Any]:
        """The array itself, not to be written to; an error while tracing that names ``purpose``."""
        payload = self._read()._payload
        if isinstance(payload, Value):
            raise StateError(
                "jit",
                f"{purpose} needs the numbers of a tensor that is being traced",
                got=f"a traced {ValueType(self.shape, self.dtype)}",
                fix="use chainrule functions such as where() instead of Python if, "
                "or call the function without jit",
            )
        return payload

    def numpy(self) -> NDArray[Any]:
        """The values as a new NumPy array."""
        return np.array(self.concrete("numpy()"))

    def item(self) -> Any:
        """The only element as a Python number."""
        if self.size != 1:
            raise ShapeError("item", "not a single number", got=self.shape, expected="one element")
        return self.concrete("item()").item()

    def tolist(self) -> Any:
        """The values as nested lists."""
        return self.concrete("tolist()").tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        array = self.concrete("conversion to a NumPy array")
        if copy or (dtype is not None and np.dtype(dtype) != array.dtype):
            return np.array(array, dtype)
        view = array.view()
        view.flags.writeable = False
        return view

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.dtype.kind not in "iu":
            raise DTypeError(
                "index", "not an integer", got=self.dtype.name, expected="an integer tensor"
            )
        return int(self.item())

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ShapeError(
                "bool",
                "more than one truth value",
                got=self.shape,
                expected="one element",
                fix="use .any() or .all()",
            )
        return bool(self.concrete("if").item())

    def __len__(self) -> int:
        if not self.shape:
            raise ShapeError("len", "a scalar has no length", got=self.shape)
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        payload = self._read()._payload
        if isinstance(payload, Value):
            return f"Tensor(traced, {ValueType(self.shape, self.dtype)})"
        text = np.array2string(payload, separator=", ", prefix="Tensor(")
        return f"Tensor({text}, shape={self.shape}, dtype={self.dtype.name})"

    def _read(self) -> Tensor:
        return self


class Variable(Tensor):
    """A tensor that can be assigned: parameters, optimizer slots, running statistics.

    Inside ``jit`` reads become inputs and assignments outputs of the compiled program.

    Args:
        value: the first value; anything ``tensor`` takes.
        name: its own name, the last part of ``path``.
        trainable: whether optimizers update it and tapes watch it.
        dtype: a dtype to convert to; the value's own by default.

    Attributes:
        path: where a model holds it, such as ``dense1/kernel``.
        regularizer: a function of the variable that adds a penalty to the loss, or None.
        constraint: a function that maps the variable to the values it may have after an update, or
        None.

    Example:
        >>> import chainrule as cr
        >>> w = cr.Variable([1.0, 2.0], name="w")
        >>> w.assign_sub([0.5, 0.5])
        >>> w.numpy()
        array([0.5, 1.5], dtype=float32)
    """

    __slots__ = ("_tensor", "constraint", "name", "path", "regularizer", "trainable")

    def __init__(
        self, value: Any, *, name: str = "variable", trainable: bool = True, dtype: Any = None
    ) -> None:
        first = tensor(value, dtype)
        if first.is_traced:
            raise StateError(
                f"variable {name!r}",
                "created from a traced value",
                expected="numbers",
                fix="create variables before jit runs, or from values its inputs do not change",
            )
        self._tensor = first
        self.shape = first.shape
        self.dtype = first.dtype
        self.origin = None
        self.name = name
        self.path = name
        self.trainable = trainable
        self.regularizer: Any = None
        self.constraint: Any = None

    @property
    def value(self) -> Tensor:
        """The present value as a tensor that later assignments do not change."""
        return self._read()

    def _read(self) -> Tensor:
        current = self._tensor if STATE.trace is None else STATE.trace.read(self)
        if self.trainable:
            for tape in STATE.tapes:
                tape.note_read(self, current)
        return current

    def assign(self, value: Any) -> None:
        """Replace the value; the shape must stay, the dtype is converted.

        Raises:
            ShapeError: the value has another shape.
        """
        new = as_tensor(value, self.dtype)
        if new.shape != self.shape:
            raise ShapeError(
                f"variable {self.path!r}", "wrong shape", got=new.shape, expected=self.shape
            )
        if new.dtype != self.dtype:
            new = new.astype(self.dtype)
        new = new._read()
        if STATE.trace is not None:
            STATE.trace.assign(self, new)
        elif new.is_traced:
            raise StateError(f"variable {self.path!r}", "assigned a value of a finished trace")
        else:
            # A copy of arrays from outside: their owner may go on writing into them.
            self._tensor = new if isinstance(value, Tensor) else Tensor(np.array(new._payload))

    def assign_add(self, value: Any) -> None:
        """Add to the value."""
        self.assign(self + value)

    def assign_sub(self, value: Any) -> None:
        """Subtract from the value."""
        self.assign(self - value)

    def __repr__(self) -> str:
        return f"Variable({self.path!r}, shape={self.shape}, dtype={self.dtype.name})"

    def __reduce__(self) -> tuple[Any, ...]:
        state = (self.name, self.path, self.trainable, self.regularizer, self.constraint)
        return _rebuild_variable, (type(self), self.numpy(), *state)


def _rebuild_variable(
    cls: type[Variable], value: NDArray[Any], name: str, path: str, trainable: bool, *rest: Any
) -> Variable:
    variable = cls(value, name=name, trainable=trainable)
    variable.path = path
    variable.regularizer, variable.constraint = rest
    return variable


def present_values(variables: Iterable[Variable]) -> list[Tensor]:
    """What variables hold outside of any trace: a loop asks before each of its steps."""
    return list(map(_PRESENT, variables))


def bind(primitive: Primitive, inputs: tuple[Any, ...], attributes: Attributes) -> Any:
    """Apply a primitive to tensors: into the trace when an input is traced, at once otherwise; then
    record it.
    """
    state = STATE
    tensors = inputs
    for x in inputs:
        if type(x) is not Tensor:
            tensors = tuple([x if type(x) is Tensor else x._read() for x in inputs])
            break
    arrays = []
    for x in tensors:
        payload = x._payload
        if type(payload) is Value:
            output = _traced(primitive, tensors, attributes)
            break
        arrays.append(payload)
    else:
        kernel = KERNELS[primitive.name]
        try:
            if config.check == "debug":
                result = _checked(primitive, arrays, attributes)
            elif attributes:
                result = QUIET.copy().run(kernel, *arrays, **attributes)
            else:
                result = QUIET.copy().run(kernel, *arrays)
        except ChainruleError:
            raise
        except Exception as error:
            raise _explained(error, primitive, tensors, attributes) from error
        if type(result) is tuple:
            output = tuple(map(Tensor, result))
        else:
            output = Tensor(result if type(result) is np.ndarray else np.asarray(result))
    if state.tapes and primitive.differentiable:
        if type(output) is not tuple:
            outputs, floating = (output,), output.dtype.kind == "f"
        else:
            outputs, floating = output, any(x.dtype.kind == "f" for x in output)
        if floating:
            for tape in state.tapes:
                tape.record(primitive, tensors, attributes, outputs)
    return output


def _checked(primitive: Primitive, arrays: list[NDArray[Any]], attributes: Attributes) -> Any:
    """What the kernel gives, checked (see ``config.check``)."""
    given = tuple(ValueType(x.shape, x.dtype) for x in arrays)
    types = primitive.output_types(given, attributes)
    results = checked_call(Place(primitive.name, STATE.scope), arrays, attributes, types)
    return tuple(results) if primitive.kind == "loop" else results[0]


def _traced(primitive: Primitive, tensors: tuple[Tensor, ...], attributes: Attributes) -> Any:
    trace = STATE.trace
    if trace is None:
        raise StateError(
            primitive.name,
            "a traced tensor outside jit",
            got=repr(tensors[0]),
            fix="return it from the jitted function instead of storing it",
        )
    return trace.append(primitive, tensors, attributes, STATE.scope)


def _explained(
    error: Exception, primitive: Primitive, tensors: tuple[Tensor, ...], attributes: Attributes
) -> Exception:
    """What NumPy refused, in our words: the type rule knows what is wrong."""
    try:
        primitive.output_types(tuple(ValueType(x.shape, x.dtype) for x in tensors), attributes)
    except ChainruleError as known:
        return known
    return GraphError(STATE.scope or primitive.name, f"{primitive.name} failed: {error}")


def tensor(value: Any, dtype: Any = None) -> Tensor:
    """A tensor with a copy of these values.

    Args:
        value: number, nested lists of numbers, NumPy array, tensor, or anything with ``__array__``.
        dtype: the dtype wanted; by default arrays keep theirs, Python floats become float32, ints
        int32.

    Returns:
        A tensor; a tensor of that dtype is returned as it is.

    Raises:
        DTypeError: not numbers.
        ShapeError: nested lists of unequal lengths.

    Example:
        >>> import chainrule as cr
        >>> cr.tensor([1, 2, 3]).dtype.name, cr.tensor(0.5).dtype.name
        ('int32', 'float32')
    """
    result = as_tensor(value)
    if dtype is not None and result.dtype != (wanted := as_dtype(dtype)):
        return result.astype(wanted)
    if isinstance(value, Tensor):
        return result._read()
    return Tensor(np.array(result._payload))


def as_tensor(value: Any, like: np.dtype[Any] | None = None) -> Tensor:
    """A tensor that may share memory with an array; Python scalars take the dtype ``like`` (see
    ``chainrule.dtypes``).
    """
    if isinstance(value, Tensor):
        return value
    if type(value) in _SCALARS or (
        isinstance(value, int | float) and not (like is None and isinstance(value, np.generic))
    ):
        try:
            return Tensor(np.asarray(value, scalar_dtype(value, like)))
        except OverflowError:
            return Tensor(np.asarray(value, np.int64))
    if isinstance(value, np.ndarray | np.generic):
        return Tensor(convert_array(np.asarray(value)))
    if isinstance(value, list | tuple):
        return _from_sequence(value)
    if hasattr(value, "__array__"):
        return Tensor(convert_array(np.asarray(value)))
    raise DTypeError(
        "tensor", "not numbers", got=type(value).__name__, expected="numbers, lists or arrays"
    )


def _from_sequence(value: Any) -> Tensor:
    flat = _flat_leaves(value)
    if any(isinstance(x, Tensor) for x in flat):
        from chainrule.tensor.layout import stack

        return stack([as_tensor(x) for x in value])
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ShapeError(
            "tensor", "nested lists of unequal lengths", got=str(error),
            expected="a rectangular array", fix="make every row equally long",
        ) from error  # fmt: skip
    if not any(isinstance(x, np.ndarray | np.generic) for x in flat):
        # Python numbers: the library's default dtypes, not NumPy's.
        small = array.dtype.kind == "i" and (array.size == 0 or np.abs(array).max() < 2**31)
        array = array.astype(
            "float32" if array.dtype.kind == "f" else "int32" if small else array.dtype
        )
    return Tensor(convert_array(array))


def _flat_leaves(value: Any) -> list[Any]:
    leaves: list[Any] = []
    for part in value:
        if isinstance(part, list | tuple):
            leaves.extend(_flat_leaves(part))
        else:
            leaves.append(part)
    return leaves
