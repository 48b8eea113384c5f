"""The fixed plan of work: every calibration and every check, in an order that never changes."""

import random
import zlib
from dataclasses import dataclass

RATIOS = (1.0, 1.02, 1.05, 1.10, 1.50)
ALONE = "alone"
CONDITIONS = (ALONE, "memory", "bursts")
FIRST = 60
"""A/A calibrations that come before all else."""
NULLS = {"alone": 60, "memory": 20, "bursts": 20}
GAINS = {"alone": 12, "memory": 4, "bursts": 4}
"""How many calibrations with each true gain."""
CHECKS = 2
"""Direct measurements of each ratio."""


@dataclass(frozen=True)
class Task:
    """One calibration, or one direct measurement of a ratio."""

    kind: str
    """calibration, or check."""
    condition: str
    """alone, or the kind of neighbour."""
    ratio: float
    """True ratio of time, default over planted."""
    number: int

    @property
    def name(self) -> str:
        """What the journal knows it by."""
        return f"{self.kind} {self.condition} {self.ratio:.2f} {self.number}"

    @property
    def seed(self) -> int:
        """Of everything that is random in it."""
        return zlib.crc32(self.name.encode())


def tasks() -> tuple[Task, ...]:
    """The plan: the A/A calibrations that stand alone, then all others in a shuffled but fixed order."""
    nulls = [Task("calibration", c, 1.0, n) for c in CONDITIONS for n in range(NULLS[c])]
    gains = [
        Task("calibration", c, ratio, n)
        for ratio in RATIOS
        if ratio != 1.0
        for c in CONDITIONS
        for n in range(GAINS[c])
    ]
    checks = [Task("check", ALONE, ratio, n) for ratio in RATIOS for n in range(CHECKS)]
    rest = [*nulls[FIRST:], *gains, *checks]
    random.Random("planted").shuffle(rest)
    return (*nulls[:FIRST], *rest)
