"""Elementwise primitives as instructions: one row each, for floats, integers and booleans."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.backends.cpu.ir import BYTES, SCALARS, Function, Register, constant
from chainrule.backends.cpu.vector_math import EMITTERS
from chainrule.graph.operand import Attributes

# emit(function, dtype of the first numeric input, attributes, *inputs) -> output
Emitter = Callable[..., Register]
DType = np.dtype[Any]


def _by_kind(floating: str, signed: str, unsigned: str | None = None) -> Emitter:
    def emit(
        f: Function, dtype: DType, attributes: Attributes, x: Register, y: Register
    ) -> Register:
        kinds = {"f": floating, "i": signed, "u": unsigned or signed, "b": signed}
        return f.binary(kinds[dtype.kind], x, y)

    return emit


def _compare(floating: str, signed: str, unsigned: str) -> Emitter:
    def emit(
        f: Function, dtype: DType, attributes: Attributes, x: Register, y: Register
    ) -> Register:
        kinds = {"f": f"fcmp {floating}", "i": f"icmp {signed}"}
        return f.compare(kinds.get(dtype.kind, f"icmp {unsigned}"), x, y)

    return emit


def _shift(left: bool) -> Emitter:
    def emit(
        f: Function, dtype: DType, attributes: Attributes, x: Register, y: Register
    ) -> Register:
        # LLVM leaves shifts by the width or more undefined; NumPy gives 0, or the sign.
        bits = 8 * BYTES[x.scalar]
        inside = f.compare("icmp ult", y, constant(bits, x.scalar, x.lanes))
        if not left and dtype.kind == "i":
            last = constant(bits - 1, x.scalar, x.lanes)
            return f.binary("ashr", x, f.select(inside, y, last))
        zero = constant(0, x.scalar, x.lanes)
        moved = f.binary("shl" if left else "lshr", x, f.select(inside, y, zero))
        return f.select(inside, moved, zero)

    return emit


def _extreme(name: str) -> Emitter:
    def emit(
        f: Function, dtype: DType, attributes: Attributes, x: Register, y: Register
    ) -> Register:
        if dtype.kind == "f":
            return EMITTERS[name](f, x, y)
        order = "gt" if name == "maximum" else "lt"
        sign = "s" if dtype.kind == "i" else "u"
        return f.select(f.compare(f"icmp {sign}{order}", x, y), x, y)

    return emit


def _floor_divide(
    f: Function, dtype: DType, attributes: Attributes, x: Register, y: Register
) -> Register:
    if dtype.kind == "f":
        return EMITTERS["floor_divide"](f, x, y)
    quotient, rest_matters = _divide(f, dtype, x, y)
    if rest_matters is None:
        return quotient
    return f.select(
        rest_matters, f.binary("sub", quotient, constant(1, x.scalar, x.lanes)), quotient
    )


def _remainder(
    f: Function, dtype: DType, attributes: Attributes, x: Register, y: Register
) -> Register:
    if dtype.kind == "f":
        return EMITTERS["remainder"](f, x, y)
    quotient = _floor_divide(f, dtype, attributes, x, y)
    return f.binary("sub", x, f.binary("mul", quotient, y))


def _divide(
    f: Function, dtype: DType, x: Register, y: Register
) -> tuple[Register, Register | None]:
    """Division towards zero, and where it lies one above the floor. Divisors of 0 were refused
    before.
    """
    if dtype.kind == "u":
        return f.binary("udiv", x, y), None
    one, zero = constant(1, x.scalar, x.lanes), constant(0, x.scalar, x.lanes)
    minus = f.compare("icmp eq", y, constant(-1, x.scalar, x.lanes))
    # The smallest integer divided by -1 traps: that quotient is a negation.
    quotient = f.binary("sdiv", x, f.select(minus, one, y))
    quotient = f.select(minus, f.binary("sub", zero, x), quotient)
    rest = f.binary("sub", x, f.binary("mul", quotient, y))
    signs = f.compare("icmp slt", f.binary("xor", rest, y), zero)
    return quotient, f.binary("and", f.compare("icmp ne", rest, zero), signs)


def _select(
    f: Function, dtype: DType, attributes: Attributes, condition: Register, x: Register, y: Register
) -> Register:
    return f.select(condition, x, y)


def _negative(f: Function, dtype: DType, attributes: Attributes, x: Register) -> Register:
    if dtype.kind == "f":
        return f.negative(x)
    return f.binary("sub", constant(0, x.scalar, x.lanes), x)


def _abs(f: Function, dtype: DType, attributes: Attributes, x: Register) -> Register:
    if dtype.kind == "f":
        return f.intrinsic("fabs", x)
    negative = f.compare("icmp slt", x, constant(0, x.scalar, x.lanes))
    return f.select(negative, _negative(f, dtype, attributes, x), x)


def _sign(f: Function, dtype: DType, attributes: Attributes, x: Register) -> Register:
    if dtype.kind == "f":
        return EMITTERS["sign"](f, x)
    zero = constant(0, x.scalar, x.lanes)
    above = f.cast("zext", f.compare("icmp sgt", x, zero), x.scalar)
    below = f.cast("sext", f.compare("icmp slt", x, zero), x.scalar)
    return f.binary("or", above, below)


def _logical_not(f: Function, dtype: DType, attributes: Attributes, x: Register) -> Register:
    return f.binary("xor", x, constant(1, "i1", x.lanes))


def _identity(f: Function, dtype: DType, attributes: Attributes, x: Register) -> Register:
    return x


def _math(name: str) -> Emitter:
    def emit(f: Function, dtype: DType, attributes: Attributes, *inputs: Register) -> Register:
        return EMITTERS[name](f, *inputs)

    return emit


def convert(f: Function, source: DType, target: DType, x: Register) -> Register:
    """``x`` of one dtype as another; floats out of an integer's range go to its nearest end, NaN to
    0.
    """
    scalar = SCALARS[target.name]
    if source == target:
        return x
    if target.kind == "b":
        zero = constant(0, x.scalar, x.lanes)
        return f.compare("fcmp une" if source.kind == "f" else "icmp ne", x, zero)
    if source.kind == "f" and target.kind == "f":
        return f.cast("fpext" if target.itemsize > source.itemsize else "fptrunc", x, scalar)
    if source.kind == "f":
        return f.saturating_integer(x, scalar, signed=target.kind == "i")
    if target.kind == "f":
        return f.cast("sitofp" if source.kind == "i" else "uitofp", x, scalar)
    if source.kind != "b" and target.itemsize == source.itemsize:
        return x._replace(scalar=scalar)
    if source.kind == "b" or target.itemsize > source.itemsize:
        return f.cast("sext" if source.kind == "i" else "zext", x, scalar)
    return f.cast("trunc", x, scalar)


def _convert(f: Function, dtype: DType, attributes: Attributes, x: Register) -> Register:
    return convert(f, dtype, attributes["dtype"], x)


ELEMENTWISE: dict[str, Emitter] = {
    "add": _by_kind("fadd", "add"),
    "subtract": _by_kind("fsub", "sub"),
    "multiply": _by_kind("fmul", "mul"),
    "divide": _by_kind("fdiv", "sdiv"),
    "bitwise_and": _by_kind("", "and"),
    "bitwise_or": _by_kind("", "or"),
    "bitwise_xor": _by_kind("", "xor"),
    "equal": _compare("oeq", "eq", "eq"),
    "not_equal": _compare("une", "ne", "ne"),
    "less": _compare("olt", "slt", "ult"),
    "less_equal": _compare("ole", "sle", "ule"),
    "shift_left": _shift(left=True),
    "shift_right": _shift(left=False),
    "maximum": _extreme("maximum"),
    "minimum": _extreme("minimum"),
    "floor_divide": _floor_divide,
    "remainder": _remainder,
    "select": _select,
    "negative": _negative,
    "abs": _abs,
    "sign": _sign,
    "logical_not": _logical_not,
    "stop_gradient": _identity,
    "convert": _convert,
}
for _name in [
    "exp",
    "log",
    "log1p",
    "expm1",
    "sqrt",
    "rsqrt",
    "tanh",
    "sigmoid",
    "erf",
    "sin",
    "cos",
    "floor",
    "ceil",
    "round",
    "is_finite",
    "power",
]:
    ELEMENTWISE[_name] = _math(_name)
