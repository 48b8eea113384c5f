"""What has happened so far: the trials of a calibration as they run, kept even when it is interrupted."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from graviton_agent.calibration.trial import (
    Block,
    Configuration,
    Laboratory,
    Memory,
    Observation,
    Path,
    Trial,
    TrialError,
    TrialLog,
    TrialSpec,
)

HEADROOM = 1.15
"""A step may take so many times as long as the longest before it, and still ends in time."""

Narrator = Callable[[str], None]
"""Told in a few words what is being measured."""


class OutOfTimeError(Exception):
    """The budget is used up: what was measured so far must do."""


class Journal:
    """Starts trials in a laboratory, ends them whatever happens, and writes down what they did."""

    def __init__(
        self,
        laboratory: Laboratory,
        budget_seconds: float,
        narrate: Narrator = lambda _words: None,
    ) -> None:
        self._laboratory = laboratory
        self._began = laboratory.now()
        self._budget_seconds = budget_seconds
        self._longest = 0.0
        self.narrate = narrate
        self.trials: list[TrialLog] = []

    def elapsed(self) -> float:
        """Seconds since the calibration began."""
        return self._laboratory.now() - self._began

    def left(self) -> float:
        """Seconds of the budget that are left; negative if it is overdrawn."""
        return self._budget_seconds - self.elapsed()

    @contextmanager
    def step(self) -> Iterator[None]:
        """One thing that is never broken off. Raises OutOfTimeError if it could end after the budget."""
        if self.left() <= HEADROOM * self._longest:
            raise OutOfTimeError
        began = self.elapsed()
        yield
        self._longest = max(self._longest, self.elapsed() - began)

    @contextmanager
    def trials_of(self, purpose: str, specs: Sequence[TrialSpec]) -> Iterator[tuple["RecordedTrial", ...]]:
        """Starts trials side by side for the length of a `with` block. Raises TrialError, OutOfTimeError."""
        began = self.elapsed()
        try:
            with self.step():
                trials = tuple(RecordedTrial(trial, self) for trial in self._laboratory.start(specs))
        except TrialError as error:
            self._note(error.configuration, purpose, began, failure=error.reason)
            raise
        failure: TrialError | None = None
        try:
            yield trials
        except TrialError as error:
            failure = error
            raise
        finally:
            for trial in trials:
                trial.stop()
                guilty = failure is not None and failure.configuration == trial.spec.configuration
                self._note(
                    trial.spec.configuration,
                    purpose,
                    began,
                    failure=failure.reason if failure is not None and guilty else None,
                    trial=trial,
                )

    def _note(
        self,
        configuration: Configuration,
        purpose: str,
        began: float,
        *,
        failure: str | None,
        trial: "RecordedTrial | None" = None,
    ) -> None:
        self.trials.append(
            TrialLog(
                configuration=configuration,
                purpose=purpose,
                seconds=self.elapsed() - began,
                failure=failure,
                memory=trial.last_memory if trial else None,
                blocks=tuple(trial.blocks) if trial else (),
            )
        )


class RecordedTrial:
    """A trial that remembers its blocks and its memory."""

    def __init__(self, trial: Trial, journal: Journal) -> None:
        self._trial = trial
        self._journal = journal
        self.blocks: list[Block] = []
        self.last_memory: Memory | None = None

    @property
    def spec(self) -> TrialSpec:
        """What the trial was started with."""
        return self._trial.spec

    def observe(self) -> Observation:
        """Passes the observation on. Raises TrialError, OutOfTimeError."""
        with self._journal.step():
            return self._trial.observe()

    def run(self, batch: int, path: Path, iterations: int) -> Block:
        """Runs and remembers a block. Raises TrialError, OutOfTimeError."""
        with self._journal.step():
            block = self._trial.run(batch, path, iterations)
        self.blocks.append(block)
        return block

    def memory(self) -> Memory:
        """Reads and remembers the memory."""
        self.last_memory = self._trial.memory()
        return self.last_memory

    def stop(self) -> None:
        """Ends the trial."""
        self._trial.stop()
