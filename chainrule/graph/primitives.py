"""THE list of primitives: name, attributes, shape and dtype rule, flags. One entry a primitive.

To add one: an entry here, and one row each in ``backends/reference/kernels.py``, the CPU back end
(``elementwise.py`` or its like), ``backprop/derivatives.py``, ``graph/operations.py`` and
``testing/samples.py``; ``tests/core/test_tables.py`` and ``tests/cpu/test_cpu_backend.py`` print
what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from chainrule.dtypes import BOOL, INT64, UINT32
from chainrule.errors import ArgumentError, DTypeError, GraphError, ShapeError
from chainrule.graph import windows
from chainrule.graph.graph import ValueType
from chainrule.graph.operand import Attributes
from chainrule.graph.scan import scan_types

Rule = Callable[..., ValueType | tuple[ValueType, ...]]
Kind = Literal["elementwise", "reduction", "layout", "matmul", "index", "window", "source", "loop"]
Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Primitive:
    """One primitive operation.

    Attributes:
        name: its name in the text form.
        arity: how many inputs it takes; None for any number (at least one).
        rule: ``rule(*input types, **attributes) -> output type``, a tuple of types where there are
            several outputs; raises ShapeError or DTypeError.
        attributes: the names of its static attributes, all required.
        kind: what family of kernels it belongs to.
        differentiable: False when its derivative is zero or undefined everywhere.
    """

    name: str
    arity: int | None
    rule: Rule
    attributes: tuple[str, ...]
    kind: Kind
    differentiable: bool
    _names: frozenset[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_names", frozenset(self.attributes))

    def output_types(
        self, inputs: Sequence[ValueType], attributes: Attributes
    ) -> tuple[ValueType, ...]:
        """The types of the outputs for inputs of these types."""
        if len(inputs) != self.arity and (self.arity is not None or not inputs):
            raise GraphError(
                self.name,
                "wrong number of inputs",
                got=len(inputs),
                expected=self.arity or "at least 1",
            )
        if attributes.keys() != self._names:
            raise GraphError(
                self.name,
                "wrong attributes",
                got=sorted(attributes),
                expected=sorted(self.attributes),
            )
        result = self.rule(*inputs, **attributes)
        return (result,) if isinstance(result, ValueType) else result


PRIMITIVES: dict[str, Primitive] = {}


def _define(
    names: str,
    arity: int | None,
    kind: Kind,
    rule: Callable[[str], Rule],
    attributes: tuple[str, ...] = (),
    differentiable: bool = True,
) -> None:
    for name in names.split():
        PRIMITIVES[name] = Primitive(name, arity, rule(name), attributes, kind, differentiable)


# ---- checks that the rules share


def broadcast_shapes(where: str, *shapes: Shape) -> Shape:
    """NumPy's broadcasting: axes are aligned from the right; lengths are equal or 1."""
    first = shapes[0]
    if all(shape == first for shape in shapes):
        return first
    rank = max(map(len, shapes))
    result = [1] * rank
    for shape in shapes:
        for axis, length in enumerate(shape, rank - len(shape)):
            if length != 1:
                if result[axis] not in (1, length):
                    raise ShapeError(
                        where,
                        "shapes do not broadcast",
                        got=" and ".join(map(str, shapes)),
                        expected="equal lengths, or 1, on every axis counted from the right",
                        fix="reshape one of them, for example with x[:, None]",
                    )
                result[axis] = length
    return tuple(result)


def normalize_axis(where: str, axis: int, rank: int) -> int:
    """A possibly negative axis as one in 0 .. rank-1."""
    if not -rank <= axis < rank:
        raise ShapeError(
            where, "axis out of range", got=axis, expected=f"-{rank} to {rank - 1} for rank {rank}"
        )
    return axis % rank


def _require_kind(name: str, kinds: str, words: str, *types: ValueType) -> None:
    for t in types:
        if t.dtype.kind not in kinds:
            fix = "convert it first, for example with x.astype('float32')" if kinds == "f" else ""
            raise DTypeError(name, "wrong dtype", got=t.dtype.name, expected=words, fix=fix)


def _require_same(name: str, *types: ValueType) -> None:
    if any(t.dtype != types[0].dtype for t in types):
        raise DTypeError(
            name,
            "different dtypes",
            got=" and ".join(t.dtype.name for t in types),
            expected="one dtype",
            fix="convert one of them with astype",
        )


def _require_axes(name: str, axes: tuple[int, ...], rank: int) -> None:
    if sorted(set(axes)) != list(axes) or any(not 0 <= a < rank for a in axes):
        raise ShapeError(
            name, "wrong axes", got=axes, expected=f"increasing axes of 0 to {rank - 1}"
        )


# ---- rules, by family

_WORDS = {
    "f": "a floating dtype",
    "iu": "an integer dtype",
    "biu": "an integer or boolean dtype",
    "iuf": "a number, not a boolean",
    "if": "a signed number",
    "b": "a boolean",
    "biuf": "",
}


def _unary(kinds: str, result: np.dtype[Any] | None = None) -> Callable[[str], Rule]:
    def make(name: str) -> Rule:
        def rule(x: ValueType) -> ValueType:
            _require_kind(name, kinds, _WORDS[kinds], x)
            return ValueType(x.shape, result or x.dtype)

        return rule

    return make


def _binary(kinds: str, result: np.dtype[Any] | None = None) -> Callable[[str], Rule]:
    def make(name: str) -> Rule:
        def rule(x: ValueType, y: ValueType) -> ValueType:
            _require_kind(name, kinds, _WORDS[kinds], x, y)
            _require_same(name, x, y)
            return ValueType(broadcast_shapes(name, x.shape, y.shape), result or x.dtype)

        return rule

    return make


def _select(name: str) -> Rule:
    def rule(condition: ValueType, x: ValueType, y: ValueType) -> ValueType:
        _require_kind(name, "b", "a boolean condition", condition)
        _require_same(name, x, y)
        return ValueType(broadcast_shapes(name, condition.shape, x.shape, y.shape), x.dtype)

    return rule


def _convert(name: str) -> Rule:
    return lambda x, *, dtype: ValueType(x.shape, dtype)


def _constant(name: str) -> Rule:
    return lambda *, value: ValueType(value.shape, value.dtype)


def _iota(name: str) -> Rule:
    def rule(*, shape: Shape, axis: int, dtype: np.dtype[Any]) -> ValueType:
        normalize_axis(name, axis, len(shape))
        return ValueType(shape, dtype)

    return rule


def _random_bits(name: str) -> Rule:
    def rule(key: ValueType, counters: ValueType, *, shape: Shape) -> ValueType:
        if any(t != ValueType((2,), UINT32) for t in (key, counters)):
            raise DTypeError(
                name, "wrong inputs", got=f"{key} and {counters}", expected="uint32[2] twice"
            )
        return ValueType(shape, UINT32)

    return rule


def _reshape(name: str) -> Rule:
    def rule(x: ValueType, *, shape: Shape) -> ValueType:
        old, new = 1, 1
        for length in x.shape:
            old *= length
        for length in shape:
            new *= length
        if old != new or any(length < 0 for length in shape):
            raise ShapeError(
                name,
                "the number of elements changes",
                got=f"{x.shape} to {shape}",
                expected=f"a shape of {old} elements",
            )
        return ValueType(shape, x.dtype)

    return rule


def _transpose(name: str) -> Rule:
    def rule(x: ValueType, *, axes: tuple[int, ...]) -> ValueType:
        if sorted(axes) != list(range(len(x.shape))):
            raise ShapeError(
                name, "wrong axes", got=axes, expected=f"an order of 0 to {len(x.shape) - 1}"
            )
        return ValueType(tuple(x.shape[a] for a in axes), x.dtype)

    return rule


def _broadcast_to(name: str) -> Rule:
    def rule(x: ValueType, *, shape: Shape) -> ValueType:
        if len(shape) < len(x.shape) or broadcast_shapes(name, x.shape, shape) != shape:
            raise ShapeError(
                name, "shapes do not broadcast", got=x.shape, expected=f"a shape that fits {shape}"
            )
        return ValueType(shape, x.dtype)

    return rule


def _slice(name: str) -> Rule:
    def rule(x: ValueType, *, start: Shape, stop: Shape, step: Shape) -> ValueType:
        if not len(start) == len(stop) == len(step) == len(x.shape):
            raise ShapeError(name, "wrong rank", got=len(start), expected=len(x.shape))
        for a, b, s, n in zip(start, stop, step, x.shape, strict=True):
            if not (0 <= a <= b <= n and s >= 1):
                raise ShapeError(
                    name,
                    "bounds out of range",
                    got=f"{a}:{b}:{s}",
                    expected=f"0 <= start <= stop <= {n}, step >= 1",
                )
        lengths = (-(-(b - a) // s) for a, b, s in zip(start, stop, step, strict=True))
        return ValueType(tuple(lengths), x.dtype)

    return rule


def _pad(name: str) -> Rule:
    def rule(x: ValueType, *, low: Shape, high: Shape, interior: Shape, value: float) -> ValueType:
        if not len(low) == len(high) == len(interior) == len(x.shape):
            raise ShapeError(name, "wrong rank", got=len(low), expected=len(x.shape))
        if min((*low, *high, *interior), default=0) < 0:
            raise ArgumentError(
                name, "negative padding", got=(low, high, interior), expected="0 or more"
            )
        lengths = (
            lo + n + max(n - 1, 0) * i + hi
            for lo, hi, i, n in zip(low, high, interior, x.shape, strict=True)
        )
        return ValueType(tuple(lengths), x.dtype)

    return rule


def _concatenate(name: str) -> Rule:
    def rule(*inputs: ValueType, axis: int) -> ValueType:
        first = inputs[0]
        _require_same(name, *inputs)
        normalize_axis(name, axis, len(first.shape))
        total = 0
        for t in inputs:
            if len(t.shape) != len(first.shape) or any(
                a != b
                for k, (a, b) in enumerate(zip(t.shape, first.shape, strict=True))
                if k != axis
            ):
                raise ShapeError(
                    name,
                    "shapes differ",
                    got=" and ".join(str(t.shape) for t in inputs),
                    expected=f"equal shapes except on axis {axis}",
                )
            total += t.shape[axis]
        return ValueType((*first.shape[:axis], total, *first.shape[axis + 1 :]), first.dtype)

    return rule


def _flip(name: str) -> Rule:
    def rule(x: ValueType, *, axes: tuple[int, ...]) -> ValueType:
        _require_axes(name, axes, len(x.shape))
        return x

    return rule


def _reduce(kinds: str, empty: bool) -> Callable[[str], Rule]:
    def make(name: str) -> Rule:
        def rule(x: ValueType, *, axes: tuple[int, ...]) -> ValueType:
            _require_kind(name, kinds, _WORDS[kinds], x)
            _require_axes(name, axes, len(x.shape))
            if not empty and any(x.shape[a] == 0 for a in axes):
                raise ShapeError(
                    name, "nothing to reduce", got=x.shape, expected="at least one element"
                )
            return ValueType(tuple(n for a, n in enumerate(x.shape) if a not in axes), x.dtype)

        return rule

    return make


def _argument(name: str) -> Rule:
    def rule(x: ValueType, *, axis: int) -> ValueType:
        normalize_axis(name, axis, len(x.shape))
        if x.shape[axis] == 0:
            raise ShapeError(
                name, "nothing to choose from", got=x.shape, expected="at least one element"
            )
        return ValueType((*x.shape[:axis], *x.shape[axis + 1 :]), INT64)

    return rule


def _argsort(name: str) -> Rule:
    def rule(x: ValueType, *, axis: int) -> ValueType:
        normalize_axis(name, axis, len(x.shape))
        return ValueType(x.shape, INT64)

    return rule


def _cumulative_sum(name: str) -> Rule:
    def rule(x: ValueType, *, axis: int, reverse: bool) -> ValueType:
        _require_kind(name, "iuf", _WORDS["iuf"], x)
        normalize_axis(name, axis, len(x.shape))
        return x

    return rule


def _matmul(name: str) -> Rule:
    def rule(x: ValueType, y: ValueType) -> ValueType:
        _require_kind(name, "iuf", _WORDS["iuf"], x, y)
        _require_same(name, x, y)
        if len(x.shape) < 2 or len(y.shape) < 2 or x.shape[-1] != y.shape[-2]:
            raise ShapeError(
                name,
                "shapes do not fit",
                got=f"{x.shape} @ {y.shape}",
                expected="(..., n, k) @ (..., k, m) with equal k",
            )
        batch = broadcast_shapes(name, x.shape[:-2], y.shape[:-2])
        return ValueType((*batch, x.shape[-2], y.shape[-1]), x.dtype)

    return rule


def _take(name: str) -> Rule:
    def rule(x: ValueType, indices: ValueType, *, axis: int) -> ValueType:
        _require_kind(name, "iu", "integer indices", indices)
        normalize_axis(name, axis, len(x.shape))
        return ValueType((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]), x.dtype)

    return rule


def _scatter_add(name: str) -> Rule:
    def rule(x: ValueType, indices: ValueType, updates: ValueType, *, axis: int) -> ValueType:
        _require_kind(name, "iuf", _WORDS["iuf"], x)
        _require_same(name, x, updates)
        expected = (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])
        if updates.shape != expected:
            raise ShapeError(name, "wrong shape of updates", got=updates.shape, expected=expected)
        return x

    return rule


def _window(shape_rule: Callable[..., Shape]) -> Callable[[str], Rule]:
    def make(name: str) -> Rule:
        def rule(*inputs: ValueType, **attributes: Any) -> ValueType:
            _require_kind(name, "f", _WORDS["f"], *inputs)
            _require_same(name, *inputs)
            shape = shape_rule(name, *[t.shape for t in inputs], **attributes)
            return ValueType(shape, inputs[0].dtype)

        return rule

    return make


# ---- the list

# Elementwise, one input.
_define("exp log log1p expm1 sqrt rsqrt tanh sigmoid erf sin cos", 1, "elementwise", _unary("f"))
_define("negative abs", 1, "elementwise", _unary("if"))
_define("sign", 1, "elementwise", _unary("if"), differentiable=False)
_define("floor ceil round", 1, "elementwise", _unary("f"), differentiable=False)
_define("is_finite", 1, "elementwise", _unary("f", BOOL), differentiable=False)
_define("logical_not", 1, "elementwise", _unary("b"), differentiable=False)
_define("convert", 1, "elementwise", _convert, ("dtype",))
_define("stop_gradient", 1, "elementwise", _unary("biuf"), differentiable=False)

# Elementwise, two inputs, with NumPy's broadcasting.
_define("add multiply maximum minimum", 2, "elementwise", _binary("iuf"))
_define("subtract", 2, "elementwise", _binary("iuf"))
_define("divide power", 2, "elementwise", _binary("f"))
_define("remainder", 2, "elementwise", _binary("iuf"))
_define("floor_divide", 2, "elementwise", _binary("iuf"), differentiable=False)
_define(
    "equal not_equal less less_equal", 2, "elementwise", _binary("biuf", BOOL), differentiable=False
)
_define(
    "bitwise_and bitwise_or bitwise_xor", 2, "elementwise", _binary("biu"), differentiable=False
)
_define("shift_left shift_right", 2, "elementwise", _binary("iu"), differentiable=False)
_define("select", 3, "elementwise", _select)

# Sources.
_define("constant", 0, "source", _constant, ("value",), differentiable=False)
_define("iota", 0, "source", _iota, ("shape", "axis", "dtype"), differentiable=False)
_define("random_bits", 2, "source", _random_bits, ("shape",), differentiable=False)

# Layout.
_define("reshape", 1, "layout", _reshape, ("shape",))
_define("transpose", 1, "layout", _transpose, ("axes",))
_define("broadcast_to", 1, "layout", _broadcast_to, ("shape",))
_define("slice", 1, "layout", _slice, ("start", "stop", "step"))
_define("pad", 1, "layout", _pad, ("low", "high", "interior", "value"))
_define("concatenate", None, "layout", _concatenate, ("axis",))
_define("flip", 1, "layout", _flip, ("axes",))

# Reductions.
_define("reduce_sum reduce_product", 1, "reduction", _reduce("iuf", empty=True), ("axes",))
_define("reduce_max reduce_min", 1, "reduction", _reduce("biuf", empty=False), ("axes",))
_define("argmax argmin", 1, "reduction", _argument, ("axis",), differentiable=False)
_define("cumulative_sum", 1, "reduction", _cumulative_sum, ("axis", "reverse"))

# Matrices and indexing.
_define("matmul", 2, "matmul", _matmul)
_define("take", 2, "index", _take, ("axis",))
_define("scatter_add", 3, "index", _scatter_add, ("axis",))
_define("argsort", 1, "index", _argsort, ("axis",), differentiable=False)

# Sliding windows over (N, *S, C). The three convolutions are linear in each input, and each is the
# derivative of the others; so are the sums. ``window_gather`` takes, and ``window_scatter`` adds
# to, the place where ``window_max`` finds the (first) largest element.
_MOVES = ("strides", "padding", "dilation")
_define("convolution", 2, "window", _window(windows.convolution), (*_MOVES, "groups"))
_define(
    "convolution_input_gradient",
    2,
    "window",
    _window(windows.convolution_input_gradient),
    ("spatial", *_MOVES, "groups"),
)
_define(
    "convolution_kernel_gradient",
    2,
    "window",
    _window(windows.convolution_kernel_gradient),
    ("window", *_MOVES, "groups"),
)
_define("window_sum", 1, "window", _window(windows.window_sum), ("window", *_MOVES))
_define("window_max", 1, "window", _window(windows.window_max), ("window", *_MOVES))
_define("window_gather", 2, "window", _window(windows.window_gather), ("window", *_MOVES))
_define("window_scatter", 2, "window", _window(windows.window_scatter), ("window", *_MOVES))

# Loops.
_define(
    "scan",
    None,
    "loop",
    lambda name: scan_types,
    ("body", "carried", "scanned", "length", "reverse"),
)
