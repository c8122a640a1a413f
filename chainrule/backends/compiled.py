"""Compiled graphs in memory: an equal graph is neither optimised nor compiled a second time.

Graphs are equal that compute the same, whatever the names of their layers: a second model of the
same structure runs the program of the first. Programs in use are always found; of others those used
last are kept, as long as they are few and small.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from weakref import WeakValueDictionary

from chainrule.backends.executable import Compile, Executable
from chainrule.config import config
from chainrule.graph.fingerprint import fingerprint
from chainrule.graph.graph import Graph
from chainrule.passes import optimize

# About what the objects of a node take, its part of the plan and of the machine code.
_BYTES_A_NODE = 2048

_Key = tuple[bytes, str, Compile, str]


class _Entry:
    """An optimised graph, its executable, and the names in the traced graph it was made from."""

    def __init__(self, traced: Graph, compile_graph: Compile) -> None:
        self.graph = optimize(traced)
        self.executable = compile_graph(self.graph)
        self.names = _names(traced)
        constants = [n.attributes["value"] for n in self.graph if n.primitive.name == "constant"]
        self._bytes: int = len(self.graph) * _BYTES_A_NODE + sum(
            array.nbytes for array in constants
        )

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        return self._bytes + self.executable.memory_bytes


def _names(graph: Graph) -> list[str]:
    return [*(value.name for value in graph.inputs), *(node.scope for node in graph)]


class Compiled:
    """A graph made ready to run.

    Attributes:
        graph: the optimised graph that runs. Where an equal graph was compiled before it is that
            one, with its names.
        executable: what runs it; other programs may hold it too.
    """

    def __init__(self, traced: Graph, entry: _Entry, compile_graph: Compile) -> None:
        self.graph: Graph = entry.graph
        self.executable: Executable = entry.executable
        self._entry = entry  # programs in use are found again
        self._compile = compile_graph
        self._traced = traced if _names(traced) != entry.names else None

    def named_graph(self) -> Graph:
        """The optimised graph, with the names of the graph that was given."""
        return self.graph if self._traced is None else optimize(self._traced)

    def explain(self, measure: bool = False) -> str:
        """What runs, and for which layers; see ``Executable.explain``."""
        named = self.executable if self._traced is None else self._compile(self.named_graph())
        return named.explain(measure)


class Compilations:
    """Compiled graphs by what they compute; may be asked from several threads.

    Args:
        most: how many are kept that no program uses.
        most_bytes: how many bytes these may take together, about.
    """

    def __init__(self, most: int = 128, most_bytes: int = 64 << 20) -> None:
        self._most = most
        self._most_bytes = most_bytes
        # One that its holder may take again: what is dropped may be anybody's.
        self.lock = threading.RLock()
        self._kept: OrderedDict[_Key, _Entry] = OrderedDict()
        self._used: WeakValueDictionary[_Key, _Entry] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, traced: Graph, compile_graph: Compile) -> Compiled:
        """The graph compiled, by ``compile_graph`` unless that was done before."""
        key = (fingerprint(traced), traced.name, compile_graph, config.check)
        with self.lock:
            entry = self._used.get(key)
        if entry is None:
            made = _Entry(traced, compile_graph)
            with self.lock:
                # Another thread may have been first: all hold the same one.
                entry = self._used.setdefault(key, made)
        with self.lock:
            self._keep(key, entry)
        return Compiled(traced, entry, compile_graph)

    def _keep(self, key: _Key, entry: _Entry) -> None:
        fresh = key not in self._kept
        self._kept[key] = entry
        self._kept.move_to_end(key)
        if not fresh:
            return
        total = sum(kept.size for kept in self._kept.values())
        while self._kept and (len(self._kept) > self._most or total > self._most_bytes):
            total -= self._kept.popitem(last=False)[1].size


_compilations = Compilations()
if hasattr(os, "register_at_fork"):
    # A child must not find the lock taken by a thread that it does not have.
    os.register_at_fork(
        before=_compilations.lock.acquire,
        after_in_parent=_compilations.lock.release,
        after_in_child=_compilations.lock.release,
    )


def compiled(traced: Graph, compile_graph: Compile) -> Compiled:
    """A traced graph optimised and compiled; what was done for an equal graph is used again.

    Args:
        traced: the graph; errors name the executable after it, so graphs of different names are
            never equal.
        compile_graph: the back end, one of ``BACKENDS``.
    """
    return _compilations.get(traced, compile_graph)
