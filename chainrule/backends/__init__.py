"""Floor 3: what runs graphs. Back ends never import each other."""

from chainrule.backends import reference
from chainrule.backends.compiled import Compiled, compiled
from chainrule.backends.executable import Compile, Executable, Repetition
from chainrule.graph.graph import Graph


def _compile_for_cpu(graph: Graph) -> Executable:
    # Loaded when first used: tensors computed at once need no compiler.
    from chainrule.backends import cpu

    return cpu.compile(graph)


BACKENDS: dict[str, Compile] = {"reference": reference.compile, "cpu": _compile_for_cpu}

__all__ = ["BACKENDS", "Compile", "Compiled", "Executable", "Repetition", "compiled"]
