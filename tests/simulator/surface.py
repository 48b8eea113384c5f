"""Latency surfaces: the true time of a forward pass in any state, anchored at the published tables.

Times are milliseconds, per layer, so that a threshold splits a pass product by product as torch does. The
anchors are the PyTorch tutorial's totals on a c7g.xlarge (4 CPUs), as linear fits in the batch:
OpenBLAS 9.26 + 0.346 b, oneDNN fp32 46.5 + 0.451 b, oneDNN bf16 36.7 + 0.140 b milliseconds
[pytorch/tutorials recipes_source/inference_tuning_on_aws_graviton.rst].
"""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple, Protocol

from graviton_agent.workload import Layer, Workload
from tests.simulator.dispatch import Kernel, Machine, State

REFERENCE_THREADS = 4


class Cell(NamedTuple):
    """The truth about one batch in one state on one path."""

    ms: float
    """Time of a forward pass without any noise."""
    memory_share: float
    """Share of that time spent waiting for memory, 0 to 1."""


class Surface(Protocol):
    """True times of a workload on a machine."""

    @property
    def machine(self) -> Machine:
        """Where."""

    @property
    def workload(self) -> Workload:
        """Of what."""

    def cell(self, state: State, batch: int, kernels: tuple[Kernel, ...]) -> Cell:
        """The truth where these kernels compute the layers; `state` gives threads and huge pages."""


@dataclass(frozen=True)
class KernelCost:
    """What one library needs for a product on the reference machine with four threads."""

    call_us: float
    """For a call, whatever its size."""
    weight_ns: float
    """For each weight: reading it and, with oneDNN in eager mode, reordering it in every call."""
    mac_ns: float
    """For each multiplication and addition."""


_TUTORIAL_WEIGHTS = 4096 * 4096 + 4096 * 11008 + 11008 * 10
_TUTORIAL_LAYERS = 3


def _fitted(call_us: float, intercept_ms: float, slope_ms: float) -> KernelCost:
    """The cost that reproduces a linear fit of the tutorial's totals."""
    return KernelCost(
        call_us=call_us,
        weight_ns=(intercept_ms * 1e6 - _TUTORIAL_LAYERS * call_us * 1e3) / _TUTORIAL_WEIGHTS,
        mac_ns=slope_ms * 1e6 / _TUTORIAL_WEIGHTS,
    )


# ACL's calls cost some 30 us more than OpenBLAS's [pytorch#107168].
TUTORIAL_COSTS: Mapping[Kernel, KernelCost] = {
    Kernel.BLAS: _fitted(9.0, 9.26, 0.346),
    Kernel.FP32: _fitted(38.0, 46.5, 0.451),
    Kernel.BF16: _fitted(38.0, 36.7, 0.140),
}


@dataclass(frozen=True)
class Scaling:
    """How times change with the number of threads."""

    serial: float = 0.006
    """Share of the arithmetic that does not spread over threads."""
    bandwidth_half: float = 24.0
    """Threads at which half of the machine's memory bandwidth is reached."""
    sync_us: float = 1.5
    """For each product and doubling of the threads."""
    crowd_us: float = 0.6
    """For each product and thread beyond 16: old libgomp gets slower there [pytorch#155795]."""

    def arithmetic(self, threads: int) -> float:
        """Time relative to the reference."""
        return self._amdahl(threads) / self._amdahl(REFERENCE_THREADS)

    def memory(self, threads: int) -> float:
        """Time relative to the reference."""
        return self._bandwidth(REFERENCE_THREADS) / self._bandwidth(threads)

    def overhead_us(self, threads: int) -> float:
        """For one product."""
        return self.sync_us * math.log2(threads) + self.crowd_us * max(0, threads - 16)

    def _amdahl(self, threads: int) -> float:
        return self.serial + (1.0 - self.serial) / threads

    def _bandwidth(self, threads: int) -> float:
        return threads / (1.0 + threads / self.bandwidth_half)


@dataclass(frozen=True)
class Kinks:
    """Departures from the smooth curves, which every implementation has."""

    seed: str
    sd: float = 0.04
    """SD of the log factor of each kernel, layer and batch."""
    thread_sd: float = 0.02
    """SD of a further one for each number of threads."""
    step_sd: float = 0.12
    """SD of the log factor beyond the batch at which a kernel changes its loop."""

    def factor(self, kernel: Kernel, layer: Layer, batch: int, threads: int) -> float:
        """By how much a product departs."""
        log = _gauss(f"{self.seed} {kernel} {layer} {batch}", self.sd)
        log += random.Random(f"{self.seed} {kernel} {layer} {batch} {threads}").gauss(0.0, self.thread_sd)
        beyond, step = _step(f"{self.seed} {kernel}", self.step_sd)
        return math.exp(log + step) if batch > beyond else math.exp(log)


@lru_cache(maxsize=256)
def _gauss(seed: str, sd: float) -> float:
    """A normal deviate: the same for every number of threads."""
    return random.Random(seed).gauss(0.0, sd)


@lru_cache(maxsize=16)
def _step(seed: str, sd: float) -> tuple[float, float]:
    """Beyond which batch a kernel changes its loop, and the log factor there."""
    source = random.Random(seed)
    return 2.0 ** source.uniform(4.0, 9.0), source.gauss(0.0, sd)


@dataclass
class PhysicalSurface:
    """Sums of calls, weights read and arithmetic, with kinks."""

    machine: Machine
    workload: Workload
    costs: Mapping[Kernel, KernelCost] = field(default_factory=lambda: TUTORIAL_COSTS)
    scaling: Scaling = field(default_factory=Scaling)
    kinks: Kinks | None = None
    huge_page_gain: Mapping[Kernel, float] = field(default_factory=dict)
    """Share of a product's time that huge pages save, by kernel; negative where they cost."""
    corrections: Mapping[tuple[Kernel, int], float] = field(default_factory=dict)
    """Factors by kernel and batch that bring the fits to the published figures."""
    layer_overhead_us: float = 15.0
    """Of Python and the activation, for each layer: no setting changes it."""
    _products: dict[tuple[Kernel, Layer, int, int, bool], Cell] = field(default_factory=dict, repr=False)
    _cells: dict[tuple[int, bool, int, tuple[Kernel, ...]], Cell] = field(default_factory=dict, repr=False)

    def cell(self, state: State, batch: int, kernels: tuple[Kernel, ...]) -> Cell:
        """See Surface."""
        key = (state.threads, state.huge_pages, batch, kernels)
        found = self._cells.get(key)
        if found is None:
            products = [
                self._product(kernel, layer, batch, state.threads, huge_pages=state.huge_pages)
                for kernel, layer in zip(kernels, self.workload.layers, strict=True)
            ]
            ms = math.fsum(product.ms for product in products)
            memory = math.fsum(product.ms * product.memory_share for product in products)
            found = Cell(ms + len(kernels) * self.layer_overhead_us / 1e3, memory / ms)
            self._cells[key] = found
        return found

    def _product(self, kernel: Kernel, layer: Layer, batch: int, threads: int, *, huge_pages: bool) -> Cell:
        key = (kernel, layer, batch, threads, huge_pages)
        found = self._products.get(key)
        if found is None:
            found = self._products[key] = self._compute(*key)
        return found

    def _compute(self, kernel: Kernel, layer: Layer, batch: int, threads: int, huge_pages: bool) -> Cell:
        cost = self.costs[kernel]
        weights = layer.inputs * layer.outputs
        useful = min(threads, self.machine.cpus)
        memory = cost.weight_ns * weights / 1e6 * self.scaling.memory(useful)
        arithmetic = cost.mac_ns * weights * batch / 1e6 * self.scaling.arithmetic(useful)
        call = (cost.call_us + self.scaling.overhead_us(threads)) / 1e3
        factor = self.corrections.get((kernel, batch), 1.0)
        if self.kinks is not None:
            factor *= self.kinks.factor(kernel, layer, batch, threads)
        if huge_pages:
            factor *= 1.0 - self.huge_page_gain.get(kernel, 0.0)
        if threads > self.machine.cpus:
            factor *= 1.2 * threads / self.machine.cpus
        ms = (memory + arithmetic + call) * factor
        return Cell(ms, memory / (memory + arithmetic + call))


# What the fits miss of the published figures: bf16 took 41.15 ms at batch 10 where the fit says 38.1, and
# huge pages brought it at batch 256 from 72.62 to 66.97 ms.
_TUTORIAL_CORRECTIONS = {(Kernel.BF16, 10): 41.15 / 38.1}
_TUTORIAL_HUGE_PAGE_GAIN = {Kernel.BF16: 1.0 - 66.97 / 72.62}


def tutorial_surface(machine: Machine, workload: Workload) -> PhysicalSurface:
    """The published tables themselves: the tutorial's network on a c7g.xlarge."""
    return PhysicalSurface(
        machine,
        workload,
        corrections=_TUTORIAL_CORRECTIONS,
        huge_page_gain=_TUTORIAL_HUGE_PAGE_GAIN,
        layer_overhead_us=0.0,
    )


def random_surface(machine: Machine, workload: Workload, seed: str) -> PhysicalSurface:
    """One of a wide family around the published tables.

    Every cost departs by a lognormal factor (SD 0.3 to 0.35); in one of seven weights are prepacked, so that
    the reorder in every call vanishes; huge pages save -2 to +10 % of oneDNN's time and less of OpenBLAS's.
    """
    source = random.Random(f"{seed} surface")
    host_speed = math.exp(source.gauss(0.0, 0.3))
    read_ns = TUTORIAL_COSTS[Kernel.BLAS].weight_ns
    prepacked = source.random() < 1 / 7
    costs = {}
    for kernel, cost in TUTORIAL_COSTS.items():
        weight_ns = cost.weight_ns
        if prepacked and kernel is not Kernel.BLAS:
            weight_ns = read_ns * (0.5 if kernel is Kernel.BF16 else 1.0)
        costs[kernel] = KernelCost(
            call_us=cost.call_us * math.exp(source.gauss(0.0, 0.3)),
            weight_ns=weight_ns * host_speed * math.exp(source.gauss(0.0, 0.3)),
            mac_ns=cost.mac_ns * host_speed * math.exp(source.gauss(0.0, 0.35)),
        )
    gain = source.uniform(-0.02, 0.10)
    return PhysicalSurface(
        machine,
        workload,
        costs=costs,
        scaling=Scaling(
            serial=0.006 * math.exp(source.gauss(0.0, 0.5)),
            bandwidth_half=24.0 * math.exp(source.gauss(0.0, 0.4)),
            sync_us=1.5 * math.exp(source.gauss(0.0, 0.4)),
            crowd_us=source.choice((0.0, 0.6)),
        ),
        kinks=Kinks(seed),
        huge_page_gain={
            Kernel.BF16: gain,
            Kernel.FP32: gain * source.uniform(0.3, 1.0),
            Kernel.BLAS: gain * source.uniform(0.0, 0.4),
        },
    )
