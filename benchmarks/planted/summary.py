"""What the finished calibrations say: shares with their uncertainty, power beside the pair's SD, coverage."""

import functools
import itertools
import math
import random
from collections.abc import Iterable, Sequence
from statistics import fmean, median
from typing import Any

from benchmarks.decisions.metrics import Share
from benchmarks.planted.laboratory import TimedBlock
from benchmarks.planted.surroundings import QUIET
from graviton_agent.calibration.confirmation import Verdict, judge
from graviton_agent.calibration.rules import Rules

Line = dict[str, Any]
BINS = (0.0, 0.01, 0.02, 0.04, math.inf)
"""Bounds of a pair's SD."""
SIMULATED = 4000


def outcomes(lines: Sequence[Line], outcome: str) -> Share:
    """How often a calibration ended so."""
    return Share(sum(line["outcome"] == outcome for line in lines), len(lines))


def confirmations(lines: Iterable[Line]) -> list[Line]:
    """The confirmations that these calibrations came to."""
    return [line["confirmation"] for line in lines if line["confirmation"]]


def coverage(lines: Iterable[Line]) -> Share:
    """How many intervals hold the true gain, of all confirmations that have one."""
    answers = [found["covered"] for found in confirmations(lines) if found["covered"] is not None]
    return Share(sum(answers), len(answers))


def adopted_coverage(lines: Iterable[Line]) -> Share:
    """The same where the gain was adopted."""
    return coverage(line for line in lines if line["outcome"] == "change")


def promises_kept(lines: Iterable[Line]) -> Share:
    """How often an adopted gain is at least the lower end of its interval, which is what is promised."""
    adopted = [line for line in lines if line["outcome"] == "change"]
    kept = sum(line["confirmation"]["interval"][0] <= math.log(line["ratio"]) for line in adopted)
    return Share(kept, len(adopted))


def squares(line: Line) -> list[float]:
    """Guesses of a pair's variance: of each confirmed pair about the truth, of screening's repeats."""
    truth = math.log(line["ratio"])
    found = line["confirmation"]
    pairs = [(ratio - truth) ** 2 for ratio in found["log_ratios"]] if found else []
    return [*pairs, *line["screening_variances"]]


def measured_sd(lines: Iterable[Line]) -> float | None:
    """A pair's SD in these calibrations, about the truth."""
    found = [square for line in lines for square in squares(line)]
    return math.sqrt(fmean(found)) if found else None


def by_sd(lines: Sequence[Line]) -> list[tuple[str, list[Line]]]:
    """The calibrations sorted by the SD that each showed itself."""
    sorted_lines: list[tuple[str, list[Line]]] = []
    for low, high in itertools.pairwise(BINS):
        words = f"{low:.0%} to {high:.0%}" if math.isfinite(high) else f"{low:.0%} and more"
        own = [line for line in lines if (sd := measured_sd([line])) is not None and low <= sd < high]
        sorted_lines.append((words, own))
    sorted_lines.append(("showed none", [line for line in lines if measured_sd([line]) is None]))
    return sorted_lines


@functools.lru_cache
def expected_power(ratio: float, sd: float) -> float:
    """How often the confirmation's test adopts a gain if pairs are normal with this SD."""
    rules = Rules()
    draw = random.Random(f"{ratio} {sd}")
    adopted = 0
    for _ in range(SIMULATED):
        pairs: list[float] = []
        ended = None
        while ended is None:
            pairs.append(draw.gauss(math.log(ratio), sd))
            ended = judge(pairs, rules, prior_sd=rules.prior_sd, most_pairs=rules.looks[-1].pairs)
        adopted += ended[0] is Verdict.ADOPT
    return adopted / SIMULATED


def seconds(lines: Sequence[Line]) -> dict[str, float]:
    """Median, 95th percentile and maximum of a calibration's time."""
    times = sorted(line["seconds"] for line in lines)
    return {
        "median": median(times),
        "p95": times[min(len(times) - 1, int(0.95 * len(times)))],
        "most": times[-1],
    }


def disturbed(lines: Iterable[Line]) -> Share:
    """How many pairs of the confirmations were dropped."""
    found = confirmations(lines)
    dropped = sum(one["dropped"] for one in found)
    return Share(dropped, dropped + sum(len(one["log_ratios"]) for one in found))


def checked(lines: Sequence[Line]) -> tuple[float, float]:
    """The directly measured ratio with its standard error, over all batches and checks."""
    batches = {batch for line in lines for batch in line["log_ratios"]}
    means, variances = [], []
    for batch in batches:
        ratios = [ratio for line in lines for ratio in line["log_ratios"][batch]]
        # Bursts hit single rounds hard; the median's standard error is 1.25 times that of the mean.
        centre = median(ratios)
        spread = median(abs(ratio - centre) for ratio in ratios) * 1.4826
        means.append(centre)
        variances.append((1.2533 * spread) ** 2 / len(ratios))
    return math.exp(fmean(means)), math.sqrt(math.fsum(variances)) / len(batches)


def cpus(lines: Sequence[Line]) -> str:
    """How many CPUs the benchmark had, of how many; both where tasks differ."""
    found = {(line["surroundings"]["usable_cpus"], line["surroundings"]["cpus"]) for line in lines}
    return ", ".join(f"{usable} of {all_cpus}" for usable, all_cpus in sorted(found))


def meanwhile(lines: Iterable[Line], name: str) -> list[float]:
    """A figure of the machine during each task that has it, rising."""
    return sorted(found for line in lines if (found := line["surroundings"][name]) is not None)


def block_shares(lines: Iterable[Line]) -> tuple[float, float] | None:
    """Mean shares of steal and of others' work on the measured CPUs themselves, over all blocks."""
    blocks = [TimedBlock(*block) for line in lines for block in line["blocks"]]
    if not blocks:
        return None
    return fmean(block.steal for block in blocks), fmean(block.foreign for block in blocks)


def quiet(lines: Iterable[Line]) -> bool | None:
    """Whether others left the machine alone during half of the tasks at least; None if nobody knows."""
    others = meanwhile(lines, "others")
    return median(others) <= QUIET if others else None
