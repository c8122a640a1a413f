"""What is going on in this thread: the tapes that record and the trace that collects a graph."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chainrule.tensor.tape import GradientTape
    from chainrule.tensor.trace import Trace


class _State(threading.local):
    def __init__(self) -> None:
        self.tapes: tuple[GradientTape, ...] = ()
        self.trace: Trace | None = None
        self.scope = ""


STATE = _State()


class _Changed:
    """One attribute of ``STATE`` has another value inside a ``with`` block.

    A class rather than a generator: it is entered once a layer in every call of a model.
    """

    __slots__ = ("_before", "_name", "_value")

    def __init__(self, name: str, value: object) -> None:
        self._name = name
        self._value = value

    def __enter__(self) -> None:
        self._before = getattr(STATE, self._name)
        setattr(STATE, self._name, self._value)

    def __exit__(self, *error: object) -> None:
        setattr(STATE, self._name, self._before)


def scope(path: str) -> _Changed:
    """Name what is computed inside after a layer: errors, graphs and drawings show it."""
    return _Changed("scope", path)


def paused_tapes() -> _Changed:
    """Record nothing inside."""
    return _Changed("tapes", ())


def outside_traces() -> _Changed:
    """Compute at once inside, also while ``jit`` traces: variables may be created there."""
    return _Changed("trace", None)
