"""Loops over a shape and the addresses of elements of views in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from chainrule.backends.cpu.ir import SCALARS, Function, Register, constant
from chainrule.backends.cpu.views import View

Bounds = tuple[Register | int, Register | int]


def kernel_function(name: str) -> Function:
    """A kernel's function, empty.

    Its arguments are the table of buffers, the number of the piece and, where kernels share one
    function, the places in the table of the buffers that this one works on.
    """
    return Function(name, [("ptr", "buffers"), ("i64", "piece"), ("ptr", "places")])


@contextmanager
def nested_loops(
    f: Function, shape: Sequence[int], first: Bounds | None = None
) -> Iterator[list[Register]]:
    """One loop an axis; gives the indices. ``first`` bounds the outermost axis."""
    bounds: list[Bounds] = [(0, length) for length in shape]
    if first is not None and bounds:
        bounds[0] = first
    with ExitStack() as stack:
        yield [stack.enter_context(f.loop(*pair)).index for pair in bounds]


def share(
    f: Function, part: Register, parts: int, length: int, multiple: int = 1
) -> tuple[Register, Register]:
    """The bounds of one of ``parts`` parts of 0 .. length, whole multiples (``length`` is one)."""
    if parts == 1:
        return constant(0, "i64"), constant(length, "i64")
    each, bound = -(-length // (parts * multiple)) * multiple, constant(length, "i64")
    begin = f.binary("mul", part, constant(each, "i64"))
    end = f.binary("add", begin, constant(each, "i64"))
    return smaller(f, begin, bound), smaller(f, end, bound)


def smaller(f: Function, x: Register, y: Register) -> Register:
    """The smaller of two whole numbers."""
    return f.select(f.compare("icmp slt", x, y), x, y)


def larger(f: Function, x: Register, y: Register) -> Register:
    """The larger of two whole numbers."""
    return f.select(f.compare("icmp sgt", x, y), x, y)


def base(f: Function, view: View) -> Register:
    """The address of a view's first element."""
    return f.at(f.buffer(view.buffer), view.offset * view.dtype.itemsize)


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
