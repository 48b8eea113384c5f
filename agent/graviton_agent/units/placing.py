"""Puts environment files in place and takes them away: what the daemon, the gates and the commands all do.

Three things hold whatever happens. Nothing is put in place while the agent is not up, for nobody would guard
it, and nothing stays that was put there while it went down. What must not be there goes first, so that a full
disk keeps nothing stale. And what can't be done for one unit is done for the others.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from graviton_agent.errors import StateError
from graviton_agent.installed import SERVICE
from graviton_agent.units import environment_file
from graviton_agent.units.bus import Bus
from graviton_agent.units.environment_file import EnvironmentFile
from graviton_agent.units.manager import UNIT, get, unit_path

UP = frozenset({"active", "reloading", "activating"})
"""A service that crashed and is about to be restarted counts as activating: its files stay meanwhile."""


@dataclass
class Placed:
    """What came of it."""

    is_up: bool = True
    """Whether the agent was up all the time; if not, nothing was put in place."""
    written: list[str] = field(default_factory=list)
    """The units whose file is another one now."""
    removed: list[str] = field(default_factory=list)
    failures: dict[str, StateError] = field(default_factory=dict)
    """The units for which it could not be done. Their former file is gone, unless it is that which failed."""

    def raise_first(self) -> None:
        """Raises the first failure, for who deals with a single unit."""
        for error in self.failures.values():
            raise error


def agent_is_up(bus: Bus) -> bool:
    """Whether the agent's service runs, so that somebody guards what is put in place. Raises BusError."""
    ((_, state),) = bus.call(get(unit_path(SERVICE), UNIT, "ActiveState"))
    return state in UP


def place(folder: Path, wanted: Mapping[str, EnvironmentFile | None], *, is_up: Callable[[], bool]) -> Placed:
    """Makes the files of units what they must be; raises nothing but what `is_up` does.

    Args:
        folder: of the environment files. It comes and goes with the agent, and is never made here.
        wanted: by unit; None where there must be no file.
        is_up: whether the agent is up at this moment. It is asked again at the end: systemd removes the
            folder when the agent stops, and might have done so just before a file came.
    """
    placed = Placed(is_up=is_up())
    files = {name: file for name, file in wanted.items() if file is not None and placed.is_up}
    for name in wanted.keys() - files.keys():
        with _failing(placed, name):
            if environment_file.remove(folder, name):
                placed.removed.append(name)
    for name, file in files.items():
        with _failing(placed, name):
            try:
                if environment_file.write(folder, file):
                    placed.written.append(name)
            except StateError:
                environment_file.remove(folder, name)
                raise
    if placed.written and not is_up():
        placed.is_up = False
        for name in placed.written:
            with _failing(placed, name):
                environment_file.remove(folder, name)
        placed.written.clear()
    return placed


@contextlib.contextmanager
def _failing(placed: Placed, name: str) -> Iterator[None]:
    """Notes a failure for a unit, and goes on with the next."""
    try:
        yield
    except StateError as error:
        placed.failures[name] = error
