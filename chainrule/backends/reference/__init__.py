"""The reference back end: NumPy, the definition of what every primitive means."""

from chainrule.backends.reference.checked import Place, checked_call, checked_values
from chainrule.backends.reference.executable import ReferenceExecutable, compile, every_value
from chainrule.backends.reference.kernels import KERNELS, QUIET

__all__ = [
    "KERNELS",
    "QUIET",
    "Place",
    "ReferenceExecutable",
    "checked_call",
    "checked_values",
    "compile",
    "every_value",
]
