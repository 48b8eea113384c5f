"""What else the machine did while a task ran: a benchmark on a shared machine has to say so."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from graviton_agent.calibration.cpu_time import CpuTime
from graviton_agent.root import Root

QUIET = 0.05
"""Up to this share of the machine's CPU time in others' hands it is called quiet."""


@dataclass
class Surroundings:
    """The machine during one task."""

    usable_cpus: int
    """CPUs that the benchmark may use."""
    cpus: int
    """CPUs of the machine."""
    load: float
    """Load average of the minute before the task."""
    others: float | None = None
    """Share of the machine's CPU time that processes other than the benchmark's used meanwhile; its own noisy
    neighbour is the benchmark's."""
    steal: float | None = None
    """Share of the machine's CPU time that the hypervisor took meanwhile."""

    def to_json(self) -> dict[str, Any]:
        """As JSON's types."""
        return asdict(self)


@contextmanager
def watched() -> Iterator[Surroundings]:
    """Watches the machine for the length of a `with` block; all processes started in it must end in it."""
    found = Surroundings(
        usable_cpus=len(os.sched_getaffinity(0)), cpus=os.cpu_count() or 1, load=round(os.getloadavg()[0], 2)
    )
    before, own = CpuTime.read(Root()), _own_seconds()
    yield found
    after, own = CpuTime.read(Root()), _own_seconds() - own
    if before is not None and after is not None:
        steal, others = before.shares_until(after, own)
        found.steal, found.others = round(steal, 4), round(others, 4)


def _own_seconds() -> float:
    """CPU time of this process and of its children that have ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)
