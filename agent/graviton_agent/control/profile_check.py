"""A short confirmation run: what a unit is given, against the default, in its own cage on this host."""

import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

from graviton_agent.calibration.confirmation import Confirmation, Confirmer, Verdict
from graviton_agent.calibration.journal import Journal
from graviton_agent.calibration.memory import check_memory
from graviton_agent.calibration.plan import Plan
from graviton_agent.calibration.pool import WorkerPool
from graviton_agent.calibration.probe import probe
from graviton_agent.calibration.rounds import Rounds
from graviton_agent.calibration.trial import Configuration, TrialError
from graviton_agent.control.calibration import (
    Narrator,
    Wishes,
    given_environment,
    host_inside,
    make_request,
)
from graviton_agent.control.scene import Outlook, Scene
from graviton_agent.errors import AgentError, ExitCode, UsageError
from graviton_agent.profiles.application import State
from graviton_agent.profiles.facts import observe_calibrated, observe_host
from graviton_agent.settings.catalogue import markers
from graviton_agent.units.cage import Cage
from graviton_agent.units.identity import PROCESS_FACTS


class Answer(StrEnum):
    """What came of it."""

    CONFIRMED = "confirmed"
    REFUTED = "not confirmed"
    """It gains less than is worth a change here, or a guard refused it."""
    OPEN = "left open"
    """Too noisy, or too short of time, to say."""
    STALE = "stale"
    """Seen from inside the unit, something differs from what the profile was made for."""


EXIT_CODES = {
    Answer.CONFIRMED: ExitCode.OK,
    Answer.REFUTED: ExitCode.UNCONFIRMED,
    Answer.OPEN: ExitCode.UNDECIDED,
    Answer.STALE: ExitCode.STALE,
}
_ANSWERS = {
    Verdict.ADOPT: Answer.CONFIRMED,
    Verdict.NO_GAIN: Answer.REFUTED,
    Verdict.REFUSED: Answer.REFUTED,
    Verdict.TOO_NOISY: Answer.OPEN,
    Verdict.OUT_OF_TIME: Answer.OPEN,
}


@dataclass(frozen=True)
class Checked:
    """One unit's answer."""

    unit: str
    answer: Answer
    reason: str
    """A clause."""
    promised: float
    """The gain that the profile promises."""
    environment: dict[str, str]
    """What was compared with the default."""
    confirmation: Confirmation | None = None
    """What was measured; None if nothing was."""
    checked: datetime | None = None


def check_profile(scene: Scene, name: str, wishes: Wishes, narrate: Narrator) -> Checked:
    """Measures what a unit is given by its profile. Nothing is kept, written or changed.

    Raises AgentError where the unit is given nothing, and where nothing can be measured.
    """
    (outlook,) = scene.select([name])
    environment, promised = _given(outlook)
    subject, profile = outlook.assessment.subject, outlook.assessment.profile
    assert subject is not None  # noqa: S101 - it is given something
    assert profile is not None  # noqa: S101 - by that
    unit = subject.name
    patience = subject.managed.timeout_seconds
    with Cage(scene.bus, unit, subject.interpreter, timeout_seconds=patience, root=scene.root) as cage:
        given = given_environment(subject, cage.environment())
        inside = cage.observe(PROCESS_FACTS)
        host = host_inside(scene.host, inside)
        request = make_request(subject, wishes, given)
        check_memory(request.workload, host, asked=request.memory_limit, each=request.process_limits)
        narrate(f"{unit}: asking {subject.interpreter.path} about its torch")
        torch = probe(subject.interpreter.path, markers(), environment=given, seconds=patience, launcher=cage)
        present = observe_calibrated(subject, observe_host(scene.root), torch, inside, scene.root)
        if differences := profile.fingerprint.differences(present.fingerprint):
            return Checked(unit, Answer.STALE, "; ".join(differences), promised, environment)
        pool = WorkerPool(
            torch.interpreter,
            request.workload,
            environment=given,
            held=request.environment,
            seed=request.seed,
            launcher=cage,
            limits=request.limits,
        )
        plan = Plan(
            workload=request.workload,
            cpus=host.usable_cpus,
            fixed_threads=request.threads,
            seed=request.seed,
        )
        with pool:
            confirmer = Confirmer(
                Journal(pool, request.rules.budget_seconds, narrate),
                plan,
                request.rules,
                Rounds(request.rules, random.Random(plan.seed)),  # noqa: S311 - orders need no secrecy
                prior_sd=request.rules.prior_sd,
                observed={},
            )
            try:
                found = confirmer.run(Configuration.of(environment))
            except TrialError as error:
                raise AgentError(f"the default configuration can't be run: {error.reason}") from error
    return replace(
        Checked(unit, _ANSWERS[found.verdict], found.reason, promised, environment),
        confirmation=found,
        checked=datetime.now(UTC).replace(microsecond=0),
    )


def _given(outlook: Outlook) -> tuple[dict[str, str], float]:
    """The variables to be compared with the default, and what they promise. Raises UsageError."""
    environment, profile = dict(outlook.application.variables), outlook.assessment.profile
    if outlook.state is not State.APPLIED or not environment or profile is None:
        raise UsageError(
            f"{outlook.name} is given nothing that could be checked: {outlook.application.reason}",
            hint=f"graviton-agent calibrate {outlook.name}",
        )
    return environment, profile.promised
