"""The judgement on pairs: when to adopt, to give up, to call it noise, and how often that is wrong."""

import functools
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graviton_agent.calibration.confirmation import Verdict, judge
from graviton_agent.calibration.rules import Rules
from graviton_agent.calibration.statistics import estimate

RULES = Rules()
LOOKS = tuple(look.pairs for look in RULES.looks)
LAST = LOOKS[-1]


def judged(ratios: list[float], *, sd: float = RULES.prior_sd, most: int = LAST) -> Verdict | None:
    """The verdict; None to go on."""
    found = judge(ratios, RULES, prior_sd=sd, most_pairs=most)
    return found and found[0]


def test_without_a_pair_there_is_nothing_to_judge() -> None:
    assert judged([]) is None


def test_a_clear_gain_is_adopted_at_the_first_look_and_not_before() -> None:
    for pairs in range(1, LOOKS[0]):
        assert judged([0.5] * pairs) is None
    assert judged([0.5] * LOOKS[0]) is Verdict.ADOPT


@pytest.mark.parametrize("pairs", [pairs for pairs in range(1, LAST) if pairs not in LOOKS])
def test_between_looks_nothing_is_adopted(pairs: int) -> None:
    assert judged([0.5] * pairs) is None


def test_a_certain_gain_that_is_too_small_is_no_reason_to_change() -> None:
    gain = 0.9 * RULES.minimum_gain
    for pairs in range(1, LAST + 1):
        assert judged([gain] * pairs, sd=0.0) is not Verdict.ADOPT


def test_no_gain_is_given_up_early() -> None:
    assert judged([0.0] * RULES.futility_from) is Verdict.NO_GAIN
    assert judged([-0.3] * RULES.futility_from) is Verdict.NO_GAIN


def test_one_pair_is_not_enough_to_give_up() -> None:
    assert judged([-0.3] * (RULES.futility_from - 1)) is None


def test_noise_that_hides_a_wanted_gain_ends_it_early() -> None:
    pairs = ([0.3, -0.25] * RULES.noisy_from)[: RULES.noisy_from]
    found = judge(pairs, RULES, prior_sd=0.2, most_pairs=LAST)
    assert found is not None
    assert found[0] is Verdict.TOO_NOISY
    assert "differ by" in found[1]


def test_a_gain_that_stands_out_of_the_noise_is_pursued() -> None:
    # Seven pairs are no look, so that a large gain can't be adopted yet.
    noisy = [0.9, 0.6, 0.9, 0.6, 0.9, 0.6, 0.75]
    assert judged(noisy, sd=0.2) is None
    assert judged([value - 0.75 for value in noisy], sd=0.2) is Verdict.TOO_NOISY


def test_where_time_is_short_the_verdict_says_so() -> None:
    undecided = [0.06, -0.01, 0.09]
    assert judged(undecided) is None
    assert judged(undecided, most=len(undecided)) is Verdict.OUT_OF_TIME


def test_after_the_last_look_what_is_undecided_is_noise() -> None:
    wild = ([0.30, -0.22] * LAST)[:LAST]
    assert judged(wild, sd=0.2) is Verdict.TOO_NOISY


pair_lists = st.lists(st.floats(-0.5, 0.5), min_size=1, max_size=LAST)


@given(pair_lists, st.floats(0.003, 0.2), st.integers(1, LAST))
def test_nothing_is_adopted_without_a_gain_that_is_certain_and_large_enough(
    ratios: list[float], sd: float, most: int
) -> None:
    if judged(ratios, sd=sd, most=most) is Verdict.ADOPT:
        found = estimate(ratios, RULES, sd)
        assert len(ratios) in LOOKS
        assert found.mean >= RULES.minimum_gain
        assert found.lower(max(look.alpha for look in RULES.looks)) > 0


@given(pair_lists, st.floats(0.003, 0.2))
def test_there_is_always_an_end(ratios: list[float], sd: float) -> None:
    assert judged(ratios[:LAST], sd=sd, most=len(ratios)) is not None or len(ratios) < LAST
    assert judged((ratios * LAST)[:LAST], sd=sd) is not None


def test_later_looks_may_be_declared_away() -> None:
    once = replace(RULES, looks=RULES.looks[:1])
    found = judge([0.06, 0.0], once, prior_sd=0.015, most_pairs=100)
    assert found is not None
    assert found[0] in {Verdict.TOO_NOISY, Verdict.NO_GAIN}


@functools.cache
def adopted_share(gain: float, sd: float) -> float:
    """How often a candidate with this log gain is adopted where pairs have this SD: 2000 seeded runs."""
    source = random.Random(f"judge {gain} {sd}")
    return sum(_run(source, gain, sd) is Verdict.ADOPT for _ in range(2000)) / 2000


def _run(source: random.Random, gain: float, sd: float) -> Verdict:
    ratios: list[float] = []
    while True:
        ratios.append(source.gauss(gain, sd))
        if verdict := judged(ratios, sd=sd):
            return verdict


@pytest.mark.parametrize("sd", [0.003, 0.015, 0.03, 0.05, 0.1])
def test_a_candidate_without_gain_is_adopted_no_more_often_than_declared(sd: float) -> None:
    assert adopted_share(0.0, sd) <= sum(look.alpha for look in RULES.looks)


@pytest.mark.parametrize("sd", [0.003, 0.015])
def test_where_it_is_quiet_a_candidate_without_gain_is_never_adopted(sd: float) -> None:
    assert adopted_share(0.0, sd) < 0.002


@pytest.mark.parametrize("sd", [0.003, 0.015, 0.03, 0.05])
def test_a_candidate_that_is_slower_is_never_adopted(sd: float) -> None:
    assert adopted_share(-0.05, sd) < 0.002


@pytest.mark.parametrize(("sd", "least"), [(0.003, 0.999), (0.015, 0.98), (0.03, 0.8)])
def test_a_wanted_gain_is_found_where_the_noise_allows(sd: float, least: float) -> None:
    assert adopted_share(RULES.wanted_gain, sd) > least


@pytest.mark.parametrize("sd", [0.015, 0.05, 0.1])
def test_the_tutorials_gains_are_found_in_any_noise(sd: float) -> None:
    assert adopted_share(0.8, sd) > 0.99
