"""The reference back end: NumPy, the definition of what every primitive means."""

from chainrule.backends.reference.executable import ReferenceExecutable, compile, every_value
from chainrule.backends.reference.kernels import KERNELS, QUIET

__all__ = ["KERNELS", "QUIET", "ReferenceExecutable", "compile", "every_value"]
