"""The cage: workers of a unit's own interpreter, as its user and within its limits, in transient units.

A venv is its owner's. What runs in it is a stranger's program, so it never runs with the agent's rights, and
can neither write, nor talk to anybody, nor stay.
"""

import contextlib
import errno
import os
import select
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from types import TracebackType
from typing import Self

from graviton_agent.calibration.launcher import TIMEOUT_SECONDS, WORKER
from graviton_agent.errors import AgentError
from graviton_agent.root import MIB, Root
from graviton_agent.units.assignments import parse_environment_block, render_assignments
from graviton_agent.units.bus import Bus, BusError, add_match
from graviton_agent.units.cage_properties import (
    environment_settings,
    slice_name_below,
    slice_settings,
    worker_settings,
)
from graviton_agent.units.confinement import Setting
from graviton_agent.units.identity import Observer, observe
from graviton_agent.units.interpreter import Interpreter
from graviton_agent.units.manager import (
    changes_of,
    manager_environment,
    read_properties,
    stop_unit,
)
from graviton_agent.units.processes import own_unit
from graviton_agent.units.transient import StartError, TransientChild, start_transient
from graviton_agent.units.unit import unit_of

START_SECONDS = 60.0
LONGEST_LIFE_SECONDS = 2 * 60 * 60.0
"""No worker lives longer, whatever becomes of the agent; a calibration's own bounds are far below."""

# The agent's folder may be out of the worker's sight or reach, so the worker comes in by its stdin.
LOADER = (
    "import sys; n = int(sys.stdin.buffer.readline()); "
    "exec(compile(sys.stdin.buffer.read(n), 'graviton-agent-worker', 'exec'))"
)
# -I and -S: nothing of the unit's own is imported for this.
TELL_ENVIRONMENT = (
    "-I", "-S", "-c", "import sys; sys.stdout.buffer.write(open('/proc/self/environ', 'rb').read())"
)  # fmt: skip
STAND_STILL = ("-I", "-S", "-c", "import sys; sys.stdin.read()")
ENDED = 1 << 30
"""No process has this number [linux/threads.h, PID_MAX_LIMIT]."""
ENVIRONMENT_SECONDS = 30.0
LARGEST_ENVIRONMENT = 4 * MIB
PIECE = 64 * 1024

_numbers = count(1)


class Cage:
    """Starts workers for one unit. Leaving its context ends them all, and all that they started."""

    def __init__(
        self,
        bus: Bus,
        unit: str,
        interpreter: Interpreter,
        *,
        life_seconds: float = LONGEST_LIFE_SECONDS,
        timeout_seconds: float = TIMEOUT_SECONDS,
        root: Root | None = None,
    ) -> None:
        """Reads what PID 1 knows of the unit, which need not run. Raises BusError.

        Args:
            bus: to PID 1, for this cage alone.
            unit: the name of the unit.
            interpreter: its Python.
            life_seconds: how long any worker may live.
            timeout_seconds: the unit's `timeout`.
            root: of this machine.
        """
        self._bus = bus
        self._options = interpreter.options
        self.interpreter = interpreter.path
        self._life_seconds = life_seconds
        self._slowness = slowness(timeout_seconds)
        self._properties = read_properties(bus, unit)
        self._unit = unit_of(self._properties)
        root = root or Root()
        self._own_unit = own_unit(root)
        # Some hosts forbid them to all; systemd then starts nothing that wants one.
        most = root.read_text("proc/sys/user/max_user_namespaces")
        self._user_namespaces = most is not None and most.strip() != "0"
        self._given_by_manager = frozenset(manager_environment(bus))
        self._slice = slice_name_below(self._unit.slice, f"{os.getpid()}_{next(_numbers)}")
        self._has_slice = False
        bus.subscribe()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends everything; never raises, and may be called twice."""
        if self._has_slice:
            self._has_slice = False
            with contextlib.suppress(BusError):
                self._bus.call(stop_unit(self._slice))

    def launch(self, command: Sequence[str], environment: Mapping[str, str]) -> TransientChild:
        """Starts a worker: an interpreter and its program, with exactly this environment.

        Raises OSError, whose text says what systemd could not do.
        """
        program, arguments = command[0], [*command[1:]]
        source = b""
        if arguments == [str(WORKER)]:
            source = WORKER.read_bytes()
            source = b"%d\n%s" % (len(source), source)
            arguments = [*self._options, "-c", LOADER]
        # Properties can be read by everybody over D-Bus, a memory file by PID 1 alone.
        memory = os.memfd_create("environment")
        try:
            os.write(memory, render_assignments(environment))
            unwanted = sorted(self._given_by_manager - set(environment))
            settings: list[Setting] = [
                ("EnvironmentFiles", ("a(sb)", [(f"/proc/{os.getpid()}/fd/{memory}", False)])),
                *([("UnsetEnvironment", ("as", unwanted))] if unwanted else []),
            ]
            return self._start([program, *arguments], settings, source)
        finally:
            os.close(memory)

    def environment(self) -> dict[str, str]:
        """What the unit's process is given by everybody but the agent, as a process in its place sees it.

        Raises AgentError.
        """
        try:
            child = self._start([self.interpreter, *TELL_ENVIRONMENT], environment_settings(self._properties))
        except OSError as error:
            raise AgentError(f"{self._unit.name} can't be started in the cage: {error.strerror}") from None
        try:
            raw = _read_all(child.answers, LARGEST_ENVIRONMENT, ENVIRONMENT_SECONDS * self._slowness)
            child.signal(signal.SIGKILL)
            child.wait(ENVIRONMENT_SECONDS)
        finally:
            child.close()
        if not raw:
            raise AgentError(
                f"{self.interpreter} in the cage of {self._unit.name} does not say its environment",
                hint=f"try it by hand: {self.interpreter} -I -S -c pass",
            )
        return parse_environment_block(raw)

    def observe(self, names: Iterable[str]) -> dict[str, str]:
        """Facts that a process sees of itself (identity.py), as one in the unit's place sees them.

        Raises AgentError.
        """
        try:
            child = self._start([self.interpreter, *STAND_STILL], environment_settings(self._properties))
        except OSError as error:
            raise AgentError(f"{self._unit.name} can't be started in the cage: {error.strerror}") from None
        try:
            # A process that has ended has the number 0, which would stand for our own.
            pid = read_properties(self._bus, child.name)["MainPID"][1] or ENDED
            return observe(names, Observer(process=pid))
        except ProcessLookupError:
            raise AgentError(f"{self.interpreter} ended at once in the cage of {self._unit.name}") from None
        finally:
            child.signal(signal.SIGKILL)
            child.wait(ENVIRONMENT_SECONDS)
            child.close()

    def _start(
        self, command: Sequence[str], settings: Sequence[Setting], stdin: bytes = b""
    ) -> TransientChild:
        """Starts a command with pipes to it. Raises OSError."""
        name = f"graviton-agent-trial-{os.getpid()}-{next(_numbers)}.service"
        theirs_in, ours_in = os.pipe()
        ours_out, theirs_out = os.pipe()
        ours_err, theirs_err = os.pipe()
        child = TransientChild(self._bus, name, (ours_in, ours_out, ours_err))
        try:
            self._bus.call(add_match(changes_of(name)))
            self._make_slice()
            start_transient(
                self._bus,
                name,
                [
                    *worker_settings(
                        self._properties,
                        self._unit,
                        self._slice,
                        self._life_seconds,
                        user_namespaces=self._user_namespaces,
                    ),
                    *settings,
                    ("ExecStartEx", ("a(sasas)", [(command[0], list(command), ["no-env-expand"])])),
                    ("StandardInputFileDescriptor", ("h", theirs_in)),
                    ("StandardOutputFileDescriptor", ("h", theirs_out)),
                    ("StandardErrorFileDescriptor", ("h", theirs_err)),
                ],
                seconds=START_SECONDS * self._slowness,
            )
            # It fits into the pipe, so that a program that does not read can't hold us.
            with contextlib.suppress(BrokenPipeError):
                os.write(ours_in, stdin)
        except (StartError, BusError) as error:
            child.signal(signal.SIGKILL)
            child.close()
            raise OSError(errno.ECHILD, str(error)) from None
        finally:
            for descriptor in (theirs_in, theirs_out, theirs_err):
                os.close(descriptor)
        return child

    def _make_slice(self) -> None:
        if not self._has_slice:
            start_transient(
                self._bus,
                self._slice,
                slice_settings(self._properties, self._own_unit),
                seconds=START_SECONDS * self._slowness,
            )
            self._has_slice = True


def slowness(timeout_seconds: float) -> float:
    """How many times as long as usual the cage waits, by the unit's `timeout`; never less than usual.

    Who has raised that has a slower host, where all takes longer in proportion.
    """
    return max(1.0, timeout_seconds / TIMEOUT_SECONDS)


def _read_all(descriptor: int, most: int, seconds: float) -> bytes:
    """What comes until the end, or nothing if it is too much or too late."""
    deadline = time.monotonic() + seconds
    received = b""
    while select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
        piece = os.read(descriptor, PIECE)
        if not piece:
            return received
        received += piece
        if len(received) > most:
            break
    return b""
