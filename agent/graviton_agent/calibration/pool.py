"""The laboratory on a real host: trials in worker processes of the unit's own interpreter."""

import contextlib
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

from graviton_agent.calibration.cpu_time import CpuTime
from graviton_agent.calibration.environment import MAX_PADDING, worker_environment
from graviton_agent.calibration.launcher import TIMEOUT_SECONDS, Launcher, PlainLauncher
from graviton_agent.calibration.process import Worker, WorkerError, exchange
from graviton_agent.calibration.protocol import (
    Answer,
    LoadAnswer,
    MemoryAnswer,
    ObserveAnswer,
    OperatorsAnswer,
    RunAnswer,
)
from graviton_agent.calibration.trial import (
    Block,
    Memory,
    Observation,
    Operator,
    Path,
    TrialError,
    TrialSpec,
)
from graviton_agent.root import Root
from graviton_agent.workload import Workload

A = TypeVar("A", bound=Answer)


@dataclass(frozen=True)
class TimeLimits:
    """How long a worker may take, in seconds."""

    start: float = TIMEOUT_SECONDS
    """From the process's start to a loaded workload, with a cold disk."""
    answer: float = TIMEOUT_SECONDS
    """For any later command."""


class WorkerPool:
    """Starts trials. Leaving its context ends every process, whatever happened in it."""

    def __init__(
        self,
        interpreter: str,
        workload: Workload,
        *,
        environment: Mapping[str, str],
        held: Mapping[str, str] | None = None,
        seed: int = 0,
        limits: TimeLimits | None = None,
        launcher: Launcher | None = None,
        root: Root | None = None,
    ) -> None:
        self.interpreter = interpreter
        self.workload = workload
        self.limits = limits or TimeLimits()
        self.root = root or Root()
        self._environment = environment
        self._held = held or {}
        self._seed = seed
        self._random = random.Random(seed)  # noqa: S311 - it draws paddings, not secrets
        self._launcher = launcher or PlainLauncher()
        self._workers: list[Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends every process of every trial."""
        for worker in self._workers:
            worker.stop()
        self._workers.clear()

    def now(self) -> float:
        """Seconds on the system's monotonic clock."""
        return time.monotonic()

    def start(self, specs: Sequence[TrialSpec]) -> "tuple[WorkerTrial, ...]":
        """Starts trials side by side. Raises TrialError after ending them all."""
        trials = tuple(WorkerTrial(self, spec) for spec in specs)
        with contextlib.ExitStack() as undo:
            for trial in trials:
                undo.callback(trial.stop)
                trial.workers += [self._launch(trial.spec) for _ in range(self.workload.processes)]
            workers = [worker for trial in trials for worker in trial.workers]
            try:
                exchange(workers, LoadAnswer, self.limits.start)
            except WorkerError as failure:
                failed = next(trial for trial in trials if failure.worker in trial.workers)
                raise TrialError(failed.spec.configuration, failure.reason) from None
            undo.pop_all()
        return trials

    def _launch(self, spec: TrialSpec) -> Worker:
        """Starts one process and tells it what to load."""
        padding = self._random.randint(0, MAX_PADDING)
        environment = worker_environment(self._environment, self._held, spec.configuration, padding=padding)
        try:
            worker = Worker.start(self._launcher, self.interpreter, environment)
        except OSError as error:
            raise TrialError(spec.configuration, f"can't be started ({error.strerror})") from None
        self._workers.append(worker)
        worker.send(
            "load",
            factory=self.workload.factory,
            layers=[[layer.inputs, layer.outputs] for layer in self.workload.layers],
            batches=[case.batch for case in self.workload.cases],
            seed=self._seed,
            cpus=spec.cpus,
        )
        return worker


class WorkerTrial:
    """One configuration in a group of worker processes; its processes end at the first failure."""

    def __init__(self, pool: WorkerPool, spec: TrialSpec) -> None:
        self._pool = pool
        self._spec = spec
        self.workers: list[Worker] = []

    @property
    def spec(self) -> TrialSpec:
        """What it was started with."""
        return self._spec

    def observe(self) -> Observation:
        """Looks at the group's first process; the others do the same."""
        (answer,) = self._ask(self.workers[:1], ObserveAnswer, "observe")
        workload = self._pool.workload
        layers = range(len(workload.layers))
        asked = {case.batch: [*layers] for case in workload.cases}
        if asked != {case.batch: [product.layer for product in case.products] for case in answer.cases}:
            raise self._failed("observed other cases than it was asked about")
        return answer.observation()

    def run(self, batch: int, path: Path, iterations: int) -> Block:
        """Runs a block in all processes at once."""
        before = CpuTime.read(self._pool.root, self._spec.cpus)
        answers = self._ask(
            self.workers,
            RunAnswer,
            "run",
            batch=batch,
            blas_layers=sorted(path.blas_layers),
            threads=path.threads,
            iterations=iterations,
        )
        after = CpuTime.read(self._pool.root, self._spec.cpus)
        counts = {len(answer.calls_ns) for answer in answers}
        if counts != {iterations}:
            raise self._failed(f"ran {max(counts)} iterations in place of {iterations}")
        own = sum(answer.cpu_ns for answer in answers) / 1e9
        steal, foreign = before.shares_until(after, own) if before and after else (0.0, 0.0)
        return Block(
            batch=batch,
            iterations=iterations,
            elapsed_ns=max(answer.elapsed_ns for answer in answers),
            calls_ns=tuple(call for answer in answers for call in answer.calls_ns),
            canary_ns=max(answer.canary_ns for answer in answers),
            steal=steal,
            foreign=foreign,
        )

    def operators(self, batch: int, *, warmup: int, iterations: int) -> tuple[Operator, ...]:
        """The profiler's table of the first process, the costliest operator first. Raises TrialError."""
        (answer,) = self._ask(
            self.workers[:1], OperatorsAnswer, "operators", batch=batch, warmup=warmup, iterations=iterations
        )
        return answer.rows()

    def memory(self) -> Memory:
        """What the largest process of the group occupies."""
        answers = self._ask(self.workers, MemoryAnswer, "memory")
        return max((answer.memory() for answer in answers), key=lambda memory: memory.peak)

    def stop(self) -> None:
        """Ends the processes."""
        for worker in self.workers:
            worker.stop()

    def _ask(
        self, workers: Sequence[Worker], model: type[A], command: str, **arguments: object
    ) -> tuple[A, ...]:
        """Gives a command to processes and waits for all of them. Raises TrialError."""
        try:
            for worker in workers:
                worker.send(command, **arguments)
            return exchange(workers, model, self._pool.limits.answer)
        except WorkerError as failure:
            raise self._failed(failure.reason) from None

    def _failed(self, reason: str) -> TrialError:
        """Ends the processes: nothing that comes after a failure is worth a measurement."""
        self.stop()
        return TrialError(self._spec.configuration, reason)
