"""What a heap of runs says, with its uncertainty."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from scipy.stats import binomtest

from benchmarks.decisions.methods import Run

CLOSE = 0.02
"""A choice this near to the true best is right."""
SMALL_GAIN = 1.04
"""Where the best gains less than this ratio, keeping the default is right too."""
HARM = 0.005


@dataclass(frozen=True)
class Share:
    """How many of how many, with the exact 95 % interval of Clopper and Pearson."""

    count: int
    of: int

    @property
    def value(self) -> float:
        """The share itself; not a number where there is nothing to count."""
        return self.count / self.of if self.of else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper bound."""
        if not self.of:
            return 0.0, 1.0
        low, high = binomtest(self.count, self.of).proportion_ci(0.95, method="exact")
        return float(low), float(high)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.value:.2%} [{low:.2%}, {high:.2%}] of {self.of}"


def share(runs: Iterable[Run], holds: Callable[[Run], bool]) -> Share:
    """How many of the runs have a property."""
    answers = [holds(run) for run in runs]
    return Share(sum(answers), len(answers))


def close(run: Run) -> bool:
    """Within 2 % of the true best."""
    return run.regret <= CLOSE


def success(run: Run) -> bool:
    """Within 2 % of the true best, or the default kept where the best gains less than 4 %."""
    return close(run) or (not run.changed and run.default_ms / run.best_ms < SMALL_GAIN)


def changed(run: Run) -> bool:
    """Something would be written."""
    return run.changed


def inconclusive(run: Run) -> bool:
    """Said to be too noisy, or out of time."""
    return run.outcome == "inconclusive"


def harmful(run: Run) -> bool:
    """More than 0.5 % slower than the default."""
    return run.chosen_ms > run.default_ms * (1.0 + HARM)


def superfluous(run: Run) -> bool:
    """A variable was chosen that brings less than 0.5 %."""
    return run.superfluous > 0


def coverage(runs: Iterable[Run], *, adopted: bool) -> Share:
    """How often the interval holds the true gain: of all comparisons, or of those that were adopted."""
    compared = [run for run in runs if run.covered is not None and (run.changed or not adopted)]
    return share(compared, lambda run: bool(run.covered))


def mean_regret(runs: Sequence[Run]) -> float:
    """The mean regret."""
    return fmean(run.regret for run in runs) if runs else float("nan")


@dataclass(frozen=True)
class Seconds:
    """Charged time."""

    median: float
    p95: float
    most: float

    def __str__(self) -> str:
        return f"{self.median:.0f} / {self.p95:.0f} / {self.most:.0f}"


def seconds(runs: Sequence[Run]) -> Seconds:
    """Median, 95th percentile and maximum of the charged time."""
    times = sorted(run.seconds for run in runs)
    return Seconds(median(times), times[min(len(times) - 1, int(0.95 * len(times)))], times[-1])
