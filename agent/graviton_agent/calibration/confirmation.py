"""Confirmation: candidate against default in fresh pairs of processes, by a test declared beforehand."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean, median

from graviton_agent.calibration.journal import Journal, OutOfTimeError
from graviton_agent.calibration.plan import Plan
from graviton_agent.calibration.proof import accuracy_problem, unproved
from graviton_agent.calibration.rounds import Round, Rounds
from graviton_agent.calibration.rules import Look, Rules
from graviton_agent.calibration.statistics import Estimate, estimate
from graviton_agent.calibration.trial import (
    AS_STARTED,
    DEFAULT,
    Configuration,
    Memory,
    Observation,
    TrialError,
    TrialSpec,
)
from graviton_agent.workload import Case, Workload


@dataclass(frozen=True)
class CasePair:
    """One case, measured A B B A in one pair of processes."""

    batch: int
    default_ns: float
    """Mean time of one forward pass under the default."""
    candidate_ns: float
    default_calls_ns: tuple[int, ...]
    """Every forward pass, for percentiles."""
    candidate_calls_ns: tuple[int, ...]
    inner_variance: float
    """Variance of the log ratio as far as the blocks within the two processes show it."""
    disturbed: str | None

    @property
    def log_ratio(self) -> float:
        """Logarithm of default over candidate: positive where the candidate is faster."""
        return math.log(self.default_ns / self.candidate_ns)


@dataclass(frozen=True)
class Pair:
    """One process of the default and one of the candidate, measured side by side."""

    cases: tuple[CasePair, ...]
    log_ratio: float
    """Logarithm of the ratio of the mix costs."""
    inner_variance: float
    """Variance of that, as far as the blocks within the two processes show it. It knows nothing of the ratio:
    what two blocks of one process differ by says nothing of their mean."""
    default_memory: Memory
    candidate_memory: Memory

    @property
    def disturbed(self) -> bool:
        """Whether any of its rounds could not be measured in peace."""
        return any(case.disturbed for case in self.cases)


class Verdict(StrEnum):
    """How a confirmation ended."""

    ADOPT = "adopt"
    NO_GAIN = "no gain"
    REFUSED = "refused"
    """A guard or a failure removed the candidate."""
    TOO_NOISY = "too noisy"
    OUT_OF_TIME = "out of time"


@dataclass(frozen=True)
class Confirmation:
    """The comparison of one candidate with the default."""

    candidate: Configuration
    verdict: Verdict
    reason: str
    pairs: tuple[Pair, ...]
    estimate: Estimate | None
    """Of the mix's log ratio; None without a usable pair."""
    dropped: int
    """Pairs that were measured in vain because the host was disturbed."""
    observation: Observation | None
    """What a process with the candidate's real variables computes."""

    def case_estimates(self, rules: Rules) -> dict[int, Estimate]:
        """For each batch the estimate of its own log ratio."""
        batches = [case.batch for case in self.pairs[0].cases] if self.pairs else []
        return {
            batch: estimate([p.cases[index].log_ratio for p in self.pairs], rules)
            for index, batch in enumerate(batches)
        }


def judge(
    log_ratios: Sequence[float], rules: Rules, *, prior_sd: float, most_pairs: int
) -> tuple[Verdict, str] | None:
    """Judges the pairs so far: a verdict with its reason, or None to measure another pair. Pure.

    Args:
        log_ratios: of the pairs so far, default over candidate.
        rules: the declared rules.
        prior_sd: the pair's standard deviation as known before, blind to the outcome.
        most_pairs: how many pairs there is time for, these included.
    """
    if not log_ratios:
        return None
    found = estimate(log_ratios, rules, prior_sd)
    for look in rules.looks:
        shown = found.lower(look.alpha) > rules.sure_gain and found.mean >= rules.minimum_gain
        if look.pairs == found.pairs and shown:
            return Verdict.ADOPT, f"faster in {found.pairs} pairs of fresh processes"
    if found.pairs >= rules.futility_from and found.upper(rules.futility_alpha) < rules.minimum_gain:
        return Verdict.NO_GAIN, f"gains less than {100 * rules.minimum_gain:.0f} %"
    remaining = [look for look in rules.looks if found.pairs < look.pairs <= most_pairs]
    if not remaining:
        if found.pairs >= rules.looks[-1].pairs:
            return Verdict.TOO_NOISY, f"{found.pairs} pairs (SD {100 * found.sd:.1f} %) could not decide"
        return (
            Verdict.OUT_OF_TIME,
            f"{found.pairs} pairs (SD {100 * found.sd:.1f} %) could not decide in time",
        )
    if found.pairs >= rules.noisy_from and not _has_power(found, remaining[-1], rules):
        return (
            Verdict.TOO_NOISY,
            f"pairs differ by {100 * found.sd:.1f} %: {remaining[-1].pairs} of them can't show a gain",
        )
    return None


def _has_power(found: Estimate, last: Look, rules: Rules) -> bool:
    """Whether the last look has an even chance to adopt the wanted gain, or the one seen so far."""
    at_last = Estimate(
        mean=max(rules.wanted_gain, found.mean),
        standard_error=found.sd / math.sqrt(last.pairs),
        degrees_of_freedom=rules.prior_pairs + last.pairs - 1,
        pairs=last.pairs,
    )
    return at_last.lower(last.alpha) > rules.sure_gain


class Confirmer:
    """Runs the confirmation of candidates, each in pairs with the default."""

    def __init__(
        self,
        journal: Journal,
        plan: Plan,
        rules: Rules,
        rounds: Rounds,
        *,
        prior_sd: float,
        observed: Mapping[Configuration, Observation],
    ) -> None:
        self._journal = journal
        self._plan = plan
        self._rules = rules
        self._rounds = rounds
        self._prior_sd = prior_sd
        self._observed = observed
        self._turn = 0
        self._pair_seconds = 0.0

    def run(self, candidate: Configuration) -> Confirmation:
        """Measures pairs until the candidate is adopted, refused, given up, or time is out.

        Raises TrialError if the default configuration itself fails.
        """
        pairs: list[Pair] = []
        dropped = 0
        # A candidate that screening could only emulate is observed with its real variables.
        observation = self._observed.get(candidate)
        while (ended := self._judge(pairs, dropped)) is None:
            try:
                pair, seen = self._pair(candidate, observe=observation is None)
            except OutOfTimeError:
                ended = Verdict.OUT_OF_TIME, _out_of_time(len(pairs), dropped)
                break
            except TrialError as error:
                if error.configuration == DEFAULT:
                    raise
                ended = Verdict.REFUSED, error.reason
                break
            observation = observation or seen
            refusal = self._refusal(candidate, observation, [*pairs, pair])
            if pair.disturbed:
                dropped += 1
            else:
                pairs.append(pair)
            if refusal is not None:
                ended = Verdict.REFUSED, refusal
                break
        verdict, reason = ended
        ratios = [pair.log_ratio for pair in pairs]
        found = estimate(ratios, self._rules, self._expected_sd(pairs)) if pairs else None
        return Confirmation(candidate, verdict, reason, tuple(pairs), found, dropped, observation)

    def _judge(self, pairs: Sequence[Pair], dropped: int) -> tuple[Verdict, str] | None:
        """The verdict on the pairs so far; None to measure another."""
        # How long a pair takes is known once one has run; until then there is time for another.
        more = self._journal.left() / self._pair_seconds if self._pair_seconds else 1.0
        affordable = len(pairs) + max(0, int(more))
        ended = judge(
            [pair.log_ratio for pair in pairs],
            self._rules,
            prior_sd=self._expected_sd(pairs),
            most_pairs=affordable,
        )
        if ended is not None and ended[0] is Verdict.ADOPT and (harm := self._harm(pairs)):
            # A single batch is noisier than the mix: what seems slower gets a few more pairs to show it.
            hasty = len(pairs) < min(self._rules.regression_pairs, affordable)
            ended = None if hasty else (Verdict.REFUSED, harm)
        if ended is not None:
            return ended
        if dropped >= self._rules.dropped_from and dropped > self._rules.dropped_share * (
            len(pairs) + dropped
        ):
            return Verdict.TOO_NOISY, f"{dropped} of {len(pairs) + dropped} pairs were disturbed"
        if affordable <= len(pairs):
            return Verdict.OUT_OF_TIME, _out_of_time(len(pairs), dropped)
        return None

    def _expected_sd(self, pairs: Sequence[Pair] | Sequence[CasePair]) -> float:
        """The standard deviation that is expected of pairs, or of a case in them, blind to the outcome.

        Two or three pairs may happen to agree better than the blocks within them do, or than the canaries:
        they are not believed, for processes only add to that.
        """
        inner = fmean(pair.inner_variance for pair in pairs) if pairs else 0.0
        canaries = self._rules.canary_share * self._rounds.canary_sd()
        return max(self._prior_sd, math.sqrt(inner), canaries)

    def _pair(self, candidate: Configuration, *, observe: bool) -> tuple[Pair, Observation | None]:
        """Starts default and candidate side by side and measures every case A B B A."""
        began = self._journal.elapsed()
        mask = self._plan.mask(self._turn)
        self._turn += 1
        self._journal.narrate(f"confirming {candidate}: pair {self._turn}")
        specs = self._rounds.shuffled([TrialSpec(DEFAULT, mask), TrialSpec(candidate, mask)])
        with self._journal.trials_of("confirmation", specs) as trials:
            default, other = sorted(trials, key=lambda trial: trial.spec.configuration != DEFAULT)
            cells = [(default, AS_STARTED), (other, AS_STARTED)]
            cases = self._plan.workload.cases
            shortest = self._rounds.warm_up(dict.fromkeys(cases, cells), together=True)
            rounds = {
                case: self._rounds.measure(cells, case, shortest[case], mirrored=True)
                for case in self._rounds.shuffled(cases)
            }
            pair = Pair(
                cases=tuple(_case_pair(case, rounds[case]) for case in cases),
                log_ratio=_mix_log_ratio(self._plan.workload, rounds),
                inner_variance=_mix_variance(self._plan.workload, rounds),
                default_memory=default.memory(),
                candidate_memory=other.memory(),
            )
            seen = other.observe() if observe else None
        if not observe or not self._pair_seconds:
            self._pair_seconds = self._journal.elapsed() - began
        return pair, seen

    def _refusal(
        self, candidate: Configuration, observation: Observation | None, pairs: Sequence[Pair]
    ) -> str | None:
        """The guards: proof and accuracy of the candidate's real processes, memory by paired difference."""
        if observation and (problem := unproved(observation, candidate, self._plan.workload)):
            return problem
        for case in observation.cases if observation else ():
            if problem := accuracy_problem(case, self._plan.workload, self._rules):
                return problem
        if len(pairs) < self._rules.futility_from:
            return None
        default_peak = median(pair.default_memory.peak for pair in pairs)
        margin = max(self._rules.memory_margin_bytes, self._rules.memory_margin_share * default_peak)
        for what in ("rss_anon", "peak"):
            excess = median(
                getattr(pair.candidate_memory, what) - getattr(pair.default_memory, what) for pair in pairs
            )
            if excess > margin:
                return (
                    f"needs {excess / 1e6:.0f} MB more memory than the default ({margin / 1e6:.0f} allowed)"
                )
        return None

    def _harm(self, pairs: Sequence[Pair]) -> str | None:
        """A batch that the candidate slows down too much, or pushes over its latency bound."""
        for index, case in enumerate(self._plan.workload.cases):
            measured = [pair.cases[index] for pair in pairs]
            own = estimate([c.log_ratio for c in measured], self._rules, self._expected_sd(measured))
            slower = -own.mean > self._rules.regression and own.upper(self._rules.coverage_alpha) < 0
            if case.weight >= self._rules.regression_weight and slower:
                return f"batch {case.batch} gets {100 * math.expm1(-own.mean):.0f} % slower"
            if case.latency_bound_ms is not None:
                default, candidate = (
                    median(call for found in measured for call in calls(found)) / 1e6
                    for calls in (_default_calls, _candidate_calls)
                )
                if default <= case.latency_bound_ms < candidate:
                    return f"batch {case.batch} takes {candidate:.1f} ms, above its bound"
        return None


def _out_of_time(pairs: int, dropped: int) -> str:
    """The reason of a confirmation that the budget ended."""
    disturbed = f", and {dropped} more were disturbed" if dropped else ""
    return f"the budget was used up after {pairs} pairs{disturbed}"


def _default_calls(case: CasePair) -> tuple[int, ...]:
    return case.default_calls_ns


def _candidate_calls(case: CasePair) -> tuple[int, ...]:
    return case.candidate_calls_ns


def _case_pair(case: Case, measured: Round) -> CasePair:
    calls = [tuple(call for block in blocks for call in block.calls_ns) for blocks in measured.blocks]
    return CasePair(
        batch=case.batch,
        default_ns=measured.nanoseconds(0),
        candidate_ns=measured.nanoseconds(1),
        default_calls_ns=calls[0],
        candidate_calls_ns=calls[1],
        inner_variance=measured.inner_variance(),
        disturbed=measured.disturbed,
    )


def _mix_log_ratio(workload: Workload, rounds: dict[Case, Round]) -> float:
    default, candidate = (
        math.fsum(case.weight * rounds[case].nanoseconds(cell) for case in workload.cases) for cell in (0, 1)
    )
    return math.log(default / candidate)


def _mix_variance(workload: Workload, rounds: dict[Case, Round]) -> float:
    """The inner variance of the mix's log ratio: each case counts by its share of the default's time."""
    times = {case: case.weight * rounds[case].nanoseconds(0) for case in workload.cases}
    total = math.fsum(times.values())
    return math.fsum((times[case] / total) ** 2 * rounds[case].inner_variance() for case in times)
