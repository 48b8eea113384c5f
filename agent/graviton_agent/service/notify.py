"""What the daemon tells systemd [sd_notify(3)]."""

import os
import time
from collections.abc import Callable, Mapping

from sdnotify import SystemdNotifier

from graviton_agent.terminal import visible

MICROSECONDS = 1_000_000


class Notifier:
    """Speaks to the service manager; without one, to nobody."""

    def __init__(self, send: Callable[[str], object] | None = None) -> None:
        self._send = send or SystemdNotifier().notify
        self._status = ""

    def ready(self) -> None:
        """The environment files are in place, and units may start; or a reload has been done."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """What `systemctl status` shows; said only when it is another one."""
        # sdnotify drops what isn't Latin-1, and a line break would end the variable.
        plain = visible(text).encode("ascii", "replace").decode().replace("\n", " ")
        if plain != self._status:
            self._status = plain
            self._send(f"STATUS={plain}")

    def alive(self) -> None:
        """Feeds the watchdog."""
        self._send("WATCHDOG=1")

    def reloading(self) -> None:
        """A reload begins. The time tells it from an earlier one [systemd.service(5), Type=notify-reload]."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def extend_start(self, seconds: float) -> None:
        """The start may take so much longer from now on."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * MICROSECONDS)}")

    def stopping(self) -> None:
        """The end begins."""
        self._send("STOPPING=1")


def watchdog_seconds(environment: Mapping[str, str] = os.environ) -> float | None:
    """How often systemd is to be told that the daemon lives: half of what it waits. None: never."""
    allowed, process = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not allowed.isdecimal() or not int(allowed) or process not in {"", str(os.getpid())}:
        return None
    return int(allowed) / MICROSECONDS / 2
