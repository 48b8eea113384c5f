"""The decision: data in, data out. The chosen configuration, its gain, and a reason for every setting."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from graviton_agent.calibration.arms import Arm, Prediction
from graviton_agent.calibration.confirmation import Confirmation, Verdict
from graviton_agent.calibration.outcome import Outcome
from graviton_agent.calibration.plan import Plan
from graviton_agent.calibration.rules import Rules
from graviton_agent.calibration.screening import Screening
from graviton_agent.calibration.statistics import Estimate
from graviton_agent.calibration.trial import DEFAULT
from graviton_agent.settings.catalogue import CATALOGUE
from graviton_agent.settings.setting import Setting


@dataclass(frozen=True)
class CaseResult:
    """What the decision means for one batch."""

    batch: int
    weight: float
    default_ms: float | None
    """Median time of one forward pass; None if it was never measured."""
    chosen_ms: float | None
    """The same for what was chosen; equal to `default_ms` where the default is kept."""
    gain: float
    """Ratio of time, default over chosen."""
    gain_interval: tuple[float, float]
    """95 % interval of the gain."""
    kernels: tuple[str, ...]
    """What oneDNN's log named for what was chosen; empty where the BLAS library did all."""
    cosine: float | None
    """Cosine similarity with float64 of what was chosen."""
    error: float | None
    """Relative error norm against float64 of what was chosen."""


@dataclass(frozen=True)
class SettingResult:
    """What became of one setting."""

    setting: str
    variable: str
    value: str | None
    """The chosen value; None if the variable is left alone."""
    reason: str


@dataclass(frozen=True)
class Decision:
    """The result of a calibration."""

    outcome: Outcome
    environment: dict[str, str]
    """The chosen variables; empty unless the outcome is a change."""
    gain: float
    """Ratio of time of the whole mix, default over chosen; 1 where the default is kept."""
    gain_interval: tuple[float, float]
    """95 % interval of the gain. What is promised is its lower end: a gain seen at adoption is inflated."""
    reason: str
    cases: tuple[CaseResult, ...]
    settings: tuple[SettingResult, ...]


def decide(
    plan: Plan,
    screening: Screening,
    ladder: Sequence[Arm],
    confirmations: Sequence[Confirmation],
    rules: Rules,
) -> Decision:
    """Draws the decision from what was measured. Pure.

    Args:
        plan: what could be tried.
        screening: what screening saw.
        ladder: the arms that were to be confirmed.
        confirmations: what came of them, in order; the ladder may end before its last rung.
        rules: the declared rules.
    """
    adopted = next((c for c in confirmations if c.verdict is Verdict.ADOPT), None)
    outcome, reason = _outcome(screening, ladder, confirmations, rules)
    chosen = adopted.candidate.environment if adopted else {}
    return Decision(
        outcome=outcome,
        environment=chosen,
        gain=math.exp(adopted.estimate.mean) if adopted and adopted.estimate else 1.0,
        gain_interval=_interval(adopted.estimate if adopted else None, rules),
        reason=reason,
        cases=_cases(plan, screening, adopted, rules),
        settings=tuple(
            _setting_result(
                setting, chosen, plan=plan, screening=screening, confirmations=confirmations, rules=rules
            )
            for setting in CATALOGUE
        ),
    )


def _outcome(
    screening: Screening, ladder: Sequence[Arm], confirmations: Sequence[Confirmation], rules: Rules
) -> tuple[Outcome, str]:
    if not ladder and not screening.finished:
        return Outcome.INCONCLUSIVE, "the budget was used up before every setting was measured"
    if not ladder:
        if len(screening.predictions) <= 1 and screening.refusals:
            return Outcome.KEEP, "every configuration that differs failed or was refused"
        if len(screening.predictions) <= 1:
            return Outcome.KEEP, "no setting can have an effect on this workload here"
        return Outcome.KEEP, "nothing that was tried is faster than the default by enough to matter"
    last = confirmations[-1]
    words = f"{last.candidate}: {last.reason}"
    if last.verdict is Verdict.ADOPT and last.estimate is not None:
        promised = math.exp(last.estimate.lower(rules.coverage_alpha / 2))
        return Outcome.CHANGE, f"{last.reason}; at least {promised:.2f}x is promised"
    if last.verdict in {Verdict.TOO_NOISY, Verdict.OUT_OF_TIME}:
        return Outcome.INCONCLUSIVE, words
    return Outcome.KEEP, words


def _interval(found: Estimate | None, rules: Rules) -> tuple[float, float]:
    """The two-sided interval of a gain as a ratio; (1, 1) where the default is kept."""
    if found is None:
        return 1.0, 1.0
    alpha = rules.coverage_alpha / 2
    return math.exp(found.lower(alpha)), math.exp(found.upper(alpha))


def _cases(
    plan: Plan, screening: Screening, adopted: Confirmation | None, rules: Rules
) -> tuple[CaseResult, ...]:
    observation = (adopted and adopted.observation) or screening.observations.get(DEFAULT)
    if observation is None:
        return ()
    own = adopted.case_estimates(rules) if adopted else {}
    predicted = next((p for p in screening.predictions if not p.arm.configuration.variables), None)
    results = []
    for index, case in enumerate(plan.workload.cases):
        seen = observation.case(case.batch)
        default_ms = predicted.milliseconds[index] if predicted else None
        chosen_ms = default_ms
        if adopted:
            default_ms = median(pair.cases[index].default_ns for pair in adopted.pairs) / 1e6
            chosen_ms = median(pair.cases[index].candidate_ns for pair in adopted.pairs) / 1e6
        found = own.get(case.batch)
        results.append(
            CaseResult(
                batch=case.batch,
                weight=case.weight,
                default_ms=default_ms,
                chosen_ms=chosen_ms,
                gain=math.exp(found.mean) if found else 1.0,
                gain_interval=_interval(found, rules),
                kernels=seen.kernels,
                cosine=seen.cosine,
                error=seen.error,
            )
        )
    return tuple(results)


def _setting_result(
    setting: Setting,
    chosen: dict[str, str],
    *,
    plan: Plan,
    screening: Screening,
    confirmations: Sequence[Confirmation],
    rules: Rules,
) -> SettingResult:
    value = chosen.get(setting.variable)
    seen = next((effect for effect in screening.effects if effect.setting == setting.name), None)
    if value is not None:
        reason = seen.seen if seen else "measured faster"
        return SettingResult(setting.name, setting.variable, value, reason)
    never = next((left for left in plan.left_alone if left.setting == setting.name), None)
    if never is not None:
        reason = never.reason
    elif seen is not None and not seen.alive:
        reason = seen.seen
    else:
        reason = _why_not_chosen(setting, screening, confirmations, rules)
    return SettingResult(setting.name, setting.variable, None, reason)


def _why_not_chosen(
    setting: Setting, screening: Screening, confirmations: Sequence[Confirmation], rules: Rules
) -> str:
    """Why a setting that works here was not taken."""
    for confirmation in confirmations:
        if setting.variable in confirmation.candidate.environment:
            value = confirmation.candidate.environment[setting.variable]
            return f"with {value}: {confirmation.reason}"
    for refusal in screening.refusals:
        if setting.variable in refusal.configuration.environment:
            return f"refused: {refusal.reason}"
    best = _best_alone(setting, screening.predictions)
    if best is None:
        return "not measured in time"
    value = best.arm.configuration.environment[setting.variable]
    if best.gain >= rules.worth_confirming:
        return f"with {value}: adds nothing to what was chosen"
    return f"with {value}: {_speed(best.gain)}"


def _best_alone(setting: Setting, predictions: Sequence[Prediction]) -> Prediction | None:
    """The best prediction that sets nothing else, or else the best that sets it at all."""
    using = [p for p in predictions if setting.variable in p.arm.configuration.environment]
    alone = [p for p in using if len(p.arm.configuration.variables) == 1]
    return max(alone or using, key=lambda prediction: prediction.gain, default=None)


def _speed(gain: float) -> str:
    """A log ratio in words."""
    if abs(gain) < 0.005:
        return "as fast as the default"
    return f"{100 * math.expm1(abs(gain)):.1f} % {'faster' if gain > 0 else 'slower'} than the default"
