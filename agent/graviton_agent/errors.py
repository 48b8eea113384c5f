"""What can go wrong, in words for the person at the terminal, and the exit code that scripts see.

Library code raises these; `cli/main.py` alone prints them and turns them into exit codes.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """Every exit code of the command line. They are a contract: see docs/exit-codes.md."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_GRAVITON = 3
    INTERPRETER = 4
    """The interpreter, or the torch it loads, can't be used."""
    RESOURCES = 5
    """Not enough memory, disk or CPU for what was asked."""
    BUSY = 6
    """Another calibration holds this host."""
    DRIFT = 10
    RESTART_NEEDED = 11
    STALE = 12
    UNCONFIRMED = 13
    """What a profile promises is not to be had here."""
    UNDECIDED = 14
    """A check was too noisy, or too short of time, to say."""
    INTERRUPTED = 130
    """SIGINT, by the shell's habit of 128 plus the signal's number."""
    TERMINATED = 143


class AgentError(Exception):
    """A failure that a person can act on.

    Args:
        message: one line that names the thing and the cause.
        hint: one line that says what to do next; None if there is nothing to say.
    """

    exit_code = ExitCode.FAILED

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(AgentError):
    """What was asked makes no sense: a wrong option, an impossible combination."""

    exit_code = ExitCode.USAGE


class InterpreterError(AgentError):
    """The Python that should run the workload, or its torch, can't be used."""

    exit_code = ExitCode.INTERPRETER


class ResourceError(AgentError):
    """The host has too little of something for what was asked."""

    exit_code = ExitCode.RESOURCES


class BusyError(AgentError):
    """Somebody else is measuring on this host, so that a measurement now would be worthless."""

    exit_code = ExitCode.BUSY


class StateError(AgentError):
    """A state file can't be written or isn't what it should be."""
