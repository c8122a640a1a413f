"""Floor 3: what runs graphs. Back ends never import each other."""

from chainrule.backends import reference
from chainrule.backends.executable import Compile, Executable, Repetition

BACKENDS: dict[str, Compile] = {"reference": reference.compile}

__all__ = ["BACKENDS", "Compile", "Executable", "Repetition"]
