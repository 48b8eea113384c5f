"""The targets, and whether the runs meet them."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from benchmarks.decisions import metrics
from benchmarks.decisions.methods import Run
from benchmarks.decisions.metrics import Share
from benchmarks.decisions.runner import Runs
from benchmarks.decisions.suite import GAINS

OURS = "graviton-agent"
TIME = {"median": 45.0, "p95": 75.0, "most": 90.0}
CHEAPER = 40.0
SUCCESS = {"quiet": 0.99, "typical": 0.98, "noisy": 0.93}
REGRET = {"quiet": 0.001, "typical": 0.002, "noisy": 0.004}
NULL = {"quiet": 0.002, "typical": 0.002, "noisy": 0.01, "storm": 0.02}
HARM = 0.002
POWER = {("planted 1.08", "typical"): 0.99, ("planted 1.08", "noisy"): 0.90} | {
    ("planted 1.05", "typical"): 0.95,
    ("planted 1.05", "noisy"): 0.60,
}
STRETCH = {
    ("success", "noisy"): "95 %",
    ("planted 1.05", "typical"): "99 %",
    ("planted 1.05", "noisy"): "85 %",
    ("median", ""): "30 s",
}
PLANTED = tuple(f"planted {gain}" for gain in GAINS)
"""Charged time is judged over these, random and null surfaces: not over the widest, which have any size."""
SMALL_ADOPTED = 0.02
COVERAGE = 0.93


@dataclass(frozen=True)
class Result:
    """One target and what was found."""

    what: str
    preset: str
    target: str
    found: str
    met: bool
    stretch: str = ""
    open: bool = False
    """Whether the interval of what was found lies on both sides of the target: more runs could tell."""

    @property
    def verdict(self) -> str:
        """In words."""
        if self.open:
            return "met, not proved" if self.met else "not proved"
        return "met" if self.met else "missed"


def judge(runs: Runs) -> tuple[Result, ...]:
    """Every target for which there are runs."""
    presets = list(dict.fromkeys(preset for _, preset, _ in runs))
    return tuple(result for preset in presets for result in _judge_preset(runs, preset))


def ours(runs: Runs, preset: str, *kinds: str) -> list[Run]:
    """This project's runs of some kinds, or of all where none is named; the published tables apart."""
    return [
        run
        for (kind, own_preset, method), found in runs.items()
        if own_preset == preset
        and method == OURS
        and not kind.startswith("tutorial")
        and (kind in kinds or not kinds)
        for run in found
    ]


def _judge_preset(runs: Runs, preset: str) -> Iterator[Result]:
    random, null = ours(runs, preset, "random"), ours(runs, preset, "null")
    everything = ours(runs, preset)
    timed = ours(runs, preset, "random", "null", *PLANTED)
    if random and preset in SUCCESS:
        found = metrics.share(random, metrics.success)
        yield _at_least("success", preset, found, SUCCESS[preset])
        regret = metrics.mean_regret(random)
        limit = REGRET[preset]
        yield Result("mean regret", preset, f"<= {limit:.1%}", f"{regret:.3%}", regret <= limit)
    if null and preset in NULL:
        found = metrics.share(null, metrics.changed)
        yield _upper_bound("null surfaces changed", preset, found, NULL[preset])
    if everything:
        found = metrics.share(everything, metrics.harmful)
        yield _upper_bound("more than 0.5 % slower than default", preset, found, HARM)
    for (kind, own_preset), target in POWER.items():
        if own_preset == preset and (planted := ours(runs, preset, kind)):
            yield _at_least(kind, preset, metrics.share(planted, metrics.changed), target)
    if planted := ours(runs, preset, "planted 1.01"):
        found = metrics.share(planted, metrics.changed)
        low, high = found.interval
        yield Result(
            "a gain of 1 % adopted",
            preset,
            f"<= {SMALL_ADOPTED:.0%}",
            str(found),
            found.value <= SMALL_ADOPTED,
            open=low <= SMALL_ADOPTED < high,
        )
    if (found := metrics.coverage(everything, adopted=False)).of:
        yield _at_least("interval coverage", preset, found, COVERAGE)
    if timed:
        yield from _judge_time(runs, preset, timed)


def _judge_time(runs: Runs, preset: str, timed: list[Run]) -> Iterator[Result]:
    seconds = metrics.seconds(timed)
    for name, limit in TIME.items():
        value: float = getattr(seconds, name)
        yield Result(
            f"charged time, {name}",
            preset,
            f"<= {limit:.0f} s",
            f"{value:.1f} s",
            value <= limit,
            STRETCH.get((name, ""), ""),
        )
    others = {
        run.scenario: run.seconds
        for (kind, own, method), found in runs.items()
        if own == preset and method == "pyperf, exhaustive" and kind in {"random", "null"}
        for run in found
    }
    pairs = [others[run.scenario] / run.seconds for run in timed if run.scenario in others]
    if pairs:
        ratio = median(pairs)
        yield Result(
            "cheaper than pyperf, median", preset, f">= {CHEAPER:.0f}x", f"{ratio:.0f}x", ratio >= CHEAPER
        )


def _at_least(what: str, preset: str, found: Share, target: float) -> Result:
    low, high = found.interval
    return Result(
        what,
        preset,
        f">= {target:.0%}",
        str(found),
        found.value >= target,
        STRETCH.get((what, preset), ""),
        open=low < target <= high,
    )


def _upper_bound(what: str, preset: str, found: Share, limit: float) -> Result:
    low, high = found.interval
    return Result(what, preset, f"bound <= {limit:.1%}", str(found), high <= limit, open=low <= limit < high)
