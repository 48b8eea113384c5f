"""Who used the host's CPUs meanwhile: the hypervisor, and processes that aren't ours."""

import os
from dataclasses import dataclass

from graviton_agent.root import Root


@dataclass(frozen=True)
class CpuTime:
    """CPU time of the whole host since boot, in seconds."""

    total: float
    idle: float
    steal: float
    tick: float
    """The step of all these, usually 10 ms."""

    @classmethod
    def read(cls, root: Root) -> "CpuTime | None":
        """Reads the first line of /proc/stat [proc_stat(5)]; None if there is no such thing."""
        first = (root.read_text("proc/stat", limit=4096) or "").partition("\n")[0].split()
        if len(first) < 9 or first[0] != "cpu" or not all(field.isdecimal() for field in first[1:9]):
            return None
        tick = 1 / os.sysconf("SC_CLK_TCK")
        # user, nice, system, idle, iowait, irq, softirq, steal; the guests' time is within user and nice.
        times = [int(field) * tick for field in first[1:9]]
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
