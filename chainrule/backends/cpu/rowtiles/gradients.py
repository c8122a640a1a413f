"""Sums over rows of the products of two features: the gradients of weights."""

from __future__ import annotations

from collections.abc import Iterator

from chainrule.backends.cpu.ir import SCALARS, Function
from chainrule.backends.cpu.rowtiles.rows import RowGradient
from chainrule.backends.cpu.rowtiles.stages import even
from chainrule.backends.cpu.rowtiles.tile import Index, Tile, plus, scaled
from chainrule.backends.cpu.target import Target


def emit_gradient(tile: Tile, gradient: RowGradient, target: Target) -> None:
    """Add a tile's rows to the lanes: blocks of accumulators, a loop over the rows for each."""
    registers = target.tile[0] * target.tile[1] // (gradient.target.dtype.itemsize // 4)
    columns = even(gradient.right.features, max(1, int(registers**0.5)))
    rows = even(gradient.left.features, max(1, (registers + 2 - columns) // columns))
    for k, height in blocks(tile.f, gradient.left.features, rows):
        for m, width in blocks(tile.f, gradient.right.features, columns):
            _block(tile, gradient, (k, height), (m, width))


def blocks(f: Function, length: int, size: int) -> Iterator[tuple[Index, int]]:
    """Blocks of 0 .. length: a loop over the equal ones, then the rest."""
    whole, rest = divmod(length, size)
    if whole == 1:
        yield 0, size
    elif whole:
        with f.loop(0, whole * size, size) as loop:
            yield loop.index, size
    if rest:
        yield whole * size, rest


def _block(
    tile: Tile, gradient: RowGradient, rows: tuple[Index, int], columns: tuple[Index, int]
) -> None:
    f, dtype = tile.f, gradient.target.dtype
    (k, height), (m, width) = rows, columns
    left, right = tile.line(gradient.left, k), tile.line(gradient.right, m)
    size, total = SCALARS[dtype.name], gradient.right.features
    vector = tile.lanes * dtype.itemsize
    position = _position(f, k, m, total)
    first = tile.sum_at(gradient, position)
    places = [f.at(first, (i * total + j) * vector) for i in range(height) for j in range(width)]
    carried = [f.load(place, size, tile.lanes) for place in places]
    with f.loop(0, tile.layout.tile, tile.lanes, carried) as loop:
        at = scaled(f, loop.index, dtype.itemsize)
        a, b = f.at(left, at), f.at(right, at)
        deltas = [
            tile.load(f.at(b, j * tile.step_of(gradient.right)), gradient.right, 0)
            for j in range(width)
        ]
        for i in range(height):
            x = tile.load(f.at(a, i * tile.step_of(gradient.left)), gradient.left, 0)
            loop.next += [f.fma(x, d, loop.values[i * width + j]) for j, d in enumerate(deltas)]
    for place, result in zip(places, loop.results, strict=True):
        f.store(result, place)


def _position(f: Function, k: Index, m: Index, columns: int) -> Index:
    """``k * columns + m``."""
    first = scaled(f, k, columns)
    if isinstance(m, int):
        return plus(f, first, m)
    if isinstance(first, int):
        return plus(f, m, first)
    return f.binary("add", first, m)
