"""Which blocks were disturbed: judged by steal, other processes and a canary, never by the result itself."""

import math
from collections.abc import Sequence
from statistics import median

from graviton_agent.calibration.rules import Rules
from graviton_agent.calibration.trial import Block


class Canaries:
    """The canary's times of this session, kept apart by thread count."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._seen: dict[int | None, list[float]] = {}

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
            off = off or (len(seen) >= 4 and abs(canary - median(seen)) > self._rules.canary_tolerance)
            seen.append(canary)
        # Over the whole round: in a single short block one tick of the kernel's clock is some percent.
        elapsed = sum(block.elapsed_ns for _, block in blocks)
        if sum(b.steal * b.elapsed_ns for _, b in blocks) > self._rules.steal_tolerance * elapsed:
            return "CPU time was stolen by the hypervisor"
        if sum(b.foreign * b.elapsed_ns for _, b in blocks) > self._rules.foreign_tolerance * elapsed:
            return "other processes used the CPUs"
        return "the canary was off" if off else None
