"""The CPU back end: a graph as native code, by way of LLVM."""

from chainrule.backends.cpu.executable import CpuExecutable, compile

__all__ = ["CpuExecutable", "compile"]
