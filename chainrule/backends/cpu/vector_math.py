"""Elementwise primitives of floating values as IR: ``EMITTERS[name](f, *x)`` appends one.

The same operations run for every number of lanes, so the bits do not depend on it. Nothing is
approximated by rcp14 or rsqrt14; numbers below the smallest normal one may count as zero.

Largest errors in units in the last place, float32 measured at every float against float64,
float64 at samples of the whole range against long double:

=======  ===  ===  =====  =====  =====  ====  =======  ===  ===  ===  =====
format   exp  log  log1p  expm1  rsqrt  tanh  sigmoid  erf  sin  cos  power
=======  ===  ===  =====  =====  =====  ====  =======  ===  ===  ===  =====
float32  1.5  0.9  1.5    1.6    1.5    2.6   2.6      1.6  1.9  2.0  0.6
float64  1.8  0.9  1.4    1.9    1.5    2.6   2.7      1.1  1.7  1.8  0.6
=======  ===  ===  =====  =====  =====  ====  =======  ===  ===  ===  =====

power is sampled in float32 too. sqrt is correctly rounded; the rest is exact, floor_divide while
its quotient is a whole number of the format.
erf and power in float64, large arguments of sin and cos, and large quotients of remainder are
calls of the C library.
"""

from __future__ import annotations

import math

from chainrule.backends.cpu.ir import Function, Register, constant
from chainrule.backends.cpu.vector_exponential import (
    erf,
    exp,
    expm1,
    log,
    log1p,
    power,
    sigmoid,
    tanh,
)
from chainrule.backends.cpu.vector_parts import (
    FORMATS,
    Emitter,
    at_most,
    bits,
    constant_value,
    copy_sign,
    lane_by_lane,
    like,
    magnitude,
    polynomial,
)

__all__ = ["EMITTERS", "Emitter"]


# ---- sine and cosine

# sin(r) = r + r z P(z), z = r^2, for |r| up to pi / 2.
_SINE = {
    "float": (
        -0.16666656732559204, 0.008333049714565277, -0.00019809434888884425,
        2.6057214199681766e-06,
    ),
    "double": (
        -0.16666666666666666, 0.0083333333333331944, -0.00019841269841209205,
        2.7557319211134628e-06, -2.5052106872559972e-08, 1.605893969376838e-10,
        -7.6429911753923385e-13, 2.7211716754486032e-15,
    ),
}  # fmt: skip
# pi as a sum of three numbers of the format, all positive: 0 times them keeps the sign of a zero.
_PI = {
    "float": (3.1415925025939941, 1.5099578831723193e-07, 1.078060505991553e-14),
    "double": (3.1415926535897931, 1.2246467991473530e-16, 2.1657133478438278e-32),
}
# Beyond this size the C library's function is called.
_LARGE = {"float": 1e5, "double": 1e9}


def sin(f: Function, x: Register) -> Register:
    """The sine: x less the nearest multiple n of pi, with the sign changed for odd n."""
    form = FORMATS[x.scalar]
    rounder = like(x, form.rounder)
    moved = f.fma(x, like(x, 1 / math.pi), rounder)
    result = _sine_of_rest(f, x, f.binary("fsub", moved, rounder), moved)
    return lane_by_lane(f, ("sinf", "sin"), [x], where=_large(f, x), otherwise=result)


def cos(f: Function, x: Register) -> Register:
    """The cosine: as the sine, with n + 1/2 for n."""
    # The odd rounder makes the sign change for even n.
    rounder = like(x, FORMATS[x.scalar].rounder + 1)
    moved = f.fma(x, like(x, 1 / math.pi), like(x, -0.5))
    moved = f.binary("fadd", moved, rounder)
    n = f.binary("fadd", f.binary("fsub", moved, rounder), like(x, 0.5))
    result = _sine_of_rest(f, x, n, moved)
    return lane_by_lane(f, ("cosf", "cos"), [x], where=_large(f, x), otherwise=result)


def _sine_of_rest(f: Function, x: Register, n: Register, moved: Register) -> Register:
    """Sin(x - n pi), negated if the lowest bit of ``moved`` is set."""
    rest = x
    for part in _PI[x.scalar]:
        rest = f.fma(n, like(x, -part), rest)
    square = f.binary("fmul", rest, rest)
    factor = polynomial(f, square, _SINE[x.scalar])
    sine = f.fma(f.binary("fmul", square, rest), factor, rest)
    if x.scalar == "double":
        # Rounding can lift it above 1; in float32 it does for no number at all.
        sine = at_most(f, magnitude(f, sine), 1.0)
    # The sign is that of the rest, also where the sum above turns -0 into 0.
    form = FORMATS[x.scalar]
    width = constant(31 if x.scalar == "float" else 63, form.integer, x.lanes)
    sign = f.binary("xor", f.binary("shl", bits(f, moved), width), bits(f, rest))
    return copy_sign(f, sine, f.cast("bitcast", sign, x.scalar))


def _large(f: Function, x: Register) -> Register:
    return f.compare("fcmp ogt", magnitude(f, x), like(x, _LARGE[x.scalar]))


# ---- roots, rounding, signs


def sqrt(f: Function, x: Register) -> Register:
    """The square root, correctly rounded."""
    return f.intrinsic("sqrt", x)


def rsqrt(f: Function, x: Register) -> Register:
    """1 / sqrt(x)."""
    return f.binary("fdiv", like(x, 1.0), f.intrinsic("sqrt", x))


def floor(f: Function, x: Register) -> Register:
    """The largest whole number not above x."""
    return f.intrinsic("floor", x)


def ceil(f: Function, x: Register) -> Register:
    """The smallest whole number not below x."""
    return f.intrinsic("ceil", x)


def round(f: Function, x: Register) -> Register:
    """The nearest whole number, halves to the even one."""
    return f.intrinsic("rint", x)


def negative(f: Function, x: Register) -> Register:
    """-x."""
    return f.negative(x)


def sign(f: Function, x: Register) -> Register:
    """-1, 0 or 1; NaN stays."""
    unequal = f.compare("fcmp one", x, like(x, 0.0))
    return f.select(unequal, copy_sign(f, like(x, 1.0), x), magnitude(f, x))


def is_finite(f: Function, x: Register) -> Register:
    """Whether x is neither infinite nor NaN."""
    return f.compare("fcmp olt", magnitude(f, x), like(x, math.inf))


# ---- the larger and the smaller


def _choice(comparison: str) -> Emitter:
    """x where the comparison with y holds, else y; NaN wins."""

    def emit(f: Function, x: Register, y: Register) -> Register:
        if constant_value(x) is not None:
            x, y = y, x
        known = constant_value(y)
        if known is not None and not math.isnan(known):
            # A false comparison gives x: one instruction, NaN included.
            return f.select(f.compare(comparison, y, x), y, x)
        chosen = f.select(f.compare(comparison, x, y), x, y)
        return f.select(f.compare("fcmp uno", x, x), x, chosen)

    return emit


# ---- division with a rest


def _whole_quotient(f: Function, x: Register, y: Register) -> tuple[Register, Register]:
    """q = floor(x / y), at times one too large, and x - q y (exact while q is below 2^fraction)."""
    q = f.intrinsic("floor", f.binary("fdiv", x, y))
    rest = f.fma(f.negative(q), y, x)
    return q, f.select(f.compare("fcmp oeq", q, like(x, 0.0)), x, rest)


def _unlike(f: Function, rest: Register, y: Register) -> Register:
    """Whether the rest is not zero and has the other sign than y."""
    signs = f.binary("xor", bits(f, rest), bits(f, y))
    differ = f.compare("icmp slt", signs, constant(0, signs.scalar, signs.lanes))
    return f.binary("and", differ, f.compare("fcmp one", rest, like(y, 0.0)))


def remainder(f: Function, x: Register, y: Register) -> Register:
    """x - floor(x / y) y, with the sign of y."""
    q, rest = _whole_quotient(f, x, y)
    limit = 2.0 ** FORMATS[x.scalar].fraction
    large = f.compare("fcmp ogt", magnitude(f, q), like(q, limit))
    rest = lane_by_lane(f, ("fmodf", "fmod"), [x, y], where=large, otherwise=rest)
    zero = f.compare("fcmp oeq", rest, like(x, 0.0))
    plain = f.select(zero, copy_sign(f, like(x, 0.0), y), rest)
    return f.select(_unlike(f, rest, y), f.binary("fadd", rest, y), plain)


def floor_divide(f: Function, x: Register, y: Register) -> Register:
    """floor(x / y)."""
    q, rest = _whole_quotient(f, x, y)
    q = f.select(_unlike(f, rest, y), f.binary("fsub", q, like(x, 1.0)), q)
    infinite = f.compare("fcmp oeq", magnitude(f, x), like(x, math.inf))
    undefined = f.binary("and", infinite, f.compare("fcmp une", y, like(x, 0.0)))
    return f.select(undefined, like(x, math.nan), q)


# ---- the table

#: Name of a primitive -> what appends it for floating inputs.
EMITTERS: dict[str, Emitter] = {
    "exp": exp, "log": log, "log1p": log1p, "expm1": expm1, "sqrt": sqrt, "rsqrt": rsqrt,
    "tanh": tanh, "sigmoid": sigmoid, "erf": erf, "sin": sin, "cos": cos, "power": power,
    "floor": floor, "ceil": ceil, "round": round, "abs": magnitude, "sign": sign,
    "negative": negative, "is_finite": is_finite, "maximum": _choice("fcmp ogt"),
    "minimum": _choice("fcmp olt"), "remainder": remainder, "floor_divide": floor_divide,
}  # fmt: skip
