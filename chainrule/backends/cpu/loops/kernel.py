"""The kernel of a loop: for some rows of the batch, the kernels of the body step after step.

The body is a plan of its own. Its table of buffers stands on the stack; before each step the
entries of what is scanned and put out are moved on, and the carried values change places. A piece
has memory of its own for intermediate values, small enough to stay in a cache close by. Pieces do
not wait for each other. Where the rows do not divide evenly the last blocks overlap: what both
compute is the same to the bit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from chainrule.backends.cpu.addressing import base, kernel_function
from chainrule.backends.cpu.ir import Function, Register, constant
from chainrule.backends.cpu.target import Target
from chainrule.backends.cpu.views import View

if TYPE_CHECKING:
    from chainrule.backends.cpu.plan import Plan

# Stands for the name of a body's kernel until its text, of which the name is made, is known.
_NAME = "K"


class Carried(NamedTuple):
    """A carried value.

    Attributes:
        read: the body's buffer of its value before a step.
        written: the body's buffer of its value after it.
        first: where it stands before the loop.
        last: where it stands after it.
        spare: memory for two values a piece; None where ``written`` is an output of every step.
        bytes: of a block of rows.
    """

    read: int
    written: int
    first: View
    last: View
    spare: View | None
    bytes: int


class Stepped(NamedTuple):
    """An entry of each step, read or written.

    Attributes:
        buffer: of the body.
        stack: all entries, the step first.
    """

    buffer: int
    stack: View


class Fixed(NamedTuple):
    """A buffer of the body that stays where it is.

    Attributes:
        buffer: of the body.
        view: where it stands.
        is_batch: whether a piece sees rows of it.
    """

    buffer: int
    view: View
    is_batch: bool


@dataclass(eq=False)
class Loop:
    """A loop over a body.

    Attributes:
        body: the plan of one step for one block of rows.
        length: the number of steps.
        reverse: whether the last entry comes first.
        rows: of the batch; 0 where rows are not cut.
        block: rows of a piece.
        carried: what goes from step to step.
        entries: what is read or written at each step's place.
        fixed: constants, and what is the same in all steps.
        arena: memory for the intermediate values of all pieces.
        offsets: where in a piece's part of it each temporary of the body stands.
        scope: the layer.
    """

    body: Plan
    length: int
    reverse: bool
    rows: int
    block: int
    carried: Sequence[Carried]
    entries: Sequence[Stepped]
    outputs: Sequence[Stepped]
    fixed: Sequence[Fixed]
    arena: View
    offsets: dict[int, int]
    scope: str = ""

    @property
    def blocks(self) -> int:
        """The number of blocks of rows."""
        return -(-self.rows // self.block) if self.rows else 1

    def pieces(self, target: Target) -> int:
        """One for each block of rows."""
        return self.blocks

    def buffers_read(self) -> set[int]:
        """The buffers it reads."""
        read = {c.first.buffer for c in self.carried} | {e.stack.buffer for e in self.entries}
        return read | {f.view.buffer for f in self.fixed}

    def buffers_written(self) -> set[int]:
        """The buffers it writes."""
        written = {c.last.buffer for c in self.carried} | {o.stack.buffer for o in self.outputs}
        written |= {c.spare.buffer for c in self.carried if c.spare is not None}
        return written | {self.arena.buffer}

    def updates(self, source: int, target: int) -> bool:
        """Never: what it reads is read in many steps."""
        return False

    def emit(self, name: str, target: Target) -> Function:
        """The kernel's function ``(buffers, piece)``."""
        return _Emitter(self, name, target).emit()


class _Emitter:
    def __init__(self, loop: Loop, name: str, target: Target) -> None:
        self.loop = loop
        self.target = target
        self.f = kernel_function(name)
        self.pieces = loop.blocks
        self.table = self.f.stack(8 * max(1, len(loop.body.buffers)))

    def emit(self) -> Function:
        """All of it."""
        f, loop = self.f, self.loop
        self._row = self._first_row()
        self._place_fixed()
        calls = self._calls()
        stacks = [self._start(e.stack, 1) for e in (*loop.entries, *loop.outputs)]
        spares = [self._spare(c) for c in loop.carried]
        lasts = [self._start(c.last, 0) for c in loop.carried]
        firsts = [self._start(c.first, 0) for c in loop.carried]
        outputs = {o.buffer: i for i, o in enumerate(loop.outputs, len(loop.entries))}
        with f.loop(0, loop.length, 1, firsts) as steps:
            step = steps.index
            if loop.reverse:
                step = f.binary("sub", constant(loop.length - 1, "i64"), step)
            places = []
            for entry, start in zip((*loop.entries, *loop.outputs), stacks, strict=True):
                stride = entry.stack.strides[0] * entry.stack.dtype.itemsize
                places.append(f.at(start, f.binary("mul", step, constant(stride, "i64"))))
                self._enter(entry.buffer, places[-1])
            following = []
            for number, carried in enumerate(loop.carried):
                self._enter(carried.read, steps.values[number])
                spare = spares[number]
                if spare is None:
                    following.append(places[outputs[carried.written]])
                else:
                    following.append(self._other(steps.index, spare, lasts[number], carried.bytes))
                    self._enter(carried.written, following[-1])
            for call in calls:
                f.do(call)
            steps.next = following
        for number, carried in enumerate(loop.carried):
            if carried.spare is None:
                self._copy(steps.results[number], lasts[number], carried.bytes)
        return f

    def _first_row(self) -> Register | None:
        """The first row of this piece."""
        loop, f = self.loop, self.f
        if self.pieces == 1:
            return None
        return f.binary(
            "udiv",
            f.binary("mul", f.arguments[1], constant(loop.rows - loop.block, "i64")),
            constant(self.pieces - 1, "i64"),
        )

    def _start(self, view: View, axis: int, is_batch: bool = True) -> Register:
        """Where the rows of this piece begin in a view whose rows are along an axis."""
        pointer = base(self.f, view)
        if self._row is None or not is_batch:
            return pointer
        stride = constant(view.strides[axis] * view.dtype.itemsize, "i64")
        return self.f.at(pointer, self.f.binary("mul", self._row, stride))

    def _enter(self, buffer: int, pointer: Register) -> None:
        self.f.store(pointer, self.f.at(self.table, 8 * buffer))

    def _place_fixed(self) -> None:
        f, loop = self.f, self.loop
        for fixed in loop.fixed:
            self._enter(fixed.buffer, self._start(fixed.view, 0, fixed.is_batch))
        arena = self._of_piece(loop.arena, loop.arena.shape[0] // self.pieces)
        for buffer, offset in loop.offsets.items():
            self._enter(buffer, f.at(arena, offset))

    def _of_piece(self, view: View, size: int) -> Register:
        pointer = base(self.f, view)
        if self.pieces == 1:
            return pointer
        return self.f.at(pointer, self.f.binary("mul", self.f.arguments[1], constant(size, "i64")))

    def _spare(self, carried: Carried) -> Register | None:
        if carried.spare is None:
            return None
        return self._of_piece(carried.spare, 2 * carried.bytes)

    def _other(self, step: Register, spare: Register, last: Register, size: int) -> Register:
        """Where a step puts a carried value: two places in turn, at the end the last one."""
        f = self.f
        turn = f.binary("and", step, constant(1, "i64"))
        place = f.at(spare, f.binary("mul", turn, constant(size, "i64")))
        is_last = f.compare("icmp eq", step, constant(self.loop.length - 1, "i64"))
        return f.select(is_last, last, place)

    def _copy(self, source: Register, target: Register, size: int) -> None:
        self.f.declarations.add("declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)")
        self.f.do(f"call void @llvm.memcpy.p0.p0.i64({target}, {source}, i64 {size}, i1 false)")

    def _calls(self) -> list[str]:
        """A call of each piece of each kernel of the body. The kernels' text goes along with what
        this function needs; equal ones, also of other loops, have one name.
        """
        calls = []
        for kernel in self.loop.body.kernels:
            function = kernel.emit(_NAME, self.target)
            text = function.text()
            name = "b" + hashlib.sha256(text.encode()).hexdigest()[:24]
            self.f.declarations |= function.declarations
            # Internal: each module of the program that has such a loop has its own.
            rest = text.partition(f"@{_NAME}(")[2]
            self.f.declarations.add(f"define internal void @{name}({rest}")
            pieces = range(kernel.pieces(self.target))
            calls += [f"call void @{name}({self.table}, i64 {i}, ptr null)" for i in pieces]
        return calls
