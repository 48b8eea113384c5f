"""The small interface through which calibration meets the world: start a trial, run a block, stop it.

The real worker pool (`pool.py`) and the simulator of the tests implement it. Nothing on this side of it has
a clock or a process of its own, so the very code that decides on a host is the code whose error rates are
measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Configuration:
    """What a process is started with: one value, or none, per setting."""

    variables: tuple[tuple[str, str], ...] = ()
    """Environment variables and their values, sorted by name; empty is the default configuration."""

    @staticmethod
    def of(environment: dict[str, str]) -> "Configuration":
        """The configuration that sets these variables."""
        return Configuration(tuple(sorted(environment.items())))

    @property
    def environment(self) -> dict[str, str]:
        """The variables as an object."""
        return dict(self.variables)

    def without(self, variable: str) -> "Configuration":
        """The same configuration with one variable left at its default."""
        return Configuration(tuple(pair for pair in self.variables if pair[0] != variable))

    def merged(self, other: "Configuration") -> "Configuration":
        """Both configurations together; where they disagree, the other one's value."""
        return Configuration.of(self.environment | other.environment)

    def __str__(self) -> str:
        return " ".join(f"{name}={value}" for name, value in self.variables) or "default"


DEFAULT = Configuration()


@dataclass(frozen=True)
class TrialSpec:
    """What a trial is started with."""

    configuration: Configuration
    cpus: tuple[int, ...] | None = None
    """The CPUs that the processes may use; both arms of a pair get the same. None leaves them alone."""


@dataclass(frozen=True)
class Path:
    """Which way through torch a forward pass takes, chosen inside a running process."""

    blas_layers: frozenset[int] = frozenset()
    """Layers that the backend flag sends to the BLAS library; the others go where the process sends them."""
    threads: int | None = None
    """torch.set_num_threads; None is the number that the process started with."""


AS_STARTED = Path()


@dataclass(frozen=True)
class Block:
    """A run of iterations timed as one."""

    batch: int
    iterations: int
    """How many forward passes; the same for both arms of a pair."""
    elapsed_ns: int
    """Wall time of the whole block, from time.perf_counter_ns; of the slowest process in a group."""
    calls_ns: tuple[int, ...]
    """Wall time of each forward pass; in a group those of all its processes."""
    canary_ns: int
    """Wall time of a fixed product on the same threads, run just before the block."""
    steal: float = 0.0
    """Share of the host's CPU time that the hypervisor took away meanwhile, 0 to 1."""
    foreign: float = 0.0
    """Share of the host's CPU time that processes outside the trial used meanwhile, 0 to 1."""

    @property
    def per_iteration_ns(self) -> float:
        """Mean wall time of one forward pass."""
        return self.elapsed_ns / self.iterations


@dataclass(frozen=True)
class Memory:
    """What a process occupies, in bytes [proc_pid_status(5), proc_pid_smaps(5)]."""

    rss_anon: int
    peak: int
    """VmHWM: the high-water mark of the resident set."""
    anon_huge: int
    """AnonHugePages: evidence that huge pages were given, not a cost."""


@dataclass(frozen=True)
class ProductObservation:
    """One layer's product at one batch, on inputs that are the same in every process."""

    layer: int
    digest: str
    """Of the output's bits, on the path that the process takes by itself."""
    blas_digest: str
    """Of the output's bits with oneDNN switched off by torch's own flag."""
    stable: bool
    """Whether a second run gave the same bits."""
    error: float
    """Relative norm of the difference from float64, on a sample of rows and columns."""


@dataclass(frozen=True)
class CaseObservation:
    """What a process computes for one case, and how."""

    batch: int
    products: tuple[ProductObservation, ...]
    digest: str
    """Of the whole network's output bits."""
    error: float
    """Norm of (output - float64 output) over the norm of the float64 output minus its mean."""
    worst_row_error: float
    """The largest of the same ratio by rows, each against the root-mean-square norm of the centred rows."""
    cosine: float
    """Cosine similarity with the float64 output: reported, never a gate."""
    finite: bool
    argmax_flips: int
    """Rows whose largest output moved, among those whose margin exceeds twice the error bound."""
    argmax_rows: int
    """How many rows had such a margin."""
    kernels: tuple[str, ...] = ()
    """Distinct `implementation weight-type` pairs in oneDNN's log of an untimed run; empty is BLAS."""


@dataclass(frozen=True)
class Observation:
    """An untimed look at one process: the proof of what its configuration does."""

    cases: tuple[CaseObservation, ...]
    control_digest: str
    """Of a square product that oneDNN takes wherever it takes any."""
    control_blas_digest: str
    """The same with oneDNN switched off; equal digests mean that the flag is dead here."""
    threads: int
    """torch.get_num_threads() as started."""
    memory: Memory
    """After every case has run, and before what only the observation needs."""

    @property
    def flag_alive(self) -> bool:
        """Whether switching oneDNN off changes any bit of a product that it should take."""
        return self.control_digest != self.control_blas_digest

    def case(self, batch: int) -> CaseObservation:
        """The observation of one batch; KeyError if the process was not asked about it."""
        for case in self.cases:
            if case.batch == batch:
                return case
        raise KeyError(batch)


@dataclass(frozen=True)
class Operator:
    """A row of the profiler's table, as the tutorial reads it."""

    name: str
    """Such as "aten::addmm"."""
    calls: int
    self_ns: int
    """CPU time of the operator itself, of all calls."""
    total_ns: int
    """The same with the operators that it calls."""


class TrialError(Exception):
    """A trial that could not be started or finished; the others go on.

    Args:
        configuration: what the failed process was started with.
        reason: one line for the record, such as "killed by SIGKILL, perhaps for memory".
    """

    def __init__(self, configuration: Configuration, reason: str) -> None:
        super().__init__(f"{configuration}: {reason}")
        self.configuration = configuration
        self.reason = reason


class Trial(Protocol):
    """One configuration in fresh worker processes: one, or a group that runs together."""

    @property
    def spec(self) -> TrialSpec:
        """What it was started with."""

    def observe(self) -> Observation:
        """Runs every case untimed and reports bits, errors, kernels and memory. Raises TrialError."""

    def run(self, batch: int, path: Path, iterations: int) -> Block:
        """Runs one block while every other trial stands still. Raises TrialError."""

    def memory(self) -> Memory:
        """What the process, or the largest of the group, occupies now. Raises TrialError."""

    def stop(self) -> None:
        """Ends the processes; never raises, and may be called twice."""


class Laboratory(Protocol):
    """Where trials happen: the host's worker pool, or the simulator."""

    def now(self) -> float:
        """Seconds on a clock that only goes forward, real or virtual."""

    def start(self, specs: Sequence[TrialSpec]) -> tuple[Trial, ...]:
        """Starts trials side by side and returns them, in the same order, when all are ready to run.

        Raises TrialError for the first that can't be started, after the others were stopped.
        """


@dataclass(frozen=True)
class TrialLog:
    """What happened to one trial, for the record."""

    configuration: Configuration
    purpose: str
    """Why it was started: "screening", "confirmation", "operators"."""
    seconds: float
    """From start to stop on the laboratory's clock."""
    failure: str | None = None
    memory: Memory | None = None
    blocks: tuple[Block, ...] = field(default=())
