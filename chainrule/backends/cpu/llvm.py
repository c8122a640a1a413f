"""LLVM: IR text to object code, and object code to functions in memory. Only this file imports
llvmlite, and only when something is compiled or loaded.

No pass over the IR is run: the generator writes good IR, and passes triple the time for nothing
(``code generation`` runs at level 2). Objects are position independent and are placed by LLVM's
linker for just-in-time code. Its engines keep a few words for every object that they ever loaded
and their tables are searched in order, so an engine takes ``_PER_ENGINE`` objects and then a new
one is begun; the old one goes when the last of its objects goes.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import platform
import re
import sys
import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from chainrule.config import config
from chainrule.errors import GraphError, MissingDependencyError, StateError, unknown_name

# Held around everything that LLVM does, and during a fork, so that a child never finds it taken.
LOCK = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=LOCK.acquire, after_in_parent=LOCK.release, after_in_child=LOCK.release
    )

_WHERE = "backend cpu"
_PER_ENGINE = 256
# Windows has neither LLVM's new linker nor position-independent objects for the old one.
_NEW_LINKER = os.name != "nt"
_MODEL = ("pic", "small") if _NEW_LINKER else ("default", "jitdefault")
CODE_GENERATION = f"O2 {_MODEL[0]} {_MODEL[1]}"


class Machine(NamedTuple):
    """What code is made for.

    Attributes:
        variant: ``"avx512"``, ``"avx2"``, ``"sse"`` or ``"neon"``.
        triple: LLVM's name of the machine and its system.
        cpu: LLVM's name of the processor.
        features: what the processor has, as LLVM's list of ``+feature`` and ``-feature``.
    """

    variant: str
    triple: str
    cpu: str
    features: str

    @property
    def architecture(self) -> str:
        """``"x86_64"`` or ``"aarch64"``."""
        return _VARIANTS[self.variant].architecture


class _Variant(NamedTuple):
    architecture: str
    cpu: str
    features: str
    needs: tuple[str, ...]  # features of the host


# The widest first.
_VARIANTS = {
    "avx512": _Variant(
        "x86_64", "x86-64-v4", "", ("avx512f", "avx512bw", "avx512dq", "avx512vl", "fma")
    ),
    "avx2": _Variant("x86_64", "x86-64-v3", "", ("avx2", "fma")),
    "sse": _Variant("x86_64", "x86-64-v2", "", ("sse4.2",)),
    "neon": _Variant("aarch64", "generic", "+neon", ()),
}
VARIANTS = tuple(_VARIANTS)


@cache
def _binding() -> Any:
    """llvmlite, made ready for this machine."""
    try:
        import llvmlite.binding as binding
    except ImportError as error:
        raise MissingDependencyError(
            _WHERE,
            "the package llvmlite cannot be loaded",
            got=str(error),
            fix="pip install llvmlite, or set config.backend to 'reference'",
        ) from error
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    return binding


@cache
def _all_targets() -> None:
    _binding().initialize_all_targets()
    _binding().initialize_all_asmprinters()


def version() -> str:
    """The versions of llvmlite and LLVM, such as ``"0.50.0 22.1.0"``."""
    import llvmlite

    return f"{llvmlite.__version__} {'.'.join(map(str, _binding().llvm_version_info))}"


def _architecture() -> str:
    name = platform.machine().lower()
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(name, name)


@cache
def _host_features() -> dict[str, bool]:
    return dict(_binding().get_host_cpu_features())


@cache
def runnable_variants() -> tuple[str, ...]:
    """The variants that this machine can run, the widest first."""
    host, features = _architecture(), _host_features()
    return tuple(
        name
        for name, variant in _VARIANTS.items()
        if variant.architecture == host and all(features.get(need) for need in variant.needs)
    )


@cache
def machine(variant: str | None = None) -> Machine:
    """What a variant's code is made for.

    Args:
        variant: one of ``VARIANTS``, as processors in general have it; ``None`` for exactly this
            machine's processor.

    Raises:
        StateError: this machine's processor is of a kind that has no code generator here.
    """
    if variant is None:
        return _host_machine()
    if variant not in _VARIANTS:
        raise unknown_name(_WHERE, "variant", variant, VARIANTS)
    chosen = _VARIANTS[variant]
    own = chosen.architecture == _architecture()
    triple = _binding().get_process_triple() if own else f"{chosen.architecture}-unknown-linux-gnu"
    return Machine(variant, triple, chosen.cpu, chosen.features)


def _host_machine() -> Machine:
    runnable = runnable_variants()
    if not runnable:
        raise StateError(
            _WHERE,
            "no code can be made for this processor",
            got=platform.machine(),
            expected="x86-64 with SSE 4.2, or AArch64",
            fix="set config.backend to 'reference'",
        )
    binding = _binding()
    features = ",".join(
        f"{'+' if has else '-'}{name}" for name, has in sorted(_host_features().items())
    )
    return Machine(
        runnable[0],
        binding.get_process_triple(),
        binding.get_host_cpu_name(),
        features,
    )


# ---- IR text to object code


def _target_machine(chosen: Machine) -> Any:
    """LLVM's target machine; the caller closes it."""
    if chosen.architecture != _architecture():
        _all_targets()
    return (
        _binding()
        .Target.from_triple(chosen.triple)
        .create_target_machine(
            cpu=chosen.cpu, features=chosen.features, opt=2, reloc=_MODEL[0], codemodel=_MODEL[1]
        )
    )


def _generate(ir_text: str, chosen: Machine, emit: Callable[[Any, Any], Any]) -> Any:
    """Object code or assembly of a module; its context is its own and is freed with it."""
    binding = _binding()
    with _target_machine(chosen) as target, binding.create_context() as context:
        head = f'target datalayout = "{target.target_data}"\n'
        head += f'target triple = "{target.triple}"\n'
        try:
            with binding.parse_assembly(head + ir_text, context) as module:
                if config.check == "debug":
                    module.verify()
                return emit(target, module)
        except RuntimeError as error:
            raise GraphError(_WHERE, "LLVM refuses the generated code", got=error) from error


def _emit_object(target: Any, module: Any) -> bytes:
    """As ``target.emit_object``, but several threads may be in it at once.

    llvmlite holds a lock around every function of LLVM. This one reads and writes what belongs to
    its module and its context alone, so it is called without.
    """
    from llvmlite.binding import ffi

    function = ffi.lib.LLVMPY_TargetMachineEmitToMemory
    with ffi.OutputString() as message:
        buffer = getattr(function, "_cfn", function)(target, module, 1, message)
        if not buffer:
            raise RuntimeError(str(message))
    try:
        start, size = (getattr(ffi.lib, f"LLVMPY_GetBuffer{x}")(buffer) for x in ("Start", "Size"))
        return ctypes.string_at(start, size)
    finally:
        ffi.lib.LLVMPY_DisposeMemoryBuffer(buffer)


def compile_object(ir_text: str, variant: str | None = None) -> bytes:
    """Machine code of a module, as an object file in memory.

    Args:
        ir_text: the module, without a target.
        variant: see ``machine``.

    Raises:
        GraphError: LLVM does not take the text.
    """
    with LOCK:
        data: bytes = _generate(ir_text, machine(variant), _emit_object)
        return data


def compile_objects(ir_texts: Sequence[str], variant: str | None = None) -> list[bytes]:
    """Machine code of several modules, made side by side, each on a thread of its own.

    Args:
        ir_texts: the modules; see ``compile_object``.
        variant: see ``machine``.
    """
    found: list[Any] = [None] * len(ir_texts)

    def compile_one(number: int) -> None:
        try:
            found[number] = _generate(ir_texts[number], chosen, _emit_object)
        except Exception as error:
            found[number] = error

    with LOCK:  # for all the threads
        chosen = machine(variant)
        others = [
            threading.Thread(target=compile_one, args=(number,), name="chainrule-compile")
            for number in range(1, len(ir_texts))
        ]
        started = []
        try:
            for thread in others:
                thread.start()
                started.append(thread)
            compile_one(0)
        except RuntimeError:  # the system or the interpreter's end allows no more threads
            for number in (0, *range(len(started) + 1, len(ir_texts))):
                compile_one(number)
        finally:
            for thread in started:
                thread.join()
    for result in found:
        if isinstance(result, Exception):
            raise result
    return found


def assembly(ir_text: str, variant: str | None = None) -> str:
    """Machine code of a module as assembly text, for another kind of processor too."""
    with LOCK:
        chosen = machine(variant)
        text: str = _generate(ir_text, chosen, lambda target, module: target.emit_assembly(module))
        return text


# ---- object code to functions

_DECLARED = re.compile(r'^declare\b[^@\n]*@"?([-\w.$]+)"?\(', re.MULTILINE)

# Functions of the system that generated code may call: those that LLVM itself puts in for copies
# and for what a processor has no instruction for, those of the mathematical library, and those
# that threads wait with.
_SYSTEM = (
    "memcpy", "memmove", "memset", "fma", "fmaf", "fmod", "fmodf", "floor", "floorf", "ceil",
    "ceilf", "trunc", "truncf", "rint", "rintf", "nearbyint", "nearbyintf", "round", "roundf",
    "roundeven", "roundevenf", "sqrt", "sqrtf", "exp", "expf", "expm1", "expm1f", "log", "logf",
    "log1p", "log1pf", "pow", "powf", "sin", "sinf", "cos", "cosf", "tan", "tanf", "tanh", "tanhf",
    "erf", "erff",
    "sched_yield", "syscall", "pthread_mutex_init", "pthread_mutex_lock", "pthread_mutex_unlock",
    "pthread_cond_init", "pthread_cond_wait", "pthread_cond_broadcast",
    "WaitOnAddress", "WakeByAddressAll", "SwitchToThread", "__chkstk",
)  # fmt: skip


@cache
def system_functions() -> dict[str, int]:
    """Names and addresses of the system's functions that generated code may call."""
    names: tuple[str, ...]
    if os.name == "nt":
        names = ("ucrtbase", "vcruntime140", "kernel32", "ntdll", "api-ms-win-core-synch-l1-2-0")
    elif sys.platform == "linux":
        names = ("", "libm.so.6")  # the interpreter itself, which has the C library
    else:
        names = ("",)
    libraries = []
    for name in names:
        try:
            libraries.append(ctypes.CDLL(name or None))
        except OSError:
            continue  # musl has no libm of its own
    found = {}
    for function in _SYSTEM:
        for library in libraries:
            if hasattr(library, function):
                address = ctypes.cast(getattr(library, function), ctypes.c_void_p).value
                found[function] = address or 0
                break
    return found


def unknown_functions(ir_text: str, symbols: Collection[str] = ()) -> list[str]:
    """Functions that a module declares and that neither the system nor ``symbols`` has."""
    known = system_functions()
    return [
        name
        for name in _DECLARED.findall(ir_text)
        if not name.startswith("llvm.") and name not in known and name not in symbols
    ]


class _Engine:
    """One of LLVM's engines for just-in-time code, and how many objects it was given."""

    def __init__(self) -> None:
        binding = _binding()
        with _target_machine(machine()) as target:
            self.jit = binding.create_lljit_compiler(
                target, use_jit_link=_NEW_LINKER, suppress_errors=True
            )
        builder = binding.JITLibraryBuilder()
        for name, address in system_functions().items():
            builder.import_symbol(name, address)
        builder.export_symbol("memcpy")
        # Every library is linked against this one; it stays as long as the engine does.
        self.system = builder.link(self.jit, "system")
        self.count = 0


_engine: _Engine | None = None
_names = itertools.count()


class Library:
    """Object code in memory, ready to run.

    It is freed when the last reference to it goes, so whoever runs its code holds one.
    """

    def __init__(self, tracker: Any, engine: _Engine, names: Sequence[str]) -> None:
        self._tracker = tracker
        self._engine = engine
        self._addresses = {name: int(tracker[name]) for name in names}

    def address(self, name: str) -> int:
        """Where a function or variable lies that was named when the object was loaded."""
        return self._addresses[name]

    # An argument, because a library may go when this module has lost its names.
    def __del__(self, ending: Callable[[], bool] = sys.is_finalizing) -> None:
        if not ending() and "_tracker" in vars(self):
            _dying.append((self._tracker, self._engine))
            _free()


def load_object(
    data: bytes, names: Sequence[str], symbols: Mapping[str, int] | None = None
) -> Library:
    """Put object code into memory; see ``load_objects``."""
    return load_objects([data], names, symbols)


def load_objects(
    objects: Sequence[bytes], names: Sequence[str], symbols: Mapping[str, int] | None = None
) -> Library:
    """Put object code into memory, as one library.

    Args:
        objects: what ``compile_object`` gave for this machine; they may call each other.
        names: the functions and variables whose addresses are wanted.
        symbols: addresses of functions that the code calls, besides ``system_functions``.

    Raises:
        StateError: the object is damaged, lacks one of the names, or calls something unknown.
    """
    global _engine
    with LOCK:
        _free()
        binding = _binding()
        builder = binding.JITLibraryBuilder()
        for data in objects:
            builder.add_object_img(data)
        if _engine is None or _engine.count >= _PER_ENGINE:
            _engine = _Engine()
        builder.add_jit_library("system")
        for name, address in (symbols or {}).items():
            builder.import_symbol(name, address)
        for name in names:
            builder.export_symbol(name)
        _engine.count += 1
        try:
            tracker = builder.link(_engine.jit, f"library{next(_names)}")
        except RuntimeError as error:
            raise StateError(_WHERE, "machine code cannot be loaded", got=error) from error
        return Library(tracker, _engine, names)


# Libraries whose last reference is gone. That happens in any thread and at any moment, also while
# another thread is inside LLVM: then they wait here for the next one who has the lock.
_dying: deque[tuple[Any, _Engine]] = deque()


def _free() -> None:
    while _dying and LOCK.acquire(blocking=False):
        try:
            tracker, _ = _dying.popleft()
            tracker.close()
        except IndexError:
            pass  # another thread took the last one
        finally:
            LOCK.release()
