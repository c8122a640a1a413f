"""Compiled graphs in memory: an equal graph is neither optimised nor compiled a second time.

Graphs are equal that compute the same, whatever the names of their layers: a second model of the
same structure runs the program of the first. Programs in use are always found; of others those used
last are kept, as long as they are few and small.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from functools import cached_property
from weakref import WeakValueDictionary

from chainrule.backends.checked import CheckedExecutable
from chainrule.backends.executable import Backend, Executable
from chainrule.config import config
from chainrule.graph.fingerprint import fingerprint
from chainrule.graph.graph import Graph
from chainrule.passes import optimize

# About what the objects of a node take, its part of the plan and of the machine code.
_BYTES_A_NODE = 2048

_Key = tuple[bytes, str, Backend, str]


class _Entry:
    """A traced graph and the executable of what it becomes."""

    def __init__(self, key: bytes, traced: Graph, backend: Backend) -> None:
        self.traced = traced
        self.names = _names(traced)
        if backend.once is None or config.check == "debug":
            self.executable = backend(self.graph)
        else:
            self.executable = backend.once(key, traced, lambda: self.graph)
        constants = [n.attributes["value"] for n in traced if n.primitive.name == "constant"]
        self._bytes: int = len(traced) * _BYTES_A_NODE + sum(array.nbytes for array in constants)

    @cached_property
    def graph(self) -> Graph:
        """The optimised graph; made when somebody asks for it."""
        return optimize(self.traced)

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        return self._bytes + self.executable.memory_bytes


def _names(graph: Graph) -> list[str]:
    return [*(value.name for value in graph.inputs), *(node.scope for node in graph)]


class Compiled:
    """A graph made ready to run.

    Attributes:
        executable: what runs it; other programs may hold it too.
    """

    def __init__(self, traced: Graph, entry: _Entry, backend: Backend) -> None:
        self.executable: Executable = entry.executable
        self._entry = entry  # programs in use are found again
        self._backend = backend
        self._traced = traced if _names(traced) != entry.names else None
        if config.check == "debug":
            self.executable = CheckedExecutable(entry.executable, self.named_graph())

    @property
    def graph(self) -> Graph:
        """The optimised graph that runs. Where an equal graph was compiled before it is that one,
        with its names.
        """
        return self._entry.graph

    def named_graph(self) -> Graph:
        """The optimised graph, with the names of the graph that was given."""
        return self.graph if self._traced is None else optimize(self._traced)

    def explain(self, measure: bool = False) -> str:
        """What runs, and for which layers; see ``Executable.explain``."""
        named = self.executable if self._traced is None else self._backend(self.named_graph())
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

    def get(self, traced: Graph, backend: Backend) -> Compiled:
        """The graph compiled, by ``backend`` unless that was done before."""
        key = (fingerprint(traced), traced.name, backend, config.check)
        with self.lock:
            entry = self._used.get(key)
        if entry is None:
            made = _Entry(key[0], traced, backend)
            with self.lock:
                # Another thread may have been first: all hold the same one.
                entry = self._used.setdefault(key, made)
        with self.lock:
            self._keep(key, entry)
        return Compiled(traced, entry, backend)

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


def compiled(traced: Graph, backend: Backend) -> Compiled:
    """A traced graph optimised and compiled; what was done for an equal graph is used again.

    Args:
        traced: the graph; errors name the executable after it, so graphs of different names are
            never equal.
        backend: one of ``BACKENDS``.
    """
    return _compilations.get(traced, backend)
