"""The record of a calibration: what the JSON output, the state directory and the profiles hold."""

import contextlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from graviton_agent import __version__
from graviton_agent.calibration.calibrate import Calibration
from graviton_agent.calibration.confirmation import Confirmation, Pair, Verdict
from graviton_agent.calibration.decision import CaseResult, Decision, SettingResult
from graviton_agent.calibration.journal import Journal
from graviton_agent.calibration.outcome import Outcome
from graviton_agent.calibration.proof import Effect
from graviton_agent.calibration.rules import Rules
from graviton_agent.calibration.trial import Block, Memory, Observation, Operator
from graviton_agent.errors import StateError
from graviton_agent.host import Host
from graviton_agent.state import state_directory, write_private
from graviton_agent.torch_build import TorchBuild
from graviton_agent.workload import Workload

RECORDS_KEPT = 100
LARGEST_RECORD = 64 * 1024 * 1024


class _Strict(BaseModel):
    # JSON has no number for the error of a result that is not finite: it is the string "Infinity".
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class DecisionRecord(_Strict):
    """What was decided for the whole workload."""

    outcome: Outcome = Field(description="change, keep (the default won) or inconclusive (too noisy to say)")
    environment: dict[str, str] = Field(
        description="the chosen variables; empty unless the outcome is change"
    )
    gain: float = Field(description="ratio of time, default over chosen")
    gain_interval: tuple[float, float] = Field(
        description="95 % interval of the gain; its lower end is promised"
    )
    reason: str
    cases: tuple[CaseResult, ...]


class PredictionRecord(_Strict):
    """What screening expected of one configuration."""

    environment: dict[str, str]
    gain: float = Field(description="ratio of time, default over this")
    milliseconds: tuple[float, ...] = Field(description="one forward pass, for each case of the workload")


class RefusalRecord(_Strict):
    """A configuration that a guard or a failure removed."""

    environment: dict[str, str]
    reason: str


class ObservationRecord(_Strict):
    """What a process of one configuration was seen to compute."""

    environment: dict[str, str]
    observation: Observation


class ConfirmationRecord(_Strict):
    """The comparison of one candidate with the default."""

    environment: dict[str, str]
    verdict: Verdict
    reason: str
    pairs: tuple[Pair, ...]
    dropped: int = Field(description="pairs measured in vain because the host was disturbed")
    observation: Observation | None


class TrialRecord(_Strict):
    """One trial, whole."""

    environment: dict[str, str]
    purpose: str
    seconds: float
    failure: str | None
    memory: Memory | None = Field(description="bytes")
    blocks: tuple[Block, ...]


class OperatorTable(_Strict):
    """torch's profiler table of a hundred forward passes of one batch."""

    environment: dict[str, str]
    batch: int
    rows: tuple[Operator, ...] = Field(description="the costliest operator first; times in nanoseconds")


class Record(_Strict):
    """Everything that one calibration saw and decided."""

    format: Literal[1] = 1
    agent: str = Field(default=__version__, description="version of graviton-agent")
    created: datetime
    seconds: float = Field(description="wall time of the calibration")
    seed: int
    host: Host
    torch: TorchBuild
    workload: Workload
    rules: Rules
    settings: tuple[SettingResult, ...]
    decision: DecisionRecord
    effects: tuple[Effect, ...] = ()
    observations: tuple[ObservationRecord, ...] = ()
    predictions: tuple[PredictionRecord, ...] = ()
    refusals: tuple[RefusalRecord, ...] = ()
    confirmations: tuple[ConfirmationRecord, ...] = ()
    operators: tuple[OperatorTable, ...] = ()
    trials: tuple[TrialRecord, ...] = ()

    def to_json(self) -> str:
        """The record as indented JSON."""
        return self.model_dump_json(indent=1)


def make_record(
    host: Host,
    torch: TorchBuild,
    workload: Workload,
    rules: Rules,
    *,
    seed: int,
    found: Calibration,
    journal: Journal,
    operators: tuple[OperatorTable, ...] = (),
) -> Record:
    """The record of a calibration that came to an end."""
    screening = found.screening
    return Record(
        **_facts(host, torch, workload, rules, seed=seed, journal=journal),
        settings=found.decision.settings,
        decision=_decision_record(found.decision),
        effects=tuple(screening.effects),
        observations=tuple(
            ObservationRecord(environment=configuration.environment, observation=observation)
            for configuration, observation in screening.observations.items()
        ),
        predictions=tuple(
            PredictionRecord(
                environment=prediction.arm.configuration.environment,
                gain=prediction.ratio,
                milliseconds=prediction.milliseconds,
            )
            for prediction in screening.predictions
        ),
        refusals=tuple(
            RefusalRecord(environment=refusal.configuration.environment, reason=refusal.reason)
            for refusal in screening.refusals
        ),
        confirmations=tuple(map(_confirmation_record, found.confirmations)),
        operators=operators,
    )


def make_partial_record(
    host: Host,
    torch: TorchBuild,
    workload: Workload,
    rules: Rules,
    *,
    seed: int,
    reason: str,
    journal: Journal,
) -> Record:
    """The record of a calibration that was interrupted or failed: its trials, and that nothing is decided."""
    return Record(
        **_facts(host, torch, workload, rules, seed=seed, journal=journal),
        settings=(),
        decision=DecisionRecord(
            outcome=Outcome.INCONCLUSIVE,
            environment={},
            gain=1.0,
            gain_interval=(1.0, 1.0),
            reason=reason,
            cases=(),
        ),
    )


def _facts(
    host: Host, torch: TorchBuild, workload: Workload, rules: Rules, *, seed: int, journal: Journal
) -> dict[str, Any]:
    return {
        "created": datetime.now(UTC).replace(microsecond=0),
        "seconds": journal.elapsed(),
        "seed": seed,
        "host": host,
        "torch": torch,
        "workload": workload,
        "rules": rules,
        "trials": tuple(
            TrialRecord(
                environment=trial.configuration.environment,
                purpose=trial.purpose,
                seconds=trial.seconds,
                failure=trial.failure,
                memory=trial.memory,
                blocks=trial.blocks,
            )
            for trial in journal.trials
        ),
    }


def _decision_record(decision: Decision) -> DecisionRecord:
    return DecisionRecord(
        outcome=decision.outcome,
        environment=decision.environment,
        gain=decision.gain,
        gain_interval=decision.gain_interval,
        reason=decision.reason,
        cases=decision.cases,
    )


def _confirmation_record(confirmation: Confirmation) -> ConfirmationRecord:
    return ConfirmationRecord(
        environment=confirmation.candidate.environment,
        verdict=confirmation.verdict,
        reason=confirmation.reason,
        pairs=confirmation.pairs,
        dropped=confirmation.dropped,
        observation=confirmation.observation,
    )


def record_path(record: Record, state: Path) -> Path:
    """Where a record is kept in a state directory."""
    return state / "records" / f"{record.created:%Y%m%dT%H%M%SZ}-{record.seed:08x}.json"


def keep_record(record: Record, state: Path | None = None) -> Path:
    """Writes the record to a state directory, and lets go of the oldest beyond a hundred.

    Args:
        record: what to keep.
        state: the state directory; None is that of who runs this.
    """
    base = state or state_directory()
    name = str(record_path(record, base).relative_to(base))
    path = write_private(base, name, record.to_json().encode())
    with contextlib.suppress(OSError):
        # What can't be let go of is tried again the next time.
        for old in sorted(path.parent.glob("*.json"))[:-RECORDS_KEPT]:
            old.unlink(missing_ok=True)
    return path


def read_record(path: Path) -> Record:
    """Reads a record. Raises StateError if it isn't one."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_RECORD)
        return Record.model_validate_json(content)
    except OSError as error:
        raise StateError(f"can't read {path}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise StateError(f"{path} is no calibration record: {where}: {first['msg']}") from error
