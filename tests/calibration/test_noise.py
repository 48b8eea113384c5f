"""Which rounds are measured again: judged by the host and the canary, never by the result."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graviton_agent.calibration.noise import Canaries
from graviton_agent.calibration.rules import Rules
from graviton_agent.calibration.trial import Block

RULES = Rules()


def block(
    *, canary_ns: int = 1_000_000, steal: float = 0.0, foreign: float = 0.0, elapsed_ns: int = 100
) -> Block:
    """A block, of which only what surrounds it matters here."""
    return Block(
        batch=1,
        iterations=1,
        elapsed_ns=elapsed_ns,
        calls_ns=(elapsed_ns,),
        canary_ns=canary_ns,
        steal=steal,
        foreign=foreign,
    )


def settled(threads: int | None = None, canary_ns: int = 1_000_000) -> Canaries:
    """A session that has seen some quiet rounds."""
    canaries = Canaries(RULES)
    for _ in range(4):
        assert canaries.disturbance([(threads, block(canary_ns=canary_ns))]) is None
    return canaries


def test_a_quiet_round_is_kept() -> None:
    slower = round(1_000_000 * math.exp(0.9 * RULES.canary_tolerance))
    assert settled().disturbance([(None, block()), (None, block(canary_ns=slower))]) is None


def test_stolen_time_disturbs() -> None:
    found = settled().disturbance([(None, block()), (None, block(steal=RULES.steal_tolerance * 2.5))])
    assert found == "CPU time was stolen by the hypervisor"


def test_a_single_tick_in_a_short_block_does_not_disturb_a_long_round() -> None:
    tick = block(steal=RULES.steal_tolerance * 2.5, elapsed_ns=100)
    assert settled().disturbance([(None, tick), (None, block(elapsed_ns=900))]) is None


def test_other_processes_disturb() -> None:
    found = settled().disturbance([(None, block(foreign=RULES.foreign_tolerance * 2.5)), (None, block())])
    assert found == "other processes used the CPUs"


def test_what_the_rules_tolerate_does_not_disturb() -> None:
    tolerated = block(steal=RULES.steal_tolerance, foreign=RULES.foreign_tolerance)
    assert settled().disturbance([(None, tolerated)]) is None


@pytest.mark.parametrize(
    "factor", [math.exp(1.1 * RULES.canary_tolerance), math.exp(-1.1 * RULES.canary_tolerance)]
)
def test_a_canary_far_from_the_sessions_disturbs(factor: float) -> None:
    found = settled().disturbance([(None, block(canary_ns=round(1_000_000 * factor)))])
    assert found == "the canary was off"


def test_the_first_canaries_are_compared_with_nothing() -> None:
    canaries = Canaries(RULES)
    assert canaries.disturbance([(None, block(canary_ns=1)), (None, block(canary_ns=1_000_000_000))]) is None


def test_canaries_of_different_numbers_of_threads_are_kept_apart() -> None:
    canaries = settled(threads=4, canary_ns=1_000_000)
    assert canaries.disturbance([(2, block(canary_ns=2_000_000))]) is None
    assert canaries.disturbance([(4, block(canary_ns=2_000_000))]) is not None


def test_a_host_that_stays_slower_is_the_new_normal() -> None:
    canaries = settled()
    found = [canaries.disturbance([(None, block(canary_ns=2_000_000))]) for _ in range(8)]
    assert found[0] is not None
    assert found[-1] is None


def test_a_canary_that_was_not_measured_says_nothing() -> None:
    assert settled().disturbance([(None, block(canary_ns=0))]) is None


def test_a_round_without_blocks_is_quiet() -> None:
    assert settled().disturbance([]) is None


@given(st.integers(1, 10**12), st.integers(1, 10**12))
def test_the_measured_times_play_no_part(first: int, second: int) -> None:
    arms = [(None, block(elapsed_ns=first)), (None, block(elapsed_ns=second))]
    assert settled().disturbance(arms) is None


def test_what_is_always_stolen_disturbs_no_round_more_than_another() -> None:
    canaries = Canaries(RULES)
    always = block(steal=1.5 * RULES.steal_tolerance)
    found = [canaries.disturbance([(None, always)]) for _ in range(6)]
    assert found == ["CPU time was stolen by the hypervisor"] * 4 + [None] * 2


def test_more_than_is_always_stolen_disturbs() -> None:
    canaries = Canaries(RULES)
    for _ in range(6):
        canaries.disturbance([(None, block(steal=RULES.steal_tolerance))])
    assert canaries.disturbance([(None, block(steal=2.5 * RULES.steal_tolerance))])


def test_a_host_that_is_always_busy_is_always_disturbed() -> None:
    canaries = Canaries(RULES)
    assert all(canaries.disturbance([(None, block(foreign=0.9))]) for _ in range(9))


def test_canaries_that_differ_all_the_time_say_less() -> None:
    canaries = Canaries(RULES)
    logs = (0.0, 0.0, 0.0, 0.0, 0.2, -0.1, 0.1, -0.2, 0.1, -0.1, 0.2)
    found = [canaries.disturbance([(None, block(canary_ns=round(1e9 * math.exp(log))))]) for log in logs]
    assert found[4] == "the canary was off"
    assert found[-1] is None


def test_the_canaries_sd_is_of_their_logs_and_knows_nothing_before_there_are_four() -> None:
    canaries = Canaries(RULES)
    assert canaries.sd() == 0.0
    for log in (-0.2, -0.1, 0.0, 0.1, 0.2):
        canaries.disturbance([(None, block(canary_ns=round(1e9 * math.exp(log))))])
    assert canaries.sd() == pytest.approx(0.1 / 0.6745, rel=1e-3)
