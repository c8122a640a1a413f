"""Copying columns of a matrix side by side: a product then reads them in one stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from chainrule.backends.cpu.ir import BYTES, Function, Register, constant


class Columns(NamedTuple):
    """Columns of a matrix, to be packed.

    Attributes:
        scalar: the type of an element.
        row_step: bytes from one row to the next.
        column_step: bytes from one column to the next.
        rows: how many rows.
        lanes: the vectors of a packed row.
        counts: how many lanes of each vector are columns; the others become 0 or garbage.
        masks: whether parts of vectors can be read.
    """

    scalar: str
    row_step: int
    column_step: int
    rows: int
    lanes: Sequence[int]
    counts: Sequence[int]
    masks: bool


def pack(f: Function, columns: Columns, source: Register, target: Register) -> None:
    """Write the columns row by row, without gaps, to ``target``."""
    if columns.column_step == BYTES[columns.scalar]:
        _copy_rows(f, columns, source, target)
    elif columns.row_step == BYTES[columns.scalar] and columns.lanes[0] in (2, 4, 8, 16):
        _transpose(f, columns, source, target)
    else:
        _copy_elements(f, columns, source, target, 0)


def _copy_rows(f: Function, columns: Columns, source: Register, target: Register) -> None:
    size = BYTES[columns.scalar]
    width = sum(columns.lanes) * size
    with f.loop(0, columns.rows) as loop:
        read = f.at(source, f.binary("mul", loop.index, constant(columns.row_step, "i64")))
        write = f.at(target, f.binary("mul", loop.index, constant(width, "i64")))
        at = 0
        for lanes, count in zip(columns.lanes, columns.counts, strict=True):
            x = f.load_part(f.at(read, at), columns.scalar, lanes, count)
            f.store(x, f.at(write, at))
            at += lanes * size


def _copy_elements(
    f: Function, columns: Columns, source: Register, target: Register, first: int
) -> None:
    """One element at a time, from row ``first`` on."""
    size = BYTES[columns.scalar]
    width = constant(sum(columns.lanes) * size, "i64")
    with f.loop(first, columns.rows) as row:
        read = f.at(source, f.binary("mul", row.index, constant(columns.row_step, "i64")))
        write = f.at(target, f.binary("mul", row.index, width))
        with f.loop(0, sum(columns.counts)) as column:
            step = constant(columns.column_step, "i64")
            x = f.load(f.at(read, f.binary("mul", column.index, step)), columns.scalar)
            f.store(x, f.at(write, f.binary("mul", column.index, constant(size, "i64"))))


def _transpose(f: Function, columns: Columns, source: Register, target: Register) -> None:
    """Square blocks through registers: the rows of the source are contiguous down a column."""
    side = columns.lanes[0]
    whole, rest = divmod(columns.rows, side)
    if not columns.masks and any(count < side for count in columns.counts):
        _copy_elements(f, columns, source, target, 0)
        return
    if whole:
        with f.loop(0, whole * side, side) as loop:
            _transpose_blocks(f, columns, (source, target), loop.index, side)
    if rest and columns.masks:
        _transpose_blocks(f, columns, (source, target), constant(whole * side, "i64"), rest)
    elif rest:
        _copy_elements(f, columns, source, target, whole * side)


def _transpose_blocks(
    f: Function, columns: Columns, places: tuple[Register, Register], row: Register, rows: int
) -> None:
    """``rows`` packed rows from ``row`` on: one block for each vector of columns."""
    size, side = BYTES[columns.scalar], columns.lanes[0]
    width = sum(columns.lanes) * size
    source = f.at(places[0], f.binary("mul", row, constant(size, "i64")))
    target = f.at(places[1], f.binary("mul", row, constant(width, "i64")))
    for number, count in enumerate(columns.counts):
        first = number * side
        block = [
            f.load_part(f.at(source, (first + i) * columns.column_step), columns.scalar, side, rows)
            for i in range(count)
        ]
        block += [constant(0, columns.scalar, side)] * (side - count)
        for i, x in enumerate(transposed(f, block)[:rows]):
            f.store(x, f.at(target, i * width + first * size))


def transposed(f: Function, block: Sequence[Register]) -> list[Register]:
    """The columns of a square block of as many vectors as they have lanes.

    Each round interleaves vectors i and i + n/2; after log2(n) rounds rows have become columns.
    """
    rows, half = list(block), len(block) // 2
    low = [i // 2 + (i % 2) * 2 * half for i in range(2 * half)]
    high = [i + half for i in low]
    for _ in range(len(block).bit_length() - 1):
        pairs = [(rows[i], rows[i + half]) for i in range(half)]
        rows = [f.shuffle(x, y, lanes) for x, y in pairs for lanes in (low, high)]
    return rows
