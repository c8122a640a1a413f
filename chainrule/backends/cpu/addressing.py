"""Loops over a shape and the addresses of elements of views in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from chainrule.backends.cpu.ir import SCALARS, Function, Register, constant
from chainrule.backends.cpu.views import View


@contextmanager
def nested_loops(f: Function, shape: Sequence[int]) -> Iterator[list[Register]]:
    """One loop an axis; gives the indices."""
    with ExitStack() as stack:
        yield [stack.enter_context(f.loop(0, length)).index for length in shape]


def base(f: Function, view: View) -> Register:
    """The address of a view's first element."""
    buffers = f.arguments[0]
    pointer = f.load(f.at(buffers, 8 * view.buffer), "ptr")
    return f.at(pointer, view.offset * view.dtype.itemsize)


def address(f: Function, view: View, pointer: Register, indices: Sequence[Register]) -> Register:
    """The address of one element, from the address of the first."""
    for index, stride in zip(indices, view.strides, strict=True):
        if stride:
            step = constant(stride * view.dtype.itemsize, "i64")
            pointer = f.at(pointer, f.binary("mul", index, step))
    return pointer


def load(f: Function, view: View, pointer: Register, indices: Sequence[Register]) -> Register:
    """One element."""
    return f.load(address(f, view, pointer, indices), SCALARS[view.dtype.name])


def store(
    f: Function, x: Register, view: View, pointer: Register, indices: Sequence[Register]
) -> None:
    """Write one element."""
    f.store(x, address(f, view, pointer, indices))
