"""The other end of a machine's wire: QEMU's guest agent, which runs commands as root inside it.

The wire is a virtio port, so the machine needs no network, no key and no login. Its protocol is JSON lines
[https://www.qemu.org/docs/master/interop/qemu-ga-ref.html].
"""

import base64
import itertools
import json
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PORT = "org.qemu.guest_agent.0"
PAUSE_SECONDS = 0.5
"""Between two questions whether a command has ended. Each of them costs the machine time."""
ANSWER_SECONDS = 900.0
LARGEST_ANSWER = 64 * 1024 * 1024
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_numbers = itertools.count(1)


class GuestError(Exception):
    """The machine did not do what was asked; the message holds what it printed."""


@dataclass(frozen=True)
class Finished:
    """What came of a command."""

    status: int
    """As a shell says it: 128 and more for a signal."""
    output: str
    errors: str


class Guest:
    """Commands for one machine, one at a time."""

    def __init__(self, path: Path) -> None:
        """Takes the socket of the machine's port. Raises OSError while there is none."""
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._rest = b""
        self._called = 0

    def close(self) -> None:
        """Hangs up."""
        self._socket.close()

    def call(self) -> None:
        """Asks for a sign of life, once: the port keeps the question until somebody listens there."""
        self._called = next(_numbers)
        # The byte makes the agent forget half a question that it may have heard.
        self._send(b"\xff" + _question("guest-sync", {"id": self._called}))

    def has_answered(self, seconds: float) -> bool:
        """Whether the answer to the call comes within so many seconds; it may be asked again."""
        deadline = time.monotonic() + seconds
        try:
            while self._answer(deadline - time.monotonic()).get("return") != self._called:
                pass
        except TimeoutError:
            return False
        return True

    def run(self, command: tuple[str, ...], stdin: bytes, seconds: float) -> Finished:
        """Runs a command, whatever its exit status. Raises GuestError if it takes too long."""
        arguments: dict[str, Any] = {
            "path": "/usr/bin/env",
            "arg": ["-i", PATH, "LC_ALL=C.UTF-8", *command],
            "capture-output": True,
        }
        if stdin:
            arguments["input-data"] = base64.b64encode(stdin).decode()
        pid = self._ask("guest-exec", arguments)["pid"]
        deadline = time.monotonic() + seconds
        while True:
            found = self._ask("guest-exec-status", {"pid": pid})
            if found["exited"]:
                break
            if time.monotonic() > deadline:
                raise GuestError(f"{' '.join(command)} did not end within {seconds:g} s")
            time.sleep(PAUSE_SECONDS)
        status = found["exitcode"] if "exitcode" in found else 128 + int(found["signal"])
        return Finished(status, _text(found, "out-data"), _text(found, "err-data"))

    def power_off(self) -> None:
        """Has the machine shut down; there is no answer to that."""
        self._send(_question("guest-shutdown", {"mode": "powerdown"}))

    def _ask(self, command: str, arguments: dict[str, Any]) -> Any:
        try:
            self._send(_question(command, arguments))
            answer = self._answer(ANSWER_SECONDS)
        except TimeoutError:
            raise GuestError(f"the machine does not answer {command}") from None
        if "error" in answer:
            raise GuestError(f"{command}: {answer['error'].get('desc')}")
        return answer["return"]

    def _send(self, question: bytes) -> None:
        """Raises TimeoutError if nobody takes it."""
        self._socket.settimeout(ANSWER_SECONDS)
        self._socket.sendall(question)

    def _answer(self, seconds: float) -> dict[str, Any]:
        """The next line. Raises TimeoutError, GuestError if the machine is gone."""
        deadline = time.monotonic() + seconds
        while b"\n" not in self._rest:
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            piece = self._socket.recv(1 << 16)
            if not piece:
                raise GuestError("the machine has ended")
            self._rest += piece
            if len(self._rest) > LARGEST_ANSWER:
                raise GuestError("the machine talks too much")
        line, _, self._rest = self._rest.partition(b"\n")
        answer: dict[str, Any] = json.loads(line.lstrip(b"\xff"))
        return answer


def _question(command: str, arguments: dict[str, Any]) -> bytes:
    return json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n"


def _text(found: dict[str, Any], key: str) -> str:
    return base64.b64decode(found.get(key, "")).decode(errors="replace")
