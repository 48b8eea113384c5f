"""What goes wrong in a calibration: the trial fails with its reason, the others go on, the default stays."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from graviton_agent.calibration.calibrate import Calibration, calibrate
from graviton_agent.calibration.decision import Decision
from graviton_agent.calibration.journal import Journal
from graviton_agent.calibration.outcome import Outcome
from graviton_agent.calibration.plan import Plan, make_plan
from graviton_agent.calibration.rules import Rules
from graviton_agent.calibration.trial import DEFAULT, Configuration, Memory, Path, TrialError
from graviton_agent.root import MIB
from graviton_agent.workload import Case, Workload, make_workload
from tests.scripted_laboratory import (
    BF16,
    BOTH,
    HUGE,
    MEMORY,
    ScriptedLaboratory,
    observation,
    on_blas,
)
from tests.simulator.builds import TORCH_2_9_1, TORCH_2_13_0_X86
from tests.simulator.dispatch import Machine
from tests.simulator.hosts import host_of

RULES = Rules()
MACHINE = Machine(3, 4, "madvise", TORCH_2_9_1)
WORKLOAD = make_workload(batches="10,256")
LEVERS = frozenset({"bf16", "huge-pages"})
ALL = frozenset({"bf16", "huge-pages", "threshold"})
FAST_MATH, HUGE_PAGES = "DNNL_DEFAULT_FPMATH_MODE", "THP_MEM_ALLOC_ENABLE"
THRESHOLD = "TORCH_MKLDNN_MATMUL_MIN_DIM"


def gains(configuration: Configuration, path: Path, batch: int) -> float:
    """100 ms; bf16 makes it 1.5 times faster, huge pages 1.1 times, and BLAS at batch 10 twice.

    All three together are the best configuration by far.
    """
    layers = on_blas(configuration, path, WORKLOAD, Case(batch))
    ms = 100.0
    if len(layers) == len(WORKLOAD.layers):
        ms = 50.0 if batch <= 10 else 300.0
    elif FAST_MATH in configuration.environment:
        ms /= 1.5
    return ms / 1.1 if HUGE_PAGES in configuration.environment else ms


@dataclass
class Situation:
    """A host, and what fails on it."""

    fails: Callable[[Configuration, str, int], str | None] | None = None
    memory: Callable[[Configuration], Memory] | None = None
    error: Callable[[Configuration], float | None] | None = None
    ms: Callable[[Configuration, Path, int], float] = gains
    only: frozenset[str] = ALL
    rules: Rules = RULES
    workload: Workload = WORKLOAD
    machine: Machine = MACHINE
    flag_alive: bool = True
    laboratory: ScriptedLaboratory = field(init=False)
    journal: Journal = field(init=False)

    def __post_init__(self) -> None:
        lab = self.laboratory = ScriptedLaboratory(self.workload, ms=self.ms)
        error = self.error or (lambda _configuration: None)
        lab.observed = lambda configuration: observation(
            configuration,
            self.workload,
            error=error(configuration),
            flag_alive=self.flag_alive,
            memory=lab.memory(configuration),
        )
        lab.fails = self.fails or lab.fails
        lab.memory = self.memory or lab.memory
        self.journal = Journal(lab, self.rules.budget_seconds)

    @property
    def plan(self) -> Plan:
        """What may be tried."""
        host = host_of(self.machine)
        return make_plan(host, self.machine.build, self.workload, only=self.only, seed=3)

    def calibrated(self) -> Calibration:
        """Calibrates; whatever happens, nothing is left running."""
        try:
            return calibrate(self.journal, self.plan, self.rules)
        finally:
            assert self.laboratory.running == 0
            assert self.laboratory.most_running <= 2

    def decided(self) -> Decision:
        """The decision."""
        return self.calibrated().decision


def crash(
    guilty: Callable[[Configuration], bool], command: str, turn: int = 1
) -> Callable[[Configuration, str, int], str | None]:
    """The guilty processes crash in their n-th such command."""
    return lambda configuration, asked, count: (
        "crashed with SIGSEGV" if guilty(configuration) and (asked, count) == (command, turn) else None
    )


def has(variable: str) -> Callable[[Configuration], bool]:
    """Configurations that set a variable."""
    return lambda configuration: variable in configuration.environment


def reason_of(decision: Decision, name: str) -> str:
    """Why a setting was taken or left."""
    return next(found.reason for found in decision.settings if found.setting == name)


def test_with_nothing_wrong_all_three_are_chosen() -> None:
    decision = Situation().decided()
    assert decision.outcome is Outcome.CHANGE
    assert set(decision.environment) == {FAST_MATH, HUGE_PAGES, THRESHOLD}


# A configuration that crashes

CRASHES = [("start", 1), ("observe", 1), ("run", 1), ("run", 4), ("run", 7), ("memory", 1)]


@pytest.mark.parametrize(("command", "turn"), CRASHES)
def test_a_lever_that_crashes_is_refused_and_the_others_are_chosen(command: str, turn: int) -> None:
    decision = Situation(fails=crash(has(FAST_MATH), command, turn)).decided()
    assert decision.outcome is Outcome.CHANGE
    assert set(decision.environment) == {HUGE_PAGES, THRESHOLD}
    assert "crashed with SIGSEGV" in reason_of(decision, "bf16")


@pytest.mark.parametrize(("command", "turn"), CRASHES)
def test_the_only_lever_may_crash_wherever_it_likes(command: str, turn: int) -> None:
    """The threshold, which needs no process of its own, is found all the same."""
    only = frozenset({"bf16", "threshold"})
    decision = Situation(fails=crash(has(FAST_MATH), command, turn), only=only).decided()
    assert decision.outcome is Outcome.CHANGE
    assert set(decision.environment) == {THRESHOLD}
    assert "crashed with SIGSEGV" in reason_of(decision, "bf16")


@pytest.mark.parametrize(("command", "turn"), CRASHES)
def test_where_every_lever_crashes_the_default_is_kept_and_the_reason_says_so(
    command: str, turn: int
) -> None:
    decision = Situation(fails=crash(lambda c: c != DEFAULT, command, turn), only=LEVERS).decided()
    assert (decision.outcome, decision.environment) == (Outcome.KEEP, {})
    assert "no setting can have an effect" not in decision.reason
    for name in LEVERS:
        assert "crashed with SIGSEGV" in reason_of(decision, name)


@pytest.mark.parametrize(("command", "turn"), CRASHES)
def test_levers_that_only_fail_together_are_chosen_apart(command: str, turn: int) -> None:
    fails = crash(lambda c: has(FAST_MATH)(c) and has(HUGE_PAGES)(c), command, turn)
    decision = Situation(fails=fails, only=LEVERS).decided()
    assert (decision.outcome, decision.environment) == (Outcome.CHANGE, BF16.environment)
    assert reason_of(decision, "huge-pages")


def test_a_crash_is_kept_in_the_journal() -> None:
    situation = Situation(fails=crash(has(FAST_MATH), "run", 3))
    situation.calibrated()
    failures = {trial.configuration: trial.failure for trial in situation.journal.trials if trial.failure}
    assert failures
    assert set(failures.values()) == {"crashed with SIGSEGV"}
    assert all(has(FAST_MATH)(configuration) for configuration in failures)


@pytest.mark.parametrize("command", ["start", "observe", "run", "memory"])
def test_a_default_that_crashes_ends_the_calibration(command: str) -> None:
    with pytest.raises(TrialError, match="crashed with SIGSEGV") as raised:
        Situation(fails=crash(lambda c: c == DEFAULT, command)).calibrated()
    assert raised.value.configuration == DEFAULT


def crash_in_confirmation(situation: Situation, guilty: Callable[[Configuration], bool]) -> None:
    """Has guilty processes crash once the confirmation has begun."""
    lab = situation.laboratory

    def fails(configuration: Configuration, _command: str, _turn: int) -> str | None:
        confirming = any(trial.configuration.environment.get(THRESHOLD) for trial in lab.specs)
        return "killed by SIGKILL, perhaps for memory" if confirming and guilty(configuration) else None

    lab.fails = fails


def test_a_candidate_that_fails_in_its_confirmation_gives_way_to_the_lower_rung() -> None:
    situation = Situation()
    crash_in_confirmation(situation, has(HUGE_PAGES))
    found = situation.calibrated()
    assert [one.verdict for one in found.confirmations] == ["refused", "adopt"]
    assert set(found.decision.environment) == {FAST_MATH, THRESHOLD}
    assert "perhaps for memory" in reason_of(found.decision, "huge-pages")


def test_when_both_rungs_fail_the_default_is_kept() -> None:
    situation = Situation()
    crash_in_confirmation(situation, has(FAST_MATH))
    found = situation.calibrated()
    assert [one.verdict for one in found.confirmations] == ["refused", "refused"]
    assert (found.decision.outcome, found.decision.environment) == (Outcome.KEEP, {})
    assert "perhaps for memory" in found.decision.reason


# Guards


@pytest.mark.parametrize(
    ("error", "words"), [(0.05, "relative error"), (math.inf, "not finite"), (math.nan, "not finite")]
)
def test_fast_math_that_computes_wrong_is_refused_and_the_threshold_is_not_lost_with_it(
    error: float, words: str
) -> None:
    decision = Situation(error=lambda c: error if has(FAST_MATH)(c) else None).decided()
    assert set(decision.environment) == {HUGE_PAGES, THRESHOLD}
    assert words in reason_of(decision, "bf16")


def test_fast_math_that_computes_wrong_alone_leaves_the_default() -> None:
    situation = Situation(error=lambda c: 0.05 if has(FAST_MATH)(c) else None, only=frozenset({"bf16"}))
    decision = situation.decided()
    assert (decision.outcome, decision.environment) == (Outcome.KEEP, {})
    assert "relative error" in reason_of(decision, "bf16")
    assert "no setting can have an effect" not in decision.reason


def test_a_bound_on_the_cosine_that_fp32_itself_misses_refuses_nothing_but_fast_math() -> None:
    """The default computes as it always did: nobody is helped by a calibration that fails over it."""
    strict = replace(RULES, minimum_cosine=1.0)
    decision = Situation(rules=strict, only=frozenset({"huge-pages"})).decided()
    assert decision.outcome in {Outcome.KEEP, Outcome.CHANGE}
    decision = Situation(rules=strict).decided()
    assert FAST_MATH not in decision.environment


def more_memory(guilty: Callable[[Configuration], bool], count: int) -> Callable[[Configuration], Memory]:
    """The guilty processes need so many bytes more."""
    more = Memory(MEMORY.rss_anon + count, MEMORY.peak + count, 0)
    return lambda configuration: more if guilty(configuration) else MEMORY


@pytest.mark.parametrize("count", [40 * MIB, 500 * MIB])
def test_a_lever_that_breaks_the_memory_margin_is_left_out(count: int) -> None:
    """Whether screening sees the breach or the confirmation: what remains is chosen."""
    decision = Situation(memory=more_memory(has(HUGE_PAGES), count)).decided()
    assert decision.outcome is Outcome.CHANGE
    assert set(decision.environment) == {FAST_MATH, THRESHOLD}
    assert "more memory" in reason_of(decision, "huge-pages")


# The budget


@pytest.mark.parametrize("budget", [0.0, 0.5, 1.5, 3.0, 5.0, 8.0, 12.0, 16.0, 20.0, 25.0, 30.0])
def test_whenever_the_budget_ends_there_is_a_decision(budget: float) -> None:
    situation = Situation(rules=replace(RULES, budget_seconds=budget))
    decision = situation.decided()
    assert decision.outcome in {Outcome.CHANGE, Outcome.INCONCLUSIVE}
    assert (decision.environment == {}) == (decision.outcome is not Outcome.CHANGE)
    # What has begun is ended: a start of one second, or a block.
    assert situation.laboratory.now() <= budget + 1.5


def test_a_budget_for_nothing_is_inconclusive_and_says_so() -> None:
    decision = Situation(rules=replace(RULES, budget_seconds=3.0)).decided()
    assert decision.outcome is Outcome.INCONCLUSIVE
    assert "budget" in decision.reason
    assert reason_of(decision, "bf16") == "not measured in time"


def test_a_budget_that_ends_in_the_confirmation_is_inconclusive_and_names_the_candidate() -> None:
    whole = Situation()
    whole.calibrated()
    first = next(trial for trial in whole.journal.trials if trial.purpose == "confirmation")
    screened = whole.laboratory.now() - 2 * first.seconds
    decision = Situation(rules=replace(RULES, budget_seconds=screened + 1.5)).decided()
    assert decision.outcome is Outcome.INCONCLUSIVE
    assert THRESHOLD in decision.reason


# What cannot differ


def test_where_nothing_can_have_an_effect_one_process_is_started() -> None:
    """One CPU, no huge pages, no ACL, MKL for all products: the default is looked at, and that is all."""
    build = replace(TORCH_2_13_0_X86, onednn=None, default_threads=1)
    situation = Situation(
        machine=Machine(None, 1, "never", build),
        only=frozenset({"bf16", "huge-pages", "threshold", "threads"}),
    )
    decision = situation.decided()
    assert (decision.outcome, decision.environment) == (Outcome.KEEP, {})
    assert decision.reason == "no setting can have an effect on this workload here"
    assert situation.laboratory.started == [DEFAULT]


def test_a_dead_flag_costs_no_further_process() -> None:
    situation = Situation(flag_alive=False, only=frozenset({"threshold"}))
    decision = situation.decided()
    assert decision.outcome is Outcome.KEEP
    assert situation.laboratory.started == [DEFAULT]
    assert "changes no output bit" in reason_of(decision, "threshold")


def test_dead_levers_are_looked_at_together_once() -> None:
    """As on a host whose allocator and oneDNN ignore both variables."""
    situation = Situation(only=LEVERS)
    situation.laboratory.observed = lambda _configuration: observation(DEFAULT, WORKLOAD)
    decision = situation.decided()
    assert decision.outcome is Outcome.KEEP
    assert sorted(situation.laboratory.started, key=str) == [BOTH, DEFAULT]
    assert reason_of(decision, "bf16") == "changes no output bit"
    assert "no huge pages" in reason_of(decision, "huge-pages")


def test_a_dead_lever_is_never_measured_beside_a_living_one() -> None:
    situation = Situation(only=LEVERS, ms=lambda c, _path, _batch: 80.0 if has(HUGE_PAGES)(c) else 100.0)
    situation.laboratory.observed = lambda c: observation(
        Configuration.of({name: value for name, value in c.variables if name != FAST_MATH}), WORKLOAD
    )
    decision = situation.decided()
    assert decision.environment == HUGE.environment
    assert situation.laboratory.started.count(BF16) == 0
    assert situation.laboratory.started.count(BOTH) == 1


def test_thresholds_that_act_alike_are_measured_once() -> None:
    """A network of one square layer: for each batch there are two ways through it."""
    workload = make_workload(layers="4096x4096", batches="10,256")
    situation = Situation(workload=workload, ms=lambda *_: 100.0, only=frozenset({"threshold"}))
    situation.calibrated()
    ways = {(path, batch) for _, path, batch, _ in situation.laboratory.blocks}
    assert len(ways) == 4


def test_what_is_no_faster_is_not_confirmed() -> None:
    situation = Situation(ms=lambda *_: 100.0)
    found = situation.calibrated()
    assert found.confirmations == ()
    assert found.decision.outcome is Outcome.KEEP
    assert {trial.purpose for trial in situation.journal.trials} == {"screening"}
