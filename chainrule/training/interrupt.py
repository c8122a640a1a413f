"""Ctrl-C during training: finish the step, keep the model."""

import signal
import threading
from types import FrameType, TracebackType


class Interrupt:
    """While active, the first Ctrl-C only sets ``pressed``; a second one interrupts at once.

    A step that is cut in the middle could leave some variables updated and others not, so the
    training loop asks ``pressed`` between steps. Outside the main thread, or where the program has
    a Ctrl-C handler of its own, nothing is changed and ``pressed`` stays False.
    """

    def __init__(self) -> None:
        self.pressed = False
        self._installed = False

    def __enter__(self) -> "Interrupt":
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._handle)
            self._installed = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._installed = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.pressed:
            raise KeyboardInterrupt
        self.pressed = True
