"""Marks by which a unit's gate opens without starting anything: a file for each unit that is dealt with.

The gate's unit looks for the file by ConditionPathExists=. It says what came of it in one word, and goes with
the daemon.
"""

import contextlib
from enum import StrEnum
from pathlib import Path

from graviton_agent.errors import StateError
from graviton_agent.regular_file import read_regular
from graviton_agent.state import write_atomically

_LARGEST = 100


class Mark(StrEnum):
    """What has become of a unit that waits before its start."""

    SETTLED = "settled"
    """Something holds for it: values, or that the default is best."""
    FAILED = "failed"
    """Its gate's calibration brought nothing. While the agent is up it isn't tried again before a start."""
    LATE = "late"
    """Its gate had no time left for it."""


class Marks:
    """The marks of all units."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, unit: str) -> Mark | None:
        """What the unit's mark says; None without one."""
        content = read_regular(str(self._folder / unit), _LARGEST)
        with contextlib.suppress(ValueError):
            return None if content is None else Mark(content.decode("ascii", "replace").strip())
        return None

    def write(self, unit: str, mark: Mark) -> None:
        """Sets the unit's mark. Raises StateError, also where the agent has gone, and the folder with it."""
        if self.read(unit) is not mark:
            write_atomically(self._folder / unit, f"{mark}\n".encode(), make_folder=False)

    def remove(self, unit: str) -> None:
        """Takes the unit's mark away. Raises StateError."""
        try:
            (self._folder / unit).unlink(missing_ok=True)
        except OSError as error:
            raise StateError(f"can't remove {self._folder / unit}: {error.strerror}") from error

    def update(self, unit: str, *, is_settled: bool) -> None:
        """Brings the mark in line with what the daemon sees; what a gate said stands until it is settled."""
        if is_settled:
            self.write(unit, Mark.SETTLED)
        elif self.read(unit) is Mark.SETTLED:
            self.remove(unit)
