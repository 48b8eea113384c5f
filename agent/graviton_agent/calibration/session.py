"""A calibration on this host: from the request to the record, with the worker pool as its laboratory."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from graviton_agent.calibration.calibrate import calibrate
from graviton_agent.calibration.journal import Journal, Narrator
from graviton_agent.calibration.launcher import TIMEOUT_SECONDS, Launcher
from graviton_agent.calibration.memory import check_memory
from graviton_agent.calibration.plan import make_plan
from graviton_agent.calibration.pool import TimeLimits, WorkerPool
from graviton_agent.calibration.rules import Rules
from graviton_agent.calibration.trial import DEFAULT, Configuration, TrialError, TrialSpec
from graviton_agent.errors import AgentError, StateError
from graviton_agent.host import Host
from graviton_agent.record import OperatorTable, Record, keep_record, make_partial_record, make_record
from graviton_agent.settings.threads import Threads
from graviton_agent.torch_build import TorchBuild
from graviton_agent.workload import Workload

OPERATOR_ITERATIONS = 100
"""As many as the tutorial profiles [pytorch/tutorials inference_tuning_on_aws_graviton.rst]."""


@dataclass(frozen=True)
class Request:
    """What somebody wants calibrated, and within which bounds."""

    workload: Workload
    rules: Rules = field(default_factory=Rules)
    only: frozenset[str] | None = None
    """Names of the settings to try; None is all."""
    forbidden: frozenset[str] = frozenset()
    unconsented: frozenset[str] = frozenset()
    """Names of the settings that want the operator's consent, and don't have it."""
    threads: int | None = None
    """The unit's number of threads where it is given."""
    memory_limit: int | None = None
    """Bytes that all workers together may take; None is what the host has free."""
    process_limits: Mapping[str, int] = field(default_factory=dict)
    """Bytes that each worker may take, by who says so: the unit's MemoryMax= and MemoryHigh=."""
    operators: bool = False
    """Whether to profile the default and the chosen configuration by operator."""
    seed: int = 0
    timeout_seconds: float = TIMEOUT_SECONDS
    """How long a process may take to start or to answer."""
    held: Mapping[str, str] = field(default_factory=dict)
    """What the unit gets from elsewhere of the variables that steer torch; it has them in every trial."""

    @property
    def limits(self) -> TimeLimits:
        """How long a process may take."""
        return TimeLimits(start=self.timeout_seconds, answer=self.timeout_seconds)

    @property
    def environment(self) -> dict[str, str]:
        """What steers torch in every trial."""
        threads = {} if self.threads is None else {Threads.variable: str(self.threads)}
        return {**self.held, **threads}


def run_session(
    request: Request,
    host: Host,
    torch: TorchBuild,
    environment: Mapping[str, str],
    narrate: Narrator,
    *,
    launcher: Launcher | None = None,
    state: Path | None = None,
) -> Record:
    """Calibrates, keeps the record in the state directory, and returns it.

    What was measured is kept also when this is interrupted.

    Args:
        request: what to calibrate.
        host: the facts of this machine.
        torch: the interpreter to use, and its torch.
        environment: what the workers' environment is made from; what steers torch is dropped.
        narrate: told what is being measured.
        launcher: how workers are started; as plain children unless told otherwise.
        state: where the record is kept; in this user's state directory unless told otherwise.

    Raises:
        ResourceError: the model doesn't fit into memory.
        AgentError: the default configuration itself can't be run.
    """
    check_memory(request.workload, host, asked=request.memory_limit, each=request.process_limits)
    plan = make_plan(
        host,
        torch,
        request.workload,
        only=request.only,
        forbidden=request.forbidden,
        unconsented=request.unconsented,
        held=request.held,
        fixed_threads=request.threads,
        seed=request.seed,
    )
    pool = WorkerPool(
        torch.interpreter,
        request.workload,
        environment=environment,
        held=request.environment,
        seed=request.seed,
        launcher=launcher,
        limits=request.limits,
    )
    with pool:
        journal = Journal(pool, request.rules.budget_seconds, narrate)
        facts = (host, torch, request.workload, request.rules)
        try:
            found = calibrate(journal, plan, request.rules, blas=torch.blas_name)
            chosen = Configuration.of(found.decision.environment)
            tables = profile(pool, chosen, narrate) if request.operators else ()
        except TrialError as error:
            reason = f"the {error.configuration} configuration can't be run: {error.reason}"
            partial = make_partial_record(*facts, seed=request.seed, reason=reason, journal=journal)
            _keep(partial, state, narrate)
            raise AgentError(
                reason, hint=f"try the interpreter by hand: {torch.interpreter} -c 'import torch'"
            ) from error
        except BaseException:
            partial = make_partial_record(*facts, seed=request.seed, reason="interrupted", journal=journal)
            _keep(partial, state, narrate)
            raise
    record = make_record(*facts, seed=request.seed, found=found, journal=journal, operators=tables)
    _keep(record, state, narrate)
    return record


def _keep(record: Record, state: Path | None, narrate: Narrator) -> None:
    """Keeps a record. A full disk is told, but takes nothing away from who waits for the result."""
    try:
        keep_record(record, state)
    except StateError as error:
        narrate(f"the record is not kept: {error.message}")


def profile(pool: WorkerPool, chosen: Configuration, narrate: Narrator) -> tuple[OperatorTable, ...]:
    """The table of operators that torch prints for each batch, before and after.

    Raises TrialError.
    """
    tables = []
    for configuration in dict.fromkeys((DEFAULT, chosen)):
        narrate(f"profiling operators: {configuration}")
        (trial,) = pool.start([TrialSpec(configuration)])
        for case in pool.workload.cases:
            rows = trial.operators(case.batch, warmup=3, iterations=OPERATOR_ITERATIONS)
            tables.append(OperatorTable(environment=configuration.environment, batch=case.batch, rows=rows))
        trial.stop()
    return tuple(tables)
