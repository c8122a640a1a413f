"""LLVM IR as text: registers with types, and a builder of one function at a time.

Only text is made here; ``llvm.py`` alone talks to LLVM. Names in the text come from counters.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

# Scalar types of registers; booleans are i1 in registers and i8 in memory.
BYTES = {"i1": 1, "i8": 1, "i16": 2, "i32": 4, "i64": 8, "float": 4, "double": 8, "ptr": 8}
SCALARS = {
    "bool": "i1", "uint8": "i8", "int32": "i32", "uint32": "i32", "int64": "i64",
    "float32": "float", "float64": "double",
}  # fmt: skip


class Register(NamedTuple):
    """A value of LLVM: its text (``%t3`` or a constant), its scalar type and its number of lanes.

    One lane is a plain scalar, more are a vector.
    """

    text: str
    scalar: str
    lanes: int = 1

    @property
    def type(self) -> str:
        """Its LLVM type, such as ``<16 x float>``."""
        return type_text(self.scalar, self.lanes)

    def __str__(self) -> str:
        return f"{self.type} {self.text}"


def type_text(scalar: str, lanes: int) -> str:
    """``float``, or ``<16 x float>``."""
    return scalar if lanes == 1 else f"<{lanes} x {scalar}>"


def constant(value: float, scalar: str, lanes: int = 1) -> Register:
    """A constant, the same in every lane."""
    if scalar in ("float", "double"):
        number = float(np.float32(value)) if scalar == "float" else float(value)
        bits = struct.unpack("<Q", struct.pack("<d", number))[0]
        text = f"0x{bits:016X}"
    elif scalar == "i1":
        text = "true" if value else "false"
    else:
        text = str(int(value))
    return Register(text if lanes == 1 else f"splat ({scalar} {text})", scalar, lanes)


def lane_numbers(lanes: int) -> Register:
    """0, 1, 2, ... in the lanes."""
    if lanes == 1:
        return constant(0, "i32")
    return Register(f"<{', '.join(f'i32 {lane}' for lane in range(lanes))}>", "i32", lanes)


class Loop:
    """A loop under construction: ``index`` and ``values`` inside, ``results`` after it."""

    def __init__(self, index: Register, values: list[Register]) -> None:
        self.index = index
        self.values = values
        self.next: list[Register] = []
        self.results: list[Register] = []


class Function:
    """One function of IR under construction; each method appends an instruction and returns its
    register.

    Args:
        name: its name, from a counter.
        arguments: pairs of a scalar type and a name.
        attributes: LLVM function attributes.

    Attributes:
        buffers: of a kernel, the buffers that it names, in the order of their first use.
        declarations: of the functions that it calls.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[tuple[str, str]],
        attributes: str = "nounwind",
        linkage: str = "",
        result: str = "void",
    ) -> None:
        self.name = name
        self.result = result
        self.arguments = [Register(f"%{n}", t) for t, n in arguments]
        head = ", ".join(map(str, self.arguments))
        self._lines = [f"define {linkage} {result} @{name}({head}) {attributes} {{", "entry:"]
        self._count = 0
        self._block = "entry"
        self._pointers: list[tuple[int, Register, int]] = []
        self.buffers: list[int] = []
        self.declarations: set[str] = set()

    # ---- text

    def emit(self, instruction: str, scalar: str, lanes: int = 1) -> Register:
        """Append an instruction that gives a value of this type."""
        self._count += 1
        self._lines.append(f"  %t{self._count} = {instruction}")
        return Register(f"%t{self._count}", scalar, lanes)

    def do(self, instruction: str) -> None:
        """Append an instruction without a value."""
        self._lines.append(f"  {instruction}")

    def label(self) -> str:
        """A new name for a block."""
        self._count += 1
        return f"b{self._count}"

    def start(self, label: str) -> None:
        """Begin a block."""
        self._lines.append(f"{label}:")
        self._block = label

    def text(self, returned: Register | None = None, *, shared: bool = False) -> str:
        """The whole function.

        Args:
            returned: what it returns.
            shared: of a kernel, leave it to its third argument where the buffers stand.
        """
        lines = list(self._lines)
        for line, place, slot in self._pointers:
            offset = str(8 * self.buffers[slot])
            if shared:
                offset = f"{place.text}.n"
                at = f"{place.text}.at"
                lines[line] = f"  {at} = getelementptr i64, {self.arguments[2]}, i64 {slot}\n"
                lines[line] += f"  {offset} = load i64, ptr {at}, align 8\n"
            else:
                lines[line] = ""
            lines[line] += f"  {place.text} = getelementptr i8, {self.arguments[0]}, i64 {offset}"
        last = f"  ret {returned}" if returned is not None else "  ret void"
        return "\n".join([*lines, last, "}", ""])

    @property
    def code(self) -> str:
        """The text without its name and without the numbers of buffers: equal for kernels that do
        the same in other places.
        """
        return "\n".join(self._lines[1:])

    # ---- arithmetic

    def binary(self, operation: str, x: Register, y: Register) -> Register:
        """``fadd``, ``mul``, ``and``, ...: both of one type, which the result has too."""
        return self.emit(f"{operation} {x}, {y.text}", x.scalar, x.lanes)

    def compare(self, operation: str, x: Register, y: Register) -> Register:
        """``fcmp olt``, ``icmp eq``, ...: gives i1 lanes."""
        return self.emit(f"{operation} {x}, {y.text}", "i1", x.lanes)

    def select(self, condition: Register, x: Register, y: Register) -> Register:
        """``x`` where the condition's lane is true, else ``y``."""
        return self.emit(f"select {condition}, {x}, {y}", x.scalar, x.lanes)

    def cast(self, operation: str, x: Register, scalar: str) -> Register:
        """``sitofp``, ``fptosi``, ``zext``, ``bitcast``, ...: lane by lane."""
        return self.emit(f"{operation} {x} to {type_text(scalar, x.lanes)}", scalar, x.lanes)

    def negative(self, x: Register) -> Register:
        """-x of floating lanes."""
        return self.emit(f"fneg {x}", x.scalar, x.lanes)

    def intrinsic(self, name: str, *arguments: Register) -> Register:
        """An LLVM intrinsic whose result and arguments all have the first argument's type: fma,
        sqrt, fabs, floor, ...
        """
        x = arguments[0]
        full = f"llvm.{name}.{_suffix(x.scalar, x.lanes)}"
        self.declarations.add(f"declare {x.type} @{full}({', '.join(a.type for a in arguments)})")
        return self.emit(
            f"call {x.type} @{full}({', '.join(map(str, arguments))})", x.scalar, x.lanes
        )

    def saturating_integer(self, x: Register, scalar: str, *, signed: bool) -> Register:
        """Floats cut to integers; what lies outside goes to the nearest end, NaN to 0."""
        source = {"float": "f32", "double": "f64"}[x.scalar]
        vector = "" if x.lanes == 1 else f"v{x.lanes}"
        name = f"llvm.fpto{'s' if signed else 'u'}i.sat.{vector}{scalar}.{vector}{source}"
        result = type_text(scalar, x.lanes)
        self.declarations.add(f"declare {result} @{name}({x.type})")
        return self.emit(f"call {result} @{name}({x})", scalar, x.lanes)

    def fma(self, x: Register, y: Register, z: Register) -> Register:
        """x * y + z with one rounding."""
        return self.intrinsic("fma", x, y, z)

    def splat(self, x: Register, lanes: int) -> Register:
        """A scalar in every lane."""
        if lanes == 1:
            return x
        vector = type_text(x.scalar, lanes)
        first = self.emit(f"insertelement {vector} poison, {x}, i32 0", x.scalar, lanes)
        mask = f"<{lanes} x i32> zeroinitializer"
        return self.emit(f"shufflevector {first}, {vector} poison, {mask}", x.scalar, lanes)

    def extract(self, x: Register, lane: int) -> Register:
        """One lane as a scalar."""
        return x if x.lanes == 1 else self.emit(f"extractelement {x}, i32 {lane}", x.scalar)

    def insert(self, x: Register, value: Register, lane: int) -> Register:
        """``x`` with one lane replaced."""
        return self.emit(f"insertelement {x}, {value}, i32 {lane}", x.scalar, x.lanes)

    def shuffle(self, x: Register, y: Register, lanes: Sequence[int]) -> Register:
        """Lanes of two vectors, numbered one after the other, in a new order."""
        mask = ", ".join(f"i32 {lane}" for lane in lanes)
        text = f"shufflevector {x}, {y}, <{len(lanes)} x i32> <{mask}>"
        return self.emit(text, x.scalar, len(lanes))

    # ---- memory; offsets are in bytes

    def stack(self, size: int, alignment: int = 64) -> Register:
        """Memory of this call; to be asked for before the first block."""
        return self.emit(f"alloca [{size} x i8], align {alignment}", "ptr")

    def buffer(self, number: int) -> Register:
        """The address of a buffer, from a kernel's first argument, the table of buffers."""
        if number not in self.buffers:
            self.buffers.append(number)
        slot = self.buffers.index(number)
        place = self.emit(f"buffer {slot}", "ptr")
        self._pointers.append((len(self._lines) - 1, place, slot))
        return self.load(place, "ptr")

    def at(self, pointer: Register, offset: Register | int) -> Register:
        """The pointer moved by a number of bytes."""
        if offset == 0:
            return pointer
        step = f"i64 {offset}" if isinstance(offset, int) else str(offset)
        return self.emit(f"getelementptr i8, {pointer}, {step}", "ptr")

    def load(self, pointer: Register, scalar: str, lanes: int = 1) -> Register:
        """Read lanes that stand side by side; booleans are bytes in memory."""
        if scalar == "i1":
            byte = self.load(pointer, "i8", lanes)
            return self.compare("icmp ne", byte, constant(0, "i8", lanes))
        text = f"load {type_text(scalar, lanes)}, {pointer}, align {BYTES[scalar]}"
        return self.emit(text, scalar, lanes)

    def store(self, x: Register, pointer: Register) -> None:
        """Write lanes side by side; booleans are bytes in memory."""
        if x.scalar == "i1":
            x = self.cast("zext", x, "i8")
        self.do(f"store {x}, {pointer}, align {BYTES[x.scalar]}")

    def prefetch(self, pointer: Register) -> None:
        """Begin to bring a cache line near."""
        self.declarations.add("declare void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        self.do(f"call void @llvm.prefetch.p0({pointer}, i32 0, i32 3, i32 1)")

    def load_part(self, pointer: Register, scalar: str, lanes: int, count: int) -> Register:
        """Read the first ``count`` lanes side by side; the others are 0, and not read."""
        if count == lanes:
            return self.load(pointer, scalar, lanes)
        if scalar == "i1":
            byte = self.load_part(pointer, "i8", lanes, count)
            return self.compare("icmp ne", byte, constant(0, "i8", lanes))
        vector, mask = type_text(scalar, lanes), _first_lanes(lanes, count)
        name = f"llvm.masked.load.{_suffix(scalar, lanes)}.p0"
        self.declarations.add(f"declare {vector} @{name}(ptr, i32, <{lanes} x i1>, {vector})")
        arguments = f"{pointer}, i32 {BYTES[scalar]}, {mask}, {vector} zeroinitializer"
        return self.emit(f"call {vector} @{name}({arguments})", scalar, lanes)

    def store_part(self, x: Register, pointer: Register, count: int) -> None:
        """Write the first ``count`` lanes side by side."""
        if count == x.lanes:
            self.store(x, pointer)
            return
        if x.scalar == "i1":
            x = self.cast("zext", x, "i8")
        name = f"llvm.masked.store.{_suffix(x.scalar, x.lanes)}.p0"
        self.declarations.add(f"declare void @{name}({x.type}, ptr, i32, <{x.lanes} x i1>)")
        mask = _first_lanes(x.lanes, count)
        self.do(f"call void @{name}({x}, {pointer}, i32 {BYTES[x.scalar]}, {mask})")

    # ---- control

    @contextmanager
    def loop(
        self,
        start: Register | int,
        stop: Register | int,
        step: int = 1,
        carried: Sequence[Register] = (),
    ) -> Iterator[Loop]:
        """``for index in range(start, stop, step)``, zero trips included.

        ``carried`` are the first values of what the loop carries from trip to trip: read ``values``
        inside, set ``next`` to as many registers, read ``results`` after the loop.
        """
        first, last = (_index(start), _index(stop))
        before, head, body, done = self._block, self.label(), self.label(), self.label()
        self.do(f"br label %{head}")
        self.start(head)
        place = len(self._lines)
        index = self.emit("phi i64", "i64")
        values = [self.emit(f"phi {x.type}", x.scalar, x.lanes) for x in carried]
        more = self.compare("icmp slt", index, last)
        self.do(f"br {more}, label %{body}, label %{done}")
        self.start(body)
        loop = Loop(index, values)
        yield loop
        following = self.binary("add nsw", index, constant(step, "i64"))
        for i, (a, b) in enumerate(zip([first, *carried], [following, *loop.next], strict=True)):
            self._lines[place + i] += f" [{a.text}, %{before}], [{b.text}, %{self._block}]"
        self.do(f"br label %{head}")
        self.start(done)
        loop.results = values

    @contextmanager
    def when(self, condition: Register) -> Iterator[None]:
        """Run what is inside only if the condition (one lane) holds."""
        inside, after = self.label(), self.label()
        self.do(f"br {condition}, label %{inside}, label %{after}")
        self.start(inside)
        yield
        self.do(f"br label %{after}")
        self.start(after)


def _suffix(scalar: str, lanes: int) -> str:
    """How LLVM names a type in the names of its intrinsics: ``v16f32``."""
    name = {"float": "f32", "double": "f64"}.get(scalar, scalar)
    return name if lanes == 1 else f"v{lanes}{name}"


def _first_lanes(lanes: int, count: int) -> str:
    """The mask of the first lanes."""
    bits = ", ".join(f"i1 {'true' if lane < count else 'false'}" for lane in range(lanes))
    return f"<{lanes} x i1> <{bits}>"


def _index(x: Register | int) -> Register:
    return constant(x, "i64") if isinstance(x, int) else x
