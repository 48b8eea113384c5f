"""Who used the host's CPUs meanwhile: the hypervisor, and processes that aren't ours."""

import os
from dataclasses import dataclass

from graviton_agent.root import Root


@dataclass(frozen=True)
class CpuTime:
    """CPU time of the whole host since boot, in seconds; one tick, usually 10 ms, is the finest step."""

    total: float
    idle: float
    steal: float

    @classmethod
    def read(cls, root: Root) -> "CpuTime | None":
        """Reads the first line of /proc/stat [proc_stat(5)]; None if there is no such thing."""
        first = (root.read_text("proc/stat", limit=4096) or "").partition("\n")[0].split()
        if len(first) < 9 or first[0] != "cpu" or not all(field.isdecimal() for field in first[1:9]):
            return None
        ticks = os.sysconf("SC_CLK_TCK")
        # user, nice, system, idle, iowait, irq, softirq, steal; the guests' time is within user and nice.
        times = [int(field) / ticks for field in first[1:9]]
        return cls(total=sum(times), idle=times[3] + times[4], steal=times[7])

    def shares_until(self, later: "CpuTime", own: float) -> tuple[float, float]:
        """The shares of steal, and of others' work, from here to `later`.

        Args:
            later: the same clock, read afterwards.
            own: CPU seconds that the measured processes used meanwhile.
        """
        total = later.total - self.total
        if total <= 0:
            return 0.0, 0.0
        steal = later.steal - self.steal
        foreign = total - (later.idle - self.idle) - steal - own
        return _share(steal, total), _share(foreign, total)


def _share(part: float, whole: float) -> float:
    return min(1.0, max(0.0, part / whole))
