"""Floor 3: what runs graphs. Back ends never import each other."""

from collections.abc import Callable

from chainrule.backends import reference
from chainrule.backends.compiled import Compiled, compiled
from chainrule.backends.executable import Backend, Executable, Repetition
from chainrule.config import config
from chainrule.graph.graph import Graph


def _compile_for_cpu(graph: Graph) -> Executable:
    # Loaded when first used: tensors computed at once need no compiler.
    from chainrule.backends import cpu

    return cpu.compile_guarded(graph) if config.check == "debug" else cpu.compile(graph)


def _compile_once_for_cpu(key: bytes, traced: Graph, optimized: Callable[[], Graph]) -> Executable:
    from chainrule.backends import cpu

    return cpu.compile_once(key, traced, optimized)


BACKENDS = {
    "reference": Backend(reference.compile, returns_views=True),
    "cpu": Backend(_compile_for_cpu, _compile_once_for_cpu),
}

__all__ = ["BACKENDS", "Backend", "Compiled", "Executable", "Repetition", "compiled"]
