"""The CPU back end: a graph as native code, by way of LLVM."""

from chainrule.backends.cpu.executable import CpuExecutable, compile, compile_once

__all__ = ["CpuExecutable", "compile", "compile_once"]
