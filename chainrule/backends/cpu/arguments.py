"""The arrays of a call, entered into a program's table of pointers.

NumPy tells an address to Python in about a microsecond, more than a small program runs. So native
code reads it, where C extensions do, in the layout of arrays that NumPy's C interface fixes, and
enters an array only if it is what the program was compiled for: an array in C order with this dtype
and shape. Who finds an array that is not entered looks at it in Python.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.backends.cpu.views import View
from chainrule.dtypes import DTYPES

ENTER = "chainrule_enter"
_HEAD = 4  # numbers that describe an array before its sizes: class, dtype, rank, buffer
_IN_C_ORDER, _ALIGNED = 0x1, 0x100  # among an array's flags

_TEXT = """
; How many arrays of a tuple are as wanted; their addresses go into the table of pointers. Where the
; wanted dtype is 0, every dtype and shape is right.
define i64 @$name(ptr %arrays, ptr %wanted, i64 %count, ptr %table) nounwind {
entry:
  %any = icmp ne i64 %count, 0
  br i1 %any, label %array, label %done
array:
  %i = phi i64 [ 0, %entry ], [ %i.next, %enter ]
  %w = phi ptr [ %wanted, %entry ], [ %w.next, %enter ]
  %items = getelementptr i8, ptr %arrays, i64 $items
  %x.at = getelementptr ptr, ptr %items, i64 %i
  %x = load ptr, ptr %x.at, align 8
  %class.at = getelementptr i8, ptr %x, i64 $class
  %class = load i64, ptr %class.at, align 8
  %class.wanted = load i64, ptr %w, align 8
  %class.same = icmp eq i64 %class, %class.wanted
  br i1 %class.same, label %type, label %done
type:
  %dtype.at = getelementptr i8, ptr %x, i64 $dtype
  %dtype = load i64, ptr %dtype.at, align 8
  %dtype.wanted.at = getelementptr i64, ptr %w, i64 1
  %dtype.wanted = load i64, ptr %dtype.wanted.at, align 8
  %dtype.same = icmp eq i64 %dtype, %dtype.wanted
  %free = icmp eq i64 %dtype.wanted, 0
  %flags.at = getelementptr i8, ptr %x, i64 $flags
  %flags = load i32, ptr %flags.at, align 4
  %flags.set = and i32 %flags, $mask
  %flags.right = icmp eq i32 %flags.set, $mask
  %rank.at = getelementptr i8, ptr %x, i64 $rank
  %rank.short = load i32, ptr %rank.at, align 4
  %rank = zext i32 %rank.short to i64
  %rank.wanted.at = getelementptr i64, ptr %w, i64 2
  %rank.wanted = load i64, ptr %rank.wanted.at, align 8
  %rank.same = icmp eq i64 %rank, %rank.wanted
  %type.same = and i1 %dtype.same, %rank.same
  %type.right = or i1 %type.same, %free
  %all.right = and i1 %type.right, %flags.right
  br i1 %all.right, label %shape, label %done
shape:
  %shape.at = getelementptr i8, ptr %x, i64 $shape
  %sizes = load ptr, ptr %shape.at, align 8
  %sizes.wanted = getelementptr i64, ptr %w, i64 $head
  br label %axis
axis:
  %a = phi i64 [ 0, %shape ], [ %a.next, %size ]
  %more = icmp ult i64 %a, %rank.wanted
  br i1 %more, label %size, label %enter
size:
  %size.at = getelementptr i64, ptr %sizes, i64 %a
  %size.found = load i64, ptr %size.at, align 8
  %size.wanted.at = getelementptr i64, ptr %sizes.wanted, i64 %a
  %size.wanted = load i64, ptr %size.wanted.at, align 8
  %size.same = icmp eq i64 %size.found, %size.wanted
  %a.next = add i64 %a, 1
  br i1 %size.same, label %axis, label %done
enter:
  %data.at = getelementptr i8, ptr %x, i64 $data
  %data = load ptr, ptr %data.at, align 8
  %buffer.at = getelementptr i64, ptr %w, i64 3
  %buffer = load i64, ptr %buffer.at, align 8
  %pointer.at = getelementptr ptr, ptr %table, i64 %buffer
  store ptr %data, ptr %pointer.at, align 8
  %w.next = getelementptr i64, ptr %sizes.wanted, i64 %rank.wanted
  %i.next = add i64 %i, 1
  %left = icmp ult i64 %i.next, %count
  br i1 %left, label %array, label %done
done:
  %entered = phi i64 [ 0, %entry ], [ %i, %array ], [ %i, %type ], [ %i, %size ], [ %count, %enter ]
  ret i64 %entered
}
"""


def arguments_text() -> str:
    """The module of ``ENTER``: the layout of tuples and arrays of this interpreter."""
    # The fields of NumPy's PyArrayObject_fields come after what every object begins with.
    begin = object.__basicsize__
    return Template(_TEXT).substitute(
        name=ENTER,
        items=tuple.__basicsize__,
        **{"class": begin - 8},
        data=begin,
        rank=begin + 8,
        shape=begin + 16,
        dtype=begin + 40,
        flags=begin + 48,
        mask=_IN_C_ORDER | _ALIGNED,
        head=_HEAD,
    )


class Enter:
    """The native function at an address, or what refuses everything where objects are laid out in
    another way.
    """

    def __init__(self, address: int) -> None:
        pointer, number = ctypes.c_void_p, ctypes.c_int64
        # With the interpreter's lock: nobody changes an array meanwhile.
        prototype = ctypes.PYFUNCTYPE(number, ctypes.py_object, pointer, number, pointer)
        self.native = prototype(address)
        self.works = sys.implementation.name == "cpython" and self._right()

    def _right(self) -> bool:
        """Does it find what NumPy says of some arrays, and refuse others?"""
        arrays = (np.zeros((2, 3), np.float32), np.array(1), np.zeros((0, 2), bool))
        numbers = wanted([View(i, x.dtype, x.shape, (), 0) for i, x in enumerate(arrays)])
        table = (ctypes.c_uint64 * len(arrays))()
        where = ctypes.addressof(numbers), len(arrays), ctypes.addressof(table)
        others = (np.zeros((3, 2), np.float32), np.zeros((3, 2), np.float32).T, 1.0)
        return (
            self.native(arrays, *where) == len(arrays)
            and list(table) == [x.__array_interface__["data"][0] for x in arrays]
            and all(self.native((x, *arrays[1:]), *where) == 0 for x in others)
        )


def wanted(views: Sequence[View], *, free: bool = False) -> ctypes.Array[ctypes.c_int64]:
    """The description of these arrays that the native function reads.

    Args:
        views: where they stand in the table, their dtypes and shapes.
        free: take arrays of every dtype and shape.
    """
    numbers: list[int] = []
    for view in views:
        kind = (0, 0) if free else (id(DTYPES[view.dtype.name]), len(view.shape))
        numbers += [id(np.ndarray), *kind, view.buffer, *(() if free else view.shape)]
    return (ctypes.c_int64 * len(numbers))(*numbers)


class Arguments:
    """The inputs and outputs of a program, and how they get into its table.

    Args:
        inputs: the views of the inputs.
        outputs: the views of the outputs.
        enter: the native function.
    """

    def __init__(self, inputs: Sequence[View], outputs: Sequence[View], enter: Enter) -> None:
        self._types = [(view.shape, DTYPES[view.dtype.name]) for view in outputs]
        self._wanted = wanted([*inputs, *outputs])
        self._place = ctypes.addressof(self._wanted)
        self._free = wanted([*inputs, *outputs], free=True)
        self._free_place = ctypes.addressof(self._free)
        self._count = len(inputs) + len(outputs)
        self._enter = enter.native
        self._works = enter.works

    def new_outputs(self) -> list[NDArray[Any]]:
        """An array for each output."""
        return [np.empty(shape, dtype) for shape, dtype in self._types]

    def enter(self, arrays: tuple[Any, ...], table: int) -> bool:
        """Enter inputs and outputs into the table at this address; False if one of them is not in
        C order or not what the program takes.
        """
        return self._entered(arrays, self._place, table)

    def enter_unchecked(self, arrays: tuple[Any, ...], table: int) -> bool:
        """The same, whatever their dtypes and shapes: for tables that move on through them."""
        return self._entered(arrays, self._free_place, table)

    def _entered(self, arrays: tuple[Any, ...], place: int, table: int) -> bool:
        count = self._count
        return (
            self._works
            and len(arrays) == count
            and self._enter(arrays, place, count, table) == count
        )
