"""IR text of a program's entry: the function that runs its kernels, step after step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

_SHARED = """
declare void @chainrule_share(ptr, ptr, i64, i64, i64, ptr)
declare void @chainrule_barrier(ptr, i64)
declare i1 @chainrule_next(ptr, i64, i64, i64)
"""
_TICK = "declare void @chainrule_tick(ptr, i64, ptr)\n"

# Denormal numbers count as zero, results are rounded to nearest, no exception traps: set when a
# thread enters a program, and put back when it leaves.
_SET_MODE = {
    "x86_64": """
  %saved = alloca i32, align 4
  %fast = alloca i32, align 4
  call void @llvm.x86.sse.stmxcsr(ptr %saved)
  store i32 40896, ptr %fast, align 4
  call void @llvm.x86.sse.ldmxcsr(ptr %fast)
""",
    "aarch64": """
  %saved = call i64 @llvm.aarch64.get.fpcr()
  call void @llvm.aarch64.set.fpcr(i64 16777216)
""",
}
_RESTORE_MODE = {
    "x86_64": "  call void @llvm.x86.sse.ldmxcsr(ptr %saved)\n",
    "aarch64": "  call void @llvm.aarch64.set.fpcr(i64 %saved)\n",
}
_MODE = {
    "x86_64": """
declare void @llvm.x86.sse.stmxcsr(ptr)
declare void @llvm.x86.sse.ldmxcsr(ptr)
""",
    "aarch64": """
declare i64 @llvm.aarch64.get.fpcr()
declare void @llvm.aarch64.set.fpcr(i64)
""",
}


class Call(NamedTuple):
    """A kernel of a step.

    Attributes:
        function: its name.
        pieces: how many.
        places: a pointer to the places of its buffers, if it shares its function with others.
        flag: if given, it rests after the first step of a call unless the number at this position
            of the table of buffers is 0.
    """

    function: str
    pieces: int
    places: str = "null"
    flag: int | None = None


def entry_text(
    groups: Sequence[Sequence[Call]],
    architecture: str,
    *,
    name: str = "program",
    timed: bool = False,
) -> str:
    """The function that a thread enters a program by.

    It is ``void @program(ptr buffers, i64 thread, i64 threads, ptr control)``. In each step it
    calls its part of the pieces of every kernel, with a barrier between groups (none between two
    groups of single pieces: thread 0 has them all) and one at the end of the step. Kernels are
    ``void @kernel(ptr buffers, i64 piece, ptr places)``. A job has a number of tables of buffers,
    ``stride`` bytes apart: step s uses the one numbered ``(first + s) % rows``.

    Args:
        groups: kernels; those of a group do not wait for each other.
        architecture: ``"x86_64"`` or ``"aarch64"``.
        name: the function's name.
        timed: also add up the time that each kernel takes, in call order, in ``@NAME_times``.
    """
    declared = _SHARED + _MODE[architecture] + (_TICK if timed else "")
    lines: list[str] = []
    count = 0
    for position, group in enumerate(groups):
        if position and (_shared(group) or _shared(groups[position - 1])):
            lines.append("  call void @chainrule_barrier(ptr %control, i64 %threads)")
        for call in group:
            lines += _call_lines(call, count)
            if timed:
                cell = f"getelementptr (i8, ptr @{name}_times, i64 {8 * count})"
                lines.append(f"  call void @chainrule_tick(ptr %control, i64 %thread, ptr {cell})")
            count += 1
    if timed:
        declared += f"@{name}_times = global [{max(count, 1)} x i64] zeroinitializer, align 8\n"
    return f"""{declared}
define void @{name}(ptr %buffers, i64 %thread, i64 %threads, ptr %control) nounwind {{
entry:{_SET_MODE[architecture]}
  %stride.at = getelementptr i8, ptr %control, i64 544
  %stride = load i64, ptr %stride.at, align 8
  %rows.at = getelementptr i8, ptr %control, i64 552
  %rows = load i64, ptr %rows.at, align 8
  %first.at = getelementptr i8, ptr %control, i64 560
  %first = load i64, ptr %first.at, align 8
  %offset = mul i64 %first, %stride
  %b.first = getelementptr i8, ptr %buffers, i64 %offset
  br label %step
step:
  %s = phi i64 [ 0, %entry ], [ %s.next, %end ]
  %row = phi i64 [ %first, %entry ], [ %row.next, %end ]
  %b = phi ptr [ %b.first, %entry ], [ %b.next, %end ]
{chr(10).join(lines)}
  br label %end
end:
  %s.next = add i64 %s, 1
  %row.more = add i64 %row, 1
  %b.more = getelementptr i8, ptr %b, i64 %stride
  %last = icmp eq i64 %row.more, %rows
  %row.next = select i1 %last, i64 0, i64 %row.more
  %b.next = select i1 %last, ptr %buffers, ptr %b.more
  %more = call i1 @chainrule_next(ptr %control, i64 %thread, i64 %threads, i64 %s)
  br i1 %more, label %step, label %done
done:
{_RESTORE_MODE[architecture]}  ret void
}}
"""


def _call_lines(call: Call, number: int) -> list[str]:
    """A thread's part of a kernel; with a flag only in the first step, or while the flag is 0."""
    arguments = f"ptr @{call.function}, ptr %b, i64 {call.pieces}, i64 %thread, i64 %threads"
    line = f"  call void @chainrule_share({arguments}, ptr {call.places})"
    if call.flag is None:
        return [line]
    name = f"c{number}"
    return [
        f"  %{name}.at = getelementptr i8, ptr %b, i64 {8 * call.flag}",
        f"  %{name}.flag = load i64, ptr %{name}.at, align 8",
        f"  %{name}.first = icmp eq i64 %s, 0",
        f"  %{name}.changing = icmp eq i64 %{name}.flag, 0",
        f"  %{name}.due = or i1 %{name}.first, %{name}.changing",
        f"  br i1 %{name}.due, label %{name}.run, label %{name}.done",
        f"{name}.run:",
        line,
        f"  br label %{name}.done",
        f"{name}.done:",
    ]


def _shared(group: Sequence[Call]) -> bool:
    """Do several threads have a part in it?"""
    return any(call.pieces > 1 for call in group)
