"""Signals from the daemon's first moment on, until its event loop takes them over.

By default SIGHUP ends a process, and systemd takes that for a clean end: nothing would start the agent anew.
"""

import signal
from types import FrameType

ENDING = (signal.SIGTERM, signal.SIGINT)
RELOADING = signal.SIGHUP


class Ended(BaseException):
    """The daemon is to end. Nobody catches it by accident."""


class EarlySignals:
    """Takes signals: one that asks for a reload is remembered, one that asks for the end is obeyed."""

    def __init__(self) -> None:
        """Installs the handlers, in the main thread."""
        self.wants_reload = False
        """Whether a reload has been asked for so far."""
        signal.signal(RELOADING, self._remember)
        for number in ENDING:
            signal.signal(number, self._end)

    def _remember(self, _signal: int, _frame: FrameType | None) -> None:
        self.wants_reload = True

    def _end(self, _signal: int, _frame: FrameType | None) -> None:
        raise Ended
