"""Which scenarios are run, how often, and by whom."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from benchmarks.decisions.methods import OTHERS, Method, graviton_agent
from tests.simulator.noise import PRESETS
from tests.simulator.scenario import (
    Scenario,
    null_scenario,
    planted_scenario,
    random_scenario,
    slow_scenario,
    tutorial_scenario,
    wide_scenario,
)

GAINS = (1.01, 1.03, 1.05, 1.08)
"""Ratios of time, default over the best configuration."""
MIXES = ("10", "32", "128", "256", "10,32,256")
"""Batches of the published tables."""
CHUNK = 20
"""Scenarios that one task runs: enough to outweigh its dispatch."""


@dataclass(frozen=True)
class Series:
    """Scenarios of one kind under one noise."""

    kind: str
    preset: str
    count: int
    others: int = 0
    """How many of them the other methods run too, from the first on."""

    def scenario(self, number: int) -> Scenario:
        """The scenario with this number."""
        return _maker(self.kind)(self.preset, number)


@dataclass(frozen=True)
class Task:
    """A stretch of a series, by one method."""

    series: Series
    method: Method
    first: int
    last: int

    @property
    def name(self) -> str:
        """What the journal knows it by."""
        return (
            f"{self.series.kind}, {self.series.preset}, {self.method.__name__}, {self.first} to {self.last}"
        )

    @property
    def size(self) -> int:
        """How many runs."""
        return self.last - self.first

    @property
    def progress(self) -> float:
        """Which share of its series comes before it."""
        return self.first / (self.series.count if self.method is graviton_agent else self.series.others)


def series_of(name: str) -> str:
    """What all tasks of one series and method share of their names."""
    return name.rpartition(", ")[0]


def first_number(name: str) -> int:
    """The first scenario of the task with this name."""
    return int(name.rpartition(", ")[2].split()[0])


def _maker(kind: str) -> Callable[[str, int], Scenario]:
    name, _, detail = kind.partition(" ")
    match name:
        case "random":
            return random_scenario
        case "null":
            return null_scenario
        case "wide":
            return wide_scenario
        case "slow":
            return slow_scenario
        case "planted":
            return partial(_planted, float(detail))
        case "tutorial":
            return partial(_tutorial, detail)
    raise ValueError(f"there is no kind {kind!r}")


def _planted(gain: float, preset: str, number: int) -> Scenario:
    return planted_scenario(preset, gain, number)


def _tutorial(batches: str, preset: str, number: int) -> Scenario:
    return tutorial_scenario(preset, batches, number)


def series(seeds: int, presets: tuple[str, ...] = tuple(PRESETS)) -> tuple[Series, ...]:
    """The whole benchmark: `seeds` null surfaces for each preset, and fewer of the dearer kinds."""
    found = []
    for preset in presets:
        others = max(1, seeds // 30)
        found.append(Series("null", preset, seeds, others))
        found.append(Series("random", preset, max(1, seeds * 2 // 3), others))
        found.extend(Series(f"planted {gain}", preset, max(1, seeds // 3)) for gain in GAINS)
        found.extend(Series(kind, preset, max(1, seeds // 10)) for kind in ("wide", "slow"))
        if preset in {"quiet", "typical"}:
            found.extend(Series(f"tutorial {mix}", preset, max(1, seeds // 30), 1) for mix in MIXES)
    return tuple(found)


def tasks(all_series: tuple[Series, ...]) -> Iterator[Task]:
    """All the work, in pieces."""
    for one in all_series:
        for method, count in [(graviton_agent, one.count), *((other, one.others) for other in OTHERS)]:
            for first in range(0, count, CHUNK):
                yield Task(one, method, first, min(first + CHUNK, count))
