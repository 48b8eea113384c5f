"""One worker process: spoken to within time limits, still while it is not spoken to, and ended for sure."""

import contextlib
import json
import os
import re
import select
import selectors
import signal
import time
from collections.abc import Mapping, Sequence
from typing import TypeVar

from graviton_agent.calibration.launcher import WORKER, Child, Launcher
from graviton_agent.calibration.protocol import Answer, FailureAnswer, ProtocolError, parse

GREETING_LINE = re.compile(rb"^graviton-agent worker ([0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3})\n", re.MULTILINE)
LINE_LIMIT = 8 << 20
"""Bytes of one answer; a block of 100,000 calls is the longest."""
CHATTER_LIMIT = 256 << 10
"""Bytes that may be printed before the worker itself runs."""
NOISE_LIMIT = 64 << 20
"""Bytes that a worker may print beside its answers before it counts as broken."""
NOISE_KEPT = 16 << 10
PIECE = 64 << 10
ENDING_SECONDS = 3.0
READING_SECONDS = 10.0
"""How long a worker may take to read a command, for which its pipe mostly has room anyway."""


A = TypeVar("A", bound=Answer)


class WorkerError(Exception):
    """A worker that ended, hung or made no sense; its message is one line."""

    def __init__(self, worker: "Worker", reason: str, *, missing: str | None = None) -> None:
        super().__init__(reason)
        self.worker = worker
        self.reason = reason
        self.missing = missing
        """The module that the process could not find, if that was it."""


class Worker:
    """A process that answers each command with a line, and stands still until the next one."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._received = bytearray()
        self._tail = b""
        self._noise_bytes = 0
        self._stopped = False
        self.python: str | None = None
        """Version from the greeting; None until it came."""

    @classmethod
    def start(cls, launcher: Launcher, interpreter: str, environment: Mapping[str, str]) -> "Worker":
        """Starts a worker under an interpreter. Raises OSError."""
        # The environment says PYTHONDONTWRITEBYTECODE, which reaches whatever the worker may start.
        return cls(launcher.launch((interpreter, str(WORKER)), environment))

    @property
    def printed(self) -> str:
        """The last line that the process printed beside its answers, cut and cleaned for a message."""
        lines = self._tail.decode("utf-8", errors="replace").splitlines()
        return one_line(next((line for line in reversed(lines) if line.strip()), ""))

    def send(self, command: str, **arguments: object) -> None:
        """Wakes the process and gives it a command. Raises WorkerError."""
        if self._stopped:
            raise WorkerError(self, "was stopped before")
        line = json.dumps({"command": command, **arguments}) + "\n"
        self._child.signal(signal.SIGCONT)
        # A process that has ended shows when the answer is read, with the reason.
        with contextlib.suppress(BrokenPipeError):
            self._write(line.encode())

    def pause(self) -> None:
        """Makes the process stand still: threads that spin for work would disturb whoever is measured."""
        self._child.signal(signal.SIGSTOP)

    def stop(self) -> None:
        """Ends the process and all that it started; never raises, and may be called twice."""
        if not self._stopped:
            # A worker has nothing to save.
            self._child.signal(signal.SIGKILL)
            self._child.wait(ENDING_SECONDS)
            self._stopped = True
            self._child.close()

    def register(self, selector: selectors.BaseSelector) -> None:
        """Has its two outputs watched."""
        for descriptor in (self._child.answers, self._child.noise):
            selector.register(descriptor, selectors.EVENT_READ, self)

    def read(self, descriptor: int) -> bool:
        """Reads what is there; False at the end of the noise. Raises WorkerError."""
        piece = os.read(descriptor, PIECE)
        if descriptor == self._child.noise:
            self._note(piece)
            return bool(piece)
        if not piece:
            raise WorkerError(self, self._ending())
        self._received += piece
        if self.python is None:
            self._look_for_greeting()
        elif len(self._received) > LINE_LIMIT:
            raise WorkerError(self, f"answered with more than {LINE_LIMIT >> 20} MiB")
        return True

    @property
    def has_answered(self) -> bool:
        """Whether a whole line has come in."""
        return self.python is not None and b"\n" in self._received

    def take_answer(self, model: type[A]) -> A:
        """Understands the line that has come in, which is then gone. Raises WorkerError."""
        line, _, rest = bytes(self._received).partition(b"\n")
        self._received.clear()
        if rest:
            raise WorkerError(self, "answered more than it was asked")
        try:
            answer = parse(line, model)
        except ProtocolError as error:
            raise WorkerError(self, str(error)) from None
        if isinstance(answer, FailureAnswer):
            raise WorkerError(self, one_line(answer.error), missing=answer.missing)
        return answer

    def _write(self, data: bytes) -> None:
        """Gives it to a process that may never read. Raises WorkerError, BrokenPipeError."""
        deadline = time.monotonic() + READING_SECONDS
        os.set_blocking(self._child.commands, False)
        while data:
            try:
                data = data[os.write(self._child.commands, data) :]
            except BlockingIOError:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise WorkerError(self, "does not read its commands") from None
                select.select([], [self._child.commands], [], left)

    def _look_for_greeting(self) -> None:
        """Drops what a sitecustomize or a preloaded library printed before the worker took over."""
        greeting = GREETING_LINE.search(self._received)
        if greeting:
            self.python = greeting.group(1).decode()
            del self._received[: greeting.end()]
        elif len(self._received) > CHATTER_LIMIT:
            raise WorkerError(self, "printed much, but no greeting")

    def _note(self, piece: bytes) -> None:
        self._tail = (self._tail + piece)[-NOISE_KEPT:]
        self._noise_bytes += len(piece)
        if self._noise_bytes > NOISE_LIMIT:
            raise WorkerError(self, f"printed more than {NOISE_LIMIT >> 20} MiB")

    def _ending(self) -> str:
        """Why a process closed its answers."""
        status = self._child.wait(ENDING_SECONDS)
        if status is None:
            return "closed its output and went on"
        with contextlib.suppress(OSError, WorkerError):
            os.set_blocking(self._child.noise, False)
            while self.read(self._child.noise):
                pass
        if status >= 0:
            return f"ended with exit code {status}" + (f" ({self.printed})" if self.printed else "")
        if -status == signal.SIGKILL:
            return "killed by SIGKILL, perhaps for memory"
        try:
            return f"crashed with {signal.Signals(-status).name}"
        except ValueError:
            return f"killed by signal {-status}"


def one_line(text: str) -> str:
    """A stranger's words, fit for a message: printable, in one line, not too long."""
    return "".join(character if character.isprintable() else " " for character in text).strip()[:200]


def exchange(workers: Sequence[Worker], model: type[A], seconds: float) -> tuple[A, ...]:
    """Waits for one answer of each worker, and makes each stand still when it came. Raises WorkerError."""
    deadline = time.monotonic() + seconds
    missing = list(workers)
    with selectors.DefaultSelector() as selector:
        for worker in workers:
            worker.register(selector)
        while missing:
            left = deadline - time.monotonic()
            if left <= 0:
                raise WorkerError(missing[0], f"gave no answer within {seconds:g} s")
            for key, _ in selector.select(left):
                worker = key.data
                if not worker.read(key.fd):
                    selector.unregister(key.fd)
                if worker in missing and worker.has_answered:
                    worker.pause()
                    missing.remove(worker)
    return tuple(worker.take_answer(model) for worker in workers)
