"""exp, expm1, sigmoid, tanh, log, log1p, erf and power as IR, float32 and float64, any lane count.

The two formats share the code; limits and polynomials differ. The polynomials are minimax fits
(Remez's exchange), their coefficients listed from the constant term up. Numbers below the smallest
normal one count as zero, as they do in a compiled program.
"""

from __future__ import annotations

import math

from chainrule.backends.cpu.ir import Function, Register, constant
from chainrule.backends.cpu.vector_parts import (
    FORMATS,
    at_least,
    at_most,
    bits,
    constant_value,
    copy_sign,
    lane_by_lane,
    like,
    magnitude,
    polynomial,
)

_LOG2_E = 1 / math.log(2)
# log(2) as a sum of two numbers of the format.
_LOG_2 = {
    "float": (0.69314718246459961, -1.9046542121259336e-09),
    "double": (0.69314718055994529, 2.3190468138462996e-17),
}

# ---- the exponential family

# Beyond these exp is 0 or infinite.
_EXP_RANGE = {"float": (-88.0, 89.0), "double": (-709.0, 710.0)}
# exp(r) = 1 + r P(r) for r from 0 to log(2).
_EXP = {
    "float": (
        0.99999982118606567, 0.50000554323196411, 0.16661170125007629, 0.041911043226718903,
        0.0077968547120690346, 0.0019467771053314209,
    ),
    "double": (
        1.0000000000000009, 0.49999999999992212, 0.16666666666901089, 0.041666666631672178,
        0.0083333336353028052, 0.0013888872582570463, 0.00019841843861758202,
        2.4788225555186467e-05, 2.7760731812976279e-06, 2.5622251282849654e-07,
        3.5296880655740393e-08,
    ),
}  # fmt: skip
# exp(r) - 1 = r + r^2 P(r) for |r| up to log(2) / 2.
_EXPM1_RANGE = {"float": (-18.0, 89.0), "double": (-38.0, 710.0)}
_EXPM1 = {
    "float": (
        0.49999997019767761, 0.16666543483734131, 0.04166720062494278, 0.0083665167912840843,
        0.0013882511993870139,
    ),
    "double": (
        0.5, 0.16666666666666677, 0.041666666666666512, 0.0083333333333216984,
        0.0013888888888962361, 0.00019841269885946612, 2.4801587172519636e-05,
        2.7557244395738745e-06, 2.7557402680774673e-07, 2.5108970696200689e-08,
        2.0875312286950676e-09,
    ),
}  # fmt: skip
# (exp(2 r) - 1) / 2 = r + r^2 P(r) for |r| up to log(2) / 4; from the limit on tanh is 1.
_TANH_LIMIT = {"float": 9.1, "double": 20.0}
_TANH = {
    "float": (
        0.99999994039535522, 0.66666173934936523, 0.33333760499954224, 0.13386429846286774,
        0.044424034655094147,
    ),
    "double": (
        1.0, 0.66666666666666707, 0.33333333333333209, 0.13333333333314712,
        0.044444444444679612, 0.012698412727010775, 0.0031746031580796477,
        0.0007054654563099608, 0.0001410939017750678, 2.5711589352507292e-05,
        4.2752639372391677e-06,
    ),
}  # fmt: skip


def _whole_parts(
    f: Function, x: Register, scale: float, shift: float, bias: int
) -> tuple[Register, Register]:
    """n = round(scale * x + shift), and the number with the exponent field n + bias.

    That number is a power of two; 0 for the lowest field, infinity for the highest.
    """
    form = FORMATS[x.scalar]
    rounder = like(x, form.rounder + bias)
    if shift:
        moved = f.binary("fadd", f.fma(x, like(x, scale), like(x, shift)), rounder)
    else:
        moved = f.fma(x, like(x, scale), rounder)
    power = f.binary("shl", bits(f, moved), constant(form.fraction, form.integer, x.lanes))
    return f.binary("fsub", moved, rounder), f.cast("bitcast", power, x.scalar)


def _remainder(f: Function, x: Register, n: Register, multiple: float = 1.0) -> Register:
    """x - n log(2) * multiple; the multiple is a power of two."""
    high, low = _LOG_2[x.scalar]
    x = f.fma(n, like(x, -high * multiple), x)
    return f.fma(n, like(x, -low * multiple), x)


def _exponential(f: Function, x: Register, *, negated: bool) -> tuple[Register, Register]:
    """exp(x), or exp(-x), as two factors: one from 1 to 2, and a power of two, 0 or infinity.

    x is log(2) times a whole number, rounded down, plus a rest: then the power of two reaches 0 and
    infinity just where the result does.
    """
    low, high = _EXP_RANGE[x.scalar]
    if negated:
        x = f.negative(at_least(f, at_most(f, x, -low), -high))
    else:
        x = at_least(f, at_most(f, x, high), low)
    form = FORMATS[x.scalar]
    just_below_half = 0.5 - 2.0 ** -(form.fraction + 2)
    n, power = _whole_parts(f, x, _LOG2_E, -just_below_half, form.bias)
    rest = _remainder(f, x, n)
    return f.fma(rest, polynomial(f, rest, _EXP[x.scalar]), like(x, 1.0)), power


def exp(f: Function, x: Register) -> Register:
    """e^x."""
    factor, power = _exponential(f, x, negated=False)
    return f.binary("fmul", factor, power)


def sigmoid(f: Function, x: Register) -> Register:
    """1 / (1 + exp(-x))."""
    factor, power = _exponential(f, x, negated=True)
    one = like(x, 1.0)
    return f.binary("fdiv", one, f.fma(factor, power, one))


def expm1(f: Function, x: Register) -> Register:
    """e^x - 1, without losing digits near 0."""
    low, high = _EXPM1_RANGE[x.scalar]
    rest = at_least(f, at_most(f, x, high), low)
    # Half the power of two, so that the largest results do not overflow on the way.
    n, half = _whole_parts(f, rest, _LOG2_E, 0.0, FORMATS[x.scalar].bias - 1)
    rest = _remainder(f, rest, n)
    square = f.binary("fmul", rest, rest)
    small = f.fma(square, polynomial(f, rest, _EXPM1[x.scalar]), rest)
    large = f.fma(half, small, f.binary("fadd", half, like(x, -0.5)))
    large = f.binary("fadd", large, large)
    result = f.select(f.compare("fcmp oeq", n, like(x, 0.0)), small, large)
    return copy_sign(f, result, x)


def tanh(f: Function, x: Register) -> Register:
    """h / (h + 1) with h = (exp(2 |x|) - 1) / 2, and x's sign."""
    size = at_most(f, magnitude(f, x), _TANH_LIMIT[x.scalar])
    n, power = _whole_parts(f, size, 2 * _LOG2_E, 0.0, FORMATS[x.scalar].bias)
    rest = _remainder(f, size, n, 0.5)
    square = f.binary("fmul", rest, rest)
    small = f.fma(square, polynomial(f, rest, _TANH[x.scalar]), rest)
    half = f.fma(power, small, f.fma(power, like(x, 0.5), like(x, -0.5)))
    result = f.binary("fdiv", half, f.binary("fadd", half, like(x, 1.0)))
    return copy_sign(f, result, x)


# ---- the logarithms

_SQRT_HALF_BITS = {"float": 0x3F3504F3, "double": 0x3FE6A09E667F3BCD}
# log(1 + r) = r - r^2 / 2 + r^3 P(r) for 1 + r from sqrt(1/2) to sqrt(2).
_LOG = (
    0.33333331346511841, -0.25000819563865662, 0.20001226663589478, -0.16623358428478241,
    0.14201760292053223, -0.13160176575183868, 0.12761576473712921, -0.076345264911651611,
)  # fmt: skip
# log(1 + r) = r - r^2 / 2 + s (r^2 / 2 + s^2 P(s^2)) with s = r / (2 + r): fdlibm's e_log.c (Sun
# Microsystems, 1993).
_LOG_WIDE = (
    6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01,
    2.222219843214978396e-01, 1.818357216161805012e-01, 1.531383769920937332e-01,
    1.479819860511658591e-01,
)  # fmt: skip


def _split(f: Function, x: Register) -> tuple[Register, Register, Register]:
    """x = 2^k (1 + r), 1 + r from sqrt(1/2) to sqrt(2): k, r, and k plus the bias as an integer."""
    form = FORMATS[x.scalar]

    def whole(value: int) -> Register:
        return constant(value, form.integer, x.lanes)

    start = _SQRT_HALF_BITS[x.scalar]
    moved = f.binary("add", bits(f, x), whole((form.bias << form.fraction) - start))
    exponent = f.binary("lshr", moved, whole(form.fraction))
    # The exponent as the low bits of 2^fraction, from which it is read by a subtraction.
    base = 2.0**form.fraction
    base_bits = (form.bias + form.fraction) << form.fraction
    k = f.cast("bitcast", f.binary("or", exponent, whole(base_bits)), x.scalar)
    k = f.binary("fsub", k, like(x, base + form.bias))
    m = f.binary("add", f.binary("and", moved, whole((1 << form.fraction) - 1)), whole(start))
    r = f.binary("fsub", f.cast("bitcast", m, x.scalar), like(x, 1.0))
    return k, r, exponent


def _log_of_parts(f: Function, k: Register, r: Register) -> Register:
    """k log(2) + log(1 + r)."""
    high, low = (like(r, part) for part in _LOG_2[r.scalar])
    square = f.binary("fmul", r, r)
    if r.scalar == "float":
        cube = f.binary("fmul", square, r)
        rest = f.fma(cube, polynomial(f, r, _LOG), f.binary("fmul", k, low))
        rest = f.fma(square, like(r, -0.5), rest)
    else:
        s = f.binary("fdiv", r, f.binary("fadd", r, like(r, 2.0)))
        z = f.binary("fmul", s, s)
        half = f.binary("fmul", square, like(r, 0.5))
        sum_ = f.fma(z, polynomial(f, z, _LOG_WIDE), half)
        rest = f.fma(s, sum_, f.fma(k, low, f.negative(half)))
    return f.fma(k, high, f.binary("fadd", r, rest))


def _below_domain(f: Function, x: Register) -> Register:
    """log where x is not positive: minus infinity at zero, else NaN."""
    negative = f.compare("fcmp olt", x, like(x, 0.0))
    return f.select(negative, like(x, math.nan), like(x, -math.inf))


def log(f: Function, x: Register) -> Register:
    """The natural logarithm."""
    k, r, _ = _split(f, x)
    result = _log_of_parts(f, k, r)
    result = f.select(f.compare("fcmp olt", x, like(x, math.inf)), result, x)
    tiny = f.compare("fcmp olt", x, like(x, FORMATS[x.scalar].smallest))
    return f.select(tiny, _below_domain(f, x), result)


def log1p(f: Function, x: Register) -> Register:
    """log(1 + x), without losing digits near 0."""
    form = FORMATS[x.scalar]
    one = like(x, 1.0)
    total = f.binary("fadd", x, one)
    k, _, exponent = _split(f, total)
    # r = (1 + x) / 2^k - 1 from x itself, so that the digits that the sum lost count. Four times
    # 1 / 2^k is a normal number for every k.
    scale = f.binary("sub", constant(2 * form.bias + 2, form.integer, x.lanes), exponent)
    scale = f.binary("shl", scale, constant(form.fraction, form.integer, x.lanes))
    scale = f.cast("bitcast", scale, x.scalar)
    quarter = like(x, 0.25)
    r = f.fma(f.binary("fmul", x, quarter), scale, f.fma(scale, quarter, like(x, -1.0)))
    result = _log_of_parts(f, k, r)
    result = f.select(f.compare("fcmp olt", total, like(x, math.inf)), result, x)
    result = f.select(f.compare("fcmp oeq", total, one), x, result)
    outside = f.compare("fcmp ole", total, like(x, 0.0))
    return f.select(outside, _below_domain(f, total), result)


# ---- the error function

# x + x P(x^2) up to the border; 1 - 2^(a P(a)), a = |x|, beyond; 2^g = P(g) for |g| up to 1/2.
_ERF_BORDER = 0.921875
_ERF_NEAR = (
    0.12837915122509003, -0.37612494826316833, 0.1128181591629982, -0.026766613125801086,
    0.00499317841604352, -0.00059908482944592834,
)  # fmt: skip
_ERF_FAR = (
    -1.6281012296676636, -0.91715043783187866, -0.15185706317424774, 0.033020880073308945,
    -0.004637464415282011, 0.00030862560379318893,
)  # fmt: skip
_POWER_OF_TWO = (
    1.0, 0.69314694404602051, 0.24022120237350464, 0.055507134646177292,
    0.0096755428239703178, 0.0013276472454890609,
)  # fmt: skip


def erf(f: Function, x: Register) -> Register:
    """2 / sqrt(pi) * integral of exp(-t^2) from 0 to x."""
    if x.scalar == "double":
        return lane_by_lane(f, ("erf", "erf"), [x])
    size = at_most(f, magnitude(f, x), 4.0)
    near = f.fma(size, polynomial(f, f.binary("fmul", size, size), _ERF_NEAR), size)
    exponent = f.binary("fmul", size, polynomial(f, size, _ERF_FAR))
    n, power = _whole_parts(f, exponent, 1.0, 0.0, FORMATS[x.scalar].bias)
    rest = polynomial(f, f.binary("fsub", exponent, n), _POWER_OF_TWO)
    far = f.fma(f.negative(rest), power, like(x, 1.0))
    is_far = f.compare("fcmp ogt", size, like(x, _ERF_BORDER))
    return copy_sign(f, f.select(is_far, far, near), x)


# ---- powers

# log2(1 + r) = s P(s^2) with s = r / (2 + r), and 2^g = P(g) for |g| up to 1/2, both in float64.
_LOG2 = (
    2.8853900817901805, 0.96179667326065588, 0.57708359803197107, 0.41167202530684438,
    0.34074173395437035,
)  # fmt: skip
_EXP2 = (
    1.0000000005539711, 0.69314720573801514, 0.24022646891702618, 0.055503287769602984,
    0.0096184888436524184, 0.0013399931197528758, 0.0001534584218086815,
)  # fmt: skip


def power(f: Function, x: Register, y: Register) -> Register:
    """x^y with the special cases of IEEE 754's pow; float32 by way of float64 lanes."""
    simple = _simple_power(f, x, y)
    if simple is not None:
        return simple
    if x.scalar == "double":
        return lane_by_lane(f, ("pow", "pow"), [x, y])
    zero = like(x, 0.0)
    size = magnitude(f, x)
    exponent = f.binary("fmul", f.cast("fpext", y, "double"), _log2_wide(f, size))
    unit = f.binary("or", f.compare("fcmp oeq", size, like(x, 1.0)), f.compare("fcmp oeq", y, zero))
    exponent = f.select(unit, like(exponent, 0.0), exponent)
    exponent = at_least(f, at_most(f, exponent, 200.0), -200.0)
    n, factor = _whole_parts(f, exponent, 1.0, 0.0, FORMATS["double"].bias)
    rest = polynomial(f, f.binary("fsub", exponent, n), _EXP2)
    result = f.cast("fptrunc", f.binary("fmul", rest, factor), "float")
    return _signed_power(f, x, y, size, result)


def _log2_wide(f: Function, size: Register) -> Register:
    """log2 of a float32 that is not negative, in float64."""
    k, r, _ = _split(f, size)
    wide = f.cast("fpext", r, "double")
    s = f.binary("fdiv", wide, f.binary("fadd", wide, like(wide, 2.0)))
    result = polynomial(f, f.binary("fmul", s, s), _LOG2)
    result = f.fma(s, result, f.cast("fpext", k, "double"))
    tiny = f.compare("fcmp olt", size, like(size, FORMATS["float"].smallest))
    result = f.select(tiny, like(result, -math.inf), result)
    finite = f.compare("fcmp olt", size, like(size, math.inf))
    return f.select(finite, result, f.cast("fpext", size, "double"))


def _signed_power(
    f: Function, x: Register, y: Register, size: Register, result: Register
) -> Register:
    """The sign of x^y, given |x|^y: that of x for odd y; NaN for a negative base and a broken y."""
    half = f.binary("fmul", y, like(y, 0.5))
    broken = f.compare("fcmp une", f.intrinsic("rint", y), y)
    halved_broken = f.compare("fcmp une", f.intrinsic("rint", half), half)
    result = f.select(
        f.binary("and", halved_broken, f.binary("xor", broken, constant(1, "i1", x.lanes))),
        copy_sign(f, result, x),
        result,
    )
    negative = f.binary(
        "and",
        f.compare("fcmp olt", x, like(x, 0.0)),
        f.compare("fcmp olt", size, like(x, math.inf)),
    )
    return f.select(f.binary("and", negative, broken), like(x, math.nan), result)


def _simple_power(f: Function, x: Register, y: Register) -> Register | None:
    """x^y for the constant exponents that need only multiplication, division or a square root."""
    exponent = constant_value(y)
    if exponent == 2:
        return f.binary("fmul", x, x)
    if exponent == 3:
        return f.binary("fmul", x, f.binary("fmul", x, x))
    if exponent == -1:
        return f.binary("fdiv", like(x, 1.0), x)
    if exponent == 0.5:
        # -0 becomes 0, and minus infinity infinity.
        root = f.intrinsic("sqrt", f.binary("fadd", x, like(x, 0.0)))
        low = f.compare("fcmp oeq", x, like(x, -math.inf))
        return f.select(low, like(x, math.inf), root)
    return None
