"""Random bits: Threefry-2x32 on whole arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.graph.threefry import BLOCKS, PARITY, ROTATIONS

Words = NDArray[np.uint32]


def threefry(key: Words, x0: Words, x1: Words) -> tuple[Words, Words]:
    """Arrays of the two uint32 words of counters as arrays of two random numbers."""
    schedule = (key[0], key[1], key[0] ^ key[1] ^ np.uint32(PARITY))
    x0, x1 = x0 + schedule[0], x1 + schedule[1]
    rotated, rest = np.empty_like(x1), np.empty_like(x1)
    for block in range(BLOCKS):
        for distance in ROTATIONS[block % 2]:
            x0 += x1
            np.left_shift(x1, np.uint32(distance), out=rotated)
            np.right_shift(x1, np.uint32(32 - distance), out=rest)
            np.bitwise_or(rotated, rest, out=rotated)
            np.bitwise_xor(rotated, x0, out=x1)
        x0 += schedule[(block + 1) % 3]
        x1 += schedule[(block + 2) % 3]
        x1 += np.uint32(block + 1)
    return x0, x1


def random_bits(key: Words, counters: Words, shape: tuple[int, ...]) -> Any:
    """Numbers of the counters (a, b), (a + 1, b + 1), ...: first all first ones, then all second
    ones.
    """
    count = math.prod(shape)
    positions = np.arange((count + 1) // 2, dtype=np.uint32)
    both = threefry(key, positions + counters[0], positions + counters[1])
    return np.concatenate(both)[:count].reshape(shape)
