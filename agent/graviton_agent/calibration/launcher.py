"""How a worker comes to life: as a plain child here; a transient systemd unit is another way."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol, cast

WORKER = Path(__file__).with_name("worker.py")
POLL_SECONDS = 0.002
TIMEOUT_SECONDS = 120.0
"""How long a process may take to load torch from a cold disk, or to answer; a unit's `timeout` may differ."""


class Child(Protocol):
    """A process that was started, with pipes to it."""

    @property
    def commands(self) -> int:
        """Descriptor that its stdin reads from."""

    @property
    def answers(self) -> int:
        """Descriptor that its stdout writes to."""

    @property
    def noise(self) -> int:
        """Descriptor that its stderr writes to."""

    def signal(self, number: int) -> None:
        """Sends a signal to the process and to all that it started; nothing if it has ended."""

    def wait(self, seconds: float) -> int | None:
        """Its exit status, negative for a signal, or None if it lives on after that time.

        Once it has ended, nothing that it started is left either.
        """

    def close(self) -> None:
        """Closes the pipes."""


class Launcher(Protocol):
    """Starts processes."""

    def launch(self, command: Sequence[str], environment: Mapping[str, str]) -> Child:
        """Starts a command. Raises OSError if the system refuses.

        A worker dies with the thread that started it: call from one that lives long enough.
        """


class PlainChild:
    """A child process in a session, and so a process group, of its own."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        # The launcher asked for a pipe to each of them.
        self._pipes = cast("tuple[IO[bytes], ...]", (process.stdin, process.stdout, process.stderr))
        self.commands, self.answers, self.noise = (pipe.fileno() for pipe in self._pipes)

    def signal(self, number: int) -> None:
        """Signals the group. Its number can't have been given anew: the leader is reaped by `wait` alone."""
        if self._process.returncode is None:
            # A wrapper may have become another user; its worker still ends when its input does.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    def wait(self, seconds: float) -> int | None:
        """Waits, ends what the process left behind in its group, and reaps it."""
        deadline = time.monotonic() + seconds
        while self._process.returncode is None and not self._has_ended():
            if time.monotonic() >= deadline:
                return None
            time.sleep(POLL_SECONDS)
        self.signal(signal.SIGKILL)
        return self._process.wait()

    def _has_ended(self) -> bool:
        """Looks without reaping, so that the process group keeps its number."""
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._process.pid, options) is not None

    def close(self) -> None:
        """Closes the pipes; what could not be sent is lost."""
        for pipe in self._pipes:
            with contextlib.suppress(OSError):
                pipe.close()


class PlainLauncher:
    """Starts children of this process."""

    def launch(self, command: Sequence[str], environment: Mapping[str, str]) -> PlainChild:
        """Starts a command in a session of its own, so that a terminal's Ctrl-C does not reach it."""
        pipe = subprocess.PIPE
        return PlainChild(
            subprocess.Popen(
                command,
                env=dict(environment),
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
                bufsize=0,
                start_new_session=True,
            )
        )
