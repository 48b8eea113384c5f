"""A transient unit with pipes to it, as calibration knows a child process."""

import contextlib
import os
import signal
import time
from collections.abc import Sequence
from typing import Any

from graviton_agent.units.bus import Bus, BusError, add_match, remove_match
from graviton_agent.units.manager import (
    JOB_ENDS,
    UNIT,
    Properties,
    changes_of,
    get,
    kill_unit,
    read_properties,
    start_transient_unit,
    unit_path,
    unref_unit,
)

ENDED = {"inactive", "failed"}
CLD_EXITED = 1
"""ExecMainCode of a process that ended by itself; others were ended by a signal [siginfo_t, si_code]."""


class StartError(Exception):
    """systemd could not start the unit; the message is one line that says at which step."""


class TransientChild:
    """A unit that was started, until its end has been read."""

    def __init__(self, bus: Bus, name: str, pipes: Sequence[int]) -> None:
        self._bus = bus
        self.name = name
        self.commands, self.answers, self.noise = pipes
        self._status: int | None = None
        self._is_open = True

    def signal(self, number: int) -> None:
        """Signals every process of the unit; nothing if it has ended."""
        with contextlib.suppress(BusError):
            self._bus.call(kill_unit(self.name, number))

    def wait(self, seconds: float) -> int | None:
        """Waits for the unit's end: systemd has then ended whatever the main process left behind."""
        deadline = time.monotonic() + seconds
        while self._status is None:
            ((_, state),) = self._bus.call(get(unit_path(self.name), UNIT, "ActiveState"))
            if state in ENDED:
                self._status = exit_status(read_properties(self._bus, self.name))
            elif (left := deadline - time.monotonic()) <= 0:
                return None
            else:
                # Whatever the signal says, the state is asked for anew.
                self._bus.next_signal(left)
        return self._status

    def close(self) -> None:
        """Closes the pipes and lets systemd forget the unit."""
        if not self._is_open:
            return
        self._is_open = False
        for descriptor in (self.commands, self.answers, self.noise):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        with contextlib.suppress(BusError):
            self._bus.call(remove_match(changes_of(self.name)))
            self._bus.call(unref_unit(self.name))


def start_transient(
    bus: Bus, name: str, settings: Sequence[tuple[str, tuple[str, Any]]], *, seconds: float
) -> None:
    """Starts a unit and waits until its program runs, or a slice is there.

    The connection must have subscribed. Raises StartError, BusError.
    """
    deadline = time.monotonic() + seconds
    bus.call(add_match(JOB_ENDS))
    try:
        (job,) = bus.call(start_transient_unit(name, settings))
        while True:
            signal = bus.next_signal(deadline - time.monotonic())
            if signal is None:
                raise StartError(f"systemd did not start it within {seconds:g} s")
            if signal.member == "JobRemoved" and signal.arguments[1] == job:
                break
    finally:
        bus.call(remove_match(JOB_ENDS))
    if signal.arguments[3] != "done":
        raise StartError(_why_not_started(read_properties(bus, name)))


def exit_status(properties: Properties) -> int:
    """The main process's status, negative for a signal."""
    code, status = properties["ExecMainCode"][1], int(properties["ExecMainStatus"][1])
    if not code:
        # systemd has ended the unit without having heard how its process ended [seen with systemd 257].
        return -signal.SIGKILL
    return status if code == CLD_EXITED else -status


# systemd's own exit codes, for what fails before the program runs [systemd.exec(5), "Process Exit Codes"].
_STEPS = {
    200: "its working folder can't be entered",
    203: "the program can't be run (of /run and /tmp the cage has its own)",
    210: "its root folder can't be entered",
    216: "its group can't be taken",
    217: "its user is not known",
    224: "PAM refuses it",
    225: "its private network can't be made",
    226: "its view of the file system can't be made",
    228: "its system call filter can't be set",
    229: "its SELinux context can't be taken",
    231: "its AppArmor profile can't be taken",
    236: "its SMACK label can't be taken",
}


def _why_not_started(properties: Properties) -> str:
    status = exit_status(properties)
    result = properties["Result"][1]
    return _STEPS.get(status, f"systemd says: {result}, status {status}")
