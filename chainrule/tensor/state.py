"""What is going on in this thread: the tapes that record and the trace that collects a graph."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
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


@contextlib.contextmanager
def scope(path: str) -> Iterator[None]:
    """Name what is computed inside after a layer: errors, graphs and drawings show it."""
    before, STATE.scope = STATE.scope, path
    try:
        yield
    finally:
        STATE.scope = before


@contextlib.contextmanager
def paused_tapes() -> Iterator[None]:
    """Record nothing inside."""
    before, STATE.tapes = STATE.tapes, ()
    try:
        yield
    finally:
        STATE.tapes = before


@contextlib.contextmanager
def outside_traces() -> Iterator[None]:
    """Compute at once inside, also while ``jit`` traces: variables may be created there."""
    before, STATE.trace = STATE.trace, None
    try:
        yield
    finally:
        STATE.trace = before
