"""How long units may wait for their calibrations before they start: all of them together, in one boot.

One gate calibrates at a time, and the others wait for it, which uses up the same time. The account is kept in
a folder that lasts as long as the boot, under a lock that the kernel frees when its holder dies.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from graviton_agent.errors import AgentError, StateError
from graviton_agent.regular_file import read_regular
from graviton_agent.state import write_atomically

LOCK = "lock"
ACCOUNT = "used"
POLL_SECONDS = 0.1
_LARGEST = 200


class NoTimeLeftError(AgentError):
    """What is left doesn't suffice."""


class GateTime:
    """The account of the time that gates may take."""

    def __init__(self, folder: Path, total: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Takes where the account is kept, the seconds in all, and a clock that all processes share."""
        self._folder, self._total, self._clock = folder, total, clock

    @contextlib.contextmanager
    def turn(self, least: float) -> Iterator[float]:
        """Waits for the gates before this one, and yields the seconds that this one may take.

        Raises NoTimeLeftError as soon as less is left than it needs, StateError.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateError(f"can't write in {self._folder}: {error.strerror}") from error
        try:
            while not _taken(descriptor):
                self._require(least)
                time.sleep(POLL_SECONDS)
            left = self._require(least)
            used, began = self._total - left, self._clock()
            self._write(used, began)
            try:
                yield left
            finally:
                self._write(used + self._clock() - began, None)
        finally:
            os.close(descriptor)

    def left(self) -> float:
        """Seconds that are left, also while a gate takes its turn, or has died in it."""
        content = (read_regular(str(self._folder / ACCOUNT), _LARGEST) or b"").split()
        used, began = (float(content[0]), content[1:]) if content else (0.0, [])
        return self._total - used - (self._clock() - float(began[0]) if began else 0.0)

    def _require(self, least: float) -> float:
        left = self.left()
        if left < least:
            raise NoTimeLeftError(
                f"{max(0.0, left):.0f} of {self._total:g} s are left, and it may take {least:g} s"
            )
        return left

    def _write(self, used: float, began: float | None) -> None:
        since = "" if began is None else f" {began:.3f}"
        write_atomically(self._folder / ACCOUNT, f"{used:.3f}{since}\n".encode())


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
