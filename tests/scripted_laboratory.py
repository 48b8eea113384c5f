"""A laboratory that does what a test says, without noise: given times, observations and failures."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from graviton_agent.calibration.trial import (
    Block,
    CaseObservation,
    Configuration,
    Memory,
    Observation,
    Path,
    ProductObservation,
    TrialError,
    TrialSpec,
)
from graviton_agent.root import MIB
from graviton_agent.workload import Case, Workload

BF16 = Configuration.of({"DNNL_DEFAULT_FPMATH_MODE": "BF16"})
HUGE = Configuration.of({"THP_MEM_ALLOC_ENABLE": "1"})
BOTH = BF16.merged(HUGE)

MEMORY = Memory(rss_anon=500 * MIB, peak=600 * MIB, anon_huge=0)
FP32_ERROR, BF16_ERROR = 2.7e-7, 2e-3


def threshold(value: int) -> Configuration:
    """The configuration that sets the matmul threshold alone."""
    return Configuration.of({"TORCH_MKLDNN_MATMUL_MIN_DIM": str(value)})


def on_blas(configuration: Configuration, path: Path, workload: Workload, case: Case) -> frozenset[int]:
    """The layers that a process computes by BLAS: by its threshold, which is 0 by default, or by the flag."""
    limit = int(configuration.environment.get("TORCH_MKLDNN_MATMUL_MIN_DIM", "0"))
    return path.blas_layers | {
        layer
        for layer in range(len(workload.layers))
        if min(workload.product(layer, case).m, *_sides(workload, layer)) <= limit
    }


def _sides(workload: Workload, layer: int) -> tuple[int, int]:
    return workload.layers[layer].inputs, workload.layers[layer].outputs


def observation(
    configuration: Configuration,
    workload: Workload,
    *,
    error: float | None = None,
    flag_alive: bool = True,
    memory: Memory = MEMORY,
) -> Observation:
    """What a process of a configuration shows where every setting works.

    Args:
        configuration: what it was started with.
        workload: what it computes.
        error: of every product that BLAS does not compute, in place of what its arithmetic explains.
        flag_alive: whether oneDNN computes anything at all.
        memory: what it occupies, huge pages apart.
    """
    fast = "DNNL_DEFAULT_FPMATH_MODE" in configuration.environment
    own = BF16_ERROR if fast else FP32_ERROR
    cases = []
    for case in workload.cases:
        blas = on_blas(configuration, Path(), workload, case)
        if not flag_alive:
            blas = frozenset(range(len(workload.layers)))
        kernels = [
            "blas" if layer in blas else "bf16" if fast else "f32" for layer in range(len(workload.layers))
        ]
        errors = [FP32_ERROR if kernel == "blas" else own if error is None else error for kernel in kernels]
        whole = math.sqrt(sum(one**2 for one in errors))
        cases.append(
            CaseObservation(
                batch=case.batch,
                products=tuple(
                    ProductObservation(
                        layer=layer,
                        digest=f"{layer} {case.batch} {kernel}",
                        blas_digest=f"{layer} {case.batch} blas",
                        stable=True,
                        error=errors[layer],
                    )
                    for layer, kernel in enumerate(kernels)
                ),
                digest=" ".join(kernels),
                error=whole,
                worst_row_error=whole,
                cosine=1.0 - whole**2 / 2 if math.isfinite(whole) else 0.0,
                finite=math.isfinite(whole),
                argmax_flips=0,
                argmax_rows=case.batch,
                kernels=tuple(
                    sorted({f"gemm:acl wei:{kernel}" for kernel in kernels} - {"gemm:acl wei:blas"})
                ),
            )
        )
    huge = workload.weight_bytes if "THP_MEM_ALLOC_ENABLE" in configuration.environment else 0
    return Observation(
        cases=tuple(cases),
        control_digest="onednn" if flag_alive else "blas",
        control_blas_digest="blas",
        threads=int(configuration.environment.get("OMP_NUM_THREADS", "4")),
        memory=Memory(memory.rss_anon, memory.peak, memory.anon_huge + huge),
    )


def hundred_ms(_configuration: Configuration, _path: Path, _batch: int) -> float:
    """Whatever is tried, a forward pass takes as long."""
    return 100.0


def never_fails(_configuration: Configuration, _command: str, _turn: int) -> str | None:
    """All goes well."""
    return None


def all_quiet(_turn: int) -> tuple[float, float, float]:
    """Nobody else is on the host."""
    return 1.0, 0.0, 0.0


@dataclass
class ScriptedLaboratory:
    """Implements graviton_agent.calibration.trial.Laboratory."""

    workload: Workload
    ms: Callable[[Configuration, Path, int], float] = hundred_ms
    """The time of a forward pass: of a configuration, on a path, at a batch."""
    observed: Callable[[Configuration], Observation] | None = None
    """What a process shows; None is `observation` as it is."""
    memory: Callable[[Configuration], Memory] = lambda _configuration: MEMORY
    fails: Callable[[Configuration, str, int], str | None] = never_fails
    """Why a process fails, if it does: at "start", or in its n-th "observe", "run" or "memory"."""
    disturbance: Callable[[int], tuple[float, float, float]] = all_quiet
    """Of the n-th block of all: its canary in ms, the share of steal, and that of other processes."""
    start_seconds: float = 1.0
    seconds: float = 0.0
    """The clock."""
    specs: list[TrialSpec] = field(default_factory=list)
    """Of every process that came to life or tried to, in order."""
    running: int = 0
    most_running: int = 0
    blocks: list[tuple[Configuration, Path, int, int]] = field(default_factory=list)
    """Every block: configuration, path, batch and iterations."""

    def now(self) -> float:
        """See Laboratory."""
        return self.seconds

    def start(self, specs: Sequence[TrialSpec]) -> tuple["ScriptedTrial", ...]:
        """See Laboratory."""
        self.seconds += self.start_seconds
        self.specs += specs
        for spec in specs:
            if reason := self.fails(spec.configuration, "start", 1):
                raise TrialError(spec.configuration, reason)
        self.running += len(specs)
        self.most_running = max(self.most_running, self.running)
        return tuple(ScriptedTrial(self, spec) for spec in specs)

    @property
    def started(self) -> list[Configuration]:
        """The configuration of every process that came to life or tried to, in order."""
        return [spec.configuration for spec in self.specs]

    def blocks_of(self, configuration: Configuration) -> int:
        """How many blocks its processes ran."""
        return sum(1 for ran, *_ in self.blocks if ran == configuration)


class ScriptedTrial:
    """Implements graviton_agent.calibration.trial.Trial."""

    def __init__(self, laboratory: ScriptedLaboratory, spec: TrialSpec) -> None:
        self._laboratory = laboratory
        self._spec = spec
        self._turns: dict[str, int] = {}
        self._stopped = False

    @property
    def spec(self) -> TrialSpec:
        """See Trial."""
        return self._spec

    def run(self, batch: int, path: Path, iterations: int) -> Block:
        """See Trial."""
        self._turn("run")
        lab, configuration = self._laboratory, self._spec.configuration
        lab.blocks.append((configuration, path, batch, iterations))
        call = round(lab.ms(configuration, path, batch) * 1e6)
        canary_ms, steal, foreign = lab.disturbance(len(lab.blocks))
        lab.seconds += call * iterations / 1e9
        return Block(
            batch=batch,
            iterations=iterations,
            elapsed_ns=call * iterations,
            calls_ns=(call,) * iterations,
            canary_ns=round(canary_ms * 1e6),
            steal=steal,
            foreign=foreign,
        )

    def observe(self) -> Observation:
        """See Trial."""
        self._turn("observe")
        lab, configuration = self._laboratory, self._spec.configuration
        if lab.observed is None:
            return observation(configuration, lab.workload, memory=lab.memory(configuration))
        return lab.observed(configuration)

    def memory(self) -> Memory:
        """See Trial."""
        self._turn("memory")
        return self._laboratory.memory(self._spec.configuration)

    def stop(self) -> None:
        """See Trial."""
        if not self._stopped:
            self._laboratory.running -= 1
        self._stopped = True

    def _turn(self, command: str) -> None:
        """Counts a command, and fails if it is the one to fail in."""
        assert not self._stopped, "a stopped trial was asked for something"
        self._turns[command] = self._turns.get(command, 0) + 1
        reason = self._laboratory.fails(self._spec.configuration, command, self._turns[command])
        if reason is not None:
            raise TrialError(self._spec.configuration, reason)
