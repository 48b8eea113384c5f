"""The simulated laboratory: trials on a virtual clock, with the bits and memory that torch would show."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from graviton_agent.calibration.trial import (
    Block,
    CaseObservation,
    Memory,
    Observation,
    Path,
    ProductObservation,
    TrialError,
    TrialSpec,
)
from graviton_agent.root import MIB
from graviton_agent.workload import Product
from tests.simulator.dispatch import BrokenThresholdError, Kernel, Machine, State
from tests.simulator.faults import HUGE_BREACH, Fault, Planted, faults_of, obeyed
from tests.simulator.noise import Noise, ProcessNoise, memory_bound_share
from tests.simulator.surface import Surface

ERROR = {Kernel.BLAS: 2.7e-7, Kernel.FP32: 2.7e-7, Kernel.BF16: 2e-3}
"""Relative norm of one product's difference from float64, as seen under emulation."""
CANARY_RUNS = 3
"""The best of them is the canary's time."""
TORCH_MEMORY = 223 * MIB
MEMORY_SD = 9 * MIB
"""Between processes of one configuration: pairs of equal ones varied by up to 26 MiB."""
HUGE_MEMORY = 6 * MIB
"""What huge pages added to the resident set, 4 to 9 MiB."""


@dataclass(frozen=True)
class Costs:
    """What a trial costs besides its blocks, in seconds."""

    import_torch: float
    """One process's import, which keeps one CPU busy."""
    initialise: float
    """Making and filling the tutorial network's weights; in proportion for others."""
    message: float = 0.0005
    """Asking a worker and reading its answer."""
    switch: float = 0.001
    """Stopping the other processes and waking this one, for each block."""
    canary: float = 0.0014
    """One of the canary's three products, 512 by 512 by 512 on four threads of the reference machine."""
    stop: float = 0.05
    first_call: float = 0.015
    """oneDNN's making of a primitive, for each kernel, layer and batch of a process."""


MEASURED = Costs(import_torch=1.15, initialise=0.28)
"""1.3 to 1.7 s from start to ready, as on the machine of the trials."""
SLOW = Costs(import_torch=2.3, initialise=0.5)
"""As on a slower shared machine with two cores."""

_TUTORIAL_WEIGHT_BYTES = 4 * 61_978_624
_WARM_UP = tuple(0.2 * math.exp(-passes / 0.6) for passes in range(6))
"""By how much the first passes of a batch on a path are slower: in fresh processes on a shared x86-64 machine
the first was up to a fifth slower than the following, and the second hardly at all."""
_PAGE_FAULT_SHARE = 0.06
_START_SD = 0.1


class SimulatedLaboratory:
    """Implements graviton_agent.calibration.trial.Laboratory."""

    def __init__(
        self,
        surface: Surface,
        noise: Noise,
        *,
        costs: Costs = MEASURED,
        faults: tuple[Planted, ...] = (),
    ) -> None:
        self.surface = surface
        self.noise = noise
        self.costs = costs
        self.faults = faults
        self.starts = 0
        """How many processes have been started."""
        self.blocks = 0
        """How many blocks have been run."""
        self.seconds = 0.0
        """The virtual clock."""

    def now(self) -> float:
        """See Laboratory."""
        return self.seconds

    def start(self, specs: Sequence[TrialSpec]) -> tuple["SimulatedTrial", ...]:
        """See Laboratory. Starts share the machine's CPUs, of which each keeps one busy."""
        cpus = self.surface.machine.cpus
        scale = self.surface.workload.weight_bytes / _TUTORIAL_WEIGHT_BYTES
        trials = []
        longest = 0.0
        for spec in specs:
            process = self.noise.process(self.starts)
            self.starts += 1
            seconds = self.costs.import_torch + self.costs.initialise * scale
            seconds *= math.exp(_START_SD * process.memory)
            longest = max(longest, seconds)
            trials.append(SimulatedTrial(self, spec, process))
        self.seconds += longest * max(1.0, len(specs) / cpus)
        for trial in trials:
            if Fault.CRASH_AT_START in trial.faults:
                raise TrialError(trial.spec.configuration, "killed by SIGILL before it was ready")
        return tuple(trials)


@dataclass
class _Route:
    """One batch on one path of a process."""

    threads: int
    seconds: float
    """Of a pass, with the process's own effect."""
    burst_share: float
    """How much of a burst hits it."""
    primitives: int
    """How many primitives oneDNN makes in the first pass."""
    passes: int = 0


class SimulatedTrial:
    """Implements graviton_agent.calibration.trial.Trial."""

    def __init__(self, laboratory: SimulatedLaboratory, spec: TrialSpec, process: ProcessNoise) -> None:
        self._laboratory = laboratory
        self._spec = spec
        self._process = process
        self._surface = laboratory.surface
        self._machine: Machine = laboratory.surface.machine
        self._workload = laboratory.surface.workload
        environment = obeyed(laboratory.faults, spec.configuration.environment)
        self.faults = faults_of(laboratory.faults, environment)
        self._mask_size = len(spec.cpus) if spec.cpus is not None else self._machine.cpus
        self._state: State | None
        try:
            self._state = self._machine.state(environment, self._mask_size)
        except BrokenThresholdError:
            self._state = None
        self._largest = max(case.batch for case in self._workload.cases)
        self._largest_run = 0
        self._routes: dict[tuple[int, frozenset[int], int | None], _Route] = {}
        self._primitives: set[tuple[Kernel, int, int]] = set()
        self._blocks = 0
        self._stopped = False

    @property
    def spec(self) -> TrialSpec:
        """See Trial."""
        return self._spec

    @property
    def state(self) -> State:
        """What the environment comes to. Raises TrialError where torch raises at the first product."""
        if self._stopped:
            raise TrialError(self._spec.configuration, "was stopped")
        if self._state is None:
            raise TrialError(self._spec.configuration, "RuntimeError: stoi")
        return self._state

    def run(self, batch: int, path: Path, iterations: int) -> Block:
        """See Trial."""
        laboratory, noise = self._laboratory, self._laboratory.noise
        self._blocks += 1
        laboratory.blocks += 1
        if Fault.CRASH_LATER in self.faults and self._blocks >= 3:
            raise TrialError(self._spec.configuration, "killed by SIGSEGV")
        route = self._route(batch, path)
        seconds = route.seconds * math.exp(noise.block())
        canary = self._canary(route.threads)
        laboratory.seconds += laboratory.costs.message + laboratory.costs.switch + CANARY_RUNS * canary

        begin = laboratory.seconds
        drift = noise.drift(begin + 0.5 * seconds * iterations)
        burst = noise.burst(begin, begin + seconds * iterations)
        hit = burst * route.burst_share
        seconds *= math.exp(drift) * (1.0 + hit) * self._page_faults(batch)
        calls = self._calls(seconds, route, iterations)
        elapsed = sum(calls)
        laboratory.seconds += elapsed / 1e9
        self._largest_run = max(self._largest_run, batch)
        return Block(
            batch=batch,
            iterations=iterations,
            elapsed_ns=elapsed,
            calls_ns=tuple(calls),
            canary_ns=int(canary * 1e9),
            steal=noise.steal(burst),
        )

    def memory(self) -> Memory:
        """See Trial."""
        state = self.state
        self._laboratory.seconds += self._laboratory.costs.message
        activations = self._workload.activation_bytes
        resident = TORCH_MEMORY + self._workload.weight_bytes + 2 * activations
        resident += int(MEMORY_SD * self._process.memory)
        if state.huge_pages:
            resident += HUGE_MEMORY
        if Fault.MEMORY in self.faults:
            resident += HUGE_BREACH
        return Memory(
            rss_anon=resident,
            peak=resident + activations,
            anon_huge=self._workload.weight_bytes if state.huge_pages else 0,
        )

    def observe(self) -> Observation:
        """See Trial. Each case takes three passes of its own and two by BLAS; the largest one in float64."""
        state = self.state
        by_blas = (Kernel.BLAS,) * len(self._workload.layers)
        for case in self._workload.cases:
            kernels = self._machine.kernels(state, self._workload, case.batch)
            own = self._surface.cell(state, case.batch, kernels)
            blas = self._surface.cell(state, case.batch, by_blas)
            float64 = 2.5 if case.batch == self._largest else 0.0
            self._laboratory.seconds += (3.0 * own.ms + (2.0 + float64) * blas.ms) / 1e3
            self._largest_run = max(self._largest_run, case.batch)
        return Observation(
            cases=tuple(self._observe_case(state, case.batch) for case in self._workload.cases),
            control_digest=f"control {self._machine.kernel(state, self._control())}",
            control_blas_digest=f"control {Kernel.BLAS}",
            threads=state.threads,
            memory=self.memory(),
        )

    def stop(self) -> None:
        """See Trial."""
        if not self._stopped:
            self._laboratory.seconds += self._laboratory.costs.stop
        self._stopped = True

    def _observe_case(self, state: State, batch: int) -> CaseObservation:
        kernels = self._machine.kernels(state, self._workload, batch)
        errors = [self._product_error(kernel) for kernel in kernels]
        error = math.sqrt(sum(one**2 for one in errors))
        finite = math.isfinite(error)
        return CaseObservation(
            batch=batch,
            products=tuple(
                ProductObservation(
                    layer=layer,
                    digest=f"{layer} {batch} {kernel}",
                    blas_digest=f"{layer} {batch} {Kernel.BLAS}",
                    stable=True,
                    error=errors[layer],
                )
                for layer, kernel in enumerate(kernels)
            ),
            digest=f"{batch} {' '.join(kernels)}",
            error=error,
            worst_row_error=1.4 * error,
            cosine=1.0 - error**2 / 2.0,
            finite=finite,
            argmax_flips=0,
            argmax_rows=batch,
            kernels=tuple(sorted({_LOGGED[kernel] for kernel in kernels if kernel is not Kernel.BLAS})),
        )

    def _control(self) -> Product:
        """A square product whose sides exceed every dimension that a threshold of the mix can have."""
        side = max(512, self._workload.dimensions[-1] + 1)
        return Product(m=side, k=side, n=side)

    def _product_error(self, kernel: Kernel) -> float:
        """Only what oneDNN computes can be faulty."""
        if kernel is not Kernel.BLAS and Fault.NAN in self.faults:
            return math.nan
        return 0.05 if kernel is not Kernel.BLAS and Fault.INACCURATE in self.faults else ERROR[kernel]

    def _route(self, batch: int, path: Path) -> "_Route":
        """What is constant for a batch and path of this process."""
        state = self.state
        route = self._routes.get((batch, path.blas_layers, path.threads))
        if route is None:
            if path.threads is not None:
                state = state._replace(threads=path.threads)
            kernels = self._machine.kernels(state, self._workload, batch, path.blas_layers)
            cell = self._surface.cell(state, batch, kernels)
            effect = self._process.effect((batch, kernels, state.threads)) + self._placement(state.threads)
            share = memory_bound_share(self._laboratory.noise.preset, cell.memory_share)
            new = {
                (kernel, layer, batch) for layer, kernel in enumerate(kernels) if kernel is not Kernel.BLAS
            } - self._primitives
            self._primitives |= new
            route = _Route(state.threads, cell.ms / 1e3 * math.exp(effect), share, len(new))
            self._routes[batch, path.blas_layers, path.threads] = route
        return route

    def _calls(self, seconds: float, route: "_Route", iterations: int) -> list[int]:
        """The wall time of each forward pass: the first ones in a process are slower."""
        mean = seconds * 1e9
        calls = [int(mean * (1.0 + log)) for log in self._laboratory.noise.calls(iterations)]
        if route.passes < len(_WARM_UP):
            for index, slower in enumerate(_WARM_UP[route.passes : route.passes + iterations]):
                calls[index] += int(mean * slower)
        if route.passes == 0:
            calls[0] += int(route.primitives * self._laboratory.costs.first_call * 1e9)
        route.passes += iterations
        return calls

    def _page_faults(self, batch: int) -> float:
        """Before the largest batch has run once, a smaller one pays page faults in every pass."""
        return 1.0 + _PAGE_FAULT_SHARE if batch < self._largest and self._largest_run < self._largest else 1.0

    def _placement(self, threads: int) -> float:
        if threads < self._mask_size:
            return self._process.roaming
        # Where all CPUs are used there is one placement, and the surface's times are its own.
        return self._laboratory.noise.mask(self._spec.cpus) if threads < self._machine.cpus else 0.0

    def _canary(self, threads: int) -> float:
        noise, now = self._laboratory.noise, self._laboratory.seconds
        seconds = self._laboratory.costs.canary * 4.0 / max(1, min(threads, self._machine.cpus))
        return seconds * noise.canary(noise.drift(now), noise.burst(now, now + seconds))


_LOGGED = {Kernel.FP32: "gemm:acl wei:f32", Kernel.BF16: "gemm:acl wei:bf16", Kernel.BLAS: ""}
