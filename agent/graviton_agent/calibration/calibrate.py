"""A calibration from beginning to end: screening, the ladder of confirmations, and the decision."""

import math
import random
from dataclasses import dataclass

from graviton_agent.calibration.arms import Arm
from graviton_agent.calibration.confirmation import Confirmation, Confirmer, Verdict
from graviton_agent.calibration.decision import Decision, decide
from graviton_agent.calibration.journal import Journal
from graviton_agent.calibration.ladder import rungs
from graviton_agent.calibration.plan import Plan
from graviton_agent.calibration.rounds import Rounds
from graviton_agent.calibration.rules import Rules
from graviton_agent.calibration.screening import Screener, Screening


@dataclass(frozen=True)
class Calibration:
    """Everything that one calibration found out."""

    screening: Screening
    ladder: tuple[Arm, ...]
    confirmations: tuple[Confirmation, ...]
    decision: Decision
    seconds: float
    """On the laboratory's clock."""


def calibrate(journal: Journal, plan: Plan, rules: Rules, *, blas: str = "the BLAS library") -> Calibration:
    """Calibrates one workload.

    Args:
        journal: starts the trials, and keeps what they did even if this is interrupted.
        plan: what may be tried.
        rules: what decides.
        blas: what the BLAS library is called, for the reasons.

    Raises:
        TrialError: the default configuration itself can't be run.
    """
    rounds = Rounds(rules, random.Random(plan.seed))  # noqa: S311 - orders need no secrecy
    screening = Screener(journal, plan, rules, rounds, blas).run()
    ladder = rungs(screening.predictions, plan.workload, rules)
    confirmer = Confirmer(
        journal,
        plan,
        rules,
        rounds,
        prior_sd=pair_sd(screening.pair_variances, rules),
        observed=screening.observations,
    )
    confirmations: list[Confirmation] = []
    for rung in ladder:
        confirmations.append(confirmer.run(rung.configuration))
        # The lower rung is for a candidate that a guard refused, so at most one of the two spends its alpha.
        if confirmations[-1].verdict is not Verdict.REFUSED:
            break
    decision = decide(plan, screening, ladder, confirmations, rules)
    return Calibration(screening, ladder, tuple(confirmations), decision, journal.elapsed())


def pair_sd(variances: tuple[float, ...], rules: Rules) -> float:
    """What is known of a pair's standard deviation before the confirmation, blind to its outcome."""
    known = rules.prior_pairs * rules.prior_sd**2 + math.fsum(variances)
    return math.sqrt(known / (rules.prior_pairs + len(variances)))
