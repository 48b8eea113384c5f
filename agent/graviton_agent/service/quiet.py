"""Whether the host has had so little to do, and for so long, that a unit may be calibrated.

Everything is read as a total since boot, so that the difference of two readings covers all the time between
them, however rarely somebody reads: a burst of load between two readings is not missed.
"""

import os
from dataclasses import dataclass

from graviton_agent.configuration.compiled import Quiet
from graviton_agent.root import Root

MOST_SECONDS_BETWEEN = 30.0
LEAST_SECONDS_BETWEEN = 0.5
SHARES = 4
"""How many readings the configured duration takes."""

_IDLE = 3
"""Index of the time in which nothing ran; the time of waiting for disks follows."""
_STEAL = 7
"""Index of the time that the hypervisor gave to others; guests' time, which follows, is in "user" already
[proc_stat(5)]."""


@dataclass(frozen=True)
class Reading:
    """What the kernel says at one moment."""

    at: float
    """Seconds of a monotonic clock."""
    load: float
    """Runnable tasks, averaged over a minute."""
    waited: int | None
    """Microseconds during which some task waited for a CPU; None for a kernel that doesn't count them."""
    ticks: int
    """CPU time of all kinds, of all CPUs together."""
    steal: int
    """The part of it that the hypervisor gave to others."""
    busy: int = 0
    """The part of it in which something ran."""


def read(root: Root, at: float) -> Reading:
    """Reads load, pressure and steal."""
    load = (root.read_line("proc/loadavg") or "0").split()[0]
    ticks = [int(word) for word in (root.read_text("proc/stat") or "cpu").partition("\n")[0].split()[1:]]
    return Reading(
        at=at,
        load=float(load),
        waited=total_waited(root.read_text("proc/pressure/cpu") or ""),
        ticks=sum(ticks[: _STEAL + 1]),
        steal=ticks[_STEAL] if len(ticks) > _STEAL else 0,
        busy=sum(ticks[:_STEAL]) - sum(ticks[_IDLE : _IDLE + 2]),
    )


def total_waited(text: str) -> int | None:
    """The total of the line "some avg10=0.00 avg60=0.00 avg300=0.00 total=1234"."""
    for line in text.splitlines():
        kind, _, rest = line.partition(" ")
        total = rest.rpartition("total=")[2]
        if kind == "some" and total.isdecimal():
            return int(total)
    return None


def why_busy(before: Reading, now: Reading, bounds: Quiet, cpus: int) -> str | None:
    """What was above its bound between two readings, in words; None if nothing was."""
    load = now.load / cpus
    if load > bounds.load:
        return f"load {load:.2f} per CPU, above {bounds.load:g}"
    elapsed = now.at - before.at
    if now.waited is not None and before.waited is not None and elapsed > 0:
        pressure = (now.waited - before.waited) / (elapsed * 1e6) * 100
        if pressure > bounds.pressure:
            return f"CPU pressure {pressure:.1f} %, above {bounds.pressure:g} %"
    ticks = now.ticks - before.ticks
    steal = (now.steal - before.steal) / ticks * 100 if ticks > 0 else 0.0
    if steal > bounds.steal:
        return f"steal {steal:.1f} %, above {bounds.steal:g} %"
    return None


class Spell:
    """A time of quiet: how long it has lasted, and what ended the last one."""

    def __init__(self, bounds: Quiet, *, cpus: int | None = None) -> None:
        self.bounds = bounds
        self._cpus = cpus or os.cpu_count() or 1
        self._last: Reading | None = None
        self._since: float | None = None
        self.busy: str | None = None
        """What was above its bound at the last reading."""

    @property
    def seconds_between(self) -> float:
        """How long to wait for the next reading."""
        return min(MOST_SECONDS_BETWEEN, max(LEAST_SECONDS_BETWEEN, self.bounds.duration / SHARES))

    def take(self, now: Reading) -> bool:
        """Takes a reading; returns whether it has been quiet for long enough."""
        before, self._last = self._last, now
        if before is None:
            return False
        self.busy = why_busy(before, now, self.bounds, self._cpus)
        if self.busy:
            self._since = None
            return False
        if self._since is None:
            self._since = before.at
        return now.at - self._since >= self.bounds.duration
