"""The CPU back end: a graph as native code, by way of LLVM."""

from chainrule.backends.cpu.executable import CpuExecutable, compile, compile_once
from chainrule.backends.cpu.guarded import compile_guarded

__all__ = ["CpuExecutable", "compile", "compile_guarded", "compile_once"]
