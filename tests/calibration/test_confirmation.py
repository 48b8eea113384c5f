"""Confirmation: fresh pairs of processes with real variables, and the guards that end it."""

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from graviton_agent.calibration.confirmation import Confirmation, Confirmer, Verdict
from graviton_agent.calibration.journal import Journal
from graviton_agent.calibration.plan import Plan, make_plan
from graviton_agent.calibration.rounds import Rounds
from graviton_agent.calibration.rules import Rules
from graviton_agent.calibration.trial import (
    AS_STARTED,
    DEFAULT,
    Configuration,
    Memory,
    Observation,
    Path,
    TrialError,
)
from graviton_agent.root import MIB
from graviton_agent.workload import Case, Workload, make_workload
from tests.scripted_laboratory import BF16, MEMORY, ScriptedLaboratory, observation
from tests.simulator.builds import TORCH_2_9_1
from tests.simulator.dispatch import Machine
from tests.simulator.hosts import host_of

TUTORIAL = make_workload()
RULES = Rules()
Times = Callable[[Configuration, Path, int], float]


def faster(*, ms: float = 50.0, **others: float) -> Times:
    """100 ms by default and `ms` with bf16; `at_10=30` says otherwise for a batch."""

    def time(configuration: Configuration, _path: Path, batch: int) -> float:
        return 100.0 if configuration == DEFAULT else others.get(f"at_{batch}", ms)

    return time


def confirmed(
    laboratory: ScriptedLaboratory,
    *,
    rules: Rules = RULES,
    budget: float = 600.0,
    plan: Plan | None = None,
    seen_before: Mapping[Configuration, Observation] | None = None,
) -> Confirmation:
    """What comes of bf16 against the default."""
    machine = Machine(3, 4, "madvise", TORCH_2_9_1)
    plan = plan or make_plan(host_of(machine), machine.build, laboratory.workload)
    rounds = Rounds(rules, random.Random(5))
    journal = Journal(laboratory, budget)
    confirmer = Confirmer(journal, plan, rules, rounds, prior_sd=rules.prior_sd, observed=seen_before or {})
    return confirmer.run(BF16)


def lab(ms: Times | None = None, workload: Workload = TUTORIAL) -> ScriptedLaboratory:
    """A laboratory where bf16 is twice as fast unless told otherwise."""
    return ScriptedLaboratory(workload, ms=ms or faster())


def refused(laboratory: ScriptedLaboratory, *, rules: Rules = RULES) -> str:
    """Why it was refused."""
    found = confirmed(laboratory, rules=rules)
    assert found.verdict is Verdict.REFUSED
    assert laboratory.running == 0
    return found.reason


def test_a_faster_candidate_is_adopted_in_as_few_pairs_as_the_first_look_needs() -> None:
    laboratory = lab()
    found = confirmed(laboratory)
    assert found.verdict is Verdict.ADOPT
    assert len(found.pairs) == RULES.looks[0].pairs
    assert found.estimate is not None
    assert found.estimate.mean == pytest.approx(math.log(2))


def test_every_pair_is_two_fresh_processes_of_which_one_is_the_default() -> None:
    laboratory = lab()
    pairs = len(confirmed(laboratory).pairs)
    assert len(laboratory.started) == 2 * pairs
    for pair in range(pairs):
        assert set(laboratory.started[2 * pair : 2 * pair + 2]) == {DEFAULT, BF16}
    assert laboratory.most_running == 2
    assert laboratory.running == 0


def test_the_candidate_is_its_real_variables_not_the_flag() -> None:
    laboratory = lab()
    confirmed(laboratory)
    assert {path for _, path, *_ in laboratory.blocks} == {AS_STARTED}


def test_both_arms_of_a_pair_get_the_same_cpus_and_pairs_different_ones() -> None:
    plan = Plan(TUTORIAL, cpus=(0, 1, 2, 3), fixed_threads=2)
    laboratory = lab()
    confirmed(laboratory, plan=plan)
    masks = [spec.cpus for spec in laboratory.specs]
    assert masks[0] == masks[1] != masks[2] == masks[3]


def test_which_arm_is_launched_first_is_drawn() -> None:
    """With a candidate that is as far from adopted as from hopeless there are pairs enough to see it."""
    laboratory = lab(faster(ms=100.0 / math.exp(RULES.minimum_gain * 0.99)))
    confirmed(laboratory, rules=replace(RULES, futility_alpha=1e-9))
    firsts = laboratory.started[::2]
    assert len(firsts) >= 5
    assert set(firsts) == {DEFAULT, BF16}


def test_both_arms_run_as_many_iterations_of_each_case() -> None:
    laboratory = lab()
    for pair in confirmed(laboratory).pairs:
        for case in pair.cases:
            assert len(case.default_calls_ns) == len(case.candidate_calls_ns)
            assert (case.default_ns, case.candidate_ns) == (100e6, 50e6)


def test_the_mix_counts_each_batch_by_its_weight_and_its_time() -> None:
    """Half of the calls gain 3x, half lose 10 %: what counts is the mean time of a call."""
    workload = make_workload(batches="10:0.5,256:0.5")
    rules = replace(RULES, regression=1.0)
    found = confirmed(lab(faster(at_10=110.0, at_256=100.0 / 3), workload), rules=rules)
    assert found.estimate is not None
    assert found.estimate.mean == pytest.approx(math.log(200.0 / (110.0 + 100.0 / 3)))
    own = found.case_estimates(rules)
    assert own[10].mean == pytest.approx(-math.log(1.1))
    assert own[256].mean == pytest.approx(math.log(3))


def test_an_equal_candidate_is_given_up() -> None:
    found = confirmed(lab(faster(ms=100.0)))
    assert (found.verdict, found.reason) == (Verdict.NO_GAIN, "gains less than 3 %")


# Failures


@pytest.mark.parametrize(
    ("command", "turn"), [("start", 1), ("run", 1), ("run", 7), ("observe", 1), ("memory", 1)]
)
def test_a_candidate_that_crashes_is_refused_with_the_reason(command: str, turn: int) -> None:
    laboratory = lab()
    laboratory.fails = lambda configuration, asked, count: (
        "crashed with SIGSEGV" if (configuration, asked, count) == (BF16, command, turn) else None
    )
    assert refused(laboratory) == "crashed with SIGSEGV"


@pytest.mark.parametrize("command", ["start", "run", "memory"])
def test_a_default_that_crashes_ends_it_all(command: str) -> None:
    laboratory = lab()
    laboratory.fails = lambda configuration, asked, _count: (
        "killed by SIGKILL" if (configuration, asked) == (DEFAULT, command) else None
    )
    with pytest.raises(TrialError, match="killed by SIGKILL"):
        confirmed(laboratory)
    assert laboratory.running == 0


# Guards


def with_error(error: float) -> Callable[[Configuration], Observation]:
    """bf16 computes with an error."""
    return lambda configuration: observation(
        configuration, TUTORIAL, error=error if configuration == BF16 else None
    )


@pytest.mark.parametrize(
    ("error", "words"), [(0.05, "relative error"), (math.inf, "not finite"), (math.nan, "not finite")]
)
def test_a_candidate_that_computes_wrong_is_refused(error: float, words: str) -> None:
    laboratory = lab()
    laboratory.observed = with_error(error)
    assert words in refused(laboratory)
    assert len(laboratory.started) == 2


def test_the_observation_of_the_candidates_real_process_is_kept() -> None:
    found = confirmed(lab())
    assert found.observation == observation(BF16, TUTORIAL)


def test_a_candidate_that_was_observed_before_is_judged_by_that() -> None:
    laboratory = lab()
    laboratory.fails = lambda _configuration, command, _turn: "is not to be" if command == "observe" else None
    seen = observation(BF16, TUTORIAL)
    assert confirmed(laboratory, seen_before={BF16: seen}).observation == seen
    wrong = observation(BF16, TUTORIAL, error=0.05)
    assert confirmed(laboratory, seen_before={BF16: wrong}).verdict is Verdict.REFUSED


def costing(rss: int = 0, peak: int = 0) -> Callable[[Configuration], Memory]:
    """bf16 needs more memory by this."""
    more = Memory(MEMORY.rss_anon + rss, MEMORY.peak + peak, 0)
    return lambda configuration: more if configuration == BF16 else MEMORY


@pytest.mark.parametrize("what", ["rss", "peak"])
def test_memory_beyond_the_margin_is_refused(what: str) -> None:
    laboratory = lab()
    laboratory.memory = costing(**{what: 33 * MIB})
    assert refused(laboratory) == "needs 35 MB more memory than the default (34 allowed)"


def test_memory_within_the_margin_is_allowed() -> None:
    laboratory = lab()
    laboratory.memory = costing(rss=31 * MIB, peak=31 * MIB)
    assert confirmed(laboratory).verdict is Verdict.ADOPT


def test_the_margin_is_the_larger_of_its_bytes_and_its_share_of_the_peak() -> None:
    laboratory = lab()
    laboratory.memory = costing(rss=50 * MIB)
    assert confirmed(laboratory, rules=replace(RULES, memory_margin_share=0.1)).verdict is Verdict.ADOPT


def test_huge_pages_are_no_cost() -> None:
    laboratory = lab()
    laboratory.memory = lambda configuration: replace(MEMORY, anon_huge=10**9 * (configuration == BF16))
    assert confirmed(laboratory).verdict is Verdict.ADOPT


def test_a_batch_that_gets_much_slower_refuses_a_faster_mix() -> None:
    reason = refused(lab(faster(ms=20.0, at_10=100.0 * math.exp(2 * RULES.regression))))
    assert reason == "batch 10 gets 11 % slower"


def test_a_batch_may_get_a_little_slower() -> None:
    assert (
        confirmed(lab(faster(ms=20.0, at_10=100.0 * math.exp(0.8 * RULES.regression)))).verdict
        is Verdict.ADOPT
    )


def test_a_batch_that_is_hardly_ever_called_may_get_slower() -> None:
    rare = make_workload(batches=f"10:{RULES.regression_weight / 2},256:1")
    assert confirmed(lab(faster(ms=20.0, at_10=300.0), rare)).verdict is Verdict.ADOPT


def bounded(bound_ms: float) -> Workload:
    """A mix whose batch of 10 has a latency bound."""
    return replace(TUTORIAL, cases=(Case(10, 0.1, latency_bound_ms=bound_ms), Case(256, 0.9)))


def test_a_batch_that_is_pushed_over_its_bound_refuses_a_faster_mix() -> None:
    reason = refused(lab(faster(ms=20.0, at_10=104.0), bounded(102.0)))
    assert reason == "batch 10 takes 104.0 ms, above its bound"


@pytest.mark.parametrize("bound_ms", [99.0, 105.0])
def test_a_bound_that_is_kept_or_was_never_met_refuses_nothing(bound_ms: float) -> None:
    assert confirmed(lab(faster(ms=20.0, at_10=104.0), bounded(bound_ms))).verdict is Verdict.ADOPT


# Noise and time


def disturbed_until(blocks: int) -> Callable[[int], tuple[float, float, float]]:
    """The hypervisor takes time away until so many blocks have run."""
    return lambda turn: (1.0, 0.3 if turn <= blocks else 0.0, 0.0)


def test_a_disturbed_pair_is_dropped_and_another_measured() -> None:
    laboratory = lab(workload=make_workload(batches="32"))
    laboratory.disturbance = disturbed_until(12)
    found = confirmed(laboratory)
    assert (found.verdict, found.dropped) == (Verdict.ADOPT, 1)
    assert len(laboratory.started) == 2 * (len(found.pairs) + 1)
    assert not any(pair.disturbed for pair in found.pairs)


def test_pairs_that_agree_better_than_their_own_blocks_are_not_believed() -> None:
    """In A B B A every other block takes a fifth longer, so that the pairs still agree exactly."""
    restless = lab(faster(ms=100.0 / 1.06), make_workload(batches="32"))
    restless.disturbance = lambda turn: (1.2 if turn % 2 else 1.0, 0.0, 0.0)
    calm = lab(faster(ms=100.0 / 1.06), make_workload(batches="32"))
    assert confirmed(calm).verdict is Verdict.ADOPT
    assert confirmed(restless).verdict is Verdict.TOO_NOISY


def test_a_host_that_stays_disturbed_is_called_noisy() -> None:
    laboratory = lab()
    laboratory.disturbance = lambda _turn: (1.0, 0.0, 0.9)
    found = confirmed(laboratory)
    assert found.verdict is Verdict.TOO_NOISY
    assert found.pairs == ()
    assert found.estimate is None
    assert "were disturbed" in found.reason


def test_the_budget_ends_it_without_a_verdict_on_the_candidate() -> None:
    laboratory = lab()
    found = confirmed(laboratory, budget=3.0)
    assert (found.verdict, found.pairs) == (Verdict.OUT_OF_TIME, ())
    assert laboratory.running == 0


def test_no_pair_is_begun_that_would_end_too_late() -> None:
    """A pair takes some 5 s here: after the second there is no time for as many as the next look needs."""
    undecided = faster(ms=100.0 / 1.03)
    laboratory = lab(undecided)
    found = confirmed(laboratory, budget=13.0, rules=replace(RULES, futility_alpha=1e-9))
    assert found.verdict is Verdict.OUT_OF_TIME
    assert laboratory.now() <= 13.0
    assert len(found.pairs) >= 1
