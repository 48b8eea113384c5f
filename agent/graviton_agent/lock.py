"""One calibration at a time on a host: one lock for root, and one for each other user.

Whoever can open the file of a lock can hold it for ever, so root's lies where nobody else comes. The kernel
frees a lock with the process that holds it [flock(2)].
"""

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from graviton_agent.errors import BusyError, StateError
from graviton_agent.installed import LOCKS
from graviton_agent.state import private_folder, state_directory

NAME = "calibration"
LONGEST_WAIT_SECONDS = 600.0
"""For another calibration to end, unless somebody asks for less or more."""
LONGEST_NUMBER = 20
AGAIN_SECONDS = 1.0
"""A signal that arrives just before the process begins to wait would be missed, so it comes again."""
EARLIEST_SECONDS = 0.001
"""No time at all would be no timer [setitimer(2)]."""


class _TimeIsUpError(Exception):
    """Waiting has taken as long as it may."""


def lock_path() -> Path:
    """This user's lock. Root's is one for the whole host, however root came to run this."""
    if os.geteuid() == 0:
        return Path(LOCKS) / NAME
    # A home may be shared by several hosts; the runtime directory is this host's, and gone with the boot.
    # After su it may be somebody else's.
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    is_ours = runtime.is_absolute() and os.access(runtime, os.W_OK | os.X_OK)
    return (runtime / "graviton-agent" if is_ours else state_directory()) / NAME


@contextmanager
def only_calibration(
    *, wait_seconds: float, tell: Callable[[str], None], path: Path | None = None
) -> Iterator[None]:
    """Holds this user's calibration lock. To be called in the main thread, where signals arrive.

    Args:
        wait_seconds: how long to wait for another calibration to end.
        tell: is told of it.
        path: of the lock; this user's unless told otherwise.

    Raises:
        BusyError: another one still runs.
        StateError: root can't have its lock at all. Others, who may have nowhere to write, go on without.
    """
    try:
        descriptor = _open(path or lock_path())
    except StateError as error:
        if os.geteuid() == 0:
            raise
        tell(f"nothing keeps another calibration of yours from starting meanwhile: {error.message}")
        yield
        return
    try:
        if not _taken(descriptor):
            holder = _holder(descriptor)
            tell(f"another calibration{holder} is running on this host; waiting for it to end")
            if not _taken_within(descriptor, wait_seconds):
                raise BusyError(
                    f"another calibration{_holder(descriptor)} is running on this host",
                    hint="two at once would measure each other; try again when it has ended",
                )
        # It is for messages alone, and a full disk takes nothing else away.
        with contextlib.suppress(OSError):
            os.pwrite(descriptor, b"%-*d" % (LONGEST_NUMBER, os.getpid()), 0)
        yield
    finally:
        # Closing frees it.
        os.close(descriptor)


def _open(path: Path) -> int:
    private_folder(path.parent)
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateError(f"can't open the lock {path}: {error.strerror}") from error


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _taken_within(descriptor: int, seconds: float) -> bool:
    """Waits in the kernel, which has no time limit for this; a signal ends it."""
    deadline = time.monotonic() + seconds

    def time_is_up(_signal: int, _frame: FrameType | None) -> None:
        if time.monotonic() >= deadline:
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise _TimeIsUpError

    former = signal.signal(signal.SIGALRM, time_is_up)
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, seconds + EARLIEST_SECONDS, AGAIN_SECONDS)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, former)
    except _TimeIsUpError:
        return False
    return True


def _holder(descriptor: int) -> str:
    """Who holds the lock, for a message; empty while it isn't written there yet."""
    number = os.pread(descriptor, LONGEST_NUMBER, 0).strip()
    return f" (process {number.decode()})" if number.isdigit() else ""
