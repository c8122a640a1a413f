"""Random numbers from keys by the primitive ``random_bits`` (Threefry-2x32), the same on every back
end.

A key is two uint32 numbers. The same key gives the same numbers; ``split`` makes independent keys.
``Generator`` keeps a key in a variable and hands out new ones.

Reference: Salmon, Moraes, Dror, Shaw, Parallel random numbers: as easy as 1, 2, 3 (SC 2011).
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.config import config
from chainrule.dtypes import FLOAT32, FLOAT64, INT64, UINT32, as_dtype
from chainrule.errors import ArgumentError, DTypeError
from chainrule.graph.primitives import PRIMITIVES
from chainrule.tensor.composites import erf_inv
from chainrule.tensor.elementwise import astype, clip, cos, log, minimum, sin, sqrt
from chainrule.tensor.jit import jit
from chainrule.tensor.layout import Shape, argsort, as_shape, concatenate, reshape
from chainrule.tensor.state import STATE, paused_tapes
from chainrule.tensor.tensor import Tensor, Variable, as_tensor, bind

_RANDOM_BITS = PRIMITIVES["random_bits"]
# From so many numbers on a compiled program pays, which makes this many at a time.
_MANY = 1 << 17
_BLOCK = 1 << 14


def key(seed: int) -> Tensor:
    """The key of a seed.

    Args:
        seed: 0 <= seed < 2^64.

    Example:
        >>> import chainrule as cr
        >>> cr.random.key(7).tolist()
        [0, 7]
    """
    if isinstance(seed, bool) or not 0 <= operator.index(seed) < 2**64:
        raise ArgumentError(
            "random.key", "not a seed", got=repr(seed), expected="an integer from 0 to 2**64 - 1"
        )
    return Tensor(np.array([int(seed) >> 32, int(seed) & 0xFFFFFFFF], np.uint32))


def _constant(value: int) -> Tensor:
    return Tensor(np.asarray(value & 0xFFFFFFFF, np.uint32))


def _counters(first: int, second: int) -> Tensor:
    return Tensor(np.array([first & 0xFFFFFFFF, second & 0xFFFFFFFF], np.uint32))


def _checked(key: Any) -> Tensor:
    key = as_tensor(key)
    if key.shape != (2,) or key.dtype != UINT32:
        raise DTypeError(
            "random",
            "not a key",
            got=f"{key.dtype.name}{list(key.shape)}",
            expected="uint32[2]",
            fix="make one with random.key(seed)",
        )
    return key


def bits(key: Any, count: int) -> Tensor:
    """``count`` random uint32 numbers."""
    key = _checked(key)
    if _is_many(count):
        return Tensor(_filled(_bits_of_block, key, count, UINT32))
    return _bits(key, (count,))


def _bits(key: Tensor, shape: tuple[int, ...]) -> Tensor:
    half = (math.prod(shape) + 1) // 2
    return bind(_RANDOM_BITS, (key, _counters(0, half)), {"shape": shape})


def _is_many(count: int) -> bool:
    """Whether a compiled program shall make them: the same bits, sooner."""
    return count >= _MANY and STATE.trace is None and config.backend != "reference"


@jit
def _bits_of_block(key: Tensor, counters: Tensor) -> Tensor:
    return bind(_RANDOM_BITS, (key, counters), {"shape": (2, _BLOCK)})


@jit
def _units_of_block(key: Tensor, counters: Tensor) -> Tensor:
    return _to_unit(_bits_of_block(key, counters))


@jit
def _uniform_of_block(
    key: Tensor, counters: Tensor, width: Tensor, low: Tensor, most: Tensor
) -> Tensor:
    return minimum(_to_unit(_bits_of_block(key, counters)) * width + low, most)


def _filled(
    block: Any, key: Tensor, count: int, dtype: np.dtype[Any], *settings: Tensor
) -> NDArray[Any]:
    """Random numbers by a program for one block: one program serves every count."""
    half = (count + 1) // 2
    both = np.empty((2, half), dtype)
    with paused_tapes():
        for first in range(0, half, _BLOCK):
            stop = min(first + _BLOCK, half)
            made = block(key, _counters(first, half + first), *settings).concrete("random")
            both[:, first:stop] = made[:, : stop - first]
    return both.reshape(-1)[:count]


def split(key: Any, num: int = 2) -> Tensor:
    """``num`` independent keys.

    Shapes:
        uint32 (2,) -> uint32 (num, 2)
    """
    return reshape(bits(key, 2 * num), (num, 2))


def fold_in(key: Any, number: int) -> Tensor:
    """A key that depends on ``key`` and a number, such as a step or a layer's position."""
    counters = _counters(number, number >> 32)
    return bind(_RANDOM_BITS, (_checked(key), counters), {"shape": (2,)})


def uniform(
    key: Any, shape: Shape, low: float = 0.0, high: float = 1.0, dtype: Any = "float32"
) -> Tensor:
    """Numbers evenly spread over low <= x < high.

    Args:
        key: uint32 (2,).
        shape: of the result.
        low, high: the range.
        dtype: float32 (24 random bits a number) or float64 (53).

    Example:
        >>> import chainrule as cr
        >>> x = cr.random.uniform(cr.random.key(0), (1000,))
        >>> 0 <= x.min().item() and x.max().item() < 1
        True
    """
    dtype = _floating(dtype)
    lengths = as_shape(shape)
    if low == 0.0 and high == 1.0:
        return _unit(key, lengths, dtype)
    # Rounding may reach the upper end itself.
    most = np.nextafter(dtype.type(high), dtype.type(low))
    count = math.prod(lengths)
    if dtype == FLOAT32 and _is_many(count):
        settings = [Tensor(np.asarray(x, dtype)) for x in (high - low, low, most)]
        made = _filled(_uniform_of_block, _checked(key), count, dtype, *settings)
        return Tensor(made.reshape(lengths))
    unit = _unit(key, lengths, dtype)
    if unit.is_traced:
        return clip(unit * (high - low) + low, None, float(most))
    numbers = unit.concrete("uniform")  # nobody else has them yet
    numbers *= dtype.type(high - low)
    numbers += dtype.type(low)
    np.minimum(numbers, most, out=numbers)
    return unit


def _floating(dtype: Any) -> np.dtype[Any]:
    result = as_dtype(dtype)
    if result.kind != "f":
        raise DTypeError(
            "random", "not a floating dtype", got=result.name, expected="float32 or float64"
        )
    return result


def _unit(key: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Tensor:
    count = math.prod(shape)
    if dtype == FLOAT64:
        words = bits(key, 2 * count)
        upper = astype(words[:count] >> _constant(5), FLOAT64)
        lower = astype(words[count:] >> _constant(6), FLOAT64)
        return reshape((upper * 67108864.0 + lower) * (1.0 / 9007199254740992.0), shape)
    if _is_many(count):
        return Tensor(_filled(_units_of_block, _checked(key), count, dtype).reshape(shape))
    return _to_unit(_bits(_checked(key), shape))


def _to_unit(words: Tensor) -> Tensor:
    return astype(words >> _constant(8), FLOAT32) * (1.0 / 16777216.0)


def normal(
    key: Any, shape: Shape, mean: float = 0.0, stddev: float = 1.0, dtype: Any = "float32"
) -> Tensor:
    """Normally distributed numbers (Box and Muller, 1958).

    Args:
        key: uint32 (2,).
        shape: of the result.
        mean, stddev: of the distribution.
        dtype: float32 or float64.
    """
    dtype, lengths = _floating(dtype), as_shape(shape)
    count = math.prod(lengths)
    half = (count + 1) // 2
    unit = _unit(key, (2, half), dtype)
    # 1 - u lies in (0, 1]: the logarithm is finite.
    radius = sqrt(log(1.0 - unit[0]) * -2.0)
    angle = unit[1] * (2.0 * math.pi)
    both = concatenate([radius * cos(angle), radius * sin(angle)])[:count]
    return reshape(both, lengths) * stddev + mean


def truncated_normal(
    key: Any, shape: Shape, mean: float = 0.0, stddev: float = 1.0, dtype: Any = "float32"
) -> Tensor:
    """Normally distributed numbers no further than two standard deviations from the mean (by the
    inverse of erf).
    """
    limit = math.erf(2.0 / math.sqrt(2.0))
    unit = uniform(key, shape, -limit, limit, dtype)
    return clip(erf_inv(unit) * math.sqrt(2.0), -2.0, 2.0) * stddev + mean


def bernoulli(key: Any, p: float, shape: Shape) -> Tensor:
    """True with probability ``p``."""
    return uniform(key, shape) < p


def randint(key: Any, shape: Shape, low: int, high: int) -> Tensor:
    """Integers from low to high - 1, int64; evenly spread to within 2^-32 of each share."""
    if not 0 < high - low <= 2**31:
        raise ArgumentError("random.randint", "empty or too wide a range", got=f"{low} to {high}")
    lengths = as_shape(shape)
    words = astype(bits(key, math.prod(lengths)), INT64)
    return reshape((words * (high - low) >> 32) + low, lengths)


def permutation(key: Any, n: int) -> Tensor:
    """The numbers 0 to n - 1 in random order, int64."""
    words = bits(key, 2 * n)
    # 64 random bits a number: ties practically do not occur, and would only keep two neighbours in
    # order.
    return argsort((astype(words[:n], INT64) << 31) ^ astype(words[n:], INT64))


class Generator:
    """Hands out fresh keys; its state is a variable, so it works inside ``jit``.

    Args:
        seed: as for ``key``.

    Example:
        >>> import chainrule as cr
        >>> generator = cr.random.Generator(0)
        >>> a = cr.random.uniform(generator.next_key(), (2,))
        >>> b = cr.random.uniform(generator.next_key(), (2,))
        >>> bool((a == b).any())
        False
    """

    def __init__(self, seed: int = 0) -> None:
        self.state = Variable(key(seed), name="random_state", trainable=False)

    def next_key(self) -> Tensor:
        """A key that was not handed out before."""
        following = split(self.state)
        self.state.assign(following[0])
        return following[1]

    def reset(self, seed: int) -> None:
        """Start again from a seed."""
        self.state.assign(key(seed))
