"""Which blocks were disturbed: judged by steal, other processes and a canary, never by the result itself."""

import math
from collections.abc import Sequence
from statistics import median

from graviton_agent.calibration.rules import Rules
from graviton_agent.calibration.trial import Block

ENOUGH = 4
"""So many values tell what is usual in this session."""
BEARABLE = 2.0
"""Up to so many times the tolerance may always be lost."""
OUTLIER = 3.0
"""A canary that is so many standard deviations away is another's doing."""
NORMAL_MEDIAN = 0.6745
"""The median of a standard normal's absolute value."""


class Canaries:
    """What is usual in this session: the canary's times by thread count, and the CPU time that is lost."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._seen: dict[int | None, list[float]] = {}
        self._steal: list[float] = []
        self._foreign: list[float] = []

    def disturbance(self, blocks: Sequence[tuple[int | None, Block]]) -> str | None:
        """Why a round should be measured again, or None; remembers the round's canaries either way.

        Both arms of a round are dropped or kept together, and blind: their own times play no part.

        Args:
            blocks: each with the number of threads that it ran on, which the canary's time depends on.
        """
        off = False
        for threads, block in blocks:
            if block.canary_ns <= 0:
                continue
            seen = self._seen.setdefault(threads, [])
            canary = math.log(block.canary_ns)
            off = off or self._is_off(canary, seen)
            seen.append(canary)
        # Over the whole round: in a single short block one tick of the kernel's clock is some percent.
        elapsed = sum(block.elapsed_ns for _, block in blocks)
        if elapsed <= 0:
            return "the canary was off" if off else None
        steal = sum(b.steal * b.elapsed_ns for _, b in blocks) / elapsed
        foreign = sum(b.foreign * b.elapsed_ns for _, b in blocks) / elapsed
        stolen = _stands_out(steal, self._steal, self._rules.steal_tolerance)
        crowded = _stands_out(foreign, self._foreign, self._rules.foreign_tolerance)
        if stolen:
            return "CPU time was stolen by the hypervisor"
        if crowded:
            return "other processes used the CPUs"
        return "the canary was off" if off else None

    def _is_off(self, canary: float, seen: Sequence[float]) -> bool:
        """Whether a canary is off by the rules, and by more than this session's canaries usually differ."""
        if len(seen) < ENOUGH:
            return False
        return abs(canary - median(seen)) > max(self._rules.canary_tolerance, OUTLIER * _robust_sd(seen))

    def sd(self) -> float:
        """The standard deviation of this session's canaries' logs, outliers apart.

        0 as long as there are too few to tell.
        """
        return max((_robust_sd(seen) for seen in self._seen.values() if len(seen) >= ENOUGH), default=0.0)


def _robust_sd(logs: Sequence[float]) -> float:
    middle = median(logs)
    return median(abs(log - middle) for log in logs) / NORMAL_MEDIAN


def _stands_out(share: float, seen: list[float], tolerance: float) -> bool:
    """Whether a round lost more of the CPU time than this session usually does, which it then remembers.

    What is always lost strikes every round alike: measuring again would help nothing, and what it costs in
    exactness shows in how much the pairs differ. A host that is always busy is none to measure on.
    """
    usual = median(seen) if len(seen) >= ENOUGH else 0.0
    seen.append(share)
    return share > min(usual, BEARABLE * tolerance) + tolerance
