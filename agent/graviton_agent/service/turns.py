"""Whose turn it is to be calibrated when the host is quiet. Pure: no clock, no bus."""

from collections.abc import Iterable
from dataclasses import dataclass

from graviton_agent.configuration.compiled import Calibrate

FIRST_PAUSE_SECONDS = 3600.0
LONGEST_PAUSE_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class Waiting:
    """A unit for which nothing holds that was found for it."""

    unit: str
    when: Calibrate
    """Its policy."""
    is_running: bool


@dataclass(frozen=True)
class Failure:
    """What came of the calibrations of a unit since the last one that brought a result."""

    count: int
    at: float
    """When the last one ended, in seconds of a monotonic clock."""
    for_others: bool = False
    """Whether the last one was stopped because others needed the host."""

    @property
    def pause(self) -> float:
        """Seconds until the next one: twice as long each time."""
        return float(min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(self.count - 1, 10)))


class Turns:
    """Remembers failures, and says who is next. All is forgotten with the daemon, and by a reload."""

    def __init__(self) -> None:
        self._failures: dict[str, Failure] = {}

    @property
    def failures(self) -> int:
        """How many units have failed, and not come to anything since."""
        return sum(not failure.for_others for failure in self._failures.values())

    @property
    def stopped(self) -> int:
        """How many units' calibrations were stopped for others, and have not come to anything since."""
        return sum(failure.for_others for failure in self._failures.values())

    def failed(self, unit: str, now: float, *, for_others: bool = False) -> Failure:
        """Notes that a calibration brought nothing, perhaps because it was stopped for others."""
        count = self._failures[unit].count + 1 if unit in self._failures else 1
        self._failures[unit] = Failure(count, now, for_others)
        return self._failures[unit]

    def settled(self, unit: str) -> None:
        """Notes that something holds for the unit."""
        self._failures.pop(unit, None)

    def forget(self) -> None:
        """Gives every unit another chance."""
        self._failures.clear()

    def next(self, waiting: Iterable[Waiting], now: float) -> str | None:
        """The unit to calibrate as soon as the host is quiet; None if none is due.

        Those that serve come first, then those that have failed less often.
        """
        due = [unit for unit in waiting if _may_wait(unit) and self._due(unit.unit) <= now]
        failures = {unit: failure.count for unit, failure in self._failures.items()}
        due.sort(key=lambda unit: (not unit.is_running, failures.get(unit.unit, 0), unit.unit))
        return due[0].unit if due else None

    def next_pause_ends(self, waiting: Iterable[Waiting], now: float) -> float | None:
        """When the first unit's pause after a failure is over; None if none is pausing."""
        times = [self._due(unit.unit) for unit in waiting if _may_wait(unit)]
        return min((time for time in times if time > now), default=None)

    def _due(self, unit: str) -> float:
        failure = self._failures.get(unit)
        return failure.at + failure.pause if failure else 0.0


def _may_wait(unit: Waiting) -> bool:
    """Whether the unit may be calibrated when the host is quiet.

    One that is calibrated before its start, and runs, has missed that: its gate had no time left for it, or
    its profile has become stale since.
    """
    return unit.when is Calibrate.WHEN_QUIET or (unit.when is Calibrate.BEFORE_START and unit.is_running)
