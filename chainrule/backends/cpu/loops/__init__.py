"""Loops (``scan``): a body's kernels run step after step on some rows of the batch at a time."""

from chainrule.backends.cpu.loops.kernel import Loop
from chainrule.backends.cpu.loops.lowering import add_loop

__all__ = ["Loop", "add_loop"]
