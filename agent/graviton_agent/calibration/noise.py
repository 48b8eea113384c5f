"""Which blocks were disturbed: judged by steal, other processes and a canary, never by the result itself."""

import math
from collections.abc import Sequence
from statistics import median

from graviton_agent.calibration.rules import Rules
from graviton_agent.calibration.trial import Block


class Canaries:
    """The canary's times of this session, kept apart by thread count and process group size."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._seen: dict[int | None, list[float]] = {}

    def disturbance(self, blocks: Sequence[Block], threads: int | None) -> str | None:
        """Why a round should be measured again, or None; remembers the round's canaries either way.

        Both arms of a round are dropped or kept together, and blind: their own times play no part.
        """
        seen = self._seen.setdefault(threads, [])
        usual = median(seen) if len(seen) >= 4 else None
        canaries = [math.log(block.canary_ns) for block in blocks if block.canary_ns > 0]
        seen.extend(canaries)
        if max((block.steal for block in blocks), default=0.0) > self._rules.steal_tolerance:
            return "CPU time was stolen by the hypervisor"
        if max((block.foreign for block in blocks), default=0.0) > self._rules.foreign_tolerance:
            return "other processes used the CPUs"
        if usual is not None and any(abs(c - usual) > self._rules.canary_tolerance for c in canaries):
            return "the canary was off"
        return None
