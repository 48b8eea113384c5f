"""Who used the measured CPUs meanwhile: the hypervisor, and processes that aren't ours."""

import os
from collections.abc import Collection
from dataclasses import dataclass

from graviton_agent.root import KIB, Root

STAT_LIMIT = 64 * KIB
"""The lines of a thousand CPUs come first in /proc/stat."""
FIELDS = 8
"""user, nice, system, idle, iowait, irq, softirq, steal; the guests' time is within user and nice."""


@dataclass(frozen=True)
class CpuTime:
    """CPU time of some CPUs, or of the whole host, since boot, in seconds."""

    total: float
    idle: float
    steal: float
    tick: float
    """The step of all these, usually 10 ms."""

    @classmethod
    def read(cls, root: Root, cpus: Collection[int] | None = None) -> "CpuTime | None":
        """Reads /proc/stat [proc_stat(5)]; None if it doesn't tell.

        Args:
            root: of the files.
            cpus: whose time; None is all of the host. What runs on CPUs that a trial may not use doesn't
                take its time.
        """
        lines = (line.split() for line in (root.read_text("proc/stat", limit=STAT_LIMIT) or "").splitlines())
        wanted = {"cpu"} if cpus is None else {f"cpu{cpu}" for cpu in cpus}
        found = {line[0]: line[1 : FIELDS + 1] for line in lines if line and line[0] in wanted}
        counts = [field for fields in found.values() for field in fields]
        if found.keys() != wanted or len(counts) != FIELDS * len(wanted):
            return None
        if not all(field.isdecimal() for field in counts):
            return None
        tick = 1 / os.sysconf("SC_CLK_TCK")
        times = [sum(map(int, column)) * tick for column in zip(*found.values(), strict=True)]
        return cls(total=sum(times), idle=times[3] + times[4], steal=times[7], tick=tick)

    def shares_until(self, later: "CpuTime", own: float) -> tuple[float, float]:
        """The shares of steal, and of others' work, from here to `later`, as far as ticks can show them.

        A block of 0.1 s on two CPUs has 20 ticks, and each of these shares is a difference of rounded
        counts: one tick of steal, and two of others' work, may be rounding.

        Args:
            later: the same clock, read afterwards.
            own: CPU seconds that the measured processes used meanwhile.
        """
        total = later.total - self.total
        if total <= 0:
            return 0.0, 0.0
        steal = later.steal - self.steal
        foreign = total - (later.idle - self.idle) - steal - own
        return _share(steal - self.tick, total), _share(foreign - 2 * self.tick, total)


def _share(part: float, whole: float) -> float:
    return min(1.0, max(0.0, part / whole))
