"""Cells: the times that screening measured, by case and way through torch, and what they add up to."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import NamedTuple

from graviton_agent.calibration.trial import Configuration
from graviton_agent.workload import Workload


class CellKey(NamedTuple):
    """A way through torch: what shares it takes the same time at a case."""

    environment: Configuration
    """The levers of the process."""
    on_blas: frozenset[int]
    """The layers that the BLAS library computes, whether the process sends them there or the flag does."""
    threads: int | None = None
    """None is as many as torch starts."""


class Cells:
    """What was measured of each way at each case: one time for each process that went through it."""

    def __init__(self, workload: Workload) -> None:
        self._workload = workload
        self._nanoseconds: dict[tuple[CellKey, int], list[float]] = defaultdict(list)

    def add(self, key: CellKey, case: int, nanoseconds: float) -> None:
        """Adds one process's time of a forward pass at a case, which is named by its index."""
        self._nanoseconds[key, case].append(nanoseconds)

    def milliseconds(self, ways: Sequence[CellKey]) -> tuple[float, ...] | None:
        """The time of a forward pass for each case, each by its own way; None if one was never measured."""
        times = []
        for case, key in enumerate(ways):
            measured = self._nanoseconds.get((key, case))
            if not measured:
                return None
            times.append(math.exp(fmean(map(math.log, measured))) / 1e6)
        return tuple(times)

    def log_ratio(self, one: CellKey, other: CellKey, case: int) -> float:
        """Logarithm of one way's time over another's at a case; 0 where either was never measured."""
        times = [self._nanoseconds.get((key, case)) for key in (one, other)]
        first, second = (fmean(map(math.log, found)) if found else math.nan for found in times)
        return first - second if math.isfinite(first - second) else 0.0

    def mix(self, times: Sequence[float]) -> float:
        """The mean time of a call, weighted as the workload's cases are."""
        return math.fsum(c.weight * t for c, t in zip(self._workload.cases, times, strict=True))

    def pair_variances(
        self, environments: Iterable[Configuration], default_on_blas: Sequence[frozenset[int]]
    ) -> tuple[float, ...]:
        """For each environment that was started twice, what its two processes say about a pair's variance.

        The difference of two processes of one configuration has the variance of a pair's log ratio. It says
        nothing about which configuration is faster, so looking at it costs no error rate.
        """
        variances = []
        for environment in environments:
            launches = [
                self._nanoseconds.get((CellKey(environment, on_blas), case), [])
                for case, on_blas in enumerate(default_on_blas)
            ]
            if all(len(times) >= 2 for times in launches):
                first, second = (self.mix([times[launch] for times in launches]) for launch in (0, 1))
                variances.append(math.log(first / second) ** 2)
        return tuple(variances)
