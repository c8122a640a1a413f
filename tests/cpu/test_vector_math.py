"""The vector functions of the CPU back end against wider arithmetic, for every number of lanes."""

import ctypes
import math
import os
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from chainrule.backends.cpu import llvm, vector_exponential
from chainrule.backends.cpu.ir import BYTES, Function, Register, constant
from chainrule.backends.cpu.vector_math import EMITTERS

A = NDArray[Any]
SCALARS = {"float32": "float", "float64": "double"}
# In units in the last place; one more where the expected value is no wider than the found one.
LIMIT = 3.5 if np.finfo(np.longdouble).nmant > 52 else 4.5
X86 = llvm.machine().architecture == "x86_64"
DTYPES = pytest.mark.parametrize("dtype", list(SCALARS))

# Functions with a bound on the error, exact ones, and those of two inputs.
ROUNDED: dict[str, Callable[[A], A]] = {
    "exp": np.exp,
    "log": np.log,
    "log1p": np.log1p,
    "expm1": np.expm1,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "erf": lambda x: np.array([math.erf(v) for v in x]),
    "sin": np.sin,
    "cos": np.cos,
}
EXACT: dict[str, Callable[[A], A]] = {
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.rint,
    "abs": np.abs,
    "sign": np.sign,
    "negative": np.negative,
    "is_finite": np.isfinite,
}
PAIRED = ("power", "maximum", "minimum", "remainder", "floor_divide")
SPECIAL = (
    *(0.0, 0.25, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 7.0, 100.0, 8388607.0, 8388609.0, 16777215.0, 1e10),
    *(1.2e-38, 1e-30, 1e-10, 3e38, 0.99999994, 1.0000001, 88.72283, 88.8, 87.33654, 127.0, 149.0),
    *(np.inf, np.nan, 709.782712893384, 709.8, 708.39, 19.0625, 99999.9, 100001.0, 1e9, 1e20),
)


def text(name: str, scalar: str, lanes: int, second: float | None, flush: bool) -> str:
    """A module with a loop over arrays: addresses of two inputs and of the output, and a length."""
    arguments = [("ptr", "x"), ("ptr", "y"), ("ptr", "out"), ("i64", "count")]
    f = Function("k", arguments, 'nounwind "min-legal-vector-width"="512"')
    x, y, out, count = f.arguments
    if flush:
        state = f.emit("alloca i32", "ptr")
        f.do(f"call void @llvm.x86.sse.stmxcsr({state})")
        before = f.load(state, "i32")
        f.store(f.binary("or", before, constant(0x8040, "i32")), state)
        f.do(f"call void @llvm.x86.sse.ldmxcsr({state})")
        f.declarations |= {f"declare void @llvm.x86.sse.{n}mxcsr(ptr)" for n in ("st", "ld")}
    with f.loop(0, count, lanes) as loop:
        offset = f.binary("mul", loop.index, constant(BYTES[scalar], "i64"))
        values = [f.load(f.at(p, offset), scalar, lanes) for p in (x, y)[: 1 + (name in PAIRED)]]
        if second is not None:
            values[1] = constant(second, scalar, lanes)
        result: Register = EMITTERS[name](f, *values)
        offset = f.binary("mul", loop.index, constant(BYTES[result.scalar], "i64"))
        f.store(result, f.at(out, offset))
    if flush:
        f.store(before, state)
        f.do(f"call void @llvm.x86.sse.ldmxcsr({state})")
    return "\n".join([f.text(), *sorted(f.declarations), ""])


@cache
def kernel(
    name: str, dtype: str, lanes: int, variant: str | None, second: float | None, flush: bool
) -> Callable[..., None]:
    module = text(name, SCALARS[dtype], lanes, second, flush)
    library = llvm.load_object(llvm.compile_object(module, variant), ["k"])
    native = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4)(library.address("k"))

    def run(*arguments: int, keep: Any = library) -> None:
        native(*arguments)

    return run


def apply(
    name: str,
    *x: A,
    lanes: int = 8,
    variant: str | None = None,
    second: float | None = None,
    flush: bool = False,
) -> A:
    """A function of arrays, of any length."""
    size = x[0].size
    padded = [np.resize(a, -(-size // 16) * 16) for a in x]
    out = np.empty(padded[0].size, np.bool_ if name == "is_finite" else x[0].dtype)
    run = kernel(name, x[0].dtype.name, lanes, variant, second, flush)
    run(padded[0].ctypes.data, padded[-1].ctypes.data, out.ctypes.data, out.size)
    return out[:size]


def special(dtype: str) -> A:
    values = np.array(SPECIAL)
    with np.errstate(over="ignore"):
        return np.concatenate([values, -values]).astype(dtype)


def pairs(dtype: str) -> tuple[A, A]:
    """Every special number with every other."""
    first, second = np.meshgrid(special(dtype), special(dtype))
    return first.ravel(), second.ravel()


def of_all_kinds(dtype: str, count: int) -> A:
    """Special numbers; the whole range, at equal steps of the bits; usual sizes."""
    width = np.finfo(dtype).bits
    step = (1 << width) // count | 1
    bits = np.arange(count, dtype=np.uint64) * np.uint64(step) + np.uint64(step // 2)
    generator = np.random.default_rng(7)
    usual = [generator.uniform(-s, s, count // 4) for s in (1e-3, 1, 20, 1000)]
    near_one = 1 + generator.normal(size=count // 4) * 0.1
    zeros_of_sine = np.arange(count // 4) * (np.pi / 2)
    usual_sizes = np.concatenate([*usual, near_one, zeros_of_sine]).astype(dtype)
    floats = bits.astype(f"u{width // 8}").view(dtype)
    floats[np.isnan(floats)] = np.nan  # no signalling ones
    return np.concatenate([special(dtype), floats, usual_sizes])


def errors(found: A, expected: A) -> A:
    """Distance in units in the last place of the expected value; infinite for another kind of
    number.

    Results below the smallest normal number may be zero, so may those beside it. An infinity
    counts as the first number that overflows.
    """
    info = np.finfo(found.dtype)
    smallest, overflow = np.ldexp(np.longdouble(1), [int(info.minexp), int(info.maxexp)])
    rounded, exact = (
        np.clip(a.astype(np.longdouble), -overflow, overflow) for a in (found, expected)
    )
    unit = np.ldexp(
        np.longdouble(1), np.frexp(np.minimum(np.abs(exact), info.max))[1] - info.nmant - 1
    )
    distance = np.abs(rounded - exact) / unit
    distance[np.signbit(found) != np.signbit(expected)] = np.inf
    distance[np.isinf(expected) & np.isfinite(found)] = np.inf
    distance[np.isnan(distance)] = np.inf
    distance[np.isnan(found) & np.isnan(expected)] = 0
    tiny = (expected != 0) & (np.abs(exact) < smallest * (1 + 2.0**-20))
    distance[tiny & (np.abs(rounded) <= smallest)] = 0
    return distance


def wide(x: A) -> A:
    return x.astype(np.float64 if x.dtype == np.float32 else np.longdouble)


def flushed(x: A) -> A:
    """Zeros in place of the numbers below the smallest normal one."""
    return np.where(np.abs(x) < np.finfo(x.dtype).smallest_normal, np.copysign(x * 0, x), x)


def assert_close(found: A, function: Callable[..., A], *x: A) -> None:
    with np.errstate(all="ignore"):
        distance = errors(found, function(*map(wide, x)))
        flushed_too = errors(found, function(*(wide(flushed(a)) for a in x)))
    distance = np.minimum(distance, flushed_too)
    worst = int(np.argmax(distance))
    assert distance[worst] <= LIMIT, ([a[worst] for a in x], found[worst])


def assert_same(found: A, expected: A, *x: A, signs: bool = True) -> None:
    """The same values; zeros of the same sign; NaN where NaN is expected."""
    same = found == expected
    if signs:
        same &= np.signbit(found) == np.signbit(expected)
    wrong = np.flatnonzero(~(same | (np.isnan(found) & np.isnan(expected))))
    assert wrong.size == 0, [(a[wrong[0]], found[wrong[0]], expected[wrong[0]]) for a in x]


@DTYPES
@pytest.mark.parametrize("name", ROUNDED)
@pytest.mark.parametrize("flush", [False, True] if X86 else [False])
def test_the_error_is_small_over_the_whole_range(name, dtype, flush):
    x = of_all_kinds(dtype, 60_000 if dtype == "float32" else 20_000)
    assert_close(apply(name, x, flush=flush), ROUNDED[name], x)


@pytest.mark.fuzz
@pytest.mark.parametrize("name", ROUNDED)
def test_the_error_is_small_at_many_floats(name):
    count = 2000 * int(os.environ.get("CHAINRULE_FUZZ_COUNT", "500"))
    x = of_all_kinds("float32", min(count, 1 << 32))
    assert_close(apply(name, x, lanes=16), ROUNDED[name], x)


def test_a_wrong_coefficient_is_noticed(monkeypatch):
    first, *others = vector_exponential._EXP["float"]
    monkeypatch.setitem(vector_exponential._EXP, "float", (first * (1 + 1e-6), *others))
    kernel.cache_clear()
    x = of_all_kinds("float32", 2000)
    with pytest.raises(AssertionError):
        assert_close(apply("exp", x), ROUNDED["exp"], x)
    kernel.cache_clear()


@DTYPES
@pytest.mark.parametrize("name", EMITTERS)
def test_bits_do_not_depend_on_the_lanes(name, dtype):
    x = of_all_kinds(dtype, 4000)
    y = np.random.default_rng(3).permutation(x)
    inputs = (x, y)[: 1 + (name in PAIRED)]
    expected = apply(name, *inputs, lanes=1)
    settings: list[tuple[int, str | None]] = [(4, None), (8, None), (16, None)]
    settings += [(8, v) for v in llvm.runnable_variants() if v == "avx2"]
    settings += [(4, v) for v in llvm.runnable_variants() if v == "sse"]
    for lanes, variant in settings:
        found = apply(name, *inputs, lanes=lanes, variant=variant)
        assert_same(found, expected, *inputs)


@DTYPES
def test_round_values_are_exact(dtype):
    zeros = np.array([0.0, -0.0], dtype)
    for name in ("expm1", "log1p", "tanh", "erf", "sin"):
        assert_same(apply(name, zeros), zeros, zeros)
    for name, expected in (("exp", 1.0), ("cos", 1.0), ("sigmoid", 0.5)):
        assert apply(name, zeros).tolist() == [expected] * 2
    assert apply("log", np.array([1.0], dtype)).tolist() == [0.0]
    assert apply("log", zeros).tolist() == [-np.inf] * 2


@DTYPES
@pytest.mark.parametrize("name", ["sin", "cos", "tanh", "erf", "sigmoid"])
def test_no_result_exceeds_one(name, dtype):
    steps = np.arange(-(1 << 17), 1 << 17)
    near = [steps * scale for scale in (1e-9, 1e-4)]
    tops = [np.array(np.pi / 2, dtype).view(f"i{np.dtype(dtype).itemsize}") + steps]
    x = np.concatenate([*near, *(t.astype(t.dtype).view(dtype) for t in tops)]).astype(dtype)
    assert np.abs(apply(name, x)).max() <= 1


@DTYPES
@pytest.mark.parametrize("name", EXACT)
def test_exact_functions(name, dtype):
    x = of_all_kinds(dtype, 4000)
    x = np.concatenate([x, (np.arange(-9, 9) * 0.5).astype(dtype)])
    assert_same(apply(name, x), EXACT[name](x), x, signs=name != "is_finite")


@DTYPES
@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_nan_wins(name, dtype):
    function = getattr(np, name)
    x, y = pairs(dtype)
    assert_same(apply(name, x, y), function(x, y), x, y, signs=False)
    for second in (0.0, 2.5, np.inf, np.nan):
        found = apply(name, x, x, second=second)
        assert_same(found, function(x, np.array(second, dtype)), x, signs=False)


def quotients(dtype: str) -> tuple[A, A]:
    """Special numbers, any bits, whole numbers, tenths, and quotients of every size."""
    generator = np.random.default_rng(5)
    any_bits = np.random.default_rng(6).permutation(of_all_kinds(dtype, 4000))
    whole, divisors = generator.integers(-1000, 1000, 4000), generator.integers(-30, 30, 4000)
    large = np.exp(generator.uniform(-3, 40, 4000)) * generator.choice([-1, 1], 4000)
    small = np.exp(generator.uniform(-3, 3, 4000)) * generator.choice([-1, 1], 4000)
    x, y = pairs(dtype)
    first = (x, any_bits[:4000], whole, whole * 0.1, large)
    second = (y, any_bits[-4000:], divisors, divisors * 0.1, small)
    return (
        np.concatenate([a.astype(dtype) for a in first]),
        np.concatenate([a.astype(dtype) for a in second]),
    )


@DTYPES
def test_remainder_is_numpys(dtype):
    x, y = quotients(dtype)
    with np.errstate(all="ignore"):
        expected = np.remainder(x, y)
    assert_same(apply("remainder", x, y), expected, x, y)


@DTYPES
def test_floor_divide_is_numpys(dtype):
    x, y = quotients(dtype)
    with np.errstate(all="ignore"):
        expected = np.floor_divide(x, y)
        # NumPy itself rounds on the way when the quotient nearly fills the format.
        usual = ~(np.abs(expected) > 2.0 ** (np.finfo(dtype).nmant - 2)) | np.isinf(expected)
    found = apply("floor_divide", x, y)
    assert_same(found[usual], expected[usual], x[usual], y[usual])
    np.testing.assert_allclose(found, expected, rtol=4 * np.finfo(dtype).eps)


def powers(dtype: str) -> tuple[A, A]:
    generator = np.random.default_rng(8)
    whole = generator.integers(-40, 40, 4000)
    mild = np.exp(generator.uniform(-3, 3, 4000))
    near_one = np.exp(generator.normal(size=4000) * 1e-3)
    any_size = np.exp(generator.uniform(-80, 80, 4000))
    first = (*special(dtype), *mild, *-mild, *near_one, *any_size, *of_all_kinds(dtype, 4000))
    second = (
        *np.roll(special(dtype), 1),
        *generator.uniform(-30, 30, 4000),
        *whole,
        *generator.uniform(-60000, 60000, 4000),
        *generator.uniform(-1.2, 1.2, 4000),
        *generator.permutation(of_all_kinds(dtype, 4000)),
    )
    x, y = pairs(dtype)
    return np.concatenate([x, np.array(first, dtype)]), np.concatenate([y, np.array(second, dtype)])


@DTYPES
@pytest.mark.parametrize("flush", [False, True] if X86 else [False])
def test_power(dtype, flush):
    x, y = powers(dtype)
    assert_close(apply("power", x, y, flush=flush), np.power, x, y)


@DTYPES
@pytest.mark.parametrize("exponent", [2.0, 3.0, -1.0, 0.5, 1.5, 0.0])
def test_power_with_a_constant_exponent(dtype, exponent):
    x = of_all_kinds(dtype, 4000)
    found = apply("power", x, x, second=exponent)
    assert_close(found, lambda a: np.power(a, np.full_like(a, exponent)), x)


@pytest.mark.parametrize("name", EMITTERS)
def test_neon_code_is_made(name):
    for scalar, lanes in (("float", 4), ("double", 4)):
        assembly = llvm.assembly(text(name, scalar, lanes, None, flush=False), "neon")
        # Nothing is left to a library that the processor can do.
        allowed = {"erf", "pow", "sin", "cos", "sinf", "cosf", "fmod", "fmodf"}
        called = {
            line.split()[1] for line in assembly.splitlines() if line.strip().startswith("bl\t")
        }
        assert called <= allowed
