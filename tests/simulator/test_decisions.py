"""A small seeded slice of `make bench-decisions`: fails when the decision's error rates break.

Each of its twelve bounds is so wide that a decision which meets its target fails it with a chance below one
in a million, all of them together below one in 80,000, whatever the seeds; the naive methods that the
benchmark compares with fail by far.
"""

from collections.abc import Sequence
from functools import cache

import pytest
from scipy.stats import binom

from benchmarks.decisions import metrics
from benchmarks.decisions.methods import Run, graviton_agent, measure_once
from benchmarks.decisions.suite import Series

CHANCE = 1e-6
"""Of a false alarm, for each bound."""


@cache
def runs(kind: str, preset: str, count: int) -> tuple[Run, ...]:
    """The first runs of one series of the benchmark."""
    series = Series(kind, preset, count)
    return tuple(graviton_agent(series.scenario(number)) for number in range(count))


def at_most(count: int, rate: float) -> int:
    """How many of so many can happen, each at this rate, but for the chance of a false alarm."""
    return int(binom.isf(CHANCE, count, rate))


def check(found: Sequence[Run], holds: object, rate: float) -> None:
    """Fails, with the scenarios' names, where more runs have a property than its rate explains."""
    assert callable(holds)
    names = [run.scenario for run in found if holds(run)]
    assert len(names) <= at_most(len(found), rate), names


@pytest.mark.parametrize(("preset", "rate"), [("typical", 0.002), ("noisy", 0.01), ("storm", 0.02)])
def test_where_nothing_differs_nothing_is_changed(preset: str, rate: float) -> None:
    check(runs("null", preset, 80), metrics.changed, rate)


def test_measuring_each_once_and_taking_the_best_would_fail_that() -> None:
    series = Series("null", "typical", 10)
    naive = [measure_once(series.scenario(number)) for number in range(10)]
    assert sum(map(metrics.changed, naive)) > at_most(10, 0.02)


@pytest.mark.parametrize(("preset", "target"), [("quiet", 0.99), ("typical", 0.98), ("noisy", 0.93)])
def test_the_choice_is_close_to_the_true_best(preset: str, target: float) -> None:
    check(runs("random", preset, 60), lambda run: not metrics.success(run), 1.0 - target)


@pytest.mark.parametrize(
    ("gain", "preset", "target"), [(1.08, "typical", 0.99), (1.05, "typical", 0.95), (1.08, "noisy", 0.90)]
)
def test_a_gain_is_adopted(gain: float, preset: str, target: float) -> None:
    check(runs(f"planted {gain}", preset, 50), lambda run: not run.changed, 1.0 - target)


def test_a_gain_of_1_percent_is_left() -> None:
    check(runs("planted 1.01", "noisy", 50), metrics.changed, 0.02)


def everything() -> list[Run]:
    """All runs of this slice."""
    found = [run for preset in ("quiet", "typical", "noisy") for run in runs("random", preset, 60)]
    found += [run for preset in ("typical", "noisy", "storm") for run in runs("null", preset, 80)]
    return found


def test_what_is_chosen_is_not_slower_than_the_default() -> None:
    check(everything(), metrics.harmful, 0.002)


def test_the_interval_holds_the_true_gain() -> None:
    compared = [run for run in everything() if run.covered is not None]
    check(compared, lambda run: not run.covered, 0.07)


def test_the_budget_is_never_overdrawn() -> None:
    assert max(run.seconds for run in everything()) <= 90.0


def test_the_same_seed_gives_the_same_run() -> None:
    series = Series("random", "storm", 1)
    assert graviton_agent(series.scenario(7)) == graviton_agent(series.scenario(7))
