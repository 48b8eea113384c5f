"""A PID 1 that knows what it was told: the answers of the bus, made from facts."""

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from graviton_agent.installed import SERVICE
from graviton_agent.units.bus import Bus, BusError, Call, Signal
from graviton_agent.units.manager import UNIT, Properties, unit_path
from tests.profiles.host import PYTHON

INVOCATION = "0c5a" * 8
"""Of every unit that runs."""


def properties(name: str, *command: str, **facts: tuple[str, Any]) -> Properties:
    """What PID 1 says of a service that is installed and doesn't run."""
    words = list(command or (PYTHON, "-m", "app"))
    return {
        "Id": ("s", name),
        "LoadState": ("s", "loaded"),
        "ActiveState": ("s", "inactive"),
        "FragmentPath": ("s", f"/etc/systemd/system/{name}"),
        "DropInPaths": ("as", []),
        "ExecStartEx": ("a(sasasttttuii)", [(words[0], words, [], 0, 0, 0, 0, 0, 0, 0)]),
        "EnvironmentFiles": ("a(sb)", [(f"/run/graviton-agent/environment/{name}.env", True)]),
        "StatusText": ("s", ""),
        "StateChangeTimestamp": ("t", 0),
        **facts,
    }


def running(pid: int) -> dict[str, tuple[str, Any]]:
    """The properties that a main process adds."""
    return {
        "ActiveState": ("s", "active"),
        "MainPID": ("u", pid),
        "InvocationID": ("ay", bytes.fromhex(INVOCATION)),
        "ControlGroup": ("s", "/system.slice/llm.service"),
    }


def missing(name: str) -> Properties:
    """What PID 1 says of a service that it can't find."""
    return properties(name, LoadState=("s", "not-found"), FragmentPath=("s", ""))


@dataclass
class FakeBus(Bus):
    """A bus with PID 1 behind it."""

    units: dict[str, Properties] = field(default_factory=dict)
    environment: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    """The members that were called."""
    aliases: dict[str, str] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)

    def add(self, found: Properties) -> None:
        """Lets PID 1 know a unit."""
        self.units[found["Id"][1]] = found

    def alias(self, name: str, other: str) -> None:
        """Makes a name another name of a unit."""
        self.aliases[name] = other

    def refuse(self, name: str) -> None:
        """Lets PID 1 refuse to load a unit."""
        self.refused.add(name)

    def close(self) -> None:
        """There is nothing to be closed."""

    def subscribe(self) -> None:
        """Nothing is announced."""

    def next_signal(self, seconds: float) -> Signal | None:
        """No signal ever comes."""
        del seconds
        return None

    def call(self, call: Call, *, seconds: float = 0.0) -> tuple[Any, ...]:
        """Answers as PID 1 does."""
        del seconds
        self.calls.append(call.member)
        match call.member, call.arguments:
            case "GetAll", (interface,):
                found = self._unit(call.path)
                return (found if interface in {"", UNIT} else {},)
            case "Get", (_, "Environment"):
                return (("as", self.environment),)
            case "Get", (_, name):
                return (self._unit(call.path)[name],)
            case "ListUnitsByPatterns", (_, patterns):
                names = [name for name in self.units if any(fnmatch.fnmatch(name, p) for p in patterns)]
                return ([(name,) for name in names],)
            case "Reload", ():
                return ()
        raise BusError(f"no {call.member} here", name="org.freedesktop.DBus.Error.UnknownMethod")

    def call_all(self, calls: Sequence[Call], *, seconds: float = 0.0) -> list[tuple[Any, ...] | BusError]:
        """Answers one after the other."""
        answers: list[tuple[Any, ...] | BusError] = []
        for call in calls:
            try:
                answers.append(self.call(call, seconds=seconds))
            except BusError as error:
                answers.append(error)
        return answers

    def _unit(self, path: str) -> Properties:
        for name in (*self.units, *self.aliases):
            if unit_path(name) == path:
                if name in self.refused:
                    raise BusError("it is broken", name="org.freedesktop.systemd1.LoadFailed")
                return self.units[self.aliases.get(name, name)]
        # Asking for any unit loads it.
        return missing(SERVICE)
