"""What the vector functions share: number formats, polynomials, limits, calls lane by lane."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple

from chainrule.backends.cpu.ir import Function, Register, constant

Emitter = Callable[..., Register]


class Format(NamedTuple):
    """One floating format as bits.

    Attributes:
        integer: the integer type of equal width.
        fraction: number of bits of the fraction.
        bias: what is added to the exponent.
        rounder: adding it rounds a small number to the nearest whole number, which then stands in
            the lowest bits.
        smallest: the smallest normal number.
    """

    integer: str
    fraction: int
    bias: int
    rounder: float
    smallest: float


FORMATS = {
    "float": Format("i32", 23, 127, 1.5 * 2.0**23, 2.0**-126),
    "double": Format("i64", 52, 1023, 1.5 * 2.0**52, 2.0**-1022),
}


def like(x: Register, value: float) -> Register:
    """A constant of x's type."""
    return constant(value, x.scalar, x.lanes)


def constant_value(x: Register) -> float | None:
    """The number that a constant stands for; None for what is computed."""
    if x.text.startswith("%"):
        return None
    digits = x.text.rstrip(")").rpartition("0x")[2]
    value: float = struct.unpack(">d", bytes.fromhex(digits))[0]
    return value


def polynomial(f: Function, x: Register, coefficients: Sequence[float]) -> Register:
    """c0 + c1 x + c2 x^2 + ... by Horner's rule."""
    result = like(x, coefficients[-1])
    for c in coefficients[-2::-1]:
        result = f.fma(result, x, like(x, c))
    return result


def bits(f: Function, x: Register) -> Register:
    """The bits of a floating value."""
    return f.cast("bitcast", x, FORMATS[x.scalar].integer)


def at_most(f: Function, x: Register, limit: float) -> Register:
    """The smaller of x and the limit; NaN stays."""
    return f.select(f.compare("fcmp olt", like(x, limit), x), like(x, limit), x)


def at_least(f: Function, x: Register, limit: float) -> Register:
    """The larger of x and the limit; NaN stays."""
    return f.select(f.compare("fcmp ogt", like(x, limit), x), like(x, limit), x)


def magnitude(f: Function, x: Register) -> Register:
    """|x|."""
    return f.intrinsic("fabs", x)


def copy_sign(f: Function, x: Register, sign: Register) -> Register:
    """|x| with the sign of the other."""
    return f.intrinsic("copysign", x, sign)


def lane_by_lane(
    f: Function,
    symbols: tuple[str, str],
    x: Sequence[Register],
    where: Register | None = None,
    otherwise: Register | None = None,
) -> Register:
    """Call a function of the C library for each lane.

    Args:
        f: the function under construction.
        symbols: the names for float32 and for float64.
        x: the arguments.
        where: the lanes that need it, which are few; if there is none, nothing is called.
        otherwise: the result of the other lanes.
    """
    first = x[0]
    symbol = symbols[first.scalar == "double"]
    f.declarations.add(f"declare {first.scalar} @{symbol}({', '.join(a.scalar for a in x)})")
    start = like(first, 0.0) if otherwise is None else otherwise
    stop: Register | int = first.lanes
    if where is not None:
        stop = f.select(_any(f, where), constant(first.lanes, "i64"), constant(0, "i64"))
    with f.loop(0, stop, carried=[start]) as loop:
        arguments = ", ".join(str(_lane(f, a, loop.index)) for a in x)
        rare = "" if where is None else " cold"
        value = f.emit(f"call {first.scalar} @{symbol}({arguments}){rare}", first.scalar)
        if where is not None:
            value = f.select(_lane(f, where, loop.index), value, _lane(f, start, loop.index))
        loop.next = [_with_lane(f, loop.values[0], value, loop.index)]
    return loop.results[0]


def _any(f: Function, x: Register) -> Register:
    if x.lanes == 1:
        return x
    name = f"llvm.vector.reduce.or.v{x.lanes}i1"
    f.declarations.add(f"declare i1 @{name}({x.type})")
    return f.emit(f"call i1 @{name}({x})", "i1")


def _lane(f: Function, x: Register, index: Register) -> Register:
    return x if x.lanes == 1 else f.emit(f"extractelement {x}, {index}", x.scalar)


def _with_lane(f: Function, x: Register, value: Register, index: Register) -> Register:
    if x.lanes == 1:
        return value
    return f.emit(f"insertelement {x}, {value}, {index}", x.scalar, x.lanes)
