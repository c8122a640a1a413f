"""The kernel of random bits: Threefry-2x32 in vectors, both words of a counter at a time."""

from __future__ import annotations

from math import prod

from chainrule.backends.cpu.addressing import base, load, share
from chainrule.backends.cpu.ir import Function, Register, constant, lane_numbers
from chainrule.backends.cpu.target import Target
from chainrule.backends.cpu.views import View
from chainrule.graph.threefry import BLOCKS, PARITY, ROTATIONS

# Of one number, where a multiplication is one.
WORK = 8


def emit_random_bits(
    f: Function, key: View, counters: View, made: View, target: Target, pieces: int
) -> None:
    """Fill ``made``, contiguous: the numbers of vector after vector of counters."""
    lanes, count = target.vector_bytes // 4, prod(made.shape)
    half = (count + 1) // 2
    # Vectors of counters both of whose numbers are wanted; what is left fits in one more.
    whole = count // 2 // lanes
    out = base(f, made)
    second = f.at(out, 4 * half)
    k0, k1 = (_number(f, key, i, lanes) for i in (0, 1))
    a, b = (_number(f, counters, i, lanes) for i in (0, 1))
    added = _schedule(f, k0, k1)
    a, b = (f.binary("add", x, lane_numbers(lanes)) for x in (a, b))

    def numbers(first: Register) -> tuple[Register, Register]:
        moved = f.splat(f.cast("trunc", first, "i32"), lanes)
        return _threefry(f, added, f.binary("add", a, moved), f.binary("add", b, moved))

    with f.loop(*share(f, f.arguments[1], pieces, whole * lanes, lanes), lanes) as loop:
        offset = f.binary("mul", loop.index, constant(4, "i64"))
        for x, pointer in zip(numbers(loop.index), (out, second), strict=True):
            f.store(x, f.at(pointer, offset))
    if half > whole * lanes:
        with f.when(f.compare("icmp eq", f.arguments[1], constant(pieces - 1, "i64"))):
            x0, x1 = numbers(constant(whole * lanes, "i64"))
            f.store_part(x0, f.at(out, 4 * whole * lanes), half - whole * lanes)
            if rest := count // 2 - whole * lanes:
                f.store_part(x1, f.at(second, 4 * whole * lanes), rest)


def _number(f: Function, view: View, place: int, lanes: int) -> Register:
    return f.splat(load(f, view, base(f, view), [constant(place, "i64")]), lanes)


def _schedule(f: Function, k0: Register, k1: Register) -> list[tuple[Register, Register]]:
    """What is added to the two words before the first round and after each block of them."""
    parity = constant(PARITY, "i32", k0.lanes)
    key = [k0, k1, f.binary("xor", f.binary("xor", k0, k1), parity)]
    pairs = [(k0, k1)]
    for block in range(1, BLOCKS + 1):
        number = constant(block, "i32", k0.lanes)
        pairs.append((key[block % 3], f.binary("add", key[(block + 1) % 3], number)))
    return pairs


def _threefry(
    f: Function, added: list[tuple[Register, Register]], x0: Register, x1: Register
) -> tuple[Register, Register]:
    x0, x1 = f.binary("add", x0, added[0][0]), f.binary("add", x1, added[0][1])
    for block in range(BLOCKS):
        for distance in ROTATIONS[block % 2]:
            x0 = f.binary("add", x0, x1)
            rotated = f.intrinsic("fshl", x1, x1, constant(distance, "i32", x1.lanes))
            x1 = f.binary("xor", rotated, x0)
        x0 = f.binary("add", x0, added[block + 1][0])
        x1 = f.binary("add", x1, added[block + 1][1])
    return x0, x1
