"""One calibration at a time on a host, whoever runs it."""

import errno
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from graviton_agent.errors import BusyError

# An abstract socket belongs to no file system: no user can leave it behind or lack the right to open it, and
# the kernel frees it when its process dies [unix(7)].
ADDRESS = "\0graviton-agent/calibration"
BIND_SECONDS = 0.01
"""A holder that can't be connected to has not begun to listen yet, or has just ended."""


@contextmanager
def only_calibration(
    *, wait_seconds: float, tell: Callable[[str], None], address: str = ADDRESS
) -> Iterator[None]:
    """Holds the host's calibration lock.

    Args:
        wait_seconds: how long to wait for another calibration to end.
        tell: is told of each one that is waited for.
        address: of the socket; tests take their own.

    Raises:
        BusyError: another one still runs.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as lock:
        deadline = time.monotonic() + wait_seconds
        # Of several that wait for the same end one goes first, and the others wait on.
        while not _bound(lock, address):
            holder = _wait(address, max(0.0, deadline - time.monotonic()), tell)
            if time.monotonic() >= deadline:
                raise BusyError(
                    f"another calibration{holder} is running on this host",
                    hint="two at once would measure each other; try again when it has ended",
                )
            if not holder:
                time.sleep(BIND_SECONDS)
        lock.listen(16)
        yield


def _bound(lock: socket.socket, address: str) -> bool:
    try:
        lock.bind(address)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return False
    return True


def _wait(address: str, seconds: float, tell: Callable[[str], None]) -> str:
    """Waits for the holder of the lock to end, without polling; returns its name for the message.

    The holder never accepts nor answers, so a connection to it ends exactly when it does.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        other.settimeout(seconds)
        try:
            other.connect(address)
            credentials = other.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            holder = f" (process {struct.unpack('3i', credentials)[0]})"
        except OSError:
            return ""
        tell(f"another calibration{holder} is running on this host; waiting for it to end")
        try:
            other.recv(1)
        except OSError:
            return holder
        return holder
