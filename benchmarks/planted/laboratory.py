"""The worker pool, with a note of when each block ran in which process: what noise is split up by."""

from collections.abc import Sequence
from typing import NamedTuple

from graviton_agent.calibration.pool import WorkerPool
from graviton_agent.calibration.trial import DEFAULT, Block, Memory, Observation, Path, Trial, TrialSpec


class TimedBlock(NamedTuple):
    """One measured block; warm-up is not among them."""

    at: float
    """Seconds on the monotonic clock when it ended."""
    launch: int
    """Processes that were started side by side share this number."""
    process: int
    fast: bool
    """Whether the process had the planted variable."""
    batch: int
    nanoseconds: float
    """Of one forward pass."""
    canary_ns: int
    steal: float
    foreign: float


class TimedLaboratory:
    """Passes everything on to the pool."""

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool
        self.blocks: list[TimedBlock] = []
        self.launches = 0
        self.processes = 0

    def now(self) -> float:
        """The pool's clock."""
        return self._pool.now()

    def start(self, specs: Sequence[TrialSpec]) -> tuple[Trial, ...]:
        """Starts trials in the pool."""
        started = self._pool.start(specs)
        self.launches += 1
        trials = []
        for trial in started:
            trials.append(TimedTrial(trial, self, self.launches, self.processes))
            self.processes += 1
        return tuple(trials)


class TimedTrial:
    """A trial whose blocks are noted."""

    def __init__(self, trial: Trial, laboratory: TimedLaboratory, launch: int, process: int) -> None:
        self._trial = trial
        self._laboratory = laboratory
        self._launch = launch
        self._process = process

    @property
    def spec(self) -> TrialSpec:
        """What it was started with."""
        return self._trial.spec

    def observe(self) -> Observation:
        """Passes the observation on."""
        return self._trial.observe()

    def run(self, batch: int, path: Path, iterations: int) -> Block:
        """Runs a block, and notes it unless it is a pass of the warm-up."""
        block = self._trial.run(batch, path, iterations)
        if iterations > 1:
            self._laboratory.blocks.append(
                TimedBlock(
                    at=round(self._laboratory.now(), 3),
                    launch=self._launch,
                    process=self._process,
                    fast=self.spec.configuration != DEFAULT,
                    batch=batch,
                    nanoseconds=round(block.per_iteration_ns),
                    canary_ns=block.canary_ns,
                    steal=round(block.steal, 3),
                    foreign=round(block.foreign, 3),
                )
            )
        return block

    def memory(self) -> Memory:
        """Passes the memory on."""
        return self._trial.memory()

    def stop(self) -> None:
        """Ends the trial."""
        self._trial.stop()
