"""IR text of what compiled programs share at run time: clock, waiting, barrier, workers.

Each number that a thread may wait for stands on a 128-byte line of its own, followed by the count
of the threads that sleep until it changes: who changes it wakes them only if there are any. A
thread that waits spins, then gives its time away, then sleeps: in a futex on Linux, in
``WaitOnAddress`` on Windows, else on a POSIX condition.

The control block of a pool of workers, in bytes:

    0    threads that have come to the barrier
    128  the barrier's generation, its sleepers, and two flags: does the program take another step?
    256  workers that have left the program, and who sleeps until all have
    384  is the pool taken?
    512  the job: see ``JOB``
    768  mutex and condition, where there is no futex
    1024 for each worker a line: the number of its job
"""

from __future__ import annotations

from string import Template

# What a job is, eight bytes each: written by who calls ``chainrule_alone`` or
# ``chainrule_together``. The last two are answers. Times are in ticks of ``chainrule_clock``.
JOB = (
    "entry", "buffers", "threads", "steps", "stride", "rows", "first", "budget", "slack",
    "step_ticks", "done", "elapsed",
)  # fmt: skip
FUNCTIONS = (
    "chainrule_clock", "chainrule_share", "chainrule_barrier", "chainrule_next", "chainrule_tick",
    "chainrule_once", "chainrule_alone", "chainrule_together", "chainrule_worker", "chainrule_stop",
    "chainrule_prepare",
)  # fmt: skip
MAILBOXES, LINE = 1024, 128
# Waiting inside a program: about a millisecond awake. Between programs: some ten microseconds.
SPINS, YIELDS, IDLE_YIELDS = 200, 1000, 100
_FUTEX = {"x86_64": 202, "aarch64": 98}

_CLOCK = {
    "x86_64": """
declare i64 @llvm.readcyclecounter()
declare void @llvm.x86.sse2.pause()
define i64 @chainrule_clock() nounwind {
  %now = call i64 @llvm.readcyclecounter()
  ret i64 %now
}
define internal void @pause() nounwind {
  call void @llvm.x86.sse2.pause()
  ret void
}
""",
    "aarch64": """
declare i64 @llvm.read_volatile_register.i64(metadata)
!0 = !{!"CNTVCT_EL0"}
declare void @llvm.aarch64.isb(i32)
define i64 @chainrule_clock() nounwind {
  %now = call i64 @llvm.read_volatile_register.i64(metadata !0)
  ret i64 %now
}
define internal void @pause() nounwind {
  call void @llvm.aarch64.isb(i32 15)
  ret void
}
""",
}

_SLEEP = {
    "linux": """
declare i32 @sched_yield()
declare i64 @syscall(i64, ...)
define internal void @give_way() nounwind {
  %ignored = call i32 @sched_yield()
  ret void
}
define internal void @sleep(ptr %control, ptr %word, i32 %old) nounwind {
  %ignored = call i64 (i64, ...) @syscall(i64 $futex, ptr %word, i64 128, i32 %old, ptr null)
  ret void
}
define internal void @rouse(ptr %control, ptr %word) nounwind {
  %ignored = call i64 (i64, ...) @syscall(i64 $futex, ptr %word, i64 129, i32 2147483647)
  ret void
}
define void @chainrule_prepare(ptr %control) nounwind {
  ret void
}
""",
    "windows": """
declare i32 @SwitchToThread()
declare i32 @WaitOnAddress(ptr, ptr, i64, i32)
declare void @WakeByAddressAll(ptr)
define internal void @give_way() nounwind {
  %ignored = call i32 @SwitchToThread()
  ret void
}
define internal void @sleep(ptr %control, ptr %word, i32 %old) nounwind {
  %box = alloca i32, align 4
  store i32 %old, ptr %box, align 4
  %ignored = call i32 @WaitOnAddress(ptr %word, ptr %box, i64 4, i32 -1)
  ret void
}
define internal void @rouse(ptr %control, ptr %word) nounwind {
  call void @WakeByAddressAll(ptr %word)
  ret void
}
define void @chainrule_prepare(ptr %control) nounwind {
  ret void
}
""",
    "posix": """
declare i32 @sched_yield()
declare i32 @pthread_mutex_init(ptr, ptr)
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_init(ptr, ptr)
declare i32 @pthread_cond_wait(ptr, ptr)
declare i32 @pthread_cond_broadcast(ptr)
define internal void @give_way() nounwind {
  %ignored = call i32 @sched_yield()
  ret void
}
define internal void @sleep(ptr %control, ptr %word, i32 %old) nounwind {
entry:
  %mutex = getelementptr i8, ptr %control, i64 768
  %condition = getelementptr i8, ptr %control, i64 896
  %locked = call i32 @pthread_mutex_lock(ptr %mutex)
  br label %look
look:
  %now = load atomic i32, ptr %word acquire, align 4
  %same = icmp eq i32 %now, %old
  br i1 %same, label %rest, label %done
rest:
  %woken = call i32 @pthread_cond_wait(ptr %condition, ptr %mutex)
  br label %look
done:
  %unlocked = call i32 @pthread_mutex_unlock(ptr %mutex)
  ret void
}
define internal void @rouse(ptr %control, ptr %word) nounwind {
  %mutex = getelementptr i8, ptr %control, i64 768
  %condition = getelementptr i8, ptr %control, i64 896
  %locked = call i32 @pthread_mutex_lock(ptr %mutex)
  %told = call i32 @pthread_cond_broadcast(ptr %condition)
  %unlocked = call i32 @pthread_mutex_unlock(ptr %mutex)
  ret void
}
define void @chainrule_prepare(ptr %control) nounwind {
  %mutex = getelementptr i8, ptr %control, i64 768
  %condition = getelementptr i8, ptr %control, i64 896
  %one = call i32 @pthread_mutex_init(ptr %mutex, ptr null)
  %two = call i32 @pthread_cond_init(ptr %condition, ptr null)
  ret void
}
""",
}

_BARRIER = """
; Returns when the number at %word is no longer %old.
define internal void @wait(ptr %control, ptr %word, i32 %old, i32 %awake) nounwind {
entry:
  br label %look
look:
  %i = phi i32 [ 0, %entry ], [ %j, %again ]
  %now = load atomic i32, ptr %word acquire, align 4
  %changed = icmp ne i32 %now, %old
  br i1 %changed, label %done, label %soon
soon:
  %spinning = icmp ult i32 %i, $spins
  br i1 %spinning, label %spin, label %later
spin:
  call void @pause()
  br label %again
later:
  %yielding = icmp ult i32 %i, %awake
  br i1 %yielding, label %yield, label %rest
yield:
  call void @give_way()
  br label %again
rest:
  %sleepers = getelementptr i8, ptr %word, i64 4
  %in = atomicrmw add ptr %sleepers, i32 1 seq_cst
  call void @sleep(ptr %control, ptr %word, i32 %old)
  %out = atomicrmw sub ptr %sleepers, i32 1 seq_cst
  br label %again
again:
  %j = add i32 %i, 1
  br label %look
done:
  ret void
}

; Adds one to the number at %word and wakes who sleeps there.
define internal void @raise(ptr %control, ptr %word) nounwind {
entry:
  %old = atomicrmw add ptr %word, i32 1 seq_cst
  %sleepers = getelementptr i8, ptr %word, i64 4
  %count = load atomic i32, ptr %sleepers seq_cst, align 4
  %asleep = icmp ne i32 %count, 0
  br i1 %asleep, label %wake, label %done
wake:
  call void @rouse(ptr %control, ptr %word)
  br label %done
done:
  ret void
}

define void @chainrule_barrier(ptr %control, i64 %threads) nounwind {
entry:
  %many = icmp ugt i64 %threads, 1
  br i1 %many, label %come, label %done
come:
  %word = getelementptr i8, ptr %control, i64 128
  %generation = load atomic i32, ptr %word acquire, align 4
  %before = atomicrmw add ptr %control, i32 1 acq_rel
  %all = trunc i64 %threads to i32
  %others = sub i32 %all, 1
  %last = icmp eq i32 %before, %others
  br i1 %last, label %open, label %stay
open:
  store atomic i32 0, ptr %control monotonic, align 4
  call void @raise(ptr %control, ptr %word)
  br label %done
stay:
  call void @wait(ptr %control, ptr %word, i32 %generation, i32 $awake)
  br label %done
done:
  ret void
}

; A thread's part of a kernel's pieces: thread, thread + threads, ...
define void @chainrule_share(
    ptr %kernel, ptr %buffers, i64 %pieces, i64 %thread, i64 %threads, ptr %places) nounwind {
entry:
  br label %head
head:
  %piece = phi i64 [ %thread, %entry ], [ %next, %body ]
  %more = icmp ult i64 %piece, %pieces
  br i1 %more, label %body, label %done
body:
  call void %kernel(ptr %buffers, i64 %piece, ptr %places)
  %next = add i64 %piece, %threads
  br label %head
done:
  ret void
}

; The end of a step: all threads meet, and all take another one or none does. Thread 0 decides: the
; steps may be over or the time may be up. The two flags alternate, so that none is written while
; a late thread still reads it.
define i1 @chainrule_next(ptr %control, i64 %thread, i64 %threads, i64 %step) nounwind {
entry:
  %taken = add i64 %step, 1
  %odd = and i64 %taken, 1
  %index = shl i64 %odd, 2
  %flags = getelementptr i8, ptr %control, i64 136
  %flag = getelementptr i8, ptr %flags, i64 %index
  %first = icmp eq i64 %thread, 0
  br i1 %first, label %decide, label %meet
decide:
  %steps.at = getelementptr i8, ptr %control, i64 536
  %steps = load i64, ptr %steps.at, align 8
  %budget.at = getelementptr i8, ptr %control, i64 568
  %budget = load i64, ptr %budget.at, align 8
  %slack.at = getelementptr i8, ptr %control, i64 576
  %slack = load i64, ptr %slack.at, align 8
  %each.at = getelementptr i8, ptr %control, i64 584
  %each = load i64, ptr %each.at, align 8
  %start.at = getelementptr i8, ptr %control, i64 600
  %start = load i64, ptr %start.at, align 8
  %done.at = getelementptr i8, ptr %control, i64 592
  store i64 %taken, ptr %done.at, align 8
  %now = call i64 @chainrule_clock()
  %elapsed = sub i64 %now, %start
  %fair = mul i64 %each, %taken
  %allowed = add i64 %fair, %slack
  %left = icmp ult i64 %taken, %steps
  %early = icmp ult i64 %elapsed, %budget
  %quick = icmp ult i64 %elapsed, %allowed
  %time = and i1 %early, %quick
  %more = and i1 %left, %time
  %word = zext i1 %more to i32
  store atomic i32 %word, ptr %flag monotonic, align 4
  br label %meet
meet:
  call void @chainrule_barrier(ptr %control, i64 %threads)
  %said = load atomic i32, ptr %flag monotonic, align 4
  %again = icmp ne i32 %said, 0
  ret i1 %again
}

; Adds the time since the last call to a cell: thread 0's view of a kernel and of the wait after it.
define void @chainrule_tick(ptr %control, i64 %thread, ptr %cell) nounwind {
entry:
  %first = icmp eq i64 %thread, 0
  br i1 %first, label %measure, label %done
measure:
  %last.at = getelementptr i8, ptr %control, i64 608
  %last = load i64, ptr %last.at, align 8
  %now = call i64 @chainrule_clock()
  %passed = sub i64 %now, %last
  %old = load i64, ptr %cell, align 8
  %new = add i64 %old, %passed
  store i64 %new, ptr %cell, align 8
  %after = call i64 @chainrule_clock()
  store i64 %after, ptr %last.at, align 8
  br label %done
done:
  ret void
}
"""

_LAUNCH = """
define internal void @begin(ptr %control, ptr %job) nounwind {
  %order = load <10 x i64>, ptr %job, align 8
  %place = getelementptr i8, ptr %control, i64 512
  store <10 x i64> %order, ptr %place, align 8
  %now = call i64 @chainrule_clock()
  %start = getelementptr i8, ptr %control, i64 600
  store i64 %now, ptr %start, align 8
  %last = getelementptr i8, ptr %control, i64 608
  store i64 %now, ptr %last, align 8
  ret void
}
define internal void @finish(ptr %control, ptr %job) nounwind {
  %done.at = getelementptr i8, ptr %control, i64 592
  %done = load i64, ptr %done.at, align 8
  %start.at = getelementptr i8, ptr %control, i64 600
  %start = load i64, ptr %start.at, align 8
  %now = call i64 @chainrule_clock()
  %elapsed = sub i64 %now, %start
  %done.to = getelementptr i8, ptr %job, i64 80
  store i64 %done, ptr %done.to, align 8
  %elapsed.to = getelementptr i8, ptr %job, i64 88
  store i64 %elapsed, ptr %elapsed.to, align 8
  ret void
}
define internal void @enter(ptr %control, i64 %thread, i64 %threads) nounwind {
  %entry.at = getelementptr i8, ptr %control, i64 512
  %entry = load ptr, ptr %entry.at, align 8
  %buffers.at = getelementptr i8, ptr %control, i64 520
  %buffers = load ptr, ptr %buffers.at, align 8
  call void %entry(ptr %buffers, i64 %thread, i64 %threads, ptr %control)
  ret void
}

define void @chainrule_alone(ptr %job) nounwind {
  %control = alloca [640 x i8], align 128
  call void @begin(ptr %control, ptr %job)
  call void @enter(ptr %control, i64 0, i64 1)
  call void @finish(ptr %control, ptr %job)
  ret void
}

; One step on this thread.
define void @chainrule_once(ptr %entry, ptr %buffers) nounwind {
  %control = alloca [640 x i8], align 128
  %job = alloca [10 x i64], align 8
  store <10 x i64> <i64 0, i64 0, i64 1, i64 1, i64 0, i64 1, i64 0, i64 0, i64 0, i64 0>,
      ptr %job, align 8
  call void @begin(ptr %control, ptr %job)
  call void %entry(ptr %buffers, i64 0, i64 1, ptr %control)
  ret void
}

; Takes the pool if it is free.
define internal i1 @take(ptr %control) nounwind {
  %busy = getelementptr i8, ptr %control, i64 384
  %pair = cmpxchg ptr %busy, i32 0, i32 1 acquire monotonic
  %got = extractvalue { i32, i1 } %pair, 1
  ret i1 %got
}
define internal void @post(ptr %control, i64 %threads) nounwind {
entry:
  br label %head
head:
  %thread = phi i64 [ 1, %entry ], [ %next, %body ]
  %more = icmp ult i64 %thread, %threads
  br i1 %more, label %body, label %done
body:
  %line = mul i64 %thread, $line
  %place = add i64 %line, $mailboxes
  %mailbox = getelementptr i8, ptr %control, i64 %place
  call void @raise(ptr %control, ptr %mailbox)
  %next = add i64 %thread, 1
  br label %head
done:
  ret void
}

; Runs a job on the calling thread and on workers; 0 if another thread has the pool.
define i32 @chainrule_together(ptr %control, ptr %job) nounwind {
entry:
  %got = call i1 @take(ptr %control)
  br i1 %got, label %run, label %refuse
refuse:
  ret i32 0
run:
  call void @begin(ptr %control, ptr %job)
  %left = getelementptr i8, ptr %control, i64 256
  store atomic i32 0, ptr %left monotonic, align 4
  %threads.at = getelementptr i8, ptr %control, i64 528
  %threads = load i64, ptr %threads.at, align 8
  %all = trunc i64 %threads to i32
  %others = sub i32 %all, 1
  call void @post(ptr %control, i64 %threads)
  call void @enter(ptr %control, i64 0, i64 %threads)
  br label %look
look:
  %count = load atomic i32, ptr %left acquire, align 4
  %gone = icmp eq i32 %count, %others
  br i1 %gone, label %done, label %stay
stay:
  call void @wait(ptr %control, ptr %left, i32 %count, i32 $awake)
  br label %look
done:
  call void @finish(ptr %control, ptr %job)
  %busy = getelementptr i8, ptr %control, i64 384
  store atomic i32 0, ptr %busy release, align 4
  ret i32 1
}

; The life of a worker: until a job without an entry comes.
define void @chainrule_worker(ptr %control, i64 %thread) nounwind {
entry:
  %line = mul i64 %thread, $line
  %place = add i64 %line, $mailboxes
  %mailbox = getelementptr i8, ptr %control, i64 %place
  %left = getelementptr i8, ptr %control, i64 256
  %entry.at = getelementptr i8, ptr %control, i64 512
  %threads.at = getelementptr i8, ptr %control, i64 528
  br label %top
top:
  %seen = phi i32 [ 0, %entry ], [ %now, %run ]
  call void @wait(ptr %control, ptr %mailbox, i32 %seen, i32 $idle)
  %now = add i32 %seen, 1
  %code = load ptr, ptr %entry.at, align 8
  %none = icmp eq ptr %code, null
  br i1 %none, label %out, label %run
run:
  %threads = load i64, ptr %threads.at, align 8
  call void @enter(ptr %control, i64 %thread, i64 %threads)
  call void @raise(ptr %control, ptr %left)
  br label %top
out:
  ret void
}

; Sends all workers home; 0 if a job is running. The pool stays taken.
define i32 @chainrule_stop(ptr %control, i64 %size) nounwind {
entry:
  %got = call i1 @take(ptr %control)
  br i1 %got, label %tell, label %refuse
tell:
  %entry.at = getelementptr i8, ptr %control, i64 512
  store ptr null, ptr %entry.at, align 8
  call void @post(ptr %control, i64 %size)
  ret i32 1
refuse:
  ret i32 0
}
"""


def runtime_text(architecture: str, system: str) -> str:
    """The module of ``FUNCTIONS``.

    Args:
        architecture: ``"x86_64"`` or ``"aarch64"``.
        system: ``"linux"``, ``"windows"`` or ``"posix"``: how threads sleep.
    """
    text = _CLOCK[architecture] + _SLEEP[system] + _BARRIER + _LAUNCH
    return Template(text).substitute(
        futex=_FUTEX[architecture],
        spins=SPINS,
        awake=SPINS + YIELDS,
        idle=SPINS + IDLE_YIELDS,
        mailboxes=MAILBOXES,
        line=LINE,
    )
